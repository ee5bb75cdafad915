"""A plan goes to Excel and comes back with decisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from synckit.demo import make_demo
from synckit.errors import SynckitError
from synckit.planning import excel
from synckit.planning.plan import Plan
from synckit.workspace import open_workspace


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    with open_workspace(make_demo(tmp_path_factory.mktemp("demo"))) as ws:
        return ws.plan_full(["CURRENCY", "SALESPEOPLE", "CUSTOMER"])


@pytest.fixture(scope="module")
def written(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("book") / "monday.xlsx"
    plan.to_excel(str(path))
    return path


@pytest.fixture
def fill(written: Path, tmp_path: Path) -> Callable[..., str]:
    """A copy of the workbook in which someone has typed something."""

    def typed(**cells: str) -> str:
        book = openpyxl.load_workbook(written)
        for place, value in cells.items():
            book["Records"][place] = value
        book.save(tmp_path / "filled.xlsx")
        return str(tmp_path / "filled.xlsx")

    return typed


def row_of(written: Path, disposition: str) -> int:
    sheet = openpyxl.load_workbook(written)["Records"]
    return next(row[0].row for row in reversed(list(sheet.iter_rows())) if row[4].value == disposition)


def refused(plan: Plan, path: str) -> str:
    with pytest.raises(SynckitError) as error:
        plan.with_decisions(path)
    return str(error.value)


def test_the_workbook_has_its_sheets_with_filters_frozen_headers_and_the_plan_s_id(plan: Plan, written: Path) -> None:
    book = openpyxl.load_workbook(written)
    assert book.sheetnames == ["Summary", "Records", "Changes", "Possible duplicates", "Errors"]
    assert book.properties.identifier == plan.id and book["Summary"]["B1"].value == plan.id
    for name in book.sheetnames[1:]:
        assert book[name].freeze_panes == "A2" and book[name].auto_filter.ref.startswith("A1:")
    assert book["Changes"].max_row == len(plan.changes()) + 1
    assert book["Records"].data_validations.dataValidation[0].formula1 == '"exclude,include"'
    assert isinstance(book["Possible duplicates"]["H2"].value, float), "a score is a number"


def test_every_record_that_is_written_or_stops_has_a_row(plan: Plan, written: Path) -> None:
    sheet = openpyxl.load_workbook(written)["Records"]
    rows = plan.rows.select(["mapping", "pass", "record", "disposition"]).to_pylist()
    expected = {f"{r['mapping']}/{r['pass']}/{r['record']}" for r in rows if r["disposition"] in excel.SHOWN}
    assert {row[1].value for row in sheet.iter_rows(min_row=2)} == expected


def test_a_name_that_begins_like_a_formula_stays_text(written: Path) -> None:
    cells = [c for row in openpyxl.load_workbook(written)["Records"].iter_rows() for c in row if str(c.value).startswith("=")]
    assert cells and all(c.data_type == "s" and c.quotePrefix for c in cells)


@pytest.mark.parametrize("hostile", ["=cmd|'/c calc'!A1", "+1", "-2", "@SUM(A1)", "\t=1", "#N/A", "nul\x00 bell\x07", "x" * 40_000])
def test_hostile_texts_are_stored_as_text(hostile: str, tmp_path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    excel._row(book.create_sheet("s"), [hostile])
    book.save(tmp_path / "x.xlsx")
    cell = openpyxl.load_workbook(tmp_path / "x.xlsx")["s"]["A1"]
    assert cell.data_type == "s" and len(cell.value) <= excel.LONGEST and "\x07" not in cell.value


def test_decisions_come_back_whatever_their_case(plan: Plan, fill: Callable[..., str], written: Path) -> None:
    number = row_of(written, "create")
    changed = plan.with_decisions(fill(**{f"A{number}": " Exclude "}))
    assert changed.total("excluded") == 1
    back = changed.with_decisions(fill(**{f"A{number}": "include"}))
    assert back.total("excluded") == 0 and back.counts == plan.counts


def test_an_empty_decision_changes_nothing(plan: Plan, written: Path) -> None:
    assert plan.with_decisions(str(written)).decisions == ()


def test_excluding_what_is_not_written_anyway_changes_nothing(plan: Plan, fill: Callable[..., str], written: Path) -> None:
    assert plan.with_decisions(fill(**{f"A{row_of(written, 'conflict')}": "exclude"})).decisions == ()


def test_all_mistakes_are_told_at_once_with_their_rows(plan: Plan, fill: Callable[..., str]) -> None:
    message = refused(plan, fill(A3="exlude", A4="exclude", B4="CUSTOMER/to/999999"))
    assert 'Records, row 3: "exlude" is no decision. Did you mean "exclude"?' in message
    assert 'Records, row 4: the plan has no row "CUSTOMER/to/999999".' in message


def test_the_same_record_decided_both_ways_is_refused(plan: Plan, fill: Callable[..., str], written: Path) -> None:
    sheet = openpyxl.load_workbook(written)["Records"]
    copied = {f"{column}3": sheet[f"{column}2"].value for column in "BHI"}
    assert "decided twice" in refused(plan, fill(A2="exclude", A3="include", **copied))


def test_a_decision_beside_the_wrong_record_is_refused(plan: Plan, written: Path, tmp_path: Path) -> None:
    """Someone sorts a part of the sheet: names and keys move, the column `row` does not. Nobody else's record is left out."""
    book = openpyxl.load_workbook(written)
    sheet = book["Records"]
    heads = [cell.value for cell in sheet[1]]
    moved = [heads.index(c) + 1 for c in ("local_name", "integration_name", "local_key", "integration_key")]
    row = row_of(written, "create")
    for column in moved:
        one, other = sheet.cell(row, column), sheet.cell(row - 1, column)
        one.value, other.value = other.value, one.value
    sheet.cell(row, 1).value = "exclude"
    book.save(tmp_path / "sorted.xlsx")
    said = refused(plan, str(tmp_path / "sorted.xlsx"))
    assert f"Records, row {row}: the keys are not those of" in said and "sort whole rows" in said
    for column in sorted(moved, reverse=True):
        sheet.delete_cols(column)
    book.save(tmp_path / "fewer.xlsx")
    assert plan.with_decisions(str(tmp_path / "fewer.xlsx")).total("excluded") == 1, "columns may be removed"


