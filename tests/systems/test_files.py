"""Folders of exports: the same values as the database they came from, local spellings only where they are beyond doubt."""

from __future__ import annotations

import csv
from datetime import date, datetime, time
from decimal import Decimal

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import CUSTOMER, SCHEMA  # type: ignore[import-not-found]
from test_sql_reading import expected, fill  # type: ignore[import-not-found]

from synckit.errors import SynckitError
from synckit.mapping.model import SystemConfig
from synckit.mapping.schema import Option, Schema
from synckit.systems.files import open_folder
from synckit.systems.protocol import VERSION_TOKEN, Condition


def folder(path, schema: Schema = SCHEMA, **more):
    return open_folder(SystemConfig(name="Exports", folder=str(path), schema=schema.name, **more), schema, "local")


@pytest.fixture
def dumped(lite, tmp_path):
    """The database's rows as text, with captions as header."""
    fill(lite)
    lite.sql('UPDATE CUSTOMER SET "name of it" = NULL WHERE "name of it" = \'\'')  # an export cannot tell '' from nothing
    lite.sql("UPDATE CUSTOMER SET \"name of it\" = 'line\nbreak' WHERE no = 'N4'")
    rows = lite.sql("SELECT * FROM CUSTOMER ORDER BY system_id")
    made = tmp_path / "exports"
    made.mkdir()
    return made, [column.name for column in CUSTOMER.columns], rows, lite.system


@pytest.mark.parametrize("kind", ["csv", "excel", "sheet", "parquet"])
def test_exports_hold_the_same_values_as_the_database(dumped, rows_of, kind):
    path, header, rows, system = dumped
    if kind == "csv":
        with (path / "CUSTOMER.csv").open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file, delimiter=";").writerows([header, *rows])
    elif kind == "parquet":
        pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(header)}), path / "customer.parquet")
    else:
        book = openpyxl.Workbook()
        sheet = book.active
        if kind == "sheet":
            sheet = book.create_sheet("Customer")
        for line, row in enumerate([header, *rows], 1):
            for place, value in enumerate(row, 1):
                cell = sheet.cell(line, place)
                try:
                    cell.value = value
                except openpyxl.utils.exceptions.IllegalCharacterError:
                    cell.value = "plain"
                if isinstance(value, str):
                    cell.data_type = "s"
        book.save(path / ("all.xlsx" if kind == "sheet" else "customer.xlsx"))
    columns = [*header, VERSION_TOKEN]
    found, wanted = rows_of(folder(path), columns=columns), rows_of(system, columns=columns)
    if kind in ("excel", "sheet"):  # control characters cannot stand in a workbook
        wanted[4]["Name"], wanted[4]["Name"] = None, "line\nbreak"
    assert found == wanted and len(found) == len(expected())


@pytest.mark.parametrize(("encoding", "separator"), [("utf-8", ","), ("utf-8-sig", ";"), ("utf-16", "\t"), ("cp1252", ";")])
def test_encodings_and_separators_are_found_out(tmp_path, rows_of, encoding, separator):
    text = separator.join(["no", "Name"]) + "\r\n" + separator.join(["1", '"Müller; ""Söhne"",\nKöln\t€"']) + "\r\n"
    (tmp_path / "customer.csv").write_bytes(text.encode(encoding))
    assert rows_of(folder(tmp_path), columns=["No.", "Name"]) == [{"No.": "1", "Name": 'Müller; "Söhne",\nKöln\t€'}]


