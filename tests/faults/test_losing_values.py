"""No losing value disappears: every state of both rows x coupling x direction x policies x kind of run, each outcome as the table says,
and whatever a run overwrote or removed is shown by its plan, kept by its journal, and brought back by its undo."""

# ruff: noqa: S608 - the statements are composed of this file's own names
from __future__ import annotations

import itertools
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from incremental import marks_at_stamps
from stores import dump
from world import World, guid, mapping

from synckit.applying.refusals import to_accept
from synckit.planning.plan import Plan

#: Written down before the first run. "there": same or changed; "gone": absent or deleted; "elsewhere" is "coupled" for each of its two
#: pairs. What each pass does (to, then from); "|": in a run of modified records | in a full synchronisation. In capitals: as the policy says.
EXPECTED = """
coupling   local    integration  to_integration   from_integration  bidirectional
uncoupled  gone     gone         -                -                 - -
uncoupled  there    gone         create           -                 create -
uncoupled  gone     there        -                create            - create
uncoupled  there    there        create           create            create create
coupled    gone     gone         broken           broken            broken broken
coupled    gone     there        - | gone         DELETION          - DELETION
coupled    there    gone         DELETION         - | gone          DELETION -
coupled    same     same         -                -                 - -
coupled    changed  same         update           - | update        update - | update update
coupled    same     changed      - | update       update            - update | update update
coupled    changed  changed      update           update            CONFLICT
"""
POLICY = {
    "DELETION": {"none": "gone", "remove_coupling": "uncouple", "restore_records": "restore"},
    "CONFLICT": {"none": "conflict conflict", "send_to_integration": "update loses", "get_from_integration": "loses update"},
}
WORD = {"broken coupling": "broken", "deleted partner": "gone", "remove coupling": "uncouple", "loses to policy": "loses"}
QUIET = ("unchanged", "not due", "not a source")
STATES = ("absent", "same", "changed", "deleted")
COUPLINGS = ("uncoupled", "coupled", "elsewhere")
DIRECTIONS = ("to_integration", "from_integration", "bidirectional")
UPDATE = ("none", "send_to_integration", "get_from_integration")
DELETION = ("none", "remove_coupling", "restore_records")
COLUMNS = ("name", "fax", "city", "note")
TABLE = {"local": ("customer", "system_id", "no"), "integration": ("account", "accountid", "number")}


class Cell:
    """One pair of rows (for "elsewhere": one of the two, with the partner that it has instead) in the states of a cell."""

    def __init__(self, coupling: str, here: str, there: str, of: str = "") -> None:
        self.coupling, self.states = coupling, {"local": here, "integration": there}
        self.alias = f"{coupling} {here} {there} {of}".strip()
        self.keys = {side: guid(f"{side} {self.alias}") for side in TABLE}


def cells() -> Iterator[Cell]:
    for coupling, here, there in itertools.product(COUPLINGS, STATES, STATES):
        if coupling == "elsewhere":
            yield Cell(coupling, here, "same", f"partner of {there}")
            yield Cell(coupling, "same", there, f"{here} partner")
        else:
            yield Cell(coupling, here, there)


CELLS = tuple(cells())


class Stage:
    """All cells in one world, once; each trial puts its files back."""

    def __init__(self, folder: Path) -> None:
        self.w = w = World(
            folder,
            {"customer": "no code20 key, name text90, fax text90, city text90, note text90"},
            {"account": "number text20, name text90, fax text90, city text90, note text90"},
            [mapping("CUSTOMER", "customer > account", "no <> number, name <> name, fax <> fax, city > city, note < note")],
        )
        for side in TABLE:
            self._do(side, "same", [c for c in CELLS if c.states[side] != "absent"])
        coupled = [c for c in CELLS if c.coupling != "uncoupled"]
        stamps = {"local_stamp": "2026-01-05T09:00:00.000Z", "integration_stamp": "2026-01-05T09:00:00.000Z"}
        with w.ws.ledger.transaction() as tx:
            assert not tx.add_couplings(
                [{"mapping": "CUSTOMER", **{f"{s}_key": k for s, k in c.keys.items()}, **stamps} for c in coupled]
            )
        marks_at_stamps(w, "CUSTOMER")
        for side in TABLE:
            for state in ("changed", "deleted"):
                self._do(side, state, [c for c in CELLS if c.states[side] == state])
        w.close()
        self.files = dump(folder)

    def _do(self, side: str, state: str, mine: list[Cell]) -> None:
        table, uid, number = TABLE[side]
        own = "system_modified_at" if side == "local" else "modifiedon"
        with closing(self.w.sides[side].engine.raw_connection()) as database:  # type: ignore[index]
            for n, cell in enumerate(mine):
                values = [f"{'' if state == 'same' else side} {cell.alias} {c}".strip() for c in COLUMNS]
                if state == "same":
                    code = f"N{CELLS.index(cell)}" + (side[0] if cell.coupling == "uncoupled" else "")
                    database.execute(f"INSERT INTO {table} ({uid}, {number}, name, fax, city, note, {own}) VALUES (?, ?, ?, ?, ?, ?, '2026-01-05T09:00:00.000Z')", (cell.keys[side], code, *values))  # fmt: skip
                elif state == "changed":
                    database.execute(f"UPDATE {table} SET name = ?, fax = ?, city = ?, note = ?, {own} = '2026-01-05T10:00:00.{n:03}Z' WHERE {uid} = ?", (*values, cell.keys[side]))  # fmt: skip
                else:
                    database.execute(f"DELETE FROM {table} WHERE {uid} = ?", (cell.keys[side],))
            database.commit()

    def put_back(self) -> None:
        self.w.close()
        for path in self.w.folder.iterdir():
            if ".db" in path.name:
                path.unlink()
        for name, content in self.files.items():
            (self.w.folder / name).write_bytes(content)
        self.w.now = self.w.now.replace(hour=12, minute=0)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        made = Stage(Path(folder))
        yield made
        made.w.close()


