"""Two plans or two runs against each other: new, gone, changed; the exit code is for automation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from world import MakeWorld, World, guid, mapping

from synckit.applying.refusals import to_accept
from synckit.cli import main
from synckit.demo import make_demo
from synckit.diagnosis.compare import compare_plans, compare_runs
from synckit.planning.plan import Plan
from synckit.workspace import open_workspace


@pytest.fixture
def w(make_world: MakeWorld) -> World:
    """Three customers to create, one coupled and changed; DKK is missing for one of them."""
    w = make_world(
        {"customer": "no code20 key, name text50, currency code10", "currency": "code code10 key"},
        {"account": "name text50, currencyid guid", "transactioncurrency": "isocode text5"},
        [
            mapping("CURRENCY", "currency > transactioncurrency", "code > isocode", direction="to_integration", only_coupled=True),
            mapping(
                "CUSTOMER",
                "customer > account",
                "name > name, currency > currencyid lookup CURRENCY",
                direction="to_integration",
            ),
        ],
    )
    for no in "ABC":
        w.local.add("customer", no, no=no, name=f"Customer {no}", currency="DKK" if no == "C" else "")
    w.local.add("customer", "K", no="K", name="Known")
    w.integration.add("account", "G", name="Known")
    w.couple("CUSTOMER", "K", "G")
    w.local.edit("customer", "K", name="Renamed")
    return w


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A command: exit code, what it prints, what it says on stderr."""

    def command(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(w) for w in words])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return command


def changes(before: Plan, after: Plan) -> dict[str, str]:
    found = compare_plans(before, after)
    return dict(zip(found["name"], found["change"] + ": " + found["what"], strict=True))


def test_plans_of_one_state_do_not_differ(w: World) -> None:
    assert changes(w.plan("CUSTOMER"), w.plan("CUSTOMER")) == {}


def test_a_new_a_gone_and_a_changed_record(w: World) -> None:
    before = w.plan("CUSTOMER")
    w.local.add("customer", "D", no="D", name="Customer D")
    w.local.delete("customer", "A")
    w.local.edit("customer", "K", name="Renamed again")
    found = changes(before, w.plan("CUSTOMER"))
    assert found.keys() == {"Customer D", "Customer A", "Renamed again"}
    assert found["Customer D"].startswith("new: ") and found["Customer A"].startswith("gone: ")
    assert found["Renamed again"] == 'changed: no longer name: "Known" -> "Renamed"; now name: "Known" -> "Renamed again"'


def test_what_failed_and_can_be_written_now(w: World) -> None:
    before = w.plan("CUSTOMER")
    w.local.edit("customer", "C", currency="")
    found = compare_plans(before, w.plan("CUSTOMER"))
    assert found[["name", "before", "after"]].values.tolist() == [["Customer C", "will fail", "create"]]


def test_a_decision_is_a_difference(w: World) -> None:
    plan = w.plan("CUSTOMER")
    found = compare_plans(plan, plan.exclude("CUSTOMER", local=guid("A")))
    assert found[["name", "change", "before", "after"]].values.tolist() == [["Customer A", "changed", "create", "excluded"]]


def test_what_a_run_did_that_the_other_did_not(w: World) -> None:
    w.full("CUSTOMER")
    w.local.edit("customer", "C", currency="")
    w.full("CUSTOMER")
    found = compare_runs(w.ws, 1, 2).set_index("local_key")
    assert len(found) == 4 and set(found["change"]) == {"gone", "changed"}
    (changed,) = found[found["change"] == "changed"].to_dict("records")
    assert (changed["name"], changed["after"]) == ("Customer C", "created") and changed[
        "before"
    ] == "failed: Referenced record is not coupled"


def test_the_exit_code_tells_a_script(w: World, run: Callable[..., tuple[int, str, str]]) -> None:
    one, other = w.folder / "one.plan", w.folder / "other.plan"
    w.plan("CUSTOMER").save(str(one))
    w.local.delete("customer", "A")
    second = w.plan("CUSTOMER")
    second.save(str(other))
    w.ws.apply(second, accept=to_accept(second))
    w.close()
    assert run("compare", one, one)[:2] == (0, "No difference.\n")
    code, out, _ = run("compare", one, other)
    assert code == 2 and "0 new, 0 changed, 1 gone." in out and "Customer A" in out
    code, out, _ = run("compare", one, other, "--json")
    assert code == 2 and [d["change"] for d in json.loads(out)] == ["gone"]
    assert run("compare", "1", "1", "-w", w.path)[0] == 0


def test_what_is_new_comes_first_then_what_changed_then_what_is_gone(w: World) -> None:
    before = w.plan("CUSTOMER")
    w.local.delete("customer", "A")
    w.local.edit("customer", "K", name="Renamed again")
    w.local.add("customer", "D", no="D", name="Customer D")
    assert compare_plans(before, w.plan("CUSTOMER"))["change"].tolist() == ["new", "changed", "gone"]


def test_runs_show_the_pass_as_plans_do_and_name_what_a_rule_wrote_elsewhere(tmp_path: Path) -> None:
    with open_workspace(make_demo(tmp_path / "demo")) as ws:
        ws.apply(ws.plan_full(), accept=list(ws.order))
        ws.apply(ws.plan_modified())
        found = compare_runs(ws, 2, 1)
    assert set(found["pass"]) == {"to", "from"}
    keys = found["local_key"].where(found["local_key"].notna(), found["integration_key"])
    assert not (found["name"] == keys).any(), found[found["name"] == keys]
    assert 'primarycontactid: blank -> "Signe Skovsgård"' in found["what"].tolist()  # not the key of the contact


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-1", "2"), "-1 is no run. Runs are numbered from 1 on"),
        (("1", "--jsn"), "There is no option --jsn."),
        (("1", "1", "--limit", "0"), "--limit 0 would show nothing."),
        (("1", "9"), "There is no run 9."),
        (("one.plan", "missing.plan"), "missing.plan"),
        (("1", "one.plan"), "are not of one sort"),
        (("workspace.yaml", "one.plan"), "workspace.yaml"),
    ],
)
def test_what_cannot_be_compared_is_named(
    w: World, run: Callable[..., tuple[int, str, str]], words: tuple[str, str], said: str
) -> None:
    plan = w.plan("CUSTOMER")
    plan.save(str(w.folder / "one.plan"))
    w.ws.apply(plan, accept=to_accept(plan))
    w.close()
    code, out, err = run("compare", *(w.folder / word if "." in word else word for word in words), "-w", w.path)
    assert code == 1 and said in err and out == "" and "Traceback" not in err
