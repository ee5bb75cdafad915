"""Couplings in and out of the ledger as files: synckit's own CSV, and tables of the shape "CRM Integration Record"."""

from __future__ import annotations

import csv
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from synckit.errors import SynckitError
from synckit.ledger.couplings import chunks, integration_is_coupled, local_is_coupled
from synckit.ledger.ledger import Ledger
from synckit.mapping.schema import nearest

COLUMNS = ("mapping", "local_key", "integration_key", "local_stamp", "integration_stamp", "skipped")

#: Header without blanks and punctuation -> what it means, for both shapes.
_HEADERS = {name.replace("_", ""): name for name in COLUMNS} | {
    "crmid": "crm_id",
    "integrationid": "integration_id",
    "tableid": "table_id",
    "lastsynchmodifiedon": "local_stamp",
    "lastsynchcrmmodifiedon": "integration_stamp",
}
_OWN = {"mapping", "local_key", "integration_key"}
_CRM = {"crm_id", "integration_id", "table_id"}
_YES = {"1", "true", "yes", "ja", "oui", "y", "x", "wahr", "-1"}
_NO = {"", "0", "false", "no", "nein", "non", "n", "falsch"}
_GUID = re.compile(r"\{?[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\}?")
#: A spreadsheet would run such a text as a formula: written with an apostrophe before it, which reading takes away again.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NEVER = ("0001-01-01", "1753-01-01")  # what Business Central stores for "no date"


@dataclass(frozen=True)
class ImportReport:
    """What an import did. Where anything was refused, nothing was imported: `refused` says each row's place and reason."""

    imported: int = 0
    already_there: int = 0
    refused: tuple[str, ...] = ()
    per_mapping: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.refused:
            return f"{self.imported} couplings imported, {self.already_there} were there already."
        n = len(self.refused)
        head = f"Nothing was imported: {n:,} {'row is' if n == 1 else 'rows are'} refused."
        return "\n".join([head, *(f"  - {reason}" for reason in self.refused)])


def import_couplings(
    ledger: Ledger,
    source: str | Path,
    mappings: Sequence[str],
    table_ids: Mapping[int, str] | None = None,
    *,
    table: str | None = None,
    stamp: Callable[[str, str, str], str | None] | None = None,
    at: datetime | None = None,
) -> ImportReport:
    """Read couplings from a CSV or Excel file, or from the table `table` of a SQL URL, and add them to the ledger, all or none.

    `mappings` are the names that exist; `table_ids` says which mapping the local table of a "CRM Integration Record" belongs to
    (18 -> "CUSTOMER"). Stamps are kept as written, or as `stamp(mapping, side, text)` spells them, so that they equal the system's
    version tokens; None or an empty stamp: never synchronised (S-056). All is checked before anything is written: empty keys,
    unknown mappings, a record coupled twice in the file or otherwise in the ledger are refused by their line. A coupling that is
    there already stays as it is. Raises SynckitError where the source cannot be read or has not the columns.
    """
    place, rows = _read(str(source), table)
    refused: list[str] = []
    wanted: dict[str, list[dict[str, Any]]] = {}
    seen: dict[tuple[str, str, str], int] = {}
    for number, raw in rows:
        try:
            row = _coupling_of(raw, mappings, table_ids or {})
            for side in ("local", "integration"):
                earlier = seen.setdefault((row["mapping"], side, row[f"{side}_key"]), number)
                if earlier != number:
                    key = row[f"{side}_key"]
                    raise SynckitError(
                        f"the {side} record {key} of {row['mapping']} stands in line {earlier} too. Keep one of them."
                    )
        except SynckitError as error:
            refused.append(f"{place}, line {number}: {error.message}")
            continue
        if stamp:
            for side in ("local", "integration"):
                text = row[f"{side}_stamp"]
                row[f"{side}_stamp"] = stamp(row["mapping"], side, text) if text else None
        wanted.setdefault(row["mapping"], []).append({**row, "line": number})
    if refused:
        return ImportReport(refused=tuple(refused))
    return _add(ledger, place, wanted, at)


