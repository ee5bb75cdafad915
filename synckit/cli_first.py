"""The command line's first contact: the demo, a workspace for one's own systems, the notebooks."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from synckit.cli_console import opened, show
from synckit.errors import SynckitError
from synckit.reports.plan_text import plan_view
from synckit.reports.wording import safe
from synckit.waiting import waiting


def activation() -> str:
    """The line that makes "synckit" a command of this shell, where it is not one yet: it was called by its path, from its own folder."""
    here = Path(sys.executable).parent
    found = shutil.which("synckit")
    if sys.prefix == sys.base_prefix or (found and Path(found).parent.absolute() == here.absolute()):
        return ""
    script = here / "activate"
    line = f"{script}" if os.name == "nt" else f". {shlex.quote(str(script))}"
    return f"  {line}     so that this shell knows synckit\n"


def demo(
    folder: Annotated[str, typer.Argument(help="Where to make the demo.")] = "synckit-demo",
    kind: Annotated[str, typer.Option("--kind", help="sqlite: two databases; exports: two folders of CSV files.")] = "sqlite",
    force: Annotated[bool, typer.Option("--force", help="Make an earlier demo in this folder anew.")] = False,
) -> None:
    """Make two invented companies' systems, plan a full synchronisation of them, and print it. Nothing else is touched."""
    from synckit.demo import make_demo

    if kind not in ("sqlite", "exports"):
        raise SynckitError(f'There is no kind of demo "{kind}". Write sqlite or exports.')
    path = make_demo(Path(folder), kind=kind, force=force)  # type: ignore[arg-type]
    with opened(str(path)) as ws:
        plan = ws.plan_full()
        show(plan_view(plan))
    target = Path(folder) / "full.plan"
    plan.save(str(target))
    held, then = (
        ("two databases", "  synckit apply full.plan                         carry it out (it asks first)\n")
        if kind == "sqlite"
        else ("two folders of exports, which are read and never written (so `synckit apply` is refused)", "")
    )
    show(f"\nThe demo lies in {safe(path.parent)}: {held}, a ledger, and workspace.yaml, which explains itself. The plan is saved there, too.\n"
         f"What next:\n{activation()}  cd {safe(folder)}\n  synckit show full.plan --disposition create     the records it would create, and why\n"
         "  synckit duplicates full.plan                    those that look like existing records\n"
         f"{then}  synckit lab                                     the same in a notebook, with pictures")  # fmt: skip


def init(
    folder: Annotated[str, typer.Argument(help="The folder with two databases or two folders of exports.")] = ".",
    local: Annotated[str | None, typer.Option("--local", help="The local side: a database URL, a file or a folder.")] = None,
    integration: Annotated[str | None, typer.Option("--integration", help="The integration side, likewise.")] = None,
) -> None:
    """Look at two systems and write a commented workspace that proposes sides, tables, fields and keys."""
    from synckit.init import propose_workspace, write_workspace

    with waiting("Looking at the systems"):
        proposal = propose_workspace(Path(folder), local, integration)
    path = write_workspace(proposal)
    for note in proposal.notes:
        show(f"- {safe(note)}")
    show(
        f"\nWritten: {safe(path)}. Read it, change what is wrong, then:\n  synckit check -w {safe(path)}\n  synckit plan full -w {safe(path)}"
    )


def lab(
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="The workspace file; left out, the one in this folder.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="The port to serve on.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
) -> None:
    """Open JupyterLab on the notebooks, in a folder of their own beside the workspace."""
    from synckit.lab import start_lab

    raise typer.Exit(start_lab(workspace, port, browser))


def app(
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="The workspace file; left out, the one in this folder.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="The port to serve on.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
    theme: Annotated[Literal["light", "dark"], typer.Option("--theme", help="light or dark.")] = "light",
) -> None:
    """Open the same notebooks as pages without code. Needs Voilà: pip install "synckit[app]"."""
    from synckit.lab import start_lab

    raise typer.Exit(start_lab(workspace, port, browser, theme))


def register(to: typer.Typer) -> None:
    """Add these verbs to the command line."""
    for verb in (demo, init, lab, app):
        to.command(verb.__name__)(verb)
