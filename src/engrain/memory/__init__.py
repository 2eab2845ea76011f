"""Remember and recall: which notes to keep, where each stands, which fit a query.

Read `history` first: a memory's state is derived from the memories after it and stored nowhere.
"""

from engrain.memory.corrections import contradicted, is_bare, stated
from engrain.memory.documents import is_question_file, messages_from_jsonl, notes_from_markdown, notes_from_text
from engrain.memory.embed import HashedEmbedder
from engrain.memory.extract import drop_recalled, extract
from engrain.memory.facts import facts
from engrain.memory.held import Held, Shelf, held
from engrain.memory.history import Standing, active, as_of, derive, holding
from engrain.memory.kinds import is_mutable, kind_of
from engrain.memory.recall import RecallSettings, recall
from engrain.memory.rivals import rivals
from engrain.memory.styles import is_answer_style

__all__ = [
    "HashedEmbedder",
    "Held",
    "RecallSettings",
    "Shelf",
    "Standing",
    "active",
    "as_of",
    "contradicted",
    "derive",
    "drop_recalled",
    "extract",
    "facts",
    "held",
    "holding",
    "is_answer_style",
    "is_bare",
    "is_mutable",
    "is_question_file",
    "kind_of",
    "messages_from_jsonl",
    "notes_from_markdown",
    "notes_from_text",
    "recall",
    "rivals",
    "stated",
]
