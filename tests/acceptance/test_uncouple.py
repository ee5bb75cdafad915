"""Uncoupling: a mapping, a selection, one, broken ones, children with their parents (S-094 to S-099)."""

from __future__ import annotations

from test_by_hand import COMPANY, skip
from world import MakeWorld, World, guid, mapping, on_both, scenario


def marked(make_world: MakeWorld) -> World:
    """Coupled rows carry the id of the company: customers 1 to 5 with accounts, items 1 to 3 with products (the mark in both)."""
    fields = "name <> name"
    return make_world(
        {"customer": "no code20 key, name text50", "item": "no code20 key, name text50"},
        {"account": "name text50, bcbi_companyid guid", "product": "name text50, bcbi_companyid guid"},
        [mapping("CUSTOMER", "customer > account", fields, rules=["customer.company"]),
         mapping("ITEM", "item > product", fields, rules=["vendor.company"])],
        config={"integration": {"company_id": COMPANY}},
    )  # fmt: skip


def stamped(w: World, name: str, count: int, coupled: int) -> None:
    local, integration = ("customer", "account") if name == "CUSTOMER" else ("item", "product")
    for n in range(1, count + 1):
        w.local.add(local, f"{local}{n}", no=str(n), name=str(n))
        if n <= coupled:
            w.integration.add(integration, f"{integration}{n}", name=str(n), bcbi_companyid=COMPANY)
            w.couple(name, f"{local}{n}", f"{integration}{n}")


def marks(w: World, table: str = "account") -> list[str]:
    """Aliases of the rows that carry the company's id."""
    return [w.aliases[row[f"{table}id"]] for row in w.integration.rows(table) if row["bcbi_companyid"]]


@scenario("S-094")
@on_both
def test_uncouple_a_whole_mapping(make_world: MakeWorld) -> None:
    w = marked(make_world)
    stamped(w, "CUSTOMER", 4, 3)
    w.integration.add("account", "stray", name="left behind", bcbi_companyid=COMPANY)
    w.integration.add("account", "foreign", name="of another company", bcbi_companyid=guid("other"))
    plan = w.ws.plan_uncoupling("CUSTOMER")
    assert len(plan.changes()) == 4
    ran = w.carry_out(plan)
    assert ran["CUSTOMER", "to"] == {"uncoupled": 3, "modified": 4}
    assert w.ws.ledger.coupling_count("CUSTOMER") == 0 and marks(w) == ["foreign"]
    assert w.ws.jobs()["type"].tolist() == ["uncoupling"]


@scenario("S-095")
def test_uncouple_a_selection(make_world: MakeWorld) -> None:
    w = marked(make_world)
    stamped(w, "CUSTOMER", 5, 3)
    ran = w.carry_out(w.ws.plan_uncoupling("CUSTOMER", local=["1", "3", "5"]))
    assert ran["CUSTOMER", "to"] == {"uncoupled": 2, "modified": 2}
    assert w.partner("CUSTOMER", "customer2") == "account2" and marks(w) == ["account2"]


@scenario("S-096")
def test_uncouple_one(make_world: MakeWorld) -> None:
    w = marked(make_world)
    stamped(w, "CUSTOMER", 3, 3)
    ran = w.carry_out(w.ws.plan_uncoupling("CUSTOMER", local="2"))
    assert ran["CUSTOMER", "to"] == {"uncoupled": 1, "modified": 1}
    assert sorted(marks(w)) == ["account1", "account3"] and w.ws.ledger.coupling_count("CUSTOMER") == 2


def test_what_cannot_be_written_stays_coupled(make_world: MakeWorld) -> None:
    w = marked(make_world)
    stamped(w, "CUSTOMER", 2, 2)
    plan = w.ws.plan_uncoupling("CUSTOMER")
    w.integration.edit("account", "account1", name="changed")
    ran = w.carry_out(plan, surprises=True)
    assert ran["CUSTOMER", "to"] == {"uncoupled": 1, "modified": 1, "failed": 1}
    assert w.partner("CUSTOMER", "customer1") == "account1" and marks(w) == ["account1"]


