"""Every code of the catalogue is produced here: by a plan, a run, a look through the data, or a job log of Business Central."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_causes import FIELDS, INTEGRATION, LOCAL, currency, pair, with_local_currency
from test_matching import phone_book
from world import MakeWorld, World, guid, mapping

from synckit.demo import make_demo
from synckit.diagnosis.catalogue import catalogue, cause_of
from synckit.diagnosis.explain import Explanation
from synckit.diagnosis.job_log import read_job_log
from synckit.ledger.transaction import Transaction
from synckit.planning.plan import Plan
from synckit.planning.tables import WARNINGS
from synckit.workspace import open_workspace

Producer = Callable[[MakeWorld, Path], Iterable["Plan | Explanation | pd.DataFrame"]]
#: Who produces what: the codes that must stand in the plans, errors, findings or logs that it yields.
PRODUCERS: list[tuple[Producer, tuple[str, ...]]] = []


def produces(*codes: str) -> Callable[[Producer], Producer]:
    def register(producer: Producer) -> Producer:
        PRODUCERS.append((producer, codes))
        return producer

    return register


def codes_in(one: Plan | Explanation | pd.DataFrame) -> set[str]:
    if isinstance(one, Plan):
        rows = one.records(all_rows=True)
        warned = (w for some in rows["warnings"] if some is not None for w in some)
        return {c for c in (*rows["code"], *one.errors()["code"], *warned) if isinstance(c, str) and c}
    if isinstance(one, Explanation):
        return {p["code"] for run in (one["next_run"], one["full_run"]) for p in (run or {"passes": []})["passes"]}
    if "remedy" in one:
        assert [cause_of(c).remedy for c in one["code"]] == one["remedy"].tolist()
    return set(one["code"])


def small(make_world: MakeWorld, fields: str = FIELDS, **properties: object) -> World:
    properties = {"direction": "bidirectional", **properties}
    return make_world(LOCAL, INTEGRATION, [currency(), mapping("CUSTOMER", "customer > account", fields, **properties)])


def again(w: World) -> pd.DataFrame:
    """The errors of a run of modified records."""
    w.tick()
    w.carry_out(w.ws.plan_modified("CUSTOMER"), surprises=True)
    return w.ws.errors()


@produces("not_coupled", "found_partner", "changed", "equal", "other_pass", "both_changed", "partner_deleted", "broken", "skipped", "outside_filter",
          "no_source", "blocked", "lookup_not_coupled", "missing_option", "second_step", "currency.exchange_rate", "possible_duplicate", "value_cut",
          "skipped_backlog", "orphan_coupling", "deleted_side", "not_changed", "value_too_long", "unresolved_lookup", "own_change", "own_edit_differs",
          "contact.parent_to_local", "contact.primary_back_fill", "customer.contact_update", "vendor.contact_update", "left_out")  # fmt: skip
def the_demo(make_world: MakeWorld, folder: Path) -> Iterator[Plan | Explanation | pd.DataFrame]:
    with open_workspace(make_demo(folder / "demo")) as ws:
        modified = ws.plan_modified()
        yield from (ws.plan_full(), modified)
        yield ws.explain("CONTACT", local="CT000694", plan=modified)
        own = modified.records(all_rows=True).query("code == 'own_change'").iloc[0]
        table = {"CUSTOMER": "account", "VENDOR": "account", "CONTACT": "contact"}[own["mapping"]]
        with sqlite3.connect(folder / "demo" / "dataverse.db") as connection:
            kept = connection.execute(f"SELECT modifiedon FROM {table} WHERE {table}id = ?", (own["integration_key"],)).fetchone()  # noqa: S608
            for column, value in (("telephone1", "changed by the integration user"), ("modifiedon", f"2099{kept[0][4:]}")):
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {table}id = ?", (value, own["integration_key"]))  # noqa: S608
        yield ws.check_data()


@produces("stale", "failed", "fails_again", "required_blank", "cannot_convert", "never_synchronised", "differs", "drift", "dangling_lookup",
          "required_empty", "excluded", "resolved", "chosen", "never_visited", "only_coupled", "overwrites_newer_value", "unknown_option", "duplicate_match")  # fmt: skip
def ordinary_trouble(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    local = {**LOCAL, "customer": LOCAL["customer"] + ", kind option a|b"}
    integration = {**INTEGRATION, "account": INTEGRATION["account"] + ", kind choice a|b"}
    fields = FIELDS.replace("name <> name", "name <> name match") + ", number > number, kind > kind"
    w = make_world(local, integration, [currency(), mapping("CUSTOMER", "customer > account", fields)])
    for n in range(5):
        pair(w, n)
    w.local.edit("customer", "C1", due="soon")
    w.local.edit("customer", "C2", phone="1")
    w.integration.edit("account", "A2", phone="2")
    stamp = w.local.row("customer", "C3")["system_modified_at"]
    w.local.edit("customer", "C3", phone="drifted")
    w.local.edit("customer", "C3", system_modified_at=stamp)
    w.local.add("customer", "C6", number="C6", name="")
    w.local.add("customer", "C7", number="C7", name="Seven", currency="QQQ")
    w.local.add("customer", "C9", number="C9", name="Seven", kind=7)
    w.local.add("customer", "C8", number="C8", name="Eight")
    w.integration.add("account", "A8", name="Other")
    w.couple("CUSTOMER", "C8", "A8", never=True)
    w.integration.refuse("account", "NEW.phone = '666'", "no")
    plan = w.ws.plan_full()
    yield from (
        plan,
        w.ws.check_data("CUSTOMER"),
        plan.exclude("CUSTOMER", local=guid("C3")),
        plan.resolve("CUSTOMER", local=guid("C2"), use="local"),
    )
    yield w.ws.plan_records("CUSTOMER", local="C2", direction="to")
    w.local.edit("customer", "C4", phone="666")
    plan = w.ws.plan_modified("CUSTOMER")
    w.local.edit("customer", "C0", phone="3")
    stale = w.ws.plan_modified("CUSTOMER")
    w.local.edit("customer", "C0", phone="4")
    w.carry_out(stale, surprises=True)
    yield w.ws.errors()
    yield again(w)
    yield again(w)
    yield w.ws.causes()
    w.change("CUSTOMER", only_coupled=True)
    w.integration.add("account", "A9", name="Nine")
    yield w.ws.plan_modified("CUSTOMER", from_start=True)
    w.change("CUSTOMER", only_coupled=False)
    with w.ws.ledger.transaction() as tx:
        tx.set_watermark("CUSTOMER", "local", w.now.isoformat())
        tx.clear_due("CUSTOMER", "local", [guid("C6"), guid("C7")])
    yield w.ws.check_data("CUSTOMER")


@produces("policy_wins")
def settled_by_policy(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    w = small(make_world, "name <> name, phone <> phone", update_conflict_resolution="send_to_integration")
    pair(w, 1)
    w.local.edit("customer", "C1", name="Here")
    w.integration.edit("account", "A1", name="There")
    yield w.ws.plan_full("CUSTOMER")


@produces("changed_both", "never_synchronised_update", "newer_there")
def fields_of_one_direction(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    w = small(make_world, "name > name, phone < phone")
    pair(w, 1)
    pair(w, 2)
    w.local.edit("customer", "C1", name="Here")
    w.integration.edit("account", "A1", phone="There")
    w.integration.edit("account", "A2", name="There only")
    w.local.add("customer", "C3", number="C3", name="Three")
    w.integration.add("account", "A3", name="Another")
    w.couple("CUSTOMER", "C3", "A3", never=True)
    yield w.ws.plan_full("CUSTOMER")


@produces("echo", "created_before", "not_due", "lookup_cleared", "rewritten", "restored", "coupling_removed", "held")
def set_up_otherwise(make_world: MakeWorld, folder: Path) -> Iterator[Plan | Explanation | pd.DataFrame]:
    w = small(make_world)
    w.local.add("customer", "C1", number="C1", name="One")
    w.local.add("customer", "C2", number="C2", name="Two")
    run = w.full("CUSTOMER").run
    w.tick()
    yield from (w.ws.plan_full("CUSTOMER"), w.ws.explain("CUSTOMER", local="C1", plan=w.ws.plan_modified("CUSTOMER")))
    w.ws.apply(w.ws.plan_undo(run.id))
    yield w.plan("CUSTOMER")
    w.ws.lift("CUSTOMER", local=[guid("C1")])
    yield w.plan("CUSTOMER")
    fields = FIELDS.replace("lookup CURRENCY", "lookup CURRENCY clear")
    w = small(make_world, fields, deletion_conflict_resolution="restore_records", update_conflict_resolution="send_to_integration")
    for n in range(3):
        pair(w, n)
    w.integration.edit("account", "A0", moneyid=guid("somewhere"))
    w.local.edit("customer", "C0", currency="QQQ")
    w.integration.delete("account", "A1")
    yield w.ws.plan_modified("CUSTOMER", unconditional=True)
    w.change("CUSTOMER", deletion_conflict_resolution="remove_coupling", semantics="reference")
    yield from (w.ws.plan_modified("CUSTOMER"), w.ws.plan_full("CUSTOMER"))


@produces(
    "matched",
    "matched_on_fewer_fields",
    "match_has_rivals",
    "no_match",
    "blank_criteria",
    "several_matches",
    "ambiguous_match",
    "match_taken",
)
def coupling_by_match(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    w = phone_book(
        make_world, "no > accountnumber, name <> name match, phone <> telephone1 match", coupled=1, synch_after_match_coupling=False
    )
    for n, (name, phone) in enumerate(
        [("One", "1"), ("", ""), ("Two", "2"), ("Three", ""), ("Old 0", "90"), ("Four", "4"), ("Four", "4")]
    ):
        w.local.add("customer", f"C{n}", no=str(n), name=name, phone=phone)
    for n, (name, phone) in enumerate([("Two", "2"), ("Two", "2"), ("Three", "3"), ("Four", "4")]):
        w.integration.add("account", f"A{n}", name=name, telephone1=phone)
    yield w.ws.plan_coupling("CUSTOMER")


@produces("coupled", "recoupled", "already_coupled", "integration_coupled", "local_coupled", "outside_integration_filter", "uncoupled", "survivor_deleted",
          "coupled_by_you", "coupling_refused")  # fmt: skip
def coupling_by_hand(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    w = small(make_world, integration_filter="phone: <>hidden")
    for n in range(4):
        pair(w, n)
    w.local.add("customer", "C8", number="C8", name="Free")
    w.integration.add("account", "A8", name="Free", phone="hidden")
    w.integration.add("account", "A9", name="Free")
    for pairs, start in (([("C8", "A9"), ("C1", "A1")], "local"), ([("C8", "A2")], "local"), ([("C8", "A8")], "local"),
                         ([("C1", "A9")], "integration"), ([("C1", "A9")], "local")):  # fmt: skip
        yield w.ws.plan_coupling("CUSTOMER", [(guid(a), guid(b)) for a, b in pairs], starting_from=start)  # type: ignore[arg-type]
    yield w.ws.plan_uncoupling("CUSTOMER", local="C1")
    w.local.delete("customer", "C0")
    yield w.ws.plan_delete("CUSTOMER")
    w.tick()
    plan = w.ws.plan_full("CUSTOMER")
    yield plan.couple("CUSTOMER", guid("C8"), guid("A9"))
    real = Transaction.add_many_couplings

    def rival(self: Transaction, common: Any, columns: Any) -> Any:
        """Somebody else couples the record while the run creates its partner."""
        self.add_couplings([{"mapping": "CUSTOMER", "local_key": columns["local_key"][0], "integration_key": guid("rival")}])
        return real(self, common, columns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transaction, "add_many_couplings", rival)
        yield w.ws.apply(w.ws.plan_full("CUSTOMER"), accept=["CUSTOMER"]).errors


@produces("undo_insert", "undo_update", "undo_delete", "undo_couple", "undo_uncouple", "changed_since", "deleted_since", "coupled_since",
          "coupling_changed", "exists_again")  # fmt: skip
def undo(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    w = small(make_world)
    for n in range(6):
        pair(w, n)
        w.local.edit("customer", f"C{n}", phone=str(n))
    w.local.add("customer", "N", number="N", name="New")
    run = w.full("CUSTOMER").run
    yield w.ws.plan_undo(run.id)
    w.integration.edit("account", "A1", phone="edited")
    w.integration.delete("account", "A2")
    w.tick()
    w.carry_out(w.ws.plan_uncoupling("CUSTOMER", local="C3"))
    yield w.ws.plan_undo(run.id)
    last = w.ws.ledger.runs(now=None).to_pylist()[0]["id"]
    yield w.ws.plan_undo(last)
    undone = w.ws.apply(w.ws.plan_undo(last))
    yield w.ws.plan_undo(undone.id)
    w.tick()
    back = w.ws.apply(w.ws.plan_undo(run.id))
    yield w.ws.plan_undo(back.id)
    gone = w.integration.row("account", "A5")
    w.local.delete("customer", "C5")
    w.tick()
    deleted = w.ws.apply(w.ws.plan_delete("CUSTOMER"))
    w.integration.add("account", "A5", name=gone["name"])
    yield w.ws.plan_undo(deleted.id)
    w.local.delete("customer", "C4")
    w.tick()
    deleted = w.ws.apply(w.ws.plan_delete("CUSTOMER"))
    w.integration.add("account", "A7", name="Seven")
    w.local.add("customer", "C4", number="C4", name="Four")
    w.tick()
    w.carry_out(w.ws.plan_coupling("CUSTOMER", [(guid("C4"), guid("A7"))]))
    yield w.ws.plan_undo(deleted.id)


@produces("as_before")
def undo_of_what_was_rewritten(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    w = small(make_world, semantics="reference")
    pair(w)
    yield w.ws.plan_undo(w.full("CUSTOMER").run.id)


@produces("customer.company", "vendor.company", "contact.company")
def imported_rows_are_stamped(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    w = make_world({"customer": "no code20 key, name text50"}, {"account": "name text50, bcbi_companyid guid"},
                   [mapping("CUSTOMER", "customer > account", "name <> name", rules=["customer.company", "vendor.company", "contact.company"])],
                   config={"integration": {"company_id": guid("this company")}})  # fmt: skip
    w.integration.add("account", "A", name="One")
    yield w.ws.plan_full()


@produces("company_cleared", "against_direction", "survivor_deleted")
def company_and_direction(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    company = guid("this company")
    w = make_world({"customer": "no code20 key, name text50"}, {"account": "name text50, bcbi_companyid guid"},
                   [mapping("CUSTOMER", "customer > account", "name > name", direction="to_integration", rules=["customer.company"])],
                   config={"integration": {"company_id": company}})  # fmt: skip
    w.local.add("customer", "C", no="C", name="One")
    w.integration.add("account", "A", name="One", bcbi_companyid=company)
    w.couple("CUSTOMER", "C", "A")
    w.integration.add("account", "stray", name="left behind", bcbi_companyid=company)
    yield w.ws.plan_uncoupling("CUSTOMER")
    w.local.delete("customer", "C")
    yield from (w.ws.plan_restore("CUSTOMER"), w.ws.plan_delete("CUSTOMER"))


@produces("local_currency_missing", "duplicate_key")
def a_currency_that_is_missing(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    w = with_local_currency(make_world)
    for n in range(2):
        w.local.add("customer", f"C{n}", number="C1", name="One")
    yield from (w.ws.plan_full("CUSTOMER"), w.ws.check_data("CUSTOMER"))


@produces("key_collision")
def a_key_that_is_taken(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    w = make_world({"customer": "number code20 key, name text50"}, {"account": "name text100, number text20"},
                   [mapping("CUSTOMER", "customer > account", "number < number, name < name", direction="from_integration")])  # fmt: skip
    w.local.add("customer", "C1", number="10", name="Old")
    w.integration.add("account", "A1", number="10", name="New")
    yield w.ws.plan_full()


@produces("template_overrides_value")
def a_template(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    template = {"code": "T1", "sets": {"name": "From the template"}}
    w = make_world({"customer": "no code20 key, name text100"}, {"account": "name text160"},
                   [mapping("CUSTOMER", "customer > account", "name <> name", local_templates=[template])])  # fmt: skip
    w.integration.add("account", "G", name="Acme")
    yield w.ws.plan_full()


@produces("loses", "filter_excludes_all", "newer_here_only")
def policies(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    w = small(make_world, update_conflict_resolution="get_from_integration", local_filter="phone: 1|2|3")
    pair(w, 0, phone="1")
    pair(w, 1, phone="1")
    w.integration.edit("account", "A0", phone="2")
    w.local.edit("customer", "C0", phone="3")
    yield w.ws.plan_modified("CUSTOMER")
    stamp = w.local.row("customer", "C1")["system_modified_at"]
    w.local.edit(
        "customer", "C1", name="Differs", currency="QQQ"
    )  # the first pass fails, and the second carries nothing that goes both ways
    w.local.edit("customer", "C1", system_modified_at=stamp)
    yield w.ws.plan_full("CUSTOMER")
    w.change("CUSTOMER", local_filter="phone: nobody")
    yield w.ws.check_data("CUSTOMER")


#: What Business Central's engine says and synckit does not: messages of its job log, as its labels compose them.
OF_A_LOG = {
    "not_stored": "The data could not be updated because of the following error: the field is locked.",
    "table_not_mapped": "Table 18 must be mapped to table 5341 to transfer values between fields Name and Name.",
    "coupling_corrupt": "The integration record for entity Customer: 10000 was not found.",
    "no_such_name": "A record with the name Adatun does not exist in Dataverse.",
    "template_missing": "The Config. Template Header CUST-X was not found.",
    "no_field_mappings": "There are no field mapping rows for the CUSTOMER Integration Table Mapping.",
    "direction_unknown": "The synchronization direction cannot be determined.",
    "wrong_table": "Source table 18 and destination table 5342 do not match integration table mapping CUSTOMER.",
    "no_match_criteria": "You must specify which integration field mappings on the integration table mapping CUSTOMER should be used for match-based coupling.",
    "uncoupling_failed": "Uncoupling Customer failed because of the following error: locked.",
    "connection": "The Dataverse connection is not enabled.",
    "business_rule": "The item has no unit of measure that is coupled.",
    "contact.parent_to_local": "The contact must belong to a company that is a customer or vendor.",
    "unknown": "Etwas ging schief.",
}


@produces(*OF_A_LOG)
def a_log_of_business_central(make_world: MakeWorld, folder: Path) -> Iterator[Plan | pd.DataFrame]:
    lines = [f'2026-11-21 08:00,"{message}",Customer: {n}' for n, message in enumerate(OF_A_LOG.values())]
    (folder / "errors.csv").write_text("\n".join(["Date/Time,Error Message,Source", *lines]), encoding="utf-8")
    yield read_job_log(folder / "errors.csv").causes()


@pytest.mark.parametrize(("producer", "codes"), PRODUCERS, ids=[p.__name__ for p, _ in PRODUCERS])
def test_the_codes_are_produced(producer: Producer, codes: tuple[str, ...], make_world: MakeWorld, tmp_path: Path) -> None:
    seen = set().union(*(codes_in(one) for one in producer(make_world, tmp_path)))
    assert not set(codes) - seen, "not produced"
    known = set(catalogue()["code"])
    assert not seen - known, "given, and not in the catalogue"


def test_the_warnings_that_a_plan_knows_are_those_of_the_catalogue() -> None:
    told = catalogue()
    assert set(WARNINGS) == set(told[told["kind"] == "warning"]["code"])


def test_every_code_of_the_catalogue_is_produced_by_someone() -> None:
    assert {code for _, codes in PRODUCERS for code in codes} == set(catalogue()["code"])
