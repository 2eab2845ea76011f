"""The whole loop in a few minutes on the repository's own example data, narrated; the promises in it are checked, not told.

What is said of each step is measured in that step: the real Learner, the real model, no canned output.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from engrain.adapters.versions import current, in_weights
from engrain.errors import EngrainError, FormatError, InputError
from engrain.evaluation.statistics import wilson
from engrain.evaluation.suites import is_unknown
from engrain.gateway.answer import Serving, look_up
from engrain.learner import Learner
from engrain.loops.consolidate import Consolidation, Outcome, stale_memories
from engrain.loops.consolidate import Progress as Tick
from engrain.loops.prepare import Preparation
from engrain.loops.study import Study
from engrain.memory import held
from engrain.plots import Bar, bars
from engrain.prompts import UNKNOWN
from engrain.records import Adapter, Example, ItemResult, Message
from engrain.signals import Router

QUICK_NOTES = ("keys.md", "orders.md")
"""The two files of `--quick`: one holds the fact that is corrected, the other the one that is forgotten."""
QUICK_UNKNOWN = 6
COMPARED = 8
"""Answers compared bit by bit before and after a rollback."""

Shown = Literal["none", "all", "served"]
"""Which notes an answer is shown: none, all that fit, or as served: none where the weights know the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with the answer that is expected; an empty answer means that nobody has told it."""

    text: str
    answer: str
    about: str = ""
    """Words of the note that tells it, where known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one version answered a list of questions."""

    name: str
    results: tuple[ItemResult, ...]
    notes: float
    """Mean tokens of notes shown per answer."""
    seconds: float

    @property
    def told(self) -> list[ItemResult]:
        return [r for r in self.results if not is_unknown(r.expected)]

    @property
    def untold(self) -> list[ItemResult]:
        return [r for r in self.results if is_unknown(r.expected)]

    @property
    def tokens(self) -> float:
        """Mean tokens per answer: query, notes and answer."""
        return sum(r.input_tokens + r.output_tokens for r in self.results) / max(1, len(self.results))


def read_questions(path: Path) -> list[Question]:
    """Questions from JSONL: one `{"question": …, "answer": …}` a line, an empty answer for what must not be known.

    FormatError naming the line for anything else, and for a question that is asked twice.
    """
    found: dict[str, Question] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} cannot be read ({error}); give a UTF-8 file of questions") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            question = Question(text=row["question"].strip(), answer=row["answer"].strip(), about=row.get("about", ""))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise FormatError(
                f'{path} line {number} is not {{"question": "…", "answer": "…"}}; write one such object a line'
            ) from None
        if not question.text or question.text in found:
            raise FormatError(f"{path} line {number}: the question is empty or was asked before; take it out")
        found[question.text] = question
    if not found:
        raise FormatError(f'{path} holds no question; write one {{"question": "…", "answer": "…"}} a line')
    return list(found.values())


def measure(
    learner: Learner,
    name: str,
    questions: Sequence[Question],
    *,
    shown: Shown,
    version: str | None = None,
    keep: bool = False,
) -> Score:
    """Let one version (None: the live one) answer each question once, greedily, with the notes that the gateway would show.

    Nothing of it is recorded, so a question that is asked here does not become a training question later; with `keep` the
    questions become the user's own tasks, which no candidate is trained on.
    """
    started = time.perf_counter()
    live = current(learner.store, learner.scope)
    asked = "" if shown != "served" or live is None else live.id
    memories = held([] if shown == "none" else learner.store.history(scope=learner.scope))
    contexts = [
        look_up(
            learner.store, learner.engine, learner.embedder, [Message(role="user", content=q.text)], memories,
            scope=learner.scope, serving=learner.serving, version=asked,
        )
        for q in questions
    ]  # fmt: skip
    examples = [
        Example(query=(Message(role="user", content=q.text),), context=c.text, reference=q.answer or UNKNOWN)
        for q, c in zip(questions, contexts, strict=True)
    ]
    evidence = learner.evaluate(examples, version=version, with_context=True, keep=keep)
    notes = sum(c.tokens for c in contexts) / max(1, len(contexts))
    return Score(name=name, results=evidence.results, notes=notes, seconds=time.perf_counter() - started)


def _learned(learner: Learner) -> frozenset[str]:
    """Ids of the memories that the live version has proved to know."""
    live = current(learner.store, learner.scope)
    return in_weights(learner.store, learner.scope, live) if live else frozenset()


def score_table(scores: Sequence[Score], *, title: str = "") -> Table:
    """The scores as a table: accuracy with its 95 % Wilson interval, don't-knows where nobody told, tokens per answer (of
    them notes), and seconds for all answers."""
    table = Table(
        title=title or None,
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    for heading in ("right", "95 %\ninterval", "don't\nknow", "tokens", "notes", "seconds"):
        table.add_column(heading, justify="right", vertical="bottom", no_wrap=True)
    for score in scores:
        table.add_row(score.name, *_cells(score))
    return table


def _cells(score: Score) -> tuple[str, ...]:
    good, n = sum(r.right for r in score.told), len(score.told)
    low, high = wilson(good, n)
    right, interval = (f"{good}/{n} {good / n:4.0%}", f"{low:.0%} … {high:.0%}") if n else ("-", "-")
    untold = f"{sum(r.right for r in score.untold)}/{len(score.untold)}" if score.untold else "-"
    return right, interval, untold, f"{score.tokens:.0f}", f"{score.notes:.0f}", f"{score.seconds:.1f}"


def picture(scores: Sequence[Score], out: Path, *, title: str) -> None:
    """Save the table's picture; InputError, with the remedy, where matplotlib is missing or `out` cannot be written."""
    rows: list[Bar] = []
    for score in scores:
        good, n = sum(r.right for r in score.told), len(score.told)
        low, high = wilson(good, n)
        rows.append(
            Bar(
                name=score.name,
                rate=good / max(1, n),
                low=low,
                high=high,
                tokens=score.tokens,
                notes=score.notes,
                seconds=score.seconds,
            )
        )
    asked = f"{len(scores[0].told)} questions on what was told" if scores else ""
    bars(rows, out, title=title, subtitle=asked)


