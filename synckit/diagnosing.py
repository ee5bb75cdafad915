"""The verbs of a workspace that diagnose and report: explain one record, causes of errors, the report, a look through the data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from synckit.planning.plan import Plan

if TYPE_CHECKING:
    from synckit.diagnosis.explain import Explanation
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

        return explain(self._here, mapping, local, integration, key=key, plan=plan, full=full)


__all__ = ["Diagnosing"]
