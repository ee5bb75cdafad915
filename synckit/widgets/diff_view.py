"""What a plan changes on coupled records, field by field, old beside new; conflicts are decided here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.planning.bind import SIDES
from synckit.planning.called import with_names
from synckit.planning.decisions import _places
from synckit.planning.plan import Plan
from synckit.planning.tables import CARRIED_OUT
from synckit.reports.wording import change_of, count_of, field_change, safe, value_called
from synckit.widgets.grid import Grid
from synckit.widgets.lines import Lines
from synckit.widgets.review import Review, as_review
from synckit.widgets.screen import State, button, buttons, table, text
from synckit.widgets.segments import segments

if TYPE_CHECKING:
    from synckit.workspace import Workspace

CHANGED = ("update", "couple", "excluded", "blocked")
SAID = {"both": "both changed it", "unknown": "it is not known which one changed it"}


class DiffView(Grid):
    """One line per field that an update writes or in which a conflict differs, conflicts first. With `ws`, an open line shows the whole
    record of both sides as it is now, and who changed it where the system says so. `selected` is a frame of the lines shown."""

    columns: tuple[tuple[str, str, float, str], ...] = (
        ("direction", "direction", 1.3, "a"), ("mapping", "mapping", 1.2, ""), ("name", "record", 2.0, ""), ("field", "field", 1.3, ""),
        ("old", "old, or {integration}", 2.4, "s"), ("new", "new, or {local}", 2.4, "s"), ("when", "changed", 1.4, ""),
    )  # fmt: skip
    titles = {"direction": "direction", "mapping": "mapping", "field": "field"}
    keys = "j k or arrows move · space leaves a record out · enter opens it · in a conflict: l {local}, i {integration}, m merge, d leave open · u undo · e saves"

    def __init__(self, of: Plan | Review | Any, file: str | Path | None = None, *, ws: Workspace | None = None) -> None:
        self.review, self.ws = as_review(of, file), ws
        self.sides = called(self.plan)
        self.columns = tuple((c, t.format(**self.sides), w, k) for c, t, w, k in type(self).columns)
        self.keys = type(self).keys.format(**self.sides)
        self._load()
        super().__init__(self.lines)
        self.said = self.review.notice
        self.review.on_change(self._decided)

    @property
    def plan(self) -> Plan:
        return self.review.plan

    @property
    def selected(self) -> pd.DataFrame:
        """The lines shown: mapping, pass, record, keys, name, field, old, new, direction, disposition."""
        columns = [
            "mapping",
            "pass",
            "record",
            "local_key",
            "integration_key",
            "name",
            "field",
            "old",
            "new",
            "direction",
            "disposition",
        ]
        return pa.table({c: self.lines.columns[c].take(pa.array(self.lines.shown)) for c in columns}).to_pandas()

    def sheets(self) -> tuple[str, dict[str, pd.DataFrame]]:
        return "sync-diff", {"Fields": self.selected}

    def title(self) -> str:
        return self.plan.sentence()

    # -- the lines -----------------------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        plan, base = self.plan, self.plan.base
        rows = plan.rows.append_column("place", pa.array(_places(base, plan.rows)))
        first = rows.filter(pc.equal(rows.column("step"), 1))
        changed = first.filter(pc.is_in(first.column("disposition"), pa.array(CHANGED)))
        conflicts = base.conflicts.filter(pc.equal(base.conflicts.column("pass"), "to"))
        alone = base.conflicts.filter(
            pc.invert(pc.is_in(pa.array(_places(base, base.conflicts) ^ PASS), pa.array(_places(base, conflicts))))
        )
        conflicts = (
            pa.concat_tables([conflicts, alone.filter(pc.equal(alone.column("pass"), "from"))]) if alone.num_rows else conflicts
        )
        fields = plan.fields.filter(pc.equal(plan.fields.column("step"), 1))
        kept = pc.and_(pc.is_in(pa.array(_places(base, fields)), changed.column("place")),
                       pc.invert(pc.is_in(pa.array(_places(base, fields) & ~PASS), pa.array(_places(base, conflicts) & ~PASS))))  # fmt: skip
        fields = fields.filter(kept)
        whole = with_names(base, pa.concat_tables([fields, conflicts.select(fields.column_names)]), plan.rows)
        conflict = np.arange(whole.num_rows) >= fields.num_rows
        places = _places(base, whole)
        at = pc.index_in(pa.array(places), value_set=first.column("place").combine_chunks())
        of = first.take(pc.fill_null(at, 0))
        to = pc.equal(whole.column("pass"), "to")
        token = pc.if_else(to, of.column("local_token"), of.column("integration_token"))
        by = pa.concat_arrays([pa.nulls(fields.num_rows, pa.string()), conflicts.column("changed_by").combine_chunks()])
        self._places, self._conflict = places, conflict
        order = pa.array(np.lexsort((np.arange(len(places)), places & ~PASS, ~conflict)))  # what waits for a person stands first
        self._places, self._conflict = places[order], conflict[order]
        columns = {
            "mapping": whole.column("mapping"), "pass": whole.column("pass"), "record": whole.column("record"), "field": whole.column("field"),
            "old": pc.fill_null(pc.coalesce(whole.column("old_name"), whole.column("old")), ""),
            "new": pc.fill_null(pc.coalesce(whole.column("new_name"), whole.column("new"), whole.column("ref_key")), ""),
            "name": pc.coalesce(of.column("local_name"), of.column("integration_name"), of.column("local_key")), "changed_by": by,
            "local_key": of.column("local_key"), "integration_key": of.column("integration_key"), "origin": whole.column("origin"),
            "when": pc.fill_null(pc.replace_substring(pc.utf8_slice_codeunits(token, 0, 16), "T", " "), ""),
        }  # fmt: skip
        columns |= _as_people_say(columns)
        columns = {name: (c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c).take(order) for name, c in columns.items()}
        self.lines = Lines(
            {**columns, **self._outlook()},
            ["direction", "mapping", "field"],
            ["name", "old", "new", "field", "local_key", "integration_key"],
        )

    def _outlook(self) -> dict[str, pa.Array]:
        """What becomes of each line as the plan stands: its disposition and its direction ("conflict" while one is open)."""
        plan = self.plan
        first = plan.rows.filter(pc.equal(plan.rows.column("step"), 1))
        places = _places(plan.base, first)
        disposition = dict(zip(places.tolist(), first.column("disposition").to_pylist(), strict=True))
        code = {p for p, c in zip(places.tolist(), first.column("code").to_pylist(), strict=True) if c == "resolved"}
        ways = {0: f"to {self.sides['integration']}", 1: f"to {self.sides['local']}"}
        found, directions = [], []
        for place, conflict in zip(self._places.tolist(), self._conflict.tolist(), strict=True):
            d = disposition.get(place, "")
            decided = conflict and (place in code or (place ^ PASS) in code)
            if decided and d not in CARRIED_OUT and d != "excluded":
                d = disposition.get(place ^ PASS, d)
            found.append(d)
            directions.append("decided" if decided else "conflict" if conflict else ways[int(bool(place & PASS))])
        return {"disposition": pa.array(found, pa.string()), "direction": pa.array(directions, pa.string())}

    def _decided(self) -> None:
        self.lines.put(stay=True, **self._outlook())
        self._keep_cursor()
        self.changed()

    # -- deciding ------------------------------------------------------------------------------------------------------------------

    def do_resolve(self, use: str, line: int | None = None) -> None:
        """Decide the conflict of a line: "local" or "integration" keeps that side's values, "merge" takes each field from the side that
        changed it, "leave" opens it again."""
        row = self._at(line)
        if row["direction"] not in ("conflict", "decided"):
            raise SynckitError(f"{safe(row['name'])} is no conflict: there is nothing to choose.")
        if use == "leave":
            self._reopen(row)
            return
        self.review.decide(lambda plan: plan.resolve(row["mapping"], row["local_key"], row["integration_key"], use=use))
        self.said = (
            f"{safe(row['name'])}: "
            + {
                "local": f"the values of {self.sides['local']} are kept.",
                "integration": f"the values of {self.sides['integration']} are kept.",
                "merge": "each field keeps the value of the system that changed it.",
            }[use]
        )

    def do_choose_field(self, field: str, side: str) -> None:
        """Choose the side of one field of the conflict under the cursor; the other fields stay as chosen, or on the local side."""
        row = self._at(None)
        chosen = self.chosen_sides(row)
        if field not in chosen:
            raise SynckitError(f'The conflict has no field "{field}" that goes both ways.')
        chosen[field] = side
        self.review.decide(lambda plan: plan.resolve(row["mapping"], row["local_key"], row["integration_key"], use=chosen))
        self.said = f"{safe(row['name'])}: {safe(field)} from {self.sides[side]}."

    def do_toggle(self, line: int | None = None) -> None:
        """Leave the record of a line out as a whole, or take it back in."""
        row = self._at(line)
        kind = "include" if row["disposition"] == "excluded" else "exclude" if row["disposition"] in CARRIED_OUT else ""
        if not kind:
            self.said = (
                "An open conflict is not written: decide it first."
                if row["direction"] == "conflict"
                else "This record is not written."
            )
            return
        self.review.decide(lambda plan: getattr(plan, kind)(row["mapping"], local=row["local_key"]))
        self.said = f"{safe(row['name'])} is {'left out with all its fields' if kind == 'exclude' else 'taken back in'}."

    def do_undo(self) -> None:
        self.said = self.review.undone()

    def _reopen(self, row: dict[str, Any]) -> None:
        mine = [d for d in self.plan.decisions if d.kind == "resolve" and d.mapping == row["mapping"]
                and any(r[1] == row["local_key"] or (not r[1] and r[2] == row["integration_key"]) for r in d.records)]  # fmt: skip
        self.review.take_back(mine)
        self.said = f"{safe(row['name'])} is open again."

    def _at(self, line: int | None) -> dict[str, Any]:
        at = self.cursor if line is None else self._line(line)
        if at < 0:
            raise SynckitError("No line is chosen.")
        return self.lines.lines([at])[0]

    def chosen_sides(self, row: dict[str, Any]) -> dict[str, str]:
        """Field -> the side whose value the last decision on this conflict takes, else the side that changed it, else local."""
        import json

        fields = self._conflict_fields(row)
        chosen = {f["field"]: f["changed_by"] if f["changed_by"] in SIDES else "local" for f in fields if f["two_way"]}
        for d in self.plan.decisions:
            if (
                d.kind == "resolve"
                and d.mapping == row["mapping"]
                and any(row["local_key"] == r[1] or (not r[1] and row["integration_key"] == r[2]) for r in d.records)
            ):
                if d.value in SIDES:
                    chosen = dict.fromkeys(chosen, d.value)
                elif d.value.startswith("{"):
                    chosen |= {f: s for f, s in json.loads(d.value).items() if f in chosen}
        return chosen

    def _conflict_fields(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        c = self.plan.base.conflicts
        of = c.filter(pc.and_(pc.equal(c.column("mapping"), row["mapping"]), pc.equal(c.column("record"), row["record"])))
        mine = with_names(self.plan.base, of, self.plan.rows).to_pylist()
        to = [line for line in mine if line["pass"] == "to"]
        return to + [line for line in mine if line["pass"] == "from" and line["field"] not in {t["field"] for t in to}]

    # -- drawing -------------------------------------------------------------------------------------------------------------------

    def head(self) -> list[State]:
        return [text(self.plan.sentence(), "strong"), *self.code_block()]

    def actions(self) -> list[State]:
        return [button({"do": "undo"}, "Undo", "u", off=not self.review.can_undo), *self.save_buttons()]

    def code(self) -> str:
        """The calls that take the same decisions, and give the lines shown."""
        show = f"differences = DiffView(plan){self.shown_code()}"
        return "\n".join(["from synckit.widgets import DiffView", "", self.review.code(), show, "differences.selected"])

    def counted(self) -> str:
        directions = self.lines.columns["direction"]
        open_ = len(set(self._places[pc.equal(directions, "conflict").to_numpy(zero_copy_only=False)].tolist()))
        return f"{super().counted()} · {count_of(open_, 'open conflict', 'open conflicts')}"

    def tone(self, facet: str, value: str) -> str:
        return {"conflict": "conflict", "decided": "create"}.get(value, "update") if facet == "direction" else ""

    def row(self, line: int, values: dict[str, Any]) -> State:
        old, new = segments(safe(values["old"]), safe(values["new"]))
        d, way = values["disposition"], values["direction"]
        kept = self._kept(values) if way == "decided" else ""
        shown = {"text": f"kept: {kept}" if kept else way, "tone": self.tone("direction", way)}
        cells = [shown, values["mapping"], safe(values["name"]), safe(values["field"]), old or {"text": "blank", "tone": "quiet"}, new or {"text": "blank", "tone": "quiet"}, safe(values["when"])]  # fmt: skip
        return {"cells": cells, "tick": True if d in CARRIED_OUT else False if d == "excluded" else None, "dim": d == "excluded",
                "sides": way in ("conflict", "decided")}  # fmt: skip

    def _kept(self, row: dict[str, Any]) -> str:
        """Whose value of this field the decision keeps."""
        chosen = self.chosen_sides(row)
        return self.sides[chosen[row["field"]]] if row["field"] in chosen else ""

    def detail(self, line: int) -> list[State]:
        row = self.lines.lines([line])[0]
        sides = self.plan.base.sides
        blocks = [
            text(
                f"{row['mapping']} {safe(row['name'])}: {row['direction']}"
                + ("" if row["direction"] == row["disposition"] else f", {row['disposition']}"),
                "strong",
            )
        ]
        if row["direction"] in ("conflict", "decided"):
            blocks += self._chooser(row)
        whole = self._whole(row) if self.ws is not None else None
        if whole is not None:
            return [*blocks, *whole]
        changes = self.plan.changes(row["mapping"], int(row["record"]))
        if len(changes):
            after = [[change_of(c)[0], *segments(*map(safe, change_of(c)[1:])), f"to {safe(sides['integration' if c['pass'] == 'to' else 'local'].title)}", safe(c["origin"])]
                     for c in changes.to_dict("records")]  # fmt: skip
            blocks.append(table(["field", "before", "after", "", "comes from"], after, "What is written"))
        return blocks

    def _chooser(self, row: dict[str, Any]) -> list[State]:
        sides, chosen = self.plan.base.sides, self.chosen_sides(row)
        decided = row["direction"] == "decided"
        lines = []
        for f in self._conflict_fields(row):
            local, integration = ("new", "old") if f["pass"] == "to" else ("old", "new")
            here, there = value_called(f, local), value_called(f, integration)
            left, right = segments(safe(here), safe(there))
            pick = {"buttons": [button({"do": "choose_field", "field": f["field"], "side": s}, self.sides[s], on=decided and chosen.get(f["field"]) == s) for s in SIDES]} if f["two_way"] else "one way"  # fmt: skip
            lines.append(
                [
                    safe(f["field"]),
                    {"segments": left, "text": ""},
                    {"segments": right, "text": ""},
                    SAID.get(f["changed_by"]) or f"{self.sides.get(f['changed_by'], '')} changed it",
                    pick,
                ]
            )
        able = all(f["changed_by"] in SIDES for f in self._conflict_fields(row) if f["two_way"])
        return [
            table(["field", safe(sides["local"].title), safe(sides["integration"].title), "since the last synchronisation", "take"], lines, sides=True),
            buttons(
                button({"do": "resolve", "use": "local"}, f"Keep {safe(sides['local'].title)}", "l"),
                button({"do": "resolve", "use": "integration"}, f"Keep {safe(sides['integration'].title)}", "i"),
                button({"do": "resolve", "use": "merge"}, "Merge", "m", off=not able, hint="" if able else "for a field it is not known, or not one system alone, which one changed it"),
                button({"do": "resolve", "use": "leave"}, "Leave open", "d", off=not decided),
            ),
        ]  # fmt: skip

    def _whole(self, row: dict[str, Any]) -> list[State] | None:
        """Both sides of the record as they are now, beside what the plan makes of them; read when the line is opened."""
        from synckit.widgets.whole_record import whole_record

        assert self.ws is not None
        try:
            return whole_record(self.ws, self.plan, row)
        except SynckitError as error:
            return [text(str(error), "fail")]

    def state(self) -> State:
        state = super().state()
        # a conflict is decided by key while its line is closed, too
        uses = {"l": "local", "i": "integration", "m": "merge", "d": "leave"}
        state["press"] = {key: {"do": "resolve", "use": use} for key, use in uses.items()}
        return state


def called(plan: Plan) -> dict[str, str]:
    """What the two systems are called in few words: their titles without what stands in brackets, or "local" and "integration" where those
    are the same."""
    short: dict[str, str] = {side: safe(plan.base.sides[side].title.partition(" (")[0]) for side in SIDES}
    return short if short["local"] != short["integration"] else dict(zip(SIDES, SIDES, strict=True))


PASS = np.int64(1 << 40)  # the bit of a place that says which pass it is


def _as_people_say(columns: dict[str, Any]) -> dict[str, Any]:
    """What business rules write, by what it is about, and their numbers without the noughts at the end."""
    encoded = columns["field"].combine_chunks().dictionary_encode()
    names = [field_change(name, None, None)[0] for name in encoded.dictionary.to_pylist()]
    fields = pa.array(names, pa.string()).take(encoded.indices)
    by_rule = pc.not_equal(fields, columns["field"].combine_chunks())
    shorter = {
        which: pc.if_else(
            by_rule, pc.replace_substring_regex(columns[which], r"^(-?\d+)(?:\.0*|(\.\d*[1-9])0*)$", r"\1\2"), columns[which]
        )
        for which in ("old", "new")
    }
    return {"field": fields, **shorter}


__all__ = ["DiffView"]
