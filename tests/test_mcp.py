"""The tools for agents, asked by the SDK's own client: in memory, as a process over standard input and output, and over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from engrain import mcp
from engrain.errors import InputError, StoreError
from engrain.learner import SPROUT, Learner
from engrain.mcp import application, create
from engrain.records import Memory, Scope
from engrain.store import SqlStore

sys.path.insert(0, str(Path(__file__).parent))
SOURCE = Path(mcp.__file__).parents[1]
NOTE = "The gate code of the north barn is 4417."
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from engrain.cli import main; main()"
TALKATIVE = """
import os, sys
from engrain.learner import Learner
from engrain.cli import main
tell = Learner.tell
def loud(*given, **more):
    print("a stray line")
    print("and one without an end", end="")
    os.write(1, b"straight to the descriptor")
    return tell(*given, **more)
Learner.tell = loud
main()
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("base") / "llama")


@pytest.fixture
def me(tmp_path: Path, base: Path) -> Iterator[Learner]:
    with Learner(tmp_path / "home", base=base, user="ada") as learner:
        yield learner


class Agent:
    """A client that calls tools by name and takes what they return."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, tool: str) -> Callable[..., Awaitable[dict[str, Any]]]:
        async def call(**given: Any) -> dict[str, Any]:
            result = await self._client.call_tool(tool, given)
            assert not result.is_error, result.content
            assert result.structured_content is not None
            assert json.loads(result.content[0].text) == result.structured_content  # type: ignore[union-attr]
            return result.structured_content

        return call

    async def refused(self, tool: str, **given: Any) -> str:
        """What a call is refused with; the server goes on."""
        result = await self._client.call_tool(tool, given)
        assert result.is_error
        return str(result.content[0].text)  # type: ignore[union-attr]


def in_memory(learner: Learner, talk: Callable[[Agent], Awaitable[None]], mode: str = "auto") -> None:
    async def run() -> None:
        async with Client(create(learner), mode=mode) as client:
            await talk(Agent(client))

    anyio.run(run)


def command(home: Path, base: Path, program: str = "") -> StdioServerParameters:
    start = ["-c", program] if program else ["-m", "engrain.cli"]
    options = ["mcp", "--home", str(home), "--base", str(base), "--user", "ada", "--device", "cpu"]
    return StdioServerParameters(command=sys.executable, args=[*start, *options], env={"PYTHONPATH": str(SOURCE)})


async def the_whole_way(agent: Agent) -> None:
    told = (await agent.remember(text=NOTE))["notes"][0]
    await agent.remember(text="Call me Captain.")
    found = await agent.recall(query="What opens the north barn?")
    assert [n["text"] for n in found["notes"]] == [NOTE] and 0 < found["notes"][0]["score"] <= 1
    assert [n["text"] for n in found["how_to_answer"]] == ["Call me Captain."]
    assert found["notes"][0]["id"] == told["id"] and told["source"] == "agent"
    judged = await agent.feedback(about=told["id"], correction="The gate code of the north barn is 5521.")
    assert judged["wrong"] == [told["id"]]
    right = judged["notes"][0]
    found = await agent.recall(query="What opens the north barn?")
    assert [n["id"] for n in found["notes"]] == [right["id"]]
    shown = await agent.forget(what=right["id"])
    assert not shown["forgotten"] and [n["text"] for n in shown["notes"]] == [right["text"]] and shown["records"] == 1
    assert (await agent.recall(query="north barn"))["notes"]  # nothing has changed yet
    gone = await agent.forget(what=right["id"], confirm=shown["confirm"])
    assert gone["forgotten"] and gone["records"] == 1 and gone["receipt"].startswith("rcp_")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_agent_corrects_and_forgets_by_the_ids_that_it_was_given(me: Learner, mode: str) -> None:
    in_memory(me, the_whole_way, mode)
    assert [m.text for m in me.memories()] == [NOTE, "Call me Captain."]  # as if the correction had never been
    assert me.store.verify() > 0


def test_the_same_goes_over_standard_input_and_output(tmp_path: Path, base: Path) -> None:
    async def run() -> None:
        async with Client(command(tmp_path / "home", base)) as client:
            await the_whole_way(Agent(client))

    anyio.run(run)
    with Learner(tmp_path / "home", base=base, user="ada") as me:
        assert me.store.verify() > 0 and len(me.memories()) == 2


def test_it_starts_and_remembers_and_recalls_without_torch(tmp_path: Path) -> None:
    async def run() -> None:
        async with Client(command(tmp_path / "home", SPROUT, WITHOUT_TORCH)) as client:
            assert [t.name for t in (await client.list_tools()).tools] == [
                "remember",
                "recall",
                "feedback",
                "forget",
                "lesson",
                "skill",
                "write_core",
            ]
            agent = Agent(client)
            told = (await agent.remember(text=NOTE))["notes"][0]["id"]
            assert (await agent.recall(query="gate code"))["notes"][0]["id"] == told
            assert (await agent.forget(what=told))["notes"][0]["id"] == told
            assert (await agent.feedback(about=told, wrong=True))["wrong"] == [told]

    anyio.run(run)


def started(home: Path, program: str = "") -> subprocess.Popen[str]:
    server = command(home, SPROUT, program)
    return subprocess.Popen(
        [server.command, *server.args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **(server.env or {})}, text=True,
    )  # fmt: skip


def asks(number: int, method: str, params: dict[str, Any]) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + "\n"


HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}


def test_nothing_but_the_protocol_is_written_to_standard_output(tmp_path: Path) -> None:
    said = [
        asks(1, "initialize", HELLO),
        '{"jsonrpc": "2.0", "method": "notifications/initialized"}\n',
        "this is no JSON\n",
        '{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "recall", "arguments": {"query": "\\ud800"}}}\n',
        "[]\n",
        asks(2, "tools/call", {"name": "remember", "arguments": {"text": NOTE}}),
        asks(3, "no/such", {}),
    ]
    with started(tmp_path / "home", TALKATIVE) as process:
        assert process.stdin and process.stdout and process.stderr
        answers: dict[int, Any] = {}
        process.stdin.writelines(said)
        process.stdin.flush()
        while not {1, 2, 3} <= answers.keys():
            line = json.loads(process.stdout.readline())
            if line.get("id") is not None:
                answers[line["id"]] = line
        process.stdin.close()
        assert process.stdout.read() == ""
        stray = process.stderr.read()
        assert process.wait(30) == 0
    assert answers[2]["result"]["structuredContent"]["notes"][0]["text"] == NOTE
    assert answers[3]["error"]["code"] == -32601
    assert all(line in stray for line in ("a stray line", "and one without an end", "straight to the descriptor"))


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_although_the_client_is_silent(tmp_path: Path, sign: signal.Signals) -> None:
    with started(tmp_path / "home") as process:
        assert process.stdin and process.stdout
        process.stdin.write(asks(1, "initialize", HELLO))
        process.stdin.flush()
        assert "result" in json.loads(process.stdout.readline())
        process.send_signal(sign)
        assert process.wait(10) == -sign


def test_two_agents_use_one_home_at_once(tmp_path: Path) -> None:
    things = ("barn", "mill", "hall", "shed", "dock")

    async def tell(agent: Agent, who: str) -> None:
        for thing in things:
            await agent.remember(text=f"The {thing} of {who} was built by hand.")

    async def run() -> None:
        home = tmp_path / "home"  # which neither finds made
        async with Client(command(home, SPROUT)) as one, Client(command(home, SPROUT)) as other:
            async with anyio.create_task_group() as both:
                both.start_soon(tell, Agent(one), "Pia")
                both.start_soon(tell, Agent(other), "Jonas")
            for client in (one, other):
                found = (await Agent(client).recall(query="Who built what by hand?", limit=50))["notes"]
                assert {n["text"] for n in found} == {
                    f"The {thing} of {who} was built by hand." for thing in things for who in ("Pia", "Jonas")
                }

    anyio.run(run)
    with closing(SqlStore(tmp_path / "home")) as store:
        assert store.verify() == 10


@pytest.mark.parametrize(
    "text",
    [
        "Das Tor öffnet Åse um 7 ½ Uhr.",
        "门的密码是四四一七。",
        "مفتاح الباب عند مريم.",
        "The cat 🐈‍⬛ is Zoë's (e\u0301).",
    ],
)
def test_whatever_script_it_is_written_in_a_note_comes_back_as_it_was(me: Learner, text: str) -> None:
    async def talk(agent: Agent) -> None:
        await agent.remember(text="Something else entirely is kept here.")
        await agent.remember(text=text)
        assert (await agent.recall(query=text))["notes"][0]["text"] == text

    in_memory(me, talk)


def test_what_is_said_again_confirms_and_another_value_replaces(me: Learner) -> None:
    async def talk(agent: Agent) -> None:
        first = await agent.remember(text=NOTE)
        assert (first["repeats"], first["replaces"]) == ([], [])
        assert (await agent.remember(text=NOTE))["repeats"] == [first["notes"][0]["id"]]
        changed = await agent.remember(text="The gate code of the north barn is now 5521.")
        assert first["notes"][0]["id"] in [n["id"] for n in changed["replaces"]]

    in_memory(me, talk)


def test_an_answer_that_engrain_gave_is_judged_by_its_id(me: Learner) -> None:
    me.tell(NOTE)
    given = me.chat("What is the gate code of the north barn?")

    async def talk(agent: Agent) -> None:
        assert len((await agent.feedback(about=given.id, rating=0, comment="No."))["recorded"]) == 2
        judged = await agent.feedback(about=given.id, correction="5521")
        assert [n["text"] for n in judged["notes"]] == ["The gate code of the north barn is 5521."]
        assert "rate an answer" in await agent.refused("feedback", about=given.id, wrong=True)
        shown = await agent.forget(what=given.id)
        assert [(a["id"], a["whole"]) for a in shown["answers"]] == [(given.id, True)]

    in_memory(me, talk)


def test_bad_input_is_told_with_the_remedy_and_the_server_goes_on(me: Learner) -> None:
    other = Scope(user="ben")
    theirs = Memory(scope=other, text="Ben keeps the spare key.", valid_from=1.0)
    me.store.append(theirs)
    own = me.tell(NOTE)[0].id
    bad: list[tuple[str, dict[str, Any], str]] = [
        ("remember", {}, "Field required"),
        ("remember", {"text": 7}, "valid string"),
        ("remember", {"text": " \n"}, "there is nothing to remember"),
        ("remember", {"text": "word " * 500}, "too long to remember whole"),
        ("recall", {"query": "  "}, "the query is empty"),
        ("recall", {"query": "barn", "limit": 0}, "greater than or equal to 1"),
        ("recall", {"query": "barn", "limit": "many"}, "valid integer"),
        ("feedback", {"about": "mem_000000000000", "wrong": True}, "no record mem_000000000000"),
        ("feedback", {"about": theirs.id, "wrong": True}, "is not a record of local/ada"),
        ("feedback", {"about": own}, "give a correction, or wrong=true"),
        ("feedback", {"about": own, "rating": 1}, "rating and comment are of an answer"),
        ("feedback", {"about": own, "correction": "5521"}, "a whole sentence"),
        ("forget", {"what": ""}, "nothing that matches"),
        ("forget", {"what": theirs.id}, "nothing that matches"),
        ("forget", {"what": "user:"}, "a person runs: engrain forget user:"),
        ("forget", {"what": "user:ada", "confirm": "yes"}, "a person runs: engrain forget user:"),
        ("forget", {"what": own, "confirm": "yes"}, "call forget without confirm and look again"),
        ("no_such_tool", {}, "no_such_tool"),
    ]

    async def talk(agent: Agent) -> None:
        for tool, given, remedy in bad:
            assert remedy in await agent.refused(tool, **given), (tool, given)
        assert [n["id"] for n in (await agent.recall(query="gate code"))["notes"]] == [own]

    in_memory(me, talk)
    assert [m.text for m in me.memories()] == [NOTE]


def test_what_is_confirmed_is_what_was_shown(me: Learner) -> None:
    async def talk(agent: Agent) -> None:
        await agent.remember(text=NOTE)
        shown = await agent.forget(what="source:agent")
        await agent.remember(text="Marta keeps the spare key.")
        assert "look again" in await agent.refused("forget", what="source:agent", confirm=shown["confirm"])
        assert "look again" in await agent.refused("forget", what=f"text:{NOTE}", confirm=shown["confirm"])

    in_memory(me, talk)
    assert len(me.memories()) == 2


def test_what_the_database_refuses_is_told_to_the_agent(me: Learner) -> None:
    me.store.close()
    me.store = SqlStore(me.home, busy_timeout_s=0.05)

    async def talk(agent: Agent) -> None:
        with closing(sqlite3.connect(me.home / "engrain.db", isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            assert "another process is writing" in await agent.refused("remember", text=NOTE)
        await agent.remember(text=NOTE)

    in_memory(me, talk)


def test_a_client_that_asks_is_told_how_far_a_forgetting_is(tmp_path: Path, base: Path) -> None:
    from test_cli import add_version

    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async def run() -> None:
        with Learner(tmp_path / "home", base=base) as me:
            note = me.tell(NOTE)[0].id
            add_version(me.home, base)
            async with Client(create(me), mode="legacy") as client:
                shown = await Agent(client).forget(what=note)
                assert shown["versions"] == 1
                given = {"what": note, "confirm": shown["confirm"]}
                done = await client.call_tool("forget", given, progress_callback=hear)
                assert done.structured_content is not None and done.structured_content["versions"] == 1
            assert me.memories() == [] and me.store.live(me.scope) == ""

    anyio.run(run)
    assert heard and [n for n, _ in heard] == sorted({n for n, _ in heard})
    assert heard[0][1] == "rebuilding, 0%"


def test_the_configuration_in_the_documents_starts_it(tmp_path: Path) -> None:
    text = (SOURCE.parent / "docs/serve.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```json\n(.*?)```", text, re.S)
    entry = json.loads(snippet)["mcpServers"]["engrain"]
    assert entry["command"] == "engrain"
    env = {"PYTHONPATH": str(SOURCE), "ENGRAIN_HOME": str(tmp_path / "home")}
    server = StdioServerParameters(command=sys.executable, args=["-m", "engrain.cli", *entry["args"]], env=env)

    async def run() -> None:
        async with Client(server) as client:
            assert (await Agent(client).remember(text=NOTE))["notes"][0]["text"] == NOTE

    anyio.run(run)
    with closing(SqlStore(tmp_path / "home")) as store:
        assert [m.text for m in store.select(Memory, scope=Scope(user="ada"))] == [NOTE]


def over_http(learner: Learner, talk: Callable[[str], Awaitable[None]]) -> None:
    from over_http import serving

    with serving(application(learner)) as url:
        anyio.run(talk, f"{url}/mcp")


async def said_to(url: str, talk: Callable[[Agent], Awaitable[None]], *, mode: str = "auto", **headers: str) -> None:
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        await talk(Agent(client))


async def status_of(url: str, **headers: str) -> int:
    async with httpx2.AsyncClient() as http:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        return (await http.post(url, json=asked, headers=headers)).status_code


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_without_keys_this_machine_is_served_over_http(me: Learner, mode: str) -> None:
    over_http(me, lambda url: said_to(url, the_whole_way, mode=mode))


def test_without_keys_a_web_page_is_refused(me: Learner) -> None:
    async def talk(url: str) -> None:
        assert await status_of(url, host="rebound.example:8421") == 403
        for host in ("[", "a{b.evil.example", ""):
            assert await status_of(url, host=host) == 403
        for origin in ("https://evil.example", "null", "http://["):
            assert await status_of(url, origin=origin) == 403
        assert await status_of(url, origin="http://localhost:3000") != 403

    over_http(me, talk)


def test_what_the_database_refuses_is_not_told_to_who_has_no_key(me: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> bool:
        raise StoreError(f"{me.home}/engrain.db: disk I/O error")

    async def talk(url: str) -> None:
        async with httpx2.AsyncClient() as http:
            refused = await http.post(url, json={})
        assert refused.status_code == 503 and str(me.home) not in refused.text

    monkeypatch.setattr(me.store, "ever_keyed", fails)
    over_http(me, talk)


def test_with_keys_each_call_needs_one_of_the_tenant_that_allows_it(me: Learner) -> None:
    secrets = {
        rights: me.store.new_key("local", rights.split(","))[1] for rights in ("serve", "serve,feedback", "admin")
    }
    foreign = me.store.new_key("acme", ["serve", "feedback", "admin"])[1]
    gone, revoked = me.store.new_key("local", ["serve"])
    me.store.revoke_key(gone.id)
    note = me.tell(NOTE)[0].id

    async def serves(agent: Agent) -> None:
        assert (await agent.recall(query="gate code"))["notes"]
        assert "does not allow 'feedback'" in await agent.refused("feedback", about=note, wrong=True)
        assert "does not allow 'admin'" in await agent.refused("forget", what=note)

    async def judges(agent: Agent) -> None:
        assert (await agent.feedback(about=note, wrong=True))["wrong"] == [note]

    async def steers(agent: Agent) -> None:
        assert (await agent.forget(what=note))["notes"]
        assert "does not allow 'serve'" in await agent.refused("remember", text="Nothing of this is kept.")

    async def talk(url: str) -> None:
        assert await status_of(url) == 401
        for given in ("Bearer nonsense", f"Bearer {revoked}", f"Basic {secrets['admin']}", "Bearer"):
            assert await status_of(url, authorization=given) == 401
        assert await status_of(url, authorization=f"Bearer {foreign}") == 403
        for rights, tools in (("serve", serves), ("serve,feedback", judges), ("admin", steers)):
            for mode in ("auto", "legacy"):
                if (rights, mode) != ("serve,feedback", "legacy"):
                    await said_to(url, tools, mode=mode, authorization=f"Bearer {secrets[rights]}")

    over_http(me, talk)


def test_an_open_door_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make a key first"):
        mcp.run(
            tmp_path, SPROUT, user="ada", tenant="local", device="cpu", http=True, host="0.0.0.0", port=8421, say=print
        )


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['mcp'] = None; from engrain.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", program, "mcp", "--home", str(tmp_path / "home")], env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ran.returncode == 1 and 'pip install "engrain[mcp]"' in ran.stderr and not ran.stdout
