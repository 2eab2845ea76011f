"""Records and a store to try things on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engrain.records import Interaction, Memory, Message, Scope, Stamp
from engrain.store import SqlStore


@pytest.fixture
def scope() -> Scope:
    return Scope(tenant="acme", user="ada")


@pytest.fixture
def other() -> Scope:
    return Scope(tenant="acme", user="bob")


@pytest.fixture
def store(tmp_path: Path, database: str) -> Iterator[SqlStore]:
    store = SqlStore(tmp_path, database=database, busy_timeout_s=5.0)
    yield store
    store.close()


@pytest.fixture
def memory(scope: Scope) -> Callable[..., Memory]:
    def make(text: str = "the gate code is 4417", **fields: object) -> Memory:
        return Memory(**({"scope": scope, "text": text, "valid_from": 0.0} | fields))  # type: ignore[arg-type]

    return make


@pytest.fixture
def interaction(scope: Scope) -> Callable[..., Interaction]:
    def make(question: str = "what is the gate code?", **fields: object) -> Interaction:
        asked = (Message(role="user", content=question),)
        given = {"scope": scope, "messages": asked, "answer": "4417", "stamp": Stamp(base="b" * 64)}
        return Interaction(**(given | fields))  # type: ignore[arg-type]

    return make


@pytest.fixture
def python() -> Callable[..., subprocess.Popen[str]]:
    """Start a Python program of its own that can import engrain."""

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
