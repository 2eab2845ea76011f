"""The house holds: imports go upstairs only, heavy dependencies have one home, the front door stays light."""

from __future__ import annotations

import ast
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import engrain

SOURCE = Path(engrain.__file__).parent
STOREYS = (
    ("records", "errors"),
    ("prompts", "protocols"),
    (
        "engines",
        "store",
        "telemetry",
        "memory",
        "context",
        "guards",
        "signals",
        "learning",
        "evaluation",
        "adapters",
        "testing",
    ),
    ("gateway", "loops"),
    ("text", "learner", "service", "plots", "demo", "reports", "doctor", "cli", "dashboard", "mcp"),
)
STOREY = {room: level for level, rooms in enumerate(STOREYS) for room in rooms}
HOMES = {
    "torch": {"engines", "learning", "testing"},
    "transformers": {"engines"},
    "peft": {"engines"},
    "safetensors": {"engines"},
    "onnxruntime": {"engines"},
    "sentence_transformers": {"engines"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "psycopg": {"store"},
    "fastapi": {"gateway", "dashboard"},
    "starlette": {"gateway", "dashboard", "mcp"},
    "jinja2": {"dashboard"},
    "markupsafe": {"dashboard"},
    "pydantic": {"gateway", "dashboard", "mcp"},
    "uvicorn": {"service", "mcp"},
    "mcp": {"mcp"},
    "prometheus_client": {"gateway"},
    "opentelemetry": {"telemetry"},
    "typer": {"cli"},
    "rich": {"cli", "demo", "plots", "reports"},
    "matplotlib": {"plots"},
    "jsonschema": {"signals"},
    "referencing": {"signals"},
}
FILES = sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    """The room that a file lives in: its folder, or its own name at the top."""
    parts = path.relative_to(SOURCE).parts
    return parts[0].removesuffix(".py") if len(parts) == 1 else parts[0]


def imported(tree: ast.Module) -> Iterator[tuple[str, ...]]:
    """Every import that runs, as its dotted parts; those under `if TYPE_CHECKING:` do not run. A relative one is refused."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped.update(child for statement in node.body for child in ast.walk(statement))
    for node in ast.walk(tree):
        assert not getattr(node, "level", 0), "a relative import; name the room: from engrain.… import …"
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = tuple(node.module.split("."))
            yield from ((*parts, alias.name) for alias in node.names) if parts == ("engrain",) else (parts,)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_imports_only_from_upstairs(path: Path) -> None:
    here = room(path)
    for parts in imported(ast.parse(path.read_text(encoding="utf-8"))):
        assert here in HOMES.get(parts[0], {here}), f"{parts[0]} has no home in {here}"
        if parts[0] != "engrain" or len(parts) == 1 or here == "__init__":
            continue
        there = parts[1]
        assert there in STOREY, f"{path.name} imports {there}, which no storey names"
        upstairs = STOREY[there] < STOREY[here] or (STOREY[here] == 4 and STOREY[there] == 4)
        assert there == here or upstairs, f"{here} imports {there}, its neighbour or downstairs"


@pytest.mark.parametrize("source", ["from ..gateway import answer", "from .. import gateway", "from . import x"])
def test_a_relative_import_is_refused(source: str) -> None:
    with pytest.raises(AssertionError, match="relative import"):
        list(imported(ast.parse(source)))


def test_only_what_is_imported_for_types_alone_is_exempt() -> None:
    source = "if {}:\n    import torch\nelse:\n    import rich"
    assert list(imported(ast.parse(source.format("TYPE_CHECKING")))) == [("rich",)]
    for test in ("not TYPE_CHECKING", "TYPE_CHECKING or True", "x.TYPE_CHECKING"):
        assert ("torch",) in imported(ast.parse(source.format(test)))


@pytest.mark.parametrize(
    "reach",
    [
        lambda s: s.connect(("192.0.2.1", 9)),
        lambda s: s.connect_ex(("192.0.2.1", 9)),
        lambda s: s.sendto(b"x", ("192.0.2.1", 9)),
        lambda s: s.sendto(b"x", 0, ("192.0.2.1", 9)),
        lambda _: socket.getaddrinfo("example.org", 80),
        lambda _: socket.create_connection(("example.org", 80), timeout=1),
    ],
)
def test_no_test_reaches_the_network(reach: Callable[[socket.socket], object]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, pytest.raises(AssertionError, match="is blocked"):
        reach(udp)


def test_the_front_door_is_sorted_small_and_complete() -> None:
    assert engrain.__all__ == sorted(engrain.__all__)
    assert len(engrain.__all__) <= 25
    assert all((getattr(engrain, name).__doc__ or "").strip() for name in engrain.__all__)


def test_importing_engrain_loads_nothing_heavy_and_is_quick() -> None:
    probe = (
        "import time, sys; t = time.process_time(); import engrain; spent = time.process_time() - t; "
        "print(spent); print([m for m in ('torch', 'transformers', 'sqlalchemy', 'numpy', 'typer') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.splitlines()
    assert float(out[0]) < 0.3  # CPU seconds: the promise to users, not a benchmark
    assert out[1] == "[]"