@contextmanager
def progress_bar(console: Console) -> Iterator[Tick]:
    """A progress bar with the estimated time left of each stage; yields the callback that long calls take.

    Off a terminal it is a line for each stage, as it begins.
    """
    columns = (
        TextColumn("  {task.description:<20}"), BarColumn(bar_width=30), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        stages: dict[str, TaskID] = {}

        def tick(what: str, share: float) -> None:
            if what not in stages:
                for task in stages.values():
                    bar.update(task, completed=1.0)
                stages[what] = bar.add_task(what, total=1.0)
                if not console.is_terminal:
                    console.print(f"  {what} …")
            bar.update(stages[what], completed=min(1.0, share))

        yield tick
        for task in stages.values():
            bar.update(task, completed=1.0)


def show_outcome(console: Console, outcome: Outcome) -> None:
    """The verdict with its reasons, after the table of held-out questions before, in context and after."""
    if outcome.before is not None and outcome.in_context is not None and outcome.after is not None:
        new = {r.item for r in outcome.before.results}
        after = tuple(r for r in outcome.after.results if r.item in new)
        rows = (("before", outcome.before.results), ("in context", outcome.in_context.results), ("after", after))
        table = Table(
            title="held-out questions on what is new",
            title_justify="left",
            header_style="bold",
            box=SIMPLE_HEAD,
            pad_edge=False,
        )
        for heading in ("", "right", "95 % interval", "tokens per answer"):
            table.add_column(heading, justify="left" if not heading else "right")
        for name, results in rows:
            good, n = sum(r.right for r in results), len(results)
            low, high = wilson(good, n)
            tokens = sum(r.input_tokens + r.output_tokens for r in results) / max(1, n)
            table.add_row(name, f"{good}/{n}", f"{low:.0%} … {high:.0%}", f"{tokens:.0f}")
        console.print(table)
    to_text = [s for s in outcome.signals if s.route == "text"]
    console.print(f"  {len(outcome.signals) - len(to_text)} memories for the weights, {len(to_text)} stay in text")
    if outcome.verdict is None:
        console.print(f"  Nothing was trained: {outcome.reason}.", style="yellow")
        return
    verdict = outcome.verdict
    colour = {"promote": "green", "hold": "yellow", "reject": "red"}[verdict.decision]
    console.print(f"  Verdict: {verdict.decision}", style=f"bold {colour}")
    for reason in verdict.reasons:
        console.print(f"   · {reason}")
    console.print(
        f"  {len(verdict.fixed)} questions fixed, {len(verdict.broke)} broke, in {outcome.seconds:.0f} s; version {outcome.adapter[:12]}, {outcome.scale:.0%} of the update"
    )
    asked = outcome.after.results if outcome.after is not None else ()
    for place in verdict.broke if asked else ():
        console.print(f"   broke: {asked[int(place)].question}", style="red", markup=False)


# ---- the demo -------------------------------------------------------------------------------------------------------


def workshop() -> Path:
    """The example data: beside this file in an installed wheel, at the top of a checkout."""
    here = Path(__file__).resolve()
    for folder in (here.parent / "examples" / "workshop", here.parents[2] / "examples" / "workshop"):
        if (folder / "questions.jsonl").is_file():
            return folder
    raise InputError(f"the example data (examples/workshop) is not in {here.parent}; install engrain again")


def settings(*, quick: bool) -> Consolidation:
    """What a consolidation of the demo does; it does not wait a day for what was said in chat to settle."""
    router = Router(settle_s=0.0)
    if quick:
        return Consolidation(
            router=router, preparation=Preparation(study=Study(rounds=1)), least_steps=32, most_steps=32, batch_size=16,
            learning_rate=6e-3, plan={"hold": 8.0}, gate_items=240, scales=(0.7,),
        )  # fmt: skip
    # The forgetting trains and judges once more, so a demo has time for a few memories only (the others stay in text), and for
    # half the items by which the scale is chosen.
    return Consolidation(router=replace(router, most=16), scale_items=360)


def places(home: Path, secret: str) -> list[str]:
    """The files of a home in which a text still stands as words of its own, with how often.

    A digit or letter beside it is another word (hashes are full of digits), but for what SQLite writes around a word of its own in a row:
    how long it is and three kinds of numbers before it, and any byte of a number behind it.
    """
    word = re.escape(secret.encode())
    row = re.escape(bytes([min(13 + 2 * len(secret.encode()), 127)])) + rb"[\x01-\x09]{3}[\x00-\xff]{0,3}?" + word
    wanted = re.compile(rb"(?<![0-9A-Za-z.])" + word + rb"(?![0-9A-Za-z])|" + row, re.I)
    found = {p: len(wanted.findall(_bytes(p))) for p in sorted(home.rglob("*")) if p.is_file()}
    return [f"{path.relative_to(home)} holds {count} times" for path, count in found.items() if count]


def _bytes(path: Path) -> bytes:
    """What a file holds, read by a process of its own: whoever closes a file drops the locks that an open store holds on it."""
    return subprocess.run(["cat", "--", path], stdout=subprocess.PIPE, check=True).stdout


def run(
    console: Console, *, base: Path, home: Path | None = None, quick: bool = False, out: Path | None = None,
    consolidation: Consolidation | None = None, device: str = "auto",
) -> list[str]:  # fmt: skip
    """Run the demo; returns the promises that were not kept (none, one hopes).

    In `home`, which must be new or empty and is kept, or else in a temporary folder that is removed. Ctrl-C removes what
    the demo wrote and raises KeyboardInterrupt with a line that says so.
    """
    if out is not None and not out.resolve().parent.is_dir():
        raise InputError(f"{out.resolve().parent} does not exist; make it, or give another --out")
    if home is not None and home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise InputError(f"{home} is not empty; give the demo a new folder, or none for a temporary one")
    made = home is not None and not home.exists()
    where = home or Path(tempfile.mkdtemp(prefix="engrain-demo-"))
    finished = False
    try:
        how = consolidation or settings(quick=quick)
        with Learner(
            where,
            base=base,
            consolidation=how,
            serving=Serving(),
            device=device,
            embedder="hashed",  # the same figures whatever is installed
        ) as learner:
            demo = _Demo(console=console, learner=learner, data=workshop(), quick=quick)
            demo.run(out)
        finished = True
        if home is not None:
            console.print(f"\nThe home is kept. Look around: engrain versions --home {home}")
        return demo.broken
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Stopped. What the demo wrote in {where} is removed; nothing else was touched."
        ) from None
    finally:
        if home is None or (made and not finished):
            shutil.rmtree(where, ignore_errors=True)
        elif not finished:
            for path in where.iterdir():
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


