"""Fixtures that several rooms use: a fresh, empty PostgreSQL and MariaDB database, dropped afterwards."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import settings

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
