"""The one training loop: context distillation, one minibatch, and a run of many.

student answers from the query alone
teacher, shown context + query, says how likely each next token of that answer was
the difference trains the student
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch
from torch import Tensor

from engrain.errors import BatchRefused, InputError, TrainingFailed
from engrain.learning import losses
from engrain.learning.methods import ForwardKL
from engrain.prompts import add_context
from engrain.protocols import Answered, Conversation, Method, Student
from engrain.records import Example

Query = Conversation | Example
Tokens = Sequence[int]

ROLES = ("new", "replay", "guard")

AIMED = 400
"""Examples, of what is learned and of what must stay, that show which directions they differ in."""

ZERO_SIGNAL = 1e-3
"""KL(teacher || student), nats per token, below which there is nothing to learn (bfloat16 alone makes some 1e-4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one minibatch did. Losses, KL and entropies are in nats per token, before the update."""

    loss: float
    kl: tuple[float, ...]
    """KL(teacher || student) of each query, mean over its answer's tokens: what is still to be learned."""
    entropy: float
    """Of the student."""
    teacher_entropy: float
    gradient_norm: float
    tokens: int
    """Answer tokens that were compared."""


def context_distill(
    student: Student,
    queries: Sequence[Query],
    build_context: Callable[[Query], str | Conversation],
    *,
    method: Method | None = None,
    learning_rate: float,
    temperature: float = 1.0,
    seed: int = 0,
    answers: Sequence[Tokens] | None = None,
    weights: Sequence[float] | None = None,
) -> StepReport:
    """One minibatch of context distillation: the student learns to answer `queries` as if shown their context.

    `build_context(query)` is what only the teacher sees: text for a system message, or the teacher's whole
    conversation; "" shows it the bare query, which holds the student to its accepted version there. `answers`, drawn
    earlier by `draw_answers`, saves drawing them again. `weights` (positive) say how much each query's tokens count
    against the others'; 1 if left out. BatchRefused if no token can be learned from; TrainingFailed
    if a loss or a gradient is not finite: the student must then be thrown away, and the live version stays.
    """
    method = method or ForwardKL()
    prompts = [_conversation(query) for query in queries]
    shown = [_shown(prompt, build_context(query)) for prompt, query in zip(prompts, queries, strict=True)]
    if answers is None:
        answers = draw_answers(student, queries, build_context, method=method, temperature=temperature, seed=seed)
    student_BTV, mask_BT = student.logits(prompts, answers, teacher=False)
    teacher_BTV, _ = student.logits(shown, answers, teacher=True)
    loss = _loss(method, student_BTV, teacher_BTV, _tensor(answers, mask_BT), mask_BT, weights or [1.0] * len(queries))
    if not torch.isfinite(loss):
        raise TrainingFailed(f"loss is {loss.item()}; lower the learning rate ({learning_rate}) or check the batch")
    kl, entropy, teacher_entropy = _measure(student_BTV, teacher_BTV, mask_BT)
    norm = student.step(loss, learning_rate=learning_rate)
    return StepReport(
        loss=loss.item(),
        kl=kl,
        entropy=entropy,
        teacher_entropy=teacher_entropy,
        gradient_norm=norm,
        tokens=int(mask_BT.sum()),
    )


def context_signal(
    student: Student,
    queries: Sequence[Query],
    build_context: Callable[[Query], str | Conversation],
    answers: Sequence[Tokens],
) -> tuple[float, ...]:
    """How far the student is from its teacher on each: KL(teacher || student), nats per token; trains nothing."""
    prompts = [_conversation(query) for query in queries]
    shown = [_shown(prompt, build_context(query)) for prompt, query in zip(prompts, queries, strict=True)]
    with torch.no_grad():
        student_BTV, mask_BT = student.logits(prompts, answers, teacher=False)
    teacher_BTV, _ = student.logits(shown, answers, teacher=True)
    return _measure(student_BTV, teacher_BTV, mask_BT)[0]


def draw_answers(
    student: Student,
    queries: Sequence[Query],
    build_context: Callable[[Query], str | Conversation],
    *,
    method: Method,
    temperature: float,
    seed: int,
) -> list[list[int]]:
    """The answers that `method` learns on: the student's own to the bare query, or its teacher's, shown the context."""
    prompts = [_conversation(query) for query in queries]
    answers: list[list[int]] = [[] for _ in queries]
    by_teacher = [_taught_by_teacher(method, query, seed) for query in queries]
    for teacher in (False, True):
        mine = [i for i, taught in enumerate(by_teacher) if taught == teacher]
        shown = [_shown(prompts[i], build_context(queries[i])) if teacher else prompts[i] for i in mine]
        drawn = student.sample(shown, temperature=temperature, seed=seed, teacher=teacher)
        for i, answer in zip(mine, drawn, strict=True):
            answers[i] = answer
    return answers


def _taught_by_teacher(method: Method, query: Query, seed: int) -> bool:
    """Whether the teacher answers this time; with "both" that is every other time, by content and seed, and always for a guard:
    there the student says the same, or should."""
    if method.answers == "both":
        if isinstance(query, Example) and query.role == "guard":
            return True
        return _seed(seed, *((m.role, m.content) for m in _conversation(query))) % 2 == 0
    return method.answers == "teacher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a run trains.

    The default learns on the student's and the teacher's likeliest answers in turn. Measured on a small reader, 32 facts
    of one to four words, 100 steps, unseen phrasing, two seeds: both 72 %, teacher's alone 67 %, student's sampled ones
    alone 44 %. On its own answers alone a student meets the second word of a fact only after it has learned the first.
    """

    method: Method = field(default_factory=lambda: ForwardKL(answers="both"))
    batch_size: int = 36
    new: float = 0.5
    """Shares of each minibatch: what is being learned, what was learned before, and unrelated prompts. A role without
    examples leaves its share to the others."""
    replay: float = 0.1
    guard: float = 0.4
    hold: float = 2.0
    """How much a guard's tokens count against those of what is learned: a few long prompts hold as well as many."""
    learning_rate: float = 4e-3
    warmup: int = 10
    """Steps of rising learning rate; afterwards it falls along a cosine to a tenth."""
    temperature: float = 0.0
    """Of the drawn answers; 0 takes the likeliest."""
    refresh: int = 8
    """Steps between two drawings of answers. Drawing many at once is cheap; answers this old are nearly on-policy."""
    aim: bool = True
    """Where there are guards, confine the update to directions in which what is learned stands out from them
    (`Student.aim`): far less else changes. docs/decisions/0010."""
    enough: float = 0.0
    """Stop early once the mean KL of new examples over one refresh falls below this many nats per token; 0: never."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainState:
    """Where a run stands after `step` steps: with the student's own state, all that it needs to go on."""

    step: int = 0
    answers: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """The answer that each example (by content hash) is trained on until the next refresh."""
    kl: tuple[float, ...] = ()
    """Mean KL of the new examples at each step so far, nats per token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What a run did."""

    steps: int
    tokens: int
    """Answer tokens compared in this process."""
    kl_before: float
    """KL(teacher || student) of the first step's new examples, before any update, in nats per token."""
    kl_after: float
    """The same, mean over the last refresh."""
    stopped: str
    """`steps` (all were run) or `enough` (the student had caught up)."""


def context_learning(
    student: Student,
    examples: Sequence[Example],
    steps: int,
    *,
    plan: Plan | None = None,
    on_step: Callable[[TrainState, StepReport], None] | None = None,
    start: TrainState | None = None,
) -> TrainReport:
    """Teach a student a set of examples in `steps` minibatches of `context_distill`.

    What is trained, and in which order, follows from the examples' content and `plan.seed` alone: neither their order
    of arrival nor their ids matter. `on_step` is called after every step (progress; raise in it to stop). Keep its
    state beside the student's, and `start` from it goes on as if nothing had happened. BatchRefused if teacher and
    student agree from the start; TrainingFailed if the run diverges or collapses.
    """
    plan, state = plan or Plan(), start or TrainState()
    if steps < 1:
        raise InputError(f"steps={steps}; give at least 1")
    schedule = Schedule(examples, plan)
    if plan.aim and (guards := schedule.some(AIMED, "guard")):
        student.aim(*(_answered(student, some) for some in (schedule.some(AIMED, "new", "replay"), guards)))
    tokens, stopped = 0, "steps"
    for step in range(state.step, steps):
        batch = schedule.minibatch(step)
        fresh = state.answers
        if step % plan.refresh == 0:
            ahead = {e.hash: e for s in range(step, min(step + plan.refresh, steps)) for e in schedule.minibatch(s)}
            seed = _seed(plan.seed, "answers", step)
            drawn = draw_answers(
                student, list(ahead.values()), _context, method=plan.method, temperature=plan.temperature, seed=seed
            )
            fresh = {name: tuple(answer) for name, answer in zip(ahead, drawn, strict=True)}
            if step == 0:
                _check_signal(student, [e for e in ahead.values() if e.role == "new"], fresh, plan.batch_size)
        report = context_distill(
            student,
            batch,
            _context,
            method=plan.method,
            learning_rate=_learning_rate(plan, step, steps),
            answers=[fresh[e.hash] for e in batch],
            weights=[plan.hold if e.role == "guard" else 1.0 for e in batch],
        )
        new = fmean(kl for kl, e in zip(report.kl, batch, strict=True) if e.role == "new")
        state = TrainState(step=step + 1, answers=fresh, kl=(*state.kl, new))
        tokens += report.tokens
        if on_step is not None:
            on_step(state, report)
        if state.step % plan.refresh == 0:
            _check_health(state.kl, report, plan.refresh)
            if fmean(state.kl[-plan.refresh :]) < plan.enough:
                stopped = "enough"
                break
    after = fmean(state.kl[-plan.refresh :])
    return TrainReport(steps=state.step, tokens=tokens, kl_before=state.kl[0], kl_after=after, stopped=stopped)


class Schedule:
    """Which examples each step trains on. Each role goes through its examples in rounds, each freshly shuffled."""

    def __init__(self, examples: Sequence[Example], plan: Plan) -> None:
        # The same words in two roles are one example, in the more demanding role; the order of arrival does not decide.
        distinct = {e.hash: e for role in reversed(ROLES) for e in examples if e.role == role}
        self._roles = {role: sorted(h for h, e in distinct.items() if e.role == role) for role in ROLES}
        self._examples, self._seed = distinct, plan.seed
        if not self._roles["new"]:
            raise BatchRefused(f"0 of {len(examples)} examples are new; there is nothing to learn")
        shares = {r: s for r, s in zip(ROLES, (plan.new, plan.replay, plan.guard), strict=True) if self._roles[r]}
        if min(shares.values()) < 0 or shares["new"] <= 0 or plan.batch_size < len(shares):
            raise InputError(
                f"shares {shares} of batch_size={plan.batch_size}; give positive shares and room for each role"
            )
        total = sum(shares.values())
        self._counts = {
            r: max(1, round(plan.batch_size * s / total)) for r, s in shares.items() if r != "new" and s > 0
        }
        self._counts = {"new": max(1, plan.batch_size - sum(self._counts.values())), **self._counts}
        self._rounds: dict[tuple[str, int], list[str]] = {}

    def minibatch(self, step: int) -> list[Example]:
        """The examples of one step, the same whenever it is asked for; one that is due twice is taken once."""
        names: dict[str, None] = {}
        for role, count in self._counts.items():
            size = len(self._roles[role])
            for place in range(step * count, (step + 1) * count):
                names[self._shuffled(role, place // size)[place % size]] = None
        return [self._examples[name] for name in names]

    def some(self, count: int, *roles: str) -> list[Example]:
        """At most `count` examples of these roles, drawn by content and seed."""
        names = [name for role in roles for name in self._roles[role]]
        return [self._examples[n] for n in sorted(names, key=lambda n: _seed(self._seed, "some", n))[:count]]

    def _shuffled(self, role: str, number: int) -> list[str]:
        key = role, number
        if key not in self._rounds:
            self._rounds[key] = sorted(self._roles[role], key=lambda name: _seed(self._seed, role, number, name))
        return self._rounds[key]


def _answered(student: Student, queries: Sequence[Query]) -> Answered:
    """The bare queries, and what the teacher, shown their context, answers."""
    teachers = ForwardKL(answers="teacher")
    answers = draw_answers(student, queries, _context, method=teachers, temperature=0.0, seed=0)
    return [_conversation(query) for query in queries], answers


def _check_signal(student: Student, new: Sequence[Example], answers: Mapping[str, Tokens], size: int) -> None:
    """Before the first step: is there anything to learn? Adam would blow up the rounding errors of a zero gradient."""
    signal = 0.0
    for start in range(0, len(new), size):
        some = new[start : start + size]
        signal = max(signal, *context_signal(student, some, _context, [answers[e.hash] for e in some]))
        if signal >= ZERO_SIGNAL:
            return
    raise BatchRefused(
        f"teacher and student agree on every new example (at most {signal:.1e} nats per token apart); the context "
        "changes nothing, or is known already: keep it in text"
    )


def _check_health(kl: Sequence[float], last: StepReport, window: int) -> None:
    """After each refresh: is the student still on its way to the teacher?"""
    first, now = kl[0], fmean(kl[-window:])
    if now > 2 * first + 0.5:
        raise TrainingFailed(f"training diverged: KL to the teacher rose from {first:.2f} to {now:.2f} nats per token")
    if last.entropy < 0.01 * last.teacher_entropy and last.teacher_entropy > 0.1 and now > first:
        raise TrainingFailed(
            f"the student collapsed: its entropy is {last.entropy:.4f} nats per token where the teacher's is "
            f"{last.teacher_entropy:.2f}, and it is no closer to the teacher than at the start"
        )


def _loss(
    method: Method,
    student_BTV: Tensor,
    teacher_BTV: Tensor,
    answer_BT: Tensor,
    mask_BT: Tensor,
    weights: Sequence[float],
) -> Tensor:
    """The method's loss over all real tokens, those of each query counted `weights` times."""
    parts: list[Tensor] = []
    counted = 0.0
    for weight in sorted(set(weights)):
        rows = torch.tensor([i for i, w in enumerate(weights) if w == weight], device=mask_BT.device)
        tokens = weight * float(mask_BT[rows].sum())
        parts.append(tokens * method.loss(student_BTV[rows], teacher_BTV[rows], answer_BT[rows], mask_BT[rows]))
        counted += tokens
    return torch.stack(parts).sum() / counted


def _measure(student_BTV: Tensor, teacher_BTV: Tensor, mask_BT: Tensor) -> tuple[tuple[float, ...], float, float]:
    """KL(teacher || student) of each row, and the mean entropies of student and teacher, in nats per token."""
    student_BTV = student_BTV.detach()
    student_NV, teacher_NV = losses.real_tokens(mask_BT, student_BTV, teacher_BTV)
    student_NV, teacher_NV = student_NV.log_softmax(-1), teacher_NV.log_softmax(-1)
    likely_NV = teacher_NV.exp()
    entropy_N = -(likely_NV * teacher_NV).sum(-1)
    kl_N = -(likely_NV * student_NV).sum(-1) - entropy_N
    kl_B = kl_N.new_zeros(len(mask_BT)).index_add_(0, mask_BT.nonzero()[:, 0], kl_N) / mask_BT.sum(1)
    own_N = -(student_NV.exp() * student_NV).sum(-1)
    return tuple(kl_B.clamp(min=0).tolist()), own_N.mean().item(), entropy_N.mean().item()


def _conversation(query: Query) -> Conversation:
    return query.query if isinstance(query, Example) else query


def _context(query: Query) -> str:
    assert isinstance(query, Example)
    return query.context


def _shown(query: Conversation, context: str | Conversation) -> Conversation:
    """What the teacher reads: a context text joins the system message; a whole conversation stands for itself."""
    return add_context(context, query) if isinstance(context, str) else context


def _tensor(answers: Sequence[Tokens], mask_BT: Tensor) -> Tensor:
    """Answer tokens [B, T], right-padded with 0."""
    answer_BT = torch.zeros_like(mask_BT, dtype=torch.long)
    for row, answer in zip(answer_BT, answers, strict=True):
        row[: len(answer)] = torch.tensor(list(answer))
    return answer_BT


def _learning_rate(plan: Plan, step: int, steps: int) -> float:
    rise = min(1.0, (step + 1) / max(1, plan.warmup))
    return plan.learning_rate * rise * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / max(1, steps))))


def _seed(*parts: object) -> int:
    """63 bits that depend on every part and on nothing else."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8], "big") >> 1
