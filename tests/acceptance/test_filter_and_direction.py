"""Filters and directions: S-009 to S-024."""

from __future__ import annotations

from typing import Any

import pytest
from world import MakeWorld, World, mapping, on_both, scenario

from synckit.errors import SynckitError
from synckit.mapping.checking import is_active

UNIT = {"unit": "code code10 key, description text50"}
UOM = {"uom": "name text100, note text200"}
CUSTOMER = {"customer": "no code20 key, name text100, fax text30, blocked option _|ship|invoice"}
ACCOUNT = {"account": "name text160, fax text50"}


def units(make_world: MakeWorld, direction: str = "to_integration", **properties: Any) -> World:
    arrow = {"to_integration": ">", "from_integration": "<", "bidirectional": "<>"}[direction]
    fields = f"code {arrow} name, description {arrow} note"
    return make_world(UNIT, UOM, [mapping("UNIT", "unit > uom", fields, direction=direction, only_coupled=False, **properties)])


def customers(make_world: MakeWorld, direction: str = "bidirectional", **properties: Any) -> World:
    fields = "name <> name, fax <> fax"
    return make_world(CUSTOMER, ACCOUNT, [mapping("CUSTOMER", "customer > account", fields, direction=direction, **properties)])


@scenario("S-009")
@on_both
def test_the_local_filter_limits_a_run_to_integration(make_world: MakeWorld) -> None:
    w = units(make_world, local_filter={"code": "<>MEAS3"})
    for code in ("MEAS1", "MEAS2", "MEAS3"):
        w.local.add("unit", code, code=code)
    assert w.full()["UNIT", "to"] == {"inserted": 2}
    assert sorted(row["name"] for row in w.integration.rows("uom")) == ["MEAS1", "MEAS2"]
    assert w.coupling("UNIT", "MEAS3") is None


@scenario("S-010")
def test_widening_the_filter_later_picks_the_coupled_row_up(make_world: MakeWorld) -> None:
    w = units(make_world, local_filter={"code": "<>MEAS3"})
    for code in ("MEAS1", "MEAS2", "MEAS3"):
        w.local.add("unit", code, code=code)
    w.full()
    w.change("UNIT", local_filter={})
    w.integration.add("uom", "G3", name="MEAS3")
    w.couple("UNIT", "MEAS3", "G3", never=True)
    w.local.edit("unit", "MEAS3", description="abc")
    ran = w.full()
    assert w.integration.row("uom", "G3")["note"] == "abc"
    assert ran.counter("UNIT", "to", "modified") >= 1


@scenario("S-011")
def test_a_broken_local_filter_is_an_error_and_no_row_is_processed(make_world: MakeWorld) -> None:
    w = units(make_world, local_filter="BADDATA")
    for n in "12":
        w.local.add("unit", f"U{n}", code=n)
        w.integration.add("uom", f"G{n}", name=f"other {n}")
    with pytest.raises(SynckitError, match="Mapping UNIT, local filter"):
        w.full()
    assert not w.ws.ledger.exists
    assert w.integration.count("uom") == 2


@scenario("S-012")
def test_a_broken_integration_filter_is_an_error_and_no_row_is_processed(make_world: MakeWorld) -> None:
    w = units(make_world, "from_integration", integration_filter="More BADDATA")
    for n in "12":
        w.local.add("unit", f"U{n}", code=n)
        w.integration.add("uom", f"G{n}", name=f"other {n}")
    with pytest.raises(SynckitError, match="Mapping UNIT, integration filter"):
        w.full()
    assert w.local.count("unit") == 2


@scenario("S-014")
def test_a_coupled_record_that_leaves_the_filter_is_passed_over(make_world: MakeWorld) -> None:
    local = {"contact": "no code20 key, name text100, type option company|person"}
    fields = mapping("CONTACT", "contact > contact", "name > name", direction="to_integration", local_filter={"type": "person"})
    w = make_world(local, {"contact": "name text160"}, [fields])
    w.local.add("contact", "P", no="P", name="Ann", type=1)
    w.integration.add("contact", "G", name="Anna")
    w.couple("CONTACT", "P", "G", never=True)
    assert w.full()["CONTACT", "to"] == {"modified": 1}
    w.local.edit("contact", "P", type=0, name="Ann Ltd")
    ran = w.full()
    assert ran["CONTACT", "to"] == {}
    assert ran.plan.records("CONTACT")["disposition"].tolist() == ["outside the filter"]
    assert w.integration.row("contact", "G")["name"] == "Ann"


