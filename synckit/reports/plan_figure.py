"""The figure of a plan: what each mapping would do, in dependency order, labelled directly; readable in light and dark."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

from synckit.planning.plan import Plan
from synckit.reports.wording import ACTIONS, number

GREY = "#777777"  # as readable on white as on black
COLOURS = {
    "create": "#43a047",
    "update": "#00acc1",
    "couple": "#1e88e5",
    "uncouple": "#7e57c2",
    "delete": "#ad1457",
    "conflict": "#fb8c00",
    "fail": "#e53935",
}


class PlanFigure(Figure):
    """A matplotlib figure that a notebook draws by itself, without pyplot."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Twice as sharp as it is large, for screens that can."""
        sink = io.BytesIO()
        self.savefig(sink, format="png", dpi=2 * self.dpi)
        width, height = self.get_size_inches() * self.dpi
        return sink.getvalue(), {"width": int(width), "height": int(height)}


def plan_figure(plan: Plan) -> Figure:
    """A horizontal bar per mapping, both passes together, its parts labelled with their numbers. Transparent; no global state."""
    names = list(plan.mappings)
    counted = {
        a.name: [sum(of.get(d, 0) for (m, _), of in plan.counts.items() if m == name for d in a.dispositions) for name in names]
        for a in ACTIONS
    }
    widest = max((sum(c[i] for c in counted.values()) for i in range(len(names))), default=0) or 1
    figure = PlanFigure(figsize=(9, 0.9 + 0.42 * len(names)), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    start = [0] * len(names)
    for action in ACTIONS:
        values = counted[action.name]
        if not any(values):
            continue
        total = number(sum(values))
        axes.barh(
            range(len(names)),
            values,
            left=start,
            height=0.62,
            color=COLOURS[action.name],
            label=f"{action.sign} {action.name} {total}",
        )
        for row, n in enumerate(values):
            if n / widest >= 0.035:  # narrower parts have no room for a number
                axes.text(
                    start[row] + n / 2, row, number(n), ha="center", va="center", color="white", fontsize=9, fontweight="bold"
                )
        start = [a + b for a, b in zip(start, values, strict=True)]
    for row, end in enumerate(start):
        axes.text(end + widest * 0.01, row, number(end) if end else "nothing to do", va="center", color=GREY, fontsize=9)
    axes.set_yticks(range(len(names)), names, color=GREY)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, widest * 1.14)
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if any(any(values) for values in counted.values()):
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1), ncols=6, frameon=False, labelcolor=GREY, fontsize=9, handlelength=1
        )
    return figure
