"""A plan as an Excel workbook for a colleague, and the decisions that she wrote into it back again."""

from __future__ import annotations

import math
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet.datavalidation import DataValidation

from synckit.errors import SynckitError
from synckit.mapping.schema import nearest
from synckit.planning.plan import Decision, Plan
from synckit.planning.tables import BOOKED_AS_FAILED, WRITES
from synckit.waiting import Wait, waiting

MARK = "synckit plan"
WORDS = ("exclude", "include")
#: Words on the sheet of possible duplicates; skip leaves the create out.
JUDGEMENTS = ("couple", "create", "skip", "not the same")
#: Sheet -> the words of its column `decision`, and what they mean.
WORDS_OF = {
    "Records": (WORDS, "exclude leaves this record out; include takes that back; empty changes nothing."),
    "Possible duplicates": (JUDGEMENTS, "couple the two; create all the same; skip this create; not the same: never show the two again."),
}  # fmt: skip
#: Dispositions on the sheet Records: what is written, what stops, and what someone has left out.
SHOWN = (*WRITES, *BOOKED_AS_FAILED, "excluded", "held")
LAST_ROW = 1_048_576
LONGEST = 32_767  # characters of one cell
TOLD = 40  # problems named at once
RECORDS = "Records"
ALIKE = "Possible duplicates"
COLUMNS = ("decision", "row", "mapping", "pass", "disposition", "local_name", "integration_name", "local_key", "integration_key",
           "reason", "warnings")  # fmt: skip
KEYS = ("local_key", "integration_key")
_KEY_COMPARED = 200  # characters: a longer text may have been cut
WIDTHS = {"decision": 11, "row": 20, "mapping": 18, "pass": 6, "disposition": 14, "reason": 70, "message": 70, "why": 30, "warnings": 24,
          "field": 24, "column": 24, "old": 30, "new": 30, "value": 24, "recommendation": 20}  # fmt: skip
DUPLICATES = ("decision", "mapping", "pass", "source_name", "existing_side", "existing_name", "existing_coupled", "score", "why", "source_key",
              "existing_key")  # fmt: skip
CHANGES = ("mapping", "pass", "disposition", "local_name", "integration_name", "field", "column", "old", "new", "origin", "local_key",
           "integration_key")  # fmt: skip
#: Not allowed in a workbook's XML; written visibly, as \x1b.
_ILLEGAL = {n: f"\\x{n:02x}" for n in range(32) if n not in (9, 10, 13)} | {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}


def write_plan(plan: Plan, path: str) -> None:
    """Write `plan` to the .xlsx file `path`: sheets Summary, Records (with the column `decision`), Changes, Possible duplicates,
    Errors. Whole or not at all. Raises SynckitError where the plan does not fit, the file is open elsewhere, holds something
    else, or holds decisions that would be lost."""
    target = Path(path)
    if target.suffix.lower() != ".xlsx":
        raise SynckitError(f'"{path}" is not the name of an Excel workbook: let it end in .xlsx.')
    if not target.parent.is_dir():
        raise SynckitError(f"The folder {target.parent} does not exist. Make it first, or choose another place for the workbook.")
    _refuse_to_lose(target)
    book = openpyxl.Workbook(write_only=True)
    book.properties.identifier = plan.id
    book.properties.title = MARK
    _summary(book, plan)
    records = [_record_line(row) for row in _records(plan)]
    changes, duplicates, errors = _called(plan.changes()), plan.duplicates(), _errors(plan)
    duplicates.insert(0, "decision", None)
    sheets: tuple[tuple[str, Sequence[str], Iterable[Sequence[Any]], int], ...] = (
        (RECORDS, COLUMNS, records, len(records)),
        ("Changes", CHANGES, _lines(changes, CHANGES), len(changes)),
        (ALIKE, DUPLICATES, _lines(duplicates, DUPLICATES), len(duplicates)),
        ("Errors", ERROR_COLUMNS, errors, len(errors)),
    )
    with waiting("Writing the workbook", sum(n for *_, n in sheets)) as told:
        for title, columns, lines, n in sheets:
            sheet = _sheet(book, title, columns, n, path)
            if title in WORDS_OF:
                _choices(sheet, *WORDS_OF[title], n)
            _fill(sheet, lines, told)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}.", suffix=".xlsx")
    os.close(handle)
    try:
        book.save(name)
        Path(name).replace(target)
    except OSError as error:
        raise SynckitError(_cannot("written", path, error)) from None
    finally:
        Path(name).unlink(missing_ok=True)


