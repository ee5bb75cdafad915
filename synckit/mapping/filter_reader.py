"""Reading filter expressions: from text (or YAML values) to the expression tree of filter_tree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from synckit.mapping.filter_tree import (
    TEXTUAL,
    UNORDERED,
    AllOf,
    AnyOf,
    Like,
    Node,
    Op,
    Range,
    Test,
    Value,
    Wrong,
    lower,
    span,
    upper,
)
from synckit.mapping.schema import Column


def pairs(filters: Mapping[str, Any]) -> Iterator[tuple[str, Any, int]]:
    for field, expression in filters.items():
        yield str(field).strip(), expression, 0


OPERATORS: tuple[Op, ...] = ("<>", "<=", ">=", "<", ">", "=")
_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^":;][^:;]*?))\s*:')
_EXAMPLE = "write `Field: expression`, for example `No.: 10000..20000`; several joined by `;`"


def split(text: str) -> Iterator[tuple[str, str, int]]:
    """(field, expression, position of the field) of each clause of one text."""
    start = 0
    while start < len(text):
        if text[start] == ";" or text[start].isspace():
            start += 1
            continue
        head = _NAME.match(text, start)
        if head is None:
            end = text.find(";", start)
            raise Wrong(f'"{text[start : end if end >= 0 else None].strip()}" names no field; {_EXAMPLE}.', start)
        end, quoted = head.end(), False
        while end < len(text) and (quoted or text[end] != ";"):
            quoted ^= text[end] == "'"
            end += 1
        name = head[2] if head[1] is None else head[1].replace('""', '"')
        yield name, text[head.end() : end], start
        start = end


def expression_start(text: str, offset: int) -> int:
    head = _NAME.match(text, offset)
    return head.end() if head else offset


def parse_expression(expression: Any, column: Column, variables: Mapping[str, str | None]) -> Node:
    if isinstance(expression, str):
        return _Reader(expression, column, variables).whole()
    if isinstance(expression, list | tuple):
        if not expression:
            raise Wrong("the list is empty; name at least one value, or leave the field out")
        unset: list[str] = []
        items = [_item(item, column, variables, unset) for item in expression]
        found = tuple(item for item in items if item is not None)
        if not found:
            raise Wrong(f"the variable ${unset[0]} is not set, and the list has no other value")
        return _joined(AnyOf, found)
    return _equality("=", _scalar(expression, column), False, column)


def _item(item: Any, column: Column, variables: Mapping[str, str | None], unset: list[str]) -> Node | None:
    """One value of a list; None where it is a variable that is not set."""
    if not isinstance(item, str):
        return _equality("=", _scalar(item, column), False, column)
    text = item.strip()
    if re.fullmatch(r"\$\w+", text):
        value = _variable(text[1:], variables)
        if value is None:
            unset.append(text[1:])
            return None
        return _equality("=", value, False, column)
    if re.fullmatch(r"'(?:[^']|'')*'", text):
        return _equality("=", text[1:-1].replace("''", "'"), False, column)
    if column.kind in TEXTUAL and (text[:1] in ("<", ">", "@") or re.search(r"[*?|]|\.\.", text)):
        raise Wrong(
            f'a list holds plain values, not expressions like "{text}"; write one text with |, or put the value in single quotes'
        )
    return _equality("=", text, False, column)


def _scalar(value: Any, column: Column) -> str:
    """A YAML scalar as the text of a value."""
    if value is None:
        return ""
    if isinstance(value, bool) and column.kind in ("boolean", "option"):
        return "Yes" if value else "No"
    if isinstance(value, bool) or (isinstance(value, float) and column.kind in TEXTUAL):
        raise Wrong(f'"{value}" is not a value of this {column.kind} field; if it is meant as text, put it in quotes')
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    raise Wrong(f"{value!r} is not a filter expression; write a text, a number, true or false, or a list of values")


def _variable(name: str, variables: Mapping[str, str | None], position: int | None = None) -> str | None:
    if variables and name not in variables:
        known = ", ".join(f"${n}" for n in variables)
        raise Wrong(f"there is no variable ${name} (known: {known}); a text that begins with $ goes in single quotes", position)
    return variables.get(name) or None


class _Reader:
    """Recursive descent over one expression."""

    def __init__(self, text: str, column: Column, variables: Mapping[str, str | None]) -> None:
        self.text, self.column, self.variables, self.at = text, column, variables, 0
        self.depth = 0

    def whole(self) -> Node:
        if not self.text.strip():
            raise Wrong("the expression is empty; write '' (two single quotes) for blank, or leave the field out", 0)
        node = self.any_of()
        if self.at < len(self.text):
            self.unexpected()
        if isinstance(node, str):
            raise Wrong(f"the variable ${node} is not set", 0)
        return node

    def unexpected(self) -> None:
        sign = self.text[self.at]
        advice = " there is no ( before it," if sign == ")" else ""
        raise Wrong(f'"{sign}" is not expected here;{advice} put a value that contains it in single quotes', self.at)

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def accept(self, sign: str) -> bool:
        self.skip()
        if self.text.startswith(sign, self.at):
            self.at += len(sign)
            return True
        return False

    def any_of(self) -> Node | str:
        """Alternatives; those that are unset variables (given as their name) are dropped where others remain."""
        parts = [self.all_of()]
        while self.accept("|"):
            parts.append(self.all_of())
        found = tuple(part for part in parts if not isinstance(part, str))
        return _joined(AnyOf, found) if found else parts[0]

    def all_of(self) -> Node | str:
        parts = [self.single()]
        while self.accept("&"):
            parts.append(self.single())
        if len(parts) == 1:
            return parts[0]
        found = tuple(part for part in parts if not isinstance(part, str))
        if len(found) < len(parts):
            raise Wrong(f"the variable ${next(p for p in parts if isinstance(p, str))} is not set", self.at)
        return _joined(AllOf, found)

    def single(self) -> Node | str:
        if self.accept("("):
            self.depth += 1
            if self.depth > 50:
                raise Wrong("it is nested too deeply; write it with fewer parentheses", self.at)
            node = self.any_of()
            self.depth -= 1
            if not self.accept(")"):
                raise Wrong("a ) is missing", self.at)
            return node
        return self.term()

    def term(self) -> Node | str:
        self.skip()
        start = self.at
        op = next((sign for sign in OPERATORS if self.accept(sign)), None)
        fold = self.accept("@")
        if fold and self.column.kind not in TEXTUAL:
            raise Wrong(f"@ has a meaning in text fields only, and this is a {self.column.kind} field", start)
        if not op and not fold and self.accept(".."):
            return self.range(None, start)
        first = self.operand()
        if first is None:
            after = f" after {self.text[start : self.at].strip()}" if self.at > start else ""
            raise Wrong(f"a value is missing{after}; write '' for blank", min(self.at, len(self.text)))
        if not op and not fold and self.accept(".."):
            return self.range(first, start)
        if self.at < len(self.text) and self.text[self.at] in "<>(":
            self.unexpected()
        return self.test(op or "=", first, fold, start)

    def test(self, op: Op, pieces: list[tuple[str, str]], fold: bool, start: int) -> Node | str:
        if pieces[0][0] == "variable":
            name = pieces[0][1]
            value = _variable(name, self.variables, start)
            if value is None and op != "=":
                raise Wrong(f"the variable ${name} is not set", start)
            return name if value is None else self.placed(op, value, fold, start)
        if all(kind == "text" for kind, _ in pieces):
            return self.placed(op, "".join(text for _, text in pieces), fold, start)
        if self.column.kind not in TEXTUAL:
            raise Wrong(f"* and ? have a meaning in text fields only, and this is a {self.column.kind} field", start)
        if op not in ("=", "<>"):
            raise Wrong(f"* and ? have no meaning after {op}; put the value in single quotes if they belong to it", start)
        code = self.column.kind == "code"
        folded = fold and not code
        change = upper if code else lower if folded else str
        return Like(_merged((kind, change(text)) for kind, text in pieces), folded, op == "<>")

    def placed(self, op: Op, value: str, fold: bool, start: int) -> Node:
        try:
            return _equality(op, value, fold, self.column)
        except Wrong as wrong:
            raise Wrong(wrong.args[0], start) from None

    def range(self, low: list[tuple[str, str]] | None, start: int) -> Node:
        if self.column.kind in UNORDERED:
            raise Wrong(f"a {self.column.kind} field has no ranges", start)
        high = self.operand()
        if low is None and high is None:
            raise Wrong("a range needs at least one end, such as 10000..20000, ..20000 or 10000..", start)
        if self.at < len(self.text) and (self.text[self.at] in "<>(" or self.text.startswith("..", self.at)):
            self.unexpected()
        bottom = self.end(low, start, "<") if low is not None else None
        top = self.end(high, start, ">") if high is not None else None
        if low is None:
            return Test("<=", top)
        return Test(">=", bottom) if high is None else Range(bottom, top)

    def end(self, pieces: list[tuple[str, str]], start: int, side: str) -> Value:
        if pieces[0][0] == "variable":
            value = _variable(pieces[0][1], self.variables, start)
            if value is None:
                raise Wrong(f"the variable ${pieces[0][1]} is not set", start)
        elif any(kind != "text" for kind, _ in pieces):
            raise Wrong("* and ? have no meaning in a range; put the value in single quotes if they belong to it", start)
        else:
            value = "".join(text for _, text in pieces)
        try:
            first, last = span(value, self.column)
        except Wrong as wrong:
            raise Wrong(wrong.args[0], start) from None
        return first if side == "<" else last

    def operand(self) -> list[tuple[str, str]] | None:
        """A value's pieces up to the next operator, or None where there is no value."""
        self.skip()
        pieces: list[tuple[str, str]] = []
        quoted = False
        bare = ""
        while self.at < len(self.text) and self.text[self.at] not in "|&()<>" and not self.text.startswith("..", self.at):
            sign = self.text[self.at]
            if sign == "'":
                close = re.compile(r"'((?:[^']|'')*)'").match(self.text, self.at)
                if close is None:
                    raise Wrong("a single quote is not closed; a quote within a value is written twice, as in 'O''Brien'", self.at)
                pieces += [("text", bare), ("text", close[1].replace("''", "'"))]
                bare, quoted, self.at = "", True, close.end()
                continue
            if sign in "*?":
                pieces += [("text", bare), ("any" if sign == "*" else "one", sign)]
                bare = ""
            else:
                bare += sign
            self.at += 1
        pieces.append(("text", bare.rstrip()))
        if not quoted and len(pieces) == 1:
            if not pieces[0][1]:
                return None
            if re.fullmatch(r"\$\w+", pieces[0][1]):
                return [("variable", pieces[0][1][1:])]
        return pieces


def _merged(pieces: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Pieces without empty texts, neighbouring texts joined."""
    result: list[tuple[str, str]] = []
    for kind, text in pieces:
        if kind == "text" and result and result[-1][0] == "text":
            result[-1] = ("text", result[-1][1] + text)
        elif text:
            result.append((kind, text))
    return tuple(result)


def _joined(how: type[AllOf] | type[AnyOf], parts: tuple[Node, ...]) -> Node:
    """Parts under one node, without nesting a node in one of its own kind."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, how) else (part,)))
    return flat[0] if len(flat) == 1 else how(flat)


def _equality(op: Op, text: str, fold: bool, column: Column) -> Node:
    """One comparison with a value as written. A date alone in a datetime field is a whole day."""
    if op not in ("=", "<>") and column.kind in UNORDERED:
        raise Wrong(f"a {column.kind} field knows only = and <>, not {op}")
    first, last = span(text, column)
    if first != last:
        if op == "=":
            return Range(first, last)
        if op == "<>":
            return AnyOf((Test("<", first), Test(">", last)))
        return Test(op, first if op in ("<", ">=") else last)
    if fold and column.kind == "text" and isinstance(first, str) and first:
        return Test(op, lower(first), True)
    return Test(op, first)
