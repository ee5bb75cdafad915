"""What was written: the state of both databases by plain SQL, and two states held against a plan, cell by cell."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from synckit.mapping.schema import Column, Table
from synckit.planning.creates import NEXT_NUMBER
from synckit.planning.plan import Plan
from synckit.workspace import Workspace

State = dict[tuple[str, str, str], dict[str, Any]]  # (side, table, key) -> the row, by the names of the schema's columns
DESTINATION = {"to": "integration", "from": "local"}
BLANKS = (None, "", 0, False, Decimal(0))


def rows_of(connection: sa.Connection, table: Table, db_schema: str | None) -> list[dict[str, Any]]:
    """All rows of a table as plain Python, in the order of their keys; columns that the database has not are left out."""
    everything = sa.select(sa.text("*")).select_from(sa.table(table.table, schema=db_schema))
    found = [dict(row._mapping) for row in connection.execute(everything)]
    named = {c.column: c for c in table.columns}
    rows = [{named[n].name: _plain(v, named[n]) for n, v in row.items() if n in named} for row in found]
    return sorted(rows, key=lambda row: str(row.get(table.uid)))


def state_of(ws: Workspace) -> State:
    """All rows of both databases of a workspace, read with plain SQL."""
    state: State = {}
    for side in ("local", "integration"):
        config = getattr(ws.description, side)
        engine = sa.create_engine(config.url, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            present = set(sa.inspect(connection).get_table_names(schema=config.db_schema))
            for table in ws.schemas[side].tables:
                if table.table not in present:
                    continue
                for row in rows_of(connection, table, config.db_schema):
                    key = str(row[table.uid]) if table.uid in row else json.dumps(row, default=str, sort_keys=True)
                    state[side, table.name, key] = row
        engine.dispose()
    return state


def _plain(value: Any, column: Column) -> Any:
    if value is None:
        return None
    match column.kind:
        case "guid":
            return str(value).strip("{}").lower()
        case "decimal":
            return Decimal(str(value))
        case "boolean":
            return bool(value)
        case "date":
            return date.fromisoformat(str(value)[:10])
        case "time":
            if isinstance(value, timedelta):  # as MariaDB says it
                return (datetime.min + value).time()
            return value if isinstance(value, time) else time.fromisoformat(value)
        case "datetime":
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value.replace("Z", "+00:00"))
            return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return value


def written(plan: Plan, before: State, after: State, ws: Workspace, all_of_it: bool = True) -> int:
    """Hold two states of both databases against a plan: nothing else was written, and (`all_of_it`) nothing less. Returns how many
    cells differ. Columns that the database itself keeps (modified-on) do not count, nor do blanks and defaults of new rows."""
    allowed: dict[tuple[str, str, str], dict[str, tuple[bool, Any]]] = {}
    keys = {(n, p, row["record"]): row["key"] for (n, p), table in plan.base.creates.items() for row in table.to_pylist()}
    options: set[str] = set()
    for change in plan.changes().to_dict("records"):
        place = (change["mapping"], change["pass"], change["record"])
        described = ws.description.mapping(change["mapping"])
        side: Any = DESTINATION[change["pass"]]
        if described.kind == "option":
            options.add(str(change["new"]))
            continue
        if isinstance(change["table"], str):
            side, _, table = change["table"].partition(":")
            key = change[f"{side}_key"]
        else:
            table = ws.schemas[side].table(getattr(described, side).table).name
            own = change[f"{side}_key"]
            key = own if isinstance(own, str) and change["disposition"] not in ("create", "restore") else keys.get(place)
        free = change["new"] == NEXT_NUMBER or isinstance(change["ref_key"], str)
        allowed.setdefault((side, table, str(key)), {})[change["column"]] = (free, change["new"])
    keeper = ws.schemas["integration"].option_table
    cells = 0
    for place in before.keys() | after.keys():
        old, new = before.get(place), after.get(place)
        if old == new:
            continue
        of = ws.schemas[place[0]].table(place[1])  # type: ignore[index]
        if keeper is not None and of.table == keeper.table:
            assert old is not None or str((new or {})[keeper.label]) in options, f"{new} was written and the plan does not show it"
            continue
        assert new is not None, f"{place} was deleted"
        mine = allowed.get(place)
        assert mine is not None, f"{place} was written and the plan does not show it"
        for column, value in new.items():
            if (
                column in (of.uid, of.modified_on)
                or (old is not None and old[column] == value)
                or (old is None and value in BLANKS)
            ):
                continue
            if old is None and column not in mine:  # the database's own default of a new row
                continue
            assert column in mine, f"{place}.{column} was written and the plan does not show it"
            free, shown = mine[column]
            assert free or text_of(value) == text_of(shown), f"{place}.{column}: {value!r} was written, the plan shows {shown!r}"
            cells += 1
    for place, columns in allowed.items() if all_of_it else ():
        assert place in after, f"the plan shows {place}, which does not exist"
        for column, (free, shown) in columns.items():
            assert free or text_of(after[place][column]) == text_of(shown), f"{place}.{column} was not written as shown"
    return cells


def text_of(value: Any) -> str:
    """A value as comparable text: blanks alike, numbers without trailing zeros."""
    if value is None or value != value or value == "" or value is False or value == "false":
        return ""
    if value is True or value == "true":
        return "true"
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value)
    try:
        number = Decimal(text)
    except ArithmeticError:
        try:
            return datetime.fromisoformat(text.replace("Z", "")).isoformat() if len(text) > 12 and text[4] == "-" else text
        except ValueError:
            return text
    return "" if number == 0 else format(number.normalize(), "f")
