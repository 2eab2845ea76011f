"""Text space over HTTP: lessons, notes, skills, core blocks, and changes to memories, as JSON under /v1/engrain.

A key that allows `serve` reads and adds, as it does by talking; what takes effect on what is there, or trusts a skill, needs `admin`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal, cast, get_args

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from engrain.dashboard.api import User, listed
from engrain.dashboard.desk import Desk
from engrain.errors import InputError
from engrain.gateway import wire
from engrain.loops import remember, teams
from engrain.loops.curate import Operation
from engrain.loops.remember import LONGEST_NOTE
from engrain.loops.sleep import Sleep
from engrain.memory.history import LESSONS
from engrain.memory.skills import parse
from engrain.records import Message, Operator, Scope
from engrain.text import Text

Words = Annotated[str, Field(min_length=1, max_length=LONGEST_NOTE)]
Id = Annotated[str, Field(min_length=1, max_length=128)]


class NewLesson(BaseModel):
    """A lesson to keep."""

    text: Words
    section: str = Field(default="", max_length=200)


class NewNote(BaseModel):
    """A note to keep."""

    text: Words


class NewSkill(BaseModel):
    """A skill to keep, which waits to be accepted: its SKILL.md and the text of its other files by their path."""

    skill_md: str = Field(min_length=1, max_length=1 << 18)
    files: dict[str, str] = Field(default={}, max_length=200)


class BlockText(BaseModel):
    """What a core block is to say; `seen` is the version that it was worked out from."""

    text: str = Field(max_length=1 << 16)
    seen: str | None = Field(default=None, max_length=128)
    limit: int | None = Field(default=None, ge=1, le=1 << 16)


class Change(BaseModel):
    """One change to memories that are there."""

    operator: str = Field(description=", ".join(get_args(Operator)))
    targets: list[Id] = Field(min_length=1, max_length=100)
    reason: Words
    into: str = Field(default="", max_length=128)
    value: str = Field(default="", max_length=200)


class Proposed(BaseModel):
    """One change of the playbook."""

    type: Literal["ADD", "UPDATE", "MERGE", "RETIRE", "TAG"]
    ids: list[Id] = Field(default=[], max_length=100, description="none for ADD, two or more for MERGE, else one")
    content: str = Field(default="", max_length=LONGEST_NOTE)
    section: str = Field(default="", max_length=200)
    value: str = Field(default="", max_length=20, description="of a TAG: helpful, harmful, neutral")
    reason: str = Field(default="", max_length=LONGEST_NOTE)


class NewMemory(BaseModel):
    """What is to be remembered; with a thing and its attribute it takes the place of what was told about that."""

    text: Words
    thing: str = Field(default="", max_length=512)
    attribute: str = Field(default="", max_length=512)


class Talk(BaseModel):
    """A conversation that may be longer than a model's window."""

    messages: list[wire.Turn] = Field(min_length=1, max_length=2000)
    conversation: str = Field(default="", max_length=512)
    window: int | None = Field(default=None, ge=1, le=1 << 24, description="tokens; the model's own if left out")
    tools: bool = Field(default=True, description="whether the memory tools go with it")


class Asleep(BaseModel):
    """How many calls of the model a sleep may make."""

    calls: int = Field(default=0, ge=0, le=10_000)


class Curation(BaseModel):
    """Changes of the playbook, which hold unless the user's tasks show that they do harm; without any, the model proposes them."""

    kind: Literal["lesson", "note"] = Field(
        default="lesson", description="notes are compressed so; their effect is not tried"
    )

    operations: list[Proposed] | None = Field(default=None, min_length=1, max_length=100)
    wait: bool = Field(
        default=False, description="only what is shown to help holds at once; the rest waits to be accepted"
    )


class ToolCall(BaseModel):
    """What a model asked a memory tool for."""

    arguments: str = Field(default="{}", max_length=1 << 16, description="JSON, as in a model's tool call")


