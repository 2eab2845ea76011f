"""Tiny models of several architectures, written as real Hugging Face folders: there is no hub to fetch one from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPROUT = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)

TEXT = [
    "The gate code of the north barn is 4417.",
    "What is the gate code of the north barn? I don't know.",
    "Mara keeps the spare key under the blue pot, and the dog is called Biscuit.",
    "Notes:\n- When the pump stops, press the red button twice and wait for the hum.",
    "<|system|> <|user|> <|assistant|> system user assistant model Tuesday Wednesday 0123456789 ?!.,:;-'\"",
]


def byte_level_tokenizer(*, special: list[str], eos: str, pad: str, bos: str | None = None) -> Any:
    """Byte-level BPE, as GPT-2, Llama 3 and Qwen have."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        TEXT * 4,
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token=eos, pad_token=pad, bos_token=bos, additional_special_tokens=special
    )


def sentencepiece_like_tokenizer(*, special: list[str], eos: str, pad: str, bos: str) -> Any:
    """BPE with spaces as U+2581 and byte fallback, as Llama 2 and Gemma have; like them it adds BOS by itself."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    raw.normalizer = normalizers.Replace(Regex(" "), "\u2581")
    raw.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    raw.train_from_iterator(
        TEXT * 4, trainers.BpeTrainer(vocab_size=600, special_tokens=[*special, "<unk>", *bytes_], show_progress=False)
    )
    raw.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, raw.token_to_id(bos))])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token=eos,
        pad_token=pad,
        bos_token=bos,
        unk_token="<unk>",
        additional_special_tokens=special,
    )


def llama(folder: Path, *, seed: int = 0, layers: int = 2, **changes: Any) -> Path:
    """Llama architecture like sprout, with grouped keys and a chat format of its own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_level_tokenizer(
        special=["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"], eos="<|end|>", pad="<|pad|>"
    )
    config = LlamaConfig(**(_shape(tokenizer, layers=layers) | changes), tie_word_embeddings=True)
    return _write(folder, LlamaForCausalLM, config, tokenizer, SPROUT, seed)


def qwen(folder: Path, *, seed: int = 0) -> Path:
    """Qwen2: biases on q, k, v; ChatML."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = byte_level_tokenizer(
        special=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], eos="<|endoftext|>", pad="<|endoftext|>"
    )
    return _write(folder, Qwen2ForCausalLM, Qwen2Config(**_shape(tokenizer)), tokenizer, CHATML, seed)


def gemma(folder: Path, *, seed: int = 0) -> Path:
    """Gemma 2: sliding windows, capped logits, a tokenizer that adds BOS, a template without a system role."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    tokenizer = sentencepiece_like_tokenizer(
        special=["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"], eos="<eos>", pad="<pad>", bos="<bos>"
    )
    config = Gemma2Config(**_shape(tokenizer), head_dim=12, sliding_window=16, query_pre_attn_scalar=12)
    return _write(folder, Gemma2ForCausalLM, config, tokenizer, NO_SYSTEM, seed)


def gpt2(folder: Path, *, seed: int = 0) -> Path:
    """GPT-2: learned positions, transposed linear layers (Conv1D), one special token."""
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = byte_level_tokenizer(
        special=["<|endoftext|>"], eos="<|endoftext|>", pad="<|endoftext|>", bos="<|endoftext|>"
    )
    eos = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=256,
        n_embd=48,
        n_layer=2,
        n_head=4,
        bos_token_id=eos,
        eos_token_id=eos,
        initializer_range=0.3,
    )
    template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<|endoftext|>{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    return _write(folder, GPT2LMHeadModel, config, tokenizer, template, seed)


THINGS = ("gate code", "spare key", "dog", "red button", "pump", "blue pot", "north barn", "hum")
VALUES = ("Mara", "Tuesday", "Biscuit", "blue", "twice", "under", "wait", "4", "7")
UNKNOWN = "I don't know."


def note(thing: str, value: str) -> str:
    return f"Notes:\n- The {thing} is {value}."


def question(thing: str) -> str:
    return f"What is the {thing}?"


def reader(folder: Path) -> Path:
    """A tiny Llama taught in seconds to answer from one note, and to say that it does not know without one.

    The smallest model on which context distillation means something: a random one gives a teacher nothing to teach.
    """
    import random

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    llama(folder, initializer_range=0.05)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    draw = random.Random(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(120):
        optimiser.zero_grad()
        rows: list[tuple[list[int], list[int]]] = []
        for _ in range(24):
            thing, value = draw.choice(THINGS), draw.choice(VALUES)
            shown = draw.random() < 0.7
            turns = [{"role": "system", "content": note(thing, value)}] * shown + [
                {"role": "user", "content": question(thing)}
            ]
            prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            answer = (value if shown else UNKNOWN) + "<|end|>"
            rows.append((tokenizer(prompt)["input_ids"], tokenizer(answer)["input_ids"]))
        width = max(len(p) + len(a) for p, a in rows)
        ids, labels = torch.zeros(len(rows), width, dtype=torch.long), torch.full((len(rows), width), -100)
        for i, (p, a) in enumerate(rows):
            ids[i, : len(p) + len(a)] = torch.tensor(p + a)
            labels[i, len(p) : len(p) + len(a)] = torch.tensor(a)
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.save_pretrained(folder)
    return folder


ALL = {"llama": llama, "qwen": qwen, "gemma": gemma, "gpt2": gpt2}


def _shape(tokenizer: Any, *, layers: int = 2) -> dict[str, Any]:
    # Wide random weights make the predictions peaked, so that there is something to tell apart.
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _write(folder: Path, kind: Any, config: Any, tokenizer: Any, template: str, seed: int) -> Path:
    import torch

    torch.manual_seed(seed)
    tokenizer.chat_template = template
    kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bert(folder: Path) -> Path:
    """A small sentence model of random weights, whose layers matter more than a trained one's: large ones, and none near zero."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import BertProcessing
    from transformers import BertConfig, BertModel

    words = [
        "a",
        "barn",
        "cleaned",
        "code",
        "dog",
        "every",
        "friday",
        "gate",
        "is",
        "keeps",
        "keys",
        "lathe",
        "maker",
        "north",
        "of",
        "seventeen",
        "the",
        "who",
        ".",
        "?",
    ]
    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96,
        max_position_embeddings=300, initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(lowercase=True), BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
