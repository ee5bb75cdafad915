"""Guarded writes on SQLite, PostgreSQL and MariaDB: an outcome per row, and no row lost to its neighbour."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from conftest import CUSTOMER, ENTRY, key  # type: ignore[import-not-found]

from synckit.errors import SynckitError
from synckit.mapping.model import VersionColumn
from synckit.systems.protocol import VERSION_TOKEN, Write, Writes

VALUES = {
    "No.": "10000",
    "Name": "Zoë 🚲 'שלום'",
    "Balance": Decimal("-12.30"),
    "Big": Decimal("1234567890123456789012345678.0123456789"),
    "Blocked": True,
    "Since": date(1899, 12, 31),
    "Opens": time(8, 30),
    "Kind": 3,
}
KEPT = VersionColumn(kept_by="synckit")


def test_what_is_written_is_what_is_read(shop, rows_of):
    system = shop.open(version=KEPT)
    with system.writer() as writer:
        (outcome,) = writer.write(CUSTOMER, "SystemId", [Write("insert", key(1), VALUES)])
    assert (outcome.state, outcome.key, outcome.error) == ("done", key(1), "")
    (row,) = rows_of(system, columns=[*VALUES, "SystemId", "SystemModifiedAt", VERSION_TOKEN])
    assert {name: row[name] for name in VALUES} == VALUES
    assert row[VERSION_TOKEN] == outcome.token
    assert abs((row["SystemModifiedAt"] - datetime.now(UTC).replace(tzinfo=None)).total_seconds()) < 60


def test_update_and_delete_hold_only_while_the_version_is_the_one_seen(shop, rows_of):
    system = shop.open(version=KEPT)
    with system.writer() as writer:
        first, second = writer.write(CUSTOMER, "SystemId", [Write("insert", key(n), {"Name": "a"}) for n in (1, 2)])
    shop.sql("UPDATE CUSTOMER SET modified = '2031-01-01 00:00:00' WHERE system_id = :k", {"k": key(2)})
    with system.writer() as writer:
        outcomes = writer.write(
            CUSTOMER,
            "SystemId",
            [
                Write("update", key(1), {"Name": "b"}, token=first.token),
                Write("update", key(2), {"Name": "b"}, token=second.token),
                Write("update", key(3), {"Name": "b"}, token=first.token),
                Write("update", key(2), {"Kind": 7}),
            ],
        )
    assert [o.state for o in outcomes] == ["done", "stale", "stale", "done"]
    assert outcomes[0].token not in (None, first.token)
    with system.writer() as writer:
        outcomes = writer.write(
            CUSTOMER,
            "SystemId",
            [Write("delete", key(1), token=first.token), Write("delete", key(1), token=outcomes[0].token), Write("delete", key(9))],
        )
    assert [o.state for o in outcomes] == ["stale", "done", "stale"]
    assert [(row["Name"], row["Kind"]) for row in rows_of(system)] == [("a", 7)]


def test_a_coarse_version_is_guarded_by_the_values_seen(shop):
    with shop.system.writer() as writer:
        writer.write(
            CUSTOMER, "SystemId", [Write("insert", key(1), {**VALUES, "SystemModifiedAt": datetime(2026, 1, 1, 2, 3, 4, 500000)})]
        )
        writer.write(CUSTOMER, "SystemId", [Write("insert", key(2), {"Name": "x"})])
    seen = {**VALUES, "SystemModifiedAt": datetime(2026, 1, 1, 2, 3, 4, 500000)}
    with shop.system.writer() as writer:
        outcomes = writer.write(
            CUSTOMER,
            "SystemId",
            [
                Write("update", key(1), {"Kind": 4}, expect=seen),
                Write("update", key(1), {"Kind": 5}, expect={"Kind": 3}),
                Write("update", key(2), {"Kind": 6}, expect={"Since": None, "Balance": None, "No.": None}),
                Write("update", key(2), {"Kind": 7}, expect={"Name": None}),
                Write("update", key(1), {"Kind": 8}, expect={"Name": "ZOË 🚲 'שלום'"}),
            ],
        )
    assert [o.state for o in outcomes] == ["done", "stale", "done", "stale", "stale"]


def test_one_bad_row_among_many_fails_alone(shop):
    with shop.system.writer() as writer:
        writes = [Write("insert", key(n), {"No.": str(n % 97), "Name": "n"}) for n in range(100)]
        outcomes = writer.write(CUSTOMER, "SystemId", writes)
    assert [n for n, o in enumerate(outcomes) if o.state == "failed"] == [97, 98, 99]
    assert "no" in outcomes[97].error and "SELECT" not in outcomes[97].error
    assert shop.sql("SELECT count(*) FROM CUSTOMER") == [(97,)]


def test_stale_rows_among_many_are_found_in_order(shop):
    with shop.system.writer() as writer:
        writer.write(CUSTOMER, "SystemId", [Write("insert", key(n), {"Name": "a"}) for n in range(50) if n % 20 != 7])
        outcomes = writer.write(CUSTOMER, "SystemId", [Write("update", key(n), {"Name": "b"}) for n in range(50)])
    assert [n for n, o in enumerate(outcomes) if o.state == "stale"] == [7, 27, 47]
    assert [o.key for o in outcomes] == [key(n) for n in range(50)]
    assert shop.sql(
        "SELECT count(*) FROM CUSTOMER WHERE \"name of it\" = 'b'".replace('"', "`" if shop.dialect == "mariadb" else '"')
    ) == [(47,)]


def test_rows_that_are_written_alike_go_as_columns_and_fare_as_they_would_alone(shop):
    system = shop.open(version=KEPT)
    keys = [key(n) for n in range(8)]
    with system.writing():
        with system.writer() as writer:
            made, refused = writer.write_many(
                CUSTOMER, "SystemId", Writes("insert", keys, {"Name": ["a"] * 8, "No.": list("01234566")})
            )
        assert [n for n, token in enumerate(made) if token is None] == [7] == list(refused) and refused[7].state == "failed"
        with system.writer() as writer:
            seen = {"No.": list("01x"), "Balance": [None, None, None]}
            tokens, refused = writer.write_many(
                CUSTOMER, "SystemId", Writes("update", keys[:3], {"Name": ["b"] * 3}, made[:3], seen)
            )
        assert {n: o.state for n, o in refused.items()} == {2: "stale"} and tokens[2] is None and tokens[0] not in (None, made[0])
        with (
            system.writer() as writer
        ):  # the versions are no longer those; one value fits no column; a blank is compared as a blank
            assert set(writer.write_many(CUSTOMER, "SystemId", Writes("update", keys[:2], {"Name": ["c"] * 2}, made[:2]))[1]) == {
                0,
                1,
            }
            writes = Writes("update", keys[3:6], {"Kind": [1, "many", 3]}, None, {"Balance": [None, None, Decimal(1)]})
            refused = writer.write_many(CUSTOMER, "SystemId", writes)[1]
        assert {n: o.state for n, o in refused.items()} == {1: "failed", 2: "stale"} and "cannot be stored" in refused[1].error
    with system.writer() as writer:
        assert writer.write_many(CUSTOMER, "SystemId", Writes("delete", keys))[1].keys() == {7}


def test_a_key_that_the_database_draws_comes_back(shop, rows_of):
    assert shop.system.key_is_drawn(ENTRY, "Entry No.")
    assert not shop.system.key_is_drawn(CUSTOMER, "SystemId")
    with shop.system.writer() as writer:
        outcomes = writer.write(ENTRY, "Entry No.", [Write("insert", None, {"Text": t}) for t in ("a", None, "c")])
    assert [o.state for o in outcomes] == ["done", "failed", "done"]
    assert {row["Entry No."]: row["Text"] for row in rows_of(shop.system, ENTRY)} == {
        int(outcomes[0].key): "a",
        int(outcomes[2].key): "c",
    }


def test_an_exception_takes_everything_back(shop):
    with pytest.raises(KeyboardInterrupt), shop.system.writer() as writer:
        writer.write(CUSTOMER, "SystemId", [Write("insert", key(1), {"Name": "a"})])
        raise KeyboardInterrupt
    assert shop.sql("SELECT count(*) FROM CUSTOMER") == [(0,)]


def test_versions_tell_rows_that_exist(shop):
    shop.sql(
        "INSERT INTO CUSTOMER (system_id, modified) VALUES (:k, :m)",
        {"k": key(1), "m": "2026-01-02 03:04:05.123456"},
        {"k": key(2), "m": None},
    )
    with shop.system.writer() as writer:
        found = writer.versions(CUSTOMER, "SystemId", [key(n) for n in range(1200)])
    assert set(found) == {key(1), key(2)}
    assert found[key(1)].startswith("2026-01-02 03:04:05.123456") and found[key(2)] is None


@pytest.mark.parametrize(
    ("present", "pattern"),
    [
        (None, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
        ("2020-01-01 00:00:00.0000000", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{7}"),
        ("2020-01-01T00:00:00+00:00", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"),
    ],
)
def test_a_version_kept_by_synckit_is_spelled_as_its_neighbours(lite, present, pattern):
    import re

    lite.sql("INSERT INTO CUSTOMER (system_id, modified) VALUES (:k, :m)", {"k": key(1), "m": present})
    with lite.open(version=KEPT).writer() as writer:
        (outcome,) = writer.write(CUSTOMER, "SystemId", [Write("update", key(1), {"Name": "b"})])
    assert re.fullmatch(pattern, outcome.token)


def test_decimals_are_stored_exactly_in_sqlite(lite):
    with lite.system.writer() as writer:
        writer.write(CUSTOMER, "SystemId", [Write("insert", key(1), VALUES)])
    assert lite.sql("SELECT balance, big, typeof(balance) FROM CUSTOMER") == [
        ("-12.30", "1234567890123456789012345678.0123456789", "text")
    ]


def test_a_protected_system_is_not_written(shop):
    system = shop.open(protected=True)
    assert "protected: true" in system.read_only
    with pytest.raises(SynckitError, match="protected"), system.writer():
        pass
    assert shop.system.read_only == ""
