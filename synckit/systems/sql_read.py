"""Reading a database: one snapshot, and its tables as batches of canonical Arrow values, through ADBC or a streamed cursor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.dialects.postgresql.base import PGDialect

from synckit.errors import SynckitError
from synckit.mapping.schema import Column, Schema, Table, nearest
from synckit.systems.canonical import LOOKS_LIKE, NotConvertible, arrow_type, now, to_canonical
from synckit.systems.protocol import VERSION_TOKEN, Condition
from synckit.systems.sql_values import PLAIN_GUIDS, Asked, Physical, asked, shape_of, to_stored

BATCH_ROWS = 4096  #: small enough to stay in the processor's cache; larger batches measure slower
KEYS_AT_ONCE = 500
KEYS_IN_JSON = 10_000
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": pc.equal, "<>": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip


class Rows(Protocol):
    """Something that runs a SELECT and gives its columns in batches; one statement at a time."""

    def run(self, statement: sa.Select[Any], arrives: Sequence[pa.DataType]) -> Iterator[list[pa.Array]]: ...


class AdbcRows:
    """Through an ADBC connection: rows never become Python objects."""

    def __init__(self, connection: Any, dialect: str) -> None:
        self._connection = connection
        self._sqlite = dialect == "sqlite"
        self._dialect: Any = sqlite.dialect() if self._sqlite else PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

    def run(self, statement: sa.Select[Any], arrives: Sequence[pa.DataType]) -> Iterator[list[pa.Array]]:
        whole: Any = statement
        if self._sqlite:  # the driver takes its types from what it sees first: a row of the right types, dropped below
            literal = {pa.int64(): "0", pa.float64(): "0.0"}
            head: Any = sa.select(*(sa.literal_column(literal.get(t, "''")).label(f"c{i}") for i, t in enumerate(arrives)))
            whole = sa.union_all(head, statement)
        compiled = whole.compile(dialect=self._dialect)
        given = compiled.params  # worked out anew at each look
        values = [given[name] for name in compiled.positiontup or ()]
        with self._connection.cursor() as cursor:
            if self._sqlite:
                cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": BATCH_ROWS})
            cursor.execute(str(compiled), parameters=values or None)
            reader = cursor.fetch_record_batch()
            for (i, field), expected in zip(enumerate(reader.schema), arrives, strict=True):
                if field.type != expected and not (pa.types.is_timestamp(field.type) and pa.types.is_timestamp(expected)):
                    raise TypeError(f"column {i} is {field.type}")
            first = self._sqlite
            for batch in reader:
                kept = batch.slice(1) if first else batch
                first = False
                if kept.num_rows:
                    if self._sqlite:
                        kept.validate(full=True)
                    yield kept.columns


class CursorRows:
    """Through a SQLAlchemy connection with a server-side cursor."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def run(self, statement: sa.Select[Any], arrives: Sequence[pa.DataType]) -> Iterator[list[pa.Array]]:
        with self._connection.execute(
            statement, execution_options={"stream_results": True, "max_row_buffer": BATCH_ROWS}
        ) as result:
            for part in result.partitions(BATCH_ROWS):
                yield [_array(list(values), expected) for values, expected in zip(zip(*part, strict=True), arrives, strict=True)]


def _array(values: list[Any], expected: pa.DataType) -> pa.Array:
    if pa.types.is_integer(expected) or pa.types.is_floating(expected) or pa.types.is_string(expected):
        fits = int if pa.types.is_integer(expected) else float if pa.types.is_floating(expected) else str
        for index, value in enumerate(values):
            if value is not None and not isinstance(value, fits):
                raise NotConvertible(index, value)
    return pa.array(values, expected)


@dataclass(frozen=True)
class Layout:
    """What the snapshot needs to know of one table as it really is."""

    source: sa.TableClause
    stored: dict[str, Physical]
    version: str | None
    lacks_version: str | None = None  #: the version column that the table should have and has not


