"""Stored values -> canonical Arrow values, a batch at a time: vectorised where the spelling is usual, value by value where it is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synckit.mapping.model import SystemConfig
from synckit.mapping.schema import Column, Table

DEFAULT_SCALE = 10  #: decimals of a column that declares no scale
_EXACT = Context(prec=120)
_STAMP = re.compile(
    r"\s*(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?\s*(?:(Z|z|UTC)|([+-])(\d\d)(?::?(\d\d))?)?\s*"
)
_TIME = re.compile(r"\s*(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?\s*")
_GUID = re.compile(r"\s*\{?([0-9a-fA-F]{8})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{4})-?([0-9a-fA-F]{12})\}?\s*")
_BOOLEANS = {"1": True, "0": False, "true": True, "false": False, "t": True, "f": False, "yes": True, "no": False}
_GUID_BYTES = np.zeros(256, dtype=bool)
_GUID_BYTES[[ord(c) for c in "0123456789abcdef-"]] = True

#: What a value of the kind looks like, for messages.
LOOKS_LIKE = {
    "guid": "a GUID such as 0f8fad5b-d9cb-469f-a165-70867728950e",
    "integer": "a whole number",
    "option": "the number of an option",
    "decimal": "a number such as -1234.50",
    "boolean": "true or false (1 or 0)",
    "date": "a date such as 2026-01-31",
    "datetime": "a date and time such as 2026-01-31T08:30:00Z",
    "time": "a time such as 08:30:00",
    "text": "text",
    "code": "text",
}


class NotConvertible(Exception):
    """The value at `index` of the batch is not of the column's kind."""

    def __init__(self, index: int, value: object, why: str = "") -> None:
        super().__init__(value, why)
        self.index, self.value, self.why = index, value, why


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of the column's canonical values (see protocol)."""
    if column.kind == "decimal":
        return pa.decimal128(38, scale_of(column))
    return _TYPES[column.kind]


def scale_of(column: Column) -> int:
    return DEFAULT_SCALE if column.scale is None else column.scale


def to_canonical(values: pa.Array, column: Column, rounds: bool = False) -> pa.Array:
    """One batch of a column as its canonical Arrow type. '' is null for every kind but text.

    `rounds`: the column is stored as a binary fraction and is rounded (half away from zero) to the column's scale; else digits
    beyond the scale are an error, because money is exact. Raises NotConvertible with the first value that is not of the kind.
    """
    target = arrow_type(column)
    if values.type == target and column.kind != "guid":
        return values
    if column.kind in ("text", "code"):
        return _as_text(values)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), target)
    if pa.types.is_timestamp(values.type) and column.kind == "datetime":
        return values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(target)
    if not pa.types.is_string(values.type):
        direct = _direct(values, column.kind, target)
        if direct is not None:
            return direct
        values = _as_text(values)
    blank = pc.equal(pc.binary_length(values), 0)
    if pc.any(blank).as_py():
        values = pc.if_else(blank, pa.scalar(None, pa.string()), values)
    if values.null_count == len(values):
        return pa.nulls(len(values), target)
    try:
        quick = _QUICK[column.kind](values, target, rounds)
        if quick is not None:
            return quick
    except pa.ArrowInvalid:
        pass
    return _one_by_one(values, target, _parser(column, rounds))


def parse_guid(text: str) -> str:
    """A GUID in any spelling -> lower case with hyphens, no braces. Raises ValueError."""
    hit = _GUID.fullmatch(text)
    if hit is None:
        raise ValueError
    return "-".join(hit.groups()).lower()


def parse_datetime(text: str) -> datetime:
    """ISO date and time (T or blank, any fraction, Z or offset; without one it is UTC) -> naive UTC, cut to microseconds."""
    hit = _STAMP.fullmatch(text)
    if hit is None:
        raise ValueError
    year, month, day, hour, minute, second = (int(part or 0) for part in hit.groups()[:6])
    stamp = datetime(year, month, day, hour, minute, second, int((hit[7] or "")[:6].ljust(6, "0")))
    if hit[9]:
        offset = timedelta(hours=int(hit[10]), minutes=int(hit[11] or 0))
        try:
            return stamp - offset if hit[9] == "+" else stamp + offset
        except OverflowError:
            raise ValueError from None
    return stamp


