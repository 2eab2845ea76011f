"""Pictures of what was measured. matplotlib comes with `pip install "engrain[plots]"` and is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engrain.errors import InputError

INSTALL = 'no picture: matplotlib is missing; get it with: pip install "engrain[plots]"'
_INK, _SOFT, _GRID = "#1f2933", "#61707f", "#e3e8ed"
_TOLD, _NOTES, _REST = "#2f6f9f", "#c98a2b", "#a9b7c4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row of the picture: a rate with its interval, and what it cost."""

    name: str
    rate: float
    low: float
    high: float
    """95 % interval of `rate`; all three in 0 … 1."""
    tokens: float
    """Mean tokens of one answer: query, notes and answer."""
    notes: float
    """Mean tokens of notes shown for one answer."""
    seconds: float
    """For all answers."""


def bars(rows: Sequence[Bar], out: Path, *, title: str, subtitle: str = "") -> None:
    """Save horizontal bars of rates with intervals and, beside them, the tokens that each answer took (of them notes) and the
    seconds that all answers took.

    The format follows from `out` (png, svg, pdf). InputError, with the remedy, if matplotlib is missing or `out` cannot be
    written.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise InputError(INSTALL) from None
    height = 1.5 + 0.52 * len(rows)
    figure, axes = pyplot.subplots(1, 3, figsize=(11.2, height), sharey=True, width_ratios=(6, 4, 2), dpi=150)
    places = range(len(rows))
    left, middle, right = axes
    left.barh(places, [100 * r.rate for r in rows], height=0.56, color=_TOLD)
    spread = ([100 * (r.rate - r.low) for r in rows], [100 * (r.high - r.rate) for r in rows])
    left.errorbar([100 * r.rate for r in rows], places, xerr=spread, fmt="none", ecolor=_INK, elinewidth=1.1, capsize=3)
    for place, row in zip(places, rows, strict=True):
        left.text(103, place, f"{row.rate:.0%}", va="center", ha="left", color=_INK, fontsize=9.5)
    left.set_xlim(0, 100)
    left.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
    left.set_yticks(places, [r.name for r in rows])
    left.invert_yaxis()
    left.set_title("right answers (95 % interval)", **_heading())
    middle.barh(places, [r.tokens for r in rows], height=0.56, color=_REST)
    middle.barh(places, [r.notes for r in rows], height=0.56, color=_NOTES)
    widest = max((r.tokens for r in rows), default=0.0) or 1.0
    for place, row in zip(places, rows, strict=True):
        said = f"{row.tokens:.0f}, {row.notes:.0f} of notes"
        middle.text(row.tokens + 0.02 * widest, place, said, va="center", color=_INK, fontsize=9.5)
    middle.set_xlim(0, 1.6 * widest)
    middle.set_xticks([])
    middle.set_title("tokens per answer", **_heading())
    right.barh(places, [r.seconds for r in rows], height=0.56, color=_REST)
    longest = max((r.seconds for r in rows), default=0.0) or 1.0
    for place, row in zip(places, rows, strict=True):
        right.text(row.seconds + 0.03 * longest, place, f"{row.seconds:.1f} s", va="center", color=_INK, fontsize=9.5)
    right.set_xlim(0, 1.5 * longest)
    right.set_xticks([])
    right.set_title("seconds for all", **_heading())
    for axis in axes:
        axis.set_axisbelow(True)
        axis.grid(axis="x", color=_GRID, linewidth=0.8)
        axis.tick_params(length=0, colors=_SOFT, labelsize=9)
        axis.tick_params(axis="y", labelcolor=_INK, labelsize=10)
        for spine in axis.spines.values():
            spine.set_visible(False)
    for axis in (middle, right):
        axis.tick_params(axis="y", labelleft=False)
    top = 1 - 0.62 / height
    figure.text(0.012, 1 - 0.1 / height, title, fontsize=13, fontweight="bold", color=_INK, va="top")
    figure.text(0.012, 1 - 0.4 / height, subtitle, fontsize=9.5, color=_SOFT, va="top")
    figure.tight_layout(rect=(0, 0, 1, top), w_pad=3.5)
    try:
        figure.savefig(out)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the picture cannot be written to {out} ({error}); give another --out, such as demo.png"
        ) from error
    finally:
        pyplot.close(figure)


def _heading() -> dict[str, Any]:
    return {"loc": "left", "fontsize": 10, "color": _SOFT, "pad": 8}
