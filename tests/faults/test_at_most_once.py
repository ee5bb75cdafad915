"""At most once: the answer to every single create of a plan is lost; no record is created twice, and none is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from harness import _none_in_bulk
from world import MakeWorld, mapping

from synckit.applying import resume as resume_module
from synckit.applying import run as run_module
from synckit.applying.refusals import to_accept
from synckit.errors import PassingError
from synckit.systems.sql import SqlSystem


@pytest.mark.parametrize("rows", [24, pytest.param(1000, marks=pytest.mark.long)])
@pytest.mark.parametrize("bulk", [True, False], ids=["in bulk", "line by line"])
def test_the_answer_is_lost_after_each_create(make_world: MakeWorld, bulk: bool, rows: int) -> None:
    w = make_world(
        {"customer": "no code20 key, name text50"},
        {"account": "name text50"},
        [mapping("CUSTOMER", "customer > account", "name > name", direction="to_integration")],
        config={"integration": {"mark": False}},
    )
    made = [{"system_id": f"00000000-0000-4000-8000-{n:012x}", "no": f"C{n}", "name": f"Customer {n}"} for n in range(rows)]
    with w.local.engine.begin() as connection:
        connection.execute(w.local.physical["customer"].insert(), made)
    plan = w.plan()
    assert plan.writes == rows
    original, lost = SqlSystem.writer, []

    @contextmanager
    def writer(system: SqlSystem) -> Iterator[Any]:
        with original(system) as opened:
            yield opened
        lost.append(1)
        raise PassingError("the answer did not come")

    with (
        mock.patch.object(SqlSystem, "writer", writer),
        mock.patch.object(resume_module, "WAIT", 0),
        mock.patch.object(run_module, "ROWS_AT_ONCE", 1),
        mock.patch.object(run_module, "goes_in_bulk", run_module.goes_in_bulk if bulk else _none_in_bulk),
    ):
        run = w.ws.apply(plan, accept=to_accept(plan))
    names = [r["name"] for r in w.integration.rows("account")]
    doubled, missing = len(names) - len(set(names)), rows - len(set(names))
    print(f"{len(lost):,} answers lost, {rows:,} creates: doubled {doubled}, lost {missing}")
    assert (len(lost), doubled, missing, w.ws.ledger.coupling_count("CUSTOMER")) == (rows, 0, 0, rows)
    assert run.status == "finished" and int(run.jobs["inserted"].sum()) == rows and not len(run.differences)
