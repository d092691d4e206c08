"""The wheel alone, in an empty folder: what a user who ran ``pip install neurodyn`` has."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "MPLBACKEND": "Agg", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with nothing but the unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        *("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", str(folder), str(ROOT)),
        cwd=folder,
    )
    (wheel,) = folder.glob("neurodyn-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def neurodyn(site: Path, cwd: Path, *arguments: str) -> str:
    output = run("-m", "neurodyn", *arguments, cwd=cwd, PYTHONPATH=str(site))
    where = run("-c", "import neurodyn; print(neurodyn.__file__)", cwd=cwd, PYTHONPATH=str(site))
    assert where.strip().startswith(str(site))
    return output


def test_data_and_tutorials_are_in_the_wheel(site):
    for folder in ("datasets", "tutorials"):
        source = {
            str(path.relative_to(ROOT / folder))
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        shipped = site / "neurodyn" / "_shipped" / folder
        packed = {str(p.relative_to(shipped)) for p in shipped.rglob("*") if p.is_file()}
        assert source == packed


def test_datasets_are_listed(site, tmp_path):
    listed = neurodyn(site, tmp_path, "datasets", "list")
    assert "grasshopper" in listed
    assert "mc_maze_small" in listed


def test_the_first_tutorial_runs(site, tmp_path):
    neurodyn(site, tmp_path, "tutorial", "run", "01")


def test_the_demo_runs(site, tmp_path):
    neurodyn(site, tmp_path, "demo", "--folder", "demo", "--steps", "5", "--quick")
    assert "<html" in (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
