"""The pages that only show: each a function of a visit, from the store to a template."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from starlette.responses import RedirectResponse, Response

from engrain import adapters
from engrain.adapters import Version
from engrain.adapters.canary import on_trial
from engrain.adapters.versions import adapter_of
from engrain.dashboard import charts, figures
from engrain.dashboard.figures import DAY_S, Share, Update
from engrain.dashboard.visit import Visit
from engrain.errors import NotFound
from engrain.loops.forget import RUN, preview
from engrain.loops.trial import outcomes, trial_of
from engrain.memory import Standing, derive, holding
from engrain.records import (
    Adapter,
    Canary,
    Feedback,
    Interaction,
    Memory,
    Receipt,
    Scope,
    Verdict,
)
from engrain.reports import gist
from engrain.store import Job, Node, SqlStore
from engrain.store.reading import Found

PAGE = 50
"""Rows of a list before the next page."""
MOST_USERS = 200
"""Of a tenant with more, the others are found by their names."""
MOST_PAIRS = 300
"""Questions of an update that are shown on one page."""
MOST_NODES = 200
"""Records of a walk that are listed, each way."""
MOST_LARGE = 20
"""Batches and evidence among them that are described: each takes some 30 ms to read."""
CHARTED = 12
"""Updates that a chart shows, the last ones."""


def overview(visit: Visit) -> Response:
    """Is it learning? What is live, what waits, what was refused and why."""
    store, tenant = visit.desk.store, visit.tenant
    people = store.people(tenant)
    trials = {p.scope: c for p in people if p.kept.get("canary") and (c := on_trial(store, p.scope))}
    live = {p.scope: name for p in people if p.kept.get("adapter") and (name := store.live(p.scope))}
    found = figures.updates(store, tenant, known=visit.desk.known)
    stand = {(u.scope, u.verdict.candidate): _status(u, trials.get(u.scope)) for u in found}
    promoted = [u for u in found if stand[u.scope, u.verdict.candidate] == "promote"]
    taught = [t for u in promoted if (t := u.taught)]
    judged, served = store.judged(tenant=tenant), store.served(tenant=tenant)
    recent = [good for at, good in figures.outcomes(judged) if at > time.time() - 30 * DAY_S]
    return visit.show(
        "overview.html", people=people, live=live, trials=trials, promoted=promoted,
        refused=[(u, s) for u in found if (s := stand[u.scope, u.verdict.candidate]) in ("reject", "hold")],
        taught=(_sum(b for b, _ in taught), _sum(a for _, a in taught)) if taught else None,
        broke=_sum(b for u in promoted if (b := u.broke)),
        good=Share(good=sum(recent), n=len(recent)),
        saved=figures.saved(served),
        answers=len(served), lately=sum(s.at > time.time() - 7 * DAY_S for s in served),
        waiting=[j for j in store.jobs(tenant=tenant) if j.state in ("waiting", "running")],
        found=_found(store.found(tenant=tenant)),
        chart_good=_good_chart(good_points := figures.good_over_time(judged)), points_good=good_points,
        chart_shown=_shown_chart(shown_points := figures.shown_over_time(served)), points_shown=shown_points,
        chart_updates=_update_chart(visit, found, stand, several=True),
        charted=[u for u in found if u.taught][:CHARTED], stand=stand,
    )  # fmt: skip


def users(visit: Visit) -> Response:
    """Everybody of the tenant."""
    store = visit.desk.store
    sought = visit.given("q").strip()
    people = [p for p in store.people(visit.tenant) if sought.casefold() in p.scope.user.casefold()]
    rows = people[:MOST_USERS]
    live = {p.scope: store.live(p.scope) if p.kept.get("adapter") else "" for p in rows}
    return visit.show("users.html", rows=rows, total=len(people), live=live, q=sought)


def user(visit: Visit) -> Response:
    """One user at a glance, with what an operator may do for them."""
    store, person = visit.desk.store, visit.person()
    scope = person.scope
    memories = store.history(scope=scope)
    canary = on_trial(store, scope)
    found = figures.updates(store, scope.tenant, scope.user, known=visit.desk.known)
    stand = {(u.scope, u.verdict.candidate): _status(u, canary) for u in found}
    judged = store.judged(tenant=scope.tenant, user=scope.user)
    served = store.served(tenant=scope.tenant, user=scope.user)
    versions = adapters.versions(store, scope, holding(memories))
    numbers = {v.adapter: v.number for v in versions}
    return visit.show(
        "user.html", person=person, scope=scope, versions=versions, numbers=numbers, live=next(v for v in versions if v.live),
        states=Counter(s.state for s in derive(memories).values()), trial=_trial(store, canary),
        latest=[i for _, i in store.newest(Interaction, tenant=scope.tenant, user=scope.user, limit=6)],
        judged=_judgements(figures.outcomes(judged)), found=_found(store.found(tenant=scope.tenant, user=scope.user)),
        jobs=store.jobs(scope=scope, limit=5),
        forgetting=visit.desk.forgetting(scope), unfinished=store.get_run(RUN, scope=scope) is not None,
        chart_good=_good_chart(points := figures.good_over_time(judged)), points_good=points,
        chart_updates=_update_chart(visit, found, stand, several=False), charted=[u for u in found if u.taught][:CHARTED],
        stand=stand, by_version=figures.shown_by_version(served),
    )  # fmt: skip


def memory(visit: Visit) -> Response:
    """What is remembered of a user; search finds words."""
    store, person = visit.desk.store, visit.person()
    scope, sought = person.scope, visit.given("q").strip()
    standing = derive(store.history(scope=scope))
    states = Counter(s.state for s in standing.values())
    state = visit.given("state") if visit.given("state") in states else ""
    rows: list[Standing] = list(reversed(standing.values()))
    if sought:
        hits = [name for name, _ in store.search_text(sought, scope=scope, limit=200)]
        rows = [standing[name] for name in hits if name in standing]
    rows = [s for s in rows if s.state == state or (not state and s.state != "retraction")]
    start = visit.number("from") or 0
    live = adapters.current(store, scope)
    return visit.show(
        "memory.html", person=person, scope=scope, q=sought, state=state, states=states, rows=rows[start : start + PAGE],
        start=start, total=len(rows), step=PAGE, learned=set(live.memory_ids) if live else set[str](),
        weights=adapters.in_weights(store, scope, live),
    )  # fmt: skip


def versions(visit: Visit) -> Response:
    """A user's versions: which came from which, with the verdict on each."""
    store, person = visit.desk.store, visit.person()
    scope = person.scope
    found = adapters.versions(store, scope, holding(store.history(scope=scope)))
    canary = on_trial(store, scope)
    return visit.show(
        "versions.html", person=person, scope=scope, versions=found, live=next(v for v in found if v.live),
        graph=charts.lineage(found, lambda v: _version_link(visit, scope, v), name="lineage"),
        numbers={v.adapter: v.number for v in found}, moves=list(reversed(store.pointer_history(scope))),
        back=_back(store, scope, found), trial=_trial(store, canary),
    )  # fmt: skip


