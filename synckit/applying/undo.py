"""Carrying out an undo: rows go back, couplings go or return with all they held, and what was undone is held until someone decides."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synckit.applying.chunk import Line, Sending, journal_uncoupled
from synckit.applying.couplings import CouplingChunk
from synckit.applying.values import blank_of, typed
from synckit.mapping.model import PASS_DIRECTION
from synckit.planning.bind import SIDES, SOURCE
from synckit.planning.tables import WRITES
from synckit.systems.canonical import version_column
from synckit.systems.protocol import Outcome, Write

if TYPE_CHECKING:
    from synckit.applying.run import Applier
    from synckit.ledger.transaction import Transaction

Pair = tuple[str, str, str]


@dataclass
class Undone:
    """What an applier needs to know of the run that it takes back: the couplings that the run removed, as they were, what waits for
    what (plan lines), and the rows that the run itself had left held: undoing an undo lifts those holds."""

    run: int
    removed: dict[Pair, dict[str, Any]]
    waits: dict[int, list[int]]
    held: set[tuple[str, str, str]]

    @property
    def reason(self) -> str:
        return f"undone by run {self.run}"


def undone(applier: Applier) -> Undone:
    """Looked up once per run."""
    known: Undone | None = applier.__dict__.get("undone")
    if known is None:
        plan, ledger = applier.plan, applier.ws.ledger
        run = next(iter(plan.base.mappings.values())).undoes
        removed: dict[Pair, dict[str, Any]] = {}
        for entry in ledger.journal(run=run).to_pylist():
            if entry["op"] == "uncouple" and entry["state"] == "done":
                removed.setdefault(
                    (entry["mapping"], entry["local_key"], entry["integration_key"]), json.loads(entry["before"] or "{}")
                )
        places = zip(*(applier.rows.column(c).to_pylist() for c in ("mapping", "pass", "record", "line")), strict=True)
        line = {(m, p, r): n for m, p, r, n in places}
        waits: dict[int, list[int]] = {}
        for d in plan.base.depends.to_pylist():
            parent = line[d["parent_mapping"], d["parent_pass"], d["parent_record"]]
            waits.setdefault(line[d["mapping"], d["pass"], d["record"]], []).append(parent)
        reason = f"undone by run {run}"
        held = {(n, h["side"], h["key"]) for n in plan.mappings for h in ledger.held(n).to_pylist() if h["reason"] == reason}
        known = applier.__dict__["undone"] = Undone(run, removed, waits, held)
    return known


def back_before_deletes(applier: Applier) -> None:
    """Everything that waits for no delete, parents first: references are gone from the rows that stay before what they refer to is
    deleted. In rounds, as one row may wait for another."""
    waits = undone(applier).waits if applier.plan.mappings else {}
    again = True
    while again:
        before = len(applier.state)
        for name in reversed(applier.plan.mappings):
            for in_pass in applier.plan.base.mappings[name].passes:
                rows = applier.table(name, in_pass, step=1).to_pylist()
                applier._begin(name, in_pass, rows)
                done = {n for n, (state, _) in applier.state.items() if state == "done"}
                ready = [r for r in rows if r["disposition"] != "delete" and done.issuperset(waits.get(r["line"], ()))]
                for chunk in applier._chunks(applier._lines(name, in_pass, ready)):
                    applier._send(chunk)
        again = bool(waits) and len(applier.state) > before


class UndoChunk(CouplingChunk):
    """Lines of an undo: rows that are written back, restored or deleted, and couplings that go or return without a row."""

    def carry_out(self) -> None:
        waits, state = undone(self.applier).waits, self.applier.state
        pending = list(self.lines)
        while pending:
            ready = [line for line in pending if all(state.get(n, ("", ""))[0] == "done" for n in waits.get(line.number, []))]
            if not ready:
                for line in pending:
                    self._settle(line, "blocked", "What had to be undone before it was not.")
                return
            pending = [line for line in pending if line not in ready]
            writing = [line for line in ready if line.row["disposition"] in WRITES]
            sendings = [s for s in (self._prepare(line) for line in writing) if s is not None]
            sendings = self._intend(self._source_unchanged(sendings))
            if sendings:
                self.book(sendings, self._write(sendings))
            coupling = [line for line in ready if line not in writing]
            if coupling:
                self._couplings(coupling)

    # -- rows ----------------------------------------------------------------------------------------------------------------------

    def _prepare(self, line: Line) -> Sending | None:
        row = line.row
        source_key, key = row[f"{self.source}_key"] or "", row[f"{self.side}_key"]
        texts = {c["column"]: c["new"] for c in line.changes}
        if row["disposition"] == "delete" or (row["disposition"] == "update" and not self.option):
            sending = super()._prepare(line)
            if sending is not None:
                sending.source_key = source_key
            return sending
        if self.option:
            label = next(iter(line.changes), {"old": None, "new": None})
            if row["disposition"] == "update":
                return self._option_update(line, {"label": label["new"]}, {"label": label["old"]}, key, source_key)
            return self._option_insert(line, {"label": label["new"]}, key, source_key)
        values = {name: typed(text, self.table.column(name), self.system.schema) for name, text in texts.items()}
        if self.system.schema.blank == "empty":  # what the journal does not name was blank
            for column in self._present():
                blank = blank_of(column, self.system.schema)
                if blank is not None:
                    values.setdefault(column.name, blank)
        return Sending(line, Write("insert", key, values), {}, source_key, key)

    def _present(self) -> list[Any]:
        """The columns of the table that the database has, without its version."""
        description = self.applier.ws.description
        version = version_column(description.local if self.side == "local" else description.integration, self.table)
        there = {c.casefold() for c in self.system.physical_columns(self.table) or {}}
        return [c for c in self.table.columns if c.column.casefold() in there and not c.flowfield
                and c.name != self.uid.name and (version is None or c.name != version.name)]  # fmt: skip

    def _source_unchanged(self, sendings: list[Sending]) -> list[Sending]:
        if self.side == self.source:  # the row itself is the source: its own guard speaks
            return sendings
        return super()._source_unchanged(sendings)

    def book(self, sendings: list[Sending], outcomes: list[Outcome]) -> None:
        """Outcomes, couplings that go or return with their row, stamps and holds: one transaction of the ledger."""
        applier, name, of = self.applier, self.mapping, undone(self.applier)
        job = applier.jobs[name, self.in_pass]
        done = [(s, o) for s, o in zip(sendings, outcomes, strict=True) if o.state == "done"]
        own = self.option or self.table.name == self.bound.side(self.side).table.name
        with applier.ws.ledger.transaction(epoch=applier.epoch) as tx:
            tx.journal_outcomes([self._outcome(s, o) for s, o in zip(sendings, outcomes, strict=True)])
            coupled = tx.couplings_of(name, self.side, [s.key or "" for s, _ in done]) if own else {}
            kinds = {d: [(s, o) for s, o in done if s.line.row["disposition"] == d] for d in ("delete", "update", "restore")}
            ended = [
                (coupled[s.key or ""], s.line.number) for s, _ in kinds["delete"] if s.line.row["coupled"] and s.key in coupled
            ]
            journal_uncoupled(tx, applier.run_id, job, self.in_pass, [c for c, _ in ended], [n for _, n in ended])
            tx.remove_couplings([c["id"] for c, _ in ended])
            if own:
                again = {s.key for s, _ in kinds["delete"] if s.key in coupled and coupled[s.key]["held"] == of.reason}
                self._hold_rows(tx, [s.line.row for s, _ in kinds["delete"] if s.key not in again], but=self.side)
            kept = [(coupled[s.key or ""], o.token) for s, o in kinds["update"] if s.line.row["coupled"] and s.key in coupled]
            self._stamp_second(tx, kinds["update"])
            tx.stamp([{"id": c["id"], f"{self.side}_stamp": token, "fingerprints": ""} for c, token in kept])
            lifted = [c["id"] for c, _ in kept if c["held"] == of.reason]
            tx.hold_couplings(lifted, None)
            tx.hold_couplings([c["id"] for c, _ in kept if c["id"] not in lifted], f"undone by run {applier.run_id}")
            for sending, outcome in done:
                applier.tokens[name, self.side, sending.key or ""] = outcome.token
            back = [
                s.line.row
                for s, _ in kinds["restore"]
                if (name, s.line.row["local_key"], s.line.row["integration_key"]) in of.removed
            ]
            for row, refused in self._couple_again(tx, back):
                if refused:
                    tx.book_errors([{"job_id": job, "run_id": applier.run_id, "mapping": name, "local_key": row["local_key"],
                                     "integration_key": row["integration_key"], "code": "coupling_refused", "message": refused}])  # fmt: skip
            self._book_failures(tx, [(s.line, o) for s, o in zip(sendings, outcomes, strict=True) if o.state != "done"])
        for sending, outcome in done:
            self._remember(sending, outcome)

    def _remember(self, sending: Sending, outcome: Outcome) -> None:
        """The version is known to every mapping that reads the row's table."""
        for mapping in self.applier.ws.description.mappings:
            if mapping.kind != "option" and self.applier.bound(mapping.name).side(self.side).table.name == self.table.name:
                self.applier.tokens[mapping.name, self.side, sending.key or ""] = outcome.token
        super()._remember(sending, outcome)

    # -- couplings -----------------------------------------------------------------------------------------------------------------

    def _couplings(self, lines: list[Line]) -> None:
        """Couplings that go, then those that return; one transaction."""
        applier, name = self.applier, self.mapping
        job = applier.jobs[name, self.in_pass]
        states: dict[int, tuple[str, str]] = {}
        with applier.ws.ledger.transaction(epoch=applier.epoch) as tx:
            going = [line for line in lines if line.row["disposition"] == "uncoupling"]
            found = tx.couplings_of(name, "local", [line.row["local_key"] for line in going])
            ended = []
            for line in going:
                coupling = found.get(line.row["local_key"])
                if coupling is None or coupling["integration_key"] != line.row["integration_key"]:
                    states[line.number] = ("stale", "Its coupling was changed after planning.")
                else:
                    ended.append((coupling, line))
            journal_uncoupled(tx, applier.run_id, job, self.in_pass, [c for c, _ in ended], [line.number for _, line in ended])
            tx.remove_couplings([c["id"] for c, _ in ended])
            # what the undo that is taken back had held is as it was before that undo: free
            self._hold_rows(tx, [line.row for c, line in ended if c["held"] != undone(applier).reason])
            states |= {line.number: ("done", "") for _, line in ended}
            coming = [line for line in lines if line.row["disposition"] == "coupling"]
            for line, (_, refused) in zip(coming, self._couple_again(tx, [line.row for line in coming]), strict=True):
                states[line.number] = ("stale", refused) if refused else ("done", "")
            stale = [(line, *states[line.number]) for line in lines if states[line.number][0] == "stale"]
            tx.journal_intents(
                [{**self._coupling_entry(line.row, job), "state": state, "error": reason} for line, state, reason in stale]
            )
            self._book_unsent(tx, stale)
        applier.state.update(states)

    def _couple_again(self, tx: Transaction, rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
        """Couple with everything that the coupling held, its stamps at the versions that this run leaves; each row with '' or why not."""
        applier, name, of = self.applier, self.mapping, undone(self.applier)
        given = []
        for row in rows:
            pair = {"mapping": name, "local_key": row["local_key"], "integration_key": row["integration_key"]}
            held = {k: v for k, v in of.removed[name, row["local_key"], row["integration_key"]].items() if k != "id"}
            written = {
                f"{s}_stamp": applier.tokens[name, s, row[f"{s}_key"]]
                for s in SIDES
                if (name, s, row[f"{s}_key"]) in applier.tokens
            }
            lifted = any((name, s, row[f"{s}_key"]) in of.held for s in SIDES) or held.get("held") == of.reason
            reason = None if lifted else f"undone by run {applier.run_id}"
            given.append({**held, **pair, **written, "held": reason, **({"fingerprints": ""} if written else {})})
            for side in SIDES:
                if (name, side, row[f"{side}_key"]) in of.held:
                    tx.clear_held(name, side, [row[f"{side}_key"]])
        refused = {no.index: no.reason for no in tx.add_couplings(given)}
        job = applier.jobs[name, self.in_pass]
        tx.journal_intents([{**self._coupling_entry(row, job), "state": "done"} for n, row in enumerate(rows) if n not in refused])
        return [(row, refused.get(n, "")) for n, row in enumerate(rows)]

    def _coupling_entry(self, row: dict[str, Any], job: str) -> dict[str, Any]:
        op = "uncouple" if row["disposition"] == "uncoupling" else "couple"
        return {"run_id": self.applier.run_id, "job_id": job, "mapping": self.mapping, "direction": PASS_DIRECTION[self.in_pass], "op": op,
                "seq": row["line"], "local_key": row["local_key"], "integration_key": row["integration_key"]}  # fmt: skip

    def _hold_rows(self, tx: Transaction, rows: list[dict[str, Any]], but: str = "") -> None:
        """Hold the rows that no coupling speaks for any more, on every side that a pass reads from; or lift the hold that the run
        which is taken back had put on them. `but`: the side whose rows are gone."""
        of, reason = undone(self.applier), f"undone by run {self.applier.run_id}"
        sides = {SOURCE[p] for p in self.bound.mapping.passes()} - {but}
        for side in sorted(sides):
            keys = [row[f"{side}_key"] for row in rows if row[f"{side}_key"]]
            lifted = [k for k in keys if (self.mapping, side, k) in of.held]
            tx.clear_held(self.mapping, side, lifted)
            tx.set_held([{"mapping": self.mapping, "side": side, "key": k, "reason": reason, "run_id": self.applier.run_id}
                         for k in keys if k not in lifted])  # fmt: skip


__all__ = ["UndoChunk", "back_before_deletes", "undone"]
