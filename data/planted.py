"""The planted cases of the demo: records with a story, and what a full synchronisation plan says about each."""

from __future__ import annotations

from history import contact_only, salesperson, user
from world import CUSTOMER, VENDOR, Row, World, guid

DUPLICATE = "both planned as creates, each named as a possible duplicate of the other"

FUZZY = "both planned as creates; only a comparison of similar names and addresses finds them"

#: What the account of such a pair does not have: not every pair can be found by its e-mail or telephone.
MISSING = {
    3: ("emailaddress1",),
    5: ("telephone1",),
    8: ("telephone1", "websiteurl"),
    9: ("emailaddress1", "telephone1", "websiteurl"),
    10: ("emailaddress1",),
}

#: kind, country, what the customer has, what the account has instead
SAME_COMPANY: tuple[tuple[str, str, Row, Row], ...] = (
    ("legal form", "DE", {"name": "Hafenkontor Lüdersen GmbH"}, {"name": "Hafenkontor Lüdersen Gesellschaft mbH"}),
    ("umlauts written out", "DE", {"name": "Bäckerei Schönhöfer"}, {"name": "Baeckerei Schoenhoefer"}),
    ("abbreviation", "DE", {"name": "Internationale Spedition Falkenried AG"}, {"name": "Int. Sped. Falkenried AG"}),
    ("word order", "DE", {"name": "Werkzeugbau Timmerhoff"}, {"name": "Timmerhoff Werkzeugbau"}),
    ("typing error", "SE", {"name": "Sörensby Skeppsutrustning AB"}, {"name": "Sörensby Skepsutrustning AB"}),
    ("moved address", "FR", {"name": "Librairie Sainte-Aurélie SARL"},
     {"name": "Librairie Sainte-Aurélie SARL", "address1_line1": "4 quai Neuf", "address1_postalcode": "44000"}),
    ("ampersand and other letters", "DK", {"name": "Nygårdshøj & Sønner A/S"}, {"name": "Nygardshoj og Sonner AS"}),
    ("another script", "GR", {"name": "Ελαιουργία Καλαμάκι Α.Ε."}, {"name": "Elaiourgia Kalamaki S.A."}),
    ("acronym", "DE", {"name": "Vereinigte Papierwerke Ostsee"}, {"name": "VPO Papierwerke"}),
    ("case, blanks, punctuation", "US", {"name": "McALLENBY  Foods, Inc"}, {"name": "Mcallenby Foods Inc."}),
)  # fmt: skip


def coupled_customer(world: World, **values: str) -> tuple[Row, Row]:
    """A customer with its company contact and its account, coupled and in sync."""
    party = world.customer(**values)
    world.company_contact(party, "customer")
    return party, world.synced_account(party, CUSTOMER)


def new_customer(world: World, **values: str) -> Row:
    party = world.customer(**values)
    world.company_contact(party, "customer")
    return party


def like(world: World, party: Row, key: str, kind: str = CUSTOMER, **values: str) -> Row:
    """An uncoupled account that resembles `party` but for `values`; Dataverse people fill in less."""
    row = {
        **world.account_values(party, kind),
        "bcbi_companyid": "",
        "paymenttermscode": "",
        "address1_freighttermscode": "",
        "creditlimit": "",
    }
    row |= {"address1_shippingmethodcode": "", "accountnumber": ""}
    return world.integration_row("account", key, {**row, **values}, world.before_sync(), row["ownerid"])


def plant_all(world: World) -> None:
    """Every case, in the order of their numbers."""
    same_companies(world)
    not_the_same(world)
    doubles(world)
    lengths(world)
    currencies(world)
    salespeople(world)
    contacts(world)
    both_changed(world)
    deleted(world)
    options(world)
    filters(world)
    hostile_names(world)


