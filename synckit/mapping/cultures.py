"""Numbers and dates as people of a culture write them, read without regard to this machine's own settings.

A small table of separators, date orders and month names stands for .NET's culture data; a culture that is not in it is refused,
and a text that is not read for certain is not read at all: a date needs its year, weekdays and eras are not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

BLANKS = "\u0020\u00a0\u202f"  #: all three stand for each other as a thousands separator
LARGEST = Decimal(2**96 - 1)  #: the largest number that the reference's decimals hold
ENGLISH = "January February March April May June July August September October November December"
MONTHS = {
    "en": ENGLISH,
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "da": "januar februar marts april maj juni juli august september oktober november december",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "sv": "januari februari mars april maj juni juli augusti september oktober november december",
    "nb": "januar februar mars april mai juni juli august september oktober november desember",
}


@dataclass(frozen=True)
class Culture:
    """`order`: of day, month and year in a date of numbers; `currency`: the symbol read in front of or behind a number."""

    name: str
    decimal: str
    thousands: str
    currency: str
    order: str

    @property
    def months(self) -> list[str]:
        return MONTHS.get(self.name[:2], ENGLISH).casefold().split()


CULTURES = {
    culture.name.casefold(): culture
    for culture in (
        Culture("", ".", ",", "¤", "mdy"),
        Culture("en-US", ".", ",", "$", "mdy"),
        Culture("en-GB", ".", ",", "£", "dmy"),
        Culture("de-DE", ",", ".", "€", "dmy"),
        Culture("da-DK", ",", ".", "kr.", "dmy"),
        Culture("fr-FR", ",", BLANKS, "€", "dmy"),
        Culture("es-ES", ",", ".", "€", "dmy"),
        Culture("it-IT", ",", ".", "€", "dmy"),
        Culture("nl-NL", ",", ".", "€", "dmy"),
        Culture("sv-SE", ",", BLANKS, "kr", "ymd"),
        Culture("nb-NO", ",", BLANKS, "kr", "dmy"),
    )
}


def culture(name: str) -> Culture:
    """The culture called `name` ("" is the invariant one). Raises ValueError listing the supported ones."""
    found = CULTURES.get(name.strip().casefold())
    if found is None:
        raise ValueError(
            f'The culture "{name}" is not supported; write one of {", ".join(c.name for c in CULTURES.values() if c.name)}.'
        )
    return found


def parse_number(text: str, of: Culture) -> Decimal | None:
    """A number with signs, thousands separators, the culture's currency symbol, and parentheses for negative; else None."""
    rest = text.strip(BLANKS + "\t\r\n")
    negative = False
    if rest.startswith("(") and rest.endswith(")"):
        negative, rest = True, rest[1:-1].strip(BLANKS)
    signs = currencies = 0
    while True:
        if rest[:1] in ("-", "+", "\u2212") and rest:
            negative, signs, rest = negative or rest[0] != "+", signs + 1, rest[1:].strip(BLANKS)
        elif rest[-1:] in ("-", "+", "\u2212") and rest:
            negative, signs, rest = negative or rest[-1] != "+", signs + 1, rest[:-1].strip(BLANKS)
        elif rest.startswith(of.currency):
            currencies, rest = currencies + 1, rest.removeprefix(of.currency).strip(BLANKS)
        elif rest.endswith(of.currency):
            currencies, rest = currencies + 1, rest.removesuffix(of.currency).strip(BLANKS)
        else:
            break
    whole, _, fraction = rest.partition(of.decimal)
    digits = re.sub(f"(?<=[0-9])[{re.escape(of.thousands)}]", "", whole)
    if signs > 1 or currencies > 1 or (signs and text.strip().startswith("(")):
        return None
    if not re.fullmatch(r"[0-9]*", digits) or not re.fullmatch(r"[0-9]*", fraction) or not (digits or fraction) or len(rest) > 200:
        return None
    number = Decimal(f"{digits or 0}.{fraction or 0}")
    if number > LARGEST:
        return None
    return -number if negative and number else number


def plain(number: Decimal) -> str:
    """A number as XML writes it: a point, no thousands separators, no superfluous zeros."""
    written = format(number, "f")
    written = written.rstrip("0").rstrip(".") if "." in written else written
    return "0" if written in ("-0", "") else written


