"""The creates and updates that make up most of a plan, thousands at a time: columns in, columns out, no object per row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.applying.chunk import Chunk, Line
from synckit.applying.values import typed_all
from synckit.ledger import journal
from synckit.mapping.model import PASS_DIRECTION, Pass
from synckit.planning.bind import SOURCE
from synckit.planning.creates import VALUE
from synckit.systems.protocol import VERSION_TOKEN, Outcome, Writes

if TYPE_CHECKING:
    from synckit.applying.run import Applier
    from synckit.ledger.transaction import Transaction

#: Dispositions that go in bulk. Everything else (restored rows, options, second steps, pairs coupled in the plan) goes line by line.
BULK = ("create", "update", "couple")
DONE = ("done", "")


@dataclass(frozen=True)
class Part:
    """Rows of a chunk that are written alike: their places in it, what is written, and what stood there before."""

    places: Sequence[int]
    writes: Writes
    before: dict[str, list[Any]]


class BulkChunk(Chunk):
    """Creates or updates of one mapping and pass. `c`: the plan's columns by name, one list each; `rows`: their Arrow form."""

    def __init__(self, applier: Applier, rows: pa.Table, created: pa.Table | None, changes: Changes | None) -> None:
        self.rows, self.created, self.changes = rows, created, changes
        self.c: dict[str, list[Any]] = {name: rows.column(name).to_pylist() for name in _COLUMNS}
        super().__init__(applier, [self.line(0)])
        self.count = rows.num_rows
        self.dead: dict[int, tuple[str, str]] = {}  # place -> what became of a row that is not sent
        self.parts: list[Part] = []
        self.tokens: list[str | None] = []
        self.refused: dict[int, Outcome] = {}
        self.partners: dict[str, tuple[Any, ...]] = {}
        self.first = 0  # number in the journal

    def line(self, place: int) -> Line:
        return Line(
            {name: column[place].as_py() for name, column in zip(self.rows.schema.names, self.rows.columns, strict=True)}, None, []
        )

    # -- the four steps ------------------------------------------------------------------------------------------------------------

    def carry_out(self) -> None:
        """Prepare, look at the source, and write; what the chunk before wrote is booked in the transaction of this one's intent, and this
        one's by the next."""
        applier = self.applier
        self.sources: list[str] = self.c[f"{self.source}_key"]
        self.source_tokens = applier.versions(self.mapping, self.source, self.sources, self.c[f"{self.source}_token"])
        self.old_tokens = applier.versions(self.mapping, self.side, self.c[f"{self.side}_key"], self.c[f"{self.side}_token"])
        parts = list(self._creates() if self.created is not None else self._updates())
        self._look_at_source()
        with applier.ws.ledger.transaction(epoch=applier.epoch) as tx:
            applier.book(tx)
            self._intend_all(tx, parts)
        if self.parts:
            self._write_all()
            applier.unbooked = self

    def _creates(self) -> Iterator[Part]:
        """The new rows, by the columns that they fill."""
        assert self.created is not None
        columns: dict[str, list[Any]] = {}
        refs = self._references()
        schema = self.system.schema
        for name, column, _ in self._columns:
            texts = self.created.column(VALUE + name).to_pylist()
            for place, (mapping, key) in refs.get(name, {}).items():
                texts[place] = self._reference(mapping, key, place)
            columns[column.name] = typed_all(texts, column, schema)
        drawn = self.applier.plan.base.mappings[self.mapping].drawn.get(self.in_pass)
        if drawn:
            series = self.applier.series(self.mapping, self.in_pass)
            columns[drawn] = [series.draw() for _ in range(self.count)]
        keys = self.created.column("key").to_pylist()
        # a system that stores blanks as NULL is not sent them at all: its own defaults are its own affair
        partly = [] if schema.blank == "empty" else [name for name, values in columns.items() if None in values]
        for gone, places in _grouped(zip(*([v is None for v in columns[name]] for name in partly), strict=True), self.count):
            left_out = {name for name, blank in zip(partly, gone, strict=True) if blank}
            kept = {name: values for name, values in columns.items() if name not in left_out}
            writes = Writes("insert", keys, kept)
            yield Part(places, writes if len(places) == self.count else writes.take(places), {})

    def _references(self) -> dict[str, dict[int, tuple[str, str]]]:
        """Column -> place -> the planned record whose key it gets."""
        assert self.created is not None
        refs = self.created.column("refs")
        found: dict[str, dict[int, tuple[str, str]]] = {}
        for place, text in enumerate(refs.to_pylist() if refs.null_count < len(refs) else []):
            for ref in (text or "").splitlines():
                column, mapping, key = ref.split("=", 2)
                found.setdefault(column, {})[place] = (mapping, key)
        return found

    def _reference(self, mapping: str, key: str, place: int) -> str | None:
        made = self.applier.made.get((mapping, key))
        if made is None:
            self.dead[place] = ("blocked", f"The record of {mapping} that it refers to was not created.")
            return None
        return made["integration_key"] if self.side == "integration" else made["code"]

    def _updates(self) -> Iterator[Part]:
        """The changed rows, by the columns that change and by whether the version guards them."""
        assert self.changes is not None
        c, schema, coarse = self.changes, self.system.schema, self._coarse()
        keys = self.c[f"{self.side}_key"]
        spans = [c.span(record) for record in self.c["record"]]
        alike = ((tuple(c.column[a:b]), token is None) for (a, b), token in zip(spans, self.old_tokens, strict=True))
        for (pattern, unguarded), places in _grouped(alike, self.count):
            values: dict[str, list[Any]] = {}
            before: dict[str, list[Any]] = {}
            for offset, name in enumerate(pattern):
                column = self.table.column(name)
                at = [spans[place][0] + offset for place in places]
                new = [c.new[n] for n in at]
                for index, n in enumerate(at) if c.refers else ():
                    if c.ref_key[n] is not None:
                        new[index] = self._reference(c.ref_mapping[n] or "", c.ref_key[n] or "", places[index])
                values[column.name] = typed_all(new, column, schema)
                before[column.name] = typed_all([c.old[n] for n in at], column, schema)
            tokens = None if unguarded else [self.old_tokens[place] for place in places]
            expect = before if coarse or unguarded else None
            yield Part(places, Writes("update", [keys[place] for place in places], values, tokens, expect), before)

    def _look_at_source(self) -> None:
        """Drop what rests on a source row that changed or vanished since planning."""
        side = self.bound.side(self.source)
        if side.option_set is not None:
            return
        names = [side.uid.name] + ([VERSION_TOKEN] if side.version is not None else [])
        system = self.applier.ws.systems[self.source]
        with system.snapshot() as snapshot:
            rows = snapshot.read(side.table, names, keys=self.sources, key_column=side.uid.name).read_all()
        keys = rows.column(0).cast(pa.string()).to_pylist()
        now = dict(zip(keys, rows.column(1).to_pylist() if len(names) > 1 else [None] * len(keys), strict=True))
        if list(map(now.get, self.sources)) == self.source_tokens and len(now) == self.count:
            return
        for place, (key, token) in enumerate(zip(self.sources, self.source_tokens, strict=True)):
            if key not in now:
                self.dead.setdefault(place, ("stale", f"Its row in {system.title} was deleted after planning."))
            elif now[key] != token:
                self.dead.setdefault(place, ("stale", f"Its row in {system.title} was changed after planning."))

    def _intend_all(self, tx: Transaction, parts: list[Part]) -> None:
        """Check couplings and other runs' creates, and write the intents of what is left down."""
        applier = self.applier
        self.partners = tx.partners(self.mapping, self.source, self.sources, (f"{self.side}_stamp",))
        uncoupled = [key for key, coupled in zip(self.sources, self.c["coupled"], strict=True) if not coupled]
        taken = tx.held_by_others(self.mapping, self.source, uncoupled, applier.run_id) if uncoupled else set()
        if self.partners or taken or len(uncoupled) < self.count:
            for place, (key, coupled, planned) in enumerate(
                zip(self.sources, self.c["coupled"], self.c[f"{self.side}_key"], strict=True)
            ):
                found = self.partners.get(key)
                if coupled and (found is None or found[1] != planned):
                    self.dead.setdefault(place, ("stale", "Its coupling was changed after planning."))
                elif not coupled and found is not None:
                    self.dead.setdefault(place, ("stale", "It was coupled after planning."))
                elif not coupled and key in taken:
                    self.dead.setdefault(place, ("stale", "Another run is creating a record for it."))
        if self.dead:
            self._book_unsent(tx, [(self.line(place), *said) for place, said in sorted(self.dead.items())])
        for part in parts:
            alive = [n for n, place in enumerate(part.places) if place not in self.dead] if self.dead else range(len(part.places))
            if len(alive) == len(part.places):
                self.parts.append(part)
            elif alive:
                before = {name: [values[n] for n in alive] for name, values in part.before.items()}
                self.parts.append(Part([part.places[n] for n in alive], part.writes.take(alive), before))
        if not self.parts:
            return
        self.places = [place for part in self.parts for place in part.places]
        self.keys = [key for part in self.parts for key in part.writes.keys]
        mine = {self.side: self.keys, self.source: self._of(self.sources)}
        self.first = tx.journal_batch(
            journal.Batch(
                {"run_id": applier.run_id, "job_id": applier.jobs.get((self.mapping, self.in_pass), ""), "mapping": self.mapping,
                 "direction": PASS_DIRECTION[self.in_pass], "step": self.step, "side": self.side, "table_name": self.table.name,
                 "op": self.parts[0].writes.op},
                self._of(self.c["line"]), mine[self.source], mine["local"], mine["integration"], self._of(self.source_tokens),
                [token for part in self.parts for token in part.writes.tokens or (None,) * len(part.places)],
                _joined([(part.before, len(part.places)) for part in self.parts]),
                _joined([(part.writes.values, len(part.places)) for part in self.parts]),
            )
        )  # fmt: skip

    def _of(self, column: Sequence[Any]) -> list[Any]:
        """A column's values for the rows that are sent, in their order."""
        return [column[place] for place in self.places]

    # -- writing and booking -------------------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        """One transaction of the system; then what later rows of this run need to know."""
        self.tokens, self.refused = [], {}
        with self.system.writer() as writer:
            for part in self.parts:
                if part.writes.op == "update" and not part.writes.values:  # a found partner that needs no change
                    self.tokens += [self.c[f"{self.side}_token"][place] for place in part.places]
                    continue
                tokens, refused = writer.write_many(self.table, self.uid.name, part.writes)
                self.refused.update({len(self.tokens) + n: outcome for n, outcome in refused.items()})
                self.tokens += tokens
        applier = self.applier
        done = [n for n in range(len(self.places)) if n not in self.refused] if self.refused else range(len(self.places))
        self.done = done
        places = self.places if not self.refused else [self.places[n] for n in done]
        keys = self.keys if not self.refused else [self.keys[n] for n in done]
        tokens = self.tokens if not self.refused else [self.tokens[n] for n in done]
        applier.remember(self.mapping, self.side, keys, tokens)
        lines = self.c["line"]
        applier.state.update(dict.fromkeys([lines[place] for place in places], DONE))
        sources, coupled = self.sources, self.c["coupled"]
        numbers: dict[int, str] = {}
        number = self.bound.local.key if self.side == "local" else None
        for part in self.parts if number is not None else ():
            given = part.writes.values.get(number.name, part.writes.keys if number == self.uid else ())  # type: ignore[union-attr]
            numbers |= {place: str(value) for place, value in zip(part.places, given, strict=False) if value is not None}
        source, side = f"{self.source}_key", f"{self.side}_key"
        applier.made.update(
            {(self.mapping, sources[p]): {source: sources[p], side: key, "code": numbers.get(p)}
             for p, key in zip(places, keys, strict=True) if not coupled[p]}
        )  # fmt: skip

    def book_all(self, tx: Transaction) -> None:
        """Outcomes, couplings and stamps, errors and due rows."""
        applier, name, job = self.applier, self.mapping, self.applier.jobs[self.mapping, self.in_pass]
        tx.settle_batch(self.first, journal.Outcomes(self.tokens, {n: (o.state, o.error) for n, o in self.refused.items()}))
        coupled = self.c["coupled"]
        new = [n for n in self.done if not coupled[self.places[n]]]
        old = [n for n in self.done if coupled[self.places[n]] and self.sources[self.places[n]] in self.partners]
        refused = tx.add_many_couplings(
            {"mapping": name, "coupled_by_run": applier.run_id, f"{self.in_pass}_result": "success", f"{self.in_pass}_job": job},
            {f"{self.source}_key": [self.sources[self.places[n]] for n in new], f"{self.side}_key": [self.keys[n] for n in new],
             **self._stamps_of(new)},
        )  # fmt: skip
        stamps = self._stamps_of(old)
        partners = [self.partners[self.sources[self.places[n]]] for n in old]
        for n, place in enumerate(self.places[n] for n in old):
            if partners[n][2] != self.c[f"{self.side}_token"][place] and self._still_to_carry(
                self.line(place).row, {f"{self.side}_stamp": partners[n][2]}
            ):
                stamps[f"{self.side}_stamp"][n] = None
        codes = self.c["code"]
        tx.forget_failures(
            [partner[0] for n, partner in zip(old, partners, strict=True) if codes[self.places[n]] in ("chosen", "resolved")]
        )
        tx.stamp_many({**stamps, "id": [partner[0] for partner in partners]}, self.in_pass, job)
        applier.settle_due(tx, name, self.source, [self.sources[self.places[n]] for n in self.done])
        if refused:
            tx.book_errors([{"job_id": job, "run_id": applier.run_id, "mapping": name, "local_key": no.row["local_key"],
                             "integration_key": no.row["integration_key"], "code": "coupling_refused", "message": no.reason} for no in refused])  # fmt: skip
            tx.count_created(name, self.source, [no.row[f"{self.source}_key"] for no in refused])  # its key is taken and stays so
        self._book_failures(tx, [(self.line(self.places[n]), outcome) for n, outcome in sorted(self.refused.items())])

    def _stamps_of(self, rows: Sequence[int]) -> dict[str, list[Any]]:
        """As `Chunk._stamps`, for many rows."""
        every = len(rows) == self.count and list(self.places) == list(range(self.count))
        places = range(self.count) if every else [self.places[n] for n in rows]
        prints, codes = self.c["local_print" if self.in_pass == "to" else "integration_print"], self.c["code"]
        tokens: list[Any] = [self.tokens[n] for n in rows]
        if "found_partner" in codes and self._leaves_open():
            tokens = [None if codes[place] == "found_partner" else token for place, token in zip(places, tokens, strict=True)]
        return {
            f"{self.source}_stamp": [self.source_tokens[place] for place in places],
            f"{self.side}_stamp": tokens,
            "fingerprints": [
                "" if codes[place] in ("resolved", "changed_both", "policy_wins") else prints[place] for place in places
            ],
        }


