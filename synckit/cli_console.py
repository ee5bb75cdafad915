"""What the command line has in common: a console for every terminal, frames and JSON, progress, and stopping between two chunks."""

from __future__ import annotations

import codecs
import json
import signal
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from synckit import waiting
from synckit.planning.plan import Plan
from synckit.reports.plan_text import frame_view, lines_of, plan_view
from synckit.reports.wording import is_pending, safe
from synckit.waiting import Say
from synckit.workspace import Workspace, open_workspace


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """What a console that lacks a sign gets: the letter without its accent, else ?."""
    assert isinstance(error, UnicodeEncodeError)
    found = error.object[error.start : error.end]
    signs = {"…": "...", "→": "->", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "æ": "ae", "Æ": "AE", "’": "'", "–": "-"}
    plainer = "".join(signs.get(c) or unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode() or "?" for c in found)
    return plainer, error.end


codecs.register_error("synckit.plain", _plainer)


def console(error: bool = False) -> Console:
    """A console that survives pipes, narrow windows and encodings without the signs we would like."""
    stream = sys.stderr if error else sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="synckit.plain")
    wide = None if stream.isatty() else 120
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=wide, legacy_windows=False,
                   safe_box=not (stream.encoding or "").lower().startswith("utf"))  # fmt: skip


def show(view: RenderableType | str) -> None:
    console().print(Text(view) if isinstance(view, str) else view)


def tell(values: Any) -> None:
    """Plain values for a program, in ASCII so that every console and pipe carries them."""
    print(json.dumps(values, indent=1, default=str))


def frame(table: pd.DataFrame, as_json: bool, empty: str, limit: int | None = None) -> None:
    if as_json:
        tell(lines_of(table if limit is None else table.head(limit)))
    elif table.empty:
        show(empty)
    else:
        show(frame_view(table, limit))


def print_plan(plan: Plan, as_json: bool, out: str | Path | None, told: str = "") -> None:
    """Print a plan, and `told` below it; save it where asked."""
    if out is not None:
        plan.save(str(out))
    if as_json:
        tell(plan.to_dict())
        return
    show(plan_view(plan))
    if told:
        show(told)
    if out is not None:
        writable = not any(side.read_only for side in plan.base.sides.values())
        then = f"   or   synckit apply {safe(out)}" if writable else ""
        show(f"\nSaved as {safe(out)}. Next: synckit show {safe(out)}{then}")


def present(plan: Plan, as_json: bool, out: str | Path | None) -> None:
    """Print a plan, save it where asked, and leave with the exit code that says whether there is anything to do."""
    print_plan(plan, as_json, out)
    raise typer.Exit(2 if is_pending(plan) else 0)


def terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def opened(path: str | Path | None) -> Iterator[Workspace]:
    with open_workspace(path) as ws:
        yield ws


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Ctrl-C (or being told to end: kill) asks to stop between two chunks; a second one stops at once (then `synckit resume` tells what
    became of the rest)."""
    asked: list[bool] = []

    def ask(number: int, stack: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(True)
        console(error=True).print(Text("Stopping after the rows that are on their way ..."))

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def on_the_terminal(what: str, count: int | None) -> Iterator[Say]:
    """The audience of a command: a spinner that appears after a second, with a bar where it is known how much there is to do. Nothing
    is shown where no one looks at a terminal."""
    if not sys.stderr.isatty():
        yield lambda text, done: None
        return
    counted = (BarColumn(),) if count else (TimeElapsedColumn(),)
    columns = (SpinnerColumn("line"), TextColumn("{task.description}", markup=False), *counted)
    bar = Bar(*columns, console=console(error=True), transient=True)
    task = bar.add_task(f"{what} ...", total=count)
    late = threading.Timer(waiting.LATE, bar.start)
    late.start()

    try:
        yield lambda text, done: bar.update(task, completed=done, description=text)
    finally:
        late.cancel()
        late.join()
        bar.stop()


@contextmanager
def progress_bar(what: str, wanted: bool) -> Iterator[Callable[[Any], None] | None]:
    """A bar with rows per second and time left, on a terminal."""
    if not (wanted and sys.stderr.isatty()):
        with waiting.heard_by(waiting.unheard):
            yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    # what waits inside has nowhere to tell it: this bar is the one line
    with waiting.heard_by(waiting.unheard), Bar(*columns, console=console(error=True), transient=True) as bar:
        task = bar.add_task(what, total=None, speed="")

        def advance(progress: Any) -> None:
            bar.update(
                task,
                description=progress.mapping,
                completed=progress.done,
                total=progress.total,
                speed=f"{progress.rows_per_second:,.0f} rows/s",
            )

        yield advance
