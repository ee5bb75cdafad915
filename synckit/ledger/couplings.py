"""Couplings: added with the database's own uniqueness, and coupled by hand after the rules of the reference (S-026 to S-029)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from synckit.errors import SynckitError
from synckit.ledger.tables import COUPLING, CREATED

Side = Literal["local", "integration"]

#: Keys per IN list: below every engine's limit of parameters.
CHUNK = 500

_DEFAULTS: dict[str, Any] = {
    "local_stamp": None,
    "integration_stamp": None,
    "fingerprints": None,
    "to_result": "",
    "to_job": "",
    "from_result": "",
    "from_job": "",
    "to_error": "",
    "from_error": "",
    "skipped": False,
    "held": None,
    "coupled_by_run": None,
}


@dataclass(frozen=True)
class Refused:
    """A coupling that was not added: which of the rows handed in, and a sentence naming both records of the one in the way."""

    index: int
    row: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class Coupled:
    """What coupling by hand did. `replaced` are the coupling rows as they were: the one re-pointed, and dead ones dropped."""

    outcome: Literal["coupled", "re-pointed", "already coupled"]
    id: int
    replaced: tuple[dict[str, Any], ...] = ()


def chunks(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(keys), CHUNK):
        yield keys[start : start + CHUNK]


def by_keys(connection: sa.Connection, mapping: str, side: Side, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The couplings of `mapping` that hold one of `keys` on `side`: key -> whole coupling row."""
    column = COUPLING.c[f"{side}_key"]
    names = [c.name for c in COUPLING.columns]
    place = names.index(column.name)
    found = connection.execute(sa.select(COUPLING).where(COUPLING.c.mapping == mapping, among(connection, column, keys)))
    return {row[place]: dict(zip(names, row, strict=True)) for row in found}


def partners(
    connection: sa.Connection, mapping: str, side: Side, keys: Sequence[str], more: Sequence[str] = ()
) -> dict[str, tuple[Any, ...]]:
    """What thousands of keys of one side are coupled to: key -> (id, key of the other side, and the columns `more`)."""
    column = COUPLING.c[f"{side}_key"]
    other = "local_key" if side == "integration" else "integration_key"
    query = sa.select(column, COUPLING.c.id, *(COUPLING.c[name] for name in (other, *more)))
    rows = connection.execute(query.where(COUPLING.c.mapping == mapping, among(connection, column, keys)))
    return {row[0]: tuple(row[1:]) for row in rows}


def among(connection: sa.Connection, column: sa.Column, keys: Sequence[str]) -> sa.ColumnElement[bool]:
    """Whether a text column holds one of `keys`, any number of them. They travel as one value: thousands of parameters would cost more
    than the rows."""
    if connection.dialect.name == "sqlite":
        listed = sa.func.json_each(json.dumps(list(keys))).table_valued("value")
        return column.in_(sa.select(listed.c.value))
    return column == sa.any_(sa.cast(sa.bindparam(None, list(keys), type_=postgresql.ARRAY(sa.Text)), postgresql.ARRAY(sa.Text)))


def add(connection: sa.Connection, rows: Sequence[dict[str, Any]], at: str) -> list[Refused]:
    """Add couplings (mapping, local_key, integration_key and any other column); returns those in the way of which another stands.

    The database's unique constraints decide; only where they object is it worked out which rows are meant; the others are added.
    """
    full = [{**_DEFAULTS, "coupled_at": at, **row} for row in rows]
    if not full:
        return []
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(COUPLING), full)
        return []
    except sa.exc.IntegrityError:
        refused = _in_the_way(connection, rows)
    bad = {one.index for one in refused}
    rest = [row for index, row in enumerate(full) if index not in bad]
    if rest:
        connection.execute(sa.insert(COUPLING), rest)
    return refused


