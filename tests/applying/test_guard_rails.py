"""Guard rails: a source cut short, emptied or swapped deletes nothing; limits; the name of a production system."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from world import MakeWorld, World, guid, mapping

from synckit.errors import SynckitError

PAIRS = 20


@pytest.fixture
def make_pairs(make_world: MakeWorld) -> Any:
    def make(policy: str = "remove_coupling", **settings: Any) -> World:
        fields = mapping("CUSTOMER", "customer > account", "name <> name", deletion_conflict_resolution=policy)
        w = make_world({"customer": "no code20 key, name text50"}, {"account": "name text100"}, [fields], **settings)
        for n in range(PAIRS):
            w.local.add("customer", f"C{n}", no=f"C{n}", name=str(n))
            w.integration.add("account", f"G{n}", name=str(n))
            w.couple("CUSTOMER", f"C{n}", f"G{n}")
        w.carry_out(w.plan())
        return w

    return make


SIDES = {"local": ("customer", "Local"), "integration": ("account", "Integration")}


@pytest.mark.parametrize(
    ("policy", "side", "left"),
    [
        ("none", "local", 0),
        ("remove_coupling", "local", PAIRS - 10),
        ("restore_records", "integration", 0),
        ("remove_coupling", "integration", 3),
    ],
)
def test_what_follows_from_a_side_cut_short_is_held(make_pairs: Any, policy: str, side: str, left: int) -> None:
    table, title = SIDES[side]
    w = make_pairs(policy)
    for n in range(left, PAIRS):
        w.sides[side].delete(table, f"{'C' if side == 'local' else 'G'}{n}")
    missing = PAIRS - left
    for plan in (w.plan(), w.ws.plan_modified(), w.ws.plan_delete("CUSTOMER")):
        assert plan.total("remove coupling", "restore", "delete", "deleted partner", "create") == 0, plan.sentence()
        assert plan.total("held") == missing
        reason = plan.records(disposition="held")["reason"].iloc[0]
        assert f"{missing} of {PAIRS} coupled records of CUSTOMER are missing in {title}, which holds {left} rows." in reason
        assert f"{missing} are held because too many records are missing at once" in plan.sentence()
    before = w.everything()
    w.carry_out(w.plan())
    assert w.everything() == before and w.ws.ledger.coupling_count("CUSTOMER") == PAIRS
    lifted = w.ws.plan_full(believe="CUSTOMER")
    assert lifted.total("remove coupling", "restore", "deleted partner") == missing and not lifted.total("held")
    assert w.ws.plan_delete("CUSTOMER", believe="CUSTOMER").total("delete") == missing
    assert w.ws.plan_restore("CUSTOMER").total("restore") == missing  # who restores knows that they are missing


def test_a_days_deletions_are_no_suspicion(make_pairs: Any) -> None:
    w = make_pairs()
    for n in range(9):
        w.local.delete("customer", f"C{n}")
    assert w.plan().total("remove coupling") == 9


@pytest.mark.parametrize("which", ["swapped", "wrong company"])
def test_swapped_sides_and_the_wrong_company_delete_nothing(make_pairs: Any, which: str) -> None:
    w = make_pairs()
    other = w.folder / "other.db"
    other.write_bytes((w.folder / "local.db").read_bytes())
    w.config["local"] = {"url": f"sqlite:///{other.as_posix()}"}
    w.local.engine.dispose()
    with sqlite3.connect(other) as database:
        new = "lower(hex(randomblob(4)))||'-0000-4000-8000-'||lower(hex(randomblob(6)))"
        if which == "swapped":
            database.execute("DELETE FROM customer")
        else:
            database.execute(f"UPDATE customer SET system_id = {new}")  # noqa: S608 - a constant of this test
    w.reopen()
    plan = w.ws.plan_modified()
    assert plan.total("remove coupling", "delete", "restore") == 0 and plan.total("held") == PAIRS


def test_limits_are_per_mapping(make_pairs: Any) -> None:
    w = make_pairs(limits={"all": {"creates": 1}, "CUSTOMER": {"updates": 2, "deletes": 0}})
    for n in range(3):
        w.local.edit("customer", f"C{n}", name="new")
    plan = w.plan()
    with pytest.raises(SynckitError, match="CUSTOMER would see 3 updates, and 2 are allowed"):
        w.ws.apply(plan)
    assert w.integration.row("account", "G0")["name"] == "0"
    w.ws.apply(plan.exclude("CUSTOMER", local=guid("C2")))
    with pytest.raises(SynckitError, match="20 deletes"):
        w.ws.apply(w.ws.plan_uncoupling("CUSTOMER"))
    assert w.ws.apply(w.ws.plan_uncoupling("CUSTOMER"), over_limit=["CUSTOMER"]).exit_code == 0
    w.settings["limits"] = {"CUSTOMR": {"creates": 1}}
    w.reopen()
    with pytest.raises(SynckitError, match='no mapping "CUSTOMR" to limit'):
        _ = w.ws


def test_a_production_system_is_written_to_by_name(make_pairs: Any) -> None:
    w = make_pairs(config={"integration": {"production": True, "name": "Contoso live"}})
    w.local.edit("customer", "C0", name="new")
    plan = w.plan()
    for name in ("", "contoso", "Local"):
        with pytest.raises(SynckitError, match="Contoso live is a production system"):
            w.ws.apply(plan, confirm=name)
    assert w.ws.jobs(limit=1)["run_id"].iloc[0] == 1 and w.integration.row("account", "G0")["name"] == "0"
    assert w.ws.apply(plan, confirm="Contoso live").exit_code == 0
    w.integration.edit("account", "G1", name="there")
    assert w.ws.apply(w.ws.plan_modified()).exit_code == 0  # the other side is no production system
