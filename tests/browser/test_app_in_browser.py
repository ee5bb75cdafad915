"""The notebooks as pages without code: `synckit app` in a browser, with the same keys; offline, and each page ends its kernel."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import pytest
from lab_page import TOKEN, LabPage, browser, lab, why_not

pytest.importorskip("voila", reason="Voilà is not installed: pip install synckit[app]")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]

SCREEN = ".synckit-screen"


def kernels(address: str) -> int:
    with urllib.request.urlopen(f"{address}/api/kernels?token={TOKEN}") as answer:
        return len(json.load(answer))


def test_pages_without_code_open_filter_and_leave_out(tmp_path: Path) -> None:
    with lab(tmp_path, verb="app") as address, browser() as new:
        page = LabPage(new(), address)
        p = page.page
        p.set_default_timeout(90_000)
        p.goto(f"{address}/?token={TOKEN}", wait_until="commit")
        p.wait_for_selector(f'{SCREEN} td:has-text("connected: ")')
        p.click('a:has-text("01 Full synchronisation: preview")')
        p.wait_for_selector(f'{SCREEN} button:has-text("Write ")')
        assert "/voila/render/01-full-sync-preview.ipynb" in p.url
        assert p.locator(".jp-CodeCell .jp-InputArea, .jp-CodeCell .highlight").count() == 0, "no code is shown"
        p.click(f"{SCREEN} .rows .line >> nth=2")
        p.keyboard.press("/")
        p.keyboard.type("gmbh")
        p.wait_for_selector(f'{SCREEN} .counted:has-text(" of ")')
        p.keyboard.press("Enter")
        p.keyboard.press(" ")
        p.wait_for_selector(f'{SCREEN} .said:has-text("1 row left out")')
        for _ in range(60):
            if kernels(address) == 1:
                break
            time.sleep(0.5)
        assert kernels(address) == 1, "the page that was left has ended its kernel"
        assert not page.outside and not page.wrong
        p.context.close()
