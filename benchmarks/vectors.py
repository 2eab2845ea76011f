"""Vectors and words at scale: what adding and recalling cost with many memories, of one user and of ten thousand; and the vectors alone beside others'.

Every size becomes a home of its own: texts that are made up (a subject, a property, a number), appended through the real store. Their vectors are the
embedder's of their subject, moved by what lies between those of two real sentences (SQuAD's of ../shared; of the made-up texts where they are not there), for
to embed a hundred thousand texts would take half an hour and measure the embedder. So they differ in the directions in which real ones do. What is asked
goes through `recall` as in a service (one `Shelf`, the real embedder for the query), one call at a time on one thread.

    added       one memory appended, on disk
    next        one memory appended, and the recall after it: filed, embedded, found
    recalled    a question about something that is there; with and without the time of its own embedding
    cold        a user whose memory no process has looked at since the start

and the vectors alone, the ten nearest of the same question, each system exact unless it says how many it finds:

    engrain     as `Shelf` does it: the product with all; from 100,000 vectors on all in a third of their dimensions, the nearest hundredth in all
    exact       the product with all
    sqlite-vec  vec0 in memory, through apsw (the sqlite3 of many a Python loads no extensions)
    LanceDB     a table without an index, in a folder
    Chroma      its HNSW index in memory, as it comes
    usearch     HNSW, as it comes

Processor milliseconds are the figures on a machine that is shared; wall-clock ones are beside them. What is not installed is left out:

    pip install apsw sqlite-vec lancedb chromadb usearch
    OPENBLAS_NUM_THREADS=1 python benchmarks/vectors.py
"""

from __future__ import annotations

import os

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # before numpy is loaded: a second thread waits for a core more than it computes

import gc  # noqa: E402
import random  # noqa: E402
import re  # noqa: E402
import statistics  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator, Sequence  # noqa: E402
from importlib.util import find_spec  # noqa: E402
from itertools import product  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

from common import Bars, Run, options, picture, table  # noqa: E402
from engrain.engines.minilm import MiniLM, bundled  # noqa: E402
from engrain.memory import HashedEmbedder, Shelf, recall  # noqa: E402
from engrain.memory.coarse import FROM, fitted  # noqa: E402
from engrain.memory.recall import _best  # noqa: E402
from engrain.protocols import Embedder  # noqa: E402
from engrain.records import Memory, Scope  # noqa: E402
from engrain.store import SqlStore  # noqa: E402

NEAREST = 10
THINGS = [
    "pump",
    "barn",
    "gate",
    "kettle",
    "lathe",
    "boiler",
    "office",
    "bakery",
    "library",
    "garden",
    "cellar",
    "tower",
    "ferry",
    "bridge",
    "stable",
    "workshop",
    "school",
    "market",
    "chapel",
    "mill",
]
PLACES = [
    a + b
    for a, b in product(
        ["nor", "sou", "eas", "wes", "old", "new", "red", "high", "low", "far"],
        ["field", "ham", "ton", "bury", "stead", "wick", "dale", "ford", "ley", "mouth"],
    )
]
ASPECTS = ["code", "key", "owner", "price", "size", "colour", "height", "opening", "caretaker", "number"]


class Watched:
    """An embedder, and how long it took."""

    def __init__(self, embedder: Embedder) -> None:
        self.name, self.weight, self.least_cosine = embedder.name, embedder.weight, embedder.least_cosine
        self._embedder, self.spent = embedder, (0.0, 0.0)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        begun = _now()
        found = self._embedder.embed(texts)
        self.spent = _less(begun, self.spent)
        return found


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _less(begun: tuple[float, float], before: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float]:
    """(wall, processor) seconds since then, and what was before."""
    wall, cpu = _now()
    return before[0] + wall - begun[0], before[1] + cpu - begun[1]


