"""Job logs brought along: Business Central's lists of jobs, errors, coupled errors, mappings and couplings, from exports or SQL tables."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from synckit.diagnosis.causes import classified, grouped, with_causes
from synckit.errors import SynckitError
from synckit.mapping.schema import nearest
from synckit.planning.tables import COUNTERS
from synckit.reports.job_report import Report, built
from synckit.reports.wording import count_of
from synckit.systems.file_formats import _cell, decoded
from synckit.systems.local_formats import _DATES, _NUMBERS

#: Kind of list -> column -> how it may be headed: captions of the pages and names of the table's columns, blanks and signs aside.
HEADS: dict[str, dict[str, tuple[str, ...]]] = {
    "jobs": {"id": ("ID",), "started": ("Start Date/Time", "Started", "Start"), "finished": ("Finish Date/Time", "Finished", "Finish", "End Date/Time"),
             "duration_text": ("Duration",), "message": ("Message",), "mapping": ("Integration Table Mapping Name", "Mapping Name", "Table Mapping"),
             "direction": ("Synch. Direction", "Synchronization Direction", "Direction"), "type": ("Type", "Job Type"), **{c: (c,) for c in COUNTERS}},
    "errors": {"number": ("No.", "Entry No."), "job_id": ("Integration Synch. Job ID", "Job ID"), "source": ("Source Record ID", "Source", "Origin", "Origin Record"),
               "destination": ("Destination Record ID", "Destination", "Destination Record"), "short_message": ("Message",),
               "message": ("Error Message", "Exception"), "at": ("Date/Time", "Date Time", "Created")},
    "skipped": {"table": ("Table", "Table Name"), "record": ("Description", "Record", "Name"), "local_exists": ("Record Exists",),
                "partner": ("Coupled To", "Coupled Record"), "integration_exists": ("Coupled Record Exists", "Coupled To Record Exists"),
                "message": ("Error Message",), "at": ("Failed On",)},
    "mappings": {"mapping": ("Name",), "direction": ("Direction",), "table_id": ("Table ID", "Table", "Table Caption"),
                 "integration_table": ("Integration Table ID", "Integration Table", "Integration Table Caption"), "local_filter": ("Table Filter",),
                 "integration_filter": ("Integration Table Filter",), "only_coupled": ("Synch. Only Coupled Records",),
                 "deletion_conflict_resolution": ("Deletion-Conflict Resolution",), "update_conflict_resolution": ("Update-Conflict Resolution",),
                 "remote_watermark": ("Synch. Modified On Filter",), "local_watermark": ("Synch. Int. Tbl. Mod. On Fltr.",)},
    "couplings": {"integration_key": ("CRM ID", "Dataverse ID"), "local_key": ("Integration ID",), "table_id": ("Table ID",), "skipped": ("Skipped",),
                  "local_stamp": ("Last Synch. Modified On",), "integration_stamp": ("Last Synch. CRM Modified On",), "from_result": ("Last Synch. Result",),
                  "to_result": ("Last Synch. CRM Result",), "from_job": ("Last Synch. Job ID",), "to_job": ("Last Synch. CRM Job ID",)},
}  # fmt: skip
#: What a list must have to be taken for one.
NEEDED = {"jobs": {"mapping", "started"}, "errors": {"message", "at"}, "skipped": {"local_exists", "message"}, "mappings": {"mapping", "integration_table"},
          "couplings": {"integration_key", "local_key"}}  # fmt: skip
MOMENTS = ("started", "finished", "at", "local_stamp", "integration_stamp", "remote_watermark", "local_watermark")
YES = {"yes", "true", "1", "ja", "oui", "sí", "si", "ja.", "wahr", "x"}
TOTAL = re.compile(r"(grand |sub)?totals?|summen?|gesamt|total général|i alt|totaal", re.IGNORECASE)
OPTIONS = {"direction": ("bidirectional", "to_integration", "from_integration"), "type": ("synchronization", "uncoupling", "coupling"),
           "to_result": ("", "success", "failure"), "from_result": ("", "success", "failure")}  # fmt: skip
_GUID = re.compile(r"\{?[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")
_SHORT_YEAR = re.compile(r"^(\d{1,2}[./-]\d{1,2}[./-])(\d{2})(?!\d)")

Rows = list[list[str]]


@dataclass(frozen=True)
class JobLog:
    """What was brought along, as frames of stable columns; `formats` shows how every list was found and its numbers and dates read,
    `notes` what was left out and why."""

    jobs: pd.DataFrame
    errors: pd.DataFrame
    skipped: pd.DataFrame
    mappings: pd.DataFrame
    couplings: pd.DataFrame
    formats: pd.DataFrame
    notes: tuple[str, ...] = field(default=())

    def causes(self, mapping: str | None = None) -> pd.DataFrame:
        """Errors by root cause with trend over the days of the log (columns: synckit.diagnosis.causes.CAUSES)."""
        errors = self.errors if mapping is None else self.errors[self.errors["mapping"] == mapping]
        latest = {str(m): int(n) for m, n in self.jobs.groupby("mapping")["run_id"].max().items()} if len(self.jobs) else {}
        names = {str(r).casefold() for r in self.skipped["local_key"]} if len(self.skipped) else set()

        def still(line: dict[str, Any]) -> bool:
            return line["run_id"] == latest.get(line["mapping"], line["run_id"]) or str(line["local_key"]).casefold() in names

        return grouped(errors, still, latest)

    def report(self, since: str | datetime | None = None, mapping: str | None = None) -> Report:
        """The same report as over synckit's own ledger; a "run" is a day of the log. Business Central keeps no plan and no journal of
        writes, so those sections are empty."""
        jobs, errors = self.jobs, self.errors
        if since is not None:
            jobs, errors = jobs[jobs["started"] >= pd.Timestamp(since)], errors[errors["at"] >= pd.Timestamp(since)]
        if mapping is not None:
            jobs, errors = jobs[jobs["mapping"] == mapping], errors[errors["mapping"] == mapping]
        days = (
            jobs.groupby("run_id")
            .agg(started=("started", "min"), finished=("finished", "max"))
            .reset_index()
            .rename(columns={"run_id": "id"})
        )
        days = days.assign(kind="day", status="", operator="", message="")
        causes = self.causes(mapping)
        causes = causes[causes["cause"].isin(set(errors["cause"]))]
        counted = (
            errors.assign(v=errors["local_key"].fillna(errors["integration_key"]))
            .drop_duplicates(["cause", "mapping", "v"])["cause"]
            .value_counts()
        )
        causes = causes.assign(victims=[int(counted[c]) for c in causes["cause"]])
        last = max([m for m in (jobs["started"].max(), errors["at"].max()) if m is not pd.NaT and m == m], default=pd.Timestamp(0))
        empty = pd.DataFrame(columns=["run_id", "at"])
        scope = {"from": "a job log brought along", "mapping": mapping or "all", "jobs": len(jobs), "errors": len(errors)}
        title = "Job report of a log" + (f", since {since}" if since is not None else "")
        return built(title, scope, days, jobs, errors, causes, self.skipped, empty, empty, last.to_pydatetime())

    def explain(self, record: str) -> str:
        """What the log says of one record (number, key, or part of its name), newest first, with what helps."""
        from synckit.diagnosis.catalogue import cause_of

        wanted = record.strip().casefold()
        told = [f"{record}"]
        for kind, frame in (
            ("Coupled Data Synchronization Errors", self.skipped),
            ("Integration Synchronization Errors", self.errors),
            ("Couplings", self.couplings),
        ):
            hits = [wanted in " ".join(map(str, line)).casefold() for line in frame.itertuples(index=False, name=None)]
            mine = frame[pd.Series(hits, index=frame.index, dtype=bool)]
            if len(mine):
                told += ["", kind]
                for line in mine.to_dict("records")[:20]:
                    said = ", ".join(f"{k}: {v}" for k, v in line.items() if k in ("at", "mapping", "local_key", "integration_key", "message", "skipped", "to_result", "from_result") and str(v) not in ("", "None", "NaT", "nan"))  # fmt: skip
                    told.append(f"  {said}")
                    if line.get("code"):
                        told.append(f"    What helps: {cause_of(str(line['code'])).remedy}")
                if len(mine) > 20:
                    told.append(f"  20 of {len(mine):,} shown")
        return "\n".join(told if len(told) > 1 else [f'The log says nothing of "{record}".'])

    def __repr__(self) -> str:
        return f"<JobLog {len(self.jobs):,} jobs, {len(self.errors):,} errors, {len(self.skipped):,} skipped, {len(self.couplings):,} couplings>"


def read_job_log(source: str | Path | Sequence[str | Path], *, dates: str | None = None, numbers: str | None = None) -> JobLog:
    """Read exports of Business Central's lists (CSV, Excel): a file, several, a folder, or the tables of a SQL URL.

    Which list a file or sheet is, is told by its headers: captions or column names, in any order, with lines before them, blank lines
    and totals between. How dates and numbers are spelled is found per file; where it cannot be told (03/04/2026), state `dates`:
    "day/month/year" or "month/day/year", and `numbers`: "comma" or "point" for what parts the decimals. Raises SynckitError naming file,
    line and column for what cannot be read, and where nothing is a list that is known.
    """
    state = _Reading(_stated(dates, _DATES), _stated(numbers, {"comma": 0, "point": 0}))
    for place, rows in _sources(source):
        state.take(place, rows)
    if not state.frames:
        raise SynckitError(
            f"{source} holds none of the lists of Business Central. Export Integration Synchronization Jobs or Errors, with their headers."
        )
    return state.log()


def _stated(text: str | None, known: Iterable[str]) -> str | None:
    if text is not None and text not in set(known):
        raise SynckitError(f'"{text}" is no such format. Write one of: {", ".join(known)}.')
    return text


# -- reading -----------------------------------------------------------------------------------------------------------------------


def _sources(source: str | Path | Sequence[str | Path]) -> Iterable[tuple[str, Rows]]:
    """(place, rows of text) of every sheet, file or table."""
    if isinstance(source, (list, tuple)):
        for one in source:
            yield from _sources(one)
        return
    if "://" in str(source):
        yield from _tables(str(source))
        return
    path = Path(str(source)).expanduser()
    if path.is_dir():
        files = sorted(
            p for p in path.iterdir() if p.suffix.lower() in (".csv", ".tsv", ".txt", ".xlsx") and not p.name.startswith(("~", "."))
        )
        if not files:
            raise SynckitError(f"The folder {path} holds no CSV or Excel file.")
        for file in files:
            yield from _sources(file)
    elif not path.is_file():
        raise SynckitError(f"There is no file {path}.")
    elif path.suffix.lower() == ".xlsx":
        yield from _sheets(path)
    else:
        yield path.name, _lines(decoded(path.read_bytes()))


def _sheets(path: Path) -> Iterable[tuple[str, Rows]]:
    import openpyxl

    try:
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            for sheet in book.worksheets:
                yield f"{path.name}, {sheet.title}", [[_cell(c) or "" for c in row] for row in sheet.iter_rows(values_only=True)]
    except Exception as problem:  # some of what is wrong with a workbook shows only when its sheets are read
        raise SynckitError(f"{path} cannot be read as an Excel workbook: {' '.join(str(problem).split())[:200]}") from None


def _lines(text: str) -> Rows:
    """The rows of a CSV text, split by the separator that makes most of its first lines."""
    head = text[:20_000]
    best = max(",;\t|", key=lambda s: max((len(row) for row in csv.reader(io.StringIO(head, newline=""), delimiter=s)), default=0))
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=best))


def _tables(url: str) -> Iterable[tuple[str, Rows]]:
    """The tables of a database whose columns are those of a list."""
    from synckit.systems.secrets import resolve
    from synckit.systems.sql_connect import with_driver

    engine = sa.create_engine(with_driver(resolve(url, "the job log"), "the job log"))
    try:
        inspector = sa.inspect(engine)
        for name in inspector.get_table_names():
            columns = [c["name"] for c in inspector.get_columns(name)]
            if _kind(columns)[0] is not None:
                table = sa.table(name, *(sa.column(c) for c in columns))
                with engine.connect() as connection:
                    yield (
                        name,
                        [
                            columns,
                            *([("" if v is None else _cell(v) or "") for v in row] for row in connection.execute(sa.select(table))),
                        ],
                    )
    except sa.exc.SQLAlchemyError as problem:
        raise SynckitError(
            f"The job log cannot be read: {type(problem).__name__}. Check the URL and the rights of its user."
        ) from None
    finally:
        engine.dispose()


def _folded(text: str) -> str:
    return re.sub(r"[\W_]", "", text.casefold())


def _known_heads(columns: dict[str, tuple[str, ...]]) -> dict[str, str]:
    known = {_folded(head): column for column, heads in columns.items() for head in heads}
    return {**{_folded(column): column for column in columns}, **known}


_FOLDED = {kind: _known_heads(columns) for kind, columns in HEADS.items()}


def _kind(head: Sequence[str]) -> tuple[str | None, dict[int, str]]:
    """Which list a row heads, and the column at each place; the one with most columns wins."""
    best: tuple[str | None, dict[int, str]] = (None, {})
    for kind, known in _FOLDED.items():
        found: dict[int, str] = {}
        for n, text in enumerate(head):
            column = known.get(_folded(text))
            if column is not None and column not in found.values():
                found[n] = column
        if kind == "errors" and "message" not in found.values():  # the page has one text, the table two
            found = {n: "message" if column == "short_message" else column for n, column in found.items()}
        if set(found.values()) >= NEEDED[kind] and len(found) > len(best[1]):
            best = (kind, found)
    return best


class _Reading:
    """Collects the lists of all files."""

    def __init__(self, dates: str | None, numbers: str | None) -> None:
        self.dates, self.numbers = dates, numbers
        self.frames: dict[str, list[pd.DataFrame]] = {}
        self.formats: list[tuple[str, str, str, int]] = []
        self.notes: list[str] = []

    def take(self, place: str, rows: Rows) -> None:
        heads = [(n, *_kind(row)) for n, row in enumerate(rows[:15])]
        hit = max((h for h in heads if h[1]), key=lambda h: len(h[2]), default=None)
        if hit is None:
            first = next((row for row in rows if any(c.strip() for c in row)), [])
            named = [h for columns in HEADS.values() for hs in columns.values() for h in hs]
            self.notes.append(
                f"{place}: not a list that is known; its first line is {', '.join(c for c in first if c)[:120]}."
                + (nearest(first[0], named) if first and first[0] else "")
            )
            return
        at, kind, columns = hit
        assert kind is not None
        body, totals, blank = [], 0, 0
        for number, row in enumerate(rows[at + 1 :], at + 2):
            values = {column: row[n].strip() if n < len(row) else "" for n, column in columns.items()}
            if not any(c.strip() for c in row):
                blank += 1
            elif any(TOTAL.fullmatch(c.strip().rstrip(":")) for c in row if c) or _only_sums(kind, values):
                totals += 1
            else:
                body.append({**values, "line": number})
        frame = pd.DataFrame(body, columns=[*columns.values(), "line"])
        told = []
        moments = [c for c in MOMENTS if c in frame]
        if moments:
            told.append(self._dates(place, frame, moments))
        counters = [c for c in COUNTERS if c in frame and kind == "jobs"]
        if counters:
            told.append(self._numbers(place, frame, counters))
        for column, words in OPTIONS.items():
            if column in frame:
                frame[column] = [words[int(v)] if v.isdigit() and int(v) < len(words) else v for v in frame[column]]
        self.formats.append((place, kind, "; ".join(t for t in told if t), len(frame)))
        if totals or blank:
            self.notes.append(
                f"{place}: {count_of(totals, 'totals line', 'totals lines')} and {count_of(blank, 'blank line', 'blank lines')} left out."
            )
        self.frames.setdefault(kind, []).append(frame.drop(columns="line").assign(place=place))

    def _dates(self, place: str, frame: pd.DataFrame, columns: list[str]) -> str:
        """All moments of a file are spelled alike: the one spelling that fits every one of them."""
        texts = {t for c in columns for t in frame[c] if t}
        readings: dict[str, Callable[[str], str]] = {"year-month-day": _iso, **_DATES}
        fitting: dict[str, dict[str, pd.Timestamp]] = {}
        for name, reading in readings.items():
            if self.dates in (None, name) or name == "year-month-day":
                try:
                    fitting[name] = {t: pd.Timestamp(reading(_SHORT_YEAR.sub(r"\g<1>20\2", t))) for t in texts}
                except (ValueError, OverflowError):
                    continue
        if not fitting:
            odd = next(
                (
                    f'line {r.line}: "{t}"'
                    for r in frame.itertuples()
                    for c in columns
                    if (t := getattr(r, c)) and not _some(readings, t)
                ),
                next(iter(texts), ""),
            )
            raise SynckitError(
                f'{place}, {", ".join(columns)}: dates are not spelled in one known way ({odd}). State dates="day/month/year" or the like, or export again.'
            )
        (first, parsed), *others = fitting.items()
        different = next(((n, t) for n, more in others for t in texts if more[t] != parsed[t]), None)
        if different is not None:
            raise SynckitError(
                f'{place}: "{different[1]}" may be {first} or {different[0]}. State which: dates="{first}" or dates="{different[0]}".'
            )
        for c in columns:
            frame[c] = pd.Series([parsed.get(t, pd.NaT) for t in frame[c]], index=frame.index, dtype="datetime64[ns]")
        return f"dates {first}" if texts else ""

    def _numbers(self, place: str, frame: pd.DataFrame, columns: list[str]) -> str:
        texts = {t for c in columns for t in frame[c] if t}
        fitting: dict[str, dict[str, int]] = {}
        for name, reading in _NUMBERS.items():
            word = name.rpartition(" ")[2]
            if self.numbers in (None, word):
                try:
                    found = {t: float(reading(t)) for t in texts}
                    if all(v.is_integer() for v in found.values()):  # counters are whole
                        fitting[word] = {t: int(v) for t, v in found.items()}
                except ValueError:
                    continue
        if not fitting:
            raise SynckitError(f"{place}, {', '.join(columns)}: counters are not whole numbers in one known spelling.")
        (first, parsed), *others = fitting.items()
        if any(more != parsed for _, more in others):
            raise SynckitError(f'{place}: numbers may have a decimal comma or point. State numbers="comma" or numbers="point".')
        for c in columns:
            frame[c] = [parsed.get(t, 0) for t in frame[c]]
        return f"numbers with decimal {first}" if any(not t.isdigit() for t in texts) else ""

    # -- as frames -----------------------------------------------------------------------------------------------------------------

    def log(self) -> JobLog:
        raw = {k: pd.concat(v, ignore_index=True) for k, v in self.frames.items()}
        jobs = _jobs(raw.get("jobs"))
        formats = pd.DataFrame(self.formats, columns=["place", "list", "read as", "rows"])
        skipped = _skipped(raw.get("skipped"))
        errors = _errors(raw.get("errors"), jobs)
        known = {k: raw[k] if k in raw else pd.DataFrame(columns=[*HEADS[k], "place"]) for k in ("mappings", "couplings")}
        if len(known["couplings"]) and "skipped" in known["couplings"]:
            known["couplings"]["skipped"] = [str(v).casefold() in YES for v in known["couplings"]["skipped"]]
        return JobLog(jobs, errors, skipped, known["mappings"], known["couplings"], formats, tuple(self.notes))


def _iso(text: str) -> str:
    if not re.match(r"\d{4}-\d{2}-\d{2}", text):
        raise ValueError
    moment = pd.Timestamp(text)
    return str(moment.tz_convert("UTC").tz_localize(None) if moment.tzinfo is not None else moment)


def _some(readings: dict[str, Callable[[str], str]], text: str) -> bool:
    for reading in readings.values():
        try:
            pd.Timestamp(reading(_SHORT_YEAR.sub(r"\g<1>20\2", text)))
            return True
        except (ValueError, OverflowError):
            continue
    return False


def _only_sums(kind: str, values: dict[str, str]) -> bool:
    """A line of sums under a list has counters and nothing else."""
    return kind == "jobs" and not any(v for c, v in values.items() if c not in COUNTERS and c != "duration_text")


def _jobs(frame: pd.DataFrame | None) -> pd.DataFrame:
    """Jobs as `ws.jobs()` has them; a "run" is a day."""
    columns = ["id", "run_id", "mapping", "direction", "type", "status", "started", "finished", "duration", "message", *COUNTERS]
    if frame is None:
        return pd.DataFrame(columns=columns).astype({"started": "datetime64[ns]", "finished": "datetime64[ns]"})
    frame = frame.reindex(columns=[*frame.columns, *(c for c in columns if c not in frame)])
    frame["id"] = [str(v).strip("{}").lower() if isinstance(v, str) and v else f"job {n}" for n, v in enumerate(frame["id"], 1)]
    frame["finished"] = pd.to_datetime(frame["finished"])
    for c in COUNTERS:
        frame[c] = frame[c].fillna(0).astype("int64")
    frame["run_id"] = frame["started"].dt.strftime("%Y%m%d").fillna("0").astype("int64")
    frame["duration"] = (frame["finished"] - frame["started"]).dt.total_seconds()
    frame["status"] = [
        "running" if f is pd.NaT else "error" if n else "success" for f, n in zip(frame["finished"], frame["failed"], strict=True)
    ]
    frame["type"] = [_word(v, OPTIONS["type"], "synchronization") for v in frame["type"]]
    frame["direction"] = [_direction(v) for v in frame["direction"]]
    frame["message"] = [v if isinstance(v, str) else "" for v in frame["message"]]
    return frame[columns].sort_values("started", ascending=False, kind="stable", ignore_index=True)


def _word(value: Any, words: Sequence[str], default: str) -> str:
    text = value.casefold() if isinstance(value, str) else ""
    return next((w for w in sorted(words, key=len, reverse=True) if w and w in text), default)


def _direction(value: Any) -> str:
    text = _folded(value) if isinstance(value, str) else ""
    return (
        "to_integration"
        if text.startswith("tointegration")
        else "from_integration"
        if text.startswith("fromintegration")
        else value
        if isinstance(value, str)
        else ""
    )


def _errors(frame: pd.DataFrame | None, jobs: pd.DataFrame) -> pd.DataFrame:
    """Errors as `ws.errors()` has them, each with its code from the catalogue and its cause."""
    if frame is None:
        return with_causes([], lambda mapping, lines: {})
    of_job = {str(j["id"]): j for j in jobs.to_dict("records")}
    lines = []
    for row in frame.to_dict("records"):
        job = of_job.get(str(row.get("job_id") or "").strip("{}").lower(), {})
        source, destination = (str(row.get(c) or "") for c in ("source", "destination"))
        message = str(row.get("message") or row.get("short_message") or "")
        keys = [_key(t) for t in (source, destination)]
        local = next((k for k in keys if k and not _GUID.fullmatch(k)), None)
        integration = next((k for k in keys if k and _GUID.fullmatch(k)), None)
        table = next(
            (
                t.partition(":")[0].strip()
                for t, k in zip((source, destination), keys, strict=True)
                if k and ":" in t and k == local
            ),
            "",
        )
        at = row["at"]
        lines.append({"run_id": int(job["run_id"]) if job else int(f"{at:%Y%m%d}") if at is not pd.NaT else 0, "at": at, "mapping": str(job.get("mapping") or table.upper() or "unknown"),
                      "direction": str(job.get("direction", "")), "local_key": local, "integration_key": integration, "code": classified(message), "field": "", "value": "",
                      "message": message, "job_id": str(row.get("job_id") or "").strip("{}").lower()})  # fmt: skip
    return with_causes(lines, lambda mapping, some: {})


def _key(text: str) -> str:
    """The record that a text such as "Customer: 10000" or "Account: {...}" means."""
    guid = _GUID.search(text)
    return guid[0].strip("{}").lower() if guid else text.partition(":")[2].strip() or text.strip()


def _skipped(frame: pd.DataFrame | None) -> pd.DataFrame:
    """Skipped records as `ws.skipped()` has them, as far as the page tells."""
    if frame is None:
        return pd.DataFrame(columns=["mapping", "local_key", "integration_key", "code", "message", "at"])
    given = {c: frame[c] if c in frame else pd.Series([""] * len(frame)) for c in ("table", "record", "partner", "message", "at")}
    found = pd.DataFrame({"mapping": given["table"].str.upper(), "local_key": given["record"], "integration_key": given["partner"],
                          "code": [classified(str(m)) for m in given["message"]], "message": given["message"], "at": given["at"]})  # fmt: skip
    for c in ("local_exists", "integration_exists"):
        if c in frame:
            found[c] = [str(v).casefold() in YES for v in frame[c]]
    return found


__all__ = ["HEADS", "JobLog", "read_job_log"]
