"""The commands of teams: a memory that several agents of one tenant share."""

from __future__ import annotations

from typing import Annotated

import typer

from engrain.cli.common import (
    HOME,
    Base,
    Device,
    Embed,
    Home,
    Tenant,
    User,
    app,
    guarded,
    opened,
    stored,
    there,
)
from engrain.cli.text import say
from engrain.engines import SPROUT
from engrain.reports import memory_line

team = typer.Typer(help="Teams: what is told to one is known to each of its members.", no_args_is_help=True)
app.add_typer(team, name="team")
Name = Annotated[str, typer.Argument(help="Of the team, such as: harbour. The team everyone is the whole tenant.")]


@team.command(name="join")
@guarded
def join_team(name: Name, home: Home = HOME, user: User = "me", tenant: Tenant = "local") -> None:
    """Make --user a member: they get what the team knows, and what it will be told.

    Example:  engrain team join harbour --user ada
    """
    from engrain.loops.teams import join, team_scope

    with stored(home) as store:
        say(f"{user} is a member of {name}; {join(store, team_scope(tenant, name), user)} records were copied")


@team.command(name="leave")
@guarded
def leave_team(
    name: Name, reason: Annotated[str, typer.Option(help="Why; the history tells it.")], home: Home = HOME, user: User = "me", tenant: Tenant = "local"
) -> None:  # fmt: skip
    """End the membership of --user: what they have from the team is put away.

    Example:  engrain team leave harbour --user ada --reason "another job"
    """
    from engrain.loops.teams import leave, team_scope

    with stored(there(home)) as store:
        say(f"{leave(store, team_scope(tenant, name), user, reason=reason)} memories were put away")


@team.command(name="members")
@guarded
def list_members(name: Name, home: Home = HOME, tenant: Tenant = "local") -> None:
    """Who is a member.

    Example:  engrain team members harbour
    """
    from engrain.loops.teams import members, team_scope

    with stored(there(home)) as store:
        for member in members(store, team_scope(tenant, name)):
            say(member)


@team.command(name="tell")
@guarded
def tell_the_team(
    name: Name, text: Annotated[str, typer.Argument(help="One note, in a sentence.")], home: Home = HOME, user: User = "me", tenant: Tenant = "local"
) -> None:  # fmt: skip
    """Tell the team something, as --user: the next answer of each member already uses it.

    Example:  engrain team tell harbour "The gate code of the north barn is 4417." --user ada
    """
    from engrain.loops.teams import team_scope, tell_team

    with stored(home) as store:
        for memory in tell_team(store, team_scope(tenant, name), text, by=user):
            say(memory_line(memory))


@team.command(name="ask")
@guarded
def ask_the_team(
    name: Name, query: Annotated[str, typer.Argument(help="A question, or a few words.")], home: Home = HOME, tenant: Tenant = "local", embedder: Embed = "auto"
) -> None:  # fmt: skip
    """What the team and each of its members knows that fits a query, best first, and who knows it. It reads what each of them keeps private, too: it is the operator's.

    Example:  engrain team ask harbour "gate code of the north barn"
    """
    from engrain.learner import embedder_of
    from engrain.loops.teams import ask, team_scope

    with stored(there(home)) as store:
        found = ask(store, embedder_of(embedder), query, team_scope(tenant, name))
        for known in found:
            say(f"{known.score:.2f}  {known.memory.text}  ({', '.join(known.by)})")
        if not found:
            say("nobody knows", "dim")


@team.command(name="share")
@guarded
def share_memory(
    name: Name, memory: Annotated[str, typer.Argument(help="Id of a memory of --user (mem_…).")], home: Home = HOME, user: User = "me", tenant: Tenant = "local"
) -> None:  # fmt: skip
    """Give the team a memory of --user.

    Example:  engrain team share harbour mem_3f9c2a71b04e --user ada
    """
    from engrain.loops.teams import share, team_scope
    from engrain.records import Scope

    with stored(there(home)) as store:
        say(memory_line(share(store, memory, team_scope(tenant, name), scope=Scope(tenant=tenant, user=user))))


@team.command(name="forget")
@guarded
def forget_memory(
    name: Name, memory: Annotated[str, typer.Argument(help="Id of a memory of the team (engrain memories --user team:NAME).")],
    reason: Annotated[str, typer.Option(help="Why; the ledger keeps it, so it must not repeat the content.")] = "asked by the team",
    home: Home = HOME, base: Base = SPROUT, tenant: Tenant = "local", device: Device = "auto",
) -> None:  # fmt: skip
    """Forget a memory of the team for good, there and with every member, down to their weights.

    Example:  engrain team forget harbour mem_3f9c2a71b04e
    """
    from engrain.loops.teams import forget_in_team, team_scope

    scope = team_scope(tenant, name)
    with opened(there(home), base, scope.user, tenant, device) as me:
        for receipt in forget_in_team(me.store, lambda: me.engine, memory, scope, home=me.home, reason=reason):
            say(f"{receipt.scope.user}: receipt {receipt.id}, {len(receipt.removed)} records erased")
