"""What every kind of system offers: consistent reading in Arrow batches, guarded writing with an outcome per row.

The protocol fits a web API as well as a database: version tokens are opaque text carried as stored, reads go by continuation,
a system may be read-only, may have no consistent snapshot, and may draw keys itself.

Canonical values (what `read` yields and `write` takes), by kind of the schema's column:

    text, code   pa.string(), as stored; NULL stays null
    guid         pa.string(), lower case with hyphens and no braces, whatever the spelling in the database
    integer, option  pa.int64()        boolean  pa.bool_()
    decimal      pa.decimal128(38, scale) where the column declares a scale, else pa.decimal128(38, 10); never a float
    date         pa.date32()           time     pa.time64("us")
    datetime     pa.timestamp("us")    naive, UTC

A version column is read twice: `<column>` in its kind (for ordering) and as the pseudo-column VERSION_TOKEN (pa.string(), as stored).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

import pyarrow as pa

from synckit.mapping.schema import Schema, Table

VERSION_TOKEN = "__version__"  #: pseudo-column: the row's version exactly as stored, as text

Comparison = Literal["=", "<>", "<", "<=", ">", ">=", "in", "is null", "is not null"]


@dataclass(frozen=True)
class Condition:
    """A predicate that every engine answers alike (null tests, numbers, dates, GUIDs, option values); conditions are AND-ed."""

    column: str
    op: Comparison
    value: Any = None


@dataclass(frozen=True)
class Write:
    """One row to write, values in canonical form keyed by physical column.

    op "insert": `key` is the new key, or None where the system draws it; "update" and "delete": the row `key` whose version is
    still `token` (None: no version guard) and whose columns still hold `expect` (used where a version token is coarse).
    """

    op: Literal["insert", "update", "delete"]
    key: str | None
    values: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    expect: dict[str, Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one Write: "done" (with the new version token and the key), "stale" (the guard did not hold: changed or
    gone), "failed" (with the database's own words in `error`)."""

    state: Literal["done", "stale", "failed"]
    key: str | None = None
    token: str | None = None
    error: str = ""


@dataclass(frozen=True)
class Writes:
    """Many rows to write alike: as `Write`, with lists of one entry per row instead of values."""

    op: Literal["insert", "update", "delete"]
    keys: Sequence[str]
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    tokens: Sequence[str | None] | None = None
    expect: Mapping[str, Sequence[Any]] | None = None

    def take(self, rows: Sequence[int]) -> Writes:
        """Some of the rows."""

        def some(columns: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
            return {name: [values[n] for n in rows] for name, values in columns.items()}

        tokens = None if self.tokens is None else [self.tokens[n] for n in rows]
        return Writes(
            self.op, [self.keys[n] for n in rows], some(self.values), tokens, None if self.expect is None else some(self.expect)
        )

    def row(self, n: int) -> Write:
        values = {name: column[n] for name, column in self.values.items()}
        expect = None if self.expect is None else {name: column[n] for name, column in self.expect.items()}
        return Write(self.op, self.keys[n], values, None if self.tokens is None else self.tokens[n], expect)


class Snapshot(Protocol):
    """One read-only view of one system. `consistent` is False where the system cannot give all reads one moment in time."""

    consistent: bool
    taken_at: datetime

    def count(self, table: Table) -> int: ...

    def read(
        self,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition] = (),
        keys: Sequence[str] | None = None,
        key_column: str | None = None,
    ) -> pa.RecordBatchReader:
        """Rows of `table` in canonical form, columns in the order asked for (names as in Column.name; VERSION_TOKEN allowed).
        `keys` with `key_column` limits to those rows (any number: split as needed)."""
        ...


class Writer(Protocol):
    """One write transaction. Leaving the context without an exception commits; with one, rolls back."""

    def write(self, table: Table, key_column: str, writes: Sequence[Write]) -> list[Outcome]:
        """Carry out all writes; an outcome each, in their order. Sent as executemany inside a SAVEPOINT; a wrong row count or an
        error rolls back and bisects until the guilty rows are alone. One row's failure never loses another row."""
        ...

    def write_many(self, table: Table, key_column: str, writes: Writes) -> tuple[list[str | None], dict[int, Outcome]]:
        """As `write`, for rows that are written alike: the new version of each row, and the outcomes that are not "done" by position."""
        ...

    def versions(self, table: Table, key_column: str, keys: Sequence[str]) -> dict[str, str | None]:
        """Current version token of each row that exists (a missing key is a row that does not exist)."""
        ...


class System(Protocol):
    """One side. `title` is its display name, `address` where it lies with every secret masked."""

    side: Literal["local", "integration"]
    title: str
    address: str
    schema: Schema
    draws_keys: bool

    @property
    def read_only(self) -> str:
        """'' where it can be written, else a sentence saying why not."""
        ...

    def physical_columns(self, table: Table) -> dict[str, str] | None:
        """Physical column -> database type of the table as it really is, or None where there is no such table."""
        ...

    def make_table(self, table: Table) -> None:
        """Make a table of texts where there is none. Raises SynckitError where that is not possible."""
        ...

    def key_is_drawn(self, table: Table, key_column: str) -> bool:
        """True where the system itself gives the key of a new row (an identity column)."""
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]: ...

    def writer(self) -> AbstractContextManager[Writer]: ...

    def reading(self) -> AbstractContextManager[None]:
        """Snapshots that are opened inside, one after the other, may share a connection; each is a moment of its own as ever."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Writers that are opened inside may share one connection; each is a transaction of its own as ever."""
        ...

    def identity(self) -> str:
        """A stable text naming this system's data (not its password), so that a plan made for one system is refused by another."""
        ...

    def close(self) -> None: ...


def batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The non-empty batches of a reader."""
    return (batch for batch in reader if batch.num_rows)