class SqlSnapshot:
    """One moment of one database. A reader is to be used up (or closed) before the next one is begun."""

    consistent = True

    def __init__(
        self,
        rows: Rows,
        dialect: str,
        schema: Schema,
        layout: Callable[[Table], Layout],
        explain: Callable[[Exception, str], SynckitError],
    ) -> None:
        self.taken_at = now()
        self._rows = rows
        self._dialect = dialect
        self._schema = schema
        self._layout = layout
        self._explain = explain  # driver's exception, what could not be done -> a sentence without secrets

    def count(self, table: Table) -> int:
        statement = sa.select(sa.func.count().label("c0")).select_from(self._layout(table).source)
        try:
            return int(next(self._rows.run(statement, [pa.int64()]))[0][0].as_py())
        except SynckitError:
            raise
        except Exception as problem:
            raise self._failed(table, problem) from None

    def read(
        self,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition] = (),
        keys: Sequence[str] | None = None,
        key_column: str | None = None,
    ) -> pa.RecordBatchReader:
        """See protocol. Raises SynckitError (while reading) for a value that is not of its column's kind, naming an example."""
        layout = self._layout(table)
        plan = _Plan(self._dialect, table, layout, list(columns))
        kept = [condition for condition in where if not plan.pushed(condition)]
        for condition in kept:
            plan.include(table.column(condition.column))
        plan.include(plan.key)
        if keys is None:
            statements = [plan.statement()]
        else:
            statements = [plan.statement(part) for part in self._key_conditions(table, layout, keys, key_column or table.uid)]
        schema = pa.schema([(name, pa.string() if name == VERSION_TOKEN else arrow_type(table.column(name))) for name in columns])
        return pa.RecordBatchReader.from_batches(schema, self._batches(plan, statements, kept, schema))

    def _key_conditions(self, table: Table, layout: Layout, keys: Sequence[str], name: str) -> Iterator[sa.ColumnElement[bool]]:
        column = table.column(name)
        stored = physical_of(layout, table, column)
        here: Any = sa.column(stored.name)
        values: list[Any] = []
        if stored_as_given(self._dialect, column, stored, self._schema, keys):
            values = list(keys)
        else:
            for key in keys:
                with suppress(ValueError, ArithmeticError):  # a key that is not of the kind names no row
                    values.append(to_stored(key, column, stored, self._schema, self._dialect, shape_of(None)))
        in_one_text = keys_of_json(self._dialect, stored, values)
        step = KEYS_AT_ONCE if in_one_text is None else KEYS_IN_JSON
        for start in range(0, len(values), step):
            part = values[start : start + step]
            yield here.in_(
                [bound(self._dialect, stored, v) for v in part] if in_one_text is None else in_one_text(json.dumps(part))
            )

    def _batches(self, plan: _Plan, statements: list[Any], kept: list[Condition], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        arrives = [ask.arrives for ask in plan.asks]
        try:
            for statement in statements:
                for arrays in self._rows.run(statement, arrives):
                    yield self._canonical(plan, arrays, kept, schema)
        except (SynckitError, GeneratorExit):
            raise
        except NotConvertible as problem:
            raise self._diagnose(plan) or self._odd(plan, None, problem.value, None, "") from None
        except Exception as problem:
            raise self._diagnose(plan) or self._failed(plan.table, problem) from None

    def _canonical(self, plan: _Plan, arrays: list[pa.Array], kept: list[Condition], schema: pa.Schema) -> pa.RecordBatch:
        done: dict[str, pa.Array] = {}
        for name, (index, column) in plan.outputs.items():
            if index is None:
                done[name] = pa.nulls(len(arrays[0]) if arrays else 0, pa.string())
            elif name == VERSION_TOKEN:
                done[name] = arrays[index]
            else:
                assert column is not None
                try:
                    done[name] = to_canonical(arrays[index], column, plan.asks[index].rounds)
                except NotConvertible as problem:
                    key = arrays[plan.outputs[plan.key.name][0] or 0][problem.index].as_py()
                    raise self._odd(plan, column, problem.value, key, problem.why) from None
        mask = None
        for condition in kept:
            column = plan.table.column(condition.column)
            hit = holds(done[column.name if column.name in done else condition.column], column, condition)
            mask = hit if mask is None else pc.and_kleene(mask, hit)
        batch = pa.RecordBatch.from_arrays([done[name] for name in schema.names], schema=schema)
        return batch if mask is None else batch.filter(mask)

    def _diagnose(self, plan: _Plan) -> SynckitError | None:
        """The value that made a SQLite read fail: a BLOB, or text where numbers are kept."""
        if self._dialect != "sqlite":
            return None
        for name, (index, column) in plan.outputs.items():
            if index is None:
                continue
            here: Any = sa.column(plan.names[index])
            arrives = plan.asks[index].arrives
            fits = {pa.int64(): ("integer", "null"), pa.float64(): ("real", "integer", "null")}
            kind = sa.func.typeof(here)
            odd = kind == sa.literal_column("'blob'")
            if arrives in fits:
                odd = kind.not_in([sa.literal_column(f"'{word}'") for word in fits[arrives]])
            key = sa.cast(sa.column(plan.names[plan.outputs[plan.key.name][0] or 0]), sa.Text)
            statement = sa.select(key.label("c0"), sa.func.quote(here).label("c1")).select_from(plan.layout.source).where(odd)
            for found in self._rows.run(statement, [pa.string(), pa.string()]):
                value, why = found[1][0].as_py(), ""
                if value.startswith("X'"):
                    why = "it is binary"
                shown = column or plan.table.find(name)
                return self._odd(plan, shown, value.strip("'")[:60], found[0][0].as_py(), why)
        return None

    def _odd(self, plan: _Plan, column: Column | None, value: object, key: object, why: str) -> SynckitError:
        place = f'Table "{plan.table.table}"'
        if column is None:
            column = next((c for _, c in plan.outputs.values() if c is not None and c.kind not in ("text", "code")), plan.key)
        shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
        reason = f" ({why})" if why else ""
        at = f", in the row with {plan.key.name} {key}" if key is not None else ""
        return SynckitError(
            f'{place}, column "{column.column}" holds {shown}{at}: not {LOOKS_LIKE[column.kind]}{reason}. '
            f"Correct the row, or give the column another type in the schema (it is {column.type})."
        )

    def _failed(self, table: Table, problem: Exception) -> SynckitError:
        return self._explain(problem, f'could not be read (table "{table.table}")')


class _Plan:
    """Which expressions a SELECT asks for, and which output comes from which of them (two outputs may share one)."""

    def __init__(self, dialect: str, table: Table, layout: Layout, columns: list[str]) -> None:
        self.dialect, self.table, self.layout = dialect, table, layout
        self.asks: list[Asked] = []
        self.names: list[str] = []
        self.outputs: dict[str, tuple[int | None, Column | None]] = {}
        self.conditions: list[sa.ColumnElement[bool]] = []
        self.key = table.find(table.uid) or table.column(table.primary_key[0])
        self._seen: dict[str, int] = {}
        for name in columns:
            if name == VERSION_TOKEN:
                self._token()
            else:
                self._add(name, table.column(name))

    def include(self, column: Column) -> None:
        if column.name not in self.outputs and column.column in self.layout.stored:
            self._add(column.name, column)
        elif column.name not in self.outputs:
            self.outputs[column.name] = (None, None)

    def _add(self, name: str, column: Column) -> None:
        stored = physical_of(self.layout, self.table, column)
        self.outputs[name] = (self._ask(asked(self.dialect, column, stored), stored), column)

    def _token(self) -> None:
        version = self.layout.version
        if self.layout.lacks_version is not None:
            raise SynckitError(
                f'Table "{self.layout.source.name}" has no column "{self.layout.lacks_version}" to tell versions by; '
                "name the right one under `version: {column: ...}`." + nearest(self.layout.lacks_version, list(self.layout.stored))
            )
        if version is None:
            self.outputs[VERSION_TOKEN] = (None, None)
            return
        stored = self.layout.stored[version]
        ask = asked(self.dialect, self.table.find(version) or Column(name=version, column=version), stored, token=True)
        self.outputs[VERSION_TOKEN] = (self._ask(ask, stored), None)

    def _ask(self, ask: Asked, stored: Physical) -> int:
        same = f"{stored.name}\0{ask.arrives}"
        if same not in self._seen:
            self._seen[same] = len(self.asks)
            self.asks.append(ask)
            self.names.append(stored.name)
        return self._seen[same]

    def statement(self, keys: sa.ColumnElement[bool] | None = None) -> sa.Select[Any]:
        columns = [ask.expression.label(f"c{i}") for i, ask in enumerate(self.asks)]
        statement = sa.select(*columns).select_from(self.layout.source).where(*self.conditions)
        return statement if keys is None else statement.where(keys)

    def pushed(self, condition: Condition) -> bool:
        """Hand the condition to the server where it must answer as synckit would; False: it is (also) to be evaluated here."""
        column = self.table.column(condition.column)
        stored = physical_of(self.layout, self.table, column)
        here: Any = sa.column(stored.name)
        native = stored.nature == {"option": "integer", "guid": "uuid"}.get(column.kind, column.kind)
        native = native or (column.kind == "datetime" and stored.nature == "datetime tz")
        native = native or (column.kind == "boolean" and stored.nature == "integer")
        native = native and (self.dialect != "sqlite" or stored.nature == "integer")
        if condition.op in ("is null", "is not null"):
            if native or column.kind in ("text", "code"):
                self.conditions.append(here.is_(None) if condition.op == "is null" else here.is_not(None))
                return True
            return False
        if native and column.kind not in ("text", "code"):
            values = [
                self._native(column, stored, value) for value in (condition.value if condition.op == "in" else [condition.value])
            ]
            self.conditions.append(here.in_(values) if condition.op == "in" else here.op(condition.op)(values[0]))
            return True
        if self.dialect == "sqlite" and column.kind == "datetime" and condition.op in ("=", "<", "<=", ">", ">="):
            # coarse, a day to either side for offsets: spares most rows of an incremental run; the exact test follows here. The
            # bare column is compared as text (every spelling begins with the date), so that an index on it is of use
            day = canonical_value(condition.value, column).date()
            if condition.op in ("=", ">", ">=") and day.year > 1:
                self.conditions.append(here >= (day - timedelta(days=1)).isoformat())
            if condition.op in ("=", "<", "<=") and day.year < 9998:
                self.conditions.append(here < (day + timedelta(days=2)).isoformat())
        return False

    def _native(self, column: Column, stored: Physical, value: Any) -> sa.ColumnElement[Any]:
        canonical = canonical_value(value, column)
        if stored.nature == "integer":
            canonical = int(canonical)
        return bound(self.dialect, stored, canonical)


def bound(dialect: str, stored: Physical, value: Any) -> sa.ColumnElement[Any]:
    """A bound value of the stored type. Drivers differ in what they take for a number or a date; they agree on text and a cast."""
    if value is None or isinstance(value, bool):
        return sa.bindparam(None, value, unique=True)
    if stored.nature == "integer":
        return sa.bindparam(None, int(value), sa.BigInteger, unique=True)
    if dialect == "sqlite":
        return sa.bindparam(None, value if isinstance(value, int | float | str) else str(value), unique=True)
    text = sa.bindparam(None, value if isinstance(value, str) else str(value), sa.Text, unique=True)
    if dialect == "postgresql":
        casts: dict[str, Any] = {
            "decimal": sa.Numeric(), "date": sa.Date(), "datetime": sa.TIMESTAMP(), "datetime tz": sa.TIMESTAMP(timezone=True),
            "uuid": sa.UUID(), "time": sa.Time(), "float": sa.Double(),
        }  # fmt: skip
    else:
        casts = {"decimal": sa.Numeric(65, 20), "date": sa.Date(), "datetime": mysql.DATETIME(fsp=6), "time": mysql.TIME(fsp=6)}
    if stored.nature == "datetime tz" and isinstance(value, str | type(None)) is False:
        text = sa.bindparam(None, f"{value}+00", sa.Text, unique=True)
    return sa.cast(text, casts[stored.nature]) if stored.nature in casts else text


def stored_as_given(dialect: str, column: Column, stored: Physical, schema: Schema, keys: Sequence[str]) -> bool:
    """Whether canonical keys stand in the database just as they are (thousands are told at once)."""
    if column.kind in ("text", "code"):
        return True
    if column.kind != "guid" or (stored.nature != "uuid" and schema.guid != "lower"):
        return False
    return PLAIN_GUIDS.fullmatch("\n".join([*keys, ""])) is not None


def keys_of_json(dialect: str, stored: Physical, values: Sequence[Any]) -> Callable[[str], sa.Select[Any]] | None:
    """How a server takes thousands of keys in one text instead of one parameter each (ten times as fast); None where it cannot."""
    if not {type(v) for v in values} <= {int, str} or any("\0" in v for v in values if type(v) is str):
        return None
    if dialect == "sqlite":
        return lambda text: sa.select(sa.func.json_each(sa.bindparam(None, text, unique=True)).table_valued("value").c.value)
    kinds: dict[str, Any] = {"uuid": sa.UUID(), "integer": sa.BigInteger(), "text": sa.Text()}
    if dialect != "postgresql" or stored.nature not in kinds:
        return None
    kind = kinds[stored.nature]

    def select(text: str) -> sa.Select[Any]:
        given = sa.cast(sa.bindparam(None, text, sa.Text, unique=True), sa.JSON)
        return sa.select(sa.cast(sa.func.json_array_elements_text(given).table_valued("value").c.value, kind))

    return select


def canonical_value(value: Any, column: Column) -> Any:
    """A condition's value in canonical form (given so, or as text)."""
    if isinstance(value, str):
        try:
            return to_canonical(pa.array([value], pa.string()), column)[0].as_py()
        except NotConvertible:
            raise SynckitError(f'The filter on "{column.name}" compares with {value!r}: not {LOOKS_LIKE[column.kind]}.') from None
    return value


def holds(values: pa.Array, column: Column, condition: Condition) -> pa.Array:
    """The condition over canonical values, as a database answers it: null is neither equal nor unequal to anything."""
    if condition.op == "is null":
        return pc.is_null(values)
    if condition.op == "is not null":
        return pc.is_valid(values)
    if condition.op == "in":
        wanted = pa.array([canonical_value(value, column) for value in condition.value], values.type)
        return pc.and_(pc.is_in(values, value_set=wanted), pc.is_valid(values))
    return _COMPARE[condition.op](values, pa.scalar(canonical_value(condition.value, column), values.type))


def physical_of(layout: Layout, table: Table, column: Column) -> Physical:
    """The stored column behind a schema column; SynckitError where the table does not have it."""
    stored = layout.stored.get(column.column)
    if stored is None:
        stored = next((p for name, p in layout.stored.items() if name.casefold() == column.column.casefold()), None)
    if stored is None:
        raise SynckitError(
            f'Table "{layout.source.name}" has no column "{column.column}" (field "{column.name}" of {table.caption or table.name}).'
            + nearest(column.column, list(layout.stored))
        )
    return stored
