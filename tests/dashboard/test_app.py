"""The dashboard, over real requests on a real store: who may enter, what is shown, and that the levers do what they say."""

from __future__ import annotations

import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from engrain.adapters.canary import on_trial
from engrain.dashboard import Desk, create
from engrain.dashboard.app import HEADERS, MOST_BYTES
from engrain.dashboard.sessions import LASTS_S, MOST, Sessions
from engrain.errors import HomeBusy
from engrain.loops import remember
from engrain.records import Adapter, Context, Evidence, Interaction, ItemResult, Memory, Receipt, Scope, Verdict
from engrain.store import SqlStore

sys.path.insert(0, str(Path(__file__).parent))
import homes  # noqa: E402

ADA, OTHER = Scope(user="ada"), Scope(tenant="rival", user="zacharias")
LISTS = ("", "users", "jobs", "ledger")
OF_A_USER = ("user", "memory", "versions", "interactions", "play", "forget")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path / "home")) as made:
        yield made


@pytest.fixture
def desk(store: SqlStore) -> Desk:
    engine: Any = homes.IdleEngine()
    return Desk(store=store, engine=engine, home=store.home)


@pytest.fixture
def browser(desk: Desk) -> Iterator[TestClient]:
    with opened(desk) as client:
        yield client


def opened(desk: Desk, host: str = "127.0.0.1") -> TestClient:
    app = Starlette(routes=[Mount("/dashboard", create(desk))])
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False)


def get(client: TestClient, page: str = "", **query: str) -> Any:
    return client.get(f"/dashboard/{page}", params=query)


def token(client: TestClient) -> str:
    """The token of this browser's session, as its forms have it."""
    found = re.search(r'name="token" value="([^"]+)"', get(client, "ledger").text)
    assert found
    return found[1]


def send(client: TestClient, page: str, **form: str) -> Any:
    return client.post(f"/dashboard/{page}", data={"token": token(client)} | form)


def news(client: TestClient, answer: Any) -> str:
    """What is said on the page that a form leads to."""
    assert answer.status_code == 303, answer.text
    said = re.search(r'class="news[^>]*>([^<]*)<', client.get(answer.headers["location"]).text)
    assert said
    return unescape(said[1])


def forget(client: TestClient, what: str, **more: str) -> Any:
    """Look at what would go, then confirm it."""
    seen = re.search(r'name="seen" value="([^"]+)"', get(client, "forget", user="ada", what=what).text)
    return send(client, "forget", user="ada", what=what, seen=seen[1] if seen else "", **more)


def log_in(client: TestClient, secret: str) -> Any:
    return client.post("/dashboard/login", data={"key": secret})


