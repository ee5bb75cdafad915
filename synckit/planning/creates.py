"""The rows that a plan would create: every value they get, the key they will have, and what is drawn only when applying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from synckit.mapping.filters import parse_filter
from synckit.mapping.model import Pass, Template
from synckit.planning import reconcile as sql
from synckit.planning.bind import DESTINATION, SOURCE, BoundMapping
from synckit.planning.tables import CHANGES

if TYPE_CHECKING:
    from synckit.planning.mapping_plan import MappingPlanner
    from synckit.planning.planned_mapping import WrittenColumn

NEXT_NUMBER = "next number"  #: how a number shows that is drawn only when applying
VALUE = "="  #: before the names of columns that hold values, so that a column may be called "key" or "record"
FIRST_OPTION = 100_000_000  #: where an environment's own option values begin


@dataclass
class Creates:
    """`table`: record, source_key, key (None: the system draws it), one text column per written column, its name behind VALUE (NULL = blank), and
    `refs`: for columns that hold the key of a planned record, "column=mapping=source key" joined by newlines (else NULL). `overridden`: a
    template replaces a value; `before`: a row was created for the record once before."""

    table: pa.Table
    columns: tuple[WrittenColumn, ...]
    drawn: str
    overridden: list[bool]
    before: list[bool]


def templates(bound: BoundMapping, in_pass: Pass) -> tuple[Template, ...]:
    """The templates for new rows of the pass's destination, in the order in which they are tried (1.4)."""
    found = bound.mapping.integration_templates if in_pass == "to" else bound.mapping.local_templates
    return tuple(sorted(found, key=lambda t: t.priority))


def chosen_template(bound: BoundMapping, in_pass: Pass, batch: pa.RecordBatch) -> pa.Array:
    """Per row the number of the first template whose filter the source row satisfies; null for none."""
    source = bound.source(in_pass)
    chosen: list[int | None] = [None] * batch.num_rows
    for number, template in reversed(list(enumerate(templates(bound, in_pass)))):
        parsed = parse_filter(template.filter, source.table, where=f"mapping {bound.name}, template {template.code}")
        mask = [True] * batch.num_rows if parsed.is_empty else parsed.mask(batch).to_pylist()
        chosen = [number if hit else known for hit, known in zip(mask, chosen, strict=True)]
    return pa.array(chosen, pa.int64())