_COLUMNS = (
    "record",
    "line",
    "local_key",
    "integration_key",
    "local_token",
    "integration_token",
    "coupled",
    "code",
    "local_print",
    "integration_print",
)


class Changes:
    """The planned changes of one mapping and pass as columns, those of a record side by side."""

    def __init__(self, fields: pa.Table) -> None:
        order = fields.column("record").to_pylist()
        if any(a > b for a, b in itertools.pairwise(order)):
            fields = fields.take(pc.sort_indices(fields, [("record", "ascending")]))
            order = fields.column("record").to_pylist()
        self.column: list[str] = fields.column("column").to_pylist()
        self.old: list[str | None] = fields.column("old").to_pylist()
        self.new: list[str | None] = fields.column("new").to_pylist()
        self.ref_mapping: list[str | None] = fields.column("ref_mapping").to_pylist()
        self.ref_key: list[str | None] = fields.column("ref_key").to_pylist()
        self.refers = fields.column("ref_key").null_count < fields.num_rows
        self._spans: dict[int, tuple[int, int]] = {}
        start = 0
        for n, record in enumerate(order):
            if n and order[n - 1] != record:
                self._spans[order[start]] = (start, n)
                start = n
        if order:
            self._spans[order[start]] = (start, len(order))

    def span(self, record: int) -> tuple[int, int]:
        return self._spans.get(record, (0, 0))


