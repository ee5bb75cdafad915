"""Query results of the ledger as Arrow tables: through ADBC where the ledger is a SQLite file, through a cursor elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from synckit.ledger.database import Database

MOMENT = pa.timestamp("us")  #: naive, UTC
_SQLITE_TYPES = {pa.int64(): sa.Integer, pa.int32(): sa.Integer, pa.int16(): sa.Integer, pa.int8(): sa.Integer, pa.bool_(): sa.Integer,
                 pa.float64(): sa.Float}  # fmt: skip
NOTHING = "\x01"  # no text of the ledger is this


def empty(schema: pa.Schema) -> pa.Table:
    return schema.empty_table()


def fetch(connection: sa.Connection, query: sa.Select, schema: pa.Schema) -> pa.Table:
    """All rows of `query`, whose columns are those of `schema` in its order; moments are parsed from the ledger's text."""
    rows = connection.execute(query).all()
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return as_table(dict(zip(schema.names, columns, strict=True)), schema)


def as_table(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Columns of plain values, as the ledger stores them, as a table of `schema`."""
    arrays = []
    for field in schema:
        values = columns[field.name]
        if field.type == MOMENT:
            arrays.append(pa.array([value or None for value in values], pa.string()).cast(MOMENT))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def fetch_many(database: Database, connection: sa.Connection, query: sa.Select, schema: pa.Schema) -> pa.Table:
    """As `fetch`, for results of a million rows.

    ADBC guesses a column's type from its first rows, so every column is cast in the SELECT and NULL travels as a mark of its own.
    """
    uri = database.read_only_uri()
    if uri is None or not database.is_direct(connection):
        return fetch(connection, query, schema)
    casts = [
        sa.func.coalesce(sa.cast(column, sa.Text), NOTHING).label(field.name)
        if field.type in (pa.string(), MOMENT)
        else sa.cast(column, _SQLITE_TYPES[field.type]).label(field.name)
        for field, column in zip(schema, query.selected_columns, strict=True)
    ]
    sql = str(query.with_only_columns(*casts).compile(connection.engine, compile_kwargs={"literal_binds": True}))
    try:
        import adbc_driver_sqlite.dbapi as adbc

        with adbc.connect(uri) as fast, fast.cursor() as cursor:
            cursor.execute(sql)
            table = cursor.fetch_arrow_table()
    except (adbc_driver_manager.Error, ImportError):
        return fetch(connection, query, schema)  # the same values, slower
    arrays = []
    for field in schema:
        column = table.column(field.name)
        if field.type in (pa.string(), MOMENT) and column.type == pa.string():
            none = pc.equal(column, NOTHING) if field.type == pa.string() else pc.is_in(column, value_set=pa.array([NOTHING, ""]))
            column = pc.if_else(none, pa.scalar(None, pa.string()), column)
        if column.type != field.type:  # booleans arrive as integers; an empty result has integers only
            column = column.cast(field.type)
        arrays.append(column)
    return pa.Table.from_arrays(arrays, schema=schema)
