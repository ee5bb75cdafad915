"""The review of a full synchronisation: S-128 to S-131."""

from __future__ import annotations

from datetime import UTC, datetime

from world import MakeWorld, mapping, scenario

from synckit.ledger.lease import Holder

#: A process number that no system gives out, so its holder is known to be dead.
NOBODY = 2**30


@scenario("S-128")
def test_the_review_list_shows_every_mapping(make_world: MakeWorld) -> None:
    w = make_world("business_central", "dataverse", "standard", ownership_model="person", local_currency="EUR", base_currency="EUR")
    lines = w.plan().review()
    assert lines["mapping"].tolist() == w.ws.order and len(lines) == 8
    directions = dict(zip(lines["mapping"], lines["direction"], strict=True))
    assert directions == {m.name: m.direction for m in w.ws.description.mappings}
    assert not w.ws.ledger.exists  # nothing has been started


@scenario("S-130")
def test_mappings_run_when_their_parents_have(make_world: MakeWorld) -> None:
    w = make_world(
        dict.fromkeys("abcd", "code code10 key"),
        dict.fromkeys("abcd", "name text10"),
        [
            mapping("LAST", "d > d", "code > name", direction="to_integration", depends_on=["THIRD"]),
            mapping("THIRD", "c > c", "code > name", direction="to_integration", depends_on=["FIRST", "SECOND"]),
            mapping("SECOND", "b > b", "code > name", direction="to_integration"),
            mapping("FIRST", "a > a", "code > name", direction="to_integration"),
        ],
    )
    ran = w.full()
    order = ran.run.jobs["mapping"].tolist()
    assert set(order[:2]) == {"FIRST", "SECOND"} and order[2:] == ["THIRD", "LAST"]


@scenario("S-131")
def test_a_crashed_run_does_not_block_the_next(make_world: MakeWorld) -> None:
    w = make_world(
        {"a": "code code10 key"}, {"a": "name text10"}, [mapping("A", "a > a", "code > name", direction="to_integration")]
    )
    w.local.add("a", "X", code="X")
    w.full()
    epoch = w.ws.ledger.lease.acquire(Holder("anna", pid=NOBODY), datetime.now(UTC))
    with w.ws.ledger.transaction(epoch=epoch) as tx:
        run = tx.start_run("a plan", "full", "anna", Holder("anna").host, NOBODY, epoch)
        tx.start_job(run, "A", "to_integration")
    assert w.ws.ledger.runs().to_pylist()[0]["status"] == "interrupted"
    assert w.ws.jobs(run=run)["status"].tolist() == ["interrupted"]
    w.local.add("a", "Y", code="Y")
    assert w.full()["A", "to"] == {"inserted": 1, "unchanged": 1}
