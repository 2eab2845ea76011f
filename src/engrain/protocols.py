"""The seams: what each room may expect of the others. Five methods or fewer each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from engrain.records import Delta, FeedbackKind, Interaction, LedgerEntry, Memory, Message, Record, Scope

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Conversation = Sequence[Message]
Answered = tuple[Sequence[Conversation], Sequence[Sequence[int]]]
"""Prompts, and the answer tokens to each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sampled answer."""

    text: str
    token_ids: tuple[int, ...]
    """The answer's tokens, the end-of-turn token included where it was sampled."""
    logprobs: tuple[float, ...]
    """Nats, one per token."""
    input_tokens: int
    cached_tokens: int = 0
    """Those of the input that had been read before and were not read again."""
    finish_reason: str
    output_tokens: int | None = None
    """Where the token ids are not known; None: as many as those."""
    latency_ms: float = 0.0

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.input_tokens + (len(self.token_ids) if self.output_tokens is None else self.output_tokens)


class Sampler(Protocol):
    """What answers prompts: an engine, or the batcher in front of one.

    `adapter` is a content hash; "" is the bare base. Asking for one that is absent raises NotFound; nothing else ever answers in its
    place.
    """

    def sample(
        self,
        prompts: Sequence[Conversation],
        *,
        adapter: str = "",
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Completion]: ...


class Engine(Sampler, Protocol):
    """Runs one base model with many adapters."""

    base: str
    """Content hash of the base weights, tokenizer and chat template."""

    def score(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], *, adapter: str = ""
    ) -> list[list[float]]:
        """Log-probability in nats of each given answer token after its prompt."""
        ...

    def count_tokens(self, text: str) -> int: ...


class Student(Protocol):
    """A model being taught: the same base under a trainable adapter. Opened by an engine, saved as a new adapter.

    Shapes: B sequences, T answer tokens (right-padded), V vocabulary.
    """

    def sample(
        self, prompts: Sequence[Conversation], *, temperature: float, seed: int, teacher: bool = False
    ) -> list[list[int]]:
        """Answer tokens that the student itself produces, as it is now; with `teacher`, those of the frozen version."""
        ...

    def logits(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], *, teacher: bool
    ) -> tuple[Tensor, Tensor]:
        """Next-token logits [B, T, V] in float32 at each answer token, and the mask [B, T] of real tokens.

        With `teacher` the frozen accepted version answers and no gradient flows; without, the student does.
        """
        ...

    def aim(self, new: Answered, kept: Answered) -> None:
        """Confine the update to directions in which what is new stands out from what must stay as it is."""
        ...

    def step(self, loss: Tensor, *, learning_rate: float) -> float:
        """Backward, clip, update; returns the gradient norm. Raises TrainingFailed on a non-finite one."""
        ...

    def save(self, *, scale: float = 1.0) -> str:
        """Write the adapter, its update over the parent multiplied by `scale`; returns its content hash."""
        ...


class Store(Protocol):
    """Where records rest. Append and read; content goes only by `erase`, which the ledger remembers."""

    def append(self, record: Record, *, reason: str = "") -> None:
        """Durable when it returns: on disk, in the ledger, its causes linked."""
        ...

    def get(self, record_id: str, *, scope: Scope) -> Record:
        """NotFound if it never was or is erased; ScopeError if it is somebody else's."""
        ...

    def select(self, kind: type[Any], *, scope: Scope) -> Iterator[Any]:
        """All records of one kind in this scope, in the order they were appended."""
        ...

    def erase(self, record_ids: Sequence[str], *, scope: Scope, reason: str) -> None:
        """Remove content everywhere; hashes, links and the reason stay."""
        ...

    def ledger(self) -> Iterator[LedgerEntry]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """Where one memory stands, as the store keeps it; `engrain.memory.history.Standing` without the memory."""

    id: str
    state: str
    until: float | None = None
    by: str = ""
    """Id of the memory that supersedes, retracts or says it, or of the delta that archives it."""
    confirmations: int = 0
    kind: str = "fact"
    """The memory's own; `style` of one that states how to answer."""
    keys: tuple[str, ...] = ()
    """What its standing depends on: memories that share one belong together, and `names:ID` belongs to the memory of that id."""


