"""What the benchmarks share: options, consolidation settings, measuring, tables, and results as JSON and a picture."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from engrain.adapters.versions import in_weights
from engrain.evaluation import run_suite
from engrain.evaluation.probes import probe_group, probes
from engrain.evaluation.statistics import wilson
from engrain.evaluation.suites import group_of, right
from engrain.gateway.answer import Serving, look_up
from engrain.learner import SPROUT, Learner
from engrain.learning.loop import Plan
from engrain.learning.methods import method_named
from engrain.loops.consolidate import Consolidation, plan_fields
from engrain.memory import held
from engrain.records import Batch, Evidence, Example, ItemResult, Memory
from profiles import Profile, trained_queries

os.environ.setdefault("ENGRAIN_EMBEDDER", "hashed")  # whatever is installed; what measures recall names its own
RESULTS = Path(__file__).parent / "results"


# -- options -------------------------------------------------------------------------------------------------------------


def options(doc: str | None, *, seeds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has; the docstring of the file is its help."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke size: it shows that everything runs, its figures mean little"
    )
    parser.add_argument(
        "--seeds", type=int, default=None, help=f"how many made-up users (default {seeds}; 1 with --quick)"
    )
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them (default 0)")
    parser.add_argument(
        "--base", type=Path, default=SPROUT, help="folder of the base model (default: the shipped sprout)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON and the picture")
    parser.add_argument(
        "--steps", type=int, default=None, help=argparse.SUPPRESS
    )  # of every training run; for smoke tests
    parser.set_defaults(default_seeds=seeds)
    return parser


def seeds(args: argparse.Namespace) -> range:
    count = args.seeds if args.seeds is not None else 1 if args.quick else args.default_seeds
    if count < 1:
        raise SystemExit(f"--seeds {count}: give at least 1")
    return range(args.first, args.first + count)


def settings(args: argparse.Namespace, **changes: Any) -> Consolidation:
    """engrain's own defaults, which is what a benchmark of engrain measures. --steps is for smoke tests on an unfinished base,
    which learns nothing: there training goes on even though the notes do not help its teacher."""
    if args.quick:
        changes = {"least_steps": 60, "gate_items": 150} | changes
    made = Consolidation(**changes)
    if args.steps is None:
        return made
    return replace(made, least_steps=args.steps, most_steps=args.steps, least_advantage=-1.0)


def plan(settings: Consolidation, seed: int, **changes: Any) -> Plan:
    """How `consolidate` would train with these settings, but for the changes."""
    method = method_named(settings.method, **settings.method_options)
    return Plan(**{"method": method, **plan_fields(settings), "seed": seed, **changes})


@contextmanager
def learner(args: argparse.Namespace, home: Path | None = None, **options: Any) -> Iterator[Learner]:
    """A Learner on the chosen base, in a folder of its own that goes away where none is given."""
    options.setdefault("consolidation", settings(args))
    if home is not None:
        with Learner(home, base=args.base, **options) as me:
            yield me
        return
    with (
        tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder,
        Learner(folder, base=args.base, **options) as me,
    ):
        yield me


# -- measuring -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Meter:
    """Wall and CPU seconds between `with` and its end. CPU seconds are the fairer ones on a machine that is shared."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    _start: tuple[float, float] = (0.0, 0.0)

    def __enter__(self) -> Meter:
        self._start = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s += time.perf_counter() - self._start[0]
        self.cpu_s += time.process_time() - self._start[1]


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def closed_book(me: Learner, items: Sequence[Example], version: str, *, form: bool = False) -> Evidence:
    """The answers from the query alone."""
    return run_suite(me.engine, items, version, me.scope, "bench", group=lambda e: "style" if form else group_of(e))


def in_context(me: Learner, items: Sequence[Example], version: str = "") -> Evidence:
    """The answers where the right note is shown among others (Example.context): what its teacher would say."""
    return run_suite(me.engine, items, version, me.scope, "bench", with_context=True)


