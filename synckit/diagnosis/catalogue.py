"""The catalogue of causes: every code that a plan, a job or a check can give, in words, with the rule behind it and what fixes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from synckit.mapping.rules import known_rules

Kind = Literal["error", "warning", "state", "check"]


@dataclass(frozen=True)
class Cause:
    """One entry. `kind`: "error" fails a record, "warning" stands on a row that is written, "state" says why a record is left alone
    or written, "check" is found by looking through the data beforehand. `reference`: the message of the reference system that means
    the same, where there is one. `pattern`: what that message looks like in a job log of Business Central."""

    code: str
    kind: Kind
    title: str
    meaning: str
    remedy: str
    reference: str = ""
    pattern: str = ""


def _table(kind: Kind, *lines: tuple[str, ...]) -> list[Cause]:
    return [Cause(line[0], kind, *line[1:]) for line in lines]


_ENTRIES = [
    *_table("error",
      ("lookup_not_coupled", "Referenced record is not coupled", "A field points to a record of another mapping (a currency, a salesperson, a primary contact ...) that has no partner on the other side.",
       "Couple or synchronise the referenced record first, or correct the field; where the field may stay empty, set clear_on_failed_sync on its row.", "M9", r"must be coupled"),
      ("missing_option", "Option without a code, or code without an option", "A code (payment terms, shipment method, shipping agent) and an option set are matched by label; this one has no partner.",
       "Synchronise the option mapping, or couple the option with its code, or correct the field.", "M9", r"option.*(not mapped|must be mapped|must be coupled)"),
      ("local_currency_missing", "The local currency is not on the integration side", "A blank currency code stands for the local currency, and no currency of that ISO code exists there.",
       "Create the currency on the integration side, or correct local_currency in the workspace."),
      ("cannot_convert", "Value cannot be converted", "The value does not fit the type of the field on the other side (a date, a number, a GUID), or its transformation rule refused it.",
       "Correct the value, or the transformation rule of the field row.", "M16", r"incorrect format|cannot be converted|is not a valid"),
      ("key_collision", "The key exists already", "The new row would get a key that another row of the destination has, or two new rows the same one.",
       "Couple the record with the one that has this key, or change the key of one of them.", "M20", r"already exists"),
      ("required_blank", "Required value is blank", "The destination requires a value that the source leaves blank.",
       "Fill the field on the source record, or give it a constant or a template value in the mapping.", "M19", r"must have a value|cannot be blank|is required"),
      ("both_changed", "Changed on both sides", "Both records were changed since the last synchronisation, and a field that goes both ways differs.",
       "Decide it in the plan (one side, a side per field, or merge), or set update_conflict_resolution of the mapping.", "M1", r"(is|are) bidirectional|both .*records? (have been|were) changed"),
      ("never_synchronised", "Coupled, never synchronised, and different", "The two records were coupled (imported, matched or by hand) but never synchronised, so nobody knows which value is newer.",
       "Decide it in the plan: synchronise the record once with a chosen direction."),
      ("partner_deleted", "Coupled to a deleted record", "The other record of the coupling no longer exists.",
       "Restore it, delete the surviving record, or remove the coupling; deletion_conflict_resolution of the mapping can decide it for all.", "M21", r"coupled to a deleted record"),
      ("blocked", "Waits for a record that cannot be created", "The record refers to one that this run cannot create.",
       "Mend the error of the record it waits for; this one follows by itself."),
      ("fails_again", "Failed as it failed before: now skipped", "The same error twice in the same direction: the record is left out until somebody takes it up again.",
       "Mend the cause, then retry the record.", "", r"repeatable failure"),
      ("stale", "Changed after planning", "A row or coupling is no longer as the plan showed it, so nothing was written.", "Plan again: the record is looked at next time whatever the watermark says."),
      ("failed", "The system refused the row", "The database or service rejected the write; its own words are in the message.",
       "Read the message: a constraint, a trigger, a permission or a lock. Mend it there; the next run tries again.", "M19/M20", r"^(Inserting|Modifying) .* failed"),
      ("coupling_refused", "Coupling refused", "The record was coupled by someone else while this run was creating its partner.", "Look at both couplings; remove the one that is wrong.", "M11/M12"),
      ("not_stored", "Transfer failed", "The data could not be updated; the reason stands in the message.", "Read the reason; mend the value or the mapping.", "M8", r"could not be updated|cannot be updated because of"),
      ("table_not_mapped", "Referenced tables are not mapped", "Both fields point to other tables, and no mapping connects these two.", "Add a mapping for the two tables, or a lookup on the field row.", "M10", r"must be mapped to"),
      ("integration_coupled", "Integration record is taken", "The integration record is coupled to another local record.", "Uncouple it first, or choose another record.", "M11", r"cannot couple .*already coupled to (?!another)"),
      ("local_coupled", "Local record is taken", "The local record is coupled to another integration record.", "Uncouple it first, or start from the local side, which re-points the coupling.", "M12", r"cannot couple .*already coupled to another"),
      ("coupling_corrupt", "Coupling without a local record", "The local record of the coupling vanished, or its table is not stated.", "Remove the coupling.", "M13", r"integration record .* not found|table ID must be specified"),
      ("no_such_name", "No record of that name", "The name given for coupling by hand does not exist on the integration side.", "Give the key, or the exact name.", "M14", r"record with (that|the) name .*(does not exist|not found)"),
      ("outside_integration_filter", "Filter hides the record", "The mapping's integration filter leaves out the record that was chosen.", "Choose another record, or change the filter.", "M15", r"filters? .*(hide|exclude|prevent)"),
      ("template_missing", "Template missing", "The mapping names a template that does not exist.", "Create the template, or correct its code in the mapping.", "M18", r"template .*(not found|does not exist|was not found)"),
      ("against_direction", "Against the mapping's direction", "The run's direction is not one that the mapping has.", "Choose the other direction, or change the direction of the mapping.", "M4", r"is not configured for"),
      ("no_field_mappings", "No field rows", "The mapping has no enabled field row for the direction of this pass.", "Add or enable field rows of that direction.", "M2", r"no field mapping rows|must have .*field mapping"),
      ("direction_unknown", "Direction cannot be told", "The source table is neither side of the mapping.", "Start from a record of one of the mapping's two tables.", "M3", r"direction .*cannot be determined"),
      ("wrong_table", "Table does not belong to the mapping", "Source or destination table is not one of the mapping.", "Check the tables of the mapping.", "M7", r"do(es)? not match (the )?(integration )?(table )?mapping"),
      ("no_match_criteria", "No match criteria", "Coupling by match needs fields marked for it.", "Mark at least one field row with use_for_match.", "M22", r"specify which .*match-based coupling"),
      ("no_match", "No unique match", "No, several, or only taken records match.", "Look at the unmatched records one by one; couple them by hand or create them.", "M23", r"failed to couple|no unique uncoupled match"),
      ("blank_criteria", "Nothing to match by", "The match fields of the record are blank.", "Fill the match fields, or mark others with use_for_match.", "M23"),
      ("several_matches", "Several records match", "More than one record of the other side has the same values in the match fields.", "Couple the right one by hand, or add a match field that tells them apart.", "M23"),
      ("match_taken", "The only match is taken", "The one record that matches is coupled to another already.", "Look whether the two are the same (a duplicate); uncouple the wrong one.", "M23"),
      ("uncoupling_failed", "Uncoupling failed", "The row could not be saved while it was uncoupled, so the coupling stays.", "Read the message; mend it in that system, then uncouple again.", "M24", r"^uncoupling .* failed"),
      ("connection", "Connection or set-up", "The connection is not enabled, not initialised or lacks a permission.", "Check the connection of the workspace and the rights of its user.", "M29/M31", r"connection|not enabled|privilege|permission"),
      ("business_rule", "A business rule refused the record", "A rule of the business logic (exchange rate, business relation, unit of measure) could not be met.", "Mend what the message names.", "M32", r"exchange rate|business relation|unit of measure"),
      ("currency.exchange_rate", "Currency without an exchange rate", "No exchange rate line of the currency is in force today.", "Add an exchange rate line whose starting date has come.", "M32", r"exchange rate"),
      ("contact.parent_to_local", "Contact without a company", "The contact's parent account is not coupled to a customer or vendor that has a company contact.", "Synchronise the parent first, and give it a company contact (business relation).", "M32", r"contact .*company .*(customer|vendor)"),
      ("unknown", "Not classified", "No entry of the catalogue fits the message.", "Read the message."),
    ),
    *_table("warning",
      ("overwrites_newer_value", "Overwrites a newer value", "The destination was changed since the last synchronisation, and is overwritten.", "Look at the fields; exclude the row to keep the other side's values."),
      ("possible_duplicate", "Looks like an existing record", "The record to be created resembles one that is there already.", "Compare the two; couple them, or exclude the row."),
      ("value_cut", "Value is cut", "A text is longer than the field on the other side and is cut.", "Shorten the value, or accept that the other side holds less of it."),
      ("lookup_cleared", "Reference is cleared", "A reference cannot be resolved, and its field row says that it is emptied then.", "Couple the referenced record first to keep the reference."),
      ("template_overrides_value", "A template overrides a value", "A template's default is written over what the source holds.", "Change the template, or the field row."),
      ("ambiguous_match", "Several records match", "More than one record has the same match fields.", "Couple the right one by hand."),
      ("matched_on_fewer_fields", "Matched on fewer fields", "Some match fields are blank, so fewer than configured were compared.", "Look at the pair before it is coupled."),
      ("match_has_rivals", "Another record matches, too", "The partner matches several records of this side.", "Look which of them is the same."),
      ("recoupled", "Coupled anew", "An existing coupling gives way.", "Make sure that the new partner is the right one."),
    ),
    *_table("state",
      ("as_before", "Already as it was before the run", "An undo has nothing to write here: the row already holds what it held before.", "Nothing to do."),
      ("changed_since", "Changed since", "An undo leaves this row alone: somebody changed it after the run.", "Change it by hand where it should be another."),
      ("deleted_since", "Deleted since", "An undo leaves this row alone: somebody deleted it after the run.", "Nothing to do."),
      ("exists_again", "Exists again", "An undo does not restore this row: it is there again.", "Couple it by hand where its coupling is missing."),
      ("coupled_since", "Coupled since", "An undo leaves this row alone: it, or its partner, was coupled after the run.", "Uncouple by hand where the coupling is wrong."),
      ("undo_insert", "A created row is deleted", "The run created it; its undo deletes it.", "Nothing to do; exclude the row to keep it."),
      ("undo_update", "Values go back", "The run changed it; its undo writes the values from before.", "Nothing to do; exclude the row to keep the new values."),
      ("undo_delete", "A deleted row returns", "The run deleted it; its undo restores it.", "Nothing to do; exclude the row to leave it deleted."),
      ("coupling_changed", "The coupling was changed since", "An undo leaves this pair alone: somebody coupled or uncoupled one of its records after the run.",
       "Couple or uncouple the records by hand where the coupling should be another."),
      ("undo_couple", "A coupling is taken back", "The run coupled the two records; its undo uncouples them.", "Nothing to do; exclude the row to keep the coupling."),
      ("undo_uncouple", "A coupling returns", "The run uncoupled the two records; its undo couples them again, with all that the coupling held.",
       "Nothing to do; exclude the row to leave them uncoupled."),
      ("not_coupled", "New", "Not coupled and inside the filter: a new row.", "Nothing to do; check that it is no duplicate."),
      ("created_before", "Was created before", "A row was created for it before and is gone: it would be created again.", "Exclude it if the deletion was meant."),
      ("found_partner", "Partner found", "A record with the same key value exists: the two are coupled.", "Nothing to do."),
      ("changed", "Changed on the source side", "Newer than at the last synchronisation.", "Nothing to do."),
      ("changed_both", "Changed on both sides, in different directions' fields", "Each pass carries its own fields.", "Nothing to do."),
      ("policy_wins", "Changed on both sides, settled by policy", "The same fields differ, and the mapping's policy sends this side's values.", "Nothing to do, or decide otherwise in the plan."),
      ("newer_there", "The destination is newer", "It differs and was changed on the destination side only; the full run overwrites it.", "Exclude the row to keep the destination's value."),
      ("differs", "Differs although nobody changed it", "The pair differs although neither side is newer than the last synchronisation (a change that left no trace, a changed mapping).", "Look at the fields; a full synchronisation brings the pair in step."),
      ("never_synchronised_update", "Never synchronised", "Coupled, never synchronised; fields that this direction carries differ.", "Nothing to do."),
      ("equal", "Equal", "Equal in every field that this direction carries.", "Nothing to do."),
      ("other_pass", "Nothing to bring over", "Only the side that would be written to has changed.", "Nothing to do: what changed goes the other way, where that direction takes the record."),
      ("newer_here_only", "Left to the other direction", "It differs in fields that go both ways; the other direction carries them, once it can.", "Look at what the other direction says of it."),
      ("broken", "Broken coupling", "Neither record of the coupling exists any more.", "Remove the coupling: synckit uncouple."),
      ("skipped", "Skipped", "Failed twice alike; left out of both directions until it is retried.", "Mend the cause of its last error, then: synckit retry."),
      ("outside_filter", "Outside the filter", "The mapping's filter of the source side leaves the record out.", "Change the record, or the filter of the mapping."),
      ("no_source", "No row on the source side", "Nothing to send in this pass.", "Nothing to do."),
      ("not_changed", "Not changed", "Not newer than at the last synchronisation.", "Nothing to do."),
      ("echo", "Our own write", "Written by the first pass of this run.", "Nothing to do."),
      ("only_coupled", "Not coupled", "The mapping synchronises coupled records only.", "Couple it, create it with a run of chosen records, or run a full synchronisation."),
      ("loses", "Loses by policy", "Changed on both sides; the mapping's policy gives the other side's value.", "Nothing to do, or decide otherwise in the plan."),
      ("restored", "Restored", "Its partner was deleted and is created anew.", "Nothing to do."),
      ("coupling_removed", "Coupling removed by policy", "Its partner was deleted; the coupling is removed.", "Nothing to do."),
      ("own_change", "Last changed by the integration user", "Runs leave out integration rows that the integration user changed last: those are their own writes.", "Nothing to do where a synchronisation wrote it. What people edit as that user is sent when they edit it as another, or by hand."),
      ("left_out", "Left out by a business rule", "A rule of the mapping leaves the record out.", "Change what the rule names."),
      ("held", "Held", "A person left it out, or a run was undone; every plan shows it, none carries it out.", "Lift the hold: synckit lift."),
      ("rewritten", "Rewritten though equal", "Forced runs of the reference write equal rows.", "Nothing to do."),
      ("chosen", "The chosen direction decides", "It differs; the direction of the run is the decision.", "Nothing to do."),
      ("resolved", "Decided", "Someone decided the conflict in the plan.", "Nothing to do."),
      ("excluded", "Left out by you", "A decision in the plan leaves it out.", "Include it again to carry it out."),
      ("second_step", "Filled in a second step", "A reference that closes a circle is filled once its record exists.", "Nothing to do."),
      ("coupled", "Coupled by hand", "The two are coupled.", "Nothing to do."),
      ("matched", "Coupled by match", "The only record with the same match fields.", "Nothing to do."),
      ("coupled_by_you", "Coupled by you", "Someone decided in the plan that the two are the same.", "Nothing to do."),
      ("already_coupled", "Coupled already", "The two are coupled to each other already.", "Nothing to do."),
      ("uncoupled", "Uncoupled", "The coupling is removed.", "Nothing to do."),
      ("company_cleared", "Company id cleared", "A stray row carried the company's id.", "Nothing to do."),
      ("survivor_deleted", "Survivor deleted", "Its partner was deleted, so it is deleted, too.", "Nothing to do."),
      ("not_due", "Not due", "Not newer than the watermark, so the next run does not look at it.", "To have it looked at: run from the start, or synchronise it by hand."),
    ),
    *_table("check",
      ("value_too_long", "Values longer than the other side's field", "A text will be cut.", "Shorten the values, or accept the cut."),
      ("unknown_option", "Options that the other side does not have", "An option or code has no partner of the same label.", "Synchronise the option mapping first, or correct the values."),
      ("duplicate_key", "The same key twice", "Two rows have the same key, so one of them cannot be told from the other.", "Make the keys unique."),
      ("duplicate_match", "Match fields that are not unique", "Several uncoupled rows have the same values in all match fields of a priority: coupling by match cannot decide.", "Correct the values, or add a match field."),
      ("unresolved_lookup", "References to records that are not coupled", "They exist, but have no partner yet: where only the next run of this mapping is made, the field fails or is cleared.", "Synchronise or couple the referenced mapping first."),
      ("dangling_lookup", "References to records that do not exist", "The field holds a key that is in no row of the referenced table.", "Correct the field, or create the record."),
      ("required_empty", "Required fields that are empty", "The other side requires a value.", "Fill the field, or give a constant or template."),
      ("filter_excludes_all", "The filter leaves out every row", "No row of the table passes the mapping's filter.", "Read the filter again; it may be meant otherwise."),
      ("never_visited", "Rows that no run will visit", "Not newer than the watermark, not coupled and not due: nothing but an edit or a run from the start looks at them again.", "Run once from the start: synckit plan modified --from-start, or a full synchronisation."),
      ("own_edit_differs", "Left out as own change, but different", "Last changed by the integration user, so runs leave it out; yet it differs from its partner.", "Synchronise these records by hand, or give the integration a user of its own."),
      ("drift", "Coupled pairs that differ although unchanged", "Neither side is newer than its stamp, yet fields differ: a change that left no trace, or a changed mapping.", "A full synchronisation shows and mends them."),
      ("skipped_backlog", "Skipped records", "Left out until somebody retries them.", "Mend their causes, then retry them."),
      ("orphan_coupling", "Couplings without any record", "Neither record exists.", "Remove them: synckit uncouple."),
      ("deleted_side", "Couplings that lost one record", "One of the two records was deleted.", "Restore, delete the survivor, or uncouple."),
    ),
]  # fmt: skip

CATALOGUE: dict[str, Cause] = {entry.code: entry for entry in _ENTRIES}


def cause_of(code: str) -> Cause:
    """The entry of a code. A business rule that has none of its own is described by what it does; "unknown" for anything else."""
    found = CATALOGUE.get(code)
    if found is not None:
        return found
    rule = known_rules().get(code)
    if rule is not None:
        if rule.follow_up is not None:
            return Cause(code, "state", "Follows from another write", rule.effect, "Nothing to do.")
        return Cause(code, "error", f"Business rule {code}", rule.effect, "Mend what the message names.", "M32")
    return CATALOGUE["unknown"]


#: What the message of any business rule looks like comes last: a rule with an entry of its own is told first.
_PATTERNS = [
    (re.compile(e.pattern, re.IGNORECASE | re.DOTALL), e.code)
    for e in sorted(_ENTRIES, key=lambda e: e.code == "business_rule")
    if e.pattern
]


def classify(message: str) -> str:
    """The code that a message of the reference system's job log means; "unknown" where no entry fits."""
    return next((code for pattern, code in _PATTERNS if pattern.search(message)), "unknown")


