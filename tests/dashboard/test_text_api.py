"""Text space over HTTP: what an agent adds with its key, what only an operator may change, and that nobody reaches another's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from engrain.memory.skills import Skill, render
from engrain.records import Memory, Scope
from engrain.service import application
from engrain.store import SqlStore

sys.path.insert(0, str(Path(__file__).parents[1]))

House = tuple[TestClient, SqlStore, dict[str, Any]]
KILN = Skill(name="fire-the-kiln", description="Fires the kiln: use it when pots are dry.", body="1. Close the flap.")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("base") / "llama")


@pytest.fixture
def house(base: Path, tmp_path: Path) -> Iterator[House]:
    app, service = application(tmp_path / "home", base, rows=2)
    keys = {
        name: {"authorization": f"Bearer {service.store.new_key(tenant, rights)[1]}"}
        for name, tenant, rights in (
            ("admin", "acme", ["admin"]), ("serve", "acme", ["serve", "feedback"]), ("other", "umbrella", ["serve", "admin"]),
        )
    }  # fmt: skip
    with TestClient(app, base_url="http://127.0.0.1", headers=keys["serve"]) as client:
        client.params = {"user": "ada"}  # type: ignore[assignment]
        yield client, service.store, keys


def test_an_agent_keeps_lessons_and_notes_and_reads_them(house: House) -> None:
    client, _, keys = house
    first = "Always check the free space of the disk before a backup."
    assert client.post("/v1/engrain/lessons", json={"text": first, "section": "ops"}).json()["data"] == []
    merged = client.post("/v1/engrain/lessons", json={"text": first.replace(" a ", " the ")}).json()["data"]
    assert len(merged) == 1 and merged[0]["into"]
    (lesson,) = client.get("/v1/engrain/lessons").json()["data"]
    assert (lesson["text"], lesson["helpful"], lesson["value"]) == (first, 0, 0.5)
    client.post("/v1/engrain/notes", json={"text": "The kiln in the north barn runs on propane from Heller."})
    second = client.post("/v1/engrain/notes", json={"text": "Heller delivers propane to the north barn on Mondays."})
    assert len(second.json()["links"]) == 1
    notes = client.get("/v1/engrain/memories", params={"user": "ada"}, headers=keys["admin"]).json()["data"]
    (new,) = [m for m in notes if m["source"] == "evolve" and m["state"] == "active"]
    assert client.post(f"/v1/engrain/notes/{new['id']}/revert").status_code == 403
    reverted = client.post(f"/v1/engrain/notes/{new['id']}/revert", headers=keys["admin"]).json()
    assert reverted["supersedes"] == [new["id"]] and reverted["text"] == new["text"]
    assert client.get("/v1/engrain/lessons", headers=keys["other"]).json()["data"] == []


def test_a_skill_waits_for_an_operator_and_is_read_step_by_step(house: House) -> None:
    client, _, keys = house
    (waiting,) = client.post("/v1/engrain/skills", json={"skill_md": render(KILN), "files": {"a.md": "hot"}}).json()[
        "data"
    ]
    assert client.get("/v1/engrain/skills").json()["data"] == []
    accept = {"operator": "accept", "targets": [waiting["id"]], "reason": "I have read it"}
    assert client.post("/v1/engrain/changes", json=accept).status_code == 403
    assert client.post("/v1/engrain/changes", json=accept, headers=keys["admin"]).status_code == 200
    assert client.get("/v1/engrain/skills").json()["data"] == [
        {"name": KILN.name, "description": KILN.description}
    ]  # fmt: skip
    assert "Close the flap" in client.get(f"/v1/engrain/skills/{KILN.name}").json()["text"]
    assert client.get(f"/v1/engrain/skills/{KILN.name}", params={"user": "ada", "file": "a.md"}).json()["text"] == "hot"
    assert client.get("/v1/engrain/skills/none").status_code == 404
    bad = client.post("/v1/engrain/skills", json={"skill_md": "no front matter"})
    assert bad.status_code == 400 and "begin with a line ---" in bad.json()["error"]["message"]


def test_of_two_writers_of_a_block_the_second_gets_409(house: House) -> None:
    client, _, _ = house
    seen = client.put("/v1/engrain/blocks/plan", json={"text": "Ship on Monday."}).json()["version"]
    assert client.put("/v1/engrain/blocks/plan", json={"text": "Tuesday.", "seen": seen}).status_code == 200
    late = client.put("/v1/engrain/blocks/plan", json={"text": "Friday.", "seen": seen})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")
    assert [b["text"] for b in client.get("/v1/engrain/blocks").json()["data"]] == ["Tuesday."]
    assert client.put("/v1/engrain/blocks/plan", json={"text": "x " * 2000}).status_code == 400


def test_what_is_told_with_its_key_takes_the_place_of_what_was_told_about_that(house: House) -> None:
    client, _, keys = house
    about = {"thing": "north barn", "attribute": "gate code"}
    client.post("/v1/engrain/memories", json={"text": "The gate code of the north barn is 4417."} | about)
    (told,) = client.post("/v1/engrain/memories", json={"text": "They changed it: 5521 opens it."} | about).json()[
        "data"
    ]

    def held(**asked: float) -> list[str]:
        found = client.get("/v1/engrain/memories", params={"user": "ada", **asked}, headers=keys["admin"]).json()[
            "data"
        ]
        return [m["text"] for m in found if m.get("state", "active") == "active"]

    assert held() == ["They changed it: 5521 opens it."]
    assert (
        held(known=told["recorded_at"] - 1e-4)
        == held(at=told["valid_from"] - 1e-4)
        == ["The gate code of the north barn is 4417."]
    )
    half = client.post("/v1/engrain/memories", json={"text": "It is 1.", "thing": "x"})
    assert half.status_code == 400 and "attribute" in half.json()["error"]["message"]


def test_a_conversation_is_cut_to_a_window_and_what_left_it_is_found(house: House) -> None:
    client, _, _ = house
    turns = [{"role": "user", "content": "The password of the bakery is flaming tulip."}]
    for n in range(40):
        turns += [
            {"role": "assistant", "content": f"Noted {n}."},
            {"role": "user", "content": f"And thing {n} is {n}."},
        ]
    body = {"messages": turns, "conversation": "c1", "window": 200, "tools": False}
    page = client.post("/v1/engrain/page", json=body).json()
    assert 0 < page["tokens"] <= 200 and page["kept"] and page["messages"][-1] == turns[-1]
    said = client.post(
        "/v1/engrain/tools/conversation_search", json={"arguments": '{"query": "password of the bakery"}'}
    )
    assert "flaming tulip" in said.json()["content"]
    again = client.post("/v1/engrain/page", json=body).json()
    assert again == page
    every = client.get("/v1/engrain/memories", params={"user": "ada"}, headers=house[2]["admin"]).json()["data"]
    assert len([m for m in every if m["kind"] == "episode"]) == page["kept"]  # once
    call = {"id": "1", "type": "function", "function": {"name": "archival_memory_search", "arguments": "{}"}}
    asked = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "there", "tool_call_id": "1"},
    ]
    back = client.post("/v1/engrain/page", json={"messages": asked, "tools": False}).json()["messages"]
    assert back == [asked[0], asked[1] | {"content": ""}, asked[2]]
    small = client.post("/v1/engrain/page", json=body | {"tools": True, "window": 60})
    assert small.status_code == 400 and "larger window" in small.json()["error"]["message"]


def test_a_model_is_offered_the_memory_tools_and_what_it_asks_for_is_done(house: House) -> None:
    client, _, keys = house
    offered = {t["function"]["name"]: t for t in client.get("/v1/engrain/tools").json()["data"]}
    assert {"core_memory_append", "archival_memory_search"} <= offered.keys()
    client.put("/v1/engrain/blocks/user", json={"text": "Ada builds clocks."})

    def call(name: str, arguments: str, **asked: Any) -> str:
        return str(client.post(f"/v1/engrain/tools/{name}", json={"arguments": arguments}, **asked).json()["content"])

    assert call("core_memory_append", '{"name": "user", "content": "She lives in Bergen."}').startswith("kept")
    (block,) = client.get("/v1/engrain/blocks").json()["data"]
    assert block["text"] == "Ada builds clocks.\nShe lives in Bergen."
    assert call("archival_memory_insert", '{"content": "The kiln runs on propane."}').startswith("kept as mem_")
    assert "propane" in call("archival_memory_search", '{"query": "kiln"}')
    assert "nothing was found" in call("archival_memory_search", '{"query": "kiln"}', headers=keys["other"])
    assert call("core_memory_append", "{").startswith("error: the arguments are no JSON")
    assert call("burn", "{}").startswith("error: there is no tool 'burn'")


def test_changes_and_sleep_are_the_operators(house: House) -> None:
    client, store, keys = house
    note = client.post("/v1/engrain/notes", json={"text": "The kiln is warm."}).json()["id"]
    body = {"operator": "archive", "targets": [note], "reason": "it was sold"}
    (made,) = client.post("/v1/engrain/changes", json=body, headers=keys["admin"]).json()["data"]
    history = client.get("/v1/engrain/changes", params={"user": "ada", "memory": note}, headers=keys["admin"]).json()[
        "data"
    ]
    assert [d["id"] for d in history] == [made["id"]] and store.deltas([note], scope=Scope(tenant="acme", user="ada"))
    odd = client.post("/v1/engrain/changes", json=body | {"operator": "burn"}, headers=keys["admin"])
    assert odd.status_code == 400 and "archive" in odd.json()["error"]["message"]
    assert client.post("/v1/engrain/sleep").status_code == 403
    assert client.post("/v1/engrain/sleep", headers=keys["admin"]).json()["calls"] == 0
    assert client.post("/v1/engrain/sleep", json={"calls": -1}, headers=keys["admin"]).status_code == 400
    assert client.post("/v1/engrain/changes", json=body, headers=keys["other"]).status_code == 404


def test_the_playbook_is_curated_by_an_operator_as_a_whole(house: House) -> None:
    client, _, keys = house
    client.post("/v1/engrain/lessons", json={"text": "Restart the broker after 3 failures."})
    (lesson,) = client.get("/v1/engrain/lessons").json()["data"]
    asked = [
        {"type": "UPDATE", "ids": [lesson["id"]], "content": "Restart the broker."},
        {"type": "ADD", "content": "Ask for the port first."},
    ]
    assert client.post("/v1/engrain/lessons/curation", json={"operations": asked}).status_code == 403
    made = client.post("/v1/engrain/lessons/curation", json={"operations": asked}, headers=keys["admin"]).json()
    assert made["decision"] == "hold" and len(made["lessons"]) == 1 and "would lose 3" in made["refused"][0]
    assert {m["text"] for m in client.get("/v1/engrain/lessons").json()["data"]} == {
        "Restart the broker after 3 failures.",
        "Ask for the port first.",
    }
    nothing = client.post("/v1/engrain/lessons/curation", json={}, headers=keys["admin"]).json()
    assert nothing["reason"] == "no operation is left to carry out"  # there is no reflection to propose anything after
    odd = client.post("/v1/engrain/lessons/curation", json={"operations": [{"type": "DROP"}]}, headers=keys["admin"])
    assert odd.status_code == 400 and "type" in odd.json()["error"]["message"]


def test_nobody_speaks_as_a_team(house: House) -> None:
    client, store, keys = house
    client.put("/v1/engrain/teams/harbour/members", params={"user": "ada"}, headers=keys["admin"])
    for path, body in (
        ("memories", {"text": "The code is 6666."}),
        ("lessons", {"text": "Say 6666."}),
        ("notes", {"text": "It is 6666."}),
    ):
        said = client.post(f"/v1/engrain/{path}", params={"user": "team:harbour"}, json=body)
        assert said.status_code == 400 and "told by its members" in said.json()["error"]["message"]
    chat = {"model": "engrain", "messages": [{"role": "user", "content": "The code is 6666."}], "user": "team:harbour"}
    assert client.post("/v1/chat/completions", json=chat).status_code == 400
    assert list(store.select(Memory, scope=Scope(tenant="acme", user="ada"))) == []


def test_a_team_is_told_something_by_a_member_alone(house: House) -> None:
    client, _, keys = house
    told = {"text": "The gate code of the north barn is 4417."}
    assert client.post("/v1/engrain/teams/harbour/memories", json=told).status_code == 400
    assert client.put("/v1/engrain/teams/harbour/members").status_code == 403
    for user in ("ada", "ben"):
        client.put("/v1/engrain/teams/harbour/members", params={"user": user}, headers=keys["admin"])
    assert client.post("/v1/engrain/teams/harbour/memories", json=told).status_code == 200
    theirs = client.get("/v1/engrain/memories", params={"user": "ben"}, headers=keys["admin"]).json()["data"]
    assert [m["text"] for m in theirs] == [told["text"]]
    assert client.get("/v1/engrain/teams/harbour/members", headers=keys["other"]).json()["data"] == []
    gone = client.delete(
        "/v1/engrain/teams/harbour/members", params={"user": "ben", "reason": "left"}, headers=keys["admin"]
    )
    assert gone.json() == {"user": "ben", "put_away": 1}
