"""LoRA: small trainable matrices beside frozen linear layers, held in memory and on disk.

    y = W x + SCALE * B (A x)         A [r, in]   B [out, r]   Hu et al. 2021, arXiv 2106.09685

On disk an adapter is a folder in standard PEFT layout that stock peft opens. Its name is the hash of its content, so a
name can never come to mean other weights: it is written once, checked at every opening, and never changed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from engrain.errors import FormatError, NotFound, StoreError

SCALE = 2.0
"""alpha / r. Constant, so that padding an adapter to a higher rank leaves its function as it is."""

FLOOR = 0.02
"""Share of the mean reading that every direction of what must stay is held to have at least: what few tokens showed is no proof."""

Pair = tuple[Tensor, Tensor]
Weights = Mapping[str, Pair]
"""One adapter in memory: (A [r, in], B [out, r]) for each adapted layer, by module name."""

_PREFIX = "base_model.model."


def fresh(layers: Mapping[str, tuple[int, int]], rank: int, seed: int, device: str) -> dict[str, Pair]:
    """An adapter for layers of (out, in) features that changes nothing yet: A random from `seed`, B zero."""
    generator = torch.Generator().manual_seed(seed)
    pairs: dict[str, Pair] = {}
    for name, (outside, inside) in layers.items():
        a = (torch.rand(rank, inside, generator=generator) * 2 - 1) / math.sqrt(inside)
        pairs[name] = a.to(device), torch.zeros(outside, rank, device=device)
    return pairs


def aimed(new: Tensor, kept: Tensor, rank: int) -> Tensor:
    """A [r, in] that reads most of what is new for what it reads of what must stay as it is.

    `new` and `kept` [in, in] are the mean of x x^T that a layer reads of either. The rows span the first eigenvectors of new v =
    s (kept + e) v: an update B A then moves what must stay little, whatever B. They are orthogonal, and read as much
    of what is new as `fresh` rows do on average. CorDA (Yang et al. 2024, arXiv 2406.05223) chooses directions by one moment, LoRA-FA (Zhang et al. 2023,
    arXiv 2308.03303) trains B alone.
    """
    new, kept = new.double(), kept.double()
    size = len(new)
    level = FLOOR * kept.trace() / size + 1e-12
    low = torch.linalg.cholesky(kept + level * torch.eye(size, dtype=kept.dtype, device=kept.device))
    whitened = torch.linalg.solve_triangular(low, torch.linalg.solve_triangular(low, new, upper=False).T, upper=False)
    _, vectors = torch.linalg.eigh((whitened + whitened.T) / 2)
    found = torch.linalg.solve_triangular(low.T, vectors[:, -min(rank, size) :], upper=True)
    rows = torch.linalg.qr(found / found.norm(dim=0))[0].T
    reads = (rows @ new * rows).sum()
    most = 3.0  # directions that hardly anything is read in are not blown up
    rows = rows * (len(rows) * new.trace() / (3 * size) / (reads + 1e-12)).sqrt().clamp(max=most)
    return torch.cat([rows, rows.new_zeros(rank - len(rows), size)]).float()


def widened(weights: Weights, onto: Weights) -> dict[str, Pair]:
    """`weights` with the function unchanged, in the layers and at least the rank of the `fresh` adapter `onto`.

    Added rows of A are onto's random ones and added columns of B are zero: room to learn that says nothing yet.
    """
    pairs: dict[str, Pair] = {}
    for name, (a0, b0) in onto.items():
        a, b = weights.get(name, (a0[:0], b0[:, :0]))
        pairs[name] = torch.cat([a, a0[a.shape[0] :]]), torch.cat([b, b0[:, b.shape[1] :]], dim=1)
    return pairs


def name_of(weights: Weights, base: str) -> str:
    """SHA-256 (32 hex digits) of the base hash, the scale, and each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps([base, SCALE]).encode())
    for name in sorted(weights):
        for tensor in weights[name]:
            data = tensor.detach().cpu().contiguous()
            digest.update(f"{name}\0{data.dtype}\0{tuple(data.shape)}\0".encode())
            digest.update(data.view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def _in_order(data: bytes) -> bytes:
    """The same safetensors file with its header sorted: the library writes the metadata in an order that changes from call
    to call, and two adapters that are equal to the bit shall be equal files."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def save(weights: Weights, folder: Path, *, base: str, transposed: bool) -> str:
    """Write an adapter under its own name in `folder`; returns the name. All of it appears at once, or nothing.

    Saving what is already there changes nothing. StoreError, with the remedy, where the disk does not take it.
    """
    name = name_of(weights, base)
    final = folder / name
    if final.exists():
        load(folder, name, base=base, device="cpu")
        return name
    temporary = folder / f".{name}.{secrets.token_hex(4)}"
    try:
        temporary.mkdir(parents=True)
        rank = max(a.shape[0] for a, _ in weights.values())
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": None,
            "r": rank,
            "lora_alpha": SCALE * rank,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": transposed,
            "inference_mode": True,
            "target_modules": sorted(weights),
        }
        (temporary / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        tensors: dict[str, Tensor] = {}
        for layer, (a, b) in weights.items():
            tensors[f"{_PREFIX}{layer}.lora_A.weight"] = a.detach().cpu().contiguous().clone()
            tensors[f"{_PREFIX}{layer}.lora_B.weight"] = b.detach().cpu().contiguous().clone()
        data = to_bytes(tensors, metadata={"format": "pt", "base": base})
        (temporary / "adapter_model.safetensors").write_bytes(_in_order(data))
        for path in (*temporary.iterdir(), temporary):
            _sync(path)
        try:
            temporary.rename(final)
        except OSError:
            if not final.exists():  # else another process has just saved the same content
                raise
        _sync(folder)
    except OSError as error:
        raise StoreError(
            f"adapter {name} was not written to {folder} ({error.strerror or error}); free some space or make the folder "
            "writable, and run the same again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return name


def load(folder: Path, name: str, *, base: str, device: str) -> dict[str, Pair]:
    """Open an adapter by name and prove that it is what its name says; NotFound if absent, FormatError if altered."""
    path = folder / name
    if not name or Path(name).name != name or not path.is_dir():
        raise NotFound(f"no adapter {name!r} in {folder}; it was never saved there or has been removed")
    pairs, trained_on = read(path, device=device)
    if trained_on != base:
        raise FormatError(
            f"adapter {name} was trained on base {trained_on or 'unknown'}, but {base} is loaded; open its own base"
        )
    if (found := name_of(pairs, base)) != name:
        raise FormatError(
            f"adapter {name} was altered on disk (its content is {found}); restore it from a backup or rebuild it"
        )
    return pairs


def altered(folder: Path, name: str) -> bool:
    """Whether an adapter on disk cannot be read, or holds something else than its name says."""
    try:
        return name_of(*read(folder / name, device="cpu")) != name
    except FormatError:
        return True


def read(path: Path, *, device: str) -> tuple[dict[str, Pair], str]:
    """The pairs in a plain-LoRA PEFT folder, rescaled to SCALE, and the base hash in it ("" if stock peft wrote it)."""
    try:
        config = json.loads((path / "adapter_config.json").read_text())
        with safe_open(path / "adapter_model.safetensors", framework="pt", device=device) as file:
            base = (file.metadata() or {}).get("base", "")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        factor = config["lora_alpha"] / config["r"] / SCALE
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, SafetensorError) as error:
        raise FormatError(f"{path} is not a whole PEFT adapter ({error}); copy or rebuild it") from error
    unplain = [
        k
        for k in ("use_dora", "use_rslora", "lora_bias", "rank_pattern", "alpha_pattern", "modules_to_save")
        if config.get(k)
    ]
    if config.get("peft_type") != "LORA" or unplain or config.get("bias", "none") != "none":
        raise FormatError(
            f"{path} is not plain LoRA ({unplain or config.get('peft_type')}); convert it with peft first"
        )
    pairs: dict[str, Pair] = {}
    for key in sorted(tensors):
        layer, kind, _ = key.removeprefix(_PREFIX).rpartition(".lora_A.weight")
        if not kind:
            continue
        b = tensors.get(f"{_PREFIX}{layer}.lora_B.weight")
        if b is None:
            raise FormatError(f"{path} lacks lora_B for {layer}; copy or rebuild it")
        pairs[layer] = tensors[key].float(), (b if factor == 1 else b * factor).float()
    if len(tensors) != 2 * len(pairs):
        raise FormatError(f"{path} holds tensors that are not LoRA pairs; convert it with peft first")
    return pairs, base


def _sync(path: Path) -> None:
    """fsync a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
