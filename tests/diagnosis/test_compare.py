"""Two plans or two runs against each other: new, gone, changed; the exit code is for automation."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from synckit.cli import main
from synckit.demo import make_demo
from synckit.diagnosis.compare import compare_plans, compare_runs
from synckit.workspace import open_workspace


def test_plans_and_runs_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main([*words])
        return int(left.value.code or 0), capsys.readouterr().out

    folder = tmp_path / "demo"
    with open_workspace(make_demo(folder)) as ws:
        first = ws.plan_full("CURRENCY")
        assert not len(compare_plans(first, ws.plan_full("CURRENCY")))
        first.save(str(tmp_path / "a.plan"))
        with sqlite3.connect(folder / "business_central.db") as connection:
            table = next(
                t
                for (t,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%urrency%' ORDER BY length(name)"
                )
            )
            code, description = (
                next(r[1] for r in connection.execute(f'PRAGMA table_info("{table}")') if r[1].lower() == n)
                for n in ("code", "description")
            )
            connection.execute(f"""UPDATE "{table}" SET "{description}" = 'Krone' WHERE "{code}" = 'DKK'""")  # noqa: S608
            connection.execute(f"""DELETE FROM "{table}" WHERE "{code}" = 'CAD'""")  # noqa: S608
        second = ws.plan_full("CURRENCY")
        second.save(str(tmp_path / "b.plan"))
        found = compare_plans(first, second).set_index("name")
        assert found.loc["CAD", "change"] == "gone"
        assert found.loc["DKK", "change"] == "changed" and 'now Description: "Danish Krone" -> "Krone"' in found.loc["DKK", "what"]
        excluded = compare_plans(second, second.exclude("CURRENCY", local=str(found.loc["DKK", "local_key"])))
        assert excluded[["before", "after"]].values.tolist() == [["update", "excluded"]]
        ws.apply(second, accept=["CURRENCY"])
        ws.apply(ws.plan_full("CURRENCY"), accept=["CURRENCY"])
        runs = compare_runs(ws, 1, 2)
        assert set(runs["change"]) == {"gone"} and "TRY" not in set(runs["name"])
    assert run("compare", str(tmp_path / "a.plan"), str(tmp_path / "a.plan")) == (0, "No difference.\n")
    code_, out = run("compare", str(tmp_path / "a.plan"), str(tmp_path / "b.plan"), "--json")
    assert code_ == 2 and {d["change"] for d in json.loads(out)} == {"gone", "changed"}
    assert run("compare", "1", "2", "-w", str(folder / "workspace.yaml"))[0] == 2
    assert run("compare", "1", "9", "-w", str(folder / "workspace.yaml"))[0] == 1
    assert run("compare", "1", str(tmp_path / "b.plan"))[0] == 1
