"""Skills in the loop: taken from folders (waiting to be trusted), written from lessons that have proved good, and written out for any agent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engrain.errors import FormatError, InputError
from engrain.evaluation.statistics import wilson
from engrain.loops.change import delta
from engrain.loops.remember import now_of
from engrain.memory.extract import content_words
from engrain.memory.filing import of_kinds
from engrain.memory.held import Shelf
from engrain.memory.history import derive
from engrain.memory.playbook import Playbook, proved
from engrain.memory.skills import FILE, Skill, memory_of_skill, read, skill_in, write
from engrain.memory.worth import worths
from engrain.protocols import Embedder
from engrain.records import Memory, Scope
from engrain.store import SqlStore

WRITTEN = "skill"
"""Source of a skill that was written from lessons: it goes when one of them is forgotten."""
LONGEST_WORD = 24
"""Characters of a word that a skill may be named by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distilling:
    """When lessons become a skill."""

    least: int = 3
    """Proved lessons of one thing."""
    cosine: float = 0.45
    """Lessons are of one thing if each is at least this close to another one of them."""


def take(store: SqlStore, path: Path, *, scope: Scope, trusted: bool = False) -> list[Memory]:
    """Keep the skill of a folder, or those of all folders in it; they wait to be accepted unless they are `trusted`, for a skill tells a model what to
    do. What is known already, word for word, is not kept again. FormatError names folder and remedy; then nothing was kept."""
    if not path.is_dir():
        raise InputError(f"{path} is no folder; give one with a {FILE}, or a folder of such folders")
    folders = [path] if (path / FILE).is_file() else sorted(f.parent for f in path.glob(f"*/{FILE}"))
    if not folders:
        raise FormatError(f"{path} holds no {FILE}, and none of the folders in it does")
    return keep(store, [(read(f), f"file:{f.resolve()}") for f in folders], scope=scope, trusted=trusted)


def keep(store: SqlStore, skills: Sequence[tuple[Skill, str]], *, scope: Scope, trusted: bool = False) -> list[Memory]:
    """Keep skills, each with its source, as `take` does."""
    standings = [s for s in derive(store.history(scope=scope)).values() if s.memory.kind == "skill"]
    known = {s.memory.attribute("version"): s for s in standings if s.state in ("active", "proposed")}
    now = now_of(store, scope)
    made = [
        memory_of_skill(skill, scope=scope, source=source, now=now, proposed=not trusted) for skill, source in skills
    ]
    waiting = [s.memory for m in made if (s := known.get(m.attribute("version"))) and s.state == "proposed" and trusted]
    made = [m for m in made if m.attribute("version") not in known]
    accepted = [delta("accept", m.id, scope=scope, now=now, reason="taken as trusted", by="user") for m in waiting]
    store.append_all([*made, *accepted])
    return [*made, *waiting]


def active_skills(store: SqlStore, scope: Scope) -> list[Skill]:
    """The skills that hold, in the order of recording."""
    return [skill_in(m) for m in of_kinds(store, scope, ("skill",))]


def put_out(store: SqlStore, into: Path, *, scope: Scope, names: Sequence[str] = ()) -> list[Path]:
    """Write the skills that hold (or those of these names) into a folder, as any agent reads them."""
    there = {s.name: s for s in active_skills(store, scope)}
    if missing := [n for n in names if n not in there]:
        raise InputError(f"no skill {', '.join(missing)}; there are {', '.join(there) or 'none'}")
    return [write(there[name], into) for name in (names or there)]


def distil(
    store: SqlStore,
    embedder: Embedder,
    *,
    scope: Scope,
    playbook: Playbook = Playbook(),
    settings: Distilling = Distilling(),
    shelf: Shelf | None = None,
) -> list[Memory]:
    """Propose a skill for each group of lessons of one thing that have proved good; by rules, in the lessons' own words.

    It waits to be accepted; then it is a skill like any other, and names the lessons that it came from. A group that a skill was written
    from before, and that has not changed, is left alone. Conflict, and nothing is kept, if the memory changed meanwhile.
    """
    seen = store.state(scope=scope)
    lessons = of_kinds(store, scope, ("lesson",))
    good = proved(lessons, worths(store, scope, [m.id for m in lessons]), wilson, settings=playbook)
    if len(good) < settings.least:
        return []
    kept = (shelf or Shelf()).vectors(store, embedder, scope)
    good = [m for m in good if kept.row(m.id) >= 0]
    vectors = kept.matrix[[kept.row(m.id) for m in good]]
    before = {m.causes for m in store.select(Memory, scope=scope) if m.source == WRITTEN}
    names = {m.attribute("name") for m in store.select(Memory, scope=scope) if m.kind == "skill"}
    now = now_of(store, scope)
    made: list[Memory] = []
    for group in _groups(vectors, settings):
        members = [good[i] for i in group]
        causes = tuple(m.id for m in members)
        if causes in before:
            continue
        skill = _written(members, names)
        names.add(skill.name)
        made.append(memory_of_skill(skill, scope=scope, source=WRITTEN, now=now, proposed=True, causes=causes))
    store.append_all(made, seen=seen)
    return made


def _groups(vectors: np.ndarray, settings: Distilling) -> list[list[int]]:
    """Places of the vectors ([n, dimension]) that hang together, each group in order; single links."""
    near = vectors @ vectors.T >= settings.cosine
    left, groups = set(range(len(vectors))), list[list[int]]()
    while left:
        group, edge = set[int](), {min(left)}
        while edge:
            group |= edge
            edge = {j for i in edge for j in np.flatnonzero(near[i]).tolist()} & left - group
        left -= group
        if len(group) >= settings.least:
            groups.append(sorted(group))
    return groups


def _written(lessons: Sequence[Memory], taken: set[str]) -> Skill:
    """A skill of these lessons: named by the words that most of them share, its body the lessons one by one."""
    counts: dict[str, int] = {}
    for lesson in lessons:
        for word in content_words(lesson.text):
            counts[word] = counts.get(word, 0) + 1
    spoken = dict.fromkeys(w.lower() for m in lessons for w in re.findall(r"[A-Za-z][a-z]+", m.text))
    order = {word: at for at, word in enumerate(re.findall(r"\w+", " ".join(m.text.lower() for m in lessons)))}
    whole = [w for w in spoken if any(w.startswith(stem) for stem in counts)]
    stems = sorted(counts, key=lambda s: (-counts[s], s))[:3]
    topic = [min((w for w in whole if w.startswith(s)), key=len, default="") for s in stems]
    topic = sorted(dict.fromkeys(w for w in topic if 0 < len(w) <= LONGEST_WORD), key=lambda w: order.get(w, 0)) or [
        "lessons"
    ]
    name = base = "-".join(topic)[:56].strip("-")
    number = 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    body = "\n".join(f"- {' '.join(m.text.split())}" for m in lessons)
    about = f"What has proved good about {', '.join(topic)}. Use it when a task has to do with {' or '.join(topic)}."
    return Skill(
        name=name,
        description=about,
        body=f"# {' '.join(topic).capitalize()}\n\n{body}",
        metadata={"written-by": "engrain"},
    )