def plan_of(stage: Stage, run: str, direction: str, update: str, deletion: str) -> Plan:
    stage.put_back()
    stage.w.change(
        "CUSTOMER",
        only_coupled=False,
        direction=direction,
        update_conflict_resolution=update,
        deletion_conflict_resolution=deletion,
    )
    if run == "modified":
        return stage.w.ws.plan_modified(believe="CUSTOMER")
    return stage.w.ws.plan_full(believe="CUSTOMER")


def expected(cell: Cell, run: str, direction: str, update: str, deletion: str) -> str:
    """What the table says of a cell, pass by pass."""
    words = {
        "absent": ("absent", "gone"),
        "deleted": ("deleted", "gone"),
        "same": ("same", "there"),
        "changed": ("changed", "there"),
    }
    lines = [re.split(r"\s{2,}", line) for line in EXPECTED.strip().splitlines()[1:]]
    (line,) = [
        line for line in lines
        if line[0] == ("uncoupled" if cell.coupling == "uncoupled" else "coupled")
        and line[1] in words[cell.states["local"]] and line[2] in words[cell.states["integration"]]
    ]  # fmt: skip
    said = line[3 + DIRECTIONS.index(direction)].split(" | ")
    said_now = said[-1] if run == "full" else said[0]
    return said_now.replace("DELETION", POLICY["DELETION"][deletion]).replace("CONFLICT", POLICY["CONFLICT"][update])


def outcomes(plan: Plan, direction: str) -> dict[str, str]:
    """Alias of a cell -> what the passes do with its source rows; "-" where they leave them alone."""
    rows = plan.records("CUSTOMER", all_rows=True)
    rows = rows[~rows["disposition"].isin(QUIET)]
    passes = {"to_integration": ["to"], "from_integration": ["from"]}.get(direction, ["to", "from"])
    at = {p: dict(zip(mine["local_key" if p == "to" else "integration_key"], mine["disposition"], strict=True))
          for p in passes for mine in (rows[rows["pass"] == p],)}  # fmt: skip
    found = {c.alias: [at[p].get(c.keys["local" if p == "to" else "integration"], "-") for p in passes] for c in CELLS}
    return {alias: " ".join(WORD.get(d, d) for d in said) for alias, said in found.items()}


def values(w: World) -> dict[Any, Any]:
    """(side, table, key) -> the row without what the systems keep themselves."""
    return {
        place: {c: v or None for c, v in row.items() if c not in ("system_modified_at", "modifiedon")}
        for place, row in w.everything().items()
    }


def couplings(w: World) -> set[tuple[str, str]]:
    return {(c["local_key"], c["integration_key"]) for c in w.ws.ledger.couplings("CUSTOMER").to_pylist()}


def losing(before: dict[Any, Any], after: dict[Any, Any]) -> set[tuple[str, str, str, Any]]:
    """(side, key, column, value) that stood there before, and no longer does."""
    return {(side, key, c, v) for (side, t, key), row in before.items() for c, v in row.items()
            if v is not None and after.get((side, t, key), {}).get(c) != v}  # fmt: skip


