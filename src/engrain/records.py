"""The nouns of engrain, in the order an interaction meets them.

Records are values: frozen, keyword-only, and they name what caused them. `causes` holds the ids of the records that
this one came from, so from any answer one can walk up to the interactions behind it, and from any interaction down to
every adapter that it touched. Times are UTC seconds since the epoch; token counts are tokens of the base model.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
MemoryKind = Literal["fact", "procedure", "preference", "episode", "lesson", "note", "reflection", "skill", "block"]
FeedbackKind = Literal["explicit", "implicit", "automated"]
Operator = Literal["accept", "archive", "merge", "link", "keep", "tag", "undo"]
Decision = Literal["promote", "hold", "reject"]


def new_id(prefix: str) -> str:
    """A fresh random id such as `mem_3f9c2a71b04e`; carries no content and no order."""
    return f"{prefix}_{secrets.token_hex(6)}"


def content_hash(value: Any, *, length: int = 64) -> str:
    """SHA-256 of the canonical JSON of `value` (sorted keys, no spaces), as `length` hex digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


TEAM = "team:"
"""Begins the name of a scope that several share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose record this is. Nothing is stored, recalled, trained or served without one."""

    tenant: str = "local"
    user: str = "me"

    def __str__(self) -> str:
        return f"{self.tenant}/{self.user}"

    @property
    def is_team(self) -> bool:
        """Whether it is the memory that a team shares (`team:NAME`)."""
        return self.user.startswith(TEAM)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool that a model asked to have called."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it: it may be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    """Of what a tool gave back: the call that it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What answered: the hashes of the base, the adapter ("" for none) and the memory snapshot (the last entry of the ledger that
    changed it; "" for none)."""

    base: str
    adapter: str = ""
    memory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the model is shown beside the query: the rendered notes and the ids of the memories in them."""

    text: str = ""
    memory_ids: tuple[str, ...] = ()
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer cost: tokens in (query and context), tokens out, and wall time in milliseconds, recall included."""

    input_tokens: int = 0
    cached_tokens: int = 0
    """Those in that were not read again, because an earlier request began alike."""
    output_tokens: int = 0
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the answer was drawn; None where that is not known (a chat that was read from a file)."""

    temperature: float | None = None
    """0 takes the likeliest token each time."""
    max_tokens: int | None = None
    seed: int | None = None
    top_p: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One request: what was asked, what was shown, what was answered, and by what."""

    id: str = field(default_factory=lambda: new_id("int"))
    scope: Scope
    conversation: str = ""
    created_at: float = field(default_factory=time.time)
    messages: tuple[Message, ...]
    context: Context = Context()
    answer: str
    stamp: Stamp
    sampling: Sampling = Sampling()
    usage: Usage = Usage()
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    """Log-probability of each answer token, in nats; empty where the engine gives none."""
    finish_reason: str = "stop"
    tools: str = ""
    """JSON of the tools that were offered; "" for none."""
    tool_calls: tuple[ToolCall, ...] = ()
    """What the answer asks to have called."""
    causes: tuple[str, ...] = ()

    @property
    def query(self) -> str:
        """The last thing the user said."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What somebody or something said about an interaction."""

    id: str = field(default_factory=lambda: new_id("fb"))
    scope: Scope
    created_at: float = field(default_factory=time.time)
    interaction: str
    kind: FeedbackKind = "explicit"
    name: str = "rating"
    """`rating` (score in 0 … 1), `comment` (text), `correction` (text: what should have been said); of implicit feedback `accepted`,
    `corrected`, `rephrased`, `retried` or `abandoned` (score 1 or 0; text: by which rule); of automated feedback the verifier's."""
    score: float | None = None
    """None for what has none, and where a verifier could not tell."""
    text: str = ""
    causes: tuple[str, ...] = ()


