"""How fast a plan is applied: creates and updates per second beside plain executemany of the very same statements without synckit.

    python tests/benchmarks/apply.py [--rows 20000] [--postgres URL] [--profile]

Each line is measured in the same run: a plan is applied with its journal and ledger on, while the statements that reach the
destination are recorded; then the destination is filled anew and the bare driver sends the recorded statements, as executemany in the
same portions, one transaction each. Planning is not part of it. "ratio" is rows per second of synckit over those of the bare driver;
"processor" is the same in processor time of this process, which a busy machine disturbs less (SQLite works inside the process,
PostgreSQL does not). "journal" is what the journal takes per row in the ledger.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

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
        side: {"name": side, "url": urls[side], "schema": schema(side, table), "version": {"kept_by": "synckit"}}
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


@contextmanager
def recorded(table: str) -> Iterator[list[tuple[str, list[Any]]]]:
    """The statements with many rows that reach `table`, with their parameters."""
    statements: list[tuple[str, list[Any]]] = []
    send = sa.Connection.exec_driver_sql

    def noted(connection: sa.Connection, statement: str, parameters: Any = None, *more: Any, **options: Any) -> Any:
        if isinstance(parameters, list) and f"{table} " in statement.replace('"', ""):
            statements.append((statement, parameters))
        return send(connection, statement, parameters, *more, **options)

    sa.Connection.exec_driver_sql = noted  # type: ignore[method-assign]
    try:
        yield statements
    finally:
        sa.Connection.exec_driver_sql = send  # type: ignore[method-assign]


def plain(url: str, statements: list[tuple[str, list[Any]]]) -> tuple[float, float]:
    """Seconds, on the clock and of the processor, that the bare driver takes for the same statements, one transaction per portion."""
    engine = sa.create_engine(url)
    connection = engine.raw_connection()
    begun, worked = time.perf_counter(), time.process_time()
    for statement, rows in statements:
        cursor = connection.cursor()
        cursor.executemany(statement, rows)
        connection.commit()
        cursor.close()
    seconds = time.perf_counter() - begun, time.process_time() - worked
    connection.close()
    engine.dispose()
    return seconds


def journal_bytes(ledger: Path) -> int:
    with closing(sqlite3.connect(ledger)) as database:
        sizes = "sum(length(intents) + length(coalesce(outcomes, '')) + length(key_hashes))"
        return int(database.execute(f"SELECT {sizes} FROM journal_batch").fetchone()[0] or 0)  # noqa: S608


def measure(what: str, rows: int, postgres: str | None, profile: bool) -> tuple[float, float, float, float]:
    """Rows per second of the bare driver and of synckit, the ratio of their processor times, and bytes of journal per row."""
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
            plan = ws.plan_full()
            assert plan.writes == rows, plan.sentence()
            profiler = cProfile.Profile()
            with recorded("account") as statements:
                begun, worked = time.perf_counter(), time.process_time()
                if profile:
                    profiler.enable()
                run = ws.apply(plan, accept=to_accept(plan))
                profiler.disable()
                seconds, busy = time.perf_counter() - begun, time.process_time() - worked
            assert run.written == rows, run.to_text()
        assert sum(len(parameters) for _, parameters in statements) == rows
        fill(urls["integration"], "integration", "account", coupled)
        bare, bare_busy = plain(urls["integration"], statements)
        if profile:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
        return rows / bare, rows / seconds, bare_busy / busy, journal_bytes(folder / "ledger.db") / rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rows", type=int, default=20_000)
    arguments.add_argument(
        "--postgres", help="URL of a PostgreSQL database in which the tables customer and account may be replaced"
    )
    arguments.add_argument("--profile", action="store_true")
    given = arguments.parse_args()
    print(
        f"{'':<24}{'bare driver':>16}{'synckit':>16}{'ratio':>8}{'processor':>11}{'journal':>13}   ({given.rows:,} rows, 11 columns)"
    )
    for database, url in (("SQLite", None), ("PostgreSQL", given.postgres)):
        if database == "PostgreSQL" and url is None:
            continue
        for what in ("creates", "updates"):
            bare, ours, busy, size = measure(what, given.rows, url, given.profile)
            line = f"{database + ' ' + what:<24}{bare:>12,.0f} r/s{ours:>12,.0f} r/s{ours / bare:>8.2f}{busy:>11.2f}{size:>11.0f} B"
            print(line, flush=True)


if __name__ == "__main__":
    main()
