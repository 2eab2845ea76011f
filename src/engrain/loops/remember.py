"""Remember: what a user says, corrects or hands over becomes memory at once."""

from __future__ import annotations

import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from engrain.adapters.versions import adapter_of
from engrain.errors import FormatError, InputError, NotFound
from engrain.memory import (
    Standing,
    active,
    contradicted,
    derive,
    extract,
    facts,
    is_mutable,
    is_question_file,
    kind_of,
    messages_from_jsonl,
    notes_from_markdown,
    notes_from_text,
    stated,
)
from engrain.protocols import Engine, Sampler
from engrain.records import (
    KEY,
    Feedback,
    FeedbackKind,
    Interaction,
    Memory,
    Message,
    Receipt,
    Scope,
    Stamp,
    new_id,
)
from engrain.store import SqlStore

log = logging.getLogger(__name__)

NOTE_FILES = (".md", ".markdown", ".txt")
CHAT_FILES = (".jsonl",)
LARGEST_FILE = 64 << 20
"""Bytes; a larger file is not somebody's notes."""
LONGEST_NOTE = 2000
"""Characters; a longer memory would not fit beside others in a prompt."""

_DATED = re.compile(r"^\s*(?:\[(\d{4}-\d{2}-\d{2})\]|\((\d{4}-\d{2}-\d{2})\)|(\d{4}-\d{2}-\d{2}):)\s*")


def memory_of(
    text: str,
    *,
    scope: Scope,
    source: str,
    causes: Sequence[str] = (),
    at: float | None = None,
    now: float | None = None,
) -> Memory:
    """A memory of one note, recorded `now`; a leading date ("[2026-03-02] …") becomes its valid time."""
    now = time.time() if now is None else now
    dated = _DATED.match(text)
    if dated:
        day = next(g for g in dated.groups() if g)
        try:
            at = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
            text = text[dated.end() :]
        except ValueError:
            pass  # not a date after all: the text stays as it is
    text = " ".join(text.split())
    if not re.search(r"\w", text):
        raise InputError("there is nothing to remember: the text holds no words; say it in a sentence")
    if len(text) > LONGEST_NOTE:
        raise InputError(
            f"a note of {len(text)} characters is too long to remember whole (at most {LONGEST_NOTE}); split it into sentences"
        )
    return Memory(
        scope=scope, kind=kind_of(text), text=text, source=source, valid_from=now if at is None else at, recorded_at=now,
        mutable=is_mutable(text), causes=tuple(causes),
    )  # fmt: skip


def ending(scope: Scope, source: str, now: float) -> Memory:
    """A memory that says nothing, to end others; whoever makes it says which (`supersedes`, `retracts`)."""
    return Memory(scope=scope, text="", source=source, valid_from=now, recorded_at=now)


def now_of(store: SqlStore, scope: Scope) -> float:
    """The time, but never before that of the user's last memory: where a clock went back, what is said now is still the newer."""
    last: list[tuple[int, Memory]] = store.newest(Memory, tenant=scope.tenant, user=scope.user, limit=1)
    return max([time.time(), *(m.recorded_at for _, m in last)])


def tell(
    store: SqlStore, text: str, *, scope: Scope, source: str = "tell", about: tuple[str, str] | None = None
) -> Memory:
    """Keep one note as it stands, at once. `about`, the thing and its attribute, is its key: another value of that ends it, however both are worded."""
    memory = memory_of(text, scope=scope, source=source, now=now_of(store, scope))
    if about is not None:
        if not all(" ".join(part.split()) for part in about):
            raise InputError(
                f"about {about[0]!r}, {about[1]!r}: name both the thing and its attribute, such as: north barn, gate code"
            )
        memory = replace(memory, kind="fact", attributes=tuple(zip(KEY, about, strict=True)))
    store.append(memory)
    return memory


