"""One consolidation at a time per home folder; reading, chatting and telling need no lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engrain.errors import HomeBusy, StoreError


@contextmanager
def home_lock(home: str | Path) -> Iterator[None]:
    """Hold the home folder for one long job; HomeBusy names the process that already does, StoreError says why it cannot be.

    The kernel drops the lock when its process ends, however it ends, so a killed run leaves nothing to clean up.
    """
    path = Path(home) / "engrain.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="ascii")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror}); make it writable, or give another home"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise HomeBusy(
                f"{home} is being consolidated by process {holder}; wait for it, or stop it and run again"
            ) from error
        except OSError as error:
            raise StoreError(f"{path} cannot be locked ({error.strerror}); keep the home on a local disk") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
