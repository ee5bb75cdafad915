"""The job report's page as a browser shows and prints it: nothing is clipped, its figure follows light, dark and paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_page import browser, why_not

from synckit.demo import make_demo
from synckit.workspace import open_workspace

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]

TOO_WIDE = """[...document.querySelectorAll('table')].filter(t => t.offsetWidth > t.parentElement.clientWidth + 1)
              .map(t => `${t.closest('section').id}: ${t.offsetWidth} of ${t.parentElement.clientWidth}`)"""
COLOURS = "(e => [getComputedStyle(e).fill, getComputedStyle(document.body).backgroundColor])(document.querySelector('svg text'))"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    with open_workspace(make_demo(folder / "demo")) as ws:
        ws.apply(ws.plan_full(), accept=list(ws.order))
        ws.apply(ws.plan_modified())
        ws.report(since="2000-01-01", values=True).to_html(folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def new_page() -> Iterator[Any]:
    with browser() as new:
        yield new


def luminance(colour: str) -> float:
    parts = [int(c) / 255 for c in colour.strip("rgba()").split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("media", "scheme", "width"), [("screen", "light", 1280), ("screen", "dark", 1280), ("print", "dark", 1032)]
)
def test_nothing_is_clipped_and_the_figure_can_be_read(written: Path, new_page: Any, media: str, scheme: str, width: int) -> None:
    page = new_page()
    page.set_viewport_size({"width": width, "height": 900})  # on paper: A4 across, without its margins
    page.emulate_media(media=media, color_scheme=scheme)
    page.goto(written.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    text, ground = (luminance(c) for c in page.evaluate(COLOURS))
    assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) >= 4.5
    assert (ground < 0.1) == (media == "screen" and scheme == "dark")
    page.context.close()