def soon(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_every_page_of_an_empty_home_says_that_it_is_empty(browser: TestClient) -> None:
    for page in LISTS:
        answer = get(browser, page)
        assert answer.status_code == 200 and 'class="empty"' in answer.text
    assert "Nothing has happened here yet" in get(browser).text
    assert get(browser, "user", user="ada").status_code == 404


def test_every_page_of_a_user_with_a_single_note_is_there(browser: TestClient, store: SqlStore) -> None:
    note = remember.tell(store, "The dog is called Biscuit.", scope=ADA)
    for page in OF_A_USER:
        assert get(browser, page, user="ada").status_code == 200
    assert "only the bare base" in get(browser, "versions", user="ada").text
    assert "Biscuit" in get(browser, "record", user="ada", id=note.id).text


def test_every_page_of_a_full_home_is_there_with_its_headers(browser: TestClient, store: SqlStore) -> None:
    made = homes.full(store, ADA)
    homes.on_trial(store, Scope(user="cleo"))
    store.add_job(ADA, "9 memories have become durable")
    kinds = {e.event: e.subject for e, u in store.tenant_ledger("local", limit=10_000) if u == "ada" and e.subject}
    assert {"memory", "interaction", "feedback", "batch", "adapter", "evidence", "verdict"} <= set(kinds)
    pages = [get(browser, page) for page in LISTS]
    pages += [get(browser, page, user=user) for page in OF_A_USER for user in ("ada", "cleo")]
    pages += [browser.get(f"/dashboard/record?user=ada&id={name}", follow_redirects=True) for name in kinds.values()]
    pages += [get(browser, "version", user="ada", id=v, show=s) for v in made.verdicts for s in ("", "all", "broke")]
    pages += [get(browser, "forget", user="ada", what=what) for what in ("user:", made.memories[0].id)]
    pages += [get(browser, "ledger", before="40"), get(browser, "interactions", user="ada", before="90")]
    for page in pages:
        assert page.status_code == 200, (page.url, page.text)
        assert 'class="skip"' in page.text and 'lang="en"' in page.text
        assert {name: page.headers[name] for name in HEADERS} == HEADERS
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"<[^>]* (style|on\w+)=", page.text), "no inline style or script: the policy refuses them"
        assert page.text.count("<table") == page.text.count("<caption")
        ids = re.findall(r' id="([^"]+)"', page.text)
        assert len(ids) == len(set(ids))
        assert {name for named in re.findall(r'aria-labelledby="([^"]+)"', page.text) for name in named.split()} <= set(
            ids
        )
        fields = re.findall(r"(<label[^>]*>)?[^<>]*<(?:input(?! type=.hidden)|select)", page.text)
        assert all(fields), "a field without a label"
        assert all('scope="' in head for head in re.findall(r"<th[^e>]*>", page.text))


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["style-src"] == policy["script-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    sources = Path(homes.__file__).parents[2] / "src/engrain/dashboard"
    for file in (*sources.glob("static/*"), *sources.glob("templates/*")):
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "<style" not in text, file


def test_text_stands_out_from_what_it_stands_on_in_light_and_in_dark() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    sheet = (Path(homes.__file__).parents[2] / "src/engrain/dashboard/static/style.css").read_text(encoding="utf-8")
    schemes = [dict(re.findall(r"--([\w-]+): (#\w{6});", part)) for part in re.findall(r":root \{(.*?)\}", sheet, re.S)]
    assert len(schemes) == 2
    pairs = [(text, on) for text in ("ink", "quiet", "accent", "bad") for on in ("paper", "sheet", "sunk")]
    pairs += [(name, f"{name}-wash") for name in ("accent", "bad", "wait", "note")]
    pairs += [("ink", "accent-wash"), ("quiet", "accent-wash"), ("accent-ink", "accent")]
    for scheme in schemes:
        assert {
            (t, on): contrast(scheme[t], scheme[on]) for t, on in pairs if contrast(scheme[t], scheme[on]) < 4.5
        } == {}


def test_the_overview_answers_whether_it_is_learning(browser: TestClient, store: SqlStore) -> None:
    made = homes.full(store, ADA)
    homes.on_trial(store, Scope(user="cleo"))
    text = unescape(get(browser).text)
    assert "Yes, on the gate's evidence: over 2 promoted updates" in text
    new = [r for v in (made.first, made.live) for r in evidence_of(store, v) if r.group == "new"]
    right = round(100 * sum(r.right for r in new) / len(new))
    assert f"<b>{right}\u202f%</b> right with nothing shown" in text
    assert "harm: retained against live" in text and made.refused[:12] in text  # refused, and why
    assert made.live[:12] in text and "on trial" in text
    assert "no controlled comparison" in text  # what is saved is stated with its limit
    assert text.count("<svg") == 3 and text.count("<desc") == 3


def evidence_of(store: SqlStore, adapter: str) -> Iterator[ItemResult]:
    for evidence in store.select(Evidence, scope=ADA):
        if evidence.adapter == adapter:
            yield from evidence.results
            return


@pytest.mark.parametrize("of", [{}, {"user": "ada"}])
def test_what_each_verifier_found_is_shown(browser: TestClient, store: SqlStore, of: dict[str, str]) -> None:
    assert "No verifier runs yet" in get(browser).text
    homes.full(store, ADA)
    page = get(browser, "user" if of else "", **of).text
    start = page.index("What verifiers found of answers")
    said = " ".join(re.sub(r"<[^>]+>", " ", unescape(page[start : page.index("</table>", start)])).split())
    assert re.search(r"is short automated 88.% \S+.% 8 0\b", said), said
    assert re.search(r"names the code automated 100.% \S+.% 8 6\b", said), said
    assert re.search(r"rephrased implicit 0.% \S+.% 1 0\b", said), said


def test_a_version_shows_evidence_and_verdict_and_the_answers_that_changed(
    browser: TestClient, store: SqlStore
) -> None:
    made = homes.full(store, ADA)
    page = unescape(get(browser, "version", user="ada", id=made.refused).text)
    for reason in made.verdicts[made.refused].reasons:
        assert reason in page
    assert "is-broke" in page and "4417" in page and "Roll back" not in page
    assert "Roll back to what was live before" in get(browser, "version", user="ada", id=made.live).text
    broke = get(browser, "version", user="ada", id=made.refused, show="broke").text
    assert "badge is-broke" in broke and "badge is-fixed" not in broke
    graph = get(browser, "versions", user="ada").text
    assert all(f'aria-label="Version {n}' in graph for n in range(4))


def test_an_interaction_shows_what_was_shown_its_stamp_its_feedback_and_what_it_caused(
    browser: TestClient, store: SqlStore
) -> None:
    made = homes.full(store, ADA)
    said = made.interactions[0]
    page = unescape(get(browser, "record", user="ada", id=said.id).text)
    assert said.answer in page and made.memories[0].text.split()[0] in page
    assert "It is 5521." in page and "correction" in page
    assert "Paint is stored in the shed." in page  # a memory that came of it
    assert said.stamp.base in page and "the bare base" in page


def test_memory_is_searched_by_words_and_by_state(browser: TestClient, store: SqlStore) -> None:
    homes.full(store, ADA)
    found = get(browser, "memory", user="ada", q="lathe maker").text
    assert "Oden" in found and "Biscuit" not in found
    old = get(browser, "memory", user="ada", state="superseded").text
    assert "is 4417" in old and "5521" not in old
    assert "Nothing is remembered with these words" in get(browser, "memory", user="ada", q='"*) OR 1').text


def test_what_a_user_said_is_escaped_wherever_it_is_shown(browser: TestClient, store: SqlStore) -> None:
    evil = '<script>alert("x")</script> The shed is locked.'
    scope = Scope(user='"><img src=x onerror=alert(1)>')
    said = homes.say(store, scope, evil, evil, time.time(), conversation=evil)
    note = remember.tell(store, evil, scope=scope)
    homes.rate(store, said, None, time.time(), text=evil)
    store.add_job(scope, evil)
    pages = [get(browser, page) for page in LISTS] + [get(browser, page, user=scope.user) for page in OF_A_USER]
    pages += [get(browser, "record", user=scope.user, id=name) for name in (said.id, note.id)]
    pages += [get(browser, "forget", user=scope.user, what=what) for what in (note.id, "user:", f"text:{evil}", evil)]
    pages += [get(browser, "memory", user=scope.user, q=evil), get(browser, "users", q=evil)]
    for page in pages:
        assert page.status_code == 200
        assert "<script>alert" not in page.text and "<img src=x" not in page.text
    assert "&lt;script&gt;" in pages[-4].text


def test_half_a_surrogate_is_shown_as_a_question_mark(browser: TestClient, store: SqlStore) -> None:
    said = homes.say(store, ADA, "x \ud83d y", "z", time.time())
    assert "x ? y" in get(browser, "record", user="ada", id=said.id).text


# ---- who may see it --------------------------------------------------------------------------------------------------


def test_a_home_without_keys_is_open_to_this_machine_alone(desk: Desk) -> None:
    with opened(desk) as here:
        assert get(here).status_code == 200
        cookie = get(opened(desk)).headers["set-cookie"]
        assert {"HttpOnly", "Path=/dashboard", "SameSite=strict"} <= set(cookie.split("; "))
        assert get(here, "login").status_code == 303  # nobody needs to
    with opened(desk, "dash.example") as rebound:
        assert get(rebound).status_code == 403


def test_a_key_that_allows_admin_opens_its_tenant_and_the_cookie_is_not_the_key(desk: Desk, store: SqlStore) -> None:
    store.append(Memory(scope=Scope(tenant="acme", user="ann"), text="x", valid_from=0.0))
    homes.say(store, ADA, "Hi", "Hello", time.time())
    _, secret = store.new_key("acme", ["admin"])
    with opened(desk, "dash.example") as client:
        for page in LISTS:
            assert get(client, page).headers["location"] == "/dashboard/login"
        assert log_in(client, secret).headers["location"] == "/dashboard/"
        assert secret not in str(client.cookies) and len(client.cookies) == 1
        page = get(client, "users").text
        assert "ann" in page and "ada" not in page and "tenant <b>acme</b>" in page


@pytest.mark.parametrize("given", ["", "engrain-123-abc", "serve", "revoked"])
def test_no_other_key_opens_it(desk: Desk, store: SqlStore, given: str) -> None:
    key, revoked = store.new_key("local", ["admin"])
    store.revoke_key(key.id)
    secret = {"serve": store.new_key("local", ["serve", "feedback"])[1], "revoked": revoked}.get(given, given)
    with opened(desk) as client:
        answer = log_in(client, secret)
        assert answer.status_code == 401 and not client.cookies
        assert "does not open the dashboard" in answer.text and get(client).status_code == 303


def test_a_session_ends_with_its_key_and_at_logout(desk: Desk, store: SqlStore) -> None:
    key, secret = store.new_key("local", ["admin"])
    with opened(desk) as client:
        log_in(client, secret)
        assert get(client).status_code == 200
        cookies = dict(client.cookies)
        assert send(client, "logout").headers["location"] == "/dashboard/login"
        assert get(client).status_code == 303
        with opened(desk) as copy:  # of the cookie, which is worth nothing either
            copy.cookies.update(cookies)
            assert get(copy).status_code == 303
        log_in(client, secret)
        assert get(client).status_code == 200
        store.revoke_key(key.id)
        assert get(client).status_code == 303


def test_sessions_run_out_and_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions()
    first = sessions.open(None, "local")
    assert sessions.find(first.id) is first and sessions.find("") is None
    for _ in range(MOST):
        last = sessions.open(None, "local")
    assert sessions.find(first.id) is None and sessions.find(last.id) is last
    now = time.monotonic()
    monkeypatch.setattr("engrain.dashboard.sessions.time.monotonic", lambda: now + LASTS_S + 60)
    assert sessions.find(last.id) is None


def test_what_is_another_tenants_is_not_there_whatever_id_is_given(browser: TestClient, store: SqlStore) -> None:
    homes.say(store, ADA, "Hi", "Hello", time.time())
    homes.full(store, Scope(user="bob"), days=3)
    theirs = homes.full(store, OTHER, days=3)
    ids = (theirs.memories[0].id, theirs.interactions[0].id, theirs.live, theirs.verdicts[theirs.live].id)
    nowhere = {get(browser, "record", user="ada", id="mem_000000000000").text}
    for name in ids:
        nowhere |= {get(browser, page, user="ada", id=name).text for page in ("record", "version")}
        assert get(browser, "forget", user="ada", what=name).text.count("nothing that matches") == 1
        assert send(browser, "forget", user="ada", what=name).status_code == 404
    assert len(nowhere) == 1 and "There is nothing here under that name." in nowhere.pop()
    for page in OF_A_USER:
        assert get(browser, page, user="zacharias").status_code == 404
    job = store.add_job(OTHER, "due")
    assert send(browser, "cancel", user="ada", id=job.id).status_code == 404
    assert send(browser, "rollback", user="zacharias").status_code == 404
    assert send(browser, "consolidate", user="zacharias").status_code == 404
    text = "".join(get(browser, page).text for page in LISTS)
    assert "zacharias" not in text and job.id not in text
    assert store.jobs(scope=OTHER)[0].state == "waiting" and store.live(OTHER) == theirs.live


# ---- forms -----------------------------------------------------------------------------------------------------------


def test_a_form_without_the_sessions_token_is_refused(desk: Desk, browser: TestClient, store: SqlStore) -> None:
    made = homes.full(store, ADA, days=3)
    with opened(desk) as other:
        stolen = token(other)
    token(browser)
    for given in ({}, {"token": ""}, {"token": "é"}, {"token": stolen}):
        for page in (
            "play/answers",
            "rollback",
            "trial",
            "consolidate",
            "cancel",
            "forget",
            "forget/preview",
            "verify",
            "logout",
        ):
            answer = browser.post(f"/dashboard/{page}", data={"user": "ada", "what": "user:", "sure": "ada"} | given)
            assert answer.status_code == 403, page
    assert store.live(ADA) == made.live and not store.jobs() and desk.forgetting(ADA) is None


def test_a_form_from_another_site_is_refused_whatever_it_carries(browser: TestClient, store: SqlStore) -> None:
    homes.say(store, ADA, "Hi", "Hello", time.time())
    form = {"token": token(browser), "user": "ada"}
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ):
        assert browser.post("/dashboard/consolidate", data=form, headers=headers).status_code == 403
        assert browser.post("/dashboard/login", data={"key": "x"}, headers=headers).status_code == 403
    assert not store.jobs()
    for headers in ({"sec-fetch-site": "same-origin", "origin": "null"}, {"origin": "http://127.0.0.1"}):
        assert browser.post("/dashboard/consolidate", data=form, headers=headers).status_code == 303


