"""What the plan of one mapping consists of, and what says that the mapping itself has changed since."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from synckit.mapping.model import Pass
from synckit.planning.bind import SIDES, BoundMapping, Side
from synckit.planning.judging import PREFERRED


@dataclass(frozen=True)
class WrittenColumn:
    """A destination column that new rows get: what it is called, where its value comes from."""

    column: str
    field: str
    origin: str


@dataclass(frozen=True)
class MappingHead:
    """What the plan says of a mapping besides its rows. `fingerprint` changes when the mapping would give other values;
    `counts`: rows of each table; `uncounted`: uncoupled rows per side; `seen`: per pass the latest version of its source rows."""

    name: str
    direction: str
    kind: str
    passes: tuple[Pass, ...]
    only_coupled: bool
    recommendation: str
    fingerprint: str
    tables: dict[Side, str]
    keys: dict[Side, str]
    counts: dict[Side, int]
    seen: dict[Pass, str]
    columns: dict[Pass, tuple[WrittenColumn, ...]]
    drawn: dict[Pass, str]  # destination column whose number is drawn when applying
    not_due: dict[Pass, int] = field(default_factory=dict)
    released: tuple[str, ...] = ()  # local keys of skipped couplings that a retry takes up again
    resets: bool = False  # the run began from the start: its watermarks are set anew, back as well
    messages: dict[str, str] = field(default_factory=dict)  # passes that cannot run, with the sentence for their job (S-018)
    preferred: str = "local"  # whose values win in a first synchronisation, as the conflict policy says
    matched: bool = False  # coupled by match: a job of type coupling comes before its passes
    undoes: int = 0  # the run that this plan takes back


@dataclass
class MappingPlan:
    """One mapping of a plan, planned; tables are described in synckit.planning.tables."""

    head: MappingHead
    rows: pa.Table
    changes: pa.Table
    errors: pa.Table
    depends: pa.Table
    review: pa.Table
    duplicates: pa.Table
    quiet: pa.Table
    creates: dict[tuple[str, str], pa.Table]
    conflicts: pa.Table
    deferred: list[dict[str, Any]]
    bound: BoundMapping
    likeness: Likeness | None = None


@dataclass(frozen=True)
class Likeness:
    """What goes with DUPLICATES: the evidence, the pairs that could be coupled and what that would write, and what was not searched."""

    evidence: pa.Table
    pairs: pa.Table
    pair_changes: pa.Table
    notes: tuple[str, ...] = ()


def fingerprint(bound: BoundMapping) -> str:
    """A text that changes when the mapping would read, compare or write something else (comments and order of keys aside)."""
    described = bound.mapping.model_dump(mode="json", exclude={"depends_on", "aliases", "only_coupled"})
    columns = [(c.name, c.column, c.type, c.length, c.scale) for side in SIDES for c in bound.side(side).columns]
    return hashlib.sha256(json.dumps([described, columns], sort_keys=True, default=str).encode()).hexdigest()[:16]


def preferred(bound: BoundMapping) -> str:
    """Whose values win where a pair is synchronised for the first time: as the conflict policy says, else the local side's."""
    if len(bound.mapping.passes()) == 1:
        return "local" if bound.mapping.passes()[0] == "to" else "integration"
    return PREFERRED.get(bound.mapping.update_conflict_resolution, "local")
