"""The commands of the loop: tell, ask, consolidate, measure, go back, forget, and look at what there is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from engrain.cli.common import (
    HOME,
    Base,
    Device,
    Embed,
    Home,
    Tenant,
    User,
    app,
    database,
    fail,
    guarded,
    opened,
    there,
    traces_to,
)
from engrain.engines import SPROUT
from engrain.errors import EngrainError, FormatError, InputError, NotFound
from engrain.records import Message, Task, new_id
from engrain.reports import (
    clean,
    day,
    describe,
    forgetting,
    lineage_tree,
    memory_line,
    name_of,
    show_answer,
    standing_of,
    terminal,
    traced,
    version_name,
    version_table,
)

if TYPE_CHECKING:
    from engrain.demo import Question
    from engrain.learner import Learner
    from engrain.records import Interaction


@app.command()
@guarded
def demo(
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Two files and fewer questions, in under two minutes: too little for the gate, which seldom promotes it.",
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the picture of the results goes.")] = Path("engrain-demo.png"),
    home: Annotated[
        Path | None, typer.Option(help="An empty folder to run in and keep.", show_default="a temporary one")
    ] = None,
    base: Base = SPROUT,
    device: Device = "auto",
) -> None:
    """Watch the whole loop on a small workshop's notes: learn, ask, consolidate, correct, forget, roll back.

    Everything is real and measured as it happens. Exit code 1 if a promise is not kept: forgotten text found again,
    answers that differ after a rollback, a broken ledger.

    Example:  engrain demo
    """
    from engrain.demo import run

    broken = run(
        terminal(), base=base.expanduser(), home=home.expanduser() if home else None, quick=quick, out=out.expanduser(),
        device=device,
    )  # fmt: skip
    if broken:
        raise typer.Exit(1)


@app.command()
@guarded
def chat(
    message: Annotated[str | None, typer.Argument(help="What to say or ask; without it, a conversation begins.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what answered and which notes it was shown.")] = False,
    remember: Annotated[bool, typer.Option(help="Keep what a message leaves behind.")] = True,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Where an answer ends at the latest.", show_default="256, or a quarter of a smaller model's window")] = None,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local", device: Device = "auto", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """Talk to it: it answers from its weights and from the notes that fit, and remembers what you say.

    In a conversation it also sees what was said so far, as much as fits the model's window. /good and /bad rate the last
    answer, /correct TEXT says what is right (a bare value will do), /forget takes the last exchange back, /quit or Ctrl-D leaves.

    Example:  engrain chat "What is the gate code of the north barn?"
    """
    console = terminal()
    with opened(home, base, user, tenant, device, embedder) as learner:
        if message is not None:
            answer = learner.chat(message, remember_it=remember, max_tokens=max_tokens)
            show_answer(console, answer, verbose=verbose)
            return
        console.print("Say or ask something; /help shows the commands, Ctrl-D leaves.", style="dim")
        conversation = new_id("chat")
        so_far: tuple[Message, ...] = ()
        last: Interaction | None = None
        while True:
            try:
                line = input("> ").strip()
            except EOFError:
                console.print()
                return
            try:
                if line == "/quit":
                    return
                if line.startswith("/"):
                    last, so_far = obey(console, learner, line, last, so_far)
                elif line:
                    last = learner.chat(
                        [*so_far, Message(role="user", content=line)], conversation=conversation, remember_it=remember,
                        max_tokens=max_tokens,
                    )  # fmt: skip
                    so_far = (*last.messages, Message(role="assistant", content=last.answer))
                    show_answer(console, last, verbose=verbose)
            except EngrainError as error:
                console.print(clean(str(error)), style="red")


def obey(
    console: Console, learner: Learner, line: str, last: Interaction | None, so_far: tuple[Message, ...]
) -> tuple[Interaction | None, tuple[Message, ...]]:
    """A slash command of the conversation; returns the exchange that the next one is about, and the conversation so far.

    An exchange that was forgotten or corrected is no part of it any more: its words would come back in the next answers.
    """
    command, _, rest = line.partition(" ")
    if command not in ("/good", "/bad", "/correct", "/forget"):
        console.print("/good   /bad   /correct TEXT   /forget   /quit", style="dim")
    elif last is None:
        console.print("There is no answer yet; say or ask something first.", style="yellow")
    elif command == "/forget":
        receipt = learner.forget(last.id)
        console.print(f"{len(receipt.removed)} records erased (receipt {receipt.id})", style="dim")
        return None, last.messages[:-1]
    elif command == "/correct":
        given = {f.id for f in learner.feedback(last.id, correction=rest)}
        every = {m.id: m for m in learner.memories(all_states=True)}
        wrong = [every[i].text for m in every.values() if not given.isdisjoint(m.causes) for i in m.retracts]
        console.print("Noted; the next answer uses it.", style="dim")
        for text in wrong:
            console.print(f"Counts as wrong now: {clean(text)}", style="dim", markup=False, soft_wrap=True)
        return last, last.messages[:-1]
    else:
        learner.feedback(last.id, rating=float(command == "/good"))
        console.print("Noted.", style="dim")
    return last, so_far


@app.command()
@guarded
def learn(
    path: Annotated[Path, typer.Argument(help="A folder or file: Markdown, text, or chats as OpenAI JSONL.")],
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local", device: Device = "auto",
) -> None:  # fmt: skip
    """Remember notes and chats of your own: one memory for each bullet and sentence.

    What was learned word for word before is not learned twice, and what a file says no more counts as past; nothing leaves this machine. READMEs, files of questions
    and what begins with a dot are left out of a folder. Exit code 1 if a file could not be read; the others are learned all the same.

    Example:  engrain learn ~/notes
    """
    from engrain.loops.remember import from_path

    console = terminal()
    skipped: list[str] = []
    failed: list[FormatError] = []
    with opened(home, base, user, tenant, device) as learner, console.status("loading the model") as status:
        found, files = from_path(
            learner.store, lambda: learner.engine, path.expanduser(), scope=learner.scope, warn=skipped.append,
            failed=failed, on_file=lambda file: status.update(f"reading {clean(str(file))}"),
        )  # fmt: skip
    for line in skipped:
        console.print(clean(line), style="yellow", soft_wrap=True)
    passing = sum(m.mutable for m in found)
    console.print(
        f"{len(found)} new memories from {files} files"
        + (f"; {passing} of them are passing state and stay in text" if passing else "")
    )
    if failed:
        fail(f"{len(failed)} files could not be learned (named above); mend them, or move them away, and run it again")
    if found:
        console.print("Ask about them: engrain chat. Move them into the weights: engrain consolidate.", style="dim")


@app.command()
@guarded
def tell(
    text: Annotated[str, typer.Argument(help="One note, in a sentence.")],
    about: Annotated[tuple[str, str] | None, typer.Option(metavar="THING ATTRIBUTE", help="Its key: what was told about that before, in a plain sentence or with the same key, holds no longer.")] = None,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Remember what a note states, each fact by itself; the next answer already uses it.

    Example:  engrain tell "The gate code of the north barn is 4417."
    Example:  engrain tell "They changed it: 5521 opens it now." --about "north barn" "gate code"
    """
    with opened(home, base, user, tenant) as learner:
        for memory in learner.tell(text, about=about):
            terminal().print(f"{memory.id}  {memory.kind}  {clean(memory.text)}", soft_wrap=True)


