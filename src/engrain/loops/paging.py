"""An agent that pages its own memory: core blocks that it edits, an archive that it searches, a conversation of which what no longer fits is kept.

The tools of MemGPT (arXiv 2310.08560) over one memory. An edit of a block names the version that it has seen, so that of two agents that edit at once
the second is told, and loses nothing (optimistic concurrency).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engrain.context.paging import CUT, Count, Page, longest, page
from engrain.errors import Conflict, EngrainError, InputError, NotFound
from engrain.loops.notes import note
from engrain.loops.remember import LONGEST_NOTE, now_of
from engrain.memory.blocks import LIMIT, Block, block_in, memory_of_block
from engrain.memory.documents import sentences
from engrain.memory.extract import content_words
from engrain.memory.filing import of_kinds
from engrain.memory.held import Shelf
from engrain.memory.history import STATED
from engrain.memory.recall import recall
from engrain.protocols import Embedder
from engrain.records import Memory, Message, Scope, content_hash
from engrain.store import SqlStore

SOURCE = "agent"
"""Of what an agent writes by itself: like what is overheard, it must stand or be said again before it is taken for durable."""
SHOWN = 10
"""Hits of a search, at most."""
Act = Callable[[Sequence[Message]], Message]
"""The model's next turn, which may ask for tools."""


def blocks(store: SqlStore, scope: Scope) -> list[Block]:
    """The core blocks, in the order in which they were last written."""
    return [block_in(m) for m in of_kinds(store, scope, ("block",))]


def write_block(
    store: SqlStore,
    count_tokens: Callable[[str], int],
    name: str,
    text: str,
    *,
    scope: Scope,
    seen: str | None = None,
    limit: int | None = None,
    source: str = SOURCE,
) -> Block:
    """Make a block, or put another text in its place; what it said before stays on record. `seen` is the version that the text was worked out from:
    Conflict if another one stands by now. InputError, with the figures, for a text beyond the block's limit."""
    state = store.state(scope=scope)
    there = {b.name: b for b in blocks(store, scope)}.get(name)
    if there is not None and seen is not None and there.version != seen:
        raise Conflict(
            f"block {name!r} was rewritten meanwhile (it is {there.version} now); read it again and repeat the edit"
        )
    if there is None and seen:
        raise NotFound(f"there is no block {name!r}; write it without a version to make it")
    most = limit or (there.limit if there else LIMIT)
    if (tokens := count_tokens(text.strip())) > most:
        raise InputError(
            f"block {name!r} would have {tokens} tokens, {most} at most; shorten it, or move details into the archive"
        )
    now = now_of(store, scope)
    memory = memory_of_block(
        name, text, most, scope=scope, now=now, source=source, causes=(there.version,) if there else ()
    )  # fmt: skip
    store.append_all([memory], seen=state)
    return block_in(memory)


def edit_block(
    store: SqlStore,
    count_tokens: Callable[[str], int],
    name: str,
    old: str,
    new: str,
    *,
    scope: Scope,
    seen: str | None = None,
) -> Block:
    """Replace one passage of a block (`old`, which must stand in it exactly once); with an empty `old`, append a line."""
    known = {b.name: b for b in blocks(store, scope)}
    if (there := known.get(name)) is None:
        raise NotFound(f"there is no block {name!r}; there are {', '.join(known) or 'none'}")
    if old and there.text.count(old) != 1:
        raise InputError(
            f"{old!r} stands {there.text.count(old)} times in block {name!r}; quote a passage that stands in it once"
        )
    text = there.text.replace(old, new) if old else f"{there.text}\n{new}".strip()
    return write_block(store, count_tokens, name, text, scope=scope, seen=seen or there.version)


