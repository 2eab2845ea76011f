"""The commands of a service: serve, its tools for agents, its worker, canaries, jobs and keys."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated

import typer

from engrain.cli.common import (
    HOME,
    Base,
    Device,
    Embed,
    Home,
    LogJson,
    Share,
    Tenant,
    User,
    Verify,
    app,
    database,
    guarded,
    logged,
    stored,
    there,
    traced_as_configured,
)
from engrain.engines import SPROUT
from engrain.errors import InputError
from engrain.records import Scope
from engrain.reports import clean, job_table, key_table, name_of, terminal

if TYPE_CHECKING:
    from engrain.engines.upstream import Upstream

log = logging.getLogger(__name__)

SleepCalls = Annotated[
    int,
    typer.Option(
        min=0,
        help="Calls of what answers in one sleep of one user's memory, for reflections and lessons; 0: by rules alone.",
    ),
]
UpstreamKey = Annotated[
    str, typer.Option(metavar="VARIABLE", help="Name of the environment variable that holds its key.")
]


def _upstream(url: str, model: str, key: str) -> Upstream | None:
    if not url:
        return None
    from engrain.engines.upstream import Upstream

    return Upstream(url=url, model=model, key=os.environ.get(key, ""))


@app.command()
@guarded
def serve(
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine only with a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8420,
    rows: Annotated[int, typer.Option(min=1, max=128, help="Requests that are answered at the same time.")] = 32,
    per_minute: Annotated[int, typer.Option(min=0, help="Requests a minute that each key may make; 0: as many as come.")] = 0,
    learn: Annotated[bool, typer.Option(help="Consolidate in the background who has told enough and is quiet.")] = True,
    canary: Share = 0.0,
    upstream: Annotated[str, typer.Option(help="Address of an OpenAI-compatible server that answers instead of the base, such as http://127.0.0.1:8000/v1.")] = "",
    upstream_model: Annotated[str, typer.Option(help="Its model for requests that name `engrain`; others are passed on as they are.")] = "",
    upstream_key: UpstreamKey = "ENGRAIN_UPSTREAM_KEY",
    skills: Annotated[int, typer.Option(min=0, max=20, help="Show with each query the names of so many skills that fit it: for a model that asks for one (/v1/engrain/skills, MCP).")] = 0,
    verify: Verify = None,
    sleep_calls: SleepCalls = 0,
    drain: Annotated[int, typer.Option(min=0, help="Seconds that open answers have to end after Ctrl-C; they are recorded whole either way.")] = 30,
    log_json: LogJson = False,
    home: Home = HOME, base: Base = SPROUT, tenant: Tenant = "local", device: Device = "auto", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """Answer over HTTP as OpenAI does: point any OpenAI client at it, and its agent begins to remember and to learn.

    Without keys (engrain keys new) it listens on this machine only. Each user (OpenAI's safety_identifier or user, or the header x-engrain-user) has a memory and a version of their own.
    Ctrl-C ends it. With --upstream another server answers: what is recorded, remembered and judged here is the same, but no weights are learned.

    Example:  engrain serve      and then, in Python:  OpenAI(base_url="http://127.0.0.1:8420/v1", api_key="none")
    """
    from engrain.service import serve as run

    logged(log_json)
    run(
        home.expanduser(),
        base.expanduser(),
        host=host,
        port=port,
        tenant=tenant,
        rows=rows,
        device=device,
        embedder=embedder,
        database=database(),
        learn=learn,
        canary=canary,
        per_minute=per_minute,
        skills=skills,
        upstream=_upstream(upstream, upstream_model, upstream_key),
        verify=verify.expanduser() if verify else None,
        sleep_calls=sleep_calls,
        drain_s=drain,
        log_json=log_json,
        tracing=traced_as_configured(),
        say=log.info if log_json else terminal().print,
    )


@app.command(name="mcp")
@guarded
def serve_tools(
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP at /mcp, instead of standard input and output.")] = False,
    host: Annotated[str, typer.Option(help="With --http: where to listen; beyond this machine only with a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="With --http.")] = 8421,
    home: Home = HOME, base: Base = SPROUT, user: User = "me", tenant: Tenant = "local", device: Device = "auto", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """Give an agent that speaks MCP the tools remember, recall, feedback and forget, on the memory of one user.

    An MCP client starts it by itself: give it this command. The agent sees the memory of --user alone. What it tells becomes durable
    once it has stood for a day or was said twice; engrain serve, engrain work or engrain consolidate move it into the weights.

    Example:  engrain mcp --user ada
    """
    try:
        from engrain.mcp import run
    except ModuleNotFoundError as missing:
        raise InputError(f'{missing.name} is not installed; run: pip install "engrain[mcp]"') from missing

    run(
        home.expanduser(), base.expanduser(), user=user, tenant=tenant, device=device, embedder=embedder, database=database(), http=http, host=host, port=port,
        say=terminal(stderr=True).print,
    )  # fmt: skip


@app.command()
@guarded
def work(
    once: Annotated[bool, typer.Option("--once", help="End when nobody is due any more, and do not wait until users are quiet.")] = False,
    canary: Share = 0.0,
    verify: Verify = None,
    train: Annotated[bool, typer.Option(help="--no-train: judge only, as beside an upstream.")] = True,
    sleep_calls: SleepCalls = 0,
    upstream: Annotated[str, typer.Option(help="With --sleep-calls: the server that is asked instead of the base.")] = "",
    upstream_model: Annotated[str, typer.Option(help="Its model.")] = "",
    upstream_key: UpstreamKey = "ENGRAIN_UPSTREAM_KEY",
    log_json: LogJson = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
    home: Home = HOME, base: Base = SPROUT, device: Device = "auto", embedder: Embed = "auto",
) -> None:  # fmt: skip
    """Learn in the background: consolidate each user who has told enough and is quiet, at the lowest priority.

    `engrain serve` runs one of these beside it. A user is due when eight memories have become durable since the last run, or
    when the live version holds something that no longer holds. Whoever is quiet also has their memory put in order (engrain sleep). Killed or stopped, the next worker goes on from the last checkpoint.

    Example:  engrain work --once
    """
    from engrain.service import learn

    logged(log_json)
    learn(
        there(home).expanduser(), base.expanduser(), device=device, embedder=embedder, database=database(), once=once, canary=canary, with_parent=with_parent,
        verify=verify.expanduser() if verify else None, train=train, sleep_calls=sleep_calls, upstream=_upstream(upstream, upstream_model, upstream_key),
        say=lambda line: terminal().print(clean(line), soft_wrap=True, markup=False),
    )  # fmt: skip


@app.command(name="canary")
@guarded
def show_canary(
    approve: Annotated[bool, typer.Option("--approve", help="Make the candidate live now.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the trial; the live version stays.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    home: Home = HOME, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """The candidate on trial: what its answers and the live version's were worth so far; decide by hand if you like.

    With `engrain serve --canary 0.5` a version that the gate let through answers half of the conversations first. Ratings and corrections of
    those answers decide: it goes live when it is shown to be no worse, and is stopped when it is shown to be worse.

    Example:  engrain canary --user ada --approve
    """
    from engrain.adapters.canary import on_trial
    from engrain.loops.trial import decide, outcomes, trial_of

    scope = Scope(tenant=tenant, user=user)
    with stored(there(home)) as store:
        if approve and stop:
            raise InputError("--approve and --stop: give one of them")
        if approve or stop:
            verdict = decide(store, scope, approve=approve, reason=reason)
            terminal().print(clean(f"{verdict.decision}: {verdict.reasons[0]}"), soft_wrap=True, markup=False)
        elif canary := on_trial(store, scope):
            said = f"{name_of(canary.candidate)} answers {canary.share:.0%} beside {name_of(canary.against)}: {trial_of(canary).show(outcomes(store, canary))}"
            terminal().print(said, soft_wrap=True, markup=False)
        else:
            terminal().print("No version is on trial.")


@app.command()
@guarded
def jobs(
    cancel: Annotated[str | None, typer.Option(help="Id of a job that is not to be run, or is to stop; its user is --user.")] = None,
    home: Home = HOME, user: User = "me", tenant: Tenant = "local",
) -> None:  # fmt: skip
    """What is learned in the background: what runs and how far it is, what waits, and what became of the rest.

    Example:  engrain jobs
    """
    with stored(there(home)) as store:
        if cancel:
            store.cancel_job(cancel, scope=Scope(tenant=tenant, user=user))
        terminal().print(job_table(store.jobs()))


keys = typer.Typer(
    help="API keys: which tenant a caller of `engrain serve` belongs to, and what it may do.", no_args_is_help=True
)
app.add_typer(keys, name="keys")


@keys.command(name="new")
@guarded
def new_key(
    tenant: Tenant = "local",
    allow: Annotated[str, typer.Option(help="What it allows, separated by commas: serve, feedback, admin.")] = "serve,feedback",
    name: Annotated[str, typer.Option(help="What it is for, for your own list.")] = "",
    home: Home = HOME,
) -> None:  # fmt: skip
    """Make a key. It is shown this once; only its hash is kept.

    Example:  engrain keys new --tenant acme --name "the web shop"
    """
    with stored(home) as store:
        key, secret = store.new_key(tenant, [a.strip() for a in allow.split(",") if a.strip()], name=name)
    print(secret)
    terminal(stderr=True).print(
        f"{key.id}: tenant {clean(key.tenant)}, allows {', '.join(key.rights)}. Keep it; it is not shown again.",
        style="dim",
    )


@keys.command(name="list")
@guarded
def list_keys(home: Home = HOME) -> None:
    """Every key, by its id; never the key itself.

    Example:  engrain keys list
    """
    with stored(there(home)) as store:
        terminal().print(key_table(store.api_keys()))


@keys.command(name="revoke")
@guarded
def revoke_key(
    key: Annotated[str, typer.Argument(help="Its id (key_…).")],
    rotate: Annotated[bool, typer.Option("--rotate", help="Make another of the same rights in its place, and show it.")] = False,
    home: Home = HOME,
) -> None:  # fmt: skip
    """Let a key open nothing any more, from the next request on.

    Example:  engrain keys revoke key_3f9c2a71b04e --rotate
    """
    with stored(there(home)) as store:
        if rotate:
            print(store.rotate_key(key)[1])
        else:
            store.revoke_key(key)
    terminal(stderr=True).print(f"{key} is revoked.", style="dim")
