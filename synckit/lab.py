"""JupyterLab, opened straight on the notebooks: no file browser, no news pop-up, nothing of the user's own settings touched. The same
notebooks without their code are served by Voilà, in the same server."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from synckit.errors import SynckitError
from synckit.mapping.loading import find_workspace

FIRST = "00-start.ipynb"
#: Voilà would fetch the typesetter of formulas from outside; so it takes the one that it brings along.
_OFFLINE = ("--ServerApp.tornado_settings=mathjax_url=null", "--ServerApp.tornado_settings=mathjax_config=null")
#: Each page has a kernel of its own: three minutes after it was closed, that ends.
_CULLED = ("--MappingKernelManager.cull_idle_timeout=180", "--MappingKernelManager.cull_interval=30")


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


def start_lab(workspace: str | None, port: int | None, browser: bool, theme: str | None = None) -> int:
    """Copy the notebooks beside the workspace (or into this folder), start JupyterLab there in single-document mode, wait for its end.

    With a `theme` ("light", "dark") the pages that open show no code. Raises SynckitError where Voilà, which serves them, is missing.
    """
    if theme is not None and importlib.util.find_spec("voila") is None:
        raise SynckitError('Pages without code need Voilà, which is not installed. Install it with: pip install "synckit[app]"')
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
    first = f"/doc/tree/{FIRST}" if theme is None else f"/voila/render/{FIRST}"
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={folder}", f"--LabApp.default_url={first}"]
    if theme is not None:
        pages = str(Path(ours) / "labconfig")  # Voilà looks for voila/templates/synckit in it
        environment["JUPYTER_PATH"] = os.pathsep.join(p for p in (pages, environment.get("JUPYTER_PATH", "")) if p)
        command += ["--VoilaConfiguration.template=synckit", f"--VoilaConfiguration.theme={theme}", *_OFFLINE, *_CULLED]
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
