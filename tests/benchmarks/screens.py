"""How fast the preview is at 100,000 planned rows, in JupyterLab as `synckit lab` opens it, in a headless Chromium.

    python tests/benchmarks/screens.py --folder CACHE --rows 100000

Bounds: grid shown 2.5 s after its cell runs (the plan is made before), filter 0.6 s, scroll jump 0.15 s, browser heap 100 MB.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))

import nbformat
from generate import Size, make
from lab_page import LabPage, browser, lab, why_not

BOUNDS = {"grid shown (s)": 2.5, "filter (s)": 0.6, "scroll jump (s)": 0.15, "heap (MB)": 100.0}
SHOWN = "() => document.querySelector('.synckit-screen .counted')?.textContent ?? ''"


def measure(workspace: Path, repeat: int) -> dict[str, float]:
    """Medians of `repeat` measurements in one page."""
    folder = workspace.parent
    cells = ["import synckit\nfrom synckit.widgets import PlanGrid\nplan = synckit.load_plan('big.plan')\nprint('planned', plan.rows.num_rows)",
             "grid = PlanGrid(plan)\ngrid"]  # fmt: skip
    with lab(folder, "--workspace", str(workspace)) as address, browser() as new:
        notebooks = folder / "synckit-notebooks"
        (notebooks / "big.plan").write_bytes((folder / "big.plan").read_bytes())
        kernel = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}
        book = nbformat.v4.new_notebook(metadata=kernel, cells=[nbformat.v4.new_code_cell(c) for c in cells])
        nbformat.write(book, notebooks / "screens.ipynb")
        page = LabPage(new(), address)
        p = page.page
        page.open("screens.ipynb")
        page.run_all(".synckit-screen .rows .line", 180)
        shown = []
        for _ in range(repeat):  # the cell alone, from the press of the key on
            p.click(".jp-Notebook .jp-Cell >> nth=1 >> .jp-InputArea-editor")
            p.evaluate("document.querySelectorAll('.synckit-screen').forEach((one) => one.remove())")
            begun = time.perf_counter()
            p.keyboard.press("Control+Enter")
            p.wait_for_selector(".synckit-screen .rows .line .cell", timeout=60_000)
            shown.append(time.perf_counter() - begun)
        filters, jumps = [], []
        for word in ("gmbh", "99", "hafen", "12", "sarl")[:repeat]:
            before = p.evaluate(SHOWN)
            p.fill(".synckit-screen .search", "")
            p.wait_for_timeout(700)
            before = p.evaluate(SHOWN)
            begun = time.perf_counter()
            p.fill(".synckit-screen .search", word)
            p.wait_for_function(f"b => ({SHOWN})() !== b", arg=before, polling=10)
            filters.append(time.perf_counter() - begun)
        p.fill(".synckit-screen .search", "")
        p.wait_for_timeout(1000)
        for share in (0.5, 0.9, 0.2, 0.7, 0.4)[:repeat]:
            first = p.evaluate("() => document.querySelector('.synckit-screen .rows .line').dataset.line")
            begun = time.perf_counter()
            p.evaluate(
                f"() => {{ const r = document.querySelector('.synckit-screen .rows'); r.scrollTop = {share} * r.scrollHeight; }}"
            )
            p.wait_for_function(
                "f => document.querySelector('.synckit-screen .rows .line').dataset.line !== f", arg=first, polling=5
            )
            jumps.append(time.perf_counter() - begun)
        heap = p.evaluate("() => performance.memory.usedJSHeapSize") / 1e6
        assert not page.outside and not page.wrong, (page.outside, page.wrong)
    return {"grid shown (s)": statistics.median(shown), "filter (s)": statistics.median(filters),
            "scroll jump (s)": statistics.median(jumps), "heap (MB)": heap}  # fmt: skip


def main() -> None:
    """Make the data and the plan where they are not there yet, measure, and print figures beside bounds; exit code 1 where one is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    if why_not():
        parser.exit(1, f"{why_not()}\n")
    from synckit.workspace import open_workspace

    workspace = given.folder / "workspace.yaml"
    if not workspace.exists():
        make(given.folder, Size(given.rows, 1.0))
    if not (given.folder / "big.plan").exists():
        with open_workspace(workspace) as ws:
            ws.plan_full().save(str(given.folder / "big.plan"))
    found = measure(workspace.resolve(), given.repeat)
    for name, value in found.items():
        print(f"{name:18} {value:8.2f}   bound {BOUNDS[name]}")
    sys.exit(any(found[name] > bound for name, bound in BOUNDS.items()))


if __name__ == "__main__":
    main()