def same_companies(world: World) -> None:
    for number, (kind, land, local, remote) in enumerate(SAME_COMPANY, 1):
        party = new_customer(world, land=land, **local)
        account = like(world, party, f"same:{number}", **dict.fromkeys(MISSING.get(number, ()), ""), **remote)
        says = FUZZY if number == 9 else DUPLICATE
        what = f"the same company, uncoupled on both sides: {kind}"
        world.plant(f"P{number:02}", what, "CUSTOMER", "local", party, "create", "", says)
        world.plant(f"P{number:02}", what, "CUSTOMER", "integration", account, "", "create", says)
    vendor = world.vendor(land="DE", name="Gießerei Ottersberg KG", phone_no="+49 (0)40 / 66969-123")
    world.company_contact(vendor, "vendor")
    account = like(world, vendor, "same:11", VENDOR, name="Giesserei Ottersberg", telephone1="+494066969123", emailaddress1="")
    what = "the same vendor, uncoupled on both sides: telephone written differently"
    world.plant("P11", what, "VENDOR", "local", vendor, "create", "", DUPLICATE)
    world.plant("P11", what, "VENDOR", "integration", account, "", "create", DUPLICATE)
    party, account = coupled_customer(world, land="PL")
    company = next(row for row in world.local["contact"] if row["type"] == "0" and row["name"] == party["name"])
    person = world.person(company, first_name="Katarzyna", surname="Wiśniewiecka")
    contact = contact_only(world, "same:12", account, firstname="Kasia", lastname="Wisniewiecka", emailaddress1=person["e_mail"])
    what = "the same person, uncoupled on both sides: short first name"
    world.plant("P12", what, "CONTACT", "local", person, "create", "", DUPLICATE)
    world.plant("P12", what, "CONTACT", "integration", contact, "", "create", DUPLICATE)


def not_the_same(world: World) -> None:
    says = "creates on both sides are right: look alike, are not the same"
    first = new_customer(
        world, land="DE", name="Adler-Apotheke", city="Dresden", post_code="01067", vat_registration_no="DE900000011"
    )
    second = like(world, _other(world, "DE", first["name"], first), "look:13", address1_city="Bremen", address1_postalcode="28195")
    parent = new_customer(world, land="SE", name="Lundqvistberg Holding AB")
    child = like(world, _other(world, "SE", "Lundqvistberg Fastigheter AB", parent), "look:14", address1_line1=parent["address"])
    father = new_customer(world, land="DE", name="Tischlerei Karl Brandtnerin")
    son = like(world, _other(world, "DE", "Tischlerei Karl Brandtnerin jun.", father), "look:15", address1_city=father["city"])
    tenant = new_customer(world, land="GB", name="Thistle Quay Architects LLP")
    neighbour = like(
        world, tenant, "look:16", name="Quayside Accountants LLP", emailaddress1="hello@quayside-accountants.example", websiteurl=""
    )
    for case, kind, local, remote in (
        ("P13", "same name, another city and VAT number", first, second),
        ("P14", "parent company and subsidiary", parent, child),
        ("P15", "father and son", father, son),
        ("P16", "same building and switchboard", tenant, neighbour),
    ):
        what = f"look-alikes that are NOT the same: {kind}"
        world.plant(case, what, "CUSTOMER", "local", local, "create", "", says)
        world.plant(case, what, "CUSTOMER", "integration", remote, "", "create", says)


def _other(world: World, land: str, name: str, owner: Row) -> Row:
    """Another company than `owner`, looked after by the same salesperson."""
    party = world.company(land, name)
    return {**party, "salesperson_code": owner["salesperson_code"], "credit_limit_lcy": "", "currency_code": owner["currency_code"]}


