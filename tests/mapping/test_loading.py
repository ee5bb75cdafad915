"""Reading workspace and schema files: what a person writes, what comes out, and what a person reads when it is wrong."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from synckit.errors import SynckitError
from synckit.mapping.loading import find_workspace, load_schema, load_workspace
from synckit.mapping.model import Workspace
from synckit.mapping.schema import Schema

SYSTEMS = """
local: {name: Cronus, url: "sqlite:///bc.db", schema: business_central}
integration: {name: Sales, folder: exports, schema: dataverse}
"""


def written(folder: Path, text: str, name: str = "workspace.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str) -> Workspace:
    return load_workspace(written(folder, text))


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(SynckitError) as caught:
        load(folder, text)
    return str(caught.value)


# --- what a person writes -------------------------------------------------------------------------------------------------------


def test_the_smallest_workspace_has_the_standard_mappings_and_the_defaults(tmp_path: Path) -> None:
    workspace = load(tmp_path, SYSTEMS)
    assert [m.name for m in workspace.mappings][:3] == ["CURRENCY", "VENDOR", "CUSTOMER"]
    assert (workspace.ownership_model, workspace.memory, workspace.semantics) == ("team", "1GB", "synckit")
    assert workspace.mapping("contacts").name == "CONTACT"


def test_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    written(tmp_path, "name: own\ntables: []", "own.yaml")
    workspace = load(tmp_path, "ledger: memory/l.db" + SYSTEMS.replace("schema: dataverse", "schema: own.yaml"))
    assert workspace.ledger == str(tmp_path / "memory" / "l.db")
    assert workspace.local.url == f"sqlite:///{tmp_path / 'bc.db'}"
    assert workspace.integration.folder == str(tmp_path / "exports")
    assert workspace.integration.schema_ == str(tmp_path / "own.yaml")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////data/bc.db",
        "postgresql://u:${PASSWORD}@host/db",
        "${BC_URL}",
        "sqlite:///${BC_FILE}",
    ],
)
def test_urls_that_name_no_relative_file_stay_as_they_are_and_secrets_are_not_resolved(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "hush")
    workspace = load(tmp_path, SYSTEMS.replace("sqlite:///bc.db", url))
    assert workspace.local.url == url
    assert "hush" not in repr(workspace)


def test_an_address_never_stands_in_a_repr(tmp_path: Path) -> None:
    workspace = load(tmp_path, SYSTEMS.replace("sqlite:///bc.db", "mariadb://u:hush@host/db"))
    assert "hush" not in repr(workspace)


def test_a_list_names_standard_mappings_and_changes_some(tmp_path: Path) -> None:
    workspace = load(
        tmp_path,
        SYSTEMS
        + """
mappings:
  - currency
  - CUSTOMER:
      only_coupled: false
      integration: {name_field: accountnumber}
      local_filter: {"No.": 10000..20000}
      fields:
        - {local: Name, integration: name, use_for_match: true}      # changes the shipped row
        - {local: Fax No., integration: fax, remove: true}           # drops it
        - {local: GLN, integration: description, enabled: false}     # adds a row
""",
    )
    assert [m.name for m in workspace.mappings] == ["CURRENCY", "CUSTOMER"]
    customer = workspace.mapping("CUSTOMER")
    rows = {(row.local, row.integration): row for row in customer.fields}
    assert not customer.only_coupled
    assert (customer.integration.table, customer.integration.name_field) == ("account", "accountnumber")
    assert customer.local_filter == {"No.": "10000..20000"}
    assert rows["Name", "name"].use_for_match and rows["Name", "name"].direction == "bidirectional"
    assert ("Fax No.", "fax") not in rows
    assert not rows["GLN", "description"].enabled


def test_the_standard_can_be_followed_by_changes_and_by_mappings_of_ones_own(tmp_path: Path) -> None:
    workspace = load(
        tmp_path,
        SYSTEMS
        + """
semantics: reference
mappings:
  - standard
  - CUSTOMER: {only_coupled: false}
  - name: country
    local: {table: country_region}
    integration: {table: team}
    direction: to_integration
    depends_on: contacts | currency
    semantics: synckit
    fields: [{local: Name, integration: name}, {integration: description, constant: 007}]
