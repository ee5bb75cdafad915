"""Staging: one function, Arrow batch in, Arrow batch out. All that systems disagree on (blanks, lengths, types) is settled here, once.

A staged batch holds for each row its key, version, filter flag and one column per StagedColumn in the form in which it is compared
and written. Blank text and GUIDs become '', so that a blank is a blank whatever the system stores.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

from synckit.mapping.schema import Column, Kind
from synckit.mapping.transformation import RuleBook
from synckit.planning.bind import BoundSide, StagedColumn

ARROW: dict[Kind, pa.DataType] = {
    "text": pa.string(), "code": pa.string(), "guid": pa.string(), "integer": pa.int64(), "option": pa.int64(), "boolean": pa.bool_(),
    "date": pa.date32(), "datetime": pa.timestamp("us"), "time": pa.time64("us"),
}  # fmt: skip
TEXTUAL = ("text", "code", "guid")
NULL_GUID = "00000000-0000-0000-0000-000000000000"
DEFAULT_SCALE = 10


def arrow_type(column: Column) -> pa.DataType:
    """The canonical Arrow type of a column."""
    if column.kind == "decimal":
        return pa.decimal128(38, DEFAULT_SCALE if column.scale is None else column.scale)
    return ARROW[column.kind]


def canonical(array: pa.Array, column: Column) -> pa.Array:
    """Blank text is '', the null GUID is ''; everything else as read."""
    if column.kind in TEXTUAL:
        array = pc.fill_null(array, "") if array.null_count else array
        if column.kind == "guid":
            array = pc.if_else(pc.equal(array, NULL_GUID), "", array)
    return array


class Staging:
    """Stages the batches of one side. `problems` collects what could not be converted: (key, column name, value, message)."""

    def __init__(self, side: BoundSide, rulebook: RuleBook, compute: Callable[[pa.RecordBatch], dict[str, pa.Array]]) -> None:
        self.side = side
        self.rulebook = rulebook
        self.compute = compute

    def __call__(self, batch: pa.RecordBatch, extra: dict[str, pa.Array]) -> pa.RecordBatch:
        """`batch` as read (columns by name). `extra`: columns already made (key, version ...)."""
        columns = dict(extra)
        n = batch.num_rows
        problems: list[tuple[pa.Array, str]] = []
        read: dict[str, pa.Array] = {}
        for staged in self.side.staged:
            name = staged.source.name
            if name not in read:
                read[name] = canonical(batch.column(name), staged.source)
            columns[staged.name], errors = staged_form(read[name], staged, self.rulebook)
            if errors is not None:
                problems.append((errors, name))
        filtered = self.side.filter
        columns["inf"] = pa.repeat(pa.scalar(True), n) if filtered.is_empty else pc.fill_null(filtered.mask(batch), False)
        columns["bad"] = _joined(problems, n)
        columns.update(self.compute(batch))
        return pa.RecordBatch.from_pydict(columns)


def _joined(problems: list[tuple[pa.Array, str]], n: int) -> pa.Array:
    """One text per row: field, value and message of every conversion that failed; null where all is well."""
    if not problems:
        return pa.nulls(n, pa.string())
    whole: list[str | None] = [None] * n
    for errors, name in problems:
        for row, message in enumerate(errors.to_pylist()):
            if message:
                line = f"{name}\x1f{message}"
                whole[row] = line if whole[row] is None else f"{whole[row]}\x1e{line}"
    return pa.array(whole, pa.string())


def staged_form(array: pa.Array, staged: StagedColumn, rulebook: RuleBook) -> tuple[pa.Array, pa.Array | None]:
    """`array` in the form of `staged`, and per row the message of what could not be put into it (None: all could)."""
    errors: pa.Array | None = None
    if staged.rule:
        text = as_text(array, staged.source)
        text, bad = rulebook.apply_array(staged.rule, text)
        if bad:
            errors = pa.array(
                [f"{value}\x1f{bad[i]}" if i in bad else None for i, value in enumerate(text.to_pylist())], pa.string()
            )
        array, more = convert(text, Column(name="", column="", type="text"), staged.target)
        errors = more if errors is None else errors
    elif staged.source.kind != staged.target.kind or staged.source.kind == "decimal":
        array, errors = convert(array, staged.source, staged.target)
    if staged.code:
        array = pc.utf8_upper(pc.utf8_trim(array, " "))
    if staged.cut is not None and needs_cut(array, staged.cut):
        array = pc.utf8_slice_codeunits(array, 0, staged.cut)
    return array, errors


def needs_cut(array: pa.Array, length: int) -> bool:
    """Whether any text is longer than `length` characters."""
    if not len(array):
        return False
    # bytes bound characters from above, and are free to measure
    if (pc.max(pc.binary_length(array)).as_py() or 0) <= length:
        return False
    return bool((pc.max(pc.utf8_length(array)).as_py() or 0) > length)


def as_text(array: pa.Array, column: Column) -> pa.Array:
    """Canonical text: decimals plain and without trailing zeros, booleans true/false, dates and times ISO, blank ''."""
    kind = column.kind
    if kind in TEXTUAL:
        return pc.fill_null(array, "")
    if kind == "option" and column.options:
        labels = {o.value: o.label.strip() for o in column.options}
        values = array.to_pylist()
        return pa.array(["" if v is None else labels.get(v, str(v)) for v in values], pa.string())
    if kind == "decimal":
        return pa.array(["" if v is None else plain(v) for v in array.to_pylist()], pa.string())
    if kind == "datetime":
        return pc.fill_null(pc.strftime(array, "%Y-%m-%dT%H:%M:%SZ"), "")
    return pc.fill_null(pc.cast(array, pa.string()), "")


def plain(value: Decimal) -> str:
    """A decimal without exponent and without trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def convert(array: pa.Array, source: Column, target: Column) -> tuple[pa.Array, pa.Array | None]:
    """`array` of `source`'s kind as `target`'s kind; the second array tells per row what could not be converted."""
    wanted = arrow_type(target)
    if array.type == wanted:
        return array, None
    if target.kind in TEXTUAL:
        return as_text(array, source), None
    if source.kind == "decimal" and target.kind == "decimal":
        rounded = (
            pc.round(array, ndigits=wanted.scale, round_mode="half_towards_infinity") if array.type.scale > wanted.scale else array
        )
        return pc.cast(rounded, wanted), None
    values = array.to_pylist() if source.kind not in TEXTUAL else as_text(array, source).to_pylist()
    known: dict[object, tuple[object, str | None]] = {}
    for value in values:
        if value not in known:
            known[value] = _parse(value, target)
    converted = [known[v] for v in values]
    failed = any(message for _, message in converted)
    errors = pa.array([m for _, m in converted], pa.string()) if failed else None
    return pa.array([v for v, _ in converted], wanted), errors


def _parse(value: object, target: Column) -> tuple[object, str | None]:
    """One value as `target`'s kind. Options accept a number, a label, or a label without its blanks."""
    import datetime as dt

    text = str(value).strip() if value is not None else ""
    if not text:
        return None, None
    try:
        match target.kind:
            case "integer":
                return int(Decimal(text).to_integral_exact()), None
            case "decimal":
                return Decimal(text).quantize(Decimal(1).scaleb(-(DEFAULT_SCALE if target.scale is None else target.scale))), None
            case "boolean":
                return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.casefold()], None
            case "option":
                labels = {o.label.strip().casefold(): o.value for o in target.options}
                return (labels[text.casefold()] if text.casefold() in labels else int(text)), None
            case "date":
                return dt.date.fromisoformat(text[:10]), None
            case "datetime":
                moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
                return (moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment), None
            case "time":
                return dt.time.fromisoformat(text), None
    except (ValueError, KeyError, InvalidOperation):
        pass
    return None, f"{text}\x1fis not a {target.kind}"