def test_what_is_no_form_or_too_large_is_refused(browser: TestClient) -> None:
    assert browser.post("/dashboard/verify", json={"token": token(browser)}).status_code == 415
    assert send(browser, "verify", more="x" * MOST_BYTES).status_code == 413
    many = {f"f{n}": "x" for n in range(64)}
    assert send(browser, "verify", **many).status_code == 400
    assert get(browser, "rollback").status_code == 405 and get(browser, "nowhere").status_code == 404
    assert browser.get("/dashboard/static/style.css").status_code == 200
    assert browser.get("/dashboard/static/../app.py").status_code == 404


def test_a_version_is_rolled_back_and_one_that_never_was_live_is_not(browser: TestClient, store: SqlStore) -> None:
    made = homes.full(store, ADA, days=3)

    def back(**to: str) -> Any:
        return send(browser, "rollback", user="ada", live=store.live(ADA), **to)

    assert f'name="live" value="{made.live}"' in get(browser, "version", user="ada", id=made.live).text
    assert made.first[:12] in news(browser, back())
    assert store.live(ADA) == made.first
    stale = send(browser, "rollback", user="ada", live=made.live)  # the page was made before that
    assert stale.status_code == 400 and store.live(ADA) == made.first
    assert "bare base" in news(browser, back(to="base"))
    assert made.live[:12] in news(browser, back(to=made.live))
    refused = back(to=made.refused)
    assert refused.status_code == 400 and "never was let through" in refused.text
    assert store.live(ADA) == made.live


