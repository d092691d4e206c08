"""What README.rst says works: its Python runs as printed, its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.rst").read_text(encoding="utf-8")
MOST_LINES = 14


def python_block() -> str:
    """The Python example, without its indentation."""
    block = README.split(".. code-block:: python\n\n")[1]
    lines = re.match(r"(?:(?:    .*)?\n)+", block).group().rstrip().splitlines()
    return "\n".join(line.removeprefix("    ") for line in lines) + "\n"


def test_the_python_example_runs_as_printed(tmp_path):
    code = python_block()
    assert 5 <= len([line for line in code.splitlines() if line]) <= MOST_LINES
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "spikes" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", re.findall(r"\bmake ([a-z-]+)", README))
def test_every_make_command_exists(target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_two_commands_come_first():
    commands = re.findall(r"^    make (\S+)", README, re.MULTILINE)
    assert commands == ["demo", "test"]


@pytest.mark.parametrize("verb", re.findall(r"^    neurodyn ([a-z]+)", README, re.MULTILINE))
def test_every_verb_exists(verb):
    from typer.testing import CliRunner

    from neurodyn.cli.app import app

    assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0


@pytest.mark.parametrize("path", re.findall(r"``(tests/[\w/.]+)``", README))
def test_every_promise_names_a_test(path):
    assert (ROOT / path).is_file()
