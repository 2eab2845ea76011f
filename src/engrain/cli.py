"""The terminal's door to engrain, and the only place that reads the environment (ENGRAIN_HOME, ENGRAIN_BASE).

Everything heavy is imported inside the command that needs it, so that `engrain --help` answers at once.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from engrain.errors import EngrainError, InputError, NotFound

if TYPE_CHECKING:
    from engrain.demo import Question
    from engrain.learner import Learner
    from engrain.records import Interaction, Scope
    from engrain.store import Node, SqlStore

app = typer.Typer(
    name="engrain",
    help="What you tell engrain, it uses at once and comes to know.\n\n"
    "Try it in this order:  engrain demo --quick,  engrain tell,  engrain chat,  engrain consolidate.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown",
)  # fmt: skip

SPROUT = Path(__file__).parent / "engines" / "sprout"
Home = Annotated[Path, typer.Option(envvar="ENGRAIN_HOME", help="The folder that everything is kept in.")]
Base = Annotated[
    Path,
    typer.Option(envvar="ENGRAIN_BASE", help="The model: a decoder-only Hugging Face folder.", show_default="sprout"),
]
User = Annotated[str, typer.Option(help="Whose memory and weights; nobody learns from somebody else.")]
Tenant = Annotated[str, typer.Option(help="The group of users that the user belongs to.")]
HOME = Path("~/.engrain")
WIDEST = 8
"""Branches of one record that `trace` shows before it counts the rest."""


def main() -> None:
    """The `engrain` command."""
    # Before transformers is imported anywhere: the hub client reads it once.
    os.environ["HF_HUB_OFFLINE"] = "1"
    app()


# ---- what every command shares --------------------------------------------------------------------------------------


def terminal(*, stderr: bool = False) -> Console:
    """A console that prints what users and models wrote as it stands: no markup, no emoji codes."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def clean(text: str) -> str:
    """The text without control characters, which could move the cursor or hide what stands there."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Every engrain error becomes one red line and exit code 1; Ctrl-C exits 130 and says what to run again."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except EngrainError as error:
            fail(str(error))
        except KeyboardInterrupt as stop:
            again = shlex.join(["engrain", *sys.argv[1:]])
            said = str(stop) or "Stopped. Nothing is lost: what was acknowledged is on disk."
            terminal(stderr=True).print(f"\n{said}\nRun again: {again}", style="yellow", soft_wrap=True)
            raise typer.Exit(130) from None

    return run


def fail(message: str) -> None:
    """One red line on stderr, exit code 1."""
    line = " ".join(clean(message).split())
    terminal(stderr=True).print(line, style="red", soft_wrap=True)
    raise typer.Exit(1)


def opened(home: Path, base: Path, user: str, tenant: str) -> Learner:
    """The Learner of this user; the model is loaded only by what needs it."""
    from engrain.learner import Learner

    return Learner(home.expanduser(), base=base.expanduser(), user=user, tenant=tenant)


def name_of(adapter: str) -> str:
    return adapter[:12] or "base"


def day(at: float) -> str:
    """A time as people write it, UTC; a dash for none."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") if at else "-"
    except (OverflowError, OSError, ValueError):
        return "unknown date"


# ---- commands -------------------------------------------------------------------------------------------------------


@app.command()
@guarded
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Two files and fewer questions: well under two minutes.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the picture of the results goes.")] = Path("engrain-demo.png"),
    home: Annotated[
        Path | None, typer.Option(help="An empty folder to run in and keep.", show_default="a temporary one")
    ] = None,
    base: Base = SPROUT,
) -> None:
    """Watch the whole loop on a small workshop's notes: learn, ask, consolidate, correct, forget, roll back.

    Everything is real and measured as it happens. Exit code 1 if a promise is not kept: forgotten text found again,
    answers that differ after a rollback, a broken ledger.

    Example:  engrain demo --quick
    """
    from engrain.demo import run

    broken = run(
        terminal(), base=base.expanduser(), home=home.expanduser() if home else None, quick=quick, out=out.expanduser()
    )
    if broken:
        raise typer.Exit(1)


