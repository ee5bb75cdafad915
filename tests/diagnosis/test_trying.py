"""A rule or a filter tried on a whole column: every row is counted once, and what would go wrong comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from synckit.demo import make_demo
from synckit.errors import SynckitError
from synckit.mapping.transformation import uppercase
from synckit.workspace import Workspace, open_workspace


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(make_demo(tmp_path_factory.mktemp("trying") / "demo"))


def rows(ws: Workspace, side: str, table: str) -> int:
    system = ws.systems[side]  # type: ignore[index]
    with system.snapshot() as snapshot:
        return snapshot.count(system.schema.table(table))


def test_a_rule_is_tried_on_every_row(demo: Workspace) -> None:
    tried = demo.try_rule("CUSTOMER", "Name", "UPPERCASE")
    assert sum(tried.counts.values()) == int(tried.frame["rows"].sum()) == rows(demo, "local", "Customer")
    changed = tried.frame[tried.frame["outcome"] == "changed"]
    assert len(changed) and (changed["after"] == changed["before"].map(uppercase)).all()
    unchanged = tried.frame[tried.frame["outcome"] == "unchanged"]
    assert (unchanged["before"] == unchanged["after"]).all() and f"{tried.counts['changed']} would be changed" in tried.sentence


def test_what_fails_or_becomes_blank_or_is_too_long_is_told_first(tmp_path: Path) -> None:
    path = make_demo(tmp_path / "demo")
    rules = """
transformation_rules:
  - {code: LETTERS, type: replace, parameters: {find_value: "0", replace_value: o}}
  - {code: LONG, type: regex_replace, parameters: {find_value: "^A.*", replace_value: "%s"}}
""" % ("x" * 200)
    path.write_text(path.read_text(encoding="utf-8") + rules, encoding="utf-8")
    with open_workspace(path) as ws:
        failing = ws.try_rule("CUSTOMER", "Credit Limit (LCY)", "LETTERS")
        assert (
            failing.counts["fails"] > 0
            and failing.frame["outcome"].iloc[0].startswith("fails: ")
            and "is not a decimal" in failing.frame["outcome"].iloc[0]
        )
        long = ws.try_rule("CUSTOMER", "Name", "LONG")
        assert (
            long.counts["too long"] > 0
            and set(long.frame["outcome"].head(1)) == {"too long"}
            and "160 characters of name" in long.sentence
        )
        blank = ws.try_rule("CUSTOMER", "City", "FOURTH_TO_SIXTH_CHAR")
        assert blank.counts["becomes blank"] > 0 and blank.frame["after"].iloc[0] == ""
        assert ws.try_rule("CUSTOMER", "Shipment Method Code", "UPPERCASE").counts["fails"] == 0, (
            "a reference is no value of its target"
        )
        back = ws.try_rule("CUSTOMER", "name", "TRIM", in_pass="from")
        assert "Dataverse" in back.sentence and sum(back.counts.values()) == rows(ws, "integration", "account")


def test_a_filter_is_held_beside_the_present_one(demo: Workspace) -> None:
    tried = demo.try_filter("CUSTOMER", "local", "Country/Region Code: DE")
    out, came = tried.frame[tried.frame["change"] == "goes out"], tried.frame[tried.frame["change"] == "comes in"]
    assert tried.counts["inside"] == tried.counts["inside now"] - len(out) + len(came) and len(out) == tried.counts["goes out"]
    assert (out["Country/Region Code"] != "DE").all() and (came["Country/Region Code"] == "DE").all()
    same = demo.try_filter("CUSTOMER", "local", "Blocked: ' '")
    assert same.counts["comes in"] == same.counts["goes out"] == 0 and same.frame.empty
    both = demo.try_filter("CUSTOMER", "local", "", beside="No.: 1")
    assert both.counts["inside"] == both.counts["rows"] == both.counts["comes in"]


def test_what_is_not_there_is_named(demo: Workspace) -> None:
    for wrong, said in (
        (lambda: demo.try_rule("CUSTOMER", "Nme", "TRIM"), 'no field row "Nme".*Did you mean'),
        (lambda: demo.try_rule("CUSTOMER", "Name", "TRIMM"), 'no transformation rule "TRIMM".*TRIM'),
        (lambda: demo.try_filter("CUSTOMER", "local", "Blcked: x"), 'no field "Blcked".*Blocked'),
        (lambda: demo.try_filter("PAYMENT TERMS", "integration", ""), "option set"),
    ):
        with pytest.raises(SynckitError, match=said):
            wrong()


def test_nothing_is_written(tmp_path: Path) -> None:
    path = make_demo(tmp_path / "demo")
    before = {p.name: p.read_bytes() for p in path.parent.glob("*.db")}
    with open_workspace(path) as ws:
        ws.try_rule("CUSTOMER", "Name", "UPPERCASE")
        ws.try_filter("VENDOR", "integration", "")
    assert {p.name: p.read_bytes() for p in path.parent.glob("*.db")} == before
