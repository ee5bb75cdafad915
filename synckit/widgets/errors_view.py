"""What went wrong, grouped by cause, with what fixes each: the records behind a cause, their stories, and the fix as a plan to be applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from synckit.diagnosis.causes import called_now
from synckit.errors import SynckitError
from synckit.planning.bind import SIDES
from synckit.planning.plan import Plan
from synckit.reports.wording import count_of, number, safe
from synckit.widgets.grid import Grid
from synckit.widgets.lines import Lines
from synckit.widgets.plan_beside import PlanBeside
from synckit.widgets.screen import State, button, buttons, table, text

if TYPE_CHECKING:
    from synckit.workspace import Workspace

VICTIMS = 25
#: Code of a cause -> the fixes that a plan can be made of; the other codes are mended in the systems, and then tried again.
FIXES: dict[str, tuple[str, ...]] = {
    "partner_deleted": ("restore", "delete", "uncouple"),
    "both_changed": ("to", "from"),
    "never_synchronised": ("to", "from"),
    "integration_coupled": ("uncouple",),
    "local_coupled": ("uncouple",),
    "match_taken": ("uncouple",),
    "coupling_corrupt": ("uncouple",),
}
KEYS = ["mapping", "local_key", "integration_key"]


class ErrorsView(PlanBeside, Grid):
    """The causes of the booked errors of a workspace, open ones first; the largest is opened. `selected` is a frame of the causes shown; `plan` the plan of the
    last fix or retry that was asked for: it is shown, and written only by its own Write button."""

    columns = (
        ("title", "cause", 3.4, ""), ("open", "open", 0.6, "n"), ("victims", "records", 0.7, "n"), ("mapping", "mend in", 1.5, ""),
        ("trend", "trend", 0.9, ""), ("last_at", "last seen", 1.5, ""), ("remedy", "what fixes it", 4.6, ""),
    )  # fmt: skip
    titles = {"trend": "trend", "mapping": "mend in"}
    keys = "j k or arrows move · enter opens a cause · / search · e saves"

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.story = ""
        self._of = ""  # the cause that plan and story belong to
        self._load()
        super().__init__(self.lines)
        self._at_the_largest()

    def _at_the_largest(self) -> None:
        """Open the cause that stops most records, where one still does: causes stand in that order."""
        self.cursor = 0 if self.lines.n else -1
        self.open = bool(self.lines.n and self.causes["open"].iloc[0])

    def _load(self) -> None:
        self.causes = self.ws.causes()
        self._victims: dict[str, pd.DataFrame] = {}
        frame = self.causes
        texts = {
            c: pa.array([safe(v) for v in frame[c]], pa.string()) for c in ("cause", "title", "mapping", "trend", "remedy", "what")
        }
        times = pa.array([safe(v)[:16].replace("T", " ") for v in frame["last_at"]], pa.string())
        counts = {c: pa.array([int(v) for v in frame[c]], pa.int64()) for c in ("open", "victims")}
        self.lines = Lines({**texts, **counts, "last_at": times}, ["trend", "mapping"], ["title", "what", "mapping", "remedy"])

    @property
    def selected(self) -> pd.DataFrame:
        return self.causes.iloc[self.lines.shown]

    @property
    def _cause(self) -> str:
        return str(self.causes["cause"].iloc[self.cursor])

    def victims(self) -> pd.DataFrame:
        """The records behind the cause under the cursor, each once with its last error; those that the screen lists have what they are
        called in the column `name`."""
        cause = self._cause
        if cause not in self._victims:
            found = self.ws.cause_records(cause).drop_duplicates(KEYS).reset_index(drop=True)
            found[KEYS[1:]] = found[KEYS[1:]].fillna("")
            names = called_now(self.ws, found.head(VICTIMS))
            found["name"] = [*names, *[""] * (len(found) - len(names))]
            self._victims[cause] = found
        return self._victims[cause]

    # -- what a view asks for --------------------------------------------------------------------------------------------------------

    def do_explain(self, mapping: str, local: str = "", integration: str = "", cause: str = "") -> None:
        """Open the whole story of a record behind a cause: the one under the cursor, where none is named."""
        cause = cause or self._cause
        if self._of != cause:
            self.forget_plan()
        self._of = cause
        self.story = self.ws.explain(mapping, local=local or None, integration=None if local else integration).to_text()

    def do_retry(self) -> None:
        """Plan to synchronise the records of this cause again, of however many mappings: those that are skipped are taken up, those that
        fail again say why."""
        self._planned(self.ws.plan_retry(records=self.victims()), "Tried again", "plan_retry")

    def do_fix(self, how: str) -> None:
        """Plan what fixes this cause: "restore", "delete" or "uncouple" its couplings, or "to" / "from": one side's values win."""
        if how not in FIXES.get(str(self.causes["code"].iloc[self.cursor]), ()):
            raise SynckitError(f'"{how}" fixes nothing here.')
        verbs = {"restore": "plan_restore", "delete": "plan_delete", "uncouple": "plan_uncoupling"}
        if how in verbs:
            self._planned(getattr(self.ws, verbs[how])(records=self.victims()), "The fix", verbs[how])
        else:
            self._chosen(how)

    def _chosen(self, direction: str) -> None:
        """A plan of the records of this conflict, which are of one mapping, in one direction."""
        found = self.victims()
        mapping, local = str(found["mapping"].iloc[0]), [k for k in found["local_key"] if k]
        others = found[found["local_key"] == ""]["integration_key"].tolist()
        plan = self.ws.plan_records(mapping, local=local, integration=others, direction=direction)
        keys = "".join(f", {side}={k!r}" for side, k in (("local", local), ("integration", others)) if k)
        self._planned(plan, "The fix", code=f"plan = ws.plan_records({mapping!r}{keys}, direction={direction!r})")

    def _planned(self, plan: Plan, what: str, verb: str = "", code: str = "") -> None:
        self._of, self.story = self._cause, ""
        self.show_plan(plan, what, code or f"plan = ws.{verb}(records=ws.cause_records({self._cause!r}))")

    def plan_blocks(self) -> list[State]:
        """The plan of the cause under the cursor, and of no other."""
        return super().plan_blocks() if self._of == self._cause else []

    def sheets(self) -> tuple[str, dict[str, pd.DataFrame]]:
        """The causes that are shown, and the records behind them."""
        shown, records = self.selected, self.ws.cause_records()
        return "errors", {"Causes": shown, "Records": records[records["cause"].isin(set(shown["cause"]))]}

    def title(self) -> str:
        return str(self.head()[0]["text"])

    def code(self) -> str:
        """The calls that give the causes shown, and the plan that stands on the screen."""
        lines = ["from synckit.widgets import ErrorsView", "", f"errors = ErrorsView(ws){self.shown_code()}", "errors.selected"]
        return "\n".join([*lines, *([self.plan_code] if self.plan_code else [])])

    def do_refresh(self) -> None:
        """Read the ledger again."""
        self._load()
        self._at_the_largest()
        self.story = ""
        self.forget_plan()

    def do_open(self, line: int | None = None) -> None:
        super().do_open(line)
        if not self.open:
            self.story = ""
            self.forget_plan()

    # -- drawing -------------------------------------------------------------------------------------------------------------------

    def head(self) -> list[State]:
        if not self.lines.n:
            return [text("No run has booked an error.", "strong")]
        waiting = int(self.causes["open"].sum())
        return [
            text(
                f"{count_of(self.lines.n, 'cause', 'causes')} behind the errors of all runs; {count_of(waiting, 'record still waits', 'records still wait')}.",
                "strong",
            ),
            *self.code_block(),
        ]

    def actions(self) -> list[State]:
        return [button({"do": "refresh"}, "Read again", hint="read the ledger again"), *self.save_buttons()]

    def row(self, line: int, values: dict[str, Any]) -> State:
        solved = values["trend"] == "solved"
        open_ = {"text": number(values["open"]), "tone": "fail"} if values["open"] else ""
        return {"cells": [values["title"], open_, number(values["victims"]), values["mapping"], values["trend"], values["last_at"], values["remedy"]], "tick": None, "dim": solved}  # fmt: skip

    def detail(self, line: int) -> list[State]:
        cause = self.causes.iloc[line]
        blocks = [
            text(safe(cause["title"]), "strong"),
            text(safe(cause["what"])),
            text(f"What fixes it: {safe(cause['remedy'])}", "create"),
        ]
        try:
            found = self.victims()
        except SynckitError as error:
            return [*blocks, text(str(error), "fail")]
        rows = [[safe(v["mapping"]), safe(v["name"]), {"text": safe(v["local_key"]) or safe(v["integration_key"]), "key": True}, safe(v["message"]),
                 {"buttons": [button({"do": "explain", "mapping": v["mapping"], "local": safe(v["local_key"]), "integration": safe(v["integration_key"]), "cause": str(cause["cause"])}, "Its story")]}]
                for v in found.head(VICTIMS).to_dict("records")]  # fmt: skip
        shown = count_of(len(found), "record", "records")
        blocks.append(
            table(
                ["mapping", "record", "key", "message", ""],
                rows,
                shown if len(rows) == len(found) else f"{number(len(rows))} of {shown}",
            )
        )
        blocks.append(
            buttons(
                *self._fixes(str(cause["code"])),
                button({"do": "retry"}, "Plan these again", "t", hint="as they are now: those that fail again say why"),
            )
        )
        if self._of != cause["cause"]:
            return blocks
        blocks += self.plan_blocks()
        return [*blocks, {"kind": "code", "text": self.story}] if self.story else blocks

    def _fixes(self, code: str) -> list[State]:
        titles = [safe(getattr(self.ws.description, s).name) for s in SIDES]
        labels = {"restore": "Restore the deleted records", "delete": "Delete what is left of them", "uncouple": "Remove the couplings",
                  "to": f"Keep {titles[0]}", "from": f"Keep {titles[1]}"}  # fmt: skip
        return [
            button({"do": "fix", "how": how}, labels[how], hint="as a plan; nothing is written yet") for how in FIXES.get(code, ())
        ]


__all__ = ["ErrorsView"]
