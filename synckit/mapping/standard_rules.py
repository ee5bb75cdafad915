"""The business rules of the eight standard mappings, by id (facts: standard-mappings of the reference, rules of each mapping)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext

import pyarrow as pa
import pyarrow.compute as pc

from synckit.mapping.rules import FollowUp, Rule, RuleColumn, RuleContext, RuleResult, TableMap, register, texts, where

CUSTOMER_LINK, VENDOR_LINK = 1, 2  # Contact Business Relation: Link to Table
PERSON, ALL_BLOCKED, INACTIVE = 1, 3, 2
NULL_GUID = "00000000-0000-0000-0000-000000000000"
BLANK = ("", None, NULL_GUID)


# -- CURRENCY ---------------------------------------------------------------------------------------------------------------------


def _exchange_rate(ctx: RuleContext) -> RuleResult:
    """Units of the currency for one unit of the integration side's base currency, from the line in force today."""
    lines = ctx.table("local", "currency_exchange_rate").sort_by([("Currency Code", "ascending"), ("Starting Date", "ascending")])
    in_force: dict[str, Decimal] = {}  # local currency for one unit
    for row in lines.to_pylist():
        if row["Starting Date"] is None or row["Starting Date"] <= ctx.today:
            amount, relational = row["Exchange Rate Amount"] or Decimal(0), row["Relational Exch. Rate Amount"] or Decimal(0)
            in_force[row["Currency Code"]] = relational / amount if amount else Decimal(0)
    local, base = ctx.workspace.local_currency, ctx.workspace.base_currency or ctx.workspace.local_currency
    of_base = Decimal(1) if base == local else in_force.get(base, Decimal(0))
    values: list[Decimal | None] = []
    errors: list[str] = []
    with localcontext() as context:
        context.prec = 38
        for code in ctx.rows.column("Code").to_pylist():
            rate = Decimal(1) if code in (base, local) else in_force.get(code, Decimal(0))
            if code == base:
                values.append(Decimal(1).quantize(Decimal("1e-10")))
                errors.append("")
            elif not rate or not of_base:
                values.append(None)
                errors.append(f"Currency {code} has no exchange rate that is in force today. Add a line to its exchange rates.")
            else:
                values.append((of_base / rate).quantize(Decimal("1e-10"), ROUND_HALF_UP))
                errors.append("")
    return RuleResult([pa.array(values, pa.decimal128(38, 10))], errors=pa.array(errors, pa.string()))


def _precision(ctx: RuleContext) -> RuleResult:
    base = ctx.workspace.base_currency or ctx.workspace.local_currency
    rows = ctx.table("integration", "transactioncurrency").to_pylist()
    precision = next((r["currencyprecision"] for r in rows if r["isocurrencycode"] == base), None)
    return RuleResult([pa.repeat(pa.scalar(precision, pa.int64()), ctx.rows.num_rows)])


def _symbol_default(ctx: RuleContext) -> RuleResult:
    symbol, code = ctx.rows.column("Symbol"), ctx.rows.column("Code")
    blank = pc.equal(pc.fill_null(symbol, ""), "")
    return RuleResult([where(blank, code, symbol)])


def _same_iso_code(local: pa.Table, integration: pa.Table) -> tuple[pa.Array, pa.Array]:
    return equal_partners(local, "Code", integration, "isocurrencycode")


def equal_partners(local: pa.Table, local_column: str, integration: pa.Table, integration_column: str) -> tuple[pa.Array, pa.Array]:
    """Pairs of keys whose values are equal (case folded) where exactly one row stands on each side; blanks never match."""

    def once(table: pa.Table, column: str) -> dict[str, str]:
        seen: dict[str, list[str]] = {}
        for key, value in zip(table.column("key").to_pylist(), table.column(column).to_pylist(), strict=True):
            if value:
                seen.setdefault(str(value).strip().upper(), []).append(key)
        return {value: keys[0] for value, keys in seen.items() if len(keys) == 1}

    left, right = once(local, local_column), once(integration, integration_column)
    both = sorted(left.keys() & right.keys())
    return pa.array([left[v] for v in both], pa.string()), pa.array([right[v] for v in both], pa.string())


