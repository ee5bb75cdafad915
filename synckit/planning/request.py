"""What is asked of a planning run: which kind, which mappings and records, and how much of the usual caution is lifted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from synckit.mapping.model import Pass, TableMapping
from synckit.planning.bind import Side

Kind = Literal["full", "modified", "unconditional", "records", "retry", "restore", "coupling", "uncoupling", "delete", "undo"]


@dataclass(frozen=True)
class Request:
    """One planning run.

    full: every row, creates wherever something is uncoupled. modified: rows newer than the watermarks and those that are due.
    unconditional: every coupled row counts as changed, `only_coupled` respected. records, retry: the chosen source rows. restore: the
    chosen rows get their deleted partners back, whatever the mapping's policy says. coupling, uncoupling, delete: made in `manual`; undo: in `undo`.

    `direction` limits a run to one pass. `force`: the chosen direction is itself the decision, so neither "did it change" nor a
    conflict is asked. `create`: uncoupled rows may get partners (None: as the mapping says). `chosen`: per mapping and side the keys.
    `believed`: mappings of which many rows at once may be missing.
    `deletions`: look for deleted partners among all keys, whatever changed. `by_match`: mappings of a full synchronisation that are
    coupled by match instead. `deep_rows`: up to so many uncoupled rows of a mapping are compared in all their fields.
    `only_creates`: chosen records are to get new partners; those that are coupled already are left alone (S-033).
    """

    kind: Kind = "full"
    from_start: bool = False
    direction: Pass | None = None
    force: bool = False
    create: bool | None = None
    deletions: bool = True
    believed: frozenset[str] = frozenset()
    chosen: Mapping[str, Mapping[Side, frozenset[str]]] = field(default_factory=dict)
    by_match: frozenset[str] = frozenset()
    deep_rows: int = 20_000
    only_creates: bool = False

    @property
    def whole(self) -> bool:
        """Every row of both sides is looked at."""
        return self.kind in ("full", "unconditional")

    @property
    def asks_changed(self) -> bool:
        """Rows that did not change since the last synchronisation are left alone (3.7)."""
        return self.kind in ("modified", "retry") or (self.kind == "records" and not self.force)

    def creates(self, mapping: TableMapping, only_coupled: bool) -> bool:
        """Whether uncoupled rows become creates in this run."""
        if self.kind == "full":
            return True
        return (not only_coupled) if self.create is None else self.create

    def passes(self, mapping: TableMapping) -> tuple[Pass, ...]:
        """The passes of `mapping` in this run; a chosen record's side says where it is the source."""
        passes = mapping.passes()
        return tuple(p for p in passes if self.direction in (None, p))
