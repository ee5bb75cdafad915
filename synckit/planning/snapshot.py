"""Reading both systems into the planning database: narrow tables for every row, whole rows only for those that need a look.

Every row of both sides is read and staged once, and what is kept of it is small: its key, its version, whether it passes the
filter, and one 64-bit hash per pass over everything that the pass compares (two unequal rows hash alike once in 10^19). Rows whose
hashes differ, uncoupled rows and rows with an error are then read again, whole, from the same snapshot. So memory follows the number
of rows that need a look, not the width of the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.mapping.model import Pass, Workspace
from synckit.mapping.rules import Rule, RuleResult, texts
from synckit.mapping.schema import Column, Table
from synckit.mapping.transformation import RuleBook
from synckit.planning.bind import OPTION_LABEL, OPTION_VALUE, SOURCE, BoundMapping, BoundSide, Side, rule_column
from synckit.planning.creates import chosen_template
from synckit.planning.stage import Staging, arrow_type, as_text, canonical, needs_cut
from synckit.systems.protocol import VERSION_TOKEN, Condition, Snapshot, System


@dataclass
class Tables:
    """Lookup tables of both snapshots, read whole once (business rules declare them; option sets live here too)."""

    snapshots: Mapping[Side, Snapshot]
    systems: Mapping[Side, System]
    read: dict[tuple[str, str], pa.Table] = field(default_factory=dict)

    def __call__(self, side: str, name: str) -> pa.Table:
        if (side, name) not in self.read:
            place: Side = "local" if side == "local" else "integration"
            table = self.systems[place].schema.table(name)
            # schemas may describe more columns than a database or an export holds
            there = {c.casefold() for c in self.systems[place].physical_columns(table) or {}}
            if not there:
                raise SynckitError(
                    f'{self.systems[place].title} has no table "{table.table}" ({table.caption or name}), which a business rule reads.'
                )
            present = [c.name for c in table.columns if c.column.casefold() in there]
            self.read[side, name] = self.snapshots[place].read(table, present).read_all()
        return self.read[side, name]


@dataclass(frozen=True)
class Context:
    """What a business rule sees (synckit.mapping.rules.RuleContext)."""

    rows: pa.RecordBatch
    in_pass: Pass
    today: date
    workspace: Workspace
    mapping: str
    tables: Callable[[str, str], pa.Table]
    known: Callable[[str], pa.Table]
    done: set[str]

    def once(self, what: str) -> bool:
        if what in self.done:
            return False
        self.done.add(what)
        return True

    def table(self, side: str, name: str) -> pa.Table:
        return self.tables(side, name)

    def coupled(self, mapping: str) -> pa.Table:
        return self.known(mapping)


class SideReader:
    """Reads one side of one mapping from its snapshot and stages it."""

    def __init__(
        self,
        bound: BoundMapping,
        side: BoundSide,
        snapshot: Snapshot,
        system: System,
        rulebook: RuleBook,
        workspace: Workspace,
        today: date,
        table: Callable[[str, str], pa.Table],
        coupled: Callable[[str], pa.Table],
    ) -> None:
        self.bound, self.side, self.snapshot, self.system = bound, side, snapshot, system
        self.workspace, self.today, self.table, self.coupled = workspace, today, table, coupled
        self.stage = Staging(side, rulebook, self._compute)
        self.with_code = False
        self.resemblance: dict[str, Column] = {}
        self.own_user = (workspace.local if side.side == "local" else workspace.integration).integration_user

    # -- business rules ------------------------------------------------------------------------------------------------------------

    def _compute(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Columns that rules compute for the pass whose source is this side: values, errors, what is left out, what is waited for."""
        n = batch.num_rows
        columns: dict[str, pa.Array] = {}
        errors, leave = texts(n), texts(n)
        parents = (texts(n), texts(n))
        for in_pass in self.bound.passes:
            if SOURCE[in_pass] != self.side.side:
                continue
            for rule in self.bound.rules:
                if rule.function is None or in_pass not in rule.passes:
                    continue
                result = self._run(rule, in_pass, batch)
                for index, values in enumerate(result.values):
                    columns[rule_column(rule, index)] = values
                errors = _first(errors, result.errors, prefix=f"{rule.id}\x1f\x1f")
                leave = _first(leave, result.leave_out)
                if result.parents is not None:
                    parents = result.parents
        if any(r.function for r in self.bound.rules):
            columns |= {"r_error": errors, "r_leave": leave, "r_parent": parents[0], "r_parent_key": parents[1]}
        else:
            columns |= {name: pa.nulls(n, pa.string()) for name in ("r_error", "r_leave", "r_parent", "r_parent_key")}
        return columns

    def _run(self, rule: Rule, in_pass: Pass, batch: pa.RecordBatch) -> RuleResult:
        assert rule.function is not None
        columns = {}
        for name in rule.reads(self.side.side):
            column = self.side.table.column(name)
            columns[column.name] = canonical(batch.column(column.name), column)
        columns["key"] = batch.column(self.side.uid.name)
        rows = pa.RecordBatch.from_pydict(columns)
        return rule.function(Context(rows, in_pass, self.today, self.workspace, self.bound.name, self.table, self.coupled, set()))

    # -- reading -------------------------------------------------------------------------------------------------------------------

    def wanted(self, whole: bool) -> list[Column]:
        side = self.side
        columns = {side.uid.name: side.uid, **{c.name: c for c in side.columns}}
        extra: Iterable[Column | None] = (
            [side.name, side.key, side.version, side.modified_by] if whole else [side.version, *self.resemblance.values()]
        )
        for column in (*extra, side.key if self.with_code else None, side.modified_by if self.own_user else None):
            if column is not None:
                columns[column.name] = column
        return list(columns.values())

    def batches(self, whole: bool, keys: Sequence[str] | None = None, where: Sequence[Condition] = ()) -> Iterator[pa.RecordBatch]:
        """Staged batches in narrow form or `whole`: all rows, those that meet `where`, or those of `keys`."""
        names = [c.name for c in self.wanted(whole)]
        if self.side.option_set is not None:
            source: Iterable[pa.RecordBatch] = self._options(names, keys).to_batches()
        else:
            names += [VERSION_TOKEN] if whole and self.side.version is not None else []
            key_column = self.side.uid.name if keys is not None else None
            source = self.snapshot.read(self.side.table, names, where=where, keys=keys, key_column=key_column)
        for batch in source:
            if batch.num_rows:
                yield self.stage(batch, self._head(batch, whole))

    def _options(self, names: list[str], keys: Sequence[str] | None) -> pa.Table:
        """The option set of the mapped column: rows of the environment's option table, else the options the schema declares."""
        side = self.side
        assert side.option_set is not None
        rows = option_rows(side, self.snapshot, self.system)
        values, labels = [v for v, _ in rows], [t for _, t in rows]
        table = pa.table({OPTION_VALUE: pa.array(values, pa.int64()), OPTION_LABEL: pa.array(labels, pa.string())})
        if keys is not None:
            table = table.filter(pc.is_in(table.column(OPTION_VALUE), pa.array([int(k) for k in keys], pa.int64())))
        return table.select(names)

    def _head(self, batch: pa.RecordBatch, whole: bool) -> dict[str, pa.Array]:
        side = self.side
        n = batch.num_rows
        head = {"key": pc.cast(batch.column(side.uid.name), pa.string())}
        if side.uid.kind == "guid":
            head["key"] = canonical(head["key"], side.uid)
        if side.version is None:
            head["ver"] = pa.nulls(n, pa.int64())
        elif side.version.kind in ("datetime", "integer"):
            head["ver"] = pc.cast(batch.column(side.version.name), pa.int64())
        else:
            head["ver_text"] = pc.cast(batch.column(side.version.name), pa.string())
        if self.own_user and side.modified_by is not None and side.modified_by.name in batch.schema.names:
            head["own"] = pc.fill_null(pc.equal(batch.column(side.modified_by.name), self.own_user), False)
        else:
            head["own"] = pa.repeat(pa.scalar(False), n)
        if whole or self.with_code:
            head["code"] = pc.cast(batch.column(side.key.name), pa.string()) if side.key is not None else pa.nulls(n, pa.string())
        if whole:
            has_token = side.option_set is None and side.version is not None
            head["tok"] = batch.column(VERSION_TOKEN) if has_token else pa.nulls(n, pa.string())
            head["name"] = pc.cast(batch.column(side.name.name), pa.string()) if side.name is not None else pa.nulls(n, pa.string())
            head["cuts"] = self._cuts(batch)
            head["tpl"] = pa.nulls(n, pa.int64())
            for in_pass in self.bound.passes:
                if SOURCE[in_pass] == side.side:
                    head["tpl"] = chosen_template(self.bound, in_pass, batch)
            for rule in self.bound.rules:
                if rule.follow_up is not None:
                    names = [side.table.column(r).name for r in rule.reads(side.side)]
                    head |= {f"raw_{r}": as_text(batch.column(r), side.table.column(r)) for r in names}
        else:
            head |= {f"like_{n}": canonical(batch.column(c.name), c) for n, c in self.resemblance.items()}
        return head

    def _cuts(self, batch: pa.RecordBatch) -> pa.Array:
        """Per row the staged columns to be sent from here whose text is cut to the other side's length, as ",c3,c7,"; null for none."""
        names: list[str | None] = [None] * batch.num_rows
        sent = {f.value for p in self.bound.passes if SOURCE[p] == self.side.side for f in self.bound.fields[p]}
        for staged in self.side.staged:
            if staged.cut is None or staged.name not in sent:
                continue
            array = canonical(batch.column(staged.source.name), staged.source)
            if needs_cut(array, staged.cut):
                for row in pc.indices_nonzero(pc.greater(pc.utf8_length(array), staged.cut)).to_pylist():
                    names[row] = f"{names[row] or ','}{staged.name},"
        return pa.array(names, pa.string())

    def schema(self, whole: bool) -> pa.Schema:
        """The schema of the staged batches, found by staging an empty batch."""
        columns = {c.name: pa.array([], arrow_type(c)) for c in self.wanted(whole)}
        if whole and self.side.version is not None:
            columns[VERSION_TOKEN] = pa.array([], pa.string())
        batch = pa.RecordBatch.from_pydict(columns)
        return self.stage(batch, self._head(batch, whole)).schema

    def keys(self) -> pa.ChunkedArray:
        """The keys of all rows of the side as text, filter or not."""
        name = self.side.uid.name
        rows = (
            self._options([name], None)
            if self.side.option_set is not None
            else self.snapshot.read(self.side.table, [name]).read_all()
        )
        return pc.cast(rows.column(0), pa.string())

    def load(
        self,
        con: duckdb.DuckDBPyConnection,
        table: str,
        select: str,
        whole: bool,
        keys: Sequence[str] | None = None,
        where: Sequence[Condition] = (),
        more: bool = False,
    ) -> None:
        """CREATE TABLE `table` AS `select` (or add to it), which reads the staged rows as {rows} and may join lookup tables."""
        schema = self.schema(whole)
        cursor = con.cursor()
        failed: list[Exception] = []

        def staged() -> Iterator[pa.RecordBatch]:
            try:
                for batch in self.batches(whole, keys, where):
                    yield batch.cast(schema) if batch.schema != schema else batch
            except Exception as problem:
                failed.append(problem)
                raise

        cursor.register("s_rows", pa.RecordBatchReader.from_batches(schema, staged()))
        verb = f"INSERT INTO {table}" if more else f"CREATE TABLE {table} AS"
        try:
            cursor.execute(f"{verb} {select.replace('{rows}', 's_rows')}")
        except duckdb.Error:
            if failed:  # what the system said, and not DuckDB's account of it
                raise failed[0] from None
            raise
        cursor.unregister("s_rows")
        cursor.close()


