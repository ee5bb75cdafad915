"""Plans that a screen makes beside what it shows (a fix, a retry, an undo): listed, and written only by their own button."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from synckit.errors import SynckitError
from synckit.planning.plan import Plan
from synckit.planning.tables import CARRIED_OUT
from synckit.reports.wording import count_of, number, safe
from synckit.widgets.apply_panel import ApplyPanel
from synckit.widgets.plan_grid import QUIET
from synckit.widgets.screen import Screen, State, table, text

if TYPE_CHECKING:
    from synckit.workspace import Workspace

PLANNED = 25  # rows of such a plan that are listed


class PlanBeside(Screen):
    """A screen with a `plan` beside it, once one was asked for, and the `panel` that carries it out; `plan_code` makes the same plan."""

    ws: Workspace
    plan: Plan | None = None
    panel: ApplyPanel | None = None
    plan_code = ""

    def show_plan(self, plan: Plan, what: str, code: str) -> None:
        """Show `plan` below what there is, in the place of an earlier one."""
        self.plan, self.plan_code = plan, code
        self.panel = ApplyPanel(self.ws, plan)
        self.panel.on_change(self._went_on)
        self.said = f"{what}, as a plan: {plan.sentence()}"

    def _went_on(self) -> None:
        """The plan is under way, or carried out: what was said of it before is over."""
        self.said = ""
        self.changed()

    def forget_plan(self) -> None:
        """Show no plan."""
        self.plan, self.panel, self.plan_code = None, None, ""

    def do_apply(self) -> None:
        """Carry the shown plan out, in the background."""
        self._to_panel("apply")

    def do_stop(self) -> None:
        self._to_panel("stop")

    def do_accept(self, mapping: str) -> None:
        self._to_panel("accept", mapping=mapping)

    def do_take_back(self) -> None:
        """Plan to undo the run that carried the shown plan out."""
        self._to_panel("take_back")

    def _to_panel(self, do: str, **given: Any) -> None:
        if self.panel is None or not self.plan_blocks():
            raise SynckitError("There is no plan to apply.")
        getattr(self.panel, f"do_{do}")(**given)

    def plan_blocks(self) -> list[State]:
        """The plan: its rows, what will still fail, and the button that carries it out."""
        if self.plan is None or self.panel is None:
            return []
        whole = self.plan.records()
        frame = whole[(whole["step"] == 1) & ~whole["disposition"].isin(QUIET)]
        rows = [[safe(r["mapping"]), {"text": r["disposition"], "tone": "fail" if r["disposition"] not in CARRIED_OUT else "create"},
                 safe(r["local_name"]) or safe(r["integration_name"]), safe(r["reason"])] for r in frame.head(PLANNED).to_dict("records")]  # fmt: skip
        told = f"{number(len(rows))} of {count_of(len(frame), 'row', 'rows')} of the plan"
        listed = [table(["mapping", "action", "record", "why"], rows, told)] if rows else self._why_nothing(whole)
        ended = [text("Read again shows what is left.", "quiet")] if self.panel.run else []
        ended = [text(self.panel.error, "fail")] if self.panel.error else ended
        return [{"kind": "heading", "text": "The plan"}, *listed, *self.panel.blocks(), *ended]

    @staticmethod
    def _why_nothing(frame: pd.DataFrame) -> list[State]:
        """Where there is nothing to do, the reasons of the rows that were looked at, the most frequent first."""
        counted = frame["reason"].value_counts().head(5)
        rows: list[list[Any]] = [[number(int(n)), safe(reason)] for reason, n in counted.items() if reason]
        return [table(["rows", "why not"], rows)] if rows else []


__all__ = ["PlanBeside"]
