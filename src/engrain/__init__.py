"""engrain turns what an agent is told into what it knows.

This is the front door: the nouns (records) and the root error. The verbs are imported from where they live:
`from engrain.learner import Learner` for the whole loop, `from engrain.learning import context_distill` for its heart.
Importing engrain loads neither torch nor the database.
"""

from engrain.errors import EngrainError
from engrain.records import (
    Adapter,
    Batch,
    Context,
    Evidence,
    Example,
    Feedback,
    Interaction,
    Memory,
    Message,
    Receipt,
    Scope,
    Signal,
    Stamp,
    Usage,
    Verdict,
)

__all__ = [
    "Adapter",
    "Batch",
    "Context",
    "EngrainError",
    "Evidence",
    "Example",
    "Feedback",
    "Interaction",
    "Memory",
    "Message",
    "Receipt",
    "Scope",
    "Signal",
    "Stamp",
    "Usage",
    "Verdict",
]
__version__ = "0.1.0"
