"""The shipped schemas and standard mappings: complete, loadable, and the same facts as the reference."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import synckit.mapping
from synckit.mapping.checking import check_mappings
from synckit.mapping.filters import parse_filter
from synckit.mapping.loading import load_schema, standard_mappings
from synckit.mapping.model import FieldMapping, OwnershipModel, SystemConfig, TableMapping, Workspace
from synckit.mapping.rules import known_rules
from synckit.mapping.schema import Schema, Table

HERE = Path(synckit.mapping.__file__).parent
REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
NAMES = ["CURRENCY", "SALESPEOPLE", "VENDOR", "CUSTOMER", "CONTACT", "PAYMENT TERMS", "SHIPMENT METHOD", "SHIPPING AGENT"]
SIDES = {"business_central": "local", "dataverse": "integration"}


@lru_cache
def reference(name: str) -> Any:
    path = REFERENCE / name
    if not path.exists():
        pytest.skip(f"the reference's facts ({name}) do not lie beside this checkout")
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def shipped(ownership_model: OwnershipModel = "person", company_registered: bool = True) -> dict[str, TableMapping]:
    return {mapping.name: mapping for mapping in standard_mappings(ownership_model, company_registered)}


# --- what is shipped ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["business_central.yaml", "dataverse.yaml", "standard_mappings.yaml"])
def test_a_shipped_file_names_its_origin_and_stays_readable(name: str) -> None:
    text = (HERE / name).read_text(encoding="utf-8")
    assert text.startswith("# Origin:") and "MIT" in text[:400] and "Microsoft" in text[:400]
    assert len(text.splitlines()) < 600


def test_every_business_central_table_has_the_system_columns() -> None:
    schema = load_schema("business_central")
    assert (schema.blank, schema.guid) == ("empty", "lower")
    for table in schema.tables:
        columns = {c: table.column(c) for c in ("SystemId", "SystemCreatedAt", "SystemModifiedAt")}
        assert [(c.column, c.kind) for c in columns.values()] == [
            ("system_id", "guid"), ("system_created_at", "datetime"), ("system_modified_at", "datetime"),
        ]  # fmt: skip
        assert (table.uid, table.modified_on) == ("SystemId", "SystemModifiedAt")
        assert not any(column.nullable for column in table.columns)


def test_dataverse_keeps_its_option_sets_in_a_table() -> None:
    schema = load_schema("dataverse")
    assert schema.blank == "null" and schema.option_table is not None
    of, table = schema.option_table, schema.table(schema.option_table.table)
    assert [table.column(name or "").name for name in (of.of_table, of.of_column, of.value, of.label)] == [
        "objecttypecode", "attributename", "attributevalue", "value",
    ]  # fmt: skip
    assert [o.label for o in schema.table("account").column("customertypecode").options if o.value in (3, 11)] == [
        "Customer",
        "Vendor",
    ]


@pytest.mark.parametrize("name", list(SIDES))
def test_every_amount_has_a_scale(name: str) -> None:
    scales = {c.name: c.scale for t in load_schema(name).tables for c in t.columns if c.kind == "decimal"}
    assert None not in scales.values()
    wanted = (
        {"Credit Limit (LCY)": 2, "Exchange Rate Amount": 6}
        if name == "business_central"
        else {"creditlimit": 2, "exchangerate": 10}
    )
    assert wanted.items() <= scales.items()


@pytest.mark.parametrize("ownership_model", ["team", "person"])
@pytest.mark.parametrize("company_id", ["0f8fad5b-d9cb-469f-a165-70867728950e", None])
def test_the_shipped_mappings_have_no_error_and_no_warning(ownership_model: OwnershipModel, company_id: str | None) -> None:
    workspace = Workspace(
        path="w.yaml",
        local=SystemConfig(name="BC", url="sqlite:///a.db", schema="business_central", company_id=company_id),
        integration=SystemConfig(name="DV", url="sqlite:///b.db", schema="dataverse"),
        ownership_model=ownership_model,
        mappings=standard_mappings(ownership_model, company_id is not None),
    )
    schemas = load_schema("business_central"), load_schema("dataverse")
    findings = check_mappings(workspace, *schemas, set(known_rules()), parse_filter, set())
    assert [f for f in findings if f.severity != "note"] == []


def test_team_ownership_leaves_out_what_belongs_to_persons() -> None:
    person, team = shipped("person"), shipped("team")
    assert list(person) == NAMES and list(team) == [n for n in NAMES if n != "SALESPEOPLE"]
    assert "SALESPEOPLE" in person["CUSTOMER"].depends_on and "SALESPEOPLE" not in team["CUSTOMER"].depends_on
    for name in ("VENDOR", "CUSTOMER", "CONTACT"):
        gone = {row.integration for row in person[name].fields} - {row.integration for row in team[name].fields}
        assert gone == {"ownerid", "owneridtype"}


def test_the_company_filter_is_there_where_the_company_is_registered() -> None:
    for name in ("VENDOR", "CUSTOMER", "CONTACT"):
        assert dict(shipped("team", True)[name].integration_filter)["bcbi_companyid"] == ["$company_id", None]
        assert "bcbi_companyid" not in shipped("team", False)[name].integration_filter


def test_new_accounts_get_their_relationship_type_from_a_template() -> None:
    for name, local, integration, kind in (("CUSTOMER", "BCICUST", "BCICUSTOME", 3), ("VENDOR", "BCIVEND", "BCIVENDOR", 11)):
        mapping = shipped()[name]
        assert [t.code for t in mapping.local_templates] == [local]
        assert [(t.code, t.sets) for t in mapping.integration_templates] == [(integration, {"customertypecode": kind})]


# --- the same facts as the reference --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_mapping_states_the_facts_of_the_reference(name: str) -> None:
    facts = next(m for m in reference("standard-mappings.yaml")["mappings"] if m["name"] == name)
    defaults = reference("standard-mappings.yaml")["mapping_defaults"]
    mapping, team = shipped()[name], shipped("team").get(name)
    assert mapping.kind == facts.get("kind", "table") and list(mapping.aliases) == facts.get("aliases", [])
    assert mapping.direction == facts["direction"] and mapping.only_coupled == facts["synch_only_coupled"]
    assert mapping.synch_after_match_coupling == facts["synch_after_match_coupling"]
    assert mapping.create_new_if_no_match == facts["create_new_if_no_match"]
    assert list(mapping.depends_on) == facts["depends_on"]
    assert (team is None) == (facts.get("enabled_when") == {"ownership_model": "person"})
    if team is not None:
        assert list(team.depends_on) == facts.get("depends_on_team_ownership", facts["depends_on"])
    for key in ("update_conflict_resolution", "deletion_conflict_resolution", "skip_own_changes_on_integration"):
        assert getattr(mapping, key) == defaults[key]
    assert list(mapping.rules) == [rule["id"] for rule in facts["rules"]]
    for schema_name, side in SIDES.items():
        check_side(mapping, side, facts[side], load_schema(schema_name))
        template = facts.get(f"{side}_template")
        codes = [t.code for t in getattr(mapping, f"{side}_templates")]
        assert codes == ([] if template is None else [template["code"] if isinstance(template, dict) else template])


def check_side(mapping: TableMapping, side: str, facts: dict[str, Any], schema: Schema) -> None:
    ref = getattr(mapping, side)
    table = schema.table(ref.table)
    assert ref.table == facts["table"] and ref.option_set == facts.get("option_set_column")
    if mapping.kind == "table":
        assert (ref.uid or table.uid) == facts["uid"] and (ref.modified_on or table.modified_on) == facts["modified_on"]
        assert (ref.name_field or table.name_column) == facts["name_field"]


@pytest.mark.parametrize("name", NAMES)
def test_a_mapping_has_the_field_rows_of_the_reference(name: str) -> None:
    facts = next(m for m in reference("standard-mappings.yaml")["mappings"] if m["name"] == name)
    defaults = reference("standard-mappings.yaml")["field_defaults"]
    mapping, team = shipped()[name], shipped("team").get(name)
    assert [(row.local, row.integration) for row in mapping.fields] == [(f["local"], f["integration"]) for f in facts["fields"]]
    for row, fact in zip(mapping.fields, facts["fields"], strict=True):
        check_row(row, {**defaults, **fact}, mapping)
        if team is not None:
            assert (row in team.fields) == (fact.get("only_if") is None)


def check_row(row: FieldMapping, fact: dict[str, Any], mapping: TableMapping) -> None:
    # The reference's own upgrade aligns the rows of option mappings with the direction of their mapping.
    assert row.direction == (mapping.direction if mapping.kind == "option" else fact["direction"])
    for flag in (
        "enabled", "transformation_rule", "validate_local", "validate_integration", "not_null", "clear_on_failed_sync",
        "use_for_match", "case_sensitive_match", "match_priority",
    ):  # fmt: skip
        assert getattr(row, flag) == fact[flag], (mapping.name, fact["local"], flag)
    assert (row.constant or "") == fact["constant"]
    lookup = fact.get("lookup")
    assert (row.lookup is None) == (lookup is None)
    if row.lookup is not None and lookup is not None:
        assert (row.lookup.mapping, row.lookup.kind) == (lookup["mapping"], lookup["kind"])
        assert (row.lookup.blank_local == "local_currency") == (lookup.get("blank_local") == "local currency")
        assert row.clear_on_failed_sync == (lookup["unresolved"] == "clear")


@pytest.mark.parametrize("name", NAMES)
def test_a_mapping_has_the_filters_of_the_reference(name: str) -> None:
    facts = next(m for m in reference("standard-mappings.yaml")["mappings"] if m["name"] == name)
    mapping = shipped()[name]
    company = "0f8fad5b-d9cb-469f-a165-70867728950e"
    blank_guid = "00000000-0000-0000-0000-000000000000"
    for schema_name, side in SIDES.items():
        table = load_schema(schema_name).table(getattr(mapping, side).table)
        parsed = parse_filter(getattr(mapping, f"{side}_filter"), table, {"company_id": company})
        clauses = {clause.field: clause for clause in parsed.clauses}
        assert list(clauses) == [fact["column"] for fact in facts[f"{side}_filter"]]
        for fact in facts[f"{side}_filter"]:
            clause = clauses[fact["column"]]
            wanted = [company if v == "$company_id" else v for v in fact.get("values", [fact.get("value")])]
            for value in wanted:
                assert clause.accepts(value) == (fact["op"] != "ne")
            if clause.column.kind == "guid":
                assert clause.accepts(None) == clause.accepts(blank_guid) == (fact["op"] == "in")
                assert clause.accepts("6f9619ff-8b86-d011-b42d-00c04fc964ff") == (fact["op"] == "ne")


@pytest.mark.parametrize("name", list(SIDES))
def test_a_schema_has_every_table_and_column_of_the_reference(name: str) -> None:
    schema = load_schema(name)
    for table_name, facts in reference("schemas.yaml")["systems"][name]["tables"].items():
        table = schema.table(table_name)
        assert table.table == table_name and table.table_id == facts.get("table_id", facts.get("proxy_table_id"))
        assert list(table.primary_key) == facts["primary_key"] and (table.uid, table.modified_on) == (
            facts["uid"],
            facts["modified_on"],
        )
        assert table.name_column == facts.get("name_column", table.name_column)
        for fact in facts["columns"]:
            check_column(table, fact)


def check_column(table: Table, fact: dict[str, Any]) -> None:
    column = table.column(fact["name"])
    assert (column.name, column.column, column.type) == (fact["name"], fact.get("column", fact["name"]), fact["type"])
    assert (column.length, column.access) == (fact.get("length"), fact.get("access"))
    assert (column.nullable, column.primary_key) == (fact["nullable"], fact.get("primary_key", False))
    assert column.flowfield == fact.get("flowfield", False)
    assert [{"value": o.value, "label": o.label} for o in column.options] == fact.get("options", [])
    referenced = fact.get("references", [])
    assert list(column.references) == ([referenced] if isinstance(referenced, str) else referenced)