register(Rule(
    "currency.match_uncoupled", "An uncoupled currency is coupled to the currency with the same ISO code instead of being created.",
    finder=_same_iso_code, reads_local=("Code",), reads_integration=("isocurrencycode",),
))  # fmt: skip
register(Rule(
    "currency.exchange_rate", "The exchange rate is computed from the rate in force today; a currency without one fails.",
    columns_to=(RuleColumn("exchangerate"),), reads_local=("Code",), tables=(("local", "currency_exchange_rate"),),
    function=_exchange_rate, passes=("to",),
))  # fmt: skip
register(Rule("currency.precision", "A new currency gets the precision that the environment's base currency has.",
              columns_to=(RuleColumn("currencyprecision", "insert", skip_blank=True),), reads_local=("Code",), passes=("to",),
              tables=(("integration", "transactioncurrency"),), function=_precision))  # fmt: skip
register(Rule("currency.symbol_default", "A blank symbol is filled with the currency code.",
              columns_to=(RuleColumn("currencysymbol"),), reads_local=("Code", "Symbol"), passes=("to",), function=_symbol_default))  # fmt: skip
register(Rule("currency.iso_insert_only", "The ISO code is written to new rows only.", done_by="the schema (access: insert)"))


# -- SALESPEOPLE ------------------------------------------------------------------------------------------------------------------

register(Rule("salespeople.new_code", "A new salesperson gets the code after the highest one like SP NO. 00001.",
              done_by="the number series drawn when applying"))  # fmt: skip
register(
    Rule("salespeople.never_created_by_matching", "Match-based coupling never creates a user.", done_by="coupling by matching")
)


# -- accounts: CUSTOMER and VENDOR ------------------------------------------------------------------------------------------------


def _company_stamp(ctx: RuleContext) -> RuleResult:
    return RuleResult([texts(ctx.rows.num_rows, ctx.workspace.integration.company_id or "")])


def _stamp_on_import(ctx: RuleContext) -> list[FollowUp]:
    """A row that is imported is stamped with the company, too."""
    company = ctx.workspace.integration.company_id
    if ctx.in_pass != "from" or not company:
        return []
    unstamped = {r["key"] for r in ctx.rows.to_pylist() if r["event"] == "create" and r["bcbi_companyid"] in ("", None, NULL_GUID)}
    return [FollowUp(key, "integration", ctx.mapping, "", key, "bcbi_companyid", None, company) for key in sorted(unstamped)]


def _owner(code_field: str) -> Callable[[RuleContext], RuleResult]:
    def owner(ctx: RuleContext) -> RuleResult:
        """New rows belong to the company's default team under team ownership, and where the salesperson code is blank."""
        companies = {r["bcbi_companyid"]: r["bcbi_defaultowningteam"] for r in ctx.table("integration", "bcbi_company").to_pylist()}
        team = companies.get(ctx.workspace.integration.company_id or "") or ""
        n = ctx.rows.num_rows
        if not team:
            return RuleResult([texts(n), texts(n)])
        if ctx.workspace.ownership_model == "team":
            return RuleResult([texts(n, team), texts(n, "team")])
        blank = pc.equal(pc.fill_null(ctx.rows.column(code_field), ""), "")
        return RuleResult([where(blank, team, ""), where(blank, "team", "")])

    return owner


def _blocked_when_inactive(ctx: RuleContext) -> RuleResult:
    inactive = pc.equal(ctx.rows.column("statuscode"), INACTIVE)
    return RuleResult([where(inactive, pa.scalar(ALL_BLOCKED, pa.int64()), pa.scalar(None, pa.int64()))])


for _name, _code in (("customer", "Salesperson Code"), ("vendor", "Purchaser Code"), ("contact", "Salesperson Code")):
    register(Rule(f"{_name}.owner", "New rows get an owner: the salesperson's user, else the company's default team.",
                  columns_to=(RuleColumn("ownerid", "insert", skip_blank=True), RuleColumn("owneridtype", "insert", skip_blank=True)),
                  reads_local=(_code,), tables=(("integration", "bcbi_company"),), passes=("to",), function=_owner(_code)))  # fmt: skip
    register(Rule(f"{_name}.company", "Rows written or imported are stamped with the id of the company.",
                  columns_to=(RuleColumn("bcbi_companyid", "never", skip_blank=True),), reads_integration=("bcbi_companyid",),
                  passes=("to",), function=_company_stamp, follow_up=_stamp_on_import))  # fmt: skip
