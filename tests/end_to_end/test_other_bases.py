"""The whole loop on other architectures, tokenizers and chat templates, each opened from a local folder as `--base` would."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engrain.engines.local import LocalEngine
from engrain.learner import Learner
from engrain.loops.consolidate import Consolidation
from engrain.loops.prepare import Preparation
from engrain.loops.study import Study, plain_questions
from engrain.prompts import UNKNOWN, add_context, render_notes
from engrain.records import Batch, Message

sys.path.insert(0, str(Path(__file__).parents[1]))

from promoting import PromoteEverything  # noqa: E402

THINGS = ("gate code", "spare key", "red button", "north barn", "blue pot", "water pump")
VALUES = ("Mara", "Tuesday", "Biscuit", "twice", "under", "wait")
SECRET = "The spare key is Biscuit."
FACTS = (
    "The gate code is Tuesday.",
    "The red button is twice.",
    "The north barn is Mara.",
    "The blue pot is under.",
    "The water pump is wait.",
)
END = {"qwen": "<|im_end|>", "gemma": "<end_of_turn>", "gpt2": "<|endoftext|>"}


CHEAP = Consolidation(
    preparation=Preparation(study=Study(rounds=1), guards=4),
    gate=PromoteEverything(),
    least_steps=3,
    steps_per_memory=0,
    gate_items=8,
    rank=4,
    least_advantage=-1.0,
    scales=(1.0,),
)


@pytest.fixture(scope="module", params=list(END))
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this shape whose model can read a note: engrain learns nothing that its own model cannot answer from it."""
    import tiny_models

    folder = tiny_models.ALL[request.param](tmp_path_factory.mktemp("base") / request.param)
    return taught_to_read(folder, END[request.param])


def taught_to_read(folder: Path, end: str, *, steps: int = 120) -> Path:
    """Train the tiny model anew for some seconds: one note and a plain question about it, or none and "I don't know"."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    config.initializer_range = 0.05
    config.max_position_embeddings = 1024  # as real ones have; the gate's own questions need some 500
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    engine = LocalEngine(folder, adapters_dir=folder / "adapters")
    stop = engine.tokenizer.convert_tokens_to_ids(end)
    assert stop in engine.chat.stop_ids
    draw = random.Random(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        rows = [lesson(engine, draw) for _ in range(24)]
        width = max(len(prompt) + len(answer) + 1 for prompt, answer in rows)
        ids, labels = torch.full((len(rows), width), stop), torch.full((len(rows), width), -100)
        for i, (prompt, answer) in enumerate(rows):
            whole = torch.tensor([*prompt, *answer, stop])
            ids[i, : len(whole)] = whole
            labels[i, len(prompt) : len(whole)] = whole[len(prompt) :]
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.save_pretrained(folder)
    return folder


def lesson(engine: LocalEngine, draw: random.Random) -> tuple[list[int], list[int]]:
    """(prompt, answer) in tokens."""
    value = draw.choice(VALUES)
    note = f"The {draw.choice(THINGS)} is {value}."
    question = draw.choice(plain_questions(note)[:5])[0]
    shown = draw.random() < 0.8
    prompt = add_context(render_notes([note]) if shown else "", (Message(role="user", content=question),))
    answer: Any = engine.tokenizer(value if shown else UNKNOWN, add_special_tokens=False)["input_ids"]
    return engine.encode(prompt, room=16), answer


def told(home: Path, base: Path, facts: Sequence[str]) -> Learner:
    me = Learner(home, base=base, consolidation=CHEAP)
    for fact in facts:
        me.tell(fact)
    return me


def test_the_whole_loop_runs_on_a_base_of_this_shape_from_its_folder(base: Path, tmp_path: Path) -> None:
    question = "Please, what is the gate code?"
    with told(tmp_path / "home", base, (*FACTS, SECRET)) as me:
        asked = me.chat(question)
        assert asked.stamp.base == me.engine.base
        assert FACTS[0] in asked.context.text

        outcome = me.consolidate()
        assert outcome.verdict is not None, outcome.reason
        assert outcome.verdict.decision == "promote", outcome.verdict.reasons
        batch = me.store.get(outcome.batch, scope=me.scope)
        assert isinstance(batch, Batch)
        taught = {m.text for m in me.memories() if m.id in batch.memory_ids}
        assert SECRET in taught and len(taught) >= 4
        assert [v.adapter for v in me.versions()] == ["", outcome.adapter]
        learned = me.chat(question, memory=False)
        assert learned.stamp.adapter == outcome.adapter
        assert learned.logprobs != me.chat(question, memory=False, version="base").logprobs

        assert me.rollback() == ""
        assert me.chat(question, memory=False).stamp.adapter == ""
        assert me.rollback(outcome.adapter) == outcome.adapter
        again = me.chat(question, memory=False)
        assert (again.token_ids, again.logprobs) == (learned.token_ids, learned.logprobs)

        receipt = me.forget(next(m.id for m in me.memories() if m.text == SECRET))
        ((old, rebuilt),) = receipt.rebuilt
        assert old == outcome.adapter
        assert me.store.live(me.scope) == rebuilt
        assert me.store.verify() > 0
    with told(tmp_path / "never", base, FACTS) as never:
        never.chat(question)
        assert never.consolidate().adapter == rebuilt
