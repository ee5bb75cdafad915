"""Makes two large systems, their couplings and a workspace: what the benchmarks measure on.

    python tests/benchmarks/generate.py FOLDER --rows 1000000 --changed 0.02

Every value is a function of the record's number, so that either side can be written in its own order without holding a table in
memory. The share `changed` counts coupled pairs; half of them changed on each side (all of them locally where the mapping is one-way).
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from synckit.ledger.ledger import Ledger

COUPLED, ONLY_LOCAL, ONLY_INTEGRATION = 0.95, 0.03, 0.02
LAST_SYNC = "2026-02-27T18:00:00.000Z"
CHANGED_AT = "2026-03-02T09:30:00.000Z"

TEXTS = ("Name", "Name 2", "Address", "Address 2", "Post Code", "City", "County", "Country", "Contact", "E-Mail", "Phone No.",
         "Fax No.", "Home Page", "Language", "Remark")  # fmt: skip
#: (caption, physical name, schema's type and more, PostgreSQL type); the order of the columns in both tables.
COLUMNS: tuple[tuple[str, str, str, str], ...] = (
    *((name, name.lower().translate({ord(" "): "_", ord("-"): "_", ord("."): None}), "text, length: 100", "varchar(100)") for name in TEXTS),
    ("Credit Limit", "credit_limit", "decimal, scale: 2", "numeric(20, 2)"),
    ("Discount", "discount", "decimal, scale: 5", "numeric(20, 5)"),
    ("Balance", "balance", "decimal, scale: 2", "numeric(20, 2)"),
    ("Priority", "priority", "integer", "integer"),
    ("Visits", "visits", "integer", "bigint"),
    ("Since", "since", "date", "date"),
    ("Last Order", "last_order", "date", "date"),
    ("Next Call", "next_call", "datetime", "timestamptz"),
    ("Owner", "owner", "guid", "uuid"),
    ("Region", "region", "guid", "uuid"),
)  # fmt: skip

STREETS = ("Hafenstraße", "Rue de l'Église", "Market Street", "Calle Ñuño", "Søndergade", "Ulica Łódzka", "Via Roma", "中山路")
CITIES = ("Lüdersen", "Saint-Aurèle", "Kings Yard", "Peñalba", "Nygård", "Grzędów", "Monteverde", "台中市")
NAMES = ("Hafenkontor", "Librairie", "Quayside Tools", "Cooperativa", "Fællesbrug", "Hurtownia", "Officina", "貿易")
FORMS = ("GmbH", "SARL", "Ltd", "S.L.", "ApS", "Sp. z o.o.", "S.r.l.", "有限公司")


@dataclass(frozen=True)
class Size:
    """How much is made. `changed`: share of the coupled pairs of which one side changed since the last synchronisation."""

    rows: int = 1_000_000
    changed: float = 0.02
    one_way: bool = False

    @property
    def coupled(self) -> int:
        return round(self.rows * COUPLED)

    @property
    def only_local(self) -> int:
        return round(self.rows * ONLY_LOCAL)

    @property
    def only_integration(self) -> int:
        return round(self.rows * ONLY_INTEGRATION)

    def changed_on(self, number: int) -> str:
        """The side on which coupled pair `number` changed, or ''; the changed ones are spread over the whole."""
        if not self.changed or (number * 7919) % self.coupled >= round(self.coupled * self.changed):
            return ""
        return "local" if self.one_way or number % 2 else "integration"


def guid(kind: str, number: int) -> str:
    h = hashlib.md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


OWNERS = [guid("owner", n) for n in range(200)]
FIRST_DAY = date(2015, 1, 1)
DAYS = [(FIRST_DAY + timedelta(days=n)).isoformat() for n in range(4000)]


def values(number: int) -> list[Any]:
    """The 25 mapped values of record `number`; a blank is ''."""
    n, k = number, number % 8
    name = f"{NAMES[k]} {n} {FORMS[n % 7]}"
    return [
        name, f"Branch {n % 97}" if n % 5 == 0 else "", f"{STREETS[k]} {n % 180 + 1}", f"Floor {n % 9}" if n % 10 == 0 else "",
        f"{10000 + n % 89999}", CITIES[n % 7], f"County {n % 40}", ("DE", "FR", "GB", "ES", "DK", "PL", "IT", "TW")[k],
        f"Contact {n % 5003}", f"office{n}@partner-{n % 9973}.example", f"+49 555 01{n % 1000:03} {n:07}", f"+49 555 01{n % 1000:03} 9",
        f"https://partner-{n}.example", ("DEU", "FRA", "ENU", "ESP")[n % 4], f"Remark on record {n}: visited {n % 13} times" if n % 3 else "",
        f"{n % 100000}.{n % 100:02}", f"{n % 40}.{n % 100000:05}", f"{n % 1000003 - 500000}.{n % 90 + 10}", n % 10, n * 17 % 100000,
        DAYS[n % 4000], DAYS[n * 13 % 4000], f"{DAYS[n * 7 % 4000]}T{n % 24:02}:{n % 60:02}:00.000Z", OWNERS[n % 200], OWNERS[n * 3 % 200],
    ]  # fmt: skip


CITY, DISCOUNT, VISITS = 5, 16, 19  # what a change touches


def rows(side: str, size: Size) -> Iterator[list[Any]]:
    """Rows of one side: key, modified-on, the mapped values. The integration side lies in another order than the local one."""
    alone = size.only_local if side == "local" else size.only_integration
    first = size.coupled if side == "local" else size.coupled + size.only_local
    numbers = [*range(size.coupled), *range(first, first + alone)]
    if side == "integration":
        random.Random(4711).shuffle(numbers)
    for number in numbers:
        made = values(number)
        at = LAST_SYNC
        if number < size.coupled and size.changed_on(number) == side:
            made[CITY], made[DISCOUNT], made[VISITS] = f"{made[CITY]} ({side})", "12.34500", made[VISITS] + 1
            at = CHANGED_AT
        if side == "integration":
            made = [None if value == "" else value for value in made]
        yield [guid(side, number), at, *made]


def couplings(size: Size) -> Iterator[tuple[Any, ...]]:
    for number in range(size.coupled):
        yield ("PARTNER", guid("local", number), guid("integration", number), LAST_SYNC, LAST_SYNC, "2026-02-27T18:00:00")


def make(folder: Path, size: Size, postgres: str = "") -> Path:
    """Makes both systems, the ledger and the workspace in `folder`, unless they are there; gives the workspace's path.

    `postgres`: URL of a database in which both tables are made instead of two SQLite files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workspace = folder / "workspace.yaml"
    if workspace.exists():
        return workspace
    for side in ("local", "integration"):
        if postgres:
            _fill_postgres(postgres, side, size)
        else:
            _fill_sqlite(folder / f"{side}.db", side, size)
    for side in ("local", "integration"):
        (folder / f"{side}.yaml").write_text(_schema(side), encoding="utf-8")
    ledger = folder / "ledger.db"
    ledger.unlink(missing_ok=True)
    opened = Ledger.open(str(ledger), identity="benchmark")
    with opened.transaction(at=datetime(2026, 2, 27, 18, tzinfo=UTC).replace(tzinfo=None)):
        pass
    opened.close()
    with sqlite3.connect(ledger) as connection:
        connection.executemany(
            "INSERT INTO coupling (mapping, local_key, integration_key, local_stamp, integration_stamp, coupled_at) VALUES (?, ?, ?, ?, ?, ?)",
            couplings(size),
        )
    connection.close()
    workspace.write_text(_workspace(size, postgres), encoding="utf-8")
    return workspace


