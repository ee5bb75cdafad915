"""The lists of Business Central's job log as frames: found by their headers in CSV, Excel and SQL, their dates and numbers read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import sqlalchemy as sa

from synckit.diagnosis.captions import captions, english_of, folded, is_total
from synckit.errors import SynckitError
from synckit.mapping.schema import nearest
from synckit.planning.tables import COUNTERS
from synckit.reports.wording import count_of, safe
from synckit.systems.file_formats import _cell, decoded
from synckit.systems.local_formats import _DATES, _NUMBERS

#: Kind of list -> column -> how it may be headed: captions of the pages and names of the table's columns, blanks and signs aside; in
#: English, other languages are in captions.yaml.
HEADS: dict[str, dict[str, tuple[str, ...]]] = {
    "jobs": {"id": ("ID",), "started": ("Start Date/Time", "Started", "Start"), "finished": ("Finish Date/Time", "Finished", "Finish", "End Date/Time"),
             "duration_text": ("Duration",), "message": ("Message",), "mapping": ("Integration Table Mapping Name", "Mapping Name", "Table Mapping"),
             "direction": ("Synch. Direction", "Synchronization Direction"), "tables": ("Direction",), "type": ("Type", "Job Type"), **{c: (c.capitalize(),) for c in COUNTERS}},
    "errors": {"number": ("No.", "Entry No."), "job_id": ("Integration Synch. Job ID", "Job ID"), "source": ("Source Record ID", "Source", "Origin", "Origin Record"),
               "destination": ("Destination Record ID", "Destination", "Destination Record"), "short_message": ("Message",),
               "message": ("Error Message", "Exception"), "at": ("Date/Time", "Date Time", "Created")},
    "skipped": {"table_id": ("Table ID",), "table": ("Table", "Table Name"), "record": ("Description", "Record", "Name"), "local_exists": ("Record Exists",),
                "partner": ("Coupled To", "Coupled Record"), "integration_exists": ("Coupled Record Exists", "Coupled To Record Exists"),
                "message": ("Error Message",), "at": ("Failed On",)},
    "mappings": {"mapping": ("Name",), "direction": ("Direction",), "table_id": ("Table ID",), "table": ("Table", "Table Caption"),
                 "integration_table": ("Integration Table", "Integration Table Caption"), "integration_table_id": ("Integration Table ID",), "local_filter": ("Table Filter",),
                 "integration_filter": ("Integration Table Filter",), "only_coupled": ("Synch. Only Coupled Records",),
                 "deletion_conflict_resolution": ("Deletion-Conflict Resolution",), "update_conflict_resolution": ("Update-Conflict Resolution",),
                 "remote_watermark": ("Synch. Modified On Filter",), "local_watermark": ("Synch. Int. Tbl. Mod. On Fltr.",)},
    "couplings": {"integration_key": ("CRM ID", "Dataverse ID"), "local_key": ("Integration ID",), "table_id": ("Table ID",), "skipped": ("Skipped",),
                  "local_stamp": ("Last Synch. Modified On",), "integration_stamp": ("Last Synch. CRM Modified On",), "from_result": ("Last Synch. Result",),
                  "to_result": ("Last Synch. CRM Result",), "from_job": ("Last Synch. Job ID",), "to_job": ("Last Synch. CRM Job ID",)},
}  # fmt: skip
#: What a list must have to be taken for one.
NEEDED = {"jobs": ({"started", "mapping"}, {"started", "failed"}), "errors": ({"message", "at"},), "skipped": ({"local_exists", "message"}, {"record", "message", "at"}),
          "mappings": ({"mapping", "integration_table"}, {"mapping", "integration_table_id"}), "couplings": ({"integration_key", "local_key"},)}  # fmt: skip
MOMENTS = ("started", "finished", "at", "local_stamp", "integration_stamp", "remote_watermark", "local_watermark")
#: Columns that say what a list is for: where one is missing, the columns that were not read are named.
TELLING = {"jobs": COUNTERS[:6], "errors": (), "skipped": ("record", "at"), "mappings": ("direction",), "couplings": ("skipped",)}
OPTIONS = {"direction": ("bidirectional", "to_integration", "from_integration"), "type": ("synchronization", "uncoupling", "coupling"),
           "tables": (), "to_result": ("", "success", "failure"), "from_result": ("", "success", "failure")}  # fmt: skip
GUID = re.compile(r"\{?[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")
_SHORT_YEAR = re.compile(r"^(\d{1,2}[./-]\d{1,2}[./-])(\d{2})(?!\d)")

Rows = list[list[str]]
#: In the place of a workbook's rows: a report that was saved among the exports, whose sheets look like lists.
OWN_REPORT: Rows = []


# -- reading -----------------------------------------------------------------------------------------------------------------------


def sources(source: str | Path | Sequence[str | Path]) -> Iterable[tuple[str, Rows]]:
    """(place, rows of text) of every sheet, file or table."""
    if isinstance(source, (list, tuple)):
        for one in source:
            yield from sources(one)
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
            yield from sources(file)
    elif not path.is_file():
        raise SynckitError(f"There is no file {path}.")
    elif path.suffix.lower() == ".xlsx":
        yield from _sheets(path)
    else:
        data = path.read_bytes()
        _must_be_text(path, data)
        yield path.name, _lines(decoded(data))


def _must_be_text(path: Path, data: bytes) -> None:
    """Raises SynckitError where a file is no text, with how it is to be given instead."""
    if data.startswith(b"SQLite format 3"):
        raise SynckitError(
            f"{path} is a SQLite database, not an export. Its tables are read where it is given as a URL: sqlite:///{path}"
        )
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise SynckitError(f"{path} is a workbook or an archive, not text. Save it as an Excel workbook whose name ends in .xlsx.")
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SynckitError(f"{path} is no text: it cannot be read as CSV.")


def _sheets(path: Path) -> Iterable[tuple[str, Rows]]:
    import openpyxl

    try:
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            first = next(book.worksheets[0].iter_rows(max_row=1, values_only=True), ()) if book.worksheets else ()
            if book.sheetnames[:1] == ["Report"] and any(str(c).startswith("Job report") for c in first[:1]):
                yield path.name, OWN_REPORT
                return
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


@cache
def known_heads(kind: str) -> dict[str, str]:
    """Caption as it is compared -> column, of one kind of list: in every language, and by the names of the columns."""
    columns = HEADS[kind]
    known = {folded(head): column for column, heads in columns.items() for head in (column, *heads)}
    known |= {folded(head): column for column, heads in columns.items() for head in heads}  # a caption goes before a column's name
    texts = ((english, text) for of in captions("columns").values() for english, some in of.items() for text in some)
    return {**{folded(text): known[folded(english)] for english, text in texts if folded(english) in known}, **known}


#: Captions in English, as they are compared -> as they are written.
_ENGLISH = {folded(head): head for columns in HEADS.values() for heads in columns.values() for head in heads}


def _language(head: Sequence[str]) -> str:
    """The language whose captions head a list; '' for English, or none that is known."""
    given = {folded(text) for text in head if text}
    if given <= _ENGLISH.keys():
        return ""
    hits = {name: len(given & {folded(t) for some in of.values() for t in some}) for name, of in captions("columns").items()}
    best = max(hits, key=lambda name: hits[name])
    return best if hits[best] > len(given & _ENGLISH.keys()) else ""


def _kind(head: Sequence[str], stated: Mapping[str, str] = MappingProxyType({})) -> tuple[str | None, dict[int, str]]:
    """Which list a row heads, and the column at each place; the one with most columns wins. `stated`: heads that a person explained."""
    best: tuple[str | None, dict[int, str]] = (None, {})
    for kind in HEADS:
        known = known_heads(kind)
        found: dict[int, str] = {}
        for n, text in enumerate(head):
            column = known.get(stated.get(folded(text), folded(text)))
            if column is not None and column not in found.values():
                found[n] = column
        if kind == "errors" and "message" not in found.values():  # the page has one text, the table two
            found = {n: "message" if column == "short_message" else column for n, column in found.items()}
        if any(set(found.values()) >= needed for needed in NEEDED[kind]) and len(found) > len(best[1]):
            best = (kind, found)
    return best


def stated(text: str | None, known: Iterable[str]) -> str | None:
    """A spelling that a person stated. Raises SynckitError where it is none."""
    if text is not None and text not in set(known):
        raise SynckitError(f'"{text}" is no such format. Write one of: {", ".join(known)}.')
    return text


def stated_columns(columns: Mapping[str, str] | None) -> dict[str, str]:
    """What a person said of captions, folded: theirs -> the English one. Raises SynckitError where that is none."""
    for theirs, ours in (columns or {}).items():
        if folded(ours) not in _ENGLISH:
            known = sorted(set(_ENGLISH.values()))
            raise SynckitError(f'"{ours}", stated for the column "{theirs}", is no column of Business Central\'s lists.{nearest(ours, known)} '
                               f"Known are: {', '.join(known)}.")  # fmt: skip
    return {folded(theirs): folded(ours) for theirs, ours in (columns or {}).items()}


class Lists:
    """Collects the lists of all files."""

    def __init__(self, dates: str | None, numbers: str | None, columns: Mapping[str, str] | None = None) -> None:
        self.dates, self.numbers = stated(dates, _DATES), stated(numbers, ("comma", "point"))
        self.columns = stated_columns(columns)
        self.frames: dict[str, list[pd.DataFrame]] = {}
        self.formats: list[tuple[str, str, str, int]] = []
        self.notes: list[str] = []

    def take(self, place: str, rows: Rows) -> None:
        if rows is OWN_REPORT:
            self.notes.append(f"{place}: a report that synckit wrote, not an export; left out.")
            return
        heads = [(n, *_kind(row, self.columns)) for n, row in enumerate(rows[:15])]
        hit = max((h for h in heads if h[1]), key=lambda h: len(h[2]), default=None)
        if hit is None:
            self._unknown(place, rows)
            return
        at, kind, columns = hit
        assert kind is not None
        body, totals, blank = [], 0, 0
        for number, row in enumerate(rows[at + 1 :], at + 2):
            values = {column: row[n].strip() if n < len(row) else "" for n, column in columns.items()}
            if not any(c.strip() for c in row):
                blank += 1
            elif _is_total(row, values) or _only_sums(kind, values):
                totals += 1
            else:
                body.append({**values, "line": number})
        missing = [c for c in TELLING[kind] if c not in columns.values()]
        unread = [text.strip() for n, text in enumerate(rows[at]) if n not in columns and text.strip()]
        if missing and unread:
            lacking = [HEADS[kind][c][0] for c in missing]
            self.notes.append(f"{place}: no column was found for {', '.join(lacking)}, and nothing was read from {', '.join(unread)[:200]}. "
                              + _how_to_state(unread[0], lacking[0]))  # fmt: skip
        frame = pd.DataFrame(body, columns=[*columns.values(), "line"])
        language = _language(rows[at])
        told = [f"captions {language}"] if language else []
        moments = [c for c in MOMENTS if c in frame]
        if moments:
            told.append(self._dates(place, frame, moments))
        counters = [c for c in COUNTERS if c in frame and kind == "jobs"]
        if counters:
            told.append(self._numbers(place, frame, counters))
        for column, words in OPTIONS.items():
            if column in frame:
                frame[column] = [words[int(v)] if v.isdigit() and int(v) < len(words) else english_of(v) for v in frame[column]]
        self.formats.append((place, kind, "; ".join(t for t in told if t), len(frame)))
        if totals or blank:
            self.notes.append(
                f"{place}: {count_of(totals, 'totals line', 'totals lines')} and {count_of(blank, 'blank line', 'blank lines')} left out."
            )
        self.frames.setdefault(kind, []).append(frame.drop(columns="line").assign(place=place))

    def _unknown(self, place: str, rows: Rows) -> None:
        """A note of what is no list that is known: its columns, and how to say what they are."""
        head = [c.strip() for c in max(rows[:15], key=lambda row: sum(bool(c.strip()) for c in row), default=[]) if c.strip()]
        self.notes.append(
            f"{place}: not a list that is known; its columns are {safe(', '.join(head)[:300]) or 'none'}."
            + (f"{nearest(head[0], list(_ENGLISH.values()))} {_how_to_state(head[0], 'Start Date/Time')}" if head else "")
        )

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


def _how_to_state(theirs: str, ours: str) -> str:
    return f'State what a column is by its English caption: --column "{theirs}={ours}", in Python columns={{"{theirs}": "{ours}"}}.'


def _is_total(row: Sequence[str], values: Mapping[str, str]) -> bool:
    """A line that says "Total" and has no moment: a record may be called Total, but then it has failed at some time."""
    words = {c for c in row if is_total(c)}
    return bool(words) and not any(v for c, v in values.items() if c in MOMENTS and v not in words)


def _only_sums(kind: str, values: dict[str, str]) -> bool:
    """A line of sums under a list has counters and nothing else."""
    return kind == "jobs" and not any(v for c, v in values.items() if c not in COUNTERS and c != "duration_text")


__all__ = ["GUID", "HEADS", "OPTIONS", "Lists", "known_heads", "sources"]
