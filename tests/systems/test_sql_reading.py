"""Reading: hostile values come out canonical and alike on every engine and either path, from one moment, changing nothing."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from datetime import date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest
from conftest import CUSTOMER, SCHEMA, key  # type: ignore[import-not-found]

from synckit.errors import SynckitError
from synckit.mapping.schema import Column, Schema, Table
from synckit.systems.protocol import VERSION_TOKEN, Condition

TEXTS = [
    "plain",
    "",
    None,
    "4 byte 🚲 𠮷",
    "\x01\x1f\x7f\t\r\n",
    "שלום\u202eabc\u200f",
    "'; DROP TABLE x; --",
    "=cmd|' /C'!A1",
    "%s %(a)s :b",
    " é ",
]
DECIMALS = ["-0.05", "0", "12345678901234567890123456789012345.67", "-99999999999999999999999999999999999.99", "1.5", None]
DATES = ["1753-01-01", "1899-12-31", "2026-02-28", "9999-12-31", None]
NAME = '"name of it"'


def fill(shop) -> None:
    name = NAME.replace('"', "`") if shop.dialect == "mariadb" else NAME
    for number, text in enumerate(TEXTS):
        shop.sql(
            f"INSERT INTO CUSTOMER (system_id, no, {name}, balance, big, blocked, since, opens, kind, modified)"  # noqa: S608
            " VALUES (:k, :no, :text, :balance, :big, :blocked, :since, :opens, :kind, :modified)",
            {
                "k": key(number),
                "no": f"N{number}",
                "text": text,
                "balance": DECIMALS[number % 6],
                "big": ["0.0000000001", "1234567890123456789012345678.0123456789", None][number % 3],
                "blocked": [True, False, None][number % 3],
                "since": DATES[number % 5],
                "opens": ["08:30:00", "23:59:59.123456", None][number % 3],
                "kind": [-1, 0, None][number % 3],
                "modified": [f"2026-01-02 03:04:05.{number:03d}", "1899-12-31 23:59:59.999999", None][number % 3],
            },
        )


def expected() -> list[dict]:
    return [
        {
            "SystemId": key(number),
            "No.": f"N{number}",
            "Name": text,
            "Balance": None if DECIMALS[number % 6] is None else Decimal(DECIMALS[number % 6]),
            "Big": [Decimal("0.0000000001"), Decimal("1234567890123456789012345678.0123456789"), None][number % 3],
            "Blocked": [True, False, None][number % 3],
            "Since": None if DATES[number % 5] is None else date.fromisoformat(DATES[number % 5]),
            "Opens": [time(8, 30), time(23, 59, 59, 123456), None][number % 3],
            "Kind": [-1, 0, None][number % 3],
            "SystemModifiedAt": [datetime(2026, 1, 2, 3, 4, 5, number * 1000), datetime(1899, 12, 31, 23, 59, 59, 999999), None][
                number % 3
            ],
        }
        for number, text in enumerate(TEXTS)
    ]


@pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "cursor"])
def test_hostile_values_are_read_alike_everywhere(shop, rows_of, bulk):
    fill(shop)
    assert rows_of(shop.open(bulk)) == expected()


def test_types_are_the_canonical_ones(shop):
    with shop.system.snapshot() as snapshot:
        schema = snapshot.read(CUSTOMER, [*(c.name for c in CUSTOMER.columns), VERSION_TOKEN]).schema
    assert schema.types == [
        pa.string(), pa.string(), pa.string(), pa.decimal128(38, 2), pa.decimal128(38, 10), pa.bool_(), pa.date32(), pa.time64("us"),
        pa.int64(), pa.timestamp("us"), pa.string(),
    ]  # fmt: skip


LOOSE = Table(
    name="loose",
    table="loose",
    primary_key=("id",),
    uid="id",
    modified_on="stamp",
    columns=(
        Column(name="id", column="id", type="integer"),
        Column(name="guid", column="guid", type="guid"),
        Column(name="stamp", column="stamp", type="datetime"),
        Column(name="real", column="real", type="decimal", scale=2),
        Column(name="number", column="number", type="decimal"),
        Column(name="day", column="day", type="date"),
        Column(name="flag", column="flag", type="boolean"),
        Column(name="text", column="text", type="text"),
    ),
)
GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
STAMPS = {
    "2026-01-02T03:04:05Z": datetime(2026, 1, 2, 3, 4, 5),
    "2026-01-02 03:04:05": datetime(2026, 1, 2, 3, 4, 5),
    "2026-01-02T03:04:05.1234567Z": datetime(2026, 1, 2, 3, 4, 5, 123456),
    "2026-01-02 03:04:05.1": datetime(2026, 1, 2, 3, 4, 5, 100000),
    "2026-01-02T05:04:05.12+02:00": datetime(2026, 1, 2, 3, 4, 5, 120000),
    "2026-01-01T22:04:05.12345-05:00": datetime(2026, 1, 2, 3, 4, 5, 123450),
    "2026-01-02": datetime(2026, 1, 2),
    "0001-01-01T00:00:00": datetime(1, 1, 1),
    "": None,
}


@pytest.fixture
def loose(tmp_path):
    """An SQLite table as found in the wild: no strict types, every spelling."""
    from synckit.mapping.model import SystemConfig
    from synckit.systems.sql import open_sql

    path = tmp_path / "loose.db"
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE loose (id INTEGER PRIMARY KEY, guid, stamp DATETIME, real REAL, number NUMERIC, day TEXT, flag BOOLEAN, text)"
    )

    def put(*rows: tuple) -> None:
        connection.executemany("INSERT INTO loose VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.commit()

    schema = Schema(name="loose", tables=(LOOSE,))
    config = SystemConfig(name="Loose", url=f"sqlite:///{path}", schema="loose")
    yield put, lambda bulk=True: open_sql(config, schema, "integration", bulk)
    connection.close()


@pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "cursor"])
def test_every_spelling_of_stamps_and_guids(loose, rows_of, bulk):
    put, system = loose
    guids = [GUID, GUID.upper(), "{" + GUID.upper() + "}", GUID.replace("-", ""), None]
    for index, stamp in enumerate(STAMPS):
        put((index, guids[index % 5], stamp, 0, 0, None, None, None))
    rows = rows_of(system(bulk), LOOSE, ["id", "guid", "stamp", VERSION_TOKEN])
    assert [row["stamp"] for row in rows] == list(STAMPS.values())
    assert [row[VERSION_TOKEN] for row in rows] == list(STAMPS)
    assert [row["guid"] for row in rows] == [None if index % 5 == 4 else GUID for index in range(len(STAMPS))]


@pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "cursor"])
def test_values_of_mixed_storage_are_read_by_the_schema(loose, rows_of, bulk):
    put, system = loose
    put(
        *[(n, None, None, None, None, None, None, None) for n in range(5000)],  # the types cannot be guessed from the first rows
        (6001, None, None, 2.675, 0.1, "2026-01-02T00:00:00", "true", 7),
        (6002, None, None, 1 / 3, 12345678901234567, "2026-01-02", 0, 1.5),
        (6003, None, None, -0.125, "-1.5", "", 1, "x"),
        (6004, None, None, 1e-30, 0.5, None, "False", ""),
    )
    rows = [row for row in rows_of(system(bulk), LOOSE) if row["id"] > 6000]
    assert [row["real"] for row in rows] == [Decimal("2.68"), Decimal("0.33"), Decimal("-0.13"), Decimal("0.00")]
    assert [row["number"] for row in rows] == [Decimal("0.1"), Decimal(12345678901234567), Decimal("-1.5"), Decimal("0.5")]
    assert [row["day"] for row in rows] == [date(2026, 1, 2), date(2026, 1, 2), None, None]
    assert [row["flag"] for row in rows] == [True, False, True, False]
    assert [row["text"] for row in rows] == ["7", "1.5", "x", ""]


@pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "cursor"])
@pytest.mark.parametrize("before", [0, 5000])
@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("real", "abc", "a number such as"),
        ("number", "1,50", "a number such as"),
        ("text", b"\x00\xff", "binary"),
        ("text", b"abc", "binary"),
        ("guid", "customer 1", "a GUID such as"),
        ("stamp", "02.01.2026", "a date and time such as"),
        ("day", "2026-02-30", "a date such as"),
        ("flag", "maybe", "true or false"),
    ],
)
def test_a_value_that_is_not_of_its_kind_is_named_with_its_row(loose, rows_of, bulk, before, column, value, shown):
    put, system = loose
    names = [c.name for c in LOOSE.columns]
    put(*[(n, *([None] * 7)) for n in range(before)], (7000, *(value if name == column else None for name in names[1:])))
    with pytest.raises(SynckitError) as caught:
        rows_of(system(bulk), LOOSE)
    message = caught.value.message
    assert '"loose"' in message and f'"{column}"' in message and "7000" in message and shown in message


def test_conditions_are_answered_alike(shop, rows_of):
    fill(shop)
    cases = [
        (Condition("Kind", "=", -1), [0, 3, 6, 9]),
        (Condition("Kind", "<>", -1), [1, 4, 7]),
        (Condition("Kind", "is null"), [2, 5, 8]),
        (Condition("Kind", "in", [0, 5]), [1, 4, 7]),
        (Condition("Blocked", "=", True), [0, 3, 6, 9]),
        (Condition("SystemModifiedAt", ">", datetime(2026, 1, 2, 3, 4, 5, 3000)), [6, 9]),
        (Condition("SystemModifiedAt", "<=", "2026-01-02T03:04:05.003Z"), [0, 1, 3, 4, 7]),
        (Condition("Since", "<", date(1900, 1, 1)), [0, 1, 5, 6]),
        (Condition("Balance", "<", Decimal("-0.05")), [3, 9]),
        (Condition("Balance", "=", "1.50"), [4]),
        (Condition("SystemId", "in", [key(1), key(2)]), [1, 2]),
        (Condition("Name", "is not null"), [0, 1, 3, 4, 5, 6, 7, 8, 9]),
    ]
    for bulk in (True, False):
        for condition, rows in cases:
            found = rows_of(shop.open(bulk), columns=["No."], where=[condition])
            assert [row["No."] for row in found] == [f"N{n}" for n in rows], condition


@pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "cursor"])
def test_rows_by_key_in_any_number(shop, rows_of, bulk):
    fill(shop)
    system = shop.open(bulk)
    keys = [key(n) for n in range(3, 1300)] + ["not a guid"]
    assert len(rows_of(system, columns=["No."], keys=keys, key_column="SystemId")) == 7
    assert rows_of(system, columns=["No."], keys=["N1", "x' OR 1=1"], key_column="No.") == [{"No.": "N1"}]
    assert rows_of(system, columns=["No."], keys=[]) == []


def test_upper_case_and_braced_guids_are_found_by_their_canonical_key(lite, rows_of):
    for spelling, stored in (("upper", key(1).upper()), ("braces", "{" + key(1).upper() + "}")):
        lite.sql("DELETE FROM CUSTOMER")
        lite.sql("INSERT INTO CUSTOMER (system_id, no) VALUES (:k, 'N1')", {"k": stored})
        system = lite.open(schema=SCHEMA.model_copy(update={"guid": spelling}))
        assert rows_of(system, columns=["SystemId"], keys=[key(1)]) == [{"SystemId": key(1)}]
        with system.writer() as writer:
            assert list(writer.versions(CUSTOMER, "SystemId", [key(1)])) == [key(1)]


@pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "cursor"])
def test_a_snapshot_is_one_moment(shop, bulk):
    fill(shop)
    with shop.open(bulk).snapshot() as snapshot:
        before = snapshot.count(CUSTOMER)
        if shop.dialect == "sqlite":  # a reader holds writers off in rollback-journal mode
            assert elsewhere(OVERWRITE, shop.url.removeprefix("sqlite:///")) == "database is locked"
        else:
            shop.sql("DELETE FROM CUSTOMER")
        assert snapshot.count(CUSTOMER) == before == 10
        assert snapshot.read(CUSTOMER, ["No."]).read_all().num_rows == 10
        assert snapshot.consistent


@pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "cursor"])
def test_snapshots_that_share_a_connection_are_moments_of_their_own(shop, bulk):
    fill(shop)
    system = shop.open(bulk)

    def rows() -> int:
        with system.snapshot() as snapshot:
            return snapshot.read(CUSTOMER, ["No."]).read_all().num_rows

    with system.reading():
        assert rows() == 10
        shop.sql("DELETE FROM CUSTOMER WHERE kind IS NULL OR kind > 0")
        left = rows()
        assert left < 10
        if shop.dialect == "postgresql":  # the connection is lost between two snapshots: the next one takes a new one
            shop.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        shop.sql("DELETE FROM CUSTOMER")
        assert rows() == 0
    assert rows() == 0


def elsewhere(program: str, *arguments: str) -> str:
    """What a small program prints in a process of its own (opening a database's files here would disturb the locks of this one)."""
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True).stdout.strip()


