"""Recall: the share of the notes that hold the answer among the first 1, 5 and 10 found, on public question sets.

Each set becomes a home of its own (real store, FTS5 index and vectors), and each question goes through `recall` as a chat's does.
Arms: full text alone, hashed vectors alone, and both fused as shipped; and full text fused with MiniLM, where that is installed. The fusing weights and the
hashed embedder's settings were chosen on LoCoMo only; the other two sets had no part in it. Data: ../shared/data (not in the repository; their licences are beside them).

    python benchmarks/recall.py
"""

from __future__ import annotations

import json
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import Run, options, picture, table
from engrain.engines.minilm import MiniLM, bundled
from engrain.memory import HashedEmbedder, recall
from engrain.memory.recall import RecallSettings
from engrain.protocols import Embedder
from engrain.records import Memory, Scope
from engrain.store import SqlStore

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SCOPE = Scope()
FIRST = (1, 5, 10)
Questions = list[tuple[str, list[int]]]
"""(question, indices of the notes that hold its answer)"""


def lines(file: Path) -> list[Any]:
    """The JSON values of a file, one on each line."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def locomo(folder: Path) -> Iterator[tuple[list[str], Questions]]:
    for talk in json.loads((folder / "locomo5.json").read_text()):
        turns = [t for part in talk["conversation"].values() if isinstance(part, list) for t in part]
        place = {t["dia_id"]: i for i, t in enumerate(turns)}
        notes = [" ".join(filter(None, (f"{t['speaker']}: {t['text']}", t.get("blip_caption")))) for t in turns]
        wanted = [
            (
                qa["question"],
                sorted({place[e] for x in qa.get("evidence", []) for e in re.split(r"[;, ]+", x) if e in place}),
            )
            for qa in talk["qa"]
        ]
        yield notes, [(q, found) for q, found in wanted if found]


def bfcl(folder: Path) -> Iterator[tuple[list[str], Questions]]:
    def plain(text: str) -> str:
        return re.sub(r"\W+", " ", text.lower()).strip()

    answers = {x["id"]: x for x in lines(folder / "possible_answer/BFCL_v4_memory.json")}
    asked = lines(folder / "BFCL_v4_memory.json")
    for file in sorted((folder / "memory_prereq_conversation").glob("*.json")):
        notes = [m["content"] for x in lines(file) for turn in x["question"] for m in turn if m["role"] == "user"]
        texts = [plain(n) for n in notes]
        questions: Questions = []
        for q in asked:
            if f"memory_{q['scenario']}" != file.stem:
                continue
            source = answers[q["id"]]["source"]
            quotes = [plain(p) for p in re.split(r"\.\.\.", source if isinstance(source, str) else source[0])]
            quote = next((p for p in quotes if len(p) > 8), None)
            found = [i for i, text in enumerate(texts) if quote and quote[:60] in text]
            if found:
                questions.append((q["question"][0][0]["content"], found[:1]))
        yield notes, questions


def letta(folder: Path) -> Iterator[tuple[list[str], Questions]]:
    rows = lines(folder / "core_memory_update.jsonl")
    extra = [r["agent_args"]["extra"] for r in rows]
    notes = list(dict.fromkeys(f for x in extra for f in x["facts"]))
    place = {f: i for i, f in enumerate(notes)}
    wanted = [
        (r["input"], [place[x["facts"][i]] for i in x.get("supporting_fact_indices", []) if i < len(x["facts"])])
        for r, x in zip(rows, extra, strict=True)
    ]
    yield notes, [(q, found) for q, found in wanted if found]


SETS = {
    "LoCoMo (tuned on)": ("locomo-dev", locomo),
    "BFCL v4 memory": ("bfcl-v4-memory", bfcl),
    "Letta core memory": ("letta-core-memory", letta),
}


class Blind(HashedEmbedder):
    """Vectors that say nothing: full text alone."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.zeros((len(texts), self.dimension), dtype=np.float32)


def arms() -> dict[str, tuple[Embedder, RecallSettings]]:
    found: dict[str, tuple[Embedder, RecallSettings]] = {
        "full text": (Blind(), RecallSettings()),
        "vectors": (HashedEmbedder(), RecallSettings(dense_weight=1e9)),
        "fused": (HashedEmbedder(), RecallSettings()),
    }
    if bundled() is not None:
        found["fused with MiniLM"] = (MiniLM(), RecallSettings())
    return found


def measure(
    notes: Sequence[str], questions: Questions, embedder: Embedder, settings: RecallSettings
) -> tuple[list[list[float]], list[float]]:
    """(per question: share of its notes among the first 1, 5, 10; milliseconds of each call)"""
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as home:
        store = SqlStore(home)
        memories = [Memory(scope=SCOPE, text=n, valid_from=0.0) for n in notes]
        store.append_all(memories)
        place = {m.id: i for i, m in enumerate(memories)}
        found: list[list[float]] = []
        spent: list[float] = []
        for question, wanted in questions:
            begun = time.perf_counter()
            hits = recall(
                question, index=store, embedder=embedder, scope=SCOPE, memories=memories, limit=max(FIRST), settings=settings
            )  # fmt: skip
            spent.append(1000 * (time.perf_counter() - begun))
            order = [place[m.id] for m, _ in hits]
            found.append([len(set(order[:k]) & set(wanted)) / len(wanted) for k in FIRST])
        store.close()
    return found, spent


def main() -> None:
    parser = options(__doc__, seeds=1)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the question sets")
    args = parser.parse_args()
    run, results, rows, tried = Run("recall", args), {}, [], arms()
    for name, (folder, read) in SETS.items():
        if not (args.data / folder).is_dir():
            run.say(f"skipped {name}: {args.data / folder} is not there (give its parent with --data)")
            continue
        parts = list(read(args.data / folder))
        if args.quick:
            parts = [(notes, questions[:20]) for notes, questions in parts[:1]]
        results[name] = {"notes": sum(len(n) for n, _ in parts), "questions": sum(len(q) for _, q in parts)}
        for arm, (embedder, settings) in tried.items():
            measured = [measure(notes, questions, embedder, settings) for notes, questions in parts]
            found = np.array([x for part, _ in measured for x in part])
            spent = [x for _, part in measured for x in part]
            shares = [float(x) for x in found.mean(0)]
            results[name][arm] = {
                "recall": dict(zip(map(str, FIRST), shares, strict=True)),
                "median_ms": statistics.median(spent),
            }
            run.say(f"{name}, {arm}: {len(found)} questions")
            rows.append(
                (f"{name}, {len(found)}: {arm}", *(f"{100 * x:.1f}" for x in shares), f"{statistics.median(spent):.1f}")
            )
    table(("set, questions: arm", *(f"R@{k}" for k in FIRST), "median ms"), rows)
    path = run.save(results)
    if results:
        with picture(path) as axis:
            for place, arm in enumerate(tried):
                values = [100 * results[n][arm]["recall"]["5"] for n in results]
                axis.bar([i + 0.2 * (place - 1.5) for i in range(len(values))], values, 0.18, label=arm)
            axis.set_xticks(range(len(results)), list(results))
            axis.set_ylabel("answer's notes among the first 5, %")
            axis.legend(frameon=False)


if __name__ == "__main__":
    main()
