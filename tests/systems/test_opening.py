"""Opening a side: what goes wrong is said in one sentence, and no secret is ever shown."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from conftest import CUSTOMER, SCHEMA  # type: ignore[import-not-found]

from synckit.errors import SynckitError
from synckit.mapping.model import SystemConfig
from synckit.systems.opening import open_system


def opened(**config):
    return open_system(SystemConfig(name="Shop", schema="shop", **config), SCHEMA, "integration")


def refusal(**config) -> str:
    with pytest.raises(SynckitError) as caught:
        system = opened(**config)
        with system.snapshot() as snapshot:
            snapshot.count(CUSTOMER)
    assert "\n" not in caught.value.message and "Traceback" not in caught.value.message
    return caught.value.message


def test_a_missing_sqlite_file_is_named_and_never_made(tmp_path):
    assert f"There is no SQLite file {tmp_path}/none.db" in refusal(url=f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(SynckitError), opened(url=f"sqlite:///{tmp_path}/none.db").writer():
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "a.db").write_text("name;balance\n" * 100)
    assert "is not an SQLite database" in refusal(url=f"sqlite:///{tmp_path}/a.db")
    assert "is a folder" in refusal(url=f"sqlite:///{tmp_path}")
    assert "without a file" in refusal(url="sqlite://")
    (tmp_path / "empty.db").touch()
    assert 'has no table "cus"tomer"' in refusal(url=f"sqlite:///{tmp_path}/empty.db")


def test_an_unknown_table_is_answered_with_the_nearest(lite):
    lite.sql("ALTER TABLE CUSTOMER RENAME TO cus_tomer")
    assert 'Did you mean "cus_tomer"?' in refusal(url=lite.url)
    with opened(url=lite.url, tables={"Customer": "cus_tomer"}).snapshot() as snapshot:
        assert snapshot.count(CUSTOMER) == 0


def test_neither_or_both_of_url_and_folder(tmp_path):
    assert "neither" in refusal()
    assert "both" in refusal(url="sqlite:///a.db", folder=str(tmp_path))
    assert "sqlite, postgresql or mariadb" in refusal(url="oracle://a/b")
    assert "cannot be read; write it as" in refusal(url="nonsense")


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_unreachable_and_wrong_password_without_the_password(request, monkeypatch, dialect):
    monkeypatch.setattr("synckit.systems.sql_connect._BACK_OFF_SECONDS", 0)
    monkeypatch.setenv("SHOP_PASSWORD", "pass/w@rd")
    message = refusal(url=f"{dialect}://someone:${{SHOP_PASSWORD}}@127.0.0.1:9/test")
    assert "127.0.0.1:9 cannot be reached" in message and "w@rd" not in message and "%40" not in message
    url = sa.make_url(request.getfixturevalue("postgres_url" if dialect == "postgresql" else "mariadb_url"))
    system = opened(url=f"{dialect}://someone:${{SHOP_PASSWORD}}@{url.host}:{url.port}/{url.database}")
    with pytest.raises(SynckitError) as caught, system.snapshot():
        pass
    assert "someone" in caught.value.message and "w@rd" not in caught.value.message
    for text in (system.address, repr(system), str(system), system.identity(), str(vars(system))):
        assert "w@rd" not in text and "%40" not in text
    assert ":***@" in system.address and "someone" not in system.identity()


def test_a_missing_variable_is_named_when_connecting(monkeypatch):
    monkeypatch.delenv("NO_SUCH_PASSWORD", raising=False)
    system = opened(url="postgresql://someone:${NO_SUCH_PASSWORD}@db.example.org:${NO_SUCH_PORT}/bc?password=hidden")
    assert (
        system.address.startswith("postgresql://someone:***@db.example.org:${NO_SUCH_PORT}/bc") and "hidden" not in system.address
    )
    with pytest.raises(SynckitError, match="environment variable NO_SUCH_PASSWORD, which is not set"), system.snapshot():
        pass
    assert opened(url="${NO_SUCH_URL}").address == "${NO_SUCH_URL}"


def test_a_password_from_the_key_store(monkeypatch):
    store = {("shop", "reader"): "s3cret"}
    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=lambda service, user: store.get((service, user))))
    system = opened(url="postgresql://someone:keyring:shop/reader@127.0.0.1:9/test")
    assert system.url.password == "s3cret" and "s3cret" not in system.address and "keyring" not in system.address
    with pytest.raises(SynckitError, match=r'no password.*service "shop", user "other"'):
        _ = opened(url="postgresql://someone:keyring:shop/other@127.0.0.1:9/test").url
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(SynckitError, match=r'pip install "synckit\[keyring\]"'):
        _ = system.url


@pytest.mark.parametrize(
    ("url", "module", "extra"), [("postgresql://a/b", "psycopg", "postgres"), ("mysql://a/b", "pymysql", "mariadb")]
)
def test_a_missing_driver_says_what_to_install(monkeypatch, url, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    assert f'pip install "synckit[{extra}]"' in refusal(url=url)


def test_identity_and_read_only_tell_the_same_system(lite, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert opened(url="sqlite:///shop.db").identity() == opened(url=lite.url).identity() == f"sqlite:{tmp_path.resolve()}/shop.db"
    monkeypatch.setattr("synckit.systems.sql_connect.os.access", lambda path, mode: False)
    assert "is read-only" in opened(url=lite.url).read_only


def test_physical_columns_and_a_table_that_is_missing(shop):
    columns = shop.system.physical_columns(CUSTOMER)
    assert list(columns)[:3] == ["system_id", "no", "name of it"]
    assert shop.system.physical_columns(CUSTOMER.model_copy(update={"table": "nothing"})) is None


def test_a_table_in_a_schema_of_its_own(postgres_url, rows_of):
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA sales")
        connection.exec_driver_sql('CREATE TABLE sales."cus""tomer" (no text)')
        connection.exec_driver_sql('INSERT INTO sales."cus""tomer" VALUES (\'N1\')')
    engine.dispose()
    system = opened(url=postgres_url, db_schema="sales")
    assert rows_of(system, columns=["No."]) == [{"No.": "N1"}]
    assert system.identity().endswith("#sales")