def planned_creates(planner: MappingPlanner, in_pass: Pass) -> Creates:
    """Every create of one pass, in record order, with templates applied over mapped values (1.4, and D "template value replaces")."""
    from synckit.planning.engine import planned_key
    from synckit.planning.planned_mapping import WrittenColumn

    bound, con = planner.bound, planner.con
    destination = bound.destination(in_pass)
    source_letter = sql.LETTER[SOURCE[in_pass]]
    fields = [f for f in sql.expressions(bound, in_pass) if f.plan.insertable]
    selected = ", ".join([f"w.n{f.number}, w.m{f.number}, w.k{f.number}" for f in fields]) or "NULL"
    table = con.sql(
        f"SELECT d.rec, d.{source_letter}k, w.tpl, w.r_parent, w.r_parent_key, {selected} FROM w_{in_pass} w JOIN det d ON d.rec = w.rec "
        f"JOIN decided_{in_pass} q ON q.rec = d.rec WHERE q.disposition IN ('create', 'restore') ORDER BY d.rec"
    ).to_arrow_table()
    n = table.num_rows
    source_keys = table.column(1).to_pylist()
    values: dict[str, pa.Array] = {}  # columns stay columns: of a million rows, many may be creates
    refs: dict[int, dict[str, tuple[str, str]]] = {}
    written: dict[str, WrittenColumn] = {}

    def refer(column: str, mapping: pa.ChunkedArray, key: pa.ChunkedArray) -> None:
        if mapping.null_count < n:
            for row, (name, parent) in enumerate(zip(mapping.to_pylist(), key.to_pylist(), strict=True)):
                if name is not None:
                    refs.setdefault(row, {})[column] = (name, parent)

    for position, f in enumerate(fields):
        column = f.plan.destination.name
        new, mapping, key = (table.column(5 + 3 * position + i).combine_chunks() for i in range(3))
        if column in values and (f.plan.not_null or f.plan.counts == "insert"):  # a rule speaks where it has something to say
            values[column] = pc.coalesce(new, values[column])
        else:
            values[column] = new
        refer(column, mapping, key)
        written[column] = WrittenColumn(column, f.plan.name, f.plan.origin)
        if f.plan.rule.endswith((".parent_to_integration", ".parent_to_local")):
            refer(column, table.column(3), table.column(4))
    overridden = [False] * n
    candidates = templates(bound, in_pass)
    numbers = table.column(2).combine_chunks()
    for number in pc.unique(numbers).drop_null().to_pylist():
        template, mine = candidates[number], pc.fill_null(pc.equal(numbers, number), False)
        for name, value in template.sets.items():
            column = destination.table.column(name).name
            text = pa.scalar(None if value in (None, "") else _template_text(value, destination.table.column(name)), pa.string())
            before = values.setdefault(column, pa.nulls(n, pa.string()))
            written.setdefault(column, WrittenColumn(column, f"template {template.code}", "template"))
            values[column] = pc.if_else(mine, text, before)
            # NULL where nothing stood before, so that only a replaced value counts
            other = pc.is_valid(before) if not text.is_valid else pc.fill_null(pc.not_equal(before, text), False)
            for row in pc.indices_nonzero(pc.and_(mine, other)).to_pylist():
                overridden[row] = True
            for row in pc.indices_nonzero(mine).to_pylist():
                refs.get(row, {}).pop(column, None)
    drawn = _drawn_number(bound, in_pass, written)
    times = planner.planning.ledger.created_times(bound.name)
    before = [times.get((SOURCE[in_pass], k), 0) > 0 for k in source_keys]
    side = DESTINATION[in_pass]
    ledger_id = planner.planning.ledger.ledger_id
    draws = (
        planner.planning.systems[side].key_is_drawn(destination.table, destination.uid.name)
        if destination.option_set is None
        else False
    )
    given = values.get(destination.uid.name)
    keys: pa.Array
    if given is not None:
        keys = given
    elif draws:
        keys = pa.nulls(n, pa.string())
    elif destination.option_set is not None:
        first = _next_option(planner)
        keys = pa.array([str(first + row) for row in range(n)], pa.string())
    else:  # the same plan gives the same keys; what is restored had a partner, whose key is not taken again
        had = set(planner.column(f"SELECT rec FROM decided_{in_pass} WHERE disposition = 'restore'"))
        made = [
            planned_key(ledger_id, bound.name, side, key, times.get((SOURCE[in_pass], key), 0) + (record in had))
            for record, key in zip(table.column(0).to_pylist(), source_keys, strict=True)
        ]
        keys = pa.array(made, pa.string())
    said = [("\n".join(f"{c}={m}={k}" for c, (m, k) in sorted(refs[r].items())) or None) if r in refs else None for r in range(n)]
    columns = {
        "record": table.column(0).cast(pa.int64()), "source_key": table.column(1).cast(pa.string()), "key": keys,
        **{VALUE + c: v.cast(pa.string()) for c, v in values.items()}, "refs": pa.array(said, pa.string()),
    }  # fmt: skip
    return Creates(pa.table(columns), tuple(written.values()), drawn, overridden, before)


def _template_text(value: object, column: object) -> str:
    from synckit.mapping.schema import Column

    assert isinstance(column, Column)
    if isinstance(value, bool):
        return "true" if value else "false"
    if column.kind == "option":
        labels = {o.label.strip().casefold(): o.value for o in column.options}
        return str(labels.get(str(value).strip().casefold(), value))
    return str(value)


def _drawn_number(bound: BoundMapping, in_pass: Pass, written: dict[str, WrittenColumn]) -> str:
    """The destination's number column where nothing maps it: its value is the next of the series, drawn when applying."""
    destination = bound.destination(in_pass)
    key = destination.key
    if (
        destination.option_set is not None
        or key is None
        or key == destination.uid
        or key.name in written
        or key.kind not in ("text", "code")
    ):
        return ""
    return key.name


def _next_option(planner: MappingPlanner) -> int:
    """The first new option's value: after the highest there is, within the environment's own range."""
    highest = planner._value("SELECT max(TRY_CAST(key AS BIGINT)) FROM n_integration") or 0
    return max(int(highest) + 1, FIRST_OPTION)


__all__ = ["NEXT_NUMBER", "VALUE", "Creates", "chosen_template", "planned_creates", "templates"]


def created_field(
    mapping: str, in_pass: str, table: pa.Table, field: str, column: str, values: pa.ChunkedArray, origin: str
) -> pa.Table:
    """Field rows (CHANGES) of creates: one column that new rows get, with its values, where there is one."""
    n = table.num_rows
    whole = pa.table(
        {
            "mapping": pa.repeat(pa.scalar(mapping), n), "pass": pa.repeat(pa.scalar(in_pass), n), "record": table.column("record"),
            "step": pa.repeat(pa.scalar(1, pa.int8()), n), "field": pa.repeat(pa.scalar(field), n), "column": pa.repeat(pa.scalar(column), n),
            "old": pa.nulls(n, pa.string()), "new": values, "origin": pa.repeat(pa.scalar(origin), n),
            "ref_mapping": pa.nulls(n, pa.string()), "ref_key": pa.nulls(n, pa.string()),
        }
    ).cast(CHANGES)  # fmt: skip
    return whole.filter(pc.is_valid(whole.column("new")))
