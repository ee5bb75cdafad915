"""An independent checker of a life: plain SQL over both databases, the histories their triggers wrote, and the ledger's tables.

It knows nothing of synckit. What a plan showed is given to it as plain lines; it looks for writes outside the plan, lost updates, double
creates, resurrected deletes, orphan rows, orphan and lost couplings, and undos that overwrite. Each finding is one line: a witness.
"""

# ruff: noqa: S608 - the statements are composed of this file's own names
from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

COLUMNS = {"customer": ("no", "name", "fax", "city", "note"), "account": ("number", "name", "fax", "city", "note")}
TABLE = {"local": ("customer", "system_id"), "integration": ("account", "accountid")}
TWO_WAY = ("name", "fax")

#: What a run wrote that its plan does not show; a new row's blanks need not be shown.
OUTSIDE = """
SELECT 'write outside the plan', side, op, key, col, old, new FROM h WHERE who = :run AND (op <> 'insert' OR coalesce(new, '') <> '')
AND NOT EXISTS (SELECT 1 FROM shown s WHERE s.side = h.side AND s.key = h.key AND s.op = h.op
                AND (h.op = 'delete' OR (s.col = h.col AND coalesce(s.new, '') = coalesce(h.new, ''))))
"""
UNSEEN = """
SELECT 'lost update: the plan had seen another value', h.side, h.key, h.col, s.old, h.old, h.new FROM h
JOIN shown s ON s.side = h.side AND s.key = h.key AND s.op = 'update' AND s.col = h.col
WHERE h.who = :run AND h.op = 'update' AND coalesce(s.old, '') <> coalesce(h.old, '')
"""
#: A value that changed since both sides agreed is overwritten, and nobody decided so.
UNDECIDED = """
SELECT 'lost update: changed since the two agreed, and nobody decided', h.side, h.key, h.col, a.value, h.old, h.new FROM h
JOIN agreed a ON a.col = h.col AND h.key = CASE h.side WHEN 'local' THEN a.local_key ELSE a.integration_key END
WHERE h.who = :run AND h.op = 'update' AND :guarded AND coalesce(h.old, '') <> coalesce(a.value, '')
AND EXISTS (SELECT 1 FROM pairs p WHERE p.local_key = a.local_key AND p.integration_key = a.integration_key)
AND NOT EXISTS (SELECT 1 FROM decided d WHERE d.local_key = a.local_key)
"""
#: Nobody gives two records one number, except who puts a deleted row back while its partner is made anew.
DOUBLE = """
SELECT 'double create', '{side}', count(*), {number} FROM {side}.{table} WHERE {number} NOT IN (SELECT number FROM put_back)
GROUP BY {number} HAVING count(*) > 1
"""
RESURRECTED = """
SELECT 'resurrected delete', h.side, h.key FROM h WHERE h.who = :run AND h.op = 'insert' AND NOT :undo AND h.col = 'name'
AND EXISTS (SELECT 1 FROM h o WHERE o.side = h.side AND o.key = h.key AND o.op = 'delete' AND o.n < h.n)
"""
#: Without a policy (or somebody who asked) a record that people deleted is not made anew under another key either.
MADE_ANEW = """
SELECT 'resurrected delete, under another key', h.side, h.key, h.new FROM h WHERE h.who = :run AND h.op = 'insert' AND h.col IN ('no', 'number')
AND :no_policy AND EXISTS (SELECT 1 FROM h o WHERE o.side = h.side AND o.op = 'delete' AND o.col = h.col AND o.old = h.new AND o.who = 'people')
AND h.new NOT IN (SELECT number FROM put_back)
"""
ORPHAN_ROW = """
SELECT 'row without its coupling', h.side, h.key FROM h WHERE h.who = :run AND h.op = 'insert' AND h.col = 'name'
AND EXISTS (SELECT 1 FROM there t WHERE t.side = h.side AND t.key = h.key)
AND NOT EXISTS (SELECT 1 FROM ledger.coupling c WHERE h.key = CASE h.side WHEN 'local' THEN c.local_key ELSE c.integration_key END)
"""
ORPHAN_COUPLING = """
SELECT 'coupling to a row that nobody deleted and that is not there', '{side}', c.{side}_key FROM ledger.coupling c
WHERE NOT EXISTS (SELECT 1 FROM there t WHERE t.side = '{side}' AND t.key = c.{side}_key)
AND NOT EXISTS (SELECT 1 FROM h WHERE h.side = '{side}' AND h.key = c.{side}_key AND h.op = 'delete' AND h.who <> :run)
"""
LOST_COUPLING = """
SELECT 'lost coupling', p.local_key, p.integration_key FROM pairs p
WHERE NOT EXISTS (SELECT 1 FROM ledger.coupling c WHERE c.local_key = p.local_key AND c.integration_key = p.integration_key)
AND NOT EXISTS (SELECT 1 FROM shown s WHERE s.op = 'uncouple' AND s.key IN (p.local_key, p.integration_key))
"""
UNASKED_COUPLING = """
SELECT 'coupling outside the plan', c.local_key, c.integration_key FROM ledger.coupling c
WHERE NOT EXISTS (SELECT 1 FROM pairs p WHERE c.local_key = p.local_key AND c.integration_key = p.integration_key)
AND NOT EXISTS (SELECT 1 FROM shown s WHERE s.op = 'couple' AND s.key IN (c.local_key, c.integration_key))
"""
#: The last hand at a row before an undo must have been a run's.
UNDO_OVERWRITES = """
SELECT 'an undo overwrites what people wrote', h.side, h.op, h.key, h.col, h.old, h.new FROM h WHERE h.who = :run AND :undo AND h.op <> 'insert'
AND 'people' = (SELECT o.who FROM h o WHERE o.side = h.side AND o.key = h.key AND o.who <> :run ORDER BY o.n DESC LIMIT 1)
"""
UNFINISHED = (
    "SELECT 'a write in doubt', id, mapping FROM ledger.journal WHERE state = 'intent'",
    "SELECT 'a batch in doubt', id, mapping FROM ledger.journal_batch WHERE settled_at IS NULL",
    "SELECT 'a claim that nobody needs', * FROM ledger.claim",
    "SELECT 'a run without an end', id, status FROM ledger.run WHERE status IN ('running', 'interrupted')",
    "SELECT 'a job without an end', id FROM ledger.job WHERE finished IS NULL",
)


