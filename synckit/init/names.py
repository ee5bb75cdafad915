"""What tables and columns of different systems have in common by name: the same words, and words that mean the same."""

from __future__ import annotations

import difflib
import re
import unicodedata
from functools import lru_cache

#: Columns: the first word of each line stands for all. Words are written without blanks and punctuation.
_FIELDS = """
name companyname displayname fullname label bezeichnung firma firmenname nom
email mail emailaddress emailaddress1 internalemailaddress eaddress emailadresse mailadresse
phone telephone telephone1 tel phoneno phonenumber telephoneno telephonenumber telefon telefonnr telefonnummer businessphone
mobile mobilephone mobilephoneno cell cellphone mobileno handy handynr mobil mobilnr mobiltelefon mobiltelefonnr
fax faxno faxnumber faxnr telefax telefaxnr
street address addressline1 address1line1 line1 streetaddress strasse strassehausnr adresse anschrift address1 rue
street2 address2 addressline2 address1line2 line2 adresse2 adresszusatz
zip zipcode postcode postalcode postal address1postalcode plz plzcode postleitzahl
city town ort wohnort address1city ville stadt
country countrycode countryregioncode countryregion address1country land laendercode landregioncode
state county region province stateorprovince address1stateorprovince bundesland
website web url homepage websiteurl www webseite internet internetadresse
number no nr nummer code num accountnumber externalno erpno erpnr reference ref
taxid vat vatno vatid vatnumber vatregistrationno taxnumber taxno ustid ustidnr umsatzsteuerid
firstname givenname forename vorname
lastname surname familyname nachname familienname
jobtitle position function funktion
creditlimit creditlimitlcy maxcredit kreditlimit kreditlimitmw
currency currencycode waehrung waehrungscode
notes note comment comments remark remarks bemerkung bemerkungen notiz notizen kommentar
"""
_TABLES = """
customer client account company debtor kunde kunden debitor debitoren firma firmen buyer
vendor supplier creditor lieferant lieferanten kreditor kreditoren
contact person people kontakt kontakte ansprechpartner
salesperson employee rep representative seller verkaeufer mitarbeiter
item product article artikel
currency transactioncurrency waehrung waehrungen
order salesorder auftrag auftraege bestellung bestellungen
invoice salesinvoice rechnung rechnungen
"""
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_KEPT_BY_SYSTEM = re.compile(
    r"(created|modified|updated|changed|inserted|deleted|lastmodified|lastupdated|lastchanged|systemcreated|systemmodified|import|overridden)"
    r"(on|at|by|date|time|datetime|when|ts|timestamp|user|onbehalfby|byname|createdon|sequencenumber)*|rowversion|versionnumber|timestamp"
    r"|(zuletzt|letzte)?(angelegt|erstellt|geaendert|aktualisiert|korrigiert|aenderung)(am|um|von|durch)?|(anlage|erstellungs|aenderungs)datum"
)
#: Names of columns that say when a row was last changed, the likeliest first.
VERSIONS = (
    "systemmodifiedat", "modifiedon", "updatedat", "modifiedat", "lastmodified", "lastmodifiedat", "lastmodifiedon", "updatedon",
    "changedat", "changedon", "lastupdated", "lastupdate", "lastchanged", "lastmodifieddatetime", "modified", "updated", "changed",
    "rowversion", "versionnumber", "geaendertam", "zuletztgeaendertam", "letzteaenderung", "letzteaenderungam", "aenderungsdatum",
    "korrigiertam", "aktualisiertam",
)  # fmt: skip


def folded(name: str) -> str:
    """A name without case, blanks, punctuation and accents: "E-Mail" and "e_mail" are "email", "Geändert am" is "geaendertam"."""
    plain = unicodedata.normalize("NFC", name).casefold().translate(_UMLAUTS)
    letters = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    return re.sub(r"[^0-9a-z\u00c0-\uffff]", "", letters)


def singular(name: str) -> str:
    """A table's name folded and without its plural: "Customers" is "customer"."""
    word = folded(name.rpartition("$")[2].rpartition(".")[2])
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us")) and len(word) > 3 else word


def is_kept_by_system(name: str) -> bool:
    """Whether a column says when or by whom a row was written: nothing to synchronise."""
    return _KEPT_BY_SYSTEM.fullmatch(folded(name)) is not None


def meaning(name: str, table: str = "") -> str:
    """What a column is about: the word that stands for its synonyms, or its own folded name; a leading table name says nothing."""
    word, of = folded(name), singular(table)
    known = _synonyms(_FIELDS)
    if word in known:
        return known[word]
    for lead in (f"{of}s", of, of[:4]):
        if len(lead) > 2 and word.startswith(lead) and len(word) > len(lead) + 1:
            return known.get(word[len(lead) :], word[len(lead) :])
    return word


def table_likeness(local: str, integration: str) -> float:
    """1.0 for the same name, 0.9 for words of one meaning, 0.7 for similar spelling, else 0."""
    one, other = singular(local), singular(integration)
    if one == other:
        return 1.0
    known = _synonyms(_TABLES)
    if known.get(one, one) == known.get(other, other):
        return 0.9
    return 0.7 if difflib.SequenceMatcher(None, one, other).ratio() >= 0.8 else 0.0


def column_likeness(local: str, integration: str, local_table: str, integration_table: str) -> tuple[float, str]:
    """How alike two column names are (0 to 1), and in which words to say why."""
    if folded(local) == folded(integration):
        return 1.0, "same name"
    one, other = meaning(local, local_table), meaning(integration, integration_table)
    if one == other:
        return 0.9, "names of one meaning"
    if min(len(one), len(other)) > 4 and difflib.SequenceMatcher(None, one, other).ratio() >= 0.85:
        return 0.7, "similar names"
    return 0.0, ""


@lru_cache(maxsize=2)
def _synonyms(lines: str) -> dict[str, str]:
    return {word: line.split()[0] for line in lines.strip().splitlines() for word in line.split()}
