"""How records look in a terminal: a line, a tree or a table of them, without what could trick the reader's screen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from engrain.errors import NotFound
from engrain.records import (
    Adapter,
    Batch,
    Canary,
    Delta,
    Evidence,
    Feedback,
    Interaction,
    LedgerEntry,
    Memory,
    Receipt,
    Record,
    Scope,
    Signal,
    Task,
    Verdict,
)

if TYPE_CHECKING:
    from engrain.adapters import Version
    from engrain.memory import Standing
    from engrain.store import Job, Node, SqlStore
    from engrain.store.keys import Key
    from engrain.store.lineage import Direction

MANY = ("interaction", "evidence")
WIDEST = 8
"""Interactions and evidence (MANY) that a trace shows under one record before it counts the rest; of all else it shows everything."""
OPENED = 200
"""Records whose own branches a trace shows."""
ALWAYS = ("adapter", "batch", "verdict", "receipt")
"""Kinds that a trace shows however far away they are."""


def terminal(*, stderr: bool = False) -> Console:
    """A console that prints what users and models wrote as it stands: no markup, no emoji codes."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def clean(text: str) -> str:
    """The text without control characters, which could move the cursor or hide what stands there."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def name_of(adapter: str) -> str:
    return adapter[:12] or "base"


def day(at: float) -> str:
    """A time as people write it, UTC; a dash for none."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") if at else "-"
    except (OverflowError, OSError, ValueError):
        return "unknown date"


def version_name(adapter: str, versions: Sequence[Version]) -> str:
    """A version with its number, as `versions` lists it."""
    number = next((v.number for v in versions if v.adapter == adapter), None)
    return f"version {number} ({name_of(adapter)})" if number is not None else name_of(adapter)


def version_table(versions: Sequence[Version]) -> Table:
    """Every version with the verdict on it, the live one marked."""
    table = Table(header_style="bold")
    for heading in ("", "number", "version", "from", "made (UTC)", "memories", "verdict"):
        table.add_column(heading, no_wrap=True)
    for v in versions:
        mark = Text("live", style="bold green") if v.live else ""
        parent = name_of(v.parent) if v.number else "-"
        made, verdict = day(v.created_at), v.decision or "-"
        memories = f"{v.memories} ({v.stale} stale)" if v.stale else str(v.memories)
        table.add_row(mark, str(v.number), name_of(v.adapter), parent, made, memories, verdict)
    return table


def key_table(keys: Sequence[Key]) -> Table:
    """Every API key by its id, the revoked ones marked."""
    table = Table(header_style="bold")
    for heading in ("id", "tenant", "allows", "made (UTC)", "revoked (UTC)", "name"):
        table.add_column(heading, no_wrap=True)
    for k in keys:
        table.add_row(
            k.id, clean(k.tenant), ", ".join(k.rights), day(k.created_at), day(k.revoked_at or 0), clean(k.name)
        )
    return table