@dataclass(slots=True, kw_only=True)
class _Demo:
    console: Console
    learner: Learner
    data: Path
    quick: bool
    broken: list[str] = field(default_factory=list[str])
    scores: list[Score] = field(default_factory=list[Score])
    questions: list[Question] = field(default_factory=list[Question])
    number: int = 0
    started: float = field(default_factory=time.perf_counter)

    def run(self, out: Path | None) -> None:
        self.learn()
        self.ask_before()
        base_bits = self.bits()
        outcome = self.consolidate()
        self.ask_after(outcome)
        self.correct()
        self.forget()
        self.roll_back(base_bits)
        self.prove()
        self.console.rule("the whole of it", align="left")
        self.console.print(score_table(self.scores))
        self.console.print(
            "don't know: of the questions on what was not told. tokens: per answer, the notes included. "
            "after: notes are shown only for what the weights do not know; weights alone: no notes at all. "
            "The corrected fact counts with its new value, the forgotten one as not told."
        )
        self.console.print(f"{time.perf_counter() - self.started:.0f} s in all")
        if out is not None:
            try:
                picture(self.scores, out, title="A small workshop: told, learned, corrected, forgotten, rolled back")
                self.console.print(f"Picture: {out}")
            except InputError as error:
                self.console.print(str(error), style="yellow")
        for promise in self.broken:
            self.console.print(f"NOT KEPT: {promise}", style="bold red")

    # -- the steps ----------------------------------------------------------------------------------------------------

    def learn(self) -> None:
        self.step("Learn", "A workshop's notes and chats become memory at once.")
        with self.console.status("reading; the model is loaded"):
            started = time.perf_counter()
            parts = (
                [self.data / "notes" / n for n in QUICK_NOTES]
                if self.quick
                else [self.data / "notes", self.data / "chats"]
            )
            counts = {path.name: len(self.learner.tell(path)) for path in parts}
        self.questions = read_questions(self.data / "questions.jsonl")
        if self.quick:
            texts = [m.text for m in self.learner.memories()]
            untold = [q for q in self.questions if not q.answer][:QUICK_UNKNOWN]
            self.questions = [q for q in self.questions if q.answer and any(q.about in t for t in texts)] + untold
        for name, count in counts.items():
            self.say(f"{name}: {count} memories")
        self.say(
            f"{len(self.learner.memories())} hold now, {time.perf_counter() - started:.1f} s (the model's loading included)"
        )

    def ask_before(self) -> None:
        told = sum(bool(q.answer) for q in self.questions)
        self.step("Ask", f"{told} questions on what was told, {len(self.questions) - told} on what was not.")
        self.score("before", shown="none")
        self.score("in context", shown="all")

    def consolidate(self) -> Outcome:
        self.step("Consolidate", "What is durable moves into an adapter; it goes live only if the evidence allows it.")
        with progress_bar(self.console) as tick:
            outcome = self.learner.consolidate(progress=tick)
        show_outcome(self.console, outcome)
        if outcome.verdict is not None and (outcome.verdict.decision == "promote") != bool(self.live):
            self.broken.append(
                f"the verdict was {outcome.verdict.decision}, but {self.live[:12] or 'the base'} is live"
            )
        return outcome

    def ask_after(self, outcome: Outcome) -> None:
        self.step("Ask again", "The same questions; no note is shown for what the weights know.")
        taught: tuple[str, ...] = ()
        if not self.live:
            why = "The gate did not let it through" if outcome.verdict is not None else "Nothing was trained"
            self.say(f"{why}, so the base answers on, with all the notes.", style="yellow")
            if self.quick:
                self.say("--quick learns for a minute, seldom enough to convince the gate; without it more is learned.")
        else:
            adapter = self.learner.store.get(self.live, scope=self.learner.scope)
            assert isinstance(adapter, Adapter)
            taught = adapter.memory_ids
            known = len(_learned(self.learner))
            self.say(f"{known} of {len(taught)} trained memories were proved to be in the weights")
        self.score("after", shown="served")
        alone = self.score("after, weights alone", shown="none")
        texts = [m.text for m in self.learner.memories(all_states=True) if m.id in taught]
        asked = {q.text for q in self.questions if q.answer and q.about and any(q.about in t for t in texts)}
        if asked:
            right = sum(r.right for r in alone.results if r.question in asked)
            self.say(
                f"  {len(asked)} of the questions are about what it was taught: {right} right from the weights alone"
            )

    def correct(self) -> None:
        self.step("Correct", "The user corrects one fact; the next answer uses it.")
        told = json.loads((self.data / "correction.json").read_text(encoding="utf-8"))
        first = self.learner.chat(told["question"])
        self.learner.feedback(first.id, correction=told["correction"])
        second = self.learner.chat(told["question"])
        self.say(f"{told['question']}")
        self.say(f"  before: {first.answer}")
        self.say(f"  told:   {told['correction']}")
        self.say(f"  now:    {second.answer}")
        texts = {m.id: m.text for m in self.learner.memories()}
        if told["correction"] not in [texts.get(i) for i in second.context.memory_ids]:
            self.broken.append("the correction was not shown to the very next answer")
        if told["wrong"] in texts.values():
            self.broken.append("the corrected note still holds")
        old = stale_memories(self.learner.store, self.learner.scope)
        if self.live and old:
            self.say(
                f"version {self.live[:12]} is stale: {len(old)} of its memories no longer hold; text overrides them"
            )
        self.questions = [
            replace(q, answer=told["answer"]) if q.text == told["question"] else q for q in self.questions
        ]

    def forget(self) -> None:
        self.step("Forget", "One fact goes from every record and from the weights.")
        told = json.loads((self.data / "forget.json").read_text(encoding="utf-8"))
        home, secrets = self.learner.home, (told["text"].rstrip("."), told["answer"])
        before = [f"{place} {secret!r}" for secret in secrets for place in places(home, secret)]
        asked = self.learner.chat(told["question"])
        self.say(f"{told['question']}  {asked.answer}")
        self.say(f"in the files of the home: {'; '.join(before) or 'nothing found'}")
        with progress_bar(self.console) as tick:
            started = time.perf_counter()
            receipt = self.learner.forget(f"text:{told['text']}", progress=tick)
        self.say(
            f"receipt {receipt.id}: {len(receipt.removed)} records erased in {time.perf_counter() - started:.0f} s"
        )
        for old, new in receipt.rebuilt:
            self.say(f"  version {old[:12]} -> {new[:12] or 'none: nothing of it answered anybody'}")
        again = self.learner.chat(told["question"])
        self.say(f"{told['question']}  {again.answer}")
        after = [f"{place} {secret!r}" for secret in secrets for place in places(home, secret)]
        self.say(f"in the files of the home: {'; '.join(after) or 'nothing found'}")
        if not before:
            self.broken.append("the secret was found nowhere before it was forgotten, so the search proves nothing")
        if after:
            self.broken.append(f"the forgotten text is still in {'; '.join(after)}")
        self.questions = [replace(q, answer="") if q.text == told["question"] else q for q in self.questions]
        self.score("after forgetting", shown="served")

    def roll_back(self, base_bits: list[tuple[Any, ...]]) -> None:
        self.step("Roll back", "One move goes back, another one forth; the answers are the same to the bit.")
        version = self.live
        if version:
            bits = self.bits()
            self.learner.rollback("base")
            self.compare("the base", base_bits)
            self.score("after rollback", shown="served")
            self.learner.rollback(version)
            self.compare(f"version {version[:12]}", bits)
        else:
            self.say("The base was live all the time; there is nothing to roll back to.")
            self.compare("the base", base_bits)
            self.score("after rollback", shown="served")

    def prove(self) -> None:
        self.step("Verify and trace", "The ledger is checked, and one answer followed up to its note and down from it.")
        try:
            self.say(f"ledger: {self.learner.store.verify()} entries, all right")
        except EngrainError as error:
            self.broken.append(f"the ledger: {error}")
        interaction = self.learner.chat(next(q.text for q in self.questions if q.answer))
        self.say(f"{interaction.query}  {interaction.answer}")
        up, _ = self.learner.trace(interaction.id)
        kinds: dict[str, list[str]] = {}
        for node in up:
            kinds.setdefault(node.kind or "unknown", []).append(node.id[:16])
        for kind, ids in kinds.items():
            self.say(f"  came from {len(ids)} {kind}: {', '.join(ids[:3])}{' …' if len(ids) > 3 else ''}")
        notes = [n.id for n in up if n.kind == "memory"]
        if notes:
            _, down = self.learner.trace(notes[0])
            touched = [n for n in down if n.kind == "adapter"]
            self.say(f"  {notes[0]} led to {len(down)} records, {len(touched)} versions of the weights among them")
        else:
            self.broken.append("an answer does not trace back to any note")

    # -- small helpers ------------------------------------------------------------------------------------------------

    @property
    def live(self) -> str:
        return self.learner.store.live(self.learner.scope)

    def step(self, name: str, what: str) -> None:
        self.number += 1
        self.console.print()
        self.console.rule(f"{self.number}. {name}", align="left")
        self.console.print(what, style="italic")

    def say(self, text: str, *, style: str = "") -> None:
        self.console.print(f"  {text}", style=style or None)

    def score(self, name: str, *, shown: Shown) -> Score:
        with self.console.status(f"answering {len(self.questions)} questions"):
            score = measure(self.learner, name, self.questions, shown=shown)
        self.scores.append(score)
        right, interval, untold, tokens, notes, seconds = _cells(score)
        self.say(f"{name}: {right} right ({interval}), don't know {untold} where untold", style="bold")
        self.say(f"  {tokens} tokens per answer, {notes} of them notes; {seconds} s")
        return score

    def bits(self) -> list[tuple[Any, ...]]:
        """Token ids and log-probabilities of some answers of the live version, without notes."""
        secret = json.loads((self.data / "forget.json").read_text(encoding="utf-8"))["question"]
        asked = [q.text for q in self.questions if q.answer and q.text != secret][:COMPARED]
        answers = [self.learner.chat(text, memory=False) for text in asked]
        return [(a.query, a.token_ids, a.logprobs) for a in answers]

    def compare(self, what: str, before: list[tuple[Any, ...]]) -> None:
        queries = [b[0] for b in before]
        now = [self.learner.chat(q, memory=False) for q in queries]
        same = sum((a.query, a.token_ids, a.logprobs) == b for a, b in zip(now, before, strict=True))
        self.say(f"{what} is live: {same} of {len(before)} answers are the same, token ids and log-probabilities")
        if same != len(before):
            self.broken.append(f"after rollback to {what}, {len(before) - same} of {len(before)} answers differ")
