"""Table of ``ai8x doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai8x_tool.report.columns import Table, table_of

if TYPE_CHECKING:
    from ai8x_tool.doctor import Diagnosis


def doctor_table(diagnosis: Diagnosis) -> Table:
    """Return a table of the findings, with a suggestion where something is missing or wrong."""
    rows = []
    for found in diagnosis.findings:
        text = f"{found.text} – {found.fix}" if found.fix else found.text
        rows.append((found.subject, found.state, text))
    return table_of(("", "", ""), rows, texts=2, wrapped=True)
