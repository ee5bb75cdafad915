"""The plan of a full synchronisation is what an independent, plain computation of it finds: on the demo and on generated data."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from oracle import NEW, Outcome, World, synchronise
from standard_maps import standard_maps
from worlds import Made, generated_maps

from synckit.demo import make_demo
from synckit.planning.plan import Plan
from synckit.workspace import Workspace, open_workspace

NOW = datetime(2026, 3, 5, 12)
DECIMALS = ("creditlimit", "exchangerate", "amount")


def rows_of(plan: Plan) -> dict[tuple[str, str], dict[tuple[Any, Any], str]]:
    """(mapping, pass) -> (local key, integration key) -> disposition, in the oracle's terms."""
    made = planned_keys(plan)
    found: dict[tuple[str, str], dict[tuple[Any, Any], str]] = {place: {} for place in plan.counts}
    first = plan.rows.filter(pc.equal(plan.rows.column("step"), 1))
    for table in (first, plan.base.quiet):
        columns = ("mapping", "pass", "local_key", "integration_key", "disposition")
        for *place, local, integration, disposition in zip(*(table.column(c).to_pylist() for c in columns), strict=True):
            row = (local, NEW if integration in made else integration)
            assert row not in found[place[0], place[1]], f"{place} {row} stands in the plan twice"
            found[place[0], place[1]][row] = disposition
    return found


def planned_keys(plan: Plan) -> dict[str, tuple[str, str]]:
    """The key of each planned record -> (mapping, source key)."""
    return {
        key: (mapping, source)
        for (mapping, _), table in plan.base.creates.items()
        for key, source in zip(table.column("key").to_pylist(), table.column("source_key").to_pylist(), strict=True)
        if key is not None
    }


def changes_of(plan: Plan) -> dict[tuple[Any, ...], Any]:
    """Fields that updates write, and references that are filled in a second step, in the oracle's terms."""
    made = planned_keys(plan)
    keys = {
        (r["mapping"], r["pass"], r["record"]): (r["local_key"], r["integration_key"])
        for r in plan.rows.to_pylist()
        if r["step"] == 1
    }
    found = {}
    for c in plan.base.changes.to_pylist():
        if c["step"] == 2 and c["origin"] != "lookup":
            continue  # what a rule writes afterwards; tests of the rules look at it
        new: Any = made.get(c["new"], c["new"])
        if c["ref_mapping"] is not None:
            new = (c["ref_mapping"], c["ref_key"])
        elif c["column"] in DECIMALS and new is not None:
            new = Decimal(new).normalize()
        physical = c["column"]
        found[(c["mapping"], c["pass"], c["step"], *keys[c["mapping"], c["pass"], c["record"]], physical)] = new
    return found


def with_physical_names(changes: dict[tuple[Any, ...], Any], ws: Workspace) -> dict[tuple[Any, ...], Any]:
    named = {}
    for (mapping, in_pass, *rest, column), new in changes.items():
        m = ws.description.mapping(mapping)
        side = "integration" if in_pass == "to" else "local"
        table = ws.schemas[side].table(getattr(m, side).table)  # type: ignore[index]
        physical = table.column(column).column if m.kind != "option" else column
        named[(mapping, in_pass, *rest, physical)] = new
    return named


def assert_alike(plan: Plan, ws: Workspace, expected: Outcome) -> None:
    planned = rows_of(plan)
    for place, rows in expected.rows.items():
        differing = {k: (planned[place].get(k), rows.get(k)) for k in planned[place].keys() | rows.keys()
                     if planned[place].get(k) != rows.get(k)}  # fmt: skip
        assert not differing, f"{place}: (plan, oracle) {dict(list(differing.items())[:8])}"
    assert planned.keys() == expected.rows.keys()
    written = with_physical_names(changes_of(plan), ws)
    differing = {k: (written.get(k, "-"), expected.changes.get(k, "-")) for k in written.keys() | expected.changes.keys()
                 if written.get(k, "-") != expected.changes.get(k, "-")}  # fmt: skip
    assert not differing, f"{len(differing)} changes differ (plan, oracle): {dict(list(differing.items())[:8])}"
    for name, counts in expected.counts.items():
        head = plan.base.mappings[name].counts
        assert (head["local"], head["integration"]) == counts  # type: ignore[index]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo(tmp_path_factory.mktemp("oracle") / "demo").parent


def test_the_demo_is_planned_as_the_oracle_does(demo: Path) -> None:
    with open_workspace(demo / "workspace.yaml") as ws:
        ws.clock = lambda: NOW
        plan = ws.plan_full()
        world = World(*(sqlite3.connect(demo / f"{n}.db") for n in ("business_central", "dataverse", "ledger")),
                      {"local_currency": "EUR", "company_id": ws.description.integration.company_id or ws.description.local.company_id})  # fmt: skip
        assert_alike(plan, ws, synchronise(world, standard_maps(world, NOW.date())))
        assert plan.total("create") and plan.total("conflict") and plan.total("deleted partner") and plan.total("blocked")


@pytest.mark.parametrize("seed", [n if n < 24 else pytest.param(n, marks=pytest.mark.long) for n in range(40)])
def test_generated_histories_are_planned_as_the_oracle_does(seed: int, tmp_path: Path) -> None:
    Made(tmp_path, seed, pairs=60)
    with open_workspace(tmp_path / "workspace.yaml") as ws:
        plan = ws.plan_full()
        world = World(*(sqlite3.connect(tmp_path / f"{n}.db") for n in ("local", "integration", "ledger")))
        assert_alike(plan, ws, synchronise(world, generated_maps()))
