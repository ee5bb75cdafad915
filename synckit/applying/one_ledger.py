"""One ledger for a pair of systems: it marks the systems that it writes to, and a second one is refused by the first one's name."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from synckit.applying.refusals import written_sides
from synckit.errors import SynckitError
from synckit.planning.bind import SIDES, Side
from synckit.planning.plan import Plan
from synckit.systems.marks import Mark, marks_in, put_mark, take_marks

if TYPE_CHECKING:
    from synckit.workspace import Workspace


def _other(side: Side) -> Side:
    return "integration" if side == "local" else "local"


def _of_others(ws: Workspace) -> dict[Side, list[Mark]]:
    """The marks of other ledgers over this very pair: they stand in both systems, or in one and name the other."""
    found = {side: [m for m in marks_in(ws.systems[side]) or () if m.side == side] for side in SIDES}
    mine = ws.ledger.ledger_id
    identity = {side: ws.systems[side].identity() for side in SIDES}
    pair = {
        m.ledger_id
        for side in SIDES
        for m in found[side]
        if m.partner == identity[_other(side)] or m.ledger_id in {o.ledger_id for o in found[_other(side)]}
    } - {mine}
    return {side: [m for m in found[side] if m.ledger_id in pair] for side in SIDES}


def refuse_second(ws: Workspace) -> None:
    """Raise SynckitError where another ledger keeps this pair of systems in step, naming it."""
    mark = next((m for marks in _of_others(ws).values() for m in marks), None)
    if mark is not None:
        raise SynckitError(
            f"{ws.local.title} and {ws.integration.title} are kept in step by another ledger: {mark.ledger} (id {mark.ledger_id}), since "
            f"{mark.since} by {mark.operator}. With two ledgers records would be created twice, so nothing was applied. Work with that "
            "ledger; where it is gone, or where these systems are copies, take over: synckit apply PLAN --take-over "
            "(in Python: ws.apply(plan, take_over=True))."
        )


def take_over(ws: Workspace) -> None:
    """Remove the marks of other ledgers over this pair, on purpose."""
    for side, marks in _of_others(ws).items():
        take_marks(ws.systems[side], marks)


def mark_systems(ws: Workspace, plan: Plan) -> list[str]:
    """Mark the systems that `plan` writes to and says it marks. Returns a sentence for each that cannot be marked; its plans do not
    say so again. Raises SynckitError where another ledger came first at this very moment."""
    said, made = [], []
    for side in to_mark(plan):
        system = ws.systems[side]
        mark = Mark(
            ws.ledger.ledger_id, side, ws.systems[_other(side)].identity(), ws.ledger.address,
            f"{ws.operator}@{socket.gethostname()}", f"{ws.clock():%Y-%m-%d %H:%M} UTC",
        )  # fmt: skip
        if not getattr(ws.description, side).mark or mark.key in {m.key for m in marks_in(system) or ()}:
            continue
        why = put_mark(system, mark)
        if why:
            said.append(f"{system.title} could not be marked as kept in step by this ledger, so a second ledger would not be noticed: {why}")  # fmt: skip
            with ws.ledger.transaction(ws.clock()) as tx:
                tx.put_setting(f"mark:{side}", "no", why)
        else:
            made.append((system, mark))
    try:
        if made:
            refuse_second(ws)
    except SynckitError:
        for system, mark in made:
            take_marks(system, [mark])
        raise
    return said


def to_mark(plan: Plan) -> list[Side]:
    """The sides that applying `plan` marks."""
    return [side for side in SIDES if plan.base.sides[side].mark == "new" and side in written_sides(plan)]
