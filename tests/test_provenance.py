"""Provenance: history, digests and files that are whole or absent."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
import xarray as xr

from neurodyn.provenance import (
    add_history,
    atomic_path,
    file_digest,
    history,
    now,
    versions,
    write_json,
)


def test_history_grows_without_touching_the_input():
    first = xr.Dataset(attrs={"kind": "results"})
    second = add_history(add_history(first, "bin_spikes", bin_size=0.02), "smooth", width=0.05)
    assert history(first) == []
    assert [step["step"] for step in history(second)] == ["bin_spikes", "smooth"]
    assert history(second)[0]["parameters"] == {"bin_size": 0.02}


def test_file_digest(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"spikes")
    assert file_digest(path) == "sha256:" + hashlib.sha256(b"spikes").hexdigest()


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["result.json"]


def test_versions_and_time():
    assert {"python", "numpy", "neurodyn"} <= set(versions())
    assert now().endswith("+00:00")
