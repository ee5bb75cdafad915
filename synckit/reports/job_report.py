"""The report of jobs: one result over runs, with planned beside actual, causes, backlog and writes; shown in many ways."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synckit.diagnosis.causes import CAUSES, causes, error_lines, victims_of
from synckit.diagnosis.naming import plain_messages, with_records
from synckit.errors import SynckitError
from synckit.planning.tables import COUNTERS
from synckit.reports.plan_text import frame_view, lines_of, plain
from synckit.reports.wording import UNKNOWN_ERROR, count_of, safe
from synckit.waiting import waiting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from synckit.workspace import Workspace

PLANNED = tuple(f"planned_{c}" for c in COUNTERS)
JOB_COLUMNS = ("run_id", "mapping", "direction", "type", "status", "started", "finished", "duration", "rows_per_second", *COUNTERS, *PLANNED, "message", "id")  # fmt: skip
WRITE_COLUMNS = ("id", "run_id", "job_id", "mapping", "direction", "step", "side", "table_name", "op", "record", "local_key", "integration_key", "state", "error", "at")  # fmt: skip
#: Sections in the order of every rendering: name of the frame, its title.
SECTIONS = (
    ("runs", "Runs: outcomes over time"),
    ("jobs", "Jobs"),
    ("planned", "Planned beside actual"),
    ("mappings", "Mappings"),
    ("causes", "Errors by cause"),
    ("errors", "Errors"),
    ("skipped", "Skipped backlog"),
    ("written", "Written"),
    ("writes", "Rows written"),
    ("fields", "Fields written"),
    ("decisions", "Decisions"),
    ("sums", "Do the numbers add up?"),
)
TEXT_SECTIONS = ("runs", "jobs", "planned", "causes", "skipped", "written", "decisions")


@dataclass(frozen=True)
class Report:
    """What happened. `frames`: name -> DataFrame (SECTIONS), each number of one standing in the rows of another; `scope` says of what.

    `to_html`, `to_excel`, `to_dict`, `to_json`, `to_text` and `figure` show the same frames."""

    title: str
    scope: dict[str, Any]
    frames: dict[str, pd.DataFrame] = field(repr=False)

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.frames[name]

    def total(self, counter: str) -> int:
        return int(self.frames["jobs"][counter].sum()) if len(self.frames["jobs"]) else 0

    def sentence(self) -> str:
        """The whole in one sentence; every number is a sum over `jobs`."""
        jobs = self.frames["jobs"]
        parts = [f"{self.total(c):,} {c}" for c in COUNTERS if self.total(c) or c in ("inserted", "modified", "failed")]
        runs = count_of(len(self.frames["runs"]), "run", "runs")
        told = f"{runs}, {count_of(len(jobs), 'job', 'jobs')}: {', '.join(parts)}."
        waiting = len(self.frames["skipped"])
        return told + (f" {count_of(waiting, 'record is', 'records are')} skipped." if waiting else "")

    # -- renderings ----------------------------------------------------------------------------------------------------------------

    def figure(self) -> Figure:
        """Outcomes per run and errors by cause, as one matplotlib figure; transparent, readable in light and dark."""
        from synckit.reports.job_figure import job_figure

        return job_figure(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: title, scope, sentence, and every frame as a list of lines."""
        return {
            "title": self.title,
            "scope": self.scope,
            "sentence": self.sentence(),
            **{n: lines_of(f) for n, f in self.frames.items()},
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1, default=str)

    def to_text(self) -> str:
        parts = [safe(self.title), self.sentence()]
        titles = dict(SECTIONS)
        for name in TEXT_SECTIONS:
            frame, note = self.frames[name], ""
            if name == "planned":
                frame, note = unlike_planned(frame)
            if len(frame) or note:
                parts += ["", titles[name]]
                parts += [plain(frame_view(short(name, frame), 20), 120)] if len(frame) else []
                parts += [note] if note else []
        return "\n".join(parts)

    def to_html(self, path: str | Path | None = None) -> str:
        """One page that needs nothing from outside, for screen (light and dark) and print; written to `path` where given."""
        from synckit.reports.job_html import job_html

        page = job_html(self)
        if path is not None:
            _write(Path(path).expanduser(), page)
        return page

    def to_excel(self, path: str | Path | IO[bytes]) -> None:
        """One workbook, a sheet per section: real types, filters, frozen headers, text that is never a formula."""
        head = [[self.sentence()], *([name, value] for name, value in self.scope.items())]
        titles = {name: title.partition(":")[0].rstrip("?") for name, title in SECTIONS}
        frames = {titles[name]: self.frames[name] for name in titles if len(self.frames[name].columns)}
        write_workbook(path, "Report", [[self.title], *head], frames)

    def _repr_html_(self) -> str:
        from synckit.reports.job_html import job_fragment

        return job_fragment(self)

    def __repr__(self) -> str:
        return f"<Report {self.title}: {self.sentence()}>"


