"""The demo: makes both systems of Nordwind Trading, their history of couplings and a commented workspace in a folder."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from synckit.errors import SynckitError
from synckit.ledger.exchange import import_couplings
from synckit.ledger.ledger import Ledger
from synckit.mapping.loading import load_schema, load_workspace
from synckit.mapping.schema import Column, Schema, Table
from synckit.systems.secrets import parse, resolve
from synckit.systems.sql_connect import connected, with_driver

Side = Literal["local", "integration"]

#: File that says that synckit made what lies beside it, and table that says the same in a database.
MARKER = ".synckit-demo"
MARKER_TABLE = "synckit_demo"
SCHEMAS: dict[Side, str] = {"local": "business_central", "integration": "dataverse"}
TITLES: dict[Side, str] = {"local": "Business Central (Nordwind Trading)", "integration": "Dataverse (demo)"}
LEDGER = "ledger.db"
WORKSPACE = "workspace.yaml"
COMPANY = "Nordwind Trading"
#: When the couplings of the demo were last synchronised.
LAST_SYNC = datetime(2026, 2, 27, 18, tzinfo=UTC)
_MARKER_TEXT = "This folder was made by `synckit demo`; `synckit demo --force` replaces the files that it made.\n"
#: Values that Dataverse itself gives to a new row.
_GIVEN: dict[str, str] = {"statecode": "0", "statuscode": "1"}


def data_folder() -> Path:
    """Where the CSV files of the demo lie: in the installed package, else in the repository beside it."""
    here = Path(__file__).resolve().parent
    for folder in (here / "shipped" / "data", here.parent / "data"):
        if (folder / "couplings.csv").is_file():
            return folder
    raise SynckitError(
        "The data of the demo is not there; install synckit again, or run `python data/generate.py` in its repository."
    )


def make_demo(
    folder: str | Path,
    kind: Literal["sqlite", "exports"] = "sqlite",
    url_local: str | None = None,
    url_integration: str | None = None,
    force: bool = False,
) -> Path:
    """Makes the demo in `folder` (created where missing) and returns the path of its workspace file.

    kind "sqlite": two SQLite files; a side whose `url_...` is given (PostgreSQL or MariaDB, `${NAME}` for a password) is made there
    instead. kind "exports": the two folders of CSV files, which are read-only. Both get a ledger that knows the couplings.
    Raises SynckitError where the folder or a database holds something else, or an earlier demo and `force` is not set; with
    `force` only what the demo had made is replaced.
    """
    folder = Path(folder).expanduser().resolve()
    urls: dict[Side, str | None] = {"local": url_local, "integration": url_integration}
    _check_urls(urls, kind)
    _make_room(folder, force)
    places: dict[Side, str] = {}
    dialects: dict[str, str] = {}
    for side, name in SCHEMAS.items():
        dialects[side] = "sqlite"
        if kind == "exports":
            shutil.copytree(data_folder() / name, folder / name)
            places[side] = f"folder: {name}"
        else:
            url = urls[side]
            dialects[side] = _make_database(side, url or f"sqlite:///{(folder / f'{name}.db').as_posix()}", force)
            places[side] = f"url: {_quoted(url or f'sqlite:///{name}.db')}"
    workspace = folder / WORKSPACE
    workspace.write_text(_workspace_text(places), encoding="utf-8", newline="\n")
    _remember_couplings(workspace, dialects)
    return workspace


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """The rows of one CSV file of the demo, every value as text."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


# --- the folder -----------------------------------------------------------------------------------------------------------------


def _check_urls(urls: dict[Side, str | None], kind: str) -> None:
    given = [url for url in urls.values() if url]
    if kind == "exports" and given:
        raise SynckitError("A demo of exports lies in folders; leave the database urls out.")
    if len(given) == 2 and resolve(given[0], TITLES["local"]) == resolve(given[1], TITLES["integration"]):
        raise SynckitError("Both systems of the demo have a table called contact; give them two databases.")
    for side, url in urls.items():
        if url and "${" not in url and parse(url, TITLES[side]).password:
            raise SynckitError(
                f"The url of {TITLES[side]} holds a password, which would stand in the workspace file; "
                "put it into an environment variable and write ${NAME} in its place."
            )


