"""MariaDB and PostgreSQL as a pair: what their collations, paddings, clocks and character sets make of the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from synckit.errors import SynckitError
from synckit.mapping.loading import load_workspace
from synckit.workspace import Workspace

SCHEMA = """\
name: {side}
blank: "{blank}"
tables:
  - name: partner
    table: {side}_partner
    primary_key: [no]
    uid: id
    modified_on: changed
    name_column: name
    columns:
      - {{name: id, type: guid, nullable: false, primary_key: true}}
      - {{name: changed, type: datetime, access: read}}
      - {{name: "no", type: code, length: 20}}
      - {{name: name, length: 50}}
"""
WORKSPACE = """\
ledger: ledger.db
local: {{name: Maria, url: '{maria}', schema: local.yaml, version: {{kept_by: synckit{resolution}}}}}
integration: {{name: Postgres, url: '{postgres}', schema: integration.yaml, version: {{kept_by: synckit}}}}
mappings:
  - name: PARTNER
    local: {{table: partner}}
    integration: {{table: partner}}
    direction: bidirectional
    only_coupled: false
    fields:
      - {{local: "no", integration: "no", direction: bidirectional}}
      - {{local: name, integration: name, direction: bidirectional}}
"""
START = datetime(2026, 1, 5, 9)


class Pair:
    """The same table on MariaDB (local) and PostgreSQL (integration); rows are made and looked at with plain SQL."""

    def __init__(
        self, folder: Path, maria: str, postgres: str, *, digits: int = 6, charset: str = "utf8mb4", collate: str = ""
    ) -> None:
        self.engines = {"local": sa.create_engine(maria), "integration": sa.create_engine(postgres)}
        collation = f" COLLATE {collate}" if collate else ""
        with self.engines["local"].begin() as c:
            c.exec_driver_sql(
                f"CREATE TABLE local_partner (id char(36) PRIMARY KEY, changed datetime({digits}), `no` varchar(20), name varchar(50)) "
                f"ENGINE InnoDB CHARACTER SET {charset}{collation}"
            )
        with self.engines["integration"].begin() as c:
            c.exec_driver_sql(
                'CREATE TABLE integration_partner (id uuid PRIMARY KEY, changed timestamptz, "no" varchar(20), name varchar(50))'
            )
        for side, blank in (("local", "empty"), ("integration", "null")):
            (folder / f"{side}.yaml").write_text(SCHEMA.format(side=side, blank=blank), encoding="utf-8")
        resolution = ", resolution: 1" if digits == 0 else ""
        (folder / "workspace.yaml").write_text(
            WORKSPACE.format(maria=maria, postgres=postgres, resolution=resolution), encoding="utf-8"
        )
        self.ws = Workspace(load_workspace(folder / "workspace.yaml"))

    def close(self) -> None:
        self.ws.close()
        for engine in self.engines.values():
            engine.dispose()

    def put(self, side: str, number: int, name: str, at: datetime = START, no: str = "") -> str:
        key = f"00000000-0000-4000-8000-{number:012x}"
        zone = "+00" if side == "integration" else ""
        values = {"id": key, "changed": f"{at}{zone}", "no": no or f"N{number}", "name": name}
        quoted = "`no`" if side == "local" else '"no"'
        typed = ":id, :changed" if side == "local" else "CAST(:id AS uuid), CAST(:changed AS timestamptz)"
        with self.engines[side].begin() as c:
            c.execute(sa.text(f"DELETE FROM {side}_partner WHERE id = {typed.split(', ')[0]}"), {"id": key})  # noqa: S608
            c.execute(sa.text(f"INSERT INTO {side}_partner (id, changed, {quoted}, name) VALUES ({typed}, :no, :name)"), values)  # noqa: S608
        return key

    def names(self, side: str) -> list[str]:
        with self.engines[side].connect() as c:
            return sorted(row[0] for row in c.exec_driver_sql(f"SELECT name FROM {side}_partner"))  # noqa: S608

    def couple(self, *numbers: int) -> None:
        keys = [f"00000000-0000-4000-8000-{n:012x}" for n in numbers]
        with self.ws.ledger.transaction() as tx:
            assert not tx.add_couplings([{"mapping": "PARTNER", "local_key": k, "integration_key": k} for k in keys])
        self.modified()  # equal rows: both stamps are set

    def modified(self) -> Any:
        plan = self.ws.plan_modified()
        run = self.ws.apply(plan)
        assert not len(run.differences), run.to_text()
        return plan

    def full(self) -> Any:
        plan = self.ws.plan_full()
        self.ws.apply(plan, accept=["PARTNER"])
        return plan


@pytest.fixture
def make_pair(tmp_path: Path, mariadb_url: str, postgres_url: str) -> Iterator[Any]:
    made: list[Pair] = []

    def make(**how: Any) -> Pair:
        made.append(Pair(tmp_path, mariadb_url, postgres_url, **how))
        return made[-1]

    yield make
    for pair in made:
        with closing(pair):
            pass


def test_a_full_synchronisation_and_the_runs_after_it(make_pair: Any) -> None:
    p = make_pair()
    p.put("local", 1, "Åse 😀")
    p.put("integration", 2, "東京")
    assert p.full().total("create") == 2
    assert p.names("local") == p.names("integration") == sorted(["Åse 😀", "東京"])
    assert p.modified().writes == p.modified().writes == 0


@pytest.mark.parametrize("collate", ["utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_bin"])
@pytest.mark.parametrize("change", ["ACME", "acmé", "acme "])
def test_case_accents_and_trailing_blanks_are_differences_whatever_the_collation(make_pair: Any, collate: str, change: str) -> None:
    p = make_pair(collate=collate)
    for side in ("local", "integration"):
        p.put(side, 1, "acme")
    p.couple(1)
    p.put("integration", 1, change, datetime.now() + timedelta(days=1))
    assert p.modified().total("update") == 1
    assert p.names("local") == [change]
    assert p.modified().writes == 0


@pytest.mark.parametrize("digits", [0, 3, 6])
def test_every_precision_of_modified_on(make_pair: Any, digits: int) -> None:
    p = make_pair(digits=digits)
    for side in ("local", "integration"):
        p.put(side, 1, "one")
    p.couple(1)
    p.put("local", 1, "two", datetime.now() + timedelta(days=1))
    assert p.modified().total("update") == 1
    assert p.modified().writes == 0
    p.put("integration", 1, "three", datetime.now() + timedelta(days=2))
    assert p.modified().total("update") == 1
    assert p.names("local") == p.names("integration") == ["three"]
    assert p.modified().writes == 0


@pytest.mark.parametrize("skew", [-300, 300])
def test_clocks_that_are_five_minutes_apart(make_pair: Any, skew: int) -> None:
    p = make_pair()
    for number in (1, 2):
        p.put("local", number, f"{number}")
        p.put("integration", number, f"{number}", START + timedelta(seconds=skew))
    p.couple(1, 2)
    p.put("local", 1, "X", START + timedelta(minutes=10))
    p.put("integration", 2, "Y", START + timedelta(minutes=10, seconds=skew))
    plan = p.modified()
    assert (plan.total("update"), plan.total("conflict")) == (2, 0)
    assert p.names("local") == p.names("integration") == ["X", "Y"]
    assert p.modified().writes == 0


def test_text_that_the_table_cannot_hold_never_comes_half(make_pair: Any) -> None:
    p = make_pair(charset="utf8mb3")
    for number, name in ((1, "plain"), (2, "four bytes 😀"), (3, "東京")):
        p.put("integration", number, name)
    try:
        plan = p.ws.plan_full()
    except SynckitError as error:
        assert "name" in str(error)
        return
    run = p.ws.apply(plan, accept=["PARTNER"])
    assert p.names("local") == sorted(["plain", "東京"])
    (message,) = run.errors["message"].tolist()
    assert ("name" in message and "refused" in message) or "cannot hold" in message
    assert p.ws.ledger.coupling("PARTNER", integration="00000000-0000-4000-8000-000000000002") is None
