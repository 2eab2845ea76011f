"""Charts as SVG in the page: no script, no library, colours from the stylesheet, and a title and description for those who cannot see them.

Sizes are in units of the view box; the page gives a chart room to scroll where the screen is narrower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from engrain.adapters import Version
from engrain.dashboard.figures import Point, Share

HALF, FULL, HEIGHT = 480, 980, 220
"""Widths of a chart beside another, and of one that has the page; text is the same size in both."""
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a before-and-after chart."""

    label: str
    href: str
    before: Share
    after: Share
    decision: str


WORDS = {"promote": "promoted", "reject": "rejected", "hold": "held", "": "no verdict"}
"""How a decision is called in a sentence."""


def percent(value: float) -> str:
    """A share as people write it: 0 %, 4 %, 62 %."""
    return f"{100 * value:.0f}\u202f%"


def span(low: float, high: float) -> str:
    """An interval of shares: 55–81 %."""
    return f"{100 * low:.0f}–{percent(high)}"


def whole(value: float) -> str:
    """A count or an average as people write it."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%-d %b")


def trend(
    points: Sequence[Point],
    *,
    title: str,
    form: Callable[[float], str],
    top: float | None = None,
    name: str,
    width: int = HALF,
) -> Markup:
    """A curve over time with the 95 % interval of each step; `name` tells its parts from those of the page's other charts."""
    if not points:
        return Markup("")
    high = top if top is not None else _nice(max(p.high for p in points))
    first, last = points[0].at, points[-1].at
    span = max(last - first, 1.0)
    wide, tall = width - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(at: float) -> float:
        return LEFT + wide * ((at - first) / span if len(points) > 1 else 0.5)

    def y(value: float) -> float:
        return TOP + tall * (1 - min(1.0, max(0.0, value / high)))

    said = f"{form(points[0].value)} on {date(first)}, {form(points[-1].value)} on {date(last)}; " + "; ".join(
        f"{date(p.at)}: {form(p.value)}, interval {form(p.low)} to {form(p.high)}, {p.n} answers" for p in points
    )
    out = [_open(width, HEIGHT, title, said, name)]
    for part in range(5):
        value = high * part / 4
        out.append(_line(LEFT, y(value), width - RIGHT, y(value), "grid"))
        out.append(_text(LEFT - 8, y(value) + 4, form(value), "tick end"))
    marks = [first + span * k / 4 for k in range(5)] if len(points) > 1 else [first]
    named = {date(at): at for at in marks}  # of marks on one day, the last
    for day, at in named.items():
        anchor = "middle" if len(points) == 1 else "end" if at == last else "start" if at == first else "middle"
        out.append(_text(x(at), HEIGHT - 8, day, f"tick {anchor}"))
    if len(points) > 1:
        band = [f"{x(p.at):.1f},{y(p.high):.1f}" for p in points]
        band += [f"{x(p.at):.1f},{y(p.low):.1f}" for p in reversed(points)]
        out.append(Markup('<polygon class="band" points="{}"/>').format(" ".join(band)))
        path = " ".join(f"{x(p.at):.1f},{y(p.value):.1f}" for p in points)
        out.append(Markup('<polyline class="curve" points="{}"/>').format(path))
    for p in points:
        if len(points) == 1:
            out.append(_line(x(p.at), y(p.low), x(p.at), y(p.high), "whisker"))
        label = f"{date(p.at)}: {form(p.value)} ({form(p.low)} to {form(p.high)}), {p.n} answers"
        out.append(_dot(x(p.at), y(p.value), 3.5, "dot", label))
    return Markup("").join([*out, Markup("</svg>")])