_TIME = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,7}))?)?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_ZONE = r"\s*(?P<zone>Z|[+-]\d{2}:?\d{2})"
_CLOCK = re.compile(rf"(?:(?:T|,?\s+){_TIME}(?:{_ZONE})?)?\s*", re.ASCII)
_YEAR_FIRST = re.compile(r"\s*(?P<y>\d{4})(?P<sep>[-/.])(?P<m>\d{1,2})(?P=sep)(?P<d>\d{1,2})\.?", re.ASCII)
_NUMBERS = re.compile(r"\s*(\d{1,4})(\s*[-/.]\s*)(\d{1,2})\s*[-/.]\s*(\d{1,4})", re.ASCII)
_DAY_MONTH = re.compile(r"\s*(?P<d>\d{1,2})\.?(?:\s+de)?[\s-]+(?P<month>[^\W\d_]+)\.?(?:\s+de)?,?[\s-]+(?P<y>\d{4})")
_MONTH_DAY = re.compile(r"\s*(?P<month>[^\W\d_]+)\.?\s+(?P<d>\d{1,2}),?\s+(?P<y>\d{4})")


def parse_moment(text: str, of: Culture) -> tuple[datetime, timedelta | None] | None:
    """A date, with or without a time of day, in the order and words of the culture; a date with the year first is read in any.
    Gives the moment as written and its offset from UTC where one is written, or None."""
    if found := _YEAR_FIRST.match(text):
        date = found["y"], found["m"], found["d"]
    elif found := _NUMBERS.match(text):
        parts = dict(zip(of.order, (found[1], found[3], found[4]), strict=True))
        date = _full_year(parts["y"]), parts["m"], parts["d"]
    elif (found := _DAY_MONTH.match(text) or _MONTH_DAY.match(text)) and (month := _month(found["month"], of)):
        date = found["y"], str(month), found["d"]
    else:
        return None
    clock = _CLOCK.fullmatch(text, found.end())
    if clock is None or len(date[0]) != 4:
        return None
    year, month_no, day = (int(part) for part in date)
    return _assembled(year, month_no, day, clock.groupdict())


def _month(word: str, of: Culture) -> int | None:
    """A month by its name or an unmistakable beginning of three letters or more."""
    folded = word.casefold()
    hits = [n for n, name in enumerate(of.months, 1) if name == folded] or [
        n for n, name in enumerate(of.months, 1) if len(folded) >= 3 and name.startswith(folded)
    ]
    return hits[0] if len(hits) == 1 else None


def _full_year(digits: str) -> str:
    """Two digits are a year from 1950 to 2049."""
    if len(digits) > 2:
        return digits
    return str(int(digits) + (2000 if int(digits) < 50 else 1900))


def _assembled(year: int, month: int, day: int, clock: dict[str, str | None]) -> tuple[datetime, timedelta | None] | None:
    hour = int(clock.get("hour") or 0)
    if half := clock.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "pP" else 0)
    micro = int((clock.get("fraction") or "0").ljust(7, "0")[:6])
    try:
        moment = datetime(year, month, day, hour, int(clock.get("minute") or 0), int(clock.get("second") or 0), micro)
        return moment, _offset(clock.get("zone"))
    except ValueError:
        return None


def _offset(zone: str | None) -> timedelta | None:
    if not zone:
        return None
    if zone == "Z":
        return timedelta()
    sign = -1 if zone[0] == "-" else 1
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:-2] if len(digits) > 2 else digits), int(digits[-2:] if len(digits) > 2 else 0)
    if hours > 14 or minutes > 59:
        raise ValueError(zone)
    return sign * timedelta(hours=hours, minutes=minutes)


def in_utc(moment: datetime, offset: timedelta | None) -> datetime | None:
    """The moment in UTC, without a zone; None where it leaves the calendar."""
    try:
        return moment.replace(tzinfo=timezone(offset)).astimezone(UTC).replace(tzinfo=None) if offset else moment
    except (OverflowError, ValueError):
        return None


# --- .NET's own formats ---

