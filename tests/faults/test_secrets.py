"""One sweep: a password goes in through ${ENV} and the key store, and comes out nowhere: no file, screen, log, error, traceback or repr."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import sqlalchemy as sa
from IPython.core.formatters import DisplayFormatter
from world import World, mapping

from synckit import load_plan
from synckit.cli import main
from synckit.errors import SynckitError
from synckit.workspace import Workspace, open_workspace

SECRET = "gehe1m-9@/+ %x:ü"
SPELLINGS = sorted(
    {
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET),
        quote(SECRET, safe=" +"),
        quote_plus(SECRET),
        repr(SECRET)[1:-1],
        json.dumps(SECRET)[1:-1],
    }
)
HOW = {"environment": "${SHOP_PASSWORD}", "key store": "keyring:shop/reader"}


@pytest.fixture(params=HOW)
def workspace(request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small world on PostgreSQL (which trusts us, whatever the password), whose workspace names the password and does not hold it."""
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=lambda service, user: SECRET))
    w = World(tmp_path, {"customer": "no code20 key, name text50"}, {"account": "name text100"},
              [mapping("CUSTOMER", "customer > account", "name <> name")], urls={"local": postgres_url, "integration": postgres_url})  # fmt: skip
    for name in "AB":
        w.local.add("customer", name, no=name, name=f"Acme {name}")
        w.integration.add("account", f"G{name}", name=f"Acme {name}" if name == "A" else "Beta")
        w.couple("CUSTOMER", name, f"G{name}")
    w.local.add("customer", "N", no="N", name="=New")
    w.local.edit("customer", "A", name="Acme & Sons")
    w.close()
    url = sa.make_url(postgres_url)
    host = f"{url.host}:{url.port}" if url.port else url.host
    written = f"{url.drivername}://{url.username}:{HOW[request.param]}@{host}/{url.database}"
    path = tmp_path / "workspace.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(postgres_url, written), encoding="utf-8")
    yield path


def clean(text: str | bytes, where: object) -> None:
    """Assert that no spelling of the secret is in a text."""
    for spelling in SPELLINGS:
        found = spelling.encode() in text if isinstance(text, bytes) else spelling in text
        assert not found, f"the password stands in {where}"