ERROR_COLUMNS = ("mapping", "pass", "name", "field", "value", "message", "code", "local_key", "integration_key")


def _summary(book: Any, plan: Plan) -> None:
    base = plan.base
    sheet = book.create_sheet("Summary")
    frame = plan.summary()
    sheet.freeze_panes = None
    for i, width in enumerate((20, 22, 24, *(11 for _ in frame.columns[3:])), start=1):
        sheet.column_dimensions[get_column_letter(i)].width = width
    _row(sheet, ["plan", plan.id], bold=1)
    _row(sheet, [plan.sentence()])
    _row(sheet, ["made at (UTC)", base.made_at, "by", base.operator])
    for name, side in base.sides.items():
        _row(sheet, [name, side.title, side.environment or None, side.address, side.taken_at])
    _row(
        sheet,
        [
            "Write exclude into the column decision of the sheet Records to leave a record out, or couple, create, skip or not the same on the sheet "
            "Possible duplicates; then `synckit decide PLAN --excel FILE --out NEW` reads it."
        ],
    )
    _row(sheet, [])
    _row(sheet, list(frame.columns), bold=len(frame.columns))
    for line in frame.itertuples(index=False, name=None):
        _row(sheet, line)


def _records(plan: Plan) -> Iterator[dict[str, Any]]:
    """One row per record and pass that is written or needs a decision (a second step belongs to its record's first row)."""
    seen: set[tuple[str, str, int]] = set()
    for row in plan.rows.to_pylist():
        place = (row["mapping"], row["pass"], row["record"])
        if row["disposition"] in SHOWN and place not in seen:
            seen.add(place)
            yield row


def _row_name(row: dict[str, Any]) -> str:
    """What a record is called in the workbook, however the sheet is sorted: CUSTOMER/to/12."""
    return f"{row['mapping']}/{row['pass']}/{row['record']}"


def _record_line(row: dict[str, Any]) -> list[Any]:
    values = {**row, "decision": None, "row": _row_name(row), "warnings": ", ".join(row["warnings"] or [])}
    return [values[c] for c in COLUMNS]


def _errors(plan: Plan) -> list[list[Any]]:
    """Every error with the name and keys of its record."""
    rows = plan.rows.select(["mapping", "pass", "record", "local_name", "integration_name", "local_key", "integration_key"])
    known = {(r["mapping"], r["pass"], r["record"]): r for r in reversed(rows.to_pylist())}
    lines = []
    for error in plan.base.errors.to_pylist():
        row = known.get((error["mapping"], error["pass"], error["record"]), {})
        values = {**row, **error, "name": row.get("local_name") or row.get("integration_name")}
        lines.append([values.get(c) for c in ERROR_COLUMNS])
    return lines


def _called(changes: Any) -> Any:
    """`changes` with options by their labels and referenced records by their names."""
    for which in ("old", "new"):
        named = changes[f"{which}_name"]
        changes[which] = named.where(named.notna(), changes[which])
    return changes


