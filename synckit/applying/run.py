"""Applying a plan: exactly its rows, in order, each chunk journalled before it is sent and booked after."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from synckit.applying import couplings as by_hand
from synckit.applying import undo
from synckit.applying.actual import COUPLING, actual_counters, coupled_first, differences
from synckit.applying.bulk import BulkChunk, goes_in_bulk
from synckit.applying.bulk import chunks as bulk_chunks
from synckit.applying.chunk import Chunk, Line, journal_uncoupled
from synckit.applying.progress import Meter, Progress, Run, run_of
from synckit.applying.values import NumberSeries
from synckit.logs import note
from synckit.mapping.model import PASS_DIRECTION, Pass
from synckit.planning import judgements
from synckit.planning.bind import DESTINATION, SIDES, SOURCE, BoundMapping, Side, bind, carries_alone
from synckit.planning.judging import judged
from synckit.planning.plan import Plan
from synckit.planning.tables import BOOKED_AS_FAILED, CARRIED_OUT, COUNTER_OF, COUPLES, UNMATCHED, WRITES

if TYPE_CHECKING:
    from synckit.workspace import Workspace

ROWS_AT_ONCE = 10_000
HEARTBEAT = timedelta(seconds=20)
EQUAL_AT_ONCE = 20_000
#: Dispositions that are booked when their job begins, or that the booking looks at.
BOOKED = (*COUPLES, *BOOKED_AS_FAILED, "excluded", "not coupled", "remove coupling")
KeepCreating = Literal["yes", "no"] | dict[str, bool]


class Cancelled(Exception):
    """Someone asked to stop; everything sent so far is booked."""


def answer_closing(ws: Workspace, run_id: int, answers: dict[str, bool]) -> None:
    """Write the answers to the closing question down after the run: True lets later runs create records of the mapping, False keeps
    "Synch. Only Coupled Records" set. They are settings of the ledger that override the file, and can be given again."""
    with ws.ledger.transaction(ws.clock()) as tx:
        for name, creating in answers.items():
            flag = f"only_coupled:{ws.description.mapping(name).name}"
            if creating or flag in ws.ledger.settings():
                tx.put_setting(flag, "false" if creating else "true", f"closing question of run {run_id}")


def _later(seen: str, mark: str | None) -> bool:
    """Whether a version lies after a watermark; versions are moments, or numbers of any length."""
    if not mark:
        return True
    return int(seen) > int(mark) if seen.isdecimal() and mark.isdecimal() else seen > mark


class Applier:
    """Carries out one plan in one run. `state` says of every planned write, by its line number in the plan, what became of it;
    `made` what a created record is called on either side; `tokens` the versions that this run itself has written."""

    def __init__(
        self,
        ws: Workspace,
        plan: Plan,
        run_id: int,
        epoch: int,
        progress: Callable[[Progress], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self.ws, self.plan, self.run_id, self.epoch = ws, plan, run_id, epoch
        self.should_stop = should_stop or (lambda: False)
        self.state: dict[int, tuple[str, str]] = {}  # line -> ("done" | "stale" | "failed" | "skipped" | "blocked", reason)
        self.made: dict[tuple[str, str], dict[str, str | None]] = {}  # (mapping, source key) -> keys and number of the new record
        self.tokens: dict[tuple[str, Side, str], str | None] = {}  # (mapping, side, key) -> version after our own write
        self.jobs: dict[tuple[str, str], str] = {}
        self.finished_jobs: set[tuple[str, str]] = set()
        self.rows = plan.rows.append_column("line", pa.array(range(plan.rows.num_rows), pa.int64()))
        self.meter = Meter(plan.writes, progress)
        self.beaten = datetime.now(UTC)
        self._bound: dict[str, BoundMapping] = {}
        self._series: dict[tuple[str, str], NumberSeries] = {}
        self.unbooked: BulkChunk | None = None  # written, its outcomes not yet in the ledger
        self._due: dict[tuple[str, Side], set[str]] = {}

    # -- the whole run -------------------------------------------------------------------------------------------------------------

    def carry_out(self, keep_creating: KeepCreating | Callable[[list[str]], dict[str, bool]]) -> Run:
        watched = gc.isenabled()
        gc.disable()  # a chunk's hundred thousand values make no cycles to look for
        try:
            with self.ws.ledger.keeping():
                return self._carry_out(keep_creating)
        finally:
            if watched:
                gc.enable()

    def _carry_out(self, keep_creating: KeepCreating | Callable[[list[str]], dict[str, bool]]) -> Run:
        status, message, closing = "finished", "", {}
        try:
            self._release()
            self._judge()
            if self.plan.base.kind == "undo":
                undo.back_before_deletes(self)
            for name in self.plan.mappings:
                if self.plan.base.mappings[name].matched:
                    self._couple_matched(name)
                for in_pass in self.plan.base.mappings[name].passes:
                    self._pass(name, in_pass)
            for name in self.plan.mappings:
                for in_pass in self.plan.base.mappings[name].passes:
                    self._second_step(name, in_pass)
            closing = self._closing(keep_creating)
        except Cancelled:
            status, message = "cancelled", "Stopped on request between two chunks; nothing is half-done."
        except BaseException:  # a chunk may have been on its way, and its job stays open: only resume can tell what became of it
            self._end_quietly()
            raise
        self._end(status, message)
        return self.result(status, closing, message)

    def _release(self) -> None:
        """A retry lifts the skip flags of what it takes up again before anything else."""
        for name in (n for n in self.plan.mappings if self.plan.base.mappings[n].released):
            with self.ws.ledger.transaction(epoch=self.epoch) as tx:
                by_hand.release(
                    self,
                    tx,
                    name,
                    [r for p in self.plan.base.mappings[name].passes for r in self.table(name, p, step=1).to_pylist()],
                )

    def _judge(self) -> None:
        """Write down which records were judged not to be the same, each once."""
        stands = judged(self.plan.decisions)  # a pair that was coupled after all is not among them
        wanted = [
            (d, a, b)
            for d in self.plan.decisions
            if d.kind == judgements.KIND
            for _, a, b in d.records
            if (d.mapping, a, b) in stands
        ]
        lines = {
            (r["mapping"], r["source_key"], r["existing_key"]): (r["source_print"], r["existing_print"])
            for r in (self.plan.base.duplicates.to_pylist() if wanted else ())
        }
        for name in dict.fromkeys(d.mapping for d, _, _ in wanted):
            known = judgements.standing(self.ws.ledger, name)
            with self.ws.ledger.transaction(epoch=self.epoch) as tx:
                for d, a, b in (w for w in wanted if w[0].mapping == name):
                    of = lines.get((name, a, b)) or lines.get((name, b, a), ("", ""))[::-1]
                    place = (d.value, *((a, b) if d.value == judgements.ACROSS else sorted((a, b))))
                    if place in known and known[place]["prints"] == {a: of[0], b: of[1]}:
                        continue
                    entry = judgements.entry(d.value, (a, b), of, d.note)
                    tx.record_decision(
                        d.by or self.ws.operator, name, d.kind, entry["local_key"], entry["integration_key"], str(entry["value"])
                    )

    def result(self, status: str, closing: dict[str, str], message: str) -> Run:
        written = sum(1 for state, _ in self.state.values() if state == "done")
        for row in differences(self):
            told = {n: row[n] for n in ("mapping", "pass", "local_key", "integration_key", "planned", "actual")}
            note("row not as planned", logging.WARNING, run=self.run_id, **told)
            note("why a row is not as planned", logging.DEBUG, run=self.run_id, **told, reason=row["reason"])  # may hold values
        note("run ended", run=self.run_id, status=status, written=written, planned=self.plan.writes)
        return run_of(self.ws, self.run_id, status, differences(self), closing, written, self.plan.writes, message)

    def _end(self, status: str, message: str) -> None:
        with self.ws.ledger.transaction(epoch=self.epoch) as tx:
            for place, job in self.jobs.items():
                if place not in self.finished_jobs:
                    tx.finish_job(job, actual_counters(self, *place), message)
            tx.finish_run(self.run_id, status, message)
            tx.drop_plan(self.run_id)

    def _end_quietly(self) -> None:
        """Say that the run was interrupted, if the ledger still listens; it shows as interrupted in any case."""
        try:
            with self.ws.ledger.transaction(epoch=self.epoch) as tx:
                tx.finish_run(self.run_id, "interrupted", "Interrupted. Run `synckit resume`.")
        except Exception:  # the first error is the one to be told
            return

    def _closing(self, keep_creating: KeepCreating | Callable[[list[str]], dict[str, bool]]) -> dict[str, str]:
        """The closing question of a full synchronisation (documentation 1.5; the default keeps the flag)."""
        asked = [n for n in self.plan.mappings if self.plan.base.mappings[n].only_coupled]
        if self.plan.base.kind != "full" or not asked:
            return {}
        answers: dict[str, bool]
        if callable(keep_creating):
            answers = keep_creating(asked)
        elif isinstance(keep_creating, dict):
            answers = {self.ws.description.mapping(n).name: yes for n, yes in keep_creating.items()}
        else:
            answers = dict.fromkeys(asked, keep_creating == "yes")
        creating = [n for n in asked if answers.get(n, False)]
        if creating:
            with self.ws.ledger.transaction(epoch=self.epoch) as tx:
                for name in creating:
                    tx.put_setting(f"only_coupled:{name}", "false", f"closing question of run {self.run_id}")
        return {n: "creating" if n in creating else "kept" for n in asked}

    # -- one pass ------------------------------------------------------------------------------------------------------------------

    def _pass(self, name: str, in_pass: Pass) -> None:
        """One job: what will fail is booked with its errors first, then the writes go out chunk by chunk."""
        place = (name, in_pass)
        if place in self.finished_jobs:
            return
        table = self.table(name, in_pass, step=1)
        head = self.plan.base.mappings[name]
        if head.matched:
            table = table.filter(pc.invert(coupled_first(table)))
            counted = [d for d, counter in COUNTER_OF.items() if counter or d == "excluded"]
            if not table.filter(pc.is_in(table["disposition"], pa.array(counted))).num_rows:
                return  # nothing was coupled, or nothing is to follow: no synchronisation, no job
        booked = pc.or_kleene(pc.is_in(table["disposition"], pa.array(BOOKED)), pc.equal(table["code"], "fails_again"))
        rows = table.filter(booked).to_pylist()
        if self.plan.base.kind in ("records", "restore", "retry") and not self._concerns(name, in_pass, table):
            return  # nothing of what was chosen takes part: no job (S-013, S-033, S-089)
        self._begin(name, in_pass, rows)
        self._stamp_equal(name, in_pass, table)
        self._write(DESTINATION[in_pass], self._all_chunks(name, in_pass, table))
        with self.ws.ledger.transaction(epoch=self.epoch) as tx:
            seen = head.seen.get(in_pass, "")
            source = SOURCE[in_pass]
            if head.resets:
                tx.set_watermark(name, source, seen or None)
            elif seen and _later(seen, self.ws.ledger.watermarks(name).get(source)):
                tx.set_watermark(name, source, seen)
            counters = actual_counters(self, name, in_pass)
            tx.finish_job(self.jobs[place], counters, head.messages.get(in_pass, ""))
        self.finished_jobs.add(place)
        note("job finished", run=self.run_id, job=self.jobs[place], mapping=name, direction=PASS_DIRECTION[in_pass], **counters)

    def _begin(self, name: str, in_pass: Pass, rows: list[dict[str, Any]]) -> None:
        """Open the job of a pass, with what is booked or coupled without sending anything; nothing where it is open already."""
        place, head = (name, in_pass), self.plan.base.mappings[name]
        if place in self.jobs:
            return
        now = by_hand.versions_now(self, name, in_pass, rows)
        with self.ws.ledger.transaction(epoch=self.epoch) as tx:
            planned = self.plan.counters()[place]
            if head.matched and in_pass == head.passes[0]:
                planned = {c: n - self.plan.coupling_counters(name)[c] for c, n in planned.items()}
            job_type = "synchronization" if head.matched else by_hand.JOB_TYPES.get(self.plan.base.kind, "synchronization")
            job = self.jobs[place] = tx.start_job(self.run_id, name, PASS_DIRECTION[in_pass], job_type, planned)
            if self.plan.base.kind != "undo":  # its couplings wait for rows
                by_hand.carry_out(self, tx, name, in_pass, job, rows, now)
            self._book_predicted(tx, name, in_pass, job, rows)

    def _couple_matched(self, name: str) -> None:
        """The job of a coupling by match: one for the mapping, whatever its passes; what found no partner is booked row by row."""
        head = self.plan.base.mappings[name]
        in_pass, place = head.passes[0], (name, COUPLING)
        if place in self.finished_jobs:
            return
        table = self.table(name, in_pass, step=1)
        rows = table.filter(coupled_first(table)).to_pylist()
        if place not in self.jobs:
            now = by_hand.versions_now(self, name, in_pass, rows)
            with self.ws.ledger.transaction(epoch=self.epoch) as tx:
                job = self.jobs[place] = tx.start_job(
                    self.run_id, name, head.direction, COUPLING, self.plan.coupling_counters(name)
                )
                by_hand.carry_out(self, tx, name, in_pass, job, rows, now)
                self._book_predicted(tx, name, in_pass, job, rows)
        with self.ws.ledger.transaction(epoch=self.epoch) as tx:
            tx.finish_job(self.jobs[place], actual_counters(self, *place))
        self.finished_jobs.add(place)

    def _second_step(self, name: str, in_pass: Pass) -> None:
        rows = self.table(name, in_pass, step=2).to_pylist()
        self._write(DESTINATION[in_pass], self._chunks(self._lines(name, in_pass, rows)))

    def _write(self, side: Side, chunks: Iterator[Chunk]) -> None:
        """Send chunks over one connection; what is written is booked, whatever happens."""
        with ExitStack() as stack:
            stack.callback(self._book_rest)
            for number, chunk in enumerate(chunks):
                if not number:
                    stack.enter_context(self.ws.systems[side].writing())
                    stack.enter_context(self.ws.systems["local" if side == "integration" else "integration"].reading())
                self._send(chunk)

    def _all_chunks(self, name: str, in_pass: Pass, table: pa.Table) -> Iterator[Chunk]:
        """The writes of a pass: new rows, then those that go line by line, then changed rows."""
        if self.plan.base.kind in (*by_hand.BY_HAND, "undo"):
            yield from self._chunks(self._lines(name, in_pass, table.to_pylist()))
            return
        rows = table.filter(pc.is_in(table["disposition"], pa.array((*WRITES, "uncoupling"))))
        rows = rows.filter(pc.invert(pc.is_in(rows["line"], pa.array(list(self.state), pa.int64()))))
        in_bulk = goes_in_bulk(self, name, in_pass, rows)
        alone, rows = rows.filter(pc.invert(in_bulk)), rows.filter(in_bulk)
        new = pc.equal(rows["disposition"], "create")
        yield from bulk_chunks(self, name, in_pass, rows.filter(new), ROWS_AT_ONCE)
        yield from self._chunks(self._lines(name, in_pass, alone.to_pylist()))
        yield from bulk_chunks(self, name, in_pass, rows.filter(pc.invert(new)), ROWS_AT_ONCE)

    def table(self, name: str, in_pass: str, step: int) -> pa.Table:
        r = self.rows
        mine = pc.and_(
            pc.and_(pc.equal(r.column("mapping"), name), pc.equal(r.column("pass"), in_pass)), pc.equal(r.column("step"), step)
        )
        return r.filter(mine)

    def _book_predicted(self, tx: Any, name: str, in_pass: Pass, job: str, rows: list[dict[str, Any]]) -> None:
        """Predicted failures and undecided conflicts are booked as failed without sending anything (design section 6)."""
        failing = [r for r in rows if r["disposition"] in BOOKED_AS_FAILED or r["code"] == "fails_again"]
        # what is left out of a plan made by hand stays as it is: no run would have touched it
        held = self.plan.base.kind not in ("coupling", "uncoupling", "restore", "delete", "retry", "undo")
        left_out = [r for r in rows if r["disposition"] == "excluded"] if held else []
        source = SOURCE[in_pass]
        errors: dict[int, list[dict[str, Any]]] = {}
        for error in self.plan.base.errors.to_pylist():
            if error["mapping"] == name and error["pass"] == in_pass:
                errors.setdefault(error["record"], []).append(error)
        coupled = tx.couplings_of(
            name, source, [r[f"{source}_key"] for r in (*failing, *left_out) if r["coupled"] and r[f"{source}_key"]]
        )
        booked, marked, due = [], [], []
        for row in failing:
            common = {"job_id": job, "run_id": self.run_id, "mapping": name, "local_key": row["local_key"],
                      "integration_key": row["integration_key"]}  # fmt: skip
            mine = errors.get(row["record"])
            for error in mine or [{"code": row["code"], "field": "", "value": None, "message": row["reason"]}]:
                booked.append({**common, **{k: error[k] or "" for k in ("code", "field", "value", "message")}})
            coupling = coupled.get(row[f"{source}_key"])
            if coupling is not None:
                marked.append(
                    {"id": coupling["id"], "code": row["code"], "message": row["reason"], "skipped": row["code"] == "fails_again"}
                )
            by_itself = row["coupled"] or not (self.plan.base.kind == "coupling" or row["code"] in UNMATCHED)
            if row[f"{source}_key"] and row["code"] != "fails_again" and by_itself:
                due.append(
                    {"mapping": name, "side": source, "key": row[f"{source}_key"], "reason": row["reason"], "run_id": self.run_id}
                )
        if self.plan.base.kind == "modified":
            due += [{"mapping": name, "side": source, "key": r[f"{source}_key"], "reason": r["reason"], "run_id": self.run_id}
                    for r in rows if r["disposition"] == "not coupled"]  # fmt: skip
        self._remove_couplings(tx, name, in_pass, job, [r for r in rows if r["disposition"] == "remove coupling"])
        tx.book_errors(booked)
        tx.mark_results(marked, in_pass, job)
        tx.set_due(due)
        tx.clear_due(name, source, [r[f"{source}_key"] for r in failing if r["code"] == "fails_again" and r[f"{source}_key"]])
        reason = f"left out of run {self.run_id} by {self.ws.operator}"
        tx.hold_couplings([coupled[r[f"{source}_key"]]["id"] for r in left_out if r[f"{source}_key"] in coupled], reason)
        lone = [r for r in left_out if r[f"{source}_key"] not in coupled]
        tx.set_held(
            [{"mapping": name, "side": source, "key": r[f"{source}_key"], "reason": reason, "run_id": self.run_id} for r in lone]
        )

    def _concerns(self, name: str, in_pass: Pass, table: pa.Table) -> bool:
        skipped = table.filter(
            pc.and_(pc.equal(table["disposition"], "skipped"), pc.is_in(table["code"], pa.array(["skipped", "already_coupled"])))
        ).num_rows
        counted = sum(self.plan.counters()[name, in_pass].values())
        return counted > skipped or bool(self.plan.base.mappings[name].messages)

    def _remove_couplings(self, tx: Any, name: str, in_pass: Pass, job: str, rows: list[dict[str, Any]]) -> None:
        """Remove the couplings of rows whose partner is gone, as the mapping's policy says; the journal keeps what they were."""
        coupled = tx.couplings_of(name, SOURCE[in_pass], [r[f"{SOURCE[in_pass]}_key"] for r in rows])
        ids = [c["id"] for c in coupled.values()]
        journal_uncoupled(tx, self.run_id, job, in_pass, list(coupled.values()))
        tx.remove_couplings(ids)

    def _stamp_equal(self, name: str, in_pass: Pass, table: pa.Table) -> None:
        """Rows found equal are in step: both stamps become the versions seen (S-057); what another pass still carries stays open."""
        source, destination = SOURCE[in_pass], DESTINATION[in_pass]
        known = [pc.is_valid(table["local_key"]), pc.is_valid(table["integration_key"]), table["coupled"]]
        equal = table.filter(pc.and_(pc.and_(known[0], known[1]), pc.and_(known[2], pc.equal(table["disposition"], "unchanged"))))
        # each pass speaks for its own source side where the other side may have changed what its own pass has still to carry
        sides = (source,) if carries_alone(self.bound(name), "from" if in_pass == "to" else "to") else SIDES
        asked = ("integration_stamp" if side == "integration" else "local_stamp" for side in SIDES)
        more = (*asked, "fingerprints", f"{in_pass}_result")
        for start in range(0, equal.num_rows, EQUAL_AT_ONCE):
            part = equal.slice(start, EQUAL_AT_ONCE)
            c = {n: part[n].to_pylist() for n in ("local_key", "integration_key", "code", "integration_print")}
            now = {s: self.versions(name, s, c[f"{s}_key"], part[f"{s}_token"].to_pylist()) for s in SIDES}
            with self.ws.ledger.transaction(epoch=self.epoch) as tx:
                coupled = tx.partners(name, source, c[f"{source}_key"], more)
                stamps: list[dict[str, Any]] = []
                recovered: list[dict[str, Any]] = []  # what failed before and is equal now has succeeded
                for n, (key, partner) in enumerate(zip(c[f"{source}_key"], c[f"{destination}_key"], strict=True)):
                    found = coupled.get(key)
                    if found is None or found[1] != partner:
                        continue
                    if c["code"][n] != "equal" and not self._carried_before(name, in_pass, c["integration_key"][n]):
                        continue
                    # the print was taken at planning: after a write of this run it is the writer's to say what both sides hold now
                    printed = c["integration_print"][n] if c["code"][n] == "equal" else None
                    wanted = [now[s][n] if s in sides else None for s in SIDES] + [printed]
                    if found[5] == "failure" or any(
                        new is not None and new != old for new, old in zip(wanted, found[2:5], strict=True)
                    ):
                        stamp = dict(zip(("local_stamp", "integration_stamp", "fingerprints"), wanted, strict=True))
                        (recovered if found[5] == "failure" else stamps).append({"id": found[0], **stamp})
                tx.stamp(stamps)
                tx.stamp(recovered, in_pass, self.jobs[name, in_pass])
                self.settle_due(tx, name, source, c[f"{source}_key"])

    def _carried_before(self, name: str, in_pass: Pass, integration_key: str) -> bool:
        """Whether the first pass of this run has carried this record's changes, so that the second finds nothing left to do."""
        return in_pass == "from" and (name, "integration", integration_key) in self.tokens

    def version(self, name: str, side: Side, row: dict[str, Any]) -> str | None:
        """The version that a row has as far as this run knows: what our own write left, else what planning saw."""
        return self.tokens.get((name, side, row[f"{side}_key"]), row[f"{side}_token"])

    def versions(self, name: str, side: Side, keys: Sequence[str], tokens: list[str | None]) -> list[str | None]:
        """As `version`, for many rows: keys, and the versions that planning saw."""
        if not self.tokens:
            return tokens
        known = self.tokens
        return [known.get((name, side, key), token) for key, token in zip(keys, tokens, strict=True)]

    def remember(self, name: str, side: Side, keys: Sequence[str], tokens: Sequence[str | None]) -> None:
        """The versions that our own writes left."""
        self.tokens.update({(name, side, key): token for key, token in zip(keys, tokens, strict=True)})

    def settle_due(self, tx: Any, name: str, side: Side, keys: Iterable[str]) -> None:
        """Rows that are in step now are no longer due; the few that were are known from the first look."""
        if (name, side) not in self._due:
            self._due[name, side] = tx.due_keys(name, side)
        due = self._due[name, side]
        tx.clear_due(name, side, sorted(due.intersection(keys)) if due else [])

    def book(self, tx: Any) -> None:
        """Book the chunk that was written last, in a transaction of the ledger that is open anyway."""
        chunk, self.unbooked = self.unbooked, None
        if chunk is not None:
            chunk.book_all(tx)

    def _book_rest(self) -> None:
        if self.unbooked is not None:
            with self.ws.ledger.transaction(epoch=self.epoch) as tx:
                self.book(tx)

    # -- chunks --------------------------------------------------------------------------------------------------------------------

    def _lines(self, name: str, in_pass: Pass, rows: list[dict[str, Any]]) -> Iterator[Line]:
        """The planned writes that are still to be sent, with their values."""
        # one that writes no row was carried out when its job began
        sent = CARRIED_OUT if self.plan.base.kind == "undo" else (*WRITES, "uncoupling")
        wanted = [r for r in rows if r["disposition"] in sent and r["line"] not in self.state]
        if not wanted:
            return
        created = self.plan.base.creates.get((name, in_pass))
        by_record = {} if created is None else {r["record"]: r for r in created.to_pylist()}
        c = self.plan.fields
        mine = c.filter(pc.and_(pc.equal(c.column("mapping"), name), pc.equal(c.column("pass"), in_pass)))
        changes: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for change in mine.to_pylist():
            changes.setdefault((change["record"], change["step"]), []).append(change)
        number: dict[int, int] = {}  # several second-step rows of one record stand in the order of their changes
        earlier: dict[int, int] = {}
        for row in rows:
            if row["step"] == 2:
                number[row["line"]] = earlier.get(row["record"], 0)
                earlier[row["record"]] = number[row["line"]] + 1
        for row in wanted:
            here = changes.get((row["record"], row["step"]), [])
            if row["step"] == 2:
                here = here[number[row["line"]] : number[row["line"]] + 1]
            yield Line(row, by_record.get(row["record"]) if row["disposition"] in ("create", "restore") else None, here)

    def _chunks(self, lines: Iterator[Line]) -> Iterator[Chunk]:
        """Lines of one mapping and pass in chunks; a chunk writes one table of one side with one kind of row."""
        waiting: list[Line] = []
        for line in lines:
            if waiting and (len(waiting) >= ROWS_AT_ONCE or line.kind != waiting[0].kind):
                yield self.chunk(waiting)
                waiting = []
            waiting.append(line)
        if waiting:
            yield self.chunk(waiting)

    def chunk(self, lines: list[Line]) -> Chunk:
        if self.plan.base.kind == "undo":
            return undo.UndoChunk(self, lines)
        return (by_hand.CouplingChunk if self.plan.base.kind in by_hand.BY_HAND else Chunk)(self, lines)

    def _send(self, chunk: Chunk) -> None:
        if self.should_stop():
            raise Cancelled
        if datetime.now(UTC) - self.beaten > HEARTBEAT:
            self.ws.ledger.lease.heartbeat(self.epoch)
            self.beaten = datetime.now(UTC)
        if not isinstance(chunk, BulkChunk):
            self._book_rest()
        chunk.carry_out()
        self.meter.add(chunk.mapping, chunk.in_pass, chunk.count)

    # -- what chunks need ----------------------------------------------------------------------------------------------------------

    def bound(self, name: str) -> BoundMapping:
        if name not in self._bound:
            schemas = {side: self.ws.systems[side].schema for side in SIDES}
            self._bound[name] = bind(self.ws.description.mapping(name), self.ws.description, schemas)
        return self._bound[name]

    def remember_pair(self, name: str, row: dict[str, Any]) -> None:
        """A pair that was coupled by decision: what waits for either of its two planned creates goes on with the other record."""
        for key in (row["local_key"], row["integration_key"]):
            code = self._codes.get((name, row["local_key"]))
            self.made[name, key] = {"local_key": row["local_key"], "integration_key": row["integration_key"], "code": code}

    @cached_property
    def _codes(self) -> dict[tuple[str, str], str | None]:
        return {(p["mapping"], p["local_key"]): p["local_code"] for p in self.plan.base.pairs.to_pylist()}

    def series(self, name: str, in_pass: Pass) -> NumberSeries:
        """The number series of new rows, read from the destination when first needed."""
        if (name, in_pass) not in self._series:
            side = self.bound(name).destination(in_pass)
            column = side.table.column(self.plan.base.mappings[name].drawn[in_pass])
            with self.ws.systems[side.side].snapshot() as snapshot:
                numbers = snapshot.read(side.table, [column.name]).read_all().column(0).cast(pa.string()).to_pylist()
            self._series[name, in_pass] = NumberSeries(name, numbers)
        return self._series[name, in_pass]
