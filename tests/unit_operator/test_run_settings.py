"""The command line."""

from __future__ import annotations

import pytest
from s3sink_operator.runtime.settings import parse


def test_defaults() -> None:
    given = parse(["--ingester-image", "i"], {})
    assert (given.image, given.namespaces, given.elect) == ("i", (), False)
    assert (given.host, given.port, given.resync, given.workers) == ("0.0.0.0", 8080, 60.0, 8)
    assert (given.log_format, given.log_level, given.lease_namespace) == ("json", "info", "default")


def test_the_environment_of_a_pod() -> None:
    environment = {"INGESTER_IMAGE": "i", "POD_NAME": "operator-1", "POD_NAMESPACE": "system"}
    given = parse(["--leader-elect"], environment)
    assert (given.image, given.identity, given.lease_namespace) == ("i", "operator-1", "system")
    assert parse(["--ingester-image", "other"], environment).image == "other"
    assert parse(["--lease-namespace", "there"], environment).lease_namespace == "there"


def test_namespaces_come_once_each_and_hold_the_lease() -> None:
    given = parse(["--ingester-image", "i", "--namespace", "a", "--namespace", "b", "--namespace", "a"], {})
    assert (given.namespaces, given.lease_namespace) == (("a", "b"), "a")


def test_for_a_terminal() -> None:
    given = parse(["--ingester-image", "i", "--dev"], {})
    assert (given.host, given.port, given.log_format) == ("127.0.0.1", 8080, "text")
    given = parse(["--ingester-image", "i", "--dev", "--log-format", "json", "--listen", "[::]:1"], {})
    assert (given.host, given.port, given.log_format) == ("::", 1, "json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --ingester-image or $INGESTER_IMAGE"),
        (["--resync", "1s"], "less than 5s"),
        (["--resync", "often"], "'often' is not a duration"),
        (["--workers", "0"], "not a number from 1 to 256"),
        (["--workers", "x"], "not a number from 1 to 256"),
        (["--listen", "8080"], "is not HOST:PORT"),
        (["--listen", "a:70000"], "is not HOST:PORT"),
        (["--log-level", "loud"], "invalid choice"),
        (["extra"], "unrecognized arguments"),
    ],
)
def test_mistakes_are_named(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments + (["--ingester-image", "i"] if arguments else []), {})
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([flag], {})
    assert ended.value.code == 0
    assert "s3sink-operator" in capsys.readouterr().out
