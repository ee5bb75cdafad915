"""The bulk of the demo: reference data, salespeople and users, and customers, vendors and contacts with their history."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pools import COUNTRIES
from world import COMPANY, COMPANY_ID, CUSTOMER, VENDOR, Row, World, guid

#: code, name, symbol, ISO number, units for one EUR (by 100 EUR where the rate line is kept that way)
CURRENCIES = (
    ("USD", "US Dollar", "$", "840", "1.0842"),
    ("GBP", "Pound Sterling", "£", "826", "0.8374"),
    ("CHF", "Swiss Franc", "", "756", "0.9415"),
    ("SEK", "Swedish Krona", "kr", "752", "11.2035"),
    ("NOK", "Norwegian Krone", "kr", "578", "11.6450"),
    ("DKK", "Danish Krone", "kr.", "208", "7.4603"),
    ("PLN", "Polish Złoty", "zł", "985", "4.2150"),
    ("CZK", "Czech Koruna", "Kč", "203", "25.0000"),
    ("JPY", "Japanese Yen", "¥", "392", "162.35"),
    ("CAD", "Canadian Dollar", "C$", "124", "1.5620"),
    ("TRY", "Turkish Lira", "₺", "949", ""),
    ("ISK", "Icelandic Króna", "kr", "352", "148.70"),
)
COUPLED_CURRENCIES = ("USD", "GBP", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK")

SALESPEOPLE = (
    ("AW", "Anneke Westermann", "DE"), ("BL", "Björn Lindholmer", "SE"), ("CD", "Camille Desrochers", "FR"),
    ("DK", "Dorota Kowalewicz", "PL"),
    ("EØ", "Emil Østergren", "DK"), ("FM", "Fiona MacAllisterly", "GB"),
    ("GI", "Gonzalo Ibarrola", "ES"), ("HS", "Håkon Solbergsen", "NO"),
    ("IP", "Ioanna Papadakou", "GR"), ("JK", "Jürgen Krögerhoff", "DE"), ("KT", "Kerem Taşkınoğlu", "TR"),
    ("LO", "Liam O'Shaughnessyly", "US"),
    ("MY", "山之内川 美咲", "JP"),
)  # fmt: skip

#: option set -> codes that both systems know: (code, option value, due date or description)
OPTIONS = {
    "paymenttermscode": (
        "PAYMENT TERMS",
        "payment_terms",
        (("14 DAYS", "5", "14D"), ("30 DAYS", "6", "30D"), ("60 DAYS", "7", "60D"), ("COD", "8", "0D")),
    ),
    "address1_freighttermscode": (
        "SHIPMENT METHOD",
        "shipment_method",
        (
            ("FOB", "1", "Free on board"),
            ("CIF", "3", "Cost, insurance, freight"),
            ("DAP", "4", "At place"),
            ("EXW", "5", "Ex works"),
        ),
    ),
    "address1_shippingmethodcode": (
        "SHIPPING AGENT",
        "shipping_agent",
        (("DHL", "2", "DHL Parcel"), ("UPS", "4", "UPS"), ("NORDSPED", "8", "Nordsped Spedition")),
    ),
}

#: the options that every new Dataverse environment has
DEFAULT_OPTIONS = {
    "paymenttermscode": ("Net 30", "2% 10; Net 30", "Net 45", "Net 60"),
    "address1_freighttermscode": ("FOB", "No Charge"),
    "address1_shippingmethodcode": ("Airborne", "DHL", "FedEx", "UPS", "Postal Mail", "Full Load", "Will Call"),
}

COUNTRY_NAMES = {
    "DE": ("Germany", "276"), "SE": ("Sweden", "752"), "DK": ("Denmark", "208"), "NO": ("Norway", "578"),
    "FR": ("France", "250"),
    "ES": ("Spain", "724"), "PL": ("Poland", "616"), "GB": ("Great Britain", "826"), "US": ("United States", "840"),
    "TR": ("Türkiye", "792"),
    "GR": ("Greece", "300"), "UA": ("Ukraine", "804"), "JP": ("Japan", "392"), "CN": ("China", "156"), "IL": ("Israel", "376"),
    "AE": ("United Arab Emirates", "784"), "CA": ("Canada", "124"), "IS": ("Iceland", "352"),
}  # fmt: skip


def reference_data(world: World) -> None:
    """Currencies with rates, option sets with their codes, countries, the company, teams."""
    for code, (name, number) in COUNTRY_NAMES.items():
        world.local_row("country_region", code, {"code": code, "name": name, "iso_code": code, "iso_numeric_code": number})
    _company(world)
    _currencies(world)
    _options(world)


def _company(world: World) -> None:
    settled = "2025-06-02T08:00:00.000Z"
    unit = guid("businessunit:nordwind")
    for team, kind in (("Nordwind Trading Owners", "0"), ("Nordwind Iberia Owners", "0"), ("Key Accounts", "1")):
        row = {"teamid": guid(f"team:{team}"), "name": team, "businessunitid": unit, "isdefault": "false", "teamtype": kind}
        world.add(world.integration, "team", {**row, "modifiedon": settled})
    for name, key in ((COMPANY, COMPANY_ID), ("Nordwind Iberia", guid("company:iberia"))):
        row = {"bcbi_companyid": key, "bcbi_name": name, "bcbi_externalid": guid(f"external:{name}")}
        world.add(
            world.integration, "bcbi_company", {**row, "bcbi_defaultowningteam": guid(f"team:{name} Owners"), "modifiedon": settled}
        )


def _currencies(world: World) -> None:
    base = {"currencyname": "Euro", "isocurrencycode": "EUR", "currencysymbol": "€", "exchangerate": "1", "currencyprecision": "2"}
    euro = world.integration_row("transactioncurrency", "EUR", base, datetime(2025, 6, 2, 8), "systemuser:integration")
    world.currencies[""] = euro["transactioncurrencyid"]
    for code, name, symbol, number, rate in CURRENCIES:
        row = {"code": code, "description": name, "symbol": symbol, "iso_code": code, "iso_numeric_code": number}
        local = world.local_row("currency", code, {**row, "amount_decimal_places": "0:0" if code == "JPY" else "2:2"})
        _rates(world, code, rate)
        remote = {
            "currencyname": name,
            "isocurrencycode": code,
            "currencysymbol": symbol or code,
            "exchangerate": rate,
            "currencyprecision": "2",
        }
        if code in COUPLED_CURRENCIES:
            modified = datetime.fromisoformat(local["system_modified_at"][:-1]).replace(microsecond=640000)
            if modified < datetime.fromisoformat(local["system_modified_at"][:-1]):
                modified = modified.replace(microsecond=999000)
            existing = world.integration_row("transactioncurrency", code, remote, modified, "systemuser:integration")
            world.couple("CURRENCY", local, existing, "transactioncurrencyid")
            world.currencies[code] = existing["transactioncurrencyid"]
    for code, name, symbol, rate in (
        ("JPY", "Yen", "¥", "158.1"),
        ("AUD", "Australian Dollar", "A$", "1.655"),
        ("HUF", "Hungarian Forint", "Ft", "398.2"),
    ):
        row = {
            "currencyname": name,
            "isocurrencycode": code,
            "currencysymbol": symbol,
            "exchangerate": rate,
            "currencyprecision": "2",
        }
        world.integration_row("transactioncurrency", code, row, world.before_sync(), "systemuser:integration")
        world.currencies[f"uncoupled {code}"] = guid(f"transactioncurrency:{code}")


def _rates(world: World, code: str, rate: str) -> None:
    """Rate lines: an older one, the current one and, for NOK, one of the future. CZK is kept as 100 for 4 EUR."""
    if not rate:
        return
    lines = [("2025-01-01", str(round(Decimal(rate) * Decimal("0.98"), 4)), "1"), ("2026-01-01", rate, "1")]
    if code == "CZK":
        lines = [("2025-01-01", "98", "4"), ("2026-01-01", "100", "4")]
    elif code == "NOK":
        lines.append(("2099-01-01", "99.9999", "1"))
    for start, amount, relational in lines:
        row = {
            "currency_code": code,
            "starting_date": start,
            "exchange_rate_amount": amount,
            "adjustment_exch_rate_amount": amount,
            "relational_currency_code": "",
            "relational_exch_rate_amount": relational,
            "relational_adjmt_exch_rate_amt": relational,
        }
        world.local_row("currency_exchange_rate", f"{code}:{start}", row)


def _options(world: World) -> None:
    for option_set, labels in DEFAULT_OPTIONS.items():
        values = {str(number): label for number, label in enumerate(labels, 1)}
        mapping, table, codes = OPTIONS[option_set]
        for code, value, detail in codes:
            values[value] = code
            local = _option_code(world, table, code, detail)
            world.options[option_set, code] = value
            world.couple(mapping, local, {"value": value}, "value")
        for value, label in sorted(values.items(), key=lambda item: int(item[0])):
            row = {"objecttypecode": "account", "attributename": option_set, "attributevalue": value, "value": label}
            world.add(world.integration, "stringmap", row)


def _option_code(world: World, table: str, code: str, detail: str) -> Row:
    if table == "payment_terms":
        terms = {
            "due_date_calculation": detail,
            "discount_date_calculation": "",
            "discount_pct": "0",
            "description": f"Net {detail.rstrip('D')} days",
        }
        return world.local_row(table, code, {"code": code, **terms})
    if table == "shipping_agent":
        return world.local_row(table, code, {"code": code, "name": detail, "internet_address": "", "account_no": ""})
    return world.local_row(table, code, {"code": code, "description": detail})


def users_and_salespeople(world: World) -> None:
    """Salespeople coupled to licensed users, the integration user and a disabled user."""
    for code, name, land in SALESPEOPLE:
        phone = world.telephone(COUNTRIES[land].mobiles)
        mail = f"{code.lower().replace('ø', 'oe')}@nordwind-trading.example"
        local = salesperson(world, code, name, mail, phone)
        remote = user(world, code, name, mail, phone, local["system_modified_at"])
        world.couple("SALESPEOPLE", local, remote, "systemuserid")
        world.users[code] = remote["systemuserid"]
    for key, name, state in (
        ("integration", "Business Central Integration", {"isintegrationuser": "true", "accessmode": "4"}),
        ("disabled", "Werner Altendorf", {"isdisabled": "true", "islicensed": "false"}),
    ):
        user(world, key, name, f"{key}@nordwind-trading.example", "", "2025-06-02T07:00:00.000Z", **state)


def salesperson(world: World, code: str, name: str, mail: str, phone: str) -> Row:
    row = {
        "code": code,
        "name": name,
        "e_mail": mail,
        "e_mail_2": "",
        "phone_no": phone,
        "job_title": "Sales",
        "commission_pct": "5",
    }
    return world.local_row("salesperson_purchaser", code, {**row, "blocked": "false"})


def user(world: World, key: str, name: str, mail: str, phone: str, modified: str, **state: str) -> Row:
    first, _, last = name.rpartition(" ")
    row = {
        "fullname": name,
        "firstname": first,
        "lastname": last,
        "internalemailaddress": mail,
        "personalemailaddress": "",
        "mobilephone": phone,
        "jobtitle": "Sales",
        "domainname": mail,
        "isdisabled": "false",
        "islicensed": "true",
        "isintegrationuser": "false",
        "accessmode": "0",
        **state,
    }
    return world.integration_row("systemuser", key, row, datetime.fromisoformat(modified[:-1]), "systemuser:integration")


def trading_partners(world: World) -> None:
    """Customers, vendors and their persons: mostly coupled and in sync, some edited since, some on one side only."""
    coupled: dict[str, list[tuple[Row, Row]]] = {"customer": [], "vendor": []}
    people: list[tuple[Row, Row]] = []
    for table, kind, together, alone in (("customer", CUSTOMER, 238, 8), ("vendor", VENDOR, 65, 12)):
        for number in range(together + alone):
            party = world.customer() if table == "customer" else world.vendor()
            company = world.company_contact(party, table)
            persons = [world.person(company) for _ in range(world.rng.choices((0, 1, 2), (24, 47, 29))[0])]
            if number >= together:
                if persons:
                    party["contact"], party["primary_contact_no"] = persons[0]["name"], persons[0]["no"]
                continue
            account = world.synced_account(party, kind)
            coupled[table].append((party, account))
            partners = [(p, world.synced_contact(p, account)) for p in persons if world.rng.random() < 0.88]
            if partners:
                world.make_primary(party, account, *partners[0])
            people += partners
    for number in range(4):
        account = world.account_only(f"only:{number}")
        contact_only(world, f"only:{number}", account)
    for number in range(5):
        world.account_only(f"only:vendor:{number}", VENDOR)
    for number, (_, account) in enumerate(world.rng.sample(coupled["customer"], 22)):
        contact_only(world, f"new:{number}", account)
    _edits(world, coupled, people)


def contact_only(world: World, key: str, account: Row, **values: str) -> Row:
    """A contact in Dataverse that never came from Business Central."""
    land = COUNTRIES.get(account["address1_country"], COUNTRIES["DE"])
    first, last = world.person_name(land)
    shared = ("line1", "postalcode", "city", "stateorprovince", "country")
    columns = [
        *(f"address1_{part}" for part in shared),
        "telephone1",
        "websiteurl",
        "transactioncurrencyid",
        "ownerid",
        "owneridtype",
    ]
    copied = {column: account[column] for column in columns}
    blank = dict.fromkeys(("middlename", "salutation", "address1_line2", "mobilephone", "pager", "fax", "bcbi_companyid"), "")
    host = account["emailaddress1"].partition("@")[2] or "guest.example"
    row = {
        **blank,
        **copied,
        "firstname": first,
        "lastname": last,
        "jobtitle": world.rng.choice(("Purchasing", "Owner", "")),
        "telephone1": world.direct_line(land, account["telephone1"]),
        "emailaddress1": f"contact.{len(world.integration['contact'])}@{host}",
        "parentcustomerid": account["accountid"],
        "parentcustomeridtype": "account",
        **values,
    }
    row["fullname"] = " ".join(part for part in (row["firstname"], row["middlename"], row["lastname"]) if part)
    return world.integration_row("contact", key, row, world.before_sync(), row["ownerid"])


def _edits(world: World, coupled: dict[str, list[tuple[Row, Row]]], people: list[tuple[Row, Row]]) -> None:
    """Edits since the last synchronisation: each pair on one side only."""
    for table, local, integration in (("customer", 25, 15), ("vendor", 7, 4)):
        chosen = world.rng.sample(coupled[table], local + integration)
        for party, _ in chosen[:local]:
            world.edit_local(party, **_new_values(world, party, table))
        for _, account in chosen[local:]:
            world.edit_integration(account, **_new_account_values(world, account))
    chosen = world.rng.sample(people, 30)
    for person, _ in chosen[:18]:
        edit = world.rng.choice(
            ({"mobile_phone_no": "+49 171 39200 47"}, {"e_mail": f"new.{person['e_mail']}"}, {"surname": "Neuhaus-Lindt"})
        )
        name = (
            {"name": " ".join(p for p in (person["first_name"], person["middle_name"], "Neuhaus-Lindt") if p)}
            if "surname" in edit
            else {}
        )
        world.edit_local(person, **edit, **name)
    for _, contact in chosen[18:]:
        world.edit_integration(
            contact, **world.rng.choice(({"mobilephone": "+46 70 174 06 42"}, {"emailaddress1": f"crm.{contact['emailaddress1']}"}))
        )


def _new_values(world: World, party: Row, table: str) -> Row:
    """One to four changed fields of a customer or vendor."""
    domain = party["e_mail"].partition("@")[2]
    edits: list[Row] = [
        {"phone_no": world.telephone(("+49 40 66969 ###",))},
        {"e_mail": f"accounts@{domain}"},
        {"address": "Neue Speicherstraße 7", "post_code": "20457", "city": "Hamburg"},
        {"payment_terms_code": "14 DAYS" if party["payment_terms_code"] != "14 DAYS" else "30 DAYS"},
        {"home_page": f"https://{domain}"},
    ]
    if table == "customer":
        edits.append({"credit_limit_lcy": "81250.50"})
    changed: Row = {}
    for edit in world.rng.sample(edits, world.rng.choice((1, 1, 1, 2, 2))):
        changed |= edit
    return changed


def _new_account_values(world: World, account: Row) -> Row:
    domain = account["emailaddress1"].partition("@")[2]
    edits: list[Row] = [
        {"telephone1": world.telephone(("+46 8 465 004 ##",))},
        {"emailaddress1": f"crm@{domain}"},
        {"websiteurl": f"https://shop.{domain}"},
        {"address1_line2": "c/o Reception", "fax": world.telephone(("+49 30 23125 ###",))},
    ]
    changed: Row = {}
    for edit in world.rng.sample(edits, world.rng.choice((1, 1, 2))):
        changed |= edit
    return changed
