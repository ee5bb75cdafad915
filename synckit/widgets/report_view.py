"""The report of the runs as a screen: which runs, their figure, section by section; saved as a page, a workbook, CSV or JSON."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from synckit.diagnosis.causes import called_now
from synckit.errors import SynckitError
from synckit.reports.job_figure import svg
from synckit.reports.job_html import LABELS, NOTES, job_fragment
from synckit.reports.job_report import SECTIONS, Report, short
from synckit.reports.plan_text import cell_text
from synckit.reports.wording import count_of, number, safe
from synckit.widgets.plan_beside import PlanBeside
from synckit.widgets.saving import Saving
from synckit.widgets.screen import State, button, buttons, table, text

if TYPE_CHECKING:
    from synckit.workspace import Workspace

SHOWN = 50  # rows of a section; the others are in what is saved
FIRST = "2000-01-01"  # no run is older
PERIODS: dict[str, tuple[str, int | None]] = {
    "last": ("the last run", None),
    "7": ("the last 7 days", 7),
    "30": ("the last 30 days", 30),
    "all": ("all runs", None),
}
OPENED = "jobs"  # the section that a reader meets first
FIGURE = "Rows written, skipped and failed, run by run; records failed, by cause"
#: The page explains these in words that hold here, too; the others speak of links.
EXPLAINED = ("runs", "planned", "skipped", "written", "sums")
#: What a reader sees of a section that has more columns than fit; "record" is what the record is called now.
COLUMNS = {
    "errors": ["run_id", "mapping", "direction", "record", "message", "at"],
    "skipped": ["mapping", "record", "message", "at", "days"],
    "writes": ["run_id", "mapping", "direction", "record", "op", "state", "error", "at"],
    "decisions": ["at", "operator", "mapping", "kind", "record"],
}
OPERATIONS = {"insert": "created", "update": "changed", "delete": "deleted", "couple": "coupled", "uncouple": "uncoupled"}
_RED = {"failed", "victims", "open", "difference"}


class ReportView(PlanBeside, Saving):
    """What the runs of a workspace did. `report` is the Report that is shown, `selected` the frame of the open section."""

    def __init__(self, ws: Workspace, period: str = "all") -> None:
        super().__init__()
        self.ws = ws
        self.section = OPENED
        self._report_of(period)

    def _report_of(self, period: str) -> None:
        if period not in PERIODS:
            raise SynckitError(f'A report is of {", ".join(PERIODS)}; not of "{period}".')
        of = self.ws.report(**self._given(period))
        self.report: Report = of if period == "last" else replace(of, title=f"Job report, {PERIODS[period][0]}")
        self.period, self._picture = period, ""

    def _given(self, period: str) -> dict[str, Any]:
        if period == "last":
            return {}
        days = PERIODS[period][1]
        return {"since": FIRST if days is None else f"{self.ws.clock() - timedelta(days=days):%Y-%m-%d}"}

    @property
    def selected(self) -> pd.DataFrame:
        """The frame of the open section, whole."""
        return self.report.frames[self.section]

    # -- what a view asks for --------------------------------------------------------------------------------------------------------

    def do_period(self, value: str) -> None:
        """Report on other runs: "last", "7", "30" (days) or "all"."""
        self._report_of(value)
        if not len(self.selected):
            self.section = OPENED

    def do_section(self, name: str) -> None:
        """Open a section."""
        if name not in dict(SECTIONS):
            raise SynckitError(f'A report has no section "{name}".')
        self.section = name

    def do_undo_run(self, run: int) -> None:
        """Plan to undo what a run wrote."""
        self.show_plan(self.ws.plan_undo(run), f"Taking run {run} back", f"plan = ws.plan_undo({run})")

    def do_refresh(self) -> None:
        """Read the ledger again."""
        self.forget_plan()
        self._report_of(self.period)

    def sheets(self) -> tuple[str, dict[str, pd.DataFrame]]:
        return f"job-report-{self.section}", {}  # the workbook is that of the whole report

    def do_page(self) -> None:
        """Give the whole report to the reader as one page that needs nothing from outside, to be read, printed or sent."""
        self.give("job-report.html", self.report.to_html().encode())

    def do_save(self) -> None:
        """Give the whole report as an Excel workbook, a sheet per section."""
        content = io.BytesIO()
        self.report.to_excel(content)
        self.give("job-report.xlsx", content.getvalue())

    def do_json(self) -> None:
        """Give the whole report as JSON, for a script."""
        self.give("job-report.json", self.report.to_json().encode())

    def code(self) -> str:
        """The calls that give this report, and the open section of it."""
        given = ", ".join(f"{name}={value!r}" for name, value in self._given(self.period).items())
        return "\n".join(
            [
                f"report = ws.report({given})",
                f"report.frames[{self.section!r}]",
                'report.to_html("report.html"); report.to_excel("report.xlsx")',
                *([self.plan_code] if self.plan_code else []),
            ]
        )

    # -- drawing ---------------------------------------------------------------------------------------------------------------------

    def save_buttons(self) -> list[State]:
        return [
            button({"do": "page"}, "Save as page", "p", hint="one HTML file, for reading, printing and sending"),
            button({"do": "save"}, "Save as Excel", "e", hint="a workbook, a sheet per section"),
            button({"do": "csv"}, "This section as CSV", off=not len(self.selected), hint="the open section"),
            button({"do": "json"}, "JSON", hint="for a script"),
            button({"do": "code"}, "Copy as code", on=self.code_open, hint="the calls that give the same"),
        ]

    def state(self) -> State:
        return {"kind": "blocks", "error": self.error, "said": self.said, "blocks": self._blocks()}

    def _blocks(self) -> list[State]:
        periods = [(key, label) for key, (label, _) in PERIODS.items()]
        choose = {"kind": "choose", "label": "report on", "value": self.period, "values": periods, "do": {"do": "period"}}
        top = {"kind": "row", "blocks": [choose, buttons(*self.save_buttons(), button({"do": "refresh"}, "Read again"))]}
        head = [text(f"Job report, {PERIODS[self.period][0]}: {safe(self.report.sentence())}", "strong"), top, *self.code_block()]
        if not len(self.report.frames["runs"]):
            return [*head, text("No run is in this period. Choose a longer one, or apply a plan first.")]
        picture = {"kind": "picture", "label": FIGURE, "svg": self._figure()}
        sections = [button({"do": "section", "name": name}, f"{title.partition(':')[0].rstrip('?')} {number(len(frame))}", on=name == self.section)
                    for name, title in SECTIONS if len(frame := self.report.frames[name])]  # fmt: skip
        return [*head, picture, buttons(*sections), *self._section()]

    def _figure(self) -> str:
        self._picture = self._picture or base64.b64encode(svg(self.report.figure()).encode()).decode()
        return self._picture

    def _section(self) -> list[State]:
        name = self.section
        frame = self._with_records() if name in COLUMNS else short(name, self.selected)
        if name == "runs":  # an undo is told from what it undid
            frame = frame.assign(kind=self.selected["kind"])[["run_id", "kind", *frame.columns[1:]]]
        shown = frame.head(SHOWN)
        columns = [str(c) for c in frame.columns]
        other = self.ws.description.integration.name.partition(" (")[0]
        rows = [
            [_cell(c, v, other) for c, v in zip(columns, line, strict=True)] for line in shown.itertuples(index=False, name=None)
        ]
        told = count_of(len(frame), "row", "rows")
        capped = told if len(shown) == len(frame) else f"{number(len(shown))} of {told}; the others are in what is saved"
        heads = [LABELS.get(c, c.replace("_", " ")) for c in columns]
        numbers = [pd.api.types.is_numeric_dtype(frame[c]) for c in frame.columns]
        if name == "runs":
            heads, numbers = [*heads, ""], [*numbers, False]
            for cells, run in zip(rows, shown["run_id"], strict=True):
                cells.append(
                    {
                        "buttons": [
                            button({"do": "undo_run", "run": int(run)}, "Take back", hint="as a plan first; nothing is written yet")
                        ]
                    }
                )
        note = [text(NOTES[name], "quiet")] if name in EXPLAINED else []
        plan = self.plan_blocks() if name == "runs" else []
        return [*note, {**table(heads, rows, capped), "numbers": numbers}, *plan]

    def _with_records(self) -> pd.DataFrame:
        """The open section, the rows that are shown with their records' names; all rows count."""
        frame = self.selected
        first = frame.head(SHOWN)
        names = called_now(self.ws, first)
        frame = frame.assign(record=names + [""] * (len(frame) - len(names)))
        return frame[[c for c in COLUMNS[self.section] if c in frame and (c != "error" or first[c].fillna("").astype(bool).any())]]

    def html(self) -> str:
        if not len(self.report.frames["runs"]):
            return job_fragment(self.report)
        return f'<img alt="{FIGURE}" style="max-width: 100%" src="data:image/svg+xml;base64,{self._figure()}">{job_fragment(self.report)}'


def _cell(column: str, value: Any, other: str) -> Any:
    """A value as text; the zeros of a counter are blank, what went wrong is red, and a direction names the `other` system."""
    if column in ("direction", "status"):
        value = str(value).replace("_integration", f" {other}").replace("_", " ")
    value = OPERATIONS.get(value, value) if column == "op" else value
    shown = safe(cell_text(value))
    if shown in ("0", "nan", "None", "<NA>", "NaT"):
        return ""
    return {"text": shown, "tone": "fail"} if column in _RED or (column == "status" and shown == "error") else shown


__all__ = ["ReportView"]
