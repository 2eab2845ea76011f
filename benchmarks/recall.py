"""Recall: how much of what answers a question is among the first found, on public question sets, without any language model.

Each set becomes a home of its own (real store, words and vectors), and each question goes through `recall` as a chat's does, with the same
settings for all sets. Turns of conversations are episodes with their talk; facts are notes.

    LoCoMo            turns of conversations; share of the evidence among the first k, all categories. The five of ../shared are for tuning;
                      --locomo names another file of that form (--skip N leaves out its first N conversations)
    BFCL v4 memory    what users said in earlier conversations, unit a turn; hit
    Letta, question   a question to its facts; hit (any of them)
    Letta, new fact   a new fact to the one that it contradicts (`rivals`); hit. Tuned on every other item; the rest is what is reported

Bars: the issue's and text-memory.md's section 8. Arms: full text alone, vectors alone, and both as shipped; hashed vectors and, where it is
installed, MiniLM; at last the same with every memory linked by rules with those that it belongs to (A-MEM's links, `loops.notes.connect`). Data: ../shared/data (not in the repository; their licences are beside them).

    python benchmarks/recall.py
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from common import Bars, Run, options, picture, table
from engrain.engines.minilm import MiniLM, bundled
from engrain.loops.notes import connect
from engrain.memory import HashedEmbedder, Shelf, recall, rivals
from engrain.memory.recall import RecallSettings
from engrain.protocols import Embedder
from engrain.records import Memory, MemoryKind, Scope
from engrain.store import SqlStore

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SCOPE = Scope()
LINKED = "both, MiniLM, linked"
"""The last arm: links are there from then on."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one home is told, and asked."""

    notes: list[tuple[str, str]]
    """(text, talk)"""
    questions: list[tuple[str, list[int]]]
    """(question, places of the notes that hold its answer)"""


@dataclass(frozen=True, kw_only=True)
class Set:
    """One question set, and how it is counted."""

    folder: str
    read: Callable[[Path, argparse.Namespace], Iterator[Part]]
    kind: MemoryKind
    first: tuple[int, ...]
    """The k of recall at k."""
    share: bool
    """Whether each question counts by the share of its notes that is found, or by whether any is."""
    split: str
    bar: tuple[float, ...]
    """For MiniLM, in percent."""
    replaced: bool = False
    """Whether what is sought is what a new fact replaces."""


