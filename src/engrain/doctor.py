"""What `engrain doctor` checks: each check says whether all is well, and what it found or what to do."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from engrain.errors import EngrainError

ENOUGH = 200 << 20
"""Bytes of free disk below which writing soon fails."""


def examine(
    home: Path, base: Path, device: str, calls: Sequence[str] = (), database: str = ""
) -> list[tuple[str, bool, str]]:
    """Every check with its name, whether all is well, and what it says; none of them raises. `calls`: the addresses that the environment
    has engrain call; `database`: that of a PostgreSQL one, "" for the file in the home."""
    checks: dict[str, Callable[[], tuple[bool, str]]] = {
        "versions": check_versions, "processor": lambda: check_processor(device), "base": lambda: check_base(base),
        "database": lambda: check_database(home, database), "disk": lambda: check_disk(home),
        "adapters": lambda: check_adapters(home, database),
        "network": lambda: check_calls(calls),
    }  # fmt: skip
    found: list[tuple[str, bool, str]] = []
    for name, check in checks.items():
        try:
            found.append((name, *check()))
        except EngrainError as error:
            found.append((name, False, str(error)))
        except OSError as error:
            where = error.filename or home
            found.append(
                (name, False, f"{where}: {error.strerror}; make it readable and writable, or name another --home")
            )
    return found


def check_versions() -> tuple[bool, str]:
    from importlib.metadata import PackageNotFoundError, version

    import engrain

    found, missing = [f"engrain {engrain.__version__}", f"Python {platform.python_version()}"], False
    for package in ("torch", "transformers", "safetensors", "sqlalchemy", "numpy"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} is missing (pip install engrain)")
            missing = True
    return not missing, ", ".join(found)


def check_processor(device: str) -> tuple[bool, str]:
    """Processor and, where torch finds one, graphics card; which of them the model will run on."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        flags = set[str]()
    bfloat16 = "yes" if "avx512_bf16" in flags else "no (trains in float32, slower)"
    said = f"{platform.machine()}, {os.cpu_count()} cores, bfloat16 in hardware: {bfloat16}"
    try:
        from engrain.engines.local import device_of
    except ImportError:  # torch is missing, which check_versions says
        return True, said
    return True, f"{said}; the model runs on {device_of(device)}"


def check_base(base: Path) -> tuple[bool, str]:
    from engrain.engines import folder
    from engrain.engines.chat import check_template

    config = folder.check(base)
    with suppress(ImportError):  # transformers is missing, which check_versions says
        check_template(folder.open_tokenizer(base), base)
    return True, f"{config.get('model_type', 'model')} in {base}, hash {folder.content_hash(base)[:12]}"


def check_database(home: Path, database: str = "") -> tuple[bool, str]:
    from engrain.store import SqlStore

    if not database and not is_home(home):
        return True, f"there is no home at {home} yet; the first engrain tell, learn or chat makes it"
    store = SqlStore(home, database=database)
    try:
        return True, f"{store.name}: {store.verify()} ledger entries, all right"
    finally:
        store.close()


def is_home(home: Path) -> bool:
    """Whether there is a home; OSError if none can be there."""
    try:
        (home / "engrain.db").stat()
    except FileNotFoundError:
        return False
    return True


def check_disk(home: Path) -> tuple[bool, str]:
    is_home(home)
    nearest = next(
        folder for folder in (home, *home.absolute().parents) if folder.exists()
    )  # where a home will be made
    free = shutil.disk_usage(nearest).free
    good = free > ENOUGH
    return good, f"{free / (1 << 30):.1f} GB free{'' if good else '; free some, a write that fails is refused'}"


def check_adapters(home: Path, database: str = "") -> tuple[bool, str]:
    """Adapters on disk against those that the ledger knows of, everybody's (it has no scope), and their contents against their
    names."""
    from engrain.loops.forget import recorded_adapters
    from engrain.store import SqlStore

    if not database and not is_home(home):
        return True, "none recorded yet"
    store = SqlStore(home, database=database)
    try:
        recorded = recorded_adapters(store)
    finally:
        store.close()
    folder = home / "adapters"
    present = {p.name for p in folder.iterdir() if p.is_dir()} if folder.is_dir() else set[str]()
    if missing := sorted(recorded - present):
        lost = f"{len(missing)} of {len(recorded)} recorded adapters are not on disk ({missing[0][:12]} …)"
        return False, f"{lost}; restore {folder} from a backup"
    try:
        from engrain.engines import lora
    except ImportError:  # torch is missing, which check_versions says
        return True, f"{len(recorded)} recorded, all on disk; unread, for torch is missing"
    if damaged := [name for name in sorted(recorded) if lora.altered(folder, name)]:
        lost = f"{len(damaged)} of {len(recorded)} recorded adapters were altered on disk ({damaged[0][:12]} …)"
        return False, f"{lost}; restore them in {folder} from a backup"
    stray = len(present - recorded)
    more = f"; {stray} more from interrupted runs (forget removes them)" if stray else ""
    return True, f"{len(recorded)} recorded, all on disk and whole{more}"


def check_calls(calls: Sequence[str]) -> tuple[bool, str]:
    """Every address that may be called: none but what somebody asked for by name."""
    named = "; `engrain serve --upstream URL` calls that one"
    if calls:
        return (
            True,
            f"`engrain serve` sends traces to {', '.join(calls)} (OTEL_…; set OTEL_SDK_DISABLED=true to stop it){named}",
        )
    return True, f"may call: no address at all (models are read from folders only){named}"
