"""Is the right skill found? 100 tasks of Letta's skills suite against the 17 skills of anthropics/skills, without a language model.

The skills are taken from their folders (`loops.skills.take`), each task is asked as it is given to an agent, without the frame that is the same for all, and the first
1, 3 and 5 skills that fit are compared with the suite's own choice. Two arms: what is found by the words alone, and by words and MiniLM.

    python benchmarks/skills.py --catalogue FOLDER     (a checkout's folder `skills` of github.com/anthropics/skills; some of them may not be copied, so none is here)

Unit: a task; counted: whether the right skill is among the first k; split: all 100, which were looked at while recall was tuned.

Bars: recall@1 >= 75 %, @3 >= 92 %. Data: ../shared/data/letta-skills-suite (Apache-2.0).
"""

from __future__ import annotations

import csv
import re
import tempfile
from pathlib import Path

from common import Bars, Run, options, picture, table
from engrain.engines.minilm import MiniLM, bundled
from engrain.loops.skills import take
from engrain.memory import HashedEmbedder, RecallSettings, Shelf, recall
from engrain.memory.skills import FILE
from engrain.protocols import Embedder
from engrain.records import Scope
from engrain.store import SqlStore

SUITE = Path(__file__).resolve().parents[2] / "shared/data/letta-skills-suite/dataset_select_use.csv"
SCOPE = Scope()
KS = (1, 3, 5)
RENAMED = {"artifacts-builder": "web-artifacts-builder"}


def tasks(file: Path) -> list[tuple[str, str]]:
    """(task, name of its skill), the frame around the task left out."""
    found = []
    with file.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            task = re.search(r"\*\*Task:\*\*\n(.*?)(?=\n\*\*Response Format:\*\*|\Z)", row["input"], re.S)
            name = row["skill"].removeprefix("document-skills-")
            found.append((" ".join((task[1] if task else row["input"]).split()), RENAMED.get(name, name)))
    return found


def ranks(embedder: Embedder, catalogue: Path, asked: list[tuple[str, str]], settings: RecallSettings) -> list[int]:
    """The place of the right skill for each task, from 1; 0 where it was not found."""
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as home:
        store, shelf = SqlStore(home), Shelf()
        taken = take(store, catalogue, scope=SCOPE, trusted=True)
        found = []
        for task, right in asked:
            hits = recall(
                task, index=store, embedder=embedder, scope=SCOPE, kinds=("skill",), limit=len(taken), shelf=shelf, settings=settings
            )  # fmt: skip
            names = [m.attribute("name") for m, _ in hits]
            found.append(names.index(right) + 1 if right in names else 0)
        store.close()
    return found


def main() -> None:
    parser = options(__doc__, seeds=1)
    parser.add_argument("--catalogue", type=Path, help=f"folder of folders with a {FILE}")
    args = parser.parse_args()
    run, bars = Run("skills", args), Bars()
    if args.catalogue is None or not args.catalogue.is_dir() or not SUITE.is_file():
        print(f"skipped: give --catalogue (a folder of skills), and have {SUITE}")
        return
    asked = tasks(SUITE)[: 10 if args.quick else None]
    arms: dict[str, tuple[Embedder, RecallSettings]] = {
        "words": (HashedEmbedder(), RecallSettings(dense_weight=0.0, least_share=0.0))
    }
    if bundled() is not None:
        arms["words and MiniLM"] = MiniLM(None), RecallSettings(least_share=0.0)
    found = {name: ranks(embedder, args.catalogue, asked, settings) for name, (embedder, settings) in arms.items()}
    share = {name: {k: sum(0 < r <= k for r in at) / len(at) for k in KS} for name, at in found.items()}
    table(
        (f"{len(asked)} tasks (looked at), hit, %", *(f"@{k}" for k in KS)),
        [(name, *(f"{100 * share[name][k]:.0f}" for k in KS)) for name in arms],
    )
    best = share[list(arms)[-1]]
    for k, bar in ((1, 0.75), (3, 0.92)):
        bars.add(f"recall@{k}", best[k], best[k] >= bar, f">= {bar}")
    bars.show()
    with picture(run.save({"ranks": found, "tasks": [name for _, name in asked]}, bars)) as axis:
        for name in arms:
            axis.plot(KS, [100 * share[name][k] for k in KS], marker="o", label=name)
        axis.set_xlabel("skills shown")
        axis.set_ylabel("the right one among them, %")
        axis.set_ylim(0, 103)
        axis.legend(frameon=False)


if __name__ == "__main__":
    main()