@app.command()
@guarded
def consolidate(
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local", device: Device = "auto"
) -> None:
    """Move what has proved durable into the weights, if the evidence allows it.

    The model studies its notes, trains an adapter, and is asked questions that it never trained on. The gate promotes
    the adapter only if it is better and loses nothing. Ctrl-C keeps each whole step of training: the same command goes on from there.

    Example:  engrain consolidate
    """
    from engrain.demo import progress_bar, show_outcome

    console = terminal()
    with opened(home, base, user, tenant, device) as learner:
        with progress_bar(console) as tick:
            tick("loading the model", 0.0)
            outcome = learner.consolidate(progress=tick)
        show_outcome(console, outcome)
        console.print(f"Live: {name_of(learner.store.live(learner.scope))}", style="bold")


@app.command(name="eval")
@guarded
def evaluate(
    file: Annotated[Path | None, typer.Argument(help='Questions: one {"question": …, "answer": …} a line; an empty answer means not known.')] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Judge every later candidate by these questions, too.")] = False,
    kept: Annotated[bool, typer.Option("--kept", help="Only list the questions that were kept; engrain forget ID withdraws one.")] = False,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local", device: Device = "auto",
) -> None:  # fmt: skip
    """Measure it: the bare base, the base shown its notes, and the live version on the same questions.

    Without a file, the questions are those that the live version never trained on. Nothing of it is recorded, but with
    --keep the questions themselves: they become your own tasks, which no version is ever trained on. Of a question that is kept again,
    the latest answer counts.

    Example:  engrain eval questions.jsonl
    """
    from engrain.demo import measure, read_questions, score_table

    console = terminal()
    with opened(there(home), base, user, tenant, device) as learner:
        if kept:
            own = list(learner.store.select(Task, scope=learner.scope))
            for task in own:
                console.print(f"{task.id}  {clean(task.question)}  {clean(task.answer)}", soft_wrap=True, markup=False)
            if not own:
                console.print("No question of your own was kept yet: engrain eval FILE.jsonl --keep", style="dim")
            return
        if keep and file is None:
            raise InputError("--keep keeps the questions of a file: engrain eval FILE.jsonl --keep")
        questions = read_questions(file.expanduser()) if file else held_out(learner)
        with console.status(f"answering {len(questions)} questions three times"):
            scores = [
                measure(learner, "before", questions, shown="none", version="base", keep=keep),
                measure(learner, "in context", questions, shown="all", version="base"),
                measure(learner, f"live ({name_of(learner.store.live(learner.scope))})", questions, shown="served"),
            ]
    console.print(score_table(scores))
    wrong = [r for r in scores[-1].results if not r.right]
    for result in wrong[:20]:
        console.print(
            f"  wrong: {clean(result.question)}  {clean(result.answer)!r}, expected {clean(result.expected)!r}",
            soft_wrap=True,
        )
    if len(wrong) > 20:
        console.print(f"  and {len(wrong) - 20} more")


