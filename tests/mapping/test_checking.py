"""Looking through mappings without a database: each thing that `check` says, and the order in which mappings run."""

from __future__ import annotations

from typing import Any

import pytest

from synckit.errors import SynckitError
from synckit.mapping.checking import (
    Finding,
    add_fields,
    check_mappings,
    dependency_order,
    differences_from_standard,
    is_active,
)
from synckit.mapping.loading import load_schema, standard_mappings
from synckit.mapping.model import FieldMapping, Lookup, SystemConfig, TableMapping, TableRef, Template, Workspace
from synckit.mapping.schema import Schema

LOCAL, INTEGRATION = load_schema("business_central"), load_schema("dataverse")


def a_mapping(name: str = "TEST", **changes: Any) -> TableMapping:
    """CUSTOMER's tables with one bidirectional field row, changed as asked."""
    values: dict[str, Any] = {
        "local": TableRef(table="customer"),
        "integration": TableRef(table="account"),
        "fields": (FieldMapping(local="Name", integration="name"),),
    }
    return TableMapping(name=name, **{**values, **changes})


def a_workspace(*mappings: TableMapping, **changes: Any) -> Workspace:
    local = SystemConfig(name="BC", url="sqlite:///a.db", schema="business_central")
    integration = SystemConfig(name="DV", url="sqlite:///b.db", schema="dataverse")
    return Workspace(path="w.yaml", mappings=mappings, **{"local": local, "integration": integration, **changes})


def plain_filter(text: Any, table: Any, variables: Any, where: str) -> None:
    """Stands in for the filter parser: knows columns only."""
    for name in text:
        table.column(name)


def check(*mappings: TableMapping, **changes: Any) -> list[Finding]:
    return check_mappings(
        a_workspace(*mappings, **changes),
        LOCAL,
        INTEGRATION,
        {"customer.owner"},
        plain_filter,
        {"TRIM", "DOUBLE"},
        unstable_rules={"DOUBLE"},
    )


def errors(*mappings: TableMapping) -> list[str]:
    return [f"{f.place}: {f.message} {f.remedy}".strip() for f in check(*mappings) if f.severity == "error"]


def said(severity: str, *mappings: TableMapping) -> str:
    return "\n".join(f"{f.place}: {f.message} {f.remedy}" for f in check(*mappings) if f.severity == severity)


def row(local: str | None = "Name", integration: str | None = "name", **changes: Any) -> FieldMapping:
    return FieldMapping(local=local, integration=integration, **changes)


# --- scenarios ------------------------------------------------------------------------------------------------------------------


def test_s001_a_mapping_without_field_rows_is_an_error() -> None:
    assert errors(a_mapping(fields=())) == [
        "TEST > fields: The mapping has no field rows, so there is nothing to synchronise. Add rows under `fields:`."
    ]
    assert "No field row is enabled" in errors(a_mapping(fields=(row(enabled=False),)))[0]


def test_a_validation_that_nobody_runs_is_said() -> None:
    assert "no system's own validation runs" in said("note", a_mapping(fields=(row(validate_integration=True),)))


def test_s005_not_null_and_clear_on_failed_sync_exclude_each_other() -> None:
    both = row("Currency Code", "transactioncurrencyid", not_null=True, clear_on_failed_sync=True, lookup=Lookup(mapping="TEST"))
    assert "not_null and clear_on_failed_sync exclude each other." in errors(a_mapping(fields=(both,)))[0]


def test_s006_not_null_is_for_guid_columns_only() -> None:
    owner = row("Salesperson Code", "ownerid", not_null=True, direction="to_integration", lookup=Lookup(mapping="TEST"))
    name = row("Salesperson Code", "name", not_null=True, direction="to_integration")
    assert errors(a_mapping(fields=(owner,))) == []
    assert 'not_null applies to GUID columns only, and "name" is a text.' in errors(a_mapping(fields=(name,)))[0]


def test_s008_a_row_for_an_unknown_column_is_reported_and_new_rows_start_disabled() -> None:
    mapping, failed = add_fields(
        a_mapping(direction="to_integration"),
        LOCAL.table("customer"),
        INTEGRATION.table("account"),
        [("City", "address1_city"), ("City", "nonexistingfield"), ("Name", "name"), ("citty", "address1_city")],
    )
    assert mapping.fields[1:] == (row("City", "address1_city", enabled=False, direction="to_integration"),)
    assert failed[0].startswith('City / nonexistingfield was not added: table "Account" has no field "nonexistingfield".')
    assert failed[1] == "Name / name was not added: the mapping TEST has this field row already."
    assert 'Did you mean "City"?' in failed[2]


def test_s023_a_bidirectional_mapping_and_row_are_active_both_ways() -> None:
    mapping = a_mapping()
    for direction in ("bidirectional", "to_integration", "from_integration"):
        assert is_active(mapping, direction) and is_active(mapping, direction, mapping.fields[0])