def write_workbook(
    path: str | Path | IO[bytes], first: str, head: Sequence[Sequence[Any]], frames: Mapping[str, pd.DataFrame]
) -> None:
    """A workbook: the lines of `head` on a sheet called `first`, then a sheet per frame. Raises SynckitError where it cannot be written."""
    from openpyxl import Workbook

    from synckit.planning.excel import _fill, _row, _sheet

    target = Path(path).expanduser() if isinstance(path, (str, Path)) else path
    if isinstance(target, Path):
        refuse_other_files(target, (".xlsx",))
    book = Workbook(write_only=True)
    page = book.create_sheet(first)
    page.column_dimensions["A"].width = 28
    for n, line in enumerate(head):
        _row(page, list(line), bold=0 if n else 1)
    with waiting("Writing the workbook", sum(map(len, frames.values()))) as told:
        for title, frame in frames.items():
            sheet = _sheet(book, title[:31], list(frame.columns), len(frame), str(path))
            _fill(sheet, (tuple(_cell(v) for v in line) for line in frame.itertuples(index=False, name=None)), told)
    if not isinstance(target, Path):
        book.save(target)
        return
    whole = io.BytesIO()  # a workbook that cannot be written must not be cut off half way
    book.save(whole)
    try:
        target.write_bytes(whole.getvalue())
    except OSError as error:
        raise SynckitError(f"{target} cannot be written: {error.strerror or error}.") from None


def refuse_other_files(target: Path, endings: tuple[str, ...]) -> None:
    """A report never takes the place of another kind of file, such as the workspace or a ledger: its name must end as one."""
    if target.suffix.lower() not in endings:
        raise SynckitError(f'A report cannot be written to "{target}": let the name of the file end in {endings[0]}.')


