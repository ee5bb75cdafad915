"""Many small lives, each from one seed: people edit both sides, runs and undos go between, some are cut off and resumed; an independent
checker looks after every run. A failure prints its seed and how to see it again; rare branches are counted, and all must have been met.
"""

# ruff: noqa: S608 - the statements are composed of this file's own names
from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from harness import MODES, Faults, Killed
from life_checker import TABLE, LifeChecker, history
from stores import dump
from world import START, World, guid, mapping

from synckit.applying.refusals import to_accept
from synckit.errors import SynckitError
from synckit.ledger.lease import Holder
from synckit.planning.plan import Plan
from synckit.workspace import Workspace

SHORT = 6
LIVES = int(os.environ.get("SYNCKIT_LIVES", "1000"))
FIRST = int(os.environ.get("SYNCKIT_SEED", "1"))
AGAIN = "SYNCKIT_SEED={} pytest tests/faults/test_deterministic_life.py -k one_life"
FIELDS = "no <> number, name <> name, fax <> fax, city > city, note < note"
WORDS = ("", "a", "b", "Ä", "x y", "O'Brien", "=1+1", "<b>")
NAME, UID, NUMBER = (
    {"local": a, "integration": b} for a, b in (("customer", "account"), ("system_id", "accountid"), ("no", "number"))
)
#: The rare branches; every one must be met over the long form.
PROBES = (
    "conflict", "decided for one side", "merged", "left undecided", "loses to policy", "deleted partner", "coupling removed", "restored",
    "both gone", "recreated by hand", "skipped", "retried", "undo", "undo of an undo", "held by an undo", "lifted", "left out of an undo",
    "stale row", "cut off", "cut off between write and ledger", "resumed create found by its key", "cut off in resume too",
    "nothing had begun", "full synchronisation", "from the start", "source edited before apply",
)  # fmt: skip


