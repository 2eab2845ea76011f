"""A verifier that runs a test command on the answer, in a folder of its own and within limits.

The limits keep a test that runs away from taking the machine along. They are no wall against an answer that means harm: see `Command`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engrain.errors import InputError
from engrain.protocols import Finding
from engrain.records import Interaction

POLL_S = 0.02
TOLD = 300
"""Characters of the command's last output that go into the reason."""
# In a process of its own, because limits set between fork and exec can deadlock a parent that has threads.
_LAUNCHER = """
import json, os, resource, signal, sys
limits, argv = json.loads(sys.argv[1]), sys.argv[2:]
os.nice(10)
for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and by whatever it becomes
    signal.signal(ignored, signal.SIG_DFL)
for name, value in limits.items():
    most = resource.getrlimit(getattr(resource, name))[1]
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    # A second between the signal and the end, for with both at once there is no signal that says why.
    resource.setrlimit(getattr(resource, name), (value, value + 1 if name == "RLIMIT_CPU" and value != most else value))
try:
    os.execvp(argv[0], argv)
except OSError as error:
    print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Runs `argv` in a fresh folder that holds `answer.txt`, `question.txt` and `files`: exit code 0 passes, another fails.

    It gets no environment but PATH, HOME, TMPDIR and LANG, no input and no terminal, and its whole process group is killed at the end.
    Time on the processor, memory and file size are limited for each process (rlimit), processes by count (looked at every 20 ms), and the
    whole by `seconds`. What uses up a limit fails; what is only slow, is killed from outside, or cannot be run (126, 127) cannot be told.

    It protects from accidents, not from malice. The command runs as the same user: what it runs can read every file that engrain can read,
    its home included, reach the network, fill the disk with many files, and outlive its end by leaving its process group. To run answers
    that you do not trust, let `argv` begin with a real sandbox (bwrap, a container) or run engrain in one, and never as root.
    """

    name: str
    argv: Sequence[str]
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name and text of what lies beside the answer: the test itself, for instance."""
    seconds: float = 10.0
    """Of wall-clock time, for all of it."""
    cpu_s: int = 10
    memory_mb: int = 1024
    """Of address space, which is more than is used: node, Java and Go ask for much."""
    file_mb: int = 16
    """Of each file that it writes, and of what it prints."""
    processes: int = 64

    def __post_init__(self) -> None:
        if not self.argv or any("\0" in word for word in self.argv):
            raise InputError(f"argv={self.argv!r}; give a command and its words")
        for name in self.files:
            if Path(name).name != name or name in ("", ".", "..", "answer.txt", "question.txt"):
                raise InputError(
                    f"files: {name!r} is no name for a file beside the answer; give one without a folder in it"
                )
        for limit in ("seconds", "cpu_s", "memory_mb", "file_mb", "processes"):
            if getattr(self, limit) <= 0:
                raise InputError(f"{limit}={getattr(self, limit)}; give more than 0")

    def verify(self, interaction: Interaction) -> Finding:
        folder = tempfile.TemporaryDirectory(prefix="engrain-verify-", ignore_cleanup_errors=True)  # noqa: SIM115
        try:
            box = Path(folder.name)
            beside = {**self.files, "answer.txt": interaction.answer, "question.txt": interaction.query}
            for name, text in beside.items():
                (box / name).write_text(text, encoding="utf-8", errors="replace", newline="")
            with (
                tempfile.TemporaryFile() as printed
            ):  # without a name, under which the command could put something else
                code, why = self._run(box, printed.fileno())
                return self._found(code, why, _last_words(printed.fileno()))
        finally:
            try:
                folder.cleanup()
            except RecursionError:  # folders in folders in folders
                subprocess.run(["rm", "-rf", "--", folder.name], stderr=subprocess.DEVNULL, check=False)

    def _run(self, box: Path, printed: int) -> tuple[int, str]:
        """(exit code, or minus the signal that ended it; why it was killed, "" if it was not)."""
        limits = {
            "RLIMIT_CPU": self.cpu_s, "RLIMIT_AS": self.memory_mb << 20, "RLIMIT_FSIZE": self.file_mb << 20, "RLIMIT_CORE": 0,
        }  # fmt: skip
        environment = {"PATH": os.defpath, "HOME": str(box), "TMPDIR": str(box), "LANG": "C.UTF-8"}
        # -I -S: the launcher reads neither the environment nor what lies in its folder.
        launched = [sys.executable, "-I", "-S", "-c", _LAUNCHER, json.dumps(limits), *self.argv]
        process = subprocess.Popen(
            launched, cwd=box, env=environment, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        ends, why = time.monotonic() + self.seconds, ""
        try:
            # Not waited for until its group is killed, so that its number cannot become another's meanwhile.
            while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                if time.monotonic() > ends:
                    why = "time"
                elif _size(process.pid) > self.processes:
                    why = "processes"
                if why:
                    break
                time.sleep(POLL_S)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return process.returncode, why

    def _found(self, code: int, why: str, printed: str) -> Finding:
        said = f": {printed}" if printed else ""
        if why == "processes":
            return Finding(score=0.0, reason=f"more than {self.processes} processes")
        if why == "time":
            return Finding(score=None, reason=f"cannot tell: not done after {self.seconds:g} s")
        if code == -signal.SIGXCPU:
            return Finding(score=0.0, reason=f"more than {self.cpu_s} s on the processor")
        if code == -signal.SIGXFSZ:
            return Finding(score=0.0, reason=f"a file of more than {self.file_mb} MB")
        if code == -signal.SIGKILL:
            # The kernel's second word on processor time, or its cure for a full memory, or somebody's.
            return Finding(score=None, reason="cannot tell: killed from outside")
        if code in (126, 127):
            return Finding(score=None, reason=f"cannot tell: it could not be run{said}")
        if code < 0:
            return Finding(score=0.0, reason=f"ended by {signal.Signals(-code).name}{said}")
        return Finding(score=float(code == 0), reason=f"exit code {code}{said if code else ''}")


def _size(group: int) -> int:
    """How many processes a group has; 0 where /proc does not tell."""
    found = 0
    for entry in os.scandir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112
        if entry.name.isdigit():
            try:
                found += os.getpgid(int(entry.name)) == group
            except OSError:  # gone meanwhile
                continue
    return found


def _last_words(printed: int) -> str:
    """The end of what was printed to this file, in one line that a terminal can show."""
    text = os.pread(printed, 4 * TOLD, max(0, os.fstat(printed).st_size - 4 * TOLD)).decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[-TOLD:]