@dataclass(slots=True, kw_only=True)
class Pager:
    """The memory tools of one agent, and the accountant of its window."""

    store: SqlStore
    embedder: Embedder
    count_tokens: Callable[[str], int]
    count: Count
    """Tokens of a conversation as its model reads it."""
    window: int
    scope: Scope
    conversation: str = ""
    reserve: int = 256
    """Tokens kept free for the answer."""
    offers: bool = True
    """Whether the tools go with each request, so that their description takes room, too."""
    count_tools: Callable[[str], int] | None = None
    """Tokens that the tools (JSON) take as the model's template describes them; None where that is not known: those of the JSON, and three tenths more."""
    shelf: Shelf = field(default_factory=Shelf)
    _kept: set[tuple[Message, int]] = field(default_factory=set[tuple[Message, int]], init=False)
    """Turns of the conversation that are kept as episodes already, and which of the equal ones each is."""

    @property
    def room(self) -> int:
        """Tokens that a conversation may have. InputError where the tools and the answer leave none."""
        tools = self._described() if self.offers else 0
        if (left := self.window - self.reserve - tools) < 1:
            raise InputError(
                f"the window has {self.window} tokens, the memory tools take {tools} and the answer {self.reserve}; use a larger window, or do not "
                "offer the tools (offers=False)"
            )
        return left

    def _described(self) -> int:
        offered = json.dumps(self.offered(), ensure_ascii=False)
        return self.count_tools(offered) if self.count_tools else self.count_tokens(offered) * 13 // 10

    def fit(self, messages: Sequence[Message]) -> Page:
        """What is to be sent: core blocks, and the latest turns that fit; what does not is kept as episodes, where `conversation_search` finds it."""
        system = [m.content for m in messages if m.role == "system" and m.content.strip()]
        core = "\n".join(
            f"<{b.name} version={b.version}>\n{b.text}\n</{b.name}>" for b in blocks(self.store, self.scope)
        )
        first = "\n\n".join([*system, *([f"Core memory:\n{core}"] if core else [])])
        turns = [m for m in messages if m.role != "system"]
        shown = page(
            [*([Message(role="system", content=first)] if first else []), *turns],
            self.room,
            self.count,
        )
        own = {c.id for m in turns for c in m.tool_calls if c.name in self.tools}  # what was recalled is not news
        self._keep([m for m in shown.evicted if m.content.strip() and not (m.role == "tool" and m.tool_call_id in own)])
        return shown

    def _keep(self, evicted: Sequence[Message]) -> None:
        met: Counter[Message] = Counter()
        told: list[tuple[Message, int]] = []
        for m in evicted:
            told.append((m, met[m]))  # a second "yes" is another turn
            met[m] += 1
        if not (new := [turn for turn in told if turn not in self._kept]):
            return
        now, talk = now_of(self.store, self.scope), self.conversation or "paged"
        own, named = [self.scope.tenant, self.scope.user, talk], dict[str, Memory]()
        for m, number in new:
            text = f"{m.role}: {m.content}"
            again = [str(number)] if number else []
            name = (
                f"mem_{content_hash([*own, text, *again], length=12)}"  # so that another pager keeps it no second time
            )
            named[name] = Memory(
                id=name, scope=self.scope, kind="episode", text=text, source="chat", talk=talk, valid_from=now, recorded_at=now
            )  # fmt: skip
        there = {m.id for m in self.store.akin((), list(named), scope=self.scope)}
        for error in self.store.append_each([turn for name, turn in named.items() if name not in there]):
            if error is not None and not isinstance(error, InputError):  # what was forgotten stays forgotten
                raise error
        self._kept.update(new)

    @property
    def tools(self) -> dict[str, tuple[str, Mapping[str, Any], Callable[..., str]]]:
        """Each tool's purpose, parameters and function, by its name."""
        text = {"type": "string"}
        return {
            "core_memory_append": ("Append a line to a core block.", {"name": text, "content": text}, self._append),
            "core_memory_replace": (
                "Replace a passage of a core block; quote it exactly.", {"name": text, "old": text, "new": text}, self._replace,
            ),
            "archival_memory_insert": ("Keep a fact for good, in a sentence of its own.", {"content": text}, self._insert),
            "archival_memory_search": ("Search what was kept for good.", {"query": text}, self._search),
            "conversation_search": ("Search what was said before and is not shown any more.", {"query": text}, self._said),
        }  # fmt: skip

    def offered(self) -> list[dict[str, Any]]:
        """The tools as an OpenAI request offers them."""
        return [
            {"type": "function", "function": {"name": name, "description": about, "parameters": {
                "type": "object", "properties": dict(fields), "required": list(fields), "additionalProperties": False}}}
            for name, (about, fields, _) in self.tools.items()
        ]  # fmt: skip

    def call(self, name: str, arguments: str) -> str:
        """What a tool gives back; what goes wrong is told in words, for the model is to mend it."""
        if name not in self.tools:
            return f"error: there is no tool {name!r}; there are {', '.join(self.tools)}"
        _, fields, do = self.tools[name]
        try:
            given = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            return f"error: the arguments are no JSON ({error})"
        if (
            not isinstance(given, dict)
            or given.keys() != fields.keys()
            or not all(isinstance(v, str) for v in given.values())
        ):
            return f"error: {name} takes exactly {', '.join(fields)}, each a string"
        try:
            return do(**given)
        except EngrainError as error:
            return f"error: {error}"

    def _append(self, name: str, content: str) -> str:
        block = edit_block(self.store, self.count_tokens, name, "", content, scope=self.scope)
        return f"kept; {name} has {self.count_tokens(block.text)} of {block.limit} tokens"

    def _replace(self, name: str, old: str, new: str) -> str:
        if not old:
            return "error: old is empty; quote the passage that is to be replaced, or append"
        block = edit_block(self.store, self.count_tokens, name, old, new, scope=self.scope)
        return f"kept; {name} has {self.count_tokens(block.text)} of {block.limit} tokens"

    def _insert(self, content: str) -> str:
        if not 0 < len(content.strip()) <= LONGEST_NOTE:
            return f"error: the fact has {len(content.strip())} characters; give 1 to {LONGEST_NOTE}, in a sentence of its own"
        memory, links = note(self.store, self.embedder, content, scope=self.scope, source=SOURCE, shelf=self.shelf)
        return f"kept as {memory.id}" + (f", linked with {len(links)} others" if links else "")

    def _search(self, query: str) -> str:
        return self._found(query, (*STATED, "lesson", "reflection"))

    def _said(self, query: str) -> str:
        return self._found(query, ("episode",))

    def _found(self, query: str, kinds: Sequence[str]) -> str:
        hits = recall(
            query, index=self.store, embedder=self.embedder, scope=self.scope, kinds=kinds, limit=SHOWN, shelf=self.shelf
        )  # fmt: skip
        lines = [f"{m.id}: {m.text}" for m, _ in hits]

        def fits(text: str) -> bool:
            return self.count_tokens(text) <= (self.window - self.reserve) // 3

        while len(lines) > 1 and not fits("\n".join(lines)):
            del lines[-1]
        if lines and not fits(lines[0]):
            name, text = hits[0][0].id, hits[0][0].text
            lines = [f"{name}: {_excerpt(text, query, lambda cut: fits(f'{name}: {cut}'))}"]
        left = len(hits) - len(lines)
        return "\n".join([*lines, *([f"({left} more; ask more narrowly)"] if left else [])]) or "nothing was found"