def doubles(world: World) -> None:
    party = new_customer(world, land="ES", e_mail="compras@grupo-azahar.example", name="Azahar del Sur S.L.")
    account = world.account_only(
        "double:17", CUSTOMER, "ES", emailaddress1="compras@grupo-azahar.example", name="Grupo Hotelero Montañez S.A."
    )
    world.plant(
        "P17", "same e-mail, another name", "CUSTOMER", "local", party, "create", "", "create; possible duplicate by e-mail"
    )
    world.plant(
        "P17", "same e-mail, another name", "CUSTOMER", "integration", account, "", "create", "create; possible duplicate by e-mail"
    )
    party, account = coupled_customer(world, land="DE", name="Sonnenhof Biomarkt GmbH")
    second = like(world, party, "double:18", name="Sonnenhof Biomarkt", telephone1=party["phone_no"])
    what = "two accounts for one customer"
    world.plant("P18", what, "CUSTOMER", "local", party, "unchanged", "unchanged", "coupled with the first account")
    world.plant(
        "P18", what, "CUSTOMER", "integration", second, "", "create", "create; looks like a customer that is coupled already"
    )
    what = "vendor and customer of the same name"
    vendor = world.vendor(land="DE", name="Papierhaus Rungholt GmbH")
    world.company_contact(vendor, "vendor")
    world.synced_account(vendor, VENDOR)
    same = ("address", "address_2", "post_code", "city", "phone_no", "fax_no", "e_mail", "home_page", "currency_code", "county")
    party = new_customer(world, land="DE", name="Papierhaus Rungholt GmbH", **{column: vendor[column] for column in same})
    world.plant("P19", what, "VENDOR", "local", vendor, "unchanged", "unchanged", "in sync")
    world.plant(
        "P19", what, "CUSTOMER", "local", party, "create", "", "create; the account of the vendor is no customer and is left alone"
    )
    for number in range(3):
        party = new_customer(
            world, land="NO", e_mail="info@fellespost.example", name=f"Fellespost Butikk {('Nord', 'Sør', 'Vest')[number]} AS"
        )
        world.plant(
            "P20",
            "one info@ address used by many",
            "CUSTOMER",
            "local",
            party,
            "create",
            "",
            "create; a shared e-mail alone is weak",
        )
    account = world.account_only(
        "double:20", CUSTOMER, "NO", emailaddress1="info@fellespost.example", name="Fellespost Butikk Øst AS"
    )
    world.plant(
        "P20", "one info@ address used by many", "CUSTOMER", "integration", account, "", "create", "create; not one of the three"
    )


def lengths(world: World) -> None:
    city = "Llanfairpwllgwyngyllgogerychwyrndrobwll-llantysiliogogogochi"
    account = world.account_only("long:21", CUSTOMER, "GB", address1_city=city)
    world.plant(
        "P21", "city of 60 characters", "CUSTOMER", "integration", account, "", "create", "create; warning value_cut (City, 30)"
    )
    name = "Erste Norddeutsche Gesellschaft für den Groß- und Einzelhandel mit Schiffszubehör, Tauwerk, Segeltuch und Farben"
    name += " mbH & Co. KG Kiel"
    account = world.account_only("long:22", CUSTOMER, "DE", name=name)
    world.plant(
        "P22",
        "account name of 130 characters",
        "CUSTOMER",
        "integration",
        account,
        "",
        "create",
        "create; warning value_cut (Name, 100)",
    )
    name = "Zweite Norddeutsche Gesellschaft für den Groß- und Einzelhandel mit Schiffszubehör und Farben mbH & Co. KG zu Rostock"
    party, account = coupled_customer(world, land="DE", name=name[:100])
    account["name"] = name
    what = "coupled, the account's name goes on after 100 characters"
    world.plant("P23", what, "CUSTOMER", "local", party, "unchanged", "unchanged", "unchanged: what fits is equal")
    name = (
        "Sociedad Cooperativa de Productores de Aceite, Aceitunas y Vinagres de la Comarca de Peñalba de Abajo y Alrededores S.C.A."
    )
    account = world.account_only("long:24", VENDOR, "ES", name=name)
    world.plant(
        "P24",
        "vendor account with a name longer than 100 characters",
        "VENDOR",
        "integration",
        account,
        "",
        "create",
        "create; value_cut",
    )
    account = world.account_only("long:25", CUSTOMER, "DE", address1_country="Deutschland")
    what = "country as a name instead of a code"
    world.plant(
        "P25", what, "CUSTOMER", "integration", account, "", "create", "create; warning value_cut (Country/Region Code, 10)"
    )


