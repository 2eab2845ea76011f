"""What is PostgreSQL's own: addresses, errors and their remedies, the one who writes, and what an erasure leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import SAWarning

from engrain.errors import InputError, StoreError
from engrain.records import Feedback, Memory, Scope
from engrain.store import SqlStore
from engrain.store.postgres import Postgres
from engrain.store.schema import metadata

Make = Callable[..., Memory]


@pytest.fixture
def database(new_database: Callable[..., str]) -> str:
    return new_database()


@pytest.fixture
def raw(database: str) -> Iterator[Any]:
    """Another client of the same database."""
    import psycopg

    with psycopg.connect(database, autocommit=True) as server:
        yield server


def refused(address: str, tmp_path: Path) -> str:
    with pytest.raises((InputError, StoreError)) as raised:
        SqlStore(tmp_path, database=address, busy_timeout_s=2.0)
    return str(raised.value)


def test_words_have_the_scores_that_they_have_in_sqlite(tmp_path: Path, database: str, scope: Scope) -> None:
    rng = np.random.default_rng(0)
    said = [
        "gate",
        "gates",
        "gated",
        "code",
        "codes",
        "kettle",
        "running",
        "ran",
        "naïve",
        "Naive",
        "4417",
        "old_mills",
        "mill",
        "the",
        "of",
        "ärger",
    ]
    texts = [" ".join(rng.choice(said, size=rng.integers(1, 12))) for _ in range(60)]
    with closing(SqlStore(tmp_path / "a")) as file, closing(SqlStore(tmp_path / "b", database=database)) as server:
        for store in (file, server):
            store.append_all([Memory(id=f"m{n}", scope=scope, text=t, valid_from=0.0) for n, t in enumerate(texts)])
            store.erase(["m3", "m4"], scope=scope, reason="asked")
        for query in ("gate code", "running gates and gated 4417", "NAIVE kettles", "what of it", "nowhere", "mill"):
            found = [store.search_text(query, scope=scope, limit=100) for store in (file, server)]
            assert [name for name, _ in found[0]] == [name for name, _ in found[1]]
            assert [s for _, s in found[0]] == pytest.approx([s for _, s in found[1]])


def test_a_word_of_any_length_can_be_remembered(tmp_path: Path, database: str, scope: Scope, memory: Make) -> None:
    with closing(SqlStore(tmp_path, database=database)) as store:
        store.append(memory("ä" * 30_000, id="long"))
        assert [name for name, _ in store.search_text("ä" * 30_000, scope=scope)] == ["long"]


def test_the_migrations_make_exactly_the_tables_that_queries_expect(tmp_path: Path, database: str) -> None:
    with (
        closing(Postgres(tmp_path, database)) as made,
        made.read() as connection,
        pytest.warns(SAWarning, match="type 'vector'"),
    ):
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    assert found == []


def test_many_may_open_a_new_database_at_once(tmp_path: Path, new_database: Callable[..., str]) -> None:
    address, together, problems = new_database("template0"), threading.Barrier(6), list[Exception]()

    def open_it() -> None:
        together.wait()
        try:
            SqlStore(tmp_path, database=address).close()
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_database_from_a_newer_engrain_is_refused(tmp_path: Path, database: str, raw: Any) -> None:
    raw.execute("UPDATE alembic_version SET version_num = '0099'")
    assert "newer engrain (schema 0099" in refused(database, tmp_path)


def test_an_address_that_leads_nowhere_is_told_with_the_remedy_and_without_the_password(
    tmp_path: Path, database: str
) -> None:
    there = database.partition("?host=")[2]
    assert "cannot be reached" in refused("postgresql://ada:zqsecret@127.0.0.1:1/x", tmp_path)
    assert "createdb" in refused(f"postgresql://postgres:zqsecret@/nothing?host={there}", tmp_path)
    assert "user and password" in refused(f"postgresql://nobody:zqsecret@/postgres?host={there}", tmp_path)
    assert "mysql databases are not supported" in refused("mysql://ada:zqsecret@127.0.0.1/x", tmp_path)
    assert "cannot be read" in refused("zqsecret", tmp_path)
    for address in ("postgresql://ada:zqsecret@127.0.0.1:1/x", "mysql://ada:zqsecret@127.0.0.1/x", "zqsecret"):
        assert "zqsecret" not in refused(address, tmp_path)


@pytest.mark.parametrize(
    ("state", "remedy"),
    [("53100", "free space there and repeat"), ("40001", "came between; repeat"), ("25006", "name the primary"), ("XX001", "backup")],
)  # fmt: skip
def test_what_the_server_refuses_is_told_with_the_remedy_and_never_with_what_was_said(
    tmp_path: Path, database: str, raw: Any, memory: Make, state: str, remedy: str
) -> None:
    raw.execute(f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}', DETAIL = NEW.json; END $$
    """)
    raw.execute("CREATE TRIGGER t BEFORE INSERT ON content FOR EACH ROW EXECUTE FUNCTION refuse()")
    with closing(SqlStore(tmp_path, database=database)) as store:
        with pytest.raises(StoreError, match=remedy) as raised:
            store.append(memory("zqsecret", id="mem_1"))
        assert "zqsecret" not in str(raised.value) and raised.value.__cause__ is None
        assert raised.value.__suppress_context__
        raw.execute("DROP TRIGGER t ON content")
        store.append(memory("zqsecret", id="mem_1"))
        assert store.verify() == 1