def history(side: str) -> Iterator[str]:
    """Statements that make one side remember every change of every column, and by whose hand it was."""
    table, uid = TABLE[side]
    yield "CREATE TABLE actor (name TEXT)"
    yield "INSERT INTO actor VALUES ('people')"
    yield "CREATE TABLE history (n INTEGER PRIMARY KEY, who TEXT, op TEXT, key TEXT, col TEXT, old TEXT, new TEXT)"
    for op, row in (("insert", "NEW"), ("update", "NEW"), ("delete", "OLD")):
        lines = []
        for c in COLUMNS[table]:
            old, new = "NULL" if op == "insert" else f"OLD.{c}", "NULL" if op == "delete" else f"NEW.{c}"
            changed = f" WHERE OLD.{c} IS NOT NEW.{c}" if op == "update" else ""
            lines.append(f"INSERT INTO history (who, op, key, col, old, new) SELECT (SELECT name FROM actor), '{op}', {row}.{uid}, '{c}', {old}, {new}{changed};")  # fmt: skip
        yield f"CREATE TRIGGER remember_{op} AFTER {op} ON {table} BEGIN {' '.join(lines)} END"


class LifeChecker:
    """Looks at the files of one life after every run."""

    def __init__(self, folder: Path) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        for name in ("local", "integration", "ledger"):
            self.db.execute(f"ATTACH '{folder / name}.db' AS {name}")
        parts = (f"SELECT '{side}' AS side, * FROM {side}.history" for side in TABLE)
        self.db.execute(f"CREATE TEMP VIEW h AS {' UNION ALL '.join(parts)}")
        rows = (f"SELECT '{side}' AS side, {uid} AS key FROM {side}.{table}" for side, (table, uid) in TABLE.items())
        self.db.execute(f"CREATE TEMP VIEW there AS {' UNION ALL '.join(rows)}")
        self.db.execute(
            "CREATE TEMP VIEW put_back AS SELECT r.new AS number FROM h r WHERE r.op = 'insert' AND r.who = 'people' AND r.col IN ('no', 'number') "
            "AND EXISTS (SELECT 1 FROM h d WHERE d.side = r.side AND d.key = r.key AND d.op = 'delete' AND d.n < r.n)"
        )
        self.db.execute("CREATE TEMP TABLE shown (op, side, key, col, old, new)")
        self.db.execute("CREATE TEMP TABLE decided (local_key)")
        self.db.execute(
            "CREATE TEMP TABLE agreed (local_key, integration_key, col, value, PRIMARY KEY (local_key, integration_key, col))"
        )
        self.db.execute("CREATE TEMP TABLE pairs AS SELECT local_key, integration_key FROM ledger.coupling")
        self.agree()

    def close(self) -> None:
        self.db.close()

    def show(self, lines: Iterable[tuple[Any, ...]], decided: Iterable[str]) -> None:
        """What the plan of the coming run shows: (op, side, key, column, old, new); the local keys of the conflicts that were decided."""
        for table in ("shown", "decided", "pairs"):
            self.db.execute(f"DELETE FROM {table}")
        self.db.executemany("INSERT INTO shown VALUES (?, ?, ?, ?, ?, ?)", lines)
        self.db.executemany("INSERT INTO decided VALUES (?)", [(key,) for key in decided])
        self.db.execute("INSERT INTO pairs SELECT local_key, integration_key FROM ledger.coupling")

    def look(self, run: str, kind: str, deletion_policy: bool, update_policy: bool) -> list[str]:
        """What is wrong after a run and, where it was cut off, its resume; smallest witness first."""
        undo = kind == "undo"
        asked = {"run": run, "undo": undo, "guarded": not undo and not update_policy, "no_policy": not deletion_policy and kind not in ("undo", "restore")}  # fmt: skip
        queries = [
            OUTSIDE,
            UNSEEN,
            UNDECIDED,
            RESURRECTED,
            MADE_ANEW,
            ORPHAN_ROW,
            LOST_COUPLING,
            UNASKED_COUPLING,
            UNDO_OVERWRITES,
            *UNFINISHED,
        ]
        queries += [ORPHAN_COUPLING.format(side=side) for side in TABLE]
        queries += [DOUBLE.format(side=side, table=t, number=COLUMNS[t][0]) for side, (t, _) in TABLE.items()]
        found = [" | ".join(str(v) for v in row) for query in queries for row in self.db.execute(query, asked)]
        if undo:  # what an undo takes back is agreed no longer
            self.db.execute(
                "DELETE FROM agreed WHERE EXISTS (SELECT 1 FROM h WHERE who = ? AND key IN (local_key, integration_key))", (run,)
            )
        self.agree()
        return sorted(found, key=len)

    def agree(self) -> None:
        """Remember what the two sides of every coupling agree on now."""
        for column in TWO_WAY:
            self.db.execute(
                f"INSERT OR REPLACE INTO agreed SELECT c.local_key, c.integration_key, '{column}', l.{column} FROM ledger.coupling c "
                "JOIN local.customer l ON l.system_id = c.local_key JOIN integration.account i ON i.accountid = c.integration_key "
                f"WHERE coalesce(l.{column}, '') = coalesce(i.{column}, '')"
            )

    def print(self) -> str:
        """The whole life as one hash: what was written by whom, and what is coupled in the end."""
        whole = hashlib.sha256()
        for query in (
            "SELECT * FROM h ORDER BY side, n",
            "SELECT local_key, integration_key, skipped, held FROM ledger.coupling ORDER BY 1, 2",
        ):
            for row in self.db.execute(query):
                whole.update(repr(row).encode())
        return whole.hexdigest()
