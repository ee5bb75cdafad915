"""Custom finders: S-041, in runs of every extent, and what they leave for the next run."""

from __future__ import annotations

import pytest
from incremental import chosen, modified, plan_chosen, plan_modified
from world import MakeWorld, World, mapping, on_both, scenario

from synckit.mapping.rules import Rule, register
from synckit.mapping.standard_rules import equal_partners

register(
    Rule(
        "test.same_fax",
        "Records with the same fax number are coupled.",
        finder=lambda local, integration: equal_partners(local, "fax", integration, "fax"),
        reads_local=("fax",),
        reads_integration=("fax",),
    )
)


def same_fax(make_world: MakeWorld, fields: str = "name <> name") -> World:
    """Customer C and account A, uncoupled, called differently, with the same fax number."""
    w = make_world(
        {"customer": "no code20 key, name text100, fax text30, city text30"},
        {"account": "name text160, fax text50, city text30"},
        [mapping("CUSTOMER", "customer > account", fields, rules=["test.same_fax"], only_coupled=False)],
    )
    w.local.add("customer", "C", no="C", name="Acme", fax="7", city="Here")
    w.integration.add("account", "A", name="Beta", fax="7", city="There")
    return w


def names(w: World) -> tuple[str, str]:
    return w.local.row("customer", "C")["name"], w.integration.row("account", "A")["name"]


@scenario("S-041")
@on_both
def test_a_finder_supplies_the_partner_of_a_chosen_record(make_world: MakeWorld) -> None:
    w = same_fax(make_world)
    ran = chosen(w, "CUSTOMER", integration="A", direction="from")
    assert (ran["CUSTOMER", "from"], ran.errors()) == ({"modified": 1}, [])
    assert w.partner("CUSTOMER", "C") == "A" and names(w) == ("Beta", "Beta")
    assert (w.local.count("customer"), w.integration.count("account")) == (1, 1)


@pytest.mark.parametrize("extent", ["full", "modified", "chosen"])
def test_a_found_pair_is_coupled_once(make_world: MakeWorld, extent: str) -> None:
    w = same_fax(make_world)
    plans = {"full": w.plan, "modified": lambda: plan_modified(w), "chosen": lambda: plan_chosen(w, "CUSTOMER", local="C")}
    plan = plans[extent]()
    ran = w.carry_out(plan)
    assert plan.total("couple") == 1 and ran["CUSTOMER", "to"] == {"modified": 1}
    assert names(w) == ("Acme", "Acme")
    assert modified(w).together("CUSTOMER").keys() <= {"unchanged"}


@pytest.mark.parametrize("side", ["local", "integration"])
def test_only_one_of_the_two_is_new(make_world: MakeWorld, side: str) -> None:
    w = same_fax(make_world)
    with w.ws.ledger.transaction() as tx:
        tx.set_watermark("CUSTOMER", "integration" if side == "local" else "local", "2030-01-01T00:00:00")
    counted = modified(w).together("CUSTOMER")
    assert counted["modified"] == 1 and counted.keys() <= {"modified", "unchanged"} and w.partner("CUSTOMER", "C") == "A"


def test_several_records_of_the_other_side_are_no_partner(make_world: MakeWorld) -> None:
    w = same_fax(make_world)
    w.integration.add("account", "B", name="Gamma", fax="7")
    assert chosen(w, "CUSTOMER", integration="A", direction="from", create=True)["CUSTOMER", "from"] == {"inserted": 1}


def test_what_only_the_other_pass_carries_follows_in_the_next_run(make_world: MakeWorld) -> None:
    w = same_fax(make_world, "name <> name, city < city")
    w.full("CUSTOMER")
    assert names(w) == ("Acme", "Acme") and w.local.row("customer", "C")["city"] == "Here"
    modified(w)
    assert names(w) == ("Acme", "Acme") and w.local.row("customer", "C")["city"] == "There"


def test_a_chosen_currency_finds_the_one_of_its_code(make_world: MakeWorld) -> None:
    w = make_world(
        {"currency": "Code code10 key, description text50"},
        {"transactioncurrency": "isocurrencycode text5, currencyname text100"},
        [mapping("CURRENCY", "currency > transactioncurrency", "Code > isocurrencycode, description > currencyname",
                 direction="to_integration", rules=["currency.match_uncoupled"])],
    )  # fmt: skip
    w.local.add("currency", "J", Code="JPY", description="Yen")
    w.integration.add("transactioncurrency", "Y", isocurrencycode="JPY", currencyname="yen")
    assert chosen(w, "CURRENCY", local="J", direction="to", create=True)["CURRENCY", "to"] == {"modified": 1}
    assert w.partner("CURRENCY", "J") == "Y" and w.integration.count("transactioncurrency") == 1


def test_a_held_record_is_not_coupled_although_its_partner_is_found(make_world: MakeWorld) -> None:
    w = same_fax(make_world)
    w.carry_out(w.plan().exclude("CUSTOMER", note="not yet"))
    plan = w.plan()
    assert (plan.total("couple"), plan.writes) == (0, 0) and plan.total("held") > 0
    assert w.partner("CUSTOMER", "C") is None and names(w) == ("Acme", "Beta")