""",
    )
    own = workspace.mapping("COUNTRY")
    assert not workspace.mapping("CUSTOMER").only_coupled and len(workspace.mappings) == 8
    turned = load(tmp_path, SYSTEMS + "mappings: [{CUSTOMER: {only_coupled: false}}, standard]")
    assert not turned.mapping("CUSTOMER").only_coupled and len(turned.mappings) == 7
    assert own.depends_on == ("CONTACT", "CURRENCY")
    assert [row.direction for row in own.fields] == ["to_integration", "to_integration"]
    assert own.fields[1].constant == "007"
    assert (own.semantics, workspace.mapping("VENDOR").semantics) == ("synckit", "reference")


def test_an_option_mapping_pushes_its_direction_onto_its_rows(tmp_path: Path) -> None:
    workspace = load(tmp_path, SYSTEMS + "mappings: [{PAYMENT TERMS: {direction: from_integration}}]")
    assert workspace.mapping("PAYMENT TERMS").fields[0].direction == "from_integration"


def test_numbers_stand_for_the_text_that_was_written(tmp_path: Path) -> None:
    workspace = load(tmp_path, SYSTEMS.replace("name: Cronus", "name: 1.50, company: 0815, environment: 2026-01-31"))
    assert (workspace.local.name, workspace.local.company, workspace.local.environment) == ("1.50", "0815", "2026-01-31")


def test_a_schema_may_stand_inside_the_workspace(tmp_path: Path) -> None:
    inline = "{name: own, tables: [{name: firm, primary_key: id, uid: id, columns: [{name: id, type: guid}]}]}"
    workspace = load(tmp_path, SYSTEMS.replace("schema: dataverse", f"schema: {inline}"))
    schema = load_schema(workspace.integration.schema_)
    assert isinstance(schema, Schema) and schema.table("firm").column("id").primary_key


def test_repeated_parts_may_be_written_once(tmp_path: Path) -> None:
    workspace = load(tmp_path, SYSTEMS + "mappings:\n - VENDOR: &same {only_coupled: false}\n - CUSTOMER: *same\n")
    assert [m.only_coupled for m in workspace.mappings] == [False, False]


def test_a_folder_stands_for_the_workspace_in_it(tmp_path: Path) -> None:
    written(tmp_path, "name: own\ntables: []", "own-schema.yaml")
    path = written(tmp_path, SYSTEMS, "monday.yaml")
    assert find_workspace(tmp_path) == path and load_workspace(tmp_path).path == str(path)
    written(tmp_path, SYSTEMS, "tuesday.yaml")
    with pytest.raises(SynckitError, match=r"several workspace files \(monday.yaml, tuesday.yaml\)"):
        find_workspace(tmp_path)
    preferred = written(tmp_path, SYSTEMS)
    assert find_workspace(tmp_path) == preferred


def test_a_folder_without_a_workspace_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(SynckitError, match="synckit init"):
        find_workspace(tmp_path)


# --- what a person reads when it is wrong ---------------------------------------------------------------------------------------


def test_every_mistake_of_a_file_is_told_at_once_with_its_line_and_place(tmp_path: Path) -> None:
    text = """ledgr: x.db
ownership_model: persons
memory: lots
local: {name: BC, url: "sqlite:///bc.db", folder: exports, schema: business_centrl}
integration: {nme: Sales, folder: exports, schema: dataverse}
mappings:
  - CUSTOMR
  - SALESPEOPLE
  - CUSTOMER:
      only_coupled: maybe
      fields:
        - {local: Name, integration: name, use_for_mach: true}
        - {local: Fax No., integration: faxx, remove: true}
        - {local: City, integration: address1_city, direction: to_integraton}
  - VENDOR:
      fields: Name
  - name: A_NAME_OF_MORE_THAN_20
    local: {table: customer}
    integration: account
    fields: [{local: Name, integration: name, constant: true, match_priority: -1}]
"""
    with pytest.raises(SynckitError) as caught:
        load(tmp_path, text)
    found = "\n".join(caught.value.findings)
    for expected in (
        'line 1: there is no key "ledgr". Did you mean "ledger"?',
        'line 2, ownership_model: "persons" is not one of team, person. Did you mean "person"?',
        'line 5, integration: there is no key "nme". Did you mean "name"?',
        'line 5, integration: the key "name" is missing; write `name: ...`.',
        'line 7, mappings > CUSTOMR: there is no standard mapping "CUSTOMR". Did you mean "CUSTOMER"?',
        'line 8, mappings > SALESPEOPLE: "SALESPEOPLE" takes part under ownership_model: person only',
        'line 10, mappings > CUSTOMER > only_coupled: "maybe" is neither true nor false.',
        'line 12, mappings > CUSTOMER > fields > 1: there is no key "use_for_mach". Did you mean "use_for_match"?',
        'line 13, mappings > CUSTOMER > fields > 2: there is no field row Fax No. / faxx to remove. Did you mean "Fax No. / fax"?',
        'line 14, mappings > CUSTOMER > fields > 3 > direction: "to_integraton" is not one of bidirectional, to_integration',
        "line 16, mappings > VENDOR > fields: write a list",
        'line 17, mappings > A_NAME_OF_MORE_THAN_20 > name: "A_NAME_OF_MORE_THAN_20" is longer than 20 characters',
        'line 19, mappings > A_NAME_OF_MORE_THAN_20 > integration: "account" is not a mapping with the keys table, uid',
        "fields > 1 > constant: \"true\" is not a text; put it in quotes to mean the text: 'true'.",
        'fields > 1 > match_priority: "-1" is too small; write 0 or more.',
    ):
        assert expected in found
    assert all(finding.startswith("workspace.yaml, line ") for finding in caught.value.findings)
    assert "pydantic" not in found and "Input should" not in found


def test_settings_and_paths_are_looked_at_too(tmp_path: Path) -> None:
    text = """memory: lots