def test_s024_a_mapping_whose_only_row_goes_the_other_way_is_not_active() -> None:
    mapping = a_mapping(direction="to_integration", fields=(row(direction="from_integration"),))
    for direction in ("bidirectional", "to_integration", "from_integration"):
        assert not is_active(mapping, direction) and not is_active(mapping, direction, mapping.fields[0])
    assert "no enabled field row has that direction, so nothing can move" in errors(mapping)[0]


# --- tables and columns ---------------------------------------------------------------------------------------------------------


def test_unknown_tables_and_columns_are_told_with_the_nearest() -> None:
    assert 'TEST > local: The schema "business_central" has no table "custmer". Did you mean "customer"?' in errors(
        a_mapping(local=TableRef(table="custmer"))
    )
    assert 'TEST > integration > uid: Table "Account" has no field "accountidd". Did you mean "accountid"?' in errors(
        a_mapping(integration=TableRef(table="account", uid="accountidd"))
    )
    assert 'has no field "Nam". Did you mean "Name"?' in errors(a_mapping(fields=(row("Nam"),)))[0]


def test_columns_that_do_not_fit_are_told() -> None:
    assert (
        '"Blocked" is an option, "createdon" a datetime; neither becomes the other.'
        in errors(a_mapping(fields=(row("Blocked", "createdon", direction="from_integration"),)))[0]
    )
    assert "a value that does not convert fails its record" in said("note", a_mapping(fields=(row("Name", "numberofemployees"),)))
    assert "add a `lookup`" in said("warning", a_mapping(fields=(row("Currency Code", "transactioncurrencyid"),)))
    assert 'fields: Longer values are cut on the local side in "Name" (100, from 160).' in said("note", a_mapping())
    both = (row(), row("Address", "address1_line1"))
    assert 'in 2 fields: "Name" (100, from 160), "Address" (100, from 250).' in said("note", a_mapping(fields=both))
    assert said("note", a_mapping(fields=(row(direction="to_integration"),))) == ""


def test_what_cannot_be_written_is_told() -> None:
    told = errors(a_mapping(fields=(row("Last Modified Date Time", "modifiedon"),)))[0]
    assert '"modifiedon" is read-only and cannot be written on the integration side. Write `direction: from_integration`.' in told
    assert "is calculated" in errors(a_mapping(fields=(row("Coupled to Dataverse", "merged", direction="from_integration"),)))[0]
    assert "written when a row is created" in said("note", a_mapping(fields=(row("No.", "accountid", direction="to_integration"),)))


def test_two_rows_that_write_one_column_are_told() -> None:
    told = said("warning", a_mapping(fields=(row(), row("Name 2", "name", direction="to_integration"))))
    assert 'Several enabled field rows write "name" on the integration side; the last one wins.' in told


def test_a_table_whose_changes_cannot_be_seen_is_told() -> None:
    bare = INTEGRATION.table("account").model_copy(update={"modified_on": None})
    schema = Schema(name="x", tables=(bare,))
    found = check_mappings(a_workspace(a_mapping()), LOCAL, schema, set(), plain_filter, set())
    assert any("no modified-on column" in f.message for f in found)


# --- constants ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (row(None, None), "names neither side"),
        (row(constant="x"), "both sides name a field"),
        (row(None, "name", direction="to_integration"), "The local side is empty and there is no constant"),
        (row(None, "name", constant="x"), "Write `direction: to_integration`."),
        (row("Name", None, constant="x", direction="to_integration"), "Write `direction: from_integration`."),
        (row(None, "name", constant="x", direction="to_integration", use_for_match=True), "cannot be a match criterion"),
        (row(None, "accountnumber", constant="x" * 21, direction="to_integration"), "The constant has 21 characters"),
        (row(None, "customertypecode", constant="Custmer", direction="to_integration"), 'Did you mean "Customer"?'),
        (row(None, "customertypecode", constant="99", direction="to_integration"), "is no option value"),
        (row(None, "creditlimit", constant="1,5", direction="to_integration"), "Write it with a point"),
        (row(None, "creditonhold", constant="maybe", direction="to_integration"), "neither Yes nor No"),
    ],
)
def test_constants_that_cannot_be_meant(field: FieldMapping, expected: str) -> None:
    assert expected in "\n".join(errors(a_mapping(fields=(row("City", "address1_city"), field))))


@pytest.mark.parametrize("constant", ["Customer", "customer", "3"])
def test_a_constant_may_be_a_label_or_a_number(constant: str) -> None:
    assert errors(a_mapping(fields=(row(), row(None, "customertypecode", constant=constant, direction="to_integration")))) == []


# --- directions, policies, rules ------------------------------------------------------------------------------------------------


