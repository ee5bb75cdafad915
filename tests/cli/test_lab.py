"""`synckit lab`: the user's own copies of the notebooks, opened in single-document mode, without the news pop-up; `synckit app`: without code."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synckit import lab
from synckit.cli import main


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """What would have been started."""
    calls: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], env: dict[str, str], **_: Any) -> SimpleNamespace:
        calls.append((command, env))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_lab_opens_the_first_notebook_beside_the_workspace(tmp_path: Path, started: list[tuple[list[str], dict[str, str]]]) -> None:
    workspace = tmp_path / "workspace.yaml"
    workspace.write_text("local: {}\nintegration: {}\n")
    assert lab.start_lab(str(workspace), 8899, browser=False) == 0
    command, env = started[0]
    assert f"--LabApp.default_url=/doc/tree/{lab.FIRST}" in command and "--no-browser" in command and "--port=8899" in command
    assert f"--notebook-dir={tmp_path / 'synckit-notebooks'}" in command
    assert env["SYNCKIT_WORKSPACE"] == str(workspace.resolve())


def test_what_the_user_changed_in_her_copy_stays(tmp_path: Path) -> None:
    copy = lab.copied_notebooks(tmp_path) / lab.FIRST
    copy.write_text("mine")
    assert (lab.copied_notebooks(tmp_path) / lab.FIRST).read_text() == "mine"


def test_the_news_pop_up_is_off_without_touching_the_user_s_settings(
    tmp_path: Path, started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = pytest.importorskip("jupyterlab_server.settings_utils")
    monkeypatch.chdir(tmp_path)
    lab.start_lab(None, None, browser=True)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", started[0][1]["JUPYTER_CONFIG_PATH"])
    overrides, error = settings._get_overrides(str(tmp_path))
    assert not error and overrides["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


def test_app_serves_the_same_notebooks_with_a_template_that_ships(
    tmp_path: Path, started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = pytest.importorskip("voila.paths", reason="Voilà is not installed: pip install synckit[app]")
    monkeypatch.chdir(tmp_path)
    assert lab.start_lab(None, None, browser=True, theme="dark") == 0
    command, env = started[0]
    assert f"--LabApp.default_url=/voila/render/{lab.FIRST}" in command and "--VoilaConfiguration.theme=dark" in command
    monkeypatch.setenv("JUPYTER_PATH", env["JUPYTER_PATH"])
    found = paths.collect_template_paths(["voila", "nbconvert"], "synckit")
    assert Path(found[0]).name == "synckit" and (Path(found[0]) / "index.html.j2").is_file()


def test_without_voila_app_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        main(["app"])
    assert ended.value.code == 1 and 'pip install "synckit[app]"' in capsys.readouterr().err.replace("\n", " ")
    assert not list(tmp_path.iterdir()), "nothing is made where nothing can be shown"
