"""Adapters: what stock peft opens, under names that cannot come to mean other weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engrain.engines import lora
from engrain.engines.local import LocalEngine
from engrain.errors import FormatError, InputError, NotFound, StoreError
from engrain.records import Message

from_peft = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
"""peft 0.21 on transformers 5.23 warns about itself."""

PROMPT = [(Message(role="user", content="What is the gate code?"),)]
ANSWER = [[5, 9, 30, 7]]


def trained(engine: LocalEngine, seed: int = 1) -> str:
    """An adapter with both matrices far from zero."""
    generator = torch.Generator().manual_seed(seed)
    pairs = lora.fresh(engine.network.layers, rank=3, seed=seed, device="cpu")
    return engine.save({n: (a, torch.randn(b.shape, generator=generator) * 0.3) for n, (a, b) in pairs.items()})


@from_peft
def test_stock_peft_computes_the_same_from_our_folder(any_engine: LocalEngine, any_folder: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    name = trained(any_engine)
    ours = any_engine.score(PROMPT, ANSWER, adapter=name)[0]
    assert ours != any_engine.score(PROMPT, ANSWER)[0]
    stock = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(any_folder), any_engine.adapters_dir / name
    ).eval()
    prompt = any_engine.encode(PROMPT[0], room=4)
    with torch.no_grad():
        logits = stock(input_ids=torch.tensor([prompt + ANSWER[0]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    theirs = [logits[i, token].item() for i, token in enumerate(ANSWER[0])]
    assert ours == pytest.approx(theirs, abs=1e-4)


@from_peft
def test_an_adapter_that_stock_peft_wrote_is_adopted_at_its_own_scale(
    engine: LocalEngine, llama_folder: Path, tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    config = LoraConfig(
        r=5, lora_alpha=35, target_modules=["q_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    stock = get_peft_model(AutoModelForCausalLM.from_pretrained(llama_folder), config).eval()
    stock.save_pretrained(tmp_path / "stock")
    name = engine.adopt(tmp_path / "stock")
    prompt = engine.encode(PROMPT[0], room=4)
    with torch.no_grad():
        logits = stock(input_ids=torch.tensor([prompt + ANSWER[0]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    theirs = [logits[i, token].item() for i, token in enumerate(ANSWER[0])]
    assert engine.score(PROMPT, ANSWER, adapter=name)[0] == pytest.approx(theirs, abs=1e-4)


def test_an_adapter_for_another_shape_of_model_is_not_adopted(engine: LocalEngine, tmp_path: Path) -> None:
    path = lora.save(
        {"model.layers.9.nothing": (torch.ones(2, 4), torch.ones(4, 2))}, tmp_path, base="x", transposed=False
    )
    with pytest.raises(InputError, match="does not have"):
        engine.adopt(tmp_path / path)


def test_the_name_follows_the_content(engine: LocalEngine) -> None:
    assert trained(engine, seed=1) == trained(engine, seed=1)
    assert trained(engine, seed=1) != trained(engine, seed=2)
    assert len(list(engine.adapters_dir.iterdir())) == 2


def test_nothing_half_written_remains_after_a_failed_save(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lora, "to_bytes", full)
    with pytest.raises(StoreError, match=r"No space.*free some space"):
        trained(engine)
    assert list(engine.adapters_dir.iterdir()) == []


def test_an_absent_adapter_is_an_error_and_never_the_base(engine: LocalEngine) -> None:
    for name in ("0" * 32, "../secret", "."):
        with pytest.raises(NotFound, match="no adapter"):
            engine.sample(PROMPT, adapter=name, max_tokens=1)


def test_an_adapter_removed_from_disk_is_gone_from_memory_too(engine: LocalEngine) -> None:
    name = trained(engine)
    engine.sample(PROMPT, adapter=name, max_tokens=1)
    shutil.rmtree(engine.adapters_dir / name)
    with pytest.raises(NotFound):
        engine.sample(PROMPT, adapter=name, max_tokens=1)


def test_a_tampered_adapter_is_refused(engine: LocalEngine) -> None:
    name = trained(engine)
    file = engine.adapters_dir / name / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors[sorted(tensors)[0]][0, 0] += 1e-3
    save_file(tensors, file, metadata={"format": "pt", "base": engine.base})
    with pytest.raises(FormatError, match="altered"):
        engine.sample(PROMPT, adapter=name, max_tokens=1)


def test_a_truncated_adapter_is_refused(engine: LocalEngine) -> None:
    name = trained(engine)
    file = engine.adapters_dir / name / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(FormatError, match="not a whole"):
        engine.sample(PROMPT, adapter=name, max_tokens=1)


def test_an_adapter_of_another_base_is_refused(engine: LocalEngine, tmp_path: Path) -> None:
    import tiny_models

    other = LocalEngine(tiny_models.llama(tmp_path / "other", seed=7), adapters_dir=engine.adapters_dir)
    name = trained(other)
    with pytest.raises(FormatError, match="was trained on base"):
        engine.sample(PROMPT, adapter=name, max_tokens=1)


def test_many_adapters_are_held_and_the_least_used_makes_room(llama_folder: Path, tmp_path: Path) -> None:
    engine = LocalEngine(llama_folder, adapters_dir=tmp_path)
    names = [trained(engine, seed) for seed in (1, 2, 3)]
    engine.score(PROMPT, ANSWER, adapter=names[0])
    one = engine.resident_bytes
    engine = LocalEngine(llama_folder, adapters_dir=tmp_path, adapter_bytes=2 * one)
    first = [engine.score(PROMPT, ANSWER, adapter=n) for n in names]
    again = [engine.score(PROMPT, ANSWER, adapter=n) for n in names]
    assert first == again
    assert len({str(s) for s in first}) == 3
    assert engine.resident_bytes == 2 * one and list(engine._adapters) == names[1:]
    engine.clear()
    assert engine.resident_bytes == 0


def test_aimed_rows_read_what_is_new_and_not_what_must_stay() -> None:
    """Of 8 directions both read 0 to 3, the new alone 4 and 5, what must stay alone 6 and 7."""
    new, kept = (
        torch.diag(torch.tensor([4.0, 4, 4, 4, 1, 1, 0, 0])),
        torch.diag(torch.tensor([4.0, 4, 4, 4, 0, 0, 1, 1])),
    )
    rows = lora.aimed(new, kept, 2)
    assert rows.abs()[:, [0, 1, 2, 3, 6, 7]].max() < 1e-5
    fresh = lora.fresh({"layer": (3, 8)}, 4000, 0, "cpu")["layer"][0]  # its mean reading is what they are scaled to
    reads = [(a @ new * a).sum(1).mean().item() for a in (rows, fresh)]
    assert reads[0] == pytest.approx(reads[1], rel=0.1)


def test_aimed_rows_are_finite_where_little_was_read_and_more_are_asked_for_than_there_are() -> None:
    few = torch.zeros(6, 6)
    few[0, 0] = 2.0
    for new, kept in ((few, few), (few, torch.zeros(6, 6)), (torch.zeros(6, 6), few)):
        rows = lora.aimed(new, kept, 9)
        assert rows.shape == (9, 6)
        assert torch.isfinite(rows).all()
        assert not rows[6:].any()
