"""The verbs of a workspace about possible duplicates: judge two records not to be the same, and try match criteria out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import pandas as pd

from synckit.errors import SynckitError
from synckit.planning import judgements
from synckit.planning.bind import SIDES, Side, bind
from synckit.waiting import waiting

if TYPE_CHECKING:
    from synckit.workspace import Workspace

Where = Literal["across", "local", "integration"]


class OnDuplicates:
    """Mixed into Workspace."""

    @property
    def _ws_(self) -> Workspace:
        return cast("Workspace", self)

    def not_the_same(self, mapping: str, a: str, b: str, *, side: Where = "across", note: str = "") -> None:
        """Write down that two records are not the same: no plan shows them as possible duplicates until the data of one changes.

        `a` is the local, `b` the integration record (keys, or the local number); with `side` both stand on that side. SynckitError
        where one does not exist. Taken back with `same_after_all`.
        """
        ws = self._ws_
        name = ws.description.mapping(mapping).name
        keys, sides = self._two(name, a, b, side)
        bound = bind(ws.description.mapping(name), ws.description, {s: ws.systems[s].schema for s in SIDES})
        found: list[str] = []
        for key, at in zip(keys, sides, strict=True):
            with ws.systems[at].snapshot() as snapshot:
                of = judgements.prints(bound, at, snapshot, [key])
            if key not in of:
                raise SynckitError(f'{ws.systems[at].title} has no record "{key}" any more.')
            found.append(of[key])
        self._write(name, judgements.KIND, judgements.entry(side, keys, (found[0], found[1]), note))

    def same_after_all(self, mapping: str, a: str, b: str, *, side: Where = "across") -> None:
        """Take a judgement back; the pair shows again. SynckitError where nobody judged the two."""
        ws = self._ws_
        name = ws.description.mapping(mapping).name
        keys, _ = self._two(name, a, b, side)
        place = (side, *(keys if side == "across" else sorted(keys)))
        if place not in judgements.standing(ws.ledger, name):
            raise SynckitError(f'Nobody judged "{a}" and "{b}" of {name}; `synckit duplicates --judged` lists the judgements.')
        self._write(name, judgements.TAKEN_BACK, judgements.entry(side, keys, ("", "")))

    def what_if(self, mapping: str) -> pd.DataFrame:
        """What coupling by match would do, for each field pair and for every two of the most telling ones; the suggested criteria first.

        Columns: see `synckit.planning.what_if.what_if`. Nothing is written; `suggested_match` spells the suggestion for the workspace.
        """
        from synckit.planning.engine import planning_run
        from synckit.planning.request import Request
        from synckit.planning.what_if import what_if

        ws = self._ws_
        name = ws.description.mapping(mapping).name
        with (
            waiting("Trying match criteria"),
            planning_run(ws.description, ws.systems, ws.ledger, Request("coupling"), ws.clock(), ws.rulebook) as planning,
        ):
            return what_if(planning, name)

    def suggested_match(self, mapping: str, told: pd.DataFrame | None = None) -> str:
        """The criteria that `what_if` suggests, as lines for the workspace file; empty where it suggests none."""
        from synckit.planning.what_if import as_yaml

        described = self._ws_.description.mapping(mapping)
        integration = {f.local: f.integration for f in described.fields if f.local and f.integration}
        return as_yaml(described.name, self.what_if(mapping) if told is None else told, integration)

    def judged(self, mapping: str | None = None) -> pd.DataFrame:
        """The pairs that are judged not to be the same: mapping, side ("across", or the side of both), a, b, note, by, at."""
        ws = self._ws_
        names = ws.order if mapping is None else [ws.description.mapping(mapping).name]
        lines = [
            (name, *place, said["note"], said["by"], said["at"])
            for name in names
            for place, said in judgements.standing(ws.ledger, name).items()
        ]
        return pd.DataFrame(lines, columns=["mapping", "side", "a", "b", "note", "by", "at"])

    def _two(self, name: str, a: str, b: str, side: Where) -> tuple[tuple[str, str], tuple[Side, Side]]:
        if side not in ("across", *SIDES):
            raise SynckitError(f'"{side}" is no side. Write across, local or integration.')
        sides: tuple[Side, Side] = ("local", "integration") if side == "across" else (side, side)
        one, two = (self._ws_.resolve_keys(name, at, [key])[0] for at, key in zip(sides, (a, b), strict=True))
        return (one, two), sides

    def _write(self, name: str, kind: str, entry: dict[str, str | None]) -> None:
        ws = self._ws_
        with ws.ledger.transaction(ws.clock()) as tx:
            tx.record_decision(ws.operator, name, kind, entry["local_key"], entry["integration_key"], str(entry["value"]))
            tx.bump_run_counter()


__all__ = ["OnDuplicates"]
