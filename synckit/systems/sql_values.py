"""How each database stores a column and how synckit asks for it: SELECT expressions, physical types, and canonical values to store."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa

from synckit.mapping.schema import Column, Schema
from synckit.systems.canonical import parse_datetime, parse_decimal, parse_guid, scale_of

Affinity = Literal["INTEGER", "TEXT", "BLOB", "REAL", "NUMERIC"]
#: How a datetime text is written: separator, digits of the fraction, ending.
_SHAPE = re.compile(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d(?:\.(\d+))?(Z|\+00:00|\+00)?")


PLAIN_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PLAIN_GUIDS = re.compile(rf"(?:{PLAIN_GUID.pattern}\n)*")  #: many of them, a line each


@dataclass(frozen=True)
class Physical:
    """A column as the database has it. `nature`: what kind of value it stores, whatever the database calls the type."""

    name: str
    declared: str
    nature: Literal[
        "text", "integer", "decimal", "float", "boolean", "date", "datetime", "datetime tz", "time", "uuid", "binary", "any"
    ]
    type: Any = None
    drawn: bool = False


@dataclass(frozen=True)
class Asked:
    """One expression of a SELECT, the Arrow type its values arrive as, and whether they are binary fractions to round."""

    expression: sa.ColumnElement[Any]
    arrives: pa.DataType
    rounds: bool = False


def affinity(declared: str) -> Affinity:
    """SQLite's rules for a declared type."""
    name = declared.upper()
    if "INT" in name:
        return "INTEGER"
    if any(part in name for part in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in name or not name:
        return "BLOB"
    if any(part in name for part in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


def physical(dialect: str, name: str, declared: str, kind: Any = None, drawn: bool = False) -> Physical:
    if dialect == "sqlite":
        natures = {"INTEGER": "integer", "TEXT": "text", "REAL": "float", "NUMERIC": "any", "BLOB": "any"}
        return Physical(name, declared, natures[affinity(declared)], None, drawn)  # type: ignore[arg-type]
    return Physical(name, declared, _nature(declared.upper()), kind, drawn)


def _nature(declared: str) -> Any:
    base = re.split(r"[ (]", declared)[0]
    if base in ("TIMESTAMP", "DATETIME"):
        return "datetime tz" if "WITH TIME ZONE" in declared else "datetime"
    return {
        "INTEGER": "integer", "INT": "integer", "BIGINT": "integer", "SMALLINT": "integer", "TINYINT": "integer", "MEDIUMINT": "integer",
        "SERIAL": "integer", "BIGSERIAL": "integer", "YEAR": "integer",
        "NUMERIC": "decimal", "DECIMAL": "decimal", "MONEY": "any",
        "FLOAT": "float", "REAL": "float", "DOUBLE": "float", "DOUBLE_PRECISION": "float",
        "BOOLEAN": "boolean", "BOOL": "boolean", "DATE": "date", "TIME": "time", "UUID": "uuid",
        "VARCHAR": "text", "CHAR": "text", "NVARCHAR": "text", "NCHAR": "text", "TEXT": "text", "LONGTEXT": "text", "MEDIUMTEXT": "text",
        "TINYTEXT": "text", "CITEXT": "text", "ENUM": "text", "BPCHAR": "text",
        "BLOB": "binary", "LONGBLOB": "binary", "MEDIUMBLOB": "binary", "TINYBLOB": "binary", "BINARY": "binary", "VARBINARY": "binary",
        "BYTEA": "binary",
    }.get(base, "any")  # fmt: skip


def asked(dialect: str, column: Column, stored: Physical, token: bool = False) -> Asked:
    """How to ask for a column's values. `token`: as stored, as text, whatever the kind."""
    here: sa.ColumnElement[Any] = sa.column(stored.name)
    whole = pa.int64()
    if dialect == "sqlite":
        if not token and column.kind in ("integer", "option", "boolean") and stored.nature == "integer":
            return Asked(here, whole)
        if not token and column.kind == "decimal" and stored.nature == "float":
            return Asked(here, pa.float64(), rounds=True)
        return Asked(_sqlite_text(here, stored), pa.string(), rounds=column.kind == "decimal" and stored.nature == "any")
    if stored.nature == "binary":
        return Asked(here, pa.binary())
    if not token:
        if column.kind in ("integer", "option") and stored.nature == "integer":
            return Asked(sa.cast(here, sa.BigInteger) if dialect == "postgresql" else here, whole)
        if column.kind == "boolean" and stored.nature == "integer" and dialect == "mariadb":
            return Asked(here, whole)
        if dialect == "postgresql":
            if column.kind == "boolean" and stored.nature == "boolean":
                return Asked(here, pa.bool_())
            if column.kind == "date" and stored.nature == "date":
                return Asked(here, pa.date32())
            if column.kind == "datetime" and stored.nature in ("datetime", "datetime tz"):
                return Asked(here, pa.timestamp("us", "UTC" if stored.nature == "datetime tz" else None))
    if stored.nature == "text" and dialect == "mariadb":
        return Asked(here, pa.string())
    as_text = sa.Text() if dialect == "postgresql" else sa.CHAR()
    return Asked(sa.cast(here, as_text), pa.string(), rounds=stored.nature == "float")


def _sqlite_text(here: sa.ColumnElement[Any], stored: Physical) -> sa.ColumnElement[Any]:
    """Text of a value of any storage class; a BLOB makes the statement fail (an overflow that is computed only then)."""
    overflow = sa.func.abs(sa.literal_column("-9223372036854775808") + sa.literal_column("0") * sa.func.length(here))
    is_blob = here >= sa.literal_column("x''")
    if stored.nature == "text":
        return sa.case((is_blob, overflow), else_=here)
    if stored.nature == "integer":
        return sa.case((is_blob, overflow), else_=sa.cast(here, sa.Text))
    is_real = sa.func.typeof(here) == sa.literal_column("'real'")
    return sa.case(
        (is_blob, overflow), (is_real, sa.func.printf(sa.literal_column("'%!.15g'"), here)), else_=sa.cast(here, sa.Text)
    )


def spelled(guid: str, schema: Schema) -> str:
    """A canonical GUID in the database's spelling."""
    if schema.guid == "upper":
        return guid.upper()
    return "{" + guid.upper() + "}" if schema.guid == "braces" else guid


def as_is_or(store: Callable[[Any], Any], value: Any) -> Any:
    """A GUID that is spelled canonically already, as it is; anything else through `store`."""
    return value if type(value) is str and PLAIN_GUID.fullmatch(value) else store(value)


def shape_of(example: str | None) -> tuple[str, int, str]:
    """How a text column writes datetimes (separator, fraction digits, ending), after one of its values; by default T, 3 and Z."""
    hit = _SHAPE.fullmatch(example or "")
    return (hit[1], len(hit[2] or ""), hit[3] or "") if hit else ("T", 3, "Z")


def stored_datetime(stamp: datetime, shape: tuple[str, int, str]) -> str:
    separator, digits, ending = shape
    if stamp.microsecond % 1000 and digits < 6:
        digits = 6
    fraction = f".{stamp.microsecond:06d}"[: digits + 1].ljust(digits + 1, "0") if digits else ""
    return f"{stamp:%Y-%m-%d}".rjust(10, "0") + f"{separator}{stamp:%H:%M:%S}{fraction}{ending}"


def to_stored(value: Any, column: Column, stored: Physical, schema: Schema, dialect: str, shape: tuple[str, int, str]) -> Any:
    """A canonical value (or its usual Python form) as the database takes it. Raises ValueError for what is not of the kind."""
    if value is None:
        return None
    kind = column.kind
    if kind in ("text", "code"):
        return value if type(value) is str else str(value)
    if isinstance(value, str) and value == "":
        return "" if stored.nature in ("text", "any") else None
    if kind == "guid":
        guid = value if PLAIN_GUID.fullmatch(str(value)) else parse_guid(str(value))
        return guid if stored.nature == "uuid" else spelled(guid, schema)
    if kind in ("integer", "option"):
        return _as_nature(int(value), stored)
    if kind == "boolean":
        truth = value if isinstance(value, bool) else str(value).casefold() in ("1", "true")
        return truth if stored.nature == "boolean" else _as_nature(int(truth), stored)
    if kind == "decimal":
        number = value if isinstance(value, Decimal) else parse_decimal(str(value), scale_of(column))
        plain = f"{number:f}"
        if dialect == "sqlite":  # text: exact in a TEXT column, and NUMERIC affinity makes it a number by itself
            return plain
        return plain if stored.nature == "text" else float(number) if stored.nature == "float" else number
    if kind == "datetime":
        stamp = value if isinstance(value, datetime) else parse_datetime(str(value))
        if dialect == "sqlite" or stored.nature == "text":
            return stored_datetime(stamp, shape)
        return f"{stamp.isoformat(sep=' ')}+00" if stored.nature == "datetime tz" and dialect == "postgresql" else stamp
    text = value.isoformat() if isinstance(value, date | time) else str(value)
    if kind == "time" and isinstance(value, timedelta):
        text = (datetime(1970, 1, 1) + value).time().isoformat()
    return text


def _as_nature(value: Any, stored: Physical) -> Any:
    if stored.nature == "text":
        return str(value)
    return value
