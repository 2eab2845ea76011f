"""What goes wrong in a benchmark is a finding of it, and no crash and no silence."""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engrain.records import Interaction, Message, Scope, Stamp
from engrain.store import SqlStore

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
pytest.importorskip("matplotlib", reason="the pictures need engrain[plots]")


class Engine:
    """No version is looked at."""

    adapters_dir, base = Path(), ""


def test_what_is_there_twice_is_found_of_every_user(tmp_path: Path) -> None:
    from kills import Check

    with closing(SqlStore(tmp_path)) as store:
        for _ in range(2):
            asked = (Message(role="user", content="The gate code is 4417."),)
            store.append(Interaction(scope=Scope(user="ben"), messages=asked, answer="Noted.", stamp=Stamp(base="b")))
    engine: Any = Engine()
    check = Check(tmp_path, engine)  # nothing was acknowledged
    check.now("the end")
    assert check.faults_of("doubled") == ["the end: The gate code is 4417. is there 2 times"]


def test_a_server_that_answers_nothing_is_a_finding() -> None:
    pytest.importorskip("aiohttp", reason="benchmarks/gateway.py needs it")
    import psutil

    from gateway import Arm, load, ratio
    from processes import free_port

    arm = Arm(name="direct", url=f"http://127.0.0.1:{free_port()}", process=psutil.Process())
    found = asyncio.run(load(arm, 2, 0.2))
    assert (found["per_s"], found["requests"]) == (0.0, 0) and "no answer in" in arm.failed[-1]
    assert ratio([1.0], [found["per_s"]]) == math.inf