@pytest.mark.parametrize(("decision", "lives"), [("approve", True), ("stop", False)])
def test_a_trial_is_decided_by_hand(browser: TestClient, store: SqlStore, decision: str, lives: bool) -> None:
    scope = Scope(user="cleo")
    canary = homes.on_trial(store, scope)
    assert "Approve: make it live" in get(browser, "versions", user="cleo").text
    form = {"user": "cleo", "candidate": canary.candidate, "decision": decision, "reason": "seen"}
    for wrong in ({"decision": "perhaps"}, {"candidate": "another"}):
        assert send(browser, "trial", **(form | wrong)).status_code == 400
    assert canary.candidate[:12] in news(browser, send(browser, "trial", **form))
    assert (store.live(scope) == canary.candidate) is lives and on_trial(store, scope) is None
    last = list(store.select(Verdict, scope=scope))[-1]
    assert "(seen)" in last.reasons[0]
    page = unescape(get(browser, "version", user="cleo", id=canary.candidate).text)
    assert last.reasons[0] in page and "What do you know of this" in page  # the gate's evidence, still
    assert send(browser, "trial", **form).status_code == 400


def test_a_consolidation_is_asked_for_followed_and_cancelled(browser: TestClient, store: SqlStore) -> None:
    remember.tell(store, "The dog is called Biscuit.", scope=ADA)
    assert "is waiting" in news(browser, send(browser, "consolidate", user="ada"))
    job = store.claim_job("worker", lease_s=60)
    assert job is not None
    store.beat_job(job.id, "worker", "training", 0.42)
    page = get(browser, "jobs").text
    assert "training" in page and 'value="0.42"' in page and "data-going" in page
    quiet = browser.get("/dashboard/jobs", headers={"x-engrain-live": "1"})  # as the page's script looks
    assert quiet.status_code == 200
    assert "was cancelled" in news(browser, send(browser, "cancel", user="ada", id=job.id))
    assert store.jobs()[0].state == "cancelled"
    assert send(browser, "cancel", user="ada", id=job.id).status_code == 404


