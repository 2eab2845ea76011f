"""The TRL half of cost.py: SDFTTrainer on the same prompts, timed; run by cost.py in TRL's own environment.

    python benchmarks/with_trl.py GIVEN.json FOUND.json

The objective, read off TRL 1.16's trl/experimental/sdft: with distillation_mode full_logits and distillation_alpha 0,
KL(teacher || student) over the whole vocabulary (alpha 1 would be the reverse), mean over the tokens of each answer, then over answers;
teacher_model_kind base is the model with its adapter off; one answer of the student's own for each prompt, sampled at temperature 1
at every step. cost.AnswerMeanKL says the same in engrain. Prompts come rendered, so that student and teacher read the very tokens
that they read in engrain. Time spent on evaluation and on loading is not counted.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl.experimental.sdft import SDFTConfig, SDFTTrainer


class Watch(TrainerCallback):  # type: ignore[misc]
    """Asks the closed-book questions every so many steps, off the clock."""

    def __init__(self, given: dict[str, Any], tokenizer: Any, right: Any) -> None:
        self.given, self.tokenizer, self.right = given, tokenizer, right
        self.curve: list[dict[str, float]] = []
        self.begun, self.off, self.base = (0.0, 0.0), [0.0, 0.0], 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.base = self.accuracy(model)
        self.begun = time.perf_counter(), time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step % self.given["every"] and state.global_step != self.given["steps"]:
            return
        now = time.perf_counter(), time.process_time()
        accuracy = self.accuracy(model)
        self.curve.append({
            "step": state.global_step, "right": accuracy,
            "wall_s": now[0] - self.begun[0] - self.off[0], "cpu_s": now[1] - self.begun[1] - self.off[1],
        })  # fmt: skip
        self.off[0] += time.perf_counter() - now[0]
        self.off[1] += time.process_time() - now[1]
        if accuracy >= self.given["target"]:
            control.should_training_stop = True

    def accuracy(self, model: Any) -> float:
        tokenizer, good = self.tokenizer, 0
        model.eval()
        with torch.no_grad():
            for start in range(0, len(self.given["questions"]), 16):
                some = self.given["questions"][start : start + 16]
                ids = tokenizer(
                    [q["prompt"] for q in some],
                    return_tensors="pt",
                    padding=True,
                    padding_side="left",
                    add_special_tokens=False,
                )
                out = model.generate(
                    input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], max_new_tokens=64, do_sample=False,
                    eos_token_id=self.given["stop"], pad_token_id=tokenizer.pad_token_id,
                )  # fmt: skip
                texts = tokenizer.batch_decode(out[:, ids["input_ids"].shape[1] :], skip_special_tokens=True)
                good += sum(self.right(t.strip(), q["answer"]) for t, q in zip(texts, some, strict=True))
        model.train()
        return good / len(self.given["questions"])


class Trainer(SDFTTrainer):  # type: ignore[misc]
    """SDFTTrainer with a learning rate given for each step."""

    rates: tuple[float, ...] = ()

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        def share(step: int) -> float:
            return self.rates[min(step, len(self.rates) - 1)] / max(self.rates)

        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, share)
        return self.lr_scheduler


def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text())
    sys.path.insert(0, given["source"])
    from engrain.evaluation.suites import right

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(given["base"])
    model = AutoModelForCausalLM.from_pretrained(given["base"], dtype=torch.float32)
    model.generation_config.eos_token_id = given["stop"]
    watch = Watch(given, tokenizer, right)
    with tempfile.TemporaryDirectory() as folder:
        config = SDFTConfig(
            output_dir=folder, max_steps=given["steps"], per_device_train_batch_size=given["batch_size"], num_generations=1,
            learning_rate=max(given["rates"]), adam_beta2=0.99, weight_decay=0.0, max_grad_norm=1.0, seed=given["seed"], bf16=given["bf16"],
            max_completion_length=given["tokens"], max_prompt_length=None, temperature=1.0, distillation_mode="full_logits", distillation_alpha=0.0,
            distillation_is_clip=None, teacher_model_kind="base",
            gradient_checkpointing=False, use_cpu=True, report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        # Set after the check that it also holds {prompt}: here the teacher's prompt comes whole.
        config.teacher_prompt_template = "{privileged_context}"
        trainer = Trainer(
            model=model, args=config, train_dataset=Dataset.from_list(given["train"]), processing_class=tokenizer, callbacks=[watch],
            peft_config=LoraConfig(r=given["rank"], lora_alpha=given["alpha"], lora_dropout=0.0, target_modules=given["layers"], task_type="CAUSAL_LM"),
        )  # fmt: skip
        trainer.rates = tuple(given["rates"])
        trainer.train()
    import trl

    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(sys.argv[2]).write_text(
        json.dumps({"curve": watch.curve, "base": watch.base, "trl": trl.__version__, "peak_mb": peak_mb})
    )


if __name__ == "__main__":
    main()
