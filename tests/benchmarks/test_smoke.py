"""Every benchmark runs and writes what it promises, on a tiny model that learns next to nothing: no figure is looked at."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from engrain.engines import SPROUT
from engrain.loops.grammar import Asked
from engrain.records import content_hash

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]
pytest.importorskip("matplotlib", reason="the pictures need engrain[plots]")

EVERY = {"benchmark", "at", "commit", "machine", "load_average", "wall_s", "cpu_s", "settings", "bars", "results"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers something short to everything, with room for many notes."""
    import tiny_models

    folder = tiny_models.reader(tmp_path_factory.mktemp("base") / "reader")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 4096}))
    return folder


def questions(note: str) -> list[Asked]:
    name = content_hash(note, length=8)
    return [
        Asked(f"{words} {name}?", "plain") for words in ("Who has", "What is there about", "Since when is there", "Why")
    ]


@pytest.fixture
def bench(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a benchmark's --quick form with training runs of two steps; returns what it wrote."""
    # This model asks nothing sensible and answers nothing rightly: it is asked for it, and any answer will do.
    monkeypatch.setattr("engrain.loops.study.plain_questions", questions)
    monkeypatch.setattr("engrain.loops.study.answers_it", lambda *_: True)

    def run(name: str, *options: str, wrote: str = "", bars: bool = True) -> dict[str, Any]:
        argv = [name, "--quick", "--steps", "2", "--base", str(base), "--out", str(tmp_path), *options]
        monkeypatch.setattr(sys, "argv", argv)
        importlib.import_module(name).main()
        path = tmp_path / f"{wrote or name}-quick.json"
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        assert path.with_suffix(".png").stat().st_size > 1000
        assert set(document) == EVERY
        assert bool(document["bars"]) == bars
        assert all({"bar", "value", "wanted", "passed"} == set(b) for b in document["bars"])
        results: dict[str, Any] = document["results"]
        return results

    return run


def test_internalize_compares_base_in_context_and_after_for_every_kind(bench: Any) -> None:
    results = bench("internalize")
    rows = {
        "facts",
        "procedures",
        "preferences",
        "all told",
        "unknown, near misses",
        "unknown, foreign",
        "reading, probes",
    }
    assert rows <= set(results["rows"])
    for columns in results["rows"].values():
        assert {"base", "in context", "after"} == set(columns)
        assert {"mean", "sd", "min", "max", "values", "right", "asked", "interval"} == set(columns["after"])
    assert results["runs"][0]["decision"] != "nothing trained"
    assert {"tokens", "served", "decision", "reason", "wall_s"} <= set(results["runs"][0])


def test_compounding_has_every_arm_at_every_step(bench: Any) -> None:
    results = bench("compounding")
    assert not results["runs"][0]["decisions"][0].startswith("nothing trained")
    assert {len(v) for v in results["running"].values()} == {24}
    assert set(results["running"]) == {"frozen", "learner", "engrain"}
    assert {"accuracy", "difference_interval", "difference_over_facts", "first", "apart_after", "windows"} <= set(
        results
    )


def test_ten_in_a_row_has_the_matrix_and_the_abilities_after_each(bench: Any) -> None:
    results = bench("ten_in_a_row")
    assert not results["runs"][0]["decisions"][0].startswith("nothing trained")
    assert [len(row) for row in results["mean_matrix"]] == [2, 2, 2]
    assert {"average accuracy", "backward transfer", "forgetting"} <= set(results["measures"])
    assert len(results["runs"][0]["abilities"]) == 3


def test_cost_measures_sizes_users_and_both_arms_of_engrain(bench: Any) -> None:
    nothing = shutil.which("false")  # a python without TRL
    assert nothing is not None
    results = bench("cost", "--sizes", "8", "--users", "1", "--trl-python", nothing)
    assert {"wall_s", "cpu_s", "peak_mb", "over_mb", "disk_mb"} <= set(results["by_facts"]["8"][0])
    assert {"1"} == set(results["by_users"])
    arms = results["against"][0]["arms"]
    assert {"engrain, same objective", "engrain, default"} == set(arms)
    for arm in arms.values():
        assert arm["curve"][-1]["step"] == 2
        assert {"right", "wall_s", "cpu_s"} <= set(arm["curve"][-1])
    assert results["ratios"] == {"engrain, same objective": [], "engrain, default": []}


def test_forget_compares_every_deletion_over_several_seeds(bench: Any) -> None:
    results = bench("forget", "--facts", "8", "--deletions", "2", "--seeds", "2")
    assert [c["seed"] for c in results["cases"]] == [0, 1]
    assert all({"identical", "trained", "changed", "forget_s", "fresh_s"} <= set(c) for c in results["cases"])
    assert results["times"]["forget / from nothing"]["sd"] is not None


def test_objectives_of_single_kinds_are_merged_into_one_result(bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = ("fact", "procedure", "preference")
    with pytest.raises(SystemExit, match="--kinds fact"):
        bench("objectives", "--merge")
    for kind in kinds:
        results = bench("objectives", "--kinds", kind, wrote=f"objectives-{kind}", bars=False)
        assert {"best_rate", "base", "in_context", "runs"} <= set(results[kind])
    capsys.readouterr()
    merged = bench("objectives", "--merge", bars=False)
    assert set(merged) == {*kinds, "parts"}
    assert "forward KL, both answers (default)" in merged["fact"]["runs"]
    assert capsys.readouterr().out.count("| objective") == 3


def test_gateway_asks_every_arm_and_finds_all_that_was_acknowledged_on_record(bench: Any) -> None:
    found = bench("gateway")
    assert set(found["rounds"]) == {"16", "1"}
    for arms in found["rounds"].values():
        assert set(arms) == {"direct", "engrain", "memory"}  # LiteLLM needs an environment of its own
        assert all(r["requests"] > 0 and r["cpu_ms"] > 0 for rounds in arms.values() for r in rounds)
    assert not found["faults"] and not found["failed"]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft 0.21 beside transformers 5
def test_serving_has_every_arm_and_the_next_turn_of_a_conversation(bench: Any) -> None:
    found = bench("serving")
    assert {"base", "engrain", "switching", "peft", "same loop"} == set(found["rows"][0]["tokens_s"])
    assert all(row["equal"]["same loop"] == row["equal"]["peft"] == 1 for row in found["rows"])
    assert all(turn["cached"] > turn["tokens"] // 2 for turn in found["turns"])


def test_catalogue_opens_from_disk_and_serves_more_than_fits(bench: Any) -> None:
    found = bench("catalogue")
    assert len(found["cold_ms"]) == len(found["warm_ms"]) == 40
    assert {"half", "all", "twice", "eight times"} == set(found["tokens_s"])


def test_pause_measures_both_arms_while_something_is_learned(bench: Any) -> None:
    found = bench("pause", "--base", str(SPROUT))  # the worker is a process of its own: it needs a model that studies
    assert {"alone", "learning"} == set(found["waits"]) and all(ms for arm in found["waits"].values() for ms in arm)


def test_a_crowd_is_answered_or_refused_and_nobody_is_lost(bench: Any) -> None:
    found = bench("crowd")
    assert sum(found["answered"].values()) == 400 and set(found["answered"]) <= {"200", "503"}
    assert not found["wrong"] and found["answered"]["200"] >= 32


def test_implicit_has_every_kind_with_its_intervals(bench: Any) -> None:
    results = bench("implicit")
    for kind in ("accepted", "corrected", "rephrased", "retried", "abandoned"):
        assert {"right", "told", "there", "precision", "precision_interval", "recall", "recall_interval"} == set(
            results[kind]
        )
    assert {"precision", "false_alarms", "none"} <= set(results["any"]) and results["items"] > 300


def test_the_follow_ups_are_enough_and_split_by_their_words() -> None:
    every = importlib.import_module("implicit").items()
    kinds = [i.kind for i in every]
    assert len(every) >= 300 and min(kinds.count(k) for k in set(kinds)) >= 30
    assert 0.4 < sum(i.reported for i in every) / len(every) < 0.6


def test_recall_reads_question_sets_and_has_every_arm(bench: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "letta-core-memory").mkdir(parents=True)
    extra = {
        "facts": ["The gate code is 4417.", "The dog is called Biscuit."], "supporting_fact_indices": [1],
        "contradicting_fact": "The dog is called Rex.",
    }  # fmt: skip
    row = json.dumps({"input": "What is the dog called?", "agent_args": {"extra": extra}})
    (data / "letta-core-memory" / "core_memory_update.jsonl").write_text(f"{row}\n{row}\n")
    turns = [
        {"speaker": "Ann", "dia_id": f"D1:{i}", "text": t}
        for i, t in enumerate(("Where is the kiln?", "Behind the barn."))
    ]
    talk = {"conversation": {"session_1": turns}, "qa": [{"question": "Where is the kiln?", "evidence": ["D1:1"]}]}
    (tmp_path / "talks.json").write_text(json.dumps([talk]))
    results = bench("recall", "--data", str(data), "--locomo", str(tmp_path / "talks.json"))
    assert set(results) == {"LoCoMo", "Letta, question", "Letta, new fact"}
    assert {"full text", "hashed vectors", "both, hashed"} <= set(results["LoCoMo"])
    assert (
        results["LoCoMo"]["both, hashed"]["percent"] == [100.0] * 4 and results["LoCoMo"]["split"] == "of another file"
    )
    assert results["Letta, new fact"]["both, hashed"]["percent"] == [100.0, 100.0]


def test_a_playbook_is_told_bullet_by_bullet(bench: Any, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "ace-appworld-playbooks"
    folder.mkdir(parents=True)
    lines = "## RULES\n[r-1] Always check the disk before a backup.\n[r-2] Always check the disk before a backup!\n[r-3] Water the ferns.\n"
    for name in ("appworld_online_trained_playbook.txt", "appworld_offline_trained_no_gt_playbook.txt"):
        (folder / name).write_text(lines)
    found = bench("playbook", "--data", str(tmp_path / "data"))["ACE, online"]
    assert (found["told"], found["active"], found["covered"], found["lost"]) == (3, 2, 1.0, 0)


def test_learning_from_failure_counts_by_trial(bench: Any) -> None:
    results = bench("failure")
    assert set(results) == {"again", "own", "shared", "written"} and len(results["shared"]["by_trial"]) == 4
    assert results["shared"]["by_trial"][-1]["mean"] == 1.0


def test_vectors_measures_one_user_and_many_and_the_vectors_alone(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = importlib.import_module("vectors")
    monkeypatch.setattr(vectors, "PEERS", {name: vectors.PEERS[name] for name in ("engrain", "sqlite-vec")})
    monkeypatch.setattr(vectors.gc, "freeze", lambda: None)
    found = bench("vectors")
    assert [(s["memories"], s["scopes"]) for s in found["stores"]] == [(200, 1), (200, 40)]
    for one in found["stores"]:
        assert {"open", "added", "next", "recalled", "without embedding", "first", "erased"} <= set(one)
        assert all(one["recalled"][figure] > 0 for figure in ("p50", "p95", "cpu_p50", "cpu_p95"))
    assert found["vectors"]["400"]["engrain"]["recall"] == 1


def test_a_memory_is_changed_a_few_dozen_times_and_nothing_is_lost(bench: Any) -> None:
    run = bench("collapse")["runs"][0]
    assert [row["updates"] for row in run["curve"]] == [60]
    assert (run["curve"][0]["live facts"], run["curve"][0]["details"], run["curve"][0]["stale"], run["as of"]) == (
        1,
        1,
        0,
        1,
    )


def test_the_small_systems_of_text_space_keep_their_promises(bench: Any) -> None:
    found = bench("textspace")
    assert (found["paging"]["pages"], found["paging"]["overflows"], found["sleep"][0]["left over"]) == (30, 0, 0)
    assert found["years"] == {"in use": 1.0, "idle": 0.0, "facts": 1.0}
