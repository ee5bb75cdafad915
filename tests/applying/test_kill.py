"""kill -9 at twenty moments of an apply, then resume: no duplicate, no orphan, no lost coupling, truthful counters."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from stores import Files, Servers, uid_of
from world import MakeWorld, World, mapping

from synckit.applying.progress import Run
from synckit.applying.refusals import to_accept
from synckit.demo import make_demo
from synckit.planning.tables import COUNTERS
from synckit.workspace import Workspace, open_workspace

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL, which Windows has not")

HERE = Path(__file__).parent
MOMENTS = 20


class Stage:
    """A workspace that is put back as it was before each apply, one plan of it, and the process that starts the doomed."""

    def __init__(self, workspace: Path, rows: int, store: Files | None = None) -> None:
        self.workspace, self.rows, self.folder = workspace, rows, workspace.parent
        self.store = store or Files(self.folder)
        self.plan = self.folder / "the.plan"
        with open_workspace(workspace) as ws:
            plan = ws.plan_full()
            plan.save(str(self.plan))
        self.store.keep()
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "killed.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        )  # fmt: skip

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.communicate(timeout=60)
        self.store.close()

    def apply(self, moment: int = 0) -> dict[str, Any]:
        """Everything as it was, then apply in a process that is killed at `moment`; how it ended and which moments it passed."""
        self.store.put_back()
        assert self.process.stdin is not None and self.process.stdout is not None
        order = {"workspace": str(self.workspace), "plan": str(self.plan), "moment": moment, "rows": self.rows}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def spread(passed: list[str], number: int) -> list[int]:
    """`number` moments (from 1) over the whole run, every kind of moment at least once."""
    chosen = {passed.index(name) + 1 for name in dict.fromkeys(passed)}
    step = len(passed) / number
    evenly = [round(1 + step * n) for n in range(number)]
    for moment in evenly[::-1] + list(range(1, len(passed) + 1)):
        if len(chosen) >= number:
            break
        chosen.add(moment)
    return sorted(chosen)


def a_busy_world(make_world: MakeWorld) -> World:
    """Creates and updates in both directions, references to rows created in the same run, and a second step that closes a cycle."""
    w = make_world(
        {
            "customer": "no code20 key, name text100, fax text30, currency code10, contact code20",
            "contact": "no code20 key, name text100, customer code20",
            "currency": "code code10 key",
        },
        {
            "account": "name text160, fax text50, currencyid guid, primarycontactid guid",
            "contact": "name text160, accountid guid",
            "transactioncurrency": "isocode text5",
        },
        [
            mapping("CURRENCY", "currency > transactioncurrency", "code > isocode", direction="to_integration"),
            mapping(
                "CUSTOMER",
                "customer > account",
                "name <> name, fax <> fax, currency <> currencyid lookup CURRENCY, contact <> primarycontactid lookup CONTACT clear",
            ),
            mapping("CONTACT", "contact > contact", "name <> name, customer <> accountid lookup CUSTOMER"),
        ],
    )
    w.local.add("currency", "CHF", code="CHF")
    for n in range(4):
        w.local.add("customer", f"C{n}", no=f"C{n:04}", name=f"Coupled {n}")
        w.integration.add("account", f"G{n}", name=f"Coupled {n}")
        w.couple("CUSTOMER", f"C{n}", f"G{n}")
        w.local.add("customer", f"N{n}", no=f"N{n:04}", name=f"Local {n}", currency="CHF", contact=f"K{n}")
        w.local.add("contact", f"K{n}", no=f"K{n}", name=f"Contact {n}", customer=f"N{n:04}")
        w.integration.add("account", f"A{n}", name=f"Account {n}")
    w.local.edit("customer", "C0", fax="1")
    w.local.edit("customer", "C1", name="Renamed here")
    w.integration.edit("account", "G2", fax="2")
    w.integration.edit("account", "G3", name="Renamed there")
    w.local.add("customer", "F", no="F", name="Fails", currency="ZZZ")
    _ = w.ws
    w.reopen()
    return w


# --- what must be true afterwards -----------------------------------------------------------------------------------------------


def finished(ws: Workspace, jobs: list[tuple[Any, ...]], told: str, again: bool) -> None:
    """Resume (or apply again, where nothing had begun), then look with plain SQL; `again`: and with another plan."""
    run: Run | None = ws.resume()
    if run is None and not ws.jobs().empty:
        assert set(ws.ledger.runs()["status"].to_pylist()) == {"finished"}, told  # it was killed after the end
    elif run is None:
        plan = ws.plan_full()
        run = ws.apply(plan, accept=to_accept(plan))
    assert of_jobs(ws) == jobs, told
    assert not set(ws.ledger.runs()["status"].to_pylist()) - {"finished", "failed"}, told
    lines = ws.ledger.journal().to_pylist()
    assert {line["state"] for line in lines} <= {"done"}, told
    # every journalled create is one row and one coupling
    created = [
        (x["mapping"], x["side"], x["local_key"], x["integration_key"])
        for x in lines
        if x["op"] == "insert" and x["side"] and x["step"] == 1
    ]
    with sqlite3.connect(ws.description.ledger) as ledger:
        ask = lambda query: ledger.execute(query).fetchall()  # noqa: E731
        assert ask("SELECT count(*) FROM claim") == ask("SELECT count(*) FROM run_plan") == [(0,)], told
        assert ask("SELECT count(*) FROM job WHERE finished IS NULL") == [(0,)], told
        couplings = set(ask("SELECT mapping, local_key, integration_key FROM coupling"))
    assert len(created) == len(set(created)), told
    for mapping_name, _, local, integration in created:
        assert (mapping_name, local, integration) in couplings, told
    if again:
        plan = ws.plan_full()
        assert plan.writes == 0, f"{told}: {plan.sentence()}"


def of_jobs(ws: Workspace) -> list[tuple[Any, ...]]:
    """Mapping, direction and counters of all jobs; those of a run that never got its plan kept do not exist."""
    jobs = ws.jobs()
    return sorted(tuple(row) for row in jobs[["mapping", "direction", *COUNTERS]].itertuples(index=False))


COUPLED = (("local", "customer", "CUSTOMER"), ("integration", "account", "CUSTOMER"), ("local", "contact", "CONTACT"), ("integration", "contact", "CONTACT"))  # fmt: skip


def no_row_twice_none_alone(store: Files, expected: dict[str, Counter[str]], told: str) -> None:
    """Each name stands on each side as often as after a run that was not cut off, and every row has exactly one coupling."""
    assert names_of(store) == expected, told
    for side, table, name in COUPLED:
        keys = {row["k"]: row["name"] for row in store.ask(side, f"SELECT {uid_of(side, table)} AS k, name FROM {table}")}  # noqa: S608
        coupled = [row["k"] for row in store.ask("ledger", f"SELECT {side}_key AS k FROM coupling WHERE mapping = '{name}'")]  # noqa: S608
        assert len(coupled) == len(set(coupled)) and not set(coupled) - keys.keys(), f"{told}: lost, {side} {table}"
        alone = [name for key, name in keys.items() if key not in coupled]
        assert alone == (["Fails"] if (side, table) == ("local", "customer") else []), f"{told}: {side} {table}"


def names_of(store: Files) -> dict[str, Counter[str]]:
    return {f"{side} {t}": Counter(row["name"] for row in store.ask(side, f"SELECT name FROM {t}")) for side, t, _ in COUPLED}  # noqa: S608


@pytest.mark.parametrize("make_world", ["sqlite", "servers"], indirect=True)
def test_killed_at_twenty_moments_and_resumed(make_world: MakeWorld) -> None:
    """On files; and with the process gone in the middle of its transactions on MariaDB and PostgreSQL."""
    w = a_busy_world(make_world)
    urls = {side: half.url for side, half in w.sides.items() if not half.lite}
    with Stage(w.path, rows=2, store=Servers(w.folder, urls) if urls else None) as stage:  # type: ignore[arg-type]
        whole = stage.apply()
        assert whole["ended"] == 0 and len(whole["passed"]) > 60
        expected = names_of(stage.store)
        assert all(n == 1 for names in expected.values() for n in names.values())
        with open_workspace(w.path) as ws:
            jobs = of_jobs(ws)
        kinds = set()
        for number, moment in enumerate(spread(whole["passed"], MOMENTS)):
            end = stage.apply(moment)
            assert end["ended"] == -signal.SIGKILL and len(end["passed"]) == moment
            kinds.add(end["passed"][-1])
            told = f"killed at moment {moment}: {end['passed'][-1]}"
            with open_workspace(w.path) as ws:
                finished(ws, jobs, told, again=number % 5 == 0)
            no_row_twice_none_alone(stage.store, expected, told)
        assert kinds == set(whole["passed"])  # every kind of moment was one of the twenty


@pytest.mark.parametrize("number", [1, pytest.param(MOMENTS, marks=pytest.mark.long)])
def test_the_demo_killed_and_resumed(tmp_path: Path, number: int) -> None:
    with Stage(make_demo(tmp_path / "demo"), rows=20) as stage:
        whole = stage.apply()
        with open_workspace(stage.workspace) as ws:
            jobs = of_jobs(ws)
        for moment in (round(len(whole["passed"]) * (n + 0.5) / number) for n in range(number)):
            end = stage.apply(moment)
            assert end["ended"] == -signal.SIGKILL
            with open_workspace(stage.workspace) as ws:
                finished(ws, jobs, f"killed at moment {moment}: {end['passed'][-1]}", again=True)
