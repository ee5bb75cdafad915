"""The verbs of a workspace that diagnose and report: explain one record, causes of errors, the report, a look through the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, cast

import pandas as pd

from synckit.planning.plan import Plan
from synckit.waiting import waiting

if TYPE_CHECKING:
    from synckit.diagnosis.explain import Explanation
    from synckit.diagnosis.trying import Tried
    from synckit.mapping.model import FilterText
    from synckit.planning.bind import Side
    from synckit.reports.job_report import Report
    from synckit.workspace import Workspace


class Diagnosing:
    """Mixed into Workspace. Nothing here writes anything."""

    @property
    def _here(self) -> Workspace:
        return cast("Workspace", self)

    def explain(
        self,
        mapping: str,
        local: str | None = None,
        integration: str | None = None,
        *,
        key: str | None = None,
        plan: Plan | Iterable[Plan] | None = None,
        full: bool | None = None,
    ) -> Explanation:
        """Why a record does, or does not, synchronise: its whole story. See synckit.diagnosis.explain.explain."""
        from synckit.diagnosis.explain import explain

        with waiting("Looking"):
            return explain(self._here, mapping, local, integration, key=key, plan=plan, full=full)

    def causes(self, mapping: str | None = None, *, run: int | None = None) -> pd.DataFrame:
        """Booked errors grouped by root cause, open ones first: victims, trend ("new", "persisting", "solved"), remedy (columns:
        synckit.diagnosis.causes.CAUSES). `cause_records` lists the errors behind each."""
        from synckit.diagnosis.causes import causes

        with waiting("Grouping errors"):
            return causes(self._here, mapping, run=run)

    def cause_records(self, cause: str | None = None, *, mapping: str | None = None, run: int | None = None) -> pd.DataFrame:
        """The booked errors behind a cause (or all of them), newest first, both keys and the column `cause` with each."""
        from synckit.diagnosis.causes import error_lines

        lines = error_lines(self._here, mapping, run)
        return lines if cause is None else lines[lines["cause"] == cause].reset_index(drop=True)

    def report(
        self, run: int | None = None, since: str | datetime | None = None, mapping: str | None = None, *, values: bool = False
    ) -> Report:
        """What happened in one run (the last where nothing is said) or since a moment: frames, figure, HTML, Excel, JSON, text. See
        synckit.reports.job_report.report."""
        from synckit.reports.job_report import report

        with waiting("Reporting"):
            return report(self._here, run, since, mapping, values=values)

    def check_data(self, mapping: str | Sequence[str] | None = None) -> pd.DataFrame:
        """Look through whole columns of both sides before a run: what would fail, be cut or be left behind, each with count, examples
        and remedy (columns: synckit.diagnosis.check_data.FINDINGS)."""
        from synckit.diagnosis.check_data import check_data

        with waiting("Looking through the data") as told:
            return check_data(self._here, mapping, progress=told)

    def try_rule(self, mapping: str, field: str, rule: str, in_pass: Literal["to", "from"] | None = None) -> Tried:
        """What a transformation rule would make of every value of a field: `.sentence`, `.counts`, `.frame`. See synckit.diagnosis.trying."""
        from synckit.diagnosis.trying import try_rule

        return try_rule(self._here, mapping, field, rule, in_pass)

    def try_filter(self, mapping: str, side: Side, text: FilterText, beside: FilterText | None = None) -> Tried:
        """Which records a filter would let through, beside the mapping's present one. See synckit.diagnosis.trying."""
        from synckit.diagnosis.trying import try_filter

        return try_filter(self._here, mapping, side, text, beside)


__all__ = ["Diagnosing"]