def test_what_was_done_is_said_to_the_reader_and_not_to_the_script(browser: TestClient, store: SqlStore) -> None:
    remember.tell(store, "The dog is called Biscuit.", scope=ADA)
    at = send(browser, "consolidate", user="ada").headers["location"]
    assert 'class="news' in browser.get(at, headers={"x-engrain-live": "1"}).text
    assert 'class="news' in browser.get(at).text and 'class="news' not in browser.get(at).text


def test_forgetting_shows_first_what_would_go_and_then_does_it(
    desk: Desk, browser: TestClient, store: SqlStore
) -> None:
    note = remember.tell(store, "The safe opens with zq6094kv.", scope=ADA)
    kept = remember.tell(store, "The dog is called Biscuit.", scope=ADA)
    shown = homes.say(
        store, ADA, "What opens the safe?", "zq6094kv", time.time(), context=Context(memory_ids=(note.id,))
    )
    preview = send(browser, "forget/preview", user="ada", what="text:The safe opens with zq6094kv.").text
    assert note.id in preview and shown.id in preview and kept.id not in preview
    assert [m.id for m in store.select(Memory, scope=ADA)] == [note.id, kept.id]
    assert "being forgotten" in news(browser, forget(browser, note.id, reason="a test"))
    soon(lambda: (going := desk.forgetting(ADA)) and going.state == "done")
    (receipt,) = store.select(Receipt, scope=ADA)
    page = get(browser, "user", user="ada").text
    assert receipt.id in page and receipt.reason == "a test"
    assert [m.id for m in store.select(Memory, scope=ADA)] == [kept.id]
    assert [i.answer for i in store.select(Interaction, scope=ADA)] == [""]
    gone = get(browser, "record", user="ada", id=note.id).text
    assert "This record was forgotten" in gone and receipt.id in gone and "zq6094kv" not in gone
    assert send(browser, "forget", user="ada", what=note.id).status_code == 404