def currencies(world: World) -> None:
    def currency(code: str) -> Row:
        return world.find(world.local, "currency", "code", code)

    what = "a currency that must be created first"
    world.plant("P26", what, "CURRENCY", "local", currency("CAD"), "create", "", "create")
    party = new_customer(world, land="US", currency_code="CAD", name="Maple Hollow Outfitters Inc.", country_region_code="CA")
    world.plant("P26", what, "CUSTOMER", "local", party, "create", "", "create; depends on the currency CAD of the same plan")
    what = "an uncoupled currency that exists in Dataverse under its ISO code"
    world.plant(
        "P27",
        what,
        "CURRENCY",
        "local",
        currency("JPY"),
        "couple",
        "",
        "couple with JPY and write description and rate; no second JPY",
    )
    party = new_customer(world, land="JP", currency_code="JPY")
    world.plant("P27", what, "CUSTOMER", "local", party, "create", "", "create; depends on JPY")
    what = "a currency without an exchange rate"
    world.plant("P28", what, "CURRENCY", "local", currency("TRY"), "will fail", "", "will fail: there is no exchange rate for TRY")
    for _ in range(2):
        party = new_customer(world, land="TR", currency_code="TRY")
        world.plant("P28", what, "CUSTOMER", "local", party, "blocked", "", "blocked by the currency TRY")
    company = next(row for row in world.local["contact"] if row["company_name"] == party["name"])
    world.plant(
        "P28", what, "CONTACT", "local", world.person(company), "blocked", "", "blocked by its customer, which is blocked by TRY"
    )
    account = world.account_only(
        "currency:29", CUSTOMER, "US", transactioncurrencyid=world.currencies["uncoupled AUD"], name="Wattlebird Trading"
    )
    what = "an account in a currency that Business Central does not have"
    world.plant("P29", what, "CUSTOMER", "integration", account, "", "will fail", "will fail: AUD is not coupled")
    rate = dict(next(row for row in world.local["currency_exchange_rate"] if row["currency_code"] == "PLN"))
    for column in ("system_id", "system_created_at", "system_modified_at"):
        del rate[column]
    rate |= {"starting_date": "2026-03-01", "exchange_rate_amount": "4.2675", "adjustment_exch_rate_amount": "4.2675"}
    world.local_row("currency_exchange_rate", "PLN:2026-03-01", rate, world.after_sync())
    world.plant(
        "P30", "a new exchange rate", "CURRENCY", "local", currency("PLN"), "update", "", "update: exchangerate 4.2150 to 4.2675"
    )
    what = "a rate line that starts in the future"
    world.plant(
        "P31", what, "CURRENCY", "local", currency("NOK"), "unchanged", "", "unchanged: the line of 2099 does not count yet"
    )
    world.plant(
        "P32", "a blank symbol", "CURRENCY", "local", currency("CHF"), "unchanged", "", "unchanged: a blank symbol is the ISO code"
    )
    world.edit_local(currency("DKK"), description="Danish Krone (DKK)")
    world.plant("P33", "a renamed currency", "CURRENCY", "local", currency("DKK"), "update", "", "update: currencyname")


def salespeople(world: World) -> None:
    what = "an uncoupled salesperson to whom customers refer"
    row = salesperson(world, "ZV", "Zdeňka Vávrová", "zv@nordwind-trading.example", "+420 601 555 014")
    world.plant("P34", what, "SALESPEOPLE", "local", row, "", "not a source", "left alone: the mapping runs from Dataverse only")
    for land in ("DE", "PL"):
        party = new_customer(world, land=land, salesperson_code="ZV")
        world.plant("P34", what, "CUSTOMER", "local", party, "will fail", "", "will fail: Salesperson Code ZV must be coupled")
    what = "salesperson and user with the same e-mail, both uncoupled"
    row = salesperson(world, "QR", "Quirin Rosenhagen", "qr@nordwind-trading.example", "+49 171 39200 12")
    remote = user(world, "twin", "Rosenhagen, Quirin", "qr@nordwind-trading.example", "", "2025-11-03T09:30:00.250Z")
    world.plant("P35", what, "SALESPEOPLE", "local", row, "", "not a source", "possible duplicate of the user")
    world.plant("P35", what, "SALESPEOPLE", "integration", remote, "", "create", "create; possible duplicate of salesperson QR")
    remote = user(world, "new", "Πηνελόπη Οικονομέα", "po@nordwind-trading.example", "+30 690 555 0117", "2026-03-03T08:15:30.123Z")
    world.plant(
        "P36", "a new user", "SALESPEOPLE", "integration", remote, "", "create", "create salesperson with the next free code"
    )
    remote = world.find(world.integration, "systemuser", "fullname", "Fiona MacAllisterly")
    remote |= {"mobilephone": "+44 7700 900461", "modifiedon": "2026-03-04T10:02:11.870Z"}
    world.plant(
        "P37", "a user with a new number", "SALESPEOPLE", "integration", remote, "", "update", "update: Phone No. of salesperson FM"
    )
    party = new_customer(world, land="SE", salesperson_code="")
    world.plant(
        "P38",
        "a customer without a salesperson",
        "CUSTOMER",
        "local",
        party,
        "create",
        "",
        "create; the default team becomes the owner",
    )