def test_option_mappings_are_never_bidirectional() -> None:
    options = TableRef(table="account", option_set="paymenttermscode")
    terms = {"kind": "option", "local": TableRef(table="payment_terms"), "integration": options}
    field = row("Code", "paymenttermscode", direction="to_integration")
    assert errors(a_mapping(**terms, direction="to_integration", fields=(field,))) == []
    assert "An option mapping cannot be bidirectional." in errors(a_mapping(**terms, fields=(field,)))[0]
    assert (
        "Write `kind: option`." in errors(a_mapping(**{**terms, "kind": "table"}, direction="to_integration", fields=(field,)))[0]
    )
    wrong = {**terms, "integration": TableRef(table="account", option_set="name")}
    assert "is no option set but a text column" in errors(a_mapping(**wrong, direction="to_integration", fields=(field,)))[0]
    none = {**terms, "integration": TableRef(table="account")}
    assert "pairs a table with one option set" in errors(a_mapping(**none, direction="to_integration", fields=(field,)))[0]


def test_a_one_way_mapping_wants_a_row_of_its_direction() -> None:
    assert "Business Central refuses that" in said("warning", a_mapping(direction="to_integration"))
    assert said("warning", a_mapping(direction="to_integration", fields=(row(direction="to_integration"),))) == ""
    assert "this pass is left out" in said("warning", a_mapping(fields=(row(direction="to_integration"),)))


def test_policies_that_do_something_else_than_they_seem_to() -> None:
    assert "is created and coupled again" in said(
        "warning", a_mapping(only_coupled=False, deletion_conflict_resolution="remove_coupling")
    )
    assert said("warning", a_mapping(only_coupled=True, deletion_conflict_resolution="remove_coupling")) == ""
    one_way = a_mapping(direction="from_integration", update_conflict_resolution="send_to_integration", create_new_if_no_match=True)
    assert "the policy has no effect" in said("note", one_way)
    assert "creates rows on the integration side only" in said("warning", one_way)


def test_transformation_rules_are_known_and_do_not_run_in_circles() -> None:
    assert (
        'There is no transformation rule "TRM". Did you mean "TRIM"?'
        in errors(a_mapping(fields=(row(transformation_rule="TRM"),)))[0]
    )
    assert "changes its own output" in errors(a_mapping(fields=(row(transformation_rule="DOUBLE"),)))[0]
    assert "works one way only" in said("warning", a_mapping(fields=(row(transformation_rule="TRIM"),)))
    one_way = row(transformation_rule="DOUBLE", direction="to_integration")
    assert errors(a_mapping(fields=(one_way,))) == []
    against = one_way.model_copy(update={"transformation_direction": "from_integration"})
    assert "The rule goes from_integration, the field row to_integration." in errors(a_mapping(fields=(against,)))[0]


def test_names_of_other_things_are_known() -> None:
    told = errors(
        a_mapping(
            depends_on=("TESST",),
            rules=("customer.ownr",),
            fields=(row("Currency Code", "transactioncurrencyid", lookup=Lookup(mapping="CURRENCY")),),
        )
    )
    assert told == [
        'TEST > depends_on: It depends on "TESST", which is no mapping of this workspace. Did you mean "TEST"?',
        'TEST > rules: There is no business rule "customer.ownr". Did you mean "customer.owner"?',
        'TEST > fields > Currency Code / transactioncurrencyid: The lookup names "CURRENCY", which is no mapping of this '
        'workspace; its value cannot be carried. Add the mapping "CURRENCY", or disable the field row.',
    ]


def test_a_lookup_fits_what_it_refers_to() -> None:
    terms = next(m for m in standard_mappings("team", False) if m.name == "PAYMENT TERMS")
    field = row("Payment Terms Code", "paymenttermscode", lookup=Lookup(mapping="PAYMENT TERMS"))
    assert "Write `kind: option_coupling` in the lookup." in "\n".join(errors(terms, a_mapping(fields=(field,))))
    self_made = row("Bill-to Customer No.", "creditonhold", lookup=Lookup(mapping="TEST"))
    assert "cannot hold a reference" in errors(a_mapping(fields=(self_made,)))[0]


def test_filters_and_templates_are_looked_through() -> None:
    template = Template(code="A", filter={"nam": "x"}, sets={"Cty": "Berlin", "Coupled to Dataverse": True})
    told = "\n".join(errors(a_mapping(local_filter={"Blokked": "x"}, local_templates=(template, template))))
    assert 'TEST > local_filter: Table "Customer" has no field "Blokked". Did you mean "Blocked"?' in told
    assert 'local_templates > A > filter: Table "Account" has no field "nam". Did you mean "name"?' in told
    assert 'local_templates > A > sets: Table "Customer" has no field "Cty". Did you mean "City"?' in told
    assert '"Coupled to Dataverse" cannot be written.' in told and "The template stands here twice." in told


