"""A long simulated life: rounds of random edits on both sides with synchronisation between them, ending equal.

The seed is printed, and can be set with SYNCKIT_SEED. Twenty rounds by default, two hundred with the marker `long`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from synckit.ledger.ledger import Ledger
from synckit.mapping.loading import load_workspace
from synckit.planning.plan import Plan
from synckit.workspace import Workspace

SEED = int(os.environ.get("SYNCKIT_SEED", "20260105"))
FIELDS = ("name", "city", "amount", "rank", "since")
NAMES = [
    "Hafenkontor GmbH",
    "Librairie de l'Église",
    "Łódzka Sp. z o.o.",
    "O'Brien & Sons",
    "貿易有限公司",
    "Åse Søndergård",
    "A",
    "a B",
]
CITIES = ["", "Lüdersen", "Saint-Aurèle", "Kings Yard", "台中市"]
COLUMNS = "\n      - {name: name, length: 100}\n      - {name: city, length: 50}\n      - {name: amount, type: decimal, scale: 2}\n      - {name: rank, type: integer}\n      - {name: since, type: date}"
SCHEMA = """\
name: {side}
blank: "{blank}"
tables:
  - name: partner
    table: {side}_partner
    primary_key: [id]
    uid: id
    modified_on: changed
    name_column: name
    columns:
      - {{name: id, type: guid, nullable: false, primary_key: true}}
      - {{name: changed, type: datetime, access: read}}{columns}
