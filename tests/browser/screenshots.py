"""Pictures of every screen in both themes, taken in JupyterLab as `synckit lab` opens it; some of them stand in the README.

python tests/browser/screenshots.py --folder PICTURES          all of them
python tests/browser/screenshots.py --folder data/screenshots --readme
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab_page import LabPage, browser, lab, why_not
from PIL import Image

SCREEN = ".synckit-screen"
ROWS = f"{SCREEN} .rows .line"
HEIGHT = 2200  # pixels: JupyterLab lays out what is in view only
README = ("preview-light", "duplicates-dark", "differences-dark", "errors-light", "report-dark")


def _preview(p: Any) -> str:
    p.click(f'{SCREEN} button.chip:has-text("create")')
    p.click(f'{SCREEN} .titles button:has-text("alike")')
    p.click(f'{SCREEN} .titles button:has-text("alike")')
    p.wait_for_timeout(300)
    p.click(f"{ROWS} >> nth=2")
    p.keyboard.press(" ")
    p.wait_for_timeout(300)
    return f"{SCREEN} >> nth=0"


def _opened(facet: str, row: int) -> Callable[[Any], str]:
    """Only the rows of one value of a facet, and one of them opened."""

    def act(p: Any) -> str:
        p.click(f'{SCREEN} button.chip:has-text("{facet}")')
        p.wait_for_timeout(300)
        p.click(f"{ROWS} >> nth={row}")
        p.keyboard.press("Enter")
        p.wait_for_selector(f"{SCREEN} .detail table")
        return f"{SCREEN} >> nth=0"

    return act


def _apply(p: Any) -> str:
    for box in p.locator(f"{SCREEN} .checks input").all():
        box.check()
    return f"{SCREEN} >> nth=1"


def _applied(p: Any) -> str:
    _apply(p)
    p.click(f'{SCREEN} button:has-text("Write ")')
    p.wait_for_selector(f'{SCREEN}:has-text("One question at the end")')
    return f"{SCREEN} >> nth=1"


def _pair(p: Any) -> str:
    p.click(f"{SCREEN} table")
    for key in "cns":
        p.keyboard.press(key)
        p.wait_for_timeout(400)
    return SCREEN


def _decided(p: Any) -> str:
    p.click(f'{SCREEN} button:has-text("Decided pairs")')
    p.wait_for_timeout(300)
    return SCREEN


def _cause(p: Any) -> str:
    p.wait_for_selector(f"{SCREEN} .detail table")
    return SCREEN


def _story(p: Any) -> str:
    p.click(f'{SCREEN} .detail button:has-text("Its story") >> nth=0')
    p.wait_for_selector(f"{SCREEN} .detail pre")
    return SCREEN


def _mapping(p: Any) -> str:
    p.click(f'{SCREEN} button:has-text("CUSTOMER")')
    p.fill(f'{SCREEN} input[aria-label="filter of the local side"]', "Blocked: ' '; Country/Region Code: DE|AT")
    p.keyboard.press("Enter")
    p.wait_for_selector(f"{SCREEN} pre.diff")
    return SCREEN


def _rule(p: Any) -> str:
    p.click(f'{SCREEN} tr:has-text("address1_city") button:has-text("Change")')
    p.select_option(f'{SCREEN} select[aria-label="only try a rule"]', "UPPERCASE")
    p.wait_for_selector(f'{SCREEN}:has-text("would be changed")')
    return SCREEN


def _as_it_is(selector: str) -> Callable[[Any], str]:
    return lambda p: selector


#: notebook, what to wait for, and one after the other: name of the picture, what is done before it, giving the element that is taken.
SCREENS: list[tuple[str, str, list[tuple[str, Callable[[Any], str]]]]] = [
    ("00-start", f"{SCREEN} table", [("connect", _as_it_is(SCREEN)), ("mapping", _mapping), ("rule", _rule)]),
    ("01-full-sync-preview", f'{SCREEN} button:has-text("Write ")', [("preview", _preview)]),
    ("02-possible-duplicates", f"{SCREEN} kbd", [("duplicates", _pair), ("decided", _decided)]),
    ("03-sync-diff", f"{ROWS}", [("differences", _opened("conflict", 0))]),
    ("01-full-sync-preview", f'{SCREEN} button:has-text("Write ")', [("row", _opened("update", 1)), ("apply", _apply), ("applied", _applied)]),
    ("04-diagnose-errors", ROWS, [("errors", _cause), ("story", _story)]),
    ("05-job-report", f"{SCREEN} img", [("report", _as_it_is(SCREEN))]),
]  # fmt: skip


def small(path: Path) -> None:
    """A picture with a palette is a third as large, and looks the same."""
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


def take(folder: Path, only: tuple[str, ...] = ()) -> list[Path]:
    """Take the pictures (those named in `only`, such as "preview-light", or all); what is decided for them is decided in a demo that is
    thrown away."""
    taken = []
    for theme in ("light", "dark"):
        if only and not any(name.endswith(f"-{theme}") for name in only):
            continue
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place,
            lab(Path(place)) as address,
            browser(height=HEIGHT) as new,
        ):
            asked = [[name for name, _ in pictures if not only or f"{name}-{theme}" in only] for _, _, pictures in SCREENS]
            last = max(
                n for n, names in enumerate(asked) if names
            )  # what came before is done for each: errors stand on what was applied
            for (notebook, content, pictures), wanted in zip(SCREENS[: last + 1], asked, strict=False):
                page = LabPage(new(), address)
                page.page.set_default_timeout(30_000)
                page.open(f"{notebook}.ipynb", dark=theme == "dark")
                page.run_all(content)
                for name, act in pictures:
                    element = page.page.locator(act(page.page)).first
                    element.scroll_into_view_if_needed()
                    page.page.wait_for_timeout(500)
                    if name in wanted:
                        path = folder / f"{name}-{theme}.png"
                        element.screenshot(path=path)
                        small(path)
                        taken.append(path)
                assert not page.outside and not page.wrong, (page.outside, page.wrong)
                page.page.context.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--readme", action="store_true", help="only those that the README shows")
    parser.add_argument("names", nargs="*", help="only these, such as preview-light")
    given = parser.parse_args()
    if why_not():
        parser.exit(1, f"{why_not()}\n")
    given.folder.mkdir(parents=True, exist_ok=True)
    for path in take(given.folder, README if given.readme else tuple(given.names)):
        print(f"{path} ({path.stat().st_size // 1024} KiB)")


if __name__ == "__main__":
    main()
