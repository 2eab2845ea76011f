"""The door: who may see the pages, what every answer carries, and which address is which page.

A page is a function of a `Visit`; whatever it raises becomes a page that says so. Each function runs in a thread of the pool.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engrain.dashboard import actions, pages, play
from engrain.dashboard.desk import Desk
from engrain.dashboard.sessions import LASTS_S, Session
from engrain.dashboard.visit import Visit, rendered
from engrain.errors import EngrainError, InputError, NotFound, ScopeError
from engrain.gateway.here import is_here

log = logging.getLogger(__name__)

Handler = Callable[[Visit], Response]
COOKIE = "engrain_session"
MOST_BYTES = 64 * 1024
"""Of a form."""
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""On everything. `same-origin` and not `no-referrer`: with that, a browser hides the origin of our own forms, too."""


class Refused(Exception):
    """Not this visitor, or not this way: an HTTP status and what to say."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


def create(desk: Desk) -> Starlette:
    """The ASGI application of one home, to be mounted."""

    def route(path: str, handler: Handler, method: str = "GET") -> Route:
        return Route(path, partial(_page, desk, handler), methods=[method])

    return Starlette(
        routes=[
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
            Route("/login", partial(_log_in, desk), methods=["GET", "POST"]),
            *(route(path, handler) for path, handler in pages.ROUTES.items()),
            *(route(path, handler, "POST") for path, handler in actions.ROUTES.items()),
            route("/play", play.shown),
            route("/play/answers", play.asked, "POST"),
            route("/logout", partial(_log_out, desk), "POST"),
        ],
        middleware=[Middleware(Guarded)],
        exception_handlers={404: _nowhere, 405: _nowhere},
    )


class Guarded:
    """Puts HEADERS on every answer; a page is kept by no cache."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-cache" if "etag" in headers else "no-store")
            await send(message)

        await self._app(scope, receive, guarded)


async def _page(desk: Desk, handler: Handler, request: Request) -> Response:
    try:
        form = await _form(request)
    except Refused as refused:
        return _refusal(request, refused.status, str(refused))
    return await run_in_threadpool(_answer, desk, handler, request, form)


def _answer(desk: Desk, handler: Handler, request: Request, form: Mapping[str, str]) -> Response:
    visit: Visit | None = None
    try:
        session = _visitor(desk, request)
        if session is None:
            return RedirectResponse(f"{_root(request)}/login", 303)
        visit = Visit(
            desk=desk, session=session, root=_root(request), path=request.url.path, asked=dict(request.query_params), form=form,
            quiet="x-engrain-live" in request.headers,
        )  # fmt: skip
        if request.method == "POST":
            _from_here(request)
            if not hmac.compare_digest(form.get("token", "").encode(), session.token.encode()):
                raise Refused(
                    403, "This form is not of your session any more; go back, load the page again and repeat."
                )
        response = handler(visit)
        if not session.key and request.cookies.get(COOKIE) != session.id:  # a home without keys: nobody logs in
            _remember(response, request, session)
        return response
    except Refused as refused:
        return _refusal(request, refused.status, str(refused), visit)
    except (NotFound, ScopeError):  # the same page whether it is somebody else's or nobody's
        return _refusal(request, 404, "There is nothing here under that name.", visit)
    except InputError as error:
        return _refusal(request, 400, str(error), visit)
    except EngrainError as error:
        log.exception("a page of the dashboard failed")
        return _refusal(request, 503, str(error), visit)
    except Exception:
        log.exception("a page of the dashboard failed")
        return _refusal(request, 500, "This page could not be made; the service's log says why.", visit)


def _visitor(desk: Desk, request: Request) -> Session | None:
    """Whose session this is; None for nobody's. A home that never had a key is open to this machine alone."""
    session = desk.sessions.find(request.cookies.get(COOKIE, ""))
    keys = desk.store.api_keys()
    if not keys:
        host = request.headers.get("host", "")
        if not is_here(host):
            raise Refused(403, f"{host} is not this machine; make a key first: engrain keys new --allow admin")
        return session if session is not None and not session.key else desk.sessions.open(None, desk.tenant)
    if session is None:
        return None
    key = next((k for k in keys if k.id == session.key), None)
    if key is not None and key.revoked_at is None and "admin" in key.rights:
        return session
    desk.sessions.close(session)
    return None


async def _log_in(desk: Desk, request: Request) -> Response:
    """The form, and what it sends: a key that allows `admin` opens a session."""
    try:
        form = await _form(request)
        if request.method == "POST":
            _from_here(request)
            return await run_in_threadpool(_open, desk, request, form.get("key", "").strip())
        if await run_in_threadpool(_visitor, desk, request) is not None:
            return RedirectResponse(f"{_root(request)}/", 303)
    except Refused as refused:
        return _login_page(request, str(refused), refused.status)
    return _login_page(request)


def _open(desk: Desk, request: Request, secret: str) -> Response:
    key = desk.store.key_of(secret)
    if key is None or "admin" not in key.rights:  # which of the two is not said
        return _login_page(
            request, "This key does not open the dashboard: it is wrong, revoked, or does not allow admin.", 401
        )
    if old := desk.sessions.find(request.cookies.get(COOKIE, "")):
        desk.sessions.close(old)
    response = RedirectResponse(f"{_root(request)}/", 303)
    _remember(response, request, desk.sessions.open(key, key.tenant))
    return response


def _log_out(desk: Desk, visit: Visit) -> Response:
    desk.sessions.close(visit.session)
    response = RedirectResponse(f"{visit.root}/login", 303)
    response.delete_cookie(COOKIE, path=visit.root or "/", httponly=True, samesite="strict")
    return response


def _remember(response: Response, request: Request, session: Session) -> None:
    response.set_cookie(
        COOKIE, session.id, max_age=int(LASTS_S), path=_root(request) or "/", secure=request.url.scheme == "https", httponly=True,
        samesite="strict",
    )  # fmt: skip


def _from_here(request: Request) -> None:
    """Refused if a browser says that another site sent this form."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    # Browsers tell the site to trustworthy addresses only; by plain HTTP from elsewhere the origin must do.
    foreign = (
        site != "same-origin" if site else origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    )
    if foreign:
        raise Refused(403, "This form was sent from another site; nothing was done.")


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; {} for a page that is only asked for. Refused if it is no form, or too large."""
    if request.method != "POST":
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Refused(415, "A form is expected here.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise Refused(413, f"That is more than {MOST_BYTES // 1024} KiB.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=32))
    except ValueError as error:
        raise Refused(400, "The form cannot be read.") from error


def _root(request: Request) -> str:
    """Where the dashboard is mounted: `/dashboard`."""
    return str(request.scope.get("root_path", ""))


def _refusal(request: Request, status: int, said: str, visit: Visit | None = None) -> Response:
    if visit is not None:
        return visit.show("error.html", status=status, said=said)
    return HTMLResponse(rendered("error.html", root=_root(request), visit=None, status=status, said=said), status)


def _login_page(request: Request, said: str = "", status: int = 200) -> Response:
    return HTMLResponse(rendered("login.html", root=_root(request), visit=None, said=said), status)


async def _nowhere(request: Request, error: Exception) -> Response:
    return _refusal(request, getattr(error, "status_code", 404), "There is nothing here under that name.")
