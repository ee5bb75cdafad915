"""Filter expressions as Business Central users write them: one parser, one expression tree, one vectorised evaluator.

A filter is clauses over fields, all of which must hold. As one text: `Blocked: ' '; No.: 10000..20000` (a field name may stand in
double quotes); as a mapping: one expression per field. An expression:

    10000            equal to                      <>10000  < <= > >=       compared with
    A..C  ..C  A..   from - to, both included      *street*  M?ller         any characters, one character
    @meyer*          upper and lower case alike    A|B&C  (A|B)&C           or, and (& binds tighter), parentheses
    ''               blank                         'R&D'  'O''Brien'        quotes take every character as it is
    $company_id      a variable

and in YAML a list ("any of", null = blank; a list holds plain values), true/false and numbers. Booleans are Yes/No (or
true/false), options their label or number, dates and times ISO (a date alone in a datetime field means the whole day, UTC),
numbers have a point.

Blank. NULL and '' (for GUIDs the null GUID too) are one blank in text, code and GUID fields; NULL counts as 0 in numbers and
options and as No in booleans; a blank date, datetime or time is NULL and, as in Business Central, lies before every other, so
`..2026-01-31` includes it. `<>x` includes blanks.

Order and case. Code fields compare without blanks at their ends and in upper case; text is case-sensitive unless `@`. Ranges and
`<`, `>` on text and code compare ordinally, character by character by code point, also where both sides are digits only: "10" lies
before "9".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.mapping.filter_reader import expression_start, pairs, parse_expression, split
from synckit.mapping.filter_tree import (
    MOMENTS,
    NULL_GUID,
    AllOf,
    AnyOf,
    Like,
    Node,
    Op,
    Range,
    Test,
    Value,
    Wrong,
    blankless,
    in_words,
    shown,
    written,
    written_field,
)
from synckit.mapping.model import FilterText
from synckit.mapping.schema import Column, Kind, Table, nearest
from synckit.systems.protocol import Condition

#: Kinds whose comparisons every engine answers alike. Decimals are left out: a REAL column is only exact once it has been read.
PUSHABLE: tuple[Kind, ...] = ("integer", "option", "guid", "date", "datetime", "time")
COMPARE = {"=": pc.equal, "<>": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal}


@dataclass(frozen=True)
class Clause:
    """One field and what it must be."""

    column: Column
    node: Node

    @property
    def field(self) -> str:
        return self.column.name

    @property
    def text(self) -> str:
        """The expression in canonical form."""
        return written(self.node, self.column)

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Which rows satisfy this clause: a boolean per row, never null. The column is addressed by Column.name."""
        return _evaluate(self.node, _Values(self.column, batch.column(self.column.name)))

    def accepts(self, value: Any) -> bool:
        """Whether one canonical value satisfies this clause."""
        array = pa.array([value], type=arrow_type(self.column))
        return bool(_evaluate(self.node, _Values(self.column, array))[0].as_py())

    def explain(self, value: Any) -> str:
        """A sentence on one canonical value: 'Blocked is "Ship" (1), but the filter wants it to be blank (0).'"""
        held = shown(blankless(value, self.column), self.column)
        wish = in_words(self.node, self.column)
        if wish == f"to be {held}":
            return f"{self.field} is {held}, as the filter wants it."
        return f"{self.field} is {held}, {'and' if self.accepts(value) else 'but'} the filter wants it {wish}."

    def conditions(self) -> Iterator[Condition]:
        """What this clause implies and every server answers alike. A server drops NULL in a comparison, so nothing is pushed where
        a blank satisfies the clause (except "is null" itself)."""
        name, node = self.column.name, self.node
        if self.accepts(None):
            if self.column.kind in MOMENTS and node == Test("=", None):
                yield Condition(name, "is null")
            return
        pushed = False
        for part in (node.parts if isinstance(node, AllOf) else (node,)) if self.column.kind in PUSHABLE else ():
            for condition in _pushed(name, part):
                pushed = True
                yield condition
        if not pushed:
            yield Condition(name, "is not null")


