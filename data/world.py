"""Both systems of the demo while they are made: rows by table, couplings, and how a Business Central row looks in Dataverse."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from pools import COUNTRIES, SHARES, Country, ascii_name, digits

Row = dict[str, str]

SEED = 20260302
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "nordwind-trading.example")
COMPANY = "Nordwind Trading"
INTEGRATION_USER = "systemuser:integration"
LAST_SYNC = datetime(2026, 2, 27, 18, 0)
CUSTOMER, VENDOR = "3", "11"  # account.customertypecode


def guid(what: str) -> str:
    """The lower-case GUID that belongs to a name such as "customer:10000"; the same in every run."""
    return str(uuid.uuid5(NAMESPACE, what))


def moment(at: datetime) -> str:
    """A point in time as both systems store it: ISO, milliseconds, UTC."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


COMPANY_ID = guid("company:nordwind")


@dataclass(frozen=True)
class Case:
    """One record of a planted case and what a full synchronisation plan says about it, per pass ('' = not stated)."""

    case: str
    what: str
    mapping: str
    side: str
    key: str
    label: str
    to: str
    from_: str
    says: str


class World:
    """Collects the rows of both systems. Every random choice comes from one seeded generator, so a run repeats itself exactly."""

    def __init__(self) -> None:
        self.rng = Random(SEED)
        self.local: dict[str, list[Row]] = {}
        self.integration: dict[str, list[Row]] = {}
        self.couplings: list[Row] = []
        self.cases: list[Case] = []
        self.users: dict[str, str] = {}  # salesperson code -> coupled user
        self.currencies: dict[str, str] = {}  # currency code ('' = local currency) -> transaction currency
        self.options: dict[tuple[str, str], str] = {}  # (option set, code) -> option value
        self._names: set[str] = set()
        self._domains: set[str] = set()
        self._telephones: set[str] = set()
        self._numbers = {"customer": 10000, "vendor": 40000, "contact": 1}

    # ---- small things ---------------------------------------------------------------------------------------------------

    def between(self, start: datetime, end: datetime) -> datetime:
        seconds = int((end - start).total_seconds())
        return start + timedelta(seconds=self.rng.randrange(seconds), milliseconds=self.rng.randrange(1000))

    def before_sync(self) -> datetime:
        return self.between(datetime(2025, 9, 1, 7), LAST_SYNC)

    def after_sync(self) -> datetime:
        return self.between(datetime(2026, 3, 2, 7), datetime(2026, 3, 13, 17))

    def add(self, side: dict[str, list[Row]], table: str, row: Row) -> Row:
        side.setdefault(table, []).append(row)
        return row

    def local_row(self, table: str, key: str, row: Row, modified: datetime | None = None) -> Row:
        """Adds `row` to a Business Central table with its system fields."""
        changed = modified or self.before_sync()
        created = self.between(datetime(2023, 1, 9), datetime(2025, 8, 29))
        system = {"system_id": guid(f"{table}:{key}"), "system_created_at": moment(created), "system_modified_at": moment(changed)}
        return self.add(self.local, table, {**row, **system})

    def find(self, side: dict[str, list[Row]], table: str, column: str, value: str) -> Row:
        return next(row for row in side[table] if row[column] == value)

    def next_number(self, series: str) -> str:
        number = self._numbers[series]
        self._numbers[series] += 1 if series == "contact" else 10
        return f"CT{number:06}" if series == "contact" else str(number)

    # ---- inventing ------------------------------------------------------------------------------------------------------

    def country(self) -> Country:
        return COUNTRIES[self.rng.choices(list(SHARES), list(SHARES.values()))[0]]

    def company(self, code: str | None = None, name: str = "") -> Row:
        """A company with its address and ways to reach it, in Business Central's columns; without `name` a new one is invented."""
        if name:
            return self.profile(
                COUNTRIES[code or "DE"], name, ascii_name("".join(name.split()[:2]), f"name-{len(self._domains):03}")
            )
        while True:
            land = COUNTRIES[code] if code else self.country()
            brand, trade = self.rng.choice(land.brands), self.rng.choice(land.trades)
            if f"{brand} {trade}" not in self._names:
                break
        self._names.add(f"{brand} {trade}")
        name = land.pattern.format(brand=brand, trade=trade, legal=self.rng.choice(land.legal))
        return self.profile(land, name, ascii_name(f"{brand}-{trade}", f"{land.code.lower()}-{len(self._names):03}"))

    def telephone(self, patterns: tuple[str, ...]) -> str:
        """A number that nobody else has, told apart by its last nine digits; the ranges for fiction are small."""
        for _ in range(10_000):
            number = digits(self.rng, self.rng.choice(patterns))
            ending = "".join(letter for letter in number if letter.isdigit())[-9:]
            if ending not in self._telephones:
                self._telephones.add(ending)
                return number
        raise ValueError(f"all numbers are taken: {patterns}; add a range in pools.py")

    def profile(self, land: Country, name: str, domain: str) -> Row:
        while domain in self._domains:
            domain += "-nord"
        self._domains.add(domain)
        post_code, city, county = self.rng.choice(land.places)
        number = str(self.rng.randrange(1, 190))
        currency = land.currency
        if not currency and land.code in ("TR", "UA", "JP", "CN", "IL", "AE") and self.rng.random() < 0.6:
            currency = "USD"
        elif land.code == "DE" and self.rng.random() < 0.06:
            currency = self.rng.choice(("CHF", "CZK"))
        fax = self.telephone(land.phones) if self.rng.random() < 0.3 else ""
        return {
            "name": name,
            "search_name": name.upper(),
            "name_2": "",
            "address": land.address.format(street=self.rng.choice(land.streets), number=number),
            "address_2": self.rng.choice(("", "", "", "", "2. OG", "Building B", "Dock 4")),
            "post_code": post_code,
            "city": city,
            "county": county,
            "country_region_code": land.code,
            "contact": "",
            "primary_contact_no": "",
            "phone_no": self.telephone(land.phones),
            "mobile_phone_no": "",
            "fax_no": fax,
            "e_mail": f"{self.rng.choice(('info', 'office', 'mail', 'sales', 'order'))}@{domain}.example",
            "home_page": f"https://www.{domain}.example" if self.rng.random() < 0.7 else "",
            "currency_code": currency,
            "payment_terms_code": self.rng.choice(("14 DAYS", "30 DAYS", "30 DAYS", "60 DAYS", "COD", "")),
            "shipment_method_code": self.rng.choice(("DAP", "EXW", "FOB", "CIF", "")),
            "shipping_agent_code": self.rng.choice(("DHL", "UPS", "NORDSPED", "")),
            "vat_registration_no": digits(self.rng, land.vat),
            "language_code": land.language,
        }

    def customer(self, **values: str) -> Row:
        """A customer row: an invented company unless `values` say otherwise (`land` picks the country)."""
        base = self.company(values.pop("land", None), values.get("name", ""))
        extra = {
            "salesperson_code": self.rng.choice(list(self.users)),
            "credit_limit_lcy": self.rng.choice(("0.00", "0.00", "2500.00", "12500.00", "50000.00", "7499.95")),
            "customer_posting_group": "DOMESTIC" if base["country_region_code"] == "DE" else "FOREIGN",
        }
        return self._party("customer", base, extra, values)

    def vendor(self, **values: str) -> Row:
        base = self.company(values.pop("land", None), values.get("name", ""))
        extra = {"purchaser_code": self.rng.choice(list(self.users)), "vendor_posting_group": "GOODS"}
        return self._party("vendor", base, extra, values)

    def _party(self, table: str, base: Row, extra: Row, values: Row) -> Row:
        row = {**base, **extra, "blocked": "0", "privacy_blocked": "false", **values}
        row["search_name"] = row["name"].upper()[:100]
        no = self.next_number(table)
        return self.local_row(table, no, {"no": no, **row})

    def company_contact(self, party: Row, table: str, related: bool = True) -> Row:
        """The contact of type Company that stands for a customer or vendor, with its business relation."""
        owner = party.get("salesperson_code") or party.get("purchaser_code") or ""
        relation = {"customer": ("1", "CUST"), "vendor": ("2", "VEND")}[table]
        no = self.next_number("contact")
        values = {"type": "0", "company_no": no, "company_name": party["name"], "name": party["name"], "salesperson_code": owner}
        row = self._contact(no, party, values, relation[0] if related else "100")
        if related:
            link = {"contact_no": no, "business_relation_code": relation[1], "link_to_table": relation[0], "no": party["no"]}
            self.local_row("contact_business_relation", f"{no}:{relation[1]}", link)
        return row

    def person(self, company: Row, **values: str) -> Row:
        """A contact of type Person that works for the company contact `company`."""
        land = COUNTRIES.get(company["country_region_code"], COUNTRIES["DE"])
        first, last = self.person_name(land)
        first, last = values.get("first_name", first), values.get("surname", last)
        middle = values.get("middle_name") or (self.rng.choice(("Maria", "J.", "K.")) if self.rng.random() < 0.06 else "")
        no = self.next_number("contact")
        domain = company["e_mail"].partition("@")[2] or "nordwind-guest.example"
        mailbox = f"{ascii_name(first, 'kontakt')}.{ascii_name(last, no.lower())}@{domain}"
        given = {
            "type": "1",
            "company_no": company["no"],
            "company_name": company["name"],
            "name": " ".join(part for part in (first, middle, last) if part),
            "first_name": first,
            "middle_name": middle,
            "surname": last,
            "job_title": self.rng.choice(("Purchasing", "Accounts payable", "Managing director", "Warehouse", "Sales", "")),
            "e_mail": mailbox,
            "mobile_phone_no": self.telephone(land.mobiles) if self.rng.random() < 0.6 else "",
            "phone_no": self.direct_line(land, company["phone_no"]),
            "salesperson_code": company["salesperson_code"],
        }
        return self._contact(no, company, {**given, **values}, company["contact_business_relation"])

    def person_name(self, land: Country) -> tuple[str, str]:
        """First name and surname; namesakes only where a country's names run out."""
        for _ in range(60):
            name = (self.rng.choice(land.first), self.rng.choice(land.last))
            if " ".join(name) not in self._names:
                break
        self._names.add(" ".join(name))
        return name

    def direct_line(self, land: Country, switchboard: str) -> str:
        """A person's telephone: mostly a number of its own, sometimes none, seldom the company's."""
        kind = self.rng.random()
        return self.telephone(land.phones) if kind < 0.6 else "" if kind < 0.94 else switchboard

    def _contact(self, no: str, like: Row, values: Row, relation: str) -> Row:
        taken = ("address", "address_2", "post_code", "city", "county", "country_region_code", "phone_no", "fax_no", "e_mail",
                 "home_page", "currency_code", "language_code")  # fmt: skip
        first = (
            "type",
            "company_no",
            "company_name",
            "name",
            "search_name",
            "first_name",
            "middle_name",
            "surname",
            "salutation_code",
            "job_title",
        )
        row = {"no": no, **dict.fromkeys((*first, "mobile_phone_no", "pager"), ""), **{column: like[column] for column in taken}}
        row |= {"contact_business_relation": relation, **values}
        row["search_name"] = row["name"].upper()[:100]
        return self.local_row("contact", no, {**row, "privacy_blocked": "false"})

    # ---- the other side -------------------------------------------------------------------------------------------------

    def integration_row(self, table: str, key: str, row: Row, modified: datetime, by: str) -> Row:
        """Adds `row` to a Dataverse table with key, state, company and who changed it when."""
        created = min(modified, self.between(datetime(2024, 1, 8), datetime(2025, 8, 29)))
        user = guid(by) if by.startswith("systemuser:") else by
        state = {"statecode": "0", "statuscode": "1"} if table != "systemuser" else {}
        stamps = {"createdon": moment(created), "createdby": user, "modifiedon": moment(modified), "modifiedby": user}
        if table == "systemuser":
            del stamps["createdby"]
        return self.add(self.integration, table, {f"{table}id": guid(f"{table}:{key}"), **row, **state, **stamps})

    def account_values(self, party: Row, kind: str) -> Row:
        """What the mapping CUSTOMER or VENDOR carries over from a customer or vendor row ('' = NULL)."""
        owner = party["salesperson_code"] if kind == CUSTOMER else party["purchaser_code"]
        return {
            "name": party["name"],
            "accountnumber": party.get("no", ""),
            "customertypecode": kind,
            "primarycontactid": "",
            "address1_primarycontactname": party["contact"],
            "address1_line1": party["address"],
            "address1_line2": party["address_2"],
            "address1_postalcode": party["post_code"],
            "address1_city": party["city"],
            "address1_stateorprovince": party["county"],
            "address1_country": party["country_region_code"],
            "telephone1": party["phone_no"],
            "telephone2": party["mobile_phone_no"],
            "fax": party["fax_no"],
            "emailaddress1": party["e_mail"],
            "websiteurl": party["home_page"],
            "creditlimit": party["credit_limit_lcy"] if kind == CUSTOMER else "",
            "transactioncurrencyid": self.currencies[party["currency_code"]],
            "paymenttermscode": self.option("paymenttermscode", party["payment_terms_code"]),
            "address1_freighttermscode": self.option("address1_freighttermscode", party["shipment_method_code"]),
            "address1_shippingmethodcode": self.option("address1_shippingmethodcode", party["shipping_agent_code"]),
            "ownerid": self.users[owner],
            "owneridtype": "systemuser",
            "bcbi_companyid": COMPANY_ID,
        }

    def option(self, option_set: str, code: str) -> str:
        return self.options[option_set, code] if code else ""

    def contact_values(self, contact: Row, account: Row) -> Row:
        """What the mapping CONTACT carries over from a person who works for the company behind `account`."""
        return {
            "fullname": " ".join(part for part in (contact["first_name"], contact["middle_name"], contact["surname"]) if part),
            "firstname": contact["first_name"],
            "middlename": contact["middle_name"],
            "lastname": contact["surname"],
            "salutation": contact["salutation_code"],
            "jobtitle": contact["job_title"],
            "parentcustomerid": account["accountid"],
            "parentcustomeridtype": "account",
            "address1_line1": contact["address"],
            "address1_line2": contact["address_2"],
            "address1_postalcode": contact["post_code"],
            "address1_city": contact["city"],
            "address1_stateorprovince": contact["county"],
            "address1_country": contact["country_region_code"],
            "telephone1": contact["phone_no"],
            "mobilephone": contact["mobile_phone_no"],
            "pager": contact["pager"],
            "fax": contact["fax_no"],
            "emailaddress1": contact["e_mail"],
            "websiteurl": contact["home_page"],
            "transactioncurrencyid": self.currencies[contact["currency_code"]],
            "ownerid": self.users[contact["salesperson_code"]],
            "owneridtype": "systemuser",
            "bcbi_companyid": COMPANY_ID,
        }

    def couple(self, mapping: str, local: Row, integration: Row, key: str) -> Row:
        """A coupling whose stamps are the modified times of both rows as they stand: in sync."""
        stamps = {"local_stamp": local["system_modified_at"], "integration_stamp": integration.get("modifiedon", "")}
        pair = {
            "mapping": mapping,
            "local_key": local["system_id"],
            "integration_key": integration[key],
            **stamps,
            "skipped": "false",
        }
        self.couplings.append(pair)
        return pair

    def synced_account(self, party: Row, kind: str) -> Row:
        """The account that a synchronisation made of `party`, coupled and in sync."""
        modified = datetime.fromisoformat(party["system_modified_at"][:-1]) + timedelta(milliseconds=self.rng.randrange(900, 9000))
        values = self.account_values(party, kind)
        account = self.integration_row("account", f"of:{kind}:{party['no']}", values, modified, INTEGRATION_USER)
        self.couple("CUSTOMER" if kind == CUSTOMER else "VENDOR", party, account, "accountid")
        return account

    def synced_contact(self, contact: Row, account: Row) -> Row:
        modified = datetime.fromisoformat(contact["system_modified_at"][:-1]) + timedelta(
            milliseconds=self.rng.randrange(900, 9000)
        )
        row = self.integration_row(
            "contact", f"of:{contact['no']}", self.contact_values(contact, account), modified, INTEGRATION_USER
        )
        self.couple("CONTACT", contact, row, "contactid")
        return row

    def make_primary(self, party: Row, account: Row, person: Row, contact: Row) -> None:
        """Makes a coupled person the primary contact on both sides."""
        party["contact"], party["primary_contact_no"] = person["name"], person["no"]
        account["address1_primarycontactname"], account["primarycontactid"] = person["name"], contact["contactid"]

    def account_only(self, key: str, kind: str = CUSTOMER, land: str | None = None, **values: str) -> Row:
        """An account that never came from Business Central."""
        base = {
            **self.company(land, values.get("name", "")),
            "payment_terms_code": "",
            "shipment_method_code": "",
            "shipping_agent_code": "",
        }
        base |= {"salesperson_code": self.rng.choice(list(self.users)), "purchaser_code": next(iter(self.users))}
        base |= {"credit_limit_lcy": "", "address_2": ""}
        row = {**self.account_values(base, kind), "bcbi_companyid": "", **values}
        return self.integration_row("account", key, row, self.before_sync(), row["ownerid"])

    # ---- edits after the last synchronisation ---------------------------------------------------------------------------

    def edit_local(self, row: Row, **values: str) -> None:
        row.update(values)
        row["system_modified_at"] = moment(self.after_sync())

    def edit_integration(self, row: Row, **values: str) -> None:
        row.update(values)
        row["modifiedon"], row["modifiedby"] = moment(self.after_sync()), row["ownerid"]

    def plant(self, case: str, what: str, mapping: str, side: str, row: Row, to: str = "", from_: str = "", says: str = "") -> None:
        """Notes `row` as part of a planted case."""
        label = row.get("no") or row.get("code") or row.get("name") or row.get("fullname") or row.get("isocurrencycode") or ""
        key = row.get("system_id") or next(
            row[k] for k in ("contactid", "accountid", "systemuserid", "transactioncurrencyid") if k in row
        )
        self.cases.append(Case(case, what, mapping, side, key, label, to, from_, says))
