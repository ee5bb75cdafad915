"""The figures of a job report: outcomes per run, and errors by cause; readable on white and on black."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from synckit.reports.plan_figure import GREY, PlanFigure
from synckit.reports.wording import number

if TYPE_CHECKING:
    from synckit.reports.job_report import Report

COLOURS = {"inserted": "#43a047", "modified": "#00acc1", "deleted": "#ad1457", "coupled": "#1e88e5", "uncoupled": "#7e57c2", "skipped": "#fb8c00",
           "failed": "#e53935"}  # fmt: skip
BARS = 12


def job_figure(report: Report) -> Figure:
    """Two panels: a bar per run (the latest first to the right), and the causes with most victims."""
    from synckit.reports.job_report import cause_labels

    runs, causes = report.frames["runs"].tail(40), report.frames["causes"].head(BARS)
    rows = max(len(causes), 3)
    figure = PlanFigure(figsize=(9, 2.9 + 0.32 * rows), layout="constrained")
    panels: Any = figure.subfigures(2, 1, height_ratios=[2.5, 0.4 + 0.32 * rows])  # each with margins of its own
    upper, lower = panels
    over, by = upper.subplots(), lower.subplots()
    for part in (figure, upper, lower):
        part.patch.set_alpha(0)
    names = [str(r) for r in runs["run_id"]]
    base = [0] * len(runs)
    for counter, colour in COLOURS.items():
        values = [int(v) for v in runs[counter]]
        if any(values):
            over.bar(names, values, bottom=base, color=colour, label=f"{counter} {number(sum(values))}", width=0.7)
            base = [a + b for a, b in zip(base, values, strict=True)]
    over.set_xlim(-0.6, max(len(runs), 8) - 0.4)
    over.set_title("Rows written, skipped and failed, run by run", loc="left", color=GREY, fontsize=10)
    if any(base):
        over.legend(frameon=False, labelcolor=GREY, fontsize=8, ncols=4, loc="upper left")
        over.set_ylim(0, max(base) * 1.3)
    labels = [_cut(label, 68) for label in cause_labels(causes)]
    victims = [int(v) for v in causes["victims"]]
    bars = by.barh(range(len(labels)), victims, color=COLOURS["failed"], height=0.6)
    by.bar_label(bars, [number(v) for v in victims], padding=4, color=GREY, fontsize=9)
    by.set_xlim(0, max(victims, default=1) * 1.08)
    by.set_yticks(range(len(labels)), labels, color=GREY, fontsize=9)
    by.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    by.set_title("Records failed, by cause" if labels else "No errors", loc="left", color=GREY, fontsize=10)
    by.xaxis.set_visible(False)
    for axes in (over, by):
        axes.patch.set_alpha(0)
        axes.tick_params(colors=GREY, labelsize=9, length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure


def _cut(text: str, length: int) -> str:
    text = text if len(text) <= max(length, 10) else text[: max(length, 10) - 3] + "..."
    return text.replace("$", r"\$")


def svg(figure: Figure) -> str:
    """The figure as an SVG element whose letters are text; the same figure gives the same text."""
    sink = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "synckit"}):
        figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
    text = sink.getvalue()
    return text[text.index("<svg") :]


__all__ = ["job_figure", "svg"]
