"""How far an apply has come, and what it was in the end: live progress, and the Run with planned beside actual."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from synckit.planning.tables import COUNTERS

if TYPE_CHECKING:
    from synckit.workspace import Workspace


@dataclass(frozen=True)
class Progress:
    """Rows written so far of all that the plan writes. `seconds_left` is None until there is something to go by."""

    mapping: str
    in_pass: str
    done: int
    total: int
    rows_per_second: float
    seconds_left: float | None


@dataclass
class Meter:
    """Counts written rows and tells whoever wants to know."""

    total: int
    tell: Callable[[Progress], None] | None
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    def add(self, mapping: str, in_pass: str, rows: int) -> None:
        self.done += rows
        seconds = max(time.monotonic() - self.started, 1e-9)
        speed = self.done / seconds
        if self.tell is not None:
            self.tell(
                Progress(mapping, in_pass, self.done, self.total, speed, (self.total - self.done) / speed if self.done else None)
            )


@dataclass(frozen=True)
class Run:
    """What an apply (or resume) did. `jobs`: one line per mapping and pass, each counter as it became and as planned.
    `differences`: every row whose outcome is not the planned one, with the reason. `closing`: per mapping "kept" (Synch. Only
    Coupled Records stays set) or "creating"."""

    id: int
    status: str
    jobs: pd.DataFrame
    differences: pd.DataFrame
    errors: pd.DataFrame
    closing: dict[str, str]
    written: int
    planned: int
    message: str = ""

    @property
    def exit_code(self) -> int:
        """0 every row is fine, 3 finished but rows failed (predicted ones too), 1 not all attempted, 130 cancelled."""
        if self.status == "cancelled":
            return 130
        if self.status != "finished":
            return 1
        return 3 if int(self.jobs["failed"].sum()) or len(self.differences) else 0

    def sentence(self) -> str:
        """The run in one sentence; every number is in `jobs`."""
        total = {name: int(self.jobs[name].sum()) for name in COUNTERS}
        parts = [
            f"{total[n]:,} {n}"
            for n in ("inserted", "modified", "deleted", "coupled", "uncoupled", "unchanged", "skipped", "failed")
            if total[n] or n in ("inserted", "modified")
        ]
        head = {"finished": "finished", "cancelled": "was cancelled", "failed": "could not go on"}.get(self.status, self.status)
        text = f"Run {self.id} {head}: {', '.join(parts)}. {self.written:,} of {self.planned:,} planned writes were made."
        different = len(self.differences)
        if different:
            text += f" {different:,} {'row came' if different == 1 else 'rows came'} out differently from the plan."
        return f"{text} {self.message}".strip()

    def to_text(self) -> str:
        """Planned beside actual, for a terminal."""
        lines = [self.sentence(), ""]
        for job in self.jobs.to_dict("records"):
            cells = [f"{n} {job[n]:,}" + ("" if job[n] == job[f"planned_{n}"] else f" (planned {job[f'planned_{n}']:,})")
                     for n in COUNTERS if job[n] or job[f"planned_{n}"]]  # fmt: skip
            lines.append(
                f"  {job['mapping']:<16} {job['direction']:<17} {', '.join(cells) or 'nothing to do'}"
                + (f"  {job['message']}" if job["message"] else "")
            )
        for row in self.differences.head(20).to_dict("records"):
            lines.append(
                f"  ! {row['mapping']} {row['local_key'] or row['integration_key']}: planned {row['planned']}, became {row['actual']}. {row['reason']}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from synckit.reports.plan_html import run_html

        return run_html(self)

    def __repr__(self) -> str:
        return f"<Run {self.sentence()}>"


def run_of(
    ws: Workspace,
    run_id: int,
    status: str,
    differences: list[dict[str, object]],
    closing: dict[str, str],
    written: int,
    planned: int,
    message: str,
) -> Run:
    """The Run as the ledger remembers it."""
    jobs = ws.jobs(run=run_id).iloc[::-1].reset_index(drop=True)
    columns = ["mapping", "pass", "record", "local_key", "integration_key", "planned", "actual", "reason"]
    return Run(
        run_id, status, jobs, pd.DataFrame(differences, columns=columns), ws.errors(run=run_id), closing, written, planned, message
    )
