"""A plan's age and drift can be asked before applying; a plan for something else is refused as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from world import MakeWorld, World, guid, mapping

from synckit.errors import SynckitError


@pytest.fixture
def w(make_world: MakeWorld) -> World:
    w = make_world(
        {"customer": "no code20 key, name text50"},
        {"account": "name text100"},
        [mapping("CUSTOMER", "customer > account", "name <> name", direction="to_integration")],
    )
    for n in "ABCDE":
        w.local.add("customer", n, no=n, name=n)
        if n not in "DE":
            w.integration.add("account", f"G{n}", name=f"old {n}")
            w.couple("CUSTOMER", n, f"G{n}", never=True)
    return w


def told(found: Any) -> set[tuple[str, str]]:
    return {(row["name"], row["what"]) for row in found.frame.to_dict("records")}


def test_what_changed_since_is_counted_and_named(w: World) -> None:
    plan = w.plan()
    fresh = w.ws.drift(plan)
    assert not fresh.records and "None of its 5 rows has changed since." in fresh.sentence()
    w.local.edit("customer", "A", name="new")
    w.integration.edit("account", "GA", name="new, too")
    w.integration.delete("account", "GB")
    w.integration.add("account", "GD", name="D")
    w.couple("CUSTOMER", "D", "GD")
    with w.ws.ledger.transaction() as tx:
        tx.remove_couplings([w.coupling("CUSTOMER", "C")["id"]])  # type: ignore[index]
    before = w.everything()
    drift = w.ws.drift(plan)
    assert w.everything() == before
    assert told(drift) == {("A", "changed"), ("old A", "changed"), ("old B", "deleted"), ("D", "coupled"), ("C", "uncoupled")}  # fmt: skip
    assert drift.records == 4 and "4 of 5 rows have changed since" in drift.sentence()
    run = w.ws.apply(plan, accept=["CUSTOMER"])
    refused = set(run.differences["local_key"])
    assert refused == {guid(n) for n in "ABCD"}  # drift names exactly the rows that apply refuses
    assert f"applied by run {run.id}" in w.ws.drift(plan).sentence()


def test_a_plan_for_other_values_is_refused_as_a_whole(w: World) -> None:
    plan = w.plan()
    w.change("CUSTOMER", only_coupled=True)
    w.ws.drift(plan)  # says nothing about the values
    text = w.path.read_text(encoding="utf-8")
    w.reopen()
    _ = w.ws
    w.path.write_text(f"# a comment\n{text}", encoding="utf-8")
    w.ws.drift(plan)
    w.change("CUSTOMER", fields=[{"local": "no", "integration": "name"}])
    for verb in (w.ws.drift, w.ws.apply):
        with pytest.raises(SynckitError, match="Mapping CUSTOMER has been changed since"):
            verb(plan)


def test_a_plan_of_another_ledger_is_refused(w: World) -> None:
    plan = w.plan()
    w.settings["ledger"] = "another.db"
    w.reopen()
    with pytest.raises(SynckitError, match="another ledger"):
        w.ws.drift(plan)


def test_a_plan_of_another_system_is_refused(w: World) -> None:
    plan = w.plan()
    (w.folder / "copy.db").write_bytes((w.folder / "integration.db").read_bytes())
    w.config["integration"] = {"url": f"sqlite:///{(w.folder / 'copy.db').as_posix()}"}
    w.reopen()
    with pytest.raises(SynckitError, match="another integration system"):
        w.ws.drift(plan)