class Beginning:
    """Four pairs in sync, as files; every life starts from a copy of them."""

    def __init__(self) -> None:
        shm = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else None))
        self.w = World(
            self.folder,
            {"customer": "no code20 key, name text30, fax text10, city text20, note text20"},
            {"account": "number text20, name text30, fax text10, city text20, note text20"},
            [mapping("CUSTOMER", "customer > account", FIELDS)],
        )
        for n in range(4):
            self.w.local.add("customer", f"C{n}", no=f"N{n}", name=f"name {n}")
            self.w.integration.add("account", f"G{n}", number=f"N{n}", name=f"name {n}")
            self.w.couple("CUSTOMER", f"C{n}", f"G{n}")
        ledger = self.folder / "ledger.db"
        self.w.close()
        for side in TABLE:
            for statement in history(side):
                self.w.sides[side].sql(statement)  # type: ignore[index]
        with sqlite3.connect(ledger) as database:  # keys of new rows are drawn from it
            database.execute("UPDATE meta SET value = ? WHERE key = 'ledger_id'", (guid("the ledger of every life"),))
        database.close()
        self.w.close()
        self.files = dump(self.folder)
        self.described: dict[str, Any] = {}

    def described_with(self, **properties: Any) -> Any:
        """The workspace with these properties of its mapping; read once, as thousands of lives share it."""
        known = repr(sorted(properties.items()))
        if known not in self.described:
            self.w.change("CUSTOMER", **properties)
            self.described[known] = self.w.ws.description
            self.w.close()
        return self.described[known]

    def put_back(self) -> None:
        self.w.close()
        for path in self.folder.iterdir():
            if ".db" in path.name:
                path.unlink()
        for name, content in self.files.items():
            (self.folder / name).write_bytes(content)
        self.w.now = START + timedelta(hours=1)

    def close(self) -> None:
        self.w.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Life:
    """One life. `met`: the probes; `wrong`: witnesses of what must not be."""

    def __init__(self, beginning: Beginning, seed: int) -> None:
        self.seed, self.dice, self.w = seed, random.Random(seed), beginning.w
        self.met: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.made = self.runs = 0
        self.undone: list[int] = []
        beginning.put_back()
        self.policies = {
            "update_conflict_resolution": self.dice.choice(["none", "none", "none", "send_to_integration", "get_from_integration"]),
            "deletion_conflict_resolution": self.dice.choice(["none", "none", "remove_coupling", "restore_records"]),
        }
        self.described = beginning.described_with(only_coupled=self.dice.random() < 0.3, **self.policies)
        self.reopen()
        self.checker = LifeChecker(beginning.folder)

    def live(self) -> str:
        """The whole life; returns its print."""
        try:
            with mock.patch.object(Holder, "has_died", lambda holder: True):  # this very process stands for those that died
                for _ in range(self.dice.randint(2, 4)):
                    for _ in range(self.dice.randint(1, 6)):
                        self.edit()
                    self.run()
                    if self.wrong:
                        break
            return self.checker.print()
        finally:
            self.checker.close()
            self.w.close()

    def reopen(self) -> None:
        self.w.reopen()
        self.w._ws = Workspace(self.described, clock=lambda: self.w.now)

    # -- people ----------------------------------------------------------------------------------------------------------------------

    def keys(self, side: str) -> list[str]:
        return [k for (k,) in self.w.sides[side].sql(f"SELECT {UID[side]} FROM {NAME[side]} ORDER BY 1")]  # type: ignore[index]

    def by(self, who: str) -> None:
        for side in TABLE:
            half = self.w.sides[side]  # type: ignore[index]
            half.set_clock()
            half.sql(f"UPDATE actor SET name = '{who}'")

    def edit(self) -> None:
        """One thing that somebody does on one side."""
        dice = self.dice
        self.w.tick()
        side = dice.choice(list(TABLE))
        half, keys, what = self.w.sides[side], self.keys(side), dice.random()  # type: ignore[index]
        half.set_clock()
        values = {c: dice.choice(WORDS) or (None if side == "integration" else "") for c in ("name", "fax", "city", "note")}
        gone = [r for r in half.sql(f"SELECT key, old FROM history WHERE op = 'delete' AND who = 'people' AND col = '{NUMBER[side]}' ORDER BY n") if r[0] not in keys]  # fmt: skip
        numbers = {n for (n,) in half.sql(f"SELECT {NUMBER[side]} FROM {NAME[side]}")}
        gone = [(k, n) for k, n in gone if n not in numbers]
        with half.engine.begin() as database:
            if what < 0.2 or not keys:
                self.made += 1
                new = {UID[side]: guid(f"{side} {self.made}"), NUMBER[side]: f"{side[0].upper()}{self.made}", **values}
                database.execute(half.physical[NAME[side]].insert().values(new))
            elif what < 0.25 and gone:  # back under its old key: somebody took the deletion back
                key, number = dice.choice(gone)
                self.met["recreated by hand"] += 1
                database.execute(half.physical[NAME[side]].insert().values({UID[side]: key, NUMBER[side]: number, **values}))
            elif what < 0.37:
                database.exec_driver_sql(f"DELETE FROM {NAME[side]} WHERE {UID[side]} = ?", (dice.choice(keys),))
            else:
                self._write(
                    database, side, dice.choice(keys), {c: values[c] for c in dice.sample(sorted(values), dice.randint(1, 2))}
                )

    def _write(self, database: Any, side: str, key: str, values: dict[str, Any]) -> None:
        table = self.w.sides[side].physical[NAME[side]]  # type: ignore[index]
        database.execute(table.update().where(table.c[UID[side]] == key).values(values))

    # -- runs ------------------------------------------------------------------------------------------------------------------------

    def plan(self) -> tuple[str, Plan]:
        """Kind and plan of the next run, as chance and what there is to do will have it."""
        dice, ws = self.dice, self.w.ws
        finished = [r["id"] for r in ws.ledger.runs().to_pylist() if r["status"] == "finished"]
        what = dice.random()
        if what < 0.2 and finished:
            run = max(finished)
            self.met["undo"] += 1
            self.met["undo of an undo"] += run in self.undone
            return "undo", ws.plan_undo(run)
        if what < 0.3 and len(ws.skipped()):
            self.met["retried"] += 1
            return "retry", ws.plan_retry()
        if what < 0.4:
            with suppress(SynckitError):  # nothing is broken
                return "restore", ws.plan_restore()
        if what < 0.55:
            self.met["full synchronisation"] += 1
            return "full", ws.plan_full()
        start = dice.random() < 0.1
        self.met["from the start"] += start
        return "modified", ws.plan_modified(from_start=start)

    def run(self) -> None:
        """Plan, decide, sometimes edit in between, apply, sometimes be cut off; then the checker looks."""
        dice, w = self.dice, self.w
        w.tick()
        self.lift()
        kind, plan = self.plan()
        plan, decided = self.decide(plan)
        self._meet(plan)
        self.runs += 1
        self.checker.show(shown(plan), decided)
        if dice.random() < 0.25:
            self.edit_what_is_planned(plan)
        w.tick()
        self.by(f"run {self.runs}")
        fatal, mode = (dice.randint(1, 45), dice.choice(MODES)) if dice.random() < 0.45 else (0, MODES[0])
        again, again_mode = (dice.randint(1, 12), dice.choice(MODES)) if dice.random() < 0.3 else (0, MODES[0])
        ran = None
        with Faults(fatal, mode).watching() as faults, suppress(*((SynckitError, Killed) if fatal else ())):
            ran = w.ws.apply(plan, accept=to_accept(plan))
        if faults.reached:
            self.met["cut off"] += 1
            self.met["cut off between write and ledger"] += (
                mode.endswith("after") and faults.names[fatal - 1] == "commit of a system"
            )
        if ran is not None:
            self.met["stale row"] += int((ran.differences["actual"] == "stale").sum())
        self.bring_to_an_end(plan, kind, again, again_mode)
        if kind == "undo":
            self.undone.append(max(w.ws.ledger.runs().column("id").to_pylist(), default=0))
        self.by("people")
        found = self.checker.look(f"run {self.runs}", kind, self.policies["deletion_conflict_resolution"] != "none",
                                  self.policies["update_conflict_resolution"] != "none")  # fmt: skip
        self.wrong += [
            f"after run {self.runs} ({kind}; {mode + ' call ' + str(fatal) if faults.reached else 'not cut off'}): {f}"
            for f in found
        ]

    def bring_to_an_end(self, plan: Plan, kind: str, again: int, mode: str) -> None:
        """What a person does after a crash: open anew, resume; where nothing had begun, apply the plan again."""
        w = self.w
        self.reopen()
        doubt = [e for e in w.ws.ledger.journal(state="intent").to_pylist() if e["op"] == "insert"]
        self.met["resumed create found by its key"] += sum(1 for e in doubt if e[f"{e['side']}_key"] in self.keys(e["side"]))
        if again:
            with Faults(again, mode).watching() as faults, suppress(SynckitError, Killed):
                w.ws.resume()
            self.met["cut off in resume too"] += faults.reached
            self.reopen()
        with Faults().watching():
            for _ in range(3):
                try:
                    if w.ws.resume() is None:
                        break
                except SynckitError as said:
                    if "Apply the plan again" not in said.message:
                        raise
            if plan.id not in {r["plan_id"] for r in w.ws.ledger.runs().to_pylist()}:
                self.met["nothing had begun"] += 1
                w.ws.apply(plan, accept=to_accept(plan))
        self.reopen()

    def decide(self, plan: Plan) -> tuple[Plan, list[str]]:
        decided = []
        open_ = plan.conflicts()
        open_ = open_[open_["disposition"] == "conflict"] if len(open_) else open_
        for key in dict.fromkeys(open_["local_key"]):
            self.met["conflict"] += 1
            use = self.dice.choice(["", "local", "integration", "merge", "merge"])
            if not use:
                self.met["left undecided"] += 1
                continue
            try:
                plan = plan.resolve("CUSTOMER", key, use=use)
                self.met["merged" if use == "merge" else "decided for one side"] += 1
            except SynckitError:  # both sides changed the same field, or nobody knows who changed it
                plan = plan.resolve("CUSTOMER", key, use="local")
            decided.append(key)
        return plan, decided

    def lift(self) -> None:
        """Now and then somebody lets what was undone go its way."""
        ledger = self.w.ws.ledger
        held = [c["local_key"] for c in ledger.couplings("CUSTOMER").to_pylist() if c["held"]]
        held += [h["key"] for h in ledger.held("CUSTOMER").to_pylist() if h["side"] == "local"]
        if held and self.dice.random() < 0.4:
            self.met["lifted"] += self.w.ws.lift("CUSTOMER", local=sorted(held))

    def edit_what_is_planned(self, plan: Plan) -> None:
        """Between plan and apply somebody edits a row, most often one that the plan is about."""
        rows = plan.records(disposition=["update", "create", "delete"])
        side = self.dice.choice(list(TABLE))
        known = [k for k in rows[f"{side}_key"] if k in self.keys(side)] if len(rows) else []
        if not known:
            return
        self.w.tick()
        self.met["source edited before apply"] += 1
        half = self.w.sides[side]  # type: ignore[index]
        half.set_clock()
        with half.engine.begin() as database:
            self._write(database, side, self.dice.choice(sorted(known)), {"name": "in between"})

    def _meet(self, plan: Plan) -> None:
        for disposition, probe in (
            ("loses to policy", "loses to policy"), ("deleted partner", "deleted partner"), ("remove coupling", "coupling removed"),
            ("restore", "restored"), ("broken coupling", "both gone"), ("skipped", "skipped"), ("held", "held by an undo"),
        ):  # fmt: skip
            self.met[probe] += plan.total(disposition)
        if plan.base.kind == "undo":
            self.met["left out of an undo"] += plan.total("left out by rule")


