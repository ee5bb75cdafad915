"""A folder of CSV, Excel or Parquet exports as a read-only system: the same canonical values a database with the same data gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.mapping.model import SystemConfig
from synckit.mapping.schema import Column, Schema, Table, nearest
from synckit.systems.canonical import LOOKS_LIKE, NotConvertible, now, parse_guid, to_canonical, version_column
from synckit.systems.file_formats import READERS, load, sheets
from synckit.systems.local_formats import Ambiguous, from_local
from synckit.systems.protocol import VERSION_TOKEN, Condition, Writer
from synckit.systems.sql_read import holds

BATCH_ROWS = 65536


@dataclass(frozen=True)
class Export:
    """Where a table's rows are: a file, and for a workbook the sheet ('' = the first)."""

    path: Path
    sheet: str = ""

    @property
    def shown(self) -> str:
        return f"{self.path.name}, sheet {self.sheet}" if self.sheet else self.path.name


class FolderSystem:
    """One folder of exports. A file (or a sheet of a workbook) belongs to the table whose name, physical name or caption it bears."""

    draws_keys = False

    def __init__(self, config: SystemConfig, schema: Schema, side: Literal["local", "integration"]) -> None:
        assert config.folder is not None
        self.side = side
        self.title = config.name
        self.schema = schema
        self.config = config
        self.path = Path(config.folder).expanduser().resolve()
        self.address = str(self.path)
        if not self.path.is_dir():
            what = "is a file, not a folder" if self.path.exists() else "does not exist"
            raise SynckitError(
                f'The folder {self.path} of the {side} system "{config.name}" {what}; write the folder of the exports.'
            )
        if not any(file.suffix.lower() in READERS for file in self.path.iterdir()):
            raise SynckitError(
                f'The folder {self.path} of the {side} system "{config.name}" holds no .csv, .xlsx or .parquet file.'
            )

    @property
    def read_only(self) -> str:
        return f'The {self.side} system "{self.title}" is a folder of exports: plans and diagnosis work, but nothing can be written to it.'

    def identity(self) -> str:
        return f"folder:{self.path.as_posix()}"

    def close(self) -> None:
        """Nothing to give back."""

    def make_table(self, table: Table) -> None:
        raise SynckitError(self.read_only)

    def key_is_drawn(self, table: Table, key_column: str) -> bool:
        return False

    def writer(self) -> AbstractContextManager[Writer]:
        raise SynckitError(self.read_only)

    def reading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def writing(self) -> AbstractContextManager[None]:
        raise SynckitError(self.read_only)

    @contextmanager
    def snapshot(self) -> Iterator[FolderSnapshot]:
        yield FolderSnapshot(self)

    def physical_columns(self, table: Table) -> dict[str, str] | None:
        export = self.find(table)
        if export is None:
            return None
        data = load(export.path, export.sheet)
        columns = {}
        for name in data.column_names:
            known = table.find(name.strip())
            columns[known.column if known else name] = str(data.schema.field(name).type)
        return columns

    def find(self, table: Table) -> Export | None:
        """The table's file or sheet, None where there is none; SynckitError where there are several."""
        names = {name.casefold() for name in (table.name, table.table, table.caption) if name}
        override = next((name for given, name in self.config.tables.items() if given.casefold() in names), None)
        if override is not None:
            names = {override.casefold(), Path(override).stem.casefold()}
        files = sorted(file for file in self.path.iterdir() if file.suffix.lower() in READERS and not file.name.startswith("~$"))
        found = [Export(file) for file in files if file.stem.casefold() in names]
        if not found:
            found = [
                Export(file, sheet)
                for file in files
                if file.suffix.lower() == ".xlsx"
                for sheet in sheets(file)
                if sheet.strip().casefold() in names
            ]
        if len(found) > 1:
            raise SynckitError(
                f"In {self.path} the table {table.caption or table.name} is there more than once: "
                + "; ".join(export.shown for export in found)
                + ". Keep one of them."
            )
        return found[0] if found else None

    def export(self, table: Table) -> Export:
        found = self.find(table)
        if found is None:
            names = [file.stem for file in self.path.iterdir() if file.suffix.lower() in READERS]
            raise SynckitError(
                f'The folder {self.path} has no file for the table {table.caption or table.name}; name it "{table.table}.csv" '
                f"(or .xlsx, .parquet).{nearest(table.table, names)}"
            )
        return found