for _name, _type in (("customer", "3 (Customer)"), ("vendor", "11 (Vendor)")):
    register(
        Rule(f"{_name}.account_type", f"A new account gets the relationship type {_type}.", done_by="the template of new rows")
    )
    register(
        Rule(f"{_name}.local_currency", "A blank currency code stands for the local currency.", done_by="the lookup (blank_local)")
    )
    register(Rule(f"{_name}.primary_contact", "A blank primary contact coming in replaces only a contact that is coupled.",
                  done_by="the lookup of Primary Contact No."))  # fmt: skip


def _company_contact_update(link: int) -> Callable[[RuleContext], list[FollowUp]]:
    #: columns of a customer or vendor that its company contact repeats under the same names
    repeated = ("Name", "Address", "Address 2", "Post Code", "City", "County", "Country/Region Code", "Phone No.", "Fax No.", "E-Mail",
                "Home Page", "Currency Code")  # fmt: skip

    def follow(ctx: RuleContext) -> list[FollowUp]:
        """What the integration side changed in a customer or vendor is repeated in its company contact."""
        if ctx.in_pass != "from":
            return []
        relations = {
            r["No."]: r["Contact No."]
            for r in ctx.table("local", "contact_business_relation").to_pylist()
            if r["Link to Table"] == link
        }
        contacts = {r["No."]: r for r in ctx.table("local", "contact").to_pylist()}
        found = []
        for line in ctx.rows.to_pylist():
            contact, column = contacts.get(relations.get(line["code"] or "", "")), line["column"]
            if contact is None or line["event"] != "update" or column not in repeated or column not in contact:
                continue
            if (contact[column] or "") != (line["new"] or ""):
                found.append(
                    FollowUp(line["key"], "local", "CONTACT", "contact", contact["SystemId"], column, contact[column], line["new"])
                )
        return found

    return follow


register(Rule("customer.contact_update", "The company contact of a customer follows a change made in the customer.",
              tables=(("local", "contact_business_relation"), ("local", "contact")), follow_up=_company_contact_update(CUSTOMER_LINK)))  # fmt: skip
register(Rule("vendor.contact_update", "The company contact of a vendor follows a change made in the vendor.",
              tables=(("local", "contact_business_relation"), ("local", "contact")), follow_up=_company_contact_update(VENDOR_LINK)))  # fmt: skip
register(Rule("customer.blocked", "An inactive account blocks a customer that is not blocked yet.",
              columns_from=(RuleColumn("Blocked", "when blank", skip_blank=True),), reads_integration=("statuscode",), passes=("from",),
              function=_blocked_when_inactive))  # fmt: skip
register(Rule("customer.credit_limit", "The credit limit goes to the integration side only.", done_by="the direction of the field"))
register(Rule("customer.contact_cursor", "Contacts of a customer that gets an account are looked at again.",
              done_by="contacts that wait for their company stay due"))  # fmt: skip


# -- CONTACT ----------------------------------------------------------------------------------------------------------------------


def _relations(ctx: RuleContext, link: int) -> pa.Table:
    table = ctx.table("local", "contact_business_relation")
    return table.filter(pc.equal(table.column("Link to Table"), link))


def _contact_scope(ctx: RuleContext) -> RuleResult:
    if ctx.in_pass == "from":
        return RuleResult()
    table = ctx.table("local", "contact_business_relation")
    related = table.filter(pc.is_in(table.column("Link to Table"), pa.array([CUSTOMER_LINK, VENDOR_LINK], pa.int64()))).column(
        "Contact No."
    )
    no_relation = pc.invert(pc.is_in(ctx.rows.column("Company No."), value_set=related.combine_chunks()))
    company = pc.not_equal(ctx.rows.column("Type"), PERSON)
    reason = where(no_relation, "its company has no business relation to a customer or vendor", "")
    return RuleResult(leave_out=where(company, "it is a contact of type Company", reason))


