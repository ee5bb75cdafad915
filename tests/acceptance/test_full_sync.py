"""Full synchronisation: S-042 to S-051."""

from __future__ import annotations

from typing import Any

from incremental import modified
from world import MakeWorld, World, guid, mapping, on_both, scenario

LOCAL = {
    "customer": "no code20 key, name text100, salesperson code20, contact code20, currency code10",
    "contact": "no code20 key, name text100",
    "salesperson": "code code20 key, name text50, email text80",
    "currency": "code code10 key, name text30",
}
INTEGRATION = {
    "account": "name text160, ownerid guid, primarycontactid guid, currencyid guid",
    "contact": "name text160",
    "systemuser": "name text100, email text100, disabled boolean",
    "transactioncurrency": "isocode text5, name text100",
}
CURRENCY = mapping("CURRENCY", "currency > transactioncurrency", "code > isocode, name > name", direction="to_integration")
SALESPEOPLE = mapping("SALESPEOPLE", "salesperson > systemuser", "name < name, email < email", direction="from_integration")
CONTACT = mapping("CONTACT", "contact > contact", "name <> name")


def customers(make_world: MakeWorld, fields: str = "name <> name", *others: dict[str, Any], **properties: Any) -> World:
    return make_world(LOCAL, INTEGRATION, [*others, mapping("CUSTOMER", "customer > account", fields, **properties)])


def standard(make_world: MakeWorld) -> World:
    """The shipped mappings with one customer coupled to one account, and the company contact of that customer."""
    w = make_world("business_central", "dataverse", "standard", ownership_model="person", local_currency="EUR", base_currency="EUR")
    w.local.add("customer", "C", {"No.": "C0001", "Name": "Acme"})
    w.local.add("contact", "K", {"No.": "KT0001", "Name": "Acme", "Type": 0})
    relation = {"Contact No.": "KT0001", "Business Relation Code": "CUST", "Link to Table": 1, "No.": "C0001"}
    w.local.add("contact_business_relation", "R", relation)
    w.integration.add("account", "G", name="Acme", customertypecode=3, statecode=0)
    w.couple("CUSTOMER", "C", "G")
    return w


@scenario("S-042")
def test_first_mappings_have_no_dependency(make_world: MakeWorld) -> None:
    lines = standard(make_world).plan().review().set_index("mapping")
    assert lines.loc["SALESPEOPLE", "depends_on"] == lines.loc["CURRENCY", "depends_on"] == ""
    assert "CURRENCY" in lines.loc["CUSTOMER", "depends_on"]


@scenario("S-043")
@on_both
def test_a_finished_line_starts_its_dependents(make_world: MakeWorld) -> None:
    w = customers(make_world, "name <> name, currency > currencyid lookup CURRENCY", CURRENCY, depends_on=["CURRENCY"])
    w.local.add("currency", "X", code="XAA")
    w.local.add("customer", "A", no="A", name="Acme", currency="XAA")
    seen: list[list[tuple[str, str]]] = []

    def look() -> bool:
        seen.append([(j["mapping"], j["status"]) for j in w.ws.jobs().to_dict("records")])
        return False

    ran = w.full(should_stop=look)
    assert seen[0] == [("CURRENCY", "running")]  # while it runs: no job from integration, none of the dependent
    assert seen[1] == [("CUSTOMER", "running"), ("CURRENCY", "success")]
    assert ran["CURRENCY", "to"] == {"inserted": 1}
    assert ran["CUSTOMER", "to"] == {"inserted": 1}
    assert w.integration.rows("account")[0]["currencyid"] == w.partner("CURRENCY", "X")
    assert [m.name for m in w.ws.description.mappings] == ["CURRENCY", "CUSTOMER"]


