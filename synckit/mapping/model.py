"""Integration table mappings and field mappings: what is synchronised with what. Frozen descriptions, no I/O."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from synckit.mapping.schema import Frozen, Schema
from synckit.mapping.transformation import TransformationRule

Direction = Literal["bidirectional", "to_integration", "from_integration"]
Pass = Literal["to", "from"]
UpdateConflict = Literal["none", "send_to_integration", "get_from_integration"]
DeletionConflict = Literal["none", "restore_records", "remove_coupling"]
OwnershipModel = Literal["team", "person"]

#: A filter as written: one text ("Blocked: ' '; No.: 10000..20000") or one expression per field; see synckit.mapping.filters.
FilterText = str | dict[str, str | int | float | bool | list[str | int | float | bool | None] | None]


class Lookup(Frozen):
    """The field refers to a record of another mapping (several: "A|B"); the value travels through that mapping's couplings."""

    mapping: str
    kind: Literal["coupling", "option_coupling"] = "coupling"
    blank_local: Literal["local_currency"] | None = None


class FieldMapping(Frozen):
    """One column pair. A side that is None is filled from `constant` (which then is the source).

    Source: engine-behaviour 1.2. `transformation_direction` follows `direction` where that is one-way. `validate_*` are kept so that a
    mapping is whole; no system's own validation runs, values are written as they are.
    """

    local: str | None = None
    integration: str | None = None
    direction: Direction = "bidirectional"
    enabled: bool = True
    constant: str | None = None
    transformation_rule: str = ""
    transformation_direction: Literal["to_integration", "from_integration"] | None = None
    validate_local: bool = True
    validate_integration: bool = False
    not_null: bool = False
    clear_on_failed_sync: bool = False
    use_for_match: bool = False
    case_sensitive_match: bool = False
    match_priority: int = Field(default=0, ge=0)
    lookup: Lookup | None = None
    meaning: str | None = None

    def takes_part(self, in_pass: Pass) -> bool:
        """Enabled and carried in this pass (1.3: direction equals the pass's or is bidirectional)."""
        return self.enabled and self.direction in ("bidirectional", PASS_DIRECTION[in_pass])


class Template(Frozen):
    """Default values for new rows of one side; the first by priority whose filter the source row satisfies wins (1.4)."""

    code: str
    priority: int = Field(default=0, ge=0)
    filter: FilterText = Field(default_factory=dict)
    sets: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


class TableRef(Frozen):
    """One side's table as the mapping sees it. `uid` is the column that couplings use, `modified_on` the version column,
    `name_field` what a record is called on screens; left out, they come from the schema. `option_set` names the column whose
    option set stands in for the table (option mappings)."""

    table: str
    uid: str | None = None
    modified_on: str | None = None
    name_field: str | None = None
    option_set: str | None = None


class TableMapping(Frozen):
    """An integration table mapping (1.1)."""

    name: str = Field(max_length=20)
    aliases: tuple[str, ...] = ()
    kind: Literal["table", "option"] = "table"
    local: TableRef
    integration: TableRef
    direction: Direction = "bidirectional"
    only_coupled: bool = True
    local_filter: FilterText = Field(default_factory=dict)
    integration_filter: FilterText = Field(default_factory=dict)
    update_conflict_resolution: UpdateConflict = "none"
    deletion_conflict_resolution: DeletionConflict = "none"
    depends_on: tuple[str, ...] = ()
    synch_after_match_coupling: bool = False
    create_new_if_no_match: bool = False
    skip_own_changes_on_integration: bool = True
    local_templates: tuple[Template, ...] = ()
    integration_templates: tuple[Template, ...] = ()
    fields: tuple[FieldMapping, ...] = ()
    rules: tuple[str, ...] = ()
    semantics: Literal["synckit", "reference"] = "synckit"

    def passes(self) -> tuple[Pass, ...]:
        """The passes of a run, in their order: to the integration side first (3.3)."""
        return PASSES[self.direction]


PASS_DIRECTION: dict[Pass, Direction] = {"to": "to_integration", "from": "from_integration"}
PASSES: dict[Direction, tuple[Pass, ...]] = {
    "to_integration": ("to",),
    "from_integration": ("from",),
    "bidirectional": ("to", "from"),
}


class VersionColumn(Frozen):
    """How a row's version is known: the column, who keeps it, how finely it ticks (seconds), and how far before the watermark rows
    are read again (seconds, or numbers of a counting column), for systems that commit late; left out: 5, and with `semantics: reference`
    0.999 on the integration side and none on the local side (3.5)."""

    column: str | None = None
    kept_by: Literal["server", "synckit"] = "server"
    resolution: float = 0.001
    overlap: float | None = Field(default=None, ge=0)


class Limits(Frozen):
    """How much one run may do to a mapping; apply refuses a plan that would do more."""

    creates: int | None = Field(default=None, ge=0)
    updates: int | None = Field(default=None, ge=0)
    deletes: int | None = Field(default=None, ge=0)


class SystemConfig(Frozen):
    """One side of a workspace. Exactly one of `url` (SQLAlchemy) and `folder` (CSV, Excel or Parquet exports, read-only).

    `${NAME}` in url stands for an environment variable; `keyring:SERVICE/USER` may stand for its password. `schema` is a shipped
    schema's name, the path of a schema file, or the schema itself where it is written inline (see load_schema, which takes all).
    """

    name: str
    url: str | None = Field(default=None, repr=False)
    folder: str | None = None
    db_schema: str | None = None
    schema_: str | Schema = Field(alias="schema")
    version: VersionColumn = VersionColumn()
    company: str | None = None
    company_id: str | None = None
    environment: str | None = None
    integration_user: str | None = None
    modified_by: str | None = None
    protected: bool = False
    production: bool = False
    lock_timeout: float = Field(default=30, gt=0)  # seconds to wait for rows that another program holds
    statement_timeout: float = Field(default=900, gt=0)  # seconds that a server may take over one statement
    mark: bool = True  # False: no table `synckit_ledger` is made there
    tables: dict[str, str] = Field(default_factory=dict)


class Workspace(Frozen):
    """A workspace file, read and complete: both systems, every mapping with all its values, and where the ledger is."""

    path: str
    local: SystemConfig
    integration: SystemConfig
    ledger: str = "ledger.db"
    ownership_model: OwnershipModel = "team"
    local_currency: str = ""
    base_currency: str = ""
    semantics: Literal["synckit", "reference"] = "synckit"
    transformation_rules: tuple[TransformationRule, ...] = ()
    memory: str = "1GB"
    limits: dict[str, Limits] = Field(default_factory=dict)  # per mapping; "all" for those that have none of their own
    mappings: tuple[TableMapping, ...]

    def mapping(self, name: str) -> TableMapping:
        """The mapping called `name` or having it among its aliases ("CONTACTS" is CONTACT)."""
        from synckit.errors import SynckitError
        from synckit.mapping.schema import nearest

        wanted = name.strip().upper()
        for mapping in self.mappings:
            if wanted == mapping.name or wanted in mapping.aliases:
                return mapping
        names = [m.name for m in self.mappings]
        raise SynckitError(
            f'There is no mapping "{name}".' + (nearest(wanted, names) or f" The workspace has {', '.join(names) or 'none'}.")
        )