def test_what_is_confirmed_is_what_was_shown(desk: Desk, browser: TestClient, store: SqlStore) -> None:
    note = remember.tell(store, "The safe opens with zq6094kv.", scope=ADA)
    seen = re.search(r'name="seen" value="([^"]+)"', get(browser, "forget", user="ada", what=note.id).text)
    assert seen
    later = homes.say(store, ADA, "And?", "zq6094kv", time.time(), context=Context(memory_ids=(note.id,)))
    again = send(browser, "forget", user="ada", what=note.id, seen=seen[1])
    assert again.status_code == 200 and "has changed since you looked" in again.text and later.id in again.text
    assert desk.forgetting(ADA) is None and list(store.select(Memory, scope=ADA)) == [note]


def test_everything_of_a_user_goes_only_once_the_name_is_typed(
    desk: Desk, browser: TestClient, store: SqlStore
) -> None:
    remember.tell(store, "The dog is called Biscuit.", scope=ADA)
    for what in ("user:", "user:ada"):
        assert 'name="sure"' in get(browser, "forget", user="ada", what=what).text
        assert send(browser, "forget", user="ada", what=what, sure="bob").status_code == 400
    assert list(store.select(Memory, scope=ADA))
    send(browser, "forget", user="ada", what="user:", sure="ada")
    soon(lambda: not list(store.select(Memory, scope=ADA)) and desk.forgetting(ADA).state == "done")  # type: ignore[union-attr]


