"""Where a stage's two systems live: files that are copied back as they were, or tables of a MariaDB and a PostgreSQL server that are filled
again as they were. Both write every insert, update and delete to a table `history`, by triggers, and are looked at with plain SQL."""

# ruff: noqa: S608 - the statements are composed of the stage's own names
from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

TABLES = {"local": ("customer", "contact", "currency"), "integration": ("account", "contact", "transactioncurrency")}
HISTORY = "CREATE TABLE history (op VARCHAR(10), tbl VARCHAR(50), k VARCHAR(50))"
OPS = (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))


def uid_of(side: str, table: str) -> str:
    return "system_id" if side == "local" else f"{table}id"


class Files:
    """Two SQLite files (and the ledger's beside them)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.kept = folder, dict[str, bytes]()

    def watch(self) -> None:
        """Triggers that write the history."""
        for side, tables in TABLES.items():
            with closing(sqlite3.connect(self.folder / f"{side}.db")) as database, database:
                database.execute(HISTORY)
                for table in tables:
                    for op, row in OPS:
                        written = f"INSERT INTO history VALUES ('{op}', '{table}', {row}.{uid_of(side, table)})"
                        database.execute(f"CREATE TRIGGER h_{table}_{op} AFTER {op} ON {table} BEGIN {written}; END")

    def keep(self) -> None:
        self.kept = dump(self.folder)

    def put_back(self) -> None:
        for path in self.folder.iterdir():
            if ".db" in path.name:
                path.unlink()
        for name, content in self.kept.items():
            (self.folder / name).write_bytes(content)

    def close(self) -> None:
        """Nothing stays open between two looks."""

    def ask(self, side: str, query: str) -> list[dict[str, Any]]:
        """The answer of a side, or of the ledger."""
        with closing(sqlite3.connect(self.folder / f"{side}.db")) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query)]


class Servers(Files):
    """A database on a MariaDB server and a schema on a PostgreSQL server; the ledger is a file all the same."""

    def __init__(self, folder: Path, urls: dict[str, str]) -> None:
        super().__init__(folder)
        self.engines = {side: sa.create_engine(url) for side, url in urls.items()}
        self.maria = {side: engine.dialect.name in ("mariadb", "mysql") for side, engine in self.engines.items()}
        self.tables: dict[str, list[str]] = {}
        for side in self.engines:
            if not self.maria[side]:
                sa.event.listen(self.engines[side], "connect", _in_schema(side))

    def _run(self, side: str, *statements: str) -> None:
        with self.engines[side].begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def _present(self, side: str) -> list[str]:
        names = sa.inspect(self.engines[side]).get_table_names(schema=None if self.maria[side] else side)
        return sorted(n for n in names if not n.startswith("kept_"))

    def watch(self) -> None:
        for side, tables in TABLES.items():
            self._run(side, HISTORY)
            for table in tables:
                for op, row in OPS:
                    history = "history" if self.maria[side] else f"{side}.history"
                    written = f"INSERT INTO {history} VALUES ('{op}', '{table}', {row}.{uid_of(side, table)})"
                    if self.maria[side]:
                        self._run(side, f"CREATE TRIGGER h_{table}_{op} AFTER {op} ON {table} FOR EACH ROW {written}")
                        continue
                    body = f"LANGUAGE plpgsql AS $$ BEGIN {written}; RETURN NULL; END $$"
                    self._run(side, f"CREATE FUNCTION h_{table}_{op}() RETURNS trigger {body}")
                    self._run(side, f"CREATE TRIGGER h_{op} AFTER {op} ON {table} FOR EACH ROW EXECUTE FUNCTION h_{table}_{op}()")

    def keep(self) -> None:
        super().keep()
        for side in self.engines:
            self.tables[side] = self._present(side)
            for table in self.tables[side]:
                self._run(side, f"DROP TABLE IF EXISTS kept_{table}", f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")

    def put_back(self) -> None:
        super().put_back()
        for side in self.engines:
            present, by_triggers = self._present(side), ("history", "world_clock")  # those are filled last
            statements = [f"DROP TABLE {table}" for table in present if table not in self.tables[side]]
            for table in sorted(self.tables[side], key=lambda name: name in by_triggers):
                assert table in present, f"{side} has lost its table {table}"
                statements += [f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM kept_{table}"]
            self._run(side, *statements)

    def ask(self, side: str, query: str) -> list[dict[str, Any]]:
        if side not in self.engines:
            return super().ask(side, query)
        with self.engines[side].connect() as connection:
            found = connection.exec_driver_sql(query).mappings()
            return [{name: None if value is None else str(value) for name, value in row.items()} for row in found]

    def close(self) -> None:
        for engine in self.engines.values():
            engine.dispose()


def _in_schema(name: str) -> Any:
    def connected(connection: Any, record: Any) -> None:
        connection.execute(f"SET search_path TO {name}")
        connection.commit()

    return connected


def dump(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix == ".db"}