def parse_date(text: str) -> date:
    stamp = parse_datetime(text)
    if stamp.time() != time():
        raise ValueError("it has a time of day")
    return stamp.date()


def parse_time(text: str) -> time:
    hit = _TIME.fullmatch(text)
    if hit is None:
        return _only_time(text)
    return time(int(hit[1]), int(hit[2]), int(hit[3] or 0), int((hit[4] or "")[:6].ljust(6, "0")))


def parse_decimal(text: str, scale: int, rounds: bool = False) -> Decimal:
    """An exact decimal with `scale` decimals. Raises ValueError for what is no number, needs more decimals, or has over 38 digits."""
    try:
        number = Decimal(text.strip())
        if "_" in text or not number.is_finite() or number.adjusted() > 38:
            raise ValueError
        cut = number.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP, context=_EXACT)
    except InvalidOperation:
        raise ValueError from None
    if cut != number and not rounds:
        raise ValueError(f"it has more than {scale} decimals; declare a larger scale for this column")
    if len(cut.as_tuple().digits) > 38:
        raise ValueError("it has more than 38 digits")
    return cut


def parse_integer(text: str) -> int:
    number = Decimal(text.strip()) if re.fullmatch(r"\s*[+-]?\d+(\.0*)?([eE]\+?\d\d?)?\s*", text) else None
    if number is None or not -(2**63) <= number < 2**63:
        raise ValueError
    return int(number)


def parse_boolean(text: str) -> bool:
    found = _BOOLEANS.get(text.strip().casefold())
    if found is None:
        raise ValueError
    return found


def _parser(column: Column, rounds: bool) -> Callable[[str], Any]:
    if column.kind == "decimal":
        return lambda text: parse_decimal(text, scale_of(column), rounds)
    return _PARSERS[column.kind]


def _one_by_one(values: pa.Array, target: pa.DataType, parse: Callable[[str], Any]) -> pa.Array:
    """Every distinct value once through Python, then back into place."""
    encoded = values.dictionary_encode()
    parsed: list[Any] = []
    for text in encoded.dictionary.to_pylist():
        try:
            parsed.append(parse(text))
        except (ValueError, ArithmeticError) as problem:
            raise NotConvertible(pc.index(values, pa.scalar(text, values.type)).as_py(), text, str(problem)) from None
    try:
        return pa.array(parsed, target).take(encoded.indices)
    except (pa.ArrowInvalid, OverflowError):
        raise NotConvertible(0, values[0].as_py()) from None


def _as_text(values: pa.Array) -> pa.Array:
    if pa.types.is_string(values.type):
        return values
    if pa.types.is_dictionary(values.type):
        return _as_text(values.dictionary_decode())
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type) or pa.types.is_fixed_size_binary(values.type):
        bad = next((i for i, value in enumerate(values) if value.is_valid), None)
        if bad is not None:
            raise NotConvertible(bad, values[bad].as_py(), "it is binary")
        return pa.nulls(len(values), pa.string())
    return values.cast(pa.string())


def _direct(values: pa.Array, kind: str, target: pa.DataType) -> pa.Array | None:
    """Typed values that need no detour through text; None where text is the exact way."""
    kinds = pa.types
    if kind in ("integer", "option", "boolean") and (kinds.is_integer(values.type) or kinds.is_boolean(values.type)):
        return values.cast(target)
    if kind in ("integer", "option") and kinds.is_floating(values.type):
        try:
            return values.cast(target)
        except pa.ArrowInvalid:
            return None
    if kind == "decimal" and (kinds.is_integer(values.type) or kinds.is_decimal(values.type)):
        try:
            return values.cast(target)
        except pa.ArrowInvalid:
            return None
    if kind == "datetime" and kinds.is_date(values.type):
        return values.cast(target)
    if kind == "time" and kinds.is_time(values.type):
        return values.cast(target, safe=False)
    return None


