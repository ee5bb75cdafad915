"""The verbs of a workspace that people use by hand: couple, uncouple, restore, delete, retry, lift; each but the last is a plan first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal, cast

import pandas as pd

from synckit.errors import SynckitError
from synckit.ledger.purge import Purge, purge
from synckit.planning import manual, matching
from synckit.planning.bind import SIDES, Side, bind
from synckit.planning.drift import Drift, drift_of
from synckit.planning.engine import Planning, planning_run
from synckit.planning.looking import look, lost
from synckit.planning.plan import Plan
from synckit.planning.request import Kind, Request
from synckit.planning.undo import undoing
from synckit.waiting import waiting

if TYPE_CHECKING:
    from synckit.workspace import Workspace

Keys = str | Sequence[str]
#: Why a record could not be coupled by match.
UNMATCHED = ("no_match", "several_matches", "match_taken", "blank_criteria")
BROKEN = ("mapping", "local_key", "integration_key", "missing", "name", "skipped", "held", "error")


class ByHand:
    """Mixed into Workspace. Records are named by key or, on the local side, by number; `records` is any frame that names couplings
    in its columns mapping, local_key and integration_key: `ws.errors()`, `ws.skipped()`, `ws.broken()`."""

    @property
    def _ws(self) -> Workspace:
        return cast("Workspace", self)

    # -- couple ----------------------------------------------------------------------------------------------------------------

    def plan_coupling(
        self,
        mapping: str,
        pairs: Sequence[tuple[str, str]] | None = None,
        *,
        sync: Literal["to", "from"] | None = None,
        starting_from: Side = "local",
        local: Keys = (),
    ) -> Plan:
        """Plan to couple `pairs` of (local, integration), each a key, a number or a name; `sync` adds the first synchronisation.

        From the local side a coupled record is re-pointed, from the integration side that is refused. Refused pairs are rows that
        will fail, with the reason. Raises SynckitError for a record that does not exist or a direction that the mapping does not have.

        Without pairs: match-based coupling of the uncoupled local records (of `local` alone where given) over the fields marked
        use_for_match, as the mapping says. Records without exactly one free match are rows that will fail, each with its reason;
        whether coupled records are synchronised and new ones created is said by the mapping, not by `sync`.
        """
        name = self._ws.description.mapping(mapping).name
        if pairs is None:
            if sync is not None:
                raise SynckitError(
                    f"Whether {name} is synchronised after coupling by match is said in the mapping: synch_after_match_coupling."
                )
            keys = set(self._ws.resolve_keys(name, "local", _list(local))) if local else None
            with _planning(self._ws, "coupling") as planning:
                return matching.match(planning, name, self._ws.operator, keys)
        with _planning(self._ws, "records", sync=sync) as planning:
            return manual.coupling(planning, name, list(pairs), planning.request.direction, starting_from, self._ws.operator)

    def plan_uncoupling(
        self,
        mapping: str | None = None,
        *,
        local: Keys = (),
        integration: Keys = (),
        records: pd.DataFrame | None = None,
    ) -> Plan:
        """Plan to remove couplings: of the named records (those that are not coupled are ignored), of a whole mapping, or all.

        Where a rule stamps the company id, it is cleared on the integration rows (for a whole mapping on stray ones, too); coupled
        children of a customer or vendor go with it.
        """
        chosen = _chosen(self._ws, mapping, local, integration, records, ignore=True)
        with _planning(self._ws, "uncoupling") as planning:
            return manual.uncoupling(planning, chosen, self._ws.operator)

    # -- broken couplings ------------------------------------------------------------------------------------------------------

    def broken(self, mapping: str | None = None) -> pd.DataFrame:
        """Couplings one of whose records is gone (S-085), found by keys alone on both sides; nothing is written.

        Columns: mapping, local_key, integration_key, missing ("local", "integration", "both"), name of the surviving record, skipped,
        held (the reason, else None), error (the last one).
        """
        names = self._ws.order if mapping is None else [self._ws.description.mapping(mapping).name]
        schemas = {side: self._ws.systems[side].schema for side in SIDES}
        lines = []
        with self._ws.systems["local"].snapshot() as here, self._ws.systems["integration"].snapshot() as there:
            snapshots: dict[Side, object] = {"local": here, "integration": there}
            for name in names:
                bound = bind(self._ws.description.mapping(name), self._ws.description, schemas)
                found = lost(bound, snapshots, self._ws.systems, self._ws.ledger)  # type: ignore[arg-type]
                seen = {
                    side: look(bound.side(side), snapshots[side], self._ws.systems[side], [o.coupling[f"{side}_key"] for o in found if o.survivor == side])  # type: ignore[arg-type]
                    for side in SIDES
                }  # fmt: skip
                for one in found:
                    c, side = one.coupling, one.survivor
                    missing = "both" if side is None else "local" if side == "integration" else "integration"
                    survivor = None if side is None else seen[side][c[f"{side}_key"]]
                    lines.append((name, c["local_key"], c["integration_key"], missing, survivor.called if survivor else "",
                                  bool(c["skipped"]), c["held"], c["to_error"] or c["from_error"]))  # fmt: skip
        return pd.DataFrame(lines, columns=list(BROKEN))

    def plan_restore(
        self,
        mapping: str | None = None,
        *,
        local: Keys = (),
        integration: Keys = (),
        records: pd.DataFrame | None = None,
    ) -> Plan:
        """Plan to recreate the missing record of broken couplings from the one that is left (S-083, S-084), whatever the policy says."""
        chosen = _chosen(self._ws, mapping, local, integration, records)
        with _planning(self._ws, "restore") as planning:
            return manual.restoring(planning, chosen, self._ws.operator)

    def plan_delete(
        self,
        mapping: str | None = None,
        *,
        local: Keys = (),
        integration: Keys = (),
        records: pd.DataFrame | None = None,
        believe: Keys = (),
    ) -> Plan:
        """Plan to delete the surviving record of broken couplings, and the coupling. Records must be named, or a mapping.

        Where suspiciously many rows are missing at once the deletes are held, unless `believe` names the mapping."""
        if mapping is None and records is None:
            raise SynckitError("Name the mapping, or the records, whose surviving rows are to be deleted.")
        chosen = _chosen(self._ws, mapping, local, integration, records)
        with _planning(self._ws, "delete", believe=_list(believe)) as planning:
            return manual.deletion(planning, chosen, self._ws.operator)

    def plan_undo(self, run: int) -> Plan:
        """Plan to take back what a run wrote (see synckit.planning.undo.undoing); what is undone is then held until `lift`."""
        with _planning(self._ws, "undo") as planning:
            return undoing(planning, run, self._ws.operator)

    def drift(self, plan: Plan) -> Drift:
        """What has changed since `plan` was made: `.frame`, one line per row that is not as planned, and `.sentence()`.

        Raises SynckitError, as apply would, where the plan was made for other systems, another ledger or other mappings.
        """
        from synckit.applying.refusals import refuse_others

        refuse_others(self._ws, plan)
        with _planning(self._ws, "records") as p:
            now = datetime.now(UTC).replace(tzinfo=None)  # the snapshots of plans know no other clock
            return drift_of(plan, p.bound, p.snapshots, p.systems, p.ledger, now)

    def purge(self, before: date, *, really: bool = False) -> Purge:
        """Forget job history and journalled values before a day; with `really` False it is only said what that would remove."""
        return purge(self._ws.ledger, before, really=really)

    # -- skipped and held ------------------------------------------------------------------------------------------------------

    def plan_retry(
        self,
        mapping: str | None = None,
        *,
        local: Keys = (),
        integration: Keys = (),
        records: pd.DataFrame | None = None,
    ) -> Plan:
        """Plan to take skipped records up again and synchronise them (S-092): the named ones, those of a mapping, or all.

        `records` may name records of several mappings that have failed, as `ws.cause_records(cause)` gives them: those that are skipped
        are taken up, all are planned again as they are now, in the order in which they depend on each other, and a record that failed
        to be created is created. What failed to be coupled by match is not created but left to `plan_coupling`.
        """
        chosen = _chosen(self._ws, mapping, local, integration, records)
        failed, create = None, None
        if records is not None:
            failed = {
                n: self._ws._both_sides(n, _keys_in(mine)) for n, mine in records.groupby(records["mapping"].map(self._name_of))
            }
            create = True if "code" in records and not records["code"].isin(UNMATCHED).any() else None
        with _planning(self._ws, "retry", create=create) as planning:
            return manual.retrying(planning, chosen, self._ws.operator, failed)

    def _name_of(self, mapping: object) -> str:
        return self._ws.description.mapping(str(mapping)).name

    def lift(self, mapping: str, *, local: Keys = (), integration: Keys = (), all_held: bool = False) -> int:
        """Lift the hold on records, or on all that a mapping has: the next run looks at them again. Returns how many; the decision is
        written down.

        Raises SynckitError where a named record is not held.
        """
        name = self._ws.description.mapping(mapping).name
        given: dict[Side, list[str]] = {"local": _list(local), "integration": _list(integration)}
        if not all_held and not any(given.values()):
            raise SynckitError(f"Name the records of {name} whose hold is to be lifted: local= or integration=.")
        held = {(row["side"], row["key"]) for row in self._ws.ledger.held(name).to_pylist()}
        couplings = [c for c in self._ws.ledger.couplings(name).to_pylist() if c["held"] is not None]
        if all_held:
            given = {side: sorted(key for s, key in held if s == side) for side in SIDES}
            given["local"] += [c["local_key"] for c in couplings if not any((side, c[f"{side}_key"]) in held for side in SIDES)]
        known = held | {(side, c[f"{side}_key"]) for c in couplings for side in SIDES}  # also where the row itself is gone by now
        keys = {}
        for side in SIDES:
            written = [k for k in given[side] if (side, k) not in known]
            found = dict(zip(written, self._ws.resolve_keys(name, side, written), strict=True))
            keys[side] = [found.get(k, k) for k in given[side]]
        lifted = 0
        with self._ws.ledger.transaction(self._ws.clock()) as tx:
            for side in SIDES:
                for shown, key in zip(given[side], keys[side], strict=True):
                    mine = [c for c in couplings if c[f"{side}_key"] == key]
                    if not mine and (side, key) not in held:
                        raise SynckitError(f"{name} {shown} is not held, so there is no hold to lift.")
                    tx.hold_couplings([c["id"] for c in mine], None)
                    tx.clear_held(name, side, [key])
                    places = {(side, key), *((s, c[f"{s}_key"]) for c in mine for s in SIDES)}
                    # the watermark may have passed it meanwhile
                    tx.set_due(
                        [{"mapping": name, "side": s, "key": k, "reason": "Its hold was lifted."} for s, k in sorted(places)]
                    )
                    partner = mine[0] if mine else {f"{side}_key": key}
                    tx.record_decision(self._ws.operator, name, "lift", partner.get("local_key"), partner.get("integration_key"))
                    lifted += 1
            tx.bump_run_counter()
        return lifted


@contextmanager
def _planning(
    ws: Workspace, kind: Kind, sync: str | None = None, believe: Sequence[str] = (), create: bool | None = None
) -> Iterator[Planning]:
    from synckit.workspace import _direction

    request = Request(
        kind, direction=_direction(sync), force=kind == "records", create=create, deletions=False, believed=ws._believed(believe)
    )
    with (
        waiting("Planning") as told,
        planning_run(ws.description, ws.systems, ws.ledger, request, ws.clock(), ws.rulebook, told) as planning,
    ):
        yield planning


def _chosen(
    ws: Workspace, mapping: str | None, local: Keys, integration: Keys, records: pd.DataFrame | None, ignore: bool = False
) -> dict[str, frozenset[int] | None]:
    """Per mapping the ids of the couplings that are meant, None for all of them. `ignore`: an uncoupled record is passed over."""
    if mapping is None and (local or integration):
        raise SynckitError("Name the mapping that the records belong to.")
    if records is not None:
        if not {"mapping", "local_key", "integration_key"} <= set(records.columns):
            raise SynckitError("The frame of records needs the columns mapping, local_key and integration_key.")
        found: dict[str, frozenset[int] | None] = {}
        for name, lines in records.groupby("mapping", sort=False):
            wanted = {side: set(lines[f"{side}_key"].dropna()) for side in SIDES}
            of = ws.ledger.couplings(ws.description.mapping(str(name)).name).to_pylist()
            found[ws.description.mapping(str(name)).name] = frozenset(c["id"] for c in of if any(c[f"{s}_key"] in wanted[s] for s in SIDES))  # fmt: skip
        return found
    names = ws.order if mapping is None else [ws.description.mapping(mapping).name]
    if not (local or integration):
        return dict.fromkeys(names, None)
    name, ids = names[0], set()
    couplings = ws.ledger.couplings(name).to_pylist()
    sides: tuple[tuple[Side, Keys], ...] = (("local", local), ("integration", integration))
    for side, given in sides:
        for shown, key in zip(_list(given), ws.resolve_keys(name, side, _list(given)), strict=True):
            mine = [c["id"] for c in couplings if c[f"{side}_key"] == key]
            if not mine and not ignore:
                raise SynckitError(f"{name} {shown} is not coupled.")
            ids.update(mine)
    return {name: frozenset(ids)}


def _keys_in(records: pd.DataFrame) -> dict[Side, list[str]]:
    return {side: [k for k in records[f"{side}_key"].dropna().unique() if k] for side in SIDES}


def _list(given: Keys) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


__all__ = ["BROKEN", "ByHand"]
