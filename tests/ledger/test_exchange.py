"""Couplings in from files and tables and out again: all or nothing, and every refusal names its line."""

from __future__ import annotations

import csv
import sqlite3
from datetime import datetime

import openpyxl
import pytest

from synckit.errors import SynckitError
from synckit.ledger.exchange import export_couplings, import_couplings
from synckit.ledger.ledger import Ledger

NAMES = ["CUSTOMER", "VENDOR"]
TABLE_IDS = {18: "CUSTOMER", 23: "VENDOR"}
A, B = "{0AF1E0A0-0000-4000-8000-00000000000A}", "0AF1E0A0-0000-4000-8000-00000000000B"
a, b = A.strip("{}").lower(), B.lower()
CRM = [
    "CRM ID",
    "Integration ID",
    "Table ID",
    "Last Synch. Modified On",
    "Last Synch. CRM Modified On",
    "Skipped",
    "Last Synch. Result",
]


def write(path, text):
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_own_csv_with_columns_in_any_order_and_other_separators(ledger, tmp_path):
    header = "Integration Key;MAPPING;local_key;Skipped;Local-Stamp;remark"
    text = f"{header}\n{A};customer;10000;yes;2026-01-01;x\n\n{B};VENDOR;10000;;;\n"
    report = import_couplings(ledger, write(tmp_path / "c.csv", text), NAMES)
    assert (report.imported, report.already_there, report.refused) == (2, 0, ())
    [row] = ledger.couplings("CUSTOMER").to_pylist()
    assert (row["local_key"], row["integration_key"], row["local_stamp"], row["skipped"]) == ("10000", a, "2026-01-01", True)
    assert ledger.run_counter() == 1
    again = import_couplings(ledger, str(tmp_path / "c.csv"), NAMES)
    assert str(again) == "0 couplings imported, 2 were there already." and ledger.run_counter() == 1


def test_what_is_exported_comes_back_the_same(ledger, tmp_path):
    odd = ["=cmd|' /C calc'!A0", "'=x", "-1", "@a", 'quo"te, comma', "two\nlines", "ü–𝒳", "'plain"]
    rows = [
        {"mapping": "CUSTOMER", "local_key": key, "integration_key": f"i{n}", "local_stamp": "v", "skipped": n == 1}
        for n, key in enumerate(odd)
    ]
    with ledger.transaction() as tx:
        tx.add_couplings([*rows, {"mapping": "VENDOR", "local_key": "1", "integration_key": "2"}])
    file = tmp_path / "out.csv"
    assert export_couplings(ledger, file) == len(odd) + 1
    assert not [
        cell for line in csv.reader(file.open(encoding="utf-8", newline="")) for cell in line if cell.startswith(("=", "@", "-"))
    ]
    other = Ledger.open(str(tmp_path / "other.db"), identity="x")
    assert import_couplings(other, file, NAMES).imported == len(odd) + 1
    for mapping in NAMES:
        here, there = (one.couplings(mapping).drop(["id"]).sort_by("local_key") for one in (ledger, other))
        assert here.equals(there)
    assert export_couplings(ledger, file, ["VENDOR"]) == 1
    assert sorted(one.name for one in tmp_path.iterdir() if "out" in one.name) == ["out.csv"]
    with pytest.raises(SynckitError, match="does not exist"):
        export_couplings(ledger, tmp_path / "nowhere" / "out.csv")


def test_every_mistake_is_named_by_its_line_and_nothing_is_imported(ledger, path, tmp_path):
    lines = [
        "mapping,local_key,integration_key,skipped",
        "CUSTOMER,1,i1,",
        "CUSTOMER,1,i2,",
        "CUSTOMER,2,i1,",
        "CUSTOMR,3,i3,",
        "CUSTOMER,,i4,",
    ]
    lines += ["CUSTOMER,5,,", ",6,i6,", "CUSTOMER,7,i7,perhaps", "VENDOR,1,i1,", "CUSTOMER,8,00000000-0000-0000-0000-000000000000,"]
    report = import_couplings(ledger, write(tmp_path / "bad.csv", "\n".join(lines)), NAMES)
    assert report.imported == 0 and not path.exists()
    assert list(report.refused) == [
        "bad.csv, line 3: the local record 1 of CUSTOMER stands in line 2 too. Keep one of them.",
        "bad.csv, line 4: the integration record i1 of CUSTOMER stands in line 2 too. Keep one of them.",
        'bad.csv, line 5: there is no mapping "CUSTOMR". Did you mean "CUSTOMER"?',
        "bad.csv, line 6: the key of the local record is empty.",
        "bad.csv, line 7: the key of the integration record is empty.",
        "bad.csv, line 8: there is no mapping. Write one of CUSTOMER, VENDOR.",
        'bad.csv, line 9: "perhaps" in the column Skipped is neither true nor false.',
        "bad.csv, line 11: the key of the integration record is empty.",
    ]
    assert "Nothing was imported: 8 rows" in str(report)


