"""The ledger's couplings with the changes that a plan made by hand would bring laid over them; nothing is ever written through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synckit.ledger.ledger import Ledger


@dataclass(frozen=True)
class Overlay:
    """Per mapping: `pairs` (local, integration) that will be coupled, `gone` ids of couplings that give way, `released` ids of
    couplings whose skip flag and last error no longer count (the failure itself does: such a row counts as changed)."""

    pairs: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    gone: Mapping[str, frozenset[int]] = field(default_factory=dict)
    released: Mapping[str, frozenset[int]] = field(default_factory=dict)


class OverlaidLedger(Ledger):
    """A ledger whose couplings read as `overlay` will leave them; everything else reads as it is."""

    def __init__(self, ledger: Ledger, overlay: Overlay) -> None:
        self._database, self.lease, self.overlay = ledger._database, ledger.lease, overlay

    def couplings(self, mapping: str, *, fingerprints: bool = False) -> pa.Table:
        table = super().couplings(mapping, fingerprints=fingerprints)
        gone, released = (o.get(mapping, frozenset()) for o in (self.overlay.gone, self.overlay.released))
        if gone:
            table = table.filter(pc.invert(pc.is_in(table.column("id"), value_set=pa.array(sorted(gone), pa.int64()))))
        if released:
            mine = pc.is_in(table.column("id"), value_set=pa.array(sorted(released), pa.int64()))
            for name, value in (("skipped", False), ("to_error", ""), ("from_error", "")):
                column = pc.if_else(mine, pa.scalar(value), table.column(name))
                table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)
        rows: list[dict[str, Any]] = [
            {"id": -n, "local_key": local, "integration_key": integration, "to_result": "", "from_result": "", "to_error": "",
             "from_error": "", "skipped": False}
            for n, (local, integration) in enumerate(self.overlay.pairs.get(mapping, ()), 1)
        ]  # fmt: skip
        return pa.concat_tables([table, pa.Table.from_pylist(rows, table.schema)]) if rows else table

    def couplings_of(self, mapping: str, local: Sequence[str], integration: Sequence[str], *, waiting: bool = False) -> pa.Table:
        return self.couplings(mapping)

    def coupled_keys(self, mapping: str) -> pa.Table:
        return self.couplings(mapping).select(["id", "local_key", "integration_key"])
