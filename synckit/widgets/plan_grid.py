"""The planned actions of a plan as a screen: filter, look, leave out or take back in; every decision is kept at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.planning.bind import SIDES
from synckit.planning.judging import likely
from synckit.planning.plan import Plan
from synckit.planning.tables import CARRIED_OUT, records_in
from synckit.reports.wording import ACTION_OF, both_ways, change_of, count_of, field_change, number, safe
from synckit.widgets.grid import Grid
from synckit.widgets.lines import Lines
from synckit.widgets.review import Review, as_review
from synckit.widgets.screen import Message, State, button, table, text

if TYPE_CHECKING:
    from synckit.workspace import Workspace

#: Dispositions of which a plan holds very many and nothing is decided; shown on request.
QUIET = ("unchanged", "not a source", "outside the filter", "not due", "left out by rule")
SECOND_STEP = "second step"
MOST_FIELDS = 3  # names of changed fields in a row; the others are counted


class PlanGrid(Grid):
    """The rows of a plan, one line per record, pass and step: those that need a decision first, then what cannot be written, then the
    rest, each in the order of a run. `plan` is the plan with every decision; with a `file`, decisions are
    kept there as they are taken (see Review). `selected` is a frame of the rows shown."""

    columns = (
        ("disposition", "action", 1.0, "a"), ("mapping", "mapping", 1.2, ""), ("into", "written to", 1.3, ""), ("name", "record", 2.2, ""),
        ("what", "what, or why not", 4.6, ""), ("alike", "alike", 0.7, "n"), ("warnings", "warnings", 1.4, ""),
    )  # fmt: skip
    titles = {"disposition": "action", "mapping": "mapping", "into": "written to", "warnings": "warning"}
    keys = "j k or arrows move · space leaves out or takes back in · enter says why · / search · u undo · e saves"

    def __init__(
        self, of: Plan | Review, file: str | Path | None = None, *, everything: bool = False, ws: Workspace | None = None
    ) -> None:
        self.review = as_review(of, file)
        self.everything, self.ws = everything, ws
        of_sides = self.plan.base.sides
        short = {of_sides[s].title: safe(of_sides[s].title.partition(" (")[0]) for s in SIDES}  # the facet has the whole title
        self._into = short if len(set(short.values())) == len(short) else {title: safe(title) for title in short}
        self._load()
        super().__init__(self.lines)
        self.said = self.review.notice
        self.review.on_change(self._decided)

    @property
    def plan(self) -> Plan:
        return self.review.plan

    @property
    def selected(self) -> pd.DataFrame:
        """The rows shown, in the order of the screen, with the columns of `plan.records()`."""
        rows = self._rows.take(pa.array(self.lines.shown)).drop_columns(["local_print", "integration_print"])
        return rows.to_pandas()

    def sheets(self) -> tuple[str, dict[str, pd.DataFrame]]:
        return "planned-rows", {"Planned rows": self.selected}

    def title(self) -> str:
        return self.plan.sentence()

    # -- the rows ------------------------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        rows = self.plan.rows
        quiet = pc.and_(pc.is_in(rows.column("disposition"), pa.array(QUIET)), pc.not_equal(rows.column("code"), "resolved"))
        here = np.arange(rows.num_rows) if self.everything else np.flatnonzero(~quiet.to_numpy())
        self._here = here[np.argsort(_urgency(self.plan, rows)[here], kind="stable")]
        self._length = rows.num_rows
        self._rows = rows.take(pa.array(self._here)).combine_chunks()
        r, sides = self._rows, self.plan.base.sides
        to = pc.equal(r.column("pass"), "to")
        names = pc.if_else(to, pc.coalesce(r.column("local_name"), r.column("integration_name"), r.column("local_key"), r.column("integration_key")),
                           pc.coalesce(r.column("integration_name"), r.column("local_name"), r.column("integration_key"), r.column("local_key")))  # fmt: skip
        self._alike = _best(self.plan)
        alike = np.full(r.num_rows, np.nan)
        creating = pc.equal(r.column("disposition"), "create").to_numpy() | pc.equal(r.column("disposition"), "excluded").to_numpy()
        places = zip(
            *(r.column(c).take(pa.array(np.flatnonzero(creating))).to_pylist() for c in ("mapping", "pass", "record")), strict=True
        )
        for i, place in zip(np.flatnonzero(creating).tolist(), places, strict=True):
            if place in self._alike:
                alike[i] = self._alike[place]["score"]
        self.lines = Lines(
            {
                "mapping": r.column("mapping"), "name": names, "alike": pa.array(alike, from_pandas=True),
                "into": pc.if_else(to, sides["integration"].title, sides["local"].title),
                "local_key": r.column("local_key"), "integration_key": r.column("integration_key"),
                "partner": pc.if_else(to, r.column("integration_name"), r.column("local_name")),
                "warnings": _joined(r.column("warnings")),
                "kind": r.column("disposition"), "disposition": _actions(r), "what": r.column("reason"),
            },
            ["disposition", "mapping", "into", "warnings"],
            ["name", "partner", "local_key", "integration_key", "mapping", "what", "warnings"],
        )  # fmt: skip
        self._fields = _Fields(self.plan)

    def _decided(self) -> None:
        rows, former = self.plan.rows, self.lines
        if rows.num_rows == self._length:
            self._rows = rows.take(pa.array(self._here)).combine_chunks()
            self.lines.put(
                stay=True,
                kind=self._rows.column("disposition"),
                disposition=_actions(self._rows),
                what=self._rows.column("reason"),
                warnings=_joined(self._rows.column("warnings")),
            )
            self._fields = _Fields(self.plan)
        else:  # a decided pair is one row where there were two
            self._load()
            self.lines.text, self.lines.chosen, self.lines.sorted_by = former.text, former.chosen, former.sorted_by
            self.cursor = -1
        self._keep_cursor()
        self.changed()

    # -- deciding ------------------------------------------------------------------------------------------------------------------

    def do_toggle(self, line: int | None = None) -> None:
        """Leave out the record of a line, or take it back in."""
        at = self.cursor if line is None else self._line(line)
        if at < 0:
            return
        row = self.lines.lines([at])[0]
        if row["kind"] == "excluded":
            self._decide("include", [at])
        elif row["kind"] in CARRIED_OUT:
            self._decide("exclude", [at])
        else:
            self.said = f"{safe(row['name'])} is not written in this plan ({row['kind']}): there is nothing to leave out."

    def do_exclude_shown(self) -> None:
        """Leave out all rows shown that would be written."""
        self._decide("exclude", self._of_shown(CARRIED_OUT))

    def do_include_shown(self) -> None:
        """Take all rows shown that were left out back in."""
        self._decide("include", self._of_shown(("excluded",)))

    def do_lift(self) -> None:
        """Lift the holds on all records that this plan leaves alone: a plan made from now on looks at them."""
        if self.ws is None:
            raise SynckitError(
                "This screen knows no workspace: give it one, PlanGrid(plan, ws=ws), or lift with: synckit lift MAPPING --all"
            )
        held = self.plan.rows.filter(pc.equal(self.plan.rows.column("disposition"), "held"))
        n = sum(self.ws.lift(name, all_held=True) for name in pc.unique(held.column("mapping")).to_pylist())
        self.said = f"{count_of(n, 'hold is', 'holds are')} lifted. Run the cells from the plan on again: the new plan looks at these records."

    def do_undo(self) -> None:
        """Take the last decision back."""
        self.said = self.review.undone()

    def code(self) -> str:
        """The calls that take the same decisions, and give the rows shown."""
        more = ", everything=True" if self.everything else ""
        return "\n".join(
            [
                "from synckit.widgets import PlanGrid",
                "",
                self.review.code(),
                f"grid = PlanGrid(plan{more}){self.shown_code()}",
                "grid.selected",
            ]
        )

    def exclude_shown(self) -> None:
        self.do_exclude_shown()

    def _of_shown(self, dispositions: tuple[str, ...]) -> np.ndarray:
        shown = self.lines.shown
        return shown[pc.is_in(self.lines.columns["kind"], pa.array(dispositions)).to_numpy(zero_copy_only=False)[shown]]

    def _decide(self, kind: str, numbers: Any) -> None:
        if not len(numbers):
            self.said = "None of the rows shown can be " + ("left out." if kind == "exclude" else "taken back in.")
            return
        records = (
            self._rows.take(pa.array(np.asarray(numbers, dtype=np.int64)))
            .select(["mapping", "pass", "local_key", "integration_key"])
            .to_pandas()
        )
        blocked = self.plan.total("blocked")
        self.review.decide(lambda plan: getattr(plan, kind)(records=records))
        verb = "left out" if kind == "exclude" else "taken back in"
        self.said = f"{count_of(len(records), 'row', 'rows')} {verb}."
        self.said += (
            " Once applied, later runs leave out what you leave out, too, until its hold is lifted." if kind == "exclude" else ""
        )
        more = self.plan.total("blocked") - blocked
        if more > 0:
            self.said += (
                f" {count_of(more, 'row', 'rows')} that needed {'it' if len(records) == 1 else 'them'} cannot be written now."
            )

    # -- drawing -------------------------------------------------------------------------------------------------------------------

    def head(self) -> list[State]:
        blocks = [text(self.plan.sentence(), "strong")]
        later = int(pc.sum(pc.equal(_actions(self._rows), SECOND_STEP)).as_py() or 0)
        if later:
            what = "is a second step: it fills or changes" if later == 1 else "are second steps: they fill or change"
            blocks.append(
                text(
                    f"{count_of(later, 'row', 'rows')} more {what} what can only be written once another record is there.", "quiet"
                )
            )
        held = records_in(self.plan.rows, ("held",))
        if held:
            blocks.append(
                text(
                    f"{count_of(held, 'record is', 'records are')} held and left alone: left out of an earlier run, or taken back from it. Lift the holds to have them looked at again.",
                    "conflict",
                )
            )
        twice = both_ways(self.plan)
        if twice:
            blocks.append(text(twice, "quiet"))
        return [*blocks, *self.code_block()]

    def actions(self) -> list[State]:
        out, back = len(self._of_shown(CARRIED_OUT)), len(self._of_shown(("excluded",)))
        undo: Message = {"do": "undo"}
        return [
            button({"do": "exclude_shown"}, f"Leave out {number(out)} shown", off=not out),
            button({"do": "include_shown"}, f"Take {number(back)} back in", off=not back),
            *(
                [button({"do": "lift"}, "Lift all holds", hint="the next plan looks at these records again")]
                if self.ws is not None and self.plan.total("held")
                else []
            ),
            button(undo, "Undo", "u", off=not self.review.can_undo, hint="Take the last decision back"),
            *self.save_buttons(),
        ]

    def counted(self) -> str:
        return f"{super().counted()} · {number(self.plan.writes)} will be written"

    def label(self, facet: str, value: str) -> str:
        return value.replace("_", " ") if facet == "warnings" else value

    def tone(self, facet: str, value: str) -> str:
        return tone_of(value) if facet == "disposition" else ""

    def row(self, line: int, values: dict[str, Any]) -> State:
        d = values["kind"]
        what = self._what(line, values)
        alike = "" if values["alike"] is None else f"{values['alike']:.2f}"
        cells = [
            {"text": values["disposition"], "tone": tone_of(values["disposition"])}, values["mapping"], self._into[values["into"]], safe(values["name"]), safe(what), alike,
            safe(values["warnings"].replace("_", " ")),
        ]  # fmt: skip
        return {"cells": cells, "tick": True if d in CARRIED_OUT else False if d == "excluded" else None, "dim": d == "excluded"}

    def _place(self, line: int) -> tuple[str, str, int]:
        return tuple(self._rows.column(c)[line].as_py() for c in ("mapping", "pass", "record"))

    def _what(self, line: int, values: dict[str, Any]) -> str:
        """What a write does, in a few words; the reason of everything else."""
        d = values["kind"]
        if d == "update":
            names = self._fields.names(int(self._here[line]))
            more = len(names) - MOST_FIELDS
            return ", ".join(names[:MOST_FIELDS]) + (f" and {count_of(more, 'more field', 'more fields')}" if more > 0 else "")
        if d == "create" and values["alike"] is not None:
            found = self._alike[self._place(line)]
            return f'looks like "{found["existing_name"] or found["existing_key"]}" ({found["why"]})'
        return str(values["what"] or "")

    def detail(self, line: int) -> list[State]:
        mapping, in_pass, record = self._place(line)
        row = self._rows.slice(line, 1).to_pylist()[0]
        sides = self.plan.base.sides
        name = safe(self.lines.lines([line])[0]["name"])
        blocks = [text(f"{mapping} {name}: {row['disposition']}", "strong"), text(safe(row["reason"]))]
        for side in ("local", "integration"):
            if row[f"{side}_key"]:
                blocks.append(
                    text(
                        f"{safe(sides[side].title)}: {safe(row[f'{side}_name'])} · {row[f'{side}_key']} · version {safe(row[f'{side}_token'])}",
                        "quiet",
                    )
                )
        problems = self.plan.base.errors.filter(_at(self.plan.base.errors, mapping, in_pass, record))
        if problems.num_rows > 1:
            blocks.append(table(["field", "problem"], [[safe(e["field"]), safe(e["message"])] for e in problems.to_pylist()]))
        alike = (found := likely(self.plan.base, self.plan.decisions)).filter(_at(found, mapping, in_pass, record)).to_pylist()
        if alike:
            rows = [[safe(a["existing_name"]), {"text": safe(a["existing_key"]), "key": True}, f"{a['score']:.2f}", safe(a["why"]),
                     "coupled already" if a["existing_coupled"] else ""] for a in alike]  # fmt: skip
            blocks.append(table(["looks like", "key", "alike", "why", ""], rows))
        if row["disposition"] in CARRIED_OUT and row["disposition"] != "coupling":
            fields = self.plan.changes(mapping, record, in_pass)
            fields = fields[fields["step"] == row["step"]]
            if len(fields):
                blocks.append(table(["field", "old", "new", "comes from"], [_change(c) for c in fields.to_dict("records")]))
        return blocks


class _Fields:
    """Which fields the rows of a plan write, found by the number of the row."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._order: Any = None

    def names(self, row: int) -> list[str]:
        if self._order is None:
            from synckit.planning.decisions import _places

            fields = self._plan.fields
            places = _places(self._plan.base, fields) * 2 + (fields.column("step").to_numpy() == 2)
            self._order = np.argsort(places, kind="stable")
            self._sorted = places[self._order]
            self._field = fields.column("field").combine_chunks()
            rows = self._plan.rows
            self._of_rows = _places(self._plan.base, rows) * 2 + (rows.column("step").to_numpy() == 2)
        place = self._of_rows[row]
        a, b = np.searchsorted(self._sorted, place), np.searchsorted(self._sorted, place, side="right")
        named = (field_change(name, None, None)[0] for name in self._field.take(pa.array(self._order[a:b])).to_pylist())
        return list(dict.fromkeys(named))  # a rule may write several columns


