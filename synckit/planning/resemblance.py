"""Planned creates that look like records that already exist: the same e-mail, phone number or name once written alike."""

from __future__ import annotations

import json
import math
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
    # regular expressions are half the cost of a dry run here: texts with nothing unusual in them are written alike by plain replacing
    if kind == "phone":
        digits = f"regexp_replace({column}, '[^0-9]+', '', 'g')"
        digits = (
            f"right(CASE WHEN regexp_matches({column}, '[^0-9 ()+/.-]') THEN {digits} ELSE {_without(column, ' ()+/.-')} END, 9)"
        )
        return f"CASE WHEN length({digits}) >= 7 THEN {digits} END"
    any_text = f"regexp_replace(lower(strip_accents({column})), '[^\\pL\\pN]+', '', 'g')"
    usual = _without(f"lower({column})", " .,&-")
    return f"NULLIF(CASE WHEN regexp_matches({column}, '[^A-Za-z0-9 .,&-]') THEN {any_text} ELSE {usual} END, '')"


def _without(text: str, characters: str) -> str:
    """SQL for `text` without these characters."""
    for character in characters:
        text = f"replace({text}, '{character}', '')"
    return text


def resembling(planner: MappingPlanner, in_pass: Pass, created: Creates) -> pa.Table:
    """Each planned create with the existing records that it looks like (DUPLICATES), best first: by all that says who they are, and where
    there are too many records for that, by an equal e-mail address, phone number or name."""
    if not created.table.num_rows:
        return DUPLICATES.empty_table()
    found = planner.lookalikes
    return _alike(planner, in_pass, created) if found is None else scored(planner, in_pass, created, found)


def _alike(planner: MappingPlanner, in_pass: Pass, created: Creates) -> pa.Table:
    """Each planned create with the existing records of the destination side that share its e-mail, phone or name."""
    bound, con = planner.bound, planner.con
    source, destination = SOURCE[in_pass], DESTINATION[in_pass]
    values, whole_name = _values(planner), _whole_name(planner)
    if not values:
        return DUPLICATES.empty_table()
    con.register("created_keys", created.table.select(["record", "source_key"]))
    written = ", ".join(f"{value} AS {k}" for k, value in values.items())
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE likeness_new AS SELECT n.key, c.record, {written} FROM n_{source} n "
        "JOIN created_keys c ON c.source_key = n.key"
    )
    # of a million existing rows only those are kept that share a value (each value worked out once: hence the inner SELECT)
    shared = " UNION ALL ".join(
        f"SELECT '{k}' AS kind, key, value FROM (SELECT n.key, {value} AS value FROM {planner.whole_table(destination)} n WHERE inf) "
        f"WHERE value IN (SELECT {k} FROM likeness_new)"
        for k, value in values.items()
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE likeness_old AS {shared}")
    con.unregister("created_keys")
    hits = " UNION ALL ".join(
        f"SELECT a.record, a.key AS source_key, b.key AS existing_key, '{label}' AS kind, {weight} AS weight, a.{k} AS value FROM likeness_new a "
        f"JOIN likeness_old b ON b.kind = '{k}' AND a.{k} = b.value JOIN (SELECT value FROM likeness_old WHERE kind = '{k}' GROUP BY value "
        f"HAVING count(*) <= {SHARED_BY_MANY}) r ON r.value = a.{k}"
        for k, label, weight in (("email", "e-mail", 0.5), ("phone", "phone", 0.4), ("name", "name", 0.45 if whole_name else 0.6))
        if k in values
    )
    grouped = con.sql(
        f"SELECT record, source_key, existing_key, 1 - product(1 - weight) AS score, string_agg('same ' || kind, '; ' ORDER BY kind) AS why, "
        "to_json(list(struct_pack(kind := kind, weight := weight, value := value) ORDER BY kind)) AS signs, "
        f"c.id IS NOT NULL OR c.found IS NOT NULL AS taken FROM ({hits}) LEFT JOIN {planner.all_couplings()} c ON c.{destination}_key = existing_key "
        "GROUP BY ALL ORDER BY record, score DESC, existing_key"
    ).to_arrow_table()
    n = grouped.num_rows
    if not n:
        return DUPLICATES.empty_table()
    _exact_evidence(planner, destination, grouped)
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


def _exact_evidence(planner: MappingPlanner, side: Side, lines: pa.Table) -> None:
    """EVIDENCE of pairs with an equal e-mail, phone or name: what each adds to the score, in log-odds."""
    for line in lines.to_pylist():
        place = {
            "mapping": planner.bound.name,
            "source_key": line["source_key"],
            "existing_side": side,
            "existing_key": line["existing_key"],
        }
        apart = before = 1.0
        for n, sign in enumerate(json.loads(line["signs"])):
            apart *= 1 - sign["weight"]
            odds = math.log((1 - apart) / apart) - (math.log((1 - before) / before) if n else 0.0)
            planner.evidence.append({**place, "position": n, "field": sign["kind"], "source_value": sign["value"], "existing_value": sign["value"],
                                     "level": "equal", "log_odds": odds, "score_so_far": 1 - apart})  # fmt: skip
            before = apart


def sharing_keys(planner: MappingPlanner, side: Side) -> list[str]:
    """Keys of the rows of one side that share an e-mail, a phone number or a name with an uncoupled row of the other side; values that
    more than a few rows share say nothing."""
    other: Side = "integration" if side == "local" else "local"
    values = _values(planner)
    if not values:
        return []
    found: set[str] = set()
    for value in values.values():
        theirs = f"SELECT {value} AS v FROM {uncoupled_rows(planner, other)}"
        found.update(
            planner.column(
                f"SELECT unnest(keys) FROM (SELECT list(key) AS keys FROM (SELECT n.key, {value} AS v FROM {planner.whole_table(side)} n WHERE inf) WHERE v IN ({theirs}) "
                f"GROUP BY v HAVING count(*) <= {SHARED_BY_MANY})"
            )
        )
    return sorted(found)


def uncoupled_rows(planner: MappingPlanner, side: Side) -> str:
    """FROM ... WHERE of the uncoupled rows n of one side inside its filter, all of them in an incremental run, too."""
    coupled = f"SELECT 1 FROM {planner.all_couplings()} c WHERE c.{side}_key = n.key"
    return f"{planner.whole_table(side)} n WHERE n.inf AND NOT EXISTS ({coupled})"


def _values(planner: MappingPlanner) -> dict[str, str]:
    """SQL of what both sides have: e-mail, phone and name, written alike."""
    kinds = [k for k in ("email", "phone", "name") if all(k in planner.readers[s].resemblance for s in ("local", "integration"))]
    values = {k: _normal(k, "n") for k in kinds}
    if "name" in values and _whole_name(planner):
        values["name"] = f"{_normal('first_name', 'n')} || ' ' || {_normal('name', 'n')}"
    return values


def _whole_name(planner: MappingPlanner) -> bool:
    return all("first_name" in planner.readers[s].resemblance for s in ("local", "integration"))