def short(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of a section that fit a narrow place; counters that are 0 everywhere are left out."""
    kept = [c for c in frame.columns if c in COUNTERS and len(frame) and frame[c].fillna(0).any()]
    if name in ("runs", "jobs"):
        first = ["run_id", "started", "status"] if name == "runs" else ["run_id", "mapping", "direction", "status", "duration"]
        return frame[[*(c for c in first if c in frame), *kept]].rename(columns={"duration": "seconds"})
    if name == "causes" and "named" in frame:
        frame = frame.assign(value=frame["named"].where(frame["named"] != "", frame["value"]))
    if name == "skipped" and "record" in frame:  # by name; by key what is gone
        frame = frame.assign(record=frame["record"].where(frame["record"] != "", frame["local_key"]))
        frame = frame.assign(message=frame["message"].fillna("").replace("", UNKNOWN_ERROR))
    wanted = {"causes": ["title", "mapping", "value", "victims", "open", "trend"], "skipped": ["mapping", "record" if "record" in frame else "local_key", "message", "at", "days"],
              "decisions": ["at", "operator", "mapping", "kind", "local_key", "value"]}.get(name)  # fmt: skip
    return frame if wanted is None else frame[[c for c in wanted if c in frame]]


def unlike_planned(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Of "planned" the lines that differ, and a sentence on those that came about as planned; "" where there are none."""
    other = frame[frame["difference"] != 0] if len(frame) else frame
    n = len(frame) - len(other)
    return (
        other,
        f"{count_of(n, *(('other number', 'other numbers') if len(other) else ('number', 'numbers')))}: as planned." if n else "",
    )


def cause_labels(causes: pd.DataFrame) -> list[str]:
    """What each cause is called in a figure or above its errors; two causes never alike."""
    found: list[str] = []
    for c in causes.to_dict("records"):
        place = " ".join(safe(v) for v in (c["mapping"], c.get("named") or c["value"]) if v)
        label = f"{safe(c['title'])} ({place})" if place else safe(c["title"])
        if label in found:
            label = f"{label}: {safe(c['what'])}"
        found.append(label if label not in found else f"{label} [{safe(c['cause'])}]")
    return found


def _cell(value: Any) -> Any:
    if isinstance(value, (list, tuple, np.ndarray)):
        return ", ".join(map(str, value))
    if isinstance(value, pd.Timestamp):
        return None if value is pd.NaT else value.to_pydatetime()
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return None
    return value


def _write(target: Path, text: str) -> None:
    refuse_other_files(target, (".html", ".htm"))
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SynckitError(f"{target} cannot be written: {error.strerror or error}.") from None


# -- gathering ---------------------------------------------------------------------------------------------------------------------


def report(
    ws: Workspace, run: int | None = None, since: str | datetime | None = None, mapping: str | None = None, *, values: bool = False
) -> Report:
    """The report of one run (the last one where nothing is said), or of all runs since a moment (UTC, "2026-01-31" or a datetime),
    of all mappings or one. `values` adds the frame `fields`: every field written, old and new. Reads the ledger, and from the systems what
    records are called now."""
    name = None if mapping is None else ws.description.mapping(mapping).name
    runs = every_run = ws.ledger.runs().to_pandas()
    if run is not None and since is not None:
        raise SynckitError("Say a run or since when, not both.")
    if since is not None:
        begin = moment_of(since)
        runs = runs[pd.to_datetime(runs["started"], utc=True) >= begin]
    elif run is not None or len(runs):
        wanted = run if run is not None else int(runs["id"].max())
        runs = runs[runs["id"] == wanted]
        if not len(runs) and run is not None:
            raise SynckitError(f"There is no run {run}. `synckit jobs` lists them.")
    numbers = {int(n) for n in runs["id"]}
    jobs = ws.ledger.jobs().to_pandas()
    errors = error_lines(ws, name)
    grouped = causes(ws, name, errors=errors, jobs=jobs)
    jobs = _where(jobs, jobs["run_id"].isin(numbers) & (jobs["mapping"] == name if name is not None else True))
    errors = _where(errors, errors["run_id"].isin(numbers))
    grouped = grouped[grouped["cause"].isin(errors["cause"].unique())]
    grouped = grouped.assign(victims=victims_of(errors, grouped["cause"]))  # of these runs alone
    if len(numbers) == 1:
        lines = ws.ledger.journal(run=min(numbers), mapping=name).to_pandas()
    else:  # one walk over the journal, however many runs
        lines = ws.ledger.journal(mapping=name).to_pandas()
        lines = _where(lines, lines["run_id"].isin(numbers))
    decisions = _decided(ws.ledger.decisions(name).to_pandas(), every_run, numbers)
    skipped = ws.skipped(name)
    errors, skipped = (with_records(ws, f.assign(message=plain_messages(ws, f))) for f in (errors, skipped))
    of = (
        f"run {run}"
        if run is not None
        else f"since {since}"
        if since is not None
        else f"run {max(numbers)}"
        if numbers
        else "no run yet"
    )
    scope = {"local": ws.systems["local"].title, "integration": ws.systems["integration"].title, "mapping": name or "all",
             "runs": ", ".join(map(str, sorted(numbers))) or "none", "made at": f"{ws.clock():%Y-%m-%d %H:%M:%S}", "times": "UTC", "by": ws.operator}  # fmt: skip
    return built(
        f"Job report, {of}" + (f", {name}" if name else ""),
        scope,
        runs,
        jobs,
        errors,
        grouped,
        skipped,
        with_records(ws, lines),
        decisions,
        ws.clock(),
        values,
    )


def _where(frame: pd.DataFrame, wanted: pd.Series) -> pd.DataFrame:
    """The wanted lines; all of them are not copied."""
    return frame if wanted.all() else frame[wanted].reset_index(drop=True)


def _decided(decisions: pd.DataFrame, runs: pd.DataFrame, numbers: set[int]) -> pd.DataFrame:
    """The decisions that shaped these runs: taken after the run before them, up to the end of the last."""
    if not len(decisions) or not numbers:
        return decisions.head(0)
    before, mine = runs[runs["id"] < min(numbers)], runs[runs["id"].isin(numbers)]
    if len(before):
        decisions = decisions[decisions["at"] > before["started"].max()]
    ended = mine["finished"].notna().all() and max(numbers) < runs["id"].max()
    return decisions[decisions["at"] <= mine["finished"].max()] if ended else decisions


def built(
    title: str,
    scope: dict[str, Any],
    runs: pd.DataFrame,
    jobs: pd.DataFrame,
    errors: pd.DataFrame,
    grouped: pd.DataFrame,
    skipped: pd.DataFrame,
    lines: pd.DataFrame,
    decisions: pd.DataFrame,
    now: datetime,
    values: bool = False,
) -> Report:
    """A report of frames from anywhere: a ledger, or logs that were brought along."""
    jobs = jobs.sort_values(["run_id", "started", "mapping"], kind="stable").reset_index(drop=True)
    rows = jobs[[c for c in COUNTERS if c in jobs]].sum(axis=1) if len(jobs) else pd.Series(dtype=float)
    jobs = jobs.assign(rows_per_second=(rows / jobs["duration"].where(jobs["duration"] > 0)).astype("float64").round(1))
    jobs = jobs[[c for c in JOB_COLUMNS if c in jobs]]
    per_run = jobs.groupby("run_id")[list(COUNTERS)].sum() if len(jobs) else pd.DataFrame(columns=list(COUNTERS))
    runs = runs.rename(columns={"id": "run_id"}).sort_values("run_id", kind="stable")
    runs = runs.merge(per_run, left_on="run_id", right_index=True, how="left")
    kept = ["run_id", "kind", "status", "operator", "started", "finished", *COUNTERS, "message"]
    runs = runs[[c for c in kept if c in runs]].reset_index(drop=True)
    runs[list(COUNTERS)] = runs[list(COUNTERS)].fillna(0).astype("int64")
    per_mapping = (
        jobs.groupby("mapping", sort=False)[list(COUNTERS)].sum().reset_index()
        if len(jobs)
        else pd.DataFrame(columns=["mapping", *COUNTERS])
    )
    lines = lines.copy()
    written = lines.groupby(["run_id", "mapping", "direction", "side", "table_name", "step", "op", "state"], dropna=False, sort=False).size().reset_index(name="rows") if len(lines) else pd.DataFrame(columns=["run_id", "mapping", "direction", "side", "table_name", "step", "op", "state", "rows"])  # fmt: skip
    age = pd.array([_days(now, at) for at in skipped["at"]], dtype="Int64")
    frames = {
        "runs": runs, "jobs": jobs, "planned": _planned(jobs), "mappings": per_mapping, "causes": grouped[[c for c in CAUSES if c in grouped]].reset_index(drop=True),
        "errors": errors.reset_index(drop=True), "skipped": skipped.assign(days=age).reset_index(drop=True), "written": written,
        "writes": lines[[c for c in WRITE_COLUMNS if c in lines]], "fields": _fields(lines) if values else pd.DataFrame(), "decisions": decisions.reset_index(drop=True),
        "sums": _sums(runs, jobs, lines, errors, grouped),
    }  # fmt: skip
    return Report(title, scope, frames)


def _planned(jobs: pd.DataFrame) -> pd.DataFrame:
    """One line per job and counter that was planned or came about."""
    columns = ["run_id", "mapping", "direction", "counter", "planned", "actual", "difference"]
    parts = []
    for number, c in enumerate(COUNTERS):
        if f"planned_{c}" in jobs:
            mine = jobs[(jobs[c] != 0) | (jobs[f"planned_{c}"] != 0)]
            part = mine[["run_id", "mapping", "direction"]].assign(
                counter=c, planned=mine[f"planned_{c}"], actual=mine[c], number=number
            )
            parts.append(part[part["planned"].notna()])
    if not parts:
        return pd.DataFrame(columns=columns)
    found = pd.concat(parts).assign(difference=lambda f: f["actual"] - f["planned"])
    return found.sort_values("number", kind="stable").sort_index(kind="stable")[columns].reset_index(drop=True)


def _sums(runs: pd.DataFrame, jobs: pd.DataFrame, lines: pd.DataFrame, errors: pd.DataFrame, grouped: pd.DataFrame) -> pd.DataFrame:
    """The same number counted in two places: what it is, both counts, whether they agree."""
    found: list[tuple[str, int, int]] = [
        (f"{c}: jobs, runs", int(jobs[c].sum()), int(runs[c].sum())) for c in COUNTERS if len(jobs)
    ]
    found.append(
        (
            "error lines: listed, behind their causes",
            len(errors),
            int(errors["cause"].isin(set(grouped["cause"])).sum()) if len(errors) else 0,
        )
    )
    if len(lines):
        done = lines[lines["state"] == "done"]
        first = done[done["step"] == 1]
        for counter, op in (("inserted", "insert"), ("deleted", "delete")):
            found.append((f"{counter}: jobs, journal", int(jobs[counter].sum()), int((first["op"] == op).sum())))
    return pd.DataFrame([(w, a, b, a == b) for w, a, b in found], columns=["what", "here", "there", "agree"])


def _fields(lines: pd.DataFrame) -> pd.DataFrame:
    """One line per field of every row written, with its old and new value and both keys."""
    found = []
    for w in lines[~lines["op"].isin(["couple", "uncouple"])].to_dict("records"):
        before, after = (json.loads(w[c]) if isinstance(w[c], str) and w[c] else {} for c in ("before", "after"))
        for column in dict.fromkeys([*after, *before]):
            found.append((w["run_id"], w["mapping"], w["direction"], w["side"], w["table_name"], w["op"], w["state"], w["local_key"], w["integration_key"], column,
                          _text(before, column), _text(after, column)))  # fmt: skip
    columns = [
        "run_id",
        "mapping",
        "direction",
        "side",
        "table_name",
        "op",
        "state",
        "local_key",
        "integration_key",
        "column",
        "old",
        "new",
    ]
    return pd.DataFrame(found, columns=columns)


def _text(values: Mapping[str, Any], column: str) -> str | None:
    value = values.get(column)
    return None if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _days(now: datetime, at: Any) -> int | None:
    moment = pd.to_datetime(at, utc=True, errors="coerce")
    return None if moment is pd.NaT else max((pd.Timestamp(now, tz=UTC) - moment).days, 0)


def moment_of(since: str | datetime) -> pd.Timestamp:
    try:
        moment = pd.Timestamp(since)
    except ValueError:
        raise SynckitError(f'"{since}" is no date. Write it like 2026-01-31 or 2026-01-31T08:00.') from None
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")


__all__ = ["SECTIONS", "Report", "built", "cause_labels", "moment_of", "report", "short", "unlike_planned", "write_workbook"]