def remove(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Remove couplings, and count for both records that they had a partner: the next one gets another planned key."""
    for some in chunks(ids):
        count_partners(connection, COUPLING.c.id.in_(some))
        connection.execute(sa.delete(COUPLING).where(COUPLING.c.id.in_(some)))


def count_partners(connection: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    """Count a partner for both records of couplings that are about to go (see CREATED)."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    for side in ("local", "integration"):
        found = sa.select(COUPLING.c.mapping, sa.literal(side), COUPLING.c[f"{side}_key"], sa.literal(1)).where(which)
        query: Any = insert(CREATED).from_select(["mapping", "side", "source_key", "times"], found)
        connection.execute(
            query.on_conflict_do_update(index_elements=["mapping", "side", "source_key"], set_={"times": CREATED.c.times + 1})
        )


def _in_the_way(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> list[Refused]:
    refused = []
    taken: dict[tuple[str, str, str], str] = {}
    for mapping in {row["mapping"] for row in rows}:
        of_mapping = [row for row in rows if row["mapping"] == mapping]
        for key, found in by_keys(connection, mapping, "local", [row["local_key"] for row in of_mapping]).items():
            taken[mapping, "local", key] = found["integration_key"]
        for key, found in by_keys(connection, mapping, "integration", [row["integration_key"] for row in of_mapping]).items():
            taken[mapping, "integration", key] = found["local_key"]
    for index, row in enumerate(rows):
        mapping, local, integration = row["mapping"], row["local_key"], row["integration_key"]
        if (mapping, "local", local) in taken:
            refused.append(Refused(index, row, local_is_coupled(mapping, local, taken[mapping, "local", local], integration)))
        elif (mapping, "integration", integration) in taken:
            reason = integration_is_coupled(mapping, integration, taken[mapping, "integration", integration], local)
            refused.append(Refused(index, row, reason))
        else:
            taken[mapping, "local", local] = integration
            taken[mapping, "integration", integration] = local
    return refused


def integration_is_coupled(mapping: str, integration: str, to_local: str, wanted_local: str) -> str:
    """M11 as a sentence."""
    if to_local == wanted_local:
        return f"{mapping}: the records {wanted_local} and {integration} are coupled to each other already."
    return (
        f"{mapping}: {wanted_local} cannot be coupled to the integration record {integration}, "
        f"because that is coupled to {to_local} already. Uncouple {to_local} first."
    )


def local_is_coupled(mapping: str, local: str, to_integration: str, wanted_integration: str) -> str:
    """M12 as a sentence."""
    if to_integration == wanted_integration:
        return f"{mapping}: the records {local} and {wanted_integration} are coupled to each other already."
    return (
        f"{mapping}: {wanted_integration} cannot be coupled to the local record {local}, "
        f"because that is coupled to {to_integration} already. Uncouple {local} first, or couple starting from the local record."
    )


def couple(
    connection: sa.Connection,
    mapping: str,
    local_key: str,
    integration_key: str,
    from_side: Side,
    *,
    local_exists: Callable[[str], bool],
    called: Callable[[Side, str], str] | None = None,
    at: str,
    run_id: int | None = None,
) -> Coupled:
    """Couple two records by hand, as the reference does (S-026 to S-029, engine-behaviour 1.5).

    `from_side` "integration": an error where the local record is coupled to another one (M12). `from_side` "local": the local
    record's coupling is re-pointed, which clears the integration side's stamp, result and job, the fingerprints and the skip flag.
    Either way the integration record must be free (M11), unless its coupling is dead: its local row no longer exists
    (`local_exists`), then that coupling is dropped first. `called` says what a record is called in messages (default: its key).
    """
    name = called or (lambda _side, key: key)
    holder = by_keys(connection, mapping, "integration", [integration_key]).get(integration_key)
    own = by_keys(connection, mapping, "local", [local_key]).get(local_key)
    if own and own["integration_key"] == integration_key:
        return Coupled("already coupled", own["id"])
    if own and from_side == "integration":
        other = name("integration", own["integration_key"])
        raise SynckitError(local_is_coupled(mapping, name("local", local_key), other, name("integration", integration_key)))
    replaced: list[dict[str, Any]] = []
    if holder:
        if local_exists(holder["local_key"]):
            taken, other = name("integration", integration_key), name("local", holder["local_key"])
            raise SynckitError(integration_is_coupled(mapping, taken, other, name("local", local_key)))
        remove(connection, [holder["id"]])
        replaced.append(holder)
    if own is None:
        values = {**_DEFAULTS, "mapping": mapping, "local_key": local_key, "integration_key": integration_key}
        values |= {"coupled_at": at, "coupled_by_run": run_id}
        added = connection.execute(sa.insert(COUPLING).values(values)).inserted_primary_key
        return Coupled("coupled", int(added[0]) if added else 0, tuple(replaced))
    replaced.append(own)
    count_partners(connection, COUPLING.c.id == own["id"])
    changes = {
        "integration_key": integration_key,
        "integration_stamp": None,
        "fingerprints": None,
        "to_result": "",
        "to_job": "",
        "to_error": "",
        "skipped": False,
        "coupled_at": at,
        "coupled_by_run": run_id,
    }
    connection.execute(sa.update(COUPLING).where(COUPLING.c.id == own["id"]).values(changes))
    return Coupled("re-pointed", own["id"], tuple(replaced))
