"""From a reviewed plan to a run: what must not be applied is refused, then exactly the plan's rows are carried out."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from synckit.applying import one_ledger
from synckit.applying.progress import Progress, Run
from synckit.applying.refusals import refuse
from synckit.applying.resume import carry_through
from synckit.applying.run import KeepCreating
from synckit.ledger.lease import Holder
from synckit.logs import note
from synckit.planning.plan import Plan
from synckit.planning.planfile import plan_bytes

if TYPE_CHECKING:
    from synckit.workspace import Workspace


def apply_plan(
    ws: Workspace,
    plan: Plan,
    *,
    accept: Sequence[str] = (),
    keep_creating: KeepCreating | Callable[[list[str]], dict[str, bool]] = "no",
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    over_limit: Sequence[str] = (),
    confirm: str = "",
    take_over: bool = False,
) -> Run:
    """Carry out exactly the rows of `plan` and return what became of them.

    `accept`: names of mappings that may create although coupling is recommended. `keep_creating` answers the closing question for
    every mapping whose "Synch. Only Coupled Records" is set: "no" keeps it set (default), "yes" lets later runs create, a dict
    answers per mapping, a function is asked at the end with the names. `over_limit`: mappings that may exceed the workspace's limits.
    `confirm`: the name of the production system that the plan writes to. `should_stop` is asked between chunks. `take_over`: where
    another ledger keeps these systems in step, this one does from now on.

    Raises SynckitError, with nothing written, where the plan was made for other systems, another ledger or other mappings, where a
    system cannot be written, where a mapping must be accepted first, where someone else is applying, or where another ledger keeps
    these two systems in step.
    """
    refuse(ws, plan, accept, over_limit, confirm)
    if not take_over:
        one_ledger.refuse_second(ws)
    holder = Holder(ws.operator, socket.gethostname(), os.getpid())
    with ws.ledger.lease.held(holder) as epoch:
        if take_over:
            one_ledger.take_over(ws)
        said = one_ledger.mark_systems(ws, plan)
        with ws.ledger.transaction(epoch=epoch) as tx:
            run_id = tx.start_run(plan.id, plan.base.kind, holder.operator, holder.host, holder.pid, epoch)
            tx.keep_plan(run_id, plan_bytes(plan))
        note("run started", run=run_id, plan=plan.id, kind=plan.base.kind, mappings=list(plan.mappings), writes=plan.writes)
        run = carry_through(ws, plan, run_id, epoch, keep_creating, progress, should_stop, begun=False)
    return replace(run, message=" ".join([run.message, *said]).strip()) if said else run


__all__ = ["apply_plan"]
