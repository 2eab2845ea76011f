"""What paging, sleep, teams and fading cost and keep: the small systems of text space, each on made-up data, without a language model.

    paging    talks that outgrow windows of 300 to 1,500 tokens (sprout's own count): overflows, and how much of what left the window is found again by
              a few of its words
    sleep     a memory with near repeats, failures and notes: processor seconds of the first sleep and of one with nothing new; undone, all is as it was
    teams     one fact told to a team of so many: milliseconds of processor, and a member's forgetting stays
    fading    two years in which one note in ten is shown once a week: how many of these are not put away at their end, how many of the others, and of the facts

    python benchmarks/textspace.py

Bars: no overflow; everything that left a window found; all undone; no note in use and no fact put away after two years.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import Bars, Run, options, picture, table
from engrain.engines.local import LocalEngine
from engrain.loops import sleep as sleeping
from engrain.loops import teams
from engrain.loops.change import change
from engrain.loops.paging import Pager
from engrain.loops.sleep import fade, sleep
from engrain.memory import HashedEmbedder, Shelf, derive
from engrain.records import Context, Delta, Feedback, Interaction, Memory, Message, Scope, Stamp
from engrain.store import SqlStore

ME, HASHED = Scope(), HashedEmbedder()
DAY = 86_400.0
NAMES = [
    a + b for a in ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Ida") for b in ("lin", "mar", "sen", "ton")
]
THINGS = (
    "kiln",
    "crane",
    "pump",
    "ledger",
    "ferry",
    "orchard",
    "printer",
    "boiler",
    "lathe",
    "greenhouse",
    "archive",
    "harbour",
)
DOES = ("needs", "was given", "keeps", "lost", "waits for", "is run by", "is painted by", "stands beside")  # fmt: skip


@contextmanager
def opened() -> Iterator[SqlStore]:
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as home:
        store = SqlStore(home)
        try:
            yield store
        finally:
            store.close()


def sentence(rng: random.Random) -> str:
    return f"The {rng.choice(THINGS)} of {rng.choice(NAMES)} {rng.choice(DOES)} {rng.choice(NAMES)} since {rng.randint(1000, 9999)}."


def paging(engine: LocalEngine, talks: int, turns: int) -> dict[str, float]:
    """Overflows, and what is found again."""
    rng, over, sought, found, shown = random.Random(1), 0, 0, 0, list[int]()
    for number in range(talks):
        with opened() as store:
            window = rng.randint(300, 1500)
            pager = Pager(
                store=store, embedder=HASHED, count_tokens=engine.count_tokens, scope=ME, conversation=str(number),
                count=lambda messages: engine.count_tokens(engine.render(messages)), window=window, reserve=100, offers=False,
            )  # fmt: skip
            talk: list[Message] = []
            for turn in range(turns):
                text = " ".join(sentence(rng) for _ in range(rng.choice((1, 1, 2, 12))))
                talk.append(Message(role="assistant" if turn % 2 else "user", content=text))
                if turn % 2 == 0:
                    page = pager.fit(talk)
                    tokens = engine.count_tokens(engine.render(page.messages))
                    over += tokens > window - 100
                    shown.append(tokens)
            for left in page.evicted:
                words = left.content.split(".")[0].split()  # its first sentence
                sought += 1
                found += left.content[:60] in pager.call("conversation_search", f'{{"query": "{" ".join(words)}"}}')
    return {"overflows": over, "pages": len(shown), "left": sought, "found": found / max(1, sought)}


def asleep(lessons: int) -> dict[str, float]:
    """What a sleep costs, and that it can be undone."""
    rng = random.Random(2)
    with opened() as store:
        texts = [sentence(rng) for _ in range(lessons)]
        said = [*texts, *(t.replace("since", "ever since") for t in texts[::4])]
        at = time.time() - DAY
        kept: list[Any] = [Memory(scope=ME, kind="lesson", text=t, valid_from=at, recorded_at=at) for t in said]
        kept += [
            Memory(scope=ME, kind="note", text=sentence(rng), valid_from=at, recorded_at=at) for _ in range(lessons)
        ]
        for _ in range(16):
            asked = Interaction(
                scope=ME,
                messages=(Message(role="user", content=sentence(rng)),),
                answer="?",
                stamp=Stamp(base="b"),
                created_at=at,
            )
            kept += [asked, Feedback(scope=ME, interaction=asked.id, kind="automated", name="test", score=0.0, text=f"it was {sentence(rng)}", causes=(asked.id,))]  # fmt: skip
        store.append_all(kept)

        def standing() -> dict[str, str]:
            return {
                name: s.state for name, s in derive(store.history(scope=ME)).items() if s.memory.kind != "reflection"
            }

        before, spent, done = standing(), list[float](), list[sleeping.Slept]()
        for _ in range(2):
            begun = time.process_time()
            done.append(sleep(store, HASHED, lambda text: len(text.split()), scope=ME, shelf=Shelf()))
            spent.append(time.process_time() - begun)
        changed = sum(state != before[name] for name, state in standing().items() if name in before)
        for delta in reversed(list(store.select(Delta, scope=ME))):
            change(store, "undo", delta.id, scope=ME, reason="as it was")
        after = standing()
        return {
            "memories": len(before), "first_s": spent[0], "again_s": spent[1], "changed": changed,
            "left over": sum(after[name] != state for name, state in before.items()), "reflections": len(done[0].reflected),
        }  # fmt: skip


def team(members: int, facts: int) -> dict[str, float]:
    """What it costs to tell one."""
    rng, spent = random.Random(3), list[float]()
    with opened() as store:
        scope = teams.team_scope("local", "harbour")
        for n in range(members):
            teams.join(store, scope, f"user-{n}")
        for _ in range(facts):
            begun = time.process_time()
            teams.tell_team(store, scope, sentence(rng), by="user-0")
            spent.append(1000 * (time.process_time() - begun))
        own = Scope(user="user-0")
        store.erase([next(iter(store.select(Memory, scope=own))).id], scope=own, reason="asked")
        teams.spread(store, scope)
        return {"members": members, "ms": statistics.median(spent), "lost by one": facts - sum(1 for _ in store.select(Memory, scope=own))}  # fmt: skip


def years(notes: int) -> dict[str, float]:
    """What is left after two years."""
    rng, begin = random.Random(4), time.time() - 731 * DAY
    with opened() as store:
        texts = list(dict.fromkeys(sentence(rng) for _ in range(notes)))
        made = [
            Memory(scope=ME, kind="fact" if n % 5 == 4 else "note", text=t, valid_from=begin, recorded_at=begin) for n, t in enumerate(texts)
        ]  # fmt: skip
        store.append_all(made)
        told = [m for m in made if m.kind == "note"]
        used = told[::10]
        for week in range(104):
            at = begin + 7 * DAY * week
            store.append_all([
                Interaction(scope=ME, messages=(Message(role="user", content="?"),), answer="!", stamp=Stamp(base="b"), created_at=at,
                            context=Context(text="n", memory_ids=tuple(m.id for m in used[at0 : at0 + 10])), causes=tuple(m.id for m in used[at0 : at0 + 10]))
                for at0 in range(0, len(used), 10)
            ])  # fmt: skip
        for month in range(3, 25, 3):
            fade(store, scope=ME, at=begin + 30.4 * DAY * month)
        state = {name: s.state for name, s in derive(store.history(scope=ME)).items()}

        def kept(some: list[Memory]) -> float:
            return sum(state[m.id] != "archived" for m in some) / len(some)  # another value may have ended a fact

        idle = [m for m in told if m not in used]
        return {"in use": kept(used), "idle": kept(idle), "facts": kept([m for m in made if m.kind == "fact"])}


def main() -> None:
    args = options(__doc__, seeds=1).parse_args()
    run, bars, quick = Run("textspace", args), Bars(), args.quick
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder:
        paged = paging(LocalEngine(args.base, adapters_dir=Path(folder)), 3 if quick else 100, 20 if quick else 60)
    run.say(f"paging: {paged}")
    slept = [asleep(n) for n in ([20] if quick else [100, 300, 1000])]
    run.say(f"sleep: {slept}")
    told = [team(n, 5 if quick else 20) for n in ([1, 3] if quick else [1, 10, 100])]
    run.say(f"teams: {told}")
    faded = years(100 if quick else 1000)
    table(("paging", "pages", "overflows", "left the window", "found again"), [
        ("", str(paged["pages"]), str(paged["overflows"]), str(paged["left"]), f"{100 * paged['found']:.1f} %")
    ])  # fmt: skip
    table(("sleep, memories", "first, s of processor", "with nothing new", "changed", "not undone"), [
        (str(s["memories"]), f"{s['first_s']:.2f}", f"{s['again_s']:.3f}", str(s["changed"]), str(s["left over"])) for s in slept
    ])  # fmt: skip
    table(("team of", "ms of processor a fact"), [(str(t["members"]), f"{t['ms']:.1f}") for t in told])
    table(("after two years", "not put away"), [(name, f"{100 * share:.0f} %") for name, share in faded.items()])
    bars.add("overflows", paged["overflows"], paged["overflows"] == 0, "0")
    bars.add("of what left a window, found", paged["found"], paged["found"] >= 0.99, ">= 0.99")
    bars.add("of a sleep, not undone", max(s["left over"] for s in slept), not any(s["left over"] for s in slept), "0")
    bars.add("of a team's facts, gone for who forgot one", max(t["lost by one"] for t in told), all(t["lost by one"] == 1 for t in told), "1")  # fmt: skip
    for name in ("in use", "facts"):
        bars.add(f"after two years: {name}", faded[name], faded[name] == 1.0, "1")
    bars.show()
    with picture(run.save({"paging": paged, "sleep": slept, "teams": told, "years": faded}, bars)) as axis:
        axis.bar(list(faded), [100 * share for share in faded.values()], color=["#c0562b", "#8a8a8a", "#4a6c8c"])
        axis.set_ylabel("not put away after two years, %")


if __name__ == "__main__":
    main()