def export_couplings(ledger: Ledger, path: str | Path, mappings: Sequence[str] | None = None) -> int:
    """Write the couplings (of all mappings, or the named ones) to a CSV that `import_couplings` reads; returns how many.

    The file appears whole or not at all.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise SynckitError(f"The folder {target.parent} does not exist. Create it, or name another file for the couplings.")
    if target.exists() and not _is_list_of_couplings(target):
        raise SynckitError(f"{target} exists and is not a list of couplings. Choose another name.")
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    count = 0
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for mapping in sorted(mappings) if mappings is not None else ledger.mapping_names():
                couplings = ledger.couplings(mapping).sort_by("local_key")
                columns = [couplings[name].to_pylist() for name in COLUMNS[1:]]
                for *texts, skipped in zip(*columns, strict=True):
                    writer.writerow([mapping, *(_shield(text or "") for text in texts), "true" if skipped else "false"])
                count += couplings.num_rows
        partial.replace(target)
    except OSError as error:
        raise SynckitError(f"The couplings could not be written to {target}: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return count


def _is_list_of_couplings(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.readline().decode("utf-8-sig").strip() in ("", ",".join(COLUMNS))
    except (OSError, UnicodeDecodeError):
        return False


def _add(ledger: Ledger, place: str, wanted: Mapping[str, list[dict[str, Any]]], at: datetime | None) -> ImportReport:
    if not wanted:
        return ImportReport()
    refused: list[str] = []
    per_mapping: dict[str, int] = {}
    there = 0
    with suppress(_NothingImported), ledger.transaction(at) as tx:
        for mapping, rows in sorted(wanted.items()):
            new = []
            for some in chunks(rows):
                of_local = tx.couplings_of(mapping, "local", [row["local_key"] for row in some])
                of_integration = tx.couplings_of(mapping, "integration", [row["integration_key"] for row in some])
                for row in some:
                    local, integration = row["local_key"], row["integration_key"]
                    mine, its = of_local.get(local), of_integration.get(integration)
                    if mine and mine["integration_key"] == integration:
                        there += 1
                    elif mine:
                        reason = local_is_coupled(mapping, local, mine["integration_key"], integration)
                        refused.append(f"{place}, line {row['line']}: {reason}")
                    elif its:
                        reason = integration_is_coupled(mapping, integration, its["local_key"], local)
                        refused.append(f"{place}, line {row['line']}: {reason}")
                    else:
                        new.append({name: row[name] for name in COLUMNS})
            per_mapping[mapping] = len(new)
            tx.add_couplings(new)
        if refused:
            raise _NothingImported  # rolls everything back
        if any(per_mapping.values()):
            tx.bump_run_counter()
    if refused:
        return ImportReport(refused=tuple(refused))
    return ImportReport(sum(per_mapping.values()), there, (), per_mapping)


class _NothingImported(Exception):
    """Ends the import's transaction without a trace."""


def _coupling_of(raw: Mapping[str, str], mappings: Sequence[str], table_ids: Mapping[int, str]) -> dict[str, Any]:
    """One row of either shape as a coupling. Raises SynckitError with what is wrong in it."""
    if "mapping" in raw:
        names = {name.casefold(): name for name in mappings}
        mapping = names.get(raw["mapping"].casefold())
        if mapping is None:
            if not raw["mapping"]:
                raise SynckitError("there is no mapping. Write one of " + ", ".join(mappings) + ".")
            raise SynckitError(f'there is no mapping "{raw["mapping"]}".' + nearest(raw["mapping"], list(mappings)))
        keys = {side: _as_guid(raw[f"{side}_key"]) or raw[f"{side}_key"] for side in ("local", "integration")}
    else:
        number = raw["table_id"]
        table_id = int(float(number)) if re.fullmatch(r"\d+(\.0+)?", number) else -1
        if table_id not in table_ids:
            known = ", ".join(f"{one} ({name})" for one, name in sorted(table_ids.items())) or "none"
            raise SynckitError(f'no mapping has the local table with Table ID "{number}". Known are: {known}.')
        mapping = table_ids[table_id]
        keys = {}
        for side, column, title in (("local", "integration_id", "Integration ID"), ("integration", "crm_id", "CRM ID")):
            guid = _as_guid(raw[column]) if raw[column] else ""
            if guid is None:
                raise SynckitError(f'the {title} "{raw[column]}" is no GUID.')
            keys[side] = guid
    for side, key in keys.items():
        if not key or key == str(uuid.UUID(int=0)):
            raise SynckitError(f"the key of the {side} record is empty.")
    skipped = raw.get("skipped", "").casefold()
    if skipped not in _YES | _NO:
        raise SynckitError(f'"{raw["skipped"]}" in the column Skipped is neither true nor false.')
    stamps = {side: raw.get(f"{side}_stamp", "") for side in ("local", "integration")}
    return {
        "mapping": mapping,
        "local_key": keys["local"],
        "integration_key": keys["integration"],
        "skipped": skipped in _YES,
        **{f"{side}_stamp": None if not text or text.startswith(_NEVER) else text for side, text in stamps.items()},
    }


def _as_guid(text: str) -> str | None:
    """A GUID in lower case with hyphens and without braces, or None where `text` is none."""
    return text.strip("{}").lower() if _GUID.fullmatch(text) else None


