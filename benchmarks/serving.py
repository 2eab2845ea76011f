"""What does it cost that everybody has weights of their own? Tokens a second of one batch under many adapters.

All arms run the same base and the same adapters (all linear layers, random) on one thread, on prompts of one length, and write the same
number of tokens greedily. Rounds are interleaved; ratios are medians of the rounds' ratios.
    base        the bare base, the same rows, in engrain's decoding loop
    engrain     each row under an adapter of its own (Slots: one buffer, two batched products a layer)
    switching   one adapter after the other, each with its own requests (`LocalEngine.sample`)
    peft        its mixed batch (`adapter_names`) in transformers' `generate`
    same loop   engrain's product (gathered, batched) in transformers' `generate`
And decoding alone, without adapters, against transformers' `generate` at batch 1 and 8. And the time to the first token of the next turn of a conversation
(a system message, notes, some turns), through the batcher, read whole and gone on from what was read.

Bars, at 32 adapters in a batch of 32: engrain >= 0.75 of base; same loop >= 2.2 times peft; engrain >= 5 times peft. Decoding >= 3 times
`generate` at batch 1, >= 2 times at batch 8, with equal tokens.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import common
from common import Bars, Run, table
from engrain.engines import lora
from engrain.engines.batching import Batcher
from engrain.engines.local import LocalEngine
from engrain.engines.slots import Slots
from engrain.records import Message


def main() -> None:
    parser = common.options(__doc__, seeds=1)
    parser.add_argument(
        "--rank",
        type=int,
        default=8,
        help="of every adapter (default 8, as in the published figures; engrain trains 32)",
    )
    parser.add_argument("--adapters", type=int, nargs="+", default=None, help="distinct adapters (default 1 8 32 128)")
    parser.add_argument("--rounds", type=int, default=None, help="interleaved rounds (default 5)")
    parser.add_argument("--tokens", type=int, default=None, help="tokens that each request writes (default 32)")
    args = parser.parse_args()
    counts = args.adapters or ([1, 4] if args.quick else [1, 8, 32, 128])
    rounds, tokens = args.rounds or (2 if args.quick else 5), args.tokens or (8 if args.quick else 32)
    run = Run("serving", args)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder, torch.inference_mode():
        engine = LocalEngine(args.base, adapters_dir=Path(folder))
        names = [made(engine, args.rank, seed) for seed in range(max(counts))]
        peft = Peft(args.base, Path(folder), names)
        same = Gathered(args.base, engine, names)
        for count in counts:
            batch = max(count, 32) if not args.quick else 4
            prompts = [prompt(engine, i) for i in range(batch)]
            who = [names[i % count] for i in range(batch)]
            arms: dict[str, Callable[[], list[list[int]]]] = {
                "base": lambda p=prompts: decode(engine, p, [""] * len(p), tokens),
                "engrain": lambda p=prompts, w=who: decode(engine, p, w, tokens),
                "switching": lambda p=prompts, w=who: switching(engine, p, w, tokens),
                "peft": lambda p=prompts, w=who: peft.generate(p, w, tokens),
                "same loop": lambda p=prompts, w=who: same.generate(p, w, tokens),
            }
            speeds, said = timed(arms, rounds, batch * tokens)
            equal = {arm: sum(a == b for a, b in zip(said[arm], said["engrain"], strict=True)) / batch for arm in arms}
            rows.append({"adapters": count, "batch": batch, "tokens_s": speeds, "equal": equal})
            run.say(f"{count} adapters: " + ", ".join(f"{a} {statistics.median(s):.0f}" for a, s in speeds.items()))
        alone = [against_generate(engine, peft.bare, n, rounds, tokens) for n in (1, 8)]
        turns = [next_turn(engine, names[0], notes, rounds) for notes in ((4,) if args.quick else (10, 30, 60))]
    table(("tokens/s, median", *rows[0]["tokens_s"], "engrain / base", "same loop / peft", "engrain / peft", "equal to peft"), [
        (f"{r['adapters']} adapters, batch {r['batch']}", *(f"{statistics.median(s):.0f}" for s in r["tokens_s"].values()),
         *(f"{ratio(r['tokens_s'], a, b):.2f}" for a, b in PAIRS), f"{r['equal']['peft']:.0%}") for r in rows
    ])  # fmt: skip
    table(("decoding, no adapter", "generate", "engrain", "ratio", "equal tokens"), [
        (f"batch {a['batch']}", *(f"{statistics.median(a['tokens_s'][n]):.0f}" for n in ("generate", "engrain")), f"{ratio(a['tokens_s'], 'engrain', 'generate'):.2f}", f"{a['equal']:.0%}")
        for a in alone
    ])  # fmt: skip
    table(("the next turn", "tokens", "of them not read again", "read whole, ms", "gone on from, ms", "ratio"), [
        (f"{t['notes']} notes", t["tokens"], t["cached"], *(f"{statistics.median(t['ms'][n]):.1f}" for n in ("whole", "gone on from")), f"{ratio(t['ms'], 'whole', 'gone on from'):.2f}")
        for t in turns
    ])  # fmt: skip
    bars = Bars()
    judged = next((r for r in rows if r["adapters"] == 32), rows[-1])
    for (a, b), least in zip(PAIRS, (0.75, 2.2, 5.0), strict=True):
        value = ratio(judged["tokens_s"], a, b)
        bars.add(f"{a} / {b}, {judged['adapters']} adapters", value, value >= least, f">= {least}")
    for a, least in zip(alone, (3.0, 2.0), strict=True):
        value = ratio(a["tokens_s"], "engrain", "generate")
        bars.add(
            f"decoding / generate, batch {a['batch']}",
            value,
            value >= least and a["equal"] == 1,
            f">= {least}, equal tokens",
        )
    bars.show()
    path = run.save({"rank": args.rank, "tokens": tokens, "rows": rows, "alone": alone, "turns": turns}, bars)
    with common.picture(path) as axis:
        for arm in rows[0]["tokens_s"]:
            axis.plot(
                [r["adapters"] for r in rows],
                [statistics.median(r["tokens_s"][arm]) for r in rows],
                marker="o",
                label=arm,
            )
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel("distinct adapters")
        axis.set_ylabel("tokens a second")
        axis.legend(frameon=False)


PAIRS = (("engrain", "base"), ("same loop", "peft"), ("engrain", "peft"))


def ratio(speeds: dict[str, list[float]], one: str, other: str) -> float:
    """Median over rounds of the ratio of two arms."""
    return statistics.median(a / b for a, b in zip(speeds[one], speeds[other], strict=True))


def timed(
    arms: dict[str, Callable[[], list[list[int]]]], rounds: int, tokens: int
) -> tuple[dict[str, list[float]], dict[str, list[list[int]]]]:
    """Tokens a second of each arm in each round, and what it wrote; the first round warms up."""
    speeds: dict[str, list[float]] = {arm: [] for arm in arms}
    said: dict[str, list[list[int]]] = {}
    for number in range(rounds + 1):
        for arm, do in arms.items():
            started = time.perf_counter()
            said[arm] = do()
            if number:
                speeds[arm].append(tokens / (time.perf_counter() - started))
    return speeds, said


def made(engine: LocalEngine, rank: int, seed: int) -> str:
    """A random adapter of this rank."""
    generator = torch.Generator().manual_seed(seed)
    pairs = lora.fresh(engine.network.layers, rank=rank, seed=seed, device="cpu")
    return engine.save({n: (a, torch.randn(b.shape, generator=generator) * 0.05) for n, (a, b) in pairs.items()})


def prompt(engine: LocalEngine, seed: int) -> list[int]:
    """32 tokens; all prompts are as long, so that nobody pays for padding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(20, len(engine.tokenizer) - 1, (32,), generator=generator).tolist()


