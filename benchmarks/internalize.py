"""Does what a user told come to be known? 64 facts, 8 procedures and 8 preferences of one user, one consolidation.

Columns: the bare base (closed book), the base shown the right note among five (in context), and the live version after
one consolidation (closed book). One question of each item, worded as nothing in training was. Of the 8 preferences one says how
to answer ("Call me Captain."): it stays in text (docs/decisions/0011), so "after" it is checked by the form of the answers about
facts as they are served, and "the style alone shown" by what is said then.

Bars, on means over seeds: after >= 95 % of in context; unknown still answered "I don't know" >= 95 %; reading of unrelated notes
within 1 point; context tokens per answer down by >= 90 %.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import common
from common import (
    Bars,
    Count,
    Meter,
    Run,
    closed_book,
    count,
    in_context,
    measured,
    percent,
    rate,
    served,
    share,
    spread,
    table,
    without_style,
)
from engrain.prompts import render_notes
from engrain.records import Example
from profiles import evaluation_items, profile, styled, unknown_items

KINDS = ("fact", "procedure", "preference")
COLUMNS = ("base", "in context", "after")


def main() -> None:
    args = common.options(__doc__, seeds=3).parse_args()
    run = Run("internalize", args)
    sizes = {"facts": 12, "procedures": 4, "preferences": 3, "unknown": 16} if args.quick else {"preferences": 7}
    found = [one(run, args, seed, sizes) for seed in common.seeds(args)]
    rows: dict[str, dict[str, list[Count]]] = {
        name: {c: [f["rows"][name][c] for f in found] for c in COLUMNS} for name in found[0]["rows"]
    }
    table(
        ("right, % ± sd over seeds (95 % interval)", *COLUMNS),
        [(name, *(share(columns[c]) for c in COLUMNS)) for name, columns in rows.items()],
    )
    tokens = {c: [f["tokens"][c] for f in found] for c in ("before", "after")}
    table(("as served", "before", "after"), [
        ("right, %", *(percent([f["served"][c] for f in found]) for c in ("before", "after"))),
        ("context tokens per answer", *(common.number(tokens[c]) for c in ("before", "after"))),
        ("consolidation, s (CPU s)", "", f"{common.number([f['wall_s'] for f in found], 0)} ({common.number([f['cpu_s'] for f in found], 0)})"),
    ])  # fmt: skip
    for seed, f in zip(common.seeds(args), found, strict=True):
        print(f"seed {seed}: {f['decision']}, {f['learned']} of {f['told']} in weights, scale {f['scale']}, "
              f"{f['wordings_passed_over']} wordings passed over.")  # fmt: skip
    print()
    figures = {name: {c: measured(columns[c]) for c in COLUMNS} for name, columns in rows.items()}
    mean = {name: {c: columns[c]["mean"] for c in COLUMNS} for name, columns in figures.items()}
    bars = Bars()
    ratio = mean["all told"]["after"] / max(1e-9, mean["all told"]["in context"])
    bars.add("after / in context", ratio, ratio >= 0.95, ">= 0.95")
    for name in ("unknown, near misses", "unknown, foreign"):
        bars.add(name, mean[name]["after"], mean[name]["after"] >= 0.95, ">= 0.95")
    for name in ("reading, another user's notes", "reading, probes"):
        change = mean[name]["after"] - mean[name]["base"]
        bars.add(f"{name}, change", change, change >= -0.01, ">= -0.01")
    down = 1 - spread(tokens["after"])["mean"] / max(1e-9, spread(tokens["before"])["mean"])
    bars.add("context tokens per answer, down by", down, down >= 0.9, ">= 0.90")
    bars.show()
    path = run.save(
        {"sizes": sizes, "rows": figures, "runs": found},
        bars,
    )
    draw(path, mean)


def one(run: Run, args: argparse.Namespace, seed: int, sizes: dict[str, int]) -> dict[str, Any]:
    """One user: told, consolidated, asked."""
    user, other = profile(seed, **sizes), profile(seed + 1000, 32 if args.quick else 160, 0, 0)
    with common.learner(args) as me:
        common.tell_all(me, user, style=True)
        with Meter() as meter:
            outcome = me.consolidate()
        live = me.store.live(me.scope)
        decision = outcome.verdict.decision if outcome.verdict is not None else "nothing trained"
        run.say(f"seed {seed}: {decision} at scale {outcome.scale} after {meter.wall_s:.0f} s")
        for reason in outcome.verdict.reasons if outcome.verdict is not None else (outcome.reason,):
            print(f"    {reason}", flush=True)
        queries, notes = common.trained(me), [i.note for i in user.items]
        rows: dict[str, dict[str, Count]] = {}
        told: list[Example] = []
        passed = 0
        for kind in KINDS:
            items, skipped = evaluation_items(user.of(kind), queries, notes)
            told, passed = told + items, passed + skipped
            rows[f"{kind}s"] = columns(me, items, live)
        rows["all told"] = columns(me, told, live)
        facts, _ = evaluation_items(user.of("fact"), queries, notes)
        rows["style (form of fact answers)"] = {
            "base": count(closed_book(me, styled(facts, user), "", form=True).results),
            "in context": count(closed_book(me, styled(facts, user, shown=True), "", form=True).results),
            "after": count(served(me, styled(facts, user), live)[0]),
        }
        alone = [replace(e, context=render_notes([user.style_note])) for e in told]
        both = [replace(e, context=f"{e.context}\n- {user.style_note}") for e in told]
        rows["all told, the style alone shown"] = {
            name: count(without_style(in_context(me, items, version), user.call))
            for name, items, version in (("base", alone, ""), ("in context", both, ""), ("after", alone, live))
        }
        for name, questions in (("near misses", user.near), ("foreign", user.foreign)):
            unknown = [
                Example(query=e.query, reference=e.reference, role="guard", context=render_notes(notes[:5]))
                for e in unknown_items(questions, queries)
            ]
            rows[f"unknown, {name}"] = columns(me, unknown, live)
        reading, _ = evaluation_items(other.items, (), [i.note for i in other.items])
        base_reading = count(in_context(me, reading).results)
        rows["reading, another user's notes"] = {
            "base": base_reading,
            "in context": base_reading,
            "after": count(in_context(me, reading, live).results),
        }
        before, after = (common.abilities(me, version, quick=args.quick) for version in ("", live))
        for group in before:
            rows[f"{group}, probes"] = {"base": before[group], "in context": before[group], "after": after[group]}
        held = common.learned(me, live)
        served_before, tokens_before = served(me, told, "", call=user.call)
        served_after, tokens_after = served(me, told, live, call=user.call)
        candidate = rate(closed_book(me, told, outcome.adapter).results) if outcome.adapter else None
        return {
            "rows": rows, "decision": decision, "reason": outcome.reason, "verdict": outcome.verdict.reasons if outcome.verdict is not None else (), "scale": outcome.scale, "told": len(user.items), "learned": len(held),
            "candidate_closed_book": candidate, "wordings_passed_over": passed, "questions": len(told),
            "served": {"before": rate(served_before), "after": rate(served_after)},
            "tokens": {"before": tokens_before, "after": tokens_after}, "wall_s": meter.wall_s, "cpu_s": meter.cpu_s,
        }  # fmt: skip


def columns(me: Any, items: list[Example], live: str) -> dict[str, Count]:
    return {
        "base": count(closed_book(me, items, "").results),
        "in context": count(in_context(me, items).results),
        "after": count(closed_book(me, items, live).results),
    }


def draw(path: Any, mean: dict[str, dict[str, float]]) -> None:
    names = list(mean)[::-1]
    with common.picture(path, width=8, height=5) as axis:
        for shift, (column, colour) in enumerate(zip(COLUMNS, ("#bbbbbb", "#7799bb", "#225588"), strict=True)):
            axis.barh(
                [i + 0.27 * (1 - shift) for i in range(len(names))],
                [100 * mean[n][column] for n in names],
                0.25,
                color=colour,
                label=column,
            )
        axis.set_yticks(range(len(names)), names)
        axis.set_xlim(0, 100)
        axis.set_xlabel("right, %")
        axis.legend(loc="upper left", bbox_to_anchor=(0, 1.12), ncols=3, frameon=False)


if __name__ == "__main__":
    main()
