"""A workspace file is changed at single places: comments and untouched lines stay byte for byte, and what would be no workspace is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from synckit.demo import make_demo
from synckit.errors import SynckitError
from synckit.mapping.editing import WorkspaceEdit
from synckit.mapping.loading import load_workspace

ODD = """\
# two blanks before a comment, odd quotes, flow style: all of it stays
local:   {name: "A",   url: 'sqlite:///a.db', schema: business_central}   # here
integration: {name: B, url: sqlite:///b.db, schema: dataverse}

mappings:
- CURRENCY        # with its comment
- CONTACTS: {only_coupled: false}   # by its alias
# between two mappings
- CUSTOMER:
    fields:
    - {local: Name, integration: name, enabled: true}   # a row
    local_filter:   "Blocked: ' '"
- name: ITEM
  local: {table: Item}
  integration: {table: product}
  fields:
  - {local: Description, integration: name}   # long ago
"""


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "workspace.yaml"
    path.write_text(ODD, encoding="utf-8")
    return path


def changed_lines(edit: WorkspaceEdit) -> list[str]:
    return [line for line in edit.diff() if line[:1] in ("+", "-")]


def test_only_the_changed_line_changes(odd: Path) -> None:
    edit = WorkspaceEdit(odd)
    edit.mapping("CUSTOMER", local_filter="Blocked: ' '; No.: 1..2")
    assert changed_lines(edit) == ["-    local_filter:   \"Blocked: ' '\"", "+    local_filter: \"Blocked: ' '; No.: 1..2\""]
    edit.save()
    assert odd.read_text(encoding="utf-8") == ODD.replace(
        "local_filter:   \"Blocked: ' '\"", "local_filter: \"Blocked: ' '; No.: 1..2\""
    )
    assert load_workspace(odd).mapping("CUSTOMER").local_filter == "Blocked: ' '; No.: 1..2"


def test_every_way_to_write_a_mapping_is_found(odd: Path) -> None:
    edit = WorkspaceEdit(odd)
    edit.mapping("CURRENCY", only_coupled=False)
    edit.mapping("CONTACT", direction="to_integration")
    edit.mapping("ITEM", direction="from_integration")
    edit.field("ITEM", "Description", "name", transformation_rule="TRIM")
    edit.field("CUSTOMER", "Name", "name", enabled=False)
    edit.field("CUSTOMER", "Search Name", "description")
    now = edit.described()
    assert not now.mapping("CURRENCY").only_coupled and now.mapping("CONTACT").direction == "to_integration"
    assert not now.mapping("CONTACT").only_coupled, "what the entry said before still holds"
    item = now.mapping("ITEM")
    assert item.direction == "from_integration" and item.fields[0].transformation_rule == "TRIM"
    customer = {(f.local, f.integration): f for f in now.mapping("CUSTOMER").fields}
    assert not customer["Name", "name"].enabled and ("Search Name", "description") in customer
    for comment in ("# with its comment", "# by its alias", "# between two mappings", "# a row", "# long ago"):
        assert comment in edit.text


def test_the_commented_file_of_the_demo_keeps_its_comments(tmp_path: Path) -> None:
    path = make_demo(tmp_path / "demo")
    before = path.read_text(encoding="utf-8")
    edit = WorkspaceEdit(path)
    edit.mapping("VENDOR", only_coupled=False)
    edit.system("local", url="sqlite:///other.db")
    assert [line for line in before.splitlines() if "#" in line] == [line for line in edit.text.splitlines() if "#" in line]
    assert changed_lines(edit) == ["-  url: 'sqlite:///business_central.db'", "+  url: 'sqlite:///other.db'", "-mappings: standard", "+mappings:",
                                   "+  - standard", "+  - VENDOR:", "+      only_coupled: false"]  # fmt: skip
    assert path.read_text(encoding="utf-8") == before, "nothing is written before it is saved"
    edit.take_back()
    assert not edit.changed and edit.diff() == []


def test_what_would_be_no_workspace_changes_nothing(odd: Path) -> None:
    edit = WorkspaceEdit(odd)
    with pytest.raises(SynckitError, match="direction"):
        edit.mapping("CUSTOMER", direction="sideways")
    with pytest.raises(SynckitError, match="neither url nor folder"):
        edit.system("local", url=None)
    with pytest.raises(SynckitError, match='no mapping "CUSTMER"'):
        edit.mapping("CUSTMER", direction="to_integration")
    assert edit.text == ODD


def test_a_file_that_somebody_else_changed_is_not_overwritten(odd: Path) -> None:
    edit = WorkspaceEdit(odd)
    edit.mapping("CUSTOMER", direction="to_integration")
    odd.write_text(ODD + "# by hand\n", encoding="utf-8")
    with pytest.raises(SynckitError, match="changed by somebody else"):
        edit.save()
    assert odd.read_text(encoding="utf-8") == ODD + "# by hand\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_line_ends_and_encoding_stay(odd: Path, encoding: str) -> None:
    odd.write_bytes(ODD.replace("\n", "\r\n").replace("# here", "# Größe").encode(encoding))
    edit = WorkspaceEdit(odd)
    edit.mapping("CUSTOMER", direction="to_integration")
    edit.save()
    text = odd.read_bytes().decode(encoding)
    assert (
        text.count("\n") == text.count("\r\n") > 10
        and "# Größe" in text
        and load_workspace(odd).mapping("CUSTOMER").direction == "to_integration"
    )