def learned(me: Learner, version: str) -> frozenset[str]:
    """Ids of the memories that this version has proved to know: every held-out question right."""
    return in_weights(me.store, me.scope, me.store.get(version, scope=me.scope)) if version else frozenset()


def served(
    me: Learner,
    items: Sequence[Example],
    version: str,
    *,
    serving: Serving | None = None,
    call: str = "",
) -> tuple[list[ItemResult], float]:
    """(results, mean context tokens): answers as `Learner.chat` gives them, but recorded nowhere, so that no question of
    this benchmark can become a training query. `call` is taken off the end of answers that follow that style.
    """
    memories = held(list(me.store.select(Memory, scope=me.scope)))
    shown: list[Example] = []
    tokens: list[int] = []
    for item in items:
        context = look_up(
            me.store, me.engine, me.embedder, item.query, memories, scope=me.scope, serving=serving or me.serving, version=version
        )  # fmt: skip
        shown.append(replace(item, context=context.text))
        tokens.append(context.tokens)
    results = without_style(in_context(me, shown, version), call)
    return results, statistics.fmean(tokens)


def without_style(evidence: Evidence, call: str) -> list[ItemResult]:
    """The results, right or wrong by what is said; the form that "Call me Captain." asks for is another question."""
    if not call:
        return list(evidence.results)
    return [replace(r, right=right(r.answer.removesuffix(f", {call}"), r.expected)) for r in evidence.results]


def abilities(me: Learner, version: str, *, quick: bool = False) -> dict[str, Count]:
    """Right and asked on the unrelated items that no training and no choice of scale ever used, by group."""
    groups = ("reading", "unknown", "style")
    items = probes("gate", 40 if quick else None)
    evidence = run_suite(me.engine, items, version, me.scope, "bench", group=lambda e: probe_group(e) or "")
    return {g: count([r for r in evidence.results if r.group == g]) for g in groups}


def batches(me: Learner) -> list[Batch]:
    """Every batch that was trained on, oldest first."""
    return list(me.store.select(Batch, scope=me.scope))


def trained(me: Learner) -> list[str]:
    """Every question that anything was trained on."""
    return trained_queries(*batches(me))


def tell_all(me: Learner, user: Profile, *, style: bool = False) -> None:
    for item in user.items:
        me.tell(item.note)
    if style:
        me.tell(user.style_note)
    if len(me.memories()) != len(user.items) + style:
        raise SystemExit(
            f"{len(user.items) + style} notes were told but {len(me.memories())} are active; the made-up notes contradict one another"
        )


def rate(results: Sequence[ItemResult]) -> float:
    """Share of right answers, 0 to 1."""
    return sum(r.right for r in results) / max(1, len(results))


# -- results -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Bars:
    """What had to be reached, and whether it was."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, value: float, ok: bool, wanted: str) -> None:
        self.lines.append({"bar": name, "value": value, "wanted": wanted, "passed": bool(ok)})

    def show(self) -> None:
        table(
            ("bar", "wanted", "measured", ""),
            [(b["bar"], b["wanted"], f"{b['value']:.3f}", "pass" if b["passed"] else "FAIL") for b in self.lines],
        )


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation over seeds (None for one seed), least, most, and the values themselves."""
    values = list(values)
    return {
        "mean": statistics.fmean(values), "sd": statistics.stdev(values) if len(values) > 1 else None,
        "min": min(values), "max": max(values), "values": values,
    }  # fmt: skip


def percent(values: Sequence[float]) -> str:
    """`97.3 ± 1.2` in percent; the second figure is the standard deviation over seeds."""
    s = spread(values)
    return f"{100 * s['mean']:.1f}" + ("" if s["sd"] is None else f" ± {100 * s['sd']:.1f}")


Count = tuple[int, int]
"""(right, asked)"""


def count(results: Sequence[ItemResult]) -> Count:
    return sum(r.right for r in results), len(results)