def held_out(learner: Learner) -> list[Question]:
    """The questions that the live version was judged by and never trained on."""
    from engrain.demo import Question
    from engrain.records import Adapter, Batch

    live = learner.store.live(learner.scope)
    if not live:
        raise InputError(
            "the bare base is live, so nothing was held out for it; give a file of questions: engrain eval FILE.jsonl"
        )
    adapter = learner.store.get(live, scope=learner.scope)
    assert isinstance(adapter, Adapter)
    batch = learner.store.get(adapter.batch, scope=learner.scope)
    assert isinstance(batch, Batch)
    answers = {e.query[-1].content: e.reference for e in batch.holdout}
    return [Question(text=question, answer=answer) for question, answer in answers.items()]


@app.command()
@guarded
def versions(home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local") -> None:
    """List every version of the weights with the verdict on it; number 0 is the bare base.

    Example:  engrain versions
    """
    with opened(there(home), base, user, tenant) as learner:
        terminal().print(version_table(learner.versions()))


@app.command()
@guarded
def rollback(
    to: Annotated[str | None, typer.Argument(help='A number, a hash or "base"; without it, the version that was live before.')] = None,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Go back to an earlier version in one atomic move; its answers are the same to the bit.

    Example:  engrain rollback        Example:  engrain rollback base
    """
    console = terminal()
    with opened(there(home), base, user, tenant) as learner:
        left, now = learner.store.live(learner.scope), learner.rollback(to)
        every = learner.versions()
        console.print(f"Went from {version_name(left, every)} to {version_name(now, every)}")
        console.print(f"Live: {name_of(now)}", style="bold")


@app.command()
@guarded
def forget(
    what: Annotated[str, typer.Argument(help="An id, source:FILE (or FOLDER), text:EXACT TEXT, or user: for everything.")],
    reason: Annotated[str, typer.Option(help="Why; the ledger keeps it, so it must not repeat the content.")] = "asked by the user",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before everything of a user goes.")] = False,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local", device: Device = "auto",
) -> None:  # fmt: skip
    """Forget for good: the content goes from every record, and the weights that learned it are rebuilt without it.

    A source is a file that was learned, or a folder of such; its path may be typed from anywhere. Prints a receipt of hashes. It cannot be undone.

    Example:  engrain forget "text:The gate code of the north barn is 4417."
    """
    from engrain.demo import progress_bar

    console = terminal()
    there(home)
    if what.startswith("user:") and not yes:
        typer.confirm(f"Forget everything of {tenant}/{user}?", abort=True)
    with opened(home, base, user, tenant, device) as learner:
        try:
            with progress_bar(console) as tick:
                receipt = learner.forget(what, reason=reason, progress=tick)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "Stopped. What is gone is gone; if only the weights were left to rebuild, engrain consolidate does it; if not:"
            ) from None
        console.print(f"Receipt {receipt.id}: {len(receipt.removed)} records erased")
        for old, new in receipt.rebuilt:
            console.print(
                f"  version {old[:12]} rebuilt as {new[:12] or 'nothing: it never answered, or nothing was left to learn'}"
            )
        console.print(f"Live: {name_of(learner.store.live(learner.scope))}", style="bold")


@app.command()
@guarded
def trace(
    record: Annotated[str, typer.Argument(metavar="ID", help="Any id: of a memory, an interaction, a version …")],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object for other tools, in OpenTelemetry's GenAI names.")
    ] = False,
    content: Annotated[bool, typer.Option("--content", help="With --json: also what was said and shown.")] = False,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Follow a record up to what caused it and down to all that it touched; a version by its number, too.

    Forgotten ids stay visible, with what the ledger says of them and the receipt.

    Example:  engrain trace mem_3f9c2a71b04e
    """
    console = terminal()
    with opened(there(home), base, user, tenant) as learner:
        record = meant(learner, record)
        causes, effects = learner.trace(record)  # NotFound or ScopeError, with the remedy
        if as_json:
            print(traced(learner.store, learner.scope, record, causes, effects, content=content))
            return
        console.print(clean(describe(learner.store, record, learner.scope)), style="bold", soft_wrap=True)
        entries, receipts = forgetting(learner.store, record, learner.scope)
        for entry in entries:
            console.print(f"  {day(entry.at)}  {entry.event}  {clean(entry.reason)}", soft_wrap=True)
        for receipt in receipts:
            console.print(f"  {clean(describe(learner.store, receipt.id, learner.scope))}", soft_wrap=True)
        came = lineage_tree("came from", learner.store, record, learner.scope, "causes", causes)
        led = lineage_tree("led to", learner.store, record, learner.scope, "effects", effects)
        for tree in (came, led):
            console.print(tree if tree.children else f"{tree.label}: nothing")


def meant(learner: Learner, record: str) -> str:
    """The whole id: of a version by its number or its beginning, as `rollback` takes it; any other as it stands."""
    from engrain.adapters.versions import resolve

    if "_" in record or learner.store.entries(record, scope=learner.scope):
        return record
    try:
        version = resolve(learner.store, learner.scope, record)
    except NotFound:
        raise NotFound(
            f"{record!r} is no record of {learner.scope}; give an id (engrain memories and engrain versions list some), a version's number, and say whose it is (--user, --tenant)"
        ) from None
    if not version:
        raise InputError(f"{record!r} is the bare base, which came from no record; give a version or another id")
    return version


@app.command()
@guarded
def memories(
    everything: Annotated[bool, typer.Option("--all", help="Also what was superseded or retracted.")] = False,
    at: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="What held then (UTC), by all that is known today.")] = None,
    known: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="What was believed then (UTC), by what had been told by then.")] = None,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """List what is remembered now, with where it came from; or what held, or was believed, on a day. engrain history says why.

    Example:  engrain memories --all        Example:  engrain memories --at 2026-03-02        Example:  engrain memories --known 2026-03-02
    """
    from engrain.memory import as_of, derive

    if everything and (at or known):
        raise InputError("--all and --at or --known: give one of them")
    console = terminal()
    with opened(there(home), base, user, tenant) as learner:
        every = learner.store.history(scope=learner.scope)
        standings = derive(every)
        then, by = (day.replace(tzinfo=UTC).timestamp() if day else None for day in (at, known))
        shown = as_of(every, valid_at=then, recorded_at=by)
        found = [s.memory for s in standings.values()] if everything else shown
    for memory in found:
        if not memory.text:  # it only ends others, which say so
            continue
        state = standing_of(standings[memory.id])
        console.print(memory_line(memory) + state, style="dim" if state else "", soft_wrap=True)
    if not found:
        console.print('Nothing is remembered yet. Begin with: engrain tell "…", or engrain learn PATH', style="dim")


