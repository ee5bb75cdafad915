"""The same verbs in a terminal. Every problem is one clear sentence and exit code 1; nothing is half-done."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.exceptions import TyperException

from synckit import cli_diagnosis, logs
from synckit.cli_console import console, frame, on_the_terminal, opened, present, progress_bar, show, stoppable, tell, terminal
from synckit.cli_duplicates import judge
from synckit.cli_duplicates import register as register_duplicates
from synckit.cli_first import register as register_first
from synckit.cli_undo import register as register_undo
from synckit.cli_verbs import register
from synckit.errors import SynckitError
from synckit.planning.plan import Plan
from synckit.planning.planfile import load_plan
from synckit.reports.plan_lists import changes_list, dispositions_of, records_list
from synckit.reports.plan_text import frame_view, lines_of, plan_view
from synckit.reports.wording import UNKNOWN_ERROR, safe
from synckit.waiting import heard_by, waiting
from synckit.workspace import Workspace

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="See what a synchronisation of two systems would do, before it does it.",
                  epilog="synckit --log FILE COMMAND ... appends a structured log (JSON lines) of what is applied.")  # fmt: skip
couplings = typer.Typer(no_args_is_help=True, help="Bring couplings in from outside, or write them out.")
plans = typer.Typer(no_args_is_help=True, help="Plan a run: nothing is written to any system, nor to the ledger.")
app.add_typer(couplings, name="couplings")
app.add_typer(plans, name="plan")

OK, ERROR, PENDING, ROWS_FAILED, CANCELLED = 0, 1, 2, 3, 130

WorkspaceOption = Annotated[
    str | None, typer.Option("--workspace", "-w", help="The workspace file; left out, the one in this folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print plain values for a program.")]
Mappings = Annotated[list[str] | None, typer.Option("--mapping", "-m", help="Only this mapping (may be given several times).")]
Out = Annotated[str | None, typer.Option("--out", "-o", help="Save the plan in this file.")]
Accept = Annotated[list[str] | None, typer.Option("--accept", help="Let this mapping create although coupling is recommended.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most so many lines.")]


# -- planning ------------------------------------------------------------------------------------------------------------------------


@plans.command("full")
def plan_full(
    workspace: WorkspaceOption = None, mapping: Mappings = None,
    by_match: Annotated[list[str] | None, typer.Option("--by-match", metavar="MAPPING", help="Couple this mapping by match instead; may be repeated.")] = None,
    believe: Annotated[list[str] | None, typer.Option("--believe", metavar="MAPPING", help="Its many missing records are really gone.")] = None,
    deep_rows: Annotated[int, typer.Option("--deep-rows", min=0, help="Look for possible duplicates in all fields among up to so many uncoupled records.")] = 20_000,
    out: Out = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Dry-run a full synchronisation: everything it would create, couple, update and stop at."""
    with opened(workspace) as ws:
        plan = ws.plan_full(mapping or None, by_match=by_match or (), deep_rows=deep_rows, believe=believe or ())
    present(plan, as_json, out)


@app.command("show")
def show_plan(
    plan: Annotated[str, typer.Argument(help="A saved plan.")],
    mapping: Annotated[str | None, typer.Option("--mapping", "-m", help="Only this mapping.")] = None,
    disposition: Annotated[
        str | None,
        typer.Option("--disposition", "-d", help="Only records with this disposition, or under this heading of the table."),
    ] = None,
    changes: Annotated[bool, typer.Option("--changes", help="One line per field that is written.")] = False,
    rows: Annotated[bool, typer.Option("--rows", help="One line per record.")] = False,
    keys: Annotated[bool, typer.Option("--keys", help="One line per record, with the keys of both sides, to decide by.")] = False,
    excel: Annotated[str | None, typer.Option("--excel", help="Write an Excel workbook in which a colleague can decide.")] = None,
    drift: Annotated[bool, typer.Option("--drift", help="How old the plan is, and which of its rows have changed since.")] = False,
    workspace: WorkspaceOption = None,
    as_json: Json = False,
    limit: Limit = None,
) -> None:
    """Look at a saved plan: the whole, its records, its fields, or as a workbook."""
    loaded = load_plan(plan)
    if drift:
        with opened(workspace) as ws:
            drifted = ws.drift(loaded)
        if not as_json:
            show(drifted.sentence())
        frame(drifted.frame, as_json, "", limit)
    elif excel is not None:
        loaded.to_excel(excel)
        show(
            f"Written: {safe(excel)}. Its decisions come back with: synckit decide {safe(plan)} --excel {safe(excel)} --out NEW.plan"
        )
    elif changes:
        found = loaded.changes(mapping)
        if disposition is not None:
            found = found[found["disposition"].isin(dispositions_of(disposition))]
        frame(found if as_json else changes_list(found), as_json, "The plan writes no such field.", limit)
    elif rows or keys or disposition is not None or mapping is not None:
        found = loaded.records(mapping, None if disposition is None else dispositions_of(disposition))
        frame(found if as_json else records_list(loaded, found, keys), as_json, "The plan has no such record.", limit)
    elif as_json:
        tell(loaded.to_dict())
    else:
        show(plan_view(loaded))


