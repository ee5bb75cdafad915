"""Finding one record by what people type, and reading all that is known of it: rows, filter clauses, coupling, what changed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rapidfuzz import fuzz, process

from synckit.mapping.schema import Column
from synckit.planning.bind import SIDES, BoundMapping, BoundSide, Side
from synckit.planning.looking import Seen, look, plain_text
from synckit.systems.canonical import parse_datetime
from synckit.systems.protocol import Snapshot, System

if TYPE_CHECKING:
    from synckit.workspace import Workspace

NEAREST = 5


@dataclass(frozen=True)
class Found:
    """What `given` stands for: the keys of a record on either side ("" where there is none), or the nearest records."""

    keys: dict[Side, str]
    nearest: list[dict[str, str]]
    elsewhere: list[str]

    @property
    def exists(self) -> bool:
        return any(self.keys.values())


def find(ws: Workspace, bound: BoundMapping, given: str, side: Side | None, snapshots: dict[Side, Snapshot]) -> Found:
    """The record called `given` (key, number, or the whole name) on `side`, or on whichever side has it; with its partner's key.

    A key that only a coupling holds counts: its record was deleted. Otherwise the nearest numbers and names are listed, and the
    mappings that do have such a record.
    """
    sides = SIDES if side is None else (side,)
    for one in sides:
        key = key_of(bound.side(one), snapshots[one], ws.systems[one], given)
        coupling = _coupling(ws, bound, one, key or as_guid(given) or given)
        if coupling is not None:
            return Found({s: str(coupling[f"{s}_key"]) for s in SIDES}, [], [])
        if key:
            return Found({s: key if s == one else "" for s in SIDES}, [], [])
    every = [(one, seen) for one in sides for seen in look(bound.side(one), snapshots[one], ws.systems[one], None).values()]
    folded = given.strip().casefold()
    named = [(one, seen.key) for one, seen in every if folded and (seen.name or "").casefold() == folded]
    if len(named) == 1 or (len(named) == 2 and named[0][0] != named[1][0] and _coupled(ws, bound, named)):
        one, key = named[0]
        coupling = _coupling(ws, bound, one, key)
        return Found({s: str(coupling[f"{s}_key"]) if coupling else key if s == one else "" for s in SIDES}, [], [])
    near = [_named(one, seen) for one, seen in every if named and (one, seen.key) in named] or _nearest(every, given)
    return Found(dict.fromkeys(SIDES, ""), near, _elsewhere(ws, bound, given, snapshots))


def key_of(side: BoundSide, snapshot: Snapshot, system: System, given: str) -> str:
    """The key of the row with this key or number; "" where there is none."""
    if side.option_set is not None:
        options = look(side, snapshot, system, None).values()
        return next((o.key for o in options if o.key == given or (o.name or "").casefold() == given.casefold()), "")
    for text in dict.fromkeys([as_guid(given) if side.uid.kind == "guid" else given]):
        if text and (found := look(side, snapshot, system, [text])):
            return next(iter(found))
    if side.key is None or side.key == side.uid or side.key.kind not in ("text", "code"):
        return ""
    names = [side.uid.name, side.key.name]
    spellings = list(dict.fromkeys([given, given.strip(), given.strip().upper()]))
    rows = snapshot.read(side.table, names, keys=spellings, key_column=side.key.name).read_all()
    keys = rows.column(0).cast(pa.string()).to_pylist()
    return str(keys[0]) if len(keys) == 1 else ""


def as_guid(text: str) -> str:
    try:
        return str(uuid.UUID(text.strip()))
    except ValueError:
        return ""


def _coupling(ws: Workspace, bound: BoundMapping, side: Side, key: str) -> dict[str, Any] | None:
    return ws.ledger.coupling(bound.name, **{side: key}) if key else None


def _coupled(ws: Workspace, bound: BoundMapping, named: list[tuple[Side, str]]) -> bool:
    coupling = _coupling(ws, bound, *named[0])
    return coupling is not None and coupling[f"{named[1][0]}_key"] == named[1][1]


def _named(side: Side, seen: Seen) -> dict[str, str]:
    return {"side": side, "key": seen.key, "number": seen.code or "", "name": seen.name or ""}


def _nearest(every: list[tuple[Side, Seen]], given: str) -> list[dict[str, str]]:
    """The records whose number or name is written most alike; keys that are GUIDs only where a GUID was given."""
    wanted = given.strip().casefold()
    texts: dict[tuple[int, str], str] = {}
    for n, (_, seen) in enumerate(every):
        numbered = seen.code if seen.code and (not as_guid(seen.code) or as_guid(given)) else ""
        texts |= {(n, kind): text.casefold() for kind, text in (("number", numbered), ("name", seen.name or "")) if text}
    hits = process.extract(wanted, texts, scorer=fuzz.ratio, limit=2 * NEAREST, score_cutoff=50)
    best = dict.fromkeys(n for _, _, (n, _) in sorted(hits, key=lambda h: (-h[1], h[2])))
    return [_named(*every[n]) for n in list(best)[:NEAREST]]


def _elsewhere(ws: Workspace, bound: BoundMapping, given: str, snapshots: dict[Side, Snapshot]) -> list[str]:
    """Other mappings one of whose tables has a record of this key or number."""
    from synckit.planning.bind import bind

    schemas = {side: ws.systems[side].schema for side in SIDES}
    found, tables = [], {bound.side(s).table.name for s in SIDES}
    for mapping in ws.description.mappings:
        other = bind(mapping, ws.description, schemas)
        if other.name == bound.name:
            continue
        for side in SIDES:
            of = other.side(side)
            there = of.option_set is None and of.table.name not in tables and ws.systems[side].physical_columns(of.table)
            if there and key_of(of, snapshots[side], ws.systems[side], given):
                found.append(other.name)
                break
    return found


# -- what is known of it -----------------------------------------------------------------------------------------------------------


def row_facts(
    bound: BoundMapping, side: Side, seen: Seen | None, key: str, system: System, integration_user: str | None
) -> dict[str, Any]:
    """One side of the record: whether it exists, its number, name and version, who changed it last, and the filter clause by clause."""
    of = bound.side(side)
    facts: dict[str, Any] = {"system": system.title, "table": of.table.caption or of.table.name, "key": key or None, "exists": seen is not None,
                             "number": None, "name": None, "changed_at": None, "changed_by_integration": None, "filter": str(of.filter),
                             "passes_filter": None, "clauses": []}  # fmt: skip
    if seen is None:
        return facts
    clauses = [
        {"field": c.field, "wants": c.text, "holds": plain_text(seen.values.get(c.field)), "passes": c.accepts(seen.values.get(c.field)),
         "sentence": c.explain(seen.values.get(c.field))}
        for c in of.filter.clauses
    ]  # fmt: skip
    facts |= {"number": seen.code, "name": seen.name, "changed_at": seen.token, "passes_filter": seen.inside, "clauses": clauses}
    if integration_user and of.modified_by is not None:
        facts["changed_by_integration"] = str(seen.values.get(of.modified_by.name) or "").lower() == integration_user.lower()
    return facts


def columns_of(side: BoundSide) -> list[str]:
    """Names of the columns that a record's story needs."""
    if side.option_set is not None:
        return []
    extra = [c.name for c in (side.modified_by,) if c is not None]
    return list(dict.fromkeys([*(c.name for c in side.columns), *side.filter.columns, *extra]))


