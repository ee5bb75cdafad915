"""Explaining one record: every planted case of the demo in words, records that do not exist, and a record's history."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from synckit.cli import app
from synckit.demo import data_folder, make_demo, rows_of
from synckit.diagnosis.explain import Explanation
from synckit.diagnosis.helping import word
from synckit.errors import SynckitError
from synckit.planning.plan import Plan
from synckit.workspace import Workspace, open_workspace

GOLDEN = Path(__file__).with_name("explanations.txt")
CASES = list(rows_of(data_folder() / "planted.csv"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with open_workspace(make_demo(tmp_path_factory.mktemp("explain") / "demo")) as ws:
        yield ws


@pytest.fixture(scope="module")
def plans(demo: Workspace) -> list[Plan]:
    return [demo.plan_modified(), demo.plan_full()]


@pytest.fixture(scope="module")
def all_told(demo: Workspace, plans: list[Plan]) -> list[tuple[dict[str, str], Explanation]]:
    """Every planted case, and what is told of it."""
    return [(case, demo.explain(case["mapping"], **{case["side"]: case["key"]}, plan=plans)) for case in CASES]


def test_every_planted_case_reads_as_written_down(all_told: list[tuple[dict[str, str], Explanation]]) -> None:
    """UPDATE_GOLDEN=1 writes the file anew; then read it."""
    text = "\n".join(f"{'=' * 100}\n{case['case']}: {case['what']}\n\n{told.to_text()}\n" for case, told in all_told)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_what_it_says_of_a_run_is_what_the_plan_says(plans: list[Plan], all_told: list[tuple[dict[str, str], Explanation]]) -> None:
    full = plans[1].records(all_rows=True)
    for case, told in all_told:
        mine = full[(full["mapping"] == case["mapping"]) & (full[f"{case['side']}_key"] == case["key"])]
        said = {(p["pass"], p["disposition"]) for p in told["full_run"]["passes"] if p["code"] not in ("no_source", "not_due")}
        planned = set(zip(mine["pass"], mine["disposition"], strict=True))
        assert said <= planned, case["what"]
        for in_pass in ("to", "from"):
            if case[in_pass] not in ("", "not a source"):
                assert (in_pass, case[in_pass]) in said, case["what"]


def test_without_plans_the_engine_is_asked_and_waits_for_other_mappings_are_seen(demo: Workspace) -> None:
    told = demo.explain("CUSTOMER", local="12700")
    (line,) = [p for p in told["full_run"]["passes"] if p["pass"] == "to"]
    assert line["disposition"] == "blocked"
    assert [(w["mapping"], w["name"], w["disposition"]) for w in line["waits_for"]] == [("CURRENCY", "TRY", "will fail")]


def test_a_record_that_does_not_exist_is_answered_with_the_nearest(demo: Workspace) -> None:
    told = demo.explain("CUSTOMER", local="1277")
    assert not told.found
    assert told["nearest"][0]["number"] == "12770"
    assert "12770" in told.to_text()
    assert demo.explain("CUSTOMER", key="40770")["elsewhere"] == ["VENDOR"]
    assert demo.explain("CUSTOMER", key="Kranichfeld Großhandel AG", plan=[])["local"]["number"] == "12770"


def test_the_question_must_name_one_record(demo: Workspace) -> None:
    with pytest.raises(SynckitError, match="Name one record"):
        demo.explain("CUSTOMER")
    with pytest.raises(SynckitError, match='Did you mean "CUSTOMER"'):
        demo.explain("CUSTOMERS", local="1")


def test_values_are_never_markup(demo: Workspace, plans: list[Plan]) -> None:
    told = demo.explain("CUSTOMER", local="12880", plan=plans)
    assert "<b>Bold" not in told._repr_html_()
    assert "&lt;b&gt;Bold &amp; Sons" in told._repr_html_()
    json.dumps(told.to_dict())


def test_a_skipped_record_says_what_a_retry_would_do(demo: Workspace) -> None:
    told = demo.explain("CUSTOMER", local="12820", full=False)
    assert told["coupling"]["skipped"]
    assert told["full_run"] is None
    assert [c["field"] for p in told["retry"]["passes"] for c in p["changes"]] == ["Phone No."]


def test_the_history_comes_from_the_ledger(tmp_path: Path) -> None:
    with open_workspace(make_demo(tmp_path / "demo")) as ws:
        plan = ws.plan_full("CURRENCY")
        run = ws.apply(plan, accept=["CURRENCY"])
        dkk = ws.explain("CURRENCY", local="DKK", full=False)
        assert [w["op"] for w in dkk["writes"]] == ["update"]
        assert dkk["writes"][0]["fields"]
        assert dkk["jobs"][0]["run_id"] == run.id
        failed = ws.explain("CURRENCY", local="TRY", full=False)
        assert [e["code"] for e in failed["errors"]] == ["currency.exchange_rate"]
        assert failed["errors"][0]["helps"]
        assert failed["due"]
        assert "Errors" in failed.to_text()


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A demo after two runs; the first is undone."""
    with open_workspace(make_demo(tmp_path_factory.mktemp("used") / "demo")) as ws:
        for plan in (ws.plan_full(), None):
            ws.apply(plan or ws.plan_modified(), accept=list(ws.order))
        assert ws.explain("CUSTOMER", local="12770", full=False)["skipped"]
        ws.apply(ws.plan_undo(1))
        yield ws


def carried_out(ws: Workspace, monkeypatch: pytest.MonkeyPatch, command: str) -> str:
    """What a command of an explanation prints where it is typed in the workspace's folder."""
    monkeypatch.chdir(Path(ws.path).parent)
    name, *words = shlex.split(command)
    assert name == "synckit"
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code in (0, 2), done.output  # 2: there is something to do
    return done.output


