"""What the pages say in numbers, from records alone: shares with their intervals, what each update changed, and how answers went over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from engrain.errors import NotFound
from engrain.evaluation.gates import regression_rate
from engrain.evaluation.statistics import mean_interval, wilson
from engrain.records import Canary, Evidence, ItemResult, Record, Scope, Verdict
from engrain.store import SqlStore
from engrain.store.reading import Judged, Served

DAY_S = 86400.0
MOST_STEPS = 40
"""Points of a curve; a longer history is shown in longer steps."""
PER_STEP = 10
"""Values that a step has on average at least: of fewer, a curve shows chance alone."""
MOST_VALUES = 500
"""Values of a step that its interval is drawn from, the last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """So many of so many, with the 95 % interval of the rate behind it (Wilson)."""

    good: int
    n: int

    @property
    def rate(self) -> float:
        return self.good / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.good, self.n)

    def __add__(self, other: Share) -> Share:
        return Share(good=self.good + other.good, n=self.n + other.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One step of a curve: a value and its 95 % interval."""

    at: float
    """UTC seconds, the middle of the step."""
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One question, answered before and after an update."""

    before: ItemResult
    after: ItemResult

    @property
    def change(self) -> Literal["broke", "fixed", "right", "wrong"]:
        if self.before.right != self.after.right:
            return "fixed" if self.after.right else "broke"
        return "right" if self.after.right else "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One candidate in numbers, with the last verdict on it."""

    verdict: Verdict
    taught: tuple[Share, Share] | None
    """Right before and after, of the questions about what was new, which training never saw; None if there are none."""
    broke: Share | None
    """Of what was right before, how much is wrong now."""

    @property
    def scope(self) -> Scope:
        return self.verdict.scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A verdict with the answers that the gate compared; these are None where they were erased."""

    verdict: Verdict
    before: Evidence | None
    after: Evidence | None

    @property
    def pairs(self) -> list[Pair]:
        """Every question that both versions answered."""
        if self.before is None or self.after is None:
            return []
        earlier = {r.item: r for r in self.before.results}
        return [Pair(before=earlier[r.item], after=r) for r in self.after.results if r.item in earlier]

    @property
    def groups(self) -> list[tuple[str, Share, Share, int, int]]:
        """(group, right before, right after, broke, fixed) of each part of the suite, what is new first."""
        names = dict.fromkeys(p.after.group for p in self.pairs)
        rows: list[tuple[str, Share, Share, int, int]] = []
        for name in sorted(names, key=lambda g: (g != "new", g)):
            pairs = [p for p in self.pairs if p.after.group == name]
            changes = [p.change for p in pairs]
            rows.append((name, *_shares(pairs), changes.count("broke"), changes.count("fixed")))
        return rows

    @property
    def update(self) -> Update:
        """The same in numbers."""
        new = [p for p in self.pairs if p.after.group == "new"]
        broke: Share | None = None
        if self.before is not None and self.after is not None:
            wrong, n, _, _ = regression_rate(self.before, self.after)
            broke = Share(good=wrong, n=n)
        return Update(verdict=self.verdict, taught=_shares(new) if new else None, broke=broke)


def _shares(pairs: Sequence[Pair]) -> tuple[Share, Share]:
    n = len(pairs)
    return (
        Share(good=sum(p.before.right for p in pairs), n=n),
        Share(good=sum(p.after.right for p in pairs), n=n),
    )


def updates(
    store: SqlStore, tenant: str, user: str | None = None, *, known: dict[str, Update], limit: int = 60
) -> list[Update]:
    """The last candidates and what became of them, the newest first, each once: a canary's end comes before the gate's verdict.

    Reading the answers behind a verdict takes long, so that its numbers are kept in `known`; a verdict has them in its reasons anyway."""
    found: dict[tuple[Scope, str], Verdict] = {}
    for _, verdict in store.newest(Verdict, tenant=tenant, user=user, limit=limit):
        found.setdefault((verdict.scope, verdict.candidate), verdict)
    for verdict in found.values():
        if verdict.id not in known:
            known[verdict.id] = comparison_of(store, verdict).update
    return [known[verdict.id] for verdict in found.values()]


def comparison_of(store: SqlStore, verdict: Verdict) -> Comparison:
    """A verdict with its evidence. The gate names the candidate's first, then that of the version it was compared with."""
    gate = verdict
    for record in _causes(store, verdict):
        if isinstance(record, Canary):  # this verdict ended a trial; the evidence is that of the gate's
            gate = next((v for v in _causes(store, verdict) if isinstance(v, Verdict) and v.id == record.verdict), gate)
    evidence = [record for record in _causes(store, gate) if isinstance(record, Evidence)]
    after = evidence[0] if evidence and evidence[0].adapter == verdict.candidate else None
    return Comparison(verdict=verdict, after=after, before=evidence[1] if after and len(evidence) > 1 else None)


def _causes(store: SqlStore, verdict: Verdict) -> Iterator[Record]:
    """The records that a verdict names as its causes and that are still there."""
    for cause in verdict.causes:
        try:
            yield store.get(cause, scope=verdict.scope)
        except NotFound:
            continue


def outcomes(judged: Iterable[Judged]) -> list[tuple[float, bool]]:
    """(when, whether the answer was good) of each judged interaction; the first word on it counts, and a correction says it was not."""
    first: dict[tuple[str, str], tuple[float, bool]] = {}
    for j in judged:
        good = j.name == "rating" and j.score is not None and j.score >= 0.5
        first.setdefault((j.user, j.interaction), (j.at, good))
    return list(first.values())


def good_over_time(judged: Iterable[Judged]) -> list[Point]:
    """The share of judged answers that were good, step by step."""

    def point(values: Sequence[float]) -> tuple[float, float, float]:
        good = round(sum(values))
        return (good / len(values), *wilson(good, len(values)))

    return _curve([(at, float(good)) for at, good in outcomes(judged)], point)


def shown_over_time(served: Iterable[Served]) -> list[Point]:
    """Tokens of notes that an answer was shown, on average, step by step."""
    return _curve([(s.at, float(s.shown_tokens)) for s in served], _mean)


def shown_by_version(served: Iterable[Served]) -> list[tuple[str, Point]]:
    """(adapter, tokens of notes that its answers were shown on average), in the order in which they began to answer."""
    by: dict[str, list[Served]] = {}
    for s in served:
        by.setdefault(s.adapter, []).append(s)
    rows: list[tuple[str, Point]] = []
    for adapter, some in by.items():
        value, low, high = _mean([float(s.shown_tokens) for s in some])
        rows.append((adapter, Point(at=some[0].at, value=value, low=low, high=high, n=len(some))))
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """How many tokens of notes answers with learned weights were shown, beside what the same users' bare base was shown."""

    answers: int
    before: float
    """Tokens an answer under the bare base, on average, each user weighed by their answers with learned weights."""
    after: float

    @property
    def tokens(self) -> int:
        return round((self.before - self.after) * self.answers)


def saved(served: Iterable[Served]) -> Saved | None:
    """None where no user was answered both ways. Questions are not the same before and after, so it is no controlled comparison."""
    users: dict[str, tuple[list[int], list[int]]] = {}
    for s in served:
        users.setdefault(s.user, ([], []))[bool(s.adapter)].append(s.shown_tokens)
    both = [(bare, learned) for bare, learned in users.values() if bare and learned]
    n = sum(len(learned) for _, learned in both)
    if not n:
        return None
    before = sum(sum(bare) / len(bare) * len(learned) for bare, learned in both) / n
    return Saved(answers=n, before=before, after=sum(sum(learned) for _, learned in both) / n)


def _mean(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, low, high); a single value, or values that are all the same, have no spread to show."""
    last = list(values)[-MOST_VALUES:]
    if len(set(last)) < 2:
        return last[-1], last[-1], last[-1]
    return mean_interval(last, resamples=400)


def _curve(
    values: Sequence[tuple[float, float]], point: Callable[[Sequence[float]], tuple[float, float, float]]
) -> list[Point]:
    """Values in steps of whole days, few enough to be drawn."""
    if not values:
        return []
    first, last = min(at for at, _ in values), max(at for at, _ in values)
    most = min(MOST_STEPS, max(1, len(values) // PER_STEP))
    step = DAY_S * max(1, -(-(last - first) // (DAY_S * most)))
    steps: dict[int, list[float]] = {}
    for at, value in sorted(values):
        steps.setdefault(int((at - first // DAY_S * DAY_S) // step), []).append(value)
    start = first // DAY_S * DAY_S
    points: list[Point] = []
    for number, some in sorted(steps.items()):
        value, low, high = point(some)
        points.append(Point(at=start + (number + 0.5) * step, value=value, low=low, high=high, n=len(some)))
    return points
