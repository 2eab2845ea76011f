"""Does a memory collapse under a thousand updates? 300 facts and 50 procedures are told, changed, said again and put in order, by rules alone.

Each update draws one: a fact gets another value (six in ten), a fact is said again, or a procedure is told again as a lesson, in other words or with a step more;
after every hundred the memory sleeps (`loops.sleep`: merge, link, put away, distil). Every hundred updates, and at the end:

    live facts        asked for in other words; the note with the value of now is among the first five recalled
    stale             values of the past that are active or recalled at all
    details           numbers, names, conditions and the order of steps of each procedure told, that the lesson which stands for it still says
    as of             what a fact was after half of the updates, asked for at the end
    context           tokens of notes and lessons that a question is shown, at most; and tokens of the whole playbook

Bars: >= 99 % of live facts, 100 % of procedures' details, no stale value, within the budgets (600 and 20,000 tokens).

    python benchmarks/collapse.py
"""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

from common import Bars, Run, number, options, picture, seeds, table
from engrain.context.assemble import assemble
from engrain.engines.minilm import MiniLM, bundled
from engrain.loops.remember import memory_of
from engrain.loops.sleep import sleep
from engrain.loops.tidy import add
from engrain.memory import HashedEmbedder, Shelf, as_of, derive, recall
from engrain.memory.filing import of_kinds
from engrain.memory.merging import lost
from engrain.protocols import Embedder
from engrain.records import Memory, Scope
from engrain.store import SqlStore

SCOPE = Scope()
HOUR = 3600.0
THINGS = (
    "gate code",
    "rent",
    "colour",
    "opening time",
    "phone extension",
    "owner",
    "spare key",
    "power meter",
    "Wi-Fi password",
    "cleaning day",
)
PLACES = ("north barn", "south barn", "boat house", "paint shop", "mill", "old chapel", "ferry office", "glass house", "upper depot", "lower depot", "rope loft",
          "tool crib", "harbour kiosk", "smoke house", "bakery", "school annex", "library wing", "signal tower", "print room", "ice cellar", "market stall", "clock room",
          "weighbridge", "customs shed", "guest flat", "bus garage", "stone quarry", "fish hall", "music room", "seed store")  # fmt: skip
WORDED = (
    "What is the {thing} of the {place}?",
    "Tell me the {place}'s {thing}.",
    "{place}: which {thing} is it now?",
    "I need the {thing} for the {place}.",
)
MACHINES = (
    "kiln",
    "crane",
    "bilge pump",
    "band saw",
    "compressor",
    "boiler",
    "winch",
    "plotter",
    "forklift",
    "dust filter",
)
FAULTS = ("overheats", "will not start", "leaks", "shows error E{n}", "makes a grinding noise")
STEPS = (
    "close valve {n}",
    "wait {n} seconds",
    "call extension {n}",
    "set the dial to {n}",
    "note it in book {n}",
    "fetch the red key from hook {n}",
    "press the reset button {n} times",
)
LEADS = ("When the {machine} {fault}, ", "If the {machine} {fault}, ", "In case the {machine} {fault}, ")


@dataclass(slots=True)
class World:
    """What is true now, and was."""

    rng: random.Random
    facts: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    half: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    told: list[tuple[Memory, list[str]]] = field(default_factory=list[tuple[Memory, list[str]]])
    """The procedures, in every wording, with their steps."""
    steps: dict[tuple[str, str], list[str]] = field(default_factory=dict[tuple[str, str], list[str]])


def procedure(world: World, key: tuple[str, str]) -> str:
    """A procedure in one of its wordings; in half of them no word says that one step follows another."""
    lead = world.rng.choice(LEADS).format(machine=key[0], fault=key[1])
    first, *others = world.steps[key]
    if world.rng.random() < 0.5:
        return lead + "; ".join(world.steps[key]) + "."
    return lead + "first " + first + "".join(f", then {step}" for step in others) + "."


def in_order(steps: list[str], text: str) -> bool:
    """Whether all of them are said, word for word and one after the other: asked without the guard that this is about."""
    at = 0
    for step in steps:
        if (found := text.find(step, at)) < 0:
            return False
        at = found + len(step)
    return True


