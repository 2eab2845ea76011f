"""Sampling and scoring: exact, the same alone or in company, for every architecture."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from engrain.engines.local import LocalEngine, device_of
from engrain.errors import InputError
from engrain.records import Message


def ask(text: str, *, note: str = "") -> tuple[Message, ...]:
    query = Message(role="user", content=text)
    return (Message(role="system", content=note), query) if note else (query,)


LONG = "The gate code of the north barn is 4417. " * 3
PROMPTS = [
    ask("Hi"),
    ask("What is the gate code of the north barn?", note=LONG),
    ask("Where is the key?"),
    ask("Is it Tuesday?", note="No."),
]


def test_greedy_answers_do_not_depend_on_company(any_engine: LocalEngine) -> None:
    together = any_engine.sample(PROMPTS, max_tokens=12)
    alone = [any_engine.sample([p], max_tokens=12)[0] for p in PROMPTS]
    assert [c.token_ids for c in together] == [c.token_ids for c in alone]
    for a, b in zip(together, alone, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_greedy_answers_are_those_of_hugging_face_generate(any_engine: LocalEngine, any_folder: Path) -> None:
    stock = AutoModelForCausalLM.from_pretrained(any_folder)
    for prompt in PROMPTS:
        ids = torch.tensor([any_engine.encode(prompt, room=10)])
        stop = sorted(any_engine.chat.stop_ids)
        whole = stock.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, eos_token_id=stop
        )
        assert any_engine.sample([prompt], max_tokens=10)[0].token_ids == tuple(whole[0, ids.shape[1] :].tolist())


def test_sampled_logprobs_are_what_score_gives(any_engine: LocalEngine) -> None:
    completions = any_engine.sample(PROMPTS, max_tokens=9, temperature=1.0, seed=3)
    scores = any_engine.score(PROMPTS, [c.token_ids for c in completions])
    for completion, score in zip(completions, scores, strict=True):
        assert completion.logprobs == pytest.approx(score, abs=1e-3)


def test_scores_are_those_of_the_plain_forward_pass(any_engine: LocalEngine, any_folder: Path) -> None:
    stock = AutoModelForCausalLM.from_pretrained(any_folder)
    answers = [[7, 8, 9], [11], [12, 13, 14, 15, 16], [20, 21]]
    for prompt, answer, score in zip(PROMPTS, answers, any_engine.score(PROMPTS, answers), strict=True):
        ids = any_engine.encode(prompt, room=9)
        with torch.inference_mode():
            logits = stock(input_ids=torch.tensor([ids + answer])).logits[0].log_softmax(-1)
        expected = [logits[len(ids) - 1 + i, token].item() for i, token in enumerate(answer)]
        assert score == pytest.approx(expected, abs=1e-3)


def test_the_seed_decides_a_sample_and_another_seed_another(engine: LocalEngine) -> None:
    draw = [engine.sample([PROMPTS[0]], max_tokens=12, temperature=1.0, seed=s)[0].token_ids for s in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]


def test_samples_follow_the_models_distribution(engine: LocalEngine) -> None:
    counts = Counter(
        engine.sample([PROMPTS[0]], max_tokens=1, temperature=1.0, seed=s)[0].token_ids[0] for s in range(400)
    )
    token, count = counts.most_common(1)[0]
    probability = torch.tensor(engine.score([PROMPTS[0]], [[token]])[0][0]).exp().item()
    assert count / 400 == pytest.approx(probability, abs=4 * (probability * (1 - probability) / 400) ** 0.5)


def test_an_answer_ends_at_the_stop_token_and_leaves_it_out_of_the_text(engine: LocalEngine) -> None:
    first = engine.sample([PROMPTS[0]], max_tokens=5)[0]
    assert first.finish_reason == "length"
    engine.chat.stop_ids = frozenset({first.token_ids[2]})
    stopped = engine.sample(PROMPTS, max_tokens=5)[0]
    assert stopped.token_ids == first.token_ids[:3]
    assert stopped.finish_reason == "stop"


def test_a_batch_whose_answers_end_at_different_times_gives_each_its_own(engine: LocalEngine) -> None:
    free = engine.sample(PROMPTS, max_tokens=12)
    engine.chat.stop_ids = frozenset({free[0].token_ids[1], free[2].token_ids[4]})
    together = engine.sample(PROMPTS * 3, max_tokens=12)
    alone = [engine.sample([p], max_tokens=12)[0].token_ids for p in PROMPTS]
    assert [c.token_ids for c in together] == alone * 3
    assert len({len(a) for a in alone}) > 1


def test_fused_attention_for_long_prompts_agrees_with_the_plain_one(
    any_engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engrain.engines import llama, network

    plain = any_engine.score(PROMPTS, [[7, 8, 9]] * 4)
    monkeypatch.setattr(llama, "FUSED_FROM", 4)
    monkeypatch.setattr(network, "FUSED_FROM", 4)
    for a, b in zip(plain, any_engine.score(PROMPTS, [[7, 8, 9]] * 4), strict=True):
        assert a == pytest.approx(b, abs=1e-3)


def test_a_prompt_beyond_the_window_is_refused_with_numbers(engine: LocalEngine) -> None:
    with pytest.raises(InputError, match=r"\d+ prompt tokens and 8 to answer exceed the model's 512"):
        engine.sample([ask("word " * 600)], max_tokens=8)


@pytest.mark.filterwarnings("error")
def test_what_is_far_too_long_is_refused_before_it_is_tokenised(
    any_engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = any_engine.most_characters
    for text in ("the gate code " * 20, "\U0001f600 é 漢" * 20, "<|end|><end_of_turn><|im_end|>" * 9):
        assert any_engine.count_tokens(text) * most >= len(text) * any_engine.window  # nothing that fits is refused

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was tokenised")

    monkeypatch.setattr(any_engine, "tokenizer", never)
    with pytest.raises(InputError, match=rf"{most + 1:,} characters .*shorten the message"):
        any_engine.sample([ask("x" * (most + 1))], max_tokens=8)


def test_bad_requests_are_refused(engine: LocalEngine) -> None:
    with pytest.raises(InputError, match="answers"):
        engine.score([PROMPTS[0]], [])
    with pytest.raises(InputError, match="0 tokens"):
        engine.score([PROMPTS[0]], [[]])
    with pytest.raises(InputError, match="max_tokens=0"):
        engine.sample([PROMPTS[0]], max_tokens=0)


def test_nothing_in_gives_nothing_out(engine: LocalEngine) -> None:
    assert engine.sample([]) == []
    assert engine.score([], []) == []


def test_a_vocabulary_of_150_thousand_works(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    import tiny_models

    folder = tiny_models.llama(tmp_path / "wide", layers=1)
    config = LlamaConfig.from_pretrained(folder, vocab_size=150_000)
    LlamaForCausalLM(config).save_pretrained(folder)
    engine = LocalEngine(folder, adapters_dir=tmp_path / "adapters")
    student = engine.student(rank=2)
    logits_BTV, mask_BT = student.logits(PROMPTS, [[1, 2], [3], [4], [149_999]], teacher=False)
    assert logits_BTV.shape == (4, 2, 150_000)
    assert mask_BT.sum() == 5
    assert engine.sample(PROMPTS[:1], max_tokens=2, temperature=1.0)[0].token_ids


def test_importing_engrain_and_its_contract_does_not_import_torch() -> None:
    code = "import sys, engrain, engrain.protocols, engrain.engines.fake; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_device_is_cuda_where_there_is_one_unless_another_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_of(name) for name in ("auto", "cpu", "cuda", "cuda:1")] == ["cuda", "cpu", "cuda", "cuda:1"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == "cpu"


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "gpu", "cuda:x", "cpu:0", "mps", ""])
def test_a_device_that_is_not_there_is_refused_with_what_to_give(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match=r"give .*cpu"):
        device_of(name)
