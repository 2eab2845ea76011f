"""Judge: what was an answer worth, what should have been said, and what of it belongs into weights.

`route` sends each memory to text or to weights. `implicit` reads what a user thought of an answer from what came next. The rest are
verifiers (`protocols.Verifier`), which judge answers without a user.
"""

from engrain.signals.command import Command
from engrain.signals.function import Function
from engrain.signals.judge import Judge
from engrain.signals.match import Exact, Numeric
from engrain.signals.route import Router
from engrain.signals.schema import JsonSchema

__all__ = ["Command", "Exact", "Function", "JsonSchema", "Judge", "Numeric", "Router"]
