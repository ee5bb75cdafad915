"""Normal forms of values by meaning: what is left of a value when spelling habits, not facts, are taken away."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

#: Longest text that is compared; what follows (a note pasted into a name) tells nothing more about identity.
LONGEST = 160

#: What people write where they mean nothing. Compared after folding.
BLANKS = frozenset(
    [
        "",
        "n a",
        "none",
        "null",
        "nan",
        "nat",
        "unknown",
        "unbekannt",
        "inconnu",
        "not available",
        "not applicable",
        "no name",
        "tbd",
        "tba",
        "x",
        "xx",
        "xxx",
    ]
)

# Letters that NFKD does not take apart, and the two alphabets that stand beside Latin in European address books.
_LETTERS = str.maketrans(
    {
        **dict(zip("øłđħıŀŧþð", ["o", "l", "d", "h", "i", "l", "t", "th", "d"], strict=True)),
        **{"æ": "ae", "œ": "oe", "ß": "ss", "ĳ": "ij"},
        **dict(zip("абвгдезийклмнопрстуфхыэі", "abvgdeziiklmnoprstufhyei", strict=True)),
        **{
            "ё": "e",
            "ж": "zh",
            "ц": "ts",
            "ч": "ch",
            "ш": "sh",
            "щ": "shch",
            "ъ": "",
            "ь": "",
            "ю": "yu",
            "я": "ya",
            "ї": "i",
            "є": "ye",
            "ґ": "g",
        },
        **dict(zip("αβγδεζηικλμνξοπρσςτυφχω", "avgdeziiklmnxoprsstyfho", strict=True)),
        **{"θ": "th", "ψ": "ps", "&": " and ", "+": " and ", "@": " at ", "'": "", "’": "", "`": "", "´": ""},
    }
)
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_NOT_WORD = re.compile(r"[\W_]+")
_ABBREVIATION = re.compile(r"\b(\w)\.(?=\w\b)")  # a.m.e. -> ame


def fold(value: str) -> str:
    """Lower case, no accents, Latin letters where a transliteration is known, words separated by single blanks, cut to LONGEST."""
    text = value[: 4 * LONGEST].lower()
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).lower()
        text = "".join(c for c in unicodedata.normalize("NFKD", text.translate(_GERMAN)) if not unicodedata.combining(c))
    text = _ABBREVIATION.sub(r"\1", text.translate(_LETTERS))
    return _NOT_WORD.sub(" ", text).strip()[:LONGEST].rstrip()


#: Legal forms as written after folding; forms of several words first become one.
_LEGAL = frozenset(
    [
        "inc",
        "incorporated",
        "corp",
        "corporation",
        "co",
        "company",
        "ltd",
        "limited",
        "llc",
        "llp",
        "lp",
        "plc",
        "pty",
        "gmbh",
        "mbh",
        "ag",
        "kg",
        "kgaa",
        "ohg",
        "gbr",
        "ug",
        "ev",
        "eg",
        "bv",
        "nv",
        "vof",
        "cv",
        "sa",
        "sas",
        "sarl",
        "srl",
        "sl",
        "slu",
        "spa",
        "snc",
        "sprl",
        "bvba",
        "as",
        "asa",
        "ab",
        "oy",
        "oyj",
        "aps",
        "is",
        "hf",
        "ehf",
        "kft",
        "zrt",
        "bt",
        "sro",
        "doo",
        "dd",
        "ood",
        "eood",
        "spolka",
        "zoo",
        "sp",
        "ooo",
        "zao",
        "oao",
        "pte",
        "bhd",
        "sdn",
        "kk",
        "gk",
        "pvt",
        "private",
        "the",
        "and",
        "und",
        "et",
        "y",
        "of",
        "de",
    ]
)
_LEGAL_PHRASES = re.compile(
    r"\b(?:sp z o ?o|s r o|s a r l|s a s|s p a|s r l|s a|b v|n v|g m b h|d o o|e v|a g|k g|p l c|l l c|gmbh and co kg|gmbh and co|and co)\b"
)


def company(value: str) -> str:
    """A company's name without legal form and small words; the folded name where nothing else would be left."""
    text = fold(value)
    words = _LEGAL_PHRASES.sub(" ", text).split()
    kept = [word for word in words if word not in _LEGAL]
    return " ".join(kept) or text


_TITLES = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "miss",
        "dr",
        "prof",
        "sir",
        "dame",
        "herr",
        "frau",
        "mme",
        "mlle",
        "dott",
        "sig",
        "ing",
        "dipl",
        "jr",
        "sr",
        "ii",
        "iii",
        "phd",
        "md",
        "mba",
    ]
)