def test_a_forgetting_that_fails_says_so_and_one_is_done_at_a_time(
    desk: Desk, browser: TestClient, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = remember.tell(store, "The dog is called Biscuit.", scope=ADA)
    go = threading.Event()

    def busy(*_: Any, **__: Any) -> Any:
        go.wait(30)
        raise HomeBusy("somebody consolidates by hand")

    monkeypatch.setattr("engrain.dashboard.desk.forget", busy)
    forget(browser, note.id)
    assert "data-going" in get(browser, "user", user="ada").text
    assert "under way" in forget(browser, note.id).text
    go.set()
    soon(lambda: (going := desk.forgetting(ADA)) and going.state == "failed")
    assert "somebody consolidates by hand" in get(browser, "user", user="ada").text


def test_play_asks_two_versions_beside_each_other_and_records_nothing(
    desk: Desk, browser: TestClient, store: SqlStore
) -> None:
    remember.tell(store, "The dog is called Biscuit.", scope=ADA)
    engine: Any = desk.engine
    name = engine.teach(["The dog is called Rex."])
    store.append(Adapter(id=name, scope=ADA, base=engine.base))
    before = store.head()
    asked = {"user": "ada", "question": "What is the dog called?"}
    page = send(browser, "play/answers", **asked, a=name, b="", b_notes="on").text
    answers = re.findall(r'class="said answer">([^<]*)<', page)
    assert answers == ["The dog is called Rex.", "The dog is called Biscuit."]
    assert "Asked without memory." in page and "1 note shown" in page
    assert store.head() == before and not list(store.select(Interaction, scope=ADA))
    assert send(browser, "play/answers", user="ada", question=" ", a="", b="").status_code == 400
    assert send(browser, "play/answers", **asked, a="0" * 64, b="").status_code == 404
    assert send(browser, "play/answers", **(asked | {"question": "x" * 5000}), a="", b="").status_code == 400


def test_the_ledger_is_verified_and_a_broken_one_is_said_to_be(browser: TestClient, store: SqlStore) -> None:
    homes.full(store, ADA, days=2)
    count = store.head()[0]
    assert f"All {count:,} entries" in news(browser, send(browser, "verify"))
    assert "were found right" in get(browser, "ledger").text and store.head()[1] in get(browser, "ledger").text
    with closing(sqlite3.connect(store.home / "engrain.db")) as file:
        file.execute("UPDATE ledger SET reason = 'never' WHERE seq = 3")
        file.commit()
    assert "ledger entry 3" in news(browser, send(browser, "verify"))
    assert "was edited" in get(browser, "ledger").text


def test_a_page_that_fails_says_so_without_saying_how(
    browser: TestClient, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(SqlStore, "people", broken)
    answer = get(browser, "users")
    assert answer.status_code == 500 and "secret" not in answer.text and answer.headers["x-frame-options"] == "DENY"