def field_values(bound: BoundMapping, rows: dict[Side, Seen | None]) -> list[dict[str, Any]]:
    """The mapping's fields with what either side holds now, as stored there: field, direction, local, integration."""
    found = []
    for row in bound.mapping.fields:
        if not row.enabled or bound.mapping.kind == "option":
            continue
        held: dict[str, str | None] = {}
        for side in SIDES:
            name = getattr(row, side)
            column = bound.side(side).table.find(name) if name else None
            seen = rows[side]
            held[side] = _shown(seen.values.get(column.name), column) if seen is not None and column is not None else None
        constant = f"constant {row.constant}" if row.local is None and row.constant else ""
        found.append({"field": row.local or row.integration or "", "direction": row.direction, "local": held["local"] or constant or None,
                      "integration": held["integration"]})  # fmt: skip
    return found


def _shown(value: Any, column: Column) -> str | None:
    text = plain_text(value)
    if text is None or column.kind != "option":
        return text
    label = next((o.label for o in column.options if o.value == value), "")
    return f"{label} ({text})" if label.strip() else text


def is_newer(side: BoundSide, stamp: str | None, token: str | None) -> bool | None:
    """Whether a row's version is another than its coupling's stamp; None where there is no stamp or no version to tell by."""
    if side.version is None or not stamp or token is None:
        return None
    if side.version.kind == "datetime":
        try:
            return parse_datetime(stamp) != parse_datetime(token)
        except ValueError:
            return True
    return stamp != token


__all__ = ["Found", "columns_of", "field_values", "find", "is_newer", "key_of", "row_facts"]
