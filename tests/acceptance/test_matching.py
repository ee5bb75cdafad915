"""Coupling by match: S-036 to S-040, and what the scenarios leave open: priorities, blanks, cases, taken matches, new records."""

from __future__ import annotations

from typing import Any

import pytest
from world import MakeWorld, Ran, World, mapping, on_both, scenario

from synckit.errors import SynckitError
from synckit.planning.planfile import load_plan

FIELDS = "no > accountnumber, name <> name, phone <> telephone1 match"
LOCAL = {"customer": "no code20 key, name text50, phone text30, email text80, blocked integer, limit decimal.2"}
INTEGRATION = {
    "account": "accountnumber text20, name text160, telephone1 text30, emailaddress1 text100, state integer, creditlimit decimal.2"
}


def phone_book(make_world: MakeWorld, fields: str = FIELDS, coupled: int = 3, **how: Any) -> World:
    """A mapping that matches by phone, with `coupled` customers that have their accounts."""
    how = {"update_conflict_resolution": "send_to_integration", "synch_after_match_coupling": True, **how}
    w = make_world(LOCAL, INTEGRATION, [mapping("CUSTOMER", "customer > account", fields, **how)])
    for n in range(coupled):
        w.local.add("customer", f"old{n}", no=f"OLD{n}", name=f"Old {n}", phone=f"9{n}")
        w.integration.add("account", f"oldG{n}", accountnumber=f"OLD{n}", name=f"Old {n}", telephone1=f"9{n}")
        w.couple("CUSTOMER", f"old{n}", f"oldG{n}")
    return w


def five(w: World, *phones: str) -> None:
    """Customers 1..5 with phones 1..5, and accounts with the phones given."""
    for n in range(1, 6):
        w.local.add("customer", f"C{n}", no=str(n), name=f"Customer {n}", phone=str(n))
    for n, phone in enumerate(phones, 1):
        w.integration.add("account", f"A{n}", name=f"Account {n}", telephone1=phone)


def by_match(w: World, **how: Any) -> Ran:
    w.tick()
    before = w.everything()
    plan = w.ws.plan_coupling("CUSTOMER", **how)
    assert w.everything() == before, "planning has written"
    return w.carry_out(plan)


def coupling_job(ran: Ran) -> dict[str, int]:
    jobs = [j for j in ran.run.jobs.to_dict("records") if j["type"] == "coupling"]
    assert len(jobs) == 1
    counters = ("inserted", "modified", "deleted", "unchanged", "skipped", "failed", "coupled", "uncoupled")
    return {c: int(jobs[0][c]) for c in counters if jobs[0][c]}


def partners(w: World, *aliases: str) -> list[str | None]:
    return [w.partner("CUSTOMER", local=a) for a in aliases]


def buckets(ran: Ran) -> dict[str, str]:
    """Local record -> the code of what became of it."""
    rows = ran.plan.records("CUSTOMER", ["coupling", "will fail"])
    return dict(zip(rows["local_key"].map(ran.world.aliases), rows["code"], strict=True))


@scenario("S-036")
@on_both
def test_one_match_for_a_whole_mapping(make_world: MakeWorld) -> None:
    w = phone_book(make_world)
    w.local.add("customer", "C", no="C", name="Acme", phone="5550001")
    w.integration.add("account", "A", name="Beta", telephone1="5550001")
    ran = by_match(w)
    assert partners(w, "C", "old0", "old1", "old2") == ["A", "oldG0", "oldG1", "oldG2"]
    assert w.integration.row("account", "A")["name"] == "Acme"
    assert coupling_job(ran) == {"coupled": 1}
    assert w.ws.jobs()["type"].tolist() == ["synchronization", "coupling"], "the follow-up is a job of its own"
    assert ran.plan.counters()["CUSTOMER", "to"]["modified"] == 1
    assert not w.carry_out(w.ws.plan_full()).plan.writes, "all is in step afterwards"


@scenario("S-037")
def test_five_matches_for_a_whole_mapping(make_world: MakeWorld) -> None:
    w = phone_book(make_world)
    five(w, "1", "2", "3", "4", "5")
    ran = by_match(w)
    assert coupling_job(ran) == {"coupled": 5}
    assert [w.integration.row("account", f"A{n}")["name"] for n in range(1, 6)] == [f"Customer {n}" for n in range(1, 6)]


