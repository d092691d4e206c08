"""The verb that converts pickles: what it writes and prints, and how it fails."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import numpy as np
from typer.testing import CliRunner

from neurodyn.cli.app import app
from neurodyn.io.arrays import read_npz

runner = CliRunner()


def run(*arguments):
    return runner.invoke(app, ["unpickle", *map(str, arguments)], catch_exceptions=False)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_arrays_are_written_and_listed(tmp_path):
    data = {"spikes": {0: np.eye(2), 1: np.eye(2)}, "dt": 0.01, "callback": None}
    (tmp_path / "v1al.pkl").write_bytes(pickle.dumps(data))
    text = run(tmp_path / "v1al.pkl", tmp_path / "v1al.npz").output
    assert "spikes/1  2 x 2" in text
    assert "callback  left out: nothing in it" in text
    assert read_npz(tmp_path / "v1al.npz")["dt"] == 0.01
    values = json.loads(run(tmp_path / "v1al.pkl", tmp_path / "v1al", "--json").output)
    assert values["shapes"] == {"spikes/0": [2, 2], "spikes/1": [2, 2], "dt": []}
    assert values["left_out"] == ["callback"]
    assert values["target"] == str(tmp_path / "v1al")


def test_help_has_an_example():
    text = run("--help").output
    assert "Example: neurodyn unpickle spikes.pkl session.npz" in text


def test_an_unsafe_pickle_ends_with_4(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"spikes": [Hostile()]}))
    done = subprocess.run(
        [sys.executable, "-m", "neurodyn", "unpickle", "bad.pkl", "out.npz"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "UnsafeFileError: pickle asks for something that could run code" in done.stderr
    assert "system" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pkl"]