def test_couplings_that_contradict_the_ledger_are_refused_whole(ledger, tmp_path):
    with ledger.transaction() as tx:
        tx.add_couplings([{"mapping": "CUSTOMER", "local_key": "1", "integration_key": "i1"}])
    text = "mapping,local_key,integration_key\nCUSTOMER,9,i9\nCUSTOMER,1,i2\nCUSTOMER,3,i1\n"
    report = import_couplings(ledger, write(tmp_path / "c.csv", text), NAMES)
    assert [reason.split(":")[0] for reason in report.refused] == ["c.csv, line 3", "c.csv, line 4"]
    assert "coupled to i1 already" in report.refused[0] and "coupled to 1 already" in report.refused[1]
    assert ledger.coupling_count("CUSTOMER") == 1 and ledger.run_counter() == 0


def test_integration_records_from_csv_excel_and_a_database(tmp_path):
    rows = [
        [A, B, "18", "2026-01-01 10:00:00", "2026-01-02 10:00:00", "No", "Success"],
        [A, B.replace("B}", "C}"), "23", "", "0001-01-01 00:00:00", "1", ""],
    ]
    with (tmp_path / "r.csv").open("w", newline="") as file:
        csv.writer(file).writerows([CRM, *rows])
    book = openpyxl.Workbook()
    for row in [CRM, [A, B, 18, datetime(2026, 1, 1, 10), datetime(2026, 1, 2, 10), False, ""], [A, B, 23.0, None, None, True, ""]]:
        book.active.append(row)
    book.save(tmp_path / "r.xlsx")
    with sqlite3.connect(tmp_path / "r.db") as db:
        columns = "crm_id, integration_id, table_id, last_synch_modified_on, last_synch_crm_modified_on, skipped"
        db.execute(f"CREATE TABLE [CRM Integration Record] ({columns})")
        db.executemany("INSERT INTO [CRM Integration Record] VALUES (?,?,?,?,?,?)", [row[:6] for row in rows])
    db.close()
    for n, (source, table) in enumerate([("r.csv", None), ("r.xlsx", None), ("r.db", "CRM Integration Record")]):
        ledger = Ledger.open(str(tmp_path / f"ledger{n}.db"), identity="x")
        address = f"sqlite:///{tmp_path / source}" if table else str(tmp_path / source)
        assert import_couplings(ledger, address, NAMES, TABLE_IDS, table=table).imported == 2
        [customer], [vendor] = ledger.couplings("CUSTOMER").to_pylist(), ledger.couplings("VENDOR").to_pylist()
        assert (customer["local_key"], customer["integration_key"], customer["skipped"]) == (b, a, False)
        assert (customer["local_stamp"], customer["integration_stamp"]) == ("2026-01-01 10:00:00", "2026-01-02 10:00:00")
        assert (vendor["local_stamp"], vendor["integration_stamp"], vendor["skipped"]) == (None, None, True)


def test_stamps_can_be_spelled_as_the_system_spells_its_versions(ledger, tmp_path):
    text = "mapping,local_key,integration_key,local_stamp\nCUSTOMER,1,2,2026-01-01 10:00\n"
    import_couplings(ledger, write(tmp_path / "c.csv", text), NAMES, stamp=lambda mapping, side, text: f"{mapping} {side} {text}Z")
    assert ledger.couplings("CUSTOMER")["local_stamp"].to_pylist() == ["CUSTOMER local 2026-01-01 10:00Z"]


def test_integration_records_of_unknown_tables_or_with_no_guid(ledger, tmp_path):
    text = f"CRM ID,Integration ID,Table ID\n{A},{B},27\n{A},10000,18\n{A},,0\n"
    report = import_couplings(ledger, write(tmp_path / "r.csv", text), NAMES, TABLE_IDS)
    assert 'Table ID "27". Known are: 18 (CUSTOMER), 23 (VENDOR)' in report.refused[0]
    assert 'the Integration ID "10000" is no GUID' in report.refused[1] and len(report.refused) == 3


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"no,name\n1,2\n", "has not the columns of couplings"),
        ("a.csv", b"", "has not the columns"),
        ("a.csv", b"mapping,local_key,Local Key,integration_key\n", "has two columns"),
        ("a.csv", "mapping,local_key,integration_key\nCUSTOMER,\xe4,1\n".encode("latin-1"), "is not UTF-8"),
        ("a.xlsx", b"no zip", "cannot be read as an Excel file"),
    ],
)
def test_files_that_are_no_couplings(ledger, path, tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SynckitError, match=says):
        import_couplings(ledger, tmp_path / name, NAMES)
    assert not path.exists()


def test_sources_that_are_not_there(ledger, tmp_path):
    with pytest.raises(SynckitError, match="There is no file"):
        import_couplings(ledger, tmp_path / "nothing.csv", NAMES)
    with pytest.raises(SynckitError, match="There is no database"):
        import_couplings(ledger, f"sqlite:///{tmp_path}/nothing.db", NAMES, table="t")
    with pytest.raises(SynckitError, match="name the table too"):
        import_couplings(ledger, f"sqlite:///{tmp_path}/nothing.db", NAMES)
    assert list(tmp_path.iterdir()) == []