def converse(pager: Pager, messages: Sequence[Message], act: Act, *, steps: int = 8) -> tuple[Message, list[Message]]:
    """One turn of an agent that uses its memory tools: asks `act`, runs the memory tools that it asks for, and asks again, until it answers or asks for
    a tool of somebody else's; at most `steps` times. Returns that turn, and the turns in between."""
    between: list[Message] = []
    for _ in range(steps):
        turn = act(pager.fit([*messages, *between]).messages)
        mine = [c for c in turn.tool_calls if c.name in pager.tools]
        if not mine or len(mine) < len(turn.tool_calls):
            return turn, between
        between.append(turn)
        between += [Message(role="tool", content=pager.call(c.name, c.arguments), tool_call_id=c.id) for c in mine]
    raise InputError(
        f"the model asked for memory tools {steps} times in a row and did not answer; allow more steps, or ask it again"
    )


def _excerpt(text: str, query: str, fits: Callable[[str], bool]) -> str:
    """The sentences or lines of a text around the one that has most of the query's words, as many as fit; of one that does not fit by itself, what
    stands around the first of these words."""
    parts = [part for line in re.split(r"\n+|(?<=[。！？])", text) for part in sentences(line)] or [text]
    asked = content_words(query)
    first = last = max(range(len(parts)), key=lambda i: len(asked & content_words(parts[i])))

    def shown(first: int, last: int) -> str:
        around = ("[…] " if first else "", CUT if last < len(parts) - 1 else "")
        return " ".join(parts[first : last + 1]).join(around)

    if not fits(shown(first, last)):
        whole = parts[first]
        places = [m.start() for m in re.finditer(r"\w+", whole) if content_words(m[0]) & asked]
        begin = max(0, (places or [0])[0] - 40)

        def cut(length: int) -> str:
            return ("[…] " if begin or first else "") + whole[begin : begin + length] + CUT

        return cut(longest(len(whole) - begin, lambda length: fits(cut(length))))
    grown = True
    while grown:
        grown = False
        for f, n in ((first, last + 1), (first - 1, last)):
            if f >= 0 and n < len(parts) and fits(shown(f, n)):
                first, last, grown = f, n, True
    return shown(first, last)
