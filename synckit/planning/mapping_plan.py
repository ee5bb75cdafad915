"""Planning one mapping: read both sides, join them through the couplings, decide every record in every pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.mapping.model import Pass
from synckit.planning import reconcile as sql
from synckit.planning.bind import DESTINATION, SIDES, SOURCE, BoundMapping, Side
from synckit.planning.creates import Creates, planned_creates
from synckit.planning.due import not_due, read_due
from synckit.planning.judgements import prints, without_judged
from synckit.planning.judging import THRESHOLD
from synckit.planning.known import known_after
from synckit.planning.lookalikes import search
from synckit.planning.pairs import first_synchronisation
from synckit.planning.planned_mapping import Likeness, MappingHead, MappingPlan, fingerprint, preferred
from synckit.planning.reasons import Described, describe
from synckit.planning.resemblance import likenesses, resembling, uncoupled_rows
from synckit.planning.review import review_line
from synckit.planning.snapshot import SideReader
from synckit.planning.steps import follow_ups
from synckit.planning.tables import CHANGES, CONFLICTS, DEPENDS, DUPLICATES, ERRORS, EVIDENCE, ROWS
from synckit.systems.protocol import Condition

if TYPE_CHECKING:
    from synckit.planning.duplicates import Duplicates
    from synckit.planning.engine import Planning

Found = TypeVar("Found")
AT_ONCE = 50_000  # records whose fields are laid out at one time where memory is short


class MappingPlanner:
    """The steps of planning one mapping, in order; each leaves a table in the planning database."""

    def __init__(self, planning: Planning, bound: BoundMapping, executor: Executor) -> None:
        self.planning, self.bound, self.executor, self.con = planning, bound, executor, planning.con
        self.readers = {side: self._reader(side) for side in SIDES}
        self.failing_again: set[int] = set()  # records that the first pass of this run turns into skipped ones
        self.evidence: list[dict[str, Any]] = []  # EVIDENCE, with the position of each line
        self.search_notes: list[str] = []  # what the search for possible duplicates left out, in sentences

    def _reader(self, side: Side) -> SideReader:
        p = self.planning
        reader = SideReader(
            self.bound,
            self.bound.side(side),
            p.snapshots[side],
            p.systems[side],
            p.rulebook,
            p.workspace,
            p.today,
            p.tables,
            p.coupled,
        )
        reader.with_code = side == "local" or self._key_is_written(side)
        reader.resemblance = likenesses(self.bound, side)
        return reader

    def _key_is_written(self, side: Side) -> bool:
        key = self.bound.side(side).key
        return key is not None and any(
            f.destination == key for p in self.bound.passes if DESTINATION[p] == side for f in self.bound.fields[p]
        )

    # -- reading -------------------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        p, bound = self.planning, self.bound
        for table in ("couplings", "pairs", "det", "x_to", "x_from", "w_to", "w_from", "decided_to", "decided_from", "d_local",
                      "d_integration", "n_local", "n_integration", "k_local", "k_integration", "lone", "all_local", "all_integration", "all_couplings"):  # fmt: skip
            self.con.execute(f"DROP TABLE IF EXISTS {table}")
        for in_pass in bound.passes:
            for f in bound.fields[in_pass]:
                if f.lookup is not None:
                    p.prepare_lookup(f.lookup.mapping, in_pass)
        # what rules look things up in is read beforehand: the two sides are then read side by side, each on its own connection
        for rule in bound.rules:
            for side_name, table in rule.tables:
                p.tables(side_name, table)
            for name in rule.couplings:
                p.coupled(name)
        if p.request.whole:
            stored = self.executor.submit(p.ledger.couplings, bound.name)  # a third reader beside the two sides
            self.load("n", whole=False, keys=None)
            self.give_back()
            self.take_couplings(stored.result())
            self._versions_known()
        else:
            read_due(self)

    def take_couplings(self, stored: pa.Table) -> None:
        """Fill `couplings` with those that the run looks at."""
        self.con.register("stored", stored)
        versions = ", ".join(f"{_stamp(self.bound, side)} AS {side}_ver" for side in SIDES)
        self.con.execute(
            f"CREATE TABLE couplings AS SELECT id, local_key, integration_key, {versions}, COALESCE(skipped, FALSE) AS skipped, "
            "NULLIF(held, '') AS held, to_error, from_error, to_result = 'failure' AS to_failed, from_result = 'failure' AS from_failed, "
            "FALSE AS found FROM stored"
        )
        self.con.unregister("stored")

    def give_back(self) -> None:
        """Return to the system what this planning has freed: DuckDB keeps it for ten seconds, and gives it back at once only where the
        number of its threads is set."""
        threads = self._value("SELECT current_setting('threads')")
        for number in (1, threads):
            self.con.execute(f"SET threads = {number}")
        pa.default_memory_pool().release_unused()

    def _versions_known(self) -> None:
        """A modified-on column that is empty in every row tells neither what changed nor whether a row is still as it was."""
        for side in SIDES:
            version = self.bound.side(side).version
            if version is None or version.kind not in ("datetime", "integer"):
                continue
            rows, known = self.con.execute(f"SELECT count(*), count(ver) FROM n_{side}").fetchall()[0]
            if rows and not known:
                table = self.bound.side(side).table
                raise SynckitError(
                    f"{self.planning.systems[side].title}: the modified-on column {version.name} of {table.caption or table.name} is empty in all "
                    f"{rows:,} rows, so nobody can tell what changed. Fill it, or name another column under version: in the workspace."
                )

    def load(
        self, prefix: str, whole: bool, keys: dict[Side, list[str]] | None, where: dict[Side, list[Condition]] | None = None
    ) -> None:
        """Both sides at once: reading releases the interpreter, so two cores are used."""
        jobs = []
        for side in SIDES:
            wanted = None if keys is None else keys[side]
            conditions = [] if where is None else where[side]
            arguments = (self.con, f"{prefix}_{side}", self._select(side, whole), whole, wanted, conditions)
            jobs.append(self.executor.submit(self.readers[side].load, *arguments))
        for job in jobs:
            job.result()

    def load_more(self, side: Side, keys: list[str]) -> None:
        """Add the narrow rows of `keys`."""
        if keys:
            self.readers[side].load(self.con, f"n_{side}", self._select(side, False), False, keys, more=True)

    def _select(self, side: Side, whole: bool) -> str:
        if whole:
            return "SELECT * FROM {rows}"
        names = self.readers[side].schema(False).names
        return sql.narrow(self.bound, side, [f"s.{name}" for name in names if name == "code" or name.startswith("like_")])

    # -- joining -------------------------------------------------------------------------------------------------------------------

    def find_partners(self) -> None:
        """Special finders: uncoupled rows that a rule knows to be the same are taken as coupled now (3.7, S-041). They are shown every
        uncoupled row inside the filters, because a run that looks at a few must find the same partners as one that looks at all."""
        finders = [r for r in self.bound.rules if r.finder is not None]
        looked = " UNION ALL ".join(
            f"SELECT key FROM n_{s} WHERE inf AND key NOT IN (SELECT {s}_key FROM couplings)" for s in SIDES
        )
        if not finders or not self._value(f"SELECT count(*) FROM ({looked})"):
            return
        tables = {}
        for side in SIDES:
            keys = self.column(f"SELECT n.key FROM {uncoupled_rows(self, side)} ORDER BY n.key")
            reader = self.readers[side]
            names = [c.name for c in reader.side.columns]
            if reader.side.option_set is not None:
                raw = reader._options(list(dict.fromkeys([reader.side.uid.name, *names])), keys)
            else:
                raw = reader.snapshot.read(reader.side.table, list(dict.fromkeys([reader.side.uid.name, *names])), keys=keys,
                                           key_column=reader.side.uid.name).read_all()  # fmt: skip
            tables[side] = raw.append_column("key", pc.cast(raw.column(reader.side.uid.name), pa.string()))
        for rule in finders:
            assert rule.finder is not None
            local, integration = rule.finder(tables["local"], tables["integration"])
            self.con.register("found", pa.table({"lk": local, "ik": integration}))
            self.con.register("held_now", self.planning.ledger.held(self.bound.name))
            held = "(SELECT min(h.reason) FROM held_now h WHERE (h.side = 'local' AND h.key = lk) OR (h.side = 'integration' AND h.key = ik))"
            self.con.execute(
                f"INSERT INTO couplings SELECT NULL, lk, ik, NULL, NULL, FALSE, {held}, '', '', FALSE, FALSE, TRUE FROM found "
                "WHERE lk NOT IN (SELECT local_key FROM couplings) AND ik NOT IN (SELECT integration_key FROM couplings) "
                "AND (lk IN (SELECT key FROM n_local) OR ik IN (SELECT key FROM n_integration))"
            )
            self.con.unregister("found")
            self.con.unregister("held_now")
        if not self.planning.request.whole:
            self.con.execute("DROP TABLE IF EXISTS all_couplings")  # those found now belong to it
            for side in SIDES:
                partners = (
                    f"SELECT {side}_key FROM couplings WHERE found AND {side}_key NOT IN (SELECT key FROM n_{side}) ORDER BY 1"
                )
                self.load_more(side, self.column(partners))

    def join(self) -> None:
        bound, con = self.bound, self.con
        con.execute(sql.pairs(bound, self.planning.request))
        held = self.planning.ledger.held(bound.name)
        con.register("held_rows", held)
        letter_pass = {"local": "to", "integration": "from"}
        parts = [
            f"SELECT '{side}' AS side, n.key, n.inf, n.own, n.err, n.leave_out, h.reason AS held, {self._is_due(side)} AS due, CASE "
            f"WHEN h.reason IS NOT NULL THEN NULL WHEN {'FALSE' if letter_pass[side] in bound.passes else 'TRUE'} THEN 'not a source' "
            f"WHEN NOT {self._is_due(side)} THEN 'not due' "
            "WHEN NOT n.inf THEN 'outside the filter' WHEN n.leave_out <> '' THEN 'left out by rule' END AS quiet "
            f"FROM n_{side} n LEFT JOIN held_rows h ON h.side = '{side}' AND h.key = n.key "
            f"WHERE NOT EXISTS (SELECT 1 FROM couplings c WHERE c.{side}_key = n.key)"
            for side in SIDES
        ]
        con.execute(f"CREATE TABLE lone AS {' UNION ALL '.join(parts)}")
        con.unregister("held_rows")
        con.execute(
            f"""CREATE TABLE det AS SELECT row_number() OVER (ORDER BY lk NULLS LAST, ik) - 1 AS rec, * FROM (
            SELECT cid, lk, ik, TRUE AS coupled, found, skipped, held, le, ie, linf, iinf, lown, iown, lleave, ileave, lc, ic, never, ldue, idue FROM pairs
              WHERE NOT ({sql.quiet(bound, self.planning.request)})
            UNION ALL SELECT NULL, key, NULL, FALSE, FALSE, FALSE, held, TRUE, FALSE, inf, FALSE, own, FALSE, leave_out, '', TRUE, FALSE, FALSE, due, FALSE
              FROM lone WHERE side = 'local' AND quiet IS NULL
            UNION ALL SELECT NULL, NULL, key, FALSE, FALSE, FALSE, held, FALSE, TRUE, FALSE, inf, FALSE, own, '', leave_out, FALSE, TRUE, FALSE, FALSE, due
              FROM lone WHERE side = 'integration' AND quiet IS NULL)"""
        )
        # only now, and only for what needs a look, whole rows are read
        keys: dict[Side, list[str]] = {
            "local": self.column("SELECT lk FROM det WHERE le ORDER BY lk"),
            "integration": self.column("SELECT ik FROM det WHERE ie ORDER BY ik"),
        }
        self.load("d", whole=True, keys=keys)
        for side, letter in (("local", "l"), ("integration", "i")):
            read = self._value(f"SELECT count(*) FROM d_{side}")
            if read != len(keys[side]):  # type: ignore[index]
                raise SynckitError(
                    f"{self.planning.systems[side].title} changed while it was being read (mapping {bound.name}: {len(keys[side])} rows "  # type: ignore[index]
                    f"expected, {read} found). Plan again; exports must not be replaced meanwhile."
                )
            del letter

    def _is_due(self, side: Side) -> str:
        return "TRUE" if self.planning.request.whole else f"(n.key IN (SELECT key FROM due_{side}))"

    # -- deciding ------------------------------------------------------------------------------------------------------------------

    def lay_out(self) -> None:
        """Every field of the records that need a look, of all passes side by side: each statement alone keeps one core busy only."""

        def one(in_pass: Pass) -> None:
            with self.con.cursor() as cursor:
                cursor.execute(sql.wide(self.bound, in_pass))

        try:
            list(self.executor.map(one, self.bound.passes))
        except duckdb.OutOfMemoryException:  # a portion of the records at a time takes a portion of the memory
            last = self._value("SELECT max(rec) FROM det") or 0
            for in_pass in self.bound.passes:
                self.con.execute(f"DROP TABLE IF EXISTS w_{in_pass}")
                wide = sql.wide(self.bound, in_pass)
                rows = wide.replace(f"CREATE TABLE w_{in_pass} AS", f"INSERT INTO w_{in_pass}")
                self.con.execute(f"{wide} WHERE FALSE")
                for start in range(0, last + 1, AT_ONCE):
                    self.con.execute(f"{rows} WHERE d.rec BETWEEN {start} AND {start + AT_ONCE - 1}")

    def decide(self, in_pass: Pass) -> None:
        con, bound = self.con, self.bound
        con.execute(
            f"CREATE TABLE x_{in_pass} AS SELECT w.rec, w.error, bool_or(p.state = 'failing') AS parent_failing "
            f"FROM (SELECT w.rec, w.r_parent, w.r_parent_key, {self._insert_error(in_pass)} AS error FROM w_{in_pass} w) w "
            "LEFT JOIN planned p ON p.mapping = w.r_parent AND p.source_key = w.r_parent_key GROUP BY ALL"
        )
        con.execute(f"CREATE TABLE decided_{in_pass} AS {sql.decide(bound, in_pass, self.planning.request, self.only_coupled)}")

    @cached_property
    def only_coupled(self) -> bool:
        """Synch. Only Coupled Records, as the ledger's settings override the file."""
        setting = self.planning.ledger.settings().get(f"only_coupled:{self.bound.name}")
        return self.bound.mapping.only_coupled if setting is None else setting["value"] != "false"

    def _insert_error(self, in_pass: Pass) -> str:
        """SQL for what would make the destination refuse a new row: its key exists, or a value that it requires is blank."""
        destination = self.bound.destination(in_pass)
        tests = []
        for f in sql.expressions(self.bound, in_pass):
            column = f.plan.destination
            if destination.key is not None and column == destination.key:
                value = f"w.n{f.number}"
                tests.append(
                    f"WHEN {value} IN (SELECT code FROM {self.whole_table(destination.side)} WHERE code IS NOT NULL) "
                    f"OR count(*) OVER (PARTITION BY {value}) > 1 AND {value} IS NOT NULL "
                    f"THEN 'key_collision\x1f{_quoted(f.plan.name)}\x1f' || {value}"
                )
            if not column.nullable and destination.schema.blank == "null" and column != destination.uid and not f.plan.rule:
                tests.append(f"WHEN w.n{f.number} IS NULL THEN 'required_blank\x1f{_quoted(f.plan.name)}\x1f'")
        return f"CASE {' '.join(tests)} END" if tests else "NULL::VARCHAR"

    def column(self, query: str) -> list[Any]:
        return [row[0] for row in self.con.execute(query).fetchall()]

    def _value(self, query: str) -> Any:
        rows = self.con.execute(query).fetchall()
        return rows[0][0] if rows else None

    def raw_columns(self, side: Side) -> set[str]:
        """Names of the unstaged columns that rules asked for, as the details hold them."""
        return {r[0] for r in self.con.execute(f"DESCRIBE d_{side}").fetchall() if r[0].startswith("raw_")}

    def raw_values(self, side: Side, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        if not names:
            return {}
        columns = ", ".join(f'"raw_{n}"' for n in names)
        return {
            r[0]: dict(zip(names, r[1:], strict=True)) for r in self.con.execute(f"SELECT key, {columns} FROM d_{side}").fetchall()
        }

    # -- results -------------------------------------------------------------------------------------------------------------------

    def result(self) -> MappingPlan:
        bound = self.bound
        rows, changes, errors, depends, quiet, duplicates, conflicts = [], [], [], [], [], [], []
        creates: dict[tuple[str, str], pa.Table] = {}
        made: dict[Pass, Creates] = {}
        deferred: list[dict[str, Any]] = []
        created_in = self._each_pass(planned_creates)
        alike = {p: self._unjudged(p, resembling(self, p, created_in[p])) for p in bound.passes}
        self.give_back()

        def describing(me: MappingPlanner, in_pass: Pass) -> Described:
            likely = alike[in_pass].filter(pc.greater_equal(alike[in_pass].column("score"), THRESHOLD))
            return describe(me, in_pass, created_in[in_pass], set(likely.column("record").to_pylist()))

        described = self._each_pass(describing)
        self.give_back()
        for in_pass in bound.passes:
            made[in_pass] = created = created_in[in_pass]
            if created.table.num_rows:
                creates[bound.name, in_pass] = created.table
            duplicates.append(alike[in_pass])
            found = described[in_pass]
            rows.append(found.rows)
            changes.append(found.changes)
            errors.append(found.errors)
            depends.append(found.depends)
            conflicts.append(found.conflicts)
            more_rows, more_changes = follow_ups(self, in_pass, created.table, found.rows, found.changes)
            rows.append(more_rows)
            changes.append(more_changes)
            deferred += found.deferred
            quiet.append(self._quiet(in_pass, made))
        counts = {side: self._rows_of(side) for side in SIDES}
        table = pa.concat_tables([ROWS.empty_table(), *rows])
        still = pa.concat_tables(quiet) if quiet else _no_quiet()
        if self.planning.request.whole:
            self._account(still, counts, made)
        review = review_line(self, counts)
        head = MappingHead(
            name=bound.name,
            direction=bound.mapping.direction,
            kind=bound.mapping.kind,
            passes=bound.passes,
            only_coupled=self.only_coupled,
            recommendation=review.column("recommendation")[0].as_py(),
            fingerprint=fingerprint(bound),
            tables={side: bound.side(side).table.name for side in SIDES},
            keys={side: bound.side(side).uid.name for side in SIDES},
            counts=counts,
            seen={p: self._seen(p) for p in bound.passes},
            columns={p: made[p].columns for p in bound.passes},
            drawn={p: made[p].drawn for p in bound.passes if made[p].drawn},
            not_due={p: not_due(self, p, counts) for p in bound.passes},
            resets=self.planning.request.from_start and not self.planning.request.chosen,
            preferred=preferred(bound),
        )
        alike = pa.concat_tables([DUPLICATES.empty_table(), *duplicates])
        return MappingPlan(
            head, table, pa.concat_tables([CHANGES.empty_table(), *changes]), pa.concat_tables([ERRORS.empty_table(), *errors]),
            pa.concat_tables([DEPENDS.empty_table(), *depends]), review,
            alike, still, creates, pa.concat_tables([CONFLICTS.empty_table(), *conflicts]), deferred, bound, self._likeness(alike),
        )  # fmt: skip

    def _unjudged(self, in_pass: Pass, lines: pa.Table) -> pa.Table:
        """`lines` with the prints of their records, without the pairs that were judged not to be the same."""
        keys: dict[Side, list[str]] = {
            side: lines.filter(pc.equal(lines.column("existing_side"), side)).column("existing_key").to_pylist() for side in SIDES
        }
        source = SOURCE[in_pass]
        keys[source] += lines.column("source_key").to_pylist()
        found = {side: prints(self.bound, side, self.planning.snapshots[side], keys[side]) for side in SIDES}
        existing = zip(lines.column("existing_side").to_pylist(), lines.column("existing_key").to_pylist(), strict=True)
        columns = {
            "source_print": [found[source].get(k) for k in lines.column("source_key").to_pylist()],
            "existing_print": [found[s].get(k) for s, k in existing],
        }
        for name, values in columns.items():
            lines = lines.set_column(lines.schema.get_field_index(name), name, pa.array(values, pa.string()))
        return without_judged(self.planning.ledger, self.bound.name, source, lines)

    def _likeness(self, alike: pa.Table) -> Likeness | None:
        """The evidence on possible duplicates, and what coupling each of those pairs would write."""
        if not alike.num_rows and not self.search_notes:
            return None
        free = [
            (r["source_key"], r["existing_key"]) if r["pass"] == "to" else (r["existing_key"], r["source_key"])
            for r in alike.to_pylist() if not r["existing_coupled"] and r["existing_side"] == DESTINATION[r["pass"]]
        ]  # fmt: skip
        pairs, changes = first_synchronisation(self, free)
        evidence = pa.Table.from_pylist(list({(e["source_key"], e["existing_side"], e["existing_key"], e["position"]): e for e in self.evidence}.values()), EVIDENCE)  # fmt: skip
        return Likeness(evidence, pairs, changes, tuple(self.search_notes))

    def _each_pass(self, step: Callable[[MappingPlanner, Pass], Found]) -> dict[Pass, Found]:
        """A step of every pass; side by side where no pass asks what the one before it made of a record."""
        if not self.planning.request.whole:
            return {in_pass: step(self, in_pass) for in_pass in self.bound.passes}

        def one(in_pass: Pass) -> Found:
            with self.con.cursor() as cursor:
                me = copy.copy(self)
                me.con = cursor
                return step(me, in_pass)

        try:
            return dict(zip(self.bound.passes, self.executor.map(one, self.bound.passes), strict=True))
        except duckdb.OutOfMemoryException:  # one after the other takes half the memory
            return {in_pass: one(in_pass) for in_pass in self.bound.passes}

    def _seen(self, in_pass: Pass) -> str:
        """The latest version among the source rows that the pass looked at, as ISO text (the new watermark)."""
        side = SOURCE[in_pass]
        version = self.bound.side(side).version
        # a run of chosen records says nothing of the rows before them
        if version is None or version.kind not in ("datetime", "integer") or self.planning.request.chosen:
            return ""
        latest = self._value(f"SELECT max(ver) FROM n_{side} n WHERE inf AND {self._is_due(side)}")
        if latest is None:
            return ""
        return (
            str(latest)
            if version.kind == "integer"
            else str(self._value(f"SELECT make_timestamp({int(latest)})")).replace(" ", "T")
        )

    def _quiet(self, in_pass: Pass, made: dict[Pass, Creates]) -> pa.Table:
        """Records that need no look in this pass."""
        bound = self.bound
        source = SOURCE[in_pass]
        query = f"SELECT lk AS local_key, ik AS integration_key, 'unchanged' AS disposition FROM pairs WHERE {sql.quiet(bound, self.planning.request)}"
        if not self.planning.request.whole:
            query += f" AND {sql.LETTER[source]}due"
        for side in SIDES:
            keys = "key, NULL" if side == "local" else "NULL, key"
            disposition = "quiet" if side == source else "'not a source'"
            query += f" UNION ALL SELECT {keys}, {disposition} FROM lone WHERE side = '{side}' AND quiet <> 'not due'"
        table = self.con.sql(query).to_arrow_table()
        # rows that the first pass creates are seen by the second, and are as they should be
        if in_pass == "from" and "to" in made and made["to"].table.num_rows:
            echo = made["to"].table
            table = pa.concat_tables([table, pa.table({"local_key": echo.column("source_key"), "integration_key": echo.column("key"),
                                                       "disposition": pa.repeat(pa.scalar("unchanged"), echo.num_rows)}).cast(table.schema)])  # fmt: skip
        n = table.num_rows
        return pa.table({"mapping": pa.repeat(pa.scalar(bound.name), n), "pass": pa.repeat(pa.scalar(in_pass), n),
                         **{c: pc.cast(table.column(c), pa.string()) for c in table.column_names}})  # fmt: skip

    def _rows_of(self, side: Side) -> int:
        """How many rows the side's table has, looked at or not."""
        reader = self.readers[side]
        if self.planning.request.whole or reader.side.option_set is not None:
            return int(self._value(f"SELECT count(*) FROM n_{side}"))
        return (
            int(self._value(f"SELECT count(*) FROM k_{side}"))
            if self._there(f"k_{side}")
            else reader.snapshot.count(reader.side.table)
        )

    def whole_table(self, side: Side) -> str:
        """Name of a narrow table with every row of the side, read now where an incremental run has read a few only."""
        if self.planning.request.whole:
            return f"n_{side}"
        if not self._there(f"all_{side}"):
            self.readers[side].load(self.con, f"all_{side}", self._select(side, False), False)
        return f"all_{side}"

    @cached_property
    def lookalikes(self) -> Duplicates | None:
        """Likely same pairs among the uncoupled rows, searched once for both passes; None where that search is not made."""
        return search(self)

    def names(self, side: Side, keys: list[str]) -> dict[str, str]:
        """What records are called on screens, by key."""
        bound = self.bound.side(side)
        if bound.name is None or bound.option_set is not None or not keys:
            return {}
        columns = list(dict.fromkeys([bound.uid.name, bound.name.name]))
        rows = (
            self.planning.snapshots[side].read(bound.table, columns, keys=sorted(set(keys)), key_column=bound.uid.name).read_all()
        )
        return dict(
            zip(
                rows.column(0).cast(pa.string()).to_pylist(),
                rows.column(len(columns) - 1).cast(pa.string()).to_pylist(),
                strict=True,
            )
        )

    def all_couplings(self) -> str:
        """Name of a table with both keys of every coupling of the mapping, and those found now."""
        if self.planning.request.whole:
            return "couplings"
        if not self._there("all_couplings"):
            self.con.register("keys_now", self.planning.ledger.coupled_keys(self.bound.name))
            self.con.execute(
                "CREATE TABLE all_couplings AS SELECT id, local_key, integration_key, FALSE AS found FROM keys_now "
                "UNION ALL SELECT id, local_key, integration_key, found FROM couplings WHERE found"
            )
            self.con.unregister("keys_now")
        return "all_couplings"

    def _there(self, table: str) -> bool:
        return bool(self._value(f"SELECT count(*) FROM duckdb_tables() WHERE table_name = '{table}'"))

    def _account(self, quiet: pa.Table, counts: dict[Side, int], made: dict[Pass, Creates]) -> None:
        """Promise 3: every row of each side has exactly one disposition in each pass."""
        for in_pass in self.bound.passes:
            for side in SIDES:
                whole = counts[side]
                if side == "integration" and in_pass == "from" and "to" in made:
                    keys = made["to"].table.column("key")
                    whole += len(keys) - keys.null_count  # a key that the system draws is not known yet
                seen = self._value(
                    f"SELECT count(*) FROM det WHERE {'le' if side == 'local' else 'ie'}"
                ) + pc.sum(pc.and_(pc.equal(quiet.column("pass"), in_pass), pc.is_valid(quiet.column(f"{side}_key"))), min_count=0).as_py()  # fmt: skip
                if side == "local" and in_pass == "from" and "to" in made:
                    seen -= made["to"].table.num_rows  # the echo names rows that `det` has already counted
                if seen != whole:
                    raise AssertionError(
                        f"{self.bound.name}, pass {in_pass}: {whole} rows on the {side} side, {seen} accounted for"
                    )


def _stamp(bound: BoundMapping, side: Side) -> str:
    """SQL that turns a coupling's stamp into the form of the narrow table's `ver`."""
    version = bound.side(side).version
    column = f"NULLIF({side}_stamp, '')"
    if version is None:
        return "NULL::BIGINT"
    if version.kind == "datetime":
        return f"epoch_us(TRY_CAST(replace({column}, 'Z', '') AS TIMESTAMP))"
    if version.kind == "integer":
        return f"TRY_CAST({column} AS BIGINT)"
    return f"CAST(hash({column}) % 9223372036854775807 AS BIGINT)"


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _no_quiet() -> pa.Table:
    return pa.table({n: pa.array([], pa.string()) for n in ("mapping", "pass", "local_key", "integration_key", "disposition")})


def plan_mapping(planning: Planning, bound: BoundMapping, executor: Executor) -> MappingPlan:
    """Plan one mapping over the snapshots and over what has been planned before it; register what it plans for those after it."""
    planner = MappingPlanner(planning, bound, executor)
    planner.read()
    planner.find_partners()
    planner.join()
    planner.lay_out()
    planner.give_back()
    for in_pass in bound.passes:
        planner.decide(in_pass)
    plan = planner.result()
    planning.known[bound.name] = known_after(planner, plan)
    planning.progress(bound.name, sum(plan.head.counts.values()))
    return plan