def person(value: str) -> str:
    """A person's name without titles; "Last, First" is read as "First Last"."""
    if value.count(",") == 1:
        last, first = value.split(",")
        value = f"{first} {last}"
    text = fold(value)
    kept = [word for word in text.split() if word not in _TITLES]
    return " ".join(kept) or text


_STREET_WORDS = {
    "st": "street", "str": "street", "strasse": "street", "ave": "avenue", "av": "avenue", "rd": "road", "blvd": "boulevard", "blv": "boulevard",
    "dr": "drive", "ln": "lane", "ct": "court", "crt": "court", "pl": "place", "sq": "square", "pkwy": "parkway", "hwy": "highway", "ter": "terrace",
    "tce": "terrace", "cres": "crescent", "cct": "circuit", "cir": "circle", "apt": "apartment", "ste": "suite", "fl": "floor", "bldg": "building",
    "n": "north", "s": "south", "e": "east", "w": "west", "ne": "northeast", "nw": "northwest", "se": "southeast", "sw": "southwest",
    "mt": "mount", "first": "1", "second": "2", "third": "3", "fourth": "4", "fifth": "5", "sixth": "6", "seventh": "7", "eighth": "8", "ninth": "9",
    "tenth": "10",
}  # fmt: skip
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_GLUED_STREET = re.compile(r"(\w{3,})(?:strasse|str)\b")  # Hauptstr. 5 -> haupt street 5


def street(value: str) -> str:
    """A street line with its usual abbreviations written out and ordinals as numbers."""
    text = _GLUED_STREET.sub(r"\1 street", _ORDINAL.sub(r"\1", fold(value)))
    return " ".join(_STREET_WORDS.get(word, word) for word in text.split())


_EXTENSION = re.compile(r"(?:\bext(?:ension)?\.?|\bdw\b|\bx|#|;ext=)\s*\d{1,6}\s*$", re.IGNORECASE)


def phone(value: str) -> str:
    """Digits without extension, international prefix and trunk zero. Country codes stay: the comparison looks at endings."""
    text = _EXTENSION.sub("", value.strip()).replace("(0)", "")
    digits = "".join(str(unicodedata.decimal(c)) for c in text if c.isdecimal())
    return digits.lstrip("0")[:20]


def email(value: str) -> str:
    """The address in lower case, without "mailto:", display name and +tag."""
    text = value.strip().lower().removeprefix("mailto:")
    if "<" in text:
        text = text.split("<", 1)[1].split(">", 1)[0]
    text = "".join(text.split())[:LONGEST]
    local, at, domain = text.partition("@")
    return f"{local.split('+', 1)[0] or local}{at}{domain}"


_SCHEME = re.compile(r"^(?:[a-z]+:/+)?(?:www\d?\.)?")


def web(value: str) -> str:
    """Host and path in lower case, without scheme, "www." and closing slash."""
    return _SCHEME.sub("", "".join(value.strip().lower().split()))[:LONGEST].rstrip("/")


def code(value: str) -> str:
    """Letters and digits only, in lower case, leading zeros of numbers removed."""
    text = fold(value).replace(" ", "")
    return (text.lstrip("0") or text) if text.isdigit() else text


_YMD = re.compile(r"^(\d{4})[-/.]?(\d{1,2})[-/.]?(\d{1,2})(?!\d)")
_DMY = re.compile(r"^(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})(?!\d)")


def date(value: str) -> str:
    """A date as YYYYMMDD (day first unless only month first can be meant); the folded text where it is no date."""
    text = value.strip()
    if found := _YMD.match(text):
        year, month, day = (int(part) for part in found.groups())
    elif found := _DMY.match(text):
        day, month, year = (int(part) for part in found.groups())
        if month > 12:
            day, month = month, day
        if year < 100:
            year += 2000 if year < 50 else 1900
    else:
        return fold(value)
    return f"{year:04d}{month:02d}{day:02d}"


_DECIMAL_COMMA = re.compile(r"^[^.]*,\d{1,2}$|\..*,")


def number(value: str) -> str:
    """A number in its shortest decimal writing, without currency signs and thousands separators; folded text where it is none."""
    text = re.sub(r"[^\d.,eE+-]", "", value)
    text = text.replace(".", "").replace(",", ".") if _DECIMAL_COMMA.search(text) else text.replace(",", "")
    try:
        return repr(float(text)) if text else fold(value)
    except ValueError:
        return fold(value)


FORM_OF: dict[str, Callable[[str], str]] = {
    "given name": person, "surname": person, "person": person, "company": company, "email": email, "phone": phone, "web": web, "street": street,
    "city": fold, "post code": code, "country": fold, "registration": code, "code": code, "date": date, "number": number, "category": fold, "text": fold,
}  # fmt: skip
