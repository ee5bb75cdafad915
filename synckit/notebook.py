"""What the shipped notebooks begin with: the workspace they look at, and frames shown as readable tables."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from synckit.demo import MARKER, WORKSPACE, make_demo
from synckit.diagnosis.causes import called_now
from synckit.reports.frame_html import Shown, show
from synckit.workspace import Workspace, open_workspace


def workspace_or_demo(place: str | Path = "synckit-demo") -> Workspace:
    """Open the workspace file `place`; or, where that is no file, the workspace that `synckit lab` was started with (environment
    variable SYNCKIT_WORKSPACE); or else the demo in the folder `place`, made on the first run.

    Raises SynckitError where a workspace file is not there, or the folder holds something else.
    """
    path = Path(place).expanduser()
    if path.is_file() or path.suffix.lower() in (".yaml", ".yml"):
        return open_workspace(path)
    named = os.environ.get("SYNCKIT_WORKSPACE")
    if named:
        return open_workspace(named)
    return open_workspace(path / WORKSPACE if (path / WORKSPACE).is_file() else make_demo(path))


def is_demo(ws: Workspace) -> bool:
    """True where the workspace was made by `synckit demo`: nothing real can be written through it."""
    return (Path(ws.path).parent / MARKER).is_file()


def findings(ws: Workspace) -> Shown:
    """Everything that is wrong or doubtful in the workspace and its systems, errors first (see Workspace.check)."""
    lines = [(f.severity, f.place, f.message, f.remedy) for f in ws.check()]
    return show(
        pd.DataFrame(lines, columns=["severity", "where", "what", "remedy"]),
        "Findings" if lines else "No error, no warning",
        rows=50,
    )


def skipped(ws: Workspace) -> Shown:
    """The records that are left out until they are retried, by name (see Workspace.skipped)."""
    frame = ws.skipped()
    frame.insert(1, "record", called_now(ws, frame))
    return show(frame, "Skipped records", columns=["mapping", "record", "direction", "message", "at"])


def with_history(ws: Workspace) -> Workspace:
    """The workspace itself. Where it is the demo and nothing has run in it yet, its modified records are synchronised first, so that
    there is something to report and to diagnose; anything else is left as it is."""
    if is_demo(ws) and ws.jobs(limit=1).empty:
        ws.apply(ws.plan_modified())
    return ws


__all__ = ["findings", "is_demo", "show", "skipped", "with_history", "workspace_or_demo"]
