"""The rows of both sides as one pool: per field a code per row into the distinct normal forms, -1 where the value is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError

from .meaning import FAMILY_OF, infer_meaning
from .normalise import BLANKS, FORM_OF, fold

Ints = np.ndarray
Floats = np.ndarray


@dataclass(frozen=True)
class FieldPair:
    """One field to compare: its name and its column on each side. `meaning` is inferred where None."""

    name: str
    a_column: str
    b_column: str
    meaning: str | None = None


@dataclass(frozen=True)
class Field:
    """One compared field of the pool. `codes[row]` points into `forms`; `counts` says how many rows hold each form."""

    name: str
    meaning: str
    codes: Ints
    forms: list[str]
    counts: Ints

    @property
    def family(self) -> str:
        """Fields of one family may hold each other's values."""
        return FAMILY_OF.get(self.meaning, self.name)


@dataclass(frozen=True)
class Pool:
    """Rows 0 .. size_a-1 are side a, the rest side b."""

    keys: list[str]
    size_a: int
    fields: list[Field]

    @property
    def size(self) -> int:
        return len(self.keys)

    @cached_property
    def row_of(self) -> dict[tuple[int, str], int]:
        """(0 for side a, 1 for side b; key) -> row."""
        return {(int(row >= self.size_a), key): row for row, key in enumerate(self.keys)}

    @property
    def side(self) -> Ints:
        """0 for rows of a, 1 for rows of b."""
        return (np.arange(self.size) >= self.size_a).astype(np.int8)


def column_of(table: pa.Table, name: str, side: str) -> pa.ChunkedArray:
    """The column as strings; SynckitError where the table has no such column."""
    if name not in table.column_names:
        raise SynckitError(f"side {side} of the comparison has no column {name!r}; it has {', '.join(table.column_names)}.")
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column, format="%Y-%m-%d")
    return column.cast(pa.string())


def pool_of(a: pa.Table, b: pa.Table | None, fields: Sequence[FieldPair], key: str = "key") -> Pool:
    """The pool of both tables (b None: one table against itself). Keys must be filled and unique within a side."""
    tables = [("a", a)] if b is None else [("a", a), ("b", b)]
    keys: list[str] = []
    for side, table in tables:
        own = column_of(table, key, side).to_pylist()
        if None in own or len(set(own)) < len(own):
            raise SynckitError(f"side {side} of the comparison has a row without key, or the same key twice, in column {key!r}.")
        keys += own
    made = []
    for pair in fields:
        if pair.meaning is not None and pair.meaning not in FORM_OF:
            raise SynckitError(f"field {pair.name!r}: the meaning {pair.meaning!r} is unknown; write one of {', '.join(FORM_OF)}.")
        columns = [column_of(table, pair.a_column if side == "a" else pair.b_column, side) for side, table in tables]
        values = pa.chunked_array([chunk for column in columns for chunk in column.chunks], type=pa.string())
        made.append(_field(pair, values))
    return Pool(keys, a.num_rows, made)


def _field(pair: FieldPair, values: pa.ChunkedArray) -> Field:
    raw_codes, raw = pd.factorize(values.to_numpy(zero_copy_only=False), use_na_sentinel=True)
    distinct = [str(value) for value in raw]
    blank = [len(value) < 20 and fold(value) in BLANKS for value in distinct]
    filled = [value for value, empty in zip(distinct, blank, strict=True) if not empty]
    step = max(1, len(filled) // 500)
    meaning = pair.meaning or infer_meaning(f"{pair.name} {pair.a_column} {pair.b_column}", filled[::step])
    form_of = FORM_OF[meaning]
    forms = np.array(["" if empty else form_of(value) for value, empty in zip(distinct, blank, strict=True)] or [""], dtype=object)
    form_codes, unique_forms = pd.factorize(forms, sort=True)
    row_codes = np.where(raw_codes >= 0, form_codes[raw_codes], -1) if len(distinct) else np.full(len(raw_codes), -1)
    if len(unique_forms) and unique_forms[0] == "":  # sorted, so the empty form can only be the first
        unique_forms, row_codes = unique_forms[1:], np.where(row_codes >= 0, row_codes - 1, -1)
    counts = np.bincount(row_codes[row_codes >= 0], minlength=len(unique_forms))
    return Field(pair.name, meaning, row_codes.astype(np.int64), [str(form) for form in unique_forms], counts)
