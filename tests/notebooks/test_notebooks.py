"""Every shipped notebook runs from top to bottom in an empty folder, and is kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def ids(path: Path) -> str:
    return path.stem


def test_there_are_notebooks() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["00", "01", "02", "03", "04", "05"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_a_notebook_is_kept_stripped(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(nbformat.reads(json.dumps(notebook), as_version=4))
    for cell in notebook["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None, "clear all outputs before you commit a notebook"
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_a_notebook_runs_in_an_empty_folder(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNCKIT_WORKSPACE", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell in notebook.cells:  # a line of progress that has vanished
        cell["outputs"] = [o for o in cell.get("outputs", []) if any(o.get("data", {"": "output"}).values())]
    outputs = [o for cell in notebook.cells for o in cell["outputs"]]
    shown = [o["data"] for o in outputs if "data" in o]
    assert not [o for o in outputs if o["output_type"] in ("error", "stream")], "a notebook prints no warnings"
    assert sum("text/html" in data for data in shown) >= 1 and len(shown) >= 2
    assert all("<script" not in data.get("text/html", "") for data in shown)
    assert all(len(cell.get("outputs", [])) <= 1 for cell in notebook.cells), "what a cell shows is shown once"
    for data in shown:  # a reopened or exported notebook shows the table, not the name of a class
        assert "application/vnd.jupyter.widget-view+json" not in data or "<table" in data["text/html"] or "<p" in data["text/html"]


def test_the_first_notebook_applies_and_shows_planned_beside_actual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code cells in this process: no kernel, so what they leave behind can be looked at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCKIT_WORKSPACE", raising=False)
    names: dict = {}
    for cell in nbformat.read(FOLDER / "01-full-sync-preview.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, "cell", "exec"), names)
    grid, apply = names["grid"], names["apply"]
    grid.receive({"do": "choose", "facet": "warnings", "value": "possible_duplicate"})
    grid.receive({"do": "exclude_shown"})
    planned = grid.plan.writes
    run = apply.apply(accept=["CURRENCY", "PAYMENT TERMS", "VENDOR", "CUSTOMER", "CONTACT"])
    assert run.status == "finished" and run.written == run.planned == planned
    assert not len(run.differences) and "planned" not in run._repr_html_().split("<table>")[1]
    assert names["ws"].plan_full().total("create") == 0, "what was left out is held"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=ids)
def test_a_notebook_runs_on_a_workspace_that_is_nothing_like_the_demo(
    path: Path, plain_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One mapping of two plain tables, of which nothing has run, failed or been skipped: one line changes, and every cell holds."""
    monkeypatch.chdir(plain_workspace.parent)
    names: dict = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            code = cell.source.replace('"synckit-demo"', repr(str(plain_workspace)))
            lines = code.rstrip().split("\n")
            exec(compile("\n".join(lines), "cell", "exec"), names)
            shown = lines[-1].strip()
            if shown.isidentifier() and hasattr(names[shown], "_repr_html_") is False and hasattr(names[shown], "html"):
                assert names[shown].html()
    assert names["ws"].jobs().empty, "nothing was applied"


@pytest.fixture
def plain_workspace(tmp_path: Path) -> Path:
    """What `synckit init` proposes for two small exports."""
    from synckit.init import propose_workspace, write_workspace

    for side, rows in (("left", ["1,Ann,Berlin", "2,Bob,Paris"]), ("right", ["1,Ann,Berlin", "3,Cem,Wien"])):
        (tmp_path / side).mkdir()
        (tmp_path / side / "people.csv").write_text("\n".join(["No,Name,City", *rows]) + "\n", encoding="utf-8")
    return Path(write_workspace(propose_workspace(tmp_path, str(tmp_path / "left"), str(tmp_path / "right"))))