def _quick_guid(values: pa.Array, target: pa.DataType, rounds: bool) -> pa.Array | None:
    if _is_plain_guid(values):
        return values
    lowered = pc.ascii_trim(pc.ascii_lower(values), characters="{} ")
    return lowered if _is_plain_guid(lowered) else None


def _is_plain_guid(values: pa.Array) -> bool:
    """True where every value is 36 lower-case hexadecimal characters and hyphens at their places: looks at the bytes at once."""
    offsets = np.frombuffer(values.buffers()[1], dtype=np.int32)[values.offset : values.offset + len(values) + 1]
    start, stop = int(offsets[0]), int(offsets[-1])
    if stop - start != 36 * (len(values) - values.null_count) or int(np.diff(offsets).max()) > 36:
        return False
    letters = np.frombuffer(values.buffers()[2], dtype=np.uint8)[start:stop].reshape(-1, 36)
    return bool((letters[:, [8, 13, 18, 23]] == ord("-")).all() and _GUID_BYTES[letters].all())


def _quick_cast(values: pa.Array, target: pa.DataType, rounds: bool) -> pa.Array | None:
    return values.cast(target)


def _quick_decimal(values: pa.Array, target: pa.Decimal128Type, rounds: bool) -> pa.Array | None:
    if not rounds:
        return values.cast(target)
    wide = values.cast(pa.decimal256(76, 38))
    return pc.round(wide, target.scale, round_mode="half_towards_infinity").cast(target)


def _first(values: pa.Array) -> str:
    return next(value.as_py() for value in values if value.is_valid)


def _quick_datetime(values: pa.Array, target: pa.DataType, rounds: bool) -> pa.Array | None:
    first = _first(values)
    tail = first[10:]
    _, point, fraction = tail.partition(".")
    if point and len(fraction.rstrip("Z").partition("+")[0].partition("-")[0]) > 6:
        values = pc.replace_substring_regex(values, r"(\.\d{6})\d+", r"\1")
    if tail.endswith("Z") or "+" in tail or "-" in tail:
        return values.cast(pa.timestamp("us", "UTC")).cast(target)
    return values.cast(target)


def _quick_date(values: pa.Array, target: pa.DataType, rounds: bool) -> pa.Array | None:
    return values.cast(target) if len(_first(values)) == 10 else None


def _quick_time(values: pa.Array, target: pa.DataType, rounds: bool) -> pa.Array | None:
    if len(_first(values)) > 15:
        return None
    return pc.binary_join_element_wise("1970-01-01T", values, "").cast(pa.timestamp("us")).cast(target)


def _quick_boolean(values: pa.Array, target: pa.DataType, rounds: bool) -> pa.Array | None:
    return values.cast(target) if _first(values) in ("0", "1", "true", "false") else None


def _only_time(text: str) -> time:
    stamp = parse_datetime(text)
    if stamp.date() not in (date(1900, 1, 1), date(1970, 1, 1), date(1753, 1, 1), date(1, 1, 1)):
        raise ValueError("it has a date")
    return stamp.time()


def version_column(config: SystemConfig, table: Table) -> Column | None:
    """The column that tells a row's version: the workspace's, else the schema's modified-on, else none."""
    name = config.version.column or table.modified_on
    if name is None:
        return None
    return table.find(name) or Column(name=name, column=name, type="datetime")


def now() -> datetime:
    """The moment of a snapshot: aware, UTC."""
    return datetime.now(UTC)


_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "code": pa.string(),
    "guid": pa.string(),
    "integer": pa.int64(),
    "option": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "datetime": pa.timestamp("us"),
}
_QUICK: dict[str, Callable[[pa.Array, Any, bool], pa.Array | None]] = {
    "guid": _quick_guid,
    "integer": _quick_cast,
    "option": _quick_cast,
    "boolean": _quick_boolean,
    "decimal": _quick_decimal,
    "date": _quick_date,
    "datetime": _quick_datetime,
    "time": _quick_time,
}
_PARSERS: dict[str, Callable[[str], Any]] = {
    "guid": parse_guid,
    "integer": parse_integer,
    "option": parse_integer,
    "boolean": parse_boolean,
    "date": parse_date,
    "datetime": parse_datetime,
    "time": parse_time,
}
