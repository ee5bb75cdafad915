"""What a system's tables look like: captions, physical names, types, lengths, blanks and option sets. No I/O."""

from __future__ import annotations

import difflib
from typing import Literal

from pydantic import BaseModel, ConfigDict

from synckit.errors import SynckitError

Kind = Literal["text", "code", "guid", "integer", "decimal", "boolean", "date", "datetime", "time", "option"]

#: Declared type (Business Central and Dataverse spellings) -> the kind that synckit computes with.
KINDS: dict[str, Kind] = {
    "text": "text", "memo": "text", "entity_name": "text", "dateformula": "text",
    "code": "code",
    "guid": "guid", "lookup": "guid", "owner": "guid", "customer": "guid",
    "integer": "integer", "bigint": "integer", "duration": "integer",
    "decimal": "decimal",
    "boolean": "boolean", "date": "date", "datetime": "datetime", "time": "time",
    "option": "option", "choice": "option", "state": "option", "status": "option",
}  # fmt: skip


class Frozen(BaseModel):
    """Base of every description: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Option(Frozen):
    value: int
    label: str


class Column(Frozen):
    """One column. `name` is what people and mappings call it (a caption such as "E-Mail"), `column` what the database calls it."""

    name: str
    column: str
    type: str = "text"
    length: int | None = None
    scale: int | None = None
    nullable: bool = True
    primary_key: bool = False
    access: Literal["read", "insert", "modify"] | None = None
    options: tuple[Option, ...] = ()
    references: tuple[str, ...] = ()
    flowfield: bool = False

    @property
    def kind(self) -> Kind:
        return KINDS[self.type]

    @property
    def writable(self) -> bool:
        return self.access != "read" and not self.flowfield


class Table(Frozen):
    """One table. `name` is the schema's name for it, `table` the physical one, `caption` the one for people."""

    name: str
    table: str
    caption: str = ""
    table_id: int | None = None
    primary_key: tuple[str, ...]
    uid: str
    modified_on: str | None = None
    name_column: str | None = None
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        """The column called `name` (caption or physical name, upper and lower case alike); unknown: the nearest one is suggested."""
        found = self.find(name)
        if found is None:
            raise SynckitError(
                f'Table "{self.caption or self.name}" has no field "{name}".' + nearest(name, [c.name for c in self.columns])
            )
        return found

    def find(self, name: str) -> Column | None:
        for column in self.columns:
            if name in (column.name, column.column):
                return column
        folded = name.casefold()
        return next((c for c in self.columns if folded in (c.name.casefold(), c.column.casefold())), None)


class OptionTable(Frozen):
    """Option sets as rows of a table: one row per (table, column, value) with its label."""

    table: str
    of_table: str | None = None
    of_column: str
    value: str
    label: str


class Schema(Frozen):
    """The tables of one kind of system, and its conventions.

    `blank`: "empty" = a field is never null, blank is '' / 0 / the null GUID (Business Central); "null" = blank is NULL.
    `guid`: how GUIDs are spelled in the database. `option_table`: where option sets are kept as rows, or None (static options).
    """

    name: str
    blank: Literal["empty", "null"] = "null"
    guid: Literal["lower", "upper", "braces"] = "lower"
    option_table: OptionTable | None = None
    tables: tuple[Table, ...]

    def table(self, name: str) -> Table:
        found = self.find(name)
        if found is None:
            raise SynckitError(
                f'There is no table "{name}" in the schema "{self.name}".' + nearest(name, [t.name for t in self.tables])
            )
        return found

    def find(self, name: str) -> Table | None:
        folded = name.casefold()
        for table in self.tables:
            if folded in (table.name.casefold(), table.table.casefold(), table.caption.casefold()):
                return table
        return None


def nearest(name: str, names: list[str]) -> str:
    """' Did you mean "..."?' for the nearest of `names`, or '' where nothing is near."""
    folded = {n.casefold(): n for n in names}
    hit = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    return f' Did you mean "{folded[hit[0]]}"?' if hit else ""