def tell_facts(store: SqlStore, text: str, *, scope: Scope, source: str = "tell") -> list[Memory]:
    """Keep what a text states at once, each fact a note of its own where words alone tell them apart."""
    now = now_of(store, scope)
    memories = [memory_of(note, scope=scope, source=source, now=now) for note in _facts(text) or [text]]
    store.append_all(memories)
    return memories


def _facts(text: str) -> list[str]:
    """The facts of a text; a date before them holds for each."""
    dated = _DATED.match(text)
    date = dated[0] if dated else ""
    return [f"{date}{fact}" for fact in facts(text[len(date) :])]


def from_interaction(store: SqlStore, engine: Sampler, interaction: Interaction) -> list[Memory]:
    """Keep what the user's last message leaves behind; text that was recalled into the prompt is never kept again."""
    notes = extract(engine, interaction.query, shown=interaction.context.text)
    if not notes:
        return []
    own, now = interaction.scope, now_of(store, interaction.scope)
    memories = [
        memory_of(fact, scope=own, source="chat", causes=(interaction.id,), now=now)
        for n in notes
        for fact in _facts(n)
    ]
    store.append_all(memories)
    return memories


def feedback(
    store: SqlStore,
    interaction: str,
    *,
    scope: Scope,
    rating: float | None = None,
    comment: str = "",
    correction: str = "",
    kind: FeedbackKind = "explicit",
) -> list[Feedback]:
    """Record what an answer was worth; a correction becomes memory in the same step. InputError for what says nothing.

    What was the last word on the answer already is not said twice, so a request may be repeated.
    """
    if kind not in get_args(FeedbackKind):
        raise InputError(f"kind={kind!r} is no kind of feedback; give one of {', '.join(get_args(FeedbackKind))}")
    if rating is not None and not 0 <= rating <= 1:
        raise InputError(f"rating={rating}; give a number from 0 (bad) to 1 (good)")
    if not isinstance(found := store.get(interaction, scope=scope), Interaction):
        raise InputError(
            f"{interaction} is a {type(found).__name__.lower()}; feedback is about an answer: give the id of an interaction (int_…)"
        )
    given: list[tuple[str, float | None, str]] = [("rating", rating, "")] if rating is not None else []
    given += [("comment", None, comment)] if comment.strip() else []
    given += [("correction", None, correction)] if correction.strip() else []
    if not given:
        raise InputError("no feedback was given; pass a rating, a comment or a correction")
    records = [
        Feedback(
            scope=scope,
            interaction=interaction,
            kind=kind,
            name=name,
            score=score,
            text=text,
            causes=(interaction,),
        )
        for name, score, text in given
    ]
    last = {f.name: f for f in store.select(Feedback, scope=scope) if f.interaction == interaction}
    said = [_as_before(last.get(record.name), record) for record in records]
    records = [record for record, before in zip(records, said, strict=True) if before is None]
    remembered = [m for record in records if (m := correction_of(store, record))]
    store.append_all([*records, *remembered])
    fresh = iter(records)
    return [before or next(fresh) for before in said]


def _as_before(last: Feedback | None, now: Feedback) -> Feedback | None:
    """The last word on an answer if this is the same again; else None."""
    same = last is not None and (last.score, last.text, last.kind) == (now.score, now.text, now.kind)
    return last if same else None


def last_answer(store: SqlStore, conversation: str, *, scope: Scope) -> str:
    """Id of the last interaction of a conversation. NotFound if there is none."""
    found: list[str] = [i.id for i in store.select(Interaction, scope=scope) if conversation in (i.conversation, i.id)]
    if not conversation or not found:
        raise NotFound(f"{scope} has no conversation {conversation!r}; give the id that its requests carried")
    return found[-1]