def contacts(world: World) -> None:
    party = world.customer(land="DE", blocked="3")
    loose = world.company_contact({**party, "name": "Messestand Interessenten", "no": ""}, "customer", related=False)
    person = world.person(loose)
    what = "a contact whose company has no business relation"
    world.plant(
        "P39", what, "CONTACT", "local", person, "left out by rule", "", "left out: its company is neither customer nor vendor"
    )
    world.plant(
        "P40", "a blocked customer, uncoupled", "CUSTOMER", "local", party, "outside the filter", "", "outside the filter (Blocked)"
    )
    party = new_customer(world, land="FR")
    company = next(row for row in world.local["contact"] if row["company_name"] == party["name"])
    person = world.person(company)
    what = "a contact whose customer is uncoupled"
    world.plant("P41", what, "CUSTOMER", "local", party, "create", "", "create")
    world.plant("P41", what, "CONTACT", "local", person, "create", "", "create; depends on the account that its customer gets")
    person = world.person(company, company_no="", company_name="")
    world.plant(
        "P42",
        "a person without a company",
        "CONTACT",
        "local",
        person,
        "outside the filter",
        "",
        "outside the filter (Company No.)",
    )
    account = world.find(world.integration, "account", "name", "Sonnenhof Biomarkt GmbH")
    employer = contact_only(world, "chain:boss", account)
    what = "a contact that belongs to a contact, not to an account"
    chained = contact_only(world, "chain:43", account, parentcustomerid=employer["contactid"], parentcustomeridtype="contact")
    world.plant(
        "P43", what, "CONTACT", "integration", chained, "", "outside the filter", "outside the filter (parentcustomeridtype)"
    )


def both_changed(world: World) -> None:
    party, account = coupled_customer(world, land="DE")
    world.edit_local(party, phone_no="+49 89 99998 100")
    world.edit_integration(account, telephone1="+49 89 99998 200")
    says = "conflict: both sides changed since the last synchronisation"
    world.plant("P44", "both sides changed the same field", "CUSTOMER", "local", party, "conflict", "conflict", says)
    party, account = coupled_customer(world, land="GB")
    world.edit_local(party, e_mail="billing@" + party["e_mail"].partition("@")[2])
    world.edit_integration(account, telephone1="+44 161 496 0777")
    world.plant("P45", "both sides changed different fields", "CUSTOMER", "local", party, "conflict", "conflict", says)
    party, account = coupled_customer(world, land="US")
    world.edit_local(party, phone_no="+1 512 555 0177")
    world.edit_integration(account, telephone1="+1 512 555 0177")
    what = "both sides changed the same field to the same value"
    world.plant("P46", what, "CUSTOMER", "local", party, "unchanged", "unchanged", "unchanged: nothing left to write")
    party, account = coupled_customer(world, land="DK")
    world.edit_local(party, name_2="afd. Nord")
    what = "only a column changed that no field mapping carries"
    world.plant("P47", what, "CUSTOMER", "local", party, "unchanged", "unchanged", "unchanged")
    party, account = coupled_customer(world, land="SE")
    world.couplings[-1] |= {"local_stamp": "", "integration_stamp": ""}
    what = "a coupling that was never synchronised, values equal"
    world.plant("P48", what, "CUSTOMER", "local", party, "unchanged", "unchanged", "unchanged; gets its stamps")
    party, account = coupled_customer(world, land="ES")
    world.edit_local(party, phone_no="+34 91 555 0155")
    world.couplings[-1]["skipped"] = "true"
    world.plant("P49", "a skipped coupling", "CUSTOMER", "local", party, "skipped", "skipped", "skipped until someone retries it")