KEY = ("entity", "attribute")
"""Attributes that make the key of a fact: another value of the same thing's same attribute ends it."""
_SEARCHED = (*KEY, "keywords", "tags", "context", "SKILL.md")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One item of text memory. It is never edited: a newer memory supersedes it, or a retraction marks it wrong.

    Whether it is active, superseded or retracted is not stored but follows from the memories recorded after it
    (`engrain.memory.history`), so that taking one out leaves exactly the history in which it never was.
    """

    id: str = field(default_factory=lambda: new_id("mem"))
    scope: Scope
    kind: MemoryKind = "fact"
    text: str
    source: str = ""
    """Where it came from: a file path, `chat`, `tell`, `correction`, `agent` (another one, over MCP)."""
    talk: str = ""
    """The conversation or document of which it is one turn or part; its neighbours there are those recorded before and after it."""
    valid_from: float
    """When it became true (valid time)."""
    recorded_at: float = field(default_factory=time.time)
    """When engrain learned of it (system time)."""
    supersedes: tuple[str, ...] = ()
    """Ids named explicitly as replaced; more may follow from the text itself."""
    retracts: tuple[str, ...] = ()
    """Ids marked wrong, not old. A memory with `retracts` and an empty text only retracts."""
    mutable: bool = False
    """State that is expected to change (stock levels, "today"); never consolidated as if it were a rule."""
    proposed: bool = False
    """Waits until somebody accepts it; till then it is shown to no model, and ends nothing."""
    attributes: tuple[tuple[str, str], ...] = ()
    """What else its kind needs, as (name, value): the section of a lesson, the keywords of a note, the files of a skill."""
    causes: tuple[str, ...] = ()

    def attribute(self, name: str) -> str:
        """The value of an attribute; "" if it has none."""
        return dict(self.attributes).get(name, "")

    @property
    def key(self) -> tuple[str, str] | None:
        """The thing and the attribute of which it tells the value; None if it was told without."""
        thing, attribute = map(self.attribute, KEY)
        return (thing, attribute) if thing and attribute else None

    @property
    def searched(self) -> str:
        """What it is found by: its text, and what was noted of it."""
        about = [value for name, value in self.attributes if name in _SEARCHED and value.strip()]
        return "\n".join([self.text, *about]) if self.text.strip() else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One change to memories that are there: never in place, always with a reason. Where they stand follows from all of them."""

    id: str = field(default_factory=lambda: new_id("dlt"))
    scope: Scope
    recorded_at: float = field(default_factory=time.time)
    operator: Operator
    """`accept` what was proposed; `archive` what is not to be shown any more, though it was not wrong; `merge` into one that says it, too;
    `link` two that belong together; `keep` apart two that were compared; `tag` as helpful, harmful or neutral; `undo` another delta."""
    targets: tuple[str, ...]
    """Id of the memory (two of them for `link` and `keep`); of the delta for `undo`."""
    into: str = ""
    """Of a merge: the memory that stands for both."""
    value: str = ""
    """Of a tag: `helpful`, `harmful` or `neutral`; of a link: how they belong together."""
    reason: str
    by: str = "rules"
    """Who decided: `rules`, `user`, or the name of a model."""
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What the router decided about one memory, and why: text only, or weights too."""

    id: str = field(default_factory=lambda: new_id("sig"))
    scope: Scope
    created_at: float = field(default_factory=time.time)
    memory: str
    route: Literal["weights", "text"]
    reason: str
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One training or evaluation item: a query, the context its teacher sees, and what it is for."""

    query: tuple[Message, ...]
    context: str = ""
    """Rendered notes that the teacher sees and the student does not; empty for the bare model as teacher."""
    reference: str = ""
    """The expected answer, where one is known (evaluation, off-policy training)."""
    role: Literal["new", "replay", "guard"] = "new"
    """`new`: being learned; `replay`: an earlier consolidation; `guard`: unrelated, so that base abilities survive."""
    memory_ids: tuple[str, ...] = ()
    interaction_ids: tuple[str, ...] = ()
    """Where the user asked this, if it is a query of the user's own."""
    form: bool = False
    """Whether case and punctuation of the answer count: what is asked for is a way of answering."""

    @property
    def hash(self) -> str:
        """Content hash, independent of ids: two examples with the same words are the same example."""
        return content_hash([[(m.role, m.content) for m in self.query], self.context, self.reference], length=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A question of the user's own with the right answer: every candidate is judged by it, and none is trained on it."""

    id: str = field(default_factory=lambda: new_id("tsk"))
    scope: Scope
    created_at: float = field(default_factory=time.time)
    question: str
    answer: str
    """ "I don't know" where a model is not to know."""
    causes: tuple[str, ...] = ()

    @property
    def example(self) -> Example:
        """The item that it is in a suite."""
        return Example(query=(Message(role="user", content=self.question),), reference=self.answer, role="guard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A prepared batch: everything one consolidation trains on and is judged by, fixed before it starts."""

    scope: Scope
    parent: str
    """Adapter hash of the accepted version that teaches and that training starts from; "" for the bare base."""
    train: tuple[Example, ...]
    holdout: tuple[Example, ...]
    """Never trained on, by content."""
    memory_ids: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    seed: int = 0
    created_at: float = field(default_factory=time.time)
    causes: tuple[str, ...] = ()

    @property
    def content(self) -> str:
        """Hash of what is learned from, and how; ids and times do not enter, so it names the adapter that will come of it."""
        examples = [asdict(e) | {"memory_ids": (), "interaction_ids": ()} for e in (*self.train, *self.holdout)]
        return content_hash([self.parent, examples, self.settings, self.seed])

    @property
    def id(self) -> str:
        """`bat_` and the hash of content and lineage: the same words told again are another batch with the same content."""
        lineage = [[e.memory_ids, e.interaction_ids] for e in (*self.train, *self.holdout)]
        return "bat_" + content_hash([self.content, lineage, self.memory_ids, self.causes], length=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One immutable version of learned weights. Its id is the hash of its content."""

    id: str
    scope: Scope
    created_at: float = field(default_factory=time.time)
    base: str
    parent: str = ""
    batch: str = ""
    memory_ids: tuple[str, ...] = ()
    """Every memory that it was trained on, its ancestors' included."""
    scale: float = 1.0
    """Share of the trained update that was kept (scale-back before rejecting)."""
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """One evaluation item answered by one version."""

    item: str
    """Content hash of the Example."""
    group: str
    """What it measures: `new`, `replay`, `unknown`, `reading`, `style`."""
    question: str
    expected: str
    answer: str
    right: bool
    input_tokens: int = 0
    output_tokens: int = 0
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The answers of one version to one suite."""

    id: str = field(default_factory=lambda: new_id("ev"))
    scope: Scope
    created_at: float = field(default_factory=time.time)
    adapter: str
    """Adapter hash; "" for the bare base."""
    suite: str
    base: str = ""
    """Content hash of the base that answered; "" bare adapters of different bases are not the same version."""
    results: tuple[ItemResult, ...]
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision and its reasons. Never a bare bool."""

    id: str = field(default_factory=lambda: new_id("ver"))
    scope: Scope
    created_at: float = field(default_factory=time.time)
    decision: Decision
    reasons: tuple[str, ...]
    candidate: str
    """Adapter hash."""
    against: str = ""
    """Adapter hash of the version that was live; "" for the bare base."""
    alpha_spent: float = 0.0
    """The share of the sequence's error budget that this decision used."""
    broke: tuple[str, ...] = ()
    """Places, from 0, in the candidate's Evidence (its results) of the items that were right before and are wrong now. No hash of an item: its
    few words could be guessed from that when they are forgotten."""
    fixed: tuple[str, ...] = ()
    """The same of items that were wrong before and are right now."""
    causes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        raise TypeError("a Verdict is not a bool; read .decision and .reasons")


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A candidate that the gate let through, on trial: it answers a share of the requests until a verdict ends the trial."""

    id: str = field(default_factory=lambda: new_id("can"))
    scope: Scope
    created_at: float = field(default_factory=time.time)
    candidate: str
    """Adapter hash."""
    against: str
    """Adapter hash of the version that is live meanwhile; "" for the bare base."""
    verdict: str
    """Id of the gate's verdict, by which it goes live if the trial ends well."""
    share: float
    """Of the conversations, 0 … 1."""
    margin: float
    alpha: float
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof of a forgetting: what went, what was rebuilt; hashes only, never the content."""

    id: str = field(default_factory=lambda: new_id("rcp"))
    scope: Scope
    created_at: float = field(default_factory=time.time)
    asked: str
    """What was asked to be forgotten: a record id, `source:…` or `user:…`."""
    removed: tuple[str, ...]
    """Ids of the records whose content is gone."""
    rebuilt: tuple[tuple[str, str], ...] = ()
    """(old adapter hash, new adapter hash); the new one is "" where nothing was left to learn."""
    reason: str = ""
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One line of the append-only audit trail: hashes and reasons, never content."""

    seq: int
    at: float
    event: str
    """`interaction`, `feedback`, `memory`, `delta`, `signal`, `batch`, `adapter`, `evidence`, `verdict`, `receipt`, `promote`,
    `rollback`, `forget`."""
    subject: str
    """Id of the record that this is about."""
    digest: str
    """SHA-256 of the record's canonical JSON, salted per record; the salt is erased with the content."""
    reason: str
    previous: str
    """Hash of the entry before; 64 zeros for the first."""
    hash: str


Record = (
    Interaction | Feedback | Memory | Delta | Signal | Task | Batch | Adapter | Evidence | Verdict | Canary | Receipt
)