@app.command()
@guarded
def verify(
    expected: Annotated[str | None, typer.Option(help="COUNT:HASH as an earlier verify printed it; proves that history was not rewritten.")] = None,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Check the whole audit trail: every hash, every content, every erasure, every move of the live version.

    Note the line that it prints somewhere else; given back with --expected, it catches even a rewritten ledger.

    Example:  engrain verify
    """
    noted: tuple[int, str] | None = None
    if expected is not None:
        count, _, last = expected.partition(":")
        if not count.isdigit() or len(last) != 64:
            raise InputError(f"--expected {expected!r} is not COUNT:HASH; copy the line that an earlier verify printed")
        noted = int(count), last
    with opened(there(home), base, user, tenant) as learner:
        count_now = learner.store.verify(expected=noted)
        count_head, last = learner.store.head()
    console = terminal()
    console.print(f"{count_now} ledger entries, all right", style="green")
    console.print(f"{count_head}:{last}", soft_wrap=True)


@app.command()
@guarded
def doctor(
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local", device: Device = "auto"
) -> None:
    """Check this installation: versions, processor, model, database, disk, adapters, and who may be called (nobody).

    Exit code 1 if something is wrong.

    Example:  engrain doctor
    """
    from engrain.doctor import examine

    console = terminal()
    found = examine(home.expanduser(), base.expanduser(), device, traces_to(), database())
    for name, good, said in found:
        mark = ("ok   ", "green") if good else ("WRONG", "bold red")
        console.print(Text.assemble(mark, f"  {name:<10} {clean(said)}"), soft_wrap=True)
    if not all(good for _, good, _ in found):
        raise typer.Exit(1)
