"""Undo as a plan: what a run wrote, read from the journal, turned round; what has changed since is left out and named."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.ledger.purge import PURGED
from synckit.mapping.model import PASS_DIRECTION, Pass
from synckit.mapping.order import dependency_order
from synckit.mapping.schema import Column, Table
from synckit.planning.bind import SIDES, Side
from synckit.planning.engine import Planning
from synckit.planning.looking import Seen, look, plain_text
from synckit.planning.manual import Line, assembled, change_line, mapping_part, row_line
from synckit.planning.plan import Plan
from synckit.planning.planned_mapping import MappingPlan
from synckit.planning.stage import TEXTUAL, canonical
from synckit.systems.canonical import version_column
from synckit.systems.protocol import VERSION_TOKEN

PASS_OF: dict[str, Pass] = {direction: in_pass for in_pass, direction in PASS_DIRECTION.items()}
BACK = {"insert": "delete", "update": "update", "delete": "restore"}
Place = tuple[Side, str, str, str]  #: side, table, key, and the mapping where the table alone does not say which row is meant
Pair = tuple[str, str, str]  #: mapping, local key, integration key


@dataclass
class Written:
    """What one run did to one row, all its writes together. `table` None: an option."""

    place: Place
    mapping: str
    in_pass: Pass
    pair: tuple[str | None, str | None]
    op: str
    table: Table | None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    changed: str = ""  # why it is left out
    code: str = ""

    @property
    def side(self) -> Side:
        return self.place[0]

    @property
    def key(self) -> str:
        return self.place[2]


@dataclass(frozen=True)
class Found:
    """A row as it is now."""

    token: str | None
    values: dict[str, Any]


def undoing(planning: Planning, run: int, operator: str) -> Plan:
    """Plan to take back what `run` wrote: creates become deletes, updates go back, deletes are restored, couplings return with all they
    held and uncouplings are coupled again. A row that was changed since, by anyone, is left out with the reason; so is a created
    record that a row which stays refers to. Raises SynckitError where there is no such run, or it is not finished."""
    known = {r["id"]: r for r in planning.ledger.runs().to_pylist()}
    if run not in known:
        said = f"The latest is run {max(known)}." if known else "No plan has been applied yet."
        raise SynckitError(f"There is no run {run}. {said} `synckit jobs` lists them.")
    if known[run]["status"] in ("running", "interrupted"):
        raise SynckitError(f"Run {run} is not finished. Bring it to its end first: synckit resume")
    purged = planning.ledger.settings().get(PURGED, {}).get("value", "")
    if known[run]["started"].isoformat() < purged:
        raise SynckitError(
            f"What run {run} wrote is no longer known: the journal before {purged} was purged, so the run cannot be undone."
        )
    entries = [e for e in planning.ledger.journal(run=run).to_pylist() if e["state"] == "done"]
    missing = sorted({e["mapping"] for e in entries} - set(planning.bound))
    if missing:
        raise SynckitError(
            f"Run {run} wrote for {', '.join(missing)}, which the workspace no longer has. Put it back to undo the run."
        )
    return _Undo(planning, run, entries).plan(operator)


class _Undo:
    def __init__(self, planning: Planning, run: int, entries: list[Line]) -> None:
        self.planning, self.run = planning, run
        self.written: dict[Place, Written] = {}
        self.removed: dict[Pair, int] = {}  # couplings that the run removed, in the order of its journal
        self.made: dict[Pair, Pass] = {}  # couplings that the run made
        for entry in entries:
            self._take(entry)
        by_run = planning.ledger.coupled_by(run)
        for written in self.written.values():
            if written.pair in by_run.get(written.mapping, set()):
                self.made.setdefault((written.mapping, *written.pair), written.in_pass)
        self.now: dict[Place, Found] = {}
        self.rows: dict[str, list[Line]] = {}
        self.changes: dict[str, list[Line]] = {}
        self.depends: dict[str, list[Line]] = {}
        self.seen: dict[tuple[str, Side], dict[str, Seen]] = {}
        self.couplings: dict[str, dict[Side, dict[str, Line]]] = {}
        self.leaving: dict[Pair, tuple[str, Pass, int]] = {}  # couplings that go, each with the row of the plan that does it

    # -- what the run did ----------------------------------------------------------------------------------------------------------

    def _take(self, entry: Line) -> None:
        name, in_pass = entry["mapping"], PASS_OF.get(entry["direction"], "to")
        pair = (entry["local_key"], entry["integration_key"])
        if entry["op"] in ("couple", "uncouple"):
            key = (name, str(pair[0]), str(pair[1]))
            if entry["op"] == "couple":
                self.made[key] = in_pass
            else:
                self.removed.setdefault(key, len(self.removed))
            return
        side: Side = entry["side"]
        own = self.planning.bound[name].side(side)
        option = own.option_set is not None
        table = None if option else own.table if own.table.name == entry["table_name"] else self.planning.systems[side].schema.table(entry["table_name"])  # fmt: skip
        place: Place = (side, "" if option else entry["table_name"], str(entry[f"{side}_key"]), name if option else "")
        before, after = (json.loads(entry[c] or "{}") for c in ("before", "after"))
        had = self.written.get(place)
        if had is None:
            had = self.written[place] = Written(place, name, in_pass, pair, entry["op"], table)
        elif had.op == "insert" and entry["op"] == "delete":
            del self.written[place]
            return
        elif had.op == "delete" and entry["op"] == "insert":
            had.op = "update"
        elif entry["op"] == "delete":
            had.op, before = "delete", {**before, **had.before}
        if None in had.pair and None not in pair and (table is None or table.name == own.table.name):
            had.pair = pair
        if had.op != "insert":
            had.before = {**before, **had.before}  # what stood there before the first of the writes
        had.after |= after
        had.token = entry["token_after"]
        if entry["op"] == "insert" and table is not None and table.name == own.table.name and None not in pair:
            self.made.setdefault((name, str(pair[0]), str(pair[1])), in_pass)

    # -- what is there now ---------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """The rows as they are now, with every column that the database has; the couplings as they are now."""
        tables: dict[tuple[Side, str], list[Written]] = {}
        for one in self.written.values():
            if one.table is not None:
                tables.setdefault((one.side, one.table.name), []).append(one)
            else:
                found = self._seen(one.mapping, one.side, {one.key})
                if one.key in found:
                    self.now[one.place] = Found(None, {"label": found[one.key].name})
        for (side, _), ones in tables.items():
            table = ones[0].table
            assert table is not None
            own = self.planning.bound[ones[0].mapping].side(side)
            uid = own.uid if own.table.name == table.name else table.column(table.uid)
            for key, found_row in self._read(side, table, uid, [o.key for o in ones]).items():
                self.now[side, table.name, key, ""] = found_row
        pairs = {**self.made, **self.removed}
        names = {o.mapping for o in self.written.values()} | {p[0] for p in pairs}
        for name in names:
            keys: dict[Side, set[str]] = {side: set() for side in SIDES}
            for n, side in enumerate(SIDES):
                keys[side] |= {p[n + 1] for p in pairs if p[0] == name}
                keys[side] |= {k for o in self.written.values() if o.mapping == name and (k := o.pair[n]) is not None}
            found_pairs = self.planning.ledger.couplings_of(name, sorted(keys["local"]), sorted(keys["integration"])).to_pylist()
            self.couplings[name] = {side: {c[f"{side}_key"]: c for c in found_pairs} for side in SIDES}
            for side in SIDES:
                self._seen(name, side, keys[side])

    def _seen(self, name: str, side: Side, keys: Iterable[str]) -> dict[str, Seen]:
        known = self.seen.setdefault((name, side), {})
        of = self.planning.bound[name].side(side)
        known |= look(of, self.planning.snapshots[side], self.planning.systems[side], set(keys) - known.keys())
        return known

    def _columns(self, side: Side, table: Table) -> list[Column]:
        there = {c.casefold() for c in self.planning.systems[side].physical_columns(table) or {}}
        return [c for c in table.columns if c.column.casefold() in there and not c.flowfield]

    def _version(self, side: Side, table: Table) -> Column | None:
        config = self.planning.workspace.local if side == "local" else self.planning.workspace.integration
        return version_column(config, table)

    def _read(self, side: Side, table: Table, uid: Column, keys: list[str]) -> dict[str, Found]:
        names = [c.name for c in self._columns(side, table)]
        token = [VERSION_TOKEN] if self._version(side, table) is not None else []
        reader = self.planning.snapshots[side].read(table, [*names, *token], keys=sorted(set(keys)), key_column=uid.name)
        found: dict[str, Found] = {}
        for batch in reader:
            uids = pc.cast(batch.column(uid.name), pa.string())
            uids = canonical(uids, uid) if uid.kind == "guid" else uids
            for key, row in zip(uids.to_pylist(), batch.to_pylist(), strict=True):
                found[key] = Found(row.pop(VERSION_TOKEN, None), row)
        return found

    # -- what is left out ----------------------------------------------------------------------------------------------------------

    def _changed_since(self, one: Written) -> tuple[str, str]:
        """Code and sentence where the row is not as the run left it."""
        now, title = self.now.get(one.place), self.planning.systems[one.side].title
        if one.op == "delete":
            if now is not None:
                return "exists_again", f"Its row in {title} exists again."
            pair: Pair = (one.mapping, str(one.pair[0]), str(one.pair[1]))
            taken = pair in self.removed and any(holder not in self.made for holder in self._holders(pair))
            return ("coupled_since", "Its partner was coupled since.") if taken else ("", "")
        if now is None:
            return "deleted_since", f"Its row in {title} was deleted since."
        values_tell = one.table is None or now.token is None or one.token is None or self._coarse(one)
        if now.token != one.token or (values_tell and not self._holds(one, now)):
            return "changed_since", f"Its row in {title} was changed since{self._by(one)}."
        if None not in one.pair and one.table is not None and one.table.name == self._own(one).name:
            pair = (one.mapping, str(one.pair[0]), str(one.pair[1]))
            coupled = self._coupled(pair)
            if pair in self.removed and pair not in self.made:
                if coupled or any(holder not in self.made for holder in self._holders(pair)):
                    return "coupled_since", "It was coupled since."
            elif not coupled:
                return "coupling_changed", "Its coupling was changed since."
        return "", ""

    def _own(self, one: Written) -> Table:
        return self.planning.bound[one.mapping].side(one.side).table

    def _coarse(self, one: Written) -> bool:
        config = self.planning.workspace.local if one.side == "local" else self.planning.workspace.integration
        return config.version.resolution >= 1.0

    def _holds(self, one: Written, now: Found) -> bool:
        """Whether the row still holds what the run wrote."""
        if one.table is None:
            label = next((str(v) for n, v in one.after.items() if n == self._label()), None)
            return label is None or label == now.values["label"]
        table = one.table
        return all(
            _alike(now.values.get(table.column(n).name), v, table.column(n))
            for n, v in one.after.items()
            if table.column(n).name in now.values
        )

    def _label(self) -> str:
        keeper = self.planning.systems["integration"].schema.option_table
        return keeper.label if keeper is not None else ""

    def _by(self, one: Written) -> str:
        """ " by run 7" where a later run wrote the row, else nothing."""
        for run in sorted(r for r in self.planning.ledger.runs().column("id").to_pylist() if r > self.run):
            for side, table, key in self._later(run):
                if (side, key) == (one.side, one.key) and (one.table is None or one.table.name == table):
                    return f" by run {run}"
        return ""

    def _later(self, run: int) -> set[tuple[str, str, str]]:
        cache: dict[int, set[tuple[str, str, str]]] = self.__dict__.setdefault("_journals", {})
        if run not in cache:
            lines = self.planning.ledger.journal(run=run, state="done").to_pylist()
            cache[run] = {(e["side"], e["table_name"], str(e[f"{e['side']}_key"])) for e in lines if e["side"]}
        return cache[run]

    def _coupled(self, pair: Pair) -> bool:
        found = self.couplings[pair[0]]["local"].get(pair[1])
        return found is not None and found["integration_key"] == pair[2]

    def _holders(self, pair: Pair) -> list[Pair]:
        """The couplings that either record of a pair has now."""
        of = self.couplings[pair[0]]
        found = [of[side].get(pair[n]) for n, side in enumerate(SIDES, 1)]
        return [(pair[0], c["local_key"], c["integration_key"]) for c in found if c is not None]

    def _in_the_way(self, pair: Pair) -> str:
        """Why a pair cannot be coupled again, '' where both are free or what holds them goes with this undo."""
        for holder in self._holders(pair):
            if holder not in self.leaving:
                return f"{holder[1]} and {holder[2]} are coupled now."
        return ""

    # -- references to what would be deleted -----------------------------------------------------------------------------------------

    def _keep_referenced(self) -> dict[Place, list[tuple[Place, str]]]:
        """Leave out created rows that a row which stays refers to; returns per deleted row what must be undone before it."""
        doomed = {p: o for p, o in self.written.items() if o.op == "insert" and o.table is not None and not o.changed}
        waits: dict[Place, list[tuple[Place, str]]] = {}
        referrers: dict[Place, list[tuple[Place, str, str]]] = {}
        for (side, name), ones in _grouped(doomed.values()).items():
            for table, column, by_code in self._referring(side, name, {o.mapping for o in ones}):
                for referrer, called, target in self._references(side, table, column, by_code, ones):
                    referrers.setdefault(target, []).append((referrer, called, column.name))
        again = True
        while again:
            again = False
            for place, lines in referrers.items():
                one = self.written[place]
                if one.changed:
                    continue
                for referrer, called, column_name in lines:
                    other = self.written.get(referrer)
                    gone = (
                        other is not None
                        and not other.changed
                        and (other.op == "insert" or column_name in self._columns_back(other))
                    )
                    if not gone and referrer != place:
                        one.code, one.changed = "referred_to", f"{called} refers to it ({column_name}), so it stays."
                        again = True
                        break
        for place, lines in referrers.items():
            if not self.written[place].changed:
                waits[place] = [(referrer, column_name) for referrer, _, column_name in lines if referrer != place]
        return waits

    def _columns_back(self, one: Written) -> set[str]:
        assert one.table is not None
        return {one.table.column(n).name for n in one.before}

    def _referring(self, side: Side, table: str, mappings: set[str]) -> list[tuple[Table, Column, bool]]:
        """(table, column, whether it holds the number rather than the key) of what may refer to rows of `table`."""
        found: dict[tuple[str, str], tuple[Table, Column, bool]] = {}
        for bound in self.planning.bound.values():
            own = bound.side(side)
            for f in bound.mapping.fields:
                named = getattr(f, side)
                if f.lookup and named and mappings & set(f.lookup.mapping.split("|")) and own.option_set is None:
                    column = own.table.column(named)
                    found[own.table.name, column.name] = (own.table, column, side == "local")
        schema = self.planning.systems[side].schema
        for other in schema.tables:
            wanted = [c for c in other.columns if table in c.references and c.kind in ("guid", "code")]
            if wanted and (present := {c.name for c in self._columns(side, other)}):
                for column in (c for c in wanted if c.name in present):
                    found.setdefault((other.name, column.name), (other, column, column.kind == "code"))
        return list(found.values())

    def _references(
        self, side: Side, table: Table, column: Column, by_code: bool, ones: list[Written]
    ) -> Iterable[tuple[Place, str, Place]]:
        """(row that refers, what it is called, row it refers to)."""
        code_column = self.planning.bound[ones[0].mapping].side(side).key
        if by_code and code_column is None:
            return
        targets = {str(self.now[o.place].values[code_column.name]) if by_code and code_column else o.key: o.place for o in ones}
        uid = table.column(table.uid)
        names = list(dict.fromkeys([uid.name, column.name, *([table.name_column] if table.name_column else [])]))
        try:
            reader = self.planning.snapshots[side].read(table, names, keys=sorted(targets), key_column=column.name)
        except SynckitError:
            return  # the schema describes a table that this database has not
        for row in reader.read_all().to_pylist():
            target = targets.get(str(row[column.name]))
            if target is not None:
                called = row.get(table.name_column or "") or row[uid.name]
                yield (side, table.name, str(row[uid.name]), ""), f'{table.caption or table.name} "{called}"', target

    # -- the plan ------------------------------------------------------------------------------------------------------------------

    def plan(self, operator: str) -> Plan:
        self._look()
        for one in self.written.values():
            one.code, one.changed = self._changed_since(one)
        waits = self._keep_referenced()
        where: dict[Place, tuple[str, Pass, int]] = {}
        paired: dict[Pair, Place] = {}
        for place, one in self.written.items():
            where[place] = self._row_of(one)
            pair: Pair = (one.mapping, str(one.pair[0]), str(one.pair[1]))
            if not one.changed and (one.op != "update" or pair not in paired):
                paired[pair] = place
            elif one.changed:
                paired.setdefault(pair, place)
        for pair, in_pass in self.made.items():
            self._uncouple(pair, in_pass, paired, where)
        for pair in self.removed:
            self._couple(pair, paired, where)
        order = [n for n in reversed(dependency_order(self.planning.workspace.mappings)) if n in self.rows]
        for mine, other, column in _in_turn(waits, where, order):
            self._wait(mine, other, column)
        return assembled(self.planning, [self._part(n) for n in order], "undo", operator)

    def _part(self, name: str) -> MappingPlan:
        both: tuple[Pass, Pass] = ("to", "from")
        rows = self.rows[name]
        passes = tuple(p for p in both if any(r["pass"] == p for r in rows))
        looked: dict[Side, int] = {s: len({r[f"{s}_key"] for r in rows if r[f"{s}_token"] is not None}) for s in SIDES}
        part = mapping_part(self.planning, self.planning.bound[name], rows, self.changes.get(name, []), self.depends.get(name, []), passes, looked)  # fmt: skip
        part.head = replace(part.head, undoes=self.run)
        return part

    def _add(self, name: str, row: Line) -> tuple[str, Pass, int]:
        self.rows.setdefault(name, []).append(row)
        return name, row["pass"], row["record"]

    def _row_of(self, one: Written) -> tuple[str, Pass, int]:
        name, bound, now = one.mapping, self.planning.bound[one.mapping], self.now.get(one.place)
        own = one.table is None or one.table.name == self._own(one).name
        keys = one.pair if own else tuple(one.key if s == one.side else None for s in SIDES)
        seen = [self.seen.get((name, s), {}).get(k or "") if own else None for s, k in zip(SIDES, keys, strict=True)]
        row = row_line(
            name, one.in_pass, len(self.rows.get(name, [])), seen[0], seen[1], {"local_key": keys[0], "integration_key": keys[1]}
        )
        if not own and now is not None:
            row[f"{one.side}_token"] = now.token
            named = one.table.name_column if one.table is not None else None
            row[f"{one.side}_name"] = plain_text(now.values.get(named)) if named else None
        title, pair = self.planning.systems[one.side].title, (name, str(keys[0]), str(keys[1]))
        row["coupled"] = own and None not in keys and self._coupled(pair)
        if one.changed:
            return self._add(
                name, {**row, "disposition": "left out by rule", "code": one.code, "reason": f"Left out: {one.changed}"}
            )
        said = {
            "delete": f"Run {self.run} created it in {title}; it is deleted{', and its coupling removed' if row['coupled'] else ''}.",
            "update": f"What run {self.run} wrote in {title} goes back.",
            "restore": f"Run {self.run} deleted it in {title}; it is restored.",
        }
        disposition = BACK[one.op]
        table = bound.side(one.side).table.name if one.table is None else one.table.name
        row |= {"disposition": disposition, "code": f"undo_{one.op}", "reason": said[disposition], "table": f"{one.side}:{table}"}
        lines = self._fields(one, row, now)
        if disposition == "update" and not lines:
            return self._add(name, {**row, "disposition": "unchanged", "code": "as_before", "table": None,
                                    "reason": f"What run {self.run} wrote in {title} equals what was there."})  # fmt: skip
        if disposition == "restore" and pair in self.removed:
            row["reason"] = f"{row['reason'][:-1]}, and coupled again."
        self.changes.setdefault(name, []).extend(lines)
        return self._add(name, row)

    def _fields(self, one: Written, row: Line, now: Found | None) -> list[Line]:
        origin = f"run {self.run}"
        if one.table is None:
            label = self._label()
            old, new = (now.values["label"] if now else None), _json_text(one.before.get("label", one.before.get(label)))
            new = None if one.op == "insert" else new
            return [change_line(row, "label", "label", old, new, origin)] if old != new else []
        held = now.values if now is not None else {}
        version = self._version(one.side, one.table)
        if one.op == "insert":
            return [change_line(row, c, c, plain_text(v), None, origin) for c, v in held.items() if plain_text(v) is not None]
        lines = []
        for name, value in one.before.items():
            column = one.table.find(name)
            if column is None or (version is not None and column.name == version.name):
                continue
            old, new = plain_text(held.get(column.name)), _json_text(value)
            if (one.op == "delete" and new is not None) or (
                one.op == "update" and not _alike(held.get(column.name), value, column)
            ):
                lines.append(change_line(row, column.name, column.name, None if one.op == "delete" else old, new, origin))
        return lines

    def _pair_row(self, pair: Pair, in_pass: Pass) -> Line:
        name, local, integration = pair
        seen = [self._seen(name, side, {key}).get(key) for side, key in zip(SIDES, (local, integration), strict=True)]
        given = {"local_key": local, "integration_key": integration}
        return row_line(name, in_pass, len(self.rows.get(name, [])), seen[0], seen[1], given)

    def _uncouple(self, pair: Pair, in_pass: Pass, paired: dict[Pair, Place], where: dict[Place, tuple[str, Pass, int]]) -> None:
        place = paired.get(pair)
        one = self.written[place] if place is not None else None
        if one is not None and one.op == "insert":  # its coupling goes with the row, or stays with it
            if not one.changed and self._coupled(pair) and place is not None:
                self.leaving[pair] = where[place]
            return
        row = {**self._pair_row(pair, one.in_pass if one is not None else in_pass), "coupled": self._coupled(pair)}
        if not self._coupled(pair):
            self._add(pair[0], {**row, "disposition": "left out by rule", "code": "coupling_changed", "reason": "Left out: its coupling was changed since."})  # fmt: skip
            return
        if one is not None and one.changed:
            self._add(pair[0], {**row, "disposition": "left out by rule", "code": one.code, "reason": f"Left out: {one.changed}"})
            return
        mine = self._add(pair[0], {**row, "disposition": "uncoupling", "code": "undo_couple", "reason": f"Run {self.run} coupled it; it is uncoupled."})  # fmt: skip
        self.leaving[pair] = mine
        if place is not None:
            self._wait(mine, where[place], "coupling")

    def _couple(self, pair: Pair, paired: dict[Pair, Place], where: dict[Place, tuple[str, Pass, int]]) -> None:
        place = paired.get(pair)
        one = self.written[place] if place is not None else None
        if self._coupled(pair) and pair in self.made:
            return
        if one is not None and place is not None and one.op == "delete" and not one.changed:  # comes back with its row
            for holder in self._holders(pair):
                self._wait(where[place], self.leaving[holder], "coupling")
            return
        first = [self.leaving[h] for h in self._holders(pair) if h in self.leaving]  # what must go before it
        in_pass = one.in_pass if one is not None else self.planning.bound[pair[0]].mapping.passes()[0]
        row = self._pair_row(pair, first[-1][1] if first else in_pass)
        gone = (
            row["local_token"] is None and row["integration_token"] is None and not (row["local_name"] or row["integration_name"])
        )
        why = one.changed if one is not None and one.changed else self._in_the_way(pair) or ("Neither of its records exists any more." if gone else "")  # fmt: skip
        if why or self._coupled(pair):
            self._add(pair[0], {**row, "disposition": "left out by rule", "code": "coupling_changed",
                                "reason": f"Left out: {why or 'it was coupled since.'}", "coupled": self._coupled(pair)})  # fmt: skip
            return
        mine = self._add(pair[0], {**row, "disposition": "coupling", "code": "undo_uncouple",
                                   "reason": f"Run {self.run} removed this coupling; it returns with all that it held."})  # fmt: skip
        for other in [*first, *([where[place]] if place is not None else [])]:
            self._wait(mine, other, "coupling")

    def _wait(self, mine: tuple[str, Pass, int], other: tuple[str, Pass, int], field_name: str) -> None:
        kept = next(r for r in self.rows[other[0]] if r["record"] == other[2])
        if mine != other and kept["disposition"] in ("delete", "update", "restore", "uncoupling"):
            self.depends.setdefault(mine[0], []).append(
                {"mapping": mine[0], "pass": mine[1], "record": mine[2], "parent_mapping": other[0], "parent_pass": other[1],
                 "parent_record": other[2], "field": field_name})  # fmt: skip


def _in_turn(
    waits: dict[Place, list[tuple[Place, str]]], where: dict[Place, tuple[str, Pass, int]], order: list[str]
) -> Iterable[tuple[tuple[str, Pass, int], tuple[str, Pass, int], str]]:
    """(row, row that must be undone before it, column): as far as their order allows. Of a circle of references one link is left out."""
    reach: dict[Place, set[Place]] = {}
    for place, lines in waits.items():
        for referrer, column in lines:
            if referrer not in where or order.index(where[referrer][0]) > order.index(where[place][0]):
                continue
            beyond = {referrer} | reach.get(referrer, set())
            if place in beyond:
                continue
            for other in [place, *(p for p, found in reach.items() if place in found)]:
                reach.setdefault(other, set()).update(beyond)
            yield where[place], where[referrer], column


def _grouped(ones: Iterable[Written]) -> dict[tuple[Side, str], list[Written]]:
    found: dict[tuple[Side, str], list[Written]] = {}
    for one in ones:
        assert one.table is not None
        found.setdefault((one.side, one.table.name), []).append(one)
    return found


def _json_text(value: Any) -> str | None:
    """A value of the journal as a plan's text; None for a blank."""
    return plain_text(value) if not isinstance(value, (int, float)) or isinstance(value, bool) else str(value)


def _alike(now: Any, journal: Any, column: Column) -> bool:
    """Whether a canonical value is the one that the journal holds as JSON; blanks are alike, but the text "0" is none."""
    here, there = plain_text(now), _json_text(journal)
    if here == there:
        return True
    blank = (None,) if column.kind in TEXTUAL else (None, "0", "false")
    if here in blank and there in blank:
        return True
    try:
        from decimal import Decimal

        return here is not None and there is not None and not isinstance(now, str) and Decimal(here) == Decimal(there)
    except ArithmeticError:
        return False


__all__ = ["undoing"]
