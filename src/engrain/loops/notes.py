"""Notes that know each other (Zettelkasten): a new one is described, linked with those it belongs to, and those learn from it.

After A-MEM (Xu et al., arXiv 2502.12110), with four differences: a link changes what is recalled; which neighbours evolve is named by id (its public
code takes their places in a list for their numbers in the store, and rewrites others); an evolution is a new record that supersedes the old
one, and can be taken back; and all of it works without a model, by the words that notes share.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engrain.errors import InputError
from engrain.loops.change import delta
from engrain.loops.remember import now_of
from engrain.memory.extract import content_words
from engrain.memory.filing import file
from engrain.memory.held import Shelf
from engrain.memory.history import standing_deltas
from engrain.prompts import describe_request
from engrain.protocols import Embedder, Sampler
from engrain.records import Delta, Memory, Message, Scope, new_id
from engrain.store import SqlStore

SOURCE = "evolve"
"""Of a note that was described anew: it goes when the note that it was, or the one that it learned from, is forgotten."""
KEYWORDS = 6
"""That a note is described by where no model describes it."""
MOST_TAGS = 6
_DESCRIBES = ("keywords", "tags", "context")


@dataclass(frozen=True, slots=True, kw_only=True)
class Linking:
    """When two notes belong together."""

    cosine: float = 0.35
    """At least so close,"""
    words: int = 1
    """and so many telling words in common."""
    most: int = 4
    """Links that a new note gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What is noted of a note beside its text."""

    keywords: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    context: str = ""
    """A sentence on what it is about."""


Describer = Callable[[str], Description]
Evolver = Callable[[Memory, Memory], Description]
"""How an older note is to be described now that a newer one is linked with it."""


def by_words(text: str) -> Description:
    """The telling words themselves, names first, then the longer ones."""
    telling = content_words(text)
    spoken = [w for w in dict.fromkeys(re.findall(r"[^\W\d_][\w'-]+", text)) if content_words(w) & telling]
    ranked = sorted(spoken, key=lambda w: (not w[0].isupper(), -len(w)))
    return Description(keywords=tuple(w.lower() for w in ranked[:KEYWORDS]))


@dataclass(slots=True)
class Described:
    """A describer that asks a model, one call a note; what it cannot be read from falls back on the words."""

    engine: Sampler
    adapter: str = ""

    def __call__(self, text: str) -> Description:
        request = [Message(role="user", content=describe_request(text))]
        said = self.engine.sample([request], adapter=self.adapter, max_tokens=160, temperature=0.0)[0].text
        try:
            found = json.loads(said[said.index("{") : said.rindex("}") + 1])
            words = [
                [" ".join(str(w).split()) for w in found.get(name, ()) if str(w).strip()]
                for name in ("keywords", "tags")
            ]
            return Description(
                keywords=tuple(words[0][:12]), tags=tuple(words[1][:6]), context=" ".join(str(found.get("context", "")).split())[:300],
            )  # fmt: skip
        except (ValueError, AttributeError, TypeError):
            return by_words(text)


def note(
    store: SqlStore,
    embedder: Embedder,
    text: str,
    *,
    scope: Scope,
    source: str = "tell",
    describe: Describer = by_words,
    evolves: Evolver | None = None,
    settings: Linking = Linking(),
    shelf: Shelf | None = None,
) -> tuple[Memory, list[Delta]]:
    """Keep a note, described, and link it with those it belongs to; returns it and its links. With `evolves` these are described anew."""
    now = now_of(store, scope)
    about = describe(text)
    memory = Memory(
        scope=scope, kind="note", text=" ".join(text.split()), source=source, valid_from=now, recorded_at=now,
        attributes=_attributes(about),
    )  # fmt: skip
    store.append(memory)
    links = connect(store, embedder, memory, settings=settings, shelf=shelf)
    for old in (store.get(link.targets[1], scope=scope) for link in links if evolves is not None):
        assert isinstance(old, Memory) and evolves is not None
        if (about := evolves(old, memory)) != described(old):
            evolve(store, old.id, about, scope=scope, causes=(memory.id,))
    return memory, links


def connect(
    store: SqlStore,
    embedder: Embedder,
    memory: Memory,
    *,
    settings: Linking = Linking(),
    shelf: Shelf | None = None,
    by: str = "rules",
) -> list[Delta]:
    """Link a memory with the active ones of its kind that it belongs to and is not linked with yet; a link that was undone stays so."""
    scope = memory.scope
    seen = store.state(scope=scope)
    file(store, scope)
    kept = (shelf or Shelf()).vectors(store, embedder, scope)
    there = store.filed(scope=scope, kinds=(memory.kind,))
    names, mine = [n for n in there if kept.row(n) >= 0 and n != memory.id], kept.row(memory.id)
    if not names or mine < 0 or memory.id not in there:
        return []
    close = kept.matrix[[kept.row(n) for n in names]] @ kept.matrix[mine]
    before = {
        frozenset(d.targets)
        for d in store.deltas([memory.id], scope=scope)
        if d.operator == "link"  # undone ones, too
    }
    order = [names[i] for i in np.argsort(-close, kind="stable")[: 4 * settings.most] if close[i] >= settings.cosine]
    texts = {m.id: m for m in store.akin((), order, scope=scope)}
    words, now = content_words(memory.searched), now_of(store, scope)
    made: list[Delta] = []
    for name in order:
        shared = sorted(words & content_words(texts[name].searched))
        if len(shared) < settings.words or frozenset((memory.id, name)) in before or len(made) == settings.most:
            continue
        reason = f"both speak of {', '.join(shared[:5])}"
        made.append(delta("link", memory.id, name, scope=scope, now=now, reason=reason, value="alike", by=by))
    store.append_all(made, seen=seen)
    return made


def linked(store: SqlStore, memory: str, *, scope: Scope) -> list[str]:
    """Ids of the memories that one is linked with, in the order of linking."""
    links = [d for d in standing_deltas(store.deltas([memory], scope=scope)) if d.operator == "link"]
    return list(dict.fromkeys(t for d in links for t in d.targets if t != memory))


def evolve(
    store: SqlStore, memory: str, about: Description, *, scope: Scope, causes: Sequence[str] = (), by: str = "rules"
) -> Memory:
    """A note as it is described now: a new record with the same words and links, which supersedes the old one; `revert` takes it back."""
    seen = store.state(scope=scope)
    old = store.get(memory, scope=scope)
    assert isinstance(old, Memory)
    now = now_of(store, scope)
    kept = [(n, v) for n, v in old.attributes if n not in _DESCRIBES]
    new = replace(
        old, id=new_id("mem"), source=SOURCE, recorded_at=now, supersedes=(old.id,), retracts=(), attributes=(*kept, *_attributes(about)),
        causes=tuple(dict.fromkeys((old.id, *causes))),
    )  # fmt: skip
    links = [
        delta("link", new.id, other, scope=scope, now=now, reason=f"{old.id} was linked with it", value="alike", by=by)
        for other in linked(store, old.id, scope=scope)
    ]
    store.append_all([new, *links], seen=seen)
    return new


def revert(store: SqlStore, memory: str, *, scope: Scope, by: str = "user") -> Memory:
    """Take an evolution back: a new record, described as the note was before it. InputError for a note that has not evolved."""
    new = store.get(memory, scope=scope)
    if not isinstance(new, Memory) or new.source != SOURCE or not new.supersedes:
        raise InputError(f"{memory} is no note that has evolved; there is nothing to take back")
    old = store.get(new.supersedes[0], scope=scope)
    assert isinstance(old, Memory)
    return evolve(store, memory, described(old), scope=scope, causes=(old.id,), by=by)


def described(memory: Memory) -> Description:
    """What is noted of a note."""
    words, tags = (tuple(w for w in memory.attribute(name).split(", ") if w) for name in ("keywords", "tags"))
    return Description(keywords=words, tags=tags, context=memory.attribute("context"))


def by_shared_words(old: Memory, new: Memory) -> Description:
    """The older of two linked notes is tagged by what both speak of; nothing enters that it does not say itself."""
    shared = content_words(old.searched) & content_words(new.searched)
    spoken = dict.fromkeys(w.lower() for w in re.findall(r"[^\W\d_][\w'-]+", old.text) if content_words(w) & shared)
    known = described(old)
    return replace(known, tags=tuple(dict.fromkeys((*known.tags, *spoken)))[:MOST_TAGS])


def _attributes(about: Description) -> tuple[tuple[str, str], ...]:
    found = (("keywords", ", ".join(about.keywords)), ("tags", ", ".join(about.tags)), ("context", about.context))
    return tuple((name, value) for name, value in found if value)
