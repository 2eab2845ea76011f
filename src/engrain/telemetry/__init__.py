"""What happened, in the words that observability tools already know: OpenTelemetry's GenAI attribute names.

`attributes` is the name to know: it turns an interaction or a feedback into a flat mapping that any exporter can send.
The records in the store are the telemetry; these are pure functions over them, and nothing here sends anything.
"""

from engrain.telemetry.attributes import attributes, evaluation_attributes

__all__ = ["attributes", "evaluation_attributes"]
