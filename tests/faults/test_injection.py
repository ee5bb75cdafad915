"""Names and values that want to be SQL, HTML, a formula, a command to the terminal, a path or code: they stay what they are, everywhere."""

from __future__ import annotations

import ast
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import sqlalchemy as sa
from world import MakeWorld, World, mapping

import synckit
from synckit.applying.refusals import to_accept
from synckit.cli import main
from synckit.errors import SynckitError
from synckit.mapping.loading import load_workspace
from synckit.planning.planfile import load_plan
from synckit.workspace import open_workspace

VALUES = (
    "'; DROP TABLE customer; --", '"; DELETE FROM account', "=cmd|'/c calc'!A1", "+1+1", "-2+3", "@SUM(1,1)", "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>", "\x1b]0;owned\x07\x1b[31mred", "\x9b31m", "\u202eevil", "${HOME}", "%s %(x)s {0}", ":name ?", "a\nb\r\tc",
)  # fmt: skip
TABLE = "we\"ird ta'ble; DROP TABLE x --"
COLUMNS = {"id": 'the "key"', "name": "na'me\"); --", "fax": "%s :fax ?", "changed": "changed at [x] `y`"}


@pytest.fixture
def hostile(make_world: MakeWorld) -> World:
    w = make_world(
        {"customer": "no code20 key, name text80, fax text80"},
        {"account": "name text100, fax text100"},
        [mapping("CUSTOMER", "customer > account", "name <> name, fax <> fax")],
    )
    for n, value in enumerate(VALUES):
        w.local.add("customer", f"C{n}", no=f"C{n}", name=value, fax=VALUES[-1 - n])
        if n % 2:
            w.integration.add("account", f"G{n}", name="before", fax=value)
            w.couple("CUSTOMER", f"C{n}", f"G{n}")
            w.local.edit("customer", f"C{n}", fax="changed")
    w.local.refuse("customer", "NEW.fax = 'refused'", "never mind")
    return w


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A command's output on both streams; nothing in it can command a terminal."""

    def run(*words: object) -> str:
        with pytest.raises(SystemExit):
            main([str(w) for w in words])
        out, err = capfd.readouterr()
        for text in (out, err):
            assert not [c for c in text if (ord(c) < 32 and c not in "\n\r\t") or 127 <= ord(c) < 160 or c in "\u202e\u2066"], words
        assert "did not expect" not in err, err
        return out + err

    return run


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[Any]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        self.found.append((tag, attrs))