def before_after(rows: Sequence[Row], *, title: str, name: str) -> Markup:
    """For each update, the share that was right before (hollow) and after (filled), with 95 % intervals."""
    if not rows:
        return Markup("")
    left, each = 140, 34
    height = TOP + each * len(rows) + BOTTOM
    wide = HALF - left - RIGHT

    def x(value: float) -> float:
        return left + wide * value

    said = "; ".join(
        f"{r.label} ({r.decision}): {percent(r.before.rate)} before, {percent(r.after.rate)} after, of {r.after.n}" for r in rows
    )  # fmt: skip
    out = [_open(HALF, height, title, said, name)]
    for part in range(5):
        out.append(_line(x(part / 4), TOP, x(part / 4), height - BOTTOM, "grid"))
        out.append(_text(x(part / 4), height - 8, percent(part / 4), "tick " + ("end" if part == 4 else "middle")))
    for number, row in enumerate(rows):
        y = TOP + each * (number + 0.5)
        out.append(Markup('<a href="{}">').format(row.href))
        out.append(_text(left - 12, y + 4, row.label, "label end"))
        out.append(Markup("</a>"))
        kind = "good" if row.decision in ("promote", "on trial") else "poor"
        for share, offset, mark in ((row.before, -5, "hollow"), (row.after, 5, f"dot {kind}")):
            low, high = share.interval
            out.append(_line(x(low), y + offset, x(high), y + offset, f"whisker {mark}"))
            when = "before" if mark == "hollow" else "after"
            said = f"{row.label}, {when}: {share.good} of {share.n} right ({span(low, high)})"
            shape = _square if mark == "dot poor" else _dot  # told apart without colours, too
            out.append(shape(x(share.rate), y + offset, 4.5, mark, said))
    return Markup("").join([*out, Markup("</svg>")])


def lineage(versions: Sequence[Version], href: Callable[[Version], str], *, name: str) -> Markup:
    """The versions of a user, left to right; those that were let through above, the others below; each leads to its page."""
    step, lanes = 112, (52, 128)
    place = {v.adapter: (48 + step * v.number, lanes[_lane(v)]) for v in versions}
    width, height = 48 + step * (len(versions) - 1) + 64, 176
    said = "; ".join(
        f"version {v.number}{' (live)' if v.live else ''}: {WORDS.get(v.decision, v.decision) if v.number else 'the bare base'}"
        for v in versions
    )
    out = [_open(width, height, "Which version came from which", said, name, role="group", fixed=True)]
    for v in versions:
        if v.number and v.parent in place:
            (ax, ay), (bx, by) = place[v.parent], place[v.adapter]
            bend = (bx - ax) / 2
            path = f"M{ax + 20},{ay} C{ax + bend},{ay} {bx - bend},{by} {bx - 20},{by}"
            out.append(Markup('<path class="edge" d="{}"/>').format(path))
    for v in versions:
        x, y = place[v.adapter]
        kind = ("promote" if not v.number else v.decision or "none").replace(" ", "-")
        label = f"Version {v.number}, {'live, ' if v.live else ''}{WORDS.get(v.decision, v.decision) if v.number else 'the bare base'}"
        out.append(Markup('<a href="{}" aria-label="{}">').format(href(v), label))
        if v.live:
            out.append(Markup('<circle class="halo" cx="{}" cy="{}" r="25"/>').format(x, y))
        out.append(Markup('<circle class="node is-{}" cx="{}" cy="{}" r="20"/>').format(kind, x, y))
        out.append(_text(x, y + 5, str(v.number), f"number is-{kind}"))
        under = "live" if v.live else "base" if not v.number else WORDS.get(v.decision, v.decision)
        out.append(_text(x, y + 42, under, "tick middle"))
        out.append(Markup("</a>"))
    return Markup("").join([*out, Markup("</svg>")])


def _lane(version: Version) -> int:
    return 0 if not version.number or version.live or version.decision in ("promote", "rebuilt", "on trial") else 1


def _nice(value: float) -> float:
    """A round number that is at least the value."""
    if value <= 0:
        return 4.0
    scale = 10.0 ** math.floor(math.log10(value))
    return next(f * scale for f in (1, 2, 4, 5, 8, 10) if f * scale >= value * 0.999)


def _open(
    width: float, height: float, title: str, said: str, name: str, role: str = "img", *, fixed: bool = False
) -> Markup:
    size = Markup(' width="{}" height="{}"').format(width, height) if fixed else ""
    kind = "fixed" if fixed else "half" if width == HALF else "full"
    return Markup(
        '<svg class="chart {kind}" viewBox="0 0 {w} {h}"{size} role="{role}" aria-labelledby="{n}-title {n}-desc">'
        '<title id="{n}-title">{title}</title><desc id="{n}-desc">{said}</desc>'
    ).format(kind=kind, w=width, h=height, size=size, role=role, n=name, title=title, said=said)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    form = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return form.format(kind, x1, y1, x2, y2)


def _text(x: float, y: float, said: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, said)


def _square(x: float, y: float, r: float, kind: str, said: str) -> Markup:
    form = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{}" height="{}"><title>{}</title></rect>')
    return form.format(kind, x - r, y - r, 2 * r, 2 * r, said)


def _dot(x: float, y: float, r: float, kind: str, said: str) -> Markup:
    form = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>')
    return form.format(kind, x, y, r, said)