def _read(source: str, table: str | None) -> tuple[str, Iterator[tuple[int, dict[str, str]]]]:
    """What to call the source in messages, and its rows with their line numbers, headers already understood."""
    if "://" in source:
        return f"table {table}", _rows_of(f"table {table}", _sql_lines(source, table))
    path = Path(source)
    if not path.is_file():
        raise SynckitError(f"There is no file {path} to import couplings from.")
    if path.suffix.lower() in (".xlsx", ".xlsm"):
        return path.name, _rows_of(path.name, _excel_lines(path, table))
    return path.name, _rows_of(path.name, _csv_lines(path))


def _rows_of(place: str, lines: Iterator[tuple[int, Sequence[Any]]]) -> Iterator[tuple[int, dict[str, str]]]:
    _, header = next(lines, (0, ()))
    names = [_HEADERS.get(re.sub(r"[^a-z]", "", str(title or "").casefold())) for title in header]
    present = {name for name in names if name}
    for name in present:
        if names.count(name) > 1:
            raise SynckitError(f'{place} has two columns for "{name}". Keep one of them.')
    if not present >= _OWN and not present >= _CRM:
        raise SynckitError(
            f"{place} has not the columns of couplings (it has: {', '.join(str(title) for title in header) or 'none'}). "
            f"Write either {', '.join(COLUMNS)} or CRM ID, Integration ID, Table ID, Last Synch. Modified On, "
            "Last Synch. CRM Modified On, Skipped."
        )
    left_out = set() if present >= _OWN else {"mapping"}
    for number, values in lines:
        texts = [_text(value) for value in values]
        if any(texts):
            padded = [*texts, *[""] * (len(names) - len(texts))]
            yield number, {name: text for name, text in zip(names, padded, strict=False) if name and name not in left_out}


def _csv_lines(path: Path) -> Iterator[tuple[int, Sequence[Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t|", key=head.count))
            for line in reader:
                yield reader.line_num, [_unshield(cell) for cell in line]
    except UnicodeDecodeError as error:
        raise SynckitError(f"{path.name} is not UTF-8. Save it as CSV UTF-8 and import it again.") from error
    except (csv.Error, OSError) as error:
        raise SynckitError(f"{path.name} cannot be read as CSV: {error}.") from error


def _excel_lines(path: Path, sheet: str | None) -> Iterator[tuple[int, Sequence[Any]]]:
    import openpyxl

    try:
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            if sheet is not None and sheet not in book.sheetnames:
                raise SynckitError(f'{path.name} has no sheet "{sheet}".' + nearest(sheet, book.sheetnames))
            rows = (book[sheet] if sheet is not None else book.worksheets[0]).iter_rows(values_only=True)
            yield from enumerate(rows, 1)
    except SynckitError:
        raise
    except Exception as error:  # openpyxl lets zip, XML and key errors through, some only when a sheet is read
        raise SynckitError(f"{path.name} cannot be read as an Excel file: {error}.") from error


def _sql_lines(url: str, table: str | None) -> Iterator[tuple[int, Sequence[Any]]]:
    """The table's columns as line 1 and its rows from line 2 on, as a spreadsheet would number them."""
    if not table:
        raise SynckitError("To import couplings from a database, name the table too.")
    try:
        engine = sa.create_engine(url, hide_parameters=True)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError, ValueError):
        raise SynckitError("The address to import couplings from is no database URL that synckit can open.") from None
    try:
        if engine.url.get_backend_name() == "sqlite" and not Path(engine.url.database or "").is_file():
            raise SynckitError(f"There is no database {engine.url.database} to import couplings from.")  # SQLite would make it
        with engine.connect() as connection:
            inspector = sa.inspect(connection)
            names = [*inspector.get_table_names(), *inspector.get_view_names()]
            if table not in names:
                raise SynckitError(f'There is no table "{table}" in {engine.url.render_as_string()}.' + nearest(table, names))
            reflected = sa.Table(
                table, sa.MetaData(), *(sa.Column(one["name"], sa.types.NullType) for one in inspector.get_columns(table))
            )
            yield 1, [column.name for column in reflected.columns]
            yield from enumerate(connection.execution_options(stream_results=True).execute(sa.select(reflected)), 2)
    except sa.exc.DBAPIError as error:
        raise SynckitError(f"The table {table} cannot be read: {str(error.orig).splitlines()[0]}") from error
    finally:
        engine.dispose()


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (bytes, bytearray)):  # a uniqueidentifier or BINARY(16)
        return str(uuid.UUID(bytes=bytes(value))) if len(value) == 16 else bytes(value).decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _shield(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _unshield(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