@scenario("S-038")
def test_some_records_without_a_match(make_world: MakeWorld) -> None:
    w = phone_book(make_world)
    five(w, "1", "2", "x", "y", "z")
    ran = by_match(w)
    assert coupling_job(ran) == {"coupled": 2, "failed": 3}
    assert partners(w, "C1", "C2", "C3", "C4", "C5") == ["A1", "A2", None, None, None]
    assert [w.integration.row("account", f"A{n}")["name"] for n in (1, 2, 3)] == ["Customer 1", "Customer 2", "Account 3"]
    assert {buckets(ran)[c] for c in ("C3", "C4", "C5")} == {"no_match"} and len(ran.errors("CUSTOMER")) == 3


@scenario("S-039")
def test_several_candidates_make_a_match_inconclusive(make_world: MakeWorld) -> None:
    w = phone_book(make_world)
    five(w, "1", "1", "1", "1", "1")
    ran = by_match(w)
    assert coupling_job(ran) == {"failed": 5} and partners(w, "C1", "C2") == [None, None]
    assert len(ran.run.jobs) == 1, "no follow-up synchronisation"
    assert buckets(ran) == {"C1": "several_matches", **{f"C{n}": "no_match" for n in range(2, 6)}}
    assert (
        "5 records of Integration have the same phone: Account"
        in ran.plan.records("CUSTOMER", warning="ambiguous_match")["reason"][0]
    )


@scenario("S-040")
def test_couple_without_the_follow_up_synchronisation(make_world: MakeWorld) -> None:
    w = phone_book(make_world, synch_after_match_coupling=False)
    five(w, "1", "2", "3", "4", "5")
    ran = by_match(w)
    assert coupling_job(ran) == {"coupled": 5} and len(ran.run.jobs) == 1
    assert [w.integration.row("account", f"A{n}")["name"] for n in range(1, 6)] == [f"Account {n}" for n in range(1, 6)]
    assert w.plan().total("update") == 5, "coupled without stamps: both sides count as changed, and the policy speaks"


# -- criteria ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sensitive", "partner"), [(False, "A"), (True, None)])
def test_case_matters_only_where_the_field_says_so(make_world: MakeWorld, sensitive: bool, partner: str | None) -> None:
    w = phone_book(make_world, "no > accountnumber, name <> name match", coupled=0)
    w.change(
        "CUSTOMER", fields=[{"local": "name", "integration": "name", "use_for_match": True, "case_sensitive_match": sensitive}]
    )
    w.local.add("customer", "C", no="C", name="Ärzte ACME")
    w.integration.add("account", "A", name="ärzte acme")
    by_match(w)
    assert partners(w, "C") == [partner]


def prioritised(make_world: MakeWorld, **how: Any) -> World:
    """Phone first, then e-mail address and name together."""
    rows: list[dict[str, Any]] = [
        {"local": "phone", "integration": "telephone1", "use_for_match": True},
        {"local": "email", "integration": "emailaddress1", "use_for_match": True, "match_priority": 1},
        {"local": "name", "integration": "name", "use_for_match": True, "match_priority": 1},
    ]
    w = phone_book(make_world, coupled=0, synch_after_match_coupling=False, **how)
    w.change("CUSTOMER", fields=rows)
    w.local.add("customer", "C1", no="1", name="Acme", phone="1", email="a@acme.example")
    w.local.add("customer", "C2", no="2", name="Beta", phone="2", email="b@beta.example")
    w.local.add("customer", "C3", no="3", name="Gamma", phone="3", email="g@gamma.example")
    w.integration.add("account", "A1", name="ACME", telephone1="none", emailaddress1="A@acme.example")
    w.integration.add("account", "A2", name="Other", telephone1="2", emailaddress1="other@beta.example")
    w.integration.add("account", "A2b", name="Beta", telephone1="2", emailaddress1="b@beta.example")
    w.integration.add("account", "A3", name="Gamma", telephone1="none", emailaddress1="somebody.else@gamma.example")
    return w