local: {name: BC, url: "sqlite:///bc.db", folder: exports, schema: business_centrl}
integration: {name: Sales, schema: dataverse}
"""
    told = complaint(tmp_path, text)
    assert 'line 1, memory: "lots" is not a size; write for example 1GB' in told
    assert "line 2, local: the system names both url and folder; write one of them." in told
    assert 'no file "business_centrl". Did you mean "business_central"?' in told
    assert "line 3, integration: the system names neither url nor folder" in told


def test_a_secret_in_a_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    assert "hush" not in complaint(tmp_path, SYSTEMS.replace('"sqlite:///bc.db"', "[postgresql://u:hush@host]"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty; a workspace file was expected"),
        (b"# only a comment\n", "is empty; a workspace file was expected"),
        (b"- CUSTOMER\n- VENDOR\n", "holds a list; a workspace file is a mapping"),
        (b"hello", "holds a single text; a workspace file is a mapping"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff", "is not a text file"),
        (b"local:\n\tname: BC", "line 2, column 1: this is not YAML: a tab stands where only blanks may stand"),
        (b"local: BC: x", "line 1, column 10: this is not YAML: a colon stands where no key can stand"),
        (b"local: 'BC", "a quotation mark is never closed"),
        (b"a: 1\n---\nb: 2", "several documents"),
        (b"a: *b", "an alias (*name) names no anchor"),
        (b"local: {name: a}\nlocal: {name: b}\n", 'line 2: the key "local" stands here twice (first in line 1)'),
        (b"a: !!python/object/apply:os.system [ls]", "the tag !!python/object/apply:os.system has no meaning here"),
        (b"a: &a [*a]", "unfold without end"),
        (b"[\n" * 800, "nested too deeply"),
        (b"a: \x07", "control character"),
        (b"? [a]\n: 1", "a key must be a plain text"),
    ],
)
def test_what_is_no_workspace_file_gets_one_clear_sentence(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "workspace.yaml").write_bytes(content)
    with pytest.raises(SynckitError) as caught:
        load_workspace(tmp_path / "workspace.yaml")
    assert expected in str(caught.value) and "workspace.yaml" in str(caught.value)


def test_aliases_cannot_be_made_to_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "unfold without end" in complaint(tmp_path, "\n".join(lines))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SynckitError, match=r"There is no workspace file .*gone\.yaml"):
        load_workspace(tmp_path / "gone.yaml")


def test_files_written_by_other_editors_are_read(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        path = tmp_path / f"{encoding}.yaml"
        path.write_bytes(SYSTEMS.replace("Cronus", "Müller").encode(encoding))
        assert load_workspace(path).local.name == "Müller"


@pytest.mark.parametrize(
    ("mappings", "expected"),
    [
        ("{CUSTOMER: {}}", "line 4, mappings: write `standard`, or a list"),
        ("[]", "write `standard`, or a list"),
        ("[3]", "mappings > 1: write a standard mapping's name"),
        ("[CUSTOMER, CUSTOMER]", 'the mapping "CUSTOMER" stands here twice'),
        ("[CUSTOMER: 3]", "write what changes as a mapping"),
        ("[{CUSTOMER: {name: OTHER}}]", "a standard mapping keeps its name"),
        (
            "[{CUSTOMER: {fields: [{local: Name, integration: name}, {local: Name, integration: name}]}}]",
            "stands here twice; keep one row",
        ),
        ("[{CUSTOMER: {integration_filter: 3}}]", 'integration_filter: "3" is not a filter; write one expression per field'),
        ("[{CUSTOMER: {local_filter: {City: {a: b}}}}]", "local_filter > City: a mapping is not a filter"),
        ("[{CUSTOMER: {local_templates: [{code: A, sets: {City: [x]}}]}}]", "a template sets one plain value per field"),
        ("[CONTACT, {name: contacts, local: {table: a}, integration: {table: b}}]", '"CONTACTS" already names the mapping'),
    ],
)
def test_mappings_that_cannot_be_meant(tmp_path: Path, mappings: str, expected: str) -> None:
    assert expected in complaint(tmp_path, SYSTEMS + f"mappings: {mappings}")


# --- schema files ---------------------------------------------------------------------------------------------------------------


def test_a_schema_file_may_leave_out_what_follows_from_the_rest(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
name: own
blank: empty
every_table: [{name: id, type: guid}]
tables:
  - name: firm
    primary_key: no
    uid: id
    columns:
      - {name: no, type: code, length: 20}
      - {name: kind, type: option, options: {0: " ", 1: Small}, references: kinds}
""",
    )
    table = load_schema(path).table("firm")
    assert table.table == "firm" and table.primary_key == ("no",)
    assert table.column("no").primary_key and not table.column("kind").nullable and table.find("id") is not None
    assert [(o.value, o.label) for o in table.column("kind").options] == [(0, " "), (1, "Small")]
    assert table.column("kind").references == ("kinds",)