def _grouped(keys: Any, count: int) -> list[tuple[Any, Sequence[int]]]:
    """Rows by what they have in common; with nothing to tell them apart, all in one."""
    groups: dict[Any, list[int]] = {}
    for n, key in enumerate(keys):
        groups.setdefault(key, []).append(n)
    return list(groups.items()) if groups else [((), range(count))]


def _joined(parts: list[tuple[Any, int]]) -> dict[str, Sequence[Any]]:
    """The columns of several parts below one another, ABSENT where a part has no such column."""
    if len(parts) == 1:
        return dict(parts[0][0])
    names = dict.fromkeys(name for columns, _ in parts for name in columns)
    return {name: [v for columns, rows in parts for v in (columns.get(name) or [journal.ABSENT] * rows)] for name in names}


def chunks(applier: Applier, name: str, in_pass: Pass, rows: pa.Table, at_once: int) -> Iterator[BulkChunk]:
    """The chunks of `rows`, which all are creates or all are updates of one mapping and pass."""
    if not rows.num_rows:
        return
    created, changes = None, None
    if rows.column("disposition")[0].as_py() == "create":
        every = applier.plan.base.creates[name, in_pass]
        if _may_go_in_any_order(applier, name, in_pass, every):  # by key the couplings cost half: their index grows at its end
            rows = rows.sort_by(f"{SOURCE[in_pass]}_key")
        created = every.take(pc.index_in(rows.column("record"), value_set=every.column("record").combine_chunks()))
    else:
        f = applier.plan.fields
        mine = pc.and_(pc.and_(pc.equal(f["mapping"], name), pc.equal(f["pass"], in_pass)), pc.equal(f["step"], 1))
        changes = Changes(f.filter(mine))
    for start in range(0, rows.num_rows, at_once):
        yield BulkChunk(applier, rows.slice(start, at_once), None if created is None else created.slice(start, at_once), changes)


def _may_go_in_any_order(applier: Applier, name: str, in_pass: Pass, created: pa.Table) -> bool:
    """Whether new rows neither draw numbers, which follow the plan's order, nor refer to one another."""
    return (
        in_pass not in applier.plan.base.mappings[name].drawn
        and not pc.any(pc.match_substring(created["refs"], f"={name}=")).as_py()
    )


def goes_in_bulk(applier: Applier, name: str, in_pass: Pass, rows: pa.Table) -> pa.ChunkedArray:
    """Which rows of a pass: creates, updates and found partners of the mapping's own table, under a key that is known before."""
    none = pa.chunked_array([pa.array([False] * rows.num_rows, pa.bool_())])
    if applier.bound(name).destination(in_pass).option_set is not None:
        return none
    created = applier.plan.base.creates.get((name, in_pass))
    kinds = BULK if created is None or not created.column("key").null_count else BULK[1:]
    planned = pc.and_(pc.is_in(rows["disposition"], pa.array(kinds)), pc.is_null(rows["table"]))
    return pc.and_(planned, pc.fill_null(pc.not_equal(rows["code"], "coupled_by_you"), True))


__all__ = ["BULK", "BulkChunk", "chunks", "goes_in_bulk"]
