"""The pages in a real browser: they are laid out and coloured, break no rule of their own policy, and follow what goes on."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount

from engrain.dashboard import Desk, create, pages
from engrain.dashboard.visit import Visit
from engrain.records import Scope
from engrain.store import SqlStore

sys.path.insert(0, str(Path(__file__).parent))
import homes  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed: apt-get install chromium")
ADA = Scope(user="ada")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path / "home")) as made:
        homes.full(made, ADA)
        yield made


@contextmanager
def serving(store: SqlStore) -> Iterator[str]:
    engine: Any = homes.IdleEngine()
    app = Starlette(routes=[Mount("/dashboard", create(Desk(store=store, engine=engine, home=store.home)))])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/dashboard/"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def served(store: SqlStore) -> Iterator[str]:
    with serving(store) as at:
        yield at


def browse(profile: Path, *options: str) -> tuple[str, list[str]]:
    """(what the browser printed, what its console said)."""
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--hide-scrollbars", "--enable-logging=stderr",
        f"--user-data-dir={profile}", *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
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
    with serving(store) as at:
        page, console = browse(tmp_path / "profile", "--dump-dom", "--virtual-time-budget=9000", f"{at}jobs")
    assert console == []
    assert "training" in page and 'value="0.75"' in page and "studying" not in page
