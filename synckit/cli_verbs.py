"""The command line's verbs for day-to-day work: plan and sync modified records, couple, uncouple, retry, restore, lift, broken."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from synckit import logs
from synckit.cli_console import frame, opened, present, print_plan, progress_bar, stoppable
from synckit.errors import SynckitError
from synckit.planning.plan import Plan
from synckit.reports.plan_text import lines_of
from synckit.reports.wording import is_pending, safe
from synckit.workspace import Workspace

WorkspaceOption = Annotated[
    Path | None, typer.Option("--workspace", "-w", help="Workspace file; left out: the one in this folder.")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="PLAN", help="Write the plan to this file (and only plan).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Apply without asking.")]
Mappings = Annotated[list[str] | None, typer.Option("--mapping", "-m", help="Only this mapping; may be repeated.")]
OneMapping = Annotated[str | None, typer.Option("--mapping", "-m", help="Only this mapping.")]
Direction = Annotated[str | None, typer.Option("--direction", help="to or from: one direction only.")]
Believe = Annotated[
    list[str] | None, typer.Option("--believe", metavar="MAPPING", help="Its many missing records are really gone.")
]
FromStart = Annotated[
    bool, typer.Option("--from-start", help="Ignore the watermarks: look at all rows, transfer the changed ones.")
]
Locals = Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="Local records, by number or key.")]
LocalOption = Annotated[list[str] | None, typer.Option("--local", help="A local record, by number or key; may be repeated.")]
IntegrationOption = Annotated[
    list[str] | None, typer.Option("--integration", help="An integration record, by key; may be repeated.")
]
Cause = Annotated[str | None, typer.Option("--cause", help="All records of this cause, of whichever mappings (synckit causes).")]
Sync = Annotated[str, typer.Option("--sync", help="First synchronisation: none, to or from.")]
StartingFrom = Annotated[str, typer.Option("--starting-from", help="local: a coupled record is re-pointed; integration: refused.")]


# -- planning ----------------------------------------------------------------------------------------------------------------------


def plan_modified(
    workspace: WorkspaceOption = None, mapping: Mappings = None, from_start: FromStart = False,
    unconditional: Annotated[bool, typer.Option("--unconditional", help="Every coupled row counts as changed.")] = False,
    direction: Direction = None, believe: Believe = None, out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Plan a synchronisation of modified records."""
    with opened(workspace) as ws:
        plan = ws.plan_modified(
            mapping or None, from_start=from_start, unconditional=unconditional, direction=direction, believe=believe or ()
        )
    present(plan, as_json, out)


