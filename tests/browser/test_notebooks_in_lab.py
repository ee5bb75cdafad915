"""The notebooks as people meet them: opened by `synckit lab` in a browser, run, decided by keyboard, applied; offline, no key leaks."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from lab_page import LabPage, browser, lab, why_not

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]

LEAKY = "abddxymz"  # in a focused cell these insert, delete, cut and change cells
SCREEN = ".synckit-screen"
ROWS = f"{SCREEN} .rows .line"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with lab(tmp_path_factory.mktemp("lab")) as found:
        yield found


@pytest.fixture(scope="module")
def new_page() -> Iterator[Any]:
    with browser() as new:
        yield new


@pytest.fixture
def page(address: str, new_page: Any) -> Iterator[LabPage]:
    lab_page = LabPage(new_page(), address)
    lab_page.page.set_default_timeout(60_000)
    yield lab_page
    lab_page.page.context.close()
    assert not lab_page.outside, "nothing leaves this machine"
    assert not lab_page.wrong, "no error in the browser's console"


def harmless(page: LabPage, screen: str) -> None:
    """Type what would harm the notebook into the screen, and see that no cell was."""
    before = page.cells()
    page.page.click(screen)
    for key in LEAKY:
        page.page.keyboard.press(key)
    page.page.wait_for_timeout(400)
    assert page.cells() == before


def waits(page: LabPage, selector: str, words: str) -> None:
    page.page.wait_for_selector(f'{selector}:has-text("{words}")')


def test_the_start_page_opens_first_tests_both_systems_and_changes_the_workspace_file(tmp_path: Path, new_page: Any) -> None:
    with lab(tmp_path) as address:
        page = LabPage(new_page(), address)
        p = page.page
        p.set_default_timeout(60_000)
        page.open()
        assert "00-start" in p.url
        page.run_all(f'{SCREEN} :text("Mappings, in the order of a run")')
        assert p.locator(f'{SCREEN} td:has-text("connected: ")').count() == 2
        assert p.query_selector("text=Would you like to get notified") is None, "no news pop-up"
        harmless(page, f"{SCREEN} caption >> nth=0")
        file = tmp_path / "synckit-notebooks" / "synckit-demo" / "workspace.yaml"
        before = file.read_text(encoding="utf-8")
        p.click(f'{SCREEN} button:text-is("CUSTOMER")')
        p.fill(f'{SCREEN} input[aria-label="filter of the local side"]', "Blocked: ' '; Country/Region Code: DE")
        p.keyboard.press("Enter")
        waits(page, SCREEN, "215 go out")
        p.click(f'{SCREEN} tr:has-text("address1_city") button')
        p.select_option(f'{SCREEN} select[aria-label="only try a rule"]', "UPPERCASE")
        waits(page, SCREEN, "would be changed")
        assert file.read_text(encoding="utf-8") == before
        p.click(f'{SCREEN} button:has-text("Save workspace.yaml")')
        waits(page, SCREEN, "Saved: ")
        after = file.read_text(encoding="utf-8")
        assert "Country/Region Code: DE" in after and "UPPERCASE" not in after
        assert [line for line in before.splitlines() if "#" in line] == [line for line in after.splitlines() if "#" in line]
        assert page.outside == [] and page.wrong == []
        p.context.close()


def test_preview_filter_leave_out_apply_and_see_planned_beside_actual(page: LabPage) -> None:
    page.open("01-full-sync-preview.ipynb")
    page.run_all(f'{SCREEN} button:has-text("Write ")')
    p = page.page
    assert p.locator(ROWS).count() > 10
    total = p.locator(f"{SCREEN} .counted").inner_text()
    p.keyboard.press("Escape")
    p.click(f"{ROWS} >> nth=2")
    p.keyboard.press("/")
    p.keyboard.type("gmbh")
    p.wait_for_function("t => document.querySelector('.synckit-screen .counted').textContent !== t", arg=total)
    p.keyboard.press("Enter")
    harmless(page, f"{ROWS} >> nth=0")
    p.keyboard.press("u")  # the x among them left a row out
    p.click(f'{SCREEN} button.chip:has-text("create")')
    p.wait_for_selector(f'{SCREEN} button.chip.on:has-text("create")')
    p.locator(ROWS).nth(1).locator(':text("create")').first.wait_for()
    p.click(f"{ROWS} >> nth=1")
    p.keyboard.press("Enter")
    p.wait_for_selector(f"{SCREEN} .detail table")
    p.keyboard.press("Escape")
    with p.expect_download() as saved:
        p.keyboard.press("e")
    heads, *lines = openpyxl.load_workbook(io.BytesIO(Path(saved.value.path()).read_bytes()))["Planned rows"].iter_rows(
        values_only=True
    )
    assert {line[heads.index("disposition")] for line in lines} == {"create"}
    p.click(f"{ROWS} >> nth=0")
    p.keyboard.press(" ")
    waits(page, f"{SCREEN} .said", "1 row left out")
    for box in p.locator(f"{SCREEN} .checks input").all():
        box.check()
    button = p.locator(f'{SCREEN} button:has-text("Write ")')
    planned = re.search(r"Write ([\d,]+) rows", button.inner_text())
    assert planned is not None
    button.click()
    waits(page, SCREEN, "Every write came out as planned.")
    assert f"{planned[1]} of {planned[1]} planned writes were made" in p.locator(SCREEN).last.inner_text()
    p.click(f'{SCREEN} button:has-text("Save the answers")')
    waits(page, SCREEN, "Saved in the ledger")


def test_pairs_are_decided_by_keyboard_and_no_key_reaches_the_notebook(tmp_path: Path, new_page: Any) -> None:
    with lab(tmp_path) as address:
        page = LabPage(new_page(), address)
        page.open("02-possible-duplicates.ipynb", dark=True)
        page.run_all(f"{SCREEN} kbd")
        p = page.page
        dark = p.evaluate("getComputedStyle(document.querySelector('.synckit-screen')).color")
        assert min(int(n) for n in re.findall(r"\d+", dark)[:3]) > 120, "text is light in the dark theme"
        harmless(page, f"{SCREEN} table")
        before = p.locator(f"{SCREEN} .tone-strong").first.inner_text()
        p.keyboard.press("c")
        waits(page, f"{SCREEN} .row", "1 couple")
        assert p.locator(f"{SCREEN} .tone-strong").first.inner_text() != before
        p.keyboard.press("s")
        waits(page, f"{SCREEN} .row", "1 decide later")
        p.keyboard.press("u")
        waits(page, f"{SCREEN} .row", "1 of ")
        assert page.outside == [] and page.wrong == []
        p.context.close()


def test_differences_errors_and_report_run_and_keep_their_keys(page: LabPage) -> None:
    for notebook, content in (
        ("03-sync-diff", f"{ROWS} mark"),
        ("04-diagnose-errors", ROWS),
        ("05-job-report", ".jp-OutputArea-output img"),
    ):
        page.open(f"{notebook}.ipynb")
        page.run_all(content)
        if notebook != "05-job-report":
            harmless(page, f"{ROWS} >> nth=0")
            if notebook == "03-sync-diff":
                page.page.keyboard.press("Enter")
            page.page.wait_for_selector(f"{SCREEN} .detail p")
            if notebook == "04-diagnose-errors":
                asked = page.page.locator(f'{SCREEN} input[aria-label="record"]')
                page.page.select_option(f'{SCREEN} select[aria-label="mapping"]', "CUSTOMER")
                asked.fill("")
                harmless(page, f'{SCREEN} input[aria-label="record"]')
                assert LEAKY in asked.input_value(), "what is typed into a field stands in it"
                asked.fill("10000")
                asked.press("Enter")
                waits(page, SCREEN, "Where it is")
        else:
            harmless(page, f"{SCREEN} p >> nth=0")
            with page.page.expect_download() as saved:
                page.page.click(f'{SCREEN} button:has-text("Save as page")')
            assert "Job report" in Path(saved.value.path()).read_text(encoding="utf-8")


def test_a_conflict_is_decided_by_keyboard_written_as_planned_and_taken_along(tmp_path: Path, new_page: Any) -> None:
    with lab(tmp_path) as address:
        page = LabPage(new_page(), address)
        p = page.page
        p.set_default_timeout(60_000)
        page.open("03-sync-diff.ipynb")
        page.run_all(f'{SCREEN} button:has-text("Write ")')
        first = f"{ROWS}:nth-child(1)"
        waits(page, first, "conflict")  # what waits for a person stands first
        waits(page, f"{SCREEN} .counted", "2 open conflicts")
        p.click(first)
        p.keyboard.press("i")
        waits(page, f"{SCREEN} .said", "the values of Dataverse are kept")
        waits(page, first, "kept: Dataverse")
        p.keyboard.press("d")
        waits(page, f"{SCREEN} .counted", "2 open conflicts")
        p.keyboard.press("l")
        waits(page, f"{SCREEN} .said", "the values of Business Central are kept")
        with p.expect_download() as saved:
            p.click(f'{SCREEN} button:text-is("CSV")')
        assert "decided" in Path(saved.value.path()).read_text(encoding="utf-8-sig")
        p.click(f'{SCREEN} button:text-is("Copy as code")')
        waits(page, f"{SCREEN} pre", "plan = plan.resolve('CUSTOMER'")
        harmless(page, f'{SCREEN} p:has-text("Apply writes")')
        button = p.locator(f'{SCREEN} button:has-text("Write ")')
        planned = re.search(r"Write ([\d,]+) rows", button.inner_text())
        assert planned is not None
        button.click()
        waits(page, SCREEN, "Every write came out as planned.")
        assert f"{planned[1]} of {planned[1]} planned writes were made" in p.locator(SCREEN).last.inner_text()
        assert page.outside == [] and page.wrong == []
        p.context.close()


def test_an_error_is_opened_explained_and_mended_from_the_screen(tmp_path: Path, new_page: Any) -> None:
    with lab(tmp_path) as address:
        page = LabPage(new_page(), address)
        p = page.page
        p.set_default_timeout(60_000)
        page.open("04-diagnose-errors.ipynb", dark=True)
        page.run_all(ROWS)
        p.click(f'{ROWS}:has-text("deleted record")')
        waits(page, f"{SCREEN} .detail p", "Coupled to a deleted record")
        p.click(f'{SCREEN} .detail button:has-text("Its story") >> nth=0')
        waits(page, f"{SCREEN} .detail pre", "Coupled to a record that was deleted")
        p.click(f'{SCREEN} .detail button:has-text("Restore the deleted records")')
        p.click(f'{SCREEN} .detail button:has-text("Write ")')
        waits(page, SCREEN, "Every write came out as planned.")
        p.click(f'{SCREEN} button:has-text("Read again")')
        waits(page, SCREEN, "solved")
        assert page.outside == [] and page.wrong == []
        p.context.close()
