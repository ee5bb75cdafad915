"""A plan under review: decisions are taken here, kept in a plan file at once, and can be taken back; screens only show it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.planning.plan import Decision, Plan, replace_decisions
from synckit.planning.planfile import load_plan, read_decisions, save_decisions
from synckit.reports.wording import count_of, safe

SAID = {"exclude": "left out", "include": "taken back in", "couple": "the same", "not_the_same": "not the same", "create": "create",
        "resolve": "conflict decided"}  # fmt: skip
LONG = 40  # records that a line of code names one by one; more are taken from the plan file


class Review:
    """`plan` is the plan with every decision taken so far. With a `file`, decisions that it holds are taken over first, and each
    further one is written to it before a screen shows it: a cell that runs again, or a kernel that dies, loses none.

    Decisions of an earlier plan in the file are carried over where the record still is as it was; `notice` says what became of them.
    """

    def __init__(self, plan: Plan, file: str | Path | None = None, by: str | None = None) -> None:
        self.plan, self.file, self.notice = plan, None if file is None else str(file), ""
        self.by = _operator() if by is None else by
        self._listeners: list[Callable[[], None]] = []
        self._seen: tuple[int, int] | None = None
        self._mine: list[str] = []  # when each decision was taken here: only these can be undone here
        if self.file is not None:
            self._take_over()

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call `tell` after every decision, whichever screen took it."""
        self._listeners.append(tell)

    # -- deciding ------------------------------------------------------------------------------------------------------------------

    def decide(self, change: Callable[[Plan], Plan]) -> int:
        """Take the decisions that `change` adds to the plan; returns how many. Raises SynckitError, with nothing changed, where the
        plan refuses them or the file cannot be written."""
        self._catch_up()
        before = self.plan.decisions
        changed = change(self.plan)
        at = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        taken = tuple(replace(d, by=d.by or self.by, at=d.at or at) for d in changed.decisions[len(before) :])
        if taken:
            self._mine.append(at)
            self._become((*before, *taken))
        return len(taken)

    @property
    def can_undo(self) -> bool:
        """Whether a decision that was taken here still stands."""
        return any(d.at in set(self._mine) for d in self.plan.decisions)

    def undo(self) -> str:
        """Take the last decision back that was taken here (all that one click decided), and say which; "" where there is none. What was
        decided elsewhere, or earlier and taken over from the file, stays."""
        self._catch_up()
        decisions = self.plan.decisions
        last = next((at for at in reversed(self._mine) if any(d.at == at for d in decisions)), None)
        if last is None:
            return ""
        gone = [d for d in decisions if d.at == last]
        self._mine.remove(last)
        self._become(tuple(d for d in decisions if d.at != last))
        return f"Taken back: {'; '.join(dict.fromkeys(self._told(d) for d in gone))}."

    def undone(self) -> str:
        """Undo, and what a screen says of it."""
        return self.undo() or "Nothing was decided here that could be taken back."

    def _told(self, decision: Decision) -> str:
        """A decision in a few words: whom it was about, and what it said."""
        keys = {key for record in decision.records for key in record[1:] if key}
        rows = self.plan.base.rows
        of = rows.filter(pc.equal(rows.column("mapping"), decision.mapping))
        here = [
            of.filter(pc.is_in(of.column(f"{side}_key"), pa.array(sorted(keys), pa.string()))) for side in ("local", "integration")
        ]
        pairs = zip(here, ("local", "integration"), strict=True)
        names = dict.fromkeys(safe(n) for t, side in pairs for n in t.column(f"{side}_name").to_pylist() if n)
        whom = (
            " and ".join(names)
            if 0 < len(names) <= 2
            else count_of(len(decision.records), "record", "records")
            if decision.records
            else "all records"
        )
        return f"{decision.mapping}, {whom}: {SAID.get(decision.kind, decision.kind)}"

    def take_back(self, those: Iterable[Decision]) -> None:
        """Take these decisions back, wherever in the list they stand."""
        self._catch_up()
        gone = {id(d) for d in those}
        self._become(tuple(d for d in self.plan.decisions if id(d) not in gone))

    def catch_up(self) -> bool:
        """Take over what another notebook has decided in the file meanwhile, and tell the screens; whether there was anything."""
        before = self.plan
        self._catch_up()
        if self.plan is before:
            return False
        for tell in self._listeners:
            tell()
        return True

    def _become(self, decisions: tuple[Decision, ...]) -> None:
        plan = replace_decisions(self.plan, decisions)
        if self.file is not None:
            save_decisions(plan, self.file)
            self._seen = _stamp(self.file)
        self.plan = plan
        for tell in self._listeners:
            tell()

    # -- the file ------------------------------------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Another notebook may have decided in the same file meanwhile: what stands there counts."""
        if self.file is None or self._seen is None or _stamp(self.file) == self._seen:
            return
        plan_id, decisions = read_decisions(self.file)
        if plan_id != self.plan.id:
            raise SynckitError(f"{self.file} now holds another plan. Run this notebook again from the cell that plans.")
        self.plan, self._seen = replace_decisions(self.plan, decisions), _stamp(self.file)

    def _take_over(self) -> None:
        assert self.file is not None
        if Path(self.file).exists():
            plan_id, decisions = read_decisions(self.file)
            if plan_id == self.plan.id:
                self.plan = replace_decisions(self.plan, decisions) if not self.plan.decisions else self.plan
                if decisions:
                    self.notice = f"{count_of(len(decisions), 'decision', 'decisions')} taken over from {Path(self.file).name}."
            elif decisions:
                self._carry_over(load_plan(self.file).undecided(), decisions)
        save_decisions(self.plan, self.file)
        self._seen = _stamp(self.file)

    def _carry_over(self, earlier: Plan, decisions: tuple[Decision, ...]) -> None:
        """Decisions on another plan hold for a record that is, in both plans, the same row in the same version with the same outlook."""
        then, now = _rows_as_seen(earlier), _rows_as_seen(self.plan)
        kept = lost = 0
        for decision in decisions:
            if decision.mapping not in self.plan.base.mappings:
                lost += max(len(decision.records), 1)
                continue
            same = tuple(r for r in decision.records if _unchanged(then, now, decision.mapping, r))
            lost += len(decision.records) - len(same)
            if not decision.records or same:
                try:
                    self.plan = self.plan.with_decisions([replace(decision, records=same)])
                    _ = self.plan.rows
                    kept += max(len(same), 1)
                except SynckitError:
                    self.plan = replace_decisions(self.plan, self.plan.decisions[:-1])
                    lost += max(len(same), 1)
        day = earlier.base.made_at.strftime("%d %b %H:%M")
        self.notice = f"Carried over from the plan of {day}: what was decided on {count_of(kept, 'record', 'records')}."
        if lost:
            self.notice += f" {count_of(lost, 'record is', 'records are')} no longer as decided then: look again."

    # -- as code -------------------------------------------------------------------------------------------------------------------

    def code(self) -> str:
        """The calls that give this plan again, from the plan as it was made."""
        if any(len(d.records) > LONG for d in self.plan.decisions) and self.file is not None:
            return f"plan = plan.with_decisions(synckit.load_plan({self.file!r}).decisions)"
        return "\n".join(line for d in self.plan.decisions for line in decision_code(d)) or "# nothing was decided yet"


