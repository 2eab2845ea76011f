"""The commands of text space: lessons, notes, skills, core blocks, changes to memories, and sleep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from engrain.cli.common import (
    HOME,
    Base,
    Device,
    Embed,
    Home,
    Tenant,
    User,
    app,
    guarded,
    opened,
    there,
)
from engrain.engines import SPROUT
from engrain.errors import InputError
from engrain.records import Delta, Memory, MemoryKind, Operator
from engrain.reports import clean, day, memory_line, terminal

Reason = Annotated[str, typer.Option(help="Why; the history tells it.")]

lessons = typer.Typer(help="The playbook: what to do, learned from what came of it.", no_args_is_help=True)
skills = typer.Typer(
    help="Agent Skills: SKILL.md folders that were trusted, or written from lessons.", no_args_is_help=True
)
blocks = typer.Typer(help="Core blocks: short texts that are shown with every query.", no_args_is_help=True)
app.add_typer(lessons, name="lessons")
app.add_typer(skills, name="skills")
app.add_typer(blocks, name="blocks")


def say(line: str, style: str = "") -> None:
    """One line, as it is: no markup, no wrapping."""
    terminal().print(clean(line), style=style, soft_wrap=True, markup=False)


@lessons.command(name="add")
@guarded
def add_lesson(
    text: Annotated[str, typer.Argument(help="What to do, or to leave, in a sentence or two.")],
    section: Annotated[str, typer.Option(help="Where it belongs in the playbook.")] = "",
    home: Home = HOME, user: User = "me", tenant: Tenant = "local", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """Keep a lesson. It is shown with queries that it fits; what comes of that decides whether it stays.

    Example:  engrain lessons add "Ask for the port before you write the config."
    """
    with opened(home, SPROUT, user, tenant, embedder=embedder) as me:
        merges = me.text.lesson(text, section=section)
        for merge in merges:
            say(
                f"merged into {merge.into}: {merge.reason}"
                if merge.into
                else f"kept beside {merge.one}: {merge.reason}"
            )
        if not merges:
            say("kept")


@lessons.command(name="list")
@guarded
def list_lessons(home: Home = HOME, user: User = "me", tenant: Tenant = "local") -> None:
    """The playbook with its counters, the best first: how often an answer was good, and bad, that a lesson was shown for.

    Example:  engrain lessons list
    """
    with opened(there(home), SPROUT, user, tenant) as me:
        found = me.text.lessons()
        for lesson in found:
            counts = f"{lesson.worth.helpful} good, {lesson.worth.harmful} bad"
            say(f"{lesson.memory.id}  {lesson.value:.2f}  {counts:<16}  {lesson.memory.kind}  {lesson.memory.text}")
        if not found:
            say('No lesson yet: engrain lessons add "…", or engrain reflect INTERACTION', "dim")


@lessons.command(name="export")
@guarded
def export_lessons(home: Home = HOME, user: User = "me", tenant: Tenant = "local") -> None:
    """Print the playbook in the text form of ACE: sections, and bullets with ids and counters.

    Example:  engrain lessons export > playbook.txt
    """
    with opened(there(home), SPROUT, user, tenant) as me:
        print(me.text.export_lessons())


@lessons.command(name="import")
@guarded
def import_lessons(
    file: Annotated[Path, typer.Argument(help="A playbook in the text form of ACE.")],
    home: Home = HOME, user: User = "me", tenant: Tenant = "local", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """Take the bullets of a playbook over, each merged with what it nearly repeats. Counters begin anew: they are about other answers.

    Example:  engrain lessons import playbook.txt
    """
    from engrain.loops.remember import read_text

    with opened(home, SPROUT, user, tenant, embedder=embedder) as me:
        told, active = me.text.import_lessons(
            read_text(file.expanduser()), source=f"file:{file.expanduser().resolve()}"
        )
        say(f"{told} lessons were read; {active} stand now")


@lessons.command(name="curate")
@guarded
def curate_lessons(
    file: Annotated[Path | None, typer.Argument(help="Operations as JSON, in the form of ACE's curator; left out, the model proposes them (one call).")] = None,
    kind: Annotated[str, typer.Option(help="lesson; or note, which is compressed so, and whose effect is not tried.")] = "lesson",
    wait: Annotated[bool, typer.Option("--wait", help="Only what is shown to help holds at once; the rest waits to be accepted.")] = False,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local", device: Device = "auto", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """Change the playbook: add, update, merge, retire, tag. What would lose a detail is refused, and so is all of it where your tasks (engrain eval --keep) get worse by it.

    The file has the form {"operations": [{"type": "ADD", "section": "…", "content": "…"}, {"type": "UPDATE", "id": "mem_…", "content": "…"},
    {"type": "MERGE", "ids": ["mem_…", "mem_…"], "content": "…"}, {"type": "RETIRE", "id": "mem_…", "reason": "…"}, {"type": "TAG", "id": "mem_…", "value": "harmful"}]}.

    Example:  engrain lessons curate changes.json
    """
    from engrain.loops.remember import read_text
    from engrain.memory.history import LESSONS

    with opened(there(home), base, user, tenant, device, embedder) as me:
        if kind not in ("lesson", "note"):
            raise InputError(f"--kind {kind!r}: give lesson or note")
        kinds: tuple[MemoryKind, ...] = LESSONS if kind == "lesson" else ("note",)
        made = me.text.curate(read_text(file.expanduser()) if file else None, wait=wait, kinds=kinds)
        for line in made.refused:
            say(f"refused: {line}", "yellow")
        for name in made.deltas:
            say(f"done: {name}", "dim")
        for names, what in ((made.broke, "broke"), (made.mended, "mended")):
            for question in names:
                say(f"{what}: {question}")
        held = "waits" if made.waits else "refused" if made.decision == "reject" else "holds"
        for lesson in made.lessons:
            say(f"{held}: {lesson}")
        say(f"{made.decision}: {made.reason}; {made.calls} calls, {made.tokens} tokens of the model", "bold")


@app.command()
@guarded
def reflect(
    interaction: Annotated[str, typer.Argument(help="Id of an answer that was not good (int_…).")],
    model: Annotated[bool, typer.Option("--model", help="Let the model write the reflection (one call).")] = False,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local", device: Device = "auto", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """Keep what is to be learned of an answer that failed, by what was said of it: shown the next time a task like it comes.

    Example:  engrain reflect int_3f9c2a71b04e
    """
    from engrain.loops.reflect import Written, by_rules
    from engrain.loops.sleep import Metered

    with opened(there(home), base, user, tenant, device, embedder) as me:
        meter = Metered(me.engine) if model else None
        memory = me.text.reflect(interaction, critic=Written(meter) if meter else by_rules)
        if meter is not None:
            say(f"{meter.calls} call of the model, {meter.tokens} tokens", "dim")
        say(
            memory_line(memory)
            if memory
            else "nothing: it was good, nobody said why it was not, or there was nothing to say"
        )


@app.command()
@guarded
def note(
    text: Annotated[str, typer.Argument(help="A note, in a sentence or two.")],
    home: Home = HOME, user: User = "me", tenant: Tenant = "local", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """Keep a note that knows its neighbours: what is linked with what a query finds is found, too.

    Example:  engrain note "The kiln in the north barn runs on propane from Heller."
    """
    with opened(home, SPROUT, user, tenant, embedder=embedder) as me:
        memory, links = me.text.note(text)
        say(memory_line(memory))
        for link in links:
            say(f"  linked with {link.targets[1]}: {link.reason}", "dim")


@app.command()
@guarded
def search(
    query: Annotated[str, typer.Argument(help="What to look for, in any words.")],
    kind: Annotated[list[str] | None, typer.Option(help="Only of this kind (fact, procedure, preference, note, episode, lesson, reflection, skill); may be given again.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Hits at most.")] = 10,
    home: Home = HOME, user: User = "me", tenant: Tenant = "local", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """What a query finds in the memory, best first, with its score: what is kept, and what was said before it left a window (--kind episode).

    Example:  engrain search "When does the ferry leave?"
    """
    from engrain.text import SEARCHED

    known = (*SEARCHED, "skill")
    if wrong := [k for k in kind or () if k not in known]:
        raise InputError(f"--kind {wrong[0]!r}: give one of {', '.join(known)}")
    with opened(there(home), SPROUT, user, tenant, embedder=embedder) as me:
        hits = me.text.search(query, kinds=kind or SEARCHED, limit=limit)
        for memory, score in hits:
            say(f"{score:.2f}  {memory_line(memory)}")
        if not hits:
            say("nothing was found")


@app.command()
@guarded
def revert(
    memory: Annotated[str, typer.Argument(help="Id of a note that was described anew (mem_…).")],
    home: Home = HOME, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Take the evolution of a note back: it is described as it was before it was linked with a newer one.

    Example:  engrain revert mem_3f9c2a71b04e
    """
    with opened(there(home), SPROUT, user, tenant) as me:
        say(memory_line(me.text.revert(memory)))


