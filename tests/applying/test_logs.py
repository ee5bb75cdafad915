"""The log: run and record ids, one JSON object per line, and no record's value above debug level."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from world import MakeWorld, World, guid, mapping

from synckit import logs
from synckit.cli import main
from synckit.errors import SynckitError

SECRET = "Zoë \x1b[31m\nNordlund <b>"


@pytest.fixture
def w(make_world: MakeWorld) -> World:
    w = make_world(
        {"customer": "no code20 key, name text50"},
        {"account": "name text100"},
        [mapping("CUSTOMER", "customer > account", "name <> name")],
    )
    for n in "ABC":
        w.local.add("customer", n, no=n, name=f"{SECRET}{n}")
    w.integration.refuse("account", f"NEW.name LIKE '%B'", f"no {SECRET} here", "INSERT")  # noqa: F541
    return w


def carried_out(w: World, path: Path, debug: bool) -> list[dict[str, object]]:
    plan = w.ws.plan_full()
    w.local.edit("customer", "C", name=f"{SECRET} changed")
    handler = logs.log_to(path, debug)
    try:
        w.ws.apply(plan)
    finally:
        logs.stop(handler)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_ids_and_no_values(w: World, tmp_path: Path) -> None:
    lines = carried_out(w, tmp_path / "a.jsonl", debug=False)
    assert [line["event"] for line in lines] == [
        "run started",
        "job finished",
        "job finished",
        "row not as planned",
        "row not as planned",
        "run ended",
    ]
    assert {(line["local_key"], line["actual"]) for line in lines if line["event"] == "row not as planned"} == {
        (guid("B"), "failed"),
        (guid("C"), "stale"),
    }
    assert all(line["run"] == 1 for line in lines) and lines[1]["inserted"] == 1
    text = (tmp_path / "a.jsonl").read_bytes()
    assert b"Nordlund" not in text and b"\x1b" not in text and text.isascii()


def test_at_debug_level_the_databases_words_are_there(w: World, tmp_path: Path) -> None:
    lines = carried_out(w, tmp_path / "a.jsonl", debug=True)
    assert any("Nordlund" in str(line.get("reason")) for line in lines)
    assert b"\x1b" not in (tmp_path / "a.jsonl").read_bytes()


def test_from_the_command_line(w: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    w.ws.plan_full().save(str(tmp_path / "a.plan"))
    w.close()
    for words, code in (
        (["--log"], 1),
        (["--log", str(tmp_path / "no" / "x"), "jobs"], 1),
        (["--log", str(tmp_path / "x"), "apply", str(tmp_path / "a.plan"), "--yes"], 3),
    ):
        with pytest.raises(SystemExit) as end:
            main([*words, *([] if len(words) < 3 else ["-w", str(w.path)])])
        assert end.value.code == code, capsys.readouterr()
    assert "run ended" in (tmp_path / "x").read_text() and len(logs.logger.handlers) == 1
    with pytest.raises(SynckitError, match="cannot be written"):
        logs.log_to(tmp_path)