def decode(engine: LocalEngine, prompts: Sequence[list[int]], who: Sequence[str], tokens: int) -> list[list[int]]:
    """All requests in one batch of engrain's."""
    slots = slots_for(engine, len(prompts), adapted=any(who))
    logits = slots.join([(engine.weights(name), ids, None) for ids, name in zip(prompts, who, strict=True)])
    said = [[token] for token in logits.argmax(-1).tolist()]
    for _ in range(tokens - 1):
        for answer, token in zip(said, slots.step([s[-1] for s in said]).argmax(-1).tolist(), strict=True):
            answer.append(token)
    slots.clear()
    return said


def switching(engine: LocalEngine, prompts: Sequence[list[int]], who: Sequence[str], tokens: int) -> list[list[int]]:
    """One adapter after the other."""
    said: dict[int, list[int]] = {}
    for name in dict.fromkeys(who):
        mine = [i for i, w in enumerate(who) if w == name]
        said |= zip(mine, decode(engine, [prompts[i] for i in mine], [name] * len(mine), tokens), strict=True)
    return [said[i] for i in range(len(prompts))]


@cache
def slots_for(engine: LocalEngine, rows: int, *, adapted: bool) -> Slots:
    """Kept from call to call; those without adapters never make room for any."""
    return Slots(engine.network, rows)  # type: ignore[arg-type]