def test_the_workspace_itself_is_looked_at() -> None:
    local = SystemConfig(name="BC", url="postgresql://u:hush@h/db", schema="business_central", company_id="Cronus")
    found = {f.place: f for f in check(a_mapping(), local=local)}
    system = SystemConfig(name="DV", url="x", schema="dataverse", modified_by="modifedby", tables={"acount": "dbo_account"})
    told = {f.place: f.remedy for f in check(a_mapping(), integration=system)}
    assert told["integration > modified_by"] == 'Did you mean "modifiedby"?'
    assert told["integration > tables"] == 'Did you mean "account"?'
    assert found["local > company_id"].severity == "error" and found["local > url"].severity == "warning"
    assert all("hush" not in f"{f.message}{f.remedy}" for f in found.values())


# --- order ----------------------------------------------------------------------------------------------------------------------


def test_dependencies_run_first_and_the_documented_order_breaks_ties() -> None:
    mappings = [a_mapping("ZEBRA"), a_mapping("ANT"), *reversed(standard_mappings("person", True))]
    options = ["PAYMENT TERMS", "SHIPMENT METHOD", "SHIPPING AGENT"]
    assert dependency_order(mappings) == ["CURRENCY", "SALESPEOPLE", *options, "VENDOR", "CUSTOMER", "CONTACT", "ANT", "ZEBRA"]


@pytest.mark.scenario("S-007")
def test_s007_the_order_of_the_reference_is_there_for_those_who_want_it() -> None:
    def rows_of_guid_mappings(*more: TableMapping) -> list[str]:
        mappings = [*more, *standard_mappings("person", True)]
        options = {m.name for m in mappings if m.kind == "option"}
        return [name for name in dependency_order(mappings, "reference") if name not in options]

    assert rows_of_guid_mappings() == ["SALESPEOPLE", "CURRENCY", "CUSTOMER", "VENDOR", "CONTACT"]
    with_sales = rows_of_guid_mappings(a_mapping("UNIT OF MEASURE"))
    assert with_sales == ["SALESPEOPLE", "CURRENCY", "UNIT OF MEASURE", "CUSTOMER", "CONTACT", "VENDOR"]


def test_lookups_are_dependencies_too_unless_they_may_be_filled_later() -> None:
    field = row("Currency Code", "transactioncurrencyid", lookup=Lookup(mapping="Z|Y"))
    assert dependency_order([a_mapping("A", fields=(field,)), a_mapping("Y"), a_mapping("Z")]) == ["Y", "Z", "A"]
    for weaker in (field.model_copy(update={"enabled": False}), field.model_copy(update={"clear_on_failed_sync": True})):
        assert dependency_order([a_mapping("A", fields=(weaker,)), a_mapping("Y"), a_mapping("Z")]) == ["A", "Y", "Z"]


def test_a_record_may_refer_to_one_of_its_own_mapping() -> None:
    parent = row("Bill-to Customer No.", "parentaccountid", lookup=Lookup(mapping="A"))
    assert dependency_order([a_mapping("A", fields=(parent,))]) == ["A"]


def test_a_circle_is_named() -> None:
    circle = [a_mapping("A", depends_on=("B",)), a_mapping("B", depends_on=("C",)), a_mapping("C", depends_on=("B",))]
    with pytest.raises(SynckitError, match="in a circle: B -> C -> B"):
        dependency_order(circle)
    assert any(f.place == "mappings" and "B -> C -> B" in f.message and "clear_on_failed_sync" in f.remedy for f in check(*circle))


# --- differences ----------------------------------------------------------------------------------------------------------------


def test_differences_from_the_shipped_defaults_are_told_one_by_one() -> None:
    standard = standard_mappings("team", False)
    assert differences_from_standard(a_workspace(*standard)) == []
    customer = next(m for m in standard if m.name == "CUSTOMER")
    fields = (customer.fields[0].model_copy(update={"use_for_match": True}), *customer.fields[2:], row("GLN", "description"))
    changed = customer.model_copy(update={"only_coupled": False, "local_filter": {}, "fields": fields})
    kept = tuple(changed if m is customer else m for m in standard if m.name != "VENDOR")
    assert differences_from_standard(a_workspace(*kept, a_mapping("OWN"), semantics="reference")) == [
        "The standard mapping VENDOR is left out.",
        "The workspace follows the reference system where synckit is safer (semantics: reference).",
        "CUSTOMER: only_coupled is false, as shipped true.",
        "CUSTOMER: local_filter is none, as shipped Blocked: ' '.",
        "CUSTOMER: use_for_match of the field row Name / name is true, as shipped false.",
        "CUSTOMER: the field row GLN / description was added.",
        "CUSTOMER: the field row Contact / address1_primarycontactname was removed.",
        "OWN is a mapping of its own (customer with account).",
    ]