def correction_of(store: SqlStore, feedback: Feedback) -> Memory | None:
    """The memory that a correction leaves, which marks wrong what it corrects; None for other feedback. Writes nothing.

    A bare value ("5521") is kept as a sentence with what was asked, so that it can be read later.
    """
    if feedback.name != "correction" or not feedback.text.strip():
        return None
    interaction = store.get(feedback.interaction, scope=feedback.scope)
    assert isinstance(interaction, Interaction)
    said = feedback.text if _DATED.match(feedback.text) else stated(interaction.query, feedback.text)
    scope, causes = feedback.scope, (feedback.id, interaction.id)
    correction = memory_of(said, scope=scope, source="correction", causes=causes, now=now_of(store, scope))
    return replace(correction, retracts=_corrected(store, interaction, correction))


def _corrected(store: SqlStore, interaction: Interaction, correction: Memory) -> tuple[str, ...]:
    """Ids of the memories that the correction marks wrong, of those that hold now: what it gives another value of, and the
    notes from which the wrong answer came (shown to it, or learned by the version that answered)."""
    before = store.history(scope=interaction.scope)
    now = active(before)
    gone = {m.id for m in now} - {m.id for m in active([*before, correction])}
    answer = interaction.answer.strip(" .!\"'")
    holding = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)", re.I)
    replaced = {m.id for m in now if m.id in gone and answer and holding.search(m.text)} or gone
    known = {*interaction.context.memory_ids, *_learned(store, interaction)}
    source = contradicted(interaction.query, interaction.answer, correction.text, [m for m in now if m.id in known])
    return tuple(sorted({*replaced, *source}))


def _learned(store: SqlStore, interaction: Interaction) -> tuple[str, ...]:
    """Ids of the memories that the version was trained on that answered; none where it is not there any more."""
    if not interaction.stamp.adapter:
        return ()
    try:
        return adapter_of(store, interaction.scope, interaction.stamp.adapter).memory_ids
    except NotFound:
        return ()


def from_path(
    store: SqlStore,
    engine: Callable[[], Engine],
    path: Path,
    *,
    scope: Scope,
    on_file: object = None,
    warn: Callable[[str], None] = log.warning,
    failed: list[FormatError] | None = None,
) -> tuple[list[Memory], int]:
    """Learn a folder or file of the user's own: notes (.md, .txt) and chats (.jsonl). Returns (new memories, files read).

    What is known already, word for word, is not recorded again, wherever the path was typed from: a source is the whole path of
    its file. What the file itself had replaced and now says again is news, and what it said and says no more was true until now, unless it
    was said elsewhere too. Raises NotFound, FormatError or InputError naming file
    and remedy. A file that cannot be read does not stop the rest of a folder: it goes into `failed`; without that list, FormatError
    names all of them when the rest was learned. `engine` is asked for only if there are chats to read. In a folder, what begins
    with a dot is passed over. `warn` is told of each file that could not be read, each README and file of questions that is left out,
    each note and turn that cannot be remembered, by file and place and never by its words (the rest is learned), and each file that
    was forgotten before.
    """
    try:
        there = path.exists()
    except OSError as error:
        raise FormatError(f"{path} cannot be read ({error.strerror}); make it readable") from error
    if not there:
        raise NotFound(
            f"{path} does not exist; give a file or folder of notes ({', '.join(NOTE_FILES)}) or chats (.jsonl)"
        )
    files = [located(path)] if path.is_file() else sorted(_files(Path(os.path.realpath(path)), warn))
    if not files:
        raise InputError(
            f"{path} holds no notes ({', '.join(NOTE_FILES)}) and no chats (.jsonl); put some there or give another folder"
        )
    standings = derive(store.history(scope=scope))
    known = {(s.memory.text, s.memory.source): s for s in standings.values()}  # as it was said last
    forgotten = {r.asked.removeprefix("source:").removeprefix("file:") for r in store.select(Receipt, scope=scope)}
    found: list[Memory] = []
    unread: list[FormatError] = []
    read = 0
    for file in files:
        if callable(on_file):
            on_file(file)
        is_chat = file.suffix.lower() in CHAT_FILES
        try:
            text = read_text(file)
            asks = is_chat and is_question_file(text)
            conversations = _conversations(text, file) if is_chat and not asks else []
        except FormatError as error:
            if len(files) == 1:
                raise
            warn(str(error))
            unread.append(error)
            continue
        if asks:
            if len(files) == 1:
                raise InputError(
                    f"{file} holds questions, which are not learned; ask them with: engrain eval {file}, or give notes or chats"
                )
            warn(f"{file} holds questions and was left out, so that they stay a fair test; ask them with: engrain eval")
            continue
        read += 1
        source = f"file:{file}"
        if not forgotten.isdisjoint(map(str, (file, *file.parents))):
            warn(
                f"{file} was forgotten and is learned again, because it is still there; if that is not wanted, delete it "
                f"and run: engrain forget source:{file}"
            )
        if is_chat:
            found += _chats(store, engine, conversations, file, scope=scope, warn=warn)
            continue
        notes = notes_from_markdown(text) if file.suffix.lower() in (".md", ".markdown") else notes_from_text(text)
        if long := [i for i, n in enumerate(notes, start=1) if len(n) > LONGEST_NOTE]:
            which = ", ".join(str(i) for i in long[:5]) + (" …" if len(long) > 5 else "")
            warn(
                f"{file}: {len(long)} of {len(notes)} notes are longer than {LONGEST_NOTE} characters and were left out "
                f"(note {which}); split them into sentences and learn the file again"
            )
        now = now_of(store, scope)
        stated = [
            memory_of(fact, scope=scope, source=source, now=now)
            for n in notes
            if len(n) <= LONGEST_NOTE and not _only_a_date(n)
            for fact in _facts(n)
        ]
        said = {m.text for m in stated}
        fresh = [m for m in stated if not _is_known(m, known.get((m.text, source)), standings, said)]
        if past := _past(source, said, standings):
            warn(f"{file} no longer says {len(past)} of the notes that were learned from it; they count as past")
        store.append_all([*fresh, *([replace(ending(scope, source, now), supersedes=past)] if past else ())])
        found += fresh
    if failed is not None:
        failed += unread
    elif unread:
        which = "; ".join(str(error) for error in unread)
        raise FormatError(f"{len(unread)} of {len(files)} files could not be learned, the rest was: {which}")
    return found, read