def test_every_mistake_of_a_schema_is_told(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
name: own
option_table: {table: stringmp, of_column: a, value: b, label: c}
tables:
  - name: firm
    primary_key: [id]
    uid: ident
    columns:
      - {name: id, type: guidd}
      - {name: ID, type: text}
      - {name: b, column: id, type: decimal, scale: 99}
      - {name: c, type: option, options: {x: 1}, lenght: 3}
  - {name: Firm, primary_key: [a], uid: a, columns: [{name: a, type: text, length: 0}]}
""",
        "own.yaml",
    )
    with pytest.raises(SynckitError) as caught:
        load_schema(path)
    assert 'tables > 1 > columns > 4: there is no key "lenght". Did you mean "length"?' in str(caught.value)
    assert 'own.yaml, line 12, tables > 1 > columns > 4 > options: "x" is not a whole number' in str(caught.value)
    path.write_text(path.read_text().replace(", options: {x: 1}, lenght: 3", ""))
    with pytest.raises(SynckitError) as caught:
        load_schema(path)
    for expected in (
        'there is no table "stringmp"',
        'line 7, tables > firm > uid: the table has no column "ident"',
        'line 9, tables > firm > columns > id: there is no type "guidd". Did you mean "guid"?',
        "columns > ID: the column stands here twice",
        'columns > b: the database column "id" is already used',
        "99 decimal places are not possible",
        'the table "Firm" stands here twice',
        "a length of 0 holds nothing",
    ):
        assert expected in str(caught.value)


def test_an_unknown_schema_name_is_told_with_the_nearest() -> None:
    with pytest.raises(SynckitError, match=r'There is no schema "dataverze"\. Did you mean "dataverse"\?'):
        load_schema("dataverze")


# --- whatever is written, the answer is a sentence ------------------------------------------------------------------------------

VALID: dict[str, Any] = YAML(typ="safe", pure=True).load(
    SYSTEMS
    + """
memory: 1GB
mappings:
  - CUSTOMER: {depends_on: [CURRENCY], local_filter: {Blocked: "' '"}, fields: [{local: Name, integration: name}]}
  - {name: A, aliases: [B], local: {table: t}, integration: {table: u}, local_templates: [{code: x, sets: {a: 1}}],
     fields: [{local: a, integration: b, lookup: {mapping: CUSTOMER}}]}
"""
)
JUNK = st.sampled_from(
    [None, True, -1, 1.5, "", "x", "CUSTOMER", [], ["x"], [None], {}, {"x": None}, [{"name": None}], {"name": ["a"]}]
)


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in [(*here, key), *places(value[key], (*here, key))]]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.lists(st.sampled_from(places(VALID)), min_size=1, max_size=2), junk=JUNK)
def test_junk_in_any_place_is_a_sentence_or_a_workspace_never_a_crash(
    tmp_path: Path, where: list[tuple[Any, ...]], junk: Any
) -> None:
    data = copy.deepcopy(VALID)
    for place in where:
        inner = data
        try:
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = copy.deepcopy(junk)
        except (KeyError, IndexError, TypeError):
            continue
    path = tmp_path / "workspace.yaml"
    with path.open("w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump(data, stream)
    try:
        load_workspace(path)
    except SynckitError as error:
        assert "workspace.yaml" in str(error)