@scenario("S-097")
def test_uncouple_broken_and_healthy_together(make_world: MakeWorld) -> None:
    w = marked(make_world)
    stamped(w, "CUSTOMER", 4, 4)
    stamped(w, "ITEM", 4, 4)
    skip(w, *(f"customer{n}" for n in range(1, 5)))
    skip(w, *(f"item{n}" for n in range(1, 5)), name="ITEM")
    w.local.delete("customer", "customer3")
    w.integration.delete("product", "product3")
    frame = w.ws.skipped()
    selected = frame[~frame["local_key"].isin([guid("customer4"), guid("item4")])]
    ran = w.carry_out(w.ws.plan_uncoupling(records=selected))
    assert ran["CUSTOMER", "to"] == {"uncoupled": 3, "modified": 3}
    assert ran["ITEM", "to"] == {"uncoupled": 3, "modified": 2}
    assert marks(w) == ["account4"] and marks(w, "product") == ["product4"] and len(w.ws.skipped()) == 2


@scenario("S-098")
def test_uncouple_from_the_error_log(make_world: MakeWorld) -> None:
    w = marked(make_world)
    stamped(w, "CUSTOMER", 3, 3)
    stamped(w, "ITEM", 3, 3)
    with w.ws.ledger.transaction() as tx:
        run = tx.start_run("some plan", "modified", "me", "here", 1, -1)
        for name, table, times in (("CUSTOMER", "customer", 1), ("ITEM", "item", 2)):
            job = tx.start_job(run, name, "to_integration")
            tx.book_errors([{"job_id": job, "run_id": run, "mapping": name, "local_key": guid(f"{table}{n}"), "message": "e"}
                            for n in (1, 2, 3) for _ in range(times)])  # fmt: skip
        tx.finish_run(run, "finished")
    errors = w.ws.errors()
    ran = w.carry_out(w.ws.plan_uncoupling(records=errors[~errors["local_key"].isin([guid("customer3"), guid("item3")])]))
    assert ran["CUSTOMER", "to"] == ran["ITEM", "to"] == {"uncoupled": 2, "modified": 2}
    assert w.partner("CUSTOMER", "customer3") == "account3" and w.partner("ITEM", "item3") == "product3"


def family(make_world: MakeWorld) -> World:
    """A customer coupled to an account; contacts A and B theirs, C coupled to a foreign contact, D (foreign) to one of the account."""
    w = make_world("business_central", "dataverse", "standard", ownership_model="team", local_currency="EUR", base_currency="EUR")
    w.integration.add("account", "G", name="Acme", customertypecode=3, statecode=0)
    w.integration.add("account", "F", name="Foreign", customertypecode=3, statecode=0)
    for number, alias in (("C1", "customer"), ("C2", "foreign customer")):
        w.local.add("customer", alias, {"No.": number, "Name": number})
        w.local.add("contact", f"company {number}", {"No.": f"K{number}", "Name": number, "Type": 0})
        relation = {"Contact No.": f"K{number}", "Business Relation Code": "CUST", "Link to Table": 1, "No.": number}
        w.local.add("contact_business_relation", f"R{number}", relation)
    w.couple("CUSTOMER", "customer", "G")
    for alias, company, account in (("A", "C1", "G"), ("B", "C1", "G"), ("C", "C1", "F"), ("D", "C2", "G")):
        w.local.add("contact", alias, {"No.": alias, "Type": 1, "Company No.": f"K{company}"})
        w.integration.add("contact", f"i{alias}", lastname=alias, parentcustomerid=account, statecode=0)
        w.couple("CONTACT", alias, f"i{alias}")
    return w


@scenario("S-099")
def test_uncoupling_a_parent_takes_along_its_own_children(make_world: MakeWorld) -> None:
    w = family(make_world)
    w.carry_out(w.ws.plan_uncoupling("CUSTOMER", local="C1"))
    assert w.coupling("CUSTOMER", "customer") is None
    assert [w.partner("CONTACT", name) for name in "ABCD"] == [None, None, "iC", "iD"]


def test_children_of_a_parent_that_is_left_out_stay_coupled(make_world: MakeWorld) -> None:
    w = family(make_world)
    plan = w.ws.plan_uncoupling("CUSTOMER", local="C1")
    assert plan.total("uncoupling") == 3
    plan = plan.exclude("CUSTOMER", local=guid("customer"))
    assert (plan.total("uncoupling"), plan.total("blocked")) == (0, 2)
