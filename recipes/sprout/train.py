"""Train sprout from nothing: `make sprout` (two processes, at most 2.5 hours on 2 CPU cores; ten minutes on a GPU).

Text is made on the fly from the frames, some 230,000 tokens a second and core, so no document is seen twice: on CPUs by the process that
trains (which takes a hundredth of its time), for a GPU by processes of their own.
Curriculum: few notes first, then up to thirty. Muon for the matrices, AdamW for the rest; gradients are averaged over the processes.
Killed or stopped, it resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import random
import shutil
import time
from bisect import bisect_left
from collections.abc import Sequence
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tokenizers import Tokenizer

from drills import copying
from frames import load
from model import Minibatch, Shape, Sprout, collate, compile_layers
from tasks import WORLD, Maker
from tokens import LONGEST, SPECIAL, Encoder, Row, train_tokenizer, twins

STAGES = (
    (0.00, 1, 1, 0.25, 1.00, 0.8, 2048),
    (0.02, 1, 1, 0.08, 0.70, 0.8, 2048),
    (0.15, 1, 3, 0.03, 0.50, 0.5, 2048),
    (0.25, 1, 8, 0.01, 0.40, 0.3, 4096),
    (0.60, 1, 14, 0.01, 0.35, 0.3, 4096),
    (0.88, 1, 30, 0.01, 0.35, 0.2, 4096),
)
"""(from this share of the run, fewest notes, most notes, share of copying drills, of composed frames, of plain reading only, tokens of a
minibatch). One note first: to read a note is to tell its parts from one another; to find it among others comes after, and is the lesser
task."""
QUESTIONS = 10
"""At most so many about the notes of one document, which are read once for all of them."""


def annealed(share: float) -> float:
    """What part of the learning rate holds at this share of the run: after a short rise it falls in a line over the last 0.85 of it."""
    return max(0.02, min(1.0, share / 0.01, (1 - share) / 0.85))


LENGTHS = (*range(32, 256, 32), *range(256, 512, 64), *range(512, LONGEST + 1, 128))
"""Tokens that rows are padded to: few lengths, for each has compiled functions of its own."""
GPU_LENGTHS = (96, 160, 256, 384, 512, 768, LONGEST)


def warm_up(model: Sprout, tokens: int, lengths: Sequence[int], rng: np.random.Generator) -> None:
    """Compile for the shapes of minibatches of so many tokens, in rows of these lengths."""
    for length in lengths:
        row = Row.shared([0] * length, [False] * (length - 1) + [True])
        model.loss(collate([row] * -(-tokens // length), length, rng).to(model.embed.device)).backward()
    model.zero_grad(set_to_none=True)


class Pool:
    """Rows of the run so far by length; gives a minibatch of those that are enough for one."""

    def __init__(self, tokenizer: Tokenizer, seed: int, args: argparse.Namespace) -> None:
        self.maker, self.rng = Maker(random.Random(seed), load()[0], world=WORLD), np.random.default_rng(seed)
        self.encoder, self.words = Encoder(tokenizer), range(len(SPECIAL), tokenizer.get_vocab_size())
        self.tokens, self.curriculum = args.tokens, args.curriculum
        self.lengths = LENGTHS if args.device == "cpu" else GPU_LENGTHS
        self.rows: dict[int, list[Row]] = {}

    def minibatch(self, share: float) -> Minibatch:
        share /= self.curriculum
        _, low, high, copied, self.maker.composed, only_read, tokens = [s for s in STAGES if s[0] <= share][-1]
        while True:
            if self.rng.random() < copied:
                rows = [copying(self.rng, self.words)]
            else:
                rows = self.encoder(self.maker.any(low, high, budget=QUESTIONS, only_read=only_read))
            for row in rows:
                length = self.lengths[bisect_left(self.lengths, len(row.ids))]
                waiting = self.rows.setdefault(length, [])
                waiting.append(row)
                if len(waiting) * length >= (self.tokens or tokens):
                    del self.rows[length]
                    return collate(waiting, length, self.rng)


def fill(queue: Queue[list[np.ndarray]], share: Synchronized[float], seed: int, args: argparse.Namespace) -> None:
    """Make minibatches for another process, as its run goes on, until it ends."""
    torch.set_num_threads(1)
    pool = Pool(Tokenizer.from_file(str(args.out / "tokenizer.json")), seed, args)
    while True:
        queue.put([t.numpy() for t in pool.minibatch(share.value)])


class Makers:
    """A pool in processes of its own. queue.Empty if none of them makes anything within five minutes."""

    def __init__(self, count: int, seed: int, args: argparse.Namespace) -> None:
        context = multiprocessing.get_context("spawn")
        self.queue, self.share = context.Queue(4 * count), context.Value("d", 0.0)
        for i in range(count):
            context.Process(target=fill, args=(self.queue, self.share, seed + i, args), daemon=True).start()

    def minibatch(self, share: float) -> Minibatch:
        self.share.value = share
        return Minibatch(*(torch.from_numpy(array) for array in self.queue.get(timeout=300)))


def clock(device: torch.device) -> float:
    """Seconds of work: on a CPU those of the process, so that a busy machine makes a run longer and not worse."""
    return time.process_time() if device.type == "cpu" else time.time()


def processor() -> str:
    """What this machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    amx = any("amx_bf16" in line for line in lines)
    return (names[0] if names else platform.machine()) + (" (AMX)" if amx else "")