def _make_room(folder: Path, force: bool) -> None:
    """An empty folder with the marker in it, earlier files of a demo removed."""
    if folder.exists() and not folder.is_dir():
        raise SynckitError(f"{folder} is a file; name a folder for the demo.")
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if MARKER in found:
        if WORKSPACE in found and not force:  # without a workspace it is one that was never finished
            raise SynckitError(f"{folder} holds a demo already; use it, name another folder, or replace it with --force.")
        _remove_demo(folder)
    elif found:
        shown = ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
        raise SynckitError(f"{folder} is not empty ({shown}); name a new folder for the demo.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text(_MARKER_TEXT, encoding="utf-8")
    except OSError as error:
        raise SynckitError(f"The demo cannot be made in {folder}: {error.strerror or error}. Name another folder.") from None


def _remove_demo(folder: Path) -> None:
    for name in (LEDGER, *(f"{schema}.db" for schema in SCHEMAS.values())):
        for suffix in ("", "-wal", "-shm", "-journal"):
            (folder / f"{name}{suffix}").unlink(missing_ok=True)
    (folder / WORKSPACE).unlink(missing_ok=True)
    for schema in SCHEMAS.values():
        if (folder / schema).is_dir():
            shutil.rmtree(folder / schema)


# --- the databases --------------------------------------------------------------------------------------------------------------


def _make_database(side: Side, url: str, force: bool) -> str:
    """All tables of one side with their rows, in one transaction where the database can. Returns the database's dialect."""
    target = with_driver(resolve(url, TITLES[side]), TITLES[side])
    engine = sa.create_engine(target, hide_parameters=True)
    schema = load_schema(SCHEMAS[side])
    metadata = sa.MetaData()
    marker = sa.Table(MARKER_TABLE, metadata, sa.Column("made_by", sa.String(100), primary_key=True))
    filled: list[tuple[sa.Table, list[dict[str, Any]]]] = []
    for path in sorted((data_folder() / SCHEMAS[side]).glob("*.csv")):
        table = schema.table(path.stem)
        rows = list(rows_of(path))
        columns = {name: table.column(name) for name in rows[0]}
        made = _table(table, columns, schema, metadata, target.get_backend_name())
        filled.append((made, [_stored(row, columns, schema, target.get_backend_name()) for row in rows]))

    def fill() -> None:
        with engine.begin() as connection:
            present = set(sa.inspect(connection).get_table_names())
            in_the_way = sorted(present & {table.name for table, _ in filled})
            if in_the_way and (MARKER_TABLE not in present or not force):
                state = "an earlier demo; replace it with --force" if MARKER_TABLE in present else "its own tables"
                raise SynckitError(
                    f"The database for {TITLES[side]} holds {state} ({', '.join(in_the_way[:3])}); name an empty database."
                )
            metadata.drop_all(connection)
            metadata.create_all(connection)
            connection.execute(marker.insert(), {"made_by": "synckit demo"})
            for table, rows in filled:
                connection.execute(table.insert(), rows)

    try:
        connected(fill, target, TITLES[side])
    finally:
        engine.dispose()
    return target.get_backend_name()


def _table(table: Table, columns: dict[str, Column], schema: Schema, metadata: sa.MetaData, dialect: str) -> sa.Table:
    """The table with declared types, its primary key, a unique id and an index on the modified-on column."""
    keys = [table.column(name).column for name in table.primary_key]
    made = [
        sa.Column(
            name,
            _type(column, dialect),
            primary_key=name in keys,
            autoincrement=False,
            nullable=column.nullable and name not in keys,
            server_default=None if name in keys else _default(column, schema, dialect),
        )
        for name, column in columns.items()
    ]
    result = sa.Table(table.table, metadata, *made)
    uid = table.column(table.uid).column
    if uid not in keys:
        sa.Index(f"{table.table}_{uid}", result.c[uid], unique=True)
    modified = table.column(table.modified_on).column if table.modified_on else ""
    if modified in columns:
        sa.Index(f"{table.table}_{modified}", result.c[modified])
    return result


def _type(column: Column, dialect: str) -> sa.types.TypeEngine[Any]:
    """Types that keep every value exactly: SQLite has no decimals and no times, so both are text there."""
    lite = dialect == "sqlite"
    match column.kind:
        case "text" | "code":
            return sa.String(column.length) if column.length and column.length <= 4000 else sa.Text()
        case "guid":
            return sa.Uuid(as_uuid=False) if dialect == "postgresql" else sa.CHAR(36)
        case "integer" | "option":
            return sa.BigInteger() if column.type == "bigint" else sa.Integer()
        case "boolean":
            return sa.Boolean()
        case "decimal":
            return sa.Text() if lite else sa.Numeric(30, column.scale if column.scale is not None else 10)
        case "date":
            return sa.Text() if lite else sa.Date()
        case "time":
            return sa.Text() if lite else sa.Time()
        case "datetime":
            if dialect in ("mysql", "mariadb"):
                return mysql.DATETIME(fsp=3)
            return sa.Text() if lite else sa.TIMESTAMP(timezone=True)


def _default(column: Column, schema: Schema, dialect: str) -> sa.TextClause | None:
    """What the system itself gives to a new row: Business Central blanks, Dataverse an active state, both the time."""
    if column.kind == "datetime" and column.access == "read":
        if dialect == "sqlite":
            return sa.text("(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))")
        return sa.text("CURRENT_TIMESTAMP(3)")
    if column.name in _GIVEN:
        return sa.text(_GIVEN[column.name])
    if schema.blank != "empty" or column.kind in ("guid", "date", "datetime", "time"):
        return None
    if column.kind in ("text", "code"):
        return sa.text("''")
    return sa.text("false" if column.kind == "boolean" and dialect == "postgresql" else "0")


def _stored(row: dict[str, str], columns: dict[str, Column], schema: Schema, dialect: str) -> dict[str, Any]:
    return {name: _value(row[name], column, schema, dialect) for name, column in columns.items()}


def _value(text: str, column: Column, schema: Schema, dialect: str) -> Any:
    """A CSV value as the database's driver takes it; an empty one is the blank of Business Central or NULL."""
    if text == "":
        return "" if schema.blank == "empty" and column.kind in ("text", "code") else None
    match column.kind:
        case "integer" | "option":
            return int(text)
        case "boolean":
            return text == "true"
        case "decimal" if dialect != "sqlite":
            return Decimal(text)
        case "date" if dialect != "sqlite":
            return date.fromisoformat(text)
        case "datetime" if dialect != "sqlite":
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
            return moment.replace(tzinfo=None) if dialect in ("mysql", "mariadb") else moment
    return text


# --- the ledger -----------------------------------------------------------------------------------------------------------------


def _remember_couplings(workspace: Path, dialects: dict[str, str]) -> None:
    """The history of couplings, with stamps spelled as each database spells its modified-on."""
    described = load_workspace(workspace)
    spelled: dict[str, Callable[[str], str]] = {side: _SPELLING.get(dialect, str) for side, dialect in dialects.items()}
    places = [str(system.url or system.folder) for system in (described.local, described.integration)]
    ledger = Ledger.open(described.ledger, identity="\n".join(places))
    try:
        report = import_couplings(
            ledger,
            data_folder() / "couplings.csv",
            [mapping.name for mapping in described.mappings],
            stamp=lambda _, side, text: spelled[side](text),
            at=LAST_SYNC,
        )
    finally:
        ledger.close()
    if report.refused:
        raise SynckitError("The couplings of the demo do not fit; run `python data/generate.py` and try again.", report.refused)


def _as_postgresql(moment: str) -> str:
    """A moment as PostgreSQL writes a timestamptz in UTC: 2026-03-02 08:15:30.12+00 for 2026-03-02T08:15:30.120Z."""
    text = moment.removesuffix("Z").replace("T", " ")
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}+00"


