"""Generated systems with a history: pairs in sync, then random edits, deletions and new rows on both sides. Small and hostile."""

from __future__ import annotations

import random
import sqlite3
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from oracle import BLANKS, Field, Map

from synckit.ledger.ledger import Ledger

WORDS = [
    "Åse",
    "müller",
    "Straße 5",
    "O'Brien",
    "=1+1",
    "<b>x</b>",
    "東京",
    "😀 pay",
    "a",
    " lead",
    "x" * 40,
    "é" * 22,
    "ab cd",
    "Łódź",
    "100%",
    "%_*",
    "\t",
]
CODES = ["A1", "b 2", " C3", "D4 ", "lång", "12345", "E-5", "", "0", "ÅR"]
PARTNER = ["name", "city", "post", "region", "region2", "owner", "amount", "rank", "since", "active"]
LOCAL = """
CREATE TABLE country (id TEXT PRIMARY KEY, code TEXT, title TEXT, changed TEXT);
CREATE TABLE region (id TEXT PRIMARY KEY, code TEXT, title TEXT, country TEXT, changed TEXT);
CREATE TABLE partner (id TEXT PRIMARY KEY, no TEXT, name TEXT, city TEXT, post TEXT, region TEXT, region2 TEXT, owner TEXT, amount TEXT,
  rank INTEGER, since TEXT, active INTEGER, closed INTEGER, changed TEXT);
"""
INTEGRATION = """
CREATE TABLE land (landid TEXT PRIMARY KEY, title TEXT, changed TEXT);
CREATE TABLE territory (territoryid TEXT PRIMARY KEY, title TEXT, landid TEXT, changed TEXT);
CREATE TABLE account (accountid TEXT PRIMARY KEY, name TEXT, city TEXT, post TEXT, region TEXT, region2 TEXT, owner TEXT, amount TEXT,
  rank INTEGER, since TEXT, active INTEGER, kind TEXT, state INTEGER, changed TEXT);
"""
CHANGED = "{name: changed, type: datetime, access: read}"
SCHEMAS = {
    "local": f"""
name: generated local
blank: empty
tables:
  - name: country
    primary_key: [code]
    uid: id
    modified_on: changed
    columns: [{{name: id, type: guid, nullable: false}}, {{name: code, type: code, length: 10}}, {{name: title, length: 20}}, {CHANGED}]
  - name: region
    primary_key: [code]
    uid: id
    modified_on: changed
    columns: [{{name: id, type: guid, nullable: false}}, {{name: code, type: code, length: 10}}, {{name: title, length: 20}},
      {{name: country, type: code, length: 10}}, {CHANGED}]
  - name: partner
    primary_key: ["no"]
    uid: id
    modified_on: changed
    columns:
      - {{name: id, type: guid, nullable: false}}
      - {{name: "no", type: code, length: 20}}
      - {{name: name, length: 30}}
      - {{name: city, length: 50}}
      - {{name: post, type: code, length: 10}}
      - {{name: region, type: code, length: 10}}
      - {{name: region2, type: code, length: 10}}
      - {{name: owner, type: code, length: 10}}
      - {{name: amount, type: decimal, scale: 2}}
      - {{name: rank, type: integer}}
      - {{name: since, type: date}}
      - {{name: active, type: boolean}}
      - {{name: closed, type: boolean}}
      - {CHANGED}
""",
    "integration": f"""
name: generated integration
blank: "null"
tables:
  - name: land
    primary_key: [landid]
    uid: landid
    modified_on: changed
    columns: [{{name: landid, type: guid, nullable: false}}, {{name: title, length: 20}}, {CHANGED}]
  - name: territory
    primary_key: [territoryid]
    uid: territoryid
    modified_on: changed
    columns: [{{name: territoryid, type: guid, nullable: false}}, {{name: title, length: 20}}, {{name: landid, type: guid}}, {CHANGED}]
  - name: account
    primary_key: [accountid]
    uid: accountid
    modified_on: changed
    columns:
      - {{name: accountid, type: guid, nullable: false}}
      - {{name: name, length: 50}}
      - {{name: city, length: 20}}
      - {{name: post, length: 12}}
      - {{name: region, type: guid}}
      - {{name: region2, type: guid}}
      - {{name: owner, type: guid}}
      - {{name: amount, type: decimal, scale: 2}}
      - {{name: rank, type: integer}}
      - {{name: since, type: date}}
      - {{name: active, type: boolean}}
      - {{name: kind, length: 20}}
      - {{name: state, type: integer}}
      - {CHANGED}
""",
}
WORKSPACE = """
ledger: ledger.db
local: {name: Local, url: 'sqlite:///local.db', schema: local.yaml, version: {kept_by: synckit}}
integration: {name: Integration, url: 'sqlite:///integration.db', schema: integration.yaml, version: {kept_by: synckit}}
mappings:
  - name: COUNTRY
    local: {table: country}
    integration: {table: land}
    direction: from_integration
    fields: [{local: title, integration: title, direction: from_integration}]
  - name: REGION
    local: {table: region}
    integration: {table: territory}
    depends_on: [COUNTRY]
    fields:
      - {local: title, integration: title}
      - {local: country, integration: landid, direction: to_integration, lookup: {mapping: COUNTRY}}
  - name: PARTNER
    local: {table: partner}
    integration: {table: account}
    depends_on: [REGION]
    local_filter: {closed: "No"}
    integration_filter: {state: "1|2"}
    fields:
      - {local: name, integration: name}
      - {local: city, integration: city}
      - {local: post, integration: post}
      - {local: region, integration: region, lookup: {mapping: REGION}}
      - {local: region2, integration: region2, clear_on_failed_sync: true, lookup: {mapping: REGION}}
      - {local: owner, integration: owner, direction: to_integration, not_null: true, lookup: {mapping: REGION}}
      - {local: amount, integration: amount, direction: to_integration}
      - {local: rank, integration: rank, direction: from_integration}
      - {local: since, integration: since}
      - {local: active, integration: active}
      - {integration: kind, direction: to_integration, constant: partner}
"""


