"""The router: durable, repeated or confirmed memory goes into weights; passing state never does."""

from __future__ import annotations

from dataclasses import replace

from engrain.records import Memory, Scope
from engrain.signals import Router

SCOPE = Scope()
NOW = 1_800_000_000.0


def memory(source: str = "chat", *, age_s: float = 0.0, mutable: bool = False) -> Memory:
    at = NOW - age_s
    return Memory(
        scope=SCOPE, text="The gate code is 4417.", source=source, valid_from=at, recorded_at=at, mutable=mutable
    )


def decide(m: Memory, confirmations: int = 0) -> tuple[str, str]:
    (signal,) = Router().route([(m, confirmations)], scope=SCOPE, at=NOW, known=())
    return signal.route, signal.reason


def test_what_was_told_or_read_from_a_file_goes_into_weights() -> None:
    assert decide(memory("tell"))[0] == "weights"
    assert decide(memory("file:notes.md"))[0] == "weights"
    assert decide(memory("correction"))[0] == "weights"


def test_passing_state_never_goes_into_weights_however_often_it_was_said() -> None:
    route, reason = decide(memory("tell", mutable=True), confirmations=9)
    assert route == "text"
    assert "passing state" in reason


def test_a_fact_overheard_in_chat_waits_a_day_or_for_a_second_mention() -> None:
    route, reason = decide(memory(age_s=3600))
    assert (route, "1.0 hours ago" in reason) == ("text", True)
    assert decide(memory(age_s=3600), confirmations=1)[0] == "weights"
    assert decide(memory(age_s=25 * 3600))[0] == "weights"


def test_what_the_live_version_was_trained_on_gets_no_signal() -> None:
    m = memory("tell")
    assert Router().route([(m, 0)], scope=SCOPE, at=NOW, known=(m.id,)) == []


def test_a_signal_names_the_memory_that_it_is_about() -> None:
    m = memory("tell")
    (signal,) = Router().route([(m, 0)], scope=SCOPE, at=NOW, known=())
    assert signal.memory == m.id
    assert signal.causes == (m.id,)


def test_how_to_answer_stays_in_text_however_firmly_it_was_told() -> None:
    m = memory("tell")
    (signal,) = Router().route([(m, 3)], scope=SCOPE, at=NOW, known=(), styles={m.id})
    assert (signal.route, "shown with every query" in signal.reason) == ("text", True)


def test_lessons_reflections_and_skills_stay_in_text_and_the_reason_is_said() -> None:
    for kind in ("episode", "lesson", "reflection", "skill"):
        route, reason = decide(replace(memory("tell"), kind=kind), confirmations=3)
        assert route == "text" and reason
