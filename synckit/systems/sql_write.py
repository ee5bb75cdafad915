"""Writing to a database: guarded executemany inside a SAVEPOINT, bisected until the guilty rows are alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import SQLAlchemyError

from synckit.mapping.schema import Column, Table
from synckit.systems.canonical import NotConvertible, to_canonical
from synckit.systems.protocol import Outcome, Write, Writes
from synckit.systems.secrets import scrub
from synckit.systems.sql_read import KEYS_AT_ONCE, KEYS_IN_JSON, Layout, bound, keys_of_json, physical_of, stored_as_given
from synckit.systems.sql_trouble import kind_of
from synckit.systems.sql_values import Physical, as_is_or, asked, shape_of, to_stored

if TYPE_CHECKING:
    from synckit.systems.sql import SqlSystem


@dataclass(frozen=True)
class _Target:
    """A table as the writer needs it. `clock` is the expression for its version column where synckit keeps it."""

    table: Table
    layout: Layout
    source: sa.Table
    key: Column
    key_stored: Physical
    shapes: dict[str, tuple[str, int, str]]
    clock: sa.ColumnElement[Any] | None
    places: dict[str, tuple[str, Callable[[Any], Any] | None]] = field(default_factory=dict)  # field -> stored column, how to store
    prepared: dict[Any, _Prepared] = field(default_factory=dict)
    known_shapes: dict[Any, _Shape] = field(default_factory=dict)


@dataclass(frozen=True)
class _Prepared:
    """A statement compiled once: its text, and how to pick its parameters out of a row's values and the constants behind them."""

    sql: str
    order: tuple[int, ...]
    constants: list[Any]

    @cached_property
    def _pick(self) -> Callable[[list[Any]], Any]:
        return itemgetter(*self.order) if self.order else tuple

    def bind(self, values: list[Any]) -> tuple[Any, ...]:
        found = self._pick(values + self.constants)
        return found if type(found) is tuple else (found,)

    def bind_all(self, columns: list[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The parameters of many rows, given as columns."""
        rows = len(columns[0])
        known = [*columns, *([constant] * rows for constant in self.constants)]
        return list(zip(*(known[place] for place in self.order), strict=True))


@dataclass(frozen=True)
class _Shape:
    """What writes of the same operation, columns and guard share: the fields that are stored and how, and the values' names."""

    together: tuple[Any, ...]
    fields: tuple[tuple[str, Callable[[Any], Any] | None], ...]
    expects: tuple[tuple[str, Callable[[Any], Any] | None], ...]
    names: tuple[str, ...]


class _Row(NamedTuple):
    """One Write, translated: position in the caller's list, its parameters, and what it may be sent together with."""

    position: int
    write: Write
    shape: _Shape
    values: list[Any]


class SqlWriter:
    """One write transaction on one connection; see protocol.Writer."""

    def __init__(
        self,
        connection: sa.Connection,
        system: SqlSystem,
        layout: Callable[[Table], Layout],
        url: sa.URL,
        targets: dict[tuple[str, str], _Target] | None = None,
    ) -> None:
        """`targets`: what earlier writers of the same connection have found out about tables."""
        self._connection = connection
        self._system = system
        self._dialect = url.get_backend_name()
        self._layout = layout
        self._url = url
        self._targets: dict[tuple[str, str], _Target] = {} if targets is None else targets

    def write(self, table: Table, key_column: str, writes: Sequence[Write]) -> list[Outcome]:
        """See protocol. Rows that share operation, columns and guard are sent together; a change of operation keeps its place."""
        target = self._target(table, key_column)
        outcomes: dict[int, Outcome] = {}
        groups: dict[tuple[Any, ...], list[_Row]] = {}
        segment, last = 0, ""
        for position, write in enumerate(writes):
            if write.op != last:
                segment, last = segment + 1, write.op
            try:
                row = self._translate(target, position, write)
            except (ValueError, ArithmeticError, NotConvertible) as problem:
                outcomes[position] = Outcome("failed", write.key, error=f"A value cannot be stored: {problem}")
                continue
            groups.setdefault((segment, row.shape.together), []).append(row)
        for rows in groups.values():
            if rows[0].write.op == "insert" and rows[0].write.key is None:
                for row in rows:
                    outcomes[row.position] = self._insert_drawn(target, row)
            else:
                prepared = self._prepare(target, rows[0].write, rows[0].shape)
                refused = self._send(
                    prepared, rows[0].write.op, [prepared.bind(row.values) for row in rows], [row.write.key for row in rows]
                )
                outcomes.update({row.position: refused.get(n) or Outcome("done", row.write.key) for n, row in enumerate(rows)})
        return self._with_tokens(target, [outcomes[position] for position in range(len(writes))], writes)

    def write_many(self, table: Table, key_column: str, writes: Writes) -> tuple[list[str | None], dict[int, Outcome]]:
        """See protocol. Values never stand in objects of their own: columns in, columns to the driver."""
        target = self._target(table, key_column)
        refused: dict[int, Outcome] = {}
        for rows in _alike(writes):
            part = writes if len(rows) == len(writes.keys) else writes.take(rows)
            example = part.row(0)
            blanks = tuple((name, value is None) for name, value in (example.expect or {}).items())
            shape = self._new_shape(target, example, blanks)
            expect = part.expect or {}
            try:
                given = stored_as_given(self._dialect, target.key, target.key_stored, self._system.schema, part.keys)
                columns = [*(_stored(part.values[name], store) for name, store in shape.fields),
                           _stored(part.keys, None if given else target.places[target.key.name][1]), *([] if part.tokens is None or part.op == "insert" else [part.tokens]),
                           *(_stored(expect[name], store) for name, store in shape.expects)]  # fmt: skip
            except (ValueError, ArithmeticError, NotConvertible):  # some value cannot be stored: row by row it shows which
                for n, outcome in enumerate(self.write(table, key_column, [part.row(n) for n in range(len(rows))])):
                    if outcome.state != "done":
                        refused[rows[n]] = outcome
                continue
            prepared = self._prepare(target, example, shape)
            found = self._send(prepared, part.op, prepared.bind_all(columns), part.keys)
            refused.update({rows[n]: outcome for n, outcome in found.items()})
        if target.layout.version is None or writes.op == "delete":
            return [None] * len(writes.keys), refused
        tokens = self._tokens(target, writes.keys)
        return [None if n in refused else tokens.get(key) for n, key in enumerate(writes.keys)] if refused else list(
            map(tokens.get, writes.keys)
        ), refused

    def versions(self, table: Table, key_column: str, keys: Sequence[str]) -> dict[str, str | None]:
        target = self._target(table, key_column)
        return self._tokens(target, keys)

    # --- translating -------------------------------------------------------------------------------------------------------------

    def _target(self, table: Table, key_column: str) -> _Target:
        known = self._targets.get((table.name, key_column))
        if known is not None:
            return known
        layout = self._layout(table)
        key = table.column(key_column)
        shapes: dict[str, tuple[str, int, str]] = {}
        for column in table.columns:
            stored = layout.stored.get(column.column)
            if column.kind == "datetime" and stored is not None and (self._dialect == "sqlite" or stored.nature == "text"):
                shapes[column.column] = self._shape(layout, column.column)
        version = layout.version
        clock = None
        if version is not None and self._system.config.version.kept_by == "synckit":
            shapes.setdefault(version, self._shape(layout, version))
            clock = self._clock(layout.stored[version], shapes[version])
        columns = (sa.Column(name, sa.types.NullType()) for name in layout.stored)
        source = sa.Table(layout.source.name, sa.MetaData(), *columns, schema=layout.source.schema)
        target = _Target(table, layout, source, key, physical_of(layout, table, key), shapes, clock)
        self._targets[table.name, key_column] = target
        return target

    def _shape(self, layout: Layout, column: str) -> tuple[str, int, str]:
        here: Any = sa.column(column)
        example = sa.select(here).select_from(layout.source).where(here.is_not(None), sa.cast(here, sa.CHAR(64)) != "").limit(1)
        if self._dialect == "sqlite":
            example = sa.select(here).select_from(layout.source).where(here != "").limit(1)
        found = self._connection.execute(example).scalar()
        return shape_of(found if isinstance(found, str) else None)

    def _clock(self, stored: Physical, shape: tuple[str, int, str]) -> sa.ColumnElement[Any]:
        """The server's clock as the version column holds it: UTC, in the column's own spelling where that is text."""
        separator, digits, ending = shape
        if self._dialect == "sqlite":
            seconds = "%f" if digits else "%S"
            more = "0" * max(digits - 3, 0)
            return sa.func.strftime(f"%Y-%m-%d{separator}%H:%M:{seconds}{more}{ending}", "now")
        if self._dialect == "postgresql":
            moment = sa.func.clock_timestamp()
            if stored.nature == "text":
                fraction = {0: "", 3: ".MS"}.get(digits, ".US")
                return sa.func.to_char(
                    sa.func.timezone("UTC", moment), f'YYYY-MM-DD"{separator}"HH24:MI:SS{fraction}"{ending}"' if ending else
                    f'YYYY-MM-DD"{separator}"HH24:MI:SS{fraction}'
                )  # fmt: skip
            return moment if stored.nature == "datetime tz" else sa.func.timezone("UTC", moment)
        if stored.nature == "text":
            pattern = f"%Y-%m-%d{separator}%H:%i:%s{'.%f' if digits else ''}{ending}"
            return sa.func.date_format(sa.func.utc_timestamp(sa.literal_column("6")), pattern)
        return sa.func.utc_timestamp(sa.literal_column("6"))

    def _place(self, target: _Target, name: str) -> tuple[str, Callable[[Any], Any] | None]:
        """The stored column of a field, and how its values are stored (None: as they are)."""
        known = target.places.get(name)
        if known is None:
            column = target.table.column(name)
            stored = physical_of(target.layout, target.table, column)
            shape = target.shapes.get(stored.name, shape_of(None))
            store = partial(to_stored, column=column, stored=stored, schema=self._system.schema, dialect=self._dialect, shape=shape)
            how: Callable[[Any], Any] | None = store
            if column.kind in ("text", "code"):
                how = None
            elif column.kind == "guid" and (stored.nature == "uuid" or self._system.schema.guid == "lower"):
                how = partial(as_is_or, store)
            known = target.places[name] = (stored.name, how)
        return known

    def _translate(self, target: _Target, position: int, write: Write) -> _Row:
        expect = write.expect if write.op != "insert" else None
        blanks = tuple([(name, value is None) for name, value in expect.items()]) if expect else ()
        like = (write.op, write.key is None, tuple(write.values), write.token is None, blanks)
        shape = target.known_shapes.get(like)
        if shape is None:
            shape = target.known_shapes[like] = self._new_shape(target, write, blanks)
        given = write.values
        values = [given[name] if store is None else store(given[name]) for name, store in shape.fields]
        if write.key is not None:
            store = target.places[target.key.name][1]
            values.append(write.key if store is None else store(write.key))
        if write.op != "insert" and write.token is not None:
            values.append(write.token)
        if expect:
            values += [expect[name] if store is None else store(expect[name]) for name, store in shape.expects]
        return _Row(position, write, shape, values)

    def _new_shape(self, target: _Target, write: Write, blanks: tuple[tuple[str, bool], ...]) -> _Shape:
        self._place(target, target.key.name)
        version = target.layout.version if target.clock is not None else None
        own_key = target.key_stored.name if write.op == "insert" and write.key is not None else None
        kept = [name for name in write.values if self._place(target, name)[0] not in (version, own_key)]
        fields = tuple((name, self._place(target, name)[1]) for name in kept)
        columns = tuple(self._place(target, name)[0] for name in kept)
        guarded = write.op != "insert" and write.token is not None
        expected = tuple((self._place(target, name)[0], f"e{number}", blank) for number, (name, blank) in enumerate(blanks))
        names = [f"v{number}" for number in range(len(kept))] + ["key"] * (write.key is not None) + ["token"] * guarded
        names += [parameter for _, parameter, blank in expected if not blank]
        expects = tuple((name, self._place(target, name)[1]) for name, blank in blanks if not blank)
        return _Shape((write.op, write.key is None, columns, guarded, expected), fields, expects, tuple(names))

    # --- sending -----------------------------------------------------------------------------------------------------------------

    def _send(self, prepared: _Prepared, op: str, rows: list[tuple[Any, ...]], keys: Sequence[str | None]) -> dict[int, Outcome]:
        """One group, all or nothing; on a wrong row count or an error the SAVEPOINT is rolled back and each half tried alone. Returns the
        outcomes of the rows that were not written, by position."""
        refused: dict[int, Outcome] = {}
        pending = [(0, rows)]
        while pending:
            first, part = pending.pop()
            savepoint = self._connection.begin_nested()
            error, hit = "", len(part)
            try:
                result = self._connection.exec_driver_sql(prepared.sql, part)
                if op != "insert":
                    hit = result.rowcount
            except (SQLAlchemyError, OverflowError, UnicodeError) as problem:
                if kind_of(problem):
                    raise
                error = self._words(problem)
            if not error and hit == len(part):
                savepoint.commit()
                continue
            savepoint.rollback()
            if len(part) > 1:
                middle = len(part) // 2
                pending += [(first + middle, part[middle:]), (first, part[:middle])]
            elif error:
                refused[first] = Outcome("failed", keys[first], error=error)
            elif hit == 0:
                refused[first] = Outcome("stale", keys[first])
            else:
                refused[first] = Outcome("failed", keys[first], error=f"{hit} rows have this key; nothing was written.")
        return refused

    def _prepare(self, target: _Target, write: Write, shape: _Shape) -> _Prepared:
        known = target.prepared.get(shape.together)
        if known is None:
            known = target.prepared[shape.together] = self._compile(self._statement(target, write, shape), shape.names)
        return known

    def _compile(self, statement: Any, names: Sequence[str]) -> _Prepared:
        """The text as the driver takes it, parameters by position. (With thousands of rows, SQLAlchemy's own way from row to driver
        costs more than the rows.) `names`: what the values of a row are called, in their order."""
        dialect = self._connection.dialect
        if not dialect.positional:
            dialect = type(dialect)(paramstyle="format")  # type: ignore[call-arg]
        compiled = statement.compile(dialect=dialect)
        constants = [name for name in compiled.params if name not in names]
        places = {name: index for index, name in enumerate([*names, *constants])}
        order = [places[name] for name in compiled.positiontup]
        return _Prepared(str(compiled), tuple(order), [compiled.params[name] for name in constants])

    def _statement(self, target: _Target, write: Write, shape: _Shape) -> Any:
        op, _, names_at, has_token, expected = shape.together
        columns = target.source.c
        values: dict[str, Any] = {name: sa.bindparam(f"v{number}") for number, name in enumerate(names_at)}
        if op != "delete" and target.clock is not None and target.layout.version is not None:
            values[target.layout.version] = target.clock
        if op == "insert":
            if write.key is not None:
                values[target.key_stored.name] = sa.bindparam("key")
            return sa.insert(target.source).values(values)
        guard: list[Any] = [columns[target.key_stored.name] == sa.bindparam("key")]
        if has_token and target.layout.version is not None:
            guard.append(self._token(target) == sa.bindparam("token"))
        guard += [self._same(target, name, parameter, blank) for name, parameter, blank in expected]
        if op == "delete":
            return sa.delete(target.source).where(*guard)
        if not values:  # nothing to change: the guard alone decides
            values[target.key_stored.name] = columns[target.key_stored.name]
        return sa.update(target.source).where(*guard).values(values)

    def _token(self, target: _Target) -> sa.ColumnElement[Any]:
        assert target.layout.version is not None
        version = target.layout.stored[target.layout.version]
        column = target.table.find(version.name) or Column(name=version.name, column=version.name)
        text = asked(self._dialect, column, version, token=True).expression
        return text.collate("utf8mb4_bin") if self._dialect == "mariadb" else text

    def _same(self, target: _Target, name: str, parameter: str, blank: bool) -> sa.ColumnElement[bool]:
        """The column still holds the value. Decimals and datetimes kept as text compare as values, whatever their spelling."""
        here: Any = target.source.c[name]
        column = target.table.column(name)
        stored = target.layout.stored[name]
        if blank:
            as_text = column.kind not in ("text", "code") and stored.nature in ("text", "any")
            return sa.or_(here.is_(None), here == "") if as_text and self._dialect != "postgresql" else here.is_(None)
        value: Any = sa.bindparam(parameter)
        if self._dialect == "sqlite":
            if column.kind == "decimal":
                number = sa.types.Numeric()
                return sa.type_coerce(sa.cast(here, number), sa.types.NullType()) == sa.type_coerce(
                    sa.cast(value, number), sa.types.NullType()
                )
            if column.kind == "datetime":
                return sa.func.strftime("%Y-%m-%d %H:%M:%f", here) == sa.func.strftime("%Y-%m-%d %H:%M:%f", value)
            if column.kind == "guid":
                return sa.func.lower(sa.func.trim(here, "{}")) == sa.func.lower(sa.func.trim(value, "{}"))
        if self._dialect == "mariadb" and stored.nature == "text":
            return sa.cast(here, mysql.CHAR()).collate("utf8mb4_bin") == value
        return here == value

    def _insert_drawn(self, target: _Target, row: _Row) -> Outcome:
        """A row whose key the system gives: alone, its key read from the same statement."""
        returning = ("returning", row.shape.together)
        if returning not in target.prepared:
            statement = self._statement(target, row.write, row.shape).returning(target.source.c[target.key_stored.name])
            target.prepared[returning] = self._compile(statement, row.shape.names)
        prepared = target.prepared[returning]
        savepoint = self._connection.begin_nested()
        try:
            key = self._connection.exec_driver_sql(prepared.sql, prepared.bind(row.values)).scalar_one()
        except (SQLAlchemyError, OverflowError, UnicodeError) as problem:
            if kind_of(problem):
                raise
            savepoint.rollback()
            return Outcome("failed", None, error=self._words(problem))
        savepoint.commit()
        return Outcome("done", self._canonical_key(target, str(key)))

    def _words(self, problem: Exception) -> str:
        """The database's own words on one line, without secrets."""
        original = getattr(problem, "orig", None) or problem
        arguments: tuple[Any, ...] = getattr(original, "args", ())
        if self._dialect == "mariadb" and len(arguments) > 1:
            original = arguments[1]
        return scrub(original, self._url) or type(problem).__name__

    # --- reading back ------------------------------------------------------------------------------------------------------------

    def _with_tokens(self, target: _Target, outcomes: list[Outcome], writes: Sequence[Write]) -> list[Outcome]:
        if target.layout.version is None:
            return outcomes
        done = [o.key is not None and o.state == "done" and w.op != "delete" for o, w in zip(outcomes, writes, strict=True)]
        tokens = self._tokens(target, [o.key for o, alive in zip(outcomes, done, strict=True) if alive and o.key is not None])
        return [
            Outcome("done", o.key, tokens.get(o.key)) if alive and o.key is not None else o
            for o, alive in zip(outcomes, done, strict=True)
        ]

    def _tokens(self, target: _Target, keys: Sequence[str]) -> dict[str, str | None]:
        known: dict[str, str | None] = {}
        store = self._place(target, target.key.name)[1]
        given: list[str] = list(dict.fromkeys(keys))
        stored: list[Any] = given
        if not stored_as_given(self._dialect, target.key, target.key_stored, self._system.schema, given):
            given, stored = [], []
            for key in dict.fromkeys(keys):
                with suppress(ValueError, ArithmeticError):  # not of the key's kind: names no row
                    stored.append(key if store is None else store(key))
                    given.append(key)
        in_one_text = keys_of_json(self._dialect, target.key_stored, stored)
        step = KEYS_AT_ONCE if in_one_text is None else KEYS_IN_JSON
        for start in range(0, len(stored), step):
            part = stored[start : start + step]
            if in_one_text is None:
                prepared, values = self._prepared_tokens(target, len(part)), part
            else:
                prepared, values = self._prepared_tokens(target, in_one_text), [json.dumps(part)]
            found = self._connection.exec_driver_sql(prepared.sql, prepared.bind(values)).cursor
            spelled = dict(zip(map(str, part), given[start : start + step], strict=True)) if stored is not given else None
            for key, token in [] if found is None else found.fetchall():
                name = str(key)
                name = name if spelled is None else spelled.get(name, "")
                known[name or self._canonical_key(target, str(key))] = token if token is None else str(token)
        if stored is given and len(known.keys() - set(given)):  # another spelling (a case that the database takes for the same)
            known |= {self._canonical_key(target, key): token for key, token in known.items()}
        return known

    def _prepared_tokens(self, target: _Target, asked_for: int | Callable[[str], sa.Select[Any]]) -> _Prepared:
        """SELECT key, token of so many rows by key, or of those whose keys stand in one text."""
        name = ("tokens", asked_for if isinstance(asked_for, int) else 0)
        if name not in target.prepared:
            key: Any = sa.column(target.key_stored.name)
            here = asked(self._dialect, target.key, target.key_stored).expression
            token = sa.null() if target.layout.version is None else self._token(target)
            question: sa.Select[Any] = sa.select(here.label("c0"), token.label("c1")).select_from(target.source)
            if not isinstance(asked_for, int):
                compiled = question.where(key.in_(asked_for("?")))
                text = next(n for n, value in compiled.compile().params.items() if value == "?")
                target.prepared[name] = self._compile(compiled, [text])
                return target.prepared[name]
            values = []
            for number in range(asked_for):
                like: Any = bound(self._dialect, target.key_stored, 0 if target.key_stored.nature == "integer" else "")
                parameter: Any = sa.bindparam(f"k{number}", type_=like.type if isinstance(like, sa.BindParameter) else sa.Text())
                values.append(sa.cast(parameter, like.type) if isinstance(like, sa.Cast) else parameter)
            target.prepared[name] = self._compile(question.where(key.in_(values)), [f"k{number}" for number in range(asked_for)])
        return target.prepared[name]

    def _canonical_key(self, target: _Target, key: str) -> str:
        return str(to_canonical(pa.array([key], pa.string()), target.key)[0].as_py())


def _stored(values: Sequence[Any], store: Callable[[Any], Any] | None) -> Sequence[Any]:
    return values if store is None else [store(value) for value in values]


def _alike(writes: Writes) -> list[Sequence[int]]:
    """Rows by the columns that are expected to be blank: those are compared in another way."""
    every = range(len(writes.keys))
    mixed = (
        []
        if writes.expect is None or writes.op == "insert"
        else [v for v in writes.expect.values() if None in v and any(one is not None for one in v)]
    )
    if not mixed:
        return [every] if writes.keys else []
    groups: dict[tuple[bool, ...], list[int]] = {}
    for n, values in enumerate(zip(*mixed, strict=True)):
        groups.setdefault(tuple(value is None for value in values), []).append(n)
    return list(groups.values())