def deleted(world: World) -> None:
    party = world.customer(land="PL")
    account = world.synced_account(party, CUSTOMER)
    world.local["customer"].remove(party)
    what = "coupled, the customer was deleted"
    world.plant("P50", what, "CUSTOMER", "integration", account, "not a source", "deleted partner", "coupled to a deleted record")
    party, account = coupled_customer(world, land="FR")
    world.integration["account"].remove(account)
    what = "coupled, the account was deleted"
    world.plant("P51", what, "CUSTOMER", "local", party, "deleted partner", "not a source", "coupled to a deleted record")
    ghost = {"system_id": guid("customer:gone"), "system_modified_at": "2025-10-02T11:00:00.000Z", "no": "(deleted)"}
    world.couple("CUSTOMER", ghost, {"accountid": guid("account:gone"), "modifiedon": "2025-10-02T11:00:04.120Z"}, "accountid")
    what = "a broken coupling: neither side exists any more"
    world.plant("P52", what, "CUSTOMER", "local", ghost, "broken coupling", "broken coupling", "broken coupling")


def options(world: World) -> None:
    account = world.account_only("option:53", CUSTOMER, "DE", paymenttermscode="2")
    what = "an account whose payment terms have no code in Business Central"
    world.plant(
        "P53", what, "CUSTOMER", "integration", account, "", "will fail", 'will fail: option "2% 10; Net 30" is not coupled'
    )
    terms = {"due_date_calculation": "90D", "discount_date_calculation": "", "discount_pct": "0", "description": "Net 90 days"}
    row = world.local_row("payment_terms", "90 DAYS", {"code": "90 DAYS", **terms})
    what = "payment terms without an option"
    world.plant("P54", what, "PAYMENT TERMS", "local", row, "create", "", "create option 90 DAYS")
    party = new_customer(world, land="DE", payment_terms_code="90 DAYS")
    world.plant("P54", what, "CUSTOMER", "local", party, "create", "", "create; depends on the option 90 DAYS")
    terms |= {"due_date_calculation": "60D", "description": "Net 60 days"}
    row = world.local_row("payment_terms", "NET 60", {"code": "NET 60", **terms})
    world.plant(
        "P55", "a code that an option has in another case", "PAYMENT TERMS", "local", row, "", "", 'looks like the option "Net 60"'
    )


def filters(world: World) -> None:
    party, account = coupled_customer(world, land="DE", name="Stillgelegte Werft Övelgönne GmbH")
    account |= {"statecode": "1", "statuscode": "2"}
    what = "an inactive account coupled with an open customer"
    world.plant(
        "P56", what, "CUSTOMER", "local", party, "unchanged", "outside the filter", "from Dataverse: outside the filter (statecode)"
    )
    party, account = coupled_customer(world, land="GB")
    world.edit_local(party, blocked="3", phone_no="+44 113 496 0333")
    what = "a coupled customer that is blocked now"
    world.plant("P57", what, "CUSTOMER", "local", party, "outside the filter", "", "to Dataverse: outside the filter (Blocked)")
    account = world.account_only("filter:58", "1", "DE", name="Südwind Handel AG")
    what = "an account of type Competitor"
    world.plant("P58", what, "CUSTOMER", "integration", account, "", "outside the filter", "outside the filter, counted")
    account = world.account_only("filter:59", "10", "SE", name="Västanvind Leverans AB")
    what = "an account of type Supplier, not Vendor"
    world.plant("P59", what, "VENDOR", "integration", account, "", "outside the filter", "outside the filter, counted")
    account = world.account_only("filter:60", CUSTOMER, "ES", bcbi_companyid=guid("company:iberia"))
    what = "an account of another company"
    world.plant("P60", what, "CUSTOMER", "integration", account, "", "outside the filter", "outside the filter (bcbi_companyid)")
    account = world.account_only("filter:61", CUSTOMER, "FR", bcbi_companyid="")
    world.plant(
        "P61", "an account without a company", "CUSTOMER", "integration", account, "", "create", "create; the company is stamped"
    )


def hostile_names(world: World) -> None:
    for case, what, land, name in (
        ("P62", "a name with markup", "US", "<b>Bold & Sons</b>"),
        ("P63", "a name that begins with =", "US", "=SUM(A1:A9) Consulting"),
        ("P64", "a name with a quote and a semicolon", "GB", 'O\'Malleyson "The Mill"; Drop & Co. Ltd'),
        ("P65", "a name with a four-byte character", "DE", "Eisdiele 🍦 Dolomitella"),
        ("P66", "a name in two writing directions", "IL", 'מפעלי גל-אור (Gal-Or Works) בע"מ'),
    ):
        party = new_customer(world, land=land, name=name)
        world.plant(case, what, "CUSTOMER", "local", party, "create", "", "create; shown as it is, never run or rendered")
