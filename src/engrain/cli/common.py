"""What every command shares: its options, its errors, and where it finds the home. Only this room reads the environment (ENGRAIN_HOME, ENGRAIN_DATABASE, ENGRAIN_BASE,
ENGRAIN_DEVICE, ENGRAIN_EMBEDDER; OpenTelemetry's OTEL_*)."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engrain.errors import EngrainError, InputError, NotFound
from engrain.reports import clean, terminal

if TYPE_CHECKING:
    from engrain.learner import Learner
    from engrain.store import SqlStore
    from engrain.telemetry.tracing import Tracing

app = typer.Typer(
    name="engrain",
    help="What you tell engrain, it uses at once and comes to know.\n\n"
    "Try it in this order:  engrain demo,  engrain tell,  engrain chat,  engrain consolidate.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown",
)  # fmt: skip

Home = Annotated[Path, typer.Option(envvar="ENGRAIN_HOME", help="The folder that everything is kept in.")]
Base = Annotated[
    Path,
    typer.Option(envvar="ENGRAIN_BASE", help="The model: a decoder-only Hugging Face folder.", show_default="sprout"),
]
Share = Annotated[
    float,
    typer.Option(
        "--canary",
        min=0,
        max=0.99,
        help="Share of a user's conversations that a candidate answers on trial before it goes live; 0: no trial.",
    ),
]
Verify = Annotated[
    Path | None,
    typer.Option(
        help="A Python file of yours with verifiers(engine), which the worker runs over each answer (docs/serve.md)."
    ),
]
Device = Annotated[
    str,
    typer.Option(envvar="ENGRAIN_DEVICE", help="Where the model runs: auto (cuda where there is one), cpu or cuda."),
]
Embed = Annotated[
    str,
    typer.Option(
        "--embedder", envvar="ENGRAIN_EMBEDDER",
        help="What finds notes by meaning: minilm, a folder of such a model, hashed (letters alone), or auto: minilm where it is installed.",
    ),
]  # fmt: skip
User = Annotated[str, typer.Option(help="Whose memory and weights; nobody learns from somebody else.")]
Tenant = Annotated[str, typer.Option(help="The group of users that the user belongs to.")]
LogJson = Annotated[
    bool,
    typer.Option(
        "--log-json", help="Log to standard error as JSON lines: ids, routes, states and times, never what was said."
    ),
]
HOME = Path("~/.engrain")


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Every engrain error becomes one red line and exit code 1; Ctrl-C exits 130 and says what to run again."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except EngrainError as error:
            fail(str(error))
        except KeyboardInterrupt as stop:
            again = shlex.join(["engrain", *sys.argv[1:]])
            said = str(stop) or "Stopped. Nothing is lost: what was acknowledged is on disk."
            terminal(stderr=True).print(f"\n{said}\nRun again: {again}", style="yellow", soft_wrap=True)
            raise typer.Exit(130) from None

    return run


def fail(message: str) -> None:
    """One red line on stderr, exit code 1."""
    line = " ".join(clean(message).split())
    terminal(stderr=True).print(line, style="red", soft_wrap=True)
    raise typer.Exit(1)


def opened(home: Path, base: Path, user: str, tenant: str, device: str = "auto", embedder: str = "auto") -> Learner:
    """The Learner of this user; the model is loaded only by what needs it. `embedder`: for what recalls."""
    from engrain.learner import Learner

    return Learner(
        home.expanduser(),
        base=base.expanduser(),
        user=user,
        tenant=tenant,
        device=device,
        embedder=embedder,
        database=database(),
    )


def database() -> str:
    """The address of the PostgreSQL database that records are kept in; "": in a file of the home. It is no option, for it may hold a password, which
    everybody on the machine could read in the list of processes."""
    return os.environ.get("ENGRAIN_DATABASE", "")


def stored(home: Path) -> AbstractContextManager[SqlStore]:
    """The store of a home, for what needs no user; closed at the end."""
    from engrain.store import SqlStore

    return closing(SqlStore(home.expanduser(), database=database()))


def there(home: Path) -> Path:
    """The home folder, if there is one: what only looks at it, or takes from it, makes none."""
    if not database() and not (home.expanduser() / "engrain.db").is_file():
        raise NotFound(
            f'there is no engrain home at {home}; name another with --home (or ENGRAIN_HOME), or begin one with: engrain tell "…"'
        )
    return home


def logged(as_json: bool) -> None:
    """Set up logging for a process that stays."""
    from engrain.telemetry.logs import log_as_json, log_in_words

    (log_as_json if as_json else log_in_words)()


def traces_to() -> list[str]:
    """Where OpenTelemetry's standard variables have traces sent; empty: nowhere."""
    exporters = [e.strip() for e in os.environ.get("OTEL_TRACES_EXPORTER", "").split(",") if e.strip()]
    endpoints = (os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    endpoint = next(filter(None, endpoints), "")
    if exporters == ["none"] or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return []
    if not exporters:
        return [endpoint] if endpoint else []
    return [endpoint or "http://localhost:4318" if e == "otlp" else e for e in exporters]


def traced_as_configured() -> Tracing | None:
    """OpenTelemetry's tracing, if its standard variables ask for it: an endpoint or an exporter, and nothing that turns it off."""
    if not traces_to():
        return None
    try:
        from engrain.telemetry.tracing import tracing_of
    except ModuleNotFoundError as missing:
        raise InputError(f'{missing.name} is not installed; run: pip install "engrain[otel]"') from missing
    return tracing_of(os.environ)