def _is_known(note: Memory, before: Standing | None, standings: Mapping[str, Standing], said: Collection[str]) -> bool:
    """Whether a note of a file, learned `before`, is no news: it was not replaced since by something that the same file said after
    it and says no more. So a file can go back to an earlier value, and does not undo what was said or corrected elsewhere."""
    if before is None or before.state != "superseded":
        return before is not None
    by = standings[before.by].memory
    return by.source != note.source or by.text in said or note.valid_from <= by.valid_from


def _past(source: str, said: Collection[str], standings: Mapping[str, Standing]) -> tuple[str, ...]:
    """Ids of what a file said and says no more, and nobody else said: it was true until now."""
    others = {s.by for s in standings.values() if s.state == "merged" and s.memory.source != source}
    return tuple(
        s.memory.id
        for s in standings.values()
        if s.state == "active" and s.memory.source == source and s.memory.text not in said and s.memory.id not in others
    )


def located(path: Path) -> Path:
    """The whole path of a file, the same wherever it is typed from: links in its folders are followed, its own name stays."""
    return Path(os.path.realpath(path.parent), path.name)


def _only_a_date(note: str) -> bool:
    dated = _DATED.match(note)
    return dated is not None and not re.search(r"\w", note[dated.end() :])


def _files(folder: Path, warn: Callable[[str], None]) -> Iterator[Path]:
    """The notes and chats under a folder; FormatError for a folder in it that cannot be read, so that none is left out unseen."""

    def unreadable(error: OSError) -> None:
        raise FormatError(
            f"{error.filename} cannot be read ({error.strerror}); make it readable or take it out"
        ) from error

    for here, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [f for f in folders if not f.startswith(".")]  # .venv, .git, .trash: not the user's notes
        for name in names:
            file = Path(here, name)
            if name.startswith(".") or file.suffix.lower() not in (*NOTE_FILES, *CHAT_FILES):
                continue
            if file.stem.lower() == "readme":
                warn(
                    f"{file} was left out, because a README describes its folder; if it holds notes, run: engrain learn {file}"
                )
            else:
                yield file


