"""The official schemathesis against the service, in its short form; `make fuzz` runs the long one."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]
pytest.importorskip("schemathesis", reason="it is in engrain[dev]")
pytest.importorskip("matplotlib", reason="the picture needs engrain[plots]")


def test_whatever_it_is_asked_it_holds_to_its_own_document_and_never_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tiny_models

    base = tiny_models.llama(tmp_path / "llama", max_position_embeddings=256)
    monkeypatch.setattr(sys, "argv", ["fuzz", "--quick", "--base", str(base), "--out", str(tmp_path)])
    importlib.import_module("fuzz").main()
    document: dict[str, Any] = json.loads((tmp_path / "fuzz-quick.json").read_text(encoding="utf-8"))
    assert [b for b in document["bars"] if not b["passed"]] == [], document["results"]["failures"]
    assert {"200", "400", "404", "405"} <= set(document["results"]["statuses"])