def test_a_workbook_of_another_plan_is_refused(plan: Plan, written: Path, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(written)
    book.properties.identifier = "0" * 24
    book.save(tmp_path / "other.xlsx")
    assert "belongs to another plan" in refused(plan, str(tmp_path / "other.xlsx"))


def test_files_that_are_no_such_workbook_are_refused(plan: Plan, tmp_path: Path) -> None:
    assert "There is no workbook" in refused(plan, str(tmp_path / "none.xlsx"))
    (tmp_path / "text.xlsx").write_text("not a workbook")
    assert "is not an Excel workbook" in refused(plan, str(tmp_path / "text.xlsx"))
    openpyxl.Workbook().save(tmp_path / "plain.xlsx")
    assert "is not a workbook of a plan" in refused(plan, str(tmp_path / "plain.xlsx"))


def test_a_workbook_cut_short_is_refused(plan: Plan, written: Path, tmp_path: Path) -> None:
    data = written.read_bytes()
    (tmp_path / "cut.xlsx").write_bytes(data[: len(data) // 2])
    assert "cut short" in refused(plan, str(tmp_path / "cut.xlsx"))


def test_nothing_else_is_overwritten(plan: Plan, fill: Callable[..., str], tmp_path: Path) -> None:
    openpyxl.Workbook().save(tmp_path / "budget.xlsx")
    with pytest.raises(SynckitError, match="is not a workbook of a plan"):
        plan.to_excel(str(tmp_path / "budget.xlsx"))
    with pytest.raises(SynckitError, match="holds decisions, which would be lost"):
        plan.to_excel(fill(A2="exclude"))
    with pytest.raises(SynckitError, match=r"let it end in \.xlsx"):
        plan.to_excel(str(tmp_path / "plan.csv"))


def test_a_plan_too_long_for_a_sheet_is_refused_and_nothing_is_left_behind(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(excel, "LAST_ROW", 10)
    with pytest.raises(SynckitError, match="Excel ends at 10"):
        plan.to_excel(str(tmp_path / "long.xlsx"))
    assert list(tmp_path.iterdir()) == []
