"""HTML reports of one file each. Drawings are computed here; the templates only place them."""

from ai8x_tool.report.html.page import html_report
from ai8x_tool.report.html.run_page import evaluation_report, training_report, verification_report

__all__ = ["evaluation_report", "html_report", "training_report", "verification_report"]