def hold_against_the_table(stage: Stage, run: str, direction: str, update: str, deletion: str) -> tuple[int, int]:
    """Plan, apply, look for what was lost, undo. Returns how many values lost and how many couplings went."""
    w, told = stage.w, f"{run}, {direction}, update conflict {update}, deletion conflict {deletion}"
    plan = plan_of(stage, run, direction, update, deletion)
    shown = outcomes(plan, direction)
    wrong = {
        c.alias: (shown[c.alias], want) for c in CELLS if shown[c.alias] != (want := expected(c, run, direction, update, deletion))
    }
    assert not wrong, f"{told}: (is, should be) {wrong}"
    before, pairs = values(w), couplings(w)
    ran = w.carry_out(plan).run
    after = values(w)
    lost = losing(before, after)
    # every value that lost stands in the plan as the old one, and in the journal
    changes = plan.changes("CUSTOMER")
    in_plan = {("integration" if r["pass"] == "to" else "local", r["integration_key" if r["pass"] == "to" else "local_key"], r["column"], r["old"])
               for r in changes.to_dict("records")}  # fmt: skip
    journal = {(e["side"], e[f"{e['side']}_key"], column, value) for e in w.ws.ledger.journal(run=ran.id, state="done").to_pylist() if e["side"]
               for column, value in json.loads(e["before"] or "{}").items()}  # fmt: skip
    assert lost <= in_plan, f"{told}: not shown by the plan: {sorted(lost - in_plan)[:3]}"
    assert lost <= journal, f"{told}: not in the journal: {sorted(lost - journal)[:3]}"
    # where nobody has decided, both sides stand, and the plan names the values of both
    open_ = plan.conflicts("CUSTOMER")
    for cell in CELLS:
        if shown[cell.alias] == "conflict conflict":
            mine = open_[open_["local_key"] == cell.keys["local"]]
            assert {f"{side} {cell.alias} name" for side in TABLE} <= {*mine["local_value"], *mine["integration_value"]}, told
            assert not [v for v in lost if v[1] in cell.keys.values()], told
    gone = pairs - couplings(w)
    undo = w.ws.plan_undo(ran.id) if plan.writes or gone else None
    if undo is not None:
        assert not undo.total("left out by rule"), f"{told}: {undo.records(disposition='left out by rule')['reason'].tolist()[:3]}"
        w.ws.apply(undo, accept=to_accept(undo))
    assert values(w) == before, f"{told}: the undo does not bring back {sorted(losing(before, values(w)))[:3]}"
    assert couplings(w) == pairs, f"{told}: couplings {couplings(w) ^ pairs}"
    return len(lost), len(gone)


ALL = [(run, *rest) for run in ("modified", "full") for rest in itertools.product(DIRECTIONS, UPDATE, DELETION)]
#: One of each: every direction and run, every policy at least once where it speaks.
SOME = [
    ("modified", "bidirectional", "none", "none"),
    ("modified", "bidirectional", "get_from_integration", "remove_coupling"),
    ("modified", "from_integration", "none", "restore_records"),
    ("full", "bidirectional", "none", "restore_records"),
    ("full", "bidirectional", "send_to_integration", "none"),
    ("full", "to_integration", "none", "remove_coupling"),
]


@pytest.mark.parametrize(
    ("run", "direction", "update", "deletion"), SOME + [pytest.param(*a, marks=pytest.mark.long) for a in ALL if a not in SOME]
)
def test_every_cell_is_as_the_table_says_and_no_losing_value_disappears(
    stage: Stage, run: str, direction: str, update: str, deletion: str
) -> None:
    lost, gone = hold_against_the_table(stage, run, direction, update, deletion)
    print(f"{len(CELLS)} pairs, {lost} values lost to others and retrievable, {gone} couplings removed and brought back")
    assert lost


@pytest.mark.parametrize("run", ["modified", pytest.param("full", marks=pytest.mark.long)])
@pytest.mark.parametrize("update", UPDATE[1:])
def test_what_one_side_alone_may_change_is_not_forgotten_when_it_loses_a_conflict(stage: Stage, run: str, update: str) -> None:
    w = stage.w
    w.carry_out(plan_of(stage, run, "bidirectional", update, "none"))
    w.carry_out(w.ws.plan_modified(believe="CUSTOMER"))  # its own pass carries it, at the latest in the next run
    cell = next(c for c in CELLS if c.alias == "coupled changed changed")
    here, there = w.local.row("customer", cell.keys["local"]), w.integration.row("account", cell.keys["integration"])
    assert (there["city"], here["note"]) == (f"local {cell.alias} city", f"integration {cell.alias} note")
    winner = "local" if update == "send_to_integration" else "integration"
    assert here["name"] == there["name"] == f"{winner} {cell.alias} name"
