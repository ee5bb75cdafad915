"""JupyterLab as `synckit lab` opens it, driven by a headless Chromium: what the browser tests and the benchmark of the screens share."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
TOKEN = "synckit-test"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--enable-precise-memory-info"]  # fmt: skip


def chromium() -> str | None:
    """The Chromium that is installed here, if any."""
    named = os.environ.get("SYNCKIT_CHROMIUM")
    return named or next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


def why_not() -> str:
    """Why no browser test can run here; '' where they can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed: pip install synckit[test]"
    return "" if chromium() else "no Chromium here: install Debian's chromium, or name one in SYNCKIT_CHROMIUM"


@contextmanager
def lab(folder: Path, *arguments: str, verb: str = "lab") -> Iterator[str]:
    """`synckit lab` (or app) started in `folder`; gives its address. Settings and history stay in the folder, too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = folder / "home"
    home.mkdir(exist_ok=True)
    own = {"HOME": home, "JUPYTER_CONFIG_DIR": home / "config", "JUPYTER_DATA_DIR": home / "data", "IPYTHONDIR": home / "ipython",
           "JUPYTER_RUNTIME_DIR": home / "run", "JUPYTERLAB_SETTINGS_DIR": home / "settings", "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces"}  # fmt: skip
    environment = {**os.environ, **{k: str(v) for k, v in own.items()}, "JUPYTER_TOKEN": TOKEN, "PYTHONPATH": str(REPOSITORY)}
    environment.pop("SYNCKIT_WORKSPACE", None)
    command = [sys.executable, "-m", "synckit", verb, "--no-browser", "--port", str(port), *arguments]
    with (folder / "lab.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(f"{address}/api/status?token={TOKEN}", server, folder / "lab.log")
            yield address
        finally:
            # JupyterLab and its kernels are children of the command: the whole group ends, and no other process does
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            raise RuntimeError(f"synckit lab ended: {log.read_text(errors='replace')[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.25)
    raise RuntimeError("synckit lab did not answer within a minute")


class LabPage:
    """A notebook in a browser page. `outside` lists requests that would have left this machine, `wrong` what the console complained of."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.outside: list[str] = []
        self.wrong: list[str] = []
        page.route("**/*", self._route)
        page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def _route(self, route: Any) -> None:
        url = route.request.url
        if url.startswith((self.address, "data:", "blob:")):
            route.continue_()
        else:
            self.outside.append(url)
            route.abort()

    def open(self, notebook: str = "", dark: bool = False) -> None:
        """Open a notebook in single-document mode (none: the one that `synckit lab` opens)."""
        if dark:
            import json

            body = json.dumps({"raw": '{"theme": "JupyterLab Dark"}'})
            put = self.page.request.put(f"{self.address}/lab/api/settings/@jupyterlab/apputils-extension:themes?token={TOKEN}", data=body,
                                        headers={"Content-Type": "application/json"})  # fmt: skip
            assert put.ok, put.text()
        where = f"/doc/tree/{notebook}" if notebook else "/"
        self.page.goto(f"{self.address}{where}?token={TOKEN}")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)

    def run_all(self, content: str, seconds: float = 180) -> None:
        """Run all cells and wait until `content` (a selector) is there. Lab drops the command at times, or asks for a kernel, while
        the session is bound late: the command is given again."""
        self.page.wait_for_selector('.jp-KernelName:has-text("Python 3")', timeout=60_000)
        self.page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
        end = time.monotonic() + seconds
        while True:
            self._dismiss()
            self.page.click('.lm-MenuBar-itemLabel:text-is("Run")', timeout=10_000)
            self.page.click('.lm-Menu-itemLabel:text-is("Run All Cells")', timeout=10_000)
            again = time.monotonic() + 6
            while time.monotonic() < end:
                if self.page.query_selector(content) is not None:
                    return
                started = (
                    self.page.query_selector(".jp-OutputArea-child, .jp-Notebook-ExecutionIndicator[data-status=busy]") is not None
                )
                if not started and (time.monotonic() > again or self._dismiss()):
                    break
                self.page.wait_for_timeout(100)
            else:
                self.page.wait_for_selector(content, timeout=1000)
                return

    def _dismiss(self) -> bool:
        """Take what a dialogue offers (the kernel that the notebook names); True where there was one."""
        offered = self.page.query_selector(".jp-Dialog .jp-mod-accept")
        if offered is not None:
            offered.click()
            self.page.wait_for_selector(".jp-Dialog", state="detached", timeout=10_000)
        return offered is not None

    def cells(self) -> list[str]:
        """The texts of the notebook's cells: what keys that leak would change."""
        return self.page.evaluate(
            "() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')].map(c => c.className.match(/jp-(Code|Markdown|Raw)Cell/)?.[0] ?? '')"
        )


@contextmanager
def browser(width: int = 1360, height: int = 900) -> Iterator[Any]:
    """A headless Chromium; gives a function that opens a fresh page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        engine = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            yield lambda: engine.new_context(viewport={"width": width, "height": height}).new_page()
        finally:
            engine.close()