def version(visit: Visit) -> Response:
    """One version: the evidence and the verdict side by side, and the answers before and after."""
    store, person = visit.desk.store, visit.person()
    scope = person.scope
    every = adapters.versions(store, scope, holding(store.history(scope=scope)))
    shown = next((v for v in every if v.number and v.adapter == visit.given("id")), None)
    if shown is None:
        raise NotFound(visit.given("id"))
    canary = on_trial(store, scope)
    verdicts = [v for v in store.select(Verdict, scope=scope) if v.candidate == shown.adapter]
    compared = figures.comparison_of(store, verdicts[-1]) if verdicts else None
    pairs = compared.pairs if compared else []
    counts = Counter(p.change for p in pairs)
    wanted = visit.given("show") if visit.given("show") in ("fixed", "broke", "right", "wrong", "all") else "changed"
    kept = [p for p in pairs if wanted in (p.change, "all") or (wanted == "changed" and p.change in ("fixed", "broke"))]
    return visit.show(
        "version.html", person=person, scope=scope, version=shown, adapter=adapter_of(store, scope, shown.adapter),
        numbers={v.adapter: v.number for v in every}, update=compared.update if compared else None, verdicts=verdicts, counts=counts, wanted=wanted,
        pairs=kept[:MOST_PAIRS], more=max(0, len(kept) - MOST_PAIRS), groups=compared.groups if compared else [],
        back=shown.adapter in _back(store, scope, every), live=store.live(scope),
        trial=_trial(store, canary) if canary and canary.candidate == shown.adapter else None,
    )  # fmt: skip


def interactions(visit: Visit) -> Response:
    """What a user asked and was answered, the newest first."""
    person = visit.person()
    scope = person.scope
    rows = visit.desk.store.newest(
        Interaction, tenant=scope.tenant, user=scope.user, before=visit.number("before"), limit=PAGE
    )
    numbers = {v.adapter: v.number for v in adapters.versions(visit.desk.store, scope)}
    return visit.show(
        "interactions.html", person=person, scope=scope, rows=[i for _, i in rows], numbers=numbers,
        older=rows[-1][0] if len(rows) == PAGE else None,
    )  # fmt: skip