def shown(plan: Plan) -> list[tuple[Any, ...]]:
    """What a plan shows, as plain lines for the checker: (op, side, key, column, old, new)."""
    drawn = {
        (name, in_pass, r["record"]): r["key"] for (name, in_pass), table in plan.base.creates.items() for r in table.to_pylist()
    }
    lines: list[tuple[Any, ...]] = []
    undo = plan.base.kind == "undo"
    for c in plan.changes().to_dict("records"):
        side = c["table"].partition(":")[0] if isinstance(c["table"], str) else {"to": "integration", "from": "local"}[c["pass"]]
        made = c["disposition"] in ("create", "restore")
        key = drawn.get((c["mapping"], c["pass"], c["record"])) if made and not undo else c[f"{side}_key"]
        op = "insert" if made else "delete" if c["disposition"] == "delete" else "update"
        lines.append((op, side, key, c["column"], *(None if v != v else v for v in (c["old"], c["new"]))))
    for r in plan.records(all_rows=True).to_dict("records"):
        keys = [r[f"{side}_key"] for side in TABLE if isinstance(r[f"{side}_key"], str)]
        drawn_key = drawn.get((r["mapping"], r["pass"], r["record"]))
        if r["disposition"] in ("remove coupling", "uncoupling", "delete", "restore", "update") and (
            undo or r["disposition"] != "update"
        ):
            lines += [("uncouple", None, k, None, None, None) for k in keys]
        if r["disposition"] in ("create", "restore", "coupling", "couple") or undo:
            lines += [("couple", None, k, None, None, None) for k in [*keys, drawn_key] if k]
    return lines