def _conversations(text: str, file: Path) -> list[tuple[Message, ...]]:
    """The conversations of a chat file; FormatError, naming it, if there are none or they cannot be read."""
    try:
        conversations = messages_from_jsonl(text)
    except FormatError as error:
        raise FormatError(f"{file}: {error}; mend it, or move the file out of what is learned") from error
    if not conversations:
        raise FormatError(f'{file} holds no conversation; each line must be {{"messages": [...]}} in the OpenAI format')
    return conversations


def _named(
    conversations: Sequence[tuple[Message, ...]], recorded: Collection[tuple[str, str]], source: str
) -> Iterator[str]:
    """A name for each conversation of a file: the one under which most of its turns are `recorded` (name, query), wherever in the
    file it stood then, or a new one. It holds no words, not even hashed: it stays when they are forgotten."""
    names: dict[str, list[str]] = {}
    for name, query in sorted(recorded):
        if name.rpartition("#")[0] == source:
            names.setdefault(query, []).append(name)
    shared = Counter(
        (number, name)
        for number, messages in enumerate(conversations)
        for query in {m.content for m in messages if m.role == "user"}
        for name in names.get(query, ())
    )
    found: dict[int, str] = {}
    taken: set[str] = set()
    for (number, name), _ in shared.most_common():
        if number not in found and name not in taken:
            found[number] = name
            taken.add(name)
    for number in range(len(conversations)):
        yield found.get(number) or f"{source}#{new_id('chat')}"


def _chats(
    store: SqlStore,
    engine: Callable[[], Engine],
    conversations: Sequence[tuple[Message, ...]],
    file: Path,
    *,
    scope: Scope,
    warn: Callable[[str], None],
) -> list[Memory]:
    """Past conversations: each user turn is recorded as an interaction, and remembered.

    A turn and what it leaves behind are written together, so an import that was interrupted goes on where it stood.
    """
    seen = {(i.conversation, i.query) for i in store.select(Interaction, scope=scope)}
    found: list[Memory] = []
    names = _named(conversations, seen, f"file:{file}")
    for number, (name, messages) in enumerate(zip(names, conversations, strict=True), start=1):
        for i, message in enumerate(messages):
            if message.role != "user" or (name, message.content) in seen:
                continue
            reply = next((m.content for m in messages[i + 1 : i + 2] if m.role == "assistant"), "")
            interaction = Interaction(
                scope=scope, conversation=name, messages=messages[: i + 1], answer=reply, stamp=Stamp(base="imported")
            )
            reader = engine()
            try:
                notes, now = extract(reader, message.content), now_of(store, scope)
                memories = [
                    memory_of(fact, scope=scope, source="chat", causes=(interaction.id,), now=now)
                    for n in notes
                    for fact in _facts(n)
                ]
            except InputError as error:  # too long for the model's window, or for one memory
                warn(f"{file}, conversation {number}, turn {i + 1} was left out: {error}")
                continue
            store.append_all([interaction, *memories])
            found += memories
    return found


def read_text(file: Path) -> str:
    """The text of a file; FormatError with the remedy for one that is unreadable, too large, binary or not UTF-8."""
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= LARGEST_FILE else b""
    except OSError as error:
        raise FormatError(f"{file} cannot be read ({error.strerror}); make it readable, or move it away") from error
    if size > LARGEST_FILE:
        raise FormatError(
            f"{file} is {size >> 20} MB, more than the {LARGEST_FILE >> 20} MB that notes may have; split it"
        )
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise FormatError(f"{file} is UTF-16; save it as UTF-8")
    if b"\x00" in data[:65536]:
        raise FormatError(f"{file} is a binary file; give Markdown, plain text or chat JSONL")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{file} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