def generate(model: Any, prompts: Sequence[list[int]], tokens: int, **more: Any) -> list[list[int]]:
    """transformers' own loop, never ending early."""
    ids = torch.tensor(prompts)
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False,
        pad_token_id=0, eos_token_id=None, **more,
    )  # fmt: skip
    found: list[list[int]] = out[:, ids.shape[1] :].tolist()
    return found


def against_generate(engine: LocalEngine, model: Any, batch: int, rounds: int, tokens: int) -> dict[str, Any]:
    prompts = [prompt(engine, i) for i in range(batch)]
    speeds, said = timed(
        {
            "generate": lambda: generate(model, prompts, tokens),
            "engrain": lambda: decode(engine, prompts, [""] * batch, tokens),
        },
        rounds, batch * tokens,
    )  # fmt: skip
    equal = sum(a == b for a, b in zip(said["generate"], said["engrain"], strict=True)) / batch
    return {"batch": batch, "tokens_s": speeds, "equal": equal}


def next_turn(engine: LocalEngine, adapter: str, notes: int, rounds: int) -> dict[str, Any]:
    """Milliseconds to the first token of the turn that follows, whole and gone on from the turn before."""
    told = "Notes:\n" + "\n".join(f"- The code of gate {i} is {1000 + 37 * i}." for i in range(notes))
    begun = [Message(role="system", content=told), Message(role="user", content="What is the code of gate 2?")]
    ms: dict[str, list[float]] = {"whole": [], "gone on from": []}
    tokens = cached = 0
    with Batcher(engine, rows=1) as batcher:
        for number in range(rounds + 1):
            for arm, open_to in (("whole", {}), ("gone on from", {number: None})):
                said = batcher.sample([begun], adapter=adapter, max_tokens=8, open_to=open_to)[0]
                then = [
                    *begun,
                    Message(role="assistant", content=said.text),
                    Message(role="user", content=f"And of gate {number % notes}?"),
                ]
                ticket = batcher.submit(then, adapter=adapter, max_tokens=1, open_to=open_to)
                found = ticket.done.result()
                if number:
                    ms[arm].append(found.latency_ms)
                tokens, cached = found.input_tokens, found.cached_tokens
    return {"notes": notes, "tokens": tokens, "cached": cached, "ms": ms}


class Peft:
    """peft's mixed batch."""

    def __init__(self, base: Path, folder: Path, names: Sequence[str]) -> None:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        self.bare = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        loaded = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        self._model = PeftModel.from_pretrained(loaded, str(folder / names[0]), adapter_name=names[0])
        for name in names[1:]:
            self._model.load_adapter(str(folder / name), adapter_name=name)
        self._model.eval()

    def generate(self, prompts: Sequence[list[int]], who: Sequence[str], tokens: int) -> list[list[int]]:
        return generate(self._model, prompts, tokens, adapter_names=list(who))


class Gathered:
    """engrain's product in transformers' loop: every linear layer adds x A_i^T B_i^T, batched over rows."""

    def __init__(self, base: Path, engine: LocalEngine, names: Sequence[str]) -> None:
        from transformers import AutoModelForCausalLM

        self._model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        self._layers: list[_Layer] = []
        self._place = {name: i for i, name in enumerate(names)}
        weights = [engine.weights(name) or {} for name in names]
        for layer in engine.network.layers:
            parent, _, leaf = layer.rpartition(".")
            module = _Layer(self._model.get_submodule(layer), [w[layer] for w in weights])
            setattr(self._model.get_submodule(parent), leaf, module)
            self._layers.append(module)

    def generate(self, prompts: Sequence[list[int]], who: Sequence[str], tokens: int) -> list[list[int]]:
        rows = torch.tensor([self._place[w] for w in who])
        for layer in self._layers:
            layer.gather(rows)
        return generate(self._model, prompts, tokens)


class _Layer(nn.Module):  # type: ignore[misc]  # torch is untyped here
    def __init__(self, linear: Any, pairs: Sequence[lora.Pair]) -> None:
        super().__init__()
        self._linear = linear
        self._pool = torch.stack([a for a, _ in pairs]), torch.stack([b for _, b in pairs])

    def gather(self, rows: Tensor) -> None:
        self._a, self._b = (held[rows] for held in self._pool)

    def forward(self, x: Tensor) -> Tensor:
        low = torch.bmm(x, self._a.transpose(1, 2)).mul_(lora.SCALE)
        y: Tensor = F.linear(x, self._linear.weight, self._linear.bias)
        return y + torch.bmm(low, self._b.transpose(1, 2))


if __name__ == "__main__":
    main()