@pytest.fixture(scope="module")
def beginning() -> Iterator[Beginning]:
    made = Beginning()
    yield made
    made.close()


def one(beginning: Beginning, seed: int) -> tuple[Counter[str], str]:
    """Live one life; raises with the smallest witness, the seed, and the command that shows it again."""
    life = Life(beginning, seed)
    try:
        printed = life.live()
    except Exception as problem:
        problem.add_note(f"seed {seed}; again: {AGAIN.format(seed)}")
        raise
    assert not life.wrong, (
        f"seed {seed}: {life.wrong[0]}\n({len(life.wrong)} witnesses, this is the smallest) again: {AGAIN.format(seed)}"
    )
    return life.met, printed


def test_one_life_twice_is_the_same(beginning: Beginning) -> None:
    assert one(beginning, FIRST)[1] == one(beginning, FIRST)[1] != one(beginning, FIRST + 1)[1]


def test_a_handful_of_lives(beginning: Beginning) -> None:
    met: Counter[str] = Counter()
    for seed in range(100, 100 + SHORT):
        met += one(beginning, seed)[0]
    assert met["cut off"] and met["conflict"] and met["undo"], met


def test_the_checker_sees_what_a_run_must_not_do(beginning: Beginning) -> None:
    """Each wrong is done by hand, as a run that nobody planned would do it."""
    beginning.put_back()
    w, checker = beginning.w, LifeChecker(beginning.folder)
    try:
        checker.show([("update", "integration", guid("G3"), "name", "what the plan had seen", "new")], [])
        w.local.delete("customer", "C0")
        w.integration.edit("account", "G3", name="by people")
        for side in TABLE:
            w.sides[side].sql("UPDATE actor SET name = 'run 1'")  # type: ignore[index]
        w.local.edit("customer", "C1", name="not planned")
        w.integration.edit("account", "G3", name="new")
        w.local.add("customer", "C0", no="N0", name="back again")
        w.integration.add("account", "twice", number="N1", name="one more")
        w.integration.delete("account", "G2")
        with sqlite3.connect(beginning.folder / "ledger.db") as ledger:
            ledger.execute("DELETE FROM coupling WHERE local_key = ?", (guid("C3"),))
            ledger.execute("UPDATE coupling SET integration_key = 'nobody' WHERE local_key = ?", (guid("C1"),))
        ledger.close()
        found = checker.look("run 1", "modified", deletion_policy=False, update_policy=False)
    finally:
        checker.close()
    for wrong in ("write outside the plan", "lost update: the plan had seen another value", "lost update: changed since", "double create",
                  "resurrected delete |", "resurrected delete, under another key", "row without its coupling", "lost coupling",
                  "coupling outside the plan", "coupling to a row that nobody deleted"):  # fmt: skip
        assert any(f.startswith(wrong) for f in found), (wrong, found)


@pytest.mark.long
def test_many_lives_meet_every_rare_branch(beginning: Beginning) -> None:
    met: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + LIVES):
        met += one(beginning, seed)[0]
    print(f"{LIVES} lives from seed {FIRST} on:")
    for probe in PROBES:
        print(f"  {met[probe]:>6}  {probe}")
    assert not (missed := [p for p in PROBES if not met[p]]), f"never met: {missed}"
