"""What a full synchronisation would do, worked out by two plain cursors and plain Python: nothing of synckit's engine is used.

It follows the reference (record by record, 3.7 to 3.14) and the decisions that the design takes where synckit is safer: a pair that
both sides changed and that differs in a field of both directions is a conflict; a pair that only the integration side changed is
left to the second pass; cutting and folding never flow back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Row = dict[str, Any]
NEW = "(new)"  # the key that a planned record will have
BLANKS = (None, "", 0, False, "00000000-0000-0000-0000-000000000000")


@dataclass(frozen=True)
class Field:
    """One column pair; lengths are (local, integration). `kind` of both columns but for codes, which are local."""

    local: str | None
    integration: str | None
    kind: str = "text"
    lengths: tuple[int | None, int | None] = (None, None)
    way: str = "both"
    constant: Any = None
    lookup: str = ""
    options: bool = False
    local_currency: bool = False
    clear: bool = False
    not_null: bool = False
    insert_only: bool = False


@dataclass(frozen=True)
class Value:
    """What one pass would write to one column. `differs` from what is there; `counts`: makes the row an update by itself."""

    column: str
    new: Any
    differs: bool
    both: bool = False
    counts: bool = True
    error: bool = False
    blocked: bool = False
    wanted: str | None = None  # the reference is cleared now, and may be filled once this record has been created
    lookup: str = ""


@dataclass
class Map:
    name: str
    passes: tuple[str, ...]
    local: tuple[str, str, str, str]  # table, unique id, number, modified-on
    integration: tuple[str, str, str]  # table, unique id, modified-on
    fields: Iterable[Field]
    inside_local: Callable[[Row], bool] = lambda row: True
    inside_integration: Callable[[Row], bool] = lambda row: True
    leave_out: Callable[[World, str, Row], bool] = lambda world, in_pass, row: False
    rules: Callable[[World, str, Row, Row | None], tuple[list[Value], bool, bool]] = lambda world, in_pass, source, old: (
        [],
        False,
        False,
    )
    find: tuple[str, str] | None = None  # uncoupled rows with the same value here are the same record
    option_set: str = ""


@dataclass
class World:
    """Both systems and the couplings, read with cursors; and what has been planned so far."""

    local: sqlite3.Connection
    integration: sqlite3.Connection
    ledger: sqlite3.Connection
    settings: dict[str, Any] = field(default_factory=dict)
    known: dict[str, list[tuple[str, str | None, str | None, str | None]]] = field(default_factory=dict)
    _tables: dict[tuple[str, str], list[Row]] = field(default_factory=dict)

    def table(self, side: str, name: str) -> list[Row]:
        if (side, name) not in self._tables:
            cursor = getattr(self, side).execute(f'SELECT * FROM "{name}"')  # noqa: S608
            names = [d[0] for d in cursor.description]
            self._tables[side, name] = [dict(zip(names, row, strict=True)) for row in cursor]
        return self._tables[side, name]

    def sides(self, m: Map) -> tuple[dict[str, Row], dict[str, Row]]:
        local = {row[m.local[1]]: row for row in self.table("local", m.local[0])}
        if m.option_set:
            rows = [
                r
                for r in self.table("integration", "stringmap")
                if (r["objecttypecode"], r["attributename"]) == ("account", m.option_set)
            ]
            return local, {str(r["attributevalue"]): {"label": r["value"]} for r in rows if r["value"].strip()}
        return local, {row[m.integration[1]]: row for row in self.table("integration", m.integration[0])}

    def couplings(self, name: str) -> list[tuple[Any, ...]]:
        query = "SELECT local_key, integration_key, local_stamp, integration_stamp, skipped FROM coupling WHERE mapping = ?"
        return self.ledger.execute(query, (name,)).fetchall()

    def look(self, names: str, in_pass: str, wanted: str) -> tuple[str, Any] | None:
        """(state, what is written): "coupled" and the partner's key or code, or "planned"/"failing" and the record that is planned."""
        for name in names.split("|"):
            if name not in self.known:  # not planned yet: what is coupled
                m = next(x for x in self.settings["maps"] if x.name == name)
                rows, _ = self.sides(m)
                self.known[name] = [("coupled", rows[c[0]][m.local[2]], c[1], None) for c in self.couplings(name) if c[0] in rows]
            for state, code, key, source in self.known[name]:
                if wanted == (code if in_pass == "to" else key):
                    return state, ((key if in_pass == "to" else code) if state == "coupled" else (name, source))
        return None


@dataclass
class Outcome:
    """`rows`: (mapping, pass) -> (local key, integration key) -> disposition. `changes`: (mapping, pass, step, local key, integration
    key, column) -> new value as text; a tuple stands for a planned record. `counts`: rows of each table."""

    rows: dict[tuple[str, str], dict[tuple[str | None, str | None], str]] = field(default_factory=dict)
    changes: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)


