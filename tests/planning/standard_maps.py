"""The eight standard mappings under person ownership, written for the oracle by hand from the documents of the reference."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from oracle import BLANKS, Field, Map, Row, Value, World

ACCOUNT_FIELDS = [
    ("name", "name", 100, 160),
    ("contact", "address1_primarycontactname", 100, 100),
    ("address", "address1_line1", 100, 250),
    ("address_2", "address1_line2", 50, 250),
    ("city", "address1_city", 30, 80),
    ("county", "address1_stateorprovince", 30, 50),
    ("e_mail", "emailaddress1", 80, 100),
    ("fax_no", "fax", 30, 50),
    ("home_page", "websiteurl", 255, 200),
    ("phone_no", "telephone1", 30, 50),
]
CONTACT_FIELDS = [
    ("address", "address1_line1", 100, 250),
    ("address_2", "address1_line2", 50, 250),
    ("city", "address1_city", 30, 80),
    ("county", "address1_stateorprovince", 30, 50),
    ("e_mail", "emailaddress1", 80, 100),
    ("fax_no", "fax", 30, 50),
    ("first_name", "firstname", 30, 50),
    ("middle_name", "middlename", 30, 50),
    ("surname", "lastname", 30, 50),
    ("home_page", "websiteurl", 255, 200),
    ("mobile_phone_no", "mobilephone", 30, 50),
    ("pager", "pager", 30, 50),
    ("phone_no", "telephone1", 30, 50),
]
ADDRESS_CODES = [
    Field("post_code", "address1_postalcode", "code", (20, 20)),
    Field("country_region_code", "address1_country", "code", (10, 80)),
    Field("currency_code", "transactioncurrencyid", lookup="CURRENCY", local_currency=True),
]


def _texts(rows: list[tuple[str, str, int, int]]) -> list[Field]:
    return [Field(local, integration, "text", (a, b)) for local, integration, a, b in rows]


def _owner(code: str) -> list[Field]:
    return [
        Field(None, "owneridtype", way="to", constant="systemuser"),
        Field(code, "ownerid", way="to", lookup="SALESPEOPLE", not_null=True),
    ]


def _account(code: str) -> list[Field]:
    return [
        *_owner(code), *_texts(ACCOUNT_FIELDS), *ADDRESS_CODES,
        Field("shipment_method_code", "address1_freighttermscode", lookup="SHIPMENT METHOD", options=True),
        Field("shipping_agent_code", "address1_shippingmethodcode", lookup="SHIPPING AGENT", options=True),
        Field("payment_terms_code", "paymenttermscode", lookup="PAYMENT TERMS", options=True),
        Field("primary_contact_no", "primarycontactid", lookup="CONTACT", clear=True),
    ]  # fmt: skip


# -- currencies --------------------------------------------------------------------------------------------------------------------


def _currency(today: date) -> Any:
    def rules(world: World, in_pass: str, source: Row, old: Row | None) -> tuple[list[Value], bool, bool]:
        lines = [r for r in world.table("local", "currency_exchange_rate") if r["currency_code"] == source["code"]]
        lines = sorted((r["starting_date"] or "", r) for r in lines if (r["starting_date"] or "") <= today.isoformat())
        symbol = source["symbol"] or source["code"]
        values = [Value("currencysymbol", symbol, symbol != ((old or {}).get("currencysymbol") or ""))]
        if not lines:
            return values, True, False
        line = lines[-1][1]
        rate = Decimal(line["exchange_rate_amount"]) / Decimal(line["relational_exch_rate_amount"])
        rate = rate.quantize(Decimal("1e-10"), ROUND_HALF_UP)
        return [*values, Value("exchangerate", rate, rate != Decimal((old or {}).get("exchangerate") or 0))], False, False

    return rules


# -- accounts ----------------------------------------------------------------------------------------------------------------------


def _company(world: World, in_pass: str, source: Row, old: Row | None) -> tuple[list[Value], bool, bool]:
    if in_pass == "from":
        # an inactive account blocks a customer that is not blocked yet
        block = "blocked" in (old or {}) and source["statuscode"] == 2 and old is not None and old["blocked"] in BLANKS
        return ([Value("blocked", 3, True)] if block else []), False, False
    company = world.settings["company_id"]
    return [Value("bcbi_companyid", company, (old or {}).get("bcbi_companyid") != company, counts=False)], False, False


def _vendor_company(world: World, in_pass: str, source: Row, old: Row | None) -> tuple[list[Value], bool, bool]:
    return _company(world, in_pass, source, old) if in_pass == "to" else ([], False, False)


def _account_filter(kind: int) -> Any:
    def inside(world: World) -> Any:
        own = (world.settings["company_id"], *BLANKS[:2])
        return lambda row: row["statecode"] == 0 and row["customertypecode"] == kind and row["bcbi_companyid"] in own

    return inside


# -- contacts ----------------------------------------------------------------------------------------------------------------------


def _relations(world: World, link: int, given: str, value: str, wanted: str) -> str | None:
    for row in world.table("local", "contact_business_relation"):
        if row["link_to_table"] == link and row[given] == value:
            return row[wanted]
    return None


def _no_business(world: World, in_pass: str, source: Row) -> bool:
    if in_pass == "from":
        return False
    return source["type"] != 1 or all(_relations(world, link, "contact_no", source["company_no"], "no") is None for link in (1, 2))


def _contact(world: World, in_pass: str, source: Row, old: Row | None) -> tuple[list[Value], bool, bool]:
    old = old or {}
    if in_pass == "to":
        values = _company(world, in_pass, source, old)[0]
        for link, mapping in ((1, "CUSTOMER"), (2, "VENDOR")):  # the customer has the last word
            number = _relations(world, link, "contact_no", source["company_no"], "no")
            if number is not None:
                parent = world.look(mapping, "to", number)
                if parent is not None and old.get("parentcustomerid") in BLANKS:
                    values.append(Value("parentcustomerid", parent[1], parent[0] != "failing"))
                return values, False, parent is not None and parent[0] == "failing"
        return values, False, False
    company, failing = None, False
    for link, mapping in ((1, "CUSTOMER"), (2, "VENDOR")):
        parent = world.look(mapping, "from", source["parentcustomerid"])
        if parent is not None:
            failing = parent[0] == "failing"
            company = _relations(world, link, "no", parent[1], "contact_no") if parent[0] == "coupled" else None
            break
    title = next((r["name"] for r in world.table("local", "contact") if r["no"] == company), "") if company else ""
    name = " ".join(source[p] for p in ("firstname", "middlename", "lastname") if source[p])[:92]
    wanted = {"company_no": company or "", "company_name": title, "name": name}
    return [Value(c, v, v != (old.get(c) or ""), counts=False) for c, v in wanted.items()], not company, failing


def standard_maps(world: World, today: date) -> list[Map]:
    """The mappings in the order in which they run."""
    person = (0, 1)  # isdisabled, islicensed

    def contact_inside(row: Row) -> bool:
        own = row["bcbi_companyid"] in (world.settings["company_id"], None, "")
        return row["parentcustomerid"] not in BLANKS and row["statecode"] == 0 and row["parentcustomeridtype"] == "account" and own

    def option(name: str, table: str, column: str) -> Map:
        return Map(name, ("to",), (table, "system_id", "code", "system_modified_at"), ("account", "", ""), [Field("code", "label")],
                   find=("code", "label"), option_set=column)  # fmt: skip

    both = ("to", "from")
    return [
        Map("CURRENCY", ("to",), ("currency", "system_id", "code", "system_modified_at"),
            ("transactioncurrency", "transactioncurrencyid", "modifiedon"),
            [Field("code", "isocurrencycode", insert_only=True), Field("description", "currencyname", "text", (30, 100), "to")],
            rules=_currency(today), find=("code", "isocurrencycode")),
        Map("SALESPEOPLE", ("from",), ("salesperson_purchaser", "system_id", "code", "system_modified_at"),
            ("systemuser", "systemuserid", "modifiedon"),
            [Field("e_mail", "internalemailaddress", "text", (80, 100)), Field("name", "fullname", "text", (50, 200)),
             Field("phone_no", "mobilephone", "text", (30, 64))],
            inside_integration=lambda r: (r["isdisabled"], r["islicensed"]) == person and not r["isintegrationuser"]),
        option("PAYMENT TERMS", "payment_terms", "paymenttermscode"),
        option("SHIPMENT METHOD", "shipment_method", "address1_freighttermscode"),
        option("SHIPPING AGENT", "shipping_agent", "address1_shippingmethodcode"),
        Map("VENDOR", both, ("vendor", "system_id", "no", "system_modified_at"), ("account", "accountid", "modifiedon"),
            _account("purchaser_code"), lambda r: r["blocked"] in BLANKS, _account_filter(11)(world), rules=_vendor_company),
        Map("CUSTOMER", both, ("customer", "system_id", "no", "system_modified_at"), ("account", "accountid", "modifiedon"),
            [*_account("salesperson_code"), Field("credit_limit_lcy", "creditlimit", "decimal", way="to")],
            lambda r: r["blocked"] in BLANKS, _account_filter(3)(world), rules=_company),
        Map("CONTACT", both, ("contact", "system_id", "no", "system_modified_at"), ("contact", "contactid", "modifiedon"),
            [*_owner("salesperson_code"), *_texts(CONTACT_FIELDS), *ADDRESS_CODES,
             Field("type", None, "option", way="from", constant=1), Field(None, "parentcustomeridtype", way="to", constant="account")],
            lambda r: r["type"] == 1 and r["company_no"] not in BLANKS, contact_inside, _no_business, _contact),
    ]  # fmt: skip