def generated_maps() -> list[Map]:
    """The mappings of WORKSPACE, for the oracle."""
    return [
        Map("COUNTRY", ("from",), ("country", "id", "code", "changed"), ("land", "landid", "changed"),
            [Field("title", "title", "text", (20, 20), "from")]),
        Map("REGION", ("to", "from"), ("region", "id", "code", "changed"), ("territory", "territoryid", "changed"),
            [Field("title", "title", "text", (20, 20)), Field("country", "landid", way="to", lookup="COUNTRY")]),
        Map("PARTNER", ("to", "from"), ("partner", "id", "no", "changed"), ("account", "accountid", "changed"),
            [Field("name", "name", "text", (30, 50)), Field("city", "city", "text", (50, 20)), Field("post", "post", "code", (10, 12)),
             Field("region", "region", lookup="REGION"), Field("region2", "region2", lookup="REGION", clear=True),
             Field("owner", "owner", way="to", lookup="REGION", not_null=True), Field("amount", "amount", "decimal", way="to"),
             Field("rank", "rank", "integer", way="from"), Field("since", "since", "date"), Field("active", "active", "boolean"),
             Field(None, "kind", way="to", constant="partner")],
            inside_local=lambda row: row["closed"] in BLANKS, inside_integration=lambda row: row["state"] in (1, 2)),
    ]  # fmt: skip


