"""Our own forward pass computes what Hugging Face's does; what it does not know it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

import tiny_models
from engrain.engines import decode, lora
from engrain.engines.llama import Llama
from engrain.engines.network import HuggingFace, Network, open_network

PROMPTS = [[5, 6, 7, 8, 9], [10, 11], [12] * 30]
ANSWERS = [[13, 14, 15], [16], [17, 18, 19, 20]]


def model_of(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").requires_grad_(False).eval()


def adapter_of(network: Network) -> dict[str, lora.Pair]:
    generator = torch.Generator().manual_seed(3)
    pairs = lora.fresh(network.layers, rank=3, seed=1, device="cpu")
    return {n: (a, torch.randn(b.shape, generator=generator) * 0.2) for n, (a, b) in pairs.items()}


@pytest.fixture(params=["llama", "qwen"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Llama, HuggingFace]:
    folder = tiny_models.ALL[request.param](tmp_path / "model")
    own = open_network(model_of(folder))
    assert isinstance(own, Llama)
    return own, HuggingFace(model_of(folder))


@pytest.mark.parametrize("merge", [False, True])  # gradient flows to a merged one only
def test_logits_and_gradients_are_equal(both: tuple[Llama, HuggingFace], merge: bool) -> None:
    assert both[0].layers == both[1].layers
    results: list[tuple[torch.Tensor, list[torch.Tensor]]] = []
    for network in both:
        pairs = {n: (a.requires_grad_(), b.requires_grad_()) for n, (a, b) in adapter_of(network).items()}
        ready = network.prepare(pairs, torch.float32, merge=merge)
        logits_BTV, mask_BT = decode.answer_logits(network, ready, PROMPTS, ANSWERS, "cpu")
        leaves = [t for n in sorted(pairs) for t in pairs[n]]
        if merge:
            torch.autograd.backward(logits_BTV.log_softmax(-1)[mask_BT][:, 7].sum())
        results.append((logits_BTV[mask_BT].detach(), [leaf.grad for leaf in leaves if leaf.grad is not None]))
    (ours, our_gradients), (theirs, their_gradients) = results
    assert len(our_gradients) == len(their_gradients) == (2 * len(both[0].layers) if merge else 0)
    assert torch.allclose(ours, theirs, atol=1e-3)
    for a, b in zip(our_gradients, their_gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-3 * (1 + b.abs().max().item()))
        assert b.abs().max() > 0


def test_what_each_layer_reads_is_added_up_over_the_real_tokens_alone(both: tuple[Llama, HuggingFace]) -> None:
    found: list[dict[str, torch.Tensor]] = []
    for network in both:
        ready = network.prepare(adapter_of(network), torch.float32, merge=True)
        found.append(decode.moments(network, ready, PROMPTS, "cpu"))
    one = decode.moments(both[1], ready, PROMPTS[1:2], "cpu")
    assert set(found[0]) == set(found[1]) == set(both[0].layers)
    for name, (_, inside) in both[0].layers.items():
        assert found[0][name].shape == (inside, inside)
        assert torch.allclose(found[0][name], found[1][name], atol=1e-3 * (1 + found[1][name].abs().max().item()))
        assert torch.linalg.matrix_rank(one[name]) <= len(PROMPTS[1])  # two tokens and no padding
    for network in both:  # in bfloat16 too the sums are exact enough to have no negative eigenvalue
        ready = network.prepare(adapter_of(network), torch.bfloat16, merge=True)
        for found_now in decode.moments(network, ready, PROMPTS, "cpu").values():
            assert torch.linalg.eigvalsh(found_now.double()).min() > -1e-5 * found_now.trace()


@pytest.mark.parametrize("cores", [1, 2])
def test_two_halves_side_by_side_give_what_one_after_the_other_gives_and_what_one_batch_gives(
    both: tuple[Llama, HuggingFace], monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """To the bit whatever the cores, and within rounding of a gradient that was never divided."""
    network = both[0]
    found: list[list[torch.Tensor]] = []
    for workers, device in ((1, "cpu"), (cores, "cpu"), (1, "cpu:0")):  # "cpu:0" is not divided
        monkeypatch.setattr("engrain.engines.decode.os.cpu_count", lambda workers=workers: workers)
        pairs = {n: (a.requires_grad_(), b.requires_grad_()) for n, (a, b) in adapter_of(network).items()}
        ready = network.prepare(pairs, torch.float32, merge=True)
        logits_BTV, mask_BT = decode.answer_logits(network, ready, PROMPTS, ANSWERS, device)
        torch.autograd.backward(logits_BTV.log_softmax(-1)[mask_BT][:, 7].sum())
        found.append(
            [logits_BTV.detach()[mask_BT], *(t.grad for n in sorted(pairs) for t in pairs[n] if t.grad is not None)]
        )
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    for a, b in zip(found[0], found[2], strict=True):
        assert torch.allclose(a, b, atol=1e-4 * (1 + b.abs().max().item()))


def test_what_fails_beside_another_is_told(both: tuple[Llama, HuggingFace], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engrain.engines.decode.ROWS", 1)

    def fails(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("engrain.engines.decode._decode", fails)
    how = decode.Sampling(frozenset(), 4, 0.0, 0)
    with pytest.raises(RuntimeError, match="out of memory"):
        decode.sample(both[0], None, PROMPTS, how, "cpu")


def test_an_adapter_on_some_layers_only_is_equal_too(both: tuple[Llama, HuggingFace]) -> None:
    rows: list[torch.Tensor] = []
    for network in both:
        some = {n: pair for n, pair in adapter_of(network).items() if n.endswith(("v_proj", "down_proj"))}
        for merge in (False, True):
            ready = network.prepare(some, torch.float32, merge=merge)
            logits_BTV, mask_BT = decode.answer_logits(network, ready, PROMPTS, ANSWERS, "cpu")
            rows.append(logits_BTV[mask_BT])
    for other in rows[1:]:
        assert torch.allclose(rows[0], other, atol=1e-3)


def test_a_model_with_a_sliding_window_is_left_to_hugging_face(tmp_path: Path) -> None:
    shape = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    config = MistralConfig(**shape, num_attention_heads=2, num_key_value_heads=1, sliding_window=8)
    assert isinstance(open_network(MistralForCausalLM(config).eval()), HuggingFace)
    config.sliding_window = None
    assert isinstance(open_network(MistralForCausalLM(config).eval()), Llama)


def test_a_model_whose_forward_pass_is_not_what_it_seems_is_left_to_hugging_face(tmp_path: Path) -> None:
    model = model_of(tiny_models.llama(tmp_path / "model"))
    model.model.layers[0].mlp.register_forward_hook(lambda *a: a[2] * 2)
    assert isinstance(open_network(model), HuggingFace)


def test_little_is_wasted_on_padding_and_nobody_is_left_out() -> None:
    lengths = [5, 300, 7, 6, 310, 9, 290, 12]
    groups = decode.batches(lengths)
    assert sorted(i for g in groups for i in g) == list(range(8))
    assert sum(len(g) * max(lengths[i] for i in g) for g in groups) < 1.1 * sum(lengths)
    assert len(decode.batches([20] * 32)) == 1
    assert max(map(len, decode.batches([9] * 300))) == decode.ROWS