def _change(c: dict[str, Any]) -> list[Any]:
    from synckit.widgets.segments import segments

    field, before, after = change_of(c)
    old, new = segments(safe(before), safe(after))
    return [field, old, new, safe(c["origin"])]


def _best(plan: Plan) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Planned create -> the record that it looks most like."""
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    for row in likely(plan.base, plan.decisions).sort_by([("score", "descending")]).to_pylist():
        found.setdefault((row["mapping"], row["pass"], row["record"]), row)
    return found


def _actions(rows: pa.Table) -> pa.Array:
    """What happens to each row: its disposition, or that it is a second step of a row that stands above."""
    later = pc.and_(pc.equal(rows.column("step"), 2), pc.is_in(rows.column("disposition"), pa.array(CARRIED_OUT)))
    return pc.if_else(later, SECOND_STEP, rows.column("disposition")).combine_chunks()


def _urgency(plan: Plan, rows: pa.Table) -> np.ndarray:
    """0 for what waits for a person (conflicts, creates that look like existing records), 1 for what cannot be written, 2 for the rest."""
    d = rows.column("disposition")
    alike = pc.match_substring(_joined(rows.column("warnings")), "possible_duplicate")
    asks = pc.or_(pc.equal(d, "conflict"), pc.and_(pc.equal(d, "create"), alike))
    fine = pc.is_in(d, pa.array([*CARRIED_OUT, *QUIET, "excluded"]))
    return pc.if_else(asks, 0, pc.if_else(fine, 2, 1)).to_numpy()


def _joined(lists: Any) -> pa.Array:
    """Lists of texts as one text each."""
    array = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    return pc.fill_null(pc.binary_join(array, ", "), "")


def _at(frame: pa.Table, mapping: str, in_pass: str, record: int) -> Any:
    same = pc.and_(pc.equal(frame.column("mapping"), mapping), pc.equal(frame.column("pass"), in_pass))
    return pc.and_(same, pc.equal(frame.column("record"), record))


def tone_of(disposition: str) -> str:
    """The colour class of a disposition: the name of its action."""
    action = ACTION_OF.get("update" if disposition == SECOND_STEP else disposition)
    return action.name if action else "quiet"


__all__ = ["QUIET", "PlanGrid", "tone_of"]
