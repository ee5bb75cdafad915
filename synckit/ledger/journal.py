"""The journal of many writes at once: what a chunk is about to send as one Arrow batch in one row, and what became of it as another."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from zlib import crc32

import numpy as np
import pyarrow as pa

#: Stands where a write does not concern a column (None is a value: blank).
ABSENT: Final = type("Absent", (), {"__repr__": lambda self: "ABSENT"})()
#: Columns that are the same for all writes of a batch.
COMMON = ("run_id", "job_id", "mapping", "direction", "step", "side", "table_name", "op")
_TEXTS = ("source_key", "local_key", "integration_key", "source_token", "token_before")
_TYPES: dict[frozenset[type], pa.DataType] = {
    frozenset(): pa.string(),
    frozenset({str}): pa.string(),
    frozenset({bool}): pa.bool_(),
    frozenset({int}): pa.int64(),
}
_NOTHING = frozenset({type(None), type(ABSENT)})
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class Batch:
    """Writes that share run, job, mapping, direction, step, side, table and operation; every list has one entry per write.

    `seq` are lines of the plan; `before` and `after` hold per column canonical values, ABSENT where a write does not touch it.
    """

    common: Mapping[str, Any]
    seq: Sequence[int]
    source_key: Sequence[str | None]
    local_key: Sequence[str | None]
    integration_key: Sequence[str | None]
    source_token: Sequence[str | None]
    token_before: Sequence[str | None]
    before: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    after: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass
class Outcomes:
    """What became of a batch: the new versions by position, and (state, error) of every write that was not "done" (or is still an
    "intent"). `keys`: keys that the system gave, by position."""

    tokens: list[str | None]
    other: dict[int, tuple[str, str]] = field(default_factory=dict)
    keys: dict[int, str] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        return all(state != "intent" for state, _ in self.other.values())


def plain(value: object) -> str:
    """A canonical value that JSON has no word for, as text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} cannot stand in the journal")


encode = json.JSONEncoder(default=plain, sort_keys=True, separators=(",", ":")).encode


def key_hash(key: str) -> int:
    return crc32(key.encode())


def hashes(batch: Batch) -> bytes:
    """Four bytes per key of either side: enough to know which batches need not be looked into for a record."""
    keys = [key for keys in (batch.local_key, batch.integration_key) for key in keys if key is not None]
    return array("I", map(crc32, map(str.encode, keys))).tobytes()


def may_hold(found: bytes, key: str) -> bool:
    return bool((np.frombuffer(found, np.uint32) == key_hash(key)).any())


def pack(batch: Batch) -> bytes:
    """The intents of a batch."""
    names = ["seq", *_TEXTS]
    arrays = [pa.array(batch.seq, pa.int64()), *(pa.array(getattr(batch, name), pa.string()) for name in _TEXTS)]
    notes: dict[str, dict[str, Any]] = {}
    for mark, columns in (("-", batch.before), ("+", batch.after)):
        for name, values in columns.items():
            packed, note = _column(values)
            names.append(mark + name)
            arrays.append(packed)
            if note:
                notes[mark + name] = note
    return _bytes(arrays, names, notes)


def _column(values: Sequence[Any]) -> tuple[pa.Array, dict[str, Any]]:
    """One column and what its Arrow form does not say: "json" values, and which nulls are values where others mean ABSENT."""
    types = frozenset(map(type, values))
    note: dict[str, Any] = {}
    if type(ABSENT) in types:
        note["blank"] = [n for n, value in enumerate(values) if value is None]
        values = [None if value is ABSENT else value for value in values]
    found = types - _NOTHING
    try:
        if found in _TYPES:
            return pa.array(values, _TYPES[found]), note
        if found <= {Decimal, datetime, date, time}:
            return pa.array([None if value is None else plain(value) for value in values], pa.string()), note
    except (OverflowError, UnicodeError):
        pass  # a number beyond 64 bits, a lone surrogate
    return pa.array([None if value is None else encode(value) for value in values], pa.string()), {**note, "json": True}


def _bytes(arrays: list[pa.Array], names: list[str], notes: Mapping[str, Any]) -> bytes:
    schema = pa.schema([pa.field(name, one.type) for name, one in zip(names, arrays, strict=True)], {"synckit": json.dumps(notes)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=_OPTIONS) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return sink.getvalue().to_pybytes()


def _read(content: bytes) -> tuple[pa.Table, dict[str, Any]]:
    table = pa.ipc.open_stream(content).read_all()
    return table, json.loads((table.schema.metadata or {}).get(b"synckit", b"{}"))


def pack_outcomes(outcomes: Outcomes) -> bytes:
    other = {str(n): [state, error.encode("utf-8", "replace").decode()] for n, (state, error) in outcomes.other.items()}
    notes = {"other": other, "keys": {str(n): key for n, key in outcomes.keys.items()}}
    return _bytes([pa.array(outcomes.tokens, pa.string())], ["token_after"], notes)


def unpack_outcomes(content: bytes | None, lines: int) -> Outcomes:
    """What became of a batch of that many writes; None: nothing is known yet."""
    if content is None:
        return Outcomes([None] * lines, dict.fromkeys(range(lines), ("intent", "")))
    table, notes = _read(content)
    other = {int(n): (state, error) for n, (state, error) in notes["other"].items()}
    return Outcomes(table.column(0).to_pylist(), other, {int(n): key for n, key in notes["keys"].items()})


def source_keys(intents: bytes) -> list[str | None]:
    return list(_read(intents)[0].column("source_key").to_pylist())


def lines(row: Mapping[str, Any]) -> dict[str, list[Any]]:
    """A row of the table `journal_batch` as the journal's lines: one list per column; `before` and `after` as JSON."""
    table, notes = _read(row["intents"])
    count = table.num_rows
    outcomes = unpack_outcomes(row["outcomes"], count)
    found: dict[str, list[Any]] = {name: [row[name]] * count for name in COMMON}
    found |= {name: table.column(name).to_pylist() for name in ("seq", *_TEXTS)}
    for mark, name in (("-", "before"), ("+", "after")):
        columns = {one: _values(table.column(one), notes.get(one)) for one in table.schema.names if one[0] == mark}
        names = [one[1:] for one in columns]
        rows = zip(*columns.values(), strict=True) if columns else [()] * count
        found[name] = [encode({n: v for n, v in zip(names, values, strict=True) if v is not ABSENT}) for values in rows]
    found["id"] = list(range(row["id"], row["id"] + count))
    found["token_after"] = outcomes.tokens
    found["state"], found["error"] = ["done"] * count, [""] * count
    found["at"] = [row["settled_at"] or row["at"]] * count
    for n, (state, error) in outcomes.other.items():
        found["state"][n], found["error"][n] = state, error
        if state == "intent":
            found["at"][n] = row["at"]
    for n, key in outcomes.keys.items():
        found[f"{row['side']}_key"][n] = key
    return found


def _values(column: pa.ChunkedArray, note: dict[str, Any] | None) -> list[Any]:
    values = column.to_pylist()
    if not note:
        return values
    if note.get("json"):
        values = [None if value is None else json.loads(value) for value in values]
    if "blank" in note:
        blank = set(note["blank"])
        values = [ABSENT if value is None and n not in blank else value for n, value in enumerate(values)]
    return values
