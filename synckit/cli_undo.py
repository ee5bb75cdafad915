"""The command line's verbs for taking back: plan undo, undo."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from synckit.cli_verbs import Json, Out, WorkspaceOption, Yes, _ask_and_apply, _group, _open, _show, _told

RunNumber = Annotated[int, typer.Argument(metavar="RUN", help="The number of the run, as `synckit jobs` lists it.")]
RunOption = Annotated[int, typer.Option("--run", metavar="RUN", help="The number of the run, as `synckit jobs` lists it.")]


def plan_undo(run: RunOption, workspace: WorkspaceOption = None, out: Out = None, as_json: Json = False) -> None:
    """Plan to take back what a run wrote; rows that were changed since are left out and named."""
    with _open(workspace) as ws:
        _show(ws.plan_undo(run), out, as_json)


def undo(run: RunNumber, workspace: WorkspaceOption = None, yes: Yes = False, out: Out = None, as_json: Json = False) -> None:
    """Take back what a run wrote. What is undone stays as it is until somebody lifts the hold on it."""
    with _open(workspace) as ws:
        plan = ws.plan_undo(run)
        left = plan.records(disposition="left out by rule")
        told = "\n".join(
            f"  left out: {r['mapping']} {_named(r)}: {r['reason'].removeprefix('Left out: ')}"
            for r in left.head(20).to_dict("records")
        )
        told += f"\n  and {len(left) - 20:,} more" if len(left) > 20 else ""
        _ask_and_apply(ws, plan, yes, out, as_json, told)


def _named(row: Any) -> str:
    from synckit.reports.wording import name_of

    return name_of(row)


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    _group(app, "plan", "Plan a synchronisation; nothing is written.").command("undo")(_told(plan_undo))
    app.command("undo")(_told(undo))


__all__ = ["register"]
