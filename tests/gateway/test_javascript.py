"""The service, asked by OpenAI's own client in JavaScript."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engrain.learner import SPROUT
from engrain.records import Feedback, Scope
from engrain.service import application

sys.path.insert(0, str(Path(__file__).parents[1]))
from over_http import serving  # noqa: E402

CLIENT = Path(__file__).parent / "javascript"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(
    not (CLIENT / "node_modules/openai").is_dir(), reason=f"the client is missing; run: npm install --prefix {CLIENT}"
)
def test_an_application_in_javascript_is_served_as_one_in_python(tmp_path: Path) -> None:
    app, service = application(tmp_path, SPROUT, rows=4)
    key = service.store.new_key("local", ["serve", "feedback"])[1]
    with serving(app) as at:
        said = subprocess.run(
            ["node", str(CLIENT / "talk.mjs"), f"{at}/v1", key], capture_output=True, text=True, timeout=120
        )
        assert said.returncode == 0, said.stderr
        heard = json.loads(said.stdout)
        given = list(service.store.select(Feedback, scope=Scope(user="ada")))
    assert all("4417" in text for text in heard["whole"]) and len(heard["whole"]) == 2
    assert "4417" in heard["stream"] and heard["tokens"] > 0 and "4417" in heard["response"]
    assert (heard["called"], heard["formed"]) == ("open_gate", 7)
    assert heard["events"][0] == "response.created" and heard["events"][-1] == "response.completed"
    assert heard["models"][:2] == ["engrain", "base"] and heard["embedding"] > 0
    assert [(f.interaction, f.score) for f in given] == [(heard["interaction"], 1.0)]
    assert heard["error"] == {"kind": "BadRequestError", "status": 400, "param": "messages"}
    assert heard["stranger"] == "AuthenticationError"
