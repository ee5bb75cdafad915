"""Business rules: pure registered functions that a mapping names, hooked in at the points of engine-behaviour 3.12.

A rule sees staged source rows and the lookup tables that it declares, and answers with values for destination columns, with rows
to leave out, with errors that fail a record, with partners it knows (a finder), or with writes that follow once a row is written.
The rules of the standard mappings live in `standard_rules`; `register` adds your own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from synckit.errors import SynckitError
from synckit.mapping.model import Pass, TableMapping, Workspace

Counts = Literal["always", "when blank", "never", "insert"]


@dataclass(frozen=True)
class RuleColumn:
    """A destination column that a rule fills. `counts`: see FieldPlan.counts. `skip_blank`: a blank value leaves the column alone."""

    column: str
    counts: Counts = "always"
    skip_blank: bool = False


@dataclass(frozen=True)
class RuleResult:
    """What a rule answers for a batch of n rows. `values`: one array of n per column of the pass (canonical values of that column).
    `errors` and `leave_out`: n texts, '' where all is well. `parents`: for each row the (mapping, local key or integration key of
    the source row) of a planned record the value rests on, so that the row waits for it; '' where none."""

    values: Sequence[pa.Array] = ()
    errors: pa.Array | None = None
    leave_out: pa.Array | None = None
    parents: tuple[pa.Array, pa.Array] | None = None


class RuleContext(Protocol):
    """What a rule may look at. `rows` holds the columns it `reads`, by their names, and `key`."""

    @property
    def rows(self) -> pa.RecordBatch: ...
    @property
    def in_pass(self) -> Pass: ...
    @property
    def today(self) -> date: ...
    @property
    def workspace(self) -> Workspace: ...
    @property
    def mapping(self) -> str: ...

    def table(self, side: str, name: str) -> pa.Table:
        """The declared lookup table, whole, columns by their names."""
        ...

    def once(self, what: str) -> bool:
        """True the first time `what` is asked for in a plan: two passes never both do what can be done once only."""
        ...

    def coupled(self, mapping: str) -> pa.Table:
        """Records of another mapping that are coupled or that this plan will couple: local_key, code (the local primary key),
        integration_key, state ("coupled", "planned", "failing"), source_key (of the planned row)."""
        ...


@dataclass(frozen=True)
class FollowUp:
    """A write that follows once the row of `record_key` (a source key of the pass) is written: one column of one existing row, or
    of the row itself where `key` is ''. `new` is canonical text; `new_is_this` stands for the key or code of the new record."""

    record_key: str
    side: str
    mapping: str
    table: str
    key: str
    column: str
    old: str | None
    new: str | None
    new_is_this: bool = False


#: Which coupled pairs of this mapping are uncoupled with their parents: the parents' mapping, number -> integration key of each parent,
#: the pairs (local, integration), and a reader of whole tables (side, name). Answers with pairs, each with its parent's number.
Children = Callable[[str, Mapping[str, str], Sequence[tuple[str, str]], Callable[[str, str], pa.Table]], list[tuple[str, str, str]]]


@dataclass(frozen=True)
class Rule:
    """A registered rule. Without a function it describes what another part carries out (`done_by`)."""

    id: str
    effect: str
    done_by: str = ""
    columns_to: tuple[RuleColumn, ...] = ()
    columns_from: tuple[RuleColumn, ...] = ()
    reads_local: tuple[str, ...] = ()
    reads_integration: tuple[str, ...] = ()
    tables: tuple[tuple[str, str], ...] = ()
    couplings: tuple[str, ...] = ()
    function: Callable[[RuleContext], RuleResult] | None = None
    passes: tuple[Pass, ...] = ()
    finder: Callable[[pa.Table, pa.Table], tuple[pa.Array, pa.Array]] | None = None
    follow_up: Callable[[RuleContext], list[FollowUp]] | None = None
    children: Children | None = None

    def columns(self, in_pass: Pass) -> tuple[RuleColumn, ...]:
        return self.columns_to if in_pass == "to" else self.columns_from

    def reads(self, side: str) -> tuple[str, ...]:
        return self.reads_local if side == "local" else self.reads_integration


BoundRule = Rule
_registry: dict[str, Rule] = {}


def register(rule: Rule) -> Rule:
    """Make `rule` known under its id; a second rule of the same id replaces the first."""
    _registry[rule.id] = rule
    return rule


def known_rules() -> dict[str, Rule]:
    """Every registered rule by id, the shipped ones included."""
    import synckit.mapping.standard_rules  # noqa: F401  (registers itself)

    return dict(_registry)


def rules_of(mapping: TableMapping, workspace: Workspace) -> tuple[Rule, ...]:
    """The rules that `mapping` names, in its order. Raises SynckitError for one that synckit does not have."""
    known = known_rules()
    missing = [r for r in mapping.rules if r not in known]
    if missing:
        raise SynckitError(
            f'Mapping {mapping.name} names the rule "{missing[0]}", which synckit does not have. `synckit check` lists the rules.'
        )
    return tuple(known[r] for r in mapping.rules)


@dataclass(frozen=True)
class TableMap:
    """A lookup from one array of distinct keys to others: `look(keys, "name")` gives the value for each key, null where there is none."""

    keys: pa.Array
    values: Mapping[str, pa.Array] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pa.Table, key: str) -> TableMap:
        keys = table.column(key).combine_chunks()
        return cls(keys, {n: table.column(n).combine_chunks() for n in table.column_names})

    def look(self, wanted: pa.Array, name: str) -> pa.Array:
        index = pc.index_in(wanted, value_set=self.keys)
        return self.values[name].take(index)


def texts(n: int, text: str = "") -> pa.Array:
    """n times the same text."""
    return pa.repeat(pa.scalar(text, pa.string()), n)


def where(condition: pa.Array, yes: Any, no: Any) -> pa.Array:
    """Element-wise choice; a null condition counts as False."""
    return pc.if_else(pc.fill_null(condition, False), yes, no)
