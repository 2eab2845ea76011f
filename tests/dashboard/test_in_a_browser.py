"""The pages in a real browser: they are laid out and coloured, break no rule of their own policy, and follow what goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from engrain.dashboard import Desk, app, create, pages
from engrain.dashboard.desk import Checked
from engrain.dashboard.visit import Visit
from engrain.records import Scope
from engrain.store import SqlStore

sys.path.insert(0, str(Path(__file__).parent))
import homes  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))
from over_http import serving  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed: apt-get install chromium")
ADA = Scope(user="ada")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path / "home")) as made:
        homes.full(made, ADA)
        yield made


SENDS = """<!doctype html><meta name="referrer" content="same-origin"><iframe name="out"></iframe>
<form method="post" action="{to}/dashboard/verify" target="out"><input name="token"></form><script>
fetch("/dashboard/ledger").then(a => a.text()).then(text => {{
  document.forms[0].token.value = /name="token" value="([^"]+)"/.exec(text)[1];
  document.forms[0].submit();
}});
</script>"""


async def tried(request: Request) -> Response:
    """A page that takes a token from the dashboard of its own address and sends a form to that of another, as a reader's click does."""
    return HTMLResponse(SENDS.format(to=request.query_params["to"]))


@contextmanager
def dashboard(store: SqlStore) -> Iterator[str]:
    engine: Any = homes.IdleEngine()
    both = Starlette(
        routes=[Route("/try", tried), Mount("/dashboard", create(Desk(store=store, engine=engine, home=store.home)))]
    )
    with serving(both) as at:
        yield f"{at}/dashboard/"


@pytest.fixture
def served(store: SqlStore) -> Iterator[str]:
    with dashboard(store) as at:
        yield at


def browse(profile: Path, *options: str) -> tuple[str, list[str]]:
    """(what the browser printed, what its console said)."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost", "--hide-scrollbars", "--enable-logging=stderr",
        f"--user-data-dir={profile}", *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


@pytest.mark.parametrize(("scheme", "page", "width"), [(1, "", 1280), (0, "versions?user=ada", 520)])
def test_a_page_is_drawn_in_light_and_dark_and_breaks_no_rule_of_its_policy(
    served: str, tmp_path: Path, scheme: int, page: str, width: int
) -> None:
    picture = tmp_path / "page.png"
    wanted = f"--blink-settings=preferredColorScheme={scheme}"
    _, console = browse(
        tmp_path / "profile", wanted, f"--window-size={width},900", f"--screenshot={picture}", f"{served}{page}"
    )
    assert console == []
    with Image.open(picture) as image:
        assert image.size == (width, 900)
        colours = image.convert("RGB").getcolors(1 << 24)
    assert colours is not None and len(colours) > 50
    paper = max(colours)[1]
    assert sum(paper) > 600 if scheme else sum(paper) < 150


def test_the_jobs_page_follows_what_goes_on(store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add_job(ADA, "9 memories have become durable")
    job = store.claim_job("worker", lease_s=60)
    assert job is not None
    store.beat_job(job.id, "worker", "studying", 0.25)
    shown = pages.ROUTES["/jobs"]

    def jobs(visit: Visit) -> Response:
        if visit.quiet:  # the page's script asks: by now it has gone on
            store.beat_job(job.id, "worker", "training", 0.75)
        return shown(visit)

    monkeypatch.setitem(pages.ROUTES, "/jobs", jobs)
    with dashboard(store) as at:
        page, console = browse(tmp_path / "profile", "--dump-dom", "--virtual-time-budget=9000", f"{at}jobs")
    assert console == []
    assert "training" in page and 'value="0.75"' in page and "studying" not in page


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_browser_sends_the_forms_of_the_dashboard_and_those_of_another_site_are_refused(
    store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    seen: list[str] = []
    judge = app._from_here

    def judged(request: Request) -> None:
        seen.append("sent")
        judge(request)
        seen.append("let in")

    def verify(_: Desk) -> Checked:
        seen.append("done")
        return Checked(at=0.0)

    monkeypatch.setattr(app, "_from_here", judged)
    monkeypatch.setattr(Desk, "verify", verify)
    with dashboard(store) as at:
        here = at.removesuffix("/dashboard/")
        there = here.replace("127.0.0.1", host)
        browse(tmp_path / "profile", "--dump-dom", "--virtual-time-budget=5000", f"{there}/try?to={here}")
    assert seen == (["sent", "let in", "done"] if there == here else ["sent"])