def measured(counts: Sequence[Count]) -> dict[str, Any]:
    """A share over seeds: its spread, the counts, and the 95 % interval of all questions together (Wilson)."""
    right, asked = (sum(c[i] for c in counts) for i in (0, 1))
    shares = [r / max(1, n) for r, n in counts]
    return spread(shares) | {"right": right, "asked": asked, "interval": wilson(right, asked)}


def share(counts: Sequence[Count]) -> str:
    """`97.3 ± 1.2 (95 to 99)` in percent: mean and standard deviation over seeds, 95 % interval of all questions together."""
    figures = measured(counts)
    low, high = figures["interval"]
    return f"{percent(figures['values'])} ({100 * low:.0f} to {100 * high:.0f})"


def number(values: Sequence[float], digits: int = 1) -> str:
    s = spread(values)
    return f"{s['mean']:.{digits}f}" + ("" if s["sd"] is None else f" ± {s['sd']:.{digits}f}")


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, markdown: bool = False) -> None:
    """Print rows under headers, the first column left, the others right."""
    text = [[str(c) for c in row] for row in (headers, *rows)]
    widths = [max(len(row[i]) for row in text) for i in range(len(headers))]
    for n, row in enumerate(text):
        cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        print(f"| {' | '.join(cells)} |" if markdown else "  ".join(cells).rstrip())
        if n == 0:
            print(
                "|" + "|".join(f"{'-' * (w + 1)}{':' if i else '-'}" for i, w in enumerate(widths)) + "|"
                if markdown
                else "  ".join("-" * w for w in widths)
            )
    print(flush=True)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        name = next(
            (line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")),
            name,
        )
    return {
        "cpu": name, "cores": os.cpu_count(), "threads_used": torch.get_num_threads(), "system": platform.platform(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "python": platform.python_version(), "torch": torch.__version__,
    }  # fmt: skip


def commit() -> str:
    """The git commit, `+` behind it where files differ from it."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


class Run:
    """One run of a benchmark: begun, then saved with everything that is needed to believe it."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.name, self.args = name, args
        self.begun, self.load, self.commit = time.time(), os.getloadavg(), commit()
        self.meter = Meter()
        self.meter.__enter__()
        torch.set_num_threads(1)
        if not (args.base / "config.json").exists():
            raise SystemExit(f"--base {args.base} holds no model; give the folder of one")

    def say(self, text: str) -> None:
        print(f"[{time.time() - self.begun:6.0f} s] {text}", flush=True)

    def save(self, results: dict[str, Any], bars: Bars | None = None) -> Path:
        """Write results/NAME.json; returns the path without its suffix, for the picture."""
        self.meter.__exit__()
        self.meter.__enter__()
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.args.out.mkdir(parents=True, exist_ok=True)
        path: Path = self.args.out / (self.name + ("-quick" if self.args.quick else ""))
        document = {
            "benchmark": self.name, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.begun)), "commit": self.commit,
            "machine": machine(), "load_average": {"begin": self.load, "end": os.getloadavg()},
            "wall_s": round(self.meter.wall_s, 1), "cpu_s": round(self.meter.cpu_s + children.ru_utime + children.ru_stime, 1),
            "settings": {k: str(v) if isinstance(v, Path) else v for k, v in vars(self.args).items()},
            "bars": bars.lines if bars else [], "results": results,
        }  # fmt: skip
        path.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {path.with_suffix('.json')}")
        return path


@contextmanager
def picture(path: Path, *, width: float = 7.0, height: float = 4.2, columns: int = 1) -> Iterator[Any]:
    """Axes to draw on; saved as PATH.png at the end."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained")
    for axis in axes if columns > 1 else [axes]:
        axis.spines[["top", "right"]].set_visible(False)
    yield axes
    figure.savefig(path.with_suffix(".png"), dpi=130)
    plt.close(figure)
    print(f"wrote {path.with_suffix('.png')}")
