"""One consolidation per home, and no lock left behind by the dead."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engrain.errors import HomeBusy, StoreError
from engrain.store import home_lock

HOLDER = """
import sys, time
from engrain.store import home_lock
with home_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_holds_the_home_and_a_killed_holder_frees_it(
    tmp_path: Path, python: Callable[..., subprocess.Popen[str]]
) -> None:
    holder = python(HOLDER, tmp_path)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(HomeBusy, match=f"by process {holder.pid};"), home_lock(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with home_lock(tmp_path):
        pass


def test_the_same_process_cannot_hold_a_home_twice(tmp_path: Path) -> None:
    with home_lock(tmp_path), pytest.raises(HomeBusy, match=f"by process {os.getpid()};"), home_lock(tmp_path):
        pass
    with home_lock(tmp_path):
        pass


def test_a_disk_that_cannot_lock_is_not_a_busy_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StoreError, match="cannot be locked"), home_lock(tmp_path):
        pass


def test_two_homes_do_not_hinder_each_other(tmp_path: Path) -> None:
    with home_lock(tmp_path / "one"), home_lock(tmp_path / "two"):
        pass