def _parent_to_integration(ctx: RuleContext) -> RuleResult:
    """The account coupled to the customer of the company contact, else to its vendor; blank where that is not coupled."""
    n = ctx.rows.num_rows
    parent, mapping, source = texts(n), texts(n), texts(n)
    error = texts(n)
    for link, name in ((VENDOR_LINK, "VENDOR"), (CUSTOMER_LINK, "CUSTOMER")):  # the customer has the last word
        number = TableMap.of(_relations(ctx, link), "Contact No.").look(ctx.rows.column("Company No."), "No.")
        known = TableMap.of(ctx.coupled(name), "code")
        has = pc.is_valid(number)
        account = pc.fill_null(known.look(number, "integration_key"), "")
        state = pc.fill_null(known.look(number, "state"), "")
        parent = where(has, account, parent)
        waits = pc.is_in(state, pa.array(["planned", "failing"]))
        mapping = where(has, where(waits, name, ""), mapping)
        source = where(has, where(waits, pc.fill_null(known.look(number, "source_key"), ""), ""), source)
    return RuleResult([parent], errors=error, parents=(mapping, source))


def _parent_to_local(ctx: RuleContext) -> RuleResult:
    """Company No. and Company Name of the company contact of the customer (else vendor) coupled to the parent account."""
    n = ctx.rows.num_rows
    company = texts(n)
    coupled = pa.repeat(pa.scalar(False), n)
    mapping, source = texts(n), texts(n)
    account = ctx.rows.column("parentcustomerid")
    for link, name in ((VENDOR_LINK, "VENDOR"), (CUSTOMER_LINK, "CUSTOMER")):
        known = TableMap.of(ctx.coupled(name).filter(pc.is_valid(ctx.coupled(name).column("integration_key"))), "integration_key")
        code, state = known.look(account, "code"), pc.fill_null(known.look(account, "state"), "")
        has = pc.not_equal(state, "")
        contact = TableMap.of(_relations(ctx, link), "No.").look(code, "Contact No.")
        company = where(has, pc.fill_null(contact, ""), company)
        coupled = where(has, True, coupled)
        waits = pc.is_in(state, pa.array(["planned", "failing"]))
        mapping = where(has, where(waits, name, ""), mapping)
        source = where(has, where(waits, pc.fill_null(known.look(account, "source_key"), ""), ""), source)
    contacts = TableMap.of(ctx.table("local", "contact"), "No.")
    title = pc.fill_null(contacts.look(company, "Name"), "")
    missing = pc.equal(company, "")
    error = where(
        missing,
        where(
            coupled,
            "Its company has no company contact in the local system yet (business relation).",
            "Its company does not exist: the parent account is not coupled.",
        ),
        "",
    )
    return RuleResult([company, title], errors=error, parents=(mapping, source))


def _contact_name(ctx: RuleContext) -> RuleResult:
    """First name, middle name and surname joined by single blanks, cut at 92 characters."""
    name = texts(ctx.rows.num_rows)
    for part in ("firstname", "middlename", "lastname"):
        piece = pc.fill_null(ctx.rows.column(part), "")
        joined = pc.binary_join_element_wise(name, piece, " ")
        name = where(pc.equal(piece, ""), name, where(pc.equal(name, ""), piece, joined))
    return RuleResult([pc.utf8_slice_codeunits(name, 0, 92)])


def _primary_back_fill(ctx: RuleContext) -> list[FollowUp]:
    """A new contact becomes the primary contact of its parent, on both sides at once, where neither side has one."""
    column = "parentcustomerid" if ctx.in_pass == "to" else "Company No."
    lines = sorted(
        (r["key"], r["new"], r["code"])
        for r in ctx.rows.to_pylist()
        if r["event"] == "create" and r["column"] == column and r["new"]
    )
    accounts = {r["accountid"]: r["primarycontactid"] for r in ctx.table("integration", "account").to_pylist()}
    customers = {r["No."]: r for r in ctx.table("local", "customer").to_pylist()}
    companies = {
        r["Contact No."]: r["No."]
        for r in ctx.table("local", "contact_business_relation").to_pylist()
        if r["Link to Table"] == CUSTOMER_LINK
    }
    known = ctx.coupled("CUSTOMER").to_pylist()
    customer_of = {k["integration_key"]: k["code"] for k in known if k["state"] == "coupled"}
    account_of = {k["code"]: k["integration_key"] for k in known if k["state"] == "coupled"}
    found = []
    for key, parent, code in lines:
        number = customer_of.get(parent) if ctx.in_pass == "to" else companies.get(parent)
        account = parent if ctx.in_pass == "to" else account_of.get(number)
        customer = customers.get(number or "")
        if (
            customer is None
            or account not in accounts
            or accounts[account] not in BLANK
            or customer["Primary Contact No."] not in BLANK
        ):
            continue
        assert account is not None  # it is among the accounts
        if not ctx.once(f"primary contact of {account}"):
            continue
        both = ctx.in_pass == "from"
        found.append(
            FollowUp(key, "integration", "CUSTOMER", "account", account, "primarycontactid", None, key if both else None, not both)
        )
        found.append(
            FollowUp(
                key,
                "local",
                "CUSTOMER",
                "customer",
                customer["SystemId"],
                "Primary Contact No.",
                None,
                None if both else code,
                both,
            )
        )
    return found