@scenario("S-017")
def test_a_parent_outside_the_filter_is_not_created_on_the_fly(make_world: MakeWorld) -> None:
    w = make_world(
        {**CUSTOMER, "invoice": "no code20 key, customer code20"},
        {**ACCOUNT, "invoice": "name text50, accountid guid"},
        [
            mapping("CUSTOMER", "customer > account", "name > name", only_coupled=False, local_filter={"blocked": "<>invoice"}),
            mapping("INVOICE", "invoice > invoice", "no > name, customer > accountid lookup CUSTOMER", direction="to_integration"),
        ],
    )
    w.local.add("customer", "A", no="A", name="Acme", blocked=2)
    w.local.add("invoice", "I", no="I1", customer="A")
    ran = w.full("INVOICE")
    assert ran["INVOICE", "to"] == {"failed": 1}
    assert ran.errors() == ['customer "A" must be coupled first: CUSTOMER has no coupled record with that key.']
    assert w.full()["INVOICE", "to"] == {"failed": 1}  # with the parent's mapping in the run, too
    assert w.coupling("CUSTOMER", "A") is None and w.integration.count("account") == 0


@scenario("S-019", "S-020", "S-021")
@pytest.mark.parametrize(
    ("direction", "passes"),
    [("to_integration", ["to_integration"]), ("from_integration", ["from_integration"]),
     ("bidirectional", ["to_integration", "from_integration"])],
)  # fmt: skip
def test_an_empty_run_records_its_jobs(make_world: MakeWorld, direction: str, passes: list[str]) -> None:
    w = units(make_world, direction)
    ran = w.full()
    jobs = w.ws.jobs("UNIT")
    assert jobs["direction"].tolist()[::-1] == passes
    assert jobs["status"].tolist() == ["success"] * len(passes)
    assert ran.together("UNIT") == {}


@scenario("S-022")
@on_both
def test_a_mapping_to_integration_ignores_changes_of_the_destination(make_world: MakeWorld) -> None:
    w = customers(make_world, "to_integration")
    w.local.add("customer", "C", no="C", name="Acme")
    w.integration.add("account", "G", name="Acme")
    w.couple("CUSTOMER", "C", "G")
    w.local.edit("customer", "C", name="Acme Ltd")
    w.integration.edit("account", "G", name="Other", fax="1")
    ran = w.full()
    assert ran["CUSTOMER", "to"] == {"modified": 1}
    assert (w.integration.row("account", "G")["name"], w.integration.row("account", "G")["fax"]) == ("Acme Ltd", None)
    assert ran.plan.records("CUSTOMER")["warnings"][0] == ["overwrites_newer_value"]  # synckit says what it costs


@scenario("S-023")
def test_effective_direction_of_a_bidirectional_mapping_and_field(make_world: MakeWorld) -> None:
    described = customers(make_world).ws.description.mapping("CUSTOMER")
    for direction in ("bidirectional", "to_integration", "from_integration"):
        assert is_active(described, direction) and is_active(described, direction, described.fields[0])  # type: ignore[arg-type]


@scenario("S-024")
def test_effective_direction_where_no_field_can_move(make_world: MakeWorld) -> None:
    w = make_world(CUSTOMER, ACCOUNT, [mapping("CUSTOMER", "customer > account", "name < name", direction="to_integration")])
    described = w.ws.description.mapping("CUSTOMER")
    for direction in ("bidirectional", "to_integration", "from_integration"):
        assert not is_active(described, direction)  # type: ignore[arg-type]
        assert not is_active(described, direction, described.fields[0])  # type: ignore[arg-type]


@scenario("S-018")
def test_a_run_against_the_direction_is_a_job_that_says_so(make_world: MakeWorld) -> None:
    w = customers(make_world, direction="to_integration")
    w.integration.add("account", "A1", name="Acme")
    run = w.ws.apply(w.ws.plan_modified("CUSTOMER", direction="from"))
    (job,) = run.jobs.to_dict("records")
    assert job["direction"] == "from_integration"
    assert "CUSTOMER is not set up for from integration" in job["message"]
    assert (job["skipped"], job["failed"]) == (0, 0)