OVERWRITE = """
import sqlite3, sys
try:
    with sqlite3.connect(sys.argv[1], timeout=0) as other:
        other.execute('DELETE FROM "cus""tomer"')
except sqlite3.OperationalError as problem:
    print(problem)
"""
LIVE = """
import sqlite3, sys
live = sqlite3.connect(sys.argv[1])
live.execute("PRAGMA journal_mode = WAL")
live.execute('UPDATE "cus""tomer" SET no = ?', ("N2",))
live.commit()
print("ready", flush=True)
sys.stdin.read()
"""
HASHES = """
import hashlib, pathlib, sys
for file in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    print(file.name, hashlib.sha256(file.read_bytes()).hexdigest())
"""


@pytest.mark.parametrize("bulk", [True, False], ids=["bulk", "cursor"])
@pytest.mark.parametrize("state", ["rollback journal", "wal, closed", "wal, live writer", "wal, left by a crash"])
def test_reading_an_sqlite_file_changes_nothing_in_its_folder(lite, rows_of, tmp_path, bulk, state):
    lite.sql("INSERT INTO CUSTOMER (system_id, no) VALUES (:k, 'N1')", {"k": key(1)})
    lite.engine.dispose()
    path = tmp_path / "shop.db"
    if state == "wal, live writer":  # in a process of its own: within one process SQLite shares the side files' memory
        writer = subprocess.Popen([sys.executable, "-c", LIVE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
        try:
            check_that_reading_changes_nothing(lite.open(bulk), rows_of, tmp_path, "N2")
        finally:
            writer.communicate("done")
        return
    live = sqlite3.connect(path)
    if state != "rollback journal":
        live.execute("PRAGMA journal_mode = WAL")
        live.execute('UPDATE "cus""tomer" SET no = \'N2\'')
        live.commit()
    if state == "wal, left by a crash":
        for name in ("shop.db", "shop.db-wal"):
            shutil.copy(tmp_path / name, tmp_path / f"copy-{name}")
    live.close()
    if state == "wal, left by a crash":
        for name in ("shop.db", "shop.db-wal"):
            shutil.move(tmp_path / f"copy-{name}", tmp_path / name)
    check_that_reading_changes_nothing(lite.open(bulk), rows_of, tmp_path, "N1" if state == "rollback journal" else "N2")


def check_that_reading_changes_nothing(system, rows_of, tmp_path, number: str) -> None:
    before = elsewhere(HASHES, str(tmp_path))
    assert rows_of(system, columns=["No."]) == [{"No.": number}]
    assert system.physical_columns(CUSTOMER)["balance"] == "TEXT"
    assert elsewhere(HASHES, str(tmp_path)) == before


def test_money_is_never_rounded_where_it_is_kept_exactly(lite, rows_of):
    lite.sql("INSERT INTO CUSTOMER (system_id, balance) VALUES (:k, '1.005')", {"k": key(1)})
    with pytest.raises(SynckitError, match=r'"balance" holds .1\.005.*more than 2 decimals; declare a larger scale'):
        rows_of(lite.system)


def test_a_file_that_is_being_read_is_not_written_by_the_same_process(lite):
    with lite.system.snapshot() as snapshot:
        snapshot.count(CUSTOMER)
        with pytest.raises(SynckitError, match="still being read"), lite.system.writer():
            pass
    with lite.system.writer():
        assert lite.system.key_is_drawn(CUSTOMER, "SystemId") is False