def test_a_writer_that_waits_too_long_says_so(tmp_path: Path, database: str, memory: Make) -> None:
    with (
        closing(SqlStore(tmp_path, database=database)) as one,
        closing(SqlStore(tmp_path, database=database, busy_timeout_s=0.05)) as two,
    ):
        with one._db.write(), pytest.raises(StoreError, match=r"another process .* repeat"):
            two.append(memory())
        two.append(memory())
        assert one.verify() == 1


def test_a_server_that_drops_its_connections_costs_no_request(
    tmp_path: Path, database: str, raw: Any, memory: Make
) -> None:
    with closing(SqlStore(tmp_path, database=database)) as store:
        store.append(memory())
        raw.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        store.append(memory())
        assert store.writable() and store.verify() == 2


def test_acknowledged_is_on_disk_even_where_the_server_would_not_wait(tmp_path: Path, database: str, raw: Any) -> None:
    raw.execute(f"ALTER DATABASE {raw.info.dbname} SET synchronous_commit = off")
    with closing(Postgres(tmp_path, database)) as made, made.read() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"


@pytest.mark.parametrize(("name", "says"), [("mem\0ory", "NUL"), ("ä" * 301, "more than 600 bytes")])
def test_a_name_that_postgresql_does_not_take_fails_alone(
    tmp_path: Path, database: str, memory: Make, name: str, says: str
) -> None:
    with closing(SqlStore(tmp_path, database=database)) as store:
        first, second, third = store.append_each([memory(), memory(id=name), memory()])
        assert first is None and third is None and isinstance(second, InputError) and says in str(second)
        assert store.verify() == 2


def test_names_that_are_no_whole_text_are_read_like_any_other(tmp_path: Path, database: str, scope: Scope) -> None:
    names = ["a\0b", "half \ud83d", r"back\u0041slash", '"quoted"\n']
    with closing(SqlStore(tmp_path, database=database)) as store:
        store.append_all([Feedback(scope=scope, interaction="x", kind="automated", name=n, score=0.5) for n in names])
        assert {f.name for f in store.found(tenant=scope.tenant)} == set(names)


def test_erased_text_is_in_no_file_of_the_tables(
    tmp_path: Path, database: str, raw: Any, memory: Make, scope: Scope
) -> None:
    folder = Path(raw.execute("SELECT current_setting('data_directory')").fetchone()[0])
    files = (
        folder
        / "base"
        / str(raw.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()[0])
    )

    def found(word: str) -> bool:
        raw.execute("CHECKPOINT")
        return any(word.encode() in path.read_bytes() for path in files.iterdir() if path.is_file())

    with closing(SqlStore(tmp_path, database=database)) as store:
        notes = {f"zq{n:02d}kvj": memory(f"The lathe needs zq{n:02d}kvj. " * (40 if n % 3 else 1)) for n in range(30)}
        for note in notes.values():
            store.append(note)
        raw.execute("ANALYZE")
        assert all(map(found, notes)), "the search itself must be able to find"
        gone = list(notes)[::2]
        store.erase([notes[word].id for word in gone], scope=scope, reason="asked")
        raw.execute("ANALYZE")
        assert [word for word in notes if found(word)] == [word for word in notes if word not in gone]


def test_an_erasure_while_another_still_reads_says_so_and_can_be_repeated(
    tmp_path: Path, database: str, raw: Any, memory: Make, scope: Scope
) -> None:
    with closing(SqlStore(tmp_path, database=database, busy_timeout_s=0.2)) as store:
        store.append(memory("zqsecret", id="mem_1"))
        raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        raw.execute("SELECT 1 FROM head")
        with pytest.raises(StoreError, match="erase the same records again"):
            store.erase(["mem_1"], scope=scope, reason="asked")
        raw.execute("COMMIT")
        store.erase(["mem_1"], scope=scope, reason="asked")
        assert store.verify() == 2


def test_without_pgvector_and_in_a_schema_of_its_own_vectors_are_bytes(
    tmp_path: Path, new_database: Callable[..., str], memory: Make, scope: Scope
) -> None:
    import psycopg

    address = new_database("template0")
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS plain")
        admin.execute("CREATE ROLE plain LOGIN")
        admin.execute("CREATE SCHEMA plain AUTHORIZATION plain")  # it may make tables there, and no extension
    with closing(SqlStore(tmp_path, database=address.replace("postgres@", "plain@"))) as store:
        assert not store._db.engine.get_execution_options()["pgvector"]
        store.append(memory(id="mem_1"))
        for vector in ([0.1, -2.5], [0.3, 4.0]):
            store.put_vectors("mini", {"mem_1": vector}, scope=scope)
        np.testing.assert_array_equal(store.vectors("mini", scope=scope)[1], np.array([[0.3, 4.0]], dtype=np.float32))


def test_with_pgvector_they_are_its_vectors(
    tmp_path: Path, database: str, raw: Any, memory: Make, scope: Scope
) -> None:
    with closing(SqlStore(tmp_path, database=database)) as store:
        store.append(memory(id="mem_1"))
        store.put_vectors("mini", {"mem_1": [3.0, 4.0]}, scope=scope)
        assert raw.execute("SELECT vector_norm(vector) FROM vectors").fetchone() == (5.0,)
        with pytest.raises(InputError, match="not finite"):
            store.put_vectors("mini", {"mem_1": [float("nan"), 1.0]}, scope=scope)
