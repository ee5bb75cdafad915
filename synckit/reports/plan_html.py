"""A plan and a run as they appear in a notebook: sentence, table with bars, what needs attention; readable in both themes."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pandas as pd

from synckit.planning.plan import Plan
from synckit.planning.tables import COUNTERS
from synckit.reports.frame_html import STYLE, bar, escaped, table_html
from synckit.reports.plan_text import head, remarks
from synckit.reports.wording import ACTIONS, Action, examples, left_alone, name_of, number, safe, shown_columns

if TYPE_CHECKING:
    from synckit.applying.progress import Run

ATTENTION = 10


def plan_html(plan: Plan) -> str:
    """The plan as an HTML fragment without scripts or outside references; every value of a record is escaped."""
    parts = [STYLE, '<div class="synckit">', f"<p><b>{html.escape(plan.sentence())}</b></p>", _summary(plan)]
    parts += [f'<div class="quiet">{html.escape(line.plain)}</div>' for line in remarks(plan)]
    for action in ACTIONS:
        if action.name in ("conflict", "fail"):
            parts.append(_attention(plan, action))
    lines = head(plan).plain.splitlines()
    parts.append(f'<details><summary class="quiet">{html.escape(lines[0])}</summary>')
    parts += [f'<div class="quiet">{html.escape(line)}</div>' for line in lines[1:]]
    parts.append("</details></div>")
    return "".join(parts)


def _summary(plan: Plan) -> str:
    actions = shown_columns(plan)
    heads = "".join(f'<th class="n" style="color: {a.variable}">{html.escape(a.sign)} {a.name}</th>' for a in actions)
    largest = max((sum(of.get(d, 0) for a in ACTIONS for d in a.dispositions) for of in plan.counts.values()), default=0)
    rows = []
    for (mapping, in_pass), of in plan.counts.items():
        counted = {a: sum(of.get(d, 0) for d in a.dispositions) for a in actions}
        rest = left_alone(of)
        quiet = rest.pop("unchanged", 0)
        what = ", ".join(f"{number(n)} {d}" for d, n in rest.items())
        cells = "".join(f'<td class="n">{_count(n, a)}</td>' for a, n in counted.items())
        drawn = bar(((n, a.variable, a.name) for a, n in counted.items()), largest)
        rows.append(
            f"<tr><td>{html.escape(mapping)}</td><td>{in_pass}</td><td>{drawn}</td>{cells}"
            f'<td class="n quiet">{number(quiet)}</td><td class="n quiet" title="{html.escape(what)}">{number(sum(rest.values()))}</td></tr>'
        )
    total = "".join(f'<th class="n">{number(plan.total(*a.dispositions))}</th>' for a in actions)
    others = sum(n for of in plan.counts.values() for d, n in left_alone(of).items() if d != "unchanged")
    foot = f'<th>all</th><th></th><th></th>{total}<th class="n">{number(plan.total("unchanged"))}</th><th class="n">{number(others)}</th>'
    return (
        f'<table><thead><tr><th>mapping</th><th>pass</th><th></th>{heads}<th class="n">unchanged</th><th class="n">other</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody><tfoot><tr>{foot}</tr></tfoot></table>"
    )


def _count(n: int, action: Action) -> str:
    return f'<span style="color: {action.variable}">{number(n)}</span>' if n else '<span class="quiet">-</span>'


def _attention(plan: Plan, action: Action) -> str:
    """The records that stop or fail, each with its reason."""
    total = plan.total(*action.dispositions)
    if not total:
        return ""
    found = examples(plan, action, ATTENTION)
    lines = [
        {"mapping": r["mapping"], "record": name_of(r), "disposition": r["disposition"], "reason": safe(r["reason"])} for r in found
    ]
    title = f"{action.sign} {action.name}: {number(total)}"
    capped = f'<div class="quiet">{number(len(found))} of {number(total)} shown</div>' if len(found) == ATTENTION < total else ""
    return f"<details><summary>{html.escape(title)}</summary>{table_html(pd.DataFrame(lines), rows=ATTENTION)}{capped}</details>"


def run_html(run: Run) -> str:
    """What an apply did: the sentence, planned beside actual for every counter, and each row that came out differently."""
    shown = [c for c in COUNTERS if run.jobs[c].any() or run.jobs[f"planned_{c}"].any()]
    heads = "".join(f'<th class="n">{c}</th>' for c in shown)
    rows = []
    for job in run.jobs.to_dict("records"):
        cells = "".join(_planned_beside_actual(int(job[c]), int(job[f"planned_{c}"])) for c in shown)
        rows.append(f"<tr><td>{escaped(job['mapping'])}</td><td>{escaped(job['direction'].replace('_', ' '))}</td>{cells}"
                    f"<td>{escaped(job['status'])}</td><td>{escaped(job['message'])}</td></tr>")  # fmt: skip
    table = (
        f"<table><thead><tr><th>mapping</th><th>direction</th>{heads}<th>status</th><th>message</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    different = ""
    if len(run.differences):
        columns = ["mapping", "pass", "local_key", "integration_key", "planned", "actual", "reason"]
        different = table_html(run.differences[columns], "Rows that came out differently from the plan")
    return f'{STYLE}<div class="synckit"><p><b>{html.escape(safe(run.sentence()))}</b></p>{table}{different}</div>'


def _planned_beside_actual(actual: int, planned: int) -> str:
    """The number, and the planned one beside it where it is another."""
    if actual == planned:
        return f'<td class="n">{number(actual)}</td>'
    colour = "var(--jp-error-color1, #d32f2f)"
    return f'<td class="n"><span style="color: {colour}">{number(actual)}</span> <span class="quiet">planned {number(planned)}</span></td>'
