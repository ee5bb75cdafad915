"""The verbs of day-to-day work in a terminal: what they print, what they write, and their exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "acceptance"))
from world import World, mapping

from synckit.cli_verbs import register


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    """Customers A and B and accounts G1 and G2, nothing coupled; new rows may be made on both sides."""
    world = World(
        tmp_path,
        {"customer": "no code20 key, name text50"},
        {"account": "name text100"},
        [mapping("CUSTOMER", "customer > account", "name <> name")],
    )
    for name in "AB":
        world.local.add("customer", name, no=name, name=f"Acme {name}")
    for name in ("G1", "G2"):
        world.integration.add("account", name, name=f"Beta {name}")
    yield world
    world.close()


def synckit(w: World, *arguments: str):
    app = typer.Typer()
    register(app)
    assert w.ws is not None  # writes the workspace file
    return CliRunner().invoke(app, [*arguments, "--workspace", str(w.path)])


def names(w: World) -> list[str]:
    return [row["name"] for row in w.integration.rows("account")]


def test_couple_shows_its_plan_and_asks(w: World) -> None:
    refused = synckit(w, "couple", "CUSTOMER", "A", "Beta G1")
    assert refused.exit_code == 1 and "--yes" in refused.output
    assert w.ws.ledger.coupling_count("CUSTOMER") == 0
    done = synckit(w, "couple", "CUSTOMER", "A", "Beta G1", "--yes")
    assert done.exit_code == 0 and "1 coupled" in done.output
    assert w.partner("CUSTOMER", "A") == "G1"


def test_couple_with_out_only_plans(w: World, tmp_path: Path) -> None:
    out = tmp_path / "monday.plan"
    assert synckit(w, "couple", "CUSTOMER", "A", "Beta G1", "--sync", "to", "--out", str(out)).exit_code == 2
    assert w.ws.ledger.coupling_count("CUSTOMER") == 0
    w.carry_out(w.ws.load_plan(str(out)))
    assert "Acme A" in names(w)


def test_a_wrong_name_is_one_sentence(w: World) -> None:
    done = synckit(w, "couple", "CUSTOMER", "A", "Gamma", "--yes")
    assert done.exit_code == 1
    assert 'has no record "Gamma"' in done.output and "Traceback" not in done.output


def test_uncouple_one_and_all(w: World) -> None:
    w.couple("CUSTOMER", "A", "G1")
    w.couple("CUSTOMER", "B", "G2")
    assert synckit(w, "uncouple", "CUSTOMER", "--yes").exit_code == 1  # which ones?
    assert synckit(w, "uncouple", "CUSTOMER", "A", "--yes").exit_code == 0
    assert (w.partner("CUSTOMER", "A"), w.partner("CUSTOMER", "B")) == (None, "G2")
    assert synckit(w, "uncouple", "CUSTOMER", "--all", "--yes").exit_code == 0
    assert w.ws.ledger.coupling_count("CUSTOMER") == 0


def test_broken_and_restore(w: World) -> None:
    w.couple("CUSTOMER", "A", "G1")
    assert "No coupling is broken." in synckit(w, "broken").output
    w.integration.delete("account", "G1")
    listed = json.loads(synckit(w, "broken", "--json").output)
    assert [(line["mapping"], line["missing"], line["name"]) for line in listed] == [("CUSTOMER", "integration", "Acme A")]
    assert synckit(w, "restore", "--yes").exit_code == 0
    assert "Acme A" in names(w)
    assert synckit(w, "restore", "--yes").exit_code == 0  # nothing left to restore


def test_plan_modified_tells_whether_there_is_something_to_do(w: World) -> None:
    w.couple("CUSTOMER", "A", "G1")
    w.local.edit("customer", "A", name="New")
    done = synckit(w, "plan", "modified", "--json")
    assert done.exit_code == 2
    assert json.loads(done.output)["writes"] == 1
    assert "New" not in names(w)
    assert synckit(w, "plan", "records", "--mapping", "CUSTOMER", "--local", "A", "--direction", "to").exit_code == 2


def test_sync_modified_writes_one_line_and_a_log(w: World) -> None:
    w.couple("CUSTOMER", "A", "G1")
    w.local.edit("customer", "A", name="New")
    done = synckit(w, "sync", "modified")
    assert done.exit_code == 0
    assert done.output.strip().count("\n") == 0 and "modified 1" in done.output and "exit 0" in done.output
    assert "New" in names(w)
    assert "run 1 finished" in (w.folder / "synckit.log").read_text(encoding="utf-8")
    assert synckit(w, "plan", "modified").exit_code == 0


def test_guards_apply_nothing(w: World) -> None:
    w.couple("CUSTOMER", "A", "G1")
    w.local.edit("customer", "A", name="New")
    done = synckit(w, "sync", "modified", "--max-updates", "0", "--log", "-")
    assert done.exit_code == 1 and "--max-updates allows 0" in done.output
    w.integration.edit("account", "G1", name="Other")
    done = synckit(w, "sync", "modified", "--stop-on-conflict", "--log", "-")
    assert done.exit_code == 1 and "1 record is in conflict" in done.output
    assert "New" not in names(w) and not len(w.ws.jobs())
    assert synckit(w, "sync", "modified", "--log", "-").exit_code == 3  # the conflict is booked as a failed row


def test_possible_duplicates_are_held_until_someone_lifts_that(w: World) -> None:
    w.change("CUSTOMER", only_coupled=False)
    for half, table in ((w.local, "customer"), (w.integration, "account")):
        half.add(table, f"same {table}", name="Northwind Traders GmbH", **({"no": "N"} if table == "customer" else {}))
    for alias, account in (("A", "G1"), ("B", "G2")):
        w.couple("CUSTOMER", alias, account)
        w.local.edit("customer", alias, name="x" + alias)
    plan = w.ws.plan_modified()
    if not len(plan.records(disposition="create", warning="possible_duplicate")):
        pytest.skip("these two are not taken for one record")
    before = len(names(w))
    done = synckit(w, "sync", "modified", "--log", "-")
    assert "held as possible duplicates" in done.output and len(names(w)) == before
    assert "no longer held" in synckit(w, "lift", "CUSTOMER", "N").output
    synckit(w, "sync", "modified", "--log", "-")
    assert len(names(w)) == before + 1


def test_retry_takes_skipped_records_up_again(w: World) -> None:
    w.couple("CUSTOMER", "A", "G1")
    w.local.edit("customer", "A", name="New")
    w.integration.edit("account", "G1", name="Other")
    for code in (3, 0):  # in conflict, and the second time alike: skipped
        assert synckit(w, "sync", "modified", "--log", "-").exit_code == code
    assert len(w.ws.skipped()) == 1
    w.integration.edit("account", "G1", name="New")
    done = synckit(w, "retry", "--yes")
    assert done.exit_code == 0 and "1 record is taken up again." in done.output
    assert not len(w.ws.skipped())
    assert "No record is skipped." in synckit(w, "retry").output