def synchronise(world: World, maps: list[Map]) -> Outcome:
    """A full synchronisation of `maps`, in their order."""
    outcome = Outcome()
    world.settings["maps"] = maps
    waiting: list[tuple[Map, str, str | None, str | None, Value]] = []
    for m in maps:
        local, integration = world.sides(m)
        outcome.counts[m.name] = (len(local), len(integration))
        pairs = _pairs(world, m, local, integration)
        world.look(m.name, "to", "")  # its couplings, whatever happens to them
        for in_pass in m.passes:
            rows = outcome.rows[m.name, in_pass] = {}
            for pair in pairs:
                lk, ik = pair["lk"], pair["ik"]
                rows[lk, ik], written, waits = _decide(world, m, in_pass, pair, local.get(lk), integration.get(ik))
                outcome.changes.update({(m.name, in_pass, 1, lk, ik, v.column): _text(v.new) for v in written})
                waiting += [(m, in_pass, lk, ik, v) for v in waits]
        for lk, _ in [k for k, d in outcome.rows.get((m.name, "to"), {}).items() if d == "create"]:
            if "from" in m.passes:  # the row that the first pass makes is seen by the second, and as it should be
                outcome.rows[m.name, "from"][lk, NEW] = "unchanged"
        world.known[m.name] = _known(world, m, outcome, local, pairs)
    for m, in_pass, lk, ik, v in waiting:
        found = world.look(v.lookup, in_pass, v.wanted or "")
        if found is None or found[0] != "planned":
            continue
        outcome.changes[m.name, in_pass, 2, lk, ik, v.column] = found[1]
        place = (m.name, in_pass, 1, lk, ik)
        outcome.changes.pop((*place, v.column), None)
        if outcome.rows[m.name, in_pass][lk, ik] == "update" and not any(c[:5] == place for c in outcome.changes):
            outcome.rows[m.name, in_pass][lk, ik] = "unchanged"
    return outcome


def _pairs(world: World, m: Map, local: dict[str, Row], integration: dict[str, Row]) -> list[dict[str, Any]]:
    """Couplings, partners found now, and the rows of each side that have neither."""

    def changed(row: Row | None, modified_on: str, stamp: str | None) -> bool:
        return not stamp or row is None or (row[modified_on] if modified_on else None) != stamp

    pairs = [
        {"lk": lk, "ik": ik, "coupled": True, "found": False, "skipped": bool(skipped),
         "lc": changed(local.get(lk), m.local[3], ls), "ic": changed(integration.get(ik), m.integration[2], s)}
        for lk, ik, ls, s, skipped in world.couplings(m.name)
    ]  # fmt: skip
    new = {"coupled": False, "found": False, "skipped": False, "lc": True, "ic": True}
    if m.find:
        free = [{}, {}]  # type: list[dict[str, list[str]]]
        for side, (rows, column, inside) in enumerate(
            ((local, m.find[0], m.inside_local), (integration, m.find[1], m.inside_integration))
        ):
            taken = {p["ik" if side else "lk"] for p in pairs}
            for key, row in rows.items():
                if key not in taken and inside(row) and row[column]:
                    free[side].setdefault(row[column].strip().upper(), []).append(key)
        pairs += [{**new, "lk": keys[0], "ik": free[1][value][0], "coupled": True, "found": True}
                  for value, keys in free[0].items() if len(keys) == 1 == len(free[1].get(value, []))]  # fmt: skip
    for side, rows in (("lk", local), ("ik", integration)):
        taken = {p[side] for p in pairs}
        pairs += [{**new, "lk": None, "ik": None, side: key} for key in rows if key not in taken]
    return pairs


def _decide(
    world: World, m: Map, in_pass: str, pair: dict[str, Any], lrow: Row | None, irow: Row | None
) -> tuple[str, list[Value], list[Value]]:
    """Disposition, the fields an update writes, and the references that may be filled in a second step."""
    source, old = (lrow, irow) if in_pass == "to" else (irow, lrow)
    inside = {"to": m.inside_local, "from": m.inside_integration}
    two_way = len(m.passes) == 2
    if pair["coupled"] and lrow is None and irow is None:
        return "broken coupling", [], []
    if source is None:
        return ("not a source" if two_way or not pair["coupled"] else "deleted partner"), [], []
    if pair["skipped"]:
        return "skipped", [], []
    if not inside[in_pass](source):
        return "outside the filter", [], []
    if m.leave_out(world, in_pass, source):
        return "left out by rule", [], []
    if pair["coupled"] and old is None:
        return "deleted partner", [], []
    values = [v for f in m.fields for v in _value(world, f, in_pass, source, old)]
    more, failed, parent_fails = m.rules(world, in_pass, source, old)
    spoken = {v.column for v in more if v.counts}
    values = [v for v in values if v.column not in spoken] + more
    if not pair["coupled"]:
        if failed or any(v.error for v in values):
            return "will fail", [], []
        if parent_fails or any(v.blocked for v in values):
            return "blocked", [], []
        return "create", [], [v for v in values if v.wanted]

    def takes_part(side: str) -> bool:
        row = lrow if side == "to" else irow
        return row is not None and inside[side](row) and not m.leave_out(world, side, row)

    lc, ic, carry = pair["lc"], pair["ic"], True
    if two_way and not pair["found"]:
        if in_pass == "to":  # what only the integration side changed is the second pass's
            carry = lc or not ic or not takes_part("from")
        else:
            carry = not lc and (ic or not takes_part("to"))
    differing = [v for v in values if v.counts and v.differs]
    if two_way and not pair["found"] and lc and ic and any(v.both for v in differing):
        return "conflict", [], []
    if failed or any(v.error for v in values if carry or not v.both):
        return "will fail", [], []
    if parent_fails or any(v.blocked for v in values if carry or not v.both):
        return "blocked", [], []
    writes = pair["found"] or any(carry or not v.both for v in differing)
    disposition = "couple" if pair["found"] else "update" if writes else "unchanged"
    written = [v for v in values if writes and v.differs and (carry or not v.both)]
    return disposition, written, [v for v in values if v.wanted and carry]


