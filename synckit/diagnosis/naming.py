"""What records are called now, beside lists that know their keys alone: the record of a line, and the one that its message refers to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from synckit.diagnosis.causes import names_in, own_root
from synckit.diagnosis.record import as_guid
from synckit.errors import SynckitError
from synckit.planning.bind import SIDES, bind
from synckit.planning.looking import look
from synckit.planning.stage import canonical
from synckit.reports.wording import quoted, safe

if TYPE_CHECKING:
    from synckit.workspace import Workspace

#: Of lists with more records of one mapping only these many are named: the names of millions would take longer than the report.
NAMED = 100_000
_OPTION = re.compile(r"\boption (?P<value>-?\d+) has")


def record_names(ws: Workspace, lines: pd.DataFrame) -> pd.Series:
    """What the records of these lines (of errors, skipped records, writes) are called now; "" where they are gone or cannot be read."""
    found = pd.Series("", index=lines.index, dtype="object")
    look_up = names_in(ws)
    for mapping, mine in lines.groupby("mapping"):
        keys = {s: [str(k) for k in mine[f"{s}_key"].dropna().unique()[:NAMED] if k] for s in SIDES}
        known: dict[tuple[str, str], str] = {}
        with suppress(SynckitError):  # a system that cannot be reached now: the list is there all the same
            known = look_up(str(mapping), [{f"{s}_key": k} for s in SIDES for k in keys[s]])
        for s in reversed(SIDES):  # the local name where both have one
            names = mine[f"{s}_key"].map({k: known[s, k] for k in keys[s] if known.get((s, k))})
            found.update(names.dropna())
    return found


def row_names(ws: Workspace, rows: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """What rows are called, by (side, table, key): also those that a business rule writes in a table of another mapping."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for side, name, key in rows:
        if side in SIDES and name and key:
            wanted.setdefault((side, name), set()).add(key)
    found: dict[tuple[str, str, str], str] = {}
    for (side, name), keys in wanted.items():
        system = ws.systems["local" if side == "local" else "integration"]
        table = system.schema.find(name)
        if table is None or not table.name_column or len(keys) > NAMED:
            continue
        uid, called = table.column(table.uid), table.column(table.name_column)
        with suppress(SynckitError), system.snapshot() as snapshot:
            columns = list(dict.fromkeys([uid.name, called.name]))
            read = snapshot.read(table, columns, keys=sorted(keys), key_column=uid.name).read_all()
            known = zip(
                canonical(read.column(0).cast(pa.string()), uid).to_pylist(), read.column(len(columns) - 1).to_pylist(), strict=True
            )
            found |= {(side, name, str(k)): str(n) for k, n in known if n}
    return found


def with_records(ws: Workspace, lines: pd.DataFrame) -> pd.DataFrame:
    """The lines with a column `record` before their keys: what each record is called now."""
    if not len(lines):
        return lines
    names = record_names(ws, lines)
    if "table_name" in lines.columns and (names == "").any():  # written by a rule in a table of another mapping
        keys = lines["local_key"].where(lines["side"] == "local", lines["integration_key"]).fillna("")
        places = list(zip(lines["side"], lines["table_name"], keys, strict=True))
        known = row_names(ws, [place for place, name in zip(places, names, strict=True) if not name])
        names = names.where(names != "", pd.Series([known.get(place, "") for place in places], index=lines.index, dtype="object"))
    named = lines.assign(record=names.to_numpy())
    columns = [c for c in lines.columns if c != "record"]
    place = columns.index("local_key")
    return named[[*columns[:place], "record", *columns[place:]]]


def plain_messages(ws: Workspace, lines: pd.DataFrame) -> pd.Series:
    """The messages, with the names of records that they call by a key which says nothing to people (a GUID, the number of an option)."""
    told: dict[str, tuple[str, str]] = {}
    for message in lines["message"].dropna().unique():
        option = _OPTION.search(message)
        root = own_root(
            {"code": "lookup_not_coupled", "mapping": "", "message": message, "value": option["value"] if option else ""}
        )
        if root.mapping and root.value and (option or as_guid(root.value)):
            told[message] = root.mapping, root.value
    names = value_names(ws, told.values())
    plain = {m: named(m, of[1], names.get(of, "")) for m, of in told.items()}
    return lines["message"].map(lambda m: plain.get(m, m), na_action="ignore")


def value_names(ws: Workspace, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """What the record of a mapping (or of one of several, "A|B") with a key is called: a GUID by its name, an option by its label."""
    keys: dict[str, set[str]] = {}
    for referred, value in wanted:
        for one in _each(referred):
            keys.setdefault(one, set()).add(value)
    schemas = {s: ws.systems[s].schema for s in SIDES}
    found: dict[tuple[str, str], str] = {}
    for mapping in ws.description.mappings:
        if mapping.name not in keys:
            continue
        bound = bind(mapping, ws.description, schemas)
        for s in SIDES:
            of = bound.side(s)
            mine = {v if of.option_set is not None else as_guid(v): v for v in keys[mapping.name]}
            with suppress(SynckitError), ws.systems[s].snapshot() as snapshot:
                seen = look(
                    of, snapshot, ws.systems[s], [k for k in mine if k and (of.option_set is not None or of.uid.kind == "guid")]
                )
                found |= {(mapping.name, mine[k]): one.name or one.code or "" for k, one in seen.items()}
    return {(m, v): text for m, v in wanted for one in _each(m) if (text := found.get((one, v)))}


def _each(mappings: str) -> list[str]:
    """The mappings that a message or a lookup names: one, or several of which one has the record."""
    return [mappings, *re.split(r"\||, | or ", mappings)]


def named(message: str, value: str, name: str) -> str:
    """A message that speaks of a record by its name instead of its key."""
    if not name or name == value:
        return message
    option = _OPTION.search(message)
    if option and option["value"] == value:
        return message.replace(f"option {value} has", f"option {quoted(name)} ({value}) has")
    return message.replace(f'"{value}"', f'"{safe(name)}"')


__all__ = ["named", "plain_messages", "record_names", "row_names", "value_names", "with_records"]
