"""One request for a page: who asks, what for, and how the answer is put into a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response

from engrain.dashboard.charts import WORDS, percent, span, whole
from engrain.dashboard.desk import Desk
from engrain.dashboard.figures import Share
from engrain.dashboard.sessions import Session
from engrain.errors import NotFound
from engrain.records import Scope
from engrain.store.reading import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a page is made from."""

    desk: Desk
    session: Session
    root: str
    """Where the dashboard is mounted, without a slash at the end."""
    path: str
    asked: Mapping[str, str]
    """The query."""
    form: Mapping[str, str]
    """What a form sent; {} for a page that is only asked for."""
    quiet: bool = False
    """The page's own script looks whether anything has changed: what is new was said is kept for the reader."""

    @property
    def tenant(self) -> str:
        return self.session.tenant

    def given(self, name: str) -> str:
        """A field of the form, or else of the query; "" if there is none."""
        return self.form.get(name, self.asked.get(name, ""))

    def number(self, name: str) -> int | None:
        """The same as a whole number; None for anything else."""
        text = self.given(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None

    def person(self) -> Person:
        """The user that is named. NotFound for one that this tenant does not have."""
        name = self.given("user")
        found = self.desk.store.people(self.tenant, name)
        if not found:
            raise NotFound(f"no user {name!r}")
        return found[0]

    def scope(self) -> Scope:
        """Theirs."""
        return self.person().scope

    def link(self, page: str = "", **query: object) -> str:
        """The address of a page of the dashboard."""
        named = {k: str(v) for k, v in query.items() if v is not None}
        return f"{self.root}/{page}" + (f"?{urlencode(named, errors='replace')}" if named else "")

    def show(self, template: str, *, status: int = 200, **names: Any) -> Response:
        """The page; what is new was said with it."""
        news = list(self.session.news)
        if not self.quiet:
            self.session.news.clear()
        page = rendered(template, visit=self, root=self.root, news=news, status=status, **names)
        return HTMLResponse(page, status)

    def go(self, page: str, said: str, *, kind: str = "done", **query: object) -> Response:
        """On to another page, after something was done; what is said there of it."""
        self.session.news.append((kind, said))
        return RedirectResponse(self.link(page, **query), 303)


def rendered(template: str, **names: Any) -> str:
    """The text of a template; whatever is put into it is escaped. Unpaired surrogates become question marks."""
    return _TEMPLATES.get_template(template).render(**names).encode("utf-8", "replace").decode()


def when(at: float | None) -> Markup:
    """A time, UTC; a dash for none."""
    if not at:
        return Markup("–")
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError):
        return Markup("unknown date")
    form = "%-d %b, %H:%M" if moment.year == datetime.now(UTC).year else "%-d %b %Y"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        moment.isoformat(timespec="seconds"), moment.strftime("%Y-%m-%d %H:%M:%S"), moment.strftime(form)
    )


def rate(share: Share | None) -> Markup:
    """A share with its interval; a dash where nothing was measured."""
    if share is None or not share.n:
        return Markup("–")
    low, high = share.interval
    form = Markup('<span class="rate"><b>{}</b> <span class="quiet">{} of {}, {}</span></span>')
    return form.format(percent(share.rate), share.good, share.n, span(low, high))


def short(adapter: str) -> str:
    """A version's hash as people read it."""
    return adapter[:12] or "bare base"


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
_TEMPLATES.filters |= {"when": when, "rate": rate, "short": short, "percent": percent, "whole": whole}
_TEMPLATES.globals |= {"span": span, "words": WORDS}