def _as_mariadb(moment: str) -> str:
    return moment.removesuffix("Z").replace("T", " ")


_SPELLING: dict[str, Callable[[str], str]] = {"postgresql": _as_postgresql, "mysql": _as_mariadb, "mariadb": _as_mariadb}


# --- the workspace file ---------------------------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _workspace_text(places: dict[Side, str]) -> str:
    folder = data_folder()
    company = next(row for row in rows_of(folder / "dataverse" / "bcbi_company.csv") if row["bcbi_name"] == COMPANY)
    user = next(row for row in rows_of(folder / "dataverse" / "systemuser.csv") if row["isintegrationuser"] == "true")
    return f"""\
# The workspace of the demo: which two systems are synchronised, and how. Everything here can be edited;
# `synckit check` tells what is wrong with it and how it differs from the defaults.

# Where synckit keeps what it remembers: couplings, watermarks, jobs, errors, the journal of every write. Made when first needed.
ledger: {LEDGER}

# Who owns rows in Dataverse. person: the user coupled with the salesperson (the mapping SALESPEOPLE takes part);
# team: the owning team of the company.
ownership_model: person

# The local currency of Business Central. A blank Currency Code means this one, so it has no row in the table Currency.
local_currency: EUR

# The base currency of Dataverse: its exchange rate is 1, all others count against it.
base_currency: EUR

# The local side: the Business Central tables.
local:
  name: {TITLES["local"]}  # how screens and messages call it
  {places["local"]}
  schema: business_central  # which tables and fields there are, what people call them and what the database does
  version:
    # Who moves SystemModifiedAt when a row is written: here synckit; a real Business Central does it itself (server).
    kept_by: synckit
  company: {COMPANY}
  # The company's row in Dataverse (bcbi_company); rows of other companies are left alone.
  company_id: {company["bcbi_companyid"]}

# The integration side: the Dataverse tables.
integration:
  name: {TITLES["integration"]}
  {places["integration"]}
  schema: dataverse
  version:
    kept_by: synckit
  # The column that says who changed a row last, and the user that synckit writes as: so its own changes are not read back.
  modified_by: modifiedby
  integration_user: {user["systemuserid"]}

# What is synchronised with what. standard: the eight standard mappings; `synckit mappings` shows them. To change one, write a list:
#   - standard
#   - CUSTOMER: {{only_coupled: false}}
mappings: standard
"""
