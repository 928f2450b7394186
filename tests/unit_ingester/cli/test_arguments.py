"""What the command line takes, refuses and says."""

from __future__ import annotations

from pathlib import Path

import pytest
from s3sink_ingester.cli import run

from tests.unit_ingester.cli.commands import settings_file


@pytest.mark.parametrize(
    "arguments", [["--help"], ["serve", "--help"], ["drain", "--help"], ["inspect", "--help"]]
)
def test_help_has_examples(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert ended.value.code == 0
    assert "s3sink-ingester " in capsys.readouterr().out.partition("example")[2]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("s3sink-ingester 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["serve"], "one of the arguments --config --local is required"),
        (["serve", "--config", "a", "--local", "b"], "not allowed with"),
        (["serve", "--local", "x", "--port", "65536"], "'65536' is no port; write a number from 0"),
        (["serve", "--local", "x", "--port", "-1"], "--port"),
        (["serve", "--local", "x", "--grace", "30"], "--grace: 30 has no unit; write '30s'"),
        (["serve", "--local", "x", "--log-level", "loud"], "invalid choice"),
        (["drain"], "one of the arguments --config --local is required"),
        (["drain", "--local", "x", "--epoch", ""], "--epoch: write 1 to 256 printable characters"),
        (["drain", "--local", "x", "--epoch", "a\udc80"], "--epoch: write 1 to 256 printable characters"),
        (["inspect"], "required: DIR"),
    ],
)
def test_bad_arguments_end_with_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "drain"])
def test_every_problem_of_the_settings_has_its_own_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = settings_file(tmp_path, workers=0, batch={"window": "soon"}, source={"port": "8888"})
    assert run([command, "--config", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert sorted(line.split(": ")[:2] for line in lines) == [
        ["s3sink-ingester", "batch.window"],
        ["s3sink-ingester", "source.port"],
        ["s3sink-ingester", "workers"],
    ]


def test_a_missing_settings_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: No such file or directory" in capsys.readouterr().err


def test_a_buffer_that_cannot_be_used_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = settings_file(tmp_path)
    (tmp_path / "buffer").write_text("a file")
    assert run(["serve", "--config", str(path)]) == 1
    assert f"{tmp_path / 'buffer'}" in capsys.readouterr().err
    assert run(["drain", "--config", str(path)]) == 1
    assert "can't be read" in capsys.readouterr().err


def test_draining_what_was_never_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = settings_file(tmp_path)
    assert run(["drain", "--config", str(path)]) == 1, (
        "a buffer that isn't mounted must not pass for an empty one"
    )
    capsys.readouterr()
    (tmp_path / "buffer").mkdir()
    assert run(["drain", "--config", str(path)]) == 0
    assert "no records were ever here" in capsys.readouterr().out


def test_inspecting_what_is_no_buffer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(tmp_path / "none")]) == 1
    assert "can't be read: No such file or directory" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert run(["inspect", str(tmp_path)]) == 1
    assert "is no buffer" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