def option_rows(side: BoundSide, snapshot: Snapshot, system: System) -> list[tuple[int, str]]:
    """(value, label) of the option set that `side` stands for; the blank option is no row (its value stands for null)."""
    assert side.option_set is not None
    return option_labels(side.table, side.option_set, snapshot, system)


def option_labels(table: Table, column: Column, snapshot: Snapshot, system: System) -> list[tuple[int, str]]:
    """(value, label) of the options of a column: as rows of the system's table of options where it keeps one, else as the schema says."""
    keeper = system.schema.option_table
    stored = system.schema.find(keeper.table) if keeper is not None else None
    if keeper is not None and stored is not None and system.physical_columns(stored):
        names = [n for n in (keeper.of_table, keeper.of_column, keeper.value, keeper.label) if n]
        owner = table.name.split(".")[0]
        mine = [
            r
            for r in snapshot.read(stored, names).read_all().to_pylist()
            if r[keeper.of_column] == column.name and (keeper.of_table is None or r[keeper.of_table] == owner)
        ]
        rows = [(int(r[keeper.value]), r[keeper.label] or "") for r in mine]
    else:
        rows = [(o.value, o.label) for o in column.options]
    return sorted({value: label for value, label in rows if label.strip()}.items())


def _first(known: pa.Array, more: pa.Array | None, prefix: str = "") -> pa.Array:
    """`known` where it says something, else `more`."""
    if more is None:
        return known
    said = pc.not_equal(pc.fill_null(more, ""), "")
    if prefix:
        more = pc.if_else(said, pc.binary_join_element_wise(prefix, pc.fill_null(more, ""), ""), "")
    return pc.if_else(pc.equal(known, ""), pc.if_else(said, more, ""), known)
