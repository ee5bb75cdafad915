"""How fast a plan is applied: creates and updates per second beside plain executemany of the very same statements without synckit.

    python tests/benchmarks/apply.py [--rows 20000] [--postgres URL] [--repeat 3] [--profile]

Each line is measured in the same run: a plan is applied with its journal and ledger on; then it is applied again to the same beginning
while everything that is sent is recorded; then the bare drivers send the recorded statements, as executemany in the same portions, one
transaction each: once the rows of the destination alone, once everything, which is the destination's rows and what must be remembered
of them (couplings, stamps, journal, jobs). Planning is not part of it. "ratio" is rows per second of synckit over those of the bare
driver, in brackets the same in processor time of this process, which a busy machine disturbs less (SQLite works inside the process,
PostgreSQL does not). "journal" is what the journal takes per row in the ledger.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from synckit.applying import apply, resume  # noqa: F401  (loaded before the clock starts)
from synckit.applying.refusals import to_accept
from synckit.workspace import Workspace, open_workspace

FIELDS = ["name", "address", "city", "post_code", "county", "phone", "fax", "email", "website", "note"]
COLUMNS = [{"name": f, "type": "text", "length": 100} for f in FIELDS]
STAMP = "2026-01-05 09:00:00.000"


def schema(side: str, table: str) -> dict[str, Any]:
    columns = [
        {"name": "id", "type": "guid"},
        {"name": "no", "type": "code", "length": 20},
        *COLUMNS,
        {"name": "modified", "type": "datetime"},
    ]
    key = ["no"] if side == "local" else ["id"]
    described = {
        "name": table,
        "primary_key": key,
        "uid": "id",
        "modified_on": "modified",
        "name_column": "name",
        "columns": columns,
    }
    return {"name": side, "blank": "null", "tables": [described]}


def workspace(folder: Path, urls: dict[str, str]) -> Workspace:
    fields = [{"local": f, "integration": f, "direction": "to_integration"} for f in ["no", *FIELDS]]
    mapping = {
        "name": "CUSTOMER",
        "local": {"table": "customer"},
        "integration": {"table": "account"},
        "direction": "to_integration",
        "fields": fields,
    }
    systems = {
        side: {"name": side, "url": urls[side], "schema": schema(side, table), "version": {"kept_by": "synckit"}, "mark": False}
        for side, table in (("local", "customer"), ("integration", "account"))
    }
    file = folder / "workspace.yaml"
    file.write_text(json.dumps({"ledger": "ledger.db", **systems, "mappings": [mapping]}), encoding="utf-8")
    return open_workspace(file)


def key(side: str, n: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{side} {n}"))


def fill(url: str, side: str, table: str, rows: int, changed: bool = False) -> None:
    """The table with that many rows, made anew; `changed`: every tenth letter of what is compared is another one."""
    engine = sa.create_engine(url)
    lite = engine.dialect.name == "sqlite"
    made = sa.Table(
        table, sa.MetaData(), sa.Column("id", sa.CHAR(36) if lite else sa.Uuid(as_uuid=False), primary_key=True), sa.Column("no", sa.String(20)),
        *(sa.Column(f, sa.String(100)) for f in FIELDS), sa.Column("modified", sa.Text() if lite else sa.TIMESTAMP()),
    )  # fmt: skip
    with engine.begin() as connection:
        made.drop(connection, checkfirst=True)
        made.create(connection)
        lines = [
            {"id": key(side, n), "no": f"C{n:07}", **{f: f"{f} of number {n}" for f in FIELDS}, "modified": STAMP,
             **({"phone": f"+49 {n}", "note": f"changed {n}"} if changed else {})}
            for n in range(rows)
        ]  # fmt: skip
        for start in range(0, rows, 5000):
            connection.execute(made.insert(), lines[start : start + 5000])
    engine.dispose()


Sent = tuple[str, str, Any, bool]  # database, statement (or "commit"), its parameters, whether it is sent for many rows


@contextmanager
def recorded() -> Iterator[list[Sent]]:
    """Every statement that writes, to the destination and to the ledger, with the commits between them."""
    sent: list[Sent] = []

    def noted(connection: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
            sent.append((database_of(connection), statement, parameters, many))

    def committed(connection: sa.Connection) -> None:
        sent.append((database_of(connection), "commit", None, False))

    sa.event.listen(sa.Engine, "before_cursor_execute", noted)
    sa.event.listen(sa.Engine, "commit", committed)
    try:
        yield sent
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", noted)
        sa.event.remove(sa.Engine, "commit", committed)


def database_of(connection: sa.Connection) -> str:
    opened = connection.connection.dbapi_connection
    if isinstance(opened, sqlite3.Connection):
        return Path(opened.execute("PRAGMA database_list").fetchone()[2]).stem
    return "integration"


def plain(connections: dict[str, Any], sent: list[Sent]) -> tuple[float, float]:
    """Seconds, on the clock and of the processor, that the bare drivers take for the statements to those databases."""
    mine = [one for one in sent if one[0] in connections]
    begun, worked = time.perf_counter(), time.process_time()
    for database, statement, parameters, many in mine:
        connection = connections[database]
        if statement == "commit":
            connection.commit()
        elif many:
            connection.cursor().executemany(statement, parameters)
        else:
            connection.cursor().execute(statement, parameters)
    seconds = time.perf_counter() - begun, time.process_time() - worked
    for connection in connections.values():
        connection.close()
    return seconds


def journal_bytes(ledger: Path) -> int:
    with closing(sqlite3.connect(ledger)) as database:
        sizes = "sum(length(intents) + length(coalesce(outcomes, '')) + length(key_hashes))"
        return int(database.execute(f"SELECT {sizes} FROM journal_batch").fetchone()[0] or 0)  # noqa: S608


@dataclass
class Measured:
    """Seconds: of the bare driver for the rows alone, of the bare drivers for all that was sent (couplings, stamps and journal, too), of
    synckit; the same of the processor; bytes of journal per row."""

    rows: tuple[float, float]
    everything: tuple[float, float]
    synckit: tuple[float, float]
    journal: float


def measure(what: str, rows: int, postgres: str | None, profile: bool) -> Measured:
    with tempfile.TemporaryDirectory(prefix="synckit-bench-") as name:
        folder = Path(name)
        urls = {side: postgres or f"sqlite:///{(folder / f'{side}.db').as_posix()}" for side in ("local", "integration")}
        coupled = rows if what == "updates" else 0
        fill(urls["local"], "local", "customer", rows, changed=True)
        fill(urls["integration"], "integration", "account", coupled)
        with workspace(folder, urls) as ws:
            stamp = STAMP if postgres is None else "2026-01-05 09:00:00"
            couplings = [
                {"mapping": "CUSTOMER", "local_key": key("local", n), "integration_key": key("integration", n), "local_stamp": "old", "integration_stamp": stamp}
                for n in range(coupled)
            ]  # fmt: skip
            with ws.ledger.transaction() as tx:
                tx.add_couplings(couplings)
            plan = ws.plan_full(deep_rows=0)  # its rows look alike: what is possible duplicates is not the question here
            assert plan.writes == rows, plan.sentence()
            ledger = folder / "ledger.db"
            for copy in ("first", "second"):
                (folder / copy).mkdir()
                shutil.copy(ledger, folder / copy / "ledger.db")
            profiler = cProfile.Profile()
            begun, worked = time.perf_counter(), time.process_time()
            if profile:
                profiler.enable()
            run = ws.apply(plan, accept=to_accept(plan))
            profiler.disable()
            ours = time.perf_counter() - begun, time.process_time() - worked
            assert run.written == rows, run.to_text()
            size = journal_bytes(ledger) / rows
        if profile:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
        # once more, to learn what was sent: what listens costs time of its own
        shutil.copy(folder / "second" / "ledger.db", ledger)
        fill(urls["integration"], "integration", "account", coupled)
        with open_workspace(folder / "workspace.yaml") as ws, recorded() as sent:
            assert ws.apply(plan, accept=to_accept(plan)).written == rows
        assert sum(len(parameters) for database, _, parameters, many in sent if many and database == "integration") == rows
        found = []
        for databases in (("integration",), ("integration", "ledger")):
            fill(urls["integration"], "integration", "account", coupled)
            engine = sa.create_engine(urls["integration"])
            connections = {"integration": engine.raw_connection(), "ledger": sqlite3.connect(folder / "first" / "ledger.db")}
            connections["ledger"].execute("PRAGMA synchronous = FULL")
            found.append(plain({database: connections[database] for database in databases}, sent))
            engine.dispose()
        return Measured(found[0], found[1], ours, size)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, default=20_000)
    arguments.add_argument(
        "--postgres", help="URL of a PostgreSQL database in which the tables customer and account may be replaced"
    )
    arguments.add_argument("--repeat", type=int, default=1, help="Measure so often, and take the best of each.")
    arguments.add_argument("--profile", action="store_true")
    given = arguments.parse_args()
    print(f"{given.rows:,} rows of 11 columns; rows per second, and the ratio of synckit's to them (that of processor times)")
    print(f"{'':<20}{'synckit':>10}{'rows alone':>26}{'all that was sent':>26}{'journal':>12}")
    for database, url in (("SQLite", None), ("PostgreSQL", given.postgres)):
        if database == "PostgreSQL" and url is None:
            continue
        for what in ("creates", "updates"):
            every = [measure(what, given.rows, url, given.profile) for _ in range(given.repeat)]
            ours = [min(one.synckit[n] for one in every) for n in (0, 1)]
            line = f"{database + ' ' + what:<20}{given.rows / ours[0]:>10,.0f}"
            for peer in ("rows", "everything"):
                best = [min(getattr(one, peer)[n] for one in every) for n in (0, 1)]
                line += f"{given.rows / best[0]:>12,.0f}{best[0] / ours[0]:>7.2f} ({best[1] / ours[1]:.2f})"
            print(line + f"{every[0].journal:>10.0f} B", flush=True)


if __name__ == "__main__":
    main()
