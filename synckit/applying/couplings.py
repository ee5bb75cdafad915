"""Carrying out what changes couplings: couple, uncouple, delete a survivor, take skipped records up again; all of it journalled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from synckit.applying.chunk import Chunk, Line, Sending, journal_uncoupled
from synckit.applying.values import typed
from synckit.errors import SynckitError
from synckit.mapping.model import PASS_DIRECTION, Pass
from synckit.planning.bind import SIDES
from synckit.planning.looking import look
from synckit.systems.protocol import Outcome, Write

if TYPE_CHECKING:
    from synckit.applying.run import Applier
    from synckit.ledger.transaction import Transaction

JOB_TYPES = {"coupling": "coupling", "uncoupling": "uncoupling"}
#: Kinds of plan whose writes are about couplings: they are sent by `CouplingChunk`.
BY_HAND = ("uncoupling", "delete")
Row = dict[str, Any]


def versions_now(applier: Applier, name: str, in_pass: Pass, rows: Sequence[Row]) -> dict[tuple[str, str], str | None]:
    """(side, key) -> version of the rows that are to be coupled, as far as they still exist."""
    found: dict[tuple[str, str], str | None] = {}
    wanted = [r for r in rows if r["disposition"] == "coupling"]
    for side in SIDES if wanted else ():
        system = applier.ws.systems[side]
        with system.snapshot() as snapshot:
            for key, seen in look(applier.bound(name).side(side), snapshot, system, [r[f"{side}_key"] for r in wanted]).items():
                found[side, key] = seen.token
    return found


def carry_out(
    applier: Applier,
    tx: Transaction,
    name: str,
    in_pass: Pass,
    job: str,
    rows: Sequence[Row],
    now: dict[tuple[str, str], str | None],
) -> None:
    """Couple, and remove couplings whose removal writes to no system, in the transaction that begins their job."""
    removed: list[tuple[Row, Row]] = []
    plain: list[Row] = []  # rows to couple whose records are both free: added at once
    parents = _parents(applier, name, in_pass)
    f = applier.plan.fields
    of_couplings = f.filter(pc.and_(pc.equal(f["mapping"], name), pc.equal(f["origin"], "coupling")))
    replaced = {(c["record"], c["column"]): c["old"] for c in of_couplings.to_pylist()}
    for row in rows:
        if row["disposition"] == "coupling":
            stale = _changed(applier, row, now)
            if stale:
                _refuse(applier, tx, row, job, "couple", stale)
            elif (row["record"], "integration_key") in replaced or (row["record"], "local_key") in replaced:
                _add(applier, tx, name, job, plain)
                plain = []
                _take_over(applier, tx, name, in_pass, job, row, replaced)
            else:
                plain.append(row)
        elif row["disposition"] == "uncoupling" and row["table"] is None:
            parent = parents.get(row["record"])
            coupling = tx.couplings_of(name, "local", [row["local_key"]]).get(row["local_key"])
            if parent is not None and applier.state.get(parent, ("done", ""))[0] != "done":
                applier.state[row["line"]] = ("blocked", "Its parent was not uncoupled.")
            elif coupling is None or coupling["integration_key"] != row["integration_key"]:
                _refuse(applier, tx, row, job, "uncouple", "Its coupling was changed after planning.")
            else:
                removed.append((row, coupling))
    _add(applier, tx, name, job, plain)
    journal_uncoupled(tx, applier.run_id, job, in_pass, [c for _, c in removed], [r["line"] for r, _ in removed])
    tx.remove_couplings([c["id"] for _, c in removed])
    applier.state.update({r["line"]: ("done", "") for r, _ in removed})


def release(applier: Applier, tx: Transaction, name: str, rows: Sequence[Row]) -> None:
    """Lift the skip flag of what a retry takes up again, except where its row was left out of the plan; written down as a decision."""
    head = applier.plan.base.mappings[name]
    left_out = {r["local_key"] for r in rows if r["disposition"] == "excluded"}
    found = tx.couplings_of(name, "local", [k for k in head.released if k not in left_out])
    skipped = [c for c in found.values() if c["skipped"]]
    tx.set_skipped([c["id"] for c in skipped], False)
    for c in skipped:
        tx.record_decision(applier.ws.operator, name, "retry", c["local_key"], c["integration_key"], f"run {applier.run_id}")


def _add(applier: Applier, tx: Transaction, name: str, job: str, rows: Sequence[Row]) -> None:
    """Couple records that are both free."""
    given = [{"mapping": name, "local_key": r["local_key"], "integration_key": r["integration_key"], "coupled_by_run": applier.run_id} for r in rows]  # fmt: skip
    refused = {no.index: no.reason for no in tx.add_couplings(given)}
    for n, reason in refused.items():
        _refuse(applier, tx, rows[n], job, "couple", reason)
    done = [r for n, r in enumerate(rows) if n not in refused]
    tx.journal_intents([_entry(applier, r, job, "couple", "done") for r in done])
    applier.state.update({r["line"]: ("done", "") for r in done})
    for r in done:
        applier.remember_pair(name, r)


def _take_over(
    applier: Applier, tx: Transaction, name: str, in_pass: Pass, job: str, row: Row, replaced: dict[tuple[int, str], str | None]
) -> None:
    """Couple where another coupling gives way, if those in the way are still the ones that the plan showed."""
    local, integration = row["local_key"], row["integration_key"]
    own = tx.couplings_of(name, "local", [local]).get(local)
    holder = tx.couplings_of(name, "integration", [integration]).get(integration)
    expected = (replaced.get((row["record"], "integration_key")), replaced.get((row["record"], "local_key")))
    if (own and own["integration_key"], holder and holder["local_key"]) != expected:
        return _refuse(applier, tx, row, job, "couple", "A coupling of one of the two records was changed after planning.")
    side = applier.bound(name).local
    system = applier.ws.systems["local"]
    with system.snapshot() as snapshot:
        living = set(look(side, snapshot, system, [holder["local_key"]])) if holder else set()
    try:
        done = tx.couple(name, local, integration, "local", local_exists=living.__contains__, run_id=applier.run_id)
    except SynckitError as error:
        return _refuse(applier, tx, row, job, "couple", error.message)
    journal_uncoupled(tx, applier.run_id, job, in_pass, done.replaced, [row["line"]] * len(done.replaced))
    tx.journal_intents([_entry(applier, row, job, "couple", "done")])
    applier.state[row["line"]] = ("done", "")
    return None


def _changed(applier: Applier, row: Row, now: dict[tuple[str, str], str | None]) -> str:
    for side in SIDES:
        title = applier.ws.systems[side].title
        if (side, row[f"{side}_key"]) not in now:
            return f"Its row in {title} was deleted after planning."
        if now[side, row[f"{side}_key"]] != row[f"{side}_token"]:
            return f"Its row in {title} was changed after planning."
    return ""


def _entry(applier: Applier, row: Row, job: str, op: str, state: str, error: str = "") -> Row:
    return {"run_id": applier.run_id, "job_id": job, "mapping": row["mapping"], "direction": PASS_DIRECTION[row["pass"]], "op": op,
            "seq": row["line"], "local_key": row["local_key"], "integration_key": row["integration_key"], "state": state, "error": error}  # fmt: skip


def _refuse(applier: Applier, tx: Transaction, row: Row, job: str, op: str, reason: str) -> None:
    """Book a coupling or uncoupling that is no longer as planned."""
    tx.journal_intents([_entry(applier, row, job, op, "stale", reason)])
    tx.book_errors([{"job_id": job, "run_id": applier.run_id, "mapping": row["mapping"], "local_key": row["local_key"],
                     "integration_key": row["integration_key"], "code": "stale", "message": reason}])  # fmt: skip
    applier.state[row["line"]] = ("stale", reason)


def _parents(applier: Applier, name: str, in_pass: str) -> dict[int, int]:
    """Record -> plan line of the parent whose uncoupling it goes with."""
    if applier.plan.base.kind != "uncoupling" or not applier.plan.base.depends.num_rows:
        return {}
    r = applier.rows
    places = zip(*(r.column(c).to_pylist() for c in ("mapping", "pass", "record", "line")), strict=True)
    line = {(m, p, record): n for m, p, record, n in places}
    return {
        d["record"]: line[d["parent_mapping"], d["parent_pass"], d["parent_record"]]
        for d in applier.plan.base.depends.to_pylist()
        if d["mapping"] == name and d["pass"] == in_pass
    }


class CouplingChunk(Chunk):
    """Writes that belong to the end of a coupling: a company id is cleared, a survivor is deleted. Row first, then the coupling."""

    def _prepare(self, line: Line) -> Sending | None:
        row = line.row
        parent = _parents(self.applier, self.mapping, self.in_pass).get(row["record"])
        if parent is not None and self.applier.state.get(parent, ("done", ""))[0] != "done":
            self.applier.state[line.number] = ("blocked", "Its parent was not uncoupled.")
            return None
        op: Any = "delete" if row["disposition"] == "delete" else "update"
        key = row[f"{self.side}_key"]
        if self.option:
            self.table, place = self._option_place()
            keeper = self.system.schema.option_table
            assert keeper is not None
            self.uid = self.table.column(keeper.value)
            before = {**place, keeper.label: next((c["old"] for c in line.changes), None)}
            return Sending(line, Write("delete", key, {}, None, before), before, "", key)
        before = {c["column"]: typed(c["old"], self.table.column(c["column"]), self.system.schema) for c in line.changes}
        values = {} if op == "delete" else {c["column"]: typed(c["new"], self.table.column(c["column"]), self.system.schema) for c in line.changes}  # fmt: skip
        token = row[f"{self.side}_token"]
        expect = before if self._coarse() or token is None else None
        return Sending(line, Write(op, key, values, token, expect), before, row[f"{self.source}_key"] or "", key)

    def _source_unchanged(self, sendings: list[Sending]) -> list[Sending]:
        there = [s for s in sendings if s.line.row[f"{self.source}_token"] is not None]
        kept = {id(s) for s in super()._source_unchanged(there)}
        return [s for s in sendings if s not in there or id(s) in kept]

    def _intend(self, sendings: list[Sending]) -> list[Sending]:
        """Check that each coupling is still the planned one (a stray row: still uncoupled), and write the intents down."""
        kept: list[Sending] = []
        settled: list[Sending] = []
        with self.applier.ws.ledger.transaction(epoch=self.applier.epoch) as tx:
            coupled = tx.couplings_of(self.mapping, self.side, [s.key or "" for s in sendings])
            for sending in sendings:
                row, coupling = sending.line.row, coupled.get(sending.key or "")
                partner = coupling[f"{self.source}_key"] if coupling is not None else None
                planned = row[f"{self.source}_key"] if row["coupled"] else None
                (kept if partner == planned else settled).append(sending)
            first = tx.journal_intents([self._journal(s) for s in kept])
        for number, sending in enumerate(kept, first):
            sending.journal = number
        for sending in settled:
            self._settle(sending.line, "stale", "Its coupling was changed after planning.")
        return kept

    def book(self, sendings: list[Sending], outcomes: list[Outcome]) -> None:
        """Outcomes, and the end of the couplings whose row was written: one transaction of the ledger."""
        applier = self.applier
        job = applier.jobs[self.mapping, self.in_pass]
        done = [(s, o) for s, o in zip(sendings, outcomes, strict=True) if o.state == "done"]
        with applier.ws.ledger.transaction(epoch=applier.epoch) as tx:
            tx.journal_outcomes([self._outcome(s, o) for s, o in zip(sendings, outcomes, strict=True)])
            ending = [s for s, _ in done if s.line.row["coupled"]]
            coupled = tx.couplings_of(self.mapping, self.side, [s.key or "" for s in ending])
            ended = [(coupled[s.key or ""], s.line.number) for s in ending if s.key in coupled]
            journal_uncoupled(tx, applier.run_id, job, self.in_pass, [c for c, _ in ended], [n for _, n in ended])
            tx.remove_couplings([c["id"] for c, _ in ended])
            for side in SIDES:
                tx.clear_due(self.mapping, side, [c[f"{side}_key"] for c, _ in ended])
            self._book_failures(tx, [(s.line, o) for s, o in zip(sendings, outcomes, strict=True) if o.state != "done"])
        for sending, outcome in done:
            self._remember(sending, outcome)

    def _remember(self, sending: Sending, outcome: Outcome) -> None:
        self.applier.tokens[self.mapping, self.side, sending.key or ""] = outcome.token
        self.applier.state[sending.line.number] = ("done", "")

    def _book_unsent(self, tx: Any, said: list[tuple[Line, str, str]]) -> None:
        """The coupling stays as it is (M24), so nothing becomes due and no result is marked."""
        job = self.applier.jobs.get((self.mapping, self.in_pass), "")
        tx.book_errors([{"job_id": job, "run_id": self.applier.run_id, "mapping": self.mapping, "local_key": line.row["local_key"],
                         "integration_key": line.row["integration_key"], "code": state, "message": reason} for line, state, reason in said])  # fmt: skip
        for line, state, reason in said:
            self.applier.state[line.number] = (state, reason)


__all__ = ["BY_HAND", "JOB_TYPES", "CouplingChunk", "carry_out", "release", "versions_now"]
