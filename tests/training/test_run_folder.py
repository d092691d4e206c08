"""Pauses that change nothing, and runs that go on from the checkpoint of another one."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from neurodyn.errors import CheckpointCorruptError, CheckpointError, CheckpointMismatchError
from neurodyn.training.checkpoint import load_checkpoint
from neurodyn.training.history import read_history
from neurodyn.training.run_folder import TrainingPaused, fork, paused_at
from neurodyn.training.state import under_other_settings

from . import toy

CHANGES = {"checkpoint_every": 4, "schedule": "cosine", "warmup_steps": 3, "ema_decay": 0.9}


def test_a_run_in_pieces_is_the_run(tmp_path):
    toy.run(tmp_path / "whole", **CHANGES)
    for until in (4, 10, 12):
        with (
            paused_at(until),
            pytest.raises(TrainingPaused, match=f"paused after step {(until + 3) // 4 * 4}"),
        ):
            toy.run(tmp_path / "pieces", resume="auto", **CHANGES)
    with paused_at(20):
        # done, not paused
        assert toy.run(tmp_path / "pieces", resume=True, **CHANGES).step == 20
    assert toy.traces(tmp_path / "pieces") == toy.traces(tmp_path / "whole")


def test_a_pause_where_the_run_is_already(tmp_path):
    for _ in range(2):
        with paused_at(8), pytest.raises(TrainingPaused, match="the checkpoint of step 8 is in"):
            toy.run(tmp_path, resume="auto", **CHANGES)
    assert read_history(tmp_path / "history.jsonl")[-1]["step"] == 8


def test_no_folder_no_pause():
    with paused_at(4):
        assert toy.run(**CHANGES).step == 20


def paused(folder, step, **changes):
    with paused_at(step), pytest.raises(TrainingPaused):
        toy.run(folder, **CHANGES, **changes)


def test_a_fork_with_the_same_settings_is_the_donor(tmp_path):
    paused(tmp_path / "donor", 8)
    fork(tmp_path / "donor", tmp_path / "child", 8, toy.settings(**CHANGES))
    for name in ("donor", "child"):
        toy.run(tmp_path / name, resume=True, **CHANGES)
    assert toy.traces(tmp_path / "child") == toy.traces(tmp_path / "donor")


def test_a_fork_goes_on_under_other_settings_only(tmp_path):
    paused(tmp_path / "donor", 8)
    other = CHANGES | {"learning_rate": 0.01, "weight_decay": 0.1}
    # batch size and seed belong to the position in the data
    fork(tmp_path / "donor", tmp_path / "child", 8, toy.settings(**other, batch_size=9, seed=7))
    with pytest.raises(CheckpointMismatchError, match=r"training learning_rate: 0\.01"):
        toy.run(tmp_path / "child", resume=True, **CHANGES)
    before = read_history(tmp_path / "donor" / "history.jsonl")
    result = toy.run(tmp_path / "child", resume=True, **other)
    assert result.resumed_from == 8
    assert result.history[: len(before)] == before
    rates = [row["learning_rate"] for row in result.history if row["kind"] == "train"]
    assert max(rates[8:]) < 0.011 < max(rates[:8])
    # the donor goes on as if nothing had been
    toy.run(tmp_path / "donor", resume=True, **CHANGES)
    toy.run(tmp_path / "whole", **CHANGES)
    assert toy.traces(tmp_path / "donor") == toy.traces(tmp_path / "whole")


@dataclass(frozen=True)
class Settings:
    dropout: float = 0.2


def test_settings_of_the_network_change_where_it_has_some(tmp_path):
    paused(tmp_path, 4)
    checkpoint = load_checkpoint(tmp_path / "state", 4)
    changed = under_other_settings(checkpoint, toy.settings(), Settings(0.5))
    assert changed.state["settings"] == {}
    checkpoint.state["settings"] = {"dropout": 0.2}
    changed = under_other_settings(checkpoint, toy.settings(), Settings(0.5))
    assert changed.state["settings"] == {"dropout": 0.5}
    assert changed.tensors is checkpoint.tensors


def test_forks_that_cannot_be(tmp_path):
    paused(tmp_path / "donor", 8)
    training = toy.settings()
    with pytest.raises(CheckpointCorruptError, match="checkpoint is damaged"):
        fork(tmp_path / "donor", tmp_path / "child", 6, training)
    with pytest.raises(CheckpointError, match="folder holds a run already"):
        fork(tmp_path / "donor", tmp_path / "donor", 8, training)
    (tmp_path / "donor" / "history.jsonl").unlink()
    with pytest.raises(CheckpointError, match="cannot fork a run"):
        fork(tmp_path / "donor", tmp_path / "child", 8, training)
    assert [path.name for path in tmp_path.iterdir()] == ["donor"]


def test_the_files_of_a_fork(tmp_path):
    paused(tmp_path / "donor", 8)
    fork(tmp_path / "donor", tmp_path / "child", 8, toy.settings(learning_rate=0.5))
    names = sorted(path.name for path in (tmp_path / "child" / "state").iterdir())
    assert names == ["latest", "step-00000008"]
    state = json.loads((tmp_path / "child" / "state" / names[1] / "state.json").read_text())
    assert state["training"]["learning_rate"] == 0.5
    assert state["training"]["batch_size"] == toy.BATCH