def test_a_later_group_is_a_true_fallback(make_world: MakeWorld) -> None:
    w = prioritised(make_world)
    ran = by_match(w)
    assert partners(w, "C1", "C2", "C3") == ["A1", "A2b", None], "all fields of a group must agree"
    assert buckets(ran)["C3"] == "no_match"


def test_under_reference_semantics_a_later_group_only_narrows(make_world: MakeWorld) -> None:
    w = prioritised(make_world, semantics="reference")
    by_match(w)
    assert partners(w, "C1", "C2", "C3") == [None, "A2b", None], "after a group without a match nothing can match"


def test_blank_texts_are_not_asked_for_and_blank_numbers_are(make_world: MakeWorld) -> None:
    rows = [
        {"local": lo, "integration": it, "use_for_match": True}
        for lo, it in (("phone", "telephone1"), ("name", "name"), ("blocked", "state"))
    ]
    w = phone_book(make_world, coupled=0, synch_after_match_coupling=False)
    w.change("CUSTOMER", fields=rows)
    w.local.add("customer", "C1", no="1", name="Acme", phone="", blocked=0)
    w.integration.add("account", "A1", name="acme", telephone1="123", state=None)
    w.local.add("customer", "C2", no="2", name="Beta", phone="", blocked=0)
    w.integration.add("account", "A2", name="Beta", telephone1="", state=1)
    ran = by_match(w)
    assert partners(w, "C1", "C2") == ["A1", None]
    row = ran.plan.records("CUSTOMER", warning="matched_on_fewer_fields")
    assert row["local_name"].tolist() == ["Acme"] and "phone could not be compared: blank" in row["reason"][0]


def test_nothing_but_blanks_is_a_bucket_of_its_own(make_world: MakeWorld) -> None:
    w = phone_book(make_world, coupled=0, create_new_if_no_match=True)
    w.local.add("customer", "C", no="C", name="Acme", phone="")
    w.integration.add("account", "A", name="Beta", telephone1="")
    ran = by_match(w)
    assert buckets(ran) == {"C": "blank_criteria"} and w.integration.count("account") == 1, "what was not compared is not created"


def test_a_match_that_is_coupled_or_just_taken_is_said_to_be_taken(make_world: MakeWorld) -> None:
    w = phone_book(make_world, coupled=1)
    w.local.add("customer", "C", no="C", name="Acme", phone="90")
    w.local.add("customer", "D1", no="D1", name="First", phone="7")
    w.local.add("customer", "D2", no="D2", name="Second", phone="7")
    w.integration.add("account", "A", name="Beta", telephone1="7")
    ran = by_match(w)
    assert buckets(ran) == {"C": "match_taken", "D1": "matched", "D2": "match_taken"} and partners(w, "D1") == ["A"]
    assert "Second matches it, too" in ran.plan.records("CUSTOMER", warning="match_has_rivals")["reason"][0]


def test_records_outside_either_filter_take_no_part(make_world: MakeWorld) -> None:
    w = phone_book(make_world, coupled=0, local_filter={"blocked": 0}, integration_filter={"state": 0})
    for n, (blocked, state) in enumerate([(0, 0), (1, 0), (0, 1)]):
        w.local.add("customer", f"C{n}", no=str(n), name=f"C{n}", phone=str(n), blocked=blocked)
        w.integration.add("account", f"A{n}", name=f"A{n}", telephone1=str(n), state=state)
    ran = by_match(w)
    assert partners(w, "C0", "C1", "C2") == ["A0", None, None]
    assert buckets(ran) == {"C0": "matched", "C2": "no_match"} and ran.plan.total("outside the filter") == 1


def test_a_reference_matches_through_its_couplings(make_world: MakeWorld) -> None:
    people = mapping("SALESPEOPLE", "salesperson > user", "name < fullname", direction="from_integration")
    described = mapping("CUSTOMER", "customer > account", "name <> name, salesperson > ownerid lookup SALESPEOPLE match")
    w = make_world({"customer": "no code20 key, name text50, salesperson code10", "salesperson": "code code10 key, name text50"},
                   {"account": "name text160, ownerid guid", "user": "fullname text100"}, [people, described])  # fmt: skip
    w.local.add("salesperson", "JO", code="JO", name="Jo")
    w.integration.add("user", "U", fullname="Jo")
    w.couple("SALESPEOPLE", "JO", "U")
    w.local.add("customer", "C", no="1", name="Acme", salesperson="JO")
    w.local.add("customer", "D", no="2", name="Beta", salesperson="XX")
    w.integration.add("account", "A", name="Other", ownerid="U")
    ran = by_match(w)
    assert partners(w, "C", "D") == ["A", None] and buckets(ran)["D"] == "no_match"


