"""Looking at single rows of a mapping's two tables while a plan is made by hand, and finding couplings that have lost a row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.ledger.ledger import Ledger
from synckit.planning.bind import SIDES, BoundMapping, BoundSide, Side
from synckit.planning.snapshot import option_rows
from synckit.planning.stage import canonical, plain
from synckit.systems.protocol import VERSION_TOKEN, Snapshot, System


@dataclass(frozen=True)
class Seen:
    """A row as it was seen: its number (local key), name and version, whether the mapping's filter lets it pass, and `values`."""

    key: str
    code: str | None
    name: str | None
    token: str | None
    inside: bool
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def called(self) -> str:
        return self.name or self.code or self.key


@dataclass(frozen=True)
class Lost:
    """A coupling of which at least one row is gone."""

    coupling: dict[str, Any]
    local: bool  # the row still exists
    integration: bool

    @property
    def survivor(self) -> Side | None:
        return "local" if self.local else "integration" if self.integration else None


def look(
    side: BoundSide, snapshot: Snapshot, system: System, keys: Iterable[str] | None, columns: Sequence[str] = ()
) -> dict[str, Seen]:
    """The rows of `keys` that exist (None: all rows), by key, with `columns` among their values."""
    if side.option_set is not None:
        wanted = None if keys is None else set(keys)
        options = ((str(value), label) for value, label in option_rows(side, snapshot, system))
        return {k: Seen(k, k, label, None, True) for k, label in options if wanted is None or k in wanted}
    asked = sorted(set(keys)) if keys is not None else None
    if asked is not None and not asked:
        return {}
    known = [c.name for c in (side.uid, side.key, side.name) if c is not None]
    names = list(dict.fromkeys([*known, *columns, *side.filter.columns]))
    names = [side.table.column(n).name for n in names]
    token = [VERSION_TOKEN] if side.version is not None else []
    reader = snapshot.read(
        side.table, list(dict.fromkeys([*names, *token])), keys=asked, key_column=side.uid.name if asked is not None else None
    )
    found: dict[str, Seen] = {}
    for batch in reader:
        uid = pc.cast(batch.column(side.uid.name), pa.string())
        uids = (canonical(uid, side.uid) if side.uid.kind == "guid" else uid).to_pylist()
        inside = [True] * batch.num_rows if side.filter.is_empty else pc.fill_null(side.filter.mask(batch), False).to_pylist()
        for n, row in enumerate(batch.to_pylist()):
            code = row[side.key.name] if side.key is not None else None
            name = row[side.name.name] if side.name is not None else None
            found[uids[n]] = Seen(
                uids[n], None if code is None else str(code), None if name is None else str(name), row.get(VERSION_TOKEN),
                bool(inside[n]), {c: row[side.table.column(c).name] for c in columns},
            )  # fmt: skip
    return found


def present_keys(side: BoundSide, snapshot: Snapshot, system: System) -> set[str]:
    """The keys of all rows of a side, filter or not."""
    if side.option_set is not None:
        return {str(value) for value, _ in option_rows(side, snapshot, system)}
    column = pc.cast(snapshot.read(side.table, [side.uid.name]).read_all().column(0), pa.string())
    return set((canonical(column, side.uid) if side.uid.kind == "guid" else column).to_pylist())


def lost(bound: BoundMapping, snapshots: Mapping[Side, Snapshot], systems: Mapping[Side, System], ledger: Ledger) -> list[Lost]:
    """The broken couplings of a mapping, found by keys alone on both sides, in the order of their ids."""
    couplings = ledger.couplings(bound.name).to_pylist()
    if not couplings:
        return []
    there = {side: present_keys(bound.side(side), snapshots[side], systems[side]) for side in SIDES}
    found = [Lost(c, c["local_key"] in there["local"], c["integration_key"] in there["integration"]) for c in couplings]
    return [one for one in found if not (one.local and one.integration)]


def plain_text(value: Any) -> str | None:
    """A canonical value as a plan's text; None for a blank."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    return str(value)
