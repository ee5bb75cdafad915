"""The verbs of diagnosis and reports in a terminal: explain, causes, report, compare, read-log."""

from __future__ import annotations

import re
from typing import Annotated

import pandas as pd
import typer
from rich.text import Text

from synckit.cli_console import console, frame, show, tell
from synckit.errors import SynckitError
from synckit.reports.plan_text import lines_of
from synckit.waiting import waiting
from synckit.workspace import Workspace, open_workspace

WorkspaceOption = Annotated[
    str | None, typer.Option("--workspace", "-w", help="The workspace file; left out, the one in this folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print plain values for a program.")]
OnlyMapping = Annotated[str | None, typer.Option("--mapping", "-m", help="Only this mapping.")]


def explain(
    mapping: Annotated[str, typer.Argument(help="The mapping.")],
    key: Annotated[str, typer.Argument(help="The record: number, key or whole name, of whichever side.")],
    workspace: WorkspaceOption = None,
    side: Annotated[str | None, typer.Option("--side", help="Look on this side only: local or integration.")] = None,
    plan: Annotated[list[str] | None, typer.Option("--plan", help="What this saved plan does with it, instead of planning now.")] = None,
    full: Annotated[bool | None, typer.Option("--full/--no-full", help="Also what a full synchronisation would do (default: where the tables are small).")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Tell a record's whole story: why it does, or does not, synchronise. Exit code 1 where there is no such record."""
    from synckit.planning.planfile import load_plan

    if side not in (None, "local", "integration"):
        raise SynckitError(f'There is no side "{side}". Write local or integration.')
    plans = [load_plan(p) for p in plan] if plan else None
    with open_workspace(workspace) as ws:
        told = ws.explain(mapping, **{side or "key": key}, plan=plans, full=full)
    if as_json:
        tell(told.to_dict())
    else:
        for line in told.to_text().split("\n"):  # a command stays one line, so that it can be copied
            console().print(Text(line), soft_wrap=line.lstrip().startswith("synckit "))
    raise typer.Exit(0 if told.found else 1)


def causes(
    workspace: WorkspaceOption = None, mapping: OnlyMapping = None,
    run: Annotated[int | None, typer.Option("--run", help="Only the errors of this run.")] = None,
    plan: Annotated[str | None, typer.Option("--plan", help="What will fail in this saved plan, instead of what has failed.")] = None,
    records: Annotated[str | None, typer.Option("--records", metavar="CAUSE", help="The records behind this cause.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Group errors by their root cause, with victims, trend and what fixes each. `synckit errors --catalogue` explains every code."""
    from synckit.diagnosis.causes import causes_text, plan_causes
    from synckit.planning.planfile import load_plan

    if plan is not None:
        found = plan_causes(load_plan(plan))
    else:
        with open_workspace(workspace) as ws:
            if records is not None:
                found = ws.cause_records(records, mapping=mapping, run=run)
                if not len(found):
                    raise SynckitError(f'No error has the cause "{records}". `synckit causes --json` lists them.')
                found = found if as_json else readable(ws, found)
                return frame(
                    found if as_json else found[["run_id", "mapping", "record", "local_key", "integration_key", "message"]],
                    as_json,
                    "",
                )
            found = ws.causes(mapping, run=run)
    if as_json:
        return frame(found, True, "")
    return show(causes_text(found) if len(found) else "No error has been booked." if plan is None else "Nothing will fail.")


def report(
    workspace: WorkspaceOption = None,
    run: Annotated[int | None, typer.Option("--run", help="The run; left out, the last one.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="All runs since this date, such as 2026-01-31 (UTC).")] = None,
    mapping: OnlyMapping = None,
    html: Annotated[str | None, typer.Option("--html", help="Write a page that needs nothing from outside.")] = None,
    excel: Annotated[str | None, typer.Option("--excel", help="Write a workbook.")] = None,
    values: Annotated[bool, typer.Option("--values", help="With every field written, old and new.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Report what happened: planned beside actual, errors by cause, backlog, what was written where."""
    with open_workspace(workspace) as ws:
        found = ws.report(run, since, mapping, values=values)
    for path, write in ((html, found.to_html), (excel, found.to_excel)):
        if path is not None:
            write(path)
    if as_json:
        return tell(found.to_dict())
    show(found.to_text() if html is None and excel is None else found.sentence())
    return show("".join(f"Written: {path}\n" for path in (html, excel) if path is not None).rstrip()) if html or excel else None


def compare(
    a: Annotated[str, typer.Argument(help="A saved plan, or the number of a run.")],
    b: Annotated[str, typer.Argument(help="The other one, of the same sort.")],
    workspace: WorkspaceOption = None,
    as_json: Json = False,
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many lines.")] = 50,
) -> None:  # fmt: skip
    """Hold two plans or two runs against each other. Exit code 0: alike, 2: different, 1: an error."""
    from synckit.diagnosis.compare import compare_plans, compare_runs, differences_sentence
    from synckit.planning.planfile import load_plan

    for word in (a, b):
        if re.fullmatch(r"-\d+", word):
            raise SynckitError(f"{word} is no run. Runs are numbered from 1 on, as `synckit jobs` lists them.")
        if word.startswith("-"):
            raise SynckitError(f"There is no option {word}. Try: synckit compare --help")
    if limit is not None and limit < 1:
        raise SynckitError(f"--limit {limit} would show nothing. Say a number from 1 on, or leave it out.")
    runs = [re.fullmatch(r"[0-9]+", word) is not None for word in (a, b)]
    if runs[0] != runs[1]:
        raise SynckitError(f"{a} and {b} are not of one sort. Name two saved plans, or two runs by their numbers.")
    if runs[0]:
        with open_workspace(workspace) as ws, waiting("Comparing"):
            found = compare_runs(ws, int(a), int(b))
    else:
        with waiting("Comparing"):
            found = compare_plans(load_plan(a), load_plan(b))
    if as_json:
        frame(found, True, "")
    else:
        show(differences_sentence(found))
        if len(found):
            from synckit.reports.plan_text import frame_view

            show(frame_view(found[["change", "mapping", "pass", "name", "before", "after", "what"]], limit))
    raise typer.Exit(2 if len(found) else 0)


def read_log(
    source: Annotated[list[str], typer.Argument(help="Exports (CSV, Excel), a folder of them, or a database URL.")],
    record: Annotated[str | None, typer.Option("--record", help="What the log says of this record.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Report from this date on, such as 2026-01-31.")] = None,
    mapping: OnlyMapping = None,
    html: Annotated[str | None, typer.Option("--html", help="Write the report as a page.")] = None,
    excel: Annotated[str | None, typer.Option("--excel", help="Write the report as a workbook.")] = None,
    dates: Annotated[str | None, typer.Option("--dates", help="How dates are spelled where that cannot be told, such as day/month/year.")] = None,
    numbers: Annotated[str | None, typer.Option("--numbers", help="What parts the decimals where that cannot be told: comma or point.")] = None,
    column: Annotated[list[str] | None, typer.Option("--column", metavar="THEIRS=OURS", help="What a caption of yours is in English, such as \"Non riuscito=Failed\"; repeat it for more.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Diagnose Business Central's own job log: exports of its jobs, errors, skipped records, mappings and couplings."""
    from synckit.diagnosis.causes import causes_text
    from synckit.diagnosis.job_log import read_job_log

    odd = next((c for c in column or [] if "=" not in c), None)
    if odd is not None:
        raise SynckitError(f'--column "{odd}" does not say what the column is. Write it like --column "{odd}=Failed".')
    columns = {theirs.strip(): ours.strip() for theirs, _, ours in (c.rpartition("=") for c in column or [])}
    with waiting("Reading the log"):
        log = read_job_log(source, dates=dates, numbers=numbers, columns=columns)
    if record is not None:
        known = log.about(record)
        tell({name: lines_of(lines) for name, lines in known.items()}) if as_json else show(log.explain(record))
        raise typer.Exit(0 if known else 1)
    report = log.report(since, mapping)
    for path, write in ((html, report.to_html), (excel, report.to_excel)):
        if path is not None:
            write(path)
    if as_json:
        return tell({**report.to_dict(), "formats": lines_of(log.formats), "notes": list(log.notes)})
    frame(log.formats, False, "")
    show("\n".join([*log.notes, "", report.sentence()]))
    if len(report["causes"]):
        show("\n" + causes_text(report["causes"], 10))
    written = [f"Written: {p}" for p in (html, excel) if p is not None]
    return show("\n" + "\n".join(written)) if written else None


# -- what they share ---------------------------------------------------------------------------------------------------------------


def data_text(findings: pd.DataFrame) -> str:
    """What a look through the data found, for a terminal."""
    from synckit.diagnosis.check_data import findings_text

    return findings_text(findings)


def print_catalogue(as_json: bool) -> None:
    """Every code with its meaning and remedy, as a page in Markdown or as plain values."""
    from synckit.diagnosis.catalogue import catalogue, catalogue_page

    if as_json:
        tell(catalogue().to_dict("records"))
    else:
        print(catalogue_page())


def readable(ws: Workspace, lines: pd.DataFrame) -> pd.DataFrame:
    """The lines with a column `record`, and with messages that call records by their names."""
    from synckit.diagnosis.causes import called_now
    from synckit.diagnosis.naming import plain_messages

    return lines.assign(record=called_now(ws, lines), message=plain_messages(ws, lines))


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    for verb in (explain, causes, report, compare, read_log):
        # `compare -1 2` names no option, but a run that there cannot be
        settings = {"ignore_unknown_options": True} if verb is compare else None
        app.command(verb.__name__.replace("_", "-"), context_settings=settings)(verb)


__all__ = ["Workspace", "register"]