@app.command()
@guarded
def chat(
    message: Annotated[str | None, typer.Argument(help="What to say or ask; without it, a conversation begins.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what answered and which notes it was shown.")] = False,
    remember: Annotated[bool, typer.Option(help="Keep what a message leaves behind.")] = True,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Talk to it: it answers from its weights and from the notes that fit, and remembers what you say.

    In a conversation: /good and /bad rate the last answer, /correct TEXT says what is right, /forget takes the last
    exchange back, /quit or Ctrl-D leaves.

    Example:  engrain chat "What is the gate code of the north barn?"
    """
    console = terminal()
    with opened(home, base, user, tenant) as learner:
        if message is not None:
            show_answer(console, learner, learner.chat(message, remember_it=remember), verbose=verbose)
            return
        console.print("Say or ask something; /help shows the commands, Ctrl-D leaves.", style="dim")
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
                    last = obey(console, learner, line, last)
                elif line:
                    last = learner.chat(line, remember_it=remember)
                    show_answer(console, learner, last, verbose=verbose)
            except EngrainError as error:
                console.print(clean(str(error)), style="red")


def obey(console: Console, learner: Learner, line: str, last: Interaction | None) -> Interaction | None:
    """A slash command of the conversation; returns the exchange that the next one is about."""
    command, _, rest = line.partition(" ")
    if command not in ("/good", "/bad", "/correct", "/forget"):
        console.print("/good   /bad   /correct TEXT   /forget   /quit", style="dim")
    elif last is None:
        console.print("There is no answer yet; say or ask something first.", style="yellow")
    elif command == "/forget":
        receipt = learner.forget(last.id)
        console.print(f"{len(receipt.removed)} records erased (receipt {receipt.id})", style="dim")
        return None
    elif command == "/correct":
        learner.feedback(last.id, correction=rest)
        console.print("Noted; the next answer uses it.", style="dim")
    else:
        learner.feedback(last.id, rating=float(command == "/good"))
        console.print("Noted.", style="dim")
    return last


def show_answer(console: Console, learner: Learner, interaction: Interaction, *, verbose: bool) -> None:
    """The answer; with `verbose` also its stamp, its cost and the notes that it was shown."""
    console.print(clean(interaction.answer), soft_wrap=True)
    if not verbose:
        return
    stamp, usage = interaction.stamp, interaction.usage
    console.print(
        f"{interaction.id}  base {stamp.base[:12]}  version {name_of(stamp.adapter)}  memory {stamp.memory or 'none'}  "
        f"{usage.input_tokens}+{usage.output_tokens} tokens  {usage.latency_ms:.0f} ms",
        style="dim", soft_wrap=True,
    )  # fmt: skip
    for line in clean(interaction.context.text).splitlines() or ["no notes shown"]:
        console.print(f"  {line}", style="dim", soft_wrap=True)


@app.command()
@guarded
def learn(
    path: Annotated[Path, typer.Argument(help="A folder or file: Markdown, text, or chats as OpenAI JSONL.")],
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Remember notes and chats of your own: one memory for each bullet and sentence.

    What was learned word for word before is not learned twice; nothing leaves this machine.

    Example:  engrain learn ~/notes
    """
    from engrain.loops.remember import from_path

    console = terminal()
    skipped: list[str] = []
    with opened(home, base, user, tenant) as learner, console.status("loading the model") as status:
        found, files = from_path(
            learner.store, lambda: learner.engine, path.expanduser(), scope=learner.scope, warn=skipped.append,
            on_file=lambda file: status.update(f"reading {clean(str(file))}"),
        )  # fmt: skip
    for line in skipped:
        console.print(clean(line), style="yellow", markup=False, soft_wrap=True)
    passing = sum(m.mutable for m in found)
    console.print(
        f"{len(found)} new memories from {files} files"
        + (f"; {passing} of them are passing state and stay in text" if passing else "")
    )
    if found:
        console.print("Ask about them: engrain chat. Move them into the weights: engrain consolidate.", style="dim")


@app.command()
@guarded
def tell(
    text: Annotated[str, typer.Argument(help="One note, in a sentence.")],
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Remember one note as it stands; the next answer already uses it.

    Example:  engrain tell "The gate code of the north barn is 4417."
    """
    with opened(home, base, user, tenant) as learner:
        memory = learner.tell(text)[0]
    terminal().print(f"{memory.id}  {memory.kind}  {clean(memory.text)}", soft_wrap=True)


@app.command()
@guarded
def consolidate(home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local") -> None:
    """Move what has proved durable into the weights, if the evidence allows it.

    The model studies its notes, trains an adapter, and is asked questions that it never trained on. The gate promotes
    the adapter only if it is better and breaks nothing. Ctrl-C loses nothing: the same command goes on from there.

    Example:  engrain consolidate
    """
    from engrain.demo import progress_bar, show_outcome

    console = terminal()
    with opened(home, base, user, tenant) as learner:
        with progress_bar(console) as tick:
            tick("loading the model", 0.0)
            outcome = learner.consolidate(progress=tick)
        show_outcome(console, outcome)
        console.print(f"Live: {name_of(learner.store.live(learner.scope))}", style="bold")


@app.command(name="eval")
@guarded
def evaluate(
    file: Annotated[Path | None, typer.Argument(help='Questions: one {"question": …, "answer": …} a line; an empty answer means not known.')] = None,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Measure it: the bare base, the base shown its notes, and the live version on the same questions.

    Without a file, the questions are those that the live version never trained on. Nothing of it is recorded.

    Example:  engrain eval questions.jsonl
    """
    from engrain.demo import measure, read_questions, score_table

    console = terminal()
    with opened(home, base, user, tenant) as learner:
        questions = read_questions(file.expanduser()) if file else held_out(learner)
        with console.status(f"answering {len(questions)} questions three times"):
            scores = [
                measure(learner, "before", questions, shown="none", version="base"),
                measure(learner, "in context", questions, shown="all", version="base"),
                measure(learner, f"live ({name_of(learner.store.live(learner.scope))})", questions, shown="unlearned"),
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
    table = Table(header_style="bold")
    for heading in ("", "number", "version", "from", "made (UTC)", "memories", "verdict"):
        table.add_column(heading, no_wrap=True)
    with opened(home, base, user, tenant) as learner:
        for v in learner.versions():
            mark = Text("live", style="bold green") if v.live else ""
            parent = name_of(v.parent) if v.number else "-"
            table.add_row(
                mark, str(v.number), name_of(v.adapter), parent, day(v.created_at), str(v.memories), v.decision or "-"
            )
    terminal().print(table)


@app.command()
@guarded
def rollback(
    to: Annotated[str | None, typer.Argument(help='A number, a hash or "base"; without it, the version before.')] = None,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Go back to an earlier version in one atomic move; its answers are the same to the bit.

    Example:  engrain rollback        Example:  engrain rollback base
    """
    with opened(home, base, user, tenant) as learner:
        terminal().print(f"Live: {name_of(learner.rollback(to))}", style="bold")


@app.command()
@guarded
def forget(
    what: Annotated[str, typer.Argument(help="An id, source:FILE, text:EXACT TEXT, or user: for everything.")],
    reason: Annotated[str, typer.Option(help="Why; the ledger keeps it, so it must not repeat the content.")] = "asked by the user",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before everything of a user goes.")] = False,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Forget for good: the content goes from every record, and the weights that learned it are rebuilt without it.

    Prints a receipt of hashes. It cannot be undone.

    Example:  engrain forget "text:The gate code of the north barn is 4417."
    """
    from engrain.demo import progress_bar

    console = terminal()
    if what.startswith("user:") and not yes:
        typer.confirm(f"Forget everything of {tenant}/{user}?", abort=True)
    with opened(home, base, user, tenant) as learner:
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
    """Follow a record up to what caused it and down to all that it touched; forgotten ids stay visible.

    Example:  engrain trace mem_3f9c2a71b04e
    """
    console = terminal()
    with opened(home, base, user, tenant) as learner:
        short = record  # of a version, as `engrain versions` prints it
        record = next((v.adapter for v in learner.versions() if short and v.adapter.startswith(short)), record)
        causes, effects = learner.trace(record)  # NotFound or ScopeError, with the remedy
        if as_json:
            print(traced(learner, record, causes, effects, content=content))
            return
        console.print(clean(describe(learner.store, record, learner.scope)), style="bold", soft_wrap=True)
        for heading, direction in (("came from", "causes"), ("led to", "effects")):
            tree = Tree(heading, style="bold", guide_style="dim")
            grow(tree, learner.store, record, learner.scope, direction, seen={record})
            console.print(tree if tree.children else f"{heading}: nothing")


def traced(learner: Learner, record: str, causes: list[Node], effects: list[Node], *, content: bool) -> str:
    """A trace as JSON: the nodes both ways, and the attributes of every interaction and feedback among them."""
    from engrain.records import Feedback, Interaction
    from engrain.telemetry import attributes, evaluation_attributes

    def row(name: str, depth: int) -> dict[str, object]:
        out: dict[str, object] = {"id": name, "depth": depth, "state": "erased"}
        try:
            found = learner.store.get(name, scope=learner.scope)
        except NotFound:
            return out
        out |= {"state": "kept", "kind": type(found).__name__.lower()}
        if isinstance(found, Interaction):
            out["attributes"] = attributes(found, content=content)
        elif isinstance(found, Feedback):
            out["attributes"] = evaluation_attributes(found, content=content)
        return out

    def rows(nodes: list[Node]) -> list[dict[str, object]]:
        return [row(n.id, n.depth) | ({} if n.state == "kept" else {"state": n.state}) for n in nodes]

    whole = {"record": row(record, 0), "causes": rows(causes), "effects": rows(effects)}
    return json.dumps(whole, indent=1, ensure_ascii=False)


def grow(tree: Tree, store: SqlStore, record: str, scope: Scope, direction: str, *, seen: set[str]) -> None:
    """Add a branch for each record one step further; each record is opened once, where it is met first."""
    nodes = store.causes(record, scope=scope) if direction == "causes" else store.effects(record, scope=scope)
    for node in nodes[:WIDEST]:
        label = f"{node.id[:16]} ({node.state})" if node.state != "kept" else describe(store, node.id, scope)
        again = node.id in seen
        branch = tree.add(Text(clean(label) + (" …" if again else ""), style="not bold"))
        if not again and len(seen) < 200:
            seen.add(node.id)
            grow(branch, store, node.id, scope, direction, seen=seen)
    if len(nodes) > WIDEST:
        tree.add(Text(f"and {len(nodes) - WIDEST} more", style="not bold dim"))


def describe(store: SqlStore, record_id: str, scope: Scope) -> str:
    """One line on a record: what it is, and what it says."""
    from engrain.records import Adapter, Batch, Evidence, Feedback, Interaction, Memory, Receipt, Signal, Verdict

    try:
        record = store.get(record_id, scope=scope)
    except NotFound:
        return f"{record_id} (erased)"
    kind, said = type(record).__name__.lower(), ""
    match record:
        case Memory():
            said = record.text
        case Interaction():
            said = f"{record.query} -> {record.answer}"
        case Feedback():
            said = f"{record.name} {record.text or record.score}"
        case Signal():
            said = f"{record.route}: {record.reason}"
        case Verdict():
            said = f"{record.decision}: {record.reasons[0]}"
        case Adapter():
            said = f"{len(record.memory_ids)} memories"
        case Batch():
            said = f"{len(record.train)} examples, {len(record.holdout)} held out"
        case Evidence():
            said = f"{sum(r.right for r in record.results)} of {len(record.results)} right ({record.suite})"
        case Receipt():
            said = f"{len(record.removed)} records erased"
    short = " ".join(said.split())
    return f"{kind} {record_id[:20]}  {short[:90]}{'…' if len(short) > 90 else ''}"


@app.command()
@guarded
def memories(
    everything: Annotated[bool, typer.Option("--all", help="Also what was superseded or retracted.")] = False,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """List what is remembered now, with where it came from.

    Example:  engrain memories --all
    """
    console = terminal()
    with opened(home, base, user, tenant) as learner:
        held = {m.id for m in learner.memories()}
        found = learner.memories(all_states=everything)
    for memory in found:
        state = "" if memory.id in held else "  (no longer holds)"
        line = f"{memory.id}  {day(memory.valid_from)[:10]}  {memory.kind:<10}  {memory.text}  [{memory.source}]{state}"
        console.print(" ".join(clean(line).splitlines()), style="" if not state else "dim", soft_wrap=True)
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
    with opened(home, base, user, tenant) as learner:
        count_now = learner.store.verify(expected=noted)
        count_head, last = learner.store.head()
    console = terminal()
    console.print(f"{count_now} ledger entries, all right", style="green")
    console.print(f"{count_head}:{last}", soft_wrap=True)


@app.command()
@guarded
def doctor(home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local") -> None:
    """Check this installation: versions, processor, model, database, disk, adapters, and who may be called (nobody).

    Exit code 1 if something is wrong.

    Example:  engrain doctor
    """
    console = terminal()
    fine = True
    for name, check in CHECKS.items():
        try:
            good, said = check(home.expanduser(), base.expanduser())
        except EngrainError as error:
            good, said = False, str(error)
        fine = fine and good
        console.print(
            Text.assemble(
                ("ok   " if good else "WRONG", "green" if good else "bold red"), f"  {name:<10} {clean(said)}"
            ),
            soft_wrap=True,
        )
    if not fine:
        raise typer.Exit(1)


def check_versions(_home: Path, _base: Path) -> tuple[bool, str]:
    from importlib.metadata import PackageNotFoundError, version

    import engrain

    found, missing = [f"engrain {engrain.__version__}", f"Python {platform.python_version()}"], False
    for package in ("torch", "transformers", "safetensors", "sqlalchemy", "numpy"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} is missing (pip install engrain)")
            missing = True
    return not missing, ", ".join(found)


def check_processor(_home: Path, _base: Path) -> tuple[bool, str]:
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        flags = set[str]()
    fast = "avx512_bf16" in flags
    return (
        True,
        f"{platform.machine()}, {os.cpu_count()} cores, bfloat16 in hardware: {'yes' if fast else 'no (trains in float32, slower)'}",
    )


def check_base(_home: Path, base: Path) -> tuple[bool, str]:
    from engrain.engines import folder

    config = folder.check(base)
    return True, f"{config.get('model_type', 'model')} in {base}, hash {folder.content_hash(base)[:12]}"


def check_database(home: Path, _base: Path) -> tuple[bool, str]:
    from engrain.store import SqlStore

    store = SqlStore(home)
    try:
        return True, f"{home / 'engrain.db'}: {store.verify()} ledger entries, all right"
    finally:
        store.close()


def check_disk(home: Path, _base: Path) -> tuple[bool, str]:
    free = shutil.disk_usage(home).free
    return (
        free > 200 << 20,
        f"{free / (1 << 30):.1f} GB free{'' if free > 200 << 20 else '; free some, a write that fails is refused'}",
    )


def check_adapters(home: Path, _base: Path) -> tuple[bool, str]:
    """Adapters on disk against those that the ledger knows of, everybody's: it has no scope."""
    from engrain.loops.forget import recorded_adapters
    from engrain.store import SqlStore

    store = SqlStore(home)
    try:
        recorded = recorded_adapters(store)
    finally:
        store.close()
    folder = home / "adapters"
    present = {p.name for p in folder.iterdir() if p.is_dir()} if folder.is_dir() else set[str]()
    if missing := sorted(recorded - present):
        return (
            False,
            f"{len(missing)} of {len(recorded)} recorded adapters are not on disk ({missing[0][:12]} …); restore {folder} from a backup",
        )
    stray = len(present - recorded)
    return True, f"{len(recorded)} recorded, all on disk" + (
        f"; {stray} more from interrupted runs (forget removes them)" if stray else ""
    )


def check_calls(_home: Path, _base: Path) -> tuple[bool, str]:
    return os.environ.get(
        "HF_HUB_OFFLINE"
    ) == "1", "may call: no address at all (HF_HUB_OFFLINE=1, models from folders only)"


CHECKS: dict[str, Callable[[Path, Path], tuple[bool, str]]] = {
    "versions": check_versions, "processor": check_processor, "base": check_base, "database": check_database,
    "disk": check_disk, "adapters": check_adapters, "network": check_calls,
}  # fmt: skip


if __name__ == "__main__":
    main()
