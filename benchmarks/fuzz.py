"""Does the service hold to its own OpenAPI document, whatever it is asked, in whatever order?

The official schemathesis against `engrain serve`'s application on a socket: examples, boundary values, random and wrong requests, and chains of requests
in which one uses what another gave (stateful). Every answer is held against the document: no 5xx, documented status, content type, headers and body.

Not held against it: whether every request that fits the document is accepted (a message may be too long for the model's window), and whether every other
one is refused (unknown fields are tolerated, as OpenAI does).

Bars: no 5xx, no violation, and 5,000 cases, of which some are stateful.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import common
from common import Bars, Run, table
from engrain.store import SqlStore
from processes import Nursery, free_port, status, wait_until

PHASES = ("examples", "coverage", "fuzzing", "stateful")
NOT_HELD = "negative_data_rejection,positive_data_acceptance"


def main() -> None:
    parser = common.options(__doc__, seeds=1)
    parser.add_argument("--cases", type=int, default=None, help="at least (default 5000; 100 with --quick)")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further round has the next")
    parser.add_argument(
        "--examples",
        type=int,
        default=None,
        help="random requests of each operation in a round (default 60; 3 with --quick)",
    )
    args = parser.parse_args()
    cases = args.cases or (100 if args.quick else 5000)
    run = Run("fuzz", args)
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder:
        found = fuzzed(run, Path(folder), cases)
    phases = found["phases"]
    table(("phase", "cases"), [(p, phases.get(p, 0)) for p in PHASES])
    table(("status", "answers"), sorted(found["statuses"].items()))
    for failure in found["failures"]:
        print(failure)
    bars = Bars()
    errors = sum(n for code, n in found["statuses"].items() if int(code) >= 500)
    bars.add("5xx", errors, not errors, "0")
    bars.add("violations", len(found["failures"]), not found["failures"], "0")
    bars.add("cases", sum(phases.values()), sum(phases.values()) >= cases, f">= {cases}")
    bars.add("stateful cases", phases.get("stateful", 0), phases.get("stateful", 0) > 0, "> 0")
    bars.show()
    path = run.save(found, bars)
    with common.picture(path) as axis:
        axis.bar(list(map(str, found["statuses"])), list(found["statuses"].values()))
        axis.set_xlabel("status")
        axis.set_ylabel("answers")


def fuzzed(run: Run, folder: Path, cases: int) -> dict[str, Any]:
    """Rounds of schemathesis with other seeds until there are this many cases; what was asked, answered and wrong."""
    home, port, examples = folder / "home", free_port(), run.args.examples or (3 if run.args.quick else 60)
    phases: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    failures: list[str] = []
    with closing(SqlStore(home)) as store:
        _, secret = store.new_key("local", ["serve", "feedback", "admin"])
    with Nursery(folder / "log") as nursery:
        words = ("serve", "--no-learn", "--home", home, "--base", run.args.base, "--port", port, "--device", "cpu")
        service = nursery.start("engrain", *words)
        wait_until(lambda: status(port) == 200, "the service does not answer", service)
        seed = run.args.seed
        while sum(phases.values()) < cases and not failures:
            report = folder / f"{seed}.ndjson"
            said = asked(port, secret, report, examples, seed)
            events = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
            before = sum(phases.values())
            count(events, phases, statuses)
            if said.returncode or sum(phases.values()) == before:
                failures.append(said.stdout[-6000:] + said.stderr[-1000:])
            run.say(f"seed {seed}: {sum(phases.values())} cases, {dict(statuses)}")
            seed += 1
        if status(port) != 200:
            failures.append("the service is not ready in the end")
    with closing(SqlStore(home)) as store:
        entries = store.verify()
    return {"phases": dict(phases), "statuses": dict(statuses), "failures": failures, "entries": entries}


def asked(port: int, secret: str, report: Path, examples: int, seed: int) -> subprocess.CompletedProcess[str]:
    """One round of schemathesis' own command."""
    command = [
        str(Path(sys.executable).with_name("st")), "run", f"http://127.0.0.1:{port}/openapi.json", "--phases", ",".join(PHASES),
        "--exclude-checks", NOT_HELD, "--max-examples", str(examples), "--seed", str(seed), "-H", f"Authorization: Bearer {secret}",
        "--continue-on-failure", "--request-timeout", "120", "--suppress-health-check", "all", "--warnings", "off", "--workers", "1",
        "--report", "ndjson", "--report-ndjson-path", str(report), "--no-color", "--generation-database", ":memory:",
    ]  # fmt: skip
    return subprocess.run(
        command, cwd=report.parent, env=os.environ | {"COLUMNS": "120"}, capture_output=True, text=True
    )


def count(events: list[dict[str, Any]], phases: Counter[str], statuses: Counter[str]) -> None:
    """Add up the cases of each phase and the statuses."""
    for scenario in (e["ScenarioFinished"] for e in events if "ScenarioFinished" in e):
        answered = scenario["recorder"].get("interactions", {}).values()
        codes = [str(i["response"]["status_code"]) for i in answered if i.get("response")]
        phases[scenario["phase"]] += len(codes)
        statuses.update(codes)


if __name__ == "__main__":
    main()
