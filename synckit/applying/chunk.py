"""One chunk of planned writes: guarded, journalled as an intent, sent in one transaction, and booked with its outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from synckit.applying.values import typed
from synckit.ledger.transaction import error_text
from synckit.mapping.model import PASS_DIRECTION, Pass
from synckit.mapping.schema import Column, Table
from synckit.planning.bind import DESTINATION, SOURCE, Side, carries_alone
from synckit.planning.creates import VALUE
from synckit.systems.protocol import VERSION_TOKEN, Outcome, System, Write

if TYPE_CHECKING:
    from synckit.applying.run import Applier

COARSE = 1.0  # seconds: a version that ticks no finer needs the planned before-values in the guard


@dataclass
class Line:
    """One planned write: its row, the created row's values (creates), its field changes (updates)."""

    row: dict[str, Any]
    created: dict[str, Any] | None
    changes: list[dict[str, Any]]

    @property
    def kind(self) -> tuple[str, str, int]:
        """Lines of one kind may share a chunk: the same sort of write into the same table."""
        return ("create" if self.created is not None else "update", self.row["table"] or "", self.row["step"])

    @property
    def number(self) -> int:
        return int(self.row["line"])


@dataclass
class Sending:
    """A line on its way: what is written, and its place in the journal."""

    line: Line
    write: Write
    before: dict[str, Any]
    source_key: str
    key: str | None
    journal: int = 0


def journal_uncoupled(
    tx: Any, run_id: int, job_id: str, in_pass: Pass, couplings: Sequence[dict[str, Any]], lines: Sequence[int] | None = None
) -> None:
    """Write removed couplings into the journal, with all that they held, so that undo can return them. `lines`: their plan lines."""
    apart = ("mapping", "local_key", "integration_key")
    entries = [
        {"run_id": run_id, "job_id": job_id, "mapping": c["mapping"], "direction": PASS_DIRECTION[in_pass], "op": "uncouple",
         "seq": -1 if lines is None else lines[n], "local_key": c["local_key"], "integration_key": c["integration_key"],
         "before": {k: v for k, v in c.items() if k not in apart}, "state": "done"}
        for n, c in enumerate(couplings)
    ]  # fmt: skip
    if entries:
        tx.journal_intents(entries)


