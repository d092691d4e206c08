"""Faults K01, K03, K05: a checkpoint is whole, or known not to be."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil

import pytest
import torch

from neurodyn.errors import CheckpointCorruptError, CheckpointError
from neurodyn.training import checkpoint as module
from neurodyn.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from neurodyn.training.history import read_history

from . import toy


class Died(BaseException):
    """Stands for the death of the process where nothing of it has to be cleaned."""


def make(step):
    tensors = {
        "weight": torch.arange(6.0).reshape(2, 3) * step,
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "random": torch.tensor(step, dtype=torch.uint8),
    }
    return Checkpoint(step, tensors, {"step": step, "name": "Größe", "rate": 0.1})


def assert_same(found, expected):
    assert found.step == expected.step
    assert found.state == expected.state
    assert set(found.tensors) == set(expected.tensors)
    for name, tensor in expected.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def test_what_is_loaded_is_what_was_saved(tmp_path):
    place = save_checkpoint(tmp_path, make(7), keep=2)
    assert sorted(path.name for path in place.iterdir()) == [
        "manifest.json",
        "state.json",
        "tensors.safetensors",
    ]
    assert_same(load_checkpoint(tmp_path, 7), make(7))


def test_only_the_newest_are_kept(tmp_path):
    (tmp_path / "step-00000002").mkdir()  # a save that never finished
    (tmp_path / "latest.tmp-123").touch()
    for step in (1, 3, 5, 7):
        save_checkpoint(tmp_path, make(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "latest",
        "step-00000005",
        "step-00000007",
    ]


def test_a_run_without_checkpoints_has_no_newest(tmp_path):
    assert newest_checkpoint(tmp_path) == (None, {})
    (tmp_path / "step-00000002").mkdir()
    assert newest_checkpoint(tmp_path, fallback=True) == (None, {})


CALLS = ("open", "write", "fsync", "replace", "mkdir", "unlink", "rmdir")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), Died()], ids=type)
def test_a_save_that_fails_at_any_call_leaves_a_whole_newest_one(tmp_path, monkeypatch, error):
    """The n-th call to the system fails, for every n, until a save gets through."""
    for fatal in range(1, 200):
        folder = tmp_path / str(fatal)
        folder.mkdir()
        save_checkpoint(folder, make(1), keep=1)
        with monkeypatch.context() as patch:
            calls = fail_at(patch, fatal, error)
            try:
                save_checkpoint(folder, make(2), keep=1)
                saved = True
            except (CheckpointError, Died):
                saved = False
        if isinstance(error, OSError):
            assert not list(folder.rglob("*.tmp-*"))
        found, damaged = newest_checkpoint(folder)
        assert not damaged
        assert_same(found, make(2 if saved else found.step))
        if calls[0] < fatal:
            break
    assert saved
    assert fatal > 30


def fail_at(patch, fatal, error):
    calls = [0]
    for name in CALLS:
        original = getattr(os, name)

        def call(*arguments, _name=name, _original=original, **keywords):
            calls[0] += 1
            if calls[0] == fatal:
                if _name == "write":
                    _original(arguments[0], arguments[1][:3])
                raise error
            return _original(*arguments, **keywords)

        patch.setattr(os, name, call)
    return calls


def test_a_disk_that_returns_other_bytes_is_noticed(tmp_path, monkeypatch):
    whole = os.write

    def flip(descriptor, data):
        return whole(descriptor, bytes([data[0] ^ 1]) + bytes(data[1:]))

    monkeypatch.setattr(os, "write", flip)
    with pytest.raises(CheckpointError, match="does not read back"):
        save_checkpoint(tmp_path, make(1), keep=1)
    assert newest_checkpoint(tmp_path) == (None, {})


def test_large_files_are_written_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_BYTES", 10)
    save_checkpoint(tmp_path, make(3), keep=1)
    assert_same(load_checkpoint(tmp_path, 3), make(3))


def flip_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def lie(path):
    """Make the manifest agree with files that hold no checkpoint."""
    (path.parent / "state.json").write_text("[")
    manifest = json.loads(path.read_text())
    manifest["files"]["state.json"] = module._entry(b"[")
    path.write_text(json.dumps(manifest))


DAMAGES = {
    "truncated tensors": ("tensors.safetensors", lambda path: os.truncate(path, 50)),
    "flipped bit in tensors": ("tensors.safetensors", flip_bit),
    "empty tensors": ("tensors.safetensors", lambda path: os.truncate(path, 0)),
    "missing tensors": ("tensors.safetensors", os.unlink),
    "flipped bit in state": ("state.json", flip_bit),
    "missing manifest": ("manifest.json", os.unlink),
    "empty manifest": ("manifest.json", lambda path: os.truncate(path, 0)),
    "manifest without files": ("manifest.json", lambda path: path.write_text("{}")),
    "manifest that is a list": ("manifest.json", lambda path: path.write_text("[]")),
    "lying manifest": ("manifest.json", lie),
    "missing folder": (".", shutil.rmtree),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_is_refused_or_passed_over(tmp_path, damage):
    for step in (1, 2):
        save_checkpoint(tmp_path, make(step), keep=2)
    name, harm = DAMAGES[damage]
    harm(tmp_path / "step-00000002" / name)
    with pytest.raises(CheckpointCorruptError, match=r"step-00000002(.|\n)*resume='auto'"):
        newest_checkpoint(tmp_path)
    found, damaged = newest_checkpoint(tmp_path, fallback=True)
    assert_same(found, make(1))
    assert list(damaged) == [2]


def test_when_all_are_damaged_there_is_no_silent_new_start(tmp_path):
    for step in (1, 2):
        place = save_checkpoint(tmp_path, make(step), keep=2)
        flip_bit(place / "state.json")
    with pytest.raises(CheckpointCorruptError, match="step-00000002"):
        newest_checkpoint(tmp_path, fallback=True)


def test_a_pointer_that_names_nothing_is_damage(tmp_path):
    save_checkpoint(tmp_path, make(1), keep=2)
    (tmp_path / "latest").write_text("")
    with pytest.raises(CheckpointCorruptError, match="names no checkpoint"):
        newest_checkpoint(tmp_path)
    assert newest_checkpoint(tmp_path, fallback=True)[0].step == 1


@pytest.fixture
def damaged_run(tmp_path):
    """A finished run whose last checkpoint has a flipped bit."""
    toy.run(tmp_path)
    flip_bit(tmp_path / "state" / "step-00000020" / "tensors.safetensors")
    return tmp_path


def test_resume_true_refuses_a_damaged_run(damaged_run):
    with pytest.raises(CheckpointCorruptError, match=r"tensors\.safetensors is not what"):
        toy.run(damaged_run, resume=True)


def test_resume_auto_goes_back_says_so_and_ends_the_same(damaged_run, uninterrupted, caplog):
    expected, _ = uninterrupted()
    with caplog.at_level(logging.WARNING):
        result = toy.run(damaged_run, resume="auto")
    assert result.resumed_from == 18
    assert result.notes == (
        "checkpoint of step 20 is damaged (tensors.safetensors is not what its manifest says): "
        "went back to step 18",
    )
    assert result.notes[0] in caplog.text
    assert toy.traces(damaged_run) == expected
    assert (damaged_run / "state" / "corrupt-step-00000020").exists()
    assert toy.run(damaged_run, resume=True).resumed_from == 20


def full_disk_after(monkeypatch, step):
    """Let saves of later steps fail as on a full disk."""
    whole = os.write

    def write(descriptor, data):
        if any(f"step-{later:08d}" in os.readlink(f"/proc/self/fd/{descriptor}") for later in step):
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(descriptor, data)

    monkeypatch.setattr(os, "write", write)


def test_a_full_disk_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    full_disk_after(monkeypatch, [12])
    with pytest.raises(CheckpointError, match=r"step 12 cannot be saved(.|\n)*No space left"):
        toy.run(tmp_path)
    assert newest_checkpoint(tmp_path / "state")[0].step == 6
    assert not (tmp_path / "state" / "step-00000012").exists()
    monkeypatch.undo()
    assert toy.run(tmp_path, resume=True).resumed_from == 6


def test_or_training_goes_on_with_one_message(tmp_path, monkeypatch, caplog, uninterrupted):
    full_disk_after(monkeypatch, [12])
    with caplog.at_level(logging.WARNING):
        result = toy.run(tmp_path, on_save_error="warn")
    assert len([r for r in caplog.records if "goes on without" in r.message]) == 1
    assert result.notes == ("step 12 was not saved: [Errno 28] No space left on device",)
    assert result.step == 20
    assert read_history(tmp_path / "history.jsonl") == uninterrupted()[1].history


def test_a_history_that_cannot_be_written_is_a_failed_save(tmp_path, monkeypatch):
    whole = os.pwrite

    def pwrite(descriptor, data, offset):
        if offset > 500:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return whole(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(CheckpointError, match=r"history cannot be written(.|\n)*quota"):
        toy.run(tmp_path)


def test_a_folder_that_vanishes_is_noticed_at_the_next_save(tmp_path):
    class Vanishing(toy.Counts):
        def gather(self, index):
            if (tmp_path / "run" / "history.jsonl").exists():
                shutil.rmtree(tmp_path / "run")
            return super().gather(index)

    with pytest.raises(CheckpointError, match="cannot be saved"):
        toy.run(tmp_path / "run", source=Vanishing())


def test_a_folder_that_cannot_be_written_is_found_out_before_training(tmp_path, monkeypatch):
    def refuse(*arguments, **keywords):
        raise PermissionError(errno.EACCES, "Permission denied")

    steps = []
    monkeypatch.setattr(toy.Poisson, "loss", lambda *arguments: steps.append(1))
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(CheckpointError, match=r"run folder cannot be used(.|\n)*denied"):
        toy.run(tmp_path)
    assert not steps


def test_putting_a_damaged_checkpoint_aside_can_fail(damaged_run, monkeypatch):
    def refuse(*arguments, **keywords):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(CheckpointError, match="Read-only"):
        toy.run(damaged_run, resume="auto")
