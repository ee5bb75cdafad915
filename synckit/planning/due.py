"""Incremental reading: only the rows newer than the watermark, those that are due, their partners, and keys to find deletions by."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from synckit.mapping.model import Pass
from synckit.planning import reconcile as sql
from synckit.planning.bind import SIDES, SOURCE, Side
from synckit.systems.protocol import Condition

if TYPE_CHECKING:
    from synckit.planning.mapping_plan import MappingPlanner

NOTHING_GONE = "CREATE OR REPLACE TABLE gone (id BIGINT, local_key VARCHAR, integration_key VARCHAR, le BOOLEAN, ie BOOLEAN)"
OVERLAP: dict[Side, float] = {
    "local": 0.0,
    "integration": 0.999,
}  # seconds before the watermark that the reference reads again (3.5)
LATE = 5.0  # seconds that synckit reads again, so that what was stamped before the mark and committed after it is not lost


def overlap(planner: MappingPlanner, side: Side) -> float:
    """How far before the watermark of a side rows are read again: as the workspace says, else long enough for late commits."""
    workspace = planner.planning.workspace
    set_here = (workspace.local if side == "local" else workspace.integration).version.overlap
    if set_here is not None:
        return set_here
    return OVERLAP[side] if planner.bound.mapping.semantics == "reference" else LATE


def read_due(planner: MappingPlanner) -> None:
    """Fill n_local and n_integration with the rows that an incremental or chosen run looks at, and due_<side> with those among them
    that are sources; couplings keep only what is looked at."""
    con, request = planner.con, planner.planning.request
    chosen = request.chosen.get(planner.bound.name)
    for side in SIDES:
        con.execute(f"CREATE OR REPLACE TABLE due_{side} (key VARCHAR)")
    if chosen is not None:
        keys = {side: sorted(chosen.get(side, frozenset())) for side in SIDES}
        planner.load("n", False, keys)
        for side in SIDES:
            con.execute(f"INSERT INTO due_{side} SELECT key FROM n_{side}")
        survivors: dict[Side, set[str]] = {side: set() for side in SIDES}
        con.execute(NOTHING_GONE)
        planner.take_couplings(planner.planning.ledger.couplings_of(planner.bound.name, keys["local"], keys["integration"]))
    else:
        where = {side: since_watermark(planner, side) for side in SIDES}
        planner.load("n", False, None, where)
        survivors = _survivors(planner)
        due = planner.planning.ledger.due(planner.bound.name)
        keys = {
            side: [*planner.column(f"SELECT key FROM n_{side} UNION SELECT {side}_key FROM gone ORDER BY 1"), *_keys_of(due, side)]
            for side in SIDES
        }
        ledger = planner.planning.ledger
        planner.take_couplings(ledger.couplings_of(planner.bound.name, keys["local"], keys["integration"], waiting=True))
        for side in SIDES:
            con.execute(f"INSERT INTO due_{side} SELECT n.key FROM n_{side} n {_not_at_the_mark(planner, side)}")
    for side in SIDES:
        waiting = survivors[side] if chosen is not None else survivors[side] | _waiting(planner, side)
        known = set(planner.column(f"SELECT key FROM n_{side}"))
        planner.load_more(side, sorted(waiting - known))
        con.register("waiting", pa.table({"key": pa.array(sorted(waiting), pa.string())}))
        con.execute(
            f"INSERT INTO due_{side} SELECT key FROM waiting WHERE key IN (SELECT key FROM n_{side}) AND key NOT IN (SELECT key FROM due_{side})"
        )
        con.unregister("waiting")
    looked = "local_key IN (SELECT key FROM n_local) OR integration_key IN (SELECT key FROM n_integration) OR id IN (SELECT id FROM gone)"
    con.execute(f"DELETE FROM couplings WHERE NOT ({looked})")
    for side in SIDES:
        partners = planner.column(f"SELECT {side}_key FROM couplings WHERE {side}_key NOT IN (SELECT key FROM n_{side}) ORDER BY 1")
        planner.load_more(side, partners)


def not_due(planner: MappingPlanner, in_pass: Pass, counts: dict[Side, int]) -> int:
    """Source rows that an incremental run does not look at: one counted disposition (design, promise 3)."""
    if planner.planning.request.whole:
        return 0
    side = SOURCE[in_pass]
    letter = sql.LETTER[side]
    looked = planner.column(
        f"SELECT count(*) FROM det d JOIN decided_{in_pass} q ON q.rec = d.rec WHERE d.{letter}e AND q.disposition <> 'not due' "
        f"UNION ALL SELECT count(*) FROM pairs WHERE {sql.quiet(planner.bound, planner.planning.request)} AND {letter}due "
        f"UNION ALL SELECT count(*) FROM lone WHERE side = '{side}' AND quiet <> 'not due'"
    )
    return counts[side] - sum(looked)


def since_watermark(planner: MappingPlanner, side: Side) -> list[Condition]:
    """The condition that limits one side to rows at or after its watermark; none where all rows are asked for."""
    version = planner.bound.side(side).version
    mark = watermark(planner, side)
    if version is None or mark is None:
        return []
    before = overlap(planner, side)
    if version.kind == "integer":
        return [Condition(version.name, ">=", int(mark) - int(before))]
    return [Condition(version.name, ">" if before else ">=", datetime.fromisoformat(mark) - timedelta(seconds=before))]


def watermark(planner: MappingPlanner, side: Side) -> str | None:
    """The side's watermark as the ledger holds it; None where the run starts from the beginning."""
    request = planner.planning.request
    version = planner.bound.side(side).version
    if request.from_start or version is None or version.kind not in ("datetime", "integer"):
        return None
    return planner.planning.ledger.watermarks(planner.bound.name).get(side) or None


