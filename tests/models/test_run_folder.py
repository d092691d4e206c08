from __future__ import annotations

import json

import numpy as np
import pytest

from neurodyn import recording
from neurodyn.errors import CheckpointCorruptError, CheckpointMismatchError
from neurodyn.models import run_folder


@pytest.fixture
def folder(tmp_path):
    place = run_folder.begin(tmp_path / "run")
    run_folder.write_arrays(place, {"weight": np.arange(3.0), "empty": np.empty((0, 2))}, note="x")
    (place / "config.toml").write_text('estimator = "none"\n')
    run_folder.commit(place, estimator="none", seed=3)
    return place


def test_a_run_is_read_as_written(folder):
    run = run_folder.read(folder)
    np.testing.assert_array_equal(run.arrays["weight"], [0.0, 1.0, 2.0])
    assert run.arrays["empty"].shape == (0, 2)
    assert run.metadata == {"note": "x"}
    assert run.manifest["seed"] == 3
    assert set(run.manifest["files"]) == {"config.toml", "model.safetensors"}
    assert "numpy" in run.manifest["versions"]


@pytest.mark.parametrize("name", ["config.toml", "model.safetensors"])
def test_a_changed_byte_is_noticed(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(CheckpointCorruptError, match=rf"missing or changed[\s\S]*{name}"):
        run_folder.read(folder)


def test_a_missing_file_is_noticed(folder):
    (folder / "config.toml").unlink()
    with pytest.raises(CheckpointCorruptError, match="missing or changed"):
        run_folder.read(folder)


def test_without_a_manifest_a_folder_is_incomplete(folder):
    run_folder.begin(folder)
    with pytest.raises(CheckpointCorruptError, match="not a complete run folder"):
        run_folder.read(folder)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 1, "files": 3}'])
def test_a_damaged_manifest_is_named(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(CheckpointCorruptError, match="cannot read a manifest"):
        run_folder.read(folder)


def test_weights_that_are_no_safetensors_are_named(folder):
    (folder / "model.safetensors").write_bytes(b"\x00" * 4)
    run_folder.commit(folder)
    with pytest.raises(CheckpointCorruptError, match="cannot read the weights"):
        run_folder.read(folder)


def test_a_later_format_is_refused(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(CheckpointMismatchError, match="later neurodyn"):
        run_folder.read(folder)


def test_results_and_metrics_are_added_and_committed(folder):
    scored = recording.results({"co_bps": 0.25})
    run_folder.record(folder, results=scored, metrics={"co_bps": 0.25})
    run = run_folder.read(folder)
    assert {"results.nc", "metrics.json"} <= set(run.manifest["files"])
    assert run.manifest["seed"] == 3
    assert json.loads((folder / "metrics.json").read_text()) == {"co_bps": 0.25}
    assert float(recording.load(folder / "results.nc")["co_bps"]) == 0.25


def test_nothing_is_added_to_a_damaged_run(folder):
    (folder / "config.toml").write_text("changed")
    with pytest.raises(CheckpointCorruptError):
        run_folder.record(folder, metrics={})