class Made:
    """Memories that never end each other, and questions about them."""

    def __init__(self, count: int, scopes: int, seed: int) -> None:
        self.count, self.rng = count, random.Random(seed)
        self.scopes = [Scope(user=f"user-{n}") for n in range(scopes)]
        self.within = count
        """Whose memories are asked about and added to: those of the first so many."""
        self.about = [self.rng.choice(THINGS) for _ in range(count)]

    def whose(self, n: int) -> Scope:
        return self.scopes[n % self.within * len(self.scopes) // self.count]

    def memory(self, n: int) -> Memory:
        rng = self.rng
        thing = self.about[n % self.count]
        text = f"The {rng.choice(ASPECTS)} of {thing} {n} in {rng.choice(PLACES)} is {rng.randrange(10_000)}, says {rng.choice(PLACES)} {rng.choice(THINGS)}."
        return Memory(scope=self.whose(n), text=text, valid_from=0.0)

    def question(self) -> tuple[str, Scope]:
        n = self.rng.randrange(self.within)
        return (
            f"What is the {self.rng.choice(ASPECTS)} of the {self.about[n]} {n} in {self.rng.choice(PLACES)}?",
            self.whose(n),
        )


def clusters(embedder: Embedder) -> dict[str, np.ndarray]:
    return dict(zip(THINGS, embedder.embed([f"The {thing} is open." for thing in THINGS]), strict=True))


def pool(embedder: Embedder, run: Run, count: int) -> np.ndarray:
    """The vectors of real sentences, or of made-up texts where there are none; float32 [count, dimension]."""
    file = Path(__file__).resolve().parents[2] / "shared" / "data" / "squad-passages" / "squad_1000.json"
    if file.is_file():
        texts = re.findall(r'[A-Z][^.!?"\\]{25,240}[.!?]', file.read_text(encoding="utf-8"))
    else:
        run.say(f"{file} is not there: made-up texts in its place, which differ in fewer directions")
        made = Made(count, 1, seed=3)
        texts = [made.memory(n).text for n in range(count)]
    random.Random(3).shuffle(texts)
    return np.concatenate([embedder.embed(texts[at : at + 256]) for at in range(0, count, 256)])[:count]


def moved(centre: np.ndarray, count: int, pool: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 [count, dimension] of length 1: the centre and what lies between two real ones, so that their cosine with it is some 0.6."""
    one, other = (pool[rng.integers(len(pool), size=count)] for _ in range(2))
    found = centre + 0.95 * (one - other)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def fill(store: SqlStore, made: Made, embedder: Embedder, real: np.ndarray, run: Run) -> dict[str, float]:
    """Append all of them, with their vectors, and file them."""
    centres, rng, begun = clusters(embedder), np.random.default_rng(0), _now()
    spent = (0.0, 0.0)
    for at in range(0, made.count, 1000):
        memories = [made.memory(n) for n in range(at, min(at + 1000, made.count))]
        started = _now()
        store.append_all(memories)
        spent = _less(started, spent)
        vectors = {m.id: moved(centres[made.about[at + i]], 1, real, rng)[0] for i, m in enumerate(memories)}
        for scope in {m.scope for m in memories}:
            store.put_vectors(embedder.name, {m.id: vectors[m.id] for m in memories if m.scope == scope}, scope=scope)
        if at % 20_000 == 0 and at:
            run.say(f"{at} of {made.count}")
    return {"append_s": spent[0], "append_cpu_s": spent[1], "fill_s": _less(begun)[0]}


def times(spent: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Milliseconds: median and 95th percentile, wall and processor."""
    walls, cpus = (np.array([1000 * s[i] for s in spent]) for i in (0, 1))
    return {
        "p50": float(np.percentile(walls, 50)), "p95": float(np.percentile(walls, 95)),
        "cpu_p50": float(np.percentile(cpus, 50)), "cpu_p95": float(np.percentile(cpus, 95)),
    }  # fmt: skip


def measure(count: int, scopes: int, embedder: Watched, real: np.ndarray, asked: int, run: Run) -> dict[str, Any]:
    """What one size costs."""
    made = Made(count, scopes, seed=1)
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as home:
        store = SqlStore(home)
        found: dict[str, Any] = {"memories": count, "scopes": scopes} | fill(store, made, embedder, real, run)
        store.close()
        found["mb"] = (Path(home) / "engrain.db").stat().st_size / 2**20
        begun = _now()
        store = SqlStore(home)
        store.state(scope=made.scopes[0])
        found["open"] = times([_less(begun)])
        run.say(f"{count} memories, {scopes} scopes: filled in {found['fill_s']:.0f} s")
        shelf, new = Shelf(), count

        def ask() -> tuple[tuple[float, float], tuple[float, float]]:
            query, scope = made.question()
            embedder.spent, begun = (0.0, 0.0), _now()
            recall(query, index=store, embedder=embedder, scope=scope, shelf=shelf)
            whole = _less(begun)
            return whole, (whole[0] - embedder.spent[0], whole[1] - embedder.spent[1])

        def add() -> Memory:
            nonlocal new
            new += 1
            memory = made.memory(new)
            store.append(memory)
            return memory

        begun = _now()
        ask()
        found["first"] = times([_less(begun)])
        run.say(f"the first recall took {found['first']['p50'] / 1000:.1f} s")
        if scopes > 1:
            found["cold"] = times([ask()[0] for _ in range(asked)])
            made.within = max(1, min(50, scopes // 2) * count // scopes)  # of users who were here before
            for scope in dict.fromkeys(map(made.whose, range(made.within))):
                shelf.vectors(store, embedder, scope)
        both = [ask() for _ in range(asked)]
        found["recalled"], found["without embedding"] = times([w for w, _ in both]), times([o for _, o in both])
        found["added"] = times(list(_each(add, asked)))
        ask()

        def add_and_ask() -> None:
            memory = add()
            hits = recall(memory.text, index=store, embedder=embedder, scope=memory.scope, shelf=shelf)
            assert memory.id in {m.id for m, _ in hits}, "what was just said is not found"

        found["next"] = times(list(_each(add_and_ask, max(3, asked // 4))))
        begun = _now()
        erased = next(iter(store.select(Memory, scope=made.scopes[0])))
        store.erase([erased.id], scope=erased.scope, reason="asked")
        found["erased"] = times([_less(begun)])
        store.close()
    return found


def _each(what: Callable[[], object], count: int) -> Iterator[tuple[float, float]]:
    for _ in range(count):
        begun = _now()
        what()
        yield _less(begun)


# -- the vectors alone ----------------------------------------------------------------------------------------------------

Nearest = Callable[[np.ndarray], list[int]]


def engrain_(vectors: np.ndarray, folder: Path) -> Nearest:
    if len(vectors) < FROM:
        return exact(vectors, folder)
    if (index := fitted(vectors, len(vectors))) is None:
        return exact(vectors, folder)
    return lambda query: _best(index.cosines(vectors, query), NEAREST).tolist()


def exact(vectors: np.ndarray, folder: Path) -> Nearest:
    return lambda query: _best(vectors @ query, NEAREST).tolist()


def sqlite_vec(vectors: np.ndarray, folder: Path) -> Nearest:
    import apsw
    import sqlite_vec as extension

    db = apsw.Connection(":memory:")
    db.enable_load_extension(True)
    db.load_extension(extension.loadable_path())
    db.execute(f"CREATE VIRTUAL TABLE v USING vec0(vector float[{vectors.shape[1]}] distance_metric=cosine)")
    with db:
        db.executemany(
            "INSERT INTO v(rowid, vector) VALUES (?, ?)", ((i, row.tobytes()) for i, row in enumerate(vectors))
        )
    asked = f"SELECT rowid FROM v WHERE vector MATCH ? AND k = {NEAREST}"
    return lambda query: [row[0] for row in db.execute(asked, (query.tobytes(),))]


def lancedb_(vectors: np.ndarray, folder: Path) -> Nearest:
    import lancedb
    import pyarrow

    flat = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.reshape(-1)), vectors.shape[1])
    rows = pyarrow.table({"place": pyarrow.array(range(len(vectors))), "vector": flat})
    held = lancedb.connect(str(folder / "lance")).create_table("v", rows)

    def nearest(query: np.ndarray) -> list[int]:
        found = held.search(query).distance_type("cosine").select(["place", "_distance"]).limit(NEAREST).to_arrow()
        return [int(place) for place in found["place"].to_pylist()]

    return nearest


def chroma(vectors: np.ndarray, folder: Path) -> Nearest:
    import chromadb

    held = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False)).create_collection(
        f"v{len(vectors)}", metadata={"hnsw:space": "cosine"}, embedding_function=None
    )
    for at in range(0, len(vectors), 5000):
        some = vectors[at : at + 5000]
        held.add(ids=[str(at + i) for i in range(len(some))], embeddings=some)
    return lambda query: [
        int(i) for i in held.query(query_embeddings=query[None], n_results=NEAREST, include=[])["ids"][0]
    ]


def usearch(vectors: np.ndarray, folder: Path) -> Nearest:
    from usearch.index import Index

    held = Index(ndim=vectors.shape[1], metric="cos", dtype="f32")
    held.add(np.arange(len(vectors)), vectors, threads=1)
    return lambda query: held.search(query, NEAREST, threads=1).keys.tolist()


PEERS: dict[str, tuple[str, Callable[[np.ndarray, Path], Nearest]]] = {
    "engrain": ("numpy", engrain_),
    "exact": ("numpy", exact),
    "sqlite-vec": ("apsw sqlite_vec", sqlite_vec),
    "LanceDB": ("lancedb", lancedb_),
    "Chroma": ("chromadb", chroma),
    "usearch": ("usearch", usearch),
}
BARRED = 100_000
"""Memories at which the bars are set; beyond, it is a curve."""
GRAPHS, MOST_IN_A_GRAPH = ("Chroma", "usearch"), 200_000
"""More would take these an hour to build, on one thread."""


def alone(count: int, embedder: Embedder, real: np.ndarray, asked: int, run: Run) -> dict[str, Any]:
    """The ten nearest of `count` vectors by each system, each question to all of them in turn."""
    rng, centres = np.random.default_rng(2), list(clusters(embedder).values())
    vectors = np.concatenate([moved(c, count // len(centres), real, rng) for c in centres])
    queries = np.concatenate([moved(c, 1 + asked // len(centres), real, rng) for c in centres])
    queries = queries[rng.permutation(len(queries))[:asked]]
    opened: dict[str, Nearest] = {}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder:
        for name, (needs, make) in PEERS.items():
            if missing := [package for package in needs.split() if find_spec(package) is None]:
                run.say(
                    f"skipped {name}: {', '.join(missing)} not installed (pip install line in this file's docstring)"
                )
                continue
            if name in GRAPHS and count > MOST_IN_A_GRAPH:
                run.say(f"{name} is left out at {count}: it would take an hour to build")
                continue
            begun = _now()
            opened[name] = make(vectors, Path(folder))
            opened[name](queries[0])
            wall, cpu = _less(begun)
            found[name] = {"build_s": wall, "build_cpu_s": cpu}
            run.say(f"{count} vectors in {name} after {wall:.1f} s")
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in opened}
        right: dict[str, list[float]] = {name: [] for name in opened}
        for query in queries:
            right_ones = set(_best(vectors @ query, NEAREST).tolist())
            for name, nearest in opened.items():
                begun = _now()
                got = nearest(query)
                spent[name].append(_less(begun))
                right[name].append(len(right_ones & set(got)) / NEAREST)
    for name in opened:
        found[name] |= times(spent[name]) | {"recall": statistics.fmean(right[name])}
    return found


def main() -> None:
    parser = options(__doc__, seeds=1)
    parser.add_argument("--sizes", nargs="*", help="MEMORIES:SCOPES (default: 10000:1 100000:1 100000:10000)")
    parser.add_argument("--vectors", nargs="*", type=int, help="how many vectors alone (default: 10000 100000 1000000)")
    parser.add_argument("--asked", type=int, default=None, help="questions of each kind (default 100)")
    args = parser.parse_args()
    sizes = (
        args.sizes
        if args.sizes is not None
        else ["200:1", "200:40"]
        if args.quick
        else ["10000:1", "100000:1", "100000:10000"]
    )
    alones = args.vectors if args.vectors is not None else [400] if args.quick else [10_000, 100_000, 1_000_000]
    asked = args.asked or (5 if args.quick else 100)
    run, bars = Run("vectors", args), Bars()
    embedder = Watched(MiniLM() if bundled() is not None and not args.quick else HashedEmbedder(dimension=384))
    gc.collect()
    gc.freeze()  # as the service does
    real = pool(embedder, run, 200 if args.quick else 3000)
    beside = {count: alone(count, embedder, real, asked, run) for count in alones}
    stores = [measure(*map(int, size.split(":")), embedder, real, asked, run) for size in sizes]

    def ms(one: dict[str, float]) -> str:
        return f"{one['cpu_p50']:.1f} / {one['cpu_p95']:.1f} ({one['p50']:.0f} / {one['p95']:.0f})"

    columns = ("open", "added", "next", "recalled", "without embedding", "cold", "first", "erased")
    print("milliseconds of processor, p50 / p95 (wall-clock)")
    table(
        ("memories, scopes", "MB", *columns),
        [
            (f"{s['memories']}, {s['scopes']}", f"{s['mb']:.0f}", *(ms(s[c]) if c in s else "" for c in columns))
            for s in stores
        ],
    )
    table(
        ("the ten nearest of", "recall", "ms", "build, s (wall)"),
        [
            (f"{count}: {name}", f"{r['recall']:.3f}", ms(r), f"{r['build_cpu_s']:.1f} ({r['build_s']:.1f})")
            for count, peers in beside.items()
            for name, r in peers.items()
        ],
    )
    for s in stores:
        if s["memories"] == max((x["memories"] for x in stores if x["memories"] <= BARRED), default=0):
            name = f"{s['memories']} memories, {s['scopes']} scopes: recall"
            bars.add(f"{name}, p95, processor ms", s["recalled"]["cpu_p95"], s["recalled"]["cpu_p95"] < 60, "< 60")
            bars.add(f"{name}, p95, wall-clock ms", s["recalled"]["p95"], s["recalled"]["p95"] < 60, "< 60")
            name = f"{s['memories']} memories, {s['scopes']} scopes: added"
            bars.add(f"{name}, p95, processor ms", s["added"]["cpu_p95"], s["added"]["cpu_p95"] < 60, "< 60")
    for count, peers in beside.items():
        if "sqlite-vec" in peers:
            ratio = peers["engrain"]["cpu_p50"] / peers["sqlite-vec"]["cpu_p50"]
            found = peers["engrain"]["recall"]
            bars.add(f"{count} vectors: of sqlite-vec's time", ratio, ratio <= 0.2, "<= 0.2")
            bars.add(f"{count} vectors: of the ten nearest found", found, found >= 0.99, ">= 0.99")
    bars.show()
    path = run.save({"embedder": embedder.name, "stores": stores, "vectors": beside}, bars)
    with picture(path) as axis:
        most = beside[max(beside)] if beside else {}
        axis.barh(list(most), [r["cpu_p50"] for r in most.values()], color=["#c0562b", *["#8a8a8a"] * (len(most) - 1)])
        axis.set_xscale("log")
        axis.invert_yaxis()
        axis.set_xlabel(f"the ten nearest of {max(beside, default=0)}, ms of processor (median)")


if __name__ == "__main__":
    main()