"""


class Side:
    """One table in one database; edits go by plain SQL, with a clock of the side's own that never stands still."""

    def __init__(self, side: str, url: str, skew: timedelta) -> None:
        self.side, self.url = side, url
        self.engine = sa.create_engine(url)
        dialect = self.engine.dialect.name
        moment: Any = {"sqlite": sa.Text, "postgresql": sa.TIMESTAMP(timezone=True)}.get(dialect)
        if moment is None:
            from sqlalchemy.dialects.mysql import DATETIME

            moment = DATETIME(fsp=6)
        self.lite = dialect == "sqlite"
        local = side == "local"
        key: Any = sa.Uuid(as_uuid=False) if dialect == "postgresql" else sa.String(36)
        decimals: Any = sa.String(40) if self.lite else sa.Numeric(20, 2)
        self.table = sa.Table(
            f"{side}_partner", sa.MetaData(),
            sa.Column("id", key, primary_key=True), sa.Column("changed", moment), sa.Column("name", sa.String(100)),
            sa.Column("city", sa.String(50)), sa.Column("amount", decimals), sa.Column("rank", sa.Integer),
            sa.Column("since", sa.Text if self.lite else sa.Date), mysql_charset="utf8mb4", mysql_collate="utf8mb4_general_ci",
        )  # fmt: skip
        self.blank: Any = "" if local else None
        self.now = datetime(2026, 1, 5, 9) + skew
        self.table.metadata.create_all(self.engine)

    def stored(self, values: dict[str, Any]) -> dict[str, Any]:
        self.now += timedelta(milliseconds=7)
        out: dict[str, Any] = {n: (self.blank if v == "" else v) for n, v in values.items()}
        if self.lite:
            out = {n: str(v) if isinstance(v, (Decimal, date)) else v for n, v in out.items()}
            return {**out, "changed": f"{self.now.isoformat(timespec='milliseconds')}Z"}
        zone = "+00" if self.engine.dialect.name == "postgresql" else ""
        return {**out, "changed": f"{self.now.isoformat(timespec='microseconds')}{zone}"}

    def run(self, statement: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(statement)

    def keys(self) -> list[str]:
        with self.engine.connect() as connection:
            return sorted(str(k) for k in connection.execute(sa.select(self.table.c.id)).scalars())

    def rows(self) -> dict[str, tuple[Any, ...]]:
        """Key -> the values of the mapped fields, blanks alike on both sides."""
        with self.engine.connect() as connection:
            found = connection.execute(sa.select(self.table)).mappings().all()
        return {str(r["id"]): tuple(_alike(r[name]) for name in FIELDS) for r in found}


def _alike(value: Any) -> str:
    if value is None or value == "":
        return ""
    text = format(Decimal(str(value)).normalize(), "f") if str(value).replace(".", "").lstrip("-").isdecimal() else str(value)
    return "" if text == "0" else text


class Life:
    """Two systems, a ledger between them, and somebody on either side who types."""

    def __init__(self, folder: Path, local: str, integration: str) -> None:
        self.random = random.Random(SEED)
        self.sides = {
            "local": Side("local", local, timedelta(seconds=-300)),
            "integration": Side("integration", integration, timedelta(0)),
        }
        for side, blank in (("local", "empty"), ("integration", "null")):
            (folder / f"{side}.yaml").write_text(SCHEMA.format(side=side, blank=blank, columns=COLUMNS), encoding="utf-8")
        fields = "".join(f"\n      - {{local: {f}, integration: {f}, direction: bidirectional}}" for f in FIELDS)
        (folder / "workspace.yaml").write_text(
            f"""\
ledger: ledger.db
local: {{name: Local, url: '{local}', schema: local.yaml, version: {{kept_by: synckit}}}}
integration: {{name: Integration, url: '{integration}', schema: integration.yaml, version: {{kept_by: synckit}}}}
mappings:
  - name: PARTNER
    local: {{table: partner}}
    integration: {{table: partner}}
    direction: bidirectional
    only_coupled: false
    deletion_conflict_resolution: restore_records
    fields:{fields}
""",
            encoding="utf-8",
        )
        self.ws = Workspace(load_workspace(folder / "workspace.yaml"))
        self.conflicts = self.written = 0

    def close(self) -> None:
        self.ws.close()
        for side in self.sides.values():
            side.engine.dispose()

    def values(self) -> dict[str, Any]:
        r = self.random
        return {
            "name": r.choice(NAMES) + f" {r.randrange(100)}", "city": r.choice(CITIES), "amount": Decimal(r.randrange(1, 10**8)) / 100,
            "rank": r.randrange(1, 9), "since": date(2020, 1, 1) + timedelta(days=r.randrange(2000)),
        }  # fmt: skip

    def edits(self) -> None:
        """What happens on the two sides before the next run."""
        r = self.random
        real = datetime.now()  # written rows carry the server's clock: somebody who types later does so at a later moment
        for side in self.sides.values():
            side.now = max(side.now, real + timedelta(seconds=1)) + timedelta(seconds=1)
            for _ in range(r.randrange(6)):
                keys = side.keys()
                what = r.random()
                if what < 0.3 or not keys:
                    key = f"{r.getrandbits(32):08x}-0000-4000-8000-{r.getrandbits(48):012x}"
                    side.run(side.table.insert().values({"id": key, **side.stored(self.values())}))
                elif what < 0.95:
                    some = dict(r.sample(sorted(self.values().items()), r.randrange(1, 4)))
                    side.run(side.table.update().where(side.table.c.id == r.choice(keys)).values(side.stored(some)))
                else:
                    side.run(side.table.delete().where(side.table.c.id == r.choice(keys)))

    def synchronise(self) -> Plan:
        """One run; conflicts are decided for the local side on even days, for the integration side on odd ones."""
        plan = self.ws.plan_modified()
        for key in dict.fromkeys(plan.conflicts()["local_key"]):
            self.conflicts += 1
            plan = plan.resolve("PARTNER", key, use="local" if self.conflicts % 2 else "integration")
        run = self.ws.apply(plan)
        assert not len(run.differences), run.to_text()
        self.written += run.written
        return plan

    def equal(self) -> None:
        local, integration = (self.sides[s].rows() for s in ("local", "integration"))
        couplings = {c["local_key"]: c["integration_key"] for c in self.ledger.couplings("PARTNER").to_pylist()}
        for key, row in local.items():
            assert row == integration[couplings[key]], key
        assert len(local) == len(integration) == len([k for k in couplings if k in local])

    @property
    def ledger(self) -> Ledger:
        return self.ws.ledger


SERVERS = "mariadb and postgresql"


@pytest.fixture
def life(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Life]:
    if request.param == "sqlite":
        urls = [f"sqlite:///{tmp_path}/{side}.db" for side in ("local", "integration")]
    else:
        urls = [request.getfixturevalue("mariadb_url"), request.getfixturevalue("postgres_url")]
    print(f"seed {SEED}")
    with closing(Life(tmp_path, *urls)) as made:
        yield made


LONG = [pytest.param(where, 200, marks=pytest.mark.long) for where in ("sqlite", SERVERS)]


@pytest.mark.parametrize(("life", "rounds"), [("sqlite", 20), (SERVERS, 10), *LONG], indirect=["life"])
def test_a_long_life_ends_equal(life: Life, rounds: int) -> None:
    for number in range(rounds):
        life.edits()
        life.synchronise()
        if number % 5 == 4:
            assert life.synchronise().writes == 0, f"round {number}, seed {SEED}: a second run writes"
            life.equal()
    life.synchronise()
    life.equal()
    assert life.written > rounds
    assert life.conflicts or rounds < 100  # keys are drawn, so that a short life may have none