def record(visit: Visit) -> Response:
    """Any record by its id: what it says, what it came from, and all that it caused."""
    store, person, name = visit.desk.store, visit.person(), visit.given("id")
    scope = person.scope
    try:
        found = store.get(name, scope=scope)
    except NotFound:
        entries = store.entries(name, scope=scope)  # of another scope, or of nobody: none
        if not entries:
            raise
        named = [r for r in store.select(Receipt, scope=scope) if name in (*r.removed, *dict(r.rebuilt))]
        return visit.show("erased.html", person=person, scope=scope, id=name, entries=entries, receipts=named)
    if isinstance(found, Adapter):
        return RedirectResponse(visit.link("version", user=scope.user, id=name), 303)
    walks = (
        _walk(store, scope, store.walk(name, "causes", scope=scope)),
        _walk(store, scope, store.walk(name, "effects", scope=scope)),
    )
    kind = type(found).__name__.lower()
    if not isinstance(found, Interaction):
        return visit.show(
            "record.html", person=person, scope=scope, record=found, kind=kind, fields=_fields(found), causes=walks[0],
            effects=walks[1], standing=derive(store.history(scope=scope))[name] if isinstance(found, Memory) else None,
        )  # fmt: skip
    standing = derive(store.history(scope=scope))
    feedback = [
        given for n in store.effects(name, scope=scope)
        if n.kind == "feedback" and n.state == "kept" and isinstance(given := store.get(n.id, scope=scope), Feedback)
    ]  # fmt: skip
    numbers = {v.adapter: v.number for v in adapters.versions(store, scope)}
    return visit.show(
        "interaction.html", person=person, scope=scope, record=found, kind=kind, numbers=numbers, feedback=feedback,
        notes=[(m, standing.get(m)) for m in found.context.memory_ids], causes=walks[0], effects=walks[1],
    )  # fmt: skip


def forget(visit: Visit, *, changed: bool = False) -> Response:
    """What would go, before it does; without a name, the ways to name it. `changed`: it was confirmed, but is not any more what was seen."""
    store, person, what = visit.desk.store, visit.person(), visit.given("what").strip()
    scope = person.scope
    if what == "text:":
        what = ""
    try:
        found = preview(store, what, scope=scope) if what else None
    except NotFound:
        return visit.show(
            "forget.html", person=person, scope=scope, what=what, found=None, missing=True, changed=False, **_unread()
        )
    texts: dict[str, str] = {}
    for name in (*found.memories, *found.interactions, *found.redacted)[:MOST_NODES] if found else ():
        texts[name] = gist(store.get(name, scope=scope))
    numbers = {v.adapter: v.number for v in adapters.versions(store, scope)}
    return visit.show(
        "forget.html", person=person, scope=scope, what=what, found=found, missing=False, texts=texts, numbers=numbers,
        changed=changed, seen=found.fingerprint if found else "", whole=what in ("user:", f"user:{scope.user}"), going=visit.desk.forgetting(scope),
        sources=Counter(m.source for m in store.select(Memory, scope=scope) if m.source.startswith("file:")),
    )  # fmt: skip


def jobs(visit: Visit) -> Response:
    """What is learned in the background."""
    rows = visit.desk.store.jobs(tenant=visit.tenant, limit=100)
    states: dict[str, list[Job]] = {"open": [], "over": []}
    for job in rows:
        states["open" if job.state in ("waiting", "running") else "over"].append(job)
    return visit.show("jobs.html", waiting=states["open"], over=states["over"])


def ledger(visit: Visit) -> Response:
    """The tenant's part of the audit trail, and whether all of it agrees."""
    store = visit.desk.store
    rows = store.tenant_ledger(visit.tenant, before=visit.number("before"), limit=PAGE)
    return visit.show(
        "ledger.html", rows=rows, older=rows[-1][0].seq if len(rows) == PAGE else None, head=store.head(), checked=visit.desk.checked
    )  # fmt: skip


ROUTES: dict[str, Callable[[Visit], Response]] = {
    "/": overview,
    "/users": users,
    "/user": user,
    "/memory": memory,
    "/versions": versions,
    "/version": version,
    "/interactions": interactions,
    "/record": record,
    "/forget": forget,
    "/jobs": jobs,
    "/ledger": ledger,
}


