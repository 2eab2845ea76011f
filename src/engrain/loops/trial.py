"""A canary from its begin to its end: what came of the requests decides, or the operator does."""

from __future__ import annotations

from dataclasses import replace

from engrain.adapters import promote
from engrain.adapters.canary import on_trial
from engrain.errors import InputError, NotFound
from engrain.evaluation.canary import Trial
from engrain.records import Canary, Feedback, Interaction, Scope, Verdict, new_id
from engrain.store import SqlStore


def begin(store: SqlStore, verdict: Verdict, trial: Trial) -> Canary:
    """Record the gate's verdict and put its candidate on trial, in one step."""
    canary = Canary(
        scope=verdict.scope, candidate=verdict.candidate, against=verdict.against, verdict=verdict.id, share=trial.share,
        margin=trial.margin, alpha=trial.alpha, causes=(verdict.id, verdict.candidate),
    )  # fmt: skip
    store.append_all([verdict, canary])
    return canary


def outcomes(store: SqlStore, canary: Canary) -> list[tuple[bool, float]]:
    """(whether the candidate answered, success 0 … 1) of each interaction of the trial that was judged, in the order of its first
    judgement: a rating, 0 for a correction, or the lowest score of the verifiers that ran on it together. What the user's conduct seems
    to say (implicit feedback) is no judgement (docs/decisions/0020)."""
    given = {i.id: i for i in store.select(Interaction, scope=canary.scope) if canary.id in i.causes}
    seen: dict[str, float] = {}
    verified: dict[str, float] = {}  # when the verifiers ran that had the first word
    for feedback in store.select(Feedback, scope=canary.scope):
        name, score = feedback.interaction, 0.0 if feedback.name == "correction" else feedback.score
        if name not in given or score is None or feedback.kind == "implicit":
            continue
        if feedback.kind == "explicit" and feedback.name not in ("rating", "correction"):
            continue
        if name not in seen:
            seen[name] = score
            if feedback.kind == "automated":
                verified[name] = feedback.created_at
        elif feedback.kind == "automated" and verified.get(name) == feedback.created_at:
            seen[name] = min(seen[name], score)
    return [(given[name].stamp.adapter == canary.candidate, x) for name, x in seen.items()]


def settle(store: SqlStore, scope: Scope) -> Verdict | None:
    """End the user's trial if its outcomes decide it; None if they do not, or if there is none. Call it after every feedback."""
    canary = on_trial(store, scope)
    if canary is None:
        return None
    trial, found = trial_of(canary), outcomes(store, canary)
    decision = trial.judge(found, 1 + [c.id for c in store.select(Canary, scope=scope)].index(canary.id))
    if decision == "hold":
        return None
    return _end(store, canary, decision == "promote", f"canary: {trial.show(found)}")


def decide(store: SqlStore, scope: Scope, *, approve: bool, reason: str = "") -> Verdict:
    """End the user's trial by hand. NotFound if there is none."""
    canary = on_trial(store, scope)
    if canary is None:
        raise NotFound(f"no version of {scope} is on trial; `engrain versions` lists those that there are")
    shown = trial_of(canary).show(outcomes(store, canary))
    said = f"{'approved' if approve else 'stopped'} by hand{f' ({reason})' if reason else ''}; canary: {shown}"
    return _end(store, canary, approve, said)


def trial_of(canary: Canary) -> Trial:
    """The settings that it was begun with."""
    return Trial(share=canary.share, margin=canary.margin, alpha=canary.alpha)


def _end(store: SqlStore, canary: Canary, good: bool, reason: str) -> Verdict:
    gate = store.get(canary.verdict, scope=canary.scope)
    if not isinstance(gate, Verdict):
        raise InputError(f"{canary.verdict} is no verdict")
    end = replace(
        gate, id=new_id("ver"), decision="promote" if good else "reject", reasons=(reason, *gate.reasons), alpha_spent=0.0,
        causes=(canary.id, canary.candidate, gate.id),
    )  # fmt: skip
    if good:
        promote(store, canary.scope, end)
    else:
        store.append(end)
    return end