def sweep(folder: Path) -> int:
    """Every file below, archives unpacked, Parquet and plans also as the values they hold; returns how many were read."""
    read = 0
    for path in (p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        clean(content, path.name)
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for name in archive.namelist():
                    clean(archive.read(name), f"{path.name}, {name}")
        if path.suffix == ".plan":
            plan = load_plan(path)
            clean(repr(plan) + repr(plan.base) + str(plan.base.__dict__), path.name)
        read += 1
    return read


def deep(problem: BaseException) -> str:
    """What Python prints of an exception, with the local variables of our frames, as some notebooks and debuggers do."""
    printed = "".join(traceback.format_exception(problem)) + repr(problem) + str(getattr(problem, "findings", ""))
    own = [f for f, _ in traceback.walk_tb(problem.__traceback__) if "synckit" in f.f_code.co_filename]
    return printed + "".join(repr(v) for f in own for v in f.f_locals.values() if not isinstance(v, str))


@pytest.fixture
def synckit(capfd: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """A command of the command line; what it prints on either stream is swept at once."""

    def run(*words: object) -> int:
        with pytest.raises(SystemExit) as ended:
            main([str(w) for w in words])
        out, err = capfd.readouterr()
        clean(out, f"what {words} prints")
        clean(err, f"what {words} says on stderr")
        assert "Traceback" not in err and "did not expect" not in err, err
        print(err)
        return int(ended.value.code or 0)

    return run


def test_no_output_holds_the_password(workspace: Path, synckit: Callable[..., int], caplog: pytest.LogCaptureFixture) -> None:
    folder = workspace.parent
    at = folder.joinpath
    with caplog.at_level(logging.DEBUG):
        assert synckit("check", "--json", "-w", workspace) in (0, 1)
        synckit("check", "--data", "-w", workspace)
        synckit("mappings", "--json", "-w", workspace)
        assert synckit("--log", at("debug.log"), "--debug", "plan", "full", "-w", workspace, "--out", at("x.plan")) == 2
        synckit("show", at("x.plan"), "--json")
        synckit("show", at("x.plan"), "--excel", at("x.xlsx"))
        synckit("show", at("x.plan"), "--html", at("x.html"))
        assert synckit("--log", at("info.log"), "apply", at("x.plan"), "-w", workspace, "--yes", "--accept", "CUSTOMER") == 0
        for words in (["jobs", "--json"], ["errors"], ["explain", "CUSTOMER", "A", "--json"], ["report", "--html", at("r.html"), "--excel", at("r.xlsx")],
                      ["couplings", "export", at("couplings.csv")], ["undo", "1", "--out", at("u.plan")], ["compare", at("x.plan"), at("u.plan")]):  # fmt: skip
            synckit(words[0], *words[1:], "-w", workspace) if words[0] != "compare" else synckit(*words)
    clean(caplog.text, "what is logged")
    clean("".join(repr(r.__dict__) for r in caplog.records), "the facts that are logged")
    assert {p.name for p in folder.iterdir()} >= {
        "x.plan",
        "x.xlsx",
        "debug.log",
        "info.log",
        "r.html",
        "ledger.db",
        "couplings.csv",
    }
    assert sweep(folder) > 8
    with open_workspace(workspace) as ws:
        clean(shown(ws), "a repr")


def shown(ws: Workspace) -> str:
    """Everything that a notebook or a debugger may show of an open workspace and what hangs off it."""
    plan = ws.plan_modified()
    formatted = DisplayFormatter()
    objects: list[Any] = [
        ws,
        ws.description,
        ws.local,
        ws.integration,
        ws.systems,
        ws.ledger,
        ws.schemas,
        plan,
        plan.base,
        ws.mappings(),
        ws.jobs(),
    ]
    text = ""
    for thing in objects:
        text += repr(thing) + str(thing) + repr(formatted.format(thing)) + repr(getattr(thing, "__dict__", ""))
    with ws.local.snapshot() as snapshot:
        text += repr(snapshot) + repr(snapshot.__dict__)
    return text + "".join(repr(v) for system in ws.systems.values() for v in vars(system).values())


@pytest.mark.parametrize("workspace", ["environment"], indirect=True)
@pytest.mark.parametrize(("change", "says"), [
    ((r"127\.0\.0\.1(:\d+)?", "127.0.0.1:1"), "cannot be reached"),
    ((r"postgresql[a-z+]*://", "oracle://"), 'kind "oracle"'),
    ((r"://\w+:", "://nobody_here:"), "nobody_here"),
    ((r"(@[\d.:]+/)\w+", r"\1no_such_database"), "no_such_database"),
])  # fmt: skip
def test_no_error_holds_the_password(
    workspace: Path, change: tuple[str, str], says: str, synckit: Callable[..., int], capfd: Any
) -> None:
    workspace.write_text(re.sub(*change, workspace.read_text(encoding="utf-8")), encoding="utf-8")
    with open_workspace(workspace) as ws:
        with pytest.raises(SynckitError) as refused:
            ws.plan_full()
        assert says in str(refused.value)
        clean(deep(refused.value), "a traceback")
    assert synckit("check", "--json", "-w", workspace) == 1
    assert synckit("--log", workspace.parent / "log", "--debug", "plan", "full", "-w", workspace) == 1
    assert sweep(workspace.parent)


@pytest.mark.parametrize("workspace", ["environment"], indirect=True)
def test_a_wrong_password_is_not_repeated(
    tmp_path: Path, mariadb_url: str, monkeypatch: pytest.MonkeyPatch, workspace: Path
) -> None:
    url = sa.make_url(mariadb_url)
    text = re.sub(
        r"postgresql[^\"]*",
        f"mariadb://{url.username}:${{SHOP_PASSWORD}}@{url.host}:{url.port}/{url.database}",
        workspace.read_text(encoding="utf-8"),
    )
    workspace.write_text(text, encoding="utf-8")
    with open_workspace(workspace) as ws, pytest.raises(SynckitError, match="refused the user") as refused:
        ws.plan_full()
    clean(deep(refused.value), "a traceback")


@pytest.mark.parametrize("workspace", ["key store"], indirect=True)
def test_without_the_extra_one_sentence_says_what_to_install(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with open_workspace(workspace) as ws, pytest.raises(SynckitError, match=r'^[^\n]*run: pip install "synckit\[keyring\]"\.$'):
        ws.plan_full()
