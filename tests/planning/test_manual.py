"""Plans made by hand are plans like any other: they repeat, are saved and loaded, write nothing, and are carried out after a crash."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "acceptance"))
from world import World, guid, mapping

from synckit.applying import couplings as by_hand
from synckit.errors import SynckitError
from synckit.planning.plan import Plan

COMPANY = guid("this company")
PLANS: dict[str, Callable[[World], Plan]] = {
    "coupling": lambda w: w.ws.plan_coupling("CUSTOMER", [(guid("D"), guid("GD"))], sync="to"),
    "uncoupling": lambda w: w.ws.plan_uncoupling("CUSTOMER"),
    "restore": lambda w: w.ws.plan_restore(),
    "delete": lambda w: w.ws.plan_delete("CUSTOMER"),
    "retry": lambda w: w.ws.plan_retry(),
}


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    """A in step, B skipped, C without its customer, D uncoupled; accounts carry the company's mark."""
    world = World(
        tmp_path,
        {"customer": "no code20 key, name text50"},
        {"account": "name text100, bcbi_companyid guid"},
        [mapping("CUSTOMER", "customer > account", "name <> name", rules=["customer.company"])],
        config={"integration": {"company_id": COMPANY}},
    )
    for name in "ABCD":
        world.local.add("customer", name, no=name, name=name)
        world.integration.add("account", f"G{name}", name=f"Account {name}", bcbi_companyid=COMPANY)
        if name != "D":
            world.couple("CUSTOMER", name, f"G{name}")
    with world.ws.ledger.transaction() as tx:
        tx.set_skipped([world.coupling("CUSTOMER", "B")["id"]], True)  # type: ignore[index]
    world.local.delete("customer", "C")
    yield world
    world.close()


@pytest.mark.parametrize("kind", PLANS)
def test_planned_twice_saved_and_loaded_it_is_the_same_plan(w: World, tmp_path: Path, kind: str) -> None:
    before, counter = w.everything(), w.ws.ledger.run_counter()
    plan = PLANS[kind](w)
    assert plan.base.kind == kind and plan.id == PLANS[kind](w).id
    plan.save(str(tmp_path / "a.plan"))
    loaded = w.ws.load_plan(str(tmp_path / "a.plan"))
    assert loaded.id == plan.id and loaded.counters() == plan.counters() and loaded.base.mappings == plan.base.mappings
    assert w.everything() == before and w.ws.ledger.run_counter() == counter
    w.ws.apply(loaded)
    with pytest.raises(SynckitError, match="already applied"):
        w.ws.apply(plan)


@pytest.mark.parametrize("kind", PLANS)
def test_the_job_counts_what_the_plan_shows(w: World, kind: str) -> None:
    plan = PLANS[kind](w)
    run = w.ws.apply(plan)
    assert run.written == run.planned == plan.writes
    for job in run.jobs.to_dict("records"):
        planned = plan.counters()[job["mapping"], {"to_integration": "to", "from_integration": "from"}[job["direction"]]]
        assert {counter: job[counter] for counter in planned} == planned


def test_a_whole_mapping_is_uncoupled_after_a_crash(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = w.ws.plan_uncoupling("CUSTOMER")
    monkeypatch.setattr(by_hand.CouplingChunk, "book", _crash)
    with pytest.raises(ZeroDivisionError):
        w.ws.apply(plan)
    monkeypatch.undo()
    assert w.ws.ledger.coupling_count("CUSTOMER") == 3  # the marks are gone, the couplings not yet
    run = w.ws.resume()
    assert run.status == "finished" and run.written == plan.writes
    assert w.ws.ledger.coupling_count("CUSTOMER") == 0
    assert not any(row["bcbi_companyid"] for row in w.integration.rows("account"))


def test_a_survivor_is_deleted_once_after_a_crash(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = w.ws.plan_delete("CUSTOMER")
    monkeypatch.setattr(by_hand.CouplingChunk, "book", _crash)
    with pytest.raises(ZeroDivisionError):
        w.ws.apply(plan)
    monkeypatch.undo()
    assert w.ws.resume().exit_code == 0
    assert w.integration.count("account") == 3 and w.coupling("CUSTOMER", integration="GC") is None


def test_what_a_coupling_held_is_in_the_journal(w: World) -> None:
    held = {k: v for k, v in w.coupling("CUSTOMER", "B").items() if k not in ("mapping", "local_key", "integration_key")}  # type: ignore[union-attr]
    w.ws.apply(w.ws.plan_uncoupling("CUSTOMER", local="B"))
    (line,) = [one for one in w.ws.ledger.journal().to_pylist() if one["op"] == "uncouple"]
    assert json.loads(line["before"]) == held and held["skipped"]


def test_a_record_is_named_by_key_number_or_name(w: World) -> None:
    for integration in (guid("GD"), "account d", "Account D"):
        assert w.ws.plan_coupling("CUSTOMER", [("D", integration)]).total("coupling") == 1
    with pytest.raises(SynckitError, match="4 records of CUSTOMER in Integration are called"):
        w.ws.plan_coupling("CUSTOMER", [("D", "Acc")])
    with pytest.raises(SynckitError, match="has no record"):
        w.ws.plan_coupling("CUSTOMER", [("D", "Nobody")])


def _crash(*arguments: object) -> None:
    raise ZeroDivisionError
