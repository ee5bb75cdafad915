"""The expression tree of a filter, and how values of each kind are read, written and put into words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from synckit.mapping.schema import Column, Kind, nearest

Value = str | int | Decimal | bool | date | datetime | time | None
Op = Literal["=", "<>", "<", "<=", ">", ">="]

NULL_GUID = "00000000-0000-0000-0000-000000000000"
TEXTUAL: tuple[Kind, ...] = ("text", "code")
MOMENTS: tuple[Kind, ...] = ("date", "datetime", "time")
UNORDERED: tuple[Kind, ...] = ("guid", "boolean")
WORDS = {"<": "to be less than", "<=": "to be at most", ">": "to be greater than", ">=": "to be at least"}


class Wrong(Exception):
    """What is wrong in a filter and what to write instead; `position` counts from 0 in the text as written."""

    def __init__(self, message: str, position: int | None = None, text: str = "") -> None:
        super().__init__(message)
        self.position = position
        self.text = text


@dataclass(frozen=True)
class Test:
    """One comparison. `value` is canonical for the column's kind; '' (None for dates and times) is blank. `fold`: case alike."""

    op: Op
    value: Value
    fold: bool = False


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included."""

    low: Value
    high: Value


@dataclass(frozen=True)
class Like:
    """A text pattern: pieces of ("text", ...), ("any", "*") and ("one", "?")."""

    pieces: tuple[tuple[str, str], ...]
    fold: bool = False
    negated: bool = False


@dataclass(frozen=True)
class AllOf:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class AnyOf:
    parts: tuple[Node, ...]


Node = Test | Range | Like | AllOf | AnyOf


def upper(text: str) -> str:
    """Upper case exactly as the vectorised evaluator makes it (one character for one)."""
    return pc.utf8_upper(pa.scalar(text)).as_py()


def lower(text: str) -> str:
    """Lower case exactly as the vectorised evaluator makes it."""
    return pc.utf8_lower(pa.scalar(text)).as_py()


def span(text: str, column: Column) -> tuple[Value, Value]:
    """First and last canonical value that `text` stands for: the same twice, but a whole day for a date in a datetime field.
    Raises Wrong saying how the kind's values are written."""
    kind = column.kind
    if kind == "datetime":
        return _moment(text.strip())
    value: Value
    if kind == "text":
        value = text
    elif kind == "code":
        value = upper(text.strip(" "))
    elif kind == "option":
        value = _option(text, column)
    else:
        value = READERS[kind](text.strip())
    return value, value


def _guid(text: str) -> str:
    if not text:
        return ""
    digits = re.sub(r"[{}()-]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{32}", digits):
        raise Wrong(f"\"{text}\" is not a GUID; write one like 6f9619ff-8b86-d011-b42d-00c04fc964ff, or '' for blank")
    guid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return "" if guid == NULL_GUID else guid


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text or "0"):
        raise Wrong(f'"{text}" is not a whole number; write digits only, such as 1200')
    number = int(text or "0")
    if not -(2**63) <= number < 2**63:
        raise Wrong(f'"{text}" is beyond what a whole number field can hold')
    return number


def _decimal(text: str) -> Decimal:
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", text or "0") or len(text) > 60:
        raise Wrong(f'"{text}" is not a number; write it with a point and without thousands separators, such as 1234.5')
    return Decimal(text or "0") + 0


def _boolean(text: str) -> bool:
    folded = text.casefold()
    if folded not in ("yes", "true", "1", "no", "false", "0", ""):
        raise Wrong(f'"{text}" is neither Yes nor No; write one of them')
    return folded in ("yes", "true", "1")


def _date(text: str) -> date | None:
    if not text:
        return None
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise Wrong(f'"{text}" is not a date; write year-month-day, such as 2026-01-31')


