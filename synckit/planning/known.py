"""What references to a mapping resolve to once it is planned: coupled records, found partners, planned and failing creates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from synckit.mapping.model import Pass
from synckit.planning import reconcile as sql
from synckit.planning.bind import SOURCE, Side
from synckit.planning.creates import VALUE

if TYPE_CHECKING:
    from synckit.planning.mapping_plan import MappingPlanner
    from synckit.planning.planned_mapping import MappingPlan


def known_after(planner: MappingPlanner, plan: MappingPlan) -> pa.Table:
    """What references to this mapping resolve to from now on: coupled records (where any mapping refers to this one), found partners,
    planned and failing creates."""
    from synckit.planning.engine import NO_KNOWN, with_local_currency

    con, name = planner.con, planner.bound.name
    known = (
        "SELECT c.local_key, l.code, c.integration_key, CASE WHEN c.found THEN 'planned' ELSE 'coupled' END AS state, "
        f"CASE WHEN c.found THEN c.local_key END AS source_key, CASE WHEN c.found THEN 'to' END AS pass, {sql.literal(name)} AS mapping "
        "FROM couplings c JOIN n_local l ON l.key = c.local_key"
    )
    if not planner.planning.request.whole:
        planned = [_planned_known(planner, plan, p).cast(NO_KNOWN) for p in planner.bound.passes]
        planned.append(con.sql(f"{known} WHERE c.found").to_arrow_table().cast(NO_KNOWN))
        restored = pa.concat_tables([NO_KNOWN.empty_table(), *planned]).column("local_key")
        if name not in planner.planning.referred:
            return _register(planner, plan, pa.concat_tables([NO_KNOWN.empty_table(), *planned]))
        coupled = planner.planning.from_ledger(planner.bound)
        coupled = coupled.filter(pc.invert(pc.is_in(coupled.column("local_key"), value_set=restored.combine_chunks())))
        return _register(planner, plan, pa.concat_tables([coupled.cast(NO_KNOWN), *planned]))
    table = con.sql(f"{known}{'' if name in planner.planning.referred else ' WHERE c.found'}").to_arrow_table()
    parts = [table.cast(NO_KNOWN)]
    for in_pass in planner.bound.passes:
        parts.append(_planned_known(planner, plan, in_pass).cast(NO_KNOWN))
    return with_local_currency(planner.planning, planner.bound, _register(planner, plan, pa.concat_tables(parts)))


def _register(planner: MappingPlanner, plan: MappingPlan, known: pa.Table) -> pa.Table:
    """Tell the planning database which records are planned, for those that wait for them."""
    con = planner.con
    con.register("known_now", known.filter(pc.is_valid(known.column("source_key"))))
    con.register(
        "rows_now", plan.rows.select(["pass", "record", "local_key", "integration_key", "local_name", "integration_name", "step"])
    )
    con.execute(
        "INSERT INTO planned SELECT k.mapping, k.pass, k.source_key, r.record, k.state, "
        "CASE r.pass WHEN 'to' THEN r.local_name ELSE r.integration_name END FROM known_now k JOIN rows_now r ON r.pass = k.pass "
        "AND r.step = 1 AND k.source_key = CASE r.pass WHEN 'to' THEN r.local_key ELSE r.integration_key END"
    )
    con.unregister("known_now")
    con.unregister("rows_now")
    return known


def _planned_known(planner: MappingPlanner, plan: MappingPlan, in_pass: Pass) -> pa.Table:
    """Creates of one pass, as references see them; a create that will fail is known too, as failing."""
    rows = plan.rows.filter(pc.equal(plan.rows.column("pass"), in_pass))
    wanted = pc.and_(
        pc.is_in(rows.column("disposition"), pa.array(["create", "restore", "will fail", "blocked"])),
        pc.or_(pc.invert(rows.column("coupled")), pc.equal(rows.column("disposition"), "restore")),
    )
    rows = rows.filter(wanted)
    created = plan.creates.get((planner.bound.name, in_pass))
    failing = pc.invert(pc.is_in(rows.column("disposition"), pa.array(["create", "restore"])))
    source_side: Side = SOURCE[in_pass]
    source = rows.column(f"{source_side}_key")
    key = pc.if_else(failing, pa.scalar(None, pa.string()), _found(created, source, "key"))
    local_key = planner.bound.local.key
    if in_pass == "to":
        held = planner.con.sql("SELECT key AS source_key, code FROM d_local").to_arrow_table()
        codes = _found(held, source, "code")
    else:
        codes = _found(created, source, VALUE + local_key.name if local_key is not None else "")
    n = rows.num_rows
    return pa.table(
        {
            "local_key": source if in_pass == "to" else key,
            "code": codes,
            "integration_key": key if in_pass == "to" else source,
            "state": pc.if_else(failing, "failing", "planned"),
            "source_key": source,
            "pass": pa.repeat(pa.scalar(in_pass), n),
            "mapping": pa.repeat(pa.scalar(planner.bound.name), n),
        }
    )


def _found(table: pa.Table | None, keys: pa.ChunkedArray, column: str) -> pa.Array:
    """Per key the value of a column of the row that has it as source key; null where there is none."""
    if table is None or column not in table.column_names:
        return pa.nulls(len(keys), pa.string())
    place = pc.index_in(keys, value_set=table.column("source_key").combine_chunks())
    return table.column(column).take(place.combine_chunks()).cast(pa.string()).combine_chunks()
