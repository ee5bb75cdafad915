"""Deciding on possible duplicates in a plan: couple, create all the same, leave out, not the same; what apply makes of it."""

from __future__ import annotations

from typing import Any

import openpyxl
import pytest
from world import MakeWorld, World, guid, mapping

from synckit.cli import main
from synckit.errors import SynckitError
from synckit.planning.plan import Plan
from synckit.planning.planfile import load_plan

FIELDS = "no > accountnumber, name <> name, email <> emailaddress1, phone <> telephone1, city <> city, limit > creditlimit"


def two_customers(make_world: MakeWorld, *more: dict[str, Any], fields: str = FIELDS, **how: Any) -> World:
    """Acme stands uncoupled on both sides, with differences; Zeta on the local side alone."""
    w = make_world(
        {"customer": "no code20 key, name text50, email text80, phone text30, city text30, limit decimal.2", "contact": "no code20 key, name text50, customer code20"},
        {"account": "accountnumber text20, name text160, emailaddress1 text100, telephone1 text50, city text80, creditlimit decimal.2", "person": "fullname text160, parent guid"},
        [mapping("CUSTOMER", "customer > account", fields, **how), *more],
    )  # fmt: skip
    w.local.add("customer", "C", no="10", name="Acme GmbH", email="info@acme.example", phone="", city="Köln", limit="5.00")
    w.local.add("customer", "Z", no="20", name="Zeta AG", email="zeta@zeta.example", city="Bonn")
    w.integration.add("account", "A", name="ACME", emailaddress1="info@acme.example", telephone1="+49 221 1", city="")
    return w


def plan_of(w: World) -> Plan:
    plan = w.plan()
    assert {(r.source_key, r.existing_key) for r in plan.duplicates("CUSTOMER").itertuples()} == {
        (guid("C"), guid("A")),
        (guid("A"), guid("C")),
    }
    return plan


def columns(plan: Plan, in_pass: str) -> dict[str, tuple[Any, Any]]:
    frame = plan.changes("CUSTOMER", in_pass=in_pass)
    frame = frame[(frame["local_key"] == guid("C")) & (frame["integration_key"] == guid("A"))].astype(object)
    return {c.column: (c.old if isinstance(c.old, str) else None, c.new) for c in frame.itertuples()}


