"""Connect and map, without a browser: systems tested, rules and filters tried, the file changed by Save alone and only where it checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synckit.widgets import ConnectAndMap
from synckit.workspace import Workspace


def send(screen: ConnectAndMap, do: str, **given: Any) -> str:
    """Send a message as the view does; gives what is drawn then, as text."""
    screen.receive({"do": do, **given})
    return json.dumps(screen.state(), ensure_ascii=False)


def test_systems_are_tested_and_mappings_stand_in_the_order_of_a_run(demo: Workspace) -> None:
    screen = ConnectAndMap(demo)
    shown = json.dumps(screen.state(), ensure_ascii=False)
    assert shown.count("connected: ") == 2 and "Nothing is changed in workspace.yaml." in shown
    page = demo.mappings()
    listed = next(b for b in screen.state()["blocks"] if b.get("caption", "").startswith("Mappings"))
    assert [row["cells"][1]["buttons"][0]["label"] for row in listed["rows"]] == page["mapping"].tolist() == demo.order
    assert "refers to it" in shown and "Blocked: ' '" in shown


def test_an_open_mapping_shows_settings_filters_and_fields(demo: Workspace) -> None:
    screen = ConnectAndMap(demo)
    shown = send(screen, "open", mapping="CONTACTS")
    assert screen.mapping == "CONTACT" and "CONTACT: fields" in shown and "filter of the local side" in shown
    assert "CONTACT: fields" not in send(screen, "open", mapping="CONTACT")


def test_a_rule_is_tried_without_a_change(demo: Workspace) -> None:
    screen = ConnectAndMap(demo)
    send(screen, "open", mapping="CUSTOMER")
    send(screen, "field", local="Name", integration="name")
    shown = send(screen, "try_rule", value="UPPERCASE")
    assert "would be changed" in shown and not screen.edit.changed
    assert "no transformation rule" in send(screen, "try_rule", value="NONE")


def test_a_change_shows_as_a_difference_and_is_written_by_save_alone(own_demo: Workspace) -> None:
    path = Path(own_demo.path)
    before = path.read_text(encoding="utf-8")
    screen = ConnectAndMap(own_demo)
    send(screen, "open", mapping="CUSTOMER")
    send(screen, "set", key="only_coupled", value="false")
    shown = send(screen, "filter", side="local", text="Blocked: ' '; Country/Region Code: DE")
    assert "go out" in shown and '"+      only_coupled: false"' in shown and path.read_text(encoding="utf-8") == before
    assert "go out" in send(screen, "filter", side="local", text="Blocked: ' '; Country/Region Code: DE"), (
        "beside the saved one, however often"
    )
    send(screen, "field", local="Name", integration="name")
    send(screen, "set_field", key="enabled", value="no")
    send(screen, "save_file")
    assert not screen.error and "Saved: " in screen.said
    after = path.read_text(encoding="utf-8")
    assert [line for line in before.splitlines() if "#" in line] == [line for line in after.splitlines() if "#" in line]
    now = own_demo.description.mapping("CUSTOMER")
    assert not now.only_coupled and "DE" in str(now.local_filter), "the workspace of the other cells is read again"
    assert not next(f for f in now.fields if f.local == "Name").enabled
    outside = own_demo.plan_full("CUSTOMER").records("CUSTOMER", disposition="outside the filter", in_pass="to")
    assert len(outside) > 150


def test_changes_can_be_taken_back(own_demo: Workspace) -> None:
    screen = ConnectAndMap(own_demo)
    send(screen, "open", mapping="VENDOR")
    send(screen, "set", key="direction", value="to_integration")
    assert screen.edit.changed and screen.draft is not screen.ws
    shown = send(screen, "take_back")
    assert not screen.edit.changed and screen.draft is screen.ws and "Nothing is changed" in shown


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"do": "filter", "side": "local", "text": "Blcked: ' '"}, 'Did you mean "Blocked"'),
        ({"do": "set", "key": "direction", "value": "sideways"}, "cannot be set"),
        ({"do": "add_field", "text": "Name"}, "local field = integration field"),
        ({"do": "add_field", "text": "Name = nme"}, 'no field "nme"'),
        ({"do": "add_field", "text": "Name = name"}, "already"),
        ({"do": "address", "side": "local", "text": "postgresql://me:secret@host/db"}, "Do not write a password"),
        ({"do": "set_field", "key": "rule", "value": "TRIM"}, "Open a field row first"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_a_sentence_and_changes_nothing(
    demo: Workspace, message: dict[str, str], said: str
) -> None:
    screen = ConnectAndMap(demo)
    send(screen, "open", mapping="CUSTOMER")
    screen.receive(message)
    assert said in screen.error and not screen.edit.changed


def test_what_would_not_check_is_not_saved(own_demo: Workspace) -> None:
    before = Path(own_demo.path).read_bytes()
    screen = ConnectAndMap(own_demo)
    shown = send(screen, "address", side="integration", text="sqlite:///nowhere.db")
    assert "There is no SQLite file" in shown and screen.refusal()
    send(screen, "save_file")
    assert "would not check" in screen.error and "no SQLite file" in screen.error and Path(own_demo.path).read_bytes() == before


def test_an_error_that_was_there_before_keeps_nobody_from_mending_another(own_demo: Workspace) -> None:
    path = Path(own_demo.path)
    text = path.read_text(encoding="utf-8").replace(
        "mappings: standard", "mappings: [standard, {VENDOR: {local_filter: 'Blcked: x'}}]"
    )
    path.write_text(text, encoding="utf-8")
    own_demo.reload()
    screen = ConnectAndMap(own_demo)
    assert "Blcked" in json.dumps(screen.state()["blocks"]) or screen.findings[0].severity == "error"
    send(screen, "open", mapping="CUSTOMER")
    send(screen, "set", key="only_coupled", value="false")
    assert screen.refusal() == []
    send(screen, "save_file")
    assert "Saved" in screen.said and not own_demo.description.mapping("CUSTOMER").only_coupled


def test_passwords_are_not_shown(own_demo: Workspace) -> None:
    path = Path(own_demo.path)
    text = path.read_text(encoding="utf-8").replace("'sqlite:///dataverse.db'", "'postgresql://me:s3cret@127.0.0.1:1/none'")
    path.write_text(text, encoding="utf-8")
    own_demo.reload()
    screen = ConnectAndMap(own_demo)
    send(screen, "address", side="integration", text="postgresql://me:${PASSWORD}@127.0.0.1:1/none")
    shown = json.dumps(screen.state()) + screen.html()
    assert "s3cret" not in shown and "***" in shown and "${PASSWORD}" in shown
