"""Numbers and dates in local spellings, accepted only where a whole column can be read in one way."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.mapping.schema import Column
from synckit.systems.canonical import NotConvertible, arrow_type, parse_date, parse_datetime, parse_decimal, parse_integer, scale_of

Reading = Callable[[str], str]
_TIME = r"(?:[T ,]+(\d{1,2}):(\d\d)(?::(\d\d)(\.\d+)?)?\s*([AaPp][Mm])?)?"


class Ambiguous(Exception):
    """Every value can be read in several ways that differ, for example `03/04/2026`."""

    def __init__(self, example: str, why: str) -> None:
        super().__init__(example, why)
        self.value, self.why = example, why


def from_local(values: pa.Array, column: Column, rounds: bool = False) -> pa.Array:
    """The column in canonical form, read in the one local spelling that fits every value.

    Raises Ambiguous where spellings fit that give different values, NotConvertible where none fits.
    """
    if column.kind == "option":
        return _labels(values, column)
    readings = {"decimal": _NUMBERS, "integer": _NUMBERS, "date": _DATES, "datetime": _DATES}.get(column.kind, {})
    encoded = values.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    fitting: dict[str, list[Any]] = {}
    furthest = (-1, texts[0] if texts else "")
    for name, reading in readings.items():
        parsed: list[Any] = []
        try:
            for text in texts:
                parsed.append(None if not text.strip() else _parse(reading(text), column))
        except (ValueError, ArithmeticError):
            furthest = max(furthest, (len(parsed), texts[len(parsed)]), key=lambda reached: reached[0])
            continue
        fitting[name] = parsed
    if not fitting:
        raise NotConvertible(pc.index(values, pa.scalar(furthest[1], pa.string())).as_py(), furthest[1])
    (first, chosen), *others = fitting.items()
    for name, parsed in others:
        if parsed != chosen:
            example = next(text for text, one, other in zip(texts, chosen, parsed, strict=True) if one != other)
            raise Ambiguous(example, f"it may be {first} or {name}")
    if column.kind == "decimal":  # only now: the scale must not decide between two readings
        for index, number in enumerate(chosen):
            try:
                chosen[index] = None if number is None else parse_decimal(str(number), scale_of(column), rounds)
            except ValueError as problem:
                raise NotConvertible(index, texts[index], str(problem)) from None
    return pa.array(chosen, arrow_type(column)).take(encoded.indices)


def _parse(text: str, column: Column) -> Any:
    if column.kind == "decimal":
        return Decimal(text)
    if column.kind == "integer":
        return parse_integer(text)
    return parse_date(text) if column.kind == "date" else parse_datetime(text)


def _labels(values: pa.Array, column: Column) -> pa.Array:
    """Options by their label, where each label of the column names one value."""
    known: dict[str, int | None] = {}
    for option in column.options:
        label = option.label.strip().casefold()
        known[label] = None if label in known else option.value
    found: list[int | None] = []
    for index, text in enumerate(values.to_pylist()):
        if text is None or text == "":
            found.append(None)
        elif text.strip().lstrip("-").isdigit():
            found.append(int(text))
        elif known.get(text.strip().casefold()) is None:
            raise NotConvertible(index, text, "no option has this label")
        else:
            found.append(known[text.strip().casefold()])
    return pa.array(found, pa.int64())


def _number(decimal: str, groups: str) -> Reading:
    whole = re.compile(rf"([+-]?)(\d{{1,3}}(?:[{groups}]\d{{3}})+|\d+)(?:[{decimal}](\d+))?(-?)")

    def read(text: str) -> str:
        hit = whole.fullmatch(text.strip().replace("\N{MINUS SIGN}", "-"))
        if hit is None or (hit[1] and hit[4]):
            raise ValueError
        digits = re.sub(r"\D", "", hit[2])
        return f"{hit[1] or hit[4]}{digits}.{hit[3] or 0}"

    return read


def _date(order: str, separators: str) -> Reading:
    parts = {"d": r"(?P<d>\d{1,2})", "m": r"(?P<m>\d{1,2})", "y": r"(?P<y>\d{4})"}
    whole = re.compile(rf"(?P<s>)?{parts[order[0]]}[{separators}]{parts[order[1]]}[{separators}]{parts[order[2]]}" + _TIME)

    def read(text: str) -> str:
        hit = whole.fullmatch(text.strip())
        if hit is None:
            raise ValueError
        hour, minute, second, fraction, half = hit.groups()[-5:]
        clock = int(hour or 0)
        if half:
            if not 1 <= clock <= 12:
                raise ValueError
            clock = clock % 12 + (12 if half.lower() == "pm" else 0)
        return f"{hit['y']}-{int(hit['m']):02d}-{int(hit['d']):02d}T{clock:02d}:{minute or '00'}:{second or '00'}{fraction or ''}"

    return read


_NUMBERS: dict[str, Reading] = {
    "a number with a decimal comma": _number(",", ".' \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{RIGHT SINGLE QUOTATION MARK}"),
    "a number with a decimal point": _number(".", ",' \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{RIGHT SINGLE QUOTATION MARK}"),
}
_DATES: dict[str, Reading] = {
    "day.month.year": _date("dmy", "."),
    "day/month/year": _date("dmy", "/-"),
    "month/day/year": _date("mdy", "/-"),
    "year/month/day": _date("ymd", "/.-"),
}
