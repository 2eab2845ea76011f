"""JSON lines: what is said of a request and of an error, and what never is."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from engrain.telemetry.logs import JsonLines, log_as_json, log_in_words


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    root, engrain = logging.getLogger(), logging.getLogger("engrain")
    before = root.handlers[:], root.level, engrain.level
    stream = io.StringIO()
    log_as_json(stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:], root.level, engrain.level = before
    root.setLevel(before[1])
    engrain.setLevel(before[2])


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_each_line_is_an_object_with_time_level_logger_message_and_the_records_own_fields(said: io.StringIO) -> None:
    logging.getLogger("engrain.x").info("request", extra={"fields": {"status": 200, "route": "/v1/models"}})
    logging.getLogger("other").info("not of use")
    logging.getLogger("other").warning("two\nlines of %s", "it")
    first, second = lines(said)
    assert str(first.pop("at")).endswith("Z")
    assert first == {"level": "info", "logger": "engrain.x", "message": "request", "status": 200, "route": "/v1/models"}
    assert (second["level"], second["message"]) == ("warning", "two\nlines of it")


def test_an_error_is_told_by_type_and_place_and_not_by_its_words(said: io.StringIO) -> None:
    try:
        try:
            raise ValueError("the vault code is 731904")
        except ValueError as error:
            raise RuntimeError("cannot read 'the vault code is 731904'") from error
    except RuntimeError:
        logging.getLogger("engrain").exception("a request failed")
    (line,) = lines(said)
    errors = line["error"]
    assert isinstance(errors, list)
    assert [e["type"] for e in errors] == ["RuntimeError", "ValueError"]
    assert "test_logs.py" in errors[0]["at"][0]
    assert "731904" not in said.getvalue()


def test_in_words_too_an_error_is_told_by_type_and_place_and_not_by_its_words(said: io.StringIO) -> None:
    log_in_words(said)
    try:
        raise ValueError("the vault code is 731904")
    except ValueError as error:
        told = logging.LogRecord(
            "engrain.x", logging.ERROR, "x.py", 1, "%s failed", ("req_1",), (type(error), error, None)
        )
        told.exc_text = "ValueError: the vault code is 731904"  # what another handler kept
        logging.getLogger("engrain.x").handle(told)
        logging.getLogger("engrain.x").exception("again")
    logging.getLogger("engrain.x").info("not of use")
    lines = said.getvalue().splitlines()
    assert lines[0].endswith(" ERROR engrain.x: req_1 failed") and lines[1] == "  ValueError"
    assert lines[-1].startswith("    ") and "test_logs.py" in lines[-1]
    assert "731904" not in said.getvalue() and "not of use" not in said.getvalue()


def test_what_json_does_not_know_is_written_as_its_text() -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "m", (), None)
    record.fields = {"where": complex(1, 2)}
    assert json.loads(JsonLines().format(record))["where"] == "(1+2j)"
