"""A job report to take away: as a page, a workbook or JSON, from the screen."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from synckit.reports.frame_html import escaped
from synckit.reports.wording import safe
from synckit.widgets.screen import Screen, State, button, buttons, text

if TYPE_CHECKING:
    from synckit.reports.job_report import Report


class ReportPanel(Screen):
    """Saves `report` in the form that is asked for; nothing of it is computed again."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report

    def do_page(self) -> None:
        """Save as one page that needs nothing from outside, to be read, printed or sent."""
        self.give("job-report.html", self.report.to_html().encode())

    def do_save(self) -> None:
        """Save as an Excel workbook, a sheet per section."""
        content = io.BytesIO()
        self.report.to_excel(content)
        self.give("job-report.xlsx", content.getvalue())

    def do_json(self) -> None:
        """Save as JSON, for a script."""
        self.give("job-report.json", self.report.to_json().encode())

    def state(self) -> State:
        saving = buttons(
            button({"do": "page"}, "Save as page", "p", hint="one HTML file, for reading, printing and sending"),
            button({"do": "save"}, "Save as Excel", "e", hint="a sheet per section"),
            button({"do": "json"}, "Save as JSON", hint="for a script"),
        )
        blocks = [text(safe(self.report.title), "strong"), text(safe(self.report.sentence())), saving]
        return {"kind": "blocks", "error": self.error, "said": self.said, "blocks": blocks}

    def html(self) -> str:
        told = f"<p><b>{escaped(safe(self.report.title))}</b></p><p>{escaped(safe(self.report.sentence()))}</p>"
        return f'{told}<div class="quiet">Run the notebook to save the report as a page, a workbook or JSON.</div>'


__all__ = ["ReportPanel"]
