"""Runs of modified and of chosen records in a world, and watermarks: what the scenarios of incremental runs are written with.

modified(w)                                       # synchronise modified records: planned, applied, held against the plan
modified(w, direction="from", from_start=True)
chosen(w, "CUSTOMER", local="C", direction="to")  # "Synchronize Now"; a chosen direction forces, force=False does not
marks_at_stamps(w, "CUSTOMER")                    # as after a run: the watermarks stand at the stamps of the couplings
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from world import Ran, World, guid

from synckit.planning.plan import Plan


def plan_modified(w: World, *names: str, **how: Any) -> Plan:
    """The plan of a run of modified records, a minute later; nothing may have been written by it."""
    w.tick()
    before = w.everything()
    plan = w.ws.plan_modified(list(names) or None, **how)
    assert w.everything() == before, "planning has written"
    return plan


def modified(w: World, *names: str, surprises: bool = False, **how: Any) -> Ran:
    """A run of modified records: planned, applied, what was written compared with the plan."""
    return w.carry_out(plan_modified(w, *names, **how), surprises=surprises)


def plan_chosen(w: World, name: str, local: str = "", integration: str = "", **how: Any) -> Plan:
    """The plan of "Synchronize Now" for one record (several: separated by blanks)."""
    w.tick()
    keys = {"local": [guid(k) for k in local.split()], "integration": [guid(k) for k in integration.split()]}
    return w.ws.plan_records(name, **keys, **how)  # type: ignore[arg-type]


def chosen(w: World, name: str, local: str = "", integration: str = "", surprises: bool = False, **how: Any) -> Ran:
    return w.carry_out(plan_chosen(w, name, local, integration, **how), surprises=surprises)


def jobs(ran: Ran) -> int:
    """How many jobs a run has recorded."""
    return len(ran.run.jobs)


def marks(w: World, name: str, **moments: datetime | None) -> None:
    """Set watermarks: local=..., integration=... (None: blank)."""
    with w.ws.ledger.transaction() as tx:
        for side, moment in moments.items():
            tx.set_watermark(name, side, None if moment is None else moment.isoformat())  # type: ignore[arg-type]


def mark(w: World, name: str, side: str) -> datetime | None:
    """A watermark as a moment."""
    value = w.ws.ledger.watermarks(name).get(side)
    return None if value is None else datetime.fromisoformat(value.removesuffix("Z"))


def marks_at_stamps(w: World, name: str, local_later: float = 0.0) -> None:
    """As after a run: each watermark stands at the latest stamp of its side (the local one `local_later` seconds after it)."""
    for side, later in (("local", local_later), ("integration", 0.0)):
        stamps = w.ws.ledger.couplings(name).column(f"{side}_stamp").to_pylist()
        marks(w, name, **{side: max(moment(s) for s in stamps) + timedelta(seconds=later)})


def moment(stamp: str | None) -> datetime:
    """A stamp or version token as a moment."""
    assert stamp is not None
    return datetime.fromisoformat(stamp.replace("Z", "").removesuffix("+00").removesuffix("+00:00"))


def stamps(w: World, name: str, local: str) -> tuple[datetime, datetime]:
    """Both stamps of a coupling."""
    coupling = w.coupling(name, local)
    assert coupling is not None
    return moment(coupling["local_stamp"]), moment(coupling["integration_stamp"])


def latest(w: World, side: str, table: str) -> datetime:
    """The latest modified time of a table."""
    half = w.sides[side]  # type: ignore[index]
    name = half.tables[table].modified_on
    return max(row[name] for row in half.rows(table))  # type: ignore[index]
