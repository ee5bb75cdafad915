"""`synckit check` tells every mistake of a workspace file together: what cannot be loaded does not hide what cannot be checked."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from synckit.cli import main
from synckit.errors import SynckitError
from synckit.mapping.loading import load_workspace
from synckit.workspace import open_to_check

BROKEN = """\
memory: plenty
surprise: 1
local: {name: Here, url: 'sqlite:///a.db', schema: business_central, version: {kept_by: martians}}
integration: {name: There, schema: dataverse}
limits: {CUSTOMRE: {creates: 1}}
mappings:
  - CURENCY
  - CUSTOMER:
      direction: sideways
      only_coupled: perhaps
      local_filter: {Blocked: 'a|(b', Nmae: x}
      depends_on: [NOWHERE]
      fields:
        - {local: Nmae, integration: name}
        - {local: City, integration: address1_city, use_for_match: 7x}
  - name: ITEM
    local: {table: itemz}
    integration: {table: account}
    fields: [{local: Description, integration: name, transformation_rule: NOSUCH}]
  - name: NOTHING
    fields: []
  - VENDOR: {depends_on: [CONTACT]}
  - CONTACT: {depends_on: [VENDOR]}
"""
#: Of every mistake above: where it stands, and a part of the sentence.
TOLD = [
    ("line 1, memory", "is not a size"),
    ("line 2", 'no key "surprise"'),
    ("line 3, local > version > kept_by", '"martians" is not one of'),
    ("line 4, integration", "neither url nor folder"),
    ("line 5, limits > CUSTOMRE", 'Did you mean "CUSTOMER"'),
    ("line 7, mappings > CURENCY", 'Did you mean "CURRENCY"'),
    ("line 9, mappings > CUSTOMER > direction", '"sideways" is not one of'),
    ("line 10, mappings > CUSTOMER > only_coupled", "neither true nor false"),
    ("line 15, mappings > CUSTOMER > fields > 2 > use_for_match", "neither true nor false"),
    ("line 20, mappings > NOTHING", "local"),
    ("CUSTOMER > local_filter", '"a" is no option'),
    ("CUSTOMER > local_filter", "Nmae"),
    ("CUSTOMER > depends_on", "NOWHERE"),
    ("CUSTOMER > fields > Nmae / name", 'Did you mean "Name"'),
    ("ITEM > local", 'no table "itemz"'),
    ("ITEM > fields > Description / name", "NOSUCH"),
    ("mappings", "VENDOR -> CONTACT -> VENDOR"),
]


def test_every_mistake_is_told_together_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "workspace.yaml"
    path.write_text(BROKEN, encoding="utf-8")
    with open_to_check(path) as ws:
        errors = [f for f in ws.check() if f.severity == "error"]
    for place, sentence in TOLD:
        assert any(f.place.endswith(place) and sentence in f"{f.message} {f.remedy}" for f in errors), (place, sentence)
    lines = [int(f.place.partition("line ")[2].partition(",")[0]) for f in errors if ", line " in f.place]
    assert lines == sorted(lines), "in the order of the file"
    assert len(path.read_text(encoding="utf-8")) == len(BROKEN)
    with pytest.raises(SystemExit) as left:
        main(["check", "-w", str(path)])
    assert left.value.code == 1 and "sideways" in capsys.readouterr().out
    with pytest.raises(SynckitError, match=r"workspace\.yaml has \d+ mistakes"):
        load_workspace(path)  # what is run is never a file with something left out


def test_a_file_that_leaves_nothing_to_look_at_tells_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "workspace.yaml"
    path.write_text("memory: plenty\nmappings: 7\nlocal: 3\n", encoding="utf-8")
    with pytest.raises(SynckitError) as refused:
        open_to_check(path)
    assert {"line 2, mappings", "line 3, local"} <= {
        f.partition("workspace.yaml, ")[2].partition(":")[0] for f in refused.value.findings
    }


def test_a_schema_file_with_mistakes_is_told_beside_those_of_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("name: own\ntables:\n  - {name: a, columns: [{name: x, type: number}]}\n", encoding="utf-8")
    path = tmp_path / "workspace.yaml"
    path.write_text("memory: plenty\nlocal: {name: A, url: 'sqlite:///a.db', schema: own.yaml}\n"
                    "integration: {name: B, url: 'sqlite:///b.db', schema: dataverse}\nmappings: standard\n", encoding="utf-8")  # fmt: skip
    with open_to_check(path) as ws:
        told = " ".join(f.message for f in ws.check())
    assert "is not a size" in told and 'the key "uid" is missing' in told


WHOLE = {
    "memory": "1GB", "ownership_model": "person", "local_currency": "EUR", "semantics": "synckit",
    "local": {"name": "A", "url": "sqlite:///a.db", "schema": "business_central", "version": {"kept_by": "server"}, "production": False},
    "integration": {"name": "B", "url": "sqlite:///b.db", "schema": "dataverse"},
    "limits": {"all": {"deletes": 0}, "CUSTOMER": {"creates": 100}},
    "mappings": ["standard", {"CUSTOMER": {"only_coupled": False, "local_filter": {"Blocked": "All", "City": "A*"}, "depends_on": ["CURRENCY"],
                                           "fields": [{"local": "Name", "integration": "name", "use_for_match": True, "match_priority": 1}]}},
                 {"name": "OWN", "local": {"table": "customer"}, "integration": {"table": "account"}, "direction": "to_integration",
                  "fields": [{"local": "Name", "integration": "name"}, {"local": "City", "integration": "address1_city", "constant": "x"}]}],
}  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] * bool(at) + [p for key, part in inner for p in places(part, (*at, key))]


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_wrong_is_told_by_check_as_by_loading(tmp_path: Path, seed: int) -> None:
    """Two values anywhere are replaced by something else: check never breaks, and finds an error wherever loading refuses."""
    chance = random.Random(seed)
    raw: Any = copy.deepcopy(WHOLE)
    for place in chance.sample(places(WHOLE), 2):
        try:
            parent = raw
            for part in place[:-1]:
                parent = parent[part]
            parent[place[-1]] = chance.choice([None, 7, "nonsense", [], {}, {"odd": 1}, ["x"], True, -1.5])
        except (TypeError, KeyError, IndexError):
            continue  # the first one has taken the place of the second
    path = tmp_path / "workspace.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(raw, file)
    refused: set[str] = set()
    try:
        load_workspace(path)
    except SynckitError as error:
        refused = set(error.findings) or {error.message}
    try:
        with open_to_check(path) as ws:
            found = {f"{f.place}: {f.message}" for f in ws.check(connect=False) if f.severity == "error"}
    except SynckitError as error:
        found = set(error.findings) or {error.message}
    assert refused <= found