def _contacts_of(
    parent: str, parents: Mapping[str, str], pairs: Sequence[tuple[str, str]], table: Callable[[str, str], pa.Table]
) -> list[tuple[str, str, str]]:
    """Coupled contacts whose company is a parent's company and whose parent account is the same parent's account (S-099)."""
    link = {"CUSTOMER": CUSTOMER_LINK, "VENDOR": VENDOR_LINK}.get(parent)
    parent_of = {
        r["Contact No."]: r["No."]
        for r in table("local", "contact_business_relation").to_pylist()
        if r["Link to Table"] == link and r["No."] in parents
    }
    here = table("local", "contact").select(["SystemId", "Company No."]).to_pylist()
    there = table("integration", "contact").select(["contactid", "parentcustomerid"]).to_pylist()
    wanted = {r["SystemId"]: parent_of[r["Company No."]] for r in here if r["Company No."] in parent_of}
    given = {r["contactid"]: r["parentcustomerid"] for r in there}
    return [(lk, ik, wanted[lk]) for lk, ik in pairs if lk in wanted and given.get(ik) == parents[wanted[lk]]]


register(Rule("contact.scope", "Contacts of type Company, and of companies without a customer or vendor, are left out.",
              reads_local=("Type", "Company No."), tables=(("local", "contact_business_relation"),), passes=("to",), function=_contact_scope))  # fmt: skip
register(Rule("contact.parent_to_integration", "The parent is the account coupled to the company's customer, else vendor.",
              columns_to=(RuleColumn("parentcustomerid", "when blank", skip_blank=True),), reads_local=("Company No.",),
              tables=(("local", "contact_business_relation"),), couplings=("CUSTOMER", "VENDOR"), passes=("to",),
              function=_parent_to_integration))  # fmt: skip
register(Rule("contact.parent_to_local", "Company No. and Company Name are those of the parent account's customer, else vendor.",
              columns_from=(RuleColumn("Company No.", "never"), RuleColumn("Company Name", "never")),
              reads_integration=("parentcustomerid",), tables=(("local", "contact_business_relation"), ("local", "contact")),
              couplings=("CUSTOMER", "VENDOR"), passes=("from",), function=_parent_to_local))  # fmt: skip
register(Rule("contact.primary_back_fill", "A new contact becomes the primary contact of a parent that has none.",
              tables=(("integration", "account"), ("local", "customer"), ("local", "contact_business_relation")), couplings=("CUSTOMER",),
              follow_up=_primary_back_fill))  # fmt: skip
register(Rule("contact.name", "The name is first name, middle name and surname.",
              columns_from=(RuleColumn("Name", "never"),), reads_integration=("firstname", "middlename", "lastname"), passes=("from",),
              function=_contact_name))  # fmt: skip
register(Rule("contact.uncouple_children", "Uncoupling a customer or vendor uncouples its contacts of the same account.",
              done_by="uncoupling", children=_contacts_of))  # fmt: skip


# -- option mappings --------------------------------------------------------------------------------------------------------------

for _name in ("payment_terms", "shipment_method", "shipping_agent"):
    register(Rule(f"{_name}.option_rows", "The integration side is the option set of the column; options are matched by label.",
                  finder=lambda local, integration: equal_partners(local, "Code", integration, "label"),
                  reads_local=("Code",), reads_integration=("label",)))  # fmt: skip
for _name in ("shipment_method", "shipping_agent"):
    register(Rule(f"{_name}.field_direction", "The field goes in the direction of its mapping.", done_by="the shipped mapping"))