def lines(file: Path) -> list[Any]:
    """The JSON values of a file, one on each line."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def locomo(folder: Path, args: argparse.Namespace) -> Iterator[Part]:
    file = args.locomo or folder / "locomo5.json"
    for talk in json.loads(file.read_text())[args.skip :]:
        sessions = {name: turns for name, turns in talk["conversation"].items() if isinstance(turns, list)}
        turns = [(t, name) for name, some in sessions.items() for t in some]
        place = {t["dia_id"]: i for i, (t, _) in enumerate(turns)}
        notes = [
            (" ".join(filter(None, (f"{t['speaker']}: {t['text']}", t.get("blip_caption")))), name) for t, name in turns
        ]
        wanted = [
            (
                qa["question"],
                sorted({place[e] for x in qa.get("evidence", []) for e in re.split(r"[;, ]+", x) if e in place}),
            )
            for qa in talk["qa"]
        ]
        yield Part(notes=notes, questions=[(q, found) for q, found in wanted if found])


def bfcl(folder: Path, args: argparse.Namespace) -> Iterator[Part]:
    def plain(text: str) -> str:
        return re.sub(r"\W+", " ", text.lower()).strip()

    answers = {x["id"]: x for x in lines(folder / "possible_answer/BFCL_v4_memory.json")}
    asked = lines(folder / "BFCL_v4_memory.json")
    for file in sorted((folder / "memory_prereq_conversation").glob("*.json")):
        notes = [
            (m["content"], x["id"]) for x in lines(file) for turn in x["question"] for m in turn if m["role"] == "user"
        ]
        texts = [plain(text) for text, _ in notes]
        questions: list[tuple[str, list[int]]] = []
        for q in asked:
            if f"memory_{q['scenario']}" != file.stem:
                continue
            source = answers[q["id"]]["source"]
            quotes = [plain(p) for p in re.split(r"\.\.\.", source if isinstance(source, str) else source[0])]
            quote = next((p for p in quotes if len(p) > 8), None)
            found = [i for i, text in enumerate(texts) if quote and quote[:60] in text]
            if found:
                questions.append((q["question"][0][0]["content"], found[:1]))
        yield Part(notes=notes, questions=questions)


def letta(folder: Path, args: argparse.Namespace) -> Iterator[Part]:
    yield _letta(folder, lambda row, extra: row["input"])


def letta_new(folder: Path, args: argparse.Namespace) -> Iterator[Part]:
    part = _letta(folder, lambda row, extra: extra.get("contradicting_fact") or "")
    yield replace(part, questions=part.questions[1::2])


def _letta(folder: Path, question: Callable[[Any, Any], str]) -> Part:
    rows = lines(folder / "core_memory_update.jsonl")
    extra = [r["agent_args"]["extra"] for r in rows]
    notes = list(dict.fromkeys(f for x in extra for f in x["facts"]))
    place = {f: i for i, f in enumerate(notes)}
    wanted = [
        (question(r, x), [place[x["facts"][i]] for i in x.get("supporting_fact_indices", []) if i < len(x["facts"])])
        for r, x in zip(rows, extra, strict=True)
    ]
    return Part(notes=[(n, "") for n in notes], questions=[(q, found) for q, found in wanted if q and found])


SETS = {
    "LoCoMo": Set(
        folder="locomo-dev", read=locomo, kind="episode", first=(5, 10, 25, 50), share=True, split="tuned on",
        bar=(62, 73, 82, 87),
    ),
    "BFCL v4 memory": Set(
        folder="bfcl-v4-memory", read=bfcl, kind="episode", first=(1, 5), share=False, split="looked at", bar=(82, 97)
    ),
    "Letta, question": Set(
        folder="letta-core-memory", read=letta, kind="fact", first=(1, 3, 10), share=False, split="looked at", bar=()
    ),
    "Letta, new fact": Set(
        folder="letta-core-memory", read=letta_new, kind="fact", first=(1, 3), share=False, split="held out", bar=(93, 98),
        replaced=True,
    ),
}  # fmt: skip


class Blind(HashedEmbedder):
    """Vectors that say nothing: full text alone."""

    @property
    def name(self) -> str:
        return "blind"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.zeros((len(texts), self.dimension), dtype=np.float32)


def arms() -> dict[str, tuple[Embedder, RecallSettings]]:
    whole = RecallSettings(least_share=0.0)
    found: dict[str, tuple[Embedder, RecallSettings]] = {
        "full text": (Blind(), whole),
        "hashed vectors": (HashedEmbedder(), replace(whole, dense_weight=1e9)),
        "both, hashed": (HashedEmbedder(), whole),
    }
    if bundled() is not None:
        mini = MiniLM()
        found["MiniLM"] = (mini, replace(whole, dense_weight=1e9))
        found["both, MiniLM"] = (mini, whole)
        found[LINKED] = (mini, whole)
    return found


def link(store: SqlStore, embedder: Embedder) -> None:
    """Link every memory as one that is told is linked, in the order of telling."""
    shelf = Shelf()
    for memory in list(store.select(Memory, scope=SCOPE)):
        connect(store, embedder, memory, shelf=shelf)


def measure(
    one: Set, part: Part, store: SqlStore, embedder: Embedder, settings: RecallSettings
) -> tuple[list[list[float]], list[float]]:
    """(per question: what counts among the first k, for each k; milliseconds of each call); the store holds the part."""
    place = {m.id: i for i, m in enumerate(store.select(Memory, scope=SCOPE))}
    shelf = Shelf()
    shelf.vectors(store, embedder, SCOPE)
    found: list[list[float]] = []
    spent: list[float] = []
    for question, wanted in part.questions:
        begun = time.perf_counter()
        if one.replaced:
            hits = rivals(question, index=store, embedder=embedder, scope=SCOPE, limit=max(one.first), shelf=shelf)
        else:
            hits = recall(
                question, index=store, embedder=embedder, scope=SCOPE, kinds=(one.kind,), limit=max(one.first), settings=settings,
                shelf=shelf,
            )  # fmt: skip
        spent.append(1000 * (time.perf_counter() - begun))
        order = [place[m.id] for m, _ in hits]
        met = [len(set(order[:k]) & set(wanted)) for k in one.first]
        found.append([n / len(wanted) if one.share else float(n > 0) for n in met])
    return found, spent


def main() -> None:
    parser = options(__doc__, seeds=1)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the question sets")
    parser.add_argument("--locomo", type=Path, help="another file of conversations in LoCoMo's form")
    parser.add_argument("--skip", type=int, default=0, help="conversations of it to leave out at its beginning")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS), help="which sets (default: all)")
    args = parser.parse_args()
    run, results, rows, tried, bars = Run("recall", args), {}, [], arms(), Bars()
    for name, one in ((n, SETS[n]) for n in args.sets):
        if not (args.data / one.folder).is_dir() and not (one.folder == "locomo-dev" and args.locomo):
            run.say(f"skipped {name}: {args.data / one.folder} is not there (give its parent with --data)")
            continue
        parts = list(one.read(args.data / one.folder, args))
        if args.quick:
            parts = [replace(part, notes=part.notes, questions=part.questions[:20]) for part in parts[:1]]
        parts = [part for part in parts if part.questions]
        if not parts:
            run.say(f"skipped {name}: it asks nothing")
            continue
        measured: dict[str, list[tuple[list[list[float]], list[float]]]] = {arm: [] for arm in tried}
        for part in parts:
            with tempfile.TemporaryDirectory(prefix="engrain-bench-") as home:
                store = SqlStore(home)
                store.append_all(
                    [Memory(scope=SCOPE, kind=one.kind, text=n, talk=talk, valid_from=0.0) for n, talk in part.notes]
                )
                for arm, (embedder, settings) in tried.items():
                    if arm == LINKED:
                        link(store, embedder)
                    measured[arm].append(measure(one, part, store, embedder, settings))
                store.close()
        results[name] = {
            "notes": sum(len(p.notes) for p in parts),
            "questions": sum(len(p.questions) for p in parts),
            "first": one.first,
            "counts": "share" if one.share else "hit",
            "split": "of another file" if one.folder == "locomo-dev" and args.locomo else one.split,
        }
        for arm in tried:
            found = np.array([x for part, _ in measured[arm] for x in part])
            spent = [x for _, part in measured[arm] for x in part]
            shares = [100 * float(x) for x in found.mean(0)]
            results[name][arm] = {"percent": shares, "median_ms": statistics.median(spent)}
            rows.append((
                f"{name} ({results[name]['split']}, {len(found)}, {results[name]['counts']}): {arm}",
                ", ".join(map(str, one.first)), " / ".join(f"{x:.1f}" for x in shares), f"{statistics.median(spent):.1f}",
            ))  # fmt: skip
        run.say(f"{name}: {results[name]['questions']} questions, {results[name]['notes']} notes")
        for k, wanted, got in zip(
            one.first, one.bar, results[name].get("both, MiniLM", {"percent": ()})["percent"], strict=False
        ):
            bars.add(f"{name}, {results[name]['counts']} at {k}, %", got, got >= wanted, f">= {wanted}")
    table(("set (split, questions, counts): arm", "k", "%", "median ms"), rows)
    bars.show()
    path = run.save(results, bars)
    if results:
        with picture(path) as axis:
            for place, arm in enumerate(tried):
                values = [r[arm]["percent"][0] for r in results.values()]
                axis.bar([i + 0.14 * (place - 2.5) for i in range(len(values))], values, 0.13, label=arm)
            axis.set_xticks(range(len(results)), [f"{n}, first {r['first'][0]}" for n, r in results.items()])
            axis.set_ylabel("what answers is among the first, %")
            axis.legend(frameon=False)


if __name__ == "__main__":
    main()
