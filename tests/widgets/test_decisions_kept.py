"""Decisions live in the plan and its file: a screen that is made again, or a kernel that dies, loses none."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from synckit.errors import SynckitError
from synckit.planning.plan import Plan, PlanBase
from synckit.planning.planfile import load_plan
from synckit.widgets.review import Review

ACCEPTED = ["CURRENCY", "PAYMENT TERMS", "VENDOR", "CUSTOMER", "CONTACT"]


def a_create(plan: Plan, n: int = 0) -> str:
    return plan.records("CUSTOMER", "create", in_pass="to")["local_key"].iloc[n]


def test_a_decision_is_in_the_file_at_once_and_taken_over_from_it(full: Plan, tmp_path: Path) -> None:
    file = tmp_path / "monday.plan"
    Review(full, file, by="anna").decide(lambda p: p.exclude("CUSTOMER", local=a_create(p)))
    assert load_plan(str(file)).total("excluded") == 1
    again = Review(full, file)
    assert again.plan.total("excluded") == 1 and "1 decision taken over" in again.notice
    assert again.plan.decisions[0].by == "anna" and again.plan.decisions[0].at


def test_undo_takes_back_all_that_one_click_decided(full: Plan, tmp_path: Path) -> None:
    review = Review(full, tmp_path / "p.plan")
    review.decide(lambda p: p.exclude("CUSTOMER", local=a_create(p)))
    review.decide(lambda p: p.exclude(disposition="create"))
    assert review.plan.total("create") == 0
    assert review.undo() and review.plan.total("excluded") == 1
    assert review.undo() and not review.plan.decisions
    assert not review.undo()
    assert not load_plan(str(tmp_path / "p.plan")).decisions


def test_two_notebooks_on_one_file_do_not_overwrite_each_other(full: Plan, tmp_path: Path) -> None:
    one, two = Review(full, tmp_path / "p.plan"), Review(full, tmp_path / "p.plan")
    one.decide(lambda p: p.exclude("CUSTOMER", local=a_create(p, 0)))
    two.decide(lambda p: p.exclude("CUSTOMER", local=a_create(p, 1)))
    assert two.plan.total("excluded") == 2


def changed(plan: Plan, key: str) -> Plan:
    """The same plan, made after the record with this key was edited."""
    column = plan.base.rows.column("local_token").to_pylist()
    keys = plan.base.rows.column("local_key").to_pylist()
    tokens = pa.array(["2026-05-05T00:00:00.000Z" if k == key else t for k, t in zip(keys, column, strict=True)], pa.string())
    at = plan.base.rows.schema.get_field_index("local_token")
    values = {f: getattr(plan.base, f) for f in PlanBase.__dataclass_fields__}
    return Plan(PlanBase(**{**values, "given_id": "", "rows": plan.base.rows.set_column(at, "local_token", tokens)}))


def test_decisions_of_an_earlier_plan_hold_where_the_record_is_as_it_was(full: Plan, tmp_path: Path) -> None:
    first, second = a_create(full, 0), a_create(full, 1)
    review = Review(full, tmp_path / "p.plan")
    review.decide(lambda p: p.exclude("CUSTOMER", local=[first, second]))
    later = changed(full, first)
    assert later.id != full.id
    again = Review(later, tmp_path / "p.plan")
    assert again.plan.records("CUSTOMER", "excluded")["local_key"].tolist() == [second]
    assert "what was decided on 1 record" in again.notice and "1 record is no longer as decided then" in again.notice


def test_another_plan_in_the_file_is_not_overwritten_by_a_late_click(full: Plan, tmp_path: Path) -> None:
    review = Review(full, tmp_path / "p.plan")
    changed(full, a_create(full)).save(str(tmp_path / "p.plan"))
    with pytest.raises(SynckitError, match="now holds another plan"):
        review.decide(lambda p: p.exclude(disposition="create"))
    assert not review.plan.decisions


def test_what_was_decided_can_be_had_as_code(full: Plan, tmp_path: Path) -> None:
    review = Review(full, tmp_path / "p.plan")
    conflict = full.records("CUSTOMER", "conflict", in_pass="to").iloc[0]
    pair = full.duplicates("CUSTOMER").query("not existing_coupled and `pass` == 'to' and existing_side == 'integration'").iloc[0]
    for change in (
        lambda p: p.exclude("VENDOR"),
        lambda p: p.exclude("CUSTOMER", local=a_create(p), note="ask first"),
        lambda p: p.include("VENDOR"),
        lambda p: p.resolve("CUSTOMER", conflict["local_key"], use="integration"),
        lambda p: p.couple("CUSTOMER", pair["source_key"], pair["existing_key"]),
    ):
        review.decide(change)
    names = {"plan": full}
    exec(review.code(), names)
    assert names["plan"].summary().equals(review.plan.summary())


def test_a_file_that_is_no_plan_is_left_alone(full: Plan, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir")
    with pytest.raises(SynckitError, match="not a whole plan"):
        Review(full, tmp_path / "letter.txt")
    assert (tmp_path / "letter.txt").read_text() == "Dear Sir"
