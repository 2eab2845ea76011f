"""The local engine: any decoder-only Hugging Face folder, with many adapters on one frozen base."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from engrain.engines import decode, folder, lora, network
from engrain.engines.chat import Chat
from engrain.errors import InputError
from engrain.protocols import Completion, Conversation
from engrain.records import Message

if TYPE_CHECKING:
    from engrain.engines.student import LocalStudent

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(slots=True)
class _Held:
    """An adapter in memory."""

    weights: lora.Weights
    ready: Any = None
    """The same as the network wants it, once it was asked for."""
    bytes: int = 0


class LocalEngine:
    """Samples, scores and teaches one base model under any of its adapters. Implements `protocols.Engine`.

    Weights are float32 and never change; adapters live beside them, in memory for the most recently used and on disk in
    `adapters_dir` for all. It may be called from several threads (those of a model that is not of Llama's family take turns).
    Torch runs on `threads` threads for each: one by default, which is fastest on a shared machine and makes every sum,
    and so every trained bit, repeatable.
    """

    base: str

    def __init__(
        self,
        path: str | Path,
        *,
        adapters_dir: str | Path,
        device: str = "cpu",
        threads: int = 1,
        adapter_bytes: int = 512 * 2**20,
    ) -> None:
        """Adapters stay in memory up to `adapter_bytes`, the most recently used ones; at least one does. `device` is "cpu", "cuda" (or "cuda:1" …), or "auto": cuda where torch finds one, else cpu.

        InputError for a device that is not there; FormatError, with the remedy, if `path` is no whole decoder-only safetensors
        model with a chat template.
        """
        torch.set_num_threads(threads)
        self.path, self.adapters_dir, self.device = Path(path), Path(adapters_dir), device_of(device)
        model, self.tokenizer = folder.load(self.path, self.device)
        self.base = folder.content_hash(self.path)
        eos = model.generation_config.eos_token_id
        self.chat = Chat(self.tokenizer, self.path, eos=eos if isinstance(eos, list) else [] if eos is None else [eos])
        self.network = network.open_network(model)
        self.lock = threading.RLock()
        self.turns: AbstractContextManager[object] = nullcontext() if self.network.side_by_side else self.lock
        """Held while the network runs."""
        self._window: int = getattr(model.config.get_text_config(), "max_position_embeddings", 1 << 30)
        self._adapter_bytes = adapter_bytes
        self.resident_bytes = 0
        """Of the adapters in memory."""
        self._bare = self.network.prepare(None, torch.float32, merge=False)
        self._adapters: OrderedDict[str, _Held] = OrderedDict()
        self._encoded: OrderedDict[tuple[tuple[Message, ...], str], list[int]] = OrderedDict()

    def sample(
        self,
        prompts: Sequence[Conversation],
        *,
        adapter: str = "",
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Completion]:
        """One answer per prompt, greedy at temperature 0; each ends at an end-of-turn token or after `max_tokens`.

        A prompt's answer does not depend on what else is in the batch. `latency_ms` is that of the whole call.
        """
        if not prompts:
            return []
        if max_tokens < 1 or temperature < 0:
            raise InputError(f"max_tokens={max_tokens}, temperature={temperature}; give at least 1 and at least 0")
        started = time.perf_counter()
        how = decode.Sampling(self.chat.stop_ids, max_tokens, temperature, seed)
        ready = self._ready(adapter)
        ids = [self.encode(prompt, room=max_tokens) for prompt in prompts]
        with self.turns:
            sampled = decode.sample(self.network, ready, ids, how, self.device)
        elapsed = (time.perf_counter() - started) * 1000
        return [
            Completion(
                text=self.tokenizer.decode(answer.tokens, skip_special_tokens=True).strip(),
                token_ids=answer.tokens,
                logprobs=answer.logprobs,
                input_tokens=len(prompt),
                finish_reason="stop" if answer.stopped else "length",
                latency_ms=elapsed,
            )
            for prompt, answer in zip(ids, sampled, strict=True)
        ]

    def score(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], *, adapter: str = ""
    ) -> list[list[float]]:
        """Log-probability in nats of each given answer token after its prompt; InputError for an empty answer."""
        _check_answers(prompts, answers)
        if not prompts:
            return []
        scores: list[list[float]] = []
        ready = self._ready(adapter)
        ids = [self.encode(prompt, room=len(answer)) for prompt, answer in zip(prompts, answers, strict=True)]
        with self.turns:
            for start in range(0, len(ids), 32):  # logits are large: 32 answers at a time
                some = answers[start : start + 32]
                with torch.inference_mode():
                    logits_BTV, _ = decode.answer_logits(
                        self.network, ready, ids[start : start + 32], some, self.device
                    )
                for row, answer in zip(logits_BTV.log_softmax(-1), some, strict=True):
                    scores.append([row[i, token].item() for i, token in enumerate(answer)])
        return scores

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` by itself, without any added by the chat template."""
        return len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def render(self, messages: Conversation) -> str:
        """The exact prompt text that the model is shown for a conversation."""
        return self.chat.render(messages)

    def student(
        self,
        parent: str = "",
        *,
        rank: int = 16,
        seed: int = 0,
        max_tokens: int = 32,
        precision: Precision = "auto",
    ) -> LocalStudent:
        """A trainable copy of an adapter ("" for the bare base), taught by that same version, frozen.

        `max_tokens` bounds the student's sampled answers. `precision` is that of training only: `auto` computes in
        bfloat16 where the processor has it in hardware (twice as fast; weights and optimiser stay float32).
        """
        from engrain.engines.student import LocalStudent

        return LocalStudent(self, parent, rank=rank, seed=seed, max_tokens=max_tokens, precision=precision)

    def adopt(self, path: str | Path) -> str:
        """Take in a plain-LoRA adapter that stock peft wrote for this base; returns the name it is now known by."""
        pairs, _ = lora.read(Path(path), device=self.device)
        for name, (a, b) in pairs.items():
            if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
                raise InputError(f"{path} holds values that are not finite for {name}; train it again")
            if self.network.layers.get(name) != (b.shape[0], a.shape[1]):
                raise InputError(
                    f"{path} adapts {name} {tuple(b.shape)}x{tuple(a.shape)}, which this base does not have"
                )
        return self.save(pairs)

    def save(self, weights: lora.Weights) -> str:
        """Write an adapter durably under the hash of its content; returns that name."""
        return lora.save(weights, self.adapters_dir, base=self.base, transposed=self.network.transposed)

    def weights(self, adapter: str) -> lora.Weights | None:
        """The adapter's matrices, from memory or disk; None for "". NotFound once it is gone from disk."""
        if not adapter:
            return None
        with self.lock:
            return self._open(adapter).weights

    def _ready(self, adapter: str) -> Any:
        """The adapter as the network wants it: made once, where it is first asked for."""
        if not adapter:
            return self._bare
        with self.lock:
            held = self._open(adapter)
            if held.ready is None:
                held.ready = self.network.prepare(held.weights, torch.float32, merge=False)
                self._grow(held, held.bytes)  # its matrices once more, joined
            return held.ready

    def _open(self, adapter: str) -> _Held:
        if not (self.adapters_dir / adapter).is_dir() and adapter in self._adapters:
            self.resident_bytes -= self._adapters.pop(adapter).bytes
        if adapter not in self._adapters:
            weights = lora.load(self.adapters_dir, adapter, base=self.base, device=self.device)
            held = self._adapters[adapter] = _Held(weights)
            self._grow(held, sum(t.nbytes for pair in weights.values() for t in pair))
        self._adapters.move_to_end(adapter)
        return self._adapters[adapter]

    def _grow(self, held: _Held, size: int) -> None:
        """An adapter in memory takes so many bytes more; the longest unused make room."""
        held.bytes += size
        self.resident_bytes += size
        while self.resident_bytes > self._adapter_bytes and len(self._adapters) > 1:
            self.resident_bytes -= self._adapters.popitem(last=False)[1].bytes

    @property
    def window(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        return self._window

    def encode(self, prompt: Conversation, *, room: int, tools: str = "", keep: bool = True) -> list[int]:
        """Prompt token ids, with the tools (JSON) that it offers, kept for the next time unless `keep` is False (how long it takes would tell others
        that somebody asked the same); InputError if they and `room` answer tokens exceed the model's window."""
        turns = tuple(prompt)
        key = turns, tools
        self.check_length(turns)
        with self.lock:
            ids: list[int] | None = self._encoded.get(key) if keep else None
            if ids is None:
                # The template writes the special tokens itself; a tokenizer that adds its own would double the first.
                text = self.chat.render(turns, tools=tools)
                ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
                assert ids is not None
            if keep:
                self._encoded[key] = ids
                if len(self._encoded) > 4096:
                    self._encoded.popitem(last=False)
        if len(ids) + room > self._window:
            raise InputError(
                f"{len(ids)} prompt tokens and {room} to answer exceed the model's {self._window}; "
                "shorten the message, or show fewer notes"
            )
        return ids

    @cached_property
    def most_characters(self) -> int:
        """Characters that no prompt within the window exceeds: all its tokens, each as long as the longest there is."""
        return self._window * max(map(len, self.tokenizer.get_vocab()))

    def check_length(self, messages: Conversation) -> None:
        """InputError for what is far too long for the window, told by its characters: tokenising it would take long itself."""
        length = sum(len(m.content) + sum(len(c.arguments) for c in m.tool_calls) for m in messages)
        if length > self.most_characters:
            raise InputError(
                f"a prompt of {length:,} characters is far beyond the model's window of {self._window} tokens; shorten the message"
            )

    def clear(self) -> None:
        """Drop everything remembered from earlier calls (prompts and adapters), as `forget` needs."""
        with self.lock:
            self._adapters.clear()
            self.resident_bytes = 0
            self._encoded.clear()


def device_of(name: str) -> str:
    """The torch device that `name` asks for, "auto" decided; InputError, with the remedy, for one that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if name != "cpu" and (kind != "cuda" or not (number.isdigit() or name == "cuda")):
        raise InputError(f"device {name!r} is not known; give auto, cpu or cuda")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        built = "" if torch.version.cuda else ", and this torch is a CPU build (README, Your own model)"
        raise InputError(
            f"device {name!r}: torch finds {torch.cuda.device_count()} CUDA devices{built}; give cpu or auto"
        )
    return name


def _check_answers(prompts: Sequence[Conversation], answers: Sequence[Sequence[int]]) -> None:
    if len(prompts) != len(answers):
        raise InputError(f"{len(prompts)} prompts but {len(answers)} answers; give one answer for each prompt")
    if empty := [i for i, answer in enumerate(answers) if not len(answer)]:
        raise InputError(f"answers {empty[:5]} have 0 tokens; leave them out")
