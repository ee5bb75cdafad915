"""Planned creates that look like records that already exist: the same e-mail, phone number or name once written alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from synckit.mapping.model import Pass
from synckit.mapping.schema import Column
from synckit.planning.bind import DESTINATION, SOURCE, BoundMapping, Side
from synckit.planning.lookalikes import scored
from synckit.planning.tables import DUPLICATES

if TYPE_CHECKING:
    from synckit.planning.creates import Creates
    from synckit.planning.mapping_plan import MappingPlanner

KINDS = ("e-mail", "phone", "name")
SHARED_BY_MANY = 20  # a value that more existing records share (info@, a switchboard) says nothing


def likenesses(bound: BoundMapping, side: Side) -> dict[str, Column]:
    """The columns of one side that hold an e-mail address, a phone number and a name, as far as the mapping carries them."""
    found: dict[str, Column] = {}
    if bound.mapping.kind == "option":
        return {}  # options are coupled by their label
    for row in bound.mapping.fields:
        name = row.local if side == "local" else row.integration
        if not row.enabled or row.local is None or row.integration is None or row.lookup is not None or name is None:
            continue
        text = f"{row.local} {row.integration}".casefold()
        column = bound.side(side).table.column(name)
        if column.kind not in ("text", "code"):
            continue
        if "mail" in text:
            found.setdefault("email", column)
        elif "phone" in text and "mobile" not in text:
            found.setdefault("phone", column)
        elif row.local.casefold() in ("name", "surname", "description", "display name"):
            found.setdefault("name", column)
        elif row.local.casefold() in ("first name", "given name"):
            found.setdefault("first_name", column)
    if (
        "name" in found
        and bound.side(side).table.column(found["name"].name).name in ("Surname", "lastname")
        and "first_name" not in found
    ):
        found.pop("name")
    return found


def _normal(kind: str, alias: str) -> str:
    """SQL for a value written in one way; NULL where too little is left to say anything."""
    column = f"{alias}.like_{kind}"
    if kind == "email":
        return f"CASE WHEN contains({column}, '@') THEN lower(trim({column})) END"
    if kind == "phone":
        digits = f"right(regexp_replace({column}, '[^0-9]', '', 'g'), 9)"
        return f"CASE WHEN length({digits}) >= 7 THEN {digits} END"
    # a plain text has no accents to strip, which is most of the cost
    plain = f"CASE WHEN strlen({column}) = length({column}) THEN {column} ELSE strip_accents({column}) END"
    return f"NULLIF(regexp_replace(lower({plain}), '[^\\w]|_', '', 'g'), '')"


def resembling(planner: MappingPlanner, in_pass: Pass, created: Creates) -> pa.Table:
    """Each planned create with the existing records that it looks like (DUPLICATES), best first: among the uncoupled records by all that
    says who they are, and among all (a create may double a coupled one) by an equal e-mail, phone or name that speaks for itself."""
    if not created.table.num_rows:
        return DUPLICATES.empty_table()
    found, alike = planner.lookalikes, _alike(planner, in_pass, created)
    if found is None:
        return alike
    searched = scored(planner, in_pass, created, found)
    known = set(zip(searched.column("source_key").to_pylist(), searched.column("existing_key").to_pylist(), strict=True))
    # one shared switchboard, or a namesake, is no reason to think that a person is there already; an e-mail address of one's own is
    pairs = zip(*(alike.column(c).to_pylist() for c in ("source_key", "existing_key", "score")), strict=True)
    strong = pa.array([score >= 0.5 and (source, existing) not in known for source, existing, score in pairs], pa.bool_())
    order = [("record", "ascending"), ("score", "descending"), ("existing_side", "ascending"), ("existing_key", "ascending")]
    return pa.concat_tables([searched, alike.filter(strong)]).sort_by(order)


def _alike(planner: MappingPlanner, in_pass: Pass, created: Creates) -> pa.Table:
    """Each planned create with the existing records of the destination side that share its e-mail, phone or name."""
    bound, con = planner.bound, planner.con
    source, destination = SOURCE[in_pass], DESTINATION[in_pass]
    kinds = [
        k
        for k in ("email", "phone", "name")
        if k in planner.readers[source].resemblance and k in planner.readers[destination].resemblance
    ]
    if not kinds or not created.table.num_rows:
        return DUPLICATES.empty_table()
    whole_name = "first_name" in planner.readers[source].resemblance and "first_name" in planner.readers[destination].resemblance
    values: dict[str, str] = {k: _normal(k, "n") for k in kinds}
    if whole_name and "name" in kinds:
        values["name"] = f"{_normal('first_name', 'n')} || ' ' || {_normal('name', 'n')}"
    old, new = _written_alike(planner, planner.whole_table(destination), values), _written_alike(planner, f"n_{source}", values)
    con.register("created_keys", created.table.select(["record", "source_key"]))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE likeness_new AS SELECT n.*, c.record FROM {new} n JOIN created_keys c ON c.source_key = n.key"
    )
    con.execute(f"CREATE OR REPLACE TEMP VIEW likeness_old AS SELECT * FROM {old} WHERE inf")
    con.unregister("created_keys")
    hits = " UNION ALL ".join(
        f"SELECT a.record, a.key AS source_key, b.key AS existing_key, '{label}' AS kind, {weight} AS weight FROM likeness_new a "
        f"JOIN likeness_old b ON a.{k} = b.{k} JOIN (SELECT {k} FROM likeness_old WHERE {k} IN (SELECT {k} FROM likeness_new) GROUP BY {k} "
        f"HAVING count(*) <= {SHARED_BY_MANY}) r ON r.{k} = a.{k}"
        for k, label, weight in (("email", "e-mail", 0.5), ("phone", "phone", 0.4), ("name", "name", 0.45 if whole_name else 0.6))
        if k in kinds
    )
    grouped = con.sql(
        f"SELECT record, source_key, existing_key, 1 - product(1 - weight) AS score, string_agg('same ' || kind, '; ' ORDER BY kind) AS why, "
        f"c.id IS NOT NULL OR c.found IS NOT NULL AS taken FROM ({hits}) LEFT JOIN {planner.all_couplings()} c ON c.{destination}_key = existing_key "
        "GROUP BY ALL ORDER BY record, score DESC, existing_key"
    ).to_arrow_table()
    n = grouped.num_rows
    if not n:
        return DUPLICATES.empty_table()
    source_names = dict(con.execute(f"SELECT key, name FROM d_{source}").fetchall())
    existing_names = planner.names(destination, grouped.column("existing_key").to_pylist())
    keys, existing = grouped.column("source_key").to_pylist(), grouped.column("existing_key").to_pylist()
    return pa.table(
        {
            "mapping": pa.array([bound.name] * n, pa.string()),
            "pass": pa.array([in_pass] * n, pa.string()),
            "record": grouped.column("record"),
            "source_key": grouped.column("source_key"),
            "source_name": pa.array([source_names.get(k) for k in keys], pa.string()),
            "existing_side": pa.array([destination] * n, pa.string()),
            "existing_key": grouped.column("existing_key"),
            "existing_name": pa.array([existing_names.get(k) for k in existing], pa.string()),
            "existing_coupled": grouped.column("taken"),
            "score": grouped.column("score"),
            "why": grouped.column("why"),
            "source_print": pa.nulls(n, pa.string()),
            "existing_print": pa.nulls(n, pa.string()),
        }
    ).cast(DUPLICATES)


def _written_alike(planner: MappingPlanner, table: str, values: dict[str, str]) -> str:
    """Name of a table with the rows of a narrow table and their values written alike; made once for both passes."""
    name = f"like_{table}"
    if name not in planner.alike_tables:
        columns = ", ".join(f"{sql} AS {k}" for k, sql in values.items())
        planner.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT n.key, n.inf, {columns} FROM {table} n")
        planner.alike_tables.add(name)
    return name
