"""The gate: evidence about a candidate becomes a verdict, with its error bounded over the whole sequence of updates.

The claim. Call an update harmful if, on the population that the retained items (every group but `new`) are drawn from,
it answers fewer questions right than the live version by more than `margin`, or than the anchored origin by more than
`budget`; the same with `group_margin` and `group_budget` for each single group of at least `group_min_items` (more
where earlier decisions on the same items have left less of the error to spend). Over an endless sequence of updates, the
probability that any harmful one is promoted is at most `alpha`.

Why it holds. Decision k may err with probability spend(k), and all spend(k) sum to alpha, so the union bound covers the
sequence. Within one decision every check runs at the full level, because promotion needs all of them: a harmful
candidate violates at least one limit, and already that one check passes with probability at most the level (an
intersection-union test; Berger, 1982). Each check bounds the true loss, the rate of broken items less that of fixed
ones, from above (statistics.loss_shown_small). An item that a weak model answers by a hair tips either way at any change
of the weights; until 2026-11-26 only what broke was counted, and updates that lost nothing were refused for it. Every
item that broke is named in the verdict all the same.

Why re-used items cost something. At level spend(k), on 600 items used again and again, a drift of 3.5 points an
update came past the origin's budget in 4.8 % of the sequences of 40 updates (all of alpha; with the price 0.0 %), because refused
candidates follow one another until the items are lucky (tests/evaluation/test_gate_simulation.py). So the harm checks
run at spend(k) * reuse_share(history), the part of spend(k) that belongs to the decisions already taken with these
items; that covers any way of choosing the next candidate from those decisions.

What is assumed. (1) The retained items are independent draws from their population; where several hang together (one
note, one document), pass `clusters`: each cluster is one draw then, and broke if any of its items did. (2) Candidates
know of the retained items nothing but the earlier decisions: the items were never trained on (suites.check_holdout),
no scale or seed was picked by looking at them, and which of them broke was not fed back into training. (3) Every look
is a decision with its own index: another scale, or more items for the same candidate, is a new one.

Power with the defaults at decision 1, 5, 10 and 20, all earlier ones having been promoted on the same items.
Retained, where nothing is fixed: of 150 items 0, none, none, none may break ("none": not even 0 suffices); of 200: 2, 0, 0,
none; of 300: 5, 3, 2, 1; of 600: 16, 13, 11, 10. So 150 items serve one update and 600 serve dozens: of updates that truly
break 1 item in 200, all pass with 600 at each of these decisions. Of first updates that lose nothing, .996 pass if 2 % of
600 items tip either way, and .50 if 10 % do. Each refusal on the same items costs about one or two broken items more;
fresh items win that back.
Gain: 7, 9, 10, 12 items fixed and none broken show it. With 32 new items a true gain of 30 points has power .90, .65,
.50, .22, and a gain of 50 points 1.0, 1.0, .99, .95.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engrain.errors import InputError, ScopeError
from engrain.evaluation.statistics import (
    Paired,
    fixes_needed,
    items_needed,
    loss_shown_small,
    loss_upper,
    mcnemar,
    mean_interval,
    reuse_share,
    spend,
    wilson,
)
from engrain.evaluation.suites import is_unknown
from engrain.records import Decision, Evidence, ItemResult, Scope, Verdict

Items = Mapping[str, ItemResult]
TIPPED = 0.05
"""Share of a group's items that a harmless update breaks, and as many it mends: what many such groups of ours showed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One limit on harm: what broke of `part` against one earlier version, and the loss that is tolerated there."""

    part: str
    """`retained`, or the name of a group."""
    against: str
    """`live` or `origin`."""
    paired: Paired
    limit: float
    """Tolerated loss in success rate, 0 … 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialGate:
    """Promotes an update that shows a gain and shows that it does no harm; its fields are the stated promise."""

    alpha: float = 0.05
    """Probability that a harmful update is ever promoted, over the whole unbounded sequence of one scope."""
    patience: int = 5
    """How many decisions use the first half of alpha."""
    margin: float = 0.05
    """Tolerated loss on all retained items against the live version."""
    budget: float = 0.10
    """Tolerated loss on all retained items against the anchored origin, so that small losses cannot add up."""
    group_margin: float = 0.15
    group_budget: float = 0.20
    group_min_items: int = 60
    """A smaller group is judged only as a part of all retained items, and so is one that at the level of a decision could not be shown
    to be unharmed by an update that breaks one item in twenty and mends as many: it would hold nearly every update, good or bad."""
    harm_level: float = 0.05
    """Significance at which a loss counts as shown: it turns a hold into a reject, never into a promotion."""

    def __post_init__(self) -> None:
        for name in ("alpha", "margin", "budget", "group_margin", "group_budget", "harm_level"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)} is not between 0 and 1")
        if self.patience < 1 or self.group_min_items < 1:
            raise InputError("patience and group_min_items start at 1")

    def decide(
        self,
        *,
        scope: Scope,
        index: int,
        history: Sequence[Decision],
        candidate: Evidence,
        live: Evidence,
        origin: Evidence,
        clusters: Mapping[str, str] | None = None,
    ) -> Verdict:
        """The verdict on one candidate; all three versions must have answered the same items.

        `index` is 1 plus the number of earlier verdicts of this scope with alpha_spent > 0, and `history` the decisions
        of those among them that used any of these items; () if all items are fresh. `origin` is the anchor: the first
        version, or the untouched base. `clusters` maps an item's hash to the cluster that it hangs together with.
        Reasons hold counts and never a question, and `broke` and `fixed` (against live) places of items in the candidate's
        evidence: a verdict has no content, so it outlives what is forgotten, and with it the error budget that it spent.
        Raises ScopeError for somebody else's evidence and InputError where the items differ.
        """
        now, before, anchor = (_items(evidence, scope) for evidence in (candidate, live, origin))
        for name, other in (("live", before), ("origin", anchor)):
            if differing := _groups(now) ^ _groups(other):
                raise InputError(
                    f"candidate and {name} did not answer the same items in the same groups (item "
                    f"{min(differing)[0]} differs); run the same suite on both"
                )
        names = clusters or {}
        new = [k for k, r in now.items() if r.group == "new"]
        gain = pair(before, now, new, names, net=True)
        gain_level, level = self.levels(index, history)
        checks = self.checks(now, {"live": before, "origin": anchor}, names, level)
        decision, spent = self.judge(gain, checks, index, history)
        reasons = [_gain_reason(gain, gain_level), *(_check_reason(c, level, self.harm_level) for c in checks)]
        if not spent:
            reasons.insert(0, "too few items to decide; nothing was spent")
        return Verdict(
            scope=scope,
            decision=decision,
            reasons=(*reasons, *_descriptions(before, now)),
            candidate=candidate.adapter,
            against=live.adapter,
            alpha_spent=spent,
            broke=tuple(str(i) for i, (k, r) in enumerate(now.items()) if before[k].right and not r.right),
            fixed=tuple(str(i) for i, (k, r) in enumerate(now.items()) if r.right and not before[k].right),
            causes=(candidate.id, *dict.fromkeys((live.id, origin.id))),
        )

    def checks(
        self, now: Items, earlier: Mapping[str, Items], clusters: Mapping[str, str], level: float
    ) -> list[Check]:
        """All limits on harm that these items can be held to at this level, against each of the earlier versions."""
        retained = [k for k, r in now.items() if r.group != "new"]
        names = sorted({now[k].group for k in retained})
        found: list[Check] = []
        for against, items in earlier.items():
            limit, group_limit = (
                (self.margin, self.group_margin) if against == "live" else (self.budget, self.group_budget)
            )
            found.append(
                Check(part="retained", against=against, paired=pair(items, now, retained, clusters), limit=limit)
            )
            for name in names:
                paired = pair(items, now, [k for k in retained if now[k].group == name], clusters)
                if self._judges_alone(paired.n, group_limit, level):
                    found.append(Check(part=name, against=against, paired=paired, limit=group_limit))
        return found

    def judge(
        self, gain: Paired, checks: Sequence[Check], index: int, history: Sequence[Decision] = ()
    ) -> tuple[Decision, float]:
        """The decision from counts alone, and the alpha that it spent.

        Promote if the gain and every check pass; else reject if there is no gain or a loss is shown; else hold. Where
        the item counts alone rule a promotion out, the answers are not looked at: hold, and nothing is spent.
        """
        if not checks:
            raise InputError("no limit on harm was given; without one nothing can be promoted")
        spent, level = self.levels(index, history)
        if gain.n < fixes_needed(0, spent) or any(
            not loss_shown_small(0, 0, c.paired.n, c.limit, level) for c in checks
        ):
            return "hold", 0.0
        if mcnemar(gain.fixed, gain.broke) <= spent and all(_kept(c, level) for c in checks):
            return "promote", spent
        harmed = any(not _kept(c, level) and _p_harm(c) <= self.harm_level for c in checks)
        return "reject" if harmed or gain.fixed <= gain.broke else "hold", spent

    def least_new(self, index: int, history: Sequence[Decision] = ()) -> int:
        """How many new items (or clusters of them) decision `index` needs for a gain to be shown at all."""
        return fixes_needed(0, self.levels(index, history)[0])

    def least_retained(self, index: int, history: Sequence[Decision] = ()) -> int:
        """How many retained items decision `index` needs, none of them broken, to show that it does no harm."""
        return items_needed(0, 0, min(self.margin, self.budget), self.levels(index, history)[1])

    def tolerates(
        self, paired: Paired, index: int, history: Sequence[Decision] = (), *, of_a_group: bool = False
    ) -> bool:
        """Whether decision `index` would find so little harm in these retained items, or in these of one group."""
        margin, level = self.group_margin if of_a_group else self.margin, self.levels(index, history)[1]
        if of_a_group and not self._judges_alone(paired.n, margin, level):
            return True  # it is judged as a part of the whole only
        return loss_shown_small(paired.broke, paired.fixed, paired.n, margin, level)

    def _judges_alone(self, items: int, limit: float, level: float) -> bool:
        """Whether a group of so many items is judged by itself: what its answers are has no part in that."""
        tipped = math.ceil(TIPPED * items)
        return items >= self.group_min_items and loss_shown_small(tipped, tipped, items, limit, level)

    def levels(self, index: int, history: Sequence[Decision]) -> tuple[float, float]:
        """What decision `index` spends, and the level that this history leaves for its checks on harm."""
        if index <= len(history):
            raise InputError(f"decision {index} cannot follow {len(history)} earlier ones; no index is used twice")
        spent = spend(index, self.alpha, self.patience)
        return spent, spent * reuse_share(history)


def judge_words(paired: Paired, level: float = 0.05) -> tuple[Decision, str]:
    """The verdict on a change of words alone, by the same tasks answered without it and with it.

    One step undoes such a change, and what is said of later answers goes on judging it; so it need not show that it does no harm, as weights
    must: it is refused only where harm is shown, at this level for each decision by itself: with fewer than five tasks it never is.
    """
    counts = f"of {paired.n} tasks {paired.broke} broke and {paired.fixed} were mended"
    if mcnemar(paired.broke, paired.fixed) <= level:
        return "reject", f"harm: {counts} (p = {mcnemar(paired.broke, paired.fixed):.2g}, level {level:g})"
    if mcnemar(paired.fixed, paired.broke) <= level:
        return "promote", f"gain: {counts} (p = {mcnemar(paired.fixed, paired.broke):.2g}, level {level:g})"
    if not paired.n:
        return "hold", "there is no task to judge it by"
    needed = fixes_needed(paired.fixed, level)
    return "hold", f"neither gain nor harm is shown: {counts} (harm shows from {needed} broken on, with so many mended)"


def pair(before: Items, after: Items, keys: Sequence[str], clusters: Mapping[str, str], *, net: bool = False) -> Paired:
    """Count what changed over the items `keys`, each cluster as one draw.

    A cluster broke if any of its items broke (and then its fixed items do not count), which can only overstate harm.
    With `net`, for the gain, it goes the way of the majority of its changed items.
    """
    changes: dict[str, list[int]] = {}
    for key in keys:
        changes.setdefault(clusters.get(key, key), []).append(after[key].right - before[key].right)
    total = [sum(c) if net else min(c) or max(c) for c in changes.values()]
    return Paired(n=len(total), broke=sum(t < 0 for t in total), fixed=sum(t > 0 for t in total))


def regression_rate(before: Evidence, after: Evidence) -> tuple[int, int, float, float]:
    """(broke, n, low, high): of n items that were right, how many are wrong now; 95 % Wilson interval of the share."""
    return _regressions({r.item: r for r in before.results}, {r.item: r for r in after.results})


def _groups(items: Items) -> set[tuple[str, str]]:
    return {(key, result.group) for key, result in items.items()}


def _items(evidence: Evidence, scope: Scope) -> dict[str, ItemResult]:
    if evidence.scope != scope:
        raise ScopeError(f"evidence {evidence.id} belongs to {evidence.scope}, not to {scope}")
    items = {r.item: r for r in evidence.results}
    if len(items) != len(evidence.results):
        raise InputError(f"evidence {evidence.id} answers an item twice; a pair counted twice is no evidence")
    return items


def _kept(check: Check, level: float) -> bool:
    """Whether a true loss at the limit is refuted."""
    return loss_shown_small(check.paired.broke, check.paired.fixed, check.paired.n, check.limit, level)


def _p_harm(check: Check) -> float:
    return mcnemar(check.paired.broke, check.paired.fixed)


def _gain_reason(gain: Paired, level: float) -> str:
    counts = f"{gain.fixed} of {gain.n} new items fixed, {gain.broke} broken"
    if gain.n and gain.fixed <= gain.broke:
        return f"no gain: {counts}"
    p = mcnemar(gain.fixed, gain.broke)
    if p <= level:
        return f"gain: {counts} (p = {p:.2g}, level {level:.2g})"
    needed = f"it takes {fixes_needed(gain.broke, level)} fixed with {gain.broke} broken"
    return f"gain not shown: {counts} (p = {p:.2g}, level {level:.2g}); {needed}"


def _check_reason(check: Check, level: float, harm_level: float) -> str:
    p = check.paired
    upper = loss_upper(p.broke, p.fixed, p.n, level)
    counts = f"{check.part} against {check.against}: {p.broke} of {p.n} broke, {p.fixed} fixed"
    bound = f"loss at most {upper:.1%} with {1 - level:.2%} confidence, limit {check.limit:.0%}"
    if _kept(check, level):
        return f"kept: {counts}; {bound}"
    if _p_harm(check) <= harm_level:
        return f"harm: {counts} (p = {_p_harm(check):.2g}); {bound}"
    needed = f"it takes {items_needed(p.broke, p.fixed, check.limit, level)} items with as many broken and fixed"
    return f"not shown: {counts}; {bound}; {needed}"


def _descriptions(before: Items, now: Items) -> tuple[str, ...]:
    """What the decision does not rest on but a reader wants to know: success, regressions, abstention, cost; 95 % intervals."""
    if not now:
        return ()
    broke, n, low, high = _regressions(before, now)
    answerable = [k for k, r in now.items() if not is_unknown(r.expected)]

    def success(items: Items) -> str:
        return _share(sum(r.right for r in items.values()), len(items))

    def abstained(items: Items) -> str:
        return _share(sum(is_unknown(items[k].answer) for k in answerable), len(answerable))

    def mean(items: Items, name: str) -> str:
        values = [float(getattr(r, name)) for r in items.values()]
        if len(values) < 2:
            return f"{values[0]:.1f}"
        value, low, high = mean_interval(values)
        return f"{value:.1f} ({low:.1f} to {high:.1f})"

    return (
        f"success: {success(before)} -> {success(now)} of {len(now)} items",
        f"regressions: {broke} of {n} that were right are wrong now (95% interval {low:.1%} to {high:.1%})",
        f"false don't-knows: {abstained(before)} -> {abstained(now)} of {len(answerable)} answerable items",
        *(
            f"{what} per answer: {mean(before, name)} -> {mean(now, name)}"
            for what, name in (
                ("tokens in", "input_tokens"),
                ("tokens out", "output_tokens"),
                ("milliseconds", "latency_ms"),
            )
        ),
    )


def _share(good: int, n: int) -> str:
    low, high = wilson(good, n)
    return f"{good / max(1, n):.1%} ({low:.1%} to {high:.1%})"


def _regressions(before: Items, after: Items) -> tuple[int, int, float, float]:
    were_right = [k for k, r in before.items() if r.right and k in after]
    broke = sum(not after[k].right for k in were_right)
    return broke, len(were_right), *wilson(broke, len(were_right))
