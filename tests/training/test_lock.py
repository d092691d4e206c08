"""Fault K14: one process per run folder."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from pathlib import Path

import pytest

from neurodyn.errors import CheckpointError
from neurodyn.training.lock import run_lock

from . import toy


def hold(folder):
    with run_lock(folder):
        (folder / "held").touch()
        time.sleep(60)


@pytest.fixture
def holder(tmp_path):
    process = toy.in_process(hold, tmp_path)
    begun = time.monotonic()
    while not (tmp_path / "held").exists():
        assert time.monotonic() < begun + 30
        time.sleep(0.005)
    yield process
    process.kill()
    process.join()


def test_a_second_process_is_refused_and_told_who_is_first(tmp_path, holder):
    expected = rf"process {holder.pid} on {socket.gethostname()}(.|\n)*wait for it"
    with pytest.raises(CheckpointError, match=expected):
        toy.run(tmp_path)
    assert not (tmp_path / "state").exists()


def test_the_lock_of_a_killed_process_is_stale(tmp_path, holder, caplog):
    holder.kill()
    holder.join()
    assert (tmp_path / "run.lock").exists()
    with caplog.at_level(logging.WARNING), run_lock(tmp_path):
        owner = json.loads((tmp_path / "run.lock").read_text())
    assert owner == {"pid": os.getpid(), "host": socket.gethostname()}
    assert f"process {holder.pid}, which is gone" in caplog.text
    assert not (tmp_path / "run.lock").exists()


def test_the_same_process_is_refused_as_well_and_can_lock_again_later(tmp_path):
    with run_lock(tmp_path), pytest.raises(CheckpointError, match="another process"):
        run_lock(tmp_path).__enter__()
    with run_lock(tmp_path):
        pass


def test_a_lock_from_another_host_is_believed(tmp_path):
    path = tmp_path / "run.lock"
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    with pytest.raises(CheckpointError, match=r"process 1 on elsewhere(.|\n)*delete run.lock"):
        run_lock(tmp_path).__enter__()
    path.unlink()
    with run_lock(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_lock_file_that_says_nothing_is_stale(tmp_path, text):
    (tmp_path / "run.lock").write_text(text)
    with run_lock(tmp_path):
        pass


def test_a_lock_file_deleted_between_opening_and_locking_is_not_trusted(tmp_path, monkeypatch):
    import fcntl

    whole = fcntl.flock
    vanished = []

    def vanish_once(descriptor, operation):
        whole(descriptor, operation)
        if not vanished:
            vanished.append(Path(tmp_path / "run.lock").unlink())

    monkeypatch.setattr(fcntl, "flock", vanish_once)
    with run_lock(tmp_path):
        assert (tmp_path / "run.lock").exists()


def test_an_unusable_folder_is_found_out_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="run folder cannot be used"):
        run_lock(tmp_path / "file" / "run").__enter__()


def test_folders_with_spaces_foreign_letters_and_long_names_work(tmp_path):
    folder = tmp_path / "Größe 脳 run" / ("x" * 200)
    toy.run(folder, n_steps=2)
    assert (folder / "history.jsonl").exists()
