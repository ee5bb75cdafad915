"""From a plan's text to what a system is sent: typed values, and the blank as the destination writes it."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from synckit.mapping.schema import Column, Schema


def typed(text: str | None, column: Column, schema: Schema) -> Any:
    """The canonical value (systems protocol) of a plan's text for `column`; NULL becomes the blank of that system."""
    if text is None:
        return blank_of(column, schema)
    match column.kind:
        case "integer" | "option":
            return int(Decimal(text))
        case "decimal":
            return Decimal(text)
        case "boolean":
            return text.strip().casefold() in ("true", "1", "yes")
        case "date":
            return dt.date.fromisoformat(text[:10])
        case "datetime":
            moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
            return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment
        case "time":
            return dt.time.fromisoformat(text)
    return text


def typed_all(texts: list[str | None], column: Column, schema: Schema) -> list[Any]:
    """As `typed`, for many texts of one column."""
    if column.kind in ("text", "code", "guid"):
        if None not in texts:
            return texts
        blank = blank_of(column, schema)
        return [blank if text is None else text for text in texts]
    known = {text: typed(text, column, schema) for text in set(texts)}
    return [known[text] for text in texts]


def blank_of(column: Column, schema: Schema) -> Any:
    """How the system writes a blank: Business Central never stores NULL, Dataverse always does."""
    if schema.blank == "null":
        return None
    return {"text": "", "code": "", "guid": None, "integer": 0, "option": 0, "decimal": Decimal(0), "boolean": False}.get(
        column.kind
    )


class NumberSeries:
    """The next numbers of a column, after those there are (the number series of new customers, vendors, contacts, salespeople).

    The series is that of the most numerous pattern "letters, then digits"; the digits keep their width. Salespeople without any
    generated code begin with SP NO. 00001 (reference: salespeople.new_code).
    """

    def __init__(self, mapping: str, numbers: Iterable[str | None]) -> None:
        self.taken = {n for n in numbers if n}
        if mapping == "SALESPEOPLE":
            self.prefix, self.width = "SP NO. ", 5
        else:
            patterns = Counter((n[: len(n) - len(d)], len(d)) for n in self.taken if (d := _digits(n)))
            (self.prefix, self.width), _ = patterns.most_common(1)[0] if patterns else ((mapping[:1], 5), 0)
            best = max(patterns.values(), default=0)  # of two equally frequent patterns the first in order counts
            self.prefix, self.width = min((p for p, n in patterns.items() if n == best), default=(self.prefix, self.width))
        mine = [int(_digits(n)) for n in self.taken if n.startswith(self.prefix) and n[len(self.prefix) :].isdecimal()]
        self.last = max(mine, default=0)

    def draw(self) -> str:
        """The next number; never one that is taken."""
        while True:
            self.last += 1
            number = f"{self.prefix}{self.last:0{self.width}d}"
            if number not in self.taken:
                self.taken.add(number)
                return number


def _digits(number: str) -> str:
    """The digits at the end of a number, '' where there are none."""
    stem = number.rstrip("0123456789")
    return number[len(stem) :]