class FolderSnapshot:
    """The exports as they are while they are read: there is no one moment that all of them show."""

    consistent = False

    def __init__(self, system: FolderSystem) -> None:
        self.taken_at = now()
        self._system = system
        self._loaded: dict[str, tuple[Export, pa.Table]] = {}

    def count(self, table: Table) -> int:
        return int(self._load(table)[1].num_rows)

    def read(
        self,
        table: Table,
        columns: Sequence[str],
        where: Sequence[Condition] = (),
        keys: Sequence[str] | None = None,
        key_column: str | None = None,
    ) -> pa.RecordBatchReader:
        """See protocol. Raises SynckitError naming file, column and an example for values that cannot be understood."""
        export, data = self._load(table)
        done: dict[str, pa.Array] = {}

        def values(column: Column) -> pa.Array:
            if column.column not in done:
                done[column.column] = self._canonical(export, data, table, column)
            return done[column.column]

        mask = None
        tests = [holds(values(table.column(c.column)), table.column(c.column), c) for c in where]
        if keys is not None:
            key = table.column(key_column or table.uid)
            tests.append(pc.is_in(pc.cast(values(key), pa.string()), value_set=pa.array(_keys(key, keys), pa.string())))
        for test in tests:
            mask = test if mask is None else pc.and_kleene(mask, test)
        arrays = [self._token(export, data, table) if name == VERSION_TOKEN else values(table.column(name)) for name in columns]
        found = pa.Table.from_arrays(arrays, names=list(columns))
        return (found if mask is None else found.filter(mask)).to_reader(BATCH_ROWS)

    def _load(self, table: Table) -> tuple[Export, pa.Table]:
        if table.name not in self._loaded:
            export = self._system.export(table)
            self._loaded[table.name] = export, load(export.path, export.sheet)
        return self._loaded[table.name]

    def _header(self, export: Export, data: pa.Table, table: Table, column: Column) -> str:
        wanted = (column.name.casefold(), column.column.casefold())
        found = [name for name in data.column_names if name.strip().casefold() in wanted]
        if len(found) == 1:
            return found[0]
        if found:
            raise SynckitError(f"{export.shown} has the field {column.name} twice ({' and '.join(found)}); keep one.")
        raise SynckitError(
            f'{export.shown} has no column "{column.name}" or "{column.column}".' + nearest(column.name, data.column_names)
        )

    def _token(self, export: Export, data: pa.Table, table: Table) -> pa.Array:
        column = version_column(self._system.config, table)
        if column is None:
            return pa.nulls(data.num_rows, pa.string())
        values = data.column(self._header(export, data, table, column)).combine_chunks()
        return values if pa.types.is_string(values.type) else values.cast(pa.string())

    def _canonical(self, export: Export, data: pa.Table, table: Table, column: Column) -> pa.Array:
        values = data.column(self._header(export, data, table, column)).combine_chunks()
        if pa.types.is_dictionary(values.type) or pa.types.is_large_string(values.type):
            values = values.cast(pa.string())
        if column.kind in ("text", "code"):
            text = to_canonical(values, column)
            return text.fill_null("") if self._blank_is_empty(export) else text
        rounds = pa.types.is_floating(values.type) or export.path.suffix.lower() == ".xlsx"
        try:
            return to_canonical(values, column, rounds)
        except NotConvertible as problem:
            if not pa.types.is_string(values.type):
                self._refuse(export, column, problem.value, problem.why)
            try:
                return from_local(values, column, rounds)
            except (Ambiguous, NotConvertible) as doubt:
                # an ISO spelling that does not fit says more than how else it might be read
                told = problem if problem.why else doubt
                self._refuse(export, column, told.value, told.why)

    def _blank_is_empty(self, export: Export) -> bool:
        """CSV and Excel cannot tell '' from nothing: a blank cell is what the system's convention makes of it."""
        return self._system.schema.blank == "empty" and export.path.suffix.lower() != ".parquet"

    def _refuse(self, export: Export, column: Column, value: object, why: str) -> NoReturn:
        reason = f" ({why})" if why else ""
        raise SynckitError(f'{export.shown}, column "{column.name}" holds {value!r}{reason}; write {LOOKS_LIKE[column.kind]}.')


def _keys(column: Column, keys: Sequence[str]) -> list[str]:
    if column.kind != "guid":
        return list(keys)
    found = []
    for key in keys:
        try:
            found.append(parse_guid(key))
        except ValueError:
            continue
    return found


def open_folder(config: SystemConfig, schema: Schema, side: Literal["local", "integration"]) -> FolderSystem:
    """The folder of exports at `config.folder`. Raises SynckitError where there is none, or nothing to read in it."""
    return FolderSystem(config, schema, side)