def worker(rank: int, args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    compile_layers()
    device = torch.device(args.device)
    world = args.processes
    if world > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(args.port))
        dist.init_process_group("gloo", rank=rank, world_size=world)
    out: Path = args.out
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    torch.manual_seed(args.seed)
    model = Sprout(
        Shape(
            vocab=tokenizer.get_vocab_size(), layers=args.layers, width=args.width, inner=args.inner, heads=args.heads
        )
    )
    if args.start:
        model.load(args.start)
    else:
        model.plant_copying()
        model.plant_twins(twins(tokenizer))
    model.to(device)
    matrices = [p for layer in model.layers for p in layer.values() if p.ndim == 2]  # type: ignore[operator]
    others = [p for p in model.parameters() if all(p is not m for m in matrices)]
    muon = torch.optim.Muon(matrices, lr=args.muon_lr, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(others, lr=args.adam_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=device.type == "cuda")
    spent, step, seen = 0.0, 0, 0
    state_file = out / "checkpoint.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True, map_location=device)
        model.load_state_dict(state["model"])
        muon.load_state_dict(state["muon"])
        adam.load_state_dict(state["adam"])
        spent, step, seen = state["spent"], state["step"], state["seen"]
    seed = args.seed * 1_000_003 + rank * 7919 + step * 31
    budget = args.minutes * 60
    pool = Makers(args.makers, seed, args) if args.makers else Pool(tokenizer, seed, args)
    rng = np.random.default_rng(seed)
    if device.type == "cpu":
        for part in (slice(rank, None, world), slice(None)):  # each compiles its share, and finds the rest in the cache
            for tokens, longest in ((2048, 384), (4096, LONGEST)):
                warm_up(model, args.tokens or tokens, [n for n in LENGTHS if n <= longest][part], rng)
            if world > 1:
                dist.barrier()
    else:
        warm_up(model, args.tokens or 4096, GPU_LENGTHS, rng)
    started, saved = clock(device), time.time()
    sums = torch.tensor([0.0, 0.0, seen], dtype=torch.float64, device=device)  # nats, their weight, tokens
    last, nats = sums.clone(), 0.0

    def mean() -> float:
        """Nats a token learned since `last`."""
        return float((sums[0] - last[0]) / (sums[1] - last[1]))

    log = (out / "train.log").open("a") if rank == 0 else None
    base = spent
    while True:
        spent = base + clock(device) - started
        if world > 1:
            now = torch.tensor([spent])
            dist.broadcast(now, 0)
            spent = float(now)
        share = spent / budget
        if share >= 1:
            break
        batch = pool.minibatch(share).to(device)
        for group in muon.param_groups:
            group["lr"] = args.muon_lr * annealed(share)
        for group in adam.param_groups:
            group["lr"] = args.adam_lr * annealed(share)
        weight = batch.weight_N.sum()
        loss = model.loss(batch)
        (loss / weight).backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        made = torch.stack((loss.detach(), weight, weight.new_tensor(batch.ids_BT.numel())))
        if world > 1:
            flat = torch.cat([*(g.flatten() for g in grads), made])
            dist.all_reduce(flat)
            at = 0
            for g in grads:
                g.copy_(flat[at : at + g.numel()].view_as(g) / world)
                at += g.numel()
            made = flat[-3:]
        sums += made
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        muon.step()
        adam.step()
        model.zero_grad(set_to_none=True)
        step += 1
        if step % 50 == 0:
            seen = int(sums[2])
            nats = mean()
            last = sums.clone()
            if not math.isfinite(nats):
                raise SystemExit(f"the loss is {nats} at step {step}: lower --muon-lr")
        if log and step % 50 == 0:
            rate = seen / spent
            print(
                f"step {step} share {share:.3f} loss {nats:.4f} tokens {seen / 1e6:.2f}M {rate:.0f}/s left {(budget - spent) / 60:.0f} min",
                file=log,
                flush=True,
            )
            if not args.quiet:
                print(
                    f"\r{share:6.1%}  loss {nats:.3f}  {seen / 1e6:.1f} M tokens  {rate:.0f} tokens/s  {(budget - spent) / 60:.0f} min left ",
                    end="",
                    flush=True,
                )
        if rank == 0 and time.time() - saved > 120 and math.isfinite(float(sums[0])):
            saved = time.time()
            temporary = out / "checkpoint.tmp"
            torch.save(
                {
                    "model": model.state_dict(),
                    "muon": muon.state_dict(),
                    "adam": adam.state_dict(),
                    "spent": spent,
                    "step": step,
                    "seen": int(sums[2]),
                },
                temporary,
            )
            temporary.replace(state_file)
            model.save(out)
    if rank == 0:
        if sums[1] > last[1]:
            nats = mean()
        model.save(out)
        where = processor() if device.type == "cpu" else torch.cuda.get_device_name(device)
        before = {"minutes": 0.0, "steps": 0, "tokens": 0, "on": ""}
        if args.start and (args.start / "training.json").exists():
            before |= json.loads((args.start / "training.json").read_text())
        (out / "training.json").write_text(
            json.dumps(
                {
                    "minutes": round(before["minutes"] + spent / 60, 1),
                    "steps": before["steps"] + step,
                    "tokens": before["tokens"] + int(sums[2]),
                    "loss": round(nats, 4),
                    "processes": world,
                    "processor": where,
                    "on": (f"{before['on']}, then " if before["on"] else "")
                    + f"{where}, {spent / 60:.1f} minutes"
                    + (f" of processor time on each of {world} cores" if device.type == "cpu" else ""),
                    "layers": args.layers,
                    "width": args.width,
                    "vocab": tokenizer.get_vocab_size(),
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
        default=102,
        help="length of the run, of processor time on a CPU; the learning rate and the curriculum follow it",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        help="cpu, or cuda: then with --processes 1 --makers 14 --tokens 65536 --curriculum 0.5 --minutes 9",
    )
    parser.add_argument("--tokens", type=int, help="of a minibatch; without it 2,048 at first and then 4,096")
    parser.add_argument("--makers", type=int, default=0, help="processes that make text; 0: the one that trains does")
    parser.add_argument("--curriculum", type=float, default=1.0, help="how long its stages take, against the default")
    parser.add_argument("--tokenizer", type=Path, help="a folder whose tokenizer is used instead of learning one")
    parser.add_argument(
        "--start", type=Path, help="a model folder to go on from, with its tokenizer: a second run on other text, say"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--merges", type=int, default=1900, help="of the tokenizer; its vocabulary is three times as large"
    )
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--inner", type=int, default=704)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--muon-lr", type=float, default=0.002)
    parser.add_argument("--adam-lr", type=float, default=0.001)
    parser.add_argument("--port", type=int, default=29517)
    parser.add_argument("--quiet", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "checkpoint.pt").exists():
        if given := args.tokenizer or args.start:
            for name in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copy(given / name, args.out)
        else:
            train_tokenizer(args.out, args.merges)
    # Memory that is given back to the system and asked for again at every step costs a tenth of the time.
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(1 << 33))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 34))
    # Every new shape of a minibatch leaves a kernel behind: without a limit a process grows by 8 GB in half an hour.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "2048")
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    if args.processes > 1:
        mp.spawn(worker, args=(args,), nprocs=args.processes)
    else:
        worker(0, args)


if __name__ == "__main__":
    main()