def plan_records(
    mapping: Annotated[str, typer.Option("--mapping", help="The mapping of the records.")],
    workspace: WorkspaceOption = None, local: LocalOption = None, integration: IntegrationOption = None, direction: Direction = None,
    create: Annotated[bool | None, typer.Option("--create/--no-create", help="Whether uncoupled records get partners.")] = None,
    out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Plan a synchronisation of chosen records; with --direction that side's values win."""
    with opened(workspace) as ws:
        _some(local, integration)
        plan = ws.plan_records(mapping, local=local or (), integration=integration or (), direction=direction, create=create)
    present(plan, as_json, out)


def plan_coupling(
    mapping: Annotated[str, typer.Option("--mapping", help="The mapping of the records.")],
    workspace: WorkspaceOption = None,
    pair: Annotated[list[str] | None, typer.Option("--pair", metavar="LOCAL=INTEGRATION", help="A pair to couple; may be repeated.")] = None,
    local: LocalOption = None, sync: Sync = "none", starting_from: StartingFrom = "local", out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Plan to couple pairs of records, or, without --pair, to couple by match: over the fields marked use_for_match, all uncoupled
    records or those named with --local."""
    with opened(workspace) as ws:
        pairs = None if not pair else [_pair(text) for text in pair]
        if pairs and local:
            raise SynckitError("Give the pairs, or the local records to match, not both.")
        plan = ws.plan_coupling(mapping, pairs, sync=_sync(sync), starting_from=_side(starting_from), local=local or ())
    present(plan, as_json, out)


def plan_uncoupling(
    workspace: WorkspaceOption = None, mapping: OneMapping = None, local: LocalOption = None, integration: IntegrationOption = None,
    out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Plan to remove couplings: of some records, of a mapping, or all."""
    with opened(workspace) as ws:
        plan = ws.plan_uncoupling(mapping, local=local or (), integration=integration or ())
    present(plan, as_json, out)


def plan_restore(
    workspace: WorkspaceOption = None, mapping: OneMapping = None, local: LocalOption = None, integration: IntegrationOption = None,
    out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Plan to recreate the missing record of broken couplings."""
    with opened(workspace) as ws:
        plan = ws.plan_restore(mapping, local=local or (), integration=integration or ())
    present(plan, as_json, out)


def plan_retry(
    workspace: WorkspaceOption = None, mapping: OneMapping = None, local: LocalOption = None, integration: IntegrationOption = None,
    cause: Cause = None, out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Plan to take skipped records up again, or all records of a cause."""
    with opened(workspace) as ws:
        plan = _retried(ws, mapping, local, integration, cause)
    present(plan, as_json, out)


def _retried(ws: Workspace, mapping: str | None, local: list[str] | None, integration: list[str] | None, cause: str | None) -> Plan:
    if cause is None:
        return ws.plan_retry(mapping, local=local or (), integration=integration or ())
    if mapping or local or integration:
        raise SynckitError("A cause says which records are meant: leave the mapping and the records out.")
    found = ws.cause_records(cause)
    if not len(found):
        raise SynckitError(f'No error has the cause "{cause}". `synckit causes` lists them.')
    return ws.plan_retry(records=found)


# -- unattended --------------------------------------------------------------------------------------------------------------------


def sync_modified(
    workspace: WorkspaceOption = None, mapping: Mappings = None, from_start: FromStart = False, direction: Direction = None,
    max_creates: Annotated[int | None, typer.Option("--max-creates", min=0, help="Apply nothing if more rows would be created.")] = None,
    max_updates: Annotated[int | None, typer.Option("--max-updates", min=0, help="Apply nothing if more rows would be updated.")] = None,
    max_deletes: Annotated[int | None, typer.Option("--max-deletes", min=0, help="Apply nothing if more rows or couplings would be removed.")] = None,
    stop_on_conflict: Annotated[bool, typer.Option("--stop-on-conflict", help="Apply nothing where a record is in conflict.")] = False,
    allow_possible_duplicates: Annotated[bool, typer.Option("--allow-possible-duplicates", help="Create records that look like existing ones, too.")] = False,
    accept: Annotated[list[str] | None, typer.Option("--accept", metavar="MAPPING", help="May create although coupling is recommended.")] = None,
    believe: Annotated[list[str] | None, typer.Option("--believe", metavar="MAPPING", help="Its many missing records are really gone.")] = None,
    over_limit: Annotated[list[str] | None, typer.Option("--over-limit", metavar="MAPPING", help="May exceed the workspace's limits.")] = None,
    system: Annotated[str, typer.Option("--system", metavar="NAME", help="The name of the production system that is written to.")] = "",
    log: Annotated[str, typer.Option("--log", help="Log file, appended to; - for none. Default: synckit.log beside the workspace.")] = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Plan and apply modified records unattended, for cron and Task Scheduler: one line out, and an exit code.

    0: every row is fine. 3: finished, but rows failed or are in conflict. 1: nothing applied (a guard, another run, an error), or not
    all attempted. 130: cancelled. Creates that look like existing records are left out and held, until someone lifts that.
    """
    with opened(workspace) as ws:
        note = _logger(ws, log)
        try:
            code, line, told = _unattended(
                ws, note, {"create": max_creates, "update": max_updates, "delete": max_deletes}, mapping, from_start, direction,
                stop_on_conflict, allow_possible_duplicates, accept or [], believe or [], {"over_limit": over_limit or [], "confirm": system},
            )  # fmt: skip
        except SynckitError as error:
            code, line, told = 1, f"nothing applied: {error}", {"error": str(error)}
        line = safe(f"synckit sync modified: {line} (exit {code})")
        note(line)
        typer.echo(json.dumps({**told, "exit": code}, default=str) if as_json else line, err=code == 1 and not as_json)
        raise typer.Exit(code)


def _unattended(
    ws: Workspace, note: Callable[[str], None], limits: dict[str, int | None], mapping: Sequence[str] | None, from_start: bool,
    direction: str | None, stop_on_conflict: bool, duplicates: bool, accept: Sequence[str],
    believe: Sequence[str], guards: dict[str, Any],
) -> tuple[int, str, dict[str, Any]]:  # fmt: skip
    """Exit code, summary line and facts of one unattended run."""
    cut_off = [r["id"] for r in ws.ledger.runs().to_pylist() if r["status"] == "interrupted"]
    if cut_off:
        raise SynckitError(f"run {cut_off[0]} was cut off; bring it to its end first: synckit resume")
    plan = ws.plan_modified(list(mapping) if mapping else None, from_start=from_start, direction=direction, believe=believe)
    plan = plan if duplicates else without_possible_duplicates(ws, plan)
    note(f"plan {plan.id}: {plan.sentence()}")
    counts = {"create": plan.total("create", "restore"), "update": plan.total("update", "couple"), "delete": plan.total("delete", "remove coupling")}  # fmt: skip
    for verb, limit in limits.items():
        if limit is not None and counts[verb] > limit:
            raise SynckitError(f"{counts[verb]:,} rows to {verb}, and --max-{verb}s allows {limit:,}. Look at the plan: synckit plan modified")  # fmt: skip
    conflicts = len(plan.records(disposition="conflict")[["mapping", "local_key"]].drop_duplicates())  # seen in either pass
    if stop_on_conflict and conflicts:
        raise SynckitError(f"{conflicts:,} {'record is' if conflicts == 1 else 'records are'} in conflict. Decide them: synckit plan modified --out PLAN")  # fmt: skip
    with stoppable() as should_stop:
        run = ws.apply(plan, accept=accept, should_stop=should_stop, **guards)
    held = plan.total("excluded")
    failed = int(run.jobs["failed"].sum()) if len(run.jobs) else 0
    for error in run.errors.to_dict("records")[::-1]:
        note(f"  {error['mapping']} {error['local_key'] or error['integration_key']}: {error['message']}")
    counters = {n: int(run.jobs[n].sum()) for n in ("inserted", "modified", "deleted", "skipped") if len(run.jobs)}
    listed = ", ".join(f"{n} {v:,}" for n, v in counters.items() if v or n in ("inserted", "modified"))
    line = f"run {run.id} {run.status}: {listed}, failed {failed:,}" + (f", held as possible duplicates {held:,}" if held else "")
    told = {"run": run.id, "status": run.status, **counters, "failed": failed, "conflicts": conflicts, "held": held}
    return run.exit_code, line, told


def without_possible_duplicates(ws: Workspace, plan: Plan) -> Plan:
    """The plan without creates that look like existing records, except those whose hold a person has lifted."""
    frame = plan.records(disposition="create", warning="possible_duplicate")
    lifted = {
        (d["mapping"], d["local_key"], d["integration_key"]) for d in ws.ledger.decisions().to_pylist() if d["kind"] == "lift"
    }
    keys = zip(frame["mapping"], frame["local_key"], frame["integration_key"], strict=True)
    wanted = [not {(m, _none(lk), None), (m, None, _none(ik))} & lifted for m, lk, ik in keys]
    frame = frame[pd.Series(wanted, index=frame.index, dtype=bool)]
    return plan.exclude(records=frame, note="possible duplicate, unattended run") if len(frame) else plan


def _none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _logger(ws: Workspace, log: str) -> Callable[[str], None]:
    if log == "-":
        return lambda text: None
    path = Path(log).expanduser() if log else Path(ws.path).parent / "synckit.log"
    logs.refuse_other_files(path)

    def note(text: str) -> None:
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {safe(text)}\n")
        except OSError as error:
            raise SynckitError(f"The log file {path} cannot be written: {error.strerror or error}.") from None

    return note


# -- short forms -------------------------------------------------------------------------------------------------------------------


def couple(
    mapping: Annotated[str, typer.Argument(help="The mapping.")],
    local: Annotated[str | None, typer.Argument(help="Local record: number, key or name.")] = None,
    integration: Annotated[str | None, typer.Argument(help="Integration record: key or name.")] = None,
    workspace: WorkspaceOption = None,
    by_match: Annotated[bool, typer.Option("--by-match", help="Couple all that match in the fields marked use_for_match.")] = False,
    sync: Sync = "none", starting_from: StartingFrom = "local", yes: Yes = False, out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Couple two records (--sync to or from adds the first synchronisation), or with --by-match all that match."""
    if by_match == (local is not None) or (local is None) != (integration is None):
        raise SynckitError("Name both records, or couple the mapping by match: synckit couple MAPPING --by-match.")
    with opened(workspace) as ws:
        pairs = None if local is None or integration is None else [(local, integration)]
        plan = ws.plan_coupling(mapping, pairs, sync=_sync(sync), starting_from=_side(starting_from))
        _ask_and_apply(ws, plan, yes, out, as_json)


def uncouple(
    mapping: Annotated[str, typer.Argument(help="The mapping.")], key: Locals = None, workspace: WorkspaceOption = None,
    integration: IntegrationOption = None, whole: Annotated[bool, typer.Option("--all", help="All couplings of the mapping.")] = False,
    yes: Yes = False, out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Remove couplings; clears the company's mark on the integration rows."""
    with opened(workspace) as ws:
        if not whole:
            _some(key, integration, " To uncouple the whole mapping, say --all.")
        plan = ws.plan_uncoupling(mapping, local=() if whole else key or (), integration=() if whole else integration or ())
        _ask_and_apply(ws, plan, yes, out, as_json)


def retry(
    mapping: Annotated[str | None, typer.Argument(help="The mapping; left out: all.")] = None, key: Locals = None,
    workspace: WorkspaceOption = None, integration: IntegrationOption = None, cause: Cause = None, yes: Yes = False, out: Out = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Take skipped records up again, or all records of a cause, and synchronise them."""
    with opened(workspace) as ws:
        plan = _retried(ws, mapping, key, integration, cause)
        n = sum(len(head.released) for head in plan.base.mappings.values())
        told = (
            f"{n:,} {'record is' if n == 1 else 'records are'} taken up again."
            if n
            else "No record is skipped."
            if cause is None
            else ""
        )
        _ask_and_apply(ws, plan, yes, out, as_json, told, anyway=bool(n))


def restore(
    mapping: Annotated[str | None, typer.Argument(help="The mapping; left out: all.")] = None, key: Locals = None,
    workspace: WorkspaceOption = None, integration: IntegrationOption = None, yes: Yes = False, out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Recreate the missing record of broken couplings."""
    with opened(workspace) as ws:
        plan = ws.plan_restore(mapping, local=key or (), integration=integration or ())
        _ask_and_apply(ws, plan, yes, out, as_json)


def lift(
    mapping: Annotated[str, typer.Argument(help="The mapping.")], key: Locals = None, workspace: WorkspaceOption = None,
    integration: IntegrationOption = None,
    all_held: Annotated[bool, typer.Option("--all", help="All records of the mapping that are held.")] = False,
) -> None:  # fmt: skip
    """Lift the hold on records, so that the next run looks at them again."""
    with opened(workspace) as ws:
        if not all_held:
            _some(key, integration, " Or all that are held: --all.")
        n = ws.lift(mapping, local=key or (), integration=integration or (), all_held=all_held)
        typer.echo(
            f"{n:,} {'record is' if n == 1 else 'records are'} no longer held; the next run looks at {'it' if n == 1 else 'them'}."
        )


def broken(
    mapping: Annotated[str | None, typer.Argument(help="The mapping; left out: all.")] = None, workspace: WorkspaceOption = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """List couplings one of whose records was deleted."""
    with opened(workspace) as ws:
        found = ws.broken(mapping)
        frame(found, as_json, "No coupling is broken.")


# -- what they share ---------------------------------------------------------------------------------------------------------------


def _ask_and_apply(
    ws: Workspace, plan: Plan, yes: bool, out: Path | None, as_json: bool, told: str = "", anyway: bool = False
) -> None:
    """Show the plan, ask, apply; with --out only plan. `anyway`: there is something to apply though no row is written."""
    print_plan(plan, as_json and not yes, out, told)
    pending = is_pending(plan) or anyway
    if out is not None:
        raise typer.Exit(2 if pending else 0)
    if not pending:
        raise typer.Exit(0)
    if not yes:
        if not sys.stdin.isatty():
            raise SynckitError("Nothing was applied: there is nobody to ask. Say --yes to apply, or --out PLAN to only plan.")
        if not typer.confirm("Apply this?", default=False):
            typer.echo("Nothing was applied.")
            raise typer.Exit(1)
    named = "" if yes else _named_system(ws, plan)
    with stoppable() as should_stop, progress_bar("Applying", not as_json) as progress:
        run = ws.apply(plan, confirm=named, progress=progress, should_stop=should_stop)
    if as_json:
        facts = {"run": run.id, "status": run.status, "jobs": lines_of(run.jobs), "differences": lines_of(run.differences)}
        typer.echo(json.dumps({**facts, "exit": run.exit_code}, default=str, ensure_ascii=False, indent=1))
    else:
        typer.echo(run.to_text())
    raise typer.Exit(run.exit_code)


def _named_system(ws: Workspace, plan: Plan) -> str:
    """The name that a production system is written to by, typed by whoever sits there; '' where none is needed."""
    from synckit.applying.refusals import to_confirm

    titles = to_confirm(ws, plan)
    return (
        str(typer.prompt(f"{safe(titles[0])} is a production system. Type its name to write to it", default="")) if titles else ""
    )


def _some(local: Sequence[str] | None, integration: Sequence[str] | None, more: str = "") -> None:
    if not local and not integration:
        raise SynckitError(f"Name at least one record.{more}")


def _pair(text: str) -> tuple[str, str]:
    local, sign, integration = text.partition("=")
    if not sign or not local.strip() or not integration.strip():
        raise SynckitError(f'"{text}" is no pair. Write --pair LOCAL=INTEGRATION.')
    return local.strip(), integration.strip()


def _sync(text: str) -> Any:
    if text not in ("none", "to", "from"):
        raise SynckitError(f'There is no first synchronisation "{text}". Write none, to or from.')
    return None if text == "none" else text


def _side(text: str) -> Any:
    if text not in ("local", "integration"):
        raise SynckitError(f'There is no side "{text}". Write local or integration.')
    return text


def _told(verb: Callable[..., None]) -> Callable[..., None]:
    """What goes wrong is one sentence and exit code 1."""

    @functools.wraps(verb)
    def told(*arguments: Any, **options: Any) -> None:
        try:
            verb(*arguments, **options)
        except SynckitError as error:
            typer.echo(safe(str(error)), err=True)
            raise typer.Exit(1) from None

    return told


def _group(app: typer.Typer, name: str, help_text: str) -> typer.Typer:
    """The group of commands called `name`, made where there is none yet."""
    for known in app.registered_groups:
        if known.name == name and known.typer_instance is not None:
            return known.typer_instance
    made = typer.Typer(no_args_is_help=True, help=help_text)
    app.add_typer(made, name=name)
    return made


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    planning = _group(app, "plan", "Plan a synchronisation; nothing is written.")
    verbs: dict[str, Callable[..., None]] = {"modified": plan_modified, "records": plan_records, "coupling": plan_coupling, "uncoupling": plan_uncoupling,
             "restore": plan_restore, "retry": plan_retry}  # fmt: skip
    for name, verb in verbs.items():
        planning.command(name)(_told(verb))
    _group(app, "sync", "Plan and apply unattended.").command("modified")(_told(sync_modified))
    shorts: tuple[Callable[..., None], ...] = (couple, uncouple, retry, restore, lift, broken)
    for short in shorts:
        app.command(short.__name__)(_told(short))


__all__ = ["register", "without_possible_duplicates"]
