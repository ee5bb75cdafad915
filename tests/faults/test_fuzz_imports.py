"""What people send back or bring along, mutilated: decisions in a workbook, transformation rules, lists of couplings, job logs.

Only sentences come out, never a traceback, a hang or something half-done.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_hostile_files import TEXTS, told
from world import World, mapping

import synckit
from synckit.mapping.loading import load_workspace
from synckit.mapping.transformation import READS, RuleBook, RuleError
from synckit.planning.plan import Plan

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(FEW, max_examples=60)
#: What a cell may come to hold: an error of Excel's, another type, a formula, a whole story.
CELLS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.datetimes(datetime(1900, 3, 1)) | TEXTS
    | st.sampled_from(["#REF!", "#N/A", "=1/0", "exclude", "EXCLUDE ", "couple", "create", "not_the_same", "x" * 40_000, "CUSTOMER to A"])
)  # fmt: skip
NUMBERS = st.integers(-3, 300) | st.sampled_from([10**9, 10**30, -(10**9)])


@pytest.fixture(scope="module")
def w() -> Iterator[World]:
    """Creates that look like one another, and a workbook of their plan."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), {"customer": "no code20 key, name text50"}, {"account": "name text100"}, [mapping("CUSTOMER", "customer > account", "name <> name")])  # fmt: skip
        for n in "ABCDE":
            world.local.add("customer", n, no=n, name=f"Hafenkontor Nummer {n}")
        world.integration.add("account", "GA", name="Hafenkontor Nummer A")
        world.ws.plan_full().to_excel(str(world.folder / "a.xlsx"))
        yield world
        world.close()


@pytest.fixture(scope="module")
def plan(w: World) -> Plan:
    """The plan of that workbook: reading it back changes nothing."""
    made = w.ws.plan_full()
    made.to_excel(str(w.folder / "a.xlsx"))
    assert told(made.with_decisions, str(w.folder / "a.xlsx")) is not None
    return made


@FEW
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 12), st.integers(1, 16), CELLS), min_size=1, max_size=6), st.sampled_from(["", "", "", "sheet", "row", "column"]), st.integers(0, 9))  # fmt: skip
def test_a_workbook_of_decisions_with_other_cells(w: World, plan: Plan, cells: list[Any], dropped: str, which: int) -> None:
    book = openpyxl.load_workbook(w.folder / "a.xlsx")
    for sheet, row, column, value in cells:
        try:
            book.worksheets[sheet % len(book.worksheets)].cell(row, column).value = value
        except (ValueError, openpyxl.utils.exceptions.IllegalCharacterError):
            continue  # no workbook holds this
    sheet = book.worksheets[which % len(book.worksheets)]
    if dropped == "sheet" and len(book.worksheets) > 1:
        book.remove(sheet)
    elif dropped == "row":
        sheet.delete_rows(1 + which % 4)
    elif dropped == "column":
        sheet.delete_cols(1 + which % 4)
    path = w.folder / "b.xlsx"
    book.save(path)
    before = plan.decisions
    decided = told(plan.with_decisions, str(path))
    assert decided is None or isinstance(decided, Plan)
    assert plan.decisions == before  # read whole or not at all
    if decided is not None:
        decided.summary()


@FEW
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8), st.booleans())
@example(242, b"\x00", False)
def test_a_workbook_of_decisions_with_other_bytes(w: World, plan: Plan, at: int, other: bytes, cut: bool) -> None:
    content = (w.folder / "a.xlsx").read_bytes()
    at %= len(content)
    path = w.folder / "c.xlsx"
    path.write_bytes(content[:at] if cut else content[:at] + other + content[at + len(other) :])
    decided = told(plan.with_decisions, str(path))
    assert decided is None or isinstance(decided, Plan)
    told(w.ws.import_couplings, path)
    told(synckit.read_job_log, path)


