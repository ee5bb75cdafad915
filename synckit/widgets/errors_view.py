"""What went wrong, grouped by cause, with what fixes each; the records behind a cause, and the story of any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from synckit.errors import SynckitError
from synckit.planning.plan import Plan
from synckit.reports.wording import count_of, number, safe
from synckit.widgets.grid import Grid
from synckit.widgets.lines import Lines
from synckit.widgets.screen import State, button, buttons, table, text

if TYPE_CHECKING:
    from synckit.workspace import Workspace

VICTIMS = 25


class ErrorsView(Grid):
    """The causes of the booked errors of a workspace, open ones first. `selected` is a frame of the causes shown; `plan` what the last
    press on "Retry these" planned (nothing is written by it)."""

    columns = (
        ("title", "cause", 3.4, ""), ("open", "open", 0.6, "n"), ("victims", "records", 0.7, "n"), ("mapping", "mend in", 1.2, ""),
        ("trend", "trend", 0.9, ""), ("last_at", "last seen", 1.9, ""), ("remedy", "what fixes it", 4.6, ""),
    )  # fmt: skip
    titles = {"trend": "trend", "mapping": "mend in"}

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.plan: Plan | None = None
        self.story = ""
        self._load()
        super().__init__(self.lines)

    def _load(self) -> None:
        self.causes = self.ws.causes()
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

    def victims(self) -> pd.DataFrame:
        """The errors behind the cause under the cursor."""
        return self.ws.cause_records(self.causes["cause"].iloc[self.cursor])

    # -- what a view asks for --------------------------------------------------------------------------------------------------------

    def do_explain(self, mapping: str, local: str = "", integration: str = "") -> None:
        """Open the whole story of a record."""
        self.story = self.ws.explain(mapping, local=local or None, integration=None if local else integration).to_text()

    def do_retry(self) -> None:
        """Plan to take the skipped records of this cause up again; the plan is in `plan`, nothing is written."""
        records = self.victims().drop_duplicates(["mapping", "local_key", "integration_key"])
        self.plan = self.ws.plan_retry(records=records)
        self.said = (
            f"Planned in .plan: {self.plan.sentence()}"
            if self.plan.writes
            else "None of these records is skipped: the next run looks at them anyway."
        )

    def do_refresh(self) -> None:
        """Read the ledger again."""
        self._load()
        self.cursor, self.open, self.story = (0 if self.lines.n else -1), False, ""

    def do_open(self, line: int | None = None) -> None:
        self.story = ""
        super().do_open(line)

    # -- drawing -------------------------------------------------------------------------------------------------------------------

    def head(self) -> list[State]:
        if not self.lines.n:
            return [text("No run has booked an error.", "strong")]
        waiting = int(self.causes["open"].sum())
        return [
            text(
                f"{count_of(self.lines.n, 'cause', 'causes')} behind the errors of all runs; {count_of(waiting, 'record still waits', 'records still wait')}.",
                "strong",
            )
        ]

    def actions(self) -> list[State]:
        return [button({"do": "refresh"}, "Read again")]

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
        found = found.drop_duplicates(["mapping", "local_key", "integration_key"])
        rows = [[safe(v["mapping"]), safe(v["local_key"]) or safe(v["integration_key"]), safe(v["message"]),
                 {"buttons": [button({"do": "explain", "mapping": v["mapping"], "local": safe(v["local_key"]), "integration": safe(v["integration_key"])}, "Its story")]}]
                for v in found.head(VICTIMS).to_dict("records")]  # fmt: skip
        blocks.append(
            table(["mapping", "record", "message", ""], rows, f"{number(len(rows))} of {count_of(len(found), 'record', 'records')}")
        )
        blocks.append(buttons(button({"do": "retry"}, "Plan a retry of these", "t")))
        if self.plan is not None and self.plan.writes:
            blocks.append({"kind": "code", "text": "view.plan          # look at it\nws.apply(view.plan) # carry it out"})
        return [*blocks, {"kind": "code", "text": self.story}] if self.story else blocks


__all__ = ["ErrorsView"]
