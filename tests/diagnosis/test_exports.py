"""The five lists as Business Central writes them: what each page shows, in several local spellings, and as tables in SQL."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest

import synckit
from synckit.cli import main
from synckit.diagnosis.causes import shape
from synckit.diagnosis.job_log import JobLog
from synckit.errors import SynckitError

DAY = datetime(2026, 11, 21, 8)
ACCOUNT = "6F9619FF-8B86-D011-B42D-00C04FC964FF"
CUSTOMER = "0A1B2C3D-0000-4000-8000-000000000018"
MISSING = "Currency Code GBP must be coupled to a record in Dataverse."
DELETED = "The Customer record cannot be updated because it is coupled to a deleted record."

#: The columns that each page shows, in its order (a job shows its tables, not its mapping; an error shows links, not its records).
JOBS = ["Start Date/Time", "Finish Date/Time", "Duration", "Uncoupled", "Coupled", "Inserted", "Modified", "Deleted", "Unchanged", "Failed", "Skipped",
        "Direction", "Type", "Message"]  # fmt: skip
ERRORS = ["No.", "Date/Time", "Error Message", "Help Link", "Source", "Destination"]
SKIPPED = [
    "Table ID",
    "Table Name",
    "Description",
    "Record Exists",
    "Coupled To",
    "Coupled Record Exists",
    "Error Message",
    "Failed On",
]
MAPPINGS = ["Name", "Table", "Table Filter", "Direction", "Integration Table", "Integration Table Filter", "Synch. Only Coupled Records",
            "Multi Company Synch. Enabled", "Integration Field", "Integration Field Type", "Synch. Modified On Filter", "Synch. Int. Tbl. Mod. On Fltr.",
            "Deletion-Conflict Resolution", "Update-Conflict Resolution", "User Defined"]  # fmt: skip
COUPLINGS = ["CRM ID", "Integration ID", "Table ID", "Last Synch. Modified On", "Last Synch. CRM Modified On", "Last Synch. Result", "Last Synch. CRM Result",
             "Skipped"]  # fmt: skip


def jobs(day: datetime) -> list[list[Any]]:
    return [
        [day, day + timedelta(minutes=2), "2 minutes", 0, 0, 1204, 3, 0, 15000, 3, 1, "Customer to CRM Account.", "Synchronization", ""],
        [day + timedelta(minutes=3), day + timedelta(minutes=4), "1 minute", 0, 0, 0, 12, 0, 9000, 0, 0, "CRM Account to Customer.", "Synchronization", ""],
        [day + timedelta(minutes=5), day + timedelta(minutes=6), "1 minute", 0, 0, 0, 0, 0, 40, 1, 0, "Contact to CRM Contact.", "Synchronization", ""],
    ]  # fmt: skip


def errors(day: datetime) -> list[list[Any]]:
    # three customers in the job of customers (two of one cause), one contact whose message is in another language
    return [
        [4, day + timedelta(minutes=6), "Der Datensatz „Kontakt CT0007“ muss zuerst verbunden werden.", "", "View", ""],
        [3, day + timedelta(minutes=1), DELETED, "", "View", "View"],
        [2, day + timedelta(minutes=1), MISSING, "", "View", ""],
        [1, day + timedelta(minutes=1), MISSING, "", "View", ""],
    ]


SKIPPED_ROWS: list[list[Any]] = [[18, "Customer", "Adatum", True, "Adatum Corp", False, DELETED, DAY]]
MAPPING_ROWS: list[list[Any]] = [
    ["CUSTOMER", "Customer", "Blocked=FILTER( )", "Bidirectional", "CRM Account", "", True, False, "AccountId", "GUID", DAY, DAY, "None", "None", False],
    ["CONTACT", "Contact", "", "Bidirectional", "CRM Contact", "", True, False, "ContactId", "GUID", DAY, DAY, "None", "None", False],
]  # fmt: skip
COUPLING_ROWS: list[list[Any]] = [
    [f"{{{ACCOUNT}}}", f"{{{CUSTOMER}}}", 18, DAY, DAY, "Success", "Failure", True],
    ["{11111111-8B86-D011-B42D-00C04FC964FF}", "{22222222-0000-4000-8000-000000000018}", 18, DAY, DAY, "Success", "Success", False],
]
LISTS = {"Jobs": (JOBS, jobs(DAY)), "Errors": (ERRORS, errors(DAY)), "Skipped": (SKIPPED, SKIPPED_ROWS), "Mappings": (MAPPINGS, MAPPING_ROWS),
         "Couplings": (COUPLINGS, COUPLING_ROWS)}  # fmt: skip

#: Local spelling -> separator, how a moment, a number and yes/no are written, the encoding, what the report of formats says of dates.
SPELLINGS: dict[str, tuple[str, str, str, tuple[str, str], str, str]] = {
    "German": (";", "%d.%m.%Y %H:%M", ".", ("Ja", "Nein"), "cp1252", "day.month.year"),
    "American": (",", "%m/%d/%Y %I:%M %p", ",", ("Yes", "No"), "utf-8-sig", "month/day/year"),
    "French": (";", "%d/%m/%Y %H:%M", "\N{NARROW NO-BREAK SPACE}", ("Oui", "Non"), "utf-8", "day/month/year"),
    "Danish": ("\t", "%d-%m-%Y %H:%M", ".", ("Ja", "Nej"), "utf-16", "day/month/year"),
    "Swedish": (";", "%Y-%m-%d %H:%M", "\N{NO-BREAK SPACE}", ("Ja", "Nej"), "utf-8", "year-month-day"),
    "Swiss": (";", "%d.%m.%y %H:%M", "’", ("Ja", "Nein"), "utf-8", "day.month.year"),
}


Lists = dict[str, tuple[list[str], list[list[Any]]]]


def as_csv(folder: Path, spelling: str, *, upside_down: bool = False, lists: Lists = LISTS, total: str = "") -> Path:
    """Every list as a CSV file: the page's title, blank lines and a line of totals about it (its first cell is `total`)."""
    separator, moment, group, yes, encoding, _ = SPELLINGS[spelling]

    def cell(value: Any) -> str:
        if isinstance(value, bool):
            return yes[0] if value else yes[1]
        if isinstance(value, datetime):
            return value.strftime(moment)
        text = f"{value:,}".replace(",", group) if isinstance(value, int) and value != 18 else str(value)
        return f'"{text}"' if separator in text or '"' in text else text

    folder.mkdir(exist_ok=True)
    for name, (head, rows) in lists.items():
        order = list(range(len(head)))[:: -1 if upside_down else 1]
        lines = [f"Integration {name}", "", separator.join(head[n] for n in order)]
        lines += [separator.join(cell(row[n]) for n in order) for row in rows]
        if name == "Jobs":
            sums = [sum(r[n] for r in rows) if isinstance(rows[0][n], int) else "" for n in range(len(head))]
            lines += ["", separator.join(cell(sums[n] if n else total) for n in order)]
        (folder / f"{name.lower()}.csv").write_bytes(("\r\n".join(lines) + "\r\n").encode(encoding))
    return folder