def decision_code(decision: Decision) -> list[str]:
    """The calls that take one decision."""
    note = f", note={decision.note!r}" if decision.note else ""
    if decision.kind in ("exclude", "include"):
        if not decision.records:
            return [f"plan = plan.{decision.kind}({decision.mapping!r}{note})"]
        locals_ = list(dict.fromkeys(r[1] for r in decision.records if r[1]))
        others = list(dict.fromkeys(r[2] for r in decision.records if not r[1]))
        named = (("local", locals_), ("integration", others))
        keys = "".join(f", {side}={(k[0] if len(k) == 1 else k)!r}" for side, k in named if k)
        return [f"plan = plan.{decision.kind}({decision.mapping!r}{keys}{note})"]
    if decision.kind == "resolve":
        use = json.loads(decision.value) if decision.value.startswith("{") else decision.value
        sides = [(s, k) for s, k in zip(("local", "integration"), decision.records[0][1:], strict=True) if k][:1]
        return [f"plan = plan.resolve({decision.mapping!r}, {s}={k!r}, use={use!r}{note})" for s, k in sides]
    if decision.kind in ("couple", "not_the_same"):
        use = f", use={decision.value!r}" if decision.kind == "couple" else ""
        return [f"plan = plan.{decision.kind}({decision.mapping!r}, {a!r}, {b!r}{use}{note})" for _, a, b in decision.records]
    return [
        f"plan = plan.create({decision.mapping!r}, {'local' if a else 'integration'}={(a or b)!r}{note})"
        for _, a, b in decision.records
    ]


def as_review(of: Any, file: str | Path | None = None) -> Review:
    """The review of a plan, or the one that a screen works on already: several screens may share one."""
    of = getattr(of, "review", of) if not isinstance(of, Plan) else of
    return of if isinstance(of, Review) else Review(of, file)


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


Seen = dict[tuple[str, str, str], list[tuple]]


def _rows_as_seen(plan: Plan) -> Seen:
    columns = ("mapping", "pass", "local_key", "integration_key", "disposition", "code", "local_token", "integration_token")
    rows = plan.base.rows.filter(pc.equal(plan.base.rows.column("step"), 1)).select(list(columns))
    found: Seen = {}
    for values in zip(*(c.to_pylist() for c in rows.columns), strict=True):
        for side, key in (("local", values[2]), ("integration", values[3])):
            if key:
                found.setdefault((values[0], side, key), []).append(values)
    return found


def _unchanged(then: Seen, now: Seen, mapping: str, record: tuple[str, str, str]) -> bool:
    place = (mapping, "local", record[1]) if record[1] else (mapping, "integration", record[2])
    return place in then and then[place] == now.get(place)


def _operator() -> str:
    from synckit.workspace import operator

    return operator()


__all__ = ["Review", "as_review", "decision_code"]