def write(path, header: str, *values: str) -> None:
    with (path / "customer.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["No.", header], *([str(n), value] for n, value in enumerate(values))])


@pytest.mark.parametrize(
    ("column", "values", "wanted"),
    [
        ("Balance", ["1.234,50", "-7", ""], [Decimal("1234.50"), Decimal(-7), None]),
        ("Balance", ["1,234.50", "12-"], [Decimal("1234.50"), Decimal(-12)]),
        ("Balance", ["0,5", "1\u00a0234,5"], [Decimal("0.5"), Decimal("1234.5")]),
        ("Since", ["31.01.2026", "01.02.2026"], [date(2026, 1, 31), date(2026, 2, 1)]),
        ("Since", ["1/31/2026", "2/1/2026"], [date(2026, 1, 31), date(2026, 2, 1)]),
        ("Since", ["5/5/2026"], [date(2026, 5, 5)]),
        ("SystemModifiedAt", ["31.01.2026 14:30", "01.02.2026"], [datetime(2026, 1, 31, 14, 30), datetime(2026, 2, 1)]),
        ("SystemModifiedAt", ["1/31/2026 2:30:05 PM"], [datetime(2026, 1, 31, 14, 30, 5)]),
        ("Blocked", ["Yes", "no"], [True, False]),
        ("Opens", ["08:30", "23:59:59.5"], [time(8, 30), time(23, 59, 59, 500000)]),
    ],
)
def test_local_spellings_that_leave_no_doubt(tmp_path, rows_of, column, values, wanted):
    write(tmp_path, column, *values)
    assert [row[column] for row in rows_of(folder(tmp_path), columns=["No.", column])] == wanted


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("Balance", ["1,234", "5"], "it may be a number with a decimal"),
        ("Since", ["03/04/2026", "05/05/2026"], "it may be day/month/year or month/day/year"),
        ("Balance", ["1.234,5", "abc"], "'abc'"),
        ("Since", ["2026-02-30"], "a date such as 2026-01-31"),
        ("Balance", ["1.005"], "more than 2 decimals"),
    ],
)
def test_doubtful_spellings_are_refused_with_file_column_and_example(tmp_path, rows_of, column, values, said):
    write(tmp_path, column, *values)
    with pytest.raises(SynckitError) as caught:
        rows_of(folder(tmp_path), columns=["No.", column])
    assert f'customer.csv, column "{column}" holds' in caught.value.message and said in caught.value.message


def test_options_by_their_label(tmp_path, rows_of):
    kinds = (Option(value=0, label=" "), Option(value=2, label="All"))
    columns = tuple(c.model_copy(update={"options": kinds}) if c.name == "Kind" else c for c in CUSTOMER.columns)
    table = CUSTOMER.model_copy(update={"columns": columns})
    write(tmp_path, "Kind", "all", " ", "2", "")
    assert [row["Kind"] for row in rows_of(folder(tmp_path), table, ["No.", "Kind"])] == [2, 0, 2, None]


def test_a_blank_cell_is_the_blank_of_the_systems_convention(tmp_path, rows_of):
    write(tmp_path, "Name", "")
    assert rows_of(folder(tmp_path), columns=["Name"]) == [{"Name": None}]
    assert rows_of(folder(tmp_path, SCHEMA.model_copy(update={"blank": "empty"})), columns=["Name"]) == [{"Name": ""}]


def test_conditions_and_keys(dumped, rows_of):
    path, header, rows, system = dumped
    with (path / "customer.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    for asked in (
        {"where": [Condition("Kind", "in", [0])]},
        {"where": [Condition("SystemModifiedAt", ">", datetime(2026, 1, 1)), Condition("Blocked", "=", True)]},
        {"keys": [rows[3][0].upper(), rows[5][0], "nonsense"]},
    ):
        keys = {"keys": [k.lower() for k in asked["keys"]]} if "keys" in asked else asked
        assert rows_of(folder(path), columns=["No."], **asked) == rows_of(system, columns=["No."], **keys)


def test_exports_are_read_only_and_no_moment(tmp_path):
    write(tmp_path, "Name", "a")
    system = folder(tmp_path)
    assert "nothing can be written" in system.read_only
    with pytest.raises(SynckitError, match="nothing can be written"):
        system.writer()
    with system.snapshot() as snapshot:
        assert not snapshot.consistent and snapshot.count(CUSTOMER) == 1 and snapshot.taken_at
    assert system.physical_columns(CUSTOMER) == {"no": "string", "name of it": "string"}
    assert system.identity() == f"folder:{tmp_path.resolve()}"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no .csv"),
        ({"other.csv": b"a\n1\n"}, "has no file for the table Customer"),
        ({"customer.csv": b"No.\n1\n", "Customer.parquet": b""}, "more than once"),
        ({"customer.csv": b""}, "no header line"),
        ({"customer.csv": b"No.,No.\n1,2\n"}, "twice"),
        ({"customer.csv": b"No.,no\n1,2\n"}, "twice"),
        ({"customer.csv": b"Nr\n1\n"}, 'no column "No."'),
        ({"customer.csv": b"No.,Name\n1\n"}, "cannot be read as a CSV file"),
        ({"customer.xlsx": b"nonsense"}, "cannot be read as an Excel workbook"),
        ({"customer.parquet": b"nonsense"}, "cannot be read as a Parquet file"),
    ],
)
def test_bad_folders(tmp_path, rows_of, files, said):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SynckitError) as caught:
        rows_of(folder(tmp_path), columns=["No."])
    assert said in caught.value.message
