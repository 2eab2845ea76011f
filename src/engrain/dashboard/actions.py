"""What an operator does: each a form that was sent, a call of the loop's own functions, and the page where one sees what came of it."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from engrain import adapters
from engrain.adapters.canary import on_trial
from engrain.dashboard import pages
from engrain.dashboard.visit import Visit
from engrain.errors import InputError
from engrain.loops.forget import preview
from engrain.loops.trial import decide


def rollback(visit: Visit) -> Response:
    """Back to the version that is named, or to the one before what was live when the form was shown."""
    scope = visit.scope()
    if visit.given("live") != visit.desk.store.live(scope):
        raise InputError("another version has become live since this page was made; look at it again")
    now = adapters.rollback(visit.desk.store, scope, visit.form.get("to"))
    return visit.go("versions", f"{now[:12] or 'The bare base'} is live now.", user=scope.user)


def trial(visit: Visit) -> Response:
    """End the canary that was shown, by hand."""
    scope, wanted = visit.scope(), visit.given("decision")
    canary = on_trial(visit.desk.store, scope)
    if canary is None or canary.candidate != visit.given("candidate"):
        raise InputError("this version is not on trial any more; look at the user's versions")
    if wanted not in ("approve", "stop"):
        raise InputError(f"decision={wanted!r}; give approve or stop")
    verdict = decide(visit.desk.store, scope, approve=wanted == "approve", reason=visit.given("reason").strip()[:200])
    done = "is live now" if wanted == "approve" else "was stopped; the live version stays"
    return visit.go("version", f"{verdict.candidate[:12]} {done}.", user=scope.user, id=verdict.candidate)


def consolidate(visit: Visit) -> Response:
    """Ask for a run of the slow loop."""
    scope = visit.scope()
    job = visit.desk.store.add_job(scope, "asked for at the dashboard")
    return visit.go(
        "jobs", f"{job.id} of {scope.user} is {job.state}. A worker takes it up: engrain serve, or engrain work."
    )


def cancel(visit: Visit) -> Response:
    """A job that is not to be run, or to stop."""
    job = visit.desk.store.cancel_job(visit.given("id"), scope=visit.scope())
    return visit.go("jobs", f"{job.id} was cancelled.")


def forget(visit: Visit) -> Response:
    """Begin what the preview showed."""
    scope, what = visit.scope(), visit.given("what").strip()
    seen = preview(visit.desk.store, what, scope=scope).fingerprint  # NotFound now, not in the thread
    if what.startswith("user:") and visit.given("sure") != scope.user:
        raise InputError(f"everything of {scope.user} would go; type the name into the field to confirm")
    if not what.startswith("user:") and seen != visit.given("seen"):  # who is busy always changes; their name was typed
        return pages.forget(visit, changed=True)
    agreed = "" if what.startswith("user:") else seen
    if not visit.desk.forget(scope, what, visit.given("reason").strip()[:200] or "asked at the dashboard", agreed):
        raise InputError("another forgetting of this home is under way; wait until it has ended")
    return visit.go("user", "It is being forgotten. This page shows how far it is.", user=scope.user)


def verify(visit: Visit) -> Response:
    """Check the whole ledger."""
    checked = visit.desk.verify()
    if checked.error:
        return visit.go("ledger", checked.error, kind="refused")
    return visit.go("ledger", f"All {checked.entries:,} entries agree with one another and with what is stored.")


ROUTES: dict[str, Callable[[Visit], Response]] = {
    "/rollback": rollback,
    "/trial": trial,
    "/consolidate": consolidate,
    "/cancel": cancel,
    "/forget/preview": pages.forget,
    "/forget": forget,
    "/verify": verify,
}