_DIGITS = {
    "yyyy": r"(?P<y>\d{4})", "yyy": r"(?P<y>\d{3,4})", "yy": r"(?P<y>\d{2})", "y": r"(?P<y>\d{1,2})",
    "MM": r"(?P<m>\d{2})", "M": r"(?P<m>\d{1,2})", "dd": r"(?P<d>\d{2})", "d": r"(?P<d>\d{1,2})",
    "HH": r"(?P<hour>\d{2})", "H": r"(?P<hour>\d{1,2})", "hh": r"(?P<hour12>\d{2})", "h": r"(?P<hour12>\d{1,2})",
    "mm": r"(?P<minute>\d{2})", "m": r"(?P<minute>\d{1,2})", "ss": r"(?P<second>\d{2})", "s": r"(?P<second>\d{1,2})",
    "tt": r"(?P<half>[AaPp])[Mm]", "t": r"(?P<half>[AaPp])",
    "MMMM": f"(?P<month>{'|'.join(ENGLISH.split())})", "MMM": f"(?P<month>{'|'.join(name[:3] for name in ENGLISH.split())})",
    "dddd": "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day", "ddd": "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
    "zzz": r"(?P<zone>[+-]\d{2}:\d{2})", "zz": r"(?P<zone>[+-]\d{2})", "z": r"(?P<zone>[+-]\d{1,2})",
    "K": r"(?P<zone>Z|[+-]\d{2}:\d{2})?",
}  # fmt: skip
_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|\\.|%(?=.)|([yMdHhmsftzFK])\1*|.", re.DOTALL)
_STANDARD = {
    "d": "MM/dd/yyyy", "D": "dddd, dd MMMM yyyy", "g": "MM/dd/yyyy HH:mm", "G": "MM/dd/yyyy HH:mm:ss",
    "s": "yyyy-MM-ddTHH:mm:ss", "u": "yyyy-MM-dd HH:mm:ssZ",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK", "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
}  # fmt: skip


def moment_format(text: str) -> Callable[[str], tuple[datetime, timedelta | None] | None]:
    """A reader of texts that match a .NET date format exactly, in the invariant culture. Raises ValueError for a format that has no
    year (its meaning would depend on today) or that is not read."""
    if len(text) == 1 and text not in _STANDARD:
        raise ValueError(f'The date format "{text}" is not read; write it out, such as yyyyMMdd.')
    pattern, seen = "", set()
    for token in _TOKEN.finditer(_STANDARD.get(text, text)):
        written = token[0]
        if written == "%":
            continue
        if token[1] is None:
            pattern += re.escape(written[1:-1] if written[0] in "'\"" and len(written) > 1 else written.removeprefix("\\"))
            continue
        if written[0] in "fF" and len(written) <= 7:
            part = rf"(?P<fraction>\d{{{len(written)}}})" if written[0] == "f" else rf"(?P<fraction>\d{{0,{len(written)}}})"
        else:
            part = _DIGITS.get(written) or (_DIGITS["yyyy"] if written[0] == "y" and len(written) == 5 else "")
        name = re.search(r"\?P<(\w+)>", part)
        if not part or (name and name[1] in seen):
            raise ValueError(f'The date format "{text}" is not read: "{written}" is unknown or stands twice.')
        seen.add(name[1] if name else "")
        pattern += part
    if "y" not in seen or {"m", "month"} <= seen or {"hour", "hour12"} <= seen or ("hour12" in seen) != ("half" in seen):
        raise ValueError(
            f'The date format "{text}" cannot be read for certain: it needs a year, each part once, and tt beside h or hh.'
        )
    compiled = re.compile(pattern, re.ASCII | re.IGNORECASE)

    def read(written: str) -> tuple[datetime, timedelta | None] | None:
        found = compiled.fullmatch(written)
        if found is None:
            return None
        parts = found.groupdict()
        month = CULTURES[""].months.index(_whole_month(parts["month"])) + 1 if parts.get("month") else int(parts.get("m") or 1)
        clock = {**parts, "hour": parts.get("hour") or parts.get("hour12")}
        return _assembled(int(_full_year(parts["y"])), month, int(parts.get("d") or 1), clock)

    return read


def _whole_month(word: str) -> str:
    return next(name for name in CULTURES[""].months if name.startswith(word.casefold()))