@dataclass(frozen=True)
class Filter:
    """A parsed filter: every clause must hold. `str()` gives canonical text that parses back to an equal filter."""

    clauses: tuple[Clause, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Column.name of every column that `mask` needs, each once."""
        return tuple(dict.fromkeys(clause.field for clause in self.clauses))

    @property
    def is_empty(self) -> bool:
        return not self.clauses

    def mask(self, batch: pa.RecordBatch | pa.Table) -> pa.BooleanArray:
        """Which rows are inside: a boolean per row, never null. Columns are addressed by Column.name and hold canonical values."""
        result: pa.BooleanArray | None = None
        for clause in self.clauses:
            mask = clause.mask(batch)
            result = mask if result is None else pc.and_(result, mask)
        return pa.repeat(True, batch.num_rows) if result is None else result

    def conditions(self) -> list[Condition]:
        """Conditions implied by this filter that any server may be asked: the rows they keep are a superset of those of `mask`."""
        return list(dict.fromkeys(condition for clause in self.clauses for condition in clause.conditions()))

    def __str__(self) -> str:
        return "; ".join(f"{written_field(clause.field)}: {clause.text}" for clause in self.clauses)


def parse_filter(text: FilterText, table: Table, variables: Mapping[str, str | None] = {}, where: str = "") -> Filter:
    """`text` as a filter on `table`.

    `variables` gives `$name` its value (keys with or without "$"; None or '' = unset). An unset variable is dropped where it is
    one of several alternatives and an error where it stands alone; a name that a non-empty `variables` lacks is an error.
    Raises SynckitError naming `where` (such as "mapping CUSTOMER, local filter"), the text and the position or field.
    """
    known = {name.removeprefix("$"): value for name, value in variables.items()}
    clauses: list[Clause] = []
    try:
        for field, expression, offset in split(text) if isinstance(text, str) else pairs(text):
            column = table.find(field)
            if column is None:
                near = nearest(field, [c.name for c in table.columns])
                raise Wrong(
                    f'table "{table.caption or table.name}" has no field "{field}".{near}',
                    offset if isinstance(text, str) else None,
                )
            shown = text if isinstance(text, str) else f"{field}: {expression}"
            try:
                clauses.append(Clause(column, parse_expression(expression, column, known)))
            except Wrong as wrong:
                begins = expression_start(text, offset) if isinstance(text, str) else len(f"{field}: ")
                position = None if wrong.position is None else wrong.position + begins
                raise Wrong(f"{written_field(column.name)}: {wrong.args[0]}", position, str(shown)) from None
    except Wrong as wrong:
        prefix = f"{where[:1].upper()}{where[1:]}: " if where else ""
        source = wrong.text or str(text)
        source = source if len(source) <= 300 else source[:300] + " ..."
        at = f" (at position {wrong.position + 1})" if wrong.position is not None else ""
        raise SynckitError(f"{prefix}the filter `{source}` cannot be read{at}: {wrong.args[0]}") from None
    return Filter(tuple(clauses))


def arrow_type(column: Column) -> pa.DataType:
    """The canonical Arrow type of a column (systems.protocol)."""
    if column.kind == "decimal":
        return pa.decimal128(38, 10 if column.scale is None else column.scale)
    return _ARROW[column.kind]


_ARROW: dict[Kind, pa.DataType] = {
    **dict.fromkeys(("text", "code", "guid"), pa.string()),
    **dict.fromkeys(("integer", "option"), pa.int64()),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "datetime": pa.timestamp("us"),
}


class _Values:
    """One column's values as filters see them: no nulls (but for dates and times), code folded."""

    def __init__(self, column: Column, array: pa.Array | pa.ChunkedArray) -> None:
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        wanted = arrow_type(column)
        if array.type != wanted and not (column.kind == "decimal" and pa.types.is_decimal(array.type)):
            array = array.cast(wanted)
        self.moments = column.kind in MOMENTS
        if not self.moments:
            blank = {"boolean": False, "integer": 0, "option": 0, "decimal": Decimal(0)}.get(column.kind, "")
            array = array.fill_null(pa.scalar(blank, array.type))
        if column.kind == "code":
            array = pc.utf8_upper(pc.utf8_trim(array, " "))
        elif column.kind == "guid":
            array = pc.if_else(pc.equal(array, NULL_GUID), "", array)
        self.array = array

    @cached_property
    def lowered(self) -> pa.Array:
        return pc.utf8_lower(self.array)

    def all(self, answer: bool) -> pa.BooleanArray:
        return pa.repeat(answer, len(self.array))


def _evaluate(node: Node, values: _Values) -> pa.BooleanArray:
    """A boolean per row, never null."""
    match node:
        case Test():
            return _test(node, values)
        case Range(low, high):
            return pc.and_(_test(Test(">=", low), values), _test(Test("<=", high), values))
        case Like():
            return _like(node, values)
        case AllOf(parts):
            result = _evaluate(parts[0], values)
            for part in parts[1:]:
                result = pc.and_(result, _evaluate(part, values))
            return result
        case AnyOf(parts):
            return _any_of(parts, values)


def _any_of(parts: tuple[Node, ...], values: _Values) -> pa.BooleanArray:
    """Equalities are looked up together, however many; the rest is or-ed."""
    masks = []
    rest: list[Node] = []
    equal: dict[bool, list[Value]] = {False: [], True: []}
    for part in parts:
        if isinstance(part, Test) and part.op == "=" and part.value is not None and not pa.types.is_decimal(values.array.type):
            equal[part.fold].append(part.value)
        else:
            rest.append(part)
    for fold, wanted in equal.items():
        if wanted:
            array = values.lowered if fold else values.array
            masks.append(pc.is_in(array, value_set=pa.array(wanted, array.type)))
    masks += [_evaluate(part, values) for part in rest]
    result = masks[0]
    for mask in masks[1:]:
        result = pc.or_(result, mask)
    return result


def _test(test: Test, values: _Values) -> pa.BooleanArray:
    array = values.lowered if test.fold else values.array
    if values.moments:
        if test.value is None:  # blank is null and lies before everything
            if test.op in ("<", ">="):
                return values.all(test.op == ">=")
            return pc.is_null(array) if test.op in ("=", "<=") else pc.is_valid(array)
        return COMPARE[test.op](array, pa.scalar(test.value, array.type)).fill_null(test.op in ("<", "<=", "<>"))
    if pa.types.is_decimal(array.type) and isinstance(test.value, Decimal | int):
        return _decimal_test(test.op, Decimal(test.value), values)
    return COMPARE[test.op](array, pa.scalar(test.value, array.type))


def _decimal_test(op: Op, number: Decimal, values: _Values) -> pa.BooleanArray:
    """Exact comparison with a number that may have more places, or be larger, than the column's type can hold."""
    kind = values.array.type
    context = Context(prec=120)
    unit = Decimal(1).scaleb(-kind.scale)
    if abs(number) >= Decimal(10) ** (kind.precision - kind.scale):
        return values.all(op == "<>" or op in (("<", "<=") if number > 0 else (">", ">=")))
    floor = number.quantize(unit, rounding=ROUND_FLOOR, context=context)
    if floor != number:
        if op in ("=", "<>"):
            return values.all(op == "<>")
        if op in (">", ">="):
            ceiling = number.quantize(unit, rounding=ROUND_CEILING, context=context)
            return pc.greater_equal(values.array, pa.scalar(ceiling, kind)) if _fits(ceiling, kind) else values.all(False)
        return pc.less_equal(values.array, pa.scalar(floor, kind)) if _fits(floor, kind) else values.all(False)
    return COMPARE[op](values.array, pa.scalar(floor, kind))


def _fits(number: Decimal, kind: pa.Decimal128Type) -> bool:
    return abs(number) < Decimal(10) ** (kind.precision - kind.scale)


def _like(like: Like, values: _Values) -> pa.BooleanArray:
    array = values.lowered if like.fold else values.array
    texts = [text for kind, text in like.pieces if kind == "text"]
    match [kind for kind, _ in like.pieces]:
        case ["any"]:
            result = values.all(True)
        case ["text", "any"]:
            result = pc.starts_with(array, texts[0])
        case ["any", "text"]:
            result = pc.ends_with(array, texts[0])
        case ["any", "text", "any"]:
            result = pc.match_substring(array, texts[0])
        case _:
            body = "".join({"any": ".*", "one": "."}.get(kind) or _literal(text) for kind, text in like.pieces)
            result = pc.match_substring_regex(array, rf"\A(?s:{body})\z")
    return pc.invert(result) if like.negated else result


def _literal(text: str) -> str:
    """A text as a pattern of the RE2 engine that matches just it."""
    return "".join(sign if sign.isalnum() or ord(sign) > 127 else f"\\x{{{ord(sign):02x}}}" for sign in text)


def _pushed(name: str, node: Node) -> Iterator[Condition]:
    """What one part says, as conditions; nothing where it cannot be said."""
    match node:
        case Test(op, value) if value is not None and value != "":
            yield Condition(name, op, value)
        case Range(low, high):
            yield from _pushed(name, Test(">=", low))
            yield from _pushed(name, Test("<=", high))
        case AnyOf(parts):
            values: list[Value] = [
                p.value for p in parts if isinstance(p, Test) and p.op == "=" and p.value is not None and p.value != ""
            ]
            if len(values) == len(parts):
                yield Condition(name, "in", tuple(values))
