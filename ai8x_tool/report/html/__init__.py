"""The report as one HTML file: drawings are computed here, the templates only place them."""

from ai8x_tool.report.html.page import html_report

__all__ = ["html_report"]