def as_excel(folder: Path) -> Path:
    book = openpyxl.Workbook()
    for name, (head, rows) in LISTS.items():
        sheet = book.create_sheet(name)
        sheet.append([f"Integration {name}"])
        sheet.append([])
        for row in [head, *rows]:
            sheet.append(row)
    book.save(folder / "lists.xlsx")
    return folder / "lists.xlsx"


def holds(log: JobLog) -> None:
    """Counts are equal to what was exported, causes and mappings are told, and the report adds up."""
    assert [len(f) for f in (log.jobs, log.errors, log.skipped, log.mappings, log.couplings)] == [3, 4, 1, 2, 2]
    of_list = dict(zip(log.formats["list"], log.formats["rows"], strict=True))
    assert of_list == {"jobs": 3, "errors": 4, "skipped": 1, "mappings": 2, "couplings": 2}
    assert (int(log.jobs["inserted"].sum()), int(log.jobs["unchanged"].sum()), int(log.jobs["failed"].sum())) == (1204, 24040, 4)
    assert log.jobs[["mapping", "direction"]].values.tolist() == [["CONTACT", "to_integration"], ["CUSTOMER", "from_integration"], ["CUSTOMER", "to_integration"]]  # fmt: skip
    causes = log.causes().set_index("code")
    assert causes["victims"].to_dict() == {"lookup_not_coupled": 2, "partner_deleted": 1, "unknown": 1}
    assert causes.loc["lookup_not_coupled", ["mapping", "value", "by_mapping"]].tolist() == ["CUSTOMER", "GBP", "CUSTOMER 2"]
    assert causes["remedy"].all() and set(log.errors["mapping"]) == {"CUSTOMER", "CONTACT"}
    assert any("4 errors do not name a record" in n for n in log.notes) and any(
        "1 message is not in the catalogue" in n for n in log.notes
    )
    report = log.report()
    assert report["sums"]["agree"].all() and report.total("failed") == 4 == len(report["errors"])
    shown = report["mappings"].set_index("mapping")
    assert shown.loc["CUSTOMER", ["direction", "couplings", "skipped_couplings", "failed"]].tolist() == ["bidirectional", 2, 1, 3]
    assert shown.loc["CUSTOMER", "only_coupled"] and shown.loc["CONTACT", "couplings"] == 0
    assert "Blocked=FILTER( )" in report.to_html() and MISSING in report.to_html()
    assert "What helps: Restore it" in log.explain("Adatum")
    coupled = log.explain(ACCOUNT)
    assert CUSTOMER.lower() in coupled and "last result to integration: failure" in coupled.casefold() and "CUSTOMER" in coupled


@pytest.mark.parametrize("spelling", list(SPELLINGS))
def test_csv_exports_of_a_country(tmp_path: Path, spelling: str) -> None:
    for upside_down in (False, True):
        log = synckit.read_job_log(as_csv(tmp_path / str(upside_down), spelling, upside_down=upside_down))
        holds(log)
        read_as = dict(zip(log.formats["list"], log.formats["read as"], strict=True))
        assert all(SPELLINGS[spelling][-1] in read_as[kind] for kind in ("jobs", "errors", "skipped", "couplings"))
        assert any("totals line" in n for n in log.notes)