def _time(text: str) -> time | None:
    if not text:
        return None
    if re.fullmatch(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?", text):
        try:
            return time.fromisoformat(text)
        except ValueError:
            pass
    raise Wrong(f'"{text}" is not a time; write hours:minutes:seconds, such as 13:30:00')


def _moment(text: str) -> tuple[datetime | None, datetime | None]:
    if not text:
        return None, None
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            day = datetime.fromisoformat(text)
            return day, day + (timedelta(days=1) - timedelta(microseconds=1))
        if re.fullmatch(
            r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?", text
        ):
            moment = datetime.fromisoformat(text)
            moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
            return moment, moment
    except (ValueError, OverflowError):
        pass
    raise Wrong(f'"{text}" is not a date and time; write them in UTC, such as 2026-01-31T13:30:00Z, or a date for the whole day')


READERS: dict[Kind, Callable[[str], Value]] = {
    "guid": _guid,
    "integer": _integer,
    "decimal": _decimal,
    "boolean": _boolean,
    "date": _date,
    "time": _time,
}


def _option(text: str, column: Column) -> int:
    """The number of an option: by its label (blank ones alike, then upper and lower case alike), else by number, known or not."""
    wanted = text.strip()
    folded = wanted.casefold()
    for option in (
        *(o for o in column.options if o.label.strip() == wanted),
        *(o for o in column.options if o.label.strip().casefold() == folded),
    ):
        return option.value
    if re.fullmatch(r"[+-]?[0-9]+", wanted or "0"):
        return _integer(wanted)
    labels = [o.label for o in column.options]
    raise Wrong(
        f'"{text}" is no option of this field.{nearest(wanted, labels)}'
        f" The options are {', '.join(repr(label) for label in labels)}"
    )


def written_value(value: Value, column: Column) -> str:
    """A value as it is written in an expression: the inverse of `span`."""
    if value is None:
        return "''"
    if column.kind == "option":
        label = next((o.label for o in column.options if o.value == value), None)
        if label is not None and _option(label, column) == value:
            return quoted(label)
        return str(value) if _option(str(value), column) == value else f"{value:+d}"
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, int) else quoted(value)


def quoted(text: str) -> str:
    """A text in single quotes unless it can stand without."""
    if re.fullmatch(r"\w(?:[\w .,/+%#:@-]*\w)?", text) and ".." not in text:
        return text
    return "'" + text.replace("'", "''") + "'"


def written_field(name: str) -> str:
    """A field's name as it stands before the colon of a clause."""
    return '"' + name.replace('"', '""') + '"' if re.search(r'[":;]|^\s|\s$|^$', name) else name


def written(node: Node, column: Column) -> str:
    """The canonical text of an expression, which reads back to an equal one."""
    match node:
        case Test(op, value, fold):
            return ("" if op == "=" else op) + ("@" if fold else "") + written_value(value, column)
        case Range(low, high):
            return f"{written_value(low, column)}..{written_value(high, column)}"
        case Like(pieces, fold, negated):
            return ("<>" if negated else "") + ("@" if fold else "") + "".join(_written_piece(*piece) for piece in pieces)
        case AllOf(parts):
            return "&".join(f"({written(part, column)})" if isinstance(part, AnyOf) else written(part, column) for part in parts)
        case AnyOf(parts):
            return "|".join(written(part, column) for part in parts)


def _written_piece(kind: str, text: str) -> str:
    return text if kind != "text" or text.isalnum() else "'" + text.replace("'", "''") + "'"


def blankless(value: Value, column: Column) -> Value:
    """A canonical value as filters see it: blanks as '', 0 or No, code in upper case without blanks at its ends."""
    match column.kind:
        case "text" | "code" | "guid":
            text = "" if value is None or (value == NULL_GUID and column.kind == "guid") else str(value)
            return upper(text.strip(" ")) if column.kind == "code" else text
        case "boolean":
            return bool(value)
        case "integer" | "option" | "decimal":
            return 0 if value is None else value
    return value


def shown(value: Value, column: Column) -> str:
    """A value in a sentence: blank, "text", 12, "Ship" (1)."""
    if value is None or value == "":
        return "blank"
    if column.kind == "option":
        label = next((o.label for o in column.options if o.value == value), None)
        if label is None:
            return str(value)
        return f'"{label}" ({value})' if label.strip() else f"blank ({value})"
    return f'"{value}"' if isinstance(value, str) else written_value(value, column)


def in_words(node: Node, column: Column) -> str:
    """The end of a sentence "the filter wants it ..."."""
    alike = ", upper and lower case alike" if isinstance(node, Test | Like) and node.fold else ""
    match node:
        case Test(op, value):
            wish = WORDS.get(op) or ("to be" if op == "=" else "not to be")
            return f"{wish} {shown(value, column)}{alike}"
        case Range(low, high):
            return f"to lie between {shown(low, column)} and {shown(high, column)}"
        case Like(pieces, _, negated):
            return f"{'not ' if negated else ''}to match {''.join(text for _, text in pieces)}{alike}"
        case AllOf(parts):
            return " and ".join(
                f"({in_words(part, column)})" if isinstance(part, AnyOf) else in_words(part, column) for part in parts
            )
        case AnyOf(parts):
            return " or ".join(in_words(part, column) for part in parts)
