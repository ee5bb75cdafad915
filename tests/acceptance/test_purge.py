"""Clearing the job history and the journal: what is still needed stays."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from world import MakeWorld, World, mapping, on_both, scenario

from synckit.cli import main
from synckit.errors import SynckitError
from synckit.ledger.tables import JOB, JOB_ERROR, JOURNAL, JOURNAL_BATCH

TOMORROW = datetime.now(UTC).date() + timedelta(days=1)


def customers(make_world: MakeWorld) -> World:
    w = make_world(
        {"customer": "no code20 key, name text50"},
        {"account": "name text100"},
        [mapping("CUSTOMER", "customer > account", "name <> name")],
    )
    for n in "AB":
        w.local.add("customer", n, no=n, name=n)
    return w


def jobs(w: World) -> set[str]:
    return set(w.ws.jobs()["id"])


@scenario("S-102")
@on_both
def test_clearing_the_job_history_keeps_what_is_still_needed(make_world: MakeWorld) -> None:
    w = customers(make_world)
    w.full()
    kept = w.full().run.jobs
    to, back = kept["id"]
    coupling = w.coupling("CUSTOMER", "A")
    assert coupling is not None
    with w.ws.ledger.transaction() as tx:
        tx.mark_results([{"id": coupling["id"], "code": "x", "message": "a", "skipped": True}], "to", to)
        tx.mark_results([{"id": coupling["id"], "code": "x", "message": "a", "skipped": True}], "from", back)
        common = {"run_id": int(kept["run_id"].iloc[0]), "mapping": "CUSTOMER", "local_key": coupling["local_key"], "message": "m"}
        unrelated = next(iter(jobs(w) - {to, back}))
        tx.book_errors([{**common, "job_id": job} for job in (to, back, unrelated)])
    shown = w.ws.purge(TOMORROW)
    assert (shown.jobs, shown.errors, shown.kept_jobs, shown.done) == (2, 1, 2, False) and len(jobs(w)) == 4  # only said
    done = w.ws.purge(TOMORROW, really=True)
    assert done.done and jobs(w) == {to, back} and set(w.ws.errors()["job_id"]) == {to, back}


def test_the_journals_values_go_and_the_run_can_no_longer_be_undone(make_world: MakeWorld) -> None:
    w = customers(make_world)
    run = w.full().run
    couplings = w.ws.ledger.coupling_count("CUSTOMER")
    assert not w.ws.purge(date(2020, 1, 1), really=True).journal_runs and w.ws.plan_undo(run.id).writes
    assert w.ws.purge(TOMORROW, really=True).journal_runs == 1
    with sa.create_engine(f"sqlite:///{w.ws.description.ledger}").connect() as ledger:
        assert not any(
            ledger.execute(sa.select(sa.func.count()).select_from(t)).scalar() for t in (JOURNAL, JOURNAL_BATCH, JOB, JOB_ERROR)
        )
    with pytest.raises(SynckitError, match="purged, so the run cannot be undone"):
        w.ws.plan_undo(run.id)
    assert w.ws.ledger.coupling_count("CUSTOMER") == couplings and w.plan().writes == 0


def test_an_unfinished_run_keeps_everything(make_world: MakeWorld) -> None:
    w = customers(make_world)
    run = w.full().run
    with w.ws.ledger.transaction() as tx:
        tx.finish_run(run.id, "interrupted")
    assert w.ws.purge(TOMORROW, really=True).jobs == 0 and len(jobs(w)) == 2


def test_the_command_shows_and_asks(make_world: MakeWorld, capsys: pytest.CaptureFixture[str]) -> None:
    w = customers(make_world)
    w.full()
    for words, code, said in (
        (["--before", "31.1.2026"], 1, "is no date"),
        (["--before", str(TOMORROW)], 1, "there is nobody to ask"),
        (["--before", "2020-01-01"], 0, "There is nothing before 2020-01-01."),
        (["--before", str(TOMORROW), "--yes", "--json"], 0, ""),
    ):
        with pytest.raises(SystemExit) as end:
            main(["purge", *words, "-w", str(w.path)])
        out, err = capsys.readouterr()
        assert end.value.code == code and said in out + err, (words, out, err)
    assert json.loads(out)["jobs"] == 2