@app.command("decide")
def decide(
    plan: Annotated[str, typer.Argument(help="A saved plan.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Save the new plan in this file.")],
    mapping: Annotated[str | None, typer.Option("--mapping", "-m", help="The mapping to decide on.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Leave out the record with this key (of either side).")
    ] = None,
    disposition: Annotated[
        str | None, typer.Option("--exclude-disposition", help="Leave out all records with this disposition.")
    ] = None,
    warning: Annotated[str | None, typer.Option("--exclude-warning", help="Leave out all records with this warning.")] = None,
    local: Annotated[
        str | None,
        typer.Option("--exclude-local", metavar="FILTER", help='Leave out the local records inside a filter, "Name: *test*".'),
    ] = None,
    integration: Annotated[
        str | None, typer.Option("--exclude-integration", metavar="FILTER", help="The same for records of the other system.")
    ] = None,
    whole: Annotated[bool, typer.Option("--exclude-mapping", help="Leave out the whole mapping.")] = False,
    excel: Annotated[str | None, typer.Option("--excel", help="Take the decisions made in this workbook.")] = None,
    resolve: Annotated[str | None, typer.Option("--resolve", help="Decide the conflict of the record with this local key.")] = None,
    use: Annotated[
        str | None,
        typer.Option("--use", help='local, integration, merge, or {"Field": "local"}; of a couple local, integration, neither.'),
    ] = None,
    couple: Annotated[
        list[str] | None, typer.Option("--couple", metavar="LOCAL=INTEGRATION", help="Couple these two keys instead of creating.")
    ] = None,
    create: Annotated[list[str] | None, typer.Option("--create", metavar="KEY", help="Create this record all the same.")] = None,
    not_the_same: Annotated[
        list[str] | None, typer.Option("--not-the-same", metavar="KEY=KEY", help="These two are not the same.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Take decisions on a plan; a new plan is saved, the old one stays as it is."""
    loaded = changed = load_plan(plan)
    if not any((exclude, disposition, warning, local, integration, whole, excel, resolve, couple, create, not_the_same, use)):
        raise SynckitError(
            "Say what to decide, such as --exclude KEY or --excel FILE; nothing was saved. Try: synckit decide --help"
        )
    if use is not None and resolve is None and not couple:
        raise SynckitError(
            "--use says whose values win: name the conflict (--resolve KEY) or the two records (--couple KEY=KEY) with it."
        )
    if excel is not None:
        changed = changed.with_decisions(excel)
    for key in exclude or []:
        rows = changed.records(mapping)
        side = next((s for s in ("local", "integration") if key in set(rows[f"{s}_key"])), None)
        if side is None:
            raise SynckitError(
                f'The plan has no record of {mapping or "any mapping"} with the key "{key}". `synckit show {safe(plan)} --keys` lists them; '
                'by other fields: --mapping NAME --exclude-local "Name: *test*".'
            )
        changed = changed.exclude(mapping, **{side: key})  # type: ignore[arg-type]
    if disposition is not None or warning is not None:
        changed = changed.exclude(mapping, disposition=disposition, warning=warning)
    if local is not None or integration is not None:
        if mapping is None:
            raise SynckitError("Name the mapping whose records the filter is for: --mapping NAME.")
        with opened(workspace) as ws:
            changed = ws.exclude(changed, mapping, local=local, integration=integration)
    if whole:
        if mapping is None:
            raise SynckitError("Name the mapping to leave out: --mapping NAME.")
        changed = changed.exclude(mapping)
    if resolve is not None:
        if mapping is None:
            raise SynckitError("Name the mapping of the conflict: --mapping NAME.")
        how = use or "merge"
        changed = changed.resolve(mapping, local=resolve, use=json.loads(how) if how.startswith("{") else how)
    changed = judge(changed, mapping, couple or [], create or [], not_the_same or [], use if resolve is None else None)
    changed.save(out)
    if changed.decisions == loaded.decisions:
        show("No record of the plan is concerned: the new plan is the same.")
    show(f"{changed.sentence()}\nSaved as {safe(out)}.")


# -- applying ------------------------------------------------------------------------------------------------------------------------


def carry_out(
    ws: Workspace,
    plan: Plan,
    yes: bool,
    accept: list[str],
    keep_creating: str,
    as_json: bool,
    over_limit: list[str],
    system: str,
    take_over: bool = False,
) -> int:
    """Ask what has to be asked, apply, print planned beside actual; the exit code."""
    from synckit.applying.refusals import to_accept, to_confirm

    if keep_creating not in ("yes", "no", "ask"):
        raise SynckitError(f'--keep-creating takes yes, no or ask, not "{keep_creating}".')
    names = {side: ws.systems[side].title for side in ("local", "integration")}
    missing = [n for n in to_accept(plan) if n not in {ws.description.mapping(a).name for a in accept}]
    if terminal() and not yes:
        console().print(Text(plan.sentence(), style="bold"))
        for name in missing:
            if typer.confirm(f"{name}: both sides hold records, coupling is recommended. Create all the same?", default=False):
                accept = [*accept, name]
        answer = typer.prompt(
            f"Write {plan.writes:,} rows to {names['local']} and {names['integration']}? Type yes to apply", default="no"
        )
        if answer.strip().casefold() != "yes":
            raise SynckitError("Nothing was applied.")
        for title in to_confirm(ws, plan):
            system = system or typer.prompt(
                f"{safe(title)} is a production system. Type its name to write to it", default="", show_default=False
            )
    elif not yes:
        raise SynckitError("Applying needs somebody to answer, or --yes. Nothing was applied.")
    closing: Any = _ask_closing if keep_creating == "ask" and terminal() else ("no" if keep_creating == "ask" else keep_creating)
    with stoppable() as should_stop, progress_bar("Applying", not as_json) as progress:
        run = ws.apply(plan, accept=accept, keep_creating=closing, progress=progress, should_stop=should_stop,
                       over_limit=over_limit, confirm=system, take_over=take_over)  # fmt: skip
    report(run, as_json)
    return int(run.exit_code)


def _ask_closing(names: list[str]) -> dict[str, bool]:
    """The closing question of a full synchronisation."""
    show(f'"Synch. Only Coupled Records" is set for {", ".join(names)}.')
    if typer.confirm("Keep it set (later runs create nothing by themselves)?", default=True):
        return {}
    return {name: typer.confirm(f"Let later runs create records of {name}?", default=False) for name in names}


def report(run: Any, as_json: bool) -> None:
    if as_json:
        tell({"run": run.id, "status": run.status, "sentence": run.sentence(), "jobs": lines_of(run.jobs), "differences": lines_of(run.differences),
              "closing": run.closing})  # fmt: skip
    else:
        show(run.to_text())


@app.command("apply")
def apply_plan(
    plan: Annotated[str, typer.Argument(help="A saved plan.")],
    workspace: WorkspaceOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to apply.")] = False,
    accept: Accept = None,
    keep_creating: Annotated[str, typer.Option("--keep-creating", help="The closing question: yes, no or ask.")] = "ask",
    over_limit: Annotated[
        list[str] | None, typer.Option("--over-limit", metavar="MAPPING", help="May exceed the workspace's limits.")
    ] = None,
    system: Annotated[
        str, typer.Option("--system", metavar="NAME", help="The name of the production system that is written to.")
    ] = "",
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Another ledger keeps these systems in step: from now on this one does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Carry out exactly the rows of a plan, and show planned beside actual."""
    loaded = load_plan(plan)
    with opened(workspace) as ws:
        raise typer.Exit(carry_out(ws, loaded, yes, accept or [], keep_creating, as_json, over_limit or [], system, take_over))


@app.command("resume")
def resume(workspace: WorkspaceOption = None, as_json: Json = False) -> None:
    """Bring a run that was cut off to a truthful end."""
    with opened(workspace) as ws:
        run = ws.resume()
    if run is None:
        if as_json:
            tell({"run": None, "status": "nothing to resume", "sentence": "No run is unfinished."})
        else:
            show("No run is unfinished.")
        return
    report(run, as_json)
    raise typer.Exit(int(run.exit_code))


# -- looking -------------------------------------------------------------------------------------------------------------------------


@app.command("check")
def check(workspace: WorkspaceOption = None, as_json: Json = False,
          data: Annotated[bool, typer.Option("--data", help="Look through the data, too: values, references, couplings.")] = False) -> None:  # fmt: skip
    """Validate workspace and systems; say every problem at once, and how the workspace differs from the standard."""
    from synckit.mapping.differences import differences_from_standard
    from synckit.workspace import open_to_check

    with open_to_check(workspace) as ws, waiting("Checking"):
        findings = ws.check()
        differences = differences_from_standard(ws.description)
        rules = ws.rules()
        looked = ws.check_data() if data and not any(f.severity == "error" for f in findings) else None
    if as_json:
        tell({**({"data": lines_of(looked)} if looked is not None else {}), "findings": [vars(f) if hasattr(f, "__dict__") else {k: getattr(f, k) for k in ("severity", "place", "message", "remedy")} for f in findings],
              "differences": differences, "rules": lines_of(rules)})  # fmt: skip
    else:
        for f in findings:
            show(f"{f.severity:<8} {safe(f.place)}: {safe(f.message)}" + (f" {safe(f.remedy)}" if f.remedy else ""))
        counts = {s: sum(1 for f in findings if f.severity == s) for s in ("error", "warning", "note")}
        show(f"{counts['error']} errors, {counts['warning']} warnings, {counts['note']} notes.")
        show("\nThe workspace is the standard setup." if not differences else "\nDifferent from the standard setup:")
        for line in differences:
            show(f"  {safe(line)}")
        show("\nBusiness rules:" if len(rules) else "\nBusiness rules: none.")
        if len(rules):
            show(frame_view(rules))
        if data:
            show(
                "\n"
                + (
                    cli_diagnosis.data_text(looked)
                    if looked is not None
                    else "The data is looked at once the workspace has no error."
                )
            )
    wrong = looked is not None and bool((looked["severity"] == "error").any())
    raise typer.Exit(ERROR if wrong or any(f.severity == "error" for f in findings) else OK)


@app.command("mappings")
def mappings(workspace: WorkspaceOption = None, as_json: Json = False) -> None:
    """The Integration Table Mappings page."""
    with opened(workspace) as ws:
        table = ws.mappings()
    if as_json:
        tell(lines_of(table))
        return
    short = [
        c
        for c in (
            "mapping",
            "local_table",
            "integration_table",
            "direction",
            "only_coupled",
            "fields",
            "coupled",
            "failed",
            "skipped",
            "held",
            "depends_on",
        )
        if c in table
    ]
    frame(table[short] if short else table, False, "The workspace has no mappings.")


@app.command("jobs")
def jobs(workspace: WorkspaceOption = None, mapping: Annotated[str | None, typer.Option("--mapping", "-m")] = None, as_json: Json = False,
         limit: Limit = None) -> None:  # fmt: skip
    """The Integration Synchronization Jobs page, newest first."""
    with opened(workspace) as ws:
        table = ws.jobs(mapping, limit=limit)
    if not as_json and not table.empty:
        counted = [
            c
            for c in ("inserted", "modified", "deleted", "unchanged", "skipped", "failed", "coupled", "uncoupled")
            if int(table[c].sum())
        ]
        table = table[["run_id", "started", "mapping", "direction", "status", *counted, "message"]]
    frame(table, as_json, "No job has run yet.")


@app.command("errors")
def errors(workspace: WorkspaceOption = None, mapping: Annotated[str | None, typer.Option("--mapping", "-m")] = None, as_json: Json = False,
           limit: Limit = None,
           catalogue: Annotated[bool, typer.Option("--catalogue", help="Print every code with its meaning and remedy instead.")] = False) -> None:  # fmt: skip
    """The Integration Synchronization Errors page, newest first."""
    if catalogue:
        return cli_diagnosis.print_catalogue(as_json)
    with opened(workspace) as ws:
        table = ws.errors(mapping, limit=limit)
        if not as_json:
            table = cli_diagnosis.readable(ws, table)[["run_id", "mapping", "direction", "record", "message"]]
    return frame(table, as_json, "No error has been booked.")


@app.command("skipped")
def skipped(
    workspace: WorkspaceOption = None, mapping: Annotated[str | None, typer.Option("--mapping", "-m")] = None, as_json: Json = False
) -> None:
    """The Coupled Data Synchronization Errors page: records left out until they are retried."""
    with opened(workspace) as ws:
        table = ws.skipped(mapping)
        if not as_json:
            message = table["message"].fillna("").replace("", UNKNOWN_ERROR)
            table = cli_diagnosis.readable(ws, table.assign(message=message)).assign(since=table["at"])[
                ["mapping", "record", "since", "message"]
            ]
        frame(table, as_json, "No record is skipped.")


@couplings.command("import")
def import_couplings(
    file: Annotated[str, typer.Argument(help="A CSV or Excel file, or a database URL with --table.")],
    workspace: WorkspaceOption = None,
    table: Annotated[str | None, typer.Option("--table", help='The table of the shape "CRM Integration Record".')] = None,
) -> None:
    """Take couplings in: all of them, or none where any is wrong."""
    with opened(workspace) as ws:
        found = ws.import_couplings(file, table=table)
    show(f"{found.imported:,} couplings imported, {found.already_there:,} were there already.")


@couplings.command("export")
def export_couplings(
    file: Annotated[str, typer.Argument(help="The CSV file to write.")], workspace: WorkspaceOption = None
) -> None:
    """Write all couplings into a CSV file."""
    with opened(workspace) as ws:
        written = ws.export_couplings(file)
    show(f"{written:,} couplings written to {safe(file)}.")


register(app)
register_duplicates(app)
cli_diagnosis.register(app)
register_undo(app)
register_first(app)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: runs a command and exits with its code; problems are one sentence on stderr."""
    command = typer.main.get_command(app)
    debug = "--debug" in (arguments or sys.argv)
    words = [a for a in (arguments if arguments is not None else sys.argv[1:]) if a != "--debug"]
    code, log = OK, None
    try:
        log, words = logs.asked_for(words, debug)
        with heard_by(on_the_terminal):
            result = command.main(args=words, prog_name="synckit", standalone_mode=False)
        code = result if isinstance(result, int) else OK
    except SynckitError as problem:
        console(error=True).print(Text(str(problem)))
        code = ERROR
    except (KeyboardInterrupt, typer.Abort):
        console(error=True).print(Text("Stopped."))
        code = CANCELLED
    except TyperException as problem:
        place = getattr(
            getattr(problem, "ctx", None), "command_path", "synckit"
        )  # "synckit plan full": its own help is the one that helps
        said = problem.format_message()
        console(error=True).print(Text(f"{said}{'' if said.endswith(('.', '?')) else '.'} Try: {place} --help"))
        code = ERROR
    except BrokenPipeError:
        sys.stderr.close()
    except Exception as problem:
        if debug:
            raise
        console(error=True).print(Text(f"Something went wrong that synckit did not expect ({type(problem).__name__}: {safe(problem)}). "
                                       "Please report it; with --debug the same command shows where."))  # fmt: skip
        code = ERROR
    finally:
        logs.stop(log)
    raise SystemExit(code)