PARAMETERS = st.dictionaries(
    st.sampled_from(sorted({p for of in READS.values() for p in of})),
    TEXTS | NUMBERS | st.booleans() | st.sampled_from(["(a+)+$", "[", "(?P<a>", r"\1", "dd.MM.yyyy", "yyyy", "de-DE", "=", "0.01", "-1", "NaN", "Infinity", "1E+40"]),
    max_size=5,
)  # fmt: skip
INPUTS = TEXTS | st.sampled_from(["a" * 60 + "!", "31.12.2026", "1E400", "NaN", "-0", "1" * 60, "2026-02-30", "\ud7ff", "９"])


@MANY
@given(st.sampled_from(sorted(READS)) | TEXTS, PARAMETERS, TEXTS, st.lists(INPUTS, max_size=4))
@example("replace", {"find_value": "(a+)+$"}, "", ["a" * 60 + "!"])
@example("round", {"precision": "NaN", "direction": "="}, "", ["1"])
@example("round", {"precision": "1E+40", "direction": "="}, "", ["1" * 60])
def test_transformation_rules(w: World, kind: str, parameters: dict[str, Any], follows: str, texts: list[str]) -> None:
    path = w.folder / "rules.yaml"
    described = json.loads(w.path.read_text(encoding="utf-8"))
    described["transformation_rules"] = [{"code": "ONE", "type": kind, "parameters": parameters, "next": follows}]
    path.write_text(json.dumps(described), encoding="utf-8")
    workspace = told(load_workspace, path)
    if workspace is None:
        return
    book = told(RuleBook, workspace.transformation_rules)
    begun = time.monotonic()
    for text in texts if book is not None else ():
        try:
            assert isinstance(book.apply("ONE", text), str)
        except RuleError as error:
            assert str(error).startswith("Transformation rule")
    assert time.monotonic() - begun < 10, "it hangs"


LINES = st.lists(st.lists(TEXTS | st.sampled_from(["CUSTOMER", "ToIntegrationTable", "21.11.2026 08:00", "1.204", "-1", "9" * 40]), max_size=9), max_size=6)  # fmt: skip
JOBS = [
    "Start Date/Time",
    "Finish Date/Time",
    "Integration Table Mapping Name",
    "Direction",
    "Type",
    "Failed",
    "Inserted",
    "Modified",
    "ID",
]
ERRORS = ["Date/Time", "Error Message", "Source", "Destination", "Integration Synch. Job ID"]


def a_list(head: list[str], lines: list[list[str]], delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([head, *lines])
    return text.getvalue().encode("utf-8", "surrogatepass")


@MANY
@given(st.sampled_from([JOBS, ERRORS, JOBS + ERRORS, JOBS[:3]]), LINES, st.sampled_from([",", ";", "\t"]), st.binary(max_size=6))
def test_job_logs(head: list[str], lines: list[list[str]], delimiter: str, tail: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list.csv"
        path.write_bytes(a_list(head, lines, delimiter) + tail)
        log = told(synckit.read_job_log, path)
        if log is not None:
            for frame in (log.jobs, log.errors, log.causes()):
                len(frame)
            told(log.to_html) if hasattr(log, "to_html") else None


@MANY
@given(st.lists(st.lists(TEXTS | st.uuids().map(str) | st.just("CUSTOMER"), max_size=4), max_size=5), st.permutations(["mapping", "local_key", "integration_key", "nothing"]), st.binary(max_size=6))  # fmt: skip
def test_couplings_are_imported_whole_or_not_at_all(w: World, lines: list[list[str]], head: list[str], tail: bytes) -> None:
    path = w.folder / "couplings.csv"
    path.write_bytes(a_list(head, lines, ",") + tail)
    before = w.ws.ledger.coupling_count("CUSTOMER")
    report = told(w.ws.import_couplings, path)
    assert w.ws.ledger.coupling_count("CUSTOMER") == before + (0 if report is None else report.imported)
