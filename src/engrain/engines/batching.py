"""Continuous batching: requests under any adapters decode together, join and leave between two tokens, and stream.

One thread owns the rows. A request waits until a row is free, reads its prompt, and from then on each step gives every row in
use one more token. What a request gets is what `LocalEngine.sample` would give it alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engrain.engines.decode import Sampling, choose, uniforms
from engrain.engines.forms import Form, Forms
from engrain.engines.llama import Llama
from engrain.engines.lora import Weights
from engrain.engines.prefixes import IDLE_S, Prefixes, alike
from engrain.engines.slots import Slots
from engrain.errors import InputError
from engrain.protocols import Completion, Conversation
from engrain.records import Message

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine


log = logging.getLogger(__name__)

OpenTo = Mapping[Hashable, Conversation | None]
"""Names, each of those whose requests under the same adapter need not read again what one has read, nor that one what they have: all of
it (None), or only what a conversation like this begins alike with. Who shares a name can tell by the time what others of it asked."""
BEGINNINGS = 256
"""Conversations that others begin alike with, whose tokens are kept."""
READ_TOKENS = 4096
"""Tokens, padding included, that are read in one go by requests that join; those under way wait for so long."""


@dataclass(slots=True)
class Ticket:
    """One request on its way: its tokens as they come, and in the end its completion."""

    prompt: list[int]
    adapter: str
    how: Sampling
    done: Future[Completion]
    started: float
    tokens: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    noise: list[float] = field(default_factory=list[float])
    tell: Callable[[int | None], None] | None = None
    """Called, in the batcher's thread, with each token and at the end with None; without it `stream` waits for them."""
    arrived: SimpleQueue[int | None] = field(default_factory=SimpleQueue)
    form: Form | None = None
    """Which tokens may come; None: all."""
    open_to: dict[Hashable, int] = field(default_factory=dict[Hashable, int])
    """Names whose requests may share what was read: this one goes on from theirs, and they from so many of its first tokens."""
    cached: int = 0
    """Tokens of the prompt that were not read again."""
    cancelled: bool = False

    def cancel(self) -> None:
        """Give it up; its row is free from the next token on, and what was said so far is its completion."""
        self.cancelled = True

    def came(self, token: int | None) -> None:
        """A token, or None: there will be no more. Who no longer listens is given up."""
        try:
            (self.tell or self.arrived.put)(token)
        except Exception:
            self.cancel()

    def fail(self, error: Exception) -> None:
        """It ends with this error."""
        self.done.set_exception(error)
        self.came(None)

    def stream(self) -> Iterator[int]:
        """The token ids as they come, the end-of-turn token included; raises what went wrong."""
        while (token := self.arrived.get()) is not None:
            yield token
        if error := self.done.exception():
            raise error


