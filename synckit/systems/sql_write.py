"""Writing to a database: guarded executemany inside a SAVEPOINT, bisected until the guilty rows are alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from synckit.mapping.schema import Column, Table
from synckit.systems.canonical import NotConvertible, to_canonical
from synckit.systems.protocol import Outcome, Write
from synckit.systems.secrets import scrub
from synckit.systems.sql_read import KEYS_AT_ONCE, Layout, _array, bound, physical_of
from synckit.systems.sql_values import Physical, asked, shape_of, to_stored

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


@dataclass(frozen=True)
class _Row:
    """One Write, translated: position in the caller's list, its parameters, and what it may be sent together with."""

    position: int
    write: Write
    together: tuple[Any, ...]
    parameters: dict[str, Any]


class SqlWriter:
    """One write transaction on one connection; see protocol.Writer."""

    def __init__(self, connection: sa.Connection, system: SqlSystem, layout: Callable[[Table], Layout], url: sa.URL) -> None:
        self._connection = connection
        self._system = system
        self._dialect = url.get_backend_name()
        self._layout = layout
        self._url = url
        self._targets: dict[tuple[str, str], _Target] = {}

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
            groups.setdefault((segment, *row.together), []).append(row)
        for rows in groups.values():
            if rows[0].write.op == "insert" and rows[0].write.key is None:
                for row in rows:
                    outcomes[row.position] = self._insert_drawn(target, row)
            else:
                self._send(target, rows, outcomes)
        return self._with_tokens(target, [outcomes[position] for position in range(len(writes))], writes)

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

    def _store(self, target: _Target, name: str, value: Any) -> Any:
        column = target.table.column(name)
        stored = physical_of(target.layout, target.table, column)
        shape = target.shapes.get(column.column, ("T", 3, "Z"))
        return to_stored(value, column, stored, self._system.schema, self._dialect, shape)

    def _translate(self, target: _Target, position: int, write: Write) -> _Row:
        parameters: dict[str, Any] = {}
        names = []
        version = target.layout.version if target.clock is not None else None
        for number, (name, value) in enumerate(write.values.items()):
            stored = physical_of(target.layout, target.table, target.table.column(name)).name
            if stored == version or (write.op == "insert" and write.key is not None and stored == target.key_stored.name):
                continue
            names.append(stored)
            parameters[f"v{number}"] = self._store(target, name, value)
        names_at = tuple((stored, parameter) for stored, parameter in zip(names, parameters, strict=True))
        if write.key is not None:
            parameters["key"] = self._store(target, target.key.name, write.key)
        if write.op != "insert" and write.token is not None:
            parameters["token"] = write.token
        expected = []
        for number, (name, value) in enumerate((write.expect or {}).items() if write.op != "insert" else ()):
            stored_column = physical_of(target.layout, target.table, target.table.column(name))
            expected.append((stored_column.name, f"e{number}", value is None))
            if value is not None:
                parameters[f"e{number}"] = self._store(target, name, value)
        together = (write.op, write.key is None, names_at, write.token is not None, tuple(expected))
        return _Row(position, write, together, parameters)

    # --- sending -----------------------------------------------------------------------------------------------------------------

    def _send(self, target: _Target, rows: list[_Row], outcomes: dict[int, Outcome]) -> None:
        """One group; on a wrong row count or an error the SAVEPOINT is rolled back and each half tried alone."""
        pending = [rows]
        while pending:
            part = pending.pop()
            statement = self._statement(target, part[0])
            savepoint = self._connection.begin_nested()
            error, hit = "", len(part)
            try:
                result = self._connection.execute(statement, [row.parameters for row in part])
                if part[0].write.op != "insert":
                    hit = result.rowcount
            except (SQLAlchemyError, OverflowError, UnicodeError) as problem:
                if isinstance(problem, DBAPIError) and problem.connection_invalidated:
                    raise
                error = self._words(problem)
            if not error and hit == len(part):
                savepoint.commit()
                for row in part:
                    outcomes[row.position] = Outcome("done", row.write.key)
                continue
            savepoint.rollback()
            if len(part) > 1:
                middle = len(part) // 2
                pending += [part[middle:], part[:middle]]
            elif error:
                outcomes[part[0].position] = Outcome("failed", part[0].write.key, error=error)
            elif hit == 0:
                outcomes[part[0].position] = Outcome("stale", part[0].write.key)
            else:
                outcomes[part[0].position] = Outcome("failed", part[0].write.key, error=f"{hit} rows have this key; nothing was written.")

    def _statement(self, target: _Target, row: _Row) -> Any:
        op, _, names_at, has_token, expected = row.together
        columns = target.source.c
        values: dict[str, Any] = {name: sa.bindparam(parameter) for name, parameter in names_at}
        if op != "delete" and target.clock is not None and target.layout.version is not None:
            values[target.layout.version] = target.clock
        if op == "insert":
            if row.write.key is not None:
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
        statement = self._statement(target, row).returning(target.source.c[target.key_stored.name])
        savepoint = self._connection.begin_nested()
        try:
            key = self._connection.execute(statement, row.parameters).scalar_one()
        except (SQLAlchemyError, OverflowError, UnicodeError) as problem:
            savepoint.rollback()
            return Outcome("failed", None, error=self._words(problem))
        savepoint.commit()
        return Outcome("done", self._canonical_key(target, [str(key)])[0])

    def _words(self, problem: Exception) -> str:
        """The database's own words on one line, without secrets."""
        original = getattr(problem, "orig", None) or problem
        arguments = getattr(original, "args", ())
        if self._dialect == "mariadb" and len(arguments) > 1:
            original = arguments[1]
        return scrub(original, self._url) or type(problem).__name__

    # --- reading back ------------------------------------------------------------------------------------------------------------

    def _with_tokens(self, target: _Target, outcomes: list[Outcome], writes: Sequence[Write]) -> list[Outcome]:
        if target.layout.version is None:
            return outcomes
        alive = [
            outcome.key for outcome, write in zip(outcomes, writes, strict=True) if outcome.state == "done" and write.op != "delete"
        ]
        tokens = self._tokens(target, [key for key in alive if key is not None])
        return [
            replace(outcome, token=tokens.get(outcome.key)) if outcome.state == "done" and outcome.key is not None else outcome
            for outcome in outcomes
        ]

    def _tokens(self, target: _Target, keys: Iterable[str]) -> dict[str, str | None]:
        known: dict[str, str | None] = {}
        key = sa.column(target.key_stored.name)
        token = sa.null() if target.layout.version is None else self._token(target)
        ask = asked(self._dialect, target.key, target.key_stored)
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), KEYS_AT_ONCE):
            part, spelling = [], {}
            for given in wanted[start : start + KEYS_AT_ONCE]:
                try:
                    stored = self._store(target, target.key.name, given)
                except (ValueError, ArithmeticError):
                    continue  # not of the key's kind: names no row
                spelling[given.lower() if target.key.kind == "guid" else given] = given
                part.append(bound(self._dialect, target.key_stored, stored))
            if not part:
                continue
            question = sa.select(ask.expression.label("c0"), token.label("c1")).select_from(target.source).where(key.in_(part))
            rows = self._connection.execute(question).all()
            found = to_canonical(_array([row[0] for row in rows], ask.arrives), target.key)
            for canonical, row in zip(found.to_pylist(), rows, strict=True):
                known[spelling.get(str(canonical), str(canonical))] = None if row[1] is None else str(row[1])
        return known

    def _canonical_key(self, target: _Target, keys: list[str]) -> list[str]:
        import pyarrow as pa

        return [str(key) for key in to_canonical(pa.array(keys, pa.string()), target.key).to_pylist()]
