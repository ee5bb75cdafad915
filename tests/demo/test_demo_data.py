"""The CSV files of the demo: made anew byte for byte, whole in themselves, planted as told, in sync where it is claimed."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from synckit.demo import SCHEMAS, data_folder
from synckit.mapping.loading import load_schema
from synckit.planning.tables import COUNTER_OF

DATA = data_folder()
Row = dict[str, str]


def rows(name: str) -> list[Row]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


LOCAL = {path.stem: rows(f"business_central/{path.name}") for path in (DATA / "business_central").glob("*.csv")}
REMOTE = {path.stem: rows(f"dataverse/{path.name}") for path in (DATA / "dataverse").glob("*.csv")}
COUPLINGS, PLANTED = rows("couplings.csv"), rows("planted.csv")
TABLES = {
    "CURRENCY": ("currency", "transactioncurrency"),
    "SALESPEOPLE": ("salesperson_purchaser", "systemuser"),
    "VENDOR": ("vendor", "account"),
    "CUSTOMER": ("customer", "account"),
    "CONTACT": ("contact", "contact"),
}
OPTIONS = {
    "PAYMENT TERMS": ("payment_terms", "paymenttermscode"),
    "SHIPMENT METHOD": ("shipment_method", "address1_freighttermscode"),
    "SHIPPING AGENT": ("shipping_agent", "address1_shippingmethodcode"),
}
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
EURO = next(row["transactioncurrencyid"] for row in REMOTE["transactioncurrency"] if row["isocurrencycode"] == "EUR")
COMPANY = next(row["bcbi_companyid"] for row in REMOTE["bcbi_company"] if row["bcbi_name"] == "Nordwind Trading")

by_local = {name: {row["system_id"]: row for row in LOCAL[table]} for name, (table, _) in TABLES.items()}
by_remote = {name: {row[f"{table}id"]: row for row in REMOTE[table]} for name, (_, table) in TABLES.items()}
partner = {(c["mapping"], c["local_key"]): c["integration_key"] for c in COUPLINGS}


def pairs(mapping: str) -> list[tuple[Row, Row, Row]]:
    """Coupling, local row, integration row of every coupling whose rows both exist."""
    found = []
    for coupling in (c for c in COUPLINGS if c["mapping"] == mapping):
        local, remote = by_local[mapping].get(coupling["local_key"]), by_remote[mapping].get(coupling["integration_key"])
        if local and remote:
            found.append((coupling, local, remote))
    return found


def newer(coupling: Row, local: Row, remote: Row) -> str:
    """Which side changed since the stamps: "", "local", "integration" or "both"."""
    changed = (local["system_modified_at"] != coupling["local_stamp"], remote["modifiedon"] != coupling["integration_stamp"])
    return {(False, False): "", (True, False): "local", (False, True): "integration", (True, True): "both"}[changed]


# --- the files ------------------------------------------------------------------------------------------------------------------


def test_the_script_reproduces_every_file_byte_for_byte(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(DATA / "generate.py"), str(tmp_path)], check=True)
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    kept = {path.relative_to(DATA) for path in DATA.rglob("*.csv")} | {Path("README.md")}
    assert made == kept
    different = [str(name) for name in sorted(made) if (tmp_path / name).read_bytes() != (DATA / name).read_bytes()]
    assert different == [], "run python data/generate.py"


def test_sizes_are_as_described() -> None:
    assert len(LOCAL["customer"]) == pytest.approx(300, abs=15)
    assert len(LOCAL["vendor"]) == pytest.approx(80, abs=5)
    assert len(LOCAL["contact"]) == pytest.approx(700, abs=50)
    assert (len(LOCAL["salesperson_purchaser"]), len(LOCAL["currency"]), len(REMOTE["transactioncurrency"])) == (15, 12, 12)
    assert all(path.stat().st_size < 500_000 for path in DATA.rglob("*.csv"))


@pytest.mark.parametrize(("side", "tables"), [("local", LOCAL), ("integration", REMOTE)])
def test_every_value_fits_its_column_and_every_key_is_unique(side: str, tables: dict[str, list[Row]]) -> None:
    schema = load_schema(SCHEMAS[side])  # type: ignore[index]
    for name, content in tables.items():
        table = schema.table(name)
        keys = [table.column(key).column for key in table.primary_key]
        assert len({tuple(row[key] for key in keys) for row in content}) == len(content), name
        if name != "stringmap":
            uid = table.column(table.uid).column
            assert len({row[uid] for row in content}) == len(content), name
        for column in content[0]:
            described = table.column(column)
            for value in (row[column] for row in content):
                where = f"{name}.{column}: {value!r}"
                if described.kind in ("text", "code") and described.length:
                    assert len(value) <= described.length, where
                if described.kind == "code":
                    assert value == value.upper().strip(), where
                if described.kind in ("integer", "option", "boolean", "decimal") and side == "local":
                    assert value, where
                if described.kind == "guid" and value:
                    assert GUID.fullmatch(value), where
                if described.kind == "datetime" and value:
                    assert MOMENT.fullmatch(value), where
                if described.kind == "decimal" and value:
                    assert Decimal(value) is not None, where


def test_net_addresses_are_for_examples_only() -> None:
    for table in (*LOCAL.values(), *REMOTE.values()):
        for row in table:
            for column in ("e_mail", "home_page", "emailaddress1", "websiteurl", "internalemailaddress"):
                assert not row.get(column) or row[column].endswith(".example"), row


# --- references -----------------------------------------------------------------------------------------------------------------


def test_references_in_business_central_hold() -> None:
    keys = {table: {row["no" if "no" in row else "code"] for row in LOCAL[table]} for table in LOCAL if table not in
            ("contact_business_relation", "currency_exchange_rate")}  # fmt: skip
    columns = {
        "currency_code": "currency", "payment_terms_code": "payment_terms", "shipment_method_code": "shipment_method",
        "shipping_agent_code": "shipping_agent", "salesperson_code": "salesperson_purchaser",
        "purchaser_code": "salesperson_purchaser",
        "primary_contact_no": "contact", "company_no": "contact", "contact_no": "contact", "country_region_code": "country_region",
    }  # fmt: skip
    for name, content in LOCAL.items():
        for row in content:
            for column, target in columns.items():
                assert not row.get(column) or row[column] in keys[target], f"{name}: {column} {row[column]}"
    related = {"1": "customer", "2": "vendor"}
    gone = {p["label"] for p in PLANTED if p["case"] == "P50"}
    for row in LOCAL["contact_business_relation"]:
        assert row["no"] in keys[related[row["link_to_table"]]] | gone


def test_references_in_dataverse_hold() -> None:
    columns = {"primarycontactid": "contact", "transactioncurrencyid": "transactioncurrency", "modifiedby": "systemuser"}
    keys = {
        table: {row[f"{table}id"] for row in REMOTE[table]} for table in ("contact", "account", "transactioncurrency", "systemuser")
    }
    for name in ("account", "contact"):
        for row in REMOTE[name]:
            for column, target in columns.items():
                assert not row.get(column) or row[column] in keys[target], f"{name}: {column}"
            assert row["ownerid"] in keys["systemuser"]
            if name == "contact":
                assert row["parentcustomerid"] in keys[row["parentcustomeridtype"]]
    options = {(row["attributename"], row["attributevalue"]) for row in REMOTE["stringmap"]}
    for row in REMOTE["account"]:
        for _, column in OPTIONS.values():
            assert not row[column] or (column, row[column]) in options


def test_couplings_are_one_to_one_and_their_rows_exist() -> None:
    for side in ("local_key", "integration_key"):
        assert max(Counter((c["mapping"], c[side]) for c in COUPLINGS).values()) == 1
    broken = [c for c in COUPLINGS if c["mapping"] in TABLES and c["local_key"] not in by_local[c["mapping"]]]
    gone = [c for c in COUPLINGS if c["mapping"] in TABLES and c["integration_key"] not in by_remote[c["mapping"]]]
    assert {case_of(c["integration_key"]) or case_of(c["local_key"]) for c in broken} == {"P50", "P52"}
    assert {case_of(c["local_key"]) for c in gone} == {"P51", "P52"}


def case_of(key: str) -> str | None:
    return next((p["case"] for p in PLANTED if p["key"] == key), None)


# --- in sync, field by field ----------------------------------------------------------------------------------------------------

SHARED = {
    "address": "address1_line1", "address_2": "address1_line2", "post_code": "address1_postalcode", "city": "address1_city",
    "county": "address1_stateorprovince", "country_region_code": "address1_country", "e_mail": "emailaddress1", "fax_no": "fax",
    "home_page": "websiteurl", "phone_no": "telephone1",
}  # fmt: skip
PARTY = {**SHARED, "name": "name", "contact": "address1_primarycontactname"}
PERSON = {
    **SHARED, "first_name": "firstname", "middle_name": "middlename", "surname": "lastname", "mobile_phone_no": "mobilephone",
    "pager": "pager",
}  # fmt: skip
USER = {"e_mail": "internalemailaddress", "name": "fullname", "phone_no": "mobilephone"}


def coupled(mapping: str, local_table: str, column: str, value: str) -> str:
    """The key coupled with the local row whose `column` is `value`; '' where there is none."""
    row = next((row for row in LOCAL[local_table] if row[column] == value), None)
    return partner.get((mapping, row["system_id"]), "") if row else ""


def currency_of(row: Row) -> str:
    return coupled("CURRENCY", "currency", "code", row["currency_code"]) if row["currency_code"] else EURO


def differences(mapping: str, local: Row, remote: Row) -> set[str]:
    """The Dataverse columns in which a coupled pair differs, reckoned by hand from the field list of the standard mappings."""
    plain = {"CUSTOMER": PARTY, "VENDOR": PARTY, "CONTACT": PERSON, "SALESPEOPLE": USER}[mapping]
    expected = {integration: local[column] for column, integration in plain.items()}
    if mapping != "SALESPEOPLE":
        owner = local["purchaser_code" if mapping == "VENDOR" else "salesperson_code"]
        expected |= {
            "transactioncurrencyid": currency_of(local),
            "ownerid": coupled("SALESPEOPLE", "salesperson_purchaser", "code", owner),
            "owneridtype": "systemuser",
            "bcbi_companyid": COMPANY,
        }
    if mapping in ("CUSTOMER", "VENDOR"):
        codes = {
            "payment_terms_code": "PAYMENT TERMS",
            "shipment_method_code": "SHIPMENT METHOD",
            "shipping_agent_code": "SHIPPING AGENT",
        }
        for column, option_mapping in codes.items():
            table, attribute = OPTIONS[option_mapping]
            expected[attribute] = coupled(option_mapping, table, "code", local[column]) if local[column] else ""
        expected["primarycontactid"] = (
            coupled("CONTACT", "contact", "no", local["primary_contact_no"]) if local["primary_contact_no"] else ""
        )
        expected["customertypecode"] = "3" if mapping == "CUSTOMER" else "11"
    if mapping == "CUSTOMER":
        expected["creditlimit"] = local["credit_limit_lcy"]
    if mapping == "CONTACT":
        expected |= {"parentcustomeridtype": "account", "parentcustomerid": account_of_company(local["company_no"])}
    return {column for column, value in expected.items() if value != remote[column]}


def account_of_company(company_no: str) -> str:
    relation = next(row for row in LOCAL["contact_business_relation"] if row["contact_no"] == company_no)
    mapping, table = {"1": ("CUSTOMER", "customer"), "2": ("VENDOR", "vendor")}[relation["link_to_table"]]
    return coupled(mapping, table, "no", relation["no"])


@pytest.mark.parametrize(("mapping", "at_least"), [("CUSTOMER", 180), ("VENDOR", 50), ("CONTACT", 200), ("SALESPEOPLE", 12)])
def test_pairs_whose_stamps_are_current_are_equal_field_by_field(mapping: str, at_least: int) -> None:
    untouched = [(local, remote) for coupling, local, remote in pairs(mapping) if newer(coupling, local, remote) == ""]
    different = {
        local.get("no", local.get("code")): found for local, remote in untouched if (found := differences(mapping, local, remote))
    }
    longer_name = {p["label"]: {"name"} for p in PLANTED if p["case"] == "P23" and p["mapping"] == mapping}
    assert different == longer_name
    assert len(untouched) >= at_least


@pytest.mark.parametrize(
    ("mapping", "local_edits", "integration_edits"),
    [("CUSTOMER", (22, 32), (12, 18)), ("VENDOR", (5, 10), (3, 6)), ("CONTACT", (15, 25), (10, 15))],
)
def test_pairs_edited_since_differ_in_one_to_four_fields(
    mapping: str, local_edits: tuple[int, int], integration_edits: tuple[int, int]
) -> None:
    unequal: dict[str, list[set[str]]] = {"local": [], "integration": []}
    for coupling, local, remote in pairs(mapping):
        side = newer(coupling, local, remote)
        if side in unequal and case_of(local["system_id"]) is None:
            unequal[side].append(differences(mapping, local, remote))
    for side, (low, high) in (("local", local_edits), ("integration", integration_edits)):
        assert low <= len(unequal[side]) <= high
        assert all(1 <= len(found) <= 4 for found in unequal[side]), side


def test_every_edit_happened_after_the_last_synchronisation() -> None:
    for mapping in TABLES:
        for coupling, local, remote in pairs(mapping):
            assert coupling["local_stamp"] <= local["system_modified_at"]
            assert coupling["integration_stamp"] <= remote["modifiedon"]


def test_coupled_currencies_are_in_sync_but_for_the_planted_ones() -> None:
    different = set()
    for _, local, remote in pairs("CURRENCY"):
        lines = [row for row in LOCAL["currency_exchange_rate"] if row["currency_code"] == local["code"]]
        line = max((row for row in lines if row["starting_date"] <= "2026-06-30"), key=lambda row: row["starting_date"])
        rate = Decimal(line["exchange_rate_amount"]) / Decimal(line["relational_exch_rate_amount"])
        expected = (local["code"], local["symbol"] or local["code"], local["description"], rate)
        found = (remote["isocurrencycode"], remote["currencysymbol"], remote["currencyname"], Decimal(remote["exchangerate"]))
        if expected != found:
            different.add(local["code"])
    assert different == {"PLN", "DKK"}


def test_coupled_options_carry_the_code_as_their_label() -> None:
    for mapping, (table, attribute) in OPTIONS.items():
        labels = {row["attributevalue"]: row["value"] for row in REMOTE["stringmap"] if row["attributename"] == attribute}
        codes = {row["system_id"]: row for row in LOCAL[table]}
        found = [c for c in COUPLINGS if c["mapping"] == mapping]
        assert found
        for coupling in found:
            row = codes[coupling["local_key"]]
            assert labels[coupling["integration_key"]] == row["code"]
            assert (coupling["local_stamp"], coupling["integration_stamp"]) == (row["system_modified_at"], "")


def test_the_mixture_is_believable() -> None:
    def uncoupled(mapping: str) -> tuple[int, int]:
        keys = {c["local_key"] for c in COUPLINGS if c["mapping"] == mapping}
        partners = {c["integration_key"] for c in COUPLINGS if c["mapping"] == mapping}
        kind = {"CUSTOMER": "3", "VENDOR": "11"}.get(mapping)
        there = [key for key, row in by_remote[mapping].items() if kind is None or row["customertypecode"] == kind]
        people = [key for key, row in by_local[mapping].items() if mapping != "CONTACT" or row["type"] == "1"]
        return len(set(people) - keys), len(set(there) - partners)

    assert len(pairs("CUSTOMER")) == pytest.approx(245, abs=12)
    for mapping, (low, high), (low_remote, high_remote) in (
        ("CUSTOMER", (35, 45), (20, 32)),
        ("VENDOR", (10, 16), (5, 10)),
        ("CONTACT", (40, 90), (25, 40)),
    ):
        local, remote = uncoupled(mapping)
        assert low <= local <= high, (mapping, local)
        assert low_remote <= remote <= high_remote, (mapping, remote)


# --- the planted cases ----------------------------------------------------------------------------------------------------------


def test_every_case_is_there_and_names_a_row_that_exists() -> None:
    assert sorted({p["case"] for p in PLANTED}) == [f"P{number:02}" for number in range(1, 67)]
    for line in PLANTED:
        if line["case"] == "P52":
            continue
        if line["mapping"] in OPTIONS:
            known = {row["system_id"] for row in LOCAL[OPTIONS[line["mapping"]][0]]}
        else:
            known = set(by_local[line["mapping"]] if line["side"] == "local" else by_remote[line["mapping"]])
        assert line["key"] in known, line


def test_expected_dispositions_are_of_the_closed_list() -> None:
    assert {p[in_pass] for p in PLANTED for in_pass in ("to", "from")} - {""} <= set(COUNTER_OF)


def test_creates_are_uncoupled_and_the_rest_is_coupled() -> None:
    keys = {
        "local": {(c["mapping"], c["local_key"]) for c in COUPLINGS},
        "integration": {(c["mapping"], c["integration_key"]) for c in COUPLINGS},
    }
    for line in PLANTED:
        is_coupled = (line["mapping"], line["key"]) in keys[line["side"]]
        said = {line["to"], line["from"]}
        if said & {"create", "couple", "blocked", "will fail", "left out by rule"}:
            assert not is_coupled, line
        if said & {"unchanged", "update", "conflict", "deleted partner", "skipped", "broken coupling"}:
            assert is_coupled, line


@pytest.mark.parametrize(
    ("case", "column", "value"),
    [
        ("P62", "name", "<b>Bold & Sons</b>"),
        ("P63", "name", "=SUM(A1:A9) Consulting"),
        ("P28", "currency_code", "TRY"),
        ("P40", "blocked", "3"),
    ],
)
def test_some_cases_look_as_told(case: str, column: str, value: str) -> None:
    keys = {p["key"] for p in PLANTED if p["case"] == case and p["mapping"] == "CUSTOMER"}
    assert keys and {row[column] for row in LOCAL["customer"] if row["system_id"] in keys} == {value}


def test_long_values_are_as_long_as_told() -> None:
    def remote(case: str) -> Row:
        key = next(p["key"] for p in PLANTED if p["case"] == case)
        return by_remote["CUSTOMER"][key]

    assert len(remote("P21")["address1_city"]) == 60
    assert len(remote("P22")["name"]) == 130
    assert len(remote("P24")["name"]) > 100


def test_conflicts_changed_on_both_sides() -> None:
    cases = {"P44": {"telephone1"}, "P45": {"emailaddress1", "telephone1"}, "P46": set()}
    found = {}
    for coupling, local, remote in pairs("CUSTOMER"):
        case = case_of(local["system_id"])
        if case in cases:
            assert newer(coupling, local, remote) == "both"
            found[case] = differences("CUSTOMER", local, remote)
    assert found == cases


def test_all_scripts_are_there() -> None:
    names = " ".join(row["name"] for row in LOCAL["customer"])
    for script in ("äöüß", "åø", "éñ", "łż", "ığş", "αω", "їі", "会社", "限公", "אב", "ال", "'", "&"):
        assert any(letter in names for letter in script), script
