"""sprout's training: text is made beside it for a GPU, whose fused attention computes what plain products do."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)
from safetensors.torch import load_file
from tokenizers import Tokenizer

from engrain.learner import SPROUT

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes/sprout"))
from model import Shape, Sprout, looked_back, unseen  # noqa: E402
from train import GPU_LENGTHS, STAGES, Makers, Pool  # noqa: E402

CONFIG = json.loads((SPROUT / "config.json").read_text())
NAMES = {
    "vocab": "vocab_size", "layers": "num_hidden_layers", "width": "hidden_size", "inner": "intermediate_size",
    "heads": "num_attention_heads",
}  # fmt: skip
"""What sprout's training calls the parts of its shape, and what transformers does."""


def test_processes_that_make_text_fill_minibatches_for_a_gpu(tmp_path: Path) -> None:
    shutil.copy(SPROUT / "tokenizer.json", tmp_path)
    args = argparse.Namespace(out=tmp_path, tokens=2048, curriculum=0.5, device="cuda")
    makers = Makers(2, 7, args)
    made = [makers.minibatch(0.5) for _ in range(4)]
    for batch in made:
        rows, length = batch.ids_BT.shape
        assert length in GPU_LENGTHS and 2048 <= rows * length < 2048 + length
        assert batch.weight_N.sum() > 0
    assert len({batch.ids_BT.flatten()[:50].numpy().tobytes() for batch in made}) == 4


def test_a_shorter_curriculum_reaches_its_stages_sooner(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(SPROUT / "tokenizer.json"))
    drawn: list[float] = []
    for curriculum in (1.0, 0.5):
        pool = Pool(tokenizer, 7, argparse.Namespace(tokens=512, curriculum=curriculum, device="cpu"))
        pool.minibatch(0.5)
        drawn.append(pool.maker.composed)
    late = [composed for start, *_, composed, _, _ in STAGES if start in (0.25, 0.88)]
    assert drawn == late


def test_the_fused_attention_of_a_gpu_is_that_of_plain_products() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 300, 8)
    branch = torch.tensor([0] * 100 + [1] * 100 + [2] * 100).expand(2, -1)
    mask = unseen(branch).float()
    plain = looked_back(q, k, v, mask)
    assert torch.allclose(plain, F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0), atol=1e-5)


def test_a_run_goes_on_from_the_weights_that_another_saved(tmp_path: Path) -> None:
    shape = Shape(**{ours: CONFIG[theirs] for ours, theirs in NAMES.items()})
    model = Sprout(shape)
    model.load(SPROUT)
    model.save(tmp_path)
    kept, given = load_file(tmp_path / "model.safetensors"), load_file(SPROUT / "model.safetensors")
    assert kept.keys() == given.keys() and all(torch.equal(kept[k], given[k]) for k in given)
