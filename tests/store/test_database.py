"""Opening, upgrading, and what a sick disk or file gets: a StoreError with the remedy, and nothing half-written."""

from __future__ import annotations

import random
import sqlite3
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, text

from engrain.errors import InputError, StoreError
from engrain.memory.filing import file
from engrain.records import Memory, Scope
from engrain.store import SqlStore, migrations
from engrain.store.database import Database
from engrain.store.schema import metadata
from engrain.store.sql import PROBE_S

Make = Callable[..., Memory]
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_the_file_is_opened_for_durability_and_is_private(tmp_path: Path) -> None:
    database = Database(tmp_path / "new" / "home", busy_timeout_s=7.0)
    with database.read() as connection:
        found = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        }
    database.close()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 7000,
    }
    assert stat.S_IMODE(database.path.stat().st_mode) == 0o600


@on_sqlite
def test_a_second_store_of_a_home_takes_no_locks_from_the_first(
    store: SqlStore, tmp_path: Path, python: Callable[..., subprocess.Popen[str]], memory: Make
) -> None:
    come_and_go = "import sys; from engrain.store import SqlStore; SqlStore(sys.argv[1]).close()"
    count = "import sys; from engrain.store import SqlStore; print(SqlStore(sys.argv[1]).verify())"
    store.append(memory())
    second = SqlStore(tmp_path)
    python(come_and_go, tmp_path).communicate()
    store.append(memory())
    second.append(memory())
    assert python(count, tmp_path).communicate()[0] == "3\n"
    second.close()


@pytest.mark.parametrize("name", ["home a?b", "a%20b#c", "file:x"])
def test_a_home_may_have_any_name(tmp_path: Path, memory: Make, name: str) -> None:
    with closing(SqlStore(tmp_path / name)) as store:
        store.append(memory())
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "engrain.db").stat().st_size > 0


def test_as_many_may_look_at_once_as_there_are_threads(tmp_path: Path) -> None:
    with closing(Database(tmp_path)) as database, ExitStack() as looking:
        for _ in range(50):
            looking.enter_context(database.read())


def test_many_may_open_a_new_home_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(8)
    problems: list[Exception] = []

    def open_it() -> None:
        together.wait()
        try:
            Database(tmp_path).close()
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_the_migrations_make_exactly_the_tables_that_queries_expect(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_the_newest_migration_is_the_schema_that_engrain_knows() -> None:
    directory = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert directory.get_current_head() == migrations.SCHEMA


def test_words_that_an_older_engrain_indexed_are_found_as_before(
    tmp_path: Path, memory: Make, scope: Scope, other: Scope
) -> None:
    store = SqlStore(tmp_path)
    store.append_all(
        [memory("the gate code is 4417", id="mem_1"), memory("!", id="mem_2"), memory("a loud kettle", id="mem_3")]
    )
    store.append_all([memory("green gates", scope=other), memory("gone", id="mem_4")])
    store.erase(["mem_4"], scope=scope, reason="asked")
    wanted = [store.search_text(query, scope=whose) for query in ("gate", "loud code") for whose in (scope, other)]
    store.close()
    with closing(sqlite3.connect(tmp_path / "engrain.db")) as raw, raw:  # as it was before
        for table in ("words", "lexicons"):
            raw.execute(f"DROP TABLE {table}")
        raw.execute("CREATE VIRTUAL TABLE words_0123456789abcdef0123 USING fts5(text, tokenize='porter unicode61')")
        raw.execute("UPDATE alembic_version SET version_num = '0005'")
    store = SqlStore(tmp_path)
    assert wanted == [
        store.search_text(query, scope=whose) for query in ("gate", "loud code") for whose in (scope, other)
    ]
    store.append(memory("one more gate", scope=Scope(user="new")))
    assert len(store.search_text("gate", scope=Scope(user="new"))) == 1
    store.close()
    with closing(sqlite3.connect(tmp_path / "engrain.db")) as raw:
        assert raw.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%fts5%'").fetchall() == []


def test_what_an_older_engrain_had_filed_is_filed_anew(tmp_path: Path, memory: Make, scope: Scope) -> None:
    store = SqlStore(tmp_path)
    store.append_all([memory("Use >= 3 workers.", id="mem_1"), memory("Use <= 3 workers.", id="mem_2")])
    assert file(store, scope) == 2
    store.close()
    with closing(sqlite3.connect(tmp_path / "engrain.db")) as raw, raw:  # as it was before
        raw.execute("UPDATE standings SET state = 'merged' WHERE seq = (SELECT max(seq) FROM standings)")
        raw.execute("UPDATE alembic_version SET version_num = '0006'")
    store = SqlStore(tmp_path)
    assert file(store, scope) == 2 and store.filed(scope=scope) == ["mem_1", "mem_2"]
    store.close()


def test_an_upgrade_that_fails_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(connection: object) -> None:
        migrations.upgrade(connection)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("engrain.store.database.upgrade", half)
        Database(tmp_path)
    with closing(sqlite3.connect(tmp_path / "engrain.db")) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    Database(tmp_path).close()


def test_a_database_from_a_newer_engrain_is_refused_and_left_alone(tmp_path: Path) -> None:
    Database(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "engrain.db")) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '0099'")
    with pytest.raises(StoreError, match=r"newer engrain .*0099.*update engrain"):
        Database(tmp_path)
    with closing(sqlite3.connect(tmp_path / "engrain.db")) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("0099",)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "engrain.db").write_bytes(b"these are my holiday notes\n" * 100)
    with pytest.raises(StoreError, match="not an engrain database or is damaged"):
        SqlStore(tmp_path)
    assert (tmp_path / "engrain.db").read_bytes().startswith(b"these are my holiday notes")


