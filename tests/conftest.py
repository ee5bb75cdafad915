"""Fixtures that several rooms use (a fresh, empty PostgreSQL and MariaDB database, dropped afterwards), and at the end of a run the table of
scenarios: shown by which test, with what result."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings

# Files of the tests need not outlive the machine: where there is room in memory they lie there, because a disk makes every commit
# wait. TMPDIR chooses another place.
_MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4_000_000_000:
    os.environ["TMPDIR"] = str(_MEMORY)
    tempfile.tempdir = None  # asked for again, with the variable in place

# The same examples in every run: what is red is red for everyone. HYPOTHESIS_RANDOM=1 looks for new ones.
settings.register_profile("steady", derandomize=not os.environ.get("HYPOTHESIS_RANDOM"), deadline=None)
settings.load_profile("steady")

POSTGRES = os.environ.get("SYNCKIT_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
MARIADB = os.environ.get("SYNCKIT_TEST_MARIADB", "mariadb+pymysql://root@127.0.0.1:3306/test")


def _fresh(server: str, variable: str) -> Iterator[str]:
    url = sa.make_url(server)
    name = f"synckit_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
            if url.get_backend_name() == "postgresql":  # what it has committed need not outlive the machine either
                connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    except (sa.exc.OperationalError, sa.exc.InterfaceError):
        pytest.skip(f"no server at {url.render_as_string()}; set {variable} to the URL of one")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(
                f"DROP DATABASE {name}" + (" WITH (FORCE)" if url.get_backend_name() == "postgresql" else "")
            )
        engine.dispose()


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """URL of an empty PostgreSQL database of its own."""
    yield from _fresh(POSTGRES, "SYNCKIT_TEST_POSTGRES")


@pytest.fixture
def mariadb_url() -> Iterator[str]:
    """URL of an empty MariaDB database of its own."""
    yield from _fresh(MARIADB, "SYNCKIT_TEST_MARIADB")


@pytest.fixture(scope="module")
def server_pair() -> Iterator[dict[str, str]]:
    """URLs of an empty MariaDB database (local) and an empty PostgreSQL one (integration), for the tests of a whole file."""
    fresh = contextmanager(_fresh)
    with fresh(MARIADB, "SYNCKIT_TEST_MARIADB") as maria, fresh(POSTGRES, "SYNCKIT_TEST_POSTGRES") as postgres:
        yield {"local": maria, "integration": postgres}


@pytest.fixture
def fresh_pair(mariadb_url: str, postgres_url: str) -> dict[str, str]:
    """The same for one test."""
    return {"local": mariadb_url, "integration": postgres_url}


README = Path(__file__).parent / "acceptance" / "README.md"
LINE = re.compile(r"\|\s*(S-\d{3})\s*\|\s*(later|not applicable|elsewhere)\s*\|\s*(.*?)\s*\|")
_shown: dict[str, dict[str, str]] = {}  # scenario -> test -> result


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario(number, semantics='synckit'): the scenario of the reference that a test shows")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    for mark in item.iter_markers("scenario"):
        if report.when == "call" or report.outcome != "passed":
            result = {"passed": "pass", "failed": "FAILED", "skipped": "not run"}[report.outcome]
            if result == "pass" and mark.kwargs.get("semantics") == "reference":
                result = "pass under semantics: reference"
            report.user_properties += [("scenario", f"{number}|{result}") for number in mark.args]  # travels between processes


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, value in report.user_properties:
        if name == "scenario":
            number, _, result = str(value).partition("|")
            _shown.setdefault(number, {})[report.nodeid.rpartition("::")[2]] = result


def listed() -> dict[str, tuple[str, str]]:
    """scenario -> (later | not applicable | elsewhere, reason), as the README beside this file lists them."""
    return {number: (state, reason) for number, state, reason in LINE.findall(README.read_text(encoding="utf-8"))}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _shown:
        return
    lines = {number: [(test, result) for test, result in tests.items()] for number, tests in _shown.items()}
    for number, (state, reason) in listed().items():
        lines.setdefault(number, []).append((reason, state))
    terminalreporter.section("scenarios")
    for number in sorted(lines):
        for text, result in lines[number]:
            terminalreporter.write_line(f"{number}  {result:<32} {text}")
