"""Attribute names, in one place because the GenAI conventions still change.

`gen_ai.*`: github.com/open-telemetry/semantic-conventions-genai at 002c8a6 (unreleased, all of status Development),
file docs/registry/attributes/gen-ai.md. `user.id`: general registry, v1.41.
`engrain.*`: ours, for what has no name there.
"""

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_SEED = "gen_ai.request.seed"
CONVERSATION_ID = "gen_ai.conversation.id"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"

# Content: sensitive, and opt-in by the conventions.
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"

# The attributes of the event `gen_ai.evaluation.result`; there is no event for what a user says of an answer.
EVALUATION_NAME = "gen_ai.evaluation.name"
EVALUATION_SCORE = "gen_ai.evaluation.score.value"
EVALUATION_EXPLANATION = "gen_ai.evaluation.explanation"

USER_ID = "user.id"

TENANT = "engrain.tenant"
BASE = "engrain.stamp.base"
ADAPTER = "engrain.stamp.adapter"
MEMORY_SNAPSHOT = "engrain.stamp.memory"
MEMORY_IDS = "engrain.context.memory_ids"
CONTEXT_TOKENS = "engrain.context.tokens"
CONTEXT_TEXT = "engrain.context.text"
LATENCY_MS = "engrain.latency_ms"
FEEDBACK_ID = "engrain.feedback.id"
FEEDBACK_KIND = "engrain.feedback.kind"
