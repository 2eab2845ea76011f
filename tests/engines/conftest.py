"""One tiny model folder of each architecture for the whole session, and engines that open them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(scope="session", params=["llama", "qwen", "gemma", "gpt2"])
def any_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.ALL[request.param](tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def any_engine(any_folder: Path, tmp_path: Path) -> Any:
    from engrain.engines.local import LocalEngine

    return LocalEngine(any_folder, adapters_dir=tmp_path / "adapters")


@pytest.fixture
def engine(llama_folder: Path, tmp_path: Path) -> Any:
    from engrain.engines.local import LocalEngine

    return LocalEngine(llama_folder, adapters_dir=tmp_path / "adapters")