def _fill_sqlite(path: Path, side: str, size: Size) -> None:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    kinds = {
        "text": "VARCHAR(100)",
        "decimal": "TEXT",
        "integer": "INTEGER",
        "date": "TEXT",
        "datetime": "TEXT",
        "guid": "CHAR(36)",
    }
    columns = ", ".join(f"{column} {kinds[kind.split(',')[0]]}" for _, column, kind, _ in COLUMNS)
    connection.execute(f"CREATE TABLE {side}_partner (id CHAR(36) PRIMARY KEY, modified_on TEXT, {columns})")
    connection.executemany(f"INSERT INTO {side}_partner VALUES ({', '.join('?' * (2 + len(COLUMNS)))})", rows(side, size))  # noqa: S608
    connection.commit()
    connection.close()


def _fill_postgres(url: str, side: str, size: Size) -> None:
    import psycopg

    columns = ", ".join(f"{column} {kind}" for _, column, _, kind in COLUMNS)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {side}_partner")  # type: ignore[arg-type]
        cursor.execute(f"CREATE TABLE {side}_partner (id uuid PRIMARY KEY, modified_on timestamptz, {columns})")  # type: ignore[arg-type]
        with cursor.copy(f"COPY {side}_partner FROM STDIN") as copy:  # type: ignore[arg-type]
            for row in rows(side, size):
                copy.write_row(row)
        cursor.execute(f"ANALYZE {side}_partner")  # type: ignore[arg-type]


def _schema(side: str) -> str:
    captions = "".join(f"\n      - {{name: {name}, column: {column}, type: {kind}}}" for name, column, kind, _ in COLUMNS)
    return f"""\
name: benchmark {side}
blank: "{"empty" if side == "local" else "null"}"
tables:
  - name: partner
    table: {side}_partner
    primary_key: [Id]
    uid: Id
    modified_on: Modified On
    name_column: Name
    columns:
      - {{name: Id, column: id, type: guid, nullable: false, primary_key: true}}
      - {{name: Modified On, column: modified_on, type: datetime, access: read}}{captions}
"""


def _workspace(size: Size, postgres: str) -> str:
    def url(side: str) -> str:
        return postgres.replace("postgresql://", "postgresql+psycopg://") if postgres else f"sqlite:///{side}.db"

    fields = "".join(f"\n      - {{local: {name}, integration: {name}}}" for name, *_ in COLUMNS)
    return f"""\
ledger: ledger.db
local: {{name: Local, url: '{url("local")}', schema: local.yaml, version: {{kept_by: synckit}}}}
integration: {{name: Integration, url: '{url("integration")}', schema: integration.yaml, version: {{kept_by: synckit}}}}
mappings:
  - name: PARTNER
    local: {{table: partner}}
    integration: {{table: partner}}
    direction: {"to_integration" if size.one_way else "bidirectional"}
    fields:{fields if not size.one_way else fields.replace("}", ", direction: to_integration}")}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=Size.rows)
    parser.add_argument("--changed", type=float, default=Size.changed, help="share of the coupled pairs, 0 to 1")
    parser.add_argument("--one-way", action="store_true")
    parser.add_argument("--postgres", default="", help="URL of a database to fill instead of SQLite files")
    given = parser.parse_args()
    begun = time.perf_counter()
    workspace = make(given.folder, Size(given.rows, given.changed, given.one_way), given.postgres)
    print(f"{workspace} in {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
