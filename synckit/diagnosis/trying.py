"""A transformation rule or a filter tried on a whole column before it goes into a mapping: before and after, with counts. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.mapping.filters import Filter, parse_filter
from synckit.mapping.model import FilterText, Pass, TableMapping
from synckit.mapping.schema import Column, Table, nearest
from synckit.planning.bind import SOURCE, Side
from synckit.planning.stage import as_text, canonical, convert
from synckit.reports.wording import count_of, number, safe

if TYPE_CHECKING:
    from synckit.workspace import Workspace

RULE = ("before", "after", "outcome", "rows")
OUTCOMES = ("fails", "becomes blank", "too long", "changed", "unchanged")


@dataclass(frozen=True)
class Tried:
    """`frame`: for a rule one line per distinct value (RULE, worst outcome first); for a filter one line per record that comes in or goes
    out (change, name, key, and the filtered fields)."""

    sentence: str
    counts: dict[str, int]
    frame: pd.DataFrame

    def _repr_html_(self) -> str:
        from synckit.reports.frame_html import STYLE, table_html

        return f'{STYLE}<div class="synckit">{table_html(self.frame, self.sentence)}</div>'


def try_rule(ws: Workspace, mapping: str, field: str, rule: str, in_pass: Pass | None = None) -> Tried:
    """What the transformation rule with the code `rule` makes of every value of a mapping's field (named as on either side), in the pass
    that the field row names for its rule, or in `in_pass`. Raises SynckitError for what is not there."""
    described = ws.description.mapping(mapping)
    row = next((f for f in described.fields if field in (f.local, f.integration)), None)
    if row is None or row.local is None or row.integration is None:
        names = [name for f in described.fields for name in (f.local, f.integration) if f.local and f.integration and name]
        raise SynckitError(
            f'Mapping {described.name} has no field row "{field}" with a field on both sides.{nearest(field, names)}'
        )
    one_way = row.transformation_direction if row.transformation_rule else row.direction
    way: Pass = in_pass or ("from" if one_way == "from_integration" else "to")
    side: Side = SOURCE[way]
    other: Side = "integration" if side == "local" else "local"
    source = _table(ws, described, side).column(row.local if side == "local" else row.integration)
    target = _table(ws, described, other).column(row.integration if side == "local" else row.local)
    code = ws.rulebook.rule(rule).code
    found: dict[tuple[str, str, str], int] = {}
    for batch in _batches(ws, described, side, [source.name]):
        for place, n in _treated(
            ws, code, batch.column(0), source, source if row.lookup else target
        ):  # a reference travels by couplings
            found[place] = found.get(place, 0) + n
    lines = sorted(
        ((*place, n) for place, n in found.items()), key=lambda line: (OUTCOMES.index(line[2].partition(":")[0]), -line[3], line[0])
    )
    frame = pd.DataFrame(lines, columns=list(RULE))
    counts = {o: int(frame.loc[frame["outcome"].str.partition(":")[0] == o, "rows"].sum()) if len(frame) else 0 for o in OUTCOMES}
    told = ", ".join(f"{number(n)} {_verb(o, target)}" for o, n in counts.items() if n)
    title = f"{code} on {safe(source.name)} of {safe(ws.systems[side].title)}"
    return Tried(f"{title}, {count_of(sum(counts.values()), 'row', 'rows')}: {told or 'nothing to treat'}.", counts, frame)


def _verb(outcome: str, target: Column) -> str:
    words = {
        "fails": "would fail",
        "becomes blank": "would become blank",
        "changed": "would be changed",
        "unchanged": "stay as they are",
    }
    return words.get(outcome) or f"would be longer than the {target.length} characters of {target.name}"


def _treated(ws: Workspace, code: str, raw: pa.Array, source: Column, target: Column) -> Iterator[tuple[tuple[str, str, str], int]]:
    """Every distinct (before, after, outcome) of a batch, with its rows."""
    counted = pc.value_counts(as_text(canonical(raw, source), source))
    before = counted.field("values")
    after, wrong = ws.rulebook.apply_array(code, before)
    _, unfit = convert(after, Column(name="", column=""), target)
    for i, (was, now, n) in enumerate(zip(before.to_pylist(), after.to_pylist(), counted.field("counts").to_pylist(), strict=True)):
        problem = wrong.get(i) or (unfit[i].as_py() if unfit is not None else None)
        if problem:
            yield (was, "", f"fails: {problem.replace(chr(0x1F), ' ')}"), n
        elif was and not now:
            yield (was, "", "becomes blank"), n
        elif target.length and target.kind in ("text", "code") and len(now or "") > target.length:
            yield (was, now, "too long"), n
        else:
            yield (was, now or "", "unchanged" if was == (now or "") else "changed"), n


def try_filter(ws: Workspace, mapping: str, side: Side, text: FilterText, beside: FilterText | None = None) -> Tried:
    """Which records of one side a filter lets through, beside another filter: that of the mapping, where none is given. Raises
    SynckitError where the text cannot be read, with the position."""
    described = ws.description.mapping(mapping)
    table = _table(ws, described, side)
    variables = {"company_id": ws.description.integration.company_id or ws.description.local.company_id}
    present = beside if beside is not None else described.local_filter if side == "local" else described.integration_filter
    then, now = (parse_filter(t, table, variables, where=f"mapping {described.name}, {side} filter") for t in (present, text))
    ref = getattr(described, side)
    called, key = (
        table.find(ref.name_field or table.name_column or ""),
        table.column(table.primary_key[0] if side == "local" else ref.uid or table.uid),
    )
    fields = list(dict.fromkeys((*now.columns, *then.columns)))
    names = list(dict.fromkeys([*([called.name] if called else []), key.name, *fields]))
    total = inside = inside_then = 0
    changed: list[pd.DataFrame] = []
    for batch in _batches(ws, described, side, names):
        here, there = _inside(now, batch), _inside(then, batch)
        total, inside, inside_then = total + batch.num_rows, inside + _true(here), inside_then + _true(there)
        for word, mask in (("comes in", pc.and_not(here, there)), ("goes out", pc.and_not(there, here))):
            if _true(mask):
                some = batch.filter(mask)
                columns = {n: as_text(canonical(some.column(n), table.column(n)), table.column(n)).to_pylist() for n in names}
                changed.append(pd.DataFrame({"change": word, "name": columns[called.name if called else key.name], "key": columns[key.name],
                                             **{n: columns[n] for n in fields if n not in (called.name if called else "", key.name)}}))  # fmt: skip
    frame = pd.concat(changed, ignore_index=True) if changed else pd.DataFrame(columns=["change", "name", "key"])
    counts = {"rows": total, "inside": inside, "inside now": inside_then,
              "comes in": int((frame["change"] == "comes in").sum()), "goes out": int((frame["change"] == "goes out").sum())}  # fmt: skip
    sentence = f"{safe(ws.systems[side].title)}, {safe(table.caption or table.name)}: {number(inside)} of {count_of(total, 'row', 'rows')} inside this filter"
    sentence += f" ({number(inside_then)} inside the present one): {number(counts['comes in'])} come in, {number(counts['goes out'])} go out."
    return Tried(sentence, counts, frame.sort_values(["change", "name"], kind="stable").reset_index(drop=True))


def keys_inside(ws: Workspace, mapping: str, side: Side, text: FilterText) -> list[str]:
    """Keys, as couplings use them, of the records of one side that a filter lets through now. Raises SynckitError as `try_filter`."""
    described = ws.description.mapping(mapping)
    table, ref = _table(ws, described, side), getattr(described, side)
    company = ws.description.integration.company_id or ws.description.local.company_id
    wanted = parse_filter(text, table, {"company_id": company}, where=f"mapping {described.name}, {side} side")
    uid = table.column(ref.uid or table.uid)
    found: list[str] = []
    for batch in _batches(ws, described, side, list(dict.fromkeys([uid.name, *wanted.columns]))):
        keys = canonical(batch.filter(_inside(wanted, batch)).column(uid.name), uid)
        found += as_text(keys, uid).to_pylist()
    return found


def _inside(filtered: Filter, batch: pa.RecordBatch) -> pa.Array:
    return pa.repeat(True, batch.num_rows) if filtered.is_empty else pc.fill_null(filtered.mask(batch), False)


def _true(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _table(ws: Workspace, described: TableMapping, side: Side) -> Table:
    ref = getattr(described, side)
    if ref.option_set:
        raise SynckitError(f"The {side} side of {described.name} is an option set, which has neither filters nor rules.")
    return ws.systems[side].schema.table(ref.table)


def _batches(ws: Workspace, described: TableMapping, side: Side, names: list[str]) -> Iterator[pa.RecordBatch]:
    table = _table(ws, described, side)
    with ws.systems[side].snapshot() as snapshot:
        yield from (batch for batch in snapshot.read(table, names) if batch.num_rows)


__all__ = ["Tried", "keys_inside", "try_filter", "try_rule"]
