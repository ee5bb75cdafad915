"""The command about possible duplicates: list them, say why, count them at thresholds, judge them, and try match criteria out."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
import typer

from synckit.cli_console import frame, opened, show
from synckit.errors import SynckitError
from synckit.planning.judging import THRESHOLD
from synckit.planning.plan import Plan
from synckit.planning.planfile import load_plan
from synckit.reports.wording import safe

COLUMNS = ["mapping", "pass", "source_name", "existing_side", "existing_name", "existing_coupled", "score", "why"]
KEYS = ["mapping", "pass", "source_key", "existing_side", "existing_key", "score"]


def duplicates(
    plan: Annotated[str | None, typer.Argument(help="A saved plan; left out, a full synchronisation is planned now.")] = None,
    workspace: Annotated[str | None, typer.Option("--workspace", "-w", help="The workspace file; left out, the one in this folder.")] = None,
    mapping: Annotated[str | None, typer.Option("--mapping", "-m", help="Only this mapping.")] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Show pairs from this score on, 0 to 1.")] = THRESHOLD,
    why: Annotated[str | None, typer.Option("--why", metavar="KEY=KEY", help="The evidence on two records, field by field.")] = None,
    counts: Annotated[bool, typer.Option("--counts", help="How many creates look alike at each threshold.")] = False,
    clusters: Annotated[bool, typer.Option("--clusters", help="Groups of three and more records that look alike.")] = False,
    keys: Annotated[bool, typer.Option("--keys", help="Keys instead of names, to decide by.")] = False,
    what_if: Annotated[bool, typer.Option("--what-if", help="What coupling by match would do for each field, and a suggestion.")] = False,
    judged: Annotated[bool, typer.Option("--judged", help="The pairs that are judged not to be the same.")] = False,
    not_the_same: Annotated[str | None, typer.Option("--not-the-same", metavar="KEY=KEY", help="Write down that local and integration record are not the same.")] = None,
    same_after_all: Annotated[str | None, typer.Option("--same-after-all", metavar="KEY=KEY", help="Take such a judgement back.")] = None,
    side: Annotated[str, typer.Option("--side", help="across, or local or integration where both stand on one side.")] = "across",
    as_json: Annotated[bool, typer.Option("--json", help="Print plain values for a program.")] = False,
) -> None:  # fmt: skip
    """Planned creates beside the existing records that they look like, and why."""
    if what_if or judged or not_the_same or same_after_all:
        with opened(workspace) as ws:
            if judged:
                frame(ws.judged(mapping), as_json, "No pair is judged not to be the same.")
            elif what_if:
                told = ws.what_if(_named(mapping, "--what-if"))
                frame(_shares(told) if not as_json else told, as_json, "Nothing can be compared.")
                if not as_json:
                    show(
                        ws.suggested_match(str(mapping), told)
                        or "\nNo field tells the records of both sides apart well enough to be suggested."
                    )
            elif not_the_same:
                ws.not_the_same(_named(mapping, "--not-the-same"), *_two(not_the_same, "--not-the-same"), side=side)  # type: ignore[arg-type]
                show("Written down: no plan shows the two as possible duplicates until the data of one changes.")
            else:
                ws.same_after_all(_named(mapping, "--same-after-all"), *_two(str(same_after_all), "--same-after-all"), side=side)  # type: ignore[arg-type]
                show("Taken back: the two may be shown as possible duplicates again.")
        return
    if plan is not None:
        loaded = load_plan(plan)
    else:
        with opened(workspace) as ws:
            loaded = ws.plan_full(mapping)
    if why is not None:
        one, two = _two(why, "--why")
        frame(loaded.why(_named(mapping, "--why"), one, two).round(3), as_json, "")
    elif counts:
        frame(loaded.thresholds(mapping), as_json, "")
    elif clusters:
        frame(loaded.clusters(mapping, threshold), as_json, "No three records look alike.")
    else:
        found = loaded.duplicates(mapping, threshold)
        frame(
            found if as_json else found[KEYS if keys else COLUMNS].round(3),
            as_json,
            "No planned create looks like a record that exists.",
        )
        for note in () if as_json else loaded.notes:
            show(safe(note))


def _named(mapping: str | None, option: str) -> str:
    if mapping is None:
        raise SynckitError(f"{option} needs to know the mapping: --mapping NAME.")
    return mapping


def _two(text: str, option: str) -> tuple[str, str]:
    one, sign, two = text.partition("=")
    if not sign or not one.strip() or not two.strip():
        raise SynckitError(f'"{text}" names no two records. Write {option} KEY=KEY; `synckit duplicates --keys` lists keys.')
    return one.strip(), two.strip()


def _shares(told: pd.DataFrame) -> pd.DataFrame:
    """For people: shares in per cent, the fields once."""
    shown: pd.DataFrame = told.drop(columns=["fields"])
    for column in shown.columns:
        if column.startswith(("unique_", "filled_", "equal_")):
            shown[column] = [_percent(v) for v in shown[column]]
    shown["suggested"] = ["" if pd.isna(v) else int(v) for v in shown["suggested"]]
    return shown


def _percent(value: Any) -> str:
    return "" if pd.isna(value) else f"{value:.0%}"


def judge(plan: Plan, mapping: str | None, couple: list[str], create: list[str], not_the_same: list[str], use: str | None) -> Plan:
    """The plan with these decisions on possible duplicates taken."""
    for text in couple:
        plan = plan.couple(_named(mapping, "--couple"), *_two(text, "--couple"), use=use)
    for key in create:
        name = _named(mapping, "--create")
        side = "local" if key in set(plan.undecided().records(name, "create")["local_key"]) else "integration"
        plan = plan.create(name, **{side: key})
    for text in not_the_same:
        plan = plan.not_the_same(_named(mapping, "--not-the-same"), *_two(text, "--not-the-same"))
    return plan


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("duplicates")(duplicates)


__all__ = ["judge", "register"]