def test_excel_exports(tmp_path: Path) -> None:
    holds(synckit.read_job_log(as_excel(tmp_path)))


def test_sql_tables(tmp_path: Path) -> None:
    """The tables themselves: column names, option numbers, ids; every error names its job and its records."""
    address = tmp_path / "bc.db"
    job = "{0A1B2C3D-0000-0000-0000-000000000001}"
    made: dict[str, tuple[list[str], list[list[Any]]]] = {
        "Integration Synch_ Job": (["ID", "Start Date_Time", "Finish Date_Time", "Message", "Integration Table Mapping Name", "Inserted", "Modified", "Deleted",
                                    "Unchanged", "Skipped", "Failed", "Uncoupled", "Coupled", "Synch_ Direction", "Type"],
                                   [[job, "2026-11-21 08:00:00", "2026-11-21 08:02:00.123", "", "CUSTOMER", 7, 1, 0, 0, 0, 1, 0, 0, 1, 0]]),
        "Integration Synch_ Job Errors": (["No_", "Integration Synch_ Job ID", "Source Record ID", "Destination Record ID", "Message", "Error Message", "Date_Time"],
                                          [[1, job, "Customer: 10000", f"CRM Account: {ACCOUNT}", "cut", MISSING, "2026-11-21 08:01:00"]]),
        "Integration Table Mapping": (["Name", "Table ID", "Integration Table ID", "Direction", "Synch_ Only Coupled Records", "Table Filter"],
                                      [["CUSTOMER", 18, 5341, 0, 1, ""], ["CONTACT", 5050, 5342, 2, 0, ""]]),
        "CRM Integration Record": (["CRM ID", "Integration ID", "Table ID", "Last Synch_ Modified On", "Last Synch_ CRM Modified On", "Last Synch_ Result",
                                    "Last Synch_ CRM Result", "Skipped"], [[ACCOUNT, CUSTOMER, 18, "2026-11-20 08:00:00", "2026-11-20 08:00:00", 1, 2, 1]]),
    }  # fmt: skip
    with sqlite3.connect(address) as connection:
        for name, (head, rows) in made.items():
            table = f'"CRONUS International Ltd_${name}$437dbf0e-84ff-417a-965d-ed2bb9650972"'
            columns = ", ".join('"' + c + '"' for c in head)
            connection.execute(f"CREATE TABLE {table} (timestamp INT, {columns})")
            for row in rows:
                connection.execute(f"INSERT INTO {table} VALUES (1, {', '.join('?' * len(row))})", row)  # noqa: S608
    log = synckit.read_job_log(f"sqlite:///{address}")
    assert [len(f) for f in (log.jobs, log.errors, log.mappings, log.couplings)] == [1, 1, 2, 1]
    assert log.errors[["mapping", "local_key", "integration_key", "code"]].values.tolist() == [
        ["CUSTOMER", "10000", ACCOUNT.lower(), "lookup_not_coupled"]
    ]
    assert log.mappings["direction"].tolist() == ["bidirectional", "from_integration"] and log.mappings[
        "only_coupled"
    ].tolist() == [True, False]
    assert log.couplings[["mapping", "to_result", "from_result"]].values.tolist() == [["CUSTOMER", "failure", "success"]]
    told = log.explain("10000")  # through the account of its error it finds the coupling
    assert "Couplings: 1" in told and "What helps" in told and "last result to integration: failure" in told
    assert len(log.skipped) == 1 and log.report().sentence().endswith("1 record is skipped.")


def test_what_the_log_does_not_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = as_csv(tmp_path / "lists", "American")
    log = synckit.read_job_log(folder)
    assert 'says nothing of "Adatun". Did you mean "Adatum"?' in log.explain("Adatun")
    with pytest.raises(SynckitError, match='no mapping "CUSTOMERS"'):
        log.report(mapping="CUSTOMERS")
    with pytest.raises(SynckitError, match="is no date"):
        log.report(since="recently")
    with pytest.raises(SystemExit) as left:
        main(["read-log", str(folder), "--record", "nobody at all"])
    assert left.value.code == 1 and "says nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (
            "Währungscode GBP muss mit einem Datensatz verbunden sein.",
            "Währungscode USD muss mit einem Datensatz verbunden sein.",
            True,
        ),
        ("La valeur « 12,5 » n'est pas valide.", "La valeur « abc » n'est pas valide.", True),
        ("Kunden „Adatum“ kunne ikke opdateres.", "Kunden „Contoso AG“ kunne ikke opdateres.", True),
        ("Währungscode GBP muss verbunden sein.", "Die Verbindung ist unterbrochen.", False),
    ],
)
def test_messages_of_any_language_group_by_their_wording(one: str, other: str, alike: bool) -> None:
    assert (shape(one) == shape(other)) is alike
