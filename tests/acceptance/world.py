"""A world for one scenario: two small databases, the mappings between them, couplings, edits at a given time, runs, and what to ask.

    w = make_world(
        local={"unit": "code code10 key, description text50"},              # type, length, .scale; `key` marks the primary key
        integration={"uom": "name text100, note text200"},
        mappings=[mapping("UNIT", "unit > uom", "code > name, description <> note", direction="to_integration")],
    )
    w.local.add("unit", "PCS", code="PCS")            # "PCS" is the row's alias: everything else calls it so
    w.integration.add("uom", "G1", name="BOX")
    w.couple("UNIT", "PCS", "G1")                     # in sync; couple(..., never=True) for a coupling that was never synchronised
    w.local.edit("unit", "PCS", description="abc")    # one minute later; at="10:31" for a time of day
    ran = w.full("UNIT")                              # plan a full synchronisation, apply it, compare what was written with the plan
    assert ran["UNIT", "to"] == {"modified": 1}       # the counters that are not 0
    assert w.integration.row("uom", "G1")["note"] == "abc"
    assert w.coupling("UNIT", "PCS")["to_result"] == "success"

Every table gets an id column (`system_id`; on the integration side `<table>id`) and a modified-on column that triggers keep from a
clock of the side's own, which the world sets. `w.full` carries out any plan: `w.carry_out(w.ws.plan_full())` is the same, and any
other kind of plan goes the same way. The tables of the shipped schemas come with `local="business_central"`,
`integration="dataverse"`; rows are then given as a dict of captions: `w.local.add("customer", "C", {"No.": "10000"})`.
"""

# ruff: noqa: S608 - the statements are composed of this file's own names
from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from written import State, rows_of, state_of, written

from synckit.applying.progress import Run
from synckit.applying.refusals import to_accept
from synckit.mapping.loading import load_schema, load_workspace
from synckit.mapping.schema import Column, Schema, Table
from synckit.planning.plan import Plan
from synckit.planning.tables import COUNTERS
from synckit.systems.protocol import VERSION_TOKEN
from synckit.workspace import Workspace

Side = Literal["local", "integration"]
SIDES: tuple[Side, Side] = ("local", "integration")
DIRECTION = {"to": "to_integration", "from": "from_integration"}
START = datetime(2026, 1, 5, 9, 0, 0)
_NAMES = uuid.UUID("5e1f7a5c-0000-4000-8000-000000000000")
_TYPE = re.compile(r"([a-z]+)(\d+)?(?:\.(\d+))?")
_ARROWS = {"<>": "bidirectional", ">": "to_integration", "<": "from_integration"}

#: Run a test on SQLite and on PostgreSQL (skipped where there is no server).
on_both = pytest.mark.parametrize("make_world", ["sqlite", "postgresql"], indirect=True)


def guid(alias: str) -> str:
    """The key of the row called `alias`; a text that is a GUID already stays."""
    try:
        return str(uuid.UUID(alias))
    except ValueError:
        return str(uuid.uuid5(_NAMES, alias))


def scenario(*numbers: str, semantics: str = "synckit") -> Any:
    """Marks the test that shows these scenarios."""
    return pytest.mark.scenario(*numbers, semantics=semantics)


# --- describing -----------------------------------------------------------------------------------------------------------------