def test_a_damaged_file_is_reported_with_the_remedy(tmp_path: Path, memory: Make, scope: Scope) -> None:
    store = SqlStore(tmp_path)
    store.append_all([memory("x" * 3000) for _ in range(100)])
    store.close()
    whole = (tmp_path / "engrain.db").read_bytes()
    (tmp_path / "engrain.db").write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(StoreError, match=r"restore .*backup"):
        list(SqlStore(tmp_path).select(Memory, scope=scope))


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(InputError, match="cannot be a home folder"):
        SqlStore(tmp_path / "home")


def test_a_full_database_acknowledges_nothing_and_recovers(tmp_path: Path, memory: Make, scope: Scope) -> None:
    store = SqlStore(tmp_path)
    first = memory("kept")
    store.append(first)
    pages = 0

    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    engine = store._db.engine  # SQLite's own limit gives the very error that a full disk gives
    pages = 1  # SQLite raises it to the present size
    event.listen(engine, "checkout", limit)
    written = []
    with pytest.raises(StoreError, match="free space there and repeat"):
        for n in range(100):
            one = memory(f"{n} " + "y" * 5000)
            store.append(one)
            written.append(one)
    assert not store.writable()
    assert store.verify() == 1 + len(written)
    assert list(store.select(Memory, scope=scope)) == [first, *written]
    assert store.verify() == 1 + len(written)
    pages = 100_000
    time.sleep(PROBE_S)
    assert store.writable()
    store.append(memory("after the clean-up"))
    assert store.verify() == 2 + len(written)
    store.close()


def test_a_disk_that_refuses_to_write_loses_nothing_acknowledged(
    tmp_path: Path, python: Callable[..., subprocess.Popen[str]], scope: Scope
) -> None:
    program = """
import resource, sys
from engrain.errors import StoreError
from engrain.records import Memory, Scope
from engrain.store import SqlStore
store = SqlStore(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
scope = Scope(tenant="acme", user="ada")
try:
    while True:
        memory = Memory(scope=scope, text="y" * 5000, valid_from=0.0)
        store.append(memory)
        print(memory.id, flush=True)
except StoreError as error:
    print(error, file=sys.stderr)
"""
    process = python(program, tmp_path)
    acknowledged, message = process.communicate(timeout=60)
    assert process.returncode == 0, message
    assert "free space" in message
    assert "yyyy" not in message
    store = SqlStore(tmp_path)
    assert [m.id for m in store.select(Memory, scope=scope)] == acknowledged.split()
    assert store.verify() == len(acknowledged.split()) > 10
    store.close()


def test_a_writer_that_waits_too_long_says_so(tmp_path: Path, memory: Make) -> None:
    store = SqlStore(tmp_path, busy_timeout_s=0.05)
    with closing(sqlite3.connect(tmp_path / "engrain.db", isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"another process .* repeat"):
            store.append(memory())
        raw.execute("ROLLBACK")
    store.append(memory())
    assert store.verify() == 1
    store.close()


def test_an_erasure_that_cannot_clear_the_log_says_so_and_can_be_repeated(
    tmp_path: Path, memory: Make, scope: Scope
) -> None:
    store = SqlStore(tmp_path, busy_timeout_s=0.05)
    store.append(memory("zqsecret", id="mem_1"))
    with closing(sqlite3.connect(tmp_path / "engrain.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM content").fetchone()
        with pytest.raises(StoreError, match="erase the same records again"):
            store.erase(["mem_1"], scope=scope, reason="asked")
    store.erase(["mem_1"], scope=scope, reason="asked")
    assert not any(b"zqsecret" in path.read_bytes() for path in tmp_path.iterdir())
    store.close()


def test_scrubbing_clears_even_the_copies_that_moving_rows_left_behind(tmp_path: Path) -> None:
    database, rng = Database(tmp_path), random.Random(209)  # a seed for which deleting alone leaves a copy
    with database.write() as connection:
        connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY, words TEXT)"))
        for n in range(60):
            words = "x" * rng.choice([20, 200, 1500, 6000]) + f"zq{n:03d}kvj"
            connection.execute(text("INSERT INTO notes VALUES (:n, :words)"), {"n": n, "words": words})
    gone = rng.sample(range(60), 50)
    for n in gone:
        with database.write() as connection:
            connection.execute(text("DELETE FROM notes WHERE n = :n"), {"n": n})
    database.scrub()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert {n for n in range(60) if f"zq{n:03d}kvj".encode() in files} == set(range(60)) - set(gone)
    database.close()


def test_errors_never_carry_what_was_said(tmp_path: Path, memory: Make) -> None:
    store = SqlStore(tmp_path, busy_timeout_s=0.05)
    with store._db.write() as connection:
        connection.execute(text("CREATE TRIGGER t BEFORE INSERT ON content BEGIN SELECT RAISE(ABORT, 'broken'); END"))
    with pytest.raises(StoreError) as raised:
        store.append(memory("zqsecret", id="mem_1"))
    chained: BaseException | None = raised.value
    while chained is not None:
        assert "zqsecret" not in str(chained)
        chained = chained.__cause__
    store.close()
