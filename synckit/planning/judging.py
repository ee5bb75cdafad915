"""Decisions on possible duplicates: couple, create all the same, not the same; and what they make of a plan's rows."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.planning.creates import VALUE
from synckit.planning.tables import CHANGES, ROWS

if TYPE_CHECKING:
    from synckit.planning.plan import Decision, Plan, PlanBase

FAINTEST = 0.2  #: pairs with a lower score are not kept
THRESHOLD = 0.5  #: score from which two records are shown as possible duplicates
USES = ("local", "integration", "neither")
Pair = tuple[str, str, str]  # mapping, local key, integration key
PREFERRED = {"send_to_integration": "local", "get_from_integration": "integration"}


# -- what decisions make of the rows -----------------------------------------------------------------------------------------------


def coupled_pairs(decisions: tuple[Decision, ...]) -> dict[Pair, Decision]:
    """The pairs that stay decided to be coupled: a later word on one of the two records takes an earlier one back."""
    found: dict[Pair, Decision] = {}
    for d in decisions:
        if d.kind not in ("couple", "create", "not_the_same"):
            continue
        for _, local, integration in d.records:
            if d.kind == "not_the_same":
                found.pop((d.mapping, local, integration), None)
            else:
                for pair in [
                    p for p in found if p[0] == d.mapping and ((local and p[1] == local) or (integration and p[2] == integration))
                ]:
                    del found[pair]
            if d.kind == "couple":
                found[d.mapping, local, integration] = d
    return found


def judged(decisions: tuple[Decision, ...]) -> set[tuple[str, str, str]]:
    """(mapping, key, key) of the pairs that are not the same, in either order of their keys: what was said last of a pair counts."""
    pairs: set[tuple[str, str, str]] = set()
    for d in decisions:
        for _, a, b in d.records:
            if d.kind == "not_the_same":
                pairs |= {(d.mapping, a, b), (d.mapping, b, a)}
            elif d.kind == "couple":
                pairs -= {(d.mapping, a, b), (d.mapping, b, a)}
    return pairs


def with_couples(base: PlanBase, rows: pa.Table, changes: pa.Table, decisions: tuple[Decision, ...]) -> tuple[pa.Table, pa.Table]:
    """ROWS and CHANGES in which the two creates of a decided pair have become a coupling with its first synchronisation."""
    pairs = coupled_pairs(decisions)
    if not pairs:
        return rows, changes
    heads = {(h["mapping"], h["local_key"], h["integration_key"]): h for h in base.pairs.to_pylist()}
    of_local = {(m, lk): (m, lk, ik) for m, lk, ik in pairs}
    of_integration = {(m, ik): (m, lk, ik) for m, lk, ik in pairs}
    keys = pa.array(sorted({k for p in pairs for k in p[1:]}), pa.string())
    near = pc.or_(pc.is_in(rows.column("local_key"), keys), pc.is_in(rows.column("integration_key"), keys))
    mine = rows.filter(near)
    writes = _first_writes(base, pairs)
    gone: list[int] = []
    kept: dict[int, dict[str, Any]] = {}
    number: dict[tuple[Pair, str], int] = {}
    for at, row in zip(np.flatnonzero(near.to_numpy()).tolist(), mine.to_pylist(), strict=True):
        pair = of_local.get((row["mapping"], row["local_key"])) or of_integration.get((row["mapping"], row["integration_key"]))
        if pair is None or row["coupled"]:
            continue
        source = "local" if row["pass"] == "to" else "integration"
        if row["step"] == 2 or row[f"{source}_key"] is None:
            gone.append(at)  # the partner's row as a row of its own, and what a second step would have filled in the new row
            continue
        number[pair, row["pass"]] = row["record"]
        kept[at] = {**row, **_became(base, pair, pairs[pair], heads[pair], row, writes)}
    replaced = pa.Table.from_pylist(list(kept.values()), ROWS)
    rest = np.ones(rows.num_rows, bool)
    rest[[*gone, *kept]] = False
    place = np.concatenate([np.flatnonzero(rest), np.array(list(kept), np.int64)])
    rows = pa.concat_tables([rows.filter(pa.array(rest)), replaced]).take(pa.array(np.argsort(place, kind="stable")))
    dropped = {(p[0], in_pass, record) for (p, in_pass), record in number.items()}
    places = zip(*(changes.column(c).to_pylist() for c in ("mapping", "pass", "record")), strict=True)
    changes = changes.filter(pa.array([p not in dropped for p in places], pa.bool_())) if changes.num_rows else changes
    added = [
        {**line, "record": number[pair, in_pass], "step": 1}
        for (pair, in_pass), lines in writes.items()
        for line in lines
        if (pair, in_pass) in number
    ]
    new = pa.Table.from_pylist([{n: line[n] for n in CHANGES.names} for line in added], CHANGES)
    return rows, with_partners(pa.concat_tables([changes, new]), pairs, heads)


def _first_writes(base: PlanBase, pairs: dict[Pair, Decision]) -> dict[tuple[Pair, str], list[dict[str, Any]]]:
    """(pair, pass) -> the fields that its first synchronisation writes there. The preferred side's values win where both sides hold
    one; a blank is filled from the other side."""
    found: dict[tuple[Pair, str], list[dict[str, Any]]] = {}
    for line in base.pair_changes.to_pylist():
        pair = (line["mapping"], line["local_key"], line["integration_key"])
        if pair not in pairs or pairs[pair].value == "neither":
            continue
        wins = (pairs[pair].value == "local") == (line["pass"] == "to")
        if line["two_way"] and len(base.mappings[pair[0]].passes) == 2:
            filled = line["new"] is not None or line["ref_key"] is not None
            if not filled or (not wins and line["old"] is not None):
                continue
        found.setdefault((pair, line["pass"]), []).append(line)
    return found


def _became(
    base: PlanBase, pair: Pair, decision: Decision, head: dict[str, Any], row: dict[str, Any], writes: Any
) -> dict[str, Any]:
    """What a create of the pair has become: in the first pass the coupling, in the second what that one leaves to write."""
    name, local, integration = pair
    common = {"local_key": local, "integration_key": integration, "local_name": head["local_name"], "integration_name": head["integration_name"],
              "local_token": head["local_token"], "integration_token": head["integration_token"], "code": "coupled_by_you",
              "warnings": [], "local_print": None, "integration_print": None}  # fmt: skip
    first = row["pass"] == base.mappings[name].passes[0]
    both = len(base.mappings[name].passes) == 2
    if decision.value == "neither":
        told = "You decided that the two are the same: they are coupled, and compared by the next run."
    else:
        first_word = {"local": base.sides["local"].title, "integration": base.sides["integration"].title}[decision.value]
        told = "You decided that the two are the same: they are coupled" + (f"; {first_word} has the first word, blanks are filled from the other side." if both else " and synchronised.")  # fmt: skip
    if first:
        return {**common, "disposition": "coupling" if decision.value == "neither" else "couple", "reason": told, "coupled": False}
    if (pair, row["pass"]) in writes:
        return {**common, "disposition": "update", "reason": told, "coupled": True}
    return {**common, "disposition": "unchanged", "reason": told, "coupled": False}


def with_partners(changes: pa.Table, pairs: dict[Pair, Decision], heads: dict[Pair, dict[str, Any]]) -> pa.Table:
    """CHANGES in which a reference to a create that became a coupling leads to the partner."""
    if not changes.num_rows or not any(k is not None for k in changes.column("ref_key").to_pylist()):
        return changes
    value = partner_values(pairs, heads)
    refs = zip(*(changes.column(c).to_pylist() for c in ("pass", "ref_mapping", "ref_key", "new")), strict=True)
    new = [value.get((p, m, k), text) for p, m, k, text in refs]
    return changes.set_column(changes.schema.get_field_index("new"), "new", pa.array(new, pa.string()))


def partner_values(pairs: dict[Pair, Decision], heads: dict[Pair, dict[str, Any]]) -> dict[tuple[str, str, str], str]:
    """(pass, mapping, source key of a create that became a coupling) -> what a reference to it holds instead."""
    found = {}
    for m, local, integration in pairs:
        for source in (local, integration):
            found["to", m, source] = integration
            found["from", m, source] = heads[m, local, integration]["local_code"] or local
    return found


def created_rows(base: PlanBase, mapping: str, in_pass: str, decisions: tuple[Decision, ...]) -> pa.Table:
    """The creates of one pass without those that became couplings; references to such a one lead to the partner."""
    table = base.creates[mapping, in_pass]
    pairs = coupled_pairs(decisions)
    if not pairs:
        return table
    heads = {(h["mapping"], h["local_key"], h["integration_key"]): h for h in base.pairs.to_pylist()}
    own = pa.array([p[1 if in_pass == "to" else 2] for p in pairs if p[0] == mapping], pa.string())
    table = table.filter(pc.invert(pc.is_in(table.column("source_key"), own)))
    value = partner_values(pairs, heads)
    put: dict[str, dict[int, str]] = {}
    for at, refs in enumerate(table.column("refs").to_pylist()):
        for column, of, key in (ref.split("=", 2) for ref in (refs or "").splitlines()):
            if (in_pass, of, key) in value:
                put.setdefault(VALUE + column, {})[at] = value[in_pass, of, key]
    for column, changed in put.items():
        values = [changed.get(n, text) for n, text in enumerate(table.column(column).to_pylist())]
        table = table.set_column(table.schema.get_field_index(column), column, pa.array(values, pa.string()))
    return table


def without_warning(base: PlanBase, rows: pa.Table, decisions: tuple[Decision, ...]) -> pa.Table:
    """ROWS without the warning "possible_duplicate" where every likeness was judged, or the create was confirmed."""
    open_ = {tuple(p) for p in likely(base, decisions).select(["mapping", "pass", "record"]).to_pandas().itertuples(index=False)}
    all_ = {tuple(p) for p in likely(base, ()).select(["mapping", "pass", "record"]).to_pandas().itertuples(index=False)}
    settled = all_ - open_
    if not settled:
        return rows
    near = pc.is_in(rows.column("record"), pa.array(sorted({s[2] for s in settled}), pa.int64()))
    put = []
    for row in rows.filter(near).select(["mapping", "pass", "record", "warnings"]).to_pylist():
        own = row["warnings"] or []
        put.append(
            [w for w in own if w != "possible_duplicate"] if (row["mapping"], row["pass"], row["record"]) in settled else own
        )
    warnings = rows.column("warnings").to_pylist()
    for at, value in zip(np.flatnonzero(near.to_numpy()).tolist(), put, strict=True):
        warnings[at] = value
    return rows.set_column(
        rows.schema.get_field_index("warnings"), ROWS.field("warnings"), pa.array(warnings, ROWS.field("warnings").type)
    )


def likely(base: PlanBase, decisions: tuple[Decision, ...], threshold: float = THRESHOLD) -> pa.Table:
    """DUPLICATES from `threshold` on, without the pairs that are not the same and the creates that were confirmed."""
    table = base.duplicates.filter(pc.greater_equal(base.duplicates.column("score"), threshold))
    other = judged(decisions)
    confirmed: set[tuple[str, str, str]] = set()
    for d in decisions:
        if d.kind == "create":
            confirmed.update(
                (d.mapping, in_pass, key) for _, lk, ik in d.records for in_pass, key in (("to", lk), ("from", ik)) if key
            )
    for name, local, integration in coupled_pairs(decisions):  # the two are no creates any more
        confirmed |= {(name, "to", local), (name, "from", integration)}
    if not other and not confirmed:
        return table
    places = zip(*(table.column(c).to_pylist() for c in ("mapping", "pass", "source_key", "existing_key")), strict=True)
    return table.filter(pa.array([(m, s, e) not in other and (m, p, s) not in confirmed for m, p, s, e in places], pa.bool_()))


# -- deciding ----------------------------------------------------------------------------------------------------------------------


class Judging:
    """Mixed into Plan: its possible duplicates, why they look alike, and what can be decided about them."""

    base: PlanBase
    decisions: tuple[Decision, ...]

    if TYPE_CHECKING:

        def _name(self, mapping: str) -> str: ...
        def _with(self, decision: Decision) -> Plan: ...
        def _replaced(self, decisions: tuple[Decision, ...]) -> Plan: ...

    def duplicates(self, mapping: str | None = None, threshold: float = THRESHOLD) -> pd.DataFrame:
        """Planned creates beside the records that they look like, from a score of `threshold` on, best first within each create.

        Columns as in DUPLICATES. `existing_coupled`: the record is coupled already, so this create would double it. Pairs that were
        judged, and creates that were confirmed or coupled, are left out.
        """
        if not 0 <= threshold <= 1:
            raise SynckitError(f"A threshold lies between 0 and 1, not at {threshold}.")
        table = likely(self.base, self.decisions, threshold)
        table = table if mapping is None else table.filter(pc.equal(table.column("mapping"), self._name(mapping)))
        return table.drop_columns(["source_print", "existing_print"]).to_pandas()

    def clusters(self, mapping: str | None = None, threshold: float = THRESHOLD, least: int = 3) -> pd.DataFrame:
        """Groups of at least `least` records that look like one another, on either side: mapping, cluster (1..), side, key, name, coupled.

        A group holds together by the average of its scores, never by a chain of single likenesses alone.
        """
        from synckit.planning.duplicates.clusters import group

        lines: list[tuple[Any, ...]] = []
        number = 0
        for name in self.base.order if mapping is None else (self._name(mapping),):
            nodes: dict[tuple[str, str], tuple[str | None, bool]] = {}
            scores: dict[tuple[tuple[str, str], tuple[str, str]], float] = {}
            for r in likely(self.base, self.decisions, threshold).filter(pc.field("mapping") == name).to_pylist():
                one, two = (
                    ("local" if r["pass"] == "to" else "integration", r["source_key"]),
                    (r["existing_side"], r["existing_key"]),
                )
                nodes |= {one: (r["source_name"], False), two: (r["existing_name"], r["existing_coupled"])}
                scores[min(one, two), max(one, two)] = r["score"]
            order = sorted(nodes)
            at = {node: n for n, node in enumerate(order)}
            pairs = sorted((at[one], at[two], score) for (one, two), score in scores.items())
            first, second, score = (np.array([p[n] for p in pairs]) for n in range(3))
            label = (
                group(len(order), first.astype(np.int64), second.astype(np.int64), score, threshold)
                if pairs
                else np.empty(0, np.int64)
            )
            for leader in sorted(set(label.tolist())):
                members = [order[n] for n in np.flatnonzero(label == leader)]
                if len(members) >= least:
                    number += 1
                    lines += [(name, number, side, key, *nodes[side, key]) for side, key in members]
        return pd.DataFrame(lines, columns=["mapping", "cluster", "side", "key", "name", "coupled"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What planning left out, in sentences."""
        return self.base.notes

    def thresholds(self, mapping: str | None = None) -> pd.DataFrame:
        """How many creates look like existing records, and how many pairs that are, at every threshold from 0.2 to 0.9. Two records that
        would both be created are one pair and two creates."""
        lines = []
        for tenth in range(2, 10):
            frame = self.duplicates(mapping, tenth / 10)
            two = zip(frame["mapping"], frame["source_key"], frame["existing_key"], strict=True)
            pairs = {(mapping, *sorted((one, other))) for mapping, one, other in two}
            lines.append((tenth / 10, len(frame[["mapping", "pass", "record"]].drop_duplicates()), len(pairs)))
        return pd.DataFrame(lines, columns=["threshold", "creates", "pairs"])

    def why(self, mapping: str, source_key: str, existing_key: str) -> pd.DataFrame:
        """Why two records look alike: one line per piece of evidence, whose log-odds add up to the score.

        Columns: field, source_value, existing_value (as compared), level, log_odds, score_so_far. Keys in either order; SynckitError
        where the plan holds no evidence on the two.
        """
        name = self._name(mapping)
        e = self.base.evidence
        columns = ["field", "source_value", "existing_value", "level", "log_odds", "score_so_far"]
        for one, two, turned in ((source_key, existing_key, False), (existing_key, source_key, True)):
            mine = e.filter(
                pc.and_(
                    pc.equal(e.column("mapping"), name),
                    pc.and_(pc.equal(e.column("source_key"), one), pc.equal(e.column("existing_key"), two)),
                )
            )
            if mine.num_rows:
                frame = mine.select(columns).to_pandas()
                return (
                    frame.rename(columns={"source_value": "existing_value", "existing_value": "source_value"})[columns]
                    if turned
                    else frame
                )
        raise SynckitError(
            f'The plan has no evidence on "{source_key}" and "{existing_key}" of {name}: they are no possible duplicates in it.'
        )

    def couple(self, mapping: str, local: str, integration: str, *, use: str | None = None, note: str = "", by: str = "") -> Plan:
        """A new plan in which the two records are coupled instead of created twice.

        Its first synchronisation is part of the plan: `use` "local" or "integration" says whose values win where both sides hold one
        (left out: as the mapping's conflict policy says, else local); blanks are filled from the other side; "neither" couples only.
        Only pairs that `duplicates` lists; SynckitError where one of the two is coupled, or both stand on one side.
        """
        name = self._name(mapping)
        head = self._pair(name, local, integration)
        value = use or self.base.mappings[name].preferred
        if value not in USES:
            raise SynckitError(f'The first synchronisation uses local, integration or neither, not "{use}".')
        if head["fails"] and use is None:
            value = "neither"  # its values would be refused now: the next run says why
        elif head["fails"] and use != "neither":
            raise SynckitError(
                f'{name} {head["local_name"] or local} cannot be synchronised now (see its errors); couple it with use="neither".'
            )
        return self._judge("couple", name, (head["local_key"], head["integration_key"]), note, by, value)

    def not_the_same(self, mapping: str, a: str, b: str, *, note: str = "", by: str = "") -> Plan:
        """A new plan in which the two records are judged not to be the same: the pair is hidden, and once the plan is applied it stays
        hidden until the data of one of the two changes. Writes nothing; `Workspace.not_the_same` writes it down at once."""
        name = self._name(mapping)
        line = self._line(name, a, b)
        order = (a, b) if line["source_key"] == a else (b, a)
        if line["existing_side"] == "local" and line["pass"] == "from":
            order = (order[1], order[0])  # across the sides: local first
        return self._judge("not_the_same", name, order, note, by, "across" if _across(line) else line["existing_side"])

    def create(
        self, mapping: str, local: str | None = None, integration: str | None = None, *, note: str = "", by: str = ""
    ) -> Plan:
        """A new plan in which a create that looks like an existing record is confirmed; takes back its coupling or exclusion."""
        name = self._name(mapping)
        if (local is None) == (integration is None):
            raise SynckitError("Name the one record to be created: local= or integration=.")
        side, key = ("local", local) if local is not None else ("integration", integration)
        self._planned(name, side, str(key))
        plan = self._judge("create", name, (local or "", integration or ""), note, by, "")
        return plan.include(name, **{side: key}) if plan.records(name, "excluded")[f"{side}_key"].eq(str(key)).any() else plan

    def undecide(self, mapping: str, local: str | None = None, integration: str | None = None) -> Plan:
        """A new plan without the decisions taken on a record: as planning found it. SynckitError where there is none."""
        name = self._name(mapping)
        wanted = {k for k in (local, integration) if k}
        kept: list[Decision] = []
        for d in self.decisions:
            left = tuple(r for r in d.records if not wanted & set(r[1:]))
            if d.mapping != name or not d.records or len(left) == len(d.records):
                kept.append(d)
            elif left:
                kept.append(replace(d, records=left))
        if tuple(kept) == self.decisions:
            raise SynckitError(f"Nothing was decided on {name} {local or integration}.")
        return self._replaced(tuple(kept))

    def decided(self, mapping: str) -> pd.DataFrame:
        """Every decision that stands, one line per record: kind, local_key, integration_key, value, note, by."""
        name = self._name(mapping)
        lines = [
            (d.kind, r[1] or None, r[2] or None, d.value, d.note, d.by)
            for d in self.decisions
            if d.mapping == name
            for r in d.records or (("", "", ""),)
        ]
        return pd.DataFrame(lines, columns=["kind", "local_key", "integration_key", "value", "note", "by"])

    def _judge(self, kind: str, name: str, keys: tuple[str, str], note: str, by: str, value: str) -> Plan:
        from synckit.planning.plan import Decision

        return self._with(Decision(kind, name, (("", *keys),), note, by, value=value))

    @cached_property
    def _pairs(self) -> dict[Pair, dict[str, Any]]:
        return {(h["mapping"], h["local_key"], h["integration_key"]): h for h in self.base.pairs.to_pylist()}

    def _pair(self, name: str, local: str, integration: str) -> dict[str, Any]:
        if (name, local, integration) in self._pairs:
            return self._pairs[name, local, integration]
        if (name, integration, local) in self._pairs:
            raise SynckitError(
                f"{local} stands on the integration side and {integration} on the local side: couple({name!r}, {integration!r}, {local!r})."
            )
        line = self._line(name, local, integration)
        called = line["existing_name"] or line["existing_key"]
        if not _across(line):
            raise SynckitError(
                f"{line['source_name']} and {called} stand on the same side, so they cannot be coupled. Leave one of them out: exclude."
            )
        raise SynckitError(
            f"{called} is coupled already, so {line['source_name']} cannot be coupled to it. Leave the create out: exclude."
        )

    def _line(self, name: str, a: str, b: str) -> dict[str, Any]:
        """The line of DUPLICATES that names the two records, whatever the threshold."""
        for row in self.base.duplicates.filter(pc.equal(self.base.duplicates.column("mapping"), name)).to_pylist():
            if {row["source_key"], row["existing_key"]} == {a, b}:
                return row
        raise SynckitError(
            f'"{a}" and "{b}" are no possible duplicates of {name} in this plan; plan.duplicates({name!r}, threshold=0) lists those it has. '
            "Any two records can be coupled with ws.plan_coupling."
        )

    def _planned(self, name: str, side: str, key: str) -> None:
        r = self.base.rows
        mine = pc.and_(
            pc.and_(pc.equal(r.column("mapping"), name), pc.equal(r.column(f"{side}_key"), key)),
            pc.equal(r.column("disposition"), "create"),
        )
        if not r.filter(mine).num_rows:
            raise SynckitError(f'The plan creates nothing for the {side} record "{key}" of {name}.')


def _across(line: dict[str, Any]) -> bool:
    return bool((line["pass"] == "to") == (line["existing_side"] == "integration"))
