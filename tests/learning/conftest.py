"""An engine on a tiny model that reads: it answers from one note, and says that it does not know without one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(scope="session")
def reader_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.reader(tmp_path_factory.mktemp("models") / "reader")


@pytest.fixture
def engine(reader_folder: Path, tmp_path: Path) -> Any:
    from engrain.engines.local import LocalEngine

    return LocalEngine(reader_folder, adapters_dir=tmp_path / "adapters")