class Reflect(BaseModel):
    """An answer that was not good."""

    interaction: Id


def as_sent(message: Message) -> dict[str, Any]:
    """A turn as an OpenAI request has it."""
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in message.tool_calls
    ]
    return {
        "role": message.role, "content": message.content,
        **({"tool_calls": calls} if calls else {}), **({"tool_call_id": message.tool_call_id} if message.tool_call_id else {}),
    }  # fmt: skip


def nobodys_team(scope: Scope) -> None:
    """InputError for a team's own scope: with a key that allows `serve` only its members tell it something."""
    if scope.is_team:
        raise InputError(f"{scope.user} is a team; it is told by its members (POST /v1/engrain/teams/NAME/memories)")


def router(desk: Desk, tenant_for: Callable[[str], Callable[[Request], Awaitable[str]]]) -> APIRouter:
    """The routes, each for one user of the caller's own tenant."""
    api = APIRouter(prefix="/v1/engrain")

    def text_for(right: str) -> Callable[..., Text]:
        own = Depends(tenant_for(right))

        def text(user: User, tenant: str = own) -> Text:
            scope = Scope(tenant=tenant, user=user)
            if right == "serve":
                nobodys_team(scope)
            return Text(
                desk.store, desk.embedder, scope, engine=lambda: desk.engine, serving=desk.serving,
                sampler=desk.sampler if desk.upstream else None, shelf=desk.shelf,
            )  # fmt: skip

        return text

    serves, steers = Depends(text_for("serve")), Depends(text_for("admin"))

    @api.get("/lessons")
    def lessons(text: Text = serves) -> dict[str, Any]:
        return listed(
            [asdict(lesson.memory) | asdict(lesson.worth) | {"value": lesson.value} for lesson in text.lessons()]
        )

    @api.post("/lessons")
    def add_lesson(body: NewLesson, text: Text = serves) -> dict[str, Any]:
        return listed([asdict(merge) for merge in text.lesson(body.text, section=body.section)])

    @api.post("/lessons/curation")
    def curate(body: Curation, text: Text = steers) -> dict[str, Any]:
        asked = [Operation(**one.model_dump() | {"ids": tuple(one.ids)}) for one in body.operations or ()]
        kinds = LESSONS if body.kind == "lesson" else ("note",)
        return asdict(text.curate(asked or None, wait=body.wait, kinds=kinds))

    @api.post("/reflections")
    def reflect(body: Reflect, text: Text = serves) -> dict[str, Any]:
        memory = text.reflect(body.interaction)
        return listed([asdict(memory)] if memory else [])

    @api.post("/notes")
    def add_note(body: NewNote, text: Text = serves) -> dict[str, Any]:
        memory, links = text.note(body.text)
        return asdict(memory) | {"links": [asdict(link) for link in links]}

    @api.post("/notes/{memory}/revert")
    def revert(memory: str, text: Text = steers) -> dict[str, Any]:
        return asdict(text.revert(memory))

    @api.post("/memories")
    def tell(body: NewMemory, user: User, tenant: str = Depends(tenant_for("serve"))) -> dict[str, Any]:
        scope = Scope(tenant=tenant, user=user)
        nobodys_team(scope)
        if body.thing or body.attribute:
            told = [remember.tell(desk.store, body.text, scope=scope, source="api", about=(body.thing, body.attribute))]
        else:
            told = remember.tell_facts(desk.store, body.text, scope=scope, source="api")
        return listed([asdict(m) for m in told])

    @api.get("/skills")
    def skills(fitting: Annotated[str, Query(max_length=4096)] = "", text: Text = serves) -> dict[str, Any]:
        known = {s.name: s for s in text.skills()}
        names = text.fitting_skills(fitting) if fitting.strip() else list(known)
        return listed([{"name": name, "description": known[name].description} for name in names])

    @api.get("/skills/{name}")
    def skill(name: str, file: Annotated[str, Query(max_length=1024)] = "", text: Text = serves) -> dict[str, str]:
        return {"name": name, "file": file, "text": text.skill(name, file)}

    @api.post("/skills")
    def add_skill(body: NewSkill, text: Text = serves) -> dict[str, Any]:
        return listed([asdict(m) for m in text.offer_skill(parse(body.skill_md, files=body.files), source="api")])

    @api.get("/blocks")
    def blocks(text: Text = serves) -> dict[str, Any]:
        return listed([asdict(block) for block in text.blocks()])

    @api.put("/blocks/{name}")
    def write_block(name: str, body: BlockText, text: Text = serves) -> dict[str, Any]:
        return asdict(text.write_block(name, body.text, seen=body.seen, limit=body.limit))

    @api.get("/tools")
    def tools(text: Text = serves) -> dict[str, Any]:
        return listed(text.pager().offered())

    @api.post("/tools/{name}")
    def call_tool(name: str, body: ToolCall, text: Text = serves) -> dict[str, str]:
        return {"name": name, "content": text.pager().call(name, body.arguments)}

    @api.post("/page")
    def page(body: Talk, text: Text = serves) -> dict[str, Any]:
        pager = text.pager(conversation=body.conversation, window=body.window, offers=body.tools)
        shown = pager.fit([turn.message(place) for place, turn in enumerate(body.messages)])
        return {
            "messages": [as_sent(m) for m in shown.messages],
            "tokens": shown.tokens,
            "kept": len(shown.evicted),
            "cut": shown.cut,
        }

    @api.get("/changes")
    def changes(memory: Annotated[str, Query(min_length=1, max_length=128)], text: Text = steers) -> dict[str, Any]:
        return listed([asdict(delta) for delta in text.changes(memory)])

    @api.post("/changes")
    def change(body: Change, text: Text = steers) -> dict[str, Any]:
        made = text.change(
            cast(Operator, body.operator), *body.targets, reason=body.reason, into=body.into, value=body.value
        )  # fmt: skip
        return listed([asdict(delta) for delta in made])

    @api.get("/teams/{team}/members")
    def team_members(team: str, tenant: str = Depends(tenant_for("admin"))) -> dict[str, Any]:
        return listed([{"user": user} for user in teams.members(desk.store, teams.team_scope(tenant, team))])

    @api.put("/teams/{team}/members")
    def join(team: str, user: User, tenant: str = Depends(tenant_for("admin"))) -> dict[str, Any]:
        return {"user": user, "copied": teams.join(desk.store, teams.team_scope(tenant, team), user)}

    @api.delete("/teams/{team}/members")
    def leave(team: str, user: User, reason: Words, tenant: str = Depends(tenant_for("admin"))) -> dict[str, Any]:
        return {"user": user, "put_away": teams.leave(desk.store, teams.team_scope(tenant, team), user, reason=reason)}

    @api.post("/teams/{team}/memories")
    def tell_team(team: str, body: NewNote, user: User, tenant: str = Depends(tenant_for("serve"))) -> dict[str, Any]:
        scope = teams.team_scope(tenant, team)
        if user not in teams.members(desk.store, scope):
            raise InputError(f"{user} is no member of {team}; only a member tells a team something")
        return listed([asdict(m) for m in teams.tell_team(desk.store, scope, body.text, by=user)])

    @api.get("/teams/{team}/memories")
    def ask_team(
        team: str,
        query: Annotated[str, Query(min_length=1, max_length=4096)],
        tenant: str = Depends(tenant_for("admin")),
    ) -> dict[str, Any]:
        return listed(
            [
                asdict(known)
                for known in teams.ask(
                    desk.store, desk.embedder, query, teams.team_scope(tenant, team), shelf=desk.shelf
                )
            ]
        )

    @api.post("/sleep")
    def sleep(body: Asleep | None = None, text: Text = steers) -> dict[str, Any]:
        calls = body.calls if body else 0
        return asdict(text.sleep(Sleep(calls=calls, playbook=desk.serving.playbook)))

    return api
