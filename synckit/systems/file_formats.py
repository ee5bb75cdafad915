"""Reading one export file into an Arrow table: CSV and Excel as text as it stands there, Parquet with its types."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from synckit.errors import SynckitError

READERS = (".csv", ".tsv", ".txt", ".xlsx", ".parquet")
_SEPARATORS = (",", ";", "\t", "|")


def load(path: Path, sheet: str = "") -> pa.Table:
    """The file's rows. Raises SynckitError (naming the file and, where known, the place) for what cannot be read."""
    try:
        if path.suffix.lower() == ".parquet":
            return pq.read_table(path)
        found = _excel(path, sheet) if path.suffix.lower() == ".xlsx" else _csv(path)
    except SynckitError:
        raise
    except PermissionError:
        raise SynckitError(f"{path} cannot be read: permission denied (is it open in another program?).") from None
    except Exception as problem:
        kind = {".xlsx": "an Excel workbook", ".parquet": "a Parquet file"}.get(path.suffix.lower(), "a CSV file")
        raise SynckitError(f"{path} cannot be read as {kind}: {' '.join(str(problem).split())[:300]}") from None
    return found


def decoded(raw: bytes) -> str:
    """Text of a CSV file: UTF-8 and UTF-16 by their marks, UTF-8 without a mark where it is valid, else Windows-1252."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def separator_of(text: str) -> str:
    """The separator that occurs most in the first line, outside quotes; a comma where there is none."""
    counts = dict.fromkeys(_SEPARATORS, 0)
    quoted = False
    for letter in text:
        if letter == '"':
            quoted = not quoted
        elif not quoted and letter in "\r\n":
            break
        elif not quoted and letter in counts:
            counts[letter] += 1
    return max(_SEPARATORS, key=lambda separator: counts[separator])


def _csv(path: Path) -> pa.Table:
    text = decoded(path.read_bytes())
    separator = separator_of(text)
    header = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    _check(path, header)
    return pcsv.read_csv(
        io.BytesIO(text.encode("utf-8", errors="surrogatepass")),
        read_options=pcsv.ReadOptions(use_threads=False),
        parse_options=pcsv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pcsv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def sheets(path: Path) -> list[str]:
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True)
    except Exception as problem:
        raise SynckitError(f"{path} cannot be read as an Excel workbook: {' '.join(str(problem).split())[:300]}") from None
    try:
        return list(book.sheetnames)
    finally:
        book.close()


def _excel(path: Path, sheet: str) -> pa.Table:
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        rows = (book[sheet] if sheet else book.worksheets[0]).iter_rows(values_only=True)
        header = ["" if cell is None else str(cell) for cell in next(rows, ())]
        while header and not header[-1]:
            header.pop()
        _check(path, header)
        columns: list[list[str | None]] = [[] for _ in header]
        for row in rows:
            if all(cell is None for cell in row):
                continue
            for index, values in enumerate(columns):
                values.append(_cell(row[index]) if index < len(row) else None)
    finally:
        book.close()
    return pa.table([pa.array(values, pa.string()) for values in columns], names=header)


def _cell(value: Any) -> str | None:
    """A cell as text: numbers without a needless fraction, dates in ISO form."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat()
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _check(path: Path, header: list[str]) -> None:
    if not header or not any(name.strip() for name in header):
        raise SynckitError(f"{path} has no header line; write the field names into its first line.")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise SynckitError(f'{path} has the column "{twice}" twice; keep one of them.')
