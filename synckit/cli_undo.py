"""The command line's verbs for taking back and forgetting: plan undo, undo, purge."""

from __future__ import annotations

import json
import sys
from datetime import date
from typing import Annotated, Any

import typer

from synckit.cli_console import opened, present
from synckit.cli_verbs import Json, Out, WorkspaceOption, Yes, _ask_and_apply, _group, _told
from synckit.errors import SynckitError

RunNumber = Annotated[int, typer.Argument(metavar="RUN", help="The number of the run, as `synckit jobs` lists it.")]
RunOption = Annotated[int, typer.Option("--run", metavar="RUN", help="The number of the run, as `synckit jobs` lists it.")]


def plan_undo(run: RunOption, workspace: WorkspaceOption = None, out: Out = None, as_json: Json = False) -> None:
    """Plan to take back what a run wrote; rows that were changed since are left out and named."""
    with opened(workspace) as ws:
        plan = ws.plan_undo(run)
    present(plan, as_json, out)


def undo(run: RunNumber, workspace: WorkspaceOption = None, yes: Yes = False, out: Out = None, as_json: Json = False) -> None:
    """Take back what a run wrote. What is undone stays as it is until somebody lifts the hold on it."""
    with opened(workspace) as ws:
        plan = ws.plan_undo(run)
        left = plan.records(disposition="left out by rule")
        told = "\n".join(
            f"  left out: {r['mapping']} {_named(r)}: {r['reason'].removeprefix('Left out: ')}"
            for r in left.head(20).to_dict("records")
        )
        told += f"\n  and {len(left) - 20:,} more" if len(left) > 20 else ""
        _ask_and_apply(ws, plan, yes, out, as_json, told)


def purge(
    before: Annotated[str, typer.Option("--before", metavar="DATE", help="The day, such as 2026-01-31; it stays itself.")],
    workspace: WorkspaceOption = None, yes: Yes = False, as_json: Json = False,
) -> None:  # fmt: skip
    """Remove job history and journalled values (personal data) from before a day; says what, and asks."""
    try:
        day = date.fromisoformat(before)
    except ValueError:
        raise SynckitError(f'"{before}" is no date. Write it like 2026-01-31.') from None
    with opened(workspace) as ws:
        found = ws.purge(day)
        if found.jobs or found.journal_runs:
            if not as_json:
                typer.echo(found.sentence())
            if not yes:
                if not sys.stdin.isatty():
                    raise SynckitError("Nothing was removed: there is nobody to ask. Say --yes.")
                if not typer.confirm("Remove this for good?", default=False):
                    typer.echo("Nothing was removed.")
                    raise typer.Exit(1)
            found = ws.purge(day, really=True)
        facts = {
            "before": before,
            "jobs": found.jobs,
            "errors": found.errors,
            "journal_runs": found.journal_runs,
            "kept_jobs": found.kept_jobs,
        }
        typer.echo(json.dumps(facts) if as_json else found.sentence() if found.done else f"There is nothing before {day}.")


def _named(row: Any) -> str:
    from synckit.reports.wording import name_of

    return name_of(row)


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    _group(app, "plan", "Plan a synchronisation; nothing is written.").command("undo")(_told(plan_undo))
    app.command("undo")(_told(undo))
    app.command("purge")(_told(purge))


__all__ = ["register"]