class Standings(Protocol):
    """Where the standing of each memory is kept, so that what is new is compared with what concerns it alone; `SqlStore` is one."""

    def state(self, *, scope: Scope) -> tuple[int, int]:
        """(the last entry of the ledger that wrote or forgot a memory of this scope, how many there are); changes with each."""
        ...

    def unfiled(self, *, scope: Scope, limit: int) -> list[Memory]:
        """Memories that wait to be filed, in the order of recording."""
        ...

    def akin(self, keys: Collection[str], ids: Collection[str], *, scope: Scope) -> list[Memory]:
        """The memories that are filed under any of the keys, and those of the ids that are there, in the order of recording."""
        ...

    def deltas(self, ids: Collection[str], *, scope: Scope) -> list[Delta]:
        """The changes to these memories, and the undoing of these changes, in the order of recording."""
        ...

    def file(self, filed: Sequence[Filed], *, scope: Scope, seen: tuple[int, int]) -> bool:
        """Keep these standings; False, and nothing is kept, if `state` is not any more what it was (`seen`)."""
        ...

    def filed(
        self, *, scope: Scope, ids: Collection[str] | None = None, kinds: Collection[str] | None = None
    ) -> list[str]:
        """Ids of the memories that hold, in the order of recording: among `ids` alone; of these kinds alone (`Filed.kind`)."""
        ...


class MemoryIndex(Standings, Protocol):
    """Where recall looks memories up by their words and keeps their vectors; `SqlStore` is one."""

    def memories_after(self, seq: int, *, scope: Scope) -> list[Memory]:
        """The memories that were written after entry `seq` of the ledger, in that order."""
        ...

    def search_text(self, query: str, *, scope: Scope, limit: int = 50) -> list[tuple[str, float]]:
        """Ids and lexical scores (BM25, higher is better), best first."""
        ...

    def put_vectors(self, name: str, vectors: Mapping[str, Any], *, scope: Scope) -> None:
        """Keep one vector per memory id, under the name of the embedder that made them."""
        ...

    def vectors(self, name: str, *, scope: Scope) -> tuple[list[str], np.ndarray]:
        """Ids and float32 vectors [len(ids), dimension] kept under this name, in the order of recording."""
        ...

    def talks(self, *, scope: Scope) -> list[tuple[str, str, int]]:
        """(id, talk, characters) of each memory that is part of a talk, in the order of recording."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One feedback on an answer that a memory was shown for."""

    memory: str
    interaction: str
    kind: FeedbackKind
    name: str
    score: float | None


class Outcomes(Protocol):
    """What came of showing memories; `SqlStore` is one."""

    def deltas(self, ids: Collection[str], *, scope: Scope) -> list[Delta]: ...

    def judgements(self, ids: Collection[str], *, scope: Scope) -> list[Judgement]:
        """What was said of the answers that these memories were shown for, in the order in which it was said."""
        ...


class Embedder(Protocol):
    """Turns texts into unit vectors for recall."""

    @property
    def name(self) -> str:
        """Changes whenever the vectors would."""
        ...

    @property
    def weight(self) -> float:
        """How much the vectors say in recall beside the words, which say 1.0."""
        ...

    @property
    def least_cosine(self) -> float:
        """A text that shares no word with a query is relevant only if it is at least this close to it."""
        ...

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [len(texts), dimension]; each row has length 1, or is all zero for a text without words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a verifier says of one answer."""

    score: float | None
    """From 0 (it fails) to 1 (it passes); None where that cannot be told."""
    reason: str = ""
    """In a line; kept with the interaction, and forgotten with it."""


class Verifier(Protocol):
    """Judges answers without a user: a function, a schema, a test, a model. Whatever it raises counts as "cannot be told"."""

    @property
    def name(self) -> str:
        """What its findings are recorded under; another rule needs another name."""
        ...

    def verify(self, interaction: Interaction) -> Finding: ...


class Method(Protocol):
    """How a student learns from one minibatch: a frozen dataclass whose fields are its hyperparameters."""

    @property
    def answers(self) -> Literal["student", "teacher", "both"]:
        """Whose answers are learned on: the student's own (on-policy), the teacher's (off-policy), or both in turn."""
        ...

    def loss(self, student_BTV: Tensor, teacher_BTV: Tensor, answer_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """One finite number, in nats per token, averaged over the real tokens."""
        ...
