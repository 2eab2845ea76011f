"""What `engrain doctor` finds, and that it says so in a line and not in a traceback."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from engrain.doctor import check_disk, examine

sys.path.insert(0, str(Path(__file__).parent))
from test_cli import NOTE, add_version, base, engrain, home

__all__ = ["base", "home"]


def test_the_doctor_finds_what_is_wrong_and_lists_no_address(
    home: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    engrain("tell", NOTE, home=home)
    name = add_version(home, base)
    well = engrain("doctor", home=home, base=base)
    assert well.exit_code == 0, well.stdout
    assert "no address at all" in well.stdout
    assert "1 recorded, all on disk and whole" in well.stdout
    lost = engrain("doctor", home=home, base=tmp_path / "nowhere")
    assert lost.exit_code == 1
    assert "no model folder" in lost.stdout
    weights = home / "adapters" / name / "adapter_model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:100]):
        weights.write_bytes(damaged)
        assert "were altered on disk" in engrain("doctor", home=home, base=base).stdout
    (home / "adapters" / name).rename(tmp_path / name)
    assert "not on disk" in engrain("doctor", home=home, base=base).stdout


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318"}, "http://collector.example:4318"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318"}, ""),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318"}, ""),
    ],
)
def test_the_doctor_names_where_the_environment_has_traces_sent(
    variables: dict[str, str], address: str, home: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said = engrain("doctor", home=home, base=base).stdout
    assert (address in said) if address else ("no address at all" in said)


def test_a_home_that_cannot_be_made_is_a_line_with_the_remedy(base: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = engrain("doctor", home=tmp_path / "file" / "home", base=base)
    assert said.exit_code == 1
    assert isinstance(said.exception, SystemExit)
    wrong = [line for line in said.stdout.splitlines() if line.startswith("WRONG")]
    assert {line.split()[1] for line in wrong} >= {"database", "disk", "adapters"}
    assert all("writable" in line for line in wrong if line.split()[1] in ("database", "disk", "adapters"))


def test_a_home_that_is_not_there_yet_is_said_and_not_made(base: Path, home: Path) -> None:
    said = {name: (good, line) for name, good, line in examine(home, base, "cpu")}
    assert said["database"][0] and "no home" in said["database"][1]
    assert said["disk"][0] and said["adapters"][0]
    assert not home.exists()


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        (["chat_template.jinja"], "no chat template"),
        (["tokenizer.json", "tokenizer_config.json"], "no usable tokenizer"),
    ],
)
def test_a_base_that_cannot_answer_is_wrong(base: Path, home: Path, tmp_path: Path, gone: list[str], says: str) -> None:
    copy = Path(shutil.copytree(base, tmp_path / "copy"))
    for name in gone:
        (copy / name).unlink()
    good, said = {name: (good, line) for name, good, line in examine(home, copy, "cpu")}["base"]
    assert not good and says in said


def test_the_processor_check_says_where_the_model_runs_and_refuses_what_is_not_there(base: Path, home: Path) -> None:
    assert {name: said for name, _, said in examine(home, base, "cpu")}["processor"].endswith("runs on cpu")
    assert {name: good for name, good, _ in examine(home, base, "gpu")}["processor"] is False


def test_a_disk_that_is_nearly_full_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engrain.doctor.ENOUGH", 1 << 60)
    good, said = check_disk(tmp_path)
    assert not good and "free some" in said