def mapping(name: str, tables: str, fields: str, *more_fields: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """A mapping as a workspace file has it: tables "customer > account"; fields "name <> name, salesperson > ownerid lookup SALESPEOPLE,
    = 3 > type". Words after a field: `lookup MAPPING`, `clear`, `not_null`, `off`, `rule CODE`, `match`."""
    local, integration = (t.strip() for t in tables.split(">"))
    rows = [_field(text) for text in fields.split(",") if text.strip()]
    return {
        "name": name,
        "local": {"table": local},
        "integration": {"table": integration},
        "fields": [*rows, *more_fields],
        **properties,
    }


def _field(text: str) -> dict[str, Any]:
    left, arrow, right = re.match(r"(.*?)\s*(<>|>|<)\s*(.*)", text.strip()).groups()  # type: ignore[union-attr]
    integration, *words = right.split()
    row: dict[str, Any] = {"local": left, "integration": integration, "direction": _ARROWS[arrow]}
    if left.startswith("="):
        row |= {"local": None, "constant": left[1:].strip()}
    while words:
        match words.pop(0):
            case "lookup":
                row["lookup"] = {"mapping": words.pop(0)}
            case "rule":
                row["transformation_rule"] = words.pop(0)
            case "clear":
                row["clear_on_failed_sync"] = True
            case "not_null":
                row["not_null"] = True
            case "match":
                row["use_for_match"] = True
            case "off":
                row["enabled"] = False
            case word:
                raise ValueError(f"{word!r} in {text!r}")
    return row


def schema_of(side: Side, tables: dict[str, str]) -> Schema:
    """The schema of tables that are described in one line each."""
    return Schema(
        name=f"small {side}",
        blank="empty" if side == "local" else "null",
        tables=tuple(_table(side, name, text) for name, text in tables.items()),
    )


def _table(side: Side, name: str, text: str) -> Table:
    local = side == "local"
    uid, modified = ("system_id", "system_modified_at") if local else (f"{name}id", "modifiedon")
    columns, keys, required = [], [], set()
    for part in text.split(","):
        column, kind, *words = part.split()
        base, length, scale = _TYPE.fullmatch(kind).groups()  # type: ignore[union-attr]
        if "key" in words:
            keys.append(column)
        if "required" in words:
            required.add(column)
        options = (
            tuple({"value": n, "label": w} for n, w in enumerate(words[-1].split("|")))
            if base in ("option", "choice") and words
            else ()
        )
        columns.append(
            Column(name=column, column=column, type=base, length=int(length) if length else None, scale=int(scale) if scale else None,
                   nullable=not local and column not in required, options=options)  # type: ignore[arg-type]
        )  # fmt: skip
    names = [c.name for c in columns]
    return Table(
        name=name,
        table=name,
        caption=name,
        primary_key=tuple(keys if local else [uid]),
        uid=uid,
        modified_on=modified,
        name_column="name" if "name" in names else names[0],
        columns=(
            Column(name=uid, column=uid, type="guid", nullable=False, primary_key=not local),
            *columns,
            Column(name=modified, column=modified, type="datetime", access="read"),
        ),
    )


# --- one side -------------------------------------------------------------------------------------------------------------------


class Half:
    """One side of a world: its database, its clock, its rows. Looks and edits go by plain SQL, never through synckit."""

    def __init__(self, world: World, side: Side, schema: Schema, url: str, tables: Iterable[str]) -> None:
        self.world, self.side, self.schema, self.url = world, side, schema, url
        self.skew = timedelta(0)
        self.tables = {name: schema.table(name) for name in tables}
        target = sa.make_url(url)
        self.lite, self.maria = target.get_backend_name() == "sqlite", target.get_backend_name() in ("mariadb", "mysql")
        self.db_schema = None if self.lite or self.maria else side
        self.engine = sa.create_engine(target, poolclass=sa.pool.NullPool)
        self.metadata = sa.MetaData(schema=self.db_schema)
        self.physical = {name: self._made(table) for name, table in self.tables.items()}
        with self.engine.begin() as connection:
            if self.db_schema:
                connection.exec_driver_sql(f"CREATE SCHEMA {self.db_schema}")
            self.metadata.create_all(connection)
            for statement in self._clockwork():
                connection.exec_driver_sql(statement)

    # -- making ----------------------------------------------------------------------------------------------------------------

    def _made(self, table: Table) -> sa.Table:
        uid = table.column(table.uid).column
        columns = [
            sa.Column(c.column, self._type(c), nullable=c.nullable or c.kind in ("date", "datetime", "time", "guid"),
                      server_default=self._default(c))
            for c in table.columns if not c.flowfield
        ]  # fmt: skip
        made = sa.Table(table.table, self.metadata, *columns)
        if uid in made.c:
            made.c[uid].unique = True
            sa.Index(f"{table.table}_uid", made.c[uid], unique=True)
        return made

    def _type(self, column: Column) -> Any:
        match column.kind:
            case "guid":
                return sa.Text() if self.lite else sa.CHAR(36) if self.maria else sa.Uuid(as_uuid=False)
            case "integer" | "option":
                return sa.BigInteger()
            case "boolean":
                return sa.Boolean()
            case "decimal":
                return sa.Text() if self.lite else sa.Numeric(30, 10 if column.scale is None else column.scale)
            case "date":
                return sa.Text() if self.lite else sa.Date()
            case "time":
                return sa.Text() if self.lite else sa.Time()
            case "datetime":
                return sa.Text() if self.lite else mysql.DATETIME(fsp=3) if self.maria else sa.TIMESTAMP(timezone=True)
        return sa.Text()

    def _default(self, column: Column) -> Any:
        if self.schema.blank != "empty" or column.kind in ("guid", "date", "datetime", "time"):
            return None
        if column.kind in ("text", "code"):
            return sa.text("''")
        return sa.text("false" if column.kind == "boolean" and not self.lite else "0")

    def _clockwork(self) -> Iterable[str]:
        """A clock that ticks a millisecond with every write, and triggers that stamp every written row with it."""
        clock = f"{self.db_schema}.world_clock" if self.db_schema else "world_clock"
        yield f"CREATE TABLE {clock} (ms BIGINT)"
        yield f"INSERT INTO {clock} VALUES (0)"
        for table in self.tables.values():
            if not table.modified_on:
                continue
            modified, name, uid = table.column(table.modified_on).column, table.table, table.column(table.uid).column
            if self.lite:
                now = f"(SELECT strftime('%Y-%m-%dT%H:%M:%fZ', ms / 1000.0, 'unixepoch') FROM {clock})"
                for event, when in (("INSERT", f'NEW."{modified}" IS NULL'), ("UPDATE", f'NEW."{modified}" IS OLD."{modified}"')):
                    yield (
                        f'CREATE TRIGGER "{name}_{event}" AFTER {event} ON "{name}" WHEN {when} BEGIN UPDATE {clock} SET ms = ms + 1; '
                        f'UPDATE "{name}" SET "{modified}" = {now} WHERE "{uid}" = NEW."{uid}"; END'
                    )
            elif self.maria:
                now = "(SELECT TIMESTAMPADD(MICROSECOND, ms * 1000, '1970-01-01 00:00:00.000') FROM world_clock)"
                for event, when in (("INSERT", f"NEW.{modified} IS NULL"), ("UPDATE", f"NEW.{modified} <=> OLD.{modified}")):
                    yield (
                        f"CREATE TRIGGER {name}_{event} BEFORE {event} ON {name} FOR EACH ROW BEGIN IF {when} "
                        f"THEN UPDATE world_clock SET ms = ms + 1; SET NEW.{modified} = {now}; END IF; END"
                    )
            else:
                function = f'{self.db_schema}."{name}_tick"'
                yield (
                    f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    f'IF (TG_OP = \'INSERT\' AND NEW."{modified}" IS NULL) OR (TG_OP = \'UPDATE\' AND NEW."{modified}" IS NOT DISTINCT FROM OLD."{modified}") '
                    f'THEN UPDATE {clock} SET ms = ms + 1; NEW."{modified}" := (SELECT to_timestamp(ms / 1000.0) FROM {clock}); END IF; '
                    "RETURN NEW; END $$"
                )
                yield (
                    f'CREATE TRIGGER tick BEFORE INSERT OR UPDATE ON {self.db_schema}."{name}" FOR EACH ROW EXECUTE FUNCTION {function}()'
                )

    # -- editing ---------------------------------------------------------------------------------------------------------------

    def set_clock(self) -> None:
        moment = self.world.now + self.skew
        clock = f"{self.db_schema}.world_clock" if self.db_schema else "world_clock"
        self.sql(f"UPDATE {clock} SET ms = {int(moment.replace(tzinfo=UTC).timestamp() * 1000)}")

    def add(self, table: str, alias: str, values: dict[str, Any] | None = None, at: str | None = None, **more: Any) -> str:
        """A new row called `alias`; returns its key. Columns that are left out are blank."""
        self.world.tick(at)
        self.set_clock()
        of = self.tables[table]
        stored = self._stored(of, {**(values or {}), **more})
        stored.setdefault(of.column(of.uid).column, guid(alias))
        self.world.aliases[guid(alias)] = alias
        with self.engine.begin() as connection:
            connection.execute(self.physical[table].insert().values(stored))
        return guid(alias)

    def edit(self, table: str, alias: str, values: dict[str, Any] | None = None, at: str | None = None, **more: Any) -> None:
        self.world.tick(at)
        self.set_clock()
        made = self.physical[table]
        with self.engine.begin() as connection:
            query = made.update().where(self._is(table, alias)).values(self._stored(self.tables[table], {**(values or {}), **more}))
            assert connection.execute(query).rowcount == 1, f"there is no {alias} in {table}"

    def delete(self, table: str, alias: str) -> None:
        with self.engine.begin() as connection:
            assert connection.execute(self.physical[table].delete().where(self._is(table, alias))).rowcount == 1

    def refuse(self, table: str, condition: str, message: str, event: str = "UPDATE") -> None:
        """From now on the database refuses to write rows for which `condition` (over NEW) holds (SQLite only)."""
        name = f"refuse_{uuid.uuid4().hex[:8]}"
        self.sql(
            f"CREATE TRIGGER {name} BEFORE {event} ON \"{table}\" WHEN {condition} BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )

    def sql(self, text: str) -> list[Any]:
        with self.engine.begin() as connection:
            result = connection.exec_driver_sql(text)
            return [tuple(row) for row in result] if result.returns_rows else []

    def _is(self, table: str, alias: str) -> Any:
        of = self.tables[table]
        uid = of.column(of.uid)
        return self.physical[table].c[uid.column] == (guid(alias) if uid.kind == "guid" else alias)

    def _stored(self, table: Table, values: dict[str, Any]) -> dict[str, Any]:
        stored = {}
        for name, value in values.items():
            column = table.column(name)
            if column.kind == "guid" and value:
                value = guid(value)
            elif self.lite and isinstance(value, (Decimal, date, time)) and not isinstance(value, datetime):
                value = str(value)
            elif isinstance(value, datetime) and not self.maria:
                value = f"{value.isoformat(timespec='milliseconds')}Z" if self.lite else value.replace(tzinfo=UTC)
            stored[column.column] = value
        return stored

    # -- looking ---------------------------------------------------------------------------------------------------------------

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows as plain Python, by the names of the schema's columns, in the order of their keys."""
        with self.engine.connect() as connection:
            return rows_of(connection, self.tables[table], self.db_schema)

    def row(self, table: str, alias: str) -> dict[str, Any]:
        """The row called `alias` (or with that key); KeyError where it does not exist."""
        uid = self.tables[table].uid
        by_key = {str(row[uid]): row for row in self.rows(table)}
        return by_key[guid(alias) if guid(alias) in by_key else alias]

    def count(self, table: str) -> int:
        return len(self.rows(table))


# --- what a run did -------------------------------------------------------------------------------------------------------------


class Ran:
    """A plan that was carried out. `ran["CUSTOMER", "to"]`: the counters of that job which are not 0."""

    def __init__(self, world: World, plan: Plan, run: Run, before: dict[Any, Any], after: dict[Any, Any]) -> None:
        self.world, self.plan, self.run, self.before, self.after = world, plan, run, before, after

    def job(self, name: str, in_pass: str) -> dict[str, Any]:
        found = [j for j in self.run.jobs.to_dict("records") if j["mapping"] == name and j["direction"] == DIRECTION[in_pass]]
        assert len(found) == 1, f"{len(found)} jobs of {name}, {in_pass}"
        return found[0]

    def __getitem__(self, place: tuple[str, str]) -> dict[str, int]:
        job = self.job(*place)
        return {name: int(job[name]) for name in COUNTERS if job[name]}

    def counter(self, name: str, in_pass: str, counter: str) -> int:
        return int(self.job(name, in_pass)[counter])

    def together(self, name: str) -> dict[str, int]:
        """The counters of all passes of a mapping together."""
        jobs = [j for j in self.run.jobs.to_dict("records") if j["mapping"] == name]
        return {counter: n for counter in COUNTERS if (n := sum(int(j[counter]) for j in jobs))}

    def before_rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table as they were when the run began."""
        return [row for (_, name, _), row in self.before.items() if name == table]

    def errors(self, name: str | None = None) -> list[str]:
        """The messages that were booked, oldest first."""
        lines = self.run.errors.to_dict("records")[::-1]
        return [line["message"] for line in lines if name in (None, line["mapping"])]


# --- the world ------------------------------------------------------------------------------------------------------------------


class World:
    """See the module. `ws` is the open workspace; `change` writes it anew with other properties of a mapping."""

    def __init__(
        self,
        folder: Path,
        local: dict[str, str] | str,
        integration: dict[str, str] | str,
        mappings: Sequence[dict[str, Any] | str] | str,
        urls: dict[Side, str] | None = None,
        config: dict[str, dict[str, Any]] | None = None,
        **settings: Any,
    ) -> None:
        self.folder, self.settings = folder, settings
        self.mappings = mappings if isinstance(mappings, str) else list(mappings)
        self.config = config or {}
        self.now = START
        self.aliases: dict[str, str] = {}
        described = {"local": local, "integration": integration}
        self.sides: dict[Side, Half] = {}
        for side in SIDES:
            given = described[side]
            schema = load_schema(given) if isinstance(given, str) else schema_of(side, given)
            url = urls[side] if urls else f"sqlite:///{(folder / f'{side}.db').as_posix()}"
            self.sides[side] = Half(self, side, schema, url, [t.name for t in schema.tables])
        self.local, self.integration = self.sides["local"], self.sides["integration"]
        self.path = folder / "workspace.yaml"
        self._ws: Workspace | None = None

    # -- the workspace -----------------------------------------------------------------------------------------------------------

    @property
    def ws(self) -> Workspace:
        if self._ws is None:
            self.path.write_text(json.dumps(self._described(), default=str), encoding="utf-8")
            self._ws = Workspace(load_workspace(self.path), clock=lambda: self.now)
        return self._ws

    def _described(self) -> dict[str, Any]:
        systems = {}
        for side, half in self.sides.items():
            shipped = half.schema.name in ("business_central", "dataverse")
            systems[side] = {
                "name": {"local": "Local", "integration": "Integration"}[side],
                "url": half.url,
                "schema": half.schema.name if shipped else half.schema.model_dump(mode="json"),
                **({"db_schema": half.db_schema} if half.db_schema else {}),
                **self.config.get(side, {}),
            }
        return {"ledger": "ledger.db", **systems, "mappings": self.mappings, **self.settings}

    def change(self, name: str, **properties: Any) -> None:
        """Change properties of a mapping, as a person edits the workspace file."""
        if isinstance(self.mappings, str):
            self.mappings = [self.mappings]
        for one in self.mappings:
            if isinstance(one, dict) and one.get("name", next(iter(one))) == name:
                (one if "name" in one else one[name]).update(properties)
                break
        else:
            self.mappings.append({name: properties})
        self.reopen()

    def reopen(self) -> None:
        if self._ws is not None:
            self._ws.close()
        self._ws = None

    def close(self) -> None:
        self.reopen()
        for half in self.sides.values():
            half.engine.dispose()

    def tick(self, at: str | None = None) -> None:
        """The next minute, or a time of day."""
        if at is None:
            self.now += timedelta(minutes=1)
        else:
            self.now = datetime.combine(self.now.date(), time.fromisoformat(at))

    # -- couplings ---------------------------------------------------------------------------------------------------------------

    def couple(self, name: str, local: str, integration: str, never: bool = False) -> None:
        """Couple two rows: in sync (stamps equal to their versions), or never synchronised (no stamps)."""
        keys = {"local_key": guid(local), "integration_key": guid(integration) if not integration.isdecimal() else integration}
        stamps: dict[str, str | None] = {}
        if not never:
            stamps = {f"{side}_stamp": self.version(name, side, keys[f"{side}_key"]) for side in SIDES}
        with self.ws.ledger.transaction() as tx:
            refused = tx.add_couplings([{"mapping": name, **keys, **stamps}])
        assert not refused, refused

    def version(self, name: str, side: Side, key: str) -> str | None:
        """The version token of a row, as the system says it."""
        described = self.ws.description.mapping(name)
        table = self.sides[side].schema.table(getattr(described, side).table)
        with self.ws.systems[side].snapshot() as snapshot:
            rows = snapshot.read(table, [table.uid, VERSION_TOKEN], keys=[key], key_column=table.uid).read_all().to_pylist()
        return rows[0][VERSION_TOKEN] if rows else None

    def coupling(self, name: str, local: str | None = None, integration: str | None = None) -> dict[str, Any] | None:
        """The whole coupling of a row, or None."""
        return self.ws.ledger.coupling(
            name, local=None if local is None else guid(local), integration=None if integration is None else guid(integration)
        )

    def partner(self, name: str, local: str | None = None, integration: str | None = None) -> str | None:
        """The alias (or key) of the row that a row is coupled to, or None."""
        found = self.coupling(name, local, integration)
        key = None if found is None else found["integration_key" if local is not None else "local_key"]
        return self.aliases.get(key, key) if key else None

    # -- runs --------------------------------------------------------------------------------------------------------------------

    def full(self, *names: str, **how: Any) -> Ran:
        """A full synchronisation of all mappings or of the named ones: planned and carried out (see carry_out)."""
        return self.carry_out(self.plan(*names), **how)

    def plan(self, *names: str) -> Plan:
        """The plan of a full synchronisation, a minute later; nothing may have been written by it."""
        self.tick()
        before = self.everything()
        plan = self.ws.plan_full(list(names) or None)
        assert self.everything() == before, "planning has written"
        return plan

    def carry_out(self, plan: Plan, *, surprises: bool = False, **how: Any) -> Ran:
        """Apply a plan of any kind, with every mapping accepted that must be, and hold what was written against what it shows: cell
        by cell, and counter by counter. `surprises`: something happened after planning, so fewer rows and other counters are fine.
        Further arguments go to `Workspace.apply`."""
        self.tick()
        for half in self.sides.values():
            half.set_clock()
        before = self.everything()
        run = self.ws.apply(plan, **{"accept": to_accept(plan), **how})
        after = self.everything()
        written(plan, before, after, self.ws, all_of_it=not surprises)
        if not surprises:
            for job in run.jobs.to_dict("records"):
                for counter in COUNTERS:
                    assert job[counter] == job[f"planned_{counter}"], (
                        f"{job['mapping']} {job['direction']}: {counter} is not as planned"
                    )
            assert not len(run.differences), run.to_text()
        return Ran(self, plan, run, before, after)

    def everything(self) -> State:
        """(side, table, key) -> row, of both databases."""
        return state_of(self.ws)


@pytest.fixture
def make_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeWorld]:
    """Makes the worlds of a test and closes them; on SQLite, or as the mark `on_both` says; "servers" is MariaDB beside PostgreSQL."""
    worlds: list[World] = []
    param, urls = getattr(request, "param", "sqlite"), None
    if param == "postgresql":
        urls = dict.fromkeys(SIDES, request.getfixturevalue("postgres_url"))
    elif param == "servers":
        urls = request.getfixturevalue("fresh_pair")

    def make(local: Any, integration: Any, mappings: Any, **settings: Any) -> World:
        folder = tmp_path / f"world{len(worlds)}"
        folder.mkdir()
        worlds.append(World(folder, local, integration, mappings, urls=urls, **settings))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


MakeWorld = Callable[..., World]