@dataclass(frozen=True, slots=True)
class Opened:
    """A batcher for prompts that begin alike: that beginning is read once for all. Implements `Sampler`."""

    batcher: Batcher
    open_to: OpenTo

    def sample(
        self,
        prompts: Sequence[Conversation],
        *,
        adapter: str = "",
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Completion]:
        """As the batcher's."""
        how: dict[str, Any] = {"adapter": adapter, "max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        return self.batcher.sample(prompts, **how, open_to=self.open_to)


def _nobody(_token: int | None) -> None:
    """Listens to no token: only the whole answer is wanted."""


class Batcher:
    """Runs one engine for many callers at once. Close it, or use it in a `with`."""

    def __init__(self, engine: LocalEngine, *, rows: int = 32) -> None:
        """`rows` requests decode together at most; the others wait, first come first served.

        InputError for a model that is not of Llama's family: its caches cannot hold rows of different ages.
        """
        if not isinstance(engine.network, Llama):
            raise InputError(f"{engine.path} is not of Llama's family; continuous batching needs one that is")
        self._engine, self._slots = engine, Slots(engine.network, rows)
        self._forms = Forms(engine.tokenizer, engine.chat.stop_ids, engine.network.vocab)
        self._prefixes = Prefixes()
        self._dropping = False
        self._beginnings: dict[tuple[Hashable, tuple[Message, ...], str], list[int]] = {}
        self._rows: list[Ticket] = []
        self._waiting: deque[Ticket] = deque()
        self._change, self._closed = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def submit(
        self,
        prompt: Conversation,
        *,
        adapter: str = "",
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
        top_p: float = 1.0,
        schema: str = "",
        tools: str = "",
        open_to: OpenTo | None = None,
        tell: Callable[[int | None], None] | None = None,
    ) -> Ticket:
        """Begin to answer; returns at once. The answer is JSON by `schema` if one is given, so far as it gets within `max_tokens`; `tools` are
        those that the chat template may offer; `tell` is `Ticket.tell`. InputError for a prompt that does not fit the window and for
        a schema that cannot be held, NotFound for an adapter that is not there."""
        if max_tokens < 1 or temperature < 0 or not 0 < top_p <= 1:
            raise InputError(
                f"max_tokens={max_tokens}, temperature={temperature}, top_p={top_p}; give at least 1, at least 0, and more than 0 and at most 1"
            )
        how = Sampling(self._engine.chat.stop_ids, max_tokens, temperature, seed, top_p)
        ids = self._engine.encode(prompt, room=max_tokens, tools=tools, keep=False)
        form = self._forms.json(schema) if schema else None
        self._engine.weights(adapter)
        ticket = Ticket(ids, adapter, how, Future(), time.perf_counter(), tell=tell, form=form)
        ticket.open_to = {
            name: self._engine.window if like is None else alike(ids, self._begins(name, like, tools))
            for name, like in (open_to or {}).items()
        }
        ticket.noise = uniforms(ids, how) if temperature > 0 else []
        ticket.done.set_running_or_notify_cancel()  # from here on nobody but the batcher ends it
        with self._change:
            if self._closed:
                raise InputError("this batcher is closed")
            self._waiting.append(ticket)
            self._change.notify()
        return ticket

    def sample(
        self,
        prompts: Sequence[Conversation],
        *,
        adapter: str = "",
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
        open_to: OpenTo | None = None,
    ) -> list[Completion]:
        """Whole answers, in one batch with whatever else is under way; blocks until the last is there."""
        how: dict[str, Any] = {"adapter": adapter, "max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        tickets = [self.submit(p, **how, open_to=open_to, tell=_nobody) for p in prompts]
        return [t.done.result() for t in tickets]

    def drop(self) -> None:
        """Let go of all that was read, and of what is being read as soon as it is; before anything else is read."""
        with self._change:
            self._dropping = True
            self._change.notify()

    @property
    def rows_in_use(self) -> int:
        """Answers that are being made."""
        return len(self._rows)

    @property
    def waiting(self) -> int:
        """Requests that wait for a row."""
        return len(self._waiting)

    @property
    def held_bytes(self) -> int:
        """Of what was read, kept for requests that begin alike."""
        return self._prefixes.bytes

    def close(self) -> None:
        """Stop after the token that is being made; requests under way end with what they have."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def __enter__(self) -> Batcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        with torch.inference_mode():
            while True:
                with self._change:
                    while not (self._rows or self._waiting or self._closed):
                        self._let_go()
                        self._change.wait(IDLE_S / 2 if self._prefixes.bytes else None)
                    joining = [] if self._closed else self._next()
                    if self._closed:
                        for ticket in (*self._rows, *self._waiting):
                            self._end(ticket, stopped=False)
                        return
                try:
                    if joining:
                        self._join(joining)
                    if self._rows:
                        self._step()
                except Exception as error:  # out of memory, say: those under way fail, later ones are answered
                    log.exception("%d requests failed", len({*map(id, self._rows), *map(id, joining)}))
                    for ticket in {id(t): t for t in (*self._rows, *joining) if not t.done.done()}.values():
                        ticket.fail(error)
                    self._rows.clear()
                    self._slots.clear()

    def _next(self) -> list[Ticket]:
        """Who may join now, in order: as many as there are rows for and as can be read in one go."""
        joining: list[Ticket] = []
        longest = 0
        while self._waiting and self._slots.takes(len(joining) + 1):
            ticket = self._waiting[0]
            longest = max(longest, len(ticket.prompt))
            if joining and longest * (len(joining) + 1) > READ_TOKENS:
                break
            self._waiting.popleft()
            if ticket.cancelled:
                self._end(ticket, stopped=False)
            else:
                joining.append(ticket)
        return joining

    def _join(self, joining: list[Ticket]) -> None:
        """They read their prompts, all at once; what cannot, fails alone."""
        self._let_go()
        ready: list[Ticket] = []
        requests: list[tuple[Weights | None, list[int], Tensor | None]] = []
        for ticket in joining:
            try:
                before = self._prefixes.find(ticket.adapter, ticket.open_to, ticket.prompt)
                requests.append((self._engine.weights(ticket.adapter), ticket.prompt, before))
                ticket.cached = 0 if before is None else before.shape[-2]
                ready.append(ticket)
            except Exception as error:
                ticket.fail(error)
        if ready:
            logits = self._slots.join(requests)
            self._rows += ready
            self._take(logits, list(range(len(self._rows) - len(ready), len(self._rows))))

    def _step(self) -> None:
        self._take(self._slots.step([t.tokens[-1] for t in self._rows]), list(range(len(self._rows))))

    def _take(self, logits: Tensor, rows: list[int]) -> None:
        """The next token of these rows; those that are at their end leave."""
        ended: list[int] = []
        for row, (token, logprob) in zip(rows, self._chosen(logits, rows), strict=True):
            ticket = self._rows[row]
            ticket.tokens.append(token)
            ticket.logprobs.append(logprob)
            if ticket.form and token not in ticket.how.stop:
                ticket.form.took(token)
            ticket.came(token)
            stopped = token in ticket.how.stop
            if stopped or ticket.cancelled or len(ticket.tokens) == ticket.how.max_tokens:
                self._end(ticket, stopped=stopped)
                ended.append(row)
        for row in reversed(ended):
            self._keep(row)
            self._slots.leave(row)
            self._rows[row] = self._rows[-1]
            self._rows.pop()

    def _keep(self, row: int) -> None:
        """What this row has read, for those whom it is open to."""
        ticket, length = self._rows[row], self._slots.lengths[row]
        read = (*ticket.prompt, *ticket.tokens)[:length]
        for name, most in ticket.open_to.items():
            self._prefixes.keep(ticket.adapter, name, read[:most], lambda n: self._slots.read_of(row, n))

    def _let_go(self) -> None:
        """Of what nobody went on from for long, and of everything if that is asked for."""
        if self._dropping:
            self._dropping = False
            self._prefixes.clear()
            self._beginnings.clear()
            for ticket in self._rows:
                ticket.open_to.clear()
        self._prefixes.drop_idle()

    def _begins(self, name: Hashable, like: Conversation, tools: str) -> list[int]:
        """The tokens of a conversation that others begin alike with; kept for those of this name alone."""
        key = name, tuple(like), tools
        with self._change:
            found = self._beginnings.get(key)
        if found is None:
            found = self._engine.encode(like, room=0, tools=tools, keep=False)
            with self._change:
                self._beginnings[key] = found
                while len(self._beginnings) > BEGINNINGS:
                    del self._beginnings[next(iter(self._beginnings))]
        return found

    def _chosen(self, logits: Tensor, rows: list[int]) -> list[tuple[int, float]]:
        """Token and log-probability (nats, at temperature 1, among those that its form allows) of each row: likeliest, or drawn
        with the request's own numbers."""
        found: list[tuple[int, float]] = []
        for place, row in enumerate(rows):
            if form := self._rows[row].form:
                logits[place] = form.hold(logits[place])
        greedy, logprobs = choose(logits, 0.0, None)
        likely = list(zip(greedy[:, 0].tolist(), logprobs[:, 0].tolist(), strict=True))
        for place, row in enumerate(rows):
            ticket = self._rows[row]
            if not ticket.noise:
                found.append(likely[place])
                continue
            uniform = torch.tensor([[ticket.noise[len(ticket.tokens)]]], device=logits.device)
            drawn, logprob = choose(logits[place : place + 1], ticket.how.temperature, uniform, ticket.how.top_p)
            found.append((int(drawn), float(logprob)))
        return found

    def _end(self, ticket: Ticket, *, stopped: bool) -> None:
        text = self._engine.tokenizer.decode(ticket.tokens, skip_special_tokens=True).strip()
        ticket.done.set_result(
            Completion(
                text=text, token_ids=tuple(ticket.tokens), logprobs=tuple(ticket.logprobs), input_tokens=len(ticket.prompt), cached_tokens=ticket.cached,
                finish_reason="stop" if stopped else "length", latency_ms=(time.perf_counter() - ticket.started) * 1000,
            )
        )  # fmt: skip
        ticket.came(None)