def test_coupling_takes_the_place_of_two_creates_and_shows_its_first_synchronisation(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    plan = plan_of(w)
    assert plan.total("create") == 3 and plan.look_alike() == 2
    decided = plan.couple("CUSTOMER", guid("C"), guid("A"))
    assert (decided.total("create"), decided.total("couple"), decided.look_alike()) == (1, 1, 0)
    assert columns(decided, "to") == {
        "accountnumber": (None, "10"),
        "name": ("ACME", "Acme GmbH"),
        "city": (None, "Köln"),
        "creditlimit": (None, "5.00"),
    }
    assert columns(decided, "from") == {"phone": (None, "+49 221 1")}, "a blank is filled from the other side"
    w.carry_out(decided)
    assert w.partner("CUSTOMER", local="C") == "A" and w.integration.count("account") == 2 and w.local.count("customer") == 2
    account, customer = w.integration.row("account", "A"), w.local.row("customer", "C")
    assert (account["name"], account["telephone1"], customer["phone"], customer["name"]) == (
        "Acme GmbH",
        "+49 221 1",
        "+49 221 1",
        "Acme GmbH",
    )
    assert not w.plan().writes, "both are in step"


def test_the_integration_side_may_have_the_first_word(make_world: MakeWorld) -> None:
    w = two_customers(make_world, update_conflict_resolution="get_from_integration")
    plan = plan_of(w).couple("CUSTOMER", guid("C"), guid("A"))
    assert columns(plan, "from") == {"name": ("Acme GmbH", "ACME"), "phone": (None, "+49 221 1")}, "as the conflict policy says"
    w.carry_out(plan)
    assert (w.local.row("customer", "C")["name"], w.integration.row("account", "A")["city"]) == ("ACME", "Köln")
    assert columns(plan_of(two_customers(make_world)).couple("CUSTOMER", guid("C"), guid("A"), use="integration"), "from")[
        "name"
    ] == ("Acme GmbH", "ACME")


def test_coupling_alone_writes_to_no_system(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    plan = plan_of(w).couple("CUSTOMER", guid("C"), guid("A"), use="neither").exclude("CUSTOMER", local=guid("Z"))
    before = w.everything()
    w.carry_out(plan)
    assert w.partner("CUSTOMER", "C") == "A" and w.everything() == before
    assert w.plan().total("conflict") == 2, "never synchronised: the next run asks"


def test_what_waits_for_a_create_goes_on_with_the_partner(make_world: MakeWorld) -> None:
    contacts = mapping("CONTACT", "contact > person", "no > fullname, customer <> parent lookup CUSTOMER")
    w = two_customers(make_world, contacts, direction="bidirectional")
    w.local.add("contact", "P", no="P", customer="10")
    w.integration.add("person", "Q", fullname="Q", parent="A")
    plan = w.plan().couple("CUSTOMER", guid("C"), guid("A"))
    shown = plan.changes("CONTACT")
    assert (
        guid("A") in shown[shown["column"] == "parent"]["new"].tolist()
        and "10" in shown[shown["column"] == "customer"]["new"].tolist()
    )
    w.carry_out(plan)
    assert [p["parent"] for p in w.integration.rows("person")] == [guid("A")] * 2
    assert [c["customer"] for c in w.local.rows("contact")] == ["10"] * 2


def test_a_row_that_changed_after_planning_is_not_coupled(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    plan = plan_of(w).couple("CUSTOMER", guid("C"), guid("A"))
    w.integration.edit("account", "A", city="Berlin")
    ran = w.carry_out(plan, surprises=True)
    assert w.partner("CUSTOMER", "C") is None and w.integration.row("account", "A")["name"] == "ACME"
    assert any("changed" in e for e in ran.errors())


def test_one_way_mappings_couple_and_write_their_one_side(make_world: MakeWorld) -> None:
    w = two_customers(
        make_world, fields="no > accountnumber, name > name, email > emailaddress1, phone > telephone1", direction="to_integration"
    )
    plan = w.plan()
    assert plan.duplicates()["existing_key"].tolist() == [guid("A")]
    w.carry_out(plan.couple("CUSTOMER", guid("C"), guid("A")))
    assert w.partner("CUSTOMER", "C") == "A" and w.integration.row("account", "A")["name"] == "Acme GmbH"


def test_a_confirmed_create_is_no_longer_a_warning(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    plan = plan_of(w)
    assert len(plan.records(warning="possible_duplicate")) == 2
    confirmed = plan.couple("CUSTOMER", guid("C"), guid("A")).create("CUSTOMER", local=guid("C"))
    assert confirmed.total("create") == 3, "it takes the coupling back"
    assert confirmed.records(warning="possible_duplicate")["integration_key"].tolist() == [guid("A")]
    excluded = plan.exclude("CUSTOMER", local=guid("C"))
    assert excluded.total("create") == 2 and excluded.create("CUSTOMER", local=guid("C")).total("create") == 3


def test_decisions_are_taken_back_one_record_at_a_time(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    plan = plan_of(w)
    both = plan.exclude("CUSTOMER", disposition="create")
    assert both.undecide("CUSTOMER", local=guid("C")).total("excluded") == 2
    assert plan.couple("CUSTOMER", guid("C"), guid("A")).undecide("CUSTOMER", integration=guid("A")).total("create") == 3
    with pytest.raises(SynckitError, match="Nothing was decided"):
        plan.undecide("CUSTOMER", local=guid("C"))


def test_not_the_same_hides_a_pair_until_its_data_changes(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    plan = plan_of(w)
    judged = plan.not_the_same("CUSTOMER", guid("A"), guid("C"), note="two branches")
    assert judged.duplicates().empty and judged.look_alike() == 0 and judged.records(warning="possible_duplicate").empty
    assert not w.ws.ledger.decisions().num_rows, "nothing is written before the plan is applied"
    w.carry_out(judged.exclude("CUSTOMER"))
    for side in ("local", "integration"):
        w.ws.lift("CUSTOMER", **{side: [guid(a) for a in (("C", "Z") if side == "local" else ("A",))]})  # type: ignore[arg-type]
    assert w.ws.judged()[["a", "b", "note"]].to_numpy().tolist() == [[guid("C"), guid("A"), "two branches"]]
    assert w.plan().duplicates().empty
    w.integration.edit("account", "A", city="Köln")
    assert len(w.plan().duplicates()) == 2, "it is another pair now"


def test_a_judgement_can_be_made_and_taken_back_without_a_plan(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    w.ws.not_the_same("CUSTOMER", "10", guid("A"))
    assert w.plan().duplicates().empty
    w.ws.same_after_all("CUSTOMER", "10", guid("A"))
    assert len(w.plan().duplicates()) == 2 and w.ws.judged().empty
    with pytest.raises(SynckitError, match="Nobody judged"):
        w.ws.same_after_all("CUSTOMER", "10", guid("A"))
    with pytest.raises(SynckitError, match='no record "99"'):
        w.ws.not_the_same("CUSTOMER", "99", guid("A"))


def test_the_evidence_adds_up_and_travels_with_the_plan(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    plan = plan_of(w).couple("CUSTOMER", guid("C"), guid("A"))
    path = str(w.folder / "a.plan")
    plan.save(path)
    loaded = load_plan(path)
    why = loaded.why("CUSTOMER", guid("C"), guid("A"))
    assert why["field"].tolist()[0] == "base" and {"email", "name"} <= set(why["field"])
    odds = why["log_odds"].sum()
    score = plan.undecided().duplicates().query("`pass` == 'to'")["score"][0]
    assert 1 / (1 + 2.718281828**-odds) == pytest.approx(score, abs=1e-6) == pytest.approx(why["score_so_far"].iloc[-1], abs=1e-6)
    other = loaded.why("CUSTOMER", guid("A"), guid("C"))
    assert other["source_value"].tolist() == why["existing_value"].tolist()
    w.carry_out(loaded)
    assert w.partner("CUSTOMER", "C") == "A"


def test_what_cannot_be_decided_is_said(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    w.local.add("customer", "D", no="30", name="Delta Handel", email="delta@delta.example", phone="0221 987654")
    w.integration.add("account", "T", name="Delta Handel", emailaddress1="delta@delta.example", telephone1="0221 987654")
    w.integration.add("account", "U", name="Delta Handel", emailaddress1="delta@delta.example", telephone1="0221 987654")
    w.couple("CUSTOMER", "D", "T")
    plan = w.plan()
    taken = plan.duplicates().query("existing_coupled")
    assert taken["existing_key"].tolist() == [guid("D")], "this create would double a coupled record"
    for call, said in (
        (lambda: plan.couple("CUSTOMER", guid("D"), guid("U")), "is coupled already"),
        (lambda: plan.couple("CUSTOMER", guid("A"), guid("C")), "stands on the integration side"),
        (lambda: plan.couple("CUSTOMER", guid("Z"), guid("A")), "are no possible duplicates"),
        (lambda: plan.couple("CUSTOMER", guid("C"), guid("A"), use="left"), "local, integration or neither"),
        (lambda: plan.not_the_same("CUSTOMER", guid("Z"), guid("A")), "are no possible duplicates"),
        (lambda: plan.create("CUSTOMER", local=guid("D")), "creates nothing for"),
        (lambda: plan.create("CUSTOMER"), "Name the one record"),
        (lambda: plan.why("CUSTOMER", guid("Z"), guid("A")), "no evidence"),
        (lambda: plan.duplicates(threshold=3), "between 0 and 1"),
    ):
        with pytest.raises(SynckitError, match=said):
            call()


# -- the workbook, and the command line ----------------------------------------------------------------------------------------------


def written(plan: Plan, path: str, words: dict[str, str]) -> None:
    """The workbook of a plan in which somebody wrote words beside source keys."""
    plan.to_excel(path)
    book = openpyxl.load_workbook(path)
    sheet = book["Possible duplicates"]
    header = [c.value for c in sheet[1]]
    for row in sheet.iter_rows(min_row=2):
        row[header.index("decision")].value = words.get(row[header.index("source_key")].value)
    book.save(path)


@pytest.mark.parametrize(
    ("word", "left"), [("couple", (1, 1, 0)), ("create", (3, 0, 0)), ("skip", (2, 0, 1)), ("not the same", (3, 0, 0))]
)
def test_a_colleague_decides_in_the_workbook(make_world: MakeWorld, word: str, left: tuple[int, int, int]) -> None:
    w = two_customers(make_world)
    plan = plan_of(w)
    path = str(w.folder / "plan.xlsx")
    written(plan, path, {guid("C"): word})
    decided = plan.with_decisions(path)
    assert (decided.total("create"), decided.total("couple"), decided.total("excluded")) == left
    assert decided.look_alike() == {"couple": 0, "create": 1, "skip": 1, "not the same": 0}[word]
    with pytest.raises(SynckitError, match="holds decisions"):
        plan.to_excel(path)


def test_words_that_contradict_one_another_are_named_by_row(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    plan = plan_of(w)
    path = str(w.folder / "plan.xlsx")
    written(plan, path, {guid("C"): "couple", guid("A"): "not the same"})
    with pytest.raises(SynckitError) as error:
        plan.with_decisions(path)
    assert "row 3: not the same here and couple in row 2 do not go together" in str(error.value)
    (w.folder / "plan.xlsx").unlink()
    written(plan, path, {guid("C"): "cuple"})
    with pytest.raises(SynckitError, match='"cuple" is no decision'):
        plan.with_decisions(path)


def test_the_command_decides_and_tells_why(make_world: MakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    def run(words: list[str]) -> int:
        with pytest.raises(SystemExit) as ended:
            main(words)
        return int(ended.value.code or 0)

    w = two_customers(make_world)
    old, new = str(w.folder / "a.plan"), str(w.folder / "b.plan")
    plan_of(w).save(old)
    both = f"{guid('C')}={guid('A')}"
    assert run(["duplicates", old, "--why", both, "-m", "CUSTOMER"]) == 0
    assert "email" in capsys.readouterr().out
    assert run(["decide", old, "-o", new, "-m", "CUSTOMER", "--couple", both]) == 0
    assert load_plan(new).total("couple") == 1
    assert run(["decide", old, "-o", new, "-m", "CUSTOMER", "--not-the-same", both]) == 0 and load_plan(new).duplicates().empty
    assert run(["decide", old, "-o", new, "-m", "CUSTOMER", "--create", guid("C")]) == 0 and load_plan(new).look_alike() == 1
    assert run(["duplicates", old, "--counts", "--json"]) == 0
    assert run(["duplicates", old, "--why", "nonsense", "-m", "CUSTOMER"]) == 1
    assert run(["duplicates", "-w", str(w.path), "-m", "CUSTOMER", "--not-the-same", f"10={guid('A')}"]) == 0
    assert run(["duplicates", "-w", str(w.path), "--judged", "--json"]) == 0
    assert (
        run(["duplicates", "-w", str(w.path), "-m", "CUSTOMER", "--same-after-all", f"10={guid('A')}"]) == 0 and w.ws.judged().empty
    )


def test_three_that_look_alike_are_one_cluster(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    w.local.add("customer", "C2", no="11", name="ACME Gmbh", email="info@acme.example", city="Köln")
    found = w.plan().clusters()
    assert found["key"].tolist() == [guid("A"), *sorted([guid("C"), guid("C2")])] and set(found["cluster"]) == {1}


def test_too_many_records_are_compared_by_equal_signs_and_that_is_said(make_world: MakeWorld) -> None:
    w = two_customers(make_world)
    plan = w.ws.plan_full(deep_rows=2)
    assert "3 uncoupled records, more than the 2" in plan.notes[0] and plan.notes[0] in plan.to_text().replace("\n", " ")
    assert plan.duplicates()["why"].tolist() == ["same e-mail"] * 2
    why = plan.why("CUSTOMER", guid("C"), guid("A"))
    assert why["field"].tolist() == ["e-mail"] and why["score_so_far"].tolist() == [0.5]
    assert plan.couple("CUSTOMER", guid("C"), guid("A")).total("couple") == 1


def test_a_run_of_modified_records_compares_as_a_full_one_does(make_world: MakeWorld) -> None:
    w = make_world(
        {"customer": "no code20 key, name text50, email text80, phone text30, city text30, limit decimal.2"},
        {
            "account": "accountnumber text20, name text160, emailaddress1 text100, telephone1 text50, city text80, creditlimit decimal.2"
        },
        [mapping("CUSTOMER", "customer > account", FIELDS, only_coupled=False)],
    )
    w.local.add("customer", "Z", no="20", name="Zeta AG", email="zeta@zeta.example", city="Bonn")
    w.integration.add("account", "A", name="Ekensund Transport AB", emailaddress1="office@ekensund.example", city="Ekensund")
    w.carry_out(w.plan().exclude("CUSTOMER", integration=guid("A")))
    w.tick()
    w.local.add("customer", "C", no="30", name="Ekensunds Transport", email="ofice@ekensund.example", city="Ekensund")
    plan = w.ws.plan_modified()
    assert plan.total("create") == 1, "the account waits, held, for a decision; it was not changed since"
    assert [(r.source_key, r.existing_key) for r in plan.duplicates().itertuples()] == [(guid("C"), guid("A"))]
    assert "name similar" in plan.duplicates()["why"].iloc[0], "nothing in them is equal but the city"
