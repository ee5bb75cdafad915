"""What the first synchronisation of a possible pair would write, worked out while planning so that coupling it can be decided later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa

from synckit.planning import reconcile as sql
from synckit.planning.bind import SIDES
from synckit.planning.tables import CHANGES, PAIR_CHANGES, PAIRS

if TYPE_CHECKING:
    from synckit.planning.mapping_plan import MappingPlanner


def first_synchronisation(planner: MappingPlanner, pairs: Iterable[tuple[str, str]]) -> tuple[pa.Table, pa.Table]:
    """(PAIRS, PAIR_CHANGES) of `pairs` of uncoupled (local, integration) keys: what each pass would write over what, were they coupled."""
    from synckit.planning.reasons import _fields

    wanted = sorted(set(pairs))
    if not wanted:
        return PAIRS.empty_table(), PAIR_CHANGES.empty_table()
    con, bound = planner.con, planner.bound
    con.register("pairs_now", pa.table({"rec": range(len(wanted)), "lk": [p[0] for p in wanted], "ik": [p[1] for p in wanted]}))
    con.execute("CREATE OR REPLACE TEMP TABLE det_pairs AS SELECT * FROM pairs_now")
    con.unregister("pairs_now")
    for side, letter in (("local", "lk"), ("integration", "ik")):
        missing = planner.column(
            f"SELECT DISTINCT {letter} FROM det_pairs WHERE {letter} NOT IN (SELECT key FROM d_{side}) ORDER BY 1"
        )
        if missing:  # rows that are no source in this plan have not been read whole
            side_ = SIDES[0] if side == "local" else SIDES[1]
            planner.readers[side_].load(con, f"d_{side}", "SELECT * FROM {rows}", True, missing, more=True)
    tables: list[pa.Table] = []
    errors: set[int] = set()
    for in_pass in bound.passes:
        made = sql.wide(bound, in_pass).replace(
            f"CREATE TABLE w_{in_pass} AS", f"CREATE OR REPLACE TEMP TABLE pair_{in_pass} AS", 1
        )
        con.execute(made.replace("FROM det d", "FROM det_pairs d", 1))
        fields = sql.expressions(bound, in_pass)
        wrong = ["bad IS NOT NULL", "r_error IS NOT NULL", *(f"e{f.number} OR b{f.number}" for f in fields if f.plan.lookup)]
        errors.update(planner.column(f"SELECT rec FROM pair_{in_pass} WHERE {' OR '.join(wrong)}"))
        parts = [
            f"SELECT rec, {f.number} AS field, o{f.number} AS old, n{f.number} AS new, m{f.number} AS ref_mapping, k{f.number} AS ref_key "
            f"FROM pair_{in_pass} WHERE d{f.number}"
            for f in fields if f.plan.counts != "insert"
        ]  # fmt: skip
        if not parts:
            continue
        lines = _fields(planner, in_pass, f"{' UNION ALL '.join(parts)} ORDER BY 1, 2")
        two_way = {f.plan.destination.name: f.plan.bidirectional for f in fields}
        record = lines.column("record").to_pylist()
        tables.append(
            pa.table({
                **{name: lines.column(name) for name in CHANGES.names if name not in ("record", "step")},
                "local_key": pa.array([wanted[r][0] for r in record], pa.string()),
                "integration_key": pa.array([wanted[r][1] for r in record], pa.string()),
                "two_way": pa.array([two_way[c] for c in lines.column("column").to_pylist()], pa.bool_()),
            }).select(PAIR_CHANGES.names).cast(PAIR_CHANGES)
        )  # fmt: skip
    heads = con.execute(
        "SELECT p.rec, p.lk, p.ik, l.code, l.name, i.name, l.tok, i.tok FROM det_pairs p JOIN d_local l ON l.key = p.lk "
        "JOIN d_integration i ON i.key = p.ik ORDER BY p.rec"
    ).fetchall()
    names = ("local_key", "integration_key", "local_code", "local_name", "integration_name", "local_token", "integration_token")
    rows = [{"mapping": bound.name, **dict(zip(names, head[1:], strict=True)), "fails": head[0] in errors} for head in heads]
    return pa.Table.from_pylist(rows, PAIRS), pa.concat_tables([PAIR_CHANGES.empty_table(), *tables])


__all__ = ["first_synchronisation"]