def catalogue() -> pd.DataFrame:
    """The whole catalogue, one line per code: code, kind, title, meaning, remedy, reference."""
    rows = [(e.code, e.kind, e.title, e.meaning, e.remedy, e.reference) for e in _ENTRIES]
    named = {e.code for e in _ENTRIES}
    for rule in known_rules().values():
        shipped = rule.function is not None and rule.function.__module__ == "synckit.mapping.standard_rules"
        if rule.id not in named and (
            rule.follow_up is not None or (rule.function is not None and not shipped)
        ):  # those shipped that fail a record have their own
            e = cause_of(rule.id)
            rows.append((e.code, e.kind, e.title, e.meaning, e.remedy, e.reference))
    return pd.DataFrame(rows, columns=["code", "kind", "title", "meaning", "remedy", "reference"])


def catalogue_page() -> str:
    """The catalogue as a page in Markdown."""
    frame = catalogue()
    heads = {"error": "Errors: the record fails", "warning": "Warnings: the row is written", "state": "States: why a record is written or left alone",
             "check": "Findings of `synckit check --data`"}  # fmt: skip
    parts = ["# Codes, causes and remedies\n"]
    for kind, head in heads.items():
        parts.append(f"## {head}\n\n| code | what | means | what fixes it | reference |\n|---|---|---|---|---|")
        for row in frame[frame["kind"] == kind].itertuples():
            parts.append(f"| `{row.code}` | {row.title} | {row.meaning} | {row.remedy} | {row.reference} |")
        parts.append("")
    return "\n".join(parts)


__all__ = ["CATALOGUE", "Cause", "catalogue", "catalogue_page", "cause_of", "classify"]
