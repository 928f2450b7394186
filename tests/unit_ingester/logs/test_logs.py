"""What a log line looks like, and what never gets into one."""

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
from s3sink_ingester import logs

log = logging.getLogger("s3sink_ingester.store")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_when_nobody_watches() -> None:
    logs.configure(stream=(out := io.StringIO()))
    log.warning("sealed %d objects", 3, extra={"partition": "LAX/", "seconds": 0.5})
    [line] = lines(out)
    assert str(line.pop("time")).endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "s3sink_ingester.store",
        "message": "sealed 3 objects",
        "partition": "LAX/",
        "seconds": 0.5,
    }


def test_time_is_rfc_3339_in_utc() -> None:
    record = logging.makeLogRecord(
        {"created": 1795498200.0625, "msg": "x", "levelname": "INFO", "name": "root"}
    )
    assert json.loads(logs.JsonFormatter().format(record))["time"] == "2026-11-24T05:30:00.062Z"
    assert logs.TextFormatter().format(record) == "05:30:00.062 INFO    root: x"


def test_text_on_a_terminal() -> None:
    logs.configure(stream=(out := Terminal()))
    log.info("recovered\n%s", "line\x1b[31m", extra={"segments": 2, "path": "a b", "empty": "", "also": [1]})
    line = out.getvalue()[13:]
    assert line == 'INFO    store: recovered\\nline\\x1b[31m segments=2 path="a b" empty="" also=[1]\n'


@pytest.mark.parametrize(("log_format", "first"), [("json", "{"), ("text", "0123456789")])
def test_a_format_may_be_asked_for(log_format: str, first: str) -> None:
    for stream in (io.StringIO(), Terminal()):
        logs.configure(log_format=log_format, stream=stream)
        log.info("x")
        assert stream.getvalue()[0] in first


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(level: str, count: int) -> None:
    logs.configure(level, stream=(out := io.StringIO()))
    for write in (log.debug, log.info, log.warning, log.error):
        write("x")
    assert len(lines(out)) == count
    assert set(logs.LEVELS) >= {level}


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_payload_and_secrets_are_never_shown(log_format: str) -> None:
    logs.configure("debug", log_format, out := io.StringIO())
    extra = {
        "body": b"payload",
        "secret_key": "hunter2",
        "headers": {"Authorization": "hunter2", "Host": "x", "raw": bytearray(b"payload")},
        "parts": [memoryview(b"payload"), ("ok", b"payload")],
    }
    log.info("got %s, %r", b"payload", b"payload", extra=extra)
    log.info("got %(body)s", {"body": b"payload"})
    shown = out.getvalue()
    assert "payload" not in shown
    assert "hunter2" not in shown
    assert "[7 bytes]" in shown
    assert "[hidden]" in shown


def test_loggers_of_the_wire_stay_quiet_at_debug() -> None:
    logs.configure("debug", stream=(out := io.StringIO()))
    logging.getLogger("botocore.auth").debug("StringToSign: ...")
    logging.getLogger("urllib3.connectionpool").debug("GET /?X-Amz-Signature=...")
    assert out.getvalue() == ""
    logs.configure("error", stream=out)
    logging.getLogger("botocore").warning("x")
    assert out.getvalue() == ""


def test_values_that_json_lacks() -> None:
    logs.configure(stream=(out := io.StringIO()))
    log.info(
        "x",
        extra={"nan": float("nan"), "error": ValueError("why"), "level": 1, "text": "é\ud800", "set": {1}},
    )
    [line] = lines(out)
    assert (line["nan"], line["error"], line["level"], line["extra_level"], line["set"]) == (
        "nan",
        "why",
        "info",
        1,
        [1],
    )


def test_long_text_is_cut() -> None:
    logs.configure(stream=(out := io.StringIO()))
    log.info("x" * 5000, extra={"name_": "y" * 5000})
    assert len(out.getvalue()) < 2 * logs.LONGEST_TEXT + 300
    assert "[5000 characters]" in out.getvalue()


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_exceptions(log_format: str) -> None:
    logs.configure(log_format=log_format, stream=(out := io.StringIO()))
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    shown = str(lines(out)[0]["exception"]) if log_format == "json" else out.getvalue()
    assert shown.splitlines()[-1] == "ValueError: why"


def test_warnings_are_logged() -> None:
    logs.configure(stream=(out := io.StringIO()))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "old" in str(lines(out)[0]["message"])


def test_configuring_again_replaces() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure(stream=first)
    logs.configure(stream=second)
    log.info("x")
    assert (first.getvalue(), len(lines(second))) == ("", 1)
