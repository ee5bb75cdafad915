"""JupyterLab, opened straight on the notebooks: no file browser, no news pop-up, nothing of the user's own settings touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from synckit.errors import SynckitError
from synckit.mapping.loading import find_workspace

FIRST = "00-start.ipynb"


def notebooks_folder() -> Path:
    """Where the notebooks lie: in the installed package, else in the repository beside it."""
    here = Path(__file__).resolve().parent
    for folder in (here / "shipped" / "notebooks", here.parent / "notebooks"):
        if (folder / FIRST).is_file():
            return folder
    raise SynckitError("The notebooks are missing from this installation. Install synckit again.")


def copied_notebooks(beside: Path) -> Path:
    """A folder of the user's own copies, made once; what she changed in them is never overwritten."""
    target = beside / "synckit-notebooks"
    target.mkdir(exist_ok=True)
    for notebook in sorted(notebooks_folder().glob("*.ipynb")):
        if not (target / notebook.name).exists():
            shutil.copyfile(notebook, target / notebook.name)
    return target


def start_lab(workspace: str | None, port: int | None, browser: bool) -> int:
    """Copy the notebooks beside the workspace (or into this folder), start JupyterLab there in single-document mode, wait for its end."""
    environment = dict(os.environ)
    beside = Path.cwd()
    path = Path(workspace) if workspace is not None else _workspace_here(beside)
    if path is not None:
        path = path if path.is_file() else Path(find_workspace(path))
        beside = path.resolve().parent
        environment["SYNCKIT_WORKSPACE"] = str(path.resolve())
    folder = copied_notebooks(beside)
    ours = str(Path(__file__).resolve().parent)  # JupyterLab looks for labconfig/default_setting_overrides.json in it
    environment["JUPYTER_CONFIG_PATH"] = os.pathsep.join(p for p in (ours, environment.get("JUPYTER_CONFIG_PATH", "")) if p)
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={folder}", f"--LabApp.default_url=/doc/tree/{FIRST}"]
    command += [f"--port={port}"] if port is not None else []
    command += [] if browser else ["--no-browser"]
    if os.name == "posix" and os.geteuid() == 0:
        command.append("--allow-root")
    return subprocess.run(command, env=environment, check=False).returncode


def _workspace_here(folder: Path) -> Path | None:
    try:
        return Path(find_workspace(folder))
    except SynckitError:
        return None