@scenario("S-044")
@on_both
def test_a_bidirectional_full_sync_couples_both_sides(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.local.add("customer", "A", no="C0001", name="Acme")
    w.integration.add("account", "B", name="Beta")
    ran = w.full()
    assert ran.counter("CUSTOMER", "to", "inserted") == ran.counter("CUSTOMER", "from", "inserted") == 1
    assert w.integration.row("account", w.partner("CUSTOMER", local="A") or "")["name"] == "Acme"
    beta = w.local.row("customer", w.partner("CUSTOMER", integration="B") or "")
    assert (beta["name"], beta["no"]) == ("Beta", "C0002")
    assert set(w.ws.jobs()["status"]) == {"success"}


FAILING = "name <> name, salesperson > ownerid lookup SALESPEOPLE, contact <> primarycontactid lookup CONTACT"


@scenario("S-045")
@on_both
def test_every_record_fails(make_world: MakeWorld) -> None:
    w = customers(make_world, FAILING, SALESPEOPLE, CONTACT)
    w.local.add("salesperson", "FAIL", code="FAIL")
    for n in "12":
        w.local.add("customer", f"C{n}", no=n, name=f"Customer {n}", salesperson="FAIL")
        w.integration.add("account", f"G{n}", name=f"Account {n}", primarycontactid="nobody")
    ran = w.full("CUSTOMER")
    assert ran["CUSTOMER", "to"] == {"failed": 2} and ran["CUSTOMER", "from"] == {"failed": 2}
    assert w.ws.jobs()["status"].tolist() == ["error", "error"]
    assert (ran.run.status, ran.run.exit_code) == ("finished", 3)
    assert w.ws.ledger.lease.holder() is None
    assert w.integration.count("account") == w.local.count("customer") == 2


@scenario("S-046")
def test_some_records_fail(make_world: MakeWorld) -> None:
    w = customers(make_world, "name > name, salesperson > ownerid lookup SALESPEOPLE", SALESPEOPLE, direction="to_integration")
    w.local.add("salesperson", "FAIL", code="FAIL")
    w.local.add("customer", "A", no="A", name="Fine")
    w.local.add("customer", "B", no="B", name="Not", salesperson="FAIL")
    ran = w.full("CUSTOMER")
    assert ran["CUSTOMER", "to"] == {"inserted": 1, "failed": 1}
    assert w.ws.jobs()["status"].tolist() == ["error"]
    assert w.coupling("CUSTOMER", "A") is not None and w.coupling("CUSTOMER", "B") is None


@scenario("S-047")
def test_a_full_sync_creates_within_the_same_filters_and_the_mapping_keeps_its_flag(make_world: MakeWorld) -> None:
    filters: dict[str, Any] = {"local_filter": {"email": "<>''"}, "integration_filter": {"disabled": False}}
    w = make_world(LOCAL, INTEGRATION, [{**SALESPEOPLE, **filters, "only_coupled": True}])
    w.integration.add("systemuser", "Jo", name="Jo", disabled=False)
    w.integration.add("systemuser", "Max", name="Max", disabled=True)
    assert w.full()["SALESPEOPLE", "from"] == {"inserted": 1}
    assert w.partner("SALESPEOPLE", integration="Max") is None
    w.reopen()
    assert w.ws.description.mapping("SALESPEOPLE").only_coupled and not w.ws.ledger.settings()


@scenario("S-048")
def test_only_coupled_protects_uncoupled_rows(make_world: MakeWorld) -> None:
    w = customers(make_world, "name < name", direction="from_integration")
    w.local.add("customer", "C", no="C0001", name="Old Name")
    w.integration.add("account", "G", name="Old Name")
    w.couple("CUSTOMER", "C", "G")
    w.integration.add("account", "B", name="Beta")
    w.integration.edit("account", "G", name="New Name")
    ran = modified(w)
    assert [row["name"] for row in w.local.rows("customer")] == ["New Name"]
    assert ran["CUSTOMER", "from"] == {"modified": 1}


@scenario("S-050")
def test_a_child_whose_parent_is_not_coupled(make_world: MakeWorld) -> None:
    w = standard(make_world)
    w.integration.add("account", "G2", name="Beta", customertypecode=3, statecode=0)
    w.integration.add(
        "contact", "Ann", firstname="Ann", lastname="Lee", parentcustomerid="G2", parentcustomeridtype="account", statecode=0
    )
    ran = w.full("CONTACT")
    assert ran["CONTACT", "from"] == {"failed": 1}
    assert ran.errors() == ["Its company does not exist: the parent account is not coupled."]
    assert w.local.count("contact") == 1 and w.coupling("CONTACT", integration="Ann") is None


@scenario("S-051")
@on_both
def test_a_child_whose_parent_is_coupled(make_world: MakeWorld) -> None:
    w = standard(make_world)
    w.integration.add(
        "contact", "Ann", firstname="Ann", lastname="Lee", parentcustomerid="G", parentcustomeridtype="account", statecode=0
    )
    ran = w.full("CONTACT")
    assert ran["CONTACT", "from"] == {"inserted": 1}
    ann = w.local.row("contact", w.partner("CONTACT", integration="Ann") or "")
    assert (ann["No."], ann["Name"], ann["Company No."], ann["Company Name"]) == ("KT0002", "Ann Lee", "KT0001", "Acme")
    assert w.local.row("customer", "C")["Primary Contact No."] == "KT0002"  # the parent had none
    assert w.integration.row("account", "G")["primarycontactid"] == guid("Ann")
