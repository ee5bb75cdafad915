"""Jobs, errors and what a run leaves on a coupling: S-100 to S-106."""

from __future__ import annotations

from world import MakeWorld, World, guid, mapping, on_both, scenario


def items(make_world: MakeWorld, **properties: object) -> World:
    described = mapping("ITEM", "item > product", "description <> name", **properties)
    w = make_world({"item": "no code20 key, description text100"}, {"product": "name text100"}, [described])
    w.local.add("item", "I", no="I1", description="Old")
    w.integration.add("product", "P", name="Old")
    w.couple("ITEM", "I", "P")
    return w


@scenario("S-100")
def test_an_error_with_only_the_source_known(make_world: MakeWorld) -> None:
    local = {"customer": "no code20 key, name text100, salesperson code20", "salesperson": "code code20 key"}
    w = make_world(
        local,
        {"account": "name text160, ownerid guid", "systemuser": "name text100"},
        [
            mapping("SALESPEOPLE", "salesperson > systemuser", "code > name", direction="to_integration"),
            mapping(
                "CUSTOMER",
                "customer > account",
                "name > name, salesperson > ownerid lookup SALESPEOPLE",
                direction="to_integration",
            ),
        ],
    )
    w.local.add("customer", "C", no="C", salesperson="PS")
    assert w.full("CUSTOMER")["CUSTOMER", "to"] == {"failed": 1}
    (error,) = w.ws.ledger.errors("CUSTOMER").to_pylist()
    assert (error["local_key"], error["integration_key"]) == (guid("C"), None)


@scenario("S-101")
def test_the_job_list_of_a_mapping(make_world: MakeWorld) -> None:
    w = make_world(
        {"x": "code code10 key", "y": "code code10 key"},
        {"x": "name text10", "y": "name text10"},
        [mapping(n, f"{n.lower()} > {n.lower()}", "code > name", direction="to_integration") for n in "XY"],
    )
    w.full()
    w.full("Y")
    jobs = w.ws.jobs("Y")
    assert jobs["mapping"].tolist() == ["Y", "Y"]
    assert jobs["run_id"].tolist() == [2, 1]
    assert jobs["started"].is_monotonic_decreasing


@scenario("S-103")
@on_both
def test_success_to_integration_marks_the_coupling(make_world: MakeWorld) -> None:
    w = items(make_world)
    w.local.edit("item", "I", description="D")
    ran = w.full()
    assert ran["ITEM", "to"] == {"modified": 1}
    assert w.integration.row("product", "P")["name"] == "D"
    coupling = w.coupling("ITEM", "I")
    assert coupling is not None
    assert (coupling["to_result"], coupling["to_job"]) == ("success", ran.job("ITEM", "to")["id"])
    assert (coupling["from_result"], coupling["from_job"]) == ("", "")


@scenario("S-104")
@on_both
def test_success_from_integration_marks_the_coupling(make_world: MakeWorld) -> None:
    w = items(make_world)
    w.integration.edit("product", "P", name="D")
    ran = w.full()
    assert ran["ITEM", "from"] == {"modified": 1}
    assert w.local.row("item", "I")["description"] == "D"
    coupling = w.coupling("ITEM", "I")
    assert coupling is not None
    assert (coupling["from_result"], coupling["from_job"]) == ("success", ran.job("ITEM", "from")["id"])
    assert (coupling["to_result"], coupling["to_job"]) == ("", "")


@scenario("S-105")
def test_the_destination_refuses_the_write(make_world: MakeWorld) -> None:
    w = items(make_world)
    w.integration.edit("product", "P", name="D")
    w.local.refuse("item", "NEW.description = 'D'", "no way")
    ran = w.full(surprises=True)
    assert ran["ITEM", "from"] == {"failed": 1}
    assert w.local.row("item", "I")["description"] == "Old"
    coupling = w.coupling("ITEM", "I")
    assert coupling is not None
    assert (coupling["from_result"], coupling["from_job"]) == ("failure", ran.job("ITEM", "from")["id"])
    assert "no way" in ran.errors()[0]


@scenario("S-106")
def test_the_latest_error_when_both_directions_failed(make_world: MakeWorld) -> None:
    w = items(make_world)
    ran = w.full()
    coupling = w.coupling("ITEM", "I")
    assert coupling is not None
    with w.ws.ledger.transaction() as tx:
        for in_pass, text in (("to", "E1"), ("from", "E2")):
            error = {"id": coupling["id"], "code": "x", "message": text, "skipped": True}
            tx.mark_results([error], in_pass, ran.job("ITEM", in_pass)["id"])  # type: ignore[arg-type]
    assert w.ws.skipped()["message"].tolist() == ["E1"]
