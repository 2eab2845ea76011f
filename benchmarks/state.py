"""Is what changed stale? Facts of Letta's update set, told with their key and without, each followed by the one that contradicts it.

Every item is a user of its own: ten facts are told, an hour apart, then a new one that contradicts the one that answers the item's question. The set names
no attributes, so a fact's key here is its place in the item; what an agent gives as `thing` and `attribute` is its own affair.

    keyed     the new fact is told with the key of the old one (`tell(…, about=…)`)
    unkeyed   both are told as they stand, and only their words could tell that they exclude each other

Counted over the items whose question one fact answers (of the 600, 571): the old fact is still active; any other one is not; asked as of the hour before, the old one
holds and the new one does not; what engrain believed then is the same; among the first three that recall finds for the question the new one is, and the old one is.

    python benchmarks/state.py

Bars: 0 % stale with keys, nothing else ended, every as-of question right. Data: ../shared/data/letta-core-memory.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import Bars, Run, options, picture, table
from engrain.loops.remember import memory_of
from engrain.memory import HashedEmbedder, Shelf, as_of, derive, recall
from engrain.records import Scope
from engrain.store import SqlStore

FILE = Path(__file__).resolve().parents[2] / "shared/data/letta-core-memory/core_memory_update.jsonl"
HOUR = 3600.0
ARMS = ("keyed", "unkeyed")
COUNTED = ("stale", "others ended", "as of, right", "believed, right", "new among three", "old among three")


def one(store: SqlStore, scope: Scope, item: dict[str, Any], *, keyed: bool) -> dict[str, bool]:
    """What became of one item."""
    extra = item["agent_args"]["extra"]
    old = extra["supporting_fact_indices"][0]

    def told(text: str, place: int, hour: int) -> str:
        memory = memory_of(text, scope=scope, source="tell", now=HOUR * hour)
        if keyed:
            memory = replace(memory, attributes=(("entity", scope.user), ("attribute", f"fact {place}")))
        store.append(memory)
        return memory.id

    ids = [told(fact, place, place + 1) for place, fact in enumerate(extra["facts"])]
    new = told(extra["contradicting_fact"], old, len(ids) + 1)
    history = store.history(scope=scope)
    state = {name: s.state for name, s in derive(history).items()}
    before = HOUR * len(ids) + 1
    then, believed = ({m.id for m in as_of(history, **{at: before})} for at in ("valid_at", "recorded_at"))
    hits = recall(item["input"], index=store, embedder=HashedEmbedder(), scope=scope, limit=3, shelf=Shelf())
    first = {m.id for m, _ in hits}
    return {
        "stale": state[ids[old]] == "active", "others ended": any(state[n] != "active" for n in ids if n != ids[old]),
        "as of, right": ids[old] in then and new not in then, "believed, right": ids[old] in believed and new not in believed,
        "new among three": new in first, "old among three": ids[old] in first,
    }  # fmt: skip


def main() -> None:
    args = options(__doc__, seeds=1).parse_args()
    run, bars = Run("state", args), Bars()
    if not FILE.is_file():
        print(f"skipped: {FILE} is not there")
        return
    items = [json.loads(line) for line in FILE.read_text(encoding="utf-8").split("\n") if line]
    items = [i for i in items if len(i["agent_args"]["extra"].get("supporting_fact_indices", ())) == 1]
    items = [i for i in items if i["agent_args"]["extra"].get("contradicting_fact")][: 10 if args.quick else None]
    found: dict[str, list[dict[str, bool]]] = {}
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as home:
        store = SqlStore(home)
        for arm in ARMS:
            found[arm] = [
                one(store, Scope(user=f"{arm} {n}"), item, keyed=arm == "keyed") for n, item in enumerate(items)
            ]
            run.say(f"{arm}: {len(items)} items")
        store.verify()
        store.close()
    share = {arm: {name: sum(r[name] for r in rows) / len(rows) for name in COUNTED} for arm, rows in found.items()}
    table(
        (f"{len(items)} items, % of them", *COUNTED),
        [(arm, *(f"{100 * share[arm][name]:.1f}" for name in COUNTED)) for arm in ARMS],
    )
    keyed = share["keyed"]
    for name, wanted in (("stale", 0.0), ("others ended", 0.0), ("as of, right", 1.0), ("believed, right", 1.0)):
        bars.add(f"keyed: {name}", keyed[name], keyed[name] == wanted, f"{wanted:g}")
    bars.show()
    with picture(run.save({"share": share}, bars)) as axis:
        for side, arm in ((-0.2, "keyed"), (0.2, "unkeyed")):
            axis.bar([i + side for i in range(len(COUNTED))], [100 * share[arm][n] for n in COUNTED], 0.38, label=arm)
        axis.set_xticks(range(len(COUNTED)), [name.replace(", ", ",\n") for name in COUNTED])
        axis.set_ylabel("of the items, %")
        axis.legend(frameon=False)


if __name__ == "__main__":
    main()