# -- parts of pages -----------------------------------------------------------------------------------------------------


def _unread() -> dict[str, Any]:
    return {"texts": {}, "numbers": {}, "whole": False, "going": None, "sources": Counter[str]()}


def _sum(shares: Any) -> Share:
    return sum(shares, Share(good=0, n=0))


def _judgements(found: Sequence[tuple[float, bool]]) -> Share:
    return Share(good=sum(good for _, good in found), n=len(found))


def _found(rows: Sequence[Found]) -> list[tuple[Found, Share]]:
    return [(row, Share(good=row.good, n=row.scored)) for row in rows]


def _status(update: Update, canary: Canary | None) -> str:
    """How the candidate stands: the decision, or `on trial` while a canary goes on."""
    if canary is not None and canary.candidate == update.verdict.candidate:
        return "on trial"
    return update.verdict.decision


def _trial(store: SqlStore, canary: Canary | None) -> dict[str, Any] | None:
    """The canary, and what its outcomes say so far."""
    if canary is None:
        return None
    return {"canary": canary, "said": trial_of(canary).show(outcomes(store, canary))}


def _back(store: SqlStore, scope: Scope, versions: Sequence[Version]) -> set[str]:
    """The versions that may be gone back to: those that were live once and are not now, and the bare base."""
    once = {m.adapter for m in store.pointer_history(scope)} | {v.adapter for v in versions if v.decision == "rebuilt"}
    return {v.adapter for v in versions if not v.live and (v.adapter in once or not v.number)}


def _version_link(visit: Visit, scope: Scope, version: Version) -> str:
    if not version.number:
        return visit.link("versions", user=scope.user)
    return visit.link("version", user=scope.user, id=version.adapter)


def _walk(store: SqlStore, scope: Scope, nodes: Sequence[Node]) -> tuple[list[tuple[Node, str]], int]:
    """(each record with what it says, how many more there are)."""
    rows: list[tuple[Node, str]] = []
    large = 0
    for node in nodes[:MOST_NODES]:
        large += node.kind in ("evidence", "batch")
        said: str = node.state
        if node.state == "kept":
            unread = large > MOST_LARGE and node.kind in ("evidence", "batch")
            try:
                said = "" if unread else gist(store.get(node.id, scope=scope))
            except NotFound:  # forgotten meanwhile
                said = "erased"
        rows.append((node, said))
    return rows, len(nodes) - len(rows)


def _fields(found: Any) -> list[tuple[str, str]]:
    """A record's own fields as text; long lists as their length."""
    rows: list[tuple[str, str]] = []
    for name, value in asdict(found).items():
        if name in ("id", "scope", "causes", "created_at", "recorded_at", "valid_from") or value in ("", (), None, {}):
            continue
        if isinstance(value, tuple | list):
            plain = all(isinstance(v, str) for v in value) and len(value) <= 12
            rows.append((name.replace("_", " "), "\n".join(map(str, value)) if plain else f"{len(value)} items"))
        else:
            rows.append((name.replace("_", " "), str(value)))
    return rows


def _good_chart(points: Sequence[figures.Point]) -> object:
    return charts.trend(points, title="Rated answers that were good", form=charts.percent, top=1.0, name="good")


def _shown_chart(points: Sequence[figures.Point]) -> object:
    return charts.trend(
        points, title="Tokens of notes shown to an answer", form=charts.whole, name="shown", width=charts.FULL
    )


def _update_chart(visit: Visit, found: Sequence[Update], stand: dict[Any, str], *, several: bool) -> object:
    rows: list[charts.Row] = []
    numbers: dict[Scope, dict[str, int]] = {}
    for update in [u for u in found if u.taught][:CHARTED]:
        taught = update.taught
        assert taught is not None
        scope, name = update.scope, update.verdict.candidate
        if scope not in numbers:
            numbers[scope] = {v.adapter: v.number for v in adapters.versions(visit.desk.store, scope)}
        number = numbers[scope].get(name)
        label = f"version {number}" if number is not None else name[:12]
        who = scope.user if len(scope.user) <= 13 else f"{scope.user[:12]}…"
        rows.append(
            charts.Row(
                label=f"{who}, {label.replace('version ', 'v')}" if several else label, href=visit.link("record", user=scope.user, id=name),
                before=taught[0], after=taught[1], decision=stand[scope, name],
            )
        )  # fmt: skip
    return charts.before_after(rows, title="Questions on what was taught, right before and after", name="updates")