def test_values_stay_values_in_every_output(hostile: World, command: Callable[..., str]) -> None:
    w, at = hostile, hostile.folder.joinpath
    _ = w.ws
    w.close()
    command("plan", "full", "-w", w.path, "--out", at("x.plan"))
    for words in (["show", at("x.plan")], ["show", at("x.plan"), "--changes"], ["show", at("x.plan"), "--json"], ["show", at("x.plan"), "--html", at("p.html")],
                  ["show", at("x.plan"), "--excel", at("p.xlsx")], ["check", "--data", "-w", w.path], ["duplicates", "-w", w.path],
                  ["apply", at("x.plan"), "-w", w.path, "--yes", "--accept", "CUSTOMER"], ["jobs", "-w", w.path], ["errors", "-w", w.path],
                  ["explain", "CUSTOMER", "C8", "-w", w.path], ["report", "--html", at("r.html"), "--excel", at("r.xlsx"), "-w", w.path],
                  ["undo", "1", "-w", w.path, "--out", at("u.plan")], ["show", at("u.plan"), "--changes"]):  # fmt: skip
        command(*words)
    for n, value in enumerate(VALUES):
        with closing(sqlite3.connect(at("integration.db"))) as database:
            found = {row[0] for row in database.execute("SELECT name FROM account")}
        assert value in found, n  # written as it is, and no table is gone
    for page in ("p.html", "r.html"):
        if at(page).exists():
            tags = Tags(at(page).read_text(encoding="utf-8")).found
            assert not [t for t, a in tags if t in ("script", "img", "iframe") or any(k.startswith("on") for k, _ in a)], page
    books = [p for p in w.folder.iterdir() if p.suffix == ".xlsx"]
    for path in books:
        for sheet in openpyxl.load_workbook(path).worksheets:
            assert not [c.coordinate for row in sheet.iter_rows() for c in row if c.data_type == "f"], path.name
    assert len(books) == 2


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def weird(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A workspace whose tables and columns are called so that no statement survives a name that is not quoted."""
    urls = {side: f"sqlite:///{tmp_path}/{side}.db" for side in ("local", "integration")}
    if request.param != "sqlite":
        urls["integration"] = request.getfixturevalue("postgres_url" if request.param == "postgresql" else "mariadb_url")
    described: dict[str, Any] = {"ledger": "ledger.db"}
    for side, url in urls.items():
        engine = sa.create_engine(url)
        # a % in a column is the drivers' own trouble
        names = {k: v if "sqlite" in url else v.replace("%", "pc") for k, v in COLUMNS.items()}
        table = sa.Table(TABLE, sa.MetaData(), *(sa.Column(c, sa.String(100), primary_key=k == "id") for k, c in names.items()))
        table.metadata.create_all(engine)
        with engine.begin() as connection:
            for n, value in enumerate(VALUES[:4]):
                key = f"00000000-0000-4000-8000-{n + (100 if side == 'local' else 0):012}"
                connection.execute(
                    table.insert().values(
                        {names["id"]: key, names["name"]: f"{value} {side}", names["changed"]: f"2026-01-0{n + 1}T00:00:00.000Z"}
                    )
                )
        engine.dispose()
        kinds = {"id": "guid", "changed": "datetime"}
        described[side] = {"name": side, "url": url, "version": {"kept_by": "synckit"}, "schema": {
            "name": f"weird {side}", "blank": "null", "tables": [{"name": "partner", "table": TABLE, "primary_key": ["id"], "uid": "id", "modified_on": "changed",
            "columns": [{"name": k, "column": c, "type": kinds.get(k, "text"), "length": None if k in kinds else 100} for k, c in names.items()]}]}}  # fmt: skip
    described["mappings"] = [{"name": "PARTNER", "local": {"table": "partner"}, "integration": {"table": "partner"}, "only_coupled": False,
                              "local_filter": {"name": "<>'x'' OR 1=1 --'"}, "fields": [{"local": c, "integration": c} for c in ("name", "fax")]}]  # fmt: skip
    path = tmp_path / "workspace.yaml"
    path.write_text(json.dumps(described), encoding="utf-8")
    yield path


def test_names_of_tables_and_columns_are_quoted_everywhere(weird: Path) -> None:
    with open_workspace(weird) as ws:
        plan = ws.plan_full()
        assert plan.total("create") == 8
        run = ws.apply(plan, accept=to_accept(plan))
        assert run.exit_code == 0 and run.written == 8
        assert ws.plan_modified().writes == 0
        assert not [f for f in ws.check() if f.severity == "error"]
        undo = ws.plan_undo(run.id)
        assert undo.total("delete") == 8 and ws.apply(undo).exit_code == 0


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "..\\evil", "a/b", "CON", "x" * 20 + "\u202e"])
def test_a_mapping_called_like_a_path_writes_nowhere_else(make_world: MakeWorld, name: str) -> None:
    try:
        w = make_world(
            {"customer": "no code20 key, name text50"},
            {"account": "name text100"},
            [mapping(name, "customer > account", "name <> name")],
        )
        w.local.add("customer", "A", no="A", name="A")
        plan = w.ws.plan_full()
    except SynckitError as refused:
        assert name[:5] in str(refused) or "name" in str(refused)
        return
    parent = set(w.folder.parent.rglob("*"))
    plan.save(str(w.folder / "x.plan"))
    plan.to_excel(str(w.folder / "x.xlsx"))
    assert load_plan(str(w.folder / "x.plan")).total("create") == 1
    new = {p for p in set(w.folder.parent.rglob("*")) - parent if not p.name.startswith("ledger.db")}
    assert new == {w.folder / "x.plan", w.folder / "x.xlsx"} and not Path("/etc/evil").exists()


@pytest.mark.parametrize(
    "tag",
    ['!!python/object/apply:os.system ["touch {}"]', "!!python/name:os.system", "!!python/module:os", "!Ref x", "&a [*a, *a]"],
)
@pytest.mark.parametrize("where", ["local: {}", "mappings: [{}]", "{}", "ledger: {}"])
def test_yaml_tags_are_never_carried_out(tmp_path: Path, tag: str, where: str) -> None:
    owned = tmp_path / "owned"
    path = tmp_path / "workspace.yaml"
    path.write_text(where.replace("{}", tag.replace("{}", str(owned))) + "\n", encoding="utf-8")
    with pytest.raises(SynckitError):
        load_workspace(path)
    assert not owned.exists()


NEVER = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "xmlrpc", "yaml"}
CALLS = {"eval", "exec", "__import__", "read_pickle", "to_pickle", "unsafe_load", "os.system", "os.popen"}


def test_no_pickle_is_read_and_no_text_becomes_code() -> None:
    wrong = []
    for path in sorted(Path(synckit.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wrong += [f"{path.name}: import {a.name}" for a in node.names if a.name.partition(".")[0] in NEVER]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in NEVER:
                wrong.append(f"{path.name}: from {node.module}")
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                called = called if called.startswith("os.") else called.rpartition(".")[2]
                wrong += [f"{path.name}, line {node.lineno}: {called}"] if called in CALLS else []
                wrong += [f"{path.name}, line {node.lineno}: {k.arg}" for k in node.keywords
                          if k.arg in ("shell", "allow_pickle") and not (isinstance(k.value, ast.Constant) and k.value.value is False)]  # fmt: skip
    assert not wrong
