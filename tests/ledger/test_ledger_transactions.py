"""What is written in a transaction is what is read afterwards: runs, jobs, errors, journal, stamps, due and held rows."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from synckit.errors import SynckitError
from synckit.ledger.journal import ABSENT, Batch, Outcomes
from synckit.ledger.lease import SILENCE

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def couple(ledger, *pairs, mapping="CUSTOMER"):
    with ledger.transaction(NOON) as tx:
        refused = tx.add_couplings([{"mapping": mapping, "local_key": a, "integration_key": b} for a, b in pairs])
    assert refused == []
    table = ledger.couplings(mapping)
    return dict(zip(table["local_key"].to_pylist(), table["id"].to_pylist(), strict=True))


def test_the_same_plan_is_applied_once(ledger, run):
    with (
        pytest.raises(SynckitError, match=r"already applied by run 1 on 2026-03-02T12:00:00 UTC \(anna\)"),
        ledger.transaction() as tx,
    ):
        tx.start_run("plan-1", "full", "bert", "pc", 2, 1)
    assert ledger.runs().num_rows == 1


def test_a_job_runs_then_succeeds_or_errs(ledger, run):
    with ledger.transaction(NOON) as tx:
        one = tx.start_job(run, "CUSTOMER", "to_integration", planned={"inserted": 2})
        two = tx.start_job(run, "CUSTOMER", "from_integration")
    assert ledger.jobs()["status"].to_pylist() == ["running", "running"]
    with ledger.transaction(NOON + timedelta(seconds=90)) as tx:
        tx.finish_job(one, {"inserted": 2})
        tx.finish_job(two, {"failed": 1}, "one row failed")
    jobs = ledger.jobs("CUSTOMER", run=run).to_pylist()
    assert [(job["id"], job["status"], job["duration"]) for job in jobs] == [(two, "error", 90.0), (one, "success", 90.0)]
    assert jobs[1]["inserted"] == jobs[1]["planned_inserted"] == 2
    assert ledger.jobs(limit=1)["message"].to_pylist() == ["one row failed"]
    assert ledger.jobs("VENDOR").num_rows == 0


def test_a_run_whose_hold_is_gone_was_interrupted_and_its_open_job_too(ledger, run):
    with ledger.transaction() as tx:
        tx.start_job(run, "CUSTOMER", "to_integration")
    later = datetime.now(UTC) + SILENCE + timedelta(seconds=5)
    assert ledger.runs()["status"].to_pylist() == ["running"]
    assert ledger.runs(now=later)["status"].to_pylist() == ["interrupted"]
    assert ledger.jobs(now=later)["status"].to_pylist() == ["interrupted"]


def test_errors_are_found_by_job_run_mapping_and_record(ledger, run):
    with ledger.transaction(NOON) as tx:
        job = tx.start_job(run, "CUSTOMER", "to_integration")
        row = {"job_id": job, "run_id": run, "mapping": "CUSTOMER"}
        tx.book_errors(
            [
                {**row, "local_key": "l1", "code": "not_coupled", "message": "first"},
                {**row, "integration_key": "i2", "message": "2nd"},
            ]
        )
    assert ledger.errors()["message"].to_pylist() == ["2nd", "first"]
    assert ledger.errors(key="l1")["direction"].to_pylist() == ["to_integration"]
    assert ledger.errors(job=job, run=run, mapping="CUSTOMER", limit=1).num_rows == 1
    assert ledger.errors(mapping="VENDOR").num_rows == 0


def test_journal_lines_carry_exact_values_and_their_outcome(ledger, run):
    line = {"run_id": run, "mapping": "CUSTOMER", "side": "integration", "op": "update", "local_key": "l1", "integration_key": "i1"}
    before = {"amount": Decimal("1.10"), "day": date(2026, 1, 31), "name": 'O\'Neill "<b>" \x00 \ud800', "none": None}
    with ledger.transaction(NOON) as tx:
        first = tx.journal_intents(
            [{**line, "before": before, "after": {"amount": Decimal("2E+3")}}, {**line, "op": "insert", "integration_key": None}]
        )
        second = tx.journal_intents([line])
    assert (first, second) == (1, 3)
    with ledger.transaction() as tx:
        tx.journal_outcomes(
            [{"id": 1, "state": "done", "token_after": "v2"}, {"id": 2, "state": "done", "integration_key": "drawn"}]
        )
        tx.journal_outcomes([{"id": 3, "state": "failed", "error": "no"}])
    lines = ledger.journal(run=run).to_pylist()
    assert json.loads(lines[0]["before"]) == {
        "amount": "1.10",
        "day": "2026-01-31",
        "name": 'O\'Neill "<b>" \x00 \ud800',
        "none": None,
    }
    assert json.loads(lines[0]["after"]) == {"amount": "2000"}
    assert [(one["state"], one["token_after"], one["integration_key"], one["error"]) for one in lines] == [
        ("done", "v2", "i1", ""),
        ("done", None, "drawn", ""),
        ("failed", None, "i1", "no"),
    ]
    assert ledger.journal(mapping="CUSTOMER", key="drawn").num_rows == 1
    assert ledger.journal(state="intent").num_rows == 0


def batch_of(run: int, **more: Any) -> Batch:
    """Three updates: the first changes both columns, the second clears one, the third has what Arrow has no type for."""
    common = {"run_id": run, "mapping": "CUSTOMER", "side": "integration", "table_name": "account", "op": "update"}
    values = {
        "before": {"name": ["a", "b", "c"], "amount": [Decimal("1.10"), ABSENT, None]},
        "after": {"name": ["A", None, ABSENT], "amount": [Decimal("2E+3"), ABSENT, 2**70], "odd": [ABSENT, ABSENT, "\ud800"]},
    }
    keys = {"source_key": ["l1", "l2", "l3"], "local_key": ["l1", "l2", "l3"], "integration_key": ["i1", "i2", "i3"]}
    tokens = {"source_token": ["s1", "s2", "s3"], "token_before": ["t1", "t2", None]}
    return Batch(**{"common": common, "seq": [7, 8, 9], **keys, **tokens, **values, **more})


def test_a_batch_of_writes_reads_like_lines_of_its_own(ledger, run):
    line = {"run_id": run, "mapping": "CUSTOMER", "op": "couple", "local_key": "l2", "integration_key": "i2", "state": "done"}
    with ledger.transaction(NOON) as tx:
        numbers = [tx.journal_intents([line]), tx.journal_batch(batch_of(run)), tx.journal_intents([line])]
    assert numbers == [1, 2, 5]
    lines = ledger.journal(run=run).to_pylist()
    assert [(one["id"], one["seq"], one["op"], one["state"]) for one in lines] == [
        (1, 0, "couple", "done"), (2, 7, "update", "intent"), (3, 8, "update", "intent"), (4, 9, "update", "intent"), (5, 0, "couple", "done"),
    ]  # fmt: skip
    assert [json.loads(one["before"]) for one in lines[1:4]] == [
        {"name": "a", "amount": "1.10"},
        {"name": "b"},
        {"name": "c", "amount": None},
    ]
    assert [json.loads(one["after"]) for one in lines[1:4]] == [
        {"name": "A", "amount": "2000"},
        {"name": None},
        {"amount": 2**70, "odd": "\ud800"},
    ]
    assert lines[3] | {"before": "", "after": ""} == {
        "id": 4, "run_id": run, "job_id": "", "mapping": "CUSTOMER", "direction": "", "step": 1, "seq": 9, "side": "integration",
        "table_name": "account", "op": "update", "source_key": "l3", "local_key": "l3", "integration_key": "i3", "before": "", "after": "",
        "source_token": "s3", "token_before": None, "token_after": None, "state": "intent", "error": "", "at": NOON.replace(tzinfo=None),
    }  # fmt: skip
    assert ledger.journal(mapping="CUSTOMER", key="i2")["id"].to_pylist() == [1, 3, 5]
    assert ledger.journal(key="l3")["id"].to_pylist() == [4] and ledger.journal(key="l33").num_rows == 0
    assert ledger.journal(state="intent")["id"].to_pylist() == [2, 3, 4] and ledger.journal(mapping="VENDOR").num_rows == 0


def test_a_batch_learns_its_outcomes_at_once_or_line_by_line(ledger, run):
    with ledger.transaction(NOON) as tx:
        first, second = tx.journal_batch(batch_of(run)), tx.journal_batch(batch_of(run, integration_key=[None] * 3))
    with ledger.transaction() as tx:
        tx.settle_batch(first, Outcomes(["v1", None, "v3"], {1: ("failed", "no \ud800")}))
    told = lambda: [(one["state"], one["token_after"], one["integration_key"]) for one in ledger.journal(run=run).to_pylist()]  # noqa: E731
    assert told()[:3] == [("done", "v1", "i1"), ("failed", None, "i2"), ("done", "v3", "i3")]
    assert ledger.journal(state="failed")["error"].to_pylist() == ["no ?"]
    for number, row in (
        (second + 2, {"state": "done", "token_after": "w", "integration_key": "drawn"}),
        (second, {"state": "stale"}),
    ):
        with ledger.transaction() as tx:
            tx.journal_outcomes([{"id": number, **row}])
    assert told()[3:] == [("stale", None, None), ("intent", None, None), ("done", "w", "drawn")]
    assert ledger.journal(state="intent")["id"].to_pylist() == [second + 1]
    with ledger.transaction() as tx:
        tx.journal_outcomes([{"id": second + 1, "state": "done"}])
    assert ledger.journal(state="intent").num_rows == 0


def test_a_source_row_is_claimed_by_one_run_until_that_is_over(ledger, run):
    with ledger.transaction() as tx:
        assert tx.claim("CUSTOMER", "local", ["a", "b", "a"], run) == []
        other = tx.start_run("plan-2", "full", "bert", "pc", 2, 1)
        assert tx.claim("CUSTOMER", "local", ["b", "c"], other) == ["b"]
        assert tx.claim("CUSTOMER", "local", ["a"], run) == []
    assert ledger.claims(run) == {("CUSTOMER", "local"): ["a", "b"]}
    with ledger.transaction() as tx:
        tx.release_claims("CUSTOMER", "local", ["a"], run)
        tx.finish_run(run, "interrupted")
    assert ledger.claims(run) == {("CUSTOMER", "local"): ["b"]}
    with ledger.transaction() as tx:
        tx.resume_run(run, 7, "pc", 1)
        tx.finish_run(run, "finished", "done", closing_answer="no")
        assert tx.claim("CUSTOMER", "local", ["b"], other) == []


def test_what_a_batch_in_doubt_may_be_creating_is_held_against_other_runs(ledger, run):
    with ledger.transaction() as tx:
        first = tx.journal_batch(batch_of(run))
        other = tx.start_run("plan-2", "full", "bert", "pc", 2, 1)
        assert (
            tx.held_by_others("CUSTOMER", "local", ["l1", "l4"], other)
            == {"l1"}
            == set(tx.claim("CUSTOMER", "local", ["l1"], other))
        )
        assert tx.held_by_others("CUSTOMER", "local", ["l1"], run) == set() == tx.held_by_others("VENDOR", "local", ["l1"], other)
        tx.settle_batch(first, Outcomes(["v1", "v2", "v3"]))
        assert tx.held_by_others("CUSTOMER", "local", ["l1"], other) == set()


def test_a_coupling_that_goes_makes_the_next_planned_key_another(ledger):
    ids = couple(ledger, ("l1", "i1"), ("l2", "i2"))
    for _ in range(2):
        with ledger.transaction() as tx:
            tx.remove_couplings([ids["l1"]])
        assert ledger.created_times("CUSTOMER") == {("local", "l1"): 1, ("integration", "i1"): 1}
    ids = couple(ledger, ("l1", "i3"))
    with ledger.transaction() as tx:
        tx.couple("CUSTOMER", "l1", "i4", "local", local_exists=lambda key: True)  # pointed elsewhere: i3 is free, too
    assert ledger.created_times("CUSTOMER") == {("local", "l1"): 2, ("integration", "i1"): 1, ("integration", "i3"): 1}


def test_many_couplings_at_once_are_refused_by_name_as_single_ones_are(ledger):
    couple(ledger, ("l1", "i1"))
    with ledger.transaction(NOON) as tx:
        columns = {"local_key": ["l2", "l1", "l3"], "integration_key": ["i2", "i3", "i4"], "local_stamp": ["s2", "s1", "s3"]}
        refused = tx.add_many_couplings({"mapping": "CUSTOMER", "coupled_by_run": 7}, columns)
    assert [(no.index, "l1 and" in no.reason or "to i1 already" in no.reason) for no in refused] == [(1, True)]
    assert ledger.couplings("CUSTOMER")["local_stamp"].to_pylist() == [None, "s2", "s3"]


def test_created_partners_are_counted(ledger):
    with ledger.transaction() as tx:
        tx.count_created("CUSTOMER", "local", ["a", "b"])
    with ledger.transaction() as tx:
        tx.count_created("CUSTOMER", "local", ["b", "c"])
    assert ledger.created_times("CUSTOMER") == {("local", "a"): 1, ("local", "b"): 2, ("local", "c"): 1}


def test_a_record_has_one_partner_and_the_database_sees_to_it(ledger):
    couple(ledger, ("l1", "i1"))
    rows = [("l1", "i9"), ("l2", "i2"), ("l3", "i1"), ("l2", "i3"), ("l4", "i4"), ("l1", "i1")]
    with ledger.transaction() as tx:
        refused = tx.add_couplings([{"mapping": "CUSTOMER", "local_key": a, "integration_key": b} for a, b in rows])
    assert [one.index for one in refused] == [0, 2, 3, 5]
    assert "l1" in refused[0].reason and "i1" in refused[0].reason and "i9" in refused[0].reason
    assert "coupled to each other already" in refused[3].reason
    assert ledger.couplings("CUSTOMER")["local_key"].to_pylist() == ["l1", "l2", "l4"]
    couple(ledger, ("l1", "i1"), mapping="VENDOR")  # one account may be coupled under two mappings (1.5)


def test_stamps_results_and_the_skipped_list(ledger, run):
    ids = couple(ledger, ("l1", "i1"), ("l2", "i2"))
    with ledger.transaction(NOON) as tx:
        job = tx.start_job(run, "CUSTOMER", "to_integration")
        tx.stamp([{"id": ids["l1"], "local_stamp": "a", "integration_stamp": "b", "fingerprints": "{}"}], "to", job)
        tx.mark_results([{"id": ids["l2"], "code": "taken", "message": "a: b", "skipped": True}], "to", job)
        tx.book_errors(
            [{"job_id": job, "run_id": run, "mapping": "CUSTOMER", "local_key": "l2", "code": "taken", "message": "a: b"}]
        )
    one, two = ledger.couplings("CUSTOMER", fingerprints=True).to_pylist()
    assert (one["local_stamp"], one["integration_stamp"], one["to_result"], one["from_result"], one["fingerprints"]) == (
        "a",
        "b",
        "success",
        "",
        "{}",
    )
    assert (two["local_stamp"], two["to_result"], two["to_error"], two["skipped"]) == (None, "failure", "taken: a: b", True)
    [line] = ledger.skipped("CUSTOMER").to_pylist()
    assert (line["local_key"], line["code"], line["message"], line["direction"]) == ("l2", "taken", "a: b", "to_integration")
    assert line["at"] == NOON.replace(tzinfo=None) and line["job_id"] == job
    with ledger.transaction() as tx:
        tx.stamp([{"id": ids["l1"], "local_stamp": "c"}])  # nothing to write, but seen (S-057)
        tx.mark_results([{"id": ids["l2"], "code": "x", "message": "y"}], "from", job)
    assert ledger.couplings("CUSTOMER")["local_stamp"].to_pylist() == ["c", None]
    assert ledger.couplings("CUSTOMER")["skipped"].to_pylist() == [False, True]  # a later failure does not clear it
    with ledger.transaction() as tx:
        tx.set_skipped([ids["l2"]], False)
    assert ledger.skipped().num_rows == 0
    assert ledger.couplings("CUSTOMER")["to_result"].to_pylist() == ["success", "failure"]
    assert ledger.coupling_counts().to_pylist() == [{"mapping": "CUSTOMER", "coupled": 2, "failed": 1, "skipped": 0, "held": 0}]
    with ledger.transaction() as tx:
        tx.remove_couplings([ids["l1"]])
    assert ledger.coupling("CUSTOMER", local="l1") is None
    assert ledger.coupling("CUSTOMER", integration="i2")["local_key"] == "l2"


def test_the_latest_skipped_record_stands_first(ledger, run):
    """S-093."""
    ids = couple(ledger, ("Cannon", "i1"), ("RS", "i2"))
    for minute, key, text in ((0, "Cannon", "Y"), (5, "RS", "X")):
        with ledger.transaction(NOON + timedelta(minutes=minute)) as tx:
            job = tx.start_job(run, "CUSTOMER", "to_integration")
            tx.mark_results([{"id": ids[key], "code": "e", "message": text, "skipped": True}], "to", job)
    listed = [(line["local_key"], line["message"], line["at"].minute) for line in ledger.skipped().to_pylist()]
    assert listed == [("RS", "X", 5), ("Cannon", "Y", 0)]


def test_the_fast_way_to_couplings_gives_the_same_values(ledger, monkeypatch):
    couple(ledger, *((f"l{n:05d}", f"i{n}") for n in range(3000)))
    with ledger.transaction() as tx:  # stamps and holds only far behind the first rows
        tx.stamp([{"id": 2900, "local_stamp": "2026-01-01 00:00:00.000"}])
        tx.hold_couplings([2950], "excluded by anna: 100% 'sure'")
    fast = ledger.couplings("CUSTOMER")
    monkeypatch.setattr(type(ledger._database), "read_only_uri", lambda self: None)
    assert fast.equals(ledger.couplings("CUSTOMER"))
    assert ledger.couplings("it's; --").schema.equals(fast.schema)


def test_watermarks_due_held_settings_and_decisions(ledger):
    with ledger.transaction(NOON) as tx:
        tx.set_watermark("CUSTOMER", "local", "2026-01-01")
        tx.set_watermark("CUSTOMER", "local", "2026-01-02")
        tx.set_watermark("CUSTOMER", "integration", "x")
        tx.set_watermark("CUSTOMER", "integration", None)
        tx.set_due([{"mapping": "CUSTOMER", "side": "local", "key": key, "reason": "failed"} for key in "aba"])
        tx.set_held([{"mapping": "CUSTOMER", "side": "local", "key": "a", "reason": "undone by run 1", "run_id": 1}])
        tx.put_setting("keep_creating:CUSTOMER", "yes", "closing question of run 1")
        tx.record_decision("anna", "CUSTOMER", "exclude", local_key="a")
    assert ledger.watermarks("CUSTOMER") == {"local": "2026-01-02"}
    assert ledger.due("CUSTOMER")["key"].to_pylist() == ["a", "b"]
    assert ledger.held("CUSTOMER").to_pylist() == [
        {"side": "local", "key": "a", "reason": "undone by run 1", "since": "2026-03-02T12:00:00.000000"}
    ]
    assert ledger.settings()["keep_creating:CUSTOMER"]["origin"] == "closing question of run 1"
    assert ledger.decisions("CUSTOMER")["kind"].to_pylist() == ["exclude"]
    with ledger.transaction() as tx:
        tx.clear_due("CUSTOMER", "local", ["a"])
        tx.clear_held("CUSTOMER", "local", ["a"])
        tx.put_setting("keep_creating:CUSTOMER", None)
    assert ledger.due("CUSTOMER")["key"].to_pylist() == ["b"] and ledger.held("CUSTOMER").num_rows == 0 and ledger.settings() == {}


def test_the_run_counter_moves_with_every_run(ledger, run):
    started = ledger.run_counter()
    with ledger.transaction() as tx:
        tx.finish_run(run, "finished")
    assert ledger.run_counter() == started + 1