# -- what follows --------------------------------------------------------------------------------------------------------------------


def test_new_records_are_created_for_those_without_a_match_alone(make_world: MakeWorld) -> None:
    w = phone_book(make_world, coupled=1, create_new_if_no_match=True)
    five(w, "1", "2", "2")
    w.local.add("customer", "T", no="T", name="Taken", phone="90")
    ran = by_match(w)
    assert coupling_job(ran) == {"coupled": 1, "failed": 2}
    assert ran.plan.total("create") == 3, "3, 4 and 5; not the ambiguous 2, not the one whose match is taken"
    assert {a["name"] for a in w.integration.rows("account")} >= {"Customer 1", "Customer 3", "Customer 4", "Customer 5"}
    assert partners(w, "C2", "T") == [None, None]


def test_under_reference_semantics_all_that_is_unmatched_is_created(make_world: MakeWorld) -> None:
    w = phone_book(make_world, coupled=1, create_new_if_no_match=True, semantics="reference")
    five(w, "1", "2", "2")
    ran = by_match(w)
    assert coupling_job(ran) == {"coupled": 1} and ran.plan.total("create") == 4


@pytest.mark.parametrize(("policy", "local", "integration"), [("get_from_integration", "Beta", "Beta"), ("none", "Acme", "Beta")])
def test_the_conflict_policy_says_whose_values_win(make_world: MakeWorld, policy: str, local: str, integration: str) -> None:
    w = phone_book(make_world, coupled=0, update_conflict_resolution=policy)
    w.local.add("customer", "C", no="C", name="Acme", phone="1")
    w.integration.add("account", "A", name="Beta", telephone1="1")
    ran = by_match(w)
    assert partners(w, "C") == ["A"]
    assert (w.local.row("customer", "C")["name"], w.integration.row("account", "A")["name"]) == (local, integration)
    assert (ran.plan.total("conflict") > 0) == (policy == "none"), "without a policy a difference waits for somebody"


def test_without_a_policy_a_difference_can_be_decided_in_the_plan(make_world: MakeWorld) -> None:
    w = phone_book(make_world, coupled=0, update_conflict_resolution="none")
    w.local.add("customer", "C", no="C", name="Acme", phone="1")
    w.integration.add("account", "A", name="Beta", telephone1="1")
    plan = w.ws.plan_coupling("CUSTOMER")
    w.carry_out(plan.resolve("CUSTOMER", local=plan.records("CUSTOMER", "coupling")["local_key"][0], use="local"))
    assert w.integration.row("account", "A")["name"] == "Acme"


def test_a_coupling_that_is_left_out_is_neither_made_nor_synchronised(make_world: MakeWorld) -> None:
    w = phone_book(make_world)
    five(w, "1", "2")
    plan = w.ws.plan_coupling("CUSTOMER")
    key = w.local.row("customer", "C1")["system_id"]
    w.carry_out(plan.exclude("CUSTOMER", local=key))
    assert partners(w, "C1", "C2") == [None, "A2"] and w.integration.row("account", "A1")["name"] == "Account 1"


def test_only_the_named_records_are_matched(make_world: MakeWorld) -> None:
    w = phone_book(make_world)
    five(w, "1", "2", "3", "4", "5")
    ran = by_match(w, local=["2", "4"])
    assert coupling_job(ran) == {"coupled": 2} and partners(w, "C1", "C2", "C4") == [None, "A2", "A4"]


def test_what_changes_after_planning_is_refused_by_name(make_world: MakeWorld) -> None:
    w = phone_book(make_world)
    five(w, "1", "2")
    plan = w.ws.plan_coupling("CUSTOMER")
    w.integration.edit("account", "A1", telephone1="77")
    ran = w.carry_out(plan, surprises=True)
    assert partners(w, "C1", "C2") == [None, "A2"] and any("changed after planning" in e for e in ran.errors())