class Chunk:
    """Lines of one mapping, pass, table and kind of write."""

    def __init__(self, applier: Applier, lines: list[Line]) -> None:
        self.applier, self.lines, self.count = applier, lines, len(lines)
        first = lines[0].row
        self.mapping: str = first["mapping"]
        self.in_pass: Pass = first["pass"]
        self.step: int = first["step"]
        bound = applier.bound(self.mapping)
        named, _, table = (first["table"] or "").partition(":")
        self.side: Side = named if named in ("local", "integration") else DESTINATION[self.in_pass]  # type: ignore[assignment]
        self.source: Side = SOURCE[self.in_pass]
        self.system: System = applier.ws.systems[self.side]
        own = bound.side(self.side)
        self.table: Table = self.system.schema.table(table) if table and table != own.table.name else own.table
        self.uid: Column = own.uid if self.table is own.table else self.table.column(self.table.uid)
        self.bound = bound
        self.option = own.option_set is not None and self.table is own.table

    # -- the four steps ------------------------------------------------------------------------------------------------------------

    def carry_out(self) -> None:
        sendings = [s for s in (self._prepare(line) for line in self.lines) if s is not None]
        sendings = self._source_unchanged(sendings)
        sendings = self._intend(sendings)
        if not sendings:
            return
        outcomes = self._write(sendings)
        self.book(sendings, outcomes)

    def _prepare(self, line: Line) -> Sending | None:
        """The write of one line; None (with the line booked as blocked) where what it refers to was not created after all."""
        row = line.row
        source_key = row[f"{self.source}_key"] or ""
        if line.created is not None:
            return self._insert(line, source_key)
        values: dict[str, Any] = {}
        before: dict[str, Any] = {}
        for change in line.changes:
            column = self.table.column(change["column"])
            new = change["new"]
            if change["ref_key"] is not None:
                new = self._made(change["ref_mapping"], change["ref_key"], line)
                if new is None:
                    return None
            values[column.name] = typed(new, column, self.system.schema)
            before[column.name] = typed(change["old"], column, self.system.schema)
        key = row[f"{self.side}_key"]
        if self.step == 2 and not row["table"]:
            made = self.applier.made.get((self.mapping, source_key))
            key = made[f"{self.side}_key"] if made is not None and key is None else key
            if key is None:
                self._settle(line, "blocked", "Its record was not created.")
                return None
        token = self.applier.version(self.mapping, self.side, {**row, f"{self.side}_key": key})
        if self.step == 2 and (row["table"] or not token):
            expect: dict[str, Any] | None = before
            token = None
        else:
            expect = before if self._coarse() or token is None else None
        if self.option:
            return self._option_update(line, values, before, key, source_key)
        return Sending(line, Write("update", key, values, token, expect), before, source_key, key)

    @cached_property
    def _columns(self) -> list[tuple[str, Column, bool]]:
        """What new rows get: name, column, and whether a value is stored as the text that it is."""
        written = self.applier.plan.base.mappings[self.mapping].columns[self.in_pass]
        columns = [(w.column, self.table.column(w.column)) for w in written]
        return [(name, column, column.kind in ("text", "code", "guid")) for name, column in columns]

    def _insert(self, line: Line, source_key: str) -> Sending | None:
        created = line.created
        assert created is not None
        refs = {c: (m, k) for c, m, k in (ref.split("=", 2) for ref in (created["refs"] or "").splitlines())}
        values: dict[str, Any] = {}
        schema = self.system.schema
        for name, column, plain in self._columns:
            text = created[VALUE + name]
            if name in refs:
                mapping, parent = refs[name]
                text = self._made(mapping, parent, line)
                if text is None:
                    return None
            if plain and text is not None:
                values[column.name] = text
            elif text is not None or schema.blank == "empty":
                values[column.name] = typed(text, column, schema)
        drawn = self.applier.plan.base.mappings[self.mapping].drawn.get(self.in_pass)
        if drawn:
            values[drawn] = self.applier.series(self.mapping, self.in_pass).draw()
        key = created["key"]
        if self.option:
            return self._option_insert(line, values, key, source_key)
        return Sending(line, Write("insert", key, values), {}, source_key, key)

    def _made(self, mapping: str, source_key: str, line: Line) -> str | None:
        """Key or number of a record that this run created for another row; None books `line` as blocked."""
        made = self.applier.made.get((mapping, source_key))
        if made is None:
            self._settle(line, "blocked", f"The record of {mapping} that it refers to was not created.")
            return None
        return made["integration_key"] if self.side == "integration" else made["code"]

    def _coarse(self) -> bool:
        description = self.applier.ws.description
        config = description.local if self.side == "local" else description.integration
        return self.bound.side(self.side).version is None or config.version.resolution >= COARSE

    # -- options: rows of the environment's option table, known by three columns ------------------------------------------------------

    def _option_place(self) -> tuple[Table, dict[str, str]]:
        side = self.bound.side(self.side)
        keeper = self.system.schema.option_table
        assert keeper is not None and side.option_set is not None
        place = {keeper.of_column: side.option_set.name}
        if keeper.of_table:
            place[keeper.of_table] = side.table.name.split(".")[0]
        return self.system.schema.table(keeper.table), place

    def _option_insert(self, line: Line, values: dict[str, Any], key: str | None, source_key: str) -> Sending:
        keeper = self.system.schema.option_table
        self.table, place = self._option_place()
        assert keeper is not None
        self.uid = self.table.column(keeper.value)
        return Sending(line, Write("insert", key, {**place, keeper.label: values["label"]}), {}, source_key, key)

    def _option_update(self, line: Line, values: dict[str, Any], before: dict[str, Any], key: str, source_key: str) -> Sending:
        keeper = self.system.schema.option_table
        self.table, place = self._option_place()
        assert keeper is not None
        self.uid = self.table.column(keeper.value)
        named = {keeper.label: values["label"]} if "label" in values else {}
        expect = {**place, **({keeper.label: before["label"]} if "label" in before else {})}
        return Sending(line, Write("update", key, named, None, expect), before, source_key, key)

    # -- guards --------------------------------------------------------------------------------------------------------------------

    def _source_unchanged(self, sendings: list[Sending]) -> list[Sending]:
        """Drop what rests on a source row that changed or vanished since planning."""
        side = self.bound.side(self.source)
        if not sendings or self.step == 2 or side.option_set is not None:
            return sendings
        names = [side.uid.name] + ([VERSION_TOKEN] if side.version is not None else [])
        with self.applier.ws.systems[self.source].snapshot() as snapshot:
            rows = snapshot.read(side.table, names, keys=[s.source_key for s in sendings], key_column=side.uid.name).read_all()
        keys = [str(k) for k in rows.column(0).to_pylist()]
        now = dict(zip(keys, rows.column(1).to_pylist() if len(names) > 1 else [None] * len(keys), strict=True))
        kept = []
        for sending in sendings:
            title = self.applier.ws.systems[self.source].title
            if sending.source_key not in now:
                self._settle(sending.line, "stale", f"Its row in {title} was deleted after planning.")
            elif now[sending.source_key] != self.applier.version(self.mapping, self.source, sending.line.row):
                self._settle(sending.line, "stale", f"Its row in {title} was changed after planning.")
            else:
                kept.append(sending)
        return kept

    def _intend(self, sendings: list[Sending]) -> list[Sending]:
        """Check couplings, claim the source rows of creates, and write the intents down, in one transaction with the lease."""
        applier = self.applier
        settled: list[tuple[Line, str]] = []
        with applier.ws.ledger.transaction(epoch=applier.epoch) as tx:
            kept = sendings
            if self.step == 1:
                coupled = tx.couplings_of(self.mapping, self.source, [s.source_key for s in sendings])
                kept = []
                for sending in sendings:
                    coupling = coupled.get(sending.source_key)
                    partner = coupling[f"{self.side}_key"] if coupling is not None else None
                    if sending.line.row["coupled"] and partner != sending.line.row[f"{self.side}_key"]:
                        settled.append((sending.line, "Its coupling was changed after planning."))
                    elif not sending.line.row["coupled"] and coupling is not None:
                        settled.append((sending.line, "It was coupled after planning."))
                    else:
                        kept.append(sending)
                creates = [s.source_key for s in kept if not s.line.row["coupled"]]
                taken = set(tx.claim(self.mapping, self.source, creates, applier.run_id)) if creates else set()
                settled += [(s.line, "Another run is creating a record for it.") for s in kept if s.source_key in taken]
                kept = [s for s in kept if s.source_key not in taken]
            first = tx.journal_intents([self._journal(s) for s in kept])
        for number, sending in enumerate(kept, first):
            sending.journal = number
        for line, reason in settled:
            self._settle(line, "stale", reason)
        return kept

    def _journal(self, sending: Sending) -> dict[str, Any]:
        row, write = sending.line.row, sending.write
        keys = {"local_key": row["local_key"], "integration_key": row["integration_key"], f"{self.side}_key": sending.key}
        return {
            "run_id": self.applier.run_id, "job_id": self.applier.jobs.get((self.mapping, self.in_pass), ""), "mapping": self.mapping,
            "direction": PASS_DIRECTION[self.in_pass], "step": self.step, "seq": sending.line.number, "side": self.side,
            "table_name": self.table.name, "op": write.op, "source_key": sending.source_key, **keys, "before": sending.before,
            "after": write.values, "source_token": self.applier.version(self.mapping, self.source, row), "token_before": write.token,
        }  # fmt: skip

    # -- writing and booking -------------------------------------------------------------------------------------------------------

    def _write(self, sendings: list[Sending]) -> list[Outcome]:
        found = [s for s in sendings if s.write.op == "update" and not s.write.values]  # a found partner that needs no change
        sent = [s for s in sendings if s not in found] if found else sendings
        outcomes: dict[int, Outcome] = {id(s): Outcome("done", s.key, s.line.row[f"{self.side}_token"]) for s in found}
        drawn = [s for s in sent if s.write.op == "insert" and s.write.key is None]
        # a key that the system draws is known only afterwards: such rows go one at a time, so that at most one can be in doubt
        groups = [[s] for s in drawn] if drawn else [sent]
        for group in groups:
            if group:
                with self.system.writer() as writer:
                    results = writer.write(self.table, self.uid.name, [s.write for s in group])
                outcomes.update({id(s): o for s, o in zip(group, results, strict=True)})
        return [outcomes[id(s)] for s in sendings]

    def book(self, sendings: list[Sending], outcomes: list[Outcome]) -> None:
        """Outcomes, couplings and stamps, errors and due rows: one transaction of the ledger."""
        applier, name, source = self.applier, self.mapping, self.source
        done = [(s, o) for s, o in zip(sendings, outcomes, strict=True) if o.state == "done"]
        with applier.ws.ledger.transaction(epoch=applier.epoch) as tx:
            tx.journal_outcomes([self._outcome(s, o) for s, o in zip(sendings, outcomes, strict=True)])
            if self.step == 1:
                restored = [s.source_key for s, _ in done if s.line.row["disposition"] == "restore"]
                if restored:
                    dead = list(tx.couplings_of(name, source, restored).values())
                    journal_uncoupled(tx, applier.run_id, applier.jobs[name, self.in_pass], self.in_pass, dead)
                    tx.remove_couplings([c["id"] for c in dead])
                fresh = {id(s) for s, _ in done if not s.line.row["coupled"] or s.line.row["disposition"] == "restore"}
                new = [(s, o) for s, o in done if id(s) in fresh]
                refused = tx.add_couplings([self._coupling(s, o) for s, o in new])
                old = [(s, o) for s, o in done if id(s) not in fresh]
                coupled = tx.couplings_of(name, source, [s.source_key for s, _ in old]) if old else {}
                decided = [
                    coupled[s.source_key]["id"]
                    for s, _ in old
                    if s.line.row["code"] in ("chosen", "resolved") and s.source_key in coupled
                ]
                tx.forget_failures(decided)
                tx.stamp([self._stamps(s, o, coupled[s.source_key]) for s, o in old if s.source_key in coupled], self.in_pass,
                         applier.jobs[name, self.in_pass])  # fmt: skip
                tx.clear_due(name, source, [s.source_key for s, _ in done])
                for no in refused:
                    tx.book_errors([{"job_id": applier.jobs[name, self.in_pass], "run_id": applier.run_id, "mapping": name,
                                     "local_key": no.row["local_key"], "integration_key": no.row["integration_key"],
                                     "code": "coupling_refused", "message": no.reason}])  # fmt: skip
                    tx.count_created(name, source, [no.row[f"{source}_key"]])  # its planned key is taken and stays so
            elif done:
                self._stamp_second(tx, done)
            self._book_failures(tx, [(s.line, o) for s, o in zip(sendings, outcomes, strict=True) if o.state != "done"])
        for sending, outcome in done:
            self._remember(sending, outcome)

    def _remember(self, sending: Sending, outcome: Outcome) -> None:
        """What later rows of this run need to know of a row that was written."""
        applier, row = self.applier, sending.line.row
        key = outcome.key or sending.key or ""
        applier.tokens[self.mapping, self.side, key] = outcome.token
        if self.step == 1 and (not row["coupled"] or row["disposition"] == "restore"):
            keys: dict[str, str | None] = {f"{self.source}_key": sending.source_key, f"{self.side}_key": key, "code": None}
            number = self.bound.local.key
            if number is not None and self.side == "local":
                drawn = sending.write.values.get(number.name, key if number == self.uid else None)
                keys["code"] = None if drawn is None else str(drawn)
            applier.made[self.mapping, sending.source_key] = keys
        if row["code"] == "coupled_by_you":
            applier.remember_pair(self.mapping, row)
        applier.state[sending.line.number] = ("done", "")

    def _outcome(self, sending: Sending, outcome: Outcome) -> dict[str, Any]:
        line = {"id": sending.journal, "state": outcome.state, "token_after": outcome.token, "error": outcome.error}
        return {**line, f"{self.side}_key": outcome.key} if sending.key is None and outcome.key is not None else line

    def _coupling(self, sending: Sending, outcome: Outcome) -> dict[str, Any]:
        """The coupling of a new pair: both stamps and the result stand in it from the start."""
        stamps = self._stamps(sending, outcome, {"id": 0, f"{self.side}_stamp": None})
        del stamps["id"]
        return {"mapping": self.mapping, f"{self.source}_key": sending.source_key, f"{self.side}_key": outcome.key or sending.key,
                "coupled_by_run": self.applier.run_id, f"{self.in_pass}_result": "success",
                f"{self.in_pass}_job": self.applier.jobs[self.mapping, self.in_pass], **stamps}  # fmt: skip

    def _stamps(self, sending: Sending, outcome: Outcome, coupling: dict[str, Any]) -> dict[str, Any]:
        """The source's stamp is the version seen at planning; the destination's is what our write left, unless the destination had
        changes of its own that its pass has still to carry."""
        row = sending.line.row
        own = self._still_to_carry(row, coupling)
        return {
            "id": coupling["id"],
            f"{self.source}_stamp": self.applier.version(self.mapping, self.source, row),
            f"{self.side}_stamp": None if own else outcome.token,
            # values of both sides were merged: what they agree on now is in neither print, and unknown is the honest answer
            "fingerprints": ""
            if row["code"] in ("resolved", "changed_both", "policy_wins", "coupled_by_you")
            else row["local_print" if self.in_pass == "to" else "integration_print"],
        }

    def _still_to_carry(self, row: dict[str, Any], coupling: dict[str, Any]) -> bool:
        passes = self.bound.mapping.passes()  # also where this run has one of them only
        if row["code"] == "found_partner":
            return self._leaves_open()
        newer = row["coupled"] and row["disposition"] != "restore" and coupling[f"{self.side}_stamp"] != row[f"{self.side}_token"]
        if row["code"] == "chosen":  # the direction was the decision
            return bool(newer and carries_alone(self.bound, "from" if self.in_pass == "to" else "to"))
        if self.in_pass == "to":
            return bool(newer and "from" in passes)
        carried = (self.mapping, "integration", row["integration_key"]) in self.applier.tokens  # its own pass has written there
        return bool(newer and "to" in passes and not carried and row["code"] in ("changed_both", "policy_wins"))

    def _leaves_open(self) -> bool:
        """Whether the other pass has something to send of a pair that was found now: this pass alone writes it in this run."""
        other: Pass = "from" if self.in_pass == "to" else "to"
        return other in self.bound.mapping.passes() and carries_alone(self.bound, other)

    def _stamp_second(self, tx: Any, done: list[tuple[Sending, Outcome]]) -> None:
        """A second step writes a row of some mapping once more: its stamp follows, so that our own write is no news."""
        keys = {s.key: o.token for s, o in done if s.key}
        for mapping in self.applier.ws.description.mappings:
            if (
                getattr(mapping, self.side).table.casefold() not in (self.table.name.casefold(), self.table.caption.casefold())
                or mapping.kind == "option"
            ):
                continue
            stamps = []
            for key, coupling in tx.couplings_of(mapping.name, self.side, list(keys)).items():
                known = [s.write.token for s, _ in done if s.key == key]
                if coupling[f"{self.side}_stamp"] in known or (
                    self.applier.plan.base.mappings.get(mapping.name) and (mapping.name, self.side, key) in self.applier.tokens
                ):
                    stamps.append({"id": coupling["id"], f"{self.side}_stamp": keys[key]})
                    self.applier.tokens[mapping.name, self.side, key] = keys[key]
            tx.stamp(stamps)

    def _book_failures(self, tx: Any, failures: list[tuple[Line, Outcome]]) -> None:
        if not failures:
            return
        title = self.system.title
        said: list[tuple[Line, str, str]] = []
        for line, outcome in failures:
            if outcome.state == "stale":
                reason = f"Its row in {title} was changed or deleted after planning."
            else:
                reason = f"{title} refused the row: {outcome.error}"
            said.append((line, outcome.state, reason))
        self._book_unsent(tx, said)

    def _settle(self, line: Line, state: str, reason: str) -> None:
        """Book a line that was not sent."""
        with self.applier.ws.ledger.transaction(epoch=self.applier.epoch) as tx:
            self._book_unsent(tx, [(line, state, reason)])

    def _book_unsent(self, tx: Any, said: list[tuple[Line, str, str]]) -> None:
        applier, name, source = self.applier, self.mapping, self.source
        job = applier.jobs.get((name, self.in_pass), "")
        rows = [line.row for line, _, _ in said]
        tx.book_errors([{"job_id": job, "run_id": applier.run_id, "mapping": name, "local_key": r["local_key"], "integration_key": r["integration_key"],
                         "code": state, "message": reason} for r, (_, state, reason) in zip(rows, said, strict=True)])  # fmt: skip
        if self.step == 1:
            coupled = tx.couplings_of(name, source, [r[f"{source}_key"] for r in rows if r["coupled"]])
            marks = []
            for n, (line, state, reason) in enumerate(said):
                coupling = coupled.get(line.row[f"{source}_key"])
                if coupling is not None:
                    # refused as it was refused before: from now on it is skipped (3.15); what was only stale may pass next time
                    again = state == "failed" and coupling[f"{self.in_pass}_error"] == error_text(state, reason)
                    marks.append({"id": coupling["id"], "code": state, "message": reason, "skipped": again})
                    said[n] = (line, "skipped" if again else state, reason)
            tx.mark_results(marks, self.in_pass, job)
            tx.set_due([{"mapping": name, "side": source, "key": r[f"{source}_key"], "reason": reason, "run_id": applier.run_id}
                        for r, (_, state, reason) in zip(rows, said, strict=True) if state != "skipped"])  # fmt: skip
            tx.clear_due(name, source, [line.row[f"{source}_key"] for line, state, _ in said if state == "skipped"])
        for line, state, reason in said:
            applier.state[line.number] = (state, reason)


__all__ = ["Chunk", "Line", "Sending"]
