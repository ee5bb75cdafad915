"""The command line on the demo: what it prints, and the exit codes that scripts may rely on."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import openpyxl
import pytest

from synckit.cli import main
from synckit.demo import make_demo
from synckit.errors import SynckitError


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def synckit(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*arguments: object) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with a saved plan of three mappings."""
    folder = tmp_path_factory.mktemp("made") / "demo"
    make_demo(folder)
    with pytest.raises(SystemExit) as ended:
        main(["plan", "full", "-w", str(folder / "workspace.yaml"), "-m", "CURRENCY", "-m", "SALESPEOPLE", "-m", "CUSTOMER",
              "--out", str(folder / "x.plan")])  # fmt: skip
    assert ended.value.code == 2
    return folder


@pytest.fixture
def folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def fresh(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that may be written: its own plan is made in it, for a plan belongs to its place."""
    copy = tmp_path / "demo"
    shutil.copytree(made, copy)
    monkeypatch.chdir(copy)
    return copy


def state(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("*.db")}


# -- first contact -----------------------------------------------------------------------------------------------------------------


def test_demo_prints_the_plan_where_it_lies_and_what_to_type_next(synckit: Callable[..., Said], tmp_path: Path) -> None:
    said = synckit("demo", tmp_path / "d")
    assert said.code == 0 and said.err == ""
    assert "Nothing has been written. A full synchronisation would create" in said.out
    assert "synckit apply full.plan" in said.out and (tmp_path / "d" / "full.plan").is_file()
    assert "\x1b" not in said.out, "no colours in a pipe"
    again = synckit("demo", tmp_path / "d")
    assert again.code == 1 and "--force" in again.err


def test_a_demo_of_exports_recommends_nothing_that_is_refused(synckit: Callable[..., Said], tmp_path: Path) -> None:
    said = synckit("demo", tmp_path / "d", "--kind", "exports")
    assert said.code == 0 and "two folders of exports" in said.out and "`synckit apply` is refused" in said.out
    assert "two databases" not in said.out and "synckit apply full.plan" not in said.out


def test_the_first_block_of_the_readme_is_what_the_demo_prints(synckit: Callable[..., Said], tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    block = readme.partition("This is what it prints for its demo")[2].split("```")[1]
    printed = {line.rstrip() for line in synckit("demo", tmp_path / "d").out.splitlines()}
    lines = [line.rstrip() for line in block.strip("\n").splitlines()]
    assert len(lines) > 20 and [line for line in lines if line not in printed] == []


def test_usage_errors_exit_1_never_2(synckit: Callable[..., Said]) -> None:
    for wrong in (["bogus"], ["plan"], ["plan", "full", "--nonsense"], ["show"], ["compare"], ["plan", "half"]):
        said = synckit(*wrong)
        assert said.code == 1 and said.err and "Traceback" not in said.err, wrong


def test_help_exits_0(synckit: Callable[..., Said]) -> None:
    assert synckit("--help").code == 0 and synckit("plan", "full", "--help").code == 0


def test_a_missing_workspace_is_one_sentence(synckit: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert synckit("plan", "full", "-w", "nope.yaml") == (1, "", "There is no workspace file nope.yaml.\n")
    said = synckit("mappings")
    assert said.code == 1 and "holds no workspace file" in said.err


def test_the_unexpected_asks_to_be_reported_without_a_traceback(
    synckit: Callable[..., Said], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("boom \x1b[31m")

    monkeypatch.setattr("synckit.cli_console.open_workspace", broken)
    said = synckit("mappings")
    assert said.code == 1 and "Please report it; with --debug" in said.err
    assert "Traceback" not in said.err and "\x1b" not in said.err
    with pytest.raises(RuntimeError):
        main(["mappings", "--debug"])


def test_ctrl_c_exits_130(synckit: Callable[..., Said], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("synckit.cli_console.open_workspace", stopped)
    assert synckit("mappings").code == 130


# -- looking -----------------------------------------------------------------------------------------------------------------------


def test_check_tells_every_problem_at_once_unknown_keys_too(
    synckit: Callable[..., Said], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh)
    path = fresh / "workspace.yaml"
    text, mappings, _ = path.read_text(encoding="utf-8").partition("\nmappings:")
    assert mappings
    wrong = """
colour: red
mappings:
  - CURRENCY: {depends_on: [CUSTOMER]}
  - CUSTOMER:
      depends_on: [CURRENCY]
      shape: round
      local_filter: "Name: (A"
      rules: [no_such_rule]
      fields: [{local: Nmae, integration: name}]
  - {name: OTHER, local: {table: custommer}, integration: {table: account}, fields: [{local: Name, integration: name}]}
"""
    path.write_text(text + wrong, encoding="utf-8")
    said = synckit("check")
    assert said.code == 1 and said.err == ""
    for part in (
        'no key "colour"',
        'no key "shape"',
        "CUSTOMER > local_filter",
        '"Nmae"',
        "no_such_rule",
        '"custommer"',
        "CURRENCY -> CUSTOMER",
    ):
        assert part in said.out, (part, said.out)
    strict = synckit("plan", "full")
    assert strict.code == 1 and 'no key "colour"' in strict.err and 'no key "shape"' in strict.err


def test_planning_twice_is_identical_but_for_times_and_changes_nothing(synckit: Callable[..., Said], folder: Path) -> None:
    before = state(folder)
    said = [synckit("plan", "full", "-m", "SALESPEOPLE", "--json") for _ in range(2)]
    assert [s.code for s in said] == [2, 2]
    one, two = ([line for line in s.out.splitlines() if '"made_at"' not in line and '"taken_at"' not in line] for s in said)
    assert one == two and json.loads(said[0].out)["kind"] == "full"
    assert state(folder) == before


def test_plan_with_nothing_to_do_exits_0(synckit: Callable[..., Said], folder: Path) -> None:
    assert synckit("plan", "full", "-m", "SHIPPING AGENT").code == 0


def test_show_gives_the_plan_its_records_and_its_fields(synckit: Callable[..., Said], folder: Path) -> None:
    assert "Nothing has been written" in synckit("show", "x.plan").out
    whole = json.loads(synckit("show", "x.plan", "--json").out)
    records = json.loads(synckit("show", "x.plan", "-m", "CUSTOMER", "-d", "create", "--json").out)
    assert len(records) == len([r for r in whole["records"] if r["mapping"] == "CUSTOMER" and r["disposition"] == "create"])
    changes = json.loads(synckit("show", "x.plan", "--changes", "--json").out)
    assert changes[0]["field"] and len(changes) == len(whole["changes"])
    said = synckit("show", "x.plan", "-d", "creat")
    assert said.code == 1 and 'Did you mean "create"?' in said.err


def test_lists_for_people_are_as_long_as_the_table_says_and_leave_codes_to_programs(
    synckit: Callable[..., Said], folder: Path, tmp_path: Path
) -> None:
    whole = synckit("show", "x.plan").out
    headings = re.search(r"^mapping +pass +(.+)$", whole, re.M)
    numbers = re.search(r"^all +(.+)$", whole, re.M)
    assert headings and numbers
    for heading, number in zip(headings[1].split(), numbers[1].split(), strict=True):
        lines = synckit("show", "x.plan", "-d", heading, "--json", "--limit", 100_000).out
        told = [r for r in json.loads(lines) if r["step"] in (1, None)]
        assert len(told) == int(number.replace("-", "0").replace(",", "")), heading
    creates = synckit("show", "x.plan", "-m", "CUSTOMER", "-d", "create").out
    assert "looks like" in creates and "not_couple" not in creates and not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}", creates)
    assert synckit("show", "x.plan", "-m", "CUSTOMER").out == synckit("show", "x.plan", "-m", "CUSTOMER", "--rows").out
    key = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", synckit("show", "x.plan", "-d", "create", "--keys").out)
    assert key and synckit("decide", "x.plan", "--exclude", key[0], "--out", tmp_path / "1.plan").code == 0, (
        "a key as shown is one to decide by"
    )
    fields = synckit("show", "x.plan", "--changes", "-d", "update").out
    assert re.search(r"^CUSTOMER +to +update +Ekensund Transport AB +E-Mail ", fields, re.M) and " create " not in fields
    assert "Exchange rate (by a" in fields and "currency.exchange_rate" not in fields
    assert synckit("show", "x.plan", "-m", "NOPE").code == 1 and synckit("show", "x.plan", "--limit", 0).code == 1


def test_pages(synckit: Callable[..., Said], folder: Path) -> None:
    assert re.search(r"^CUSTOMER +Customer", synckit("mappings").out, re.M)
    assert json.loads(synckit("mappings", "--json").out)[0]["mapping"] == "CURRENCY"
    assert synckit("jobs").out == "No job has run yet.\n" and json.loads(synckit("jobs", "--json").out) == []
    assert json.loads(synckit("skipped", "--json").out) is not None
    assert "same" in synckit("duplicates", "x.plan").out
    check = synckit("check")
    assert check.code == 0 and "0 errors" in check.out


def test_couplings_go_out_and_come_back(synckit: Callable[..., Said], folder: Path, tmp_path: Path) -> None:
    assert "couplings written" in synckit("couplings", "export", tmp_path / "c.csv").out
    assert synckit("couplings", "import", tmp_path / "c.csv").out.startswith("0 couplings imported")
    assert synckit("couplings", "import", tmp_path / "none.csv").code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("show y.plan", 'There is no plan file y.plan. Did you mean "x.plan"?'),
        ("plan ful", "No such command 'ful'. Did you mean 'full'? Try: synckit plan --help"),
        ("jobs 7", "Got unexpected extra argument(s) (7). Try: synckit jobs --help"),
        ("apply --yes", "Missing argument 'plan'. Try: synckit apply --help"),
        ("report --since yesterday", '"yesterday" is no date. Write it like 2026-01-31 or 2026-01-31T08:00.'),
        ("purge --before soon", '"soon" is no date. Write it like 2026-01-31.'),
        ("explain CUSTOMR 10000", 'There is no mapping "CUSTOMR". Did you mean "CUSTOMER"?'),
        ("undo 99", "There is no run 99. No plan has been applied yet. `synckit jobs` lists them."),
    ],
)
def test_what_was_typed_wrong_is_one_sentence(synckit: Callable[..., Said], folder: Path, words: str, said: str) -> None:
    ended = synckit(*words.split())
    assert (ended.code, " ".join(ended.err.split()), ended.out) == (1, said, "")


# -- deciding ----------------------------------------------------------------------------------------------------------------------


def test_decisions_on_the_command_line_and_in_excel(synckit: Callable[..., Said], folder: Path, tmp_path: Path) -> None:
    new = tmp_path / "y.plan"
    assert synckit("decide", "x.plan", "--exclude-warning", "possible_duplicate", "--out", new).code == 0
    left_out = json.loads(synckit("show", new, "-d", "excluded", "--json").out)
    assert left_out and json.loads(synckit("show", "x.plan", "-d", "excluded", "--json").out) == [], "the old plan is as it was"
    assert synckit("show", "x.plan", "--excel", tmp_path / "x.xlsx").code == 0
    book = openpyxl.load_workbook(tmp_path / "x.xlsx")
    row = next(r for r in book["Records"].iter_rows() if r[4].value == "create")
    row[0].value = "exclude"
    book.save(tmp_path / "x.xlsx")
    assert synckit("decide", "x.plan", "--excel", tmp_path / "x.xlsx", "--out", tmp_path / "z.plan").code == 0
    assert len(json.loads(synckit("show", tmp_path / "z.plan", "-d", "excluded", "--json").out)) == 1


def test_records_inside_a_filter_are_left_out(synckit: Callable[..., Said], folder: Path, tmp_path: Path) -> None:
    new, one = tmp_path / "y.plan", json.loads(synckit("show", "x.plan", "-m", "CUSTOMER", "-d", "create", "--json").out)[0]
    assert synckit("decide", "x.plan", "-m", "CUSTOMER", "--exclude-local", f"Name: '{one['local_name']}'", "--out", new).code == 0
    assert [row["local_key"] for row in json.loads(synckit("show", new, "-d", "excluded", "--json").out)] == [one["local_key"]]
    assert "--mapping NAME" in synckit("decide", "x.plan", "--exclude-local", "Name: A*", "--out", new).err
    assert 'has no field "Nam"' in synckit("decide", "x.plan", "-m", "CUSTOMER", "--exclude-local", "Nam: A", "--out", new).err


def test_a_decision_that_decides_nothing_is_refused_or_said(synckit: Callable[..., Said], folder: Path, tmp_path: Path) -> None:
    new = tmp_path / "n.plan"
    for words, said in (
        ([], "Say what to decide"),
        (["--exclude", "10000"], 'no record of any mapping with the key "10000"'),
        (["--exclude-warning", "possible"], 'There is no warning "possible". Did you mean "possible_duplicate"?'),
        (["-m", "CUSTOMER", "--exclude-local", " "], "The filter is empty"),
        (["-m", "CUSTOMER", "--use", "local"], "--use says whose values win"),
        (["--exclude-mapping"], "--mapping NAME"),
    ):
        ended = synckit("decide", "x.plan", *words, "--out", new)
        assert ended.code == 1 and said in " ".join(ended.err.split()) and not new.exists(), (words, ended)
    same = synckit("decide", "x.plan", "--exclude-warning", "recoupled", "--out", new)
    assert same.code == 0 and "No record of the plan is concerned" in same.out and new.exists(), "an unattended chain goes on"


def test_what_was_left_out_warns_of_nothing_any_more(synckit: Callable[..., Said], folder: Path, tmp_path: Path) -> None:
    assert re.search(r"^Warnings: .*possible duplicate", synckit("show", "x.plan").out, re.M)
    assert synckit("decide", "x.plan", "--exclude-warning", "possible_duplicate", "--out", tmp_path / "y.plan").code == 0
    assert "possible duplicate" not in synckit("show", tmp_path / "y.plan").out


# -- applying ----------------------------------------------------------------------------------------------------------------------


def test_without_a_terminal_apply_wants_yes_and_the_mappings_by_name(synckit: Callable[..., Said], folder: Path) -> None:
    before = state(folder)
    said = synckit("apply", "x.plan")
    assert said.code == 1 and "--yes" in said.err
    said = synckit("apply", "x.plan", "--yes")
    assert said.code == 1 and "--accept CURRENCY --accept CUSTOMER" in said.err and "Nothing was applied" in said.err
    assert synckit("apply", "x.plan", "--yes", "--accept", "CUSTOMER").code == 1, "all of them, by name"
    assert synckit("apply", "x.plan", "--yes", "--keep-creating", "perhaps").code == 1
    assert state(folder) == before


def test_a_plan_of_another_place_is_refused(synckit: Callable[..., Said], fresh: Path) -> None:
    said = synckit("apply", "x.plan", "--yes", "--accept", "CURRENCY", "--accept", "CUSTOMER")
    assert said.code == 1 and "This plan was made for another" in said.err


def test_apply_exits_3_where_rows_fail_as_planned_and_the_same_plan_is_refused_twice(
    synckit: Callable[..., Said], fresh: Path
) -> None:
    assert synckit("plan", "full", "-m", "CURRENCY", "--out", "c.plan").code == 2
    said = synckit("apply", "c.plan", "--yes", "--accept", "CURRENCY")
    assert said.code == 3 and "Run 1 finished" in said.out and said.err == "", "the currency without a rate"
    jobs = json.loads(synckit("jobs", "--json").out)
    assert [(j["inserted"], j["failed"]) for j in jobs] == [(j["planned_inserted"], j["planned_failed"]) for j in jobs]
    page = synckit("errors").out
    assert re.search(r"^ +1 +CURRENCY +to_integration +TRY +Currency TRY has no exchange rate", page, re.M), "by its name"
    assert synckit("apply", "c.plan", "--yes", "--accept", "CURRENCY").code == 1
    assert synckit("resume").out == "No run is unfinished.\n"


def test_pages_of_errors_need_no_system_that_answers(
    synckit: Callable[..., Said], fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> object:
        raise SynckitError("The system cannot be reached.")

    assert re.search(r"^CUSTOMER +Cerámicas Montañés S.L.", synckit("skipped").out, re.M), "by its name"
    monkeypatch.setattr("synckit.diagnosis.naming.names_in", lambda ws: away)
    assert re.search(r"^CUSTOMER +[0-9a-f]{8}-", synckit("skipped").out, re.M), "its key stands for the name"


def test_apply_exits_0_where_every_row_is_fine(synckit: Callable[..., Said], fresh: Path) -> None:
    assert synckit("plan", "full", "-m", "SALESPEOPLE", "--out", "s.plan").code == 2
    said = synckit("apply", "s.plan", "--yes", "--json")
    assert said.code == 0 and json.loads(said.out)["status"] == "finished"
    assert synckit("plan", "full", "-m", "SALESPEOPLE").code == 0


def test_on_a_terminal_apply_asks_and_anything_but_yes_applies_nothing(
    synckit: Callable[..., Said], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(folder)
    monkeypatch.setattr("synckit.cli.terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\ny\nsure\n"))
    said = synckit("apply", "x.plan")
    assert said.code == 1 and "Nothing was applied." in said.err
    assert "CURRENCY: both sides hold records" in said.out and "Business Central (Nordwind Trading)" in said.out
    assert state(folder) == before


def test_reading_a_plan_leaves_no_thread_that_the_end_of_the_program_could_trip_over(folder: Path) -> None:
    """A thread of Arrow that let go of Python's bytes while Python ended took every third command that ended early down (abort, 134)."""
    count = "psutil.Process().num_threads()"
    program = f"import psutil; from synckit.planning.planfile import load_plan; before = {count}; load_plan('x.plan'); print({count} - before)"
    said = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "0"


# -- consoles ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
def test_a_console_without_utf_8_shows_what_it_can(folder: Path, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    with pytest.raises(SystemExit) as ended:
        main(["show", "x.plan"])
    sys.stdout.flush()
    assert ended.value.code == 0
    text = raw.getvalue().decode(encoding)
    assert "Nothing has been written" in text and re.search(r"^CUSTOMER", text, re.M)