def test_a_mapping_without_criteria_says_what_to_write(make_world: MakeWorld) -> None:
    w = phone_book(make_world, "name <> name")
    with pytest.raises(SynckitError, match="use_for_match: true"):
        w.ws.plan_coupling("CUSTOMER")


def test_a_plan_by_match_lives_in_a_file_like_any_other(make_world: MakeWorld) -> None:
    w = phone_book(make_world)
    five(w, "1", "2", "x", "x", "x")
    plan = w.ws.plan_coupling("CUSTOMER")
    path = str(w.folder / "match.plan")
    plan.save(path)
    assert coupling_job(w.carry_out(load_plan(path))) == {"coupled": 2, "failed": 3}


# -- within a full synchronisation ---------------------------------------------------------------------------------------------------


def test_a_review_line_that_recommends_coupling_can_be_coupled_by_match(make_world: MakeWorld) -> None:
    contact = mapping("CONTACT", "contact > person", "name <> fullname, customer > parent lookup CUSTOMER")
    w = make_world({**LOCAL, "contact": "no code20 key, name text50, customer code20"}, {**INTEGRATION, "person": "fullname text160, parent guid"},
                   [mapping("CUSTOMER", "customer > account", FIELDS, synch_after_match_coupling=True, update_conflict_resolution="send_to_integration"), contact])  # fmt: skip
    five(w, "1", "2")
    w.local.add("contact", "P", no="P", name="Jo", customer="1")
    w.local.add("contact", "Q", no="Q", name="Al", customer="3")
    plan = w.ws.plan_full(by_match="CUSTOMER")
    assert plan.total("coupling") == 2 and plan.total("create") == 1
    ran = w.carry_out(plan)
    assert coupling_job(ran) == {"coupled": 2, "failed": 3}
    assert [p["parent"] for p in w.integration.rows("person")] == [w.integration.row("account", "A1")["accountid"]], (
        "its parent is the one just coupled"
    )
    assert any("customer 3" in e.casefold() or "must be coupled" in e for e in ran.errors("CONTACT"))
    assert not w.ws.ledger.due("CUSTOMER").num_rows, "what found no partner waits for a person, not for the next run"


# -- what if -------------------------------------------------------------------------------------------------------------------------


def test_what_if_says_what_each_field_would_couple_and_suggests_a_set(make_world: MakeWorld) -> None:
    w = phone_book(
        make_world, "no > accountnumber, name <> name, phone <> telephone1, email <> emailaddress1, blocked <> state", coupled=2
    )
    for n in range(6):
        w.local.add(
            "customer",
            f"C{n}",
            no=str(n),
            name="Branch" if n < 4 else f"Firm {n}",
            phone=str(n),
            email=f"{n}@x.example" if n < 3 else "",
        )
        w.integration.add(
            "account",
            f"A{n}",
            name="Branch" if n < 4 else f"Firm {n}",
            telephone1=str(n) if n > 1 else "none",
            emailaddress1=f"{n}@X.example" if n < 3 else None,
        )
    before = w.everything()
    told = w.ws.what_if("CUSTOMER").set_index("criteria")
    assert w.everything() == before
    assert told.loc["phone", ["couples", "several", "taken", "none", "blank"]].tolist() == [4, 0, 0, 2, 0]
    assert told.loc["email", ["couples", "none", "blank"]].tolist() == [3, 0, 3]
    assert told.loc["name", ["couples", "several"]].tolist() == [2, 4]
    assert told.loc["phone", "unique_integration"] == pytest.approx(6 / 8) and told.loc["email", "filled_local"] == pytest.approx(
        3 / 8
    )
    assert told.loc["phone", "equal_where_coupled"] == 1.0
    assert told["suggested"].dropna().to_dict()["email"] == 0 and "name" not in told["suggested"].dropna()
    assert "use_for_match: true" in w.ws.suggested_match("CUSTOMER")


def test_what_if_tells_what_the_plan_does(make_world: MakeWorld) -> None:
    w = phone_book(make_world)
    five(w, "1", "2", "x", "2", "z")
    line = w.ws.what_if("CUSTOMER").set_index("criteria").loc["phone"]
    ran = by_match(w)
    assert coupling_job(ran) == {"coupled": line["couples"], "failed": line["several"] + line["none"]}
