"""Train sprout from nothing: `make sprout` (two processes, at most 2.5 hours on 2 CPU cores).

Text is made on the fly from the frames (some 3,000 documents a second, against ten or so trained on), so no document is seen twice.
Curriculum: few notes first, then up to thirty. Muon for the matrices, AdamW for the rest; gradients are averaged over the processes.
Killed or stopped, it resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import drills
from frames import load
from model import Encoded, Minibatch, Shape, Sprout, collate
from tasks import WORLD, Doc, Maker

SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
PAD, END = 0, 1
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|> ' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(folder: Path, vocab: int, documents: int = 60_000) -> Tokenizer:
    """Byte-level BPE with single digits, learned from the recipe's own training text."""
    tokenizer = Tokenizer(models.BPE(unk_token=None, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|\d| ?[^\sA-Za-z\d]+|\s+(?!\S)|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    frames, _ = load()
    maker = Maker(random.Random(0), frames)

    def texts() -> object:
        for _ in range(documents):
            doc = maker.any(3, 8)
            for turns in (doc.prefix, *doc.branches):
                for _, text in turns:
                    yield " " + text

    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": "<|pad|>",
        "clean_up_tokenization_spaces": False, "model_max_length": 4096, "chat_template": TEMPLATE,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    return tokenizer


class Encoder:
    """Documents to token ids and flags."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.role = {r: tokenizer.token_to_id(f"<|{r}|>") for r in ("system", "user", "assistant")}

    def turns(self, turns: list[tuple[str, str]]) -> tuple[list[int], list[bool]]:
        ids: list[int] = []
        flags: list[bool] = []
        for role, text in turns:
            body = [*self.tokenizer.encode(" " + text, add_special_tokens=False).ids, END]
            ids += [self.role[role], *body]
            flags += [False] + [role == "assistant"] * len(body)
        return ids, flags

    def __call__(self, doc: Doc) -> list[Encoded]:
        branches = [self.turns(b) for b in doc.branches]
        if not doc.prefix:
            return [(*b, []) for b in branches]
        return [(*self.turns(doc.prefix), branches)]


STAGES = (
    (0.00, 1, 1, 6, 0.30, 0.00, 1.00, 0.8, 2048),
    (0.015, 1, 1, 8, 0.10, 0.10, 0.70, 0.6, 2048),
    (0.12, 1, 3, 8, 0.04, 0.15, 0.55, 0.5, 2048),
    (0.25, 1, 6, 8, 0.02, 0.15, 0.45, 0.4, 3072),
    (0.42, 1, 10, 9, 0.01, 0.10, 0.40, 0.3, 3072),
    (0.70, 1, 14, 10, 0.01, 0.07, 0.40, 0.3, 4096),
    (0.90, 1, 30, 10, 0.01, 0.05, 0.40, 0.2, 5120),
)
"""(from this share of the run, fewest notes, most notes, most questions, share of copying drills, of looking-up drills, of composed
frames, of plain reading only, tokens of a minibatch). One note first: to read a note is to tell its parts from one another; to find it
among others comes after, and is the lesser task. On many notes from the start, one note was read worse after 20 million tokens than
after 14 this way."""


def annealed(share: float) -> float:
    """What part of the learning rate holds at this share of the run: after a short rise it falls in a line over the last 0.85 of it."""
    return max(0.02, min(1.0, share / 0.01, (1 - share) / 0.85))


def minibatches(
    maker: Maker, encoder: Encoder, rng: np.random.Generator, share: float, *, scale: int = 1
) -> list[Minibatch]:
    """A pool of documents cut into minibatches of like length, in random order."""
    _, low, high, questions, copied, looked_up, maker.composed, only_read, tokens = [
        s for s in STAGES if s[0] <= share
    ][-1]
    words = range(len(SPECIAL), encoder.tokenizer.get_vocab_size())
    docs: list[Encoded] = []
    for _ in range(160 * scale):
        roll = rng.random()
        if roll < copied:
            docs.append(drills.copying(rng, words))
        elif roll < copied + looked_up:
            docs.append(drills.looking_up(rng, words, encoder.tokenizer, int(rng.integers(low, min(high, 14) + 1))))
        else:
            docs += encoder(maker.any(low, high, budget=questions, only_read=only_read))
    docs = [d for d in docs if len(d[0]) < 1400]
    docs.sort(key=lambda d: (len(d[0]), sum(len(t) for t, _ in d[2])))
    groups: list[list[Encoded]] = [[]]
    size = 0
    for d in docs:
        n = len(d[0]) + sum(len(t) for t, _ in d[2])
        if size + n > scale * tokens and groups[-1]:
            groups.append([])
            size = 0
        groups[-1].append(d)
        size += n
    rng.shuffle(groups)  # type: ignore[arg-type]
    return [collate(g, rng) for g in groups]


def clock(device: torch.device) -> float:
    """Seconds of work: on a CPU those of the process, so that a busy machine makes a run longer and not worse."""
    return time.process_time() if device.type == "cpu" else time.time()


def worker(rank: int, args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    world = args.processes
    if world > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(args.port))
        dist.init_process_group("gloo", rank=rank, world_size=world)
    out: Path = args.out
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    encoder = Encoder(tokenizer)
    frames, _ = load()
    torch.manual_seed(args.seed)
    model = Sprout(
        Shape(
            vocab=tokenizer.get_vocab_size(), layers=args.layers, width=args.width, inner=args.inner, heads=args.heads
        )
    )
    model.plant_copying()
    model.to(device)
    matrices = [p for layer in model.layers for p in layer.values() if p.ndim == 2]  # type: ignore[operator]
    others = [p for p in model.parameters() if all(p is not m for m in matrices)]
    muon = torch.optim.Muon(matrices, lr=args.muon_lr, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(others, lr=args.adam_lr, betas=(0.9, 0.98), weight_decay=0.0)
    spent, step, seen = 0.0, 0, 0
    state_file = out / "checkpoint.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True, map_location=device)
        model.load_state_dict(state["model"])
        muon.load_state_dict(state["muon"])
        adam.load_state_dict(state["adam"])
        spent, step, seen = state["spent"], state["step"], state["seen"]
    seed = args.seed * 1_000_003 + rank * 7919 + step * 31
    maker, rng = Maker(random.Random(seed), frames, world=WORLD), np.random.default_rng(seed)
    budget = args.minutes * 60
    queue: list[Minibatch] = []
    started, saved, loss_mean = clock(device), time.time(), 0.0
    log = (out / "train.log").open("a") if rank == 0 else None
    base = spent
    while True:
        now = torch.tensor([base + clock(device) - started])
        if world > 1:
            dist.broadcast(now, 0)
        spent = float(now)
        share = spent / budget
        if share >= 1:
            break
        if not queue:
            queue = minibatches(maker, encoder, rng, share, scale=args.scale)
        batch = queue.pop().to(device)
        for group in muon.param_groups:
            group["lr"] = args.muon_lr * annealed(share)
        for group in adam.param_groups:
            group["lr"] = args.adam_lr * annealed(share)
        weight = batch.weight.sum()
        loss = model.loss(batch)
        (loss / weight).backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat(
            [g.flatten() for g in grads]
            + [torch.tensor([float(loss.detach()), float(weight), float(len(batch.ids_N))], device=device)]
        )
        if world > 1:
            dist.all_reduce(flat)
            at = 0
            for g in grads:
                g.copy_(flat[at : at + g.numel()].view_as(g) / world)
                at += g.numel()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step()
        adam.step()
        model.zero_grad(set_to_none=True)
        step += 1
        seen += int(flat[-1])
        nats = float(flat[-3] / flat[-2])
        loss_mean = nats if not loss_mean else 0.98 * loss_mean + 0.02 * nats
        if not math.isfinite(nats):
            raise SystemExit(f"the loss is {nats} at step {step}: lower --muon-lr")
        if log and step % 50 == 0:
            rate = seen / spent
            print(
                f"step {step} share {share:.3f} loss {loss_mean:.4f} tokens {seen / 1e6:.2f}M {rate:.0f}/s left {(budget - spent) / 60:.0f} min",
                file=log,
                flush=True,
            )
            if not args.quiet:
                print(
                    f"\r{share:6.1%}  loss {loss_mean:.3f}  {seen / 1e6:.1f} M tokens  {rate:.0f} tokens/s  {(budget - spent) / 60:.0f} min left ",
                    end="",
                    flush=True,
                )
        if rank == 0 and time.time() - saved > 120:
            saved = time.time()
            temporary = out / "checkpoint.tmp"
            torch.save(
                {
                    "model": model.state_dict(),
                    "muon": muon.state_dict(),
                    "adam": adam.state_dict(),
                    "spent": spent,
                    "step": step,
                    "seen": seen,
                },
                temporary,
            )
            temporary.replace(state_file)
            model.save(out)
    if rank == 0:
        model.save(out)
        (out / "training.json").write_text(
            json.dumps(
                {
                    "minutes": round(spent / 60, 1),
                    "steps": step,
                    "tokens": seen,
                    "loss": round(loss_mean, 4),
                    "processes": world,
                    "seed": args.seed,
                },
                indent=1,
            )
            + "\n"
        )
        state_file.unlink(missing_ok=True)
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("build/sprout"), help="folder of the run: weights, tokenizer, checkpoint, log"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=105,
        help="length of the run, of processor time on a CPU; the learning rate and the curriculum follow it",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu, or cuda: then with --processes 1 --scale 8 --minutes 10 (a few minutes suffice)",
    )
    parser.add_argument("--scale", type=int, default=1, help="times the tokens of a minibatch, for a GPU")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--inner", type=int, default=512)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--muon-lr", type=float, default=0.002)
    parser.add_argument("--adam-lr", type=float, default=0.001)
    parser.add_argument("--port", type=int, default=29517)
    parser.add_argument("--quiet", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "checkpoint.pt").exists():
        train_tokenizer(args.out, args.vocab)
    # Every new shape of a minibatch leaves a kernel behind: without a limit a process grows by 8 GB in half an hour.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    if args.processes > 1:
        mp.spawn(worker, args=(args,), nprocs=args.processes)
    else:
        worker(0, args)


if __name__ == "__main__":
    main()