class Made:
    """One generated world in `folder`; the same seed makes the same world, `shuffle` puts its rows in another order."""

    def __init__(self, folder: Path, seed: int, pairs: int = 40, shuffle: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.dice, self.ticks = folder, random.Random(seed), 0
        self.tables: dict[str, dict[str, dict[str, Any]]] = {
            t: {} for t in ("country", "region", "partner", "land", "territory", "account")
        }
        self.coupled: list[list[Any]] = []
        self._history(pairs)
        self._write(random.Random(shuffle) if shuffle else None)

    # -- values --------------------------------------------------------------------------------------------------------------------

    def key(self) -> str:
        return str(uuid.UUID(int=self.dice.getrandbits(128)))

    def now(self) -> str:
        self.ticks += 1
        return f"{datetime(2026, 1, 1) + timedelta(minutes=self.ticks):%Y-%m-%dT%H:%M:%S}.000Z"

    def text(self, length: int, blank: Any) -> Any:
        text = " ".join(self.dice.choices(WORDS, k=self.dice.randint(0, 2)))[:length]
        return text or blank

    def field(self, name: str, side: str) -> Any:
        blank = "" if side == "local" else None
        codes = [r["code"] for r in self.tables["region"].values()]
        regions = [c[2] for c in self.coupled if c[0] == "REGION"] + list(self.tables["territory"])
        match name:
            case "name" | "city":
                return self.text({"local": {"name": 30, "city": 50}, "integration": {"name": 50, "city": 20}}[side][name], blank)
            case "post":
                return self.dice.choice(CODES).strip().upper() if side == "local" else self.dice.choice(CODES) or None
            case "region" | "region2" | "owner":
                lost = ["NOWHERE"] if side == "local" else [self.key()]
                return self.dice.choice([blank, *(codes if side == "local" else regions), *lost * (self.dice.random() < 0.2)])
            case "amount":
                return self.dice.choice([None, "0", "12.50", "-3.99", "100000000000000.01"])
            case "rank":
                return self.dice.choice([None, 0, 1, 7])
            case "since":
                return self.dice.choice([None, "2020-02-29", "1999-12-31"])
        return self.dice.choice([None, 0, 1])

    # -- history -------------------------------------------------------------------------------------------------------------------

    def _history(self, pairs: int) -> None:
        dice, tables = self.dice, self.tables
        for n in range(4):
            self.couple(
                "COUNTRY",
                self.add("country", code=f"C{n}", title=f"Land {n}"),
                self.add("land", title=f"Land {n}"),
                dice.random() < 0.6,
            )
        for n in range(8):
            country = dice.choice([r["code"] for r in tables["country"].values()] + [""])
            land = next((c[2] for c in self.coupled if c[0] == "COUNTRY" and tables["country"][c[1]]["code"] == country), None)
            self.couple("REGION", self.add("region", code=f"R{n}", title=f"Region {n}", country=country),
                        self.add("territory", title=f"Region {n}", landid=land), dice.random() < 0.6)  # fmt: skip
        for _ in range(pairs):
            self._synchronised_pair()
        for _ in range(pairs):
            self._event()

    def add(self, table: str, **values: Any) -> str:
        key = self.key()
        uid = {"land": "landid", "territory": "territoryid", "account": "accountid"}.get(table, "id")
        self.tables[table][key] = {uid: key, **values, "changed": self.now()}
        return key

    def couple(self, mapping: str, local: str, integration: str, really: bool = True) -> None:
        if really:
            stamps = [self.tables[t][k]["changed"] for t, k in zip(TABLES[mapping], (local, integration), strict=True)]
            self.coupled.append([mapping, local, integration, *stamps, 0])

    def _synchronised_pair(self) -> None:
        code_of = {c[2]: self.tables["region"][c[1]]["code"] for c in self.coupled if c[0] == "REGION"}
        there = {n: self.field(n, "integration") for n in PARTNER}
        for n in ("region", "region2", "owner"):
            there[n] = self.dice.choice([None, *code_of])
        there["post"] = (there["post"] or "").strip().upper() or None
        here = {n: "" if v is None and n in ("name", "city", "post") else v for n, v in there.items()}
        here |= {n: code_of.get(there[n] or "", "") for n in ("region", "region2", "owner")} | {"name": (here["name"] or "")[:30]}
        local = self.add("partner", no=f"P{len(self.tables['partner'])}", **here, closed=0)
        self.couple("PARTNER", local, self.add("account", **there, kind="partner", state=1))

    def _event(self) -> None:
        dice = self.dice
        partner, account = (dice.choice(list(self.tables[t])) for t in ("partner", "account"))
        pair = dice.choice([c for c in self.coupled if c[0] == "PARTNER"])
        match dice.choice(
            [
                "local",
                "local",
                "there",
                "there",
                "both",
                "same",
                "delete",
                "delete there",
                "new",
                "new there",
                "close",
                "state",
                "skip",
                "never",
                "silent",
            ]
        ):
            case "local":
                self.edit("partner", partner)
            case "there":
                self.edit("account", account)
            case "both" if pair[1] in self.tables["partner"] and pair[2] in self.tables["account"]:
                self.edit("partner", pair[1])
                self.edit("account", pair[2])
            case "same" if pair[1] in self.tables["partner"] and pair[2] in self.tables["account"]:
                for table, key in (("partner", pair[1]), ("account", pair[2])):
                    self.tables[table][key] |= {"city": "Both alike", "changed": self.now()}
            case "delete":
                del self.tables["partner"][partner]
            case "delete there":
                del self.tables["account"][account]
            case "new":
                self.add("partner", no=f"N{self.ticks}", **{n: self.field(n, "local") for n in PARTNER}, closed=0)
            case "new there":
                self.add(
                    "account",
                    **{n: self.field(n, "integration") for n in PARTNER},
                    kind=dice.choice([None, "partner"]),
                    state=dice.choice([1, 2, 3]),
                )
            case "close":
                self.tables["partner"][partner] |= {"closed": 1, "changed": self.now()}
            case "state":
                self.tables["account"][account] |= {"state": 3, "changed": self.now()}
            case "skip":
                pair[5] = 1
            case "never":
                pair[3 + dice.randint(0, 1)] = None
            case "silent":  # a change that the version does not tell
                self.tables["partner"][partner]["amount"] = self.field("amount", "local")

    def edit(self, table: str, key: str) -> None:
        for name in self.dice.sample(PARTNER, k=self.dice.randint(1, 3)):
            self.tables[table][key][name] = self.field(name, "local" if table == "partner" else "integration")
        self.tables[table][key]["changed"] = self.now()

    # -- files ---------------------------------------------------------------------------------------------------------------------

    def _write(self, order: random.Random | None) -> None:
        for side, ddl in (("local", LOCAL), ("integration", INTEGRATION)):
            (self.folder / f"{side}.yaml").write_text(SCHEMAS[side], encoding="utf-8")
            path = self.folder / f"{side}.db"
            path.unlink(missing_ok=True)
            connection = sqlite3.connect(path)
            connection.executescript(ddl)
            for table in TABLES_OF[side]:
                rows = list(self.tables[table].values())
                if order is not None:
                    order.shuffle(rows)
                for row in rows:
                    names = ", ".join(row)
                    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))  # noqa: S608
            connection.commit()
            connection.close()
        (self.folder / "workspace.yaml").write_text(WORKSPACE, encoding="utf-8")
        path = self.folder / "ledger.db"
        path.unlink(missing_ok=True)
        ledger = Ledger.open(str(path), identity="generated")
        with ledger.transaction(at=datetime(2026, 1, 1)):
            pass
        ledger.close()
        connection = sqlite3.connect(path)
        connection.execute("UPDATE meta SET value = '00000000-0000-4000-8000-000000000001' WHERE key = 'ledger_id'")
        rows = list(self.coupled)
        if order is not None:
            order.shuffle(rows)
        connection.executemany(
            "INSERT INTO coupling (mapping, local_key, integration_key, local_stamp, integration_stamp, skipped) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
        connection.commit()
        connection.close()


TABLES = {"COUNTRY": ("country", "land"), "REGION": ("region", "territory"), "PARTNER": ("partner", "account")}
TABLES_OF = {"local": ("country", "region", "partner"), "integration": ("land", "territory", "account")}