def _lines(frame: Any, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    return frame[list(columns)].itertuples(index=False, name=None)


def _sheet(book: Any, title: str, columns: Sequence[str], rows: int, path: str) -> Any:
    """A sheet with a frozen header, a filter and sensible widths; write-only sheets want all of that before their first row."""
    if rows + 1 > LAST_ROW:
        raise SynckitError(
            f"{path} cannot hold this plan: the sheet {title} would need {rows + 1:,} rows and Excel ends at {LAST_ROW:,}. "
            "Plan fewer mappings at a time (--mapping), or use `synckit show PLAN --rows`."
        )
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{max(rows, 1) + 1}"
    for i, column in enumerate(columns, start=1):
        width = 38 if column.endswith("key") else 32 if column.endswith("name") else WIDTHS.get(column, 14)
        sheet.column_dimensions[get_column_letter(i)].width = width
    _row(sheet, columns, bold=len(columns))
    return sheet


def _choices(sheet: Any, words: Sequence[str], told: str, rows: int) -> None:
    """A list of words to choose from in the column `decision`, the first one."""
    choice = DataValidation(type="list", formula1=f'"{",".join(words)}"', allow_blank=True, showErrorMessage=True)
    choice.error, choice.errorTitle = told, "Decision"
    choice.add(f"A2:A{max(2, rows + 1)}")
    sheet.data_validations.append(choice)


def _fill(sheet: Any, lines: Iterable[Sequence[Any]], told: Wait) -> None:
    for line in told.rows(lines):
        _row(sheet, line)


def _row(sheet: Any, values: Iterable[Any], bold: int = 0) -> None:
    cells = []
    for i, value in enumerate(values):
        cell = _cell(sheet, value)
        if i < bold:
            cell.font = Font(bold=True)
        cells.append(cell)
    sheet.append(cells)


def _cell(sheet: Any, value: Any) -> Any:
    """A cell of the value's own type. Text is always text: never a formula, an error value or something Excel refuses."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return WriteOnlyCell(sheet, None)
    if isinstance(value, datetime):  # a workbook knows no time zones: all moments in it are UTC
        moment = value.astimezone(UTC) if value.tzinfo is not None else value
        return WriteOnlyCell(sheet, moment.replace(microsecond=0, tzinfo=None))
    if not isinstance(value, str):
        return WriteOnlyCell(sheet, value.item() if hasattr(value, "item") else value)
    text = value.translate(_ILLEGAL)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 40]} ... ({len(text):,} characters)"
    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"
    if text[:1] in ("=", "+", "-", "@", "\t", "\r"):
        cell.quotePrefix = True  # still text after someone edits the cell
    return cell


# -- back again --------------------------------------------------------------------------------------------------------------------


def read_decisions(plan: Plan, path: str) -> list[Decision]:
    """The decisions in a workbook that `write_plan` wrote for this very plan, one per mapping and word, in the plan's order.

    Raises SynckitError where the file is missing, no workbook, or of another plan; and, all at once and by row number, for rows that
    the plan does not have and words that are no decision. An empty decision changes nothing, nor does
    exclude where nothing is written (a conflict, a failure); a row may be deleted from the sheet.
    """
    known = {_row_name(row): row for of in (plan.undecided(), plan) for row in _records(of)}
    problems: list[str] = []
    decided: dict[str, tuple[str, int]] = {}
    with _open(path) as book:
        _refuse_another_plan(book, plan, path)
        on_duplicates, wrong = _read_judgements(plan, book)
        problems += wrong
        for number, cells in _decision_rows(book, path):
            word, name, *keys = cells
            if not word and not name:
                continue
            if word and word not in WORDS:
                problems.append(
                    f'{RECORDS}, row {number}: "{word}" is no decision.{nearest(word, list(WORDS)) or " Write exclude or include."}'
                )
            if not name or name not in known:
                problems.append(
                    f'{RECORDS}, row {number}: the plan has no row "{name}".' + (nearest(name, list(known)) if name else "")
                )
            elif word in WORDS and any(shown not in (None, _key_text(known[name][k])) for shown, k in zip(keys, KEYS, strict=True)):
                problems.append(
                    f"{RECORDS}, row {number}: the keys are not those of {name}. Was a part of the sheet sorted or pasted over? "
                    "Write the workbook again, and sort whole rows."
                )
            elif word in WORDS:
                before = decided.setdefault(name, (word, number))
                if before[0] != word:
                    problems.append(
                        f"{RECORDS}, row {number}: {name} is decided twice, {before[0]} in row {before[1]} and {word} here."
                    )
    if problems:
        more = [f"and {len(problems) - TOLD:,} more"] if len(problems) > TOLD else []
        raise SynckitError(f"The decisions in {path} cannot be used; nothing was changed.", (*problems[:TOLD], *more))
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for name, row in known.items():
        # a row that stops anyway is not written with or without an exclude: someone who filled the column down is not bothered
        if name in decided and not (decided[name][0] == "exclude" and row["disposition"] in BOOKED_AS_FAILED):
            place = (decided[name][0], row["mapping"])
            found.setdefault(place, []).append((row["pass"], row["local_key"] or "", row["integration_key"] or ""))
    note = f"from the workbook {Path(path).name}"
    decisions = [Decision(word, mapping, tuple(records), note) for (word, mapping), records in found.items()]
    return [*(replace(d, note=note) for d in on_duplicates), *decisions]


def _read_judgements(plan: Plan, book: Any) -> tuple[list[Decision], list[str]]:
    """The decisions of the sheet of possible duplicates, and what is wrong with it. The line of either pass says the same; a workbook
    without that sheet, or its column decision, decides nothing there."""
    if ALIKE not in book.sheetnames:
        return [], []
    rows = book[ALIKE].iter_rows(values_only=True)
    header = [str(v or "").strip().lower() for v in next(rows, ())]
    wanted = ("decision", "mapping", "pass", "source_key", "existing_key")
    if "decision" not in header:
        return [], []
    if missing := [c for c in wanted if c not in header]:
        return [], [f"The sheet {ALIKE} has lost its column {' and '.join(missing)}. Write the workbook again."]
    at = [header.index(c) for c in wanted]
    known = {(r["mapping"], r["pass"], r["source_key"], r["existing_key"]): r for r in plan.base.duplicates.to_pylist()}
    found: list[Decision] = []
    problems: list[str] = []
    told: dict[tuple[str, ...], tuple[str, int]] = {}
    for number, values in enumerate(rows, start=2):
        word, *place = (str(values[i]).strip() if i < len(values) and values[i] is not None else "" for i in at)
        word = word.lower().replace("_", " ")
        name, in_pass, key, other = place
        line = known.get((name, in_pass, key, other))
        if not word:
            continue
        if word not in JUDGEMENTS:
            problems.append(
                f'{ALIKE}, row {number}: "{word}" is no decision.{nearest(word, list(JUDGEMENTS)) or " Write couple, create, skip or not the same."}'
            )
        elif line is None:
            problems.append(f"{ALIKE}, row {number}: the plan does not list {key} beside {other} in {name}.")
        else:
            # a couple or a judgement is about the pair, whichever line it stands on; create and skip are about one record
            about = (name, *sorted((key, other))) if word in ("couple", "not the same") else (name, in_pass, key)
            before = told.setdefault(about, (word, number))
            if before[0] != word:
                problems.append(f"{ALIKE}, row {number}: {word} here and {before[0]} in row {before[1]} do not go together.")
            elif before[1] == number:
                try:
                    found += _judgement(plan, line, word)
                except SynckitError as error:
                    problems.append(f"{ALIKE}, row {number}: {error.message}")
    return found, problems


def _judgement(plan: Plan, line: dict[str, Any], word: str) -> list[Decision]:
    """The decision that one word on one line of possible duplicates stands for."""
    name, key, other = line["mapping"], line["source_key"], line["existing_key"]
    base = plan.undecided()
    side = "local" if line["pass"] == "to" else "integration"
    if word == "couple":
        decided = base.couple(name, *((key, other) if side == "local" else (other, key)))
    elif word == "not the same":
        decided = base.not_the_same(name, key, other)
    elif word == "create":
        decided = base.create(name, **{side: key})
    else:
        decided = base.exclude(name, **{side: key})
    return list(decided.decisions)


#: What openpyxl lets through where a workbook is no workbook, or cut short: at once, or only when a sheet is read.
_UNREADABLE = (InvalidFileException, zipfile.BadZipFile, zlib.error, struct.error, ParseError, LookupError, ValueError, TypeError, AttributeError,
               ArithmeticError, EOFError, OSError, RuntimeError)  # fmt: skip


@contextmanager
def _open(path: str) -> Iterator[Any]:
    if not Path(path).is_file():
        raise SynckitError(f"There is no workbook {path}.")
    try:
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            yield book
    except PermissionError as error:
        raise SynckitError(_cannot("read", path, error)) from None
    except _UNREADABLE:
        raise SynckitError(f"{path} is not an Excel workbook (.xlsx), or it was cut short.") from None


def _refuse_another_plan(book: Any, plan: Plan, path: str) -> None:
    # some programs drop the properties when they save: the first line of the summary says the same
    named = book.properties.identifier
    if not named and "Summary" in book.sheetnames:
        values = list(next(book["Summary"].iter_rows(min_row=1, max_row=1, max_col=2, values_only=True), ()))
        named = values[1] if len(values) == 2 and values[0] == "plan" else None
    if not named or RECORDS not in book.sheetnames:
        raise SynckitError(
            f"{path} is not a workbook of a plan. Write one with `synckit show PLAN --excel FILE` and put the decisions there."
        )
    if named != plan.id:
        raise SynckitError(
            f"{path} belongs to another plan ({named[:8]}, this one is {plan.id[:8]}). Write the workbook again from this plan."
        )


def _key_text(key: str | None) -> str:
    """How a key reads when it comes back from a cell."""
    return (key or "").translate(_ILLEGAL)[:_KEY_COMPARED].strip()


def _decision_rows(book: Any, path: str) -> Iterator[tuple[int, tuple[str | None, ...]]]:
    """Row number as Excel counts, and the texts of the columns `decision`, `row` and KEYS, wherever these stand; None for a column of
    keys that someone has removed."""
    sheet = book[RECORDS]
    rows = sheet.iter_rows(values_only=True)
    header = [str(v or "").strip().lower() for v in next(rows, ())]
    missing = [c for c in ("decision", "row") if c not in header]
    if missing:
        raise SynckitError(f"{path}: the sheet {RECORDS} has lost its column {' and '.join(missing)}. Write the workbook again.")
    at = [header.index(c) for c in ("decision", "row")]
    keys = [header.index(c) if c in header else None for c in KEYS]
    for number, values in enumerate(rows, start=2):
        word, name, *shown = (
            str(values[i]).strip() if i < len(values) and values[i] is not None else "" for i in [*at, *(k or 0 for k in keys)]
        )
        yield (
            number,
            (
                word.lower(),
                name,
                *(None if k is None else text[:_KEY_COMPARED].strip() for k, text in zip(keys, shown, strict=True)),
            ),
        )


def _refuse_to_lose(target: Path) -> None:
    """Replacing a workbook is fine where nobody has written decisions into it."""
    if not target.exists():
        return
    with _open(str(target)) as book:
        if book.properties.title != MARK or RECORDS not in book.sheetnames:
            raise SynckitError(f"{target} exists and is not a workbook of a plan. Choose another name.")
        if any(word for _, (word, *_) in _decision_rows(book, str(target))) or _holds_judgements(book):
            raise SynckitError(f"{target} holds decisions, which would be lost. Read them first, or choose another name.")


def _holds_judgements(book: Any) -> bool:
    rows = book[ALIKE].iter_rows(values_only=True) if ALIKE in book.sheetnames else iter(())
    header = [str(v or "").strip().lower() for v in next(rows, ())]
    return "decision" in header and any(len(r) > header.index("decision") and r[header.index("decision")] for r in rows)


def _cannot(verb: str, path: str, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"{path} cannot be {verb}: it may be open in another program. Close it there and try again."
    return f"{path} cannot be {verb}: {error.strerror or error}."
