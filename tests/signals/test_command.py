"""A test command passes, fails or cannot tell; what runs away is stopped, with all that it started."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from answers import answered

from engrain.errors import InputError
from engrain.signals import Command

pytestmark = pytest.mark.skipif(not hasattr(os, "waitid") or sys.platform != "linux", reason="needs Linux")


def python(code: str, **limits: Any) -> Command:
    return Command(name="test", argv=[sys.executable, "test.py"], files={"test.py": code}, **limits)


def test_exit_code_0_passes_and_another_fails_with_its_last_words() -> None:
    check = python("import answer_test\n", seconds=60)
    assert check.verify(answered("x")).score == 0.0  # there is no such module
    right = python(
        "assert open('answer.txt', encoding='utf-8', newline='').read() == 'Zoë 🦆\\r\\n', 'another answer'", seconds=60
    )
    assert right.verify(answered("Zoë 🦆\r\n")).score == 1.0
    wrong = right.verify(answered("Zoe"))
    assert wrong.score == 0.0 and wrong.reason.startswith("exit code 1: ") and wrong.reason.endswith("another answer")


def test_it_sees_no_environment_no_input_and_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGRAIN_SECRET", "4417")
    code = """
import os, sys
assert "ENGRAIN_SECRET" not in os.environ and "PYTHONPATH" not in os.environ, os.environ
assert os.environ["HOME"] == os.getcwd() and sys.stdin.read() == ""
assert sorted(os.listdir()) == ["answer.txt", "question.txt", "test.py"], os.listdir()
"""
    found = python(code, seconds=60).verify(answered("x"))
    assert found.score == 1.0, found.reason


def test_what_cannot_be_run_cannot_be_told() -> None:
    for argv in (["no-such-command"], ["/etc/passwd"], ["sh", "-c", "no-such-command"]):
        found = Command(name="test", argv=argv, seconds=60).verify(answered("x"))
        assert found.score is None and "could not be run" in found.reason, found


def test_one_that_sleeps_is_killed_and_cannot_be_told() -> None:
    begun = time.monotonic()
    found = Command(name="test", argv=["sleep", "600"], seconds=0.5).verify(answered("x"))
    assert found.score is None and "not done after 0.5 s" in found.reason
    assert time.monotonic() - begun < 30


def test_one_that_uses_up_its_processor_time_fails() -> None:
    found = python("while True: pass", seconds=120, cpu_s=1).verify(answered("x"))
    assert (found.score, found.reason) == (0.0, "more than 1 s on the processor")


def test_one_that_takes_too_much_memory_fails() -> None:
    found = python("x = b'x' * (1 << 30)", seconds=60, memory_mb=256).verify(answered("x"))
    assert found.score == 0.0 and "MemoryError" in found.reason


def test_huge_output_and_huge_files_end_at_their_limit() -> None:
    loud = Command(name="test", argv=["sh", "-c", "exec yes 4417"], seconds=120, file_mb=1).verify(answered("x"))
    assert (loud.score, loud.reason) == (0.0, "a file of more than 1 MB")
    code = "open('big', 'wb').write(b'x' * (2 << 20))"
    assert "File too large" in python(code, seconds=60, file_mb=1).verify(answered("x")).reason


def test_output_that_is_no_text_is_shown_as_far_as_it_is_one() -> None:
    code = "import sys; sys.stdout.buffer.write(b'\\x1b[31m\\xff\\x00 broken\\n' * 1000); sys.exit(3)"
    found = python(code, seconds=60).verify(answered("x"))
    assert found.score == 0.0 and found.reason.startswith("exit code 3: ") and found.reason.endswith("broken")
    assert found.reason.isprintable()


def test_what_the_command_does_to_the_folders_around_it_changes_nothing() -> None:
    code = """
import os
for name in os.listdir(".."):
    if name == "output":
        os.remove("../output")
        os.mkfifo("../output")
raise SystemExit("wrong")
"""
    found = python(code, seconds=60).verify(answered("x"))
    assert (found.score, found.reason) == (0.0, "exit code 1: wrong")


def test_folders_in_folders_without_end_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')"
    assert python(code, seconds=60).verify(answered("x")).score == 1.0
    assert not list(tmp_path.iterdir())


def processes_with(mark: str) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "cmdline").read_bytes().decode(errors="replace"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_one_that_forks_and_forks_is_stopped_with_all_its_children() -> None:
    # It would end by itself at some hundred children, so that a limit that failed would not take the machine along.
    code = """
import os, sys, time
for _ in range(150):
    if os.fork() == 0:
        time.sleep(120)
        os._exit(0)
    time.sleep(0.005)
time.sleep(120)
"""
    mark = f"engrain-fork-{os.getpid()}"
    check = Command(
        name="test", argv=[sys.executable, "test.py", mark], files={"test.py": code}, seconds=100, processes=10
    )
    found = check.verify(answered("x"))
    assert (found.score, found.reason) == (0.0, "more than 10 processes")
    deadline = time.monotonic() + 30
    while any(p != os.getpid() for p in processes_with(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_with(mark)


def test_what_is_left_in_the_background_ends_with_the_command() -> None:
    mark = f"{600 + os.getpid() / 1e7:.7f}"
    found = Command(name="test", argv=["sh", "-c", f"sleep {mark} & exit 0"], seconds=60).verify(answered("x"))
    assert found.score == 1.0
    deadline = time.monotonic() + 30
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes_with(mark)


def test_one_that_is_ended_by_a_signal_fails_unless_it_was_killed_from_outside() -> None:
    crash = python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", seconds=60).verify(answered("x"))
    assert crash.score == 0.0 and "SIGSEGV" in crash.reason
    killed = python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", seconds=60).verify(answered("x"))
    assert killed.score is None


def test_the_answer_is_data_and_no_part_of_the_command() -> None:
    found = Command(name="test", argv=["test", "-s", "answer.txt"], seconds=60).verify(
        answered("; rm -rf / $(touch x)")
    )
    assert found.score == 1.0
    assert Command(name="test", argv=["test", "-s", "answer.txt"], seconds=60).verify(answered("")).score == 0.0
    assert Command(name="test", argv=["true"], seconds=60).verify(answered("lone \ud800 surrogate")).score == 1.0


@pytest.mark.parametrize(
    "wrong",
    [{"argv": []}, {"argv": ["a\0b"]}, {"files": {"../x": ""}}, {"files": {"answer.txt": ""}}, {"seconds": 0}, {"memory_mb": -1}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Command(**({"name": "test", "argv": ["true"]} | wrong))