def measure(store: SqlStore, embedder: Embedder, shelf: Shelf, world: World, at: float) -> dict[str, float]:
    found = stale = 0
    most = 0
    for (thing, place), value in world.facts.items():
        query = world.rng.choice(WORDED).format(thing=thing, place=place)
        hits = recall(query, index=store, embedder=embedder, scope=SCOPE, limit=5, shelf=shelf)
        own = [m.text for m, _ in hits if f"{thing} of the {place}" in m.text]
        found += any(value in text for text in own)
        stale += any(value not in text for text in own)
        lessons = [
            m
            for m, _ in recall(
                query, index=store, embedder=embedder, scope=SCOPE, kinds=("lesson",), limit=5, shelf=shelf
            )
        ]
        most = max(most, assemble(hits, 600, lambda text: len(text.split()) * 4 // 3, lessons=lessons).tokens)
    standings = derive(store.history(scope=SCOPE))
    active: dict[str, int] = {}
    for s in standings.values():
        if s.state == "active" and s.memory.kind == "fact":
            subject = s.memory.text.split(" is ")[0]
            active[subject] = active.get(subject, 0) + 1

    def stands_for(memory: Memory) -> Memory:
        while standings[memory.id].state in ("merged", "superseded"):
            memory = standings[standings[memory.id].by].memory
        return memory

    texts = [(m, stands_for(m), steps) for m, steps in world.told]
    gone = sum(bool(lost([m.text], by.text)) or not in_order(steps, by.text) for m, by, steps in texts)
    away = sum(standings[by.id].state != "active" for _, by, _ in texts)
    return {
        "live facts": found / len(world.facts), "stale": stale + sum(n - 1 for n in active.values()),
        "details": 1 - (gone + away) / max(1, len(world.told)), "context": most,
        "playbook": sum(len(m.text.split()) * 4 // 3 for m in of_kinds(store, SCOPE, ("lesson", "reflection"))),
        "memories": len(standings), "active": sum(s.state == "active" for s in standings.values()),
    }  # fmt: skip


def one(seed: int, embedder: Embedder, updates: int, facts: int, procedures: int) -> dict[str, Any]:
    world = World(random.Random(seed))
    rng = world.rng
    keys = rng.sample([(t, p) for t in THINGS for p in PLACES], facts)
    jobs = rng.sample([(m, f.format(n=rng.randint(10, 99))) for m in MACHINES for f in FAULTS], procedures)
    at = time.time() - (updates + facts + procedures + 1) * HOUR  # a sleep looks at how long ago things were
    middle = 0.0
    curve: list[dict[str, float]] = []

    def value() -> str:
        return f"{rng.choice('ABCDEFGHKLMNPRST')}{rng.randint(1000, 9999)}"

    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as home:
        store, shelf = SqlStore(home), Shelf()

        def tell(key: tuple[str, str], *, again: bool = False) -> None:
            world.facts[key] = world.facts[key] if again else value()
            store.append(
                memory_of(f"The {key[0]} of the {key[1]} is {world.facts[key]}.", scope=SCOPE, source="tell", now=at)
            )

        def teach(key: tuple[str, str]) -> None:
            memory = Memory(
                scope=SCOPE, kind="lesson", text=procedure(world, key), source="tell", valid_from=at, recorded_at=at
            )
            world.told.append((memory, [key[0], *world.steps[key]]))
            add(store, embedder, memory, shelf=shelf)

        for key in keys:
            at += HOUR
            tell(key)
        for key in jobs:
            at += HOUR
            world.steps[key] = [s.format(n=rng.randint(2, 400)) for s in rng.sample(STEPS, 4)]
            teach(key)
        began = time.process_time()
        for done in range(1, updates + 1):
            at += HOUR
            draw = rng.random()
            if draw < 0.8:
                tell(rng.choice(keys), again=draw >= 0.6)
            else:
                key = rng.choice(jobs)
                if rng.random() < 0.2:
                    world.steps[key].append(rng.choice(STEPS).format(n=rng.randint(2, 400)))
                teach(key)
            if done == updates // 2:
                middle, world.half = at, dict(world.facts)
            if done % 100 == 0 or done == updates:
                sleep(store, embedder, lambda text: len(text.split()) * 4 // 3, scope=SCOPE, shelf=shelf)
                curve.append({"updates": done, **measure(store, embedder, shelf, world, at)})
        spent = time.process_time() - began
        then = {
            m.text.split(" is ")[0]: m.text
            for m in as_of(store.history(scope=SCOPE), valid_at=middle)
            if m.kind == "fact"
        }
        right = sum(v in then.get(f"The {t} of the {p}", "") for (t, p), v in world.half.items())
        entries = store.verify()
        store.close()
    return {"curve": curve, "as of": right / len(world.half), "ledger": entries, "cpu_s": spent}


def main() -> None:
    args = options(__doc__, seeds=3).parse_args()
    run, bars = Run("collapse", args), Bars()
    embedder: Embedder = HashedEmbedder() if bundled() is None else MiniLM(None)
    updates, facts, procedures = (60, 20, 6) if args.quick else (1000, 300, 50)
    found = [one(seed, embedder, updates, facts, procedures) for seed in seeds(args)]
    names = ("live facts", "details", "stale", "context", "playbook", "memories", "active")
    table(
        (f"{embedder.name}, updates", *names),
        [(str(row["updates"]), *(number([f["curve"][i][n] for f in found], 3 if n in names[:2] else 0) for n in names)) for i, row in enumerate(found[0]["curve"])],
    )  # fmt: skip
    worst = {n: min(c[n] for f in found for c in f["curve"]) for n in ("live facts", "details")}
    for name, bar in (("live facts", 0.99), ("details", 1.0)):
        bars.add(name, worst[name], worst[name] >= bar, f">= {bar}")
    most = {n: max(c[n] for f in found for c in f["curve"]) for n in ("stale", "context", "playbook")}
    for name, limit in (("stale", 0), ("context", 600), ("playbook", 20_000)):
        bars.add(name, most[name], most[name] <= limit, f"<= {limit}")
    as_it_was = min(f["as of"] for f in found)
    bars.add("as of half of the updates", as_it_was, as_it_was == 1.0, "1.0")
    bars.show()
    with picture(run.save({"embedder": embedder.name, "runs": found}, bars)) as axis:
        for name in ("live facts", "details"):
            axis.plot([row["updates"] for row in found[0]["curve"]], [100 * min(f["curve"][i][name] for f in found) for i in range(len(found[0]["curve"]))],
                      marker="o", label=f"{name}, the least of {len(found)} seeds")  # fmt: skip
        axis.set_xlabel("updates")
        axis.set_ylabel("still there, %")
        axis.set_ylim(0, 103)
        axis.legend(frameon=False)


if __name__ == "__main__":
    main()