def test_a_skipped_record_says_so_whatever_the_watermark_says(used: Workspace) -> None:
    told = used.explain("CUSTOMER", local="12770", full=False)
    (at, *_) = [e["at"] for e in told["errors"]]
    since = f"Left out since {at[:19].replace('T', ' ')} UTC, because it failed twice for the same reason (Changed in both systems"
    assert since in told.verdict
    assert "To take it up again: synckit retry CUSTOMER 12770" in told.verdict
    assert "watermark" not in told.verdict


def test_a_held_record_says_why_since_when_and_how_to_lift_it(used: Workspace) -> None:
    lone = used.explain("CUSTOMER", local="12690", full=False)  # created by the run that was undone
    pair = next(c for c in used.ledger.couplings("CUSTOMER").to_pylist() if c["held"])
    coupled = used.explain("CUSTOMER", local=pair["local_key"], full=False)
    for told in (lone, coupled):
        number, since = told["local"]["number"], told["held_since"]["since"]
        said = f"Held since {since[:19].replace('T', ' ')} UTC: undone by run 3. To lift the hold: synckit lift CUSTOMER {number}"
        assert told.verdict.endswith(said)


def test_a_conflict_says_how_it_is_decided(used: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    told = used.explain("CUSTOMER", local="12770", full=False)
    line = told["next_run"]["passes"][0]
    assert "notebook 03-sync-diff" in line["helps"]
    assert line["commands"][0] == "synckit retry CUSTOMER 12770 -o conflict.plan"
    for command in line["commands"][:-1]:
        out = carried_out(used, monkeypatch, command)
    assert "would update 1." in out


def test_a_conflict_that_will_fail_again_is_decided_in_a_full_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_workspace(make_demo(tmp_path / "demo")) as ws:
        fresh = ws.explain("CUSTOMER", local="12770", full=False)["next_run"]["passes"][0]
        for command in fresh["commands"][:-1]:
            out = carried_out(ws, monkeypatch, command)
        assert "update 1, stop at 0" in out
        ws.apply(ws.plan_modified("CUSTOMER"), accept=["CUSTOMER"])
        told = ws.explain("CUSTOMER", local="12770", full=False)
        line = told["next_run"]["passes"][0]
        assert (line["disposition"], line["code"]) == ("skipped", "fails_again")
        assert "It would fail as it did before: Changed in both systems" in told.verdict
        for command in line["commands"][:-1]:
            out = carried_out(ws, monkeypatch, command)
        assert "stop at 1 conflict" in out  # of the two


def test_a_broken_coupling_says_how_to_restore_or_uncouple(
    demo: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = {"12840": ["restore CUSTOMER 12840", "uncouple CUSTOMER 12840"],
                "55cd1b54-071c-51f7-89b6-51fc85f90462": ["restore CUSTOMER --integration 55cd1b54-071c-51f7-89b6-51fc85f90462",
                                                         "uncouple CUSTOMER --integration 55cd1b54-071c-51f7-89b6-51fc85f90462"],
                "c54296ff-6c7e-55d6-9581-c019fab46eba": ["uncouple CUSTOMER c54296ff-6c7e-55d6-9581-c019fab46eba"]}  # fmt: skip
    for key, helping in commands.items():
        told = demo.explain("CUSTOMER", key=key, full=True)
        line = next(p for p in told["full_run"]["passes"] if p["disposition"] in ("deleted partner", "broken coupling"))
        assert line["commands"] == [f"synckit {c}" for c in helping]
        for command in line["commands"]:
            assert "Saved as" in carried_out(demo, monkeypatch, f"{command} -o {tmp_path / 'x.plan'}")
        assert all(f"      {c}" in told.to_text() for c in line["commands"])


def test_systems_are_called_by_their_own_names(used: Workspace) -> None:
    for told in (
        used.explain("CUSTOMER", local="12770"),
        used.explain("CUSTOMER", local="12690"),
        used.explain("CUSTOMER", key="1277"),
    ):
        text = re.sub(r"synckit .*|--use local: .*", "", told.to_text())
        assert "Business Central (Nordwind Trading)" in text
        assert not re.search(r"\b(local|integration)\b(?! user)", text), text


def test_what_is_there_already_is_not_waited_for(tmp_path: Path) -> None:
    with open_workspace(make_demo(tmp_path / "demo")) as ws:
        assert 'waits for CURRENCY "JPY", coupled first in the same run' in ws.explain("CUSTOMER", local="12690").to_text()
        ws.apply(ws.plan_full("CURRENCY"), accept=["CURRENCY"])
        assert "JPY" not in ws.explain("CUSTOMER", local="12690").to_text()


def test_a_question_that_names_nothing_is_answered_in_plain_words(demo: Workspace) -> None:
    with pytest.raises(SynckitError, match=r"^The key is blank. Name the record by its number, its key or its whole name.$"):
        demo.explain("CUSTOMER", key=" ")
    told = demo.explain("CUSTOMER", local="1277")
    assert told.verdict == 'CUSTOMER has no record "1277" in Business Central (Nordwind Trading).'
    both = demo.explain("CUSTOMER", key="1277")
    assert both.verdict == 'CUSTOMER has no record "1277" in Business Central (Nordwind Trading) or Dataverse (demo).'


def test_a_command_quotes_what_a_shell_would_part() -> None:
    assert [word(t) for t in ("12770", "PAYMENT TERMS", 'a "b"', "-x", "")] == [
        "12770",
        '"PAYMENT TERMS"',
        "'a \"b\"'",
        '"-x"',
        '""',
    ]