def _value(world: World, f: Field, in_pass: str, source: Row, old: Row | None) -> list[Value]:
    """What field `f` writes in this pass; nothing where it takes no part."""
    if f.way not in ("both", in_pass):
        return []
    column, origin = (f.integration, f.local) if in_pass == "to" else (f.local, f.integration)
    if column is None:
        return []
    there = old[column] if old is not None else None
    both = f.way == "both"
    if origin is None:
        return [Value(column, f.constant, _same(there) != _same(f.constant), both)]
    raw = source[origin]
    if f.lookup:
        if f.options and in_pass == "from":
            raw = "" if raw in (None, 0, -1) else str(raw)
        raw = "" if raw in BLANKS else raw
        found = world.look(f.lookup, in_pass, raw) if raw or f.local_currency else None
        lost = found is None and (bool(raw) or (f.local_currency and in_pass == "to"))
        new = found[1] if found else None
        is_new = found is not None and found[0] != "coupled"
        differs = is_new or str(_same(new)) != str(_same(there))
        if f.not_null and not is_new and _same(new) == "":
            differs = False
        return [Value(column, new, differs, both, error=lost and not f.clear, blocked=found is not None and found[0] == "failing",
                      wanted=raw if lost and f.clear else None, lookup=f.lookup)]  # fmt: skip
    if f.kind == "decimal":
        new, was = Decimal(raw or 0), Decimal(there or 0)
        return [Value(column, None if raw is None else new, new != was, both)]
    if f.kind == "boolean":
        raw = None if raw is None else bool(raw)
    if f.kind not in ("text", "code"):
        return [Value(column, raw, _same(raw) != _same(there), both)]
    mine, theirs = f.lengths if in_pass == "to" else f.lengths[::-1]
    new, was = raw or "", there or ""
    if f.kind == "code" and in_pass == "from":
        new = new.strip(" ").upper()
    if f.kind == "code" and in_pass == "to":
        was = was.strip(" ").upper()
    new = new[:theirs]
    if mine is not None and (theirs is None or theirs > mine):
        was = was[:mine]
    return [Value(column, new, new != was, both, counts=not f.insert_only)] if not f.insert_only else []


def _same(value: Any) -> Any:
    return "" if value in BLANKS else value


def _text(value: Any) -> Any:
    if isinstance(value, tuple):
        return value
    if isinstance(value, Decimal):
        return value.normalize()
    if isinstance(value, bool):
        return str(value).lower()
    return None if value in (None, "") else str(value)


def _known(world: World, m: Map, outcome: Outcome, local: dict[str, Row], pairs: list[dict[str, Any]]) -> list[Any]:
    """What references to this mapping resolve to from now on: (state, number, integration key, source key)."""
    known: list[Any] = [entry for entry in world.known[m.name] if entry[0] == "coupled"]
    known += [("planned", local[p["lk"]][m.local[2]], p["ik"], p["lk"]) for p in pairs if p["found"]]
    free = {(p["lk"], p["ik"]) for p in pairs if not p["coupled"]}
    for in_pass in m.passes:
        for (lk, ik), disposition in outcome.rows[m.name, in_pass].items():
            if (lk, ik) in free and disposition in ("create", "will fail", "blocked"):
                state = "planned" if disposition == "create" else "failing"
                known.append((state, local[lk][m.local[2]], None, lk) if in_pass == "to" else (state, None, ik, ik))
    currency = world.settings.get("local_currency")
    if m.name == "CURRENCY" and currency:
        base = next(r for r in world.table("integration", m.integration[0]) if r["isocurrencycode"] == currency)
        known.insert(0, ("coupled", "", base[m.integration[1]], None))
    return known
