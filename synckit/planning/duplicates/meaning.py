"""What a field means, inferred from its name and its content; a mapping may say it instead."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .normalise import FORM_OF

MEANINGS = tuple(FORM_OF)
#: Fields of one family may hold one another's values (given name and surname swapped, address line 1 in line 2).
FAMILY_OF = {
    "given name": "person",
    "surname": "person",
    "person": "person",
    "street": "street",
    "city": "street",
    "phone": "phone",
}

_BY_NAME: tuple[tuple[str, str], ...] = (
    ("email", r"e ?mail"),
    ("web", r"web|website|url|home ?page|domain"),
    ("phone", r"phone|telephone|tel|fax|mobile|cell"),
    ("post code", r"zip|zip ?code|post ?code|postal ?code|plz"),
    ("registration", r"vat|tax|registration|duns|iban|siren|siret|ssn|soc sec"),
    ("date", r"date|dob|birth ?day|birth|created|modified|founded"),
    ("number", r"amount|price|quantity|balance|limit|turnover|revenue|total|latitude|longitude|weight"),
    ("city", r"city|town|suburb|locality|place"),
    ("country", r"country|region code|nation"),
    ("given name", r"given|fore ?name|first ?name|middle ?name|initials"),
    ("surname", r"sur ?name|last ?name|family ?name|maiden ?name"),
    ("street", r"street|addr|address|road"),
)
_BY_NAME_RULES = tuple((meaning, re.compile(rf"\b(?:{words})\b")) for meaning, words in _BY_NAME)

_EMAIL = re.compile(r"^\S+@\S+\.\S+$")
_WEB = re.compile(
    r"^(?:https?://|www\.)\S+$|^[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|info|biz|de|uk|fr|nl|at|ch|dk|se|eu|io)(?:/\S*)?$",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"^(?:(?:1[89]|20)\d\d([-/.]?)(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])|\d{1,2}([-/.])\d{1,2}\2(?:\d{4}|\d\d))(?:[T ]\d\d:\d\d.*)?$"
)
_PHONE = re.compile(r"^(?=(?:\D*\d){6,16}\D*$)\+?[\d\s()./-]+(?:(?:x|ext)\.?\s*\d+)?$", re.IGNORECASE)
_DECIMAL = re.compile(r"^[^\w\s]{0,2}-?\d+(?:[.,]\d{3})*[.,]\d+$")
_INTEGER = re.compile(r"^-?\d+$")
_CODE = re.compile(r"^(?=.*\d)[\w./-]{3,}$")
# not \D{3,}: without an end to it, a long text takes the square of its length
_STREET = re.compile(r"^\d+\w?\s+\D{3}|\D{3}\s\d+\w?$")
#: Longer values are notes, not addresses, numbers or dates.
_LONGEST = 400


def infer_meaning(name: str, values: Sequence[str]) -> str:
    """One of MEANINGS for a field called `name` holding `values` (a sample of distinct filled values, a few hundred suffice).

    Content decides where it is plain (e-mail, web address, date); a name that content contradicts is not believed
    (a column "email" full of dates is a date).
    """
    words = re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip().lower()
    named = next((meaning for meaning, rule in _BY_NAME_RULES if rule.search(words)), None)
    sample = [value.strip() for value in values[:500]]
    if not sample:
        return named or "text"

    def share(rule: re.Pattern[str]) -> float:
        return sum(1 for value in sample if len(value) <= _LONGEST and rule.search(value)) / len(sample)

    if share(_EMAIL) > 0.6:
        return "email"
    if share(_DATE) > 0.8 and named not in ("phone", "registration"):
        return "date"
    if share(_WEB) > 0.6:
        return "web"
    if share(_INTEGER) > 0.9 and (named == "street" or re.search(r"\b(?:no|nr|num|number|id)\b", words)):
        return "code"
    if named in ("post code", "city", "country", "given name", "surname", "street", "registration"):
        return named
    if named == "phone" or (named is None and share(_PHONE) > 0.8 and share(_INTEGER) < 0.8):
        return "phone" if share(_PHONE) > 0.3 else "text"
    if share(_DECIMAL) > 0.5 or (named == "number" and share(_INTEGER) > 0.5):
        return "number"
    if share(_CODE) > 0.8:
        return "code"
    if share(_STREET) > 0.7:
        return "street"
    if re.search(r"\b(?:contact|person|full ?name|employee|salesperson)\b", words):
        return "person"
    if re.search(r"\b(?:name|company|organi[sz]ation|customer|vendor|firm|account|agency)\b", words):
        return "company"
    return "text"
