"""Job logs brought along: lists as Business Central exports them, in several languages of numbers and dates, and as SQL tables."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

import synckit
from synckit.cli import main
from synckit.errors import SynckitError

GUID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
JOB = "{0A1B2C3D-0000-0000-0000-000000000001}"

GERMAN_JOBS = f"""Integration Synchronization Jobs;;;;;;;;
;;;;;;;;
Start Date/Time;Finish Date/Time;Integration Table Mapping Name;Direction;Type;Failed;Inserted;Modified;ID
21.11.2026 08:00;21.11.2026 08:02;CUSTOMER;ToIntegrationTable;Synchronization;40;1.204;3;{JOB}
;;;;;;;;
20.11.2026 08:00;20.11.2026 08:01;CUSTOMER;ToIntegrationTable;Synchronization;2;0;1;
13.11.2026 08:00;13.11.2026 08:01;VENDOR;FromIntegrationTable;Synchronization;0;5;0;
Total;;;;;42;1.209;4;
"""


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def error_lines(n: int = 40) -> str:
    head = "Date/Time,Error Message,Source,Destination,Integration Synch. Job ID\n"
    return head + "".join(
        f'11/21/2026 8:0{i % 10} AM,Currency Code GBP must be coupled to a record in Dataverse.,Customer: C{i:05},,"{JOB}"\n'
        for i in range(n)
    )


def test_jobs_with_title_blank_lines_totals_and_german_numbers(tmp_path: Path) -> None:
    log = synckit.read_job_log(write(tmp_path, "jobs.csv", GERMAN_JOBS, "cp1252"))
    assert len(log.jobs) == 3
    assert log.jobs["inserted"].tolist() == [1204, 0, 5] and int(log.jobs["failed"].sum()) == 42
    assert log.jobs.loc[0, "started"].to_pydatetime() == datetime(2026, 11, 21, 8)
    assert log.jobs["direction"].tolist() == ["to_integration", "to_integration", "from_integration"]
    assert log.jobs["duration"].tolist() == [120.0, 60.0, 60.0]
    assert "day.month.year" in log.formats.loc[0, "read as"] and "comma" in log.formats.loc[0, "read as"]
    assert "1 totals line and 1 blank line left out" in log.notes[0]


def test_errors_become_causes_with_victims_and_remedies(tmp_path: Path) -> None:
    write(tmp_path, "jobs.csv", GERMAN_JOBS)
    write(tmp_path, "errors.csv", error_lines())
    log = synckit.read_job_log(tmp_path)
    (cause,) = log.causes().to_dict("records")
    assert (cause["code"], cause["victims"], cause["trend"], cause["value"]) == ("lookup_not_coupled", 40, "new", "GBP")
    assert cause["remedy"] and cause["by_mapping"] == "CUSTOMER 40"
    assert set(log.errors["local_key"]) == {f"C{i:05}" for i in range(40)}
    report = log.report()
    assert report.total("failed") == 42 and len(report["errors"]) == 40 and report["sums"]["agree"].all()
    assert report["runs"]["run_id"].tolist() == [20261113, 20261120, 20261121]
    assert "GBP" in report.to_html() and "C00007" in log.explain("C00007") and "What helps" in log.explain("C00007")
    report.to_excel(tmp_path / "out.xlsx")
    assert log.report(mapping="VENDOR").total("inserted") == 5
    assert log.report(since="2026-11-21").total("failed") == 40


def test_excel_exports_with_real_dates_in_any_order(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Errors"
    sheet.append(["Destination", "Message", "Date/Time", "Source"])
    sheet.append(
        [
            f"Account: {{{GUID}}}",
            "The record cannot be updated because it is coupled to a deleted record.",
            datetime(2026, 11, 21, 9, 30),
            "Customer: 10000",
        ]
    )
    more = book.create_sheet("Skipped")
    more.append(["Table", "Description", "Record Exists", "Coupled To", "Coupled Record Exists", "Error Message", "Failed On"])
    more.append(
        [
            "Customer",
            "Adatum",
            "Yes",
            "Adatum Corp",
            "No",
            "The record cannot be updated because it is coupled to a deleted record.",
            datetime(2026, 11, 21, 9, 30),
        ]
    )
    book.save(tmp_path / "lists.xlsx")
    log = synckit.read_job_log(tmp_path / "lists.xlsx")
    assert log.errors[["local_key", "integration_key", "code"]].values.tolist() == [["10000", GUID, "partner_deleted"]]
    assert log.skipped[["mapping", "local_key", "code", "local_exists", "integration_exists"]].values.tolist() == [
        ["CUSTOMER", "Adatum", "partner_deleted", True, False]
    ]


def test_mappings_and_couplings(tmp_path: Path) -> None:
    write(
        tmp_path,
        "maps.csv",
        "Name\tDirection\tTable\tIntegration Table\tSynch. Only Coupled Records\nCUSTOMER\tBidirectional\tCustomer\tCRM Account\tYes\n",
    )
    write(
        tmp_path,
        "pairs.csv",
        f"CRM ID,Integration ID,Table ID,Last Synch. Modified On,Last Synch. CRM Result,Skipped\n{{{GUID}}},{JOB},18,2026-01-31T08:00:00Z,Failure,Yes\n",
    )
    log = synckit.read_job_log([tmp_path / "maps.csv", tmp_path / "pairs.csv"])
    assert log.mappings["mapping"].tolist() == ["CUSTOMER"] and log.couplings["skipped"].tolist() == [True]
    assert log.couplings["to_result"].tolist() == ["Failure"]


def test_sql_tables_of_the_reference_shapes(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "bc.db") as connection:
        connection.execute('CREATE TABLE "CRONUS$Integration Synch_ Job$437dbf0e" ("timestamp" INT, "ID" TEXT, "Start Date_Time" TEXT, "Finish Date_Time" TEXT, "Message" TEXT, '
                           '"Integration Table Mapping Name" TEXT, "Inserted" INT, "Failed" INT, "Synch_ Direction" INT, "Type" INT)')  # fmt: skip
        connection.execute(
            "INSERT INTO \"CRONUS$Integration Synch_ Job$437dbf0e\" VALUES (1, ?, '2026-11-21 08:00:00', '2026-11-21 08:02:00', '', 'CUSTOMER', 7, 1, 1, 0)",
            (JOB,),
        )
        connection.execute('CREATE TABLE "CRONUS$Integration Synch_ Job Errors$437dbf0e" ("No_" INT, "Integration Synch_ Job ID" TEXT, "Source Record ID" TEXT, '
                           '"Destination Record ID" TEXT, "Message" TEXT, "Error Message" TEXT, "Date_Time" TEXT)')  # fmt: skip
        connection.execute(
            "INSERT INTO \"CRONUS$Integration Synch_ Job Errors$437dbf0e\" VALUES (1, ?, 'Customer: 10000', '', 'cut', 'Modifying Account failed because of locks', '2026-11-21 08:01:00')",
            (JOB,),
        )
    log = synckit.read_job_log(f"sqlite:///{tmp_path / 'bc.db'}")
    assert log.jobs[["mapping", "inserted", "failed", "direction", "type"]].values.tolist() == [
        ["CUSTOMER", 7, 1, "to_integration", "synchronization"]
    ]
    assert log.errors[["mapping", "code", "local_key"]].values.tolist() == [["CUSTOMER", "failed", "10000"]]


@pytest.mark.parametrize(("text", "first"), [("03/04/2026 08:00", 4), ("03/04/26 08:00", 4)])
def test_dates_that_may_be_two_days_are_asked_about(tmp_path: Path, text: str, first: int) -> None:
    path = write(tmp_path, "jobs.csv", f"Start Date/Time,Integration Table Mapping Name,Failed\n{text},CUSTOMER,0\n")
    with pytest.raises(SynckitError, match='dates="day/month/year"'):
        synckit.read_job_log(path)
    assert synckit.read_job_log(path, dates="day/month/year").jobs["started"].dt.month.tolist() == [first]
    assert synckit.read_job_log(path, dates="month/day/year").jobs["started"].dt.day.tolist() == [first]
    with pytest.raises(SynckitError, match="no such format"):
        synckit.read_job_log(path, dates="stardate")


def test_what_is_no_list_is_said(tmp_path: Path) -> None:
    with pytest.raises(SynckitError, match="no file"):
        synckit.read_job_log(tmp_path / "nothing.csv")
    with pytest.raises(SynckitError, match="no CSV or Excel file"):
        synckit.read_job_log(tmp_path)
    write(tmp_path, "other.csv", "a,b\n1,2\n")
    with pytest.raises(SynckitError, match="none of the lists"):
        synckit.read_job_log(tmp_path)
    write(tmp_path, "jobs.csv", "Start Date/Time,Integration Table Mapping Name,Failed\nyesterday,CUSTOMER,0\n")
    with pytest.raises(SynckitError, match='line 2: "yesterday"'):
        synckit.read_job_log(tmp_path)


def test_in_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "jobs.csv", GERMAN_JOBS)
    write(tmp_path, "errors.csv", error_lines())
    with pytest.raises(SystemExit) as left:
        main(["read-log", str(tmp_path), "--html", str(tmp_path / "r.html")])
    said = capsys.readouterr().out
    assert not left.value.code and "40 records, new: Referenced record is not coupled" in said and (tmp_path / "r.html").exists()


def test_a_report_saved_among_the_exports_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "jobs.csv", GERMAN_JOBS)
    synckit.read_job_log(tmp_path).report().to_excel(tmp_path / "report.xlsx")
    log = synckit.read_job_log(tmp_path)
    assert len(log.jobs) == 3
    assert "report.xlsx: a report that synckit wrote, not an export; left out." in log.notes
    with pytest.raises(SynckitError, match=r"none of the lists .* report.xlsx: a report that synckit wrote"):
        synckit.read_job_log(tmp_path / "report.xlsx")


def test_a_job_that_is_still_running_solves_nothing(tmp_path: Path) -> None:
    """The errors of the 21st still count while a job of the 22nd has not ended."""
    running = "22.11.2026 08:00;;CUSTOMER;ToIntegrationTable;Synchronization;0;0;0;\n"
    write(tmp_path, "jobs.csv", GERMAN_JOBS.replace("Total;", f"{running}Total;"))
    write(tmp_path, "errors.csv", error_lines())
    log = synckit.read_job_log(tmp_path)
    assert log.jobs["status"].tolist()[0] == "running"
    assert log.causes()["trend"].tolist() == ["new"]


def test_solved_says_that_it_means_not_failed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = "22.11.2026 08:00;22.11.2026 08:01;CUSTOMER;ToIntegrationTable;Synchronization;0;0;0;\n"
    write(tmp_path, "jobs.csv", GERMAN_JOBS.replace("Total;", f"{ended}Total;"))
    write(tmp_path, "errors.csv", error_lines())
    log = synckit.read_job_log(tmp_path)
    assert log.causes()["trend"].tolist() == ["solved"]
    said = "not failed again. Business Central does not retry a create that has failed"
    assert said in log.notes[-1] and said in log.report().to_html() and said in log.report().to_dict()["scope"]["solved"]
    with pytest.raises(SystemExit):
        main(["read-log", str(tmp_path)])
    assert said in " ".join(capsys.readouterr().out.split())
    assert "solved" not in synckit.read_job_log(tmp_path / "jobs.csv").report().scope


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("log.db", b"SQLite format 3\0\x10\0", r"log.db is a SQLite database, not an export. .* URL: sqlite:///"),
        ("jobs.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", r"jobs.xls is a workbook or an archive, not text. Save it .* \.xlsx"),
        ("jobs.csv", b"a,b\n\0\0\x01", r"jobs.csv is no text"),
    ],
)
def test_what_is_no_text_is_refused_by_name_without_its_bytes(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SynckitError, match=said) as refused:
        synckit.read_job_log(tmp_path / name)
    assert str(refused.value).isprintable()


def test_several_sources_are_named_as_people_write_them(tmp_path: Path) -> None:
    one, other = write(tmp_path, "a.csv", "x,y\n1,2\n"), write(tmp_path, "b.csv", "x,y\n1,2\n")
    with pytest.raises(SynckitError) as refused:
        synckit.read_job_log([str(one), str(other)])
    assert str(refused.value).startswith(f"{one}, {other} holds none of the lists")