def job_table(jobs: Sequence[Job]) -> Table:
    """Every job by its id: whose, how it stands, why it was asked for and what became of it."""
    table = Table(header_style="bold")
    for heading in ("id", "user", "state", "asked for (UTC)"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why, and what came of it")
    for j in jobs:
        state = f"{j.stage or 'starting'} {j.share:.0%}" if j.state == "running" else j.state
        whose = j.scope.user if j.scope.tenant == "local" else f"{j.scope.user} of {j.scope.tenant}"
        table.add_row(
            j.id, clean(whose), state, day(j.queued_at), clean("; ".join(filter(None, (j.reason, j.outcome))))
        )
    return table


def memory_line(memory: Memory) -> str:
    """One memory on one line: id, when it became true, kind, text, source."""
    line = f"{memory.id}  {day(memory.valid_from)[:10]}  {memory.kind:<10}  {memory.text}  [{memory.source}]"
    return " ".join(clean(line).splitlines())


def standing_of(standing: Standing) -> str:
    """What is said behind a memory that does not stand as it was told; "" behind one that does."""
    if standing.state == "superseded":
        return f"  (superseded: true until {day(standing.until)[:10]})" if standing.until else "  (superseded)"
    said = {
        "retracted": "retracted: was wrong", "merged": f"said by {standing.by}", "archived": "archived",
        "proposed": "proposed: waits to be accepted",
    }  # fmt: skip
    return f"  ({said[standing.state]})" if standing.state in said else ""


def show_answer(console: Console, interaction: Interaction, *, verbose: bool) -> None:
    """The answer; with `verbose` also its stamp, its cost and the notes that it was shown."""
    console.print(clean(interaction.answer), soft_wrap=True)
    if not verbose:
        return
    stamp, usage = interaction.stamp, interaction.usage
    console.print(
        f"{interaction.id}  base {stamp.base[:12]}  version {name_of(stamp.adapter)}  memory {stamp.memory or 'none'}  "
        f"{usage.input_tokens}+{usage.output_tokens} tokens  {usage.latency_ms:.0f} ms",
        style="dim", soft_wrap=True,
    )  # fmt: skip
    for line in clean(interaction.context.text).splitlines() or ["no notes shown"]:
        console.print(f"  {line}", style="dim", soft_wrap=True)


def traced(
    store: SqlStore, scope: Scope, record: str, causes: Sequence[Node], effects: Sequence[Node], *, content: bool
) -> str:
    """A trace as JSON: the nodes both ways, and the attributes of every interaction and feedback among them."""
    from engrain.telemetry import attributes, evaluation_attributes

    def row(name: str, depth: int) -> dict[str, object]:
        out: dict[str, object] = {"id": name, "depth": depth, "state": "erased"}
        try:
            found = store.get(name, scope=scope)
        except NotFound:
            return out
        out |= {"state": "kept", "kind": type(found).__name__.lower()}
        if isinstance(found, Interaction):
            out["attributes"] = attributes(found, content=content)
        elif isinstance(found, Feedback):
            out["attributes"] = evaluation_attributes(found, content=content)
        return out

    def rows(nodes: Sequence[Node]) -> list[dict[str, object]]:
        return [row(n.id, n.depth) | ({} if n.state == "kept" else {"state": n.state}) for n in nodes]

    whole: dict[str, object] = {"record": row(record, 0), "causes": rows(causes), "effects": rows(effects)}
    entries, receipts = forgetting(store, record, scope)
    if entries:
        whole["ledger"] = [{"seq": e.seq, "at": e.at, "event": e.event, "reason": e.reason} for e in entries]
        whole["receipts"] = [r.id for r in receipts]
    return json.dumps(whole, indent=1)  # plain ASCII: what was said may hold what is no proper Unicode


def forgetting(store: SqlStore, record: str, scope: Scope) -> tuple[list[LedgerEntry], list[Receipt]]:
    """What the ledger says of a record that was forgotten, and the receipts that name it; nothing of one that is kept."""
    try:
        store.get(record, scope=scope)
        return [], []
    except NotFound:
        named = [r for r in store.select(Receipt, scope=scope) if record in (*r.removed, *dict(r.rebuilt))]
        return store.entries(record, scope=scope), named


def lineage_tree(
    heading: str, store: SqlStore, record: str, scope: Scope, direction: Direction, nodes: Sequence[Node]
) -> Tree:
    """Where a record came from or what it led to; `nodes` are those of the whole walk, all versions, batches, verdicts and
    receipts of which are shown, however much lies between."""
    tree = Tree(heading, style="bold", guide_style="dim")
    seen = {record}
    grow(tree, store, record, scope, direction, seen=seen)
    for node in nodes:
        if node.kind in ALWAYS and node.id not in seen:
            tree.add(Text(f"{clean(line_of(store, node, scope))}  ({node.depth} steps away)", style="not bold"))
    return tree


def grow(tree: Tree, store: SqlStore, record: str, scope: Scope, direction: Direction, *, seen: set[str]) -> None:
    """Add a branch for each record one step further; each record is opened once, where it is met first."""
    nodes = store.causes(record, scope=scope) if direction == "causes" else store.effects(record, scope=scope)
    many = [n for n in nodes if n.kind in MANY]
    for node in [*(n for n in nodes if n.kind not in MANY), *many[:WIDEST]]:
        again = node.id in seen
        seen.add(node.id)
        branch = tree.add(Text(clean(line_of(store, node, scope)) + (" …" if again else ""), style="not bold"))
        if not again and len(seen) < OPENED:
            grow(branch, store, node.id, scope, direction, seen=seen)
    if len(many) > WIDEST:
        tree.add(Text(f"and {len(many) - WIDEST} more", style="not bold dim"))


def line_of(store: SqlStore, node: Node, scope: Scope) -> str:
    """One line on a record that was met on a walk."""
    return f"{node.id[:16]} ({node.state})" if node.state != "kept" else describe(store, node.id, scope)


def describe(store: SqlStore, record_id: str, scope: Scope) -> str:
    """One line on a record: what it is, and what it says."""
    try:
        record = store.get(record_id, scope=scope)
    except NotFound:
        return f"{record_id} (erased)"
    short = " ".join(gist(record).split())
    return f"{type(record).__name__.lower()} {record_id[:20]}  {short[:90]}{'…' if len(short) > 90 else ''}"


def gist(record: Record) -> str:
    """What a record says, in some words."""
    match record:
        case Memory():
            return record.text
        case Interaction():
            return f"{record.query} -> {record.answer}"
        case Feedback():
            return " ".join(str(part) for part in (record.name, record.score, record.text) if part not in (None, ""))
        case Delta():
            return f"{record.operator} {', '.join(record.targets)}{f' into {record.into}' if record.into else ''}: {record.reason}"
        case Signal():
            return f"{record.route}: {record.reason}"
        case Verdict():
            return f"{record.decision}: {record.reasons[0]}"
        case Adapter():
            return f"{len(record.memory_ids)} memories"
        case Batch():
            return f"{len(record.train)} examples, {len(record.holdout)} held out"
        case Evidence():
            return f"{sum(r.right for r in record.results)} of {len(record.results)} right ({record.suite})"
        case Task():
            return f"{record.question} -> {record.answer}"
        case Canary():
            return f"{name_of(record.candidate)} answers {record.share:.0%} beside {name_of(record.against)}"
        case Receipt():
            return f"{len(record.removed)} records erased"