def _not_at_the_mark(planner: MappingPlanner, side: Side) -> str:
    """Rows that are read again, and not counted where they equal their stamp: those at or before the watermark (design section 5), on the
    integration side those that the reference would not read again."""
    mark = watermark(planner, side)
    version = planner.bound.side(side).version
    if mark is None or version is None:
        return ""
    if version.kind == "integer":
        value = str(int(mark) - (side == "integration"))
    else:
        last = datetime.fromisoformat(mark) - timedelta(seconds=OVERLAP[side])
        value = f"epoch_us(TIMESTAMP '{last.isoformat(sep=' ')}')"
    return f"LEFT JOIN couplings c ON c.{side}_key = n.key WHERE NOT (n.ver <= {value} AND c.{side}_ver IS NOT DISTINCT FROM n.ver)"


def _waiting(planner: MappingPlanner, side: Side) -> set[str]:
    """Rows that are looked at whatever the watermark says: due, failed before and not skipped, coupled and never synchronised."""
    due = set(_keys_of(planner.planning.ledger.due(planner.bound.name), side))
    result = "to_failed" if side == "local" else "from_failed"
    failed = planner.column(f"SELECT {side}_key FROM couplings WHERE NOT skipped AND ({result} OR {side}_ver IS NULL)")
    return due | set(failed) if planner.bound.side(side).version is not None else due


def _survivors(planner: MappingPlanner) -> dict[Side, set[str]]:
    """Found by keys alone: couplings one of whose rows is gone make the other row due; table `gone` holds their ids."""
    con = planner.con
    if not planner.planning.request.deletions:
        con.execute(NOTHING_GONE)
        return {side: set() for side in SIDES}
    _load_keys(planner)
    con.register("keys_coupled", planner.planning.ledger.coupled_keys(planner.bound.name))
    con.execute(
        "CREATE OR REPLACE TABLE gone AS SELECT c.id, c.local_key, c.integration_key, l.key IS NOT NULL AS le, i.key IS NOT NULL AS ie FROM keys_coupled c "
        "LEFT JOIN k_local l ON l.key = c.local_key LEFT JOIN k_integration i ON i.key = c.integration_key WHERE l.key IS NULL OR i.key IS NULL"
    )
    con.unregister("keys_coupled")
    return {
        "local": set(planner.column("SELECT local_key FROM gone WHERE le")),
        "integration": set(planner.column("SELECT integration_key FROM gone WHERE ie")),
    }


def _load_keys(planner: MappingPlanner) -> None:
    """Fill k_local and k_integration with the keys of all rows, filter or not; both sides are read at once."""
    jobs = [(side, planner.executor.submit(planner.readers[side].keys)) for side in SIDES]
    for side, job in jobs:
        planner.con.register("keys_read", pa.table({"key": job.result()}))
        planner.con.execute(f"CREATE OR REPLACE TABLE k_{side} AS SELECT key FROM keys_read")
        planner.con.unregister("keys_read")


def _keys_of(due: pa.Table, side: Side) -> list[str]:
    return list(due.filter(pc.equal(due.column("side"), side)).column("key").to_pylist())
