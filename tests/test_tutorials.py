"""Every tutorial runs as a user runs it, in an empty folder, and its science holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial(tutorial, tmp_path):
    run(tutorial, tmp_path)


@pytest.mark.slow
@pytest.mark.shared_data
def test_tutorial_on_a_real_worm(shared_data, tmp_path):
    worm = shared_data / "celegans_wormwideweb_1worm" / "traces_z.csv.gz"
    (tutorial,) = (path for path in TUTORIALS if path.name.startswith("05"))
    run(tutorial, tmp_path, NEURODYN_RECORDING=str(worm))


def run(tutorial, tmp_path, **environment):
    number, scratch = tutorial.name[:2], tmp_path / "scratch"
    here = tmp_path / "here"
    here.mkdir()
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "neurodyn", "tutorial", "run", number],
        cwd=here,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(scratch), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    left = sorted(path.name for path in here.iterdir())
    assert left
    assert all(name.startswith(f"tutorial_{number}_figure_") for name in left)
    # torch keeps a cache there
    assert [path.name for path in scratch.iterdir() if "torch" not in path.name] == []


def test_every_tutorial_ends_with_its_science():
    for tutorial in TUTORIALS:
        last_cell = tutorial.read_text(encoding="utf-8").split("# %%")[-1]
        statements = [line for line in last_cell.splitlines() if line and line[0] not in "# "]
        assert statements, tutorial.name
        assert statements[-1].startswith("assert "), tutorial.name
