"""How much, how often, how many: what is refused, and that the rest goes on."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from engrain.gateway.limits import Rates
from engrain.learner import SPROUT
from engrain.service import application

sys.path.insert(0, str(Path(__file__).parents[1]))
from over_http import serving  # noqa: E402


def test_a_bucket_is_filled_evenly_and_never_above_its_brim() -> None:
    clock = [0.0]
    rates = Rates(60, now=lambda: clock[0])
    assert [rates.take("a")[0] for _ in range(60)] == list(range(59, -1, -1))
    assert rates.take("a") == (0, 1.0)
    assert rates.take("b") == (59, 0.0)
    clock[0] = 0.5
    assert rates.take("a") == (0, 0.5)
    clock[0] = 1.0
    assert rates.take("a") == (0, 0.0)
    clock[0] = 10_000.0
    assert rates.take("a") == (59, 0.0)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str], Any]]:
    app, service = application(tmp_path_factory.mktemp("home"), SPROUT, rows=2, per_minute=6)
    keys = {right: service.store.new_key("local", [right])[1] for right in ("serve", "admin", "feedback")}
    with serving(app) as at:
        yield at, keys, service


def get(served: tuple[str, dict[str, str], Any], path: str, key: str = "") -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(served[0]).netloc)
    connection.request("GET", path, headers={"authorization": f"Bearer {served[1].get(key, key)}"})
    response = connection.getresponse()
    found = response.status, response.read().decode()
    connection.close()
    return found


def test_a_key_that_asks_too_often_waits_and_the_others_do_not(served: tuple[str, dict[str, str], Any]) -> None:
    with openai.OpenAI(base_url=served[0] + "/v1", api_key=served[1]["serve"], max_retries=0) as client:
        for _ in range(6):
            client.models.list()
        with pytest.raises(openai.RateLimitError, match="6 requests a minute") as refused:
            client.models.list()
        assert 0 < int(refused.value.response.headers["retry-after"]) <= 10
    assert get(served, "/metrics", "admin")[0] == 200
    assert get(served, "/ready")[0] == 200


def test_the_metrics_count_and_say_nothing_of_anybody(served: tuple[str, dict[str, str], Any]) -> None:
    assert get(served, "/metrics", "serve")[0] == 403 and get(served, "/metrics", "wrong")[0] == 401
    get(served, "/v1/nowhere/4417", "admin")
    status, text = get(served, "/metrics", "admin")
    assert status == 200
    assert 'engrain_requests_total{route="/v1/models",status="200"} 6.0' in text
    assert 'route="other",status="404"' in text and "4417" not in text
    assert "engrain_rows_in_use 0.0" in text and "engrain_jobs_waiting 0.0" in text


def test_a_body_that_is_too_long_is_refused_whether_it_says_so_or_not(served: tuple[str, dict[str, str], Any]) -> None:
    long = b'{"interaction": "' + b"x" * served[2].limits.body_bytes + b'"}'
    for chunked in (False, True):
        connection = http.client.HTTPConnection(urlsplit(served[0]).netloc)
        headers = {"content-type": "application/json", "authorization": f"Bearer {served[1]['feedback']}"}
        body = iter([long[:1000], long[1000:]]) if chunked else long
        connection.request("POST", "/v1/feedback", body=body, headers=headers, encode_chunked=chunked)
        response = connection.getresponse()
        assert (response.status, "request_too_large" in response.read().decode()) == (413, True)
        connection.close()


def test_when_too_many_wait_already_the_next_is_told_so_at_once(
    served: tuple[str, dict[str, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(served[2].batcher), "waiting", 10_000)
    assert get(served, "/ready")[0] == 503
    key = served[2].store.new_key("local", ["serve"])[1]
    with openai.OpenAI(base_url=served[0] + "/v1", api_key=key, max_retries=0) as client:
        with pytest.raises(openai.InternalServerError, match="wait already") as refused:
            client.chat.completions.create(model="engrain", messages=[{"role": "user", "content": "Hi"}])
        assert (refused.value.status_code, refused.value.response.headers["retry-after"]) == (503, "1")