@app.command()
@guarded
def change(
    operator: Annotated[str, typer.Argument(help=f"{', '.join(get_args(Operator))}.")],
    targets: Annotated[list[str], typer.Argument(help="Ids of memories (mem_…); for undo, of changes (dlt_…).")],
    reason: Reason,
    into: Annotated[str, typer.Option(help="Of a merge: the memory that stands for the others.")] = "",
    value: Annotated[str, typer.Option(help="Of a tag: helpful, harmful or neutral; of a link: how they belong together.")] = "",
    home: Home = HOME, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Change memories that are there: archive, merge, accept, link, keep apart, tag, or undo one of these. Nothing is lost: each is a record with a reason.

    Example:  engrain change archive mem_3f9c2a71b04e --reason "we use another broker now"
    """
    with opened(there(home), SPROUT, user, tenant) as me:
        for delta in me.text.change(cast(Operator, operator), *targets, reason=reason, into=into, value=value):
            say(_line(delta))


@app.command()
@guarded
def history(
    memory: Annotated[str, typer.Argument(help="Id of a memory (mem_…).")],
    home: Home = HOME, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """What was ever done to a memory, when, by whom and why; and where it stands now.

    Example:  engrain history mem_3f9c2a71b04e
    """
    from engrain.memory import derive

    with opened(there(home), SPROUT, user, tenant) as me:
        found = me.store.get(memory, scope=me.scope)
        if not isinstance(found, Memory):
            raise InputError(f"{memory} is a {type(found).__name__.lower()}; give the id of a memory (mem_…)")
        standing = derive(me.store.history(scope=me.scope))[memory]
        say(memory_line(found))
        say(f"  {day(found.recorded_at)}  recorded, from {found.source or 'nowhere named'}")
        for delta in me.text.changes(memory):
            say(f"  {_line(delta)}")
        say(f"  now: {standing.state}" + (f" (by {standing.by})" if standing.by else ""), "bold")


@app.command()
@guarded
def sleep(
    calls: Annotated[int, typer.Option(min=0, help="Calls of the model that may be made; 0: by rules alone.")] = 0,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local", device: Device = "auto", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """Put the memory in order: reflect on what failed, merge what repeats, link what belongs together, put away what does harm or has faded, propose skills.

    `engrain serve` does it for each user who is quiet. Every step can be undone: engrain history, engrain change undo.

    Example:  engrain sleep
    """
    from engrain.loops.sleep import Sleep

    with opened(there(home), base, user, tenant, device, embedder) as me:
        done = me.text.sleep(Sleep(calls=calls, playbook=me.serving.playbook))
        for name, ids in done.named():
            for record in ids:
                say(f"{name}: {record}")
        say(str(done), "bold")


@skills.command(name="list")
@guarded
def list_skills(
    fitting: Annotated[str, typer.Option(help="Only those that fit this task, the best first.")] = "",
    home: Home = HOME, user: User = "me", tenant: Tenant = "local", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """Names and descriptions of the skills that hold; engrain skills show NAME shows one.

    Example:  engrain skills list --fitting "turn this contract into a PDF"
    """
    with opened(there(home), SPROUT, user, tenant, embedder=embedder) as me:
        known = {s.name: s for s in me.text.skills()}
        shown = me.text.fitting_skills(fitting) if fitting else list(known)
        for name in shown:
            say(f"{name}: {known[name].description}")
        waiting = [m for m in me.text.waiting() if m.kind == "skill"]
        for memory in waiting:
            say(f"{memory.id}  waits to be accepted: {memory.attribute('name')} (from {memory.source})", "yellow")
        if not shown and not waiting:
            say("No skill yet: engrain skills take FOLDER, or engrain skills distil", "dim")


@skills.command(name="show")
@guarded
def show_skill(
    name: Annotated[str, typer.Argument(help="Of the skill.")],
    file: Annotated[str, typer.Argument(help="One of its files; without it, the body and the names of the files.")] = "",
    home: Home = HOME, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """The body of a skill, or one of its files.

    Example:  engrain skills show fire-the-kiln
    """
    with opened(there(home), SPROUT, user, tenant) as me:
        print(clean(me.text.skill(name, file)))


@skills.command(name="take")
@guarded
def take_skills(
    path: Annotated[Path, typer.Argument(help="A folder with a SKILL.md, or a folder of such folders.")],
    trusted: Annotated[bool, typer.Option("--trusted", help="You have read it: it holds at once, and need not be accepted.")] = False,
    home: Home = HOME, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Keep skills. A skill tells a model what to do, so it waits until it is accepted (engrain change accept ID --reason …).

    Example:  engrain skills take ~/skills/fire-the-kiln
    """
    with opened(home, SPROUT, user, tenant) as me:
        taken = me.text.take_skills(path.expanduser(), trusted=trusted)
        for memory in taken:
            say(f"{memory.id}  {memory.attribute('name')}" + ("" if trusted else "  waits to be accepted"))
        if not taken:
            say("nothing new: they are known already, word for word", "dim")


@skills.command(name="write")
@guarded
def write_skills(
    into: Annotated[Path, typer.Argument(help="The folder that they are written into, each in a folder of its name.")],
    name: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    home: Home = HOME, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """Write the skills that hold as folders that any agent reads.

    Example:  engrain skills write ~/skills
    """
    with opened(there(home), SPROUT, user, tenant) as me:
        for path in me.text.write_skills(into.expanduser(), names=name or ()):
            say(str(path))


@skills.command(name="distil")
@guarded
def distil_skills(home: Home = HOME, user: User = "me", tenant: Tenant = "local", embedder: Embed = "auto") -> None:
    """Propose a skill for each group of lessons of one thing that have proved good.

    Example:  engrain skills distil
    """
    with opened(there(home), SPROUT, user, tenant, embedder=embedder) as me:
        made = me.text.distil()
        for memory in made:
            say(f"{memory.id}  {memory.attribute('name')}  waits to be accepted")
        if not made:
            say("nothing: too few lessons of one thing have proved good (engrain lessons list)", "dim")


@blocks.command(name="list")
@guarded
def list_blocks(home: Home = HOME, user: User = "me", tenant: Tenant = "local") -> None:
    """The core blocks, each with its version.

    Example:  engrain blocks list
    """
    with opened(there(home), SPROUT, user, tenant) as me:
        found = me.text.blocks()
        for block in found:
            say(f"{block.name}  ({block.version}, {block.limit} tokens at most)", "bold")
            say(block.text)
        if not found:
            say('No core block yet: engrain blocks write user "…"', "dim")


@blocks.command(name="write")
@guarded
def write_block(
    name: Annotated[str, typer.Argument(help="Such as: user, plan.")],
    text: Annotated[str, typer.Argument(help="What it says from now on; what it said before stays on record.")],
    seen: Annotated[str | None, typer.Option(help="The version that this was worked out from; refused if another one stands by now.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Tokens that it may have.", show_default="as before, or 300")] = None,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local", device: Device = "auto",
) -> None:  # fmt: skip
    """Make a core block, or put another text in its place.

    Example:  engrain blocks write user "Ada builds clocks in Bergen."
    """
    with opened(home, base, user, tenant, device) as me:
        block = me.text.write_block(name, text, seen=seen, limit=limit)
        say(f"{block.name}  ({block.version})")


def _line(delta: Delta) -> str:
    onto = f" into {delta.into}" if delta.into else f" with {delta.targets[1]}" if len(delta.targets) > 1 else ""
    value = f" ({delta.value})" if delta.value else ""
    return f"{day(delta.recorded_at)}  {delta.id}  {delta.operator} {delta.targets[0]}{onto}{value}, by {delta.by}: {delta.reason}"
