"""Fault K02: the first signal ends a run cleanly, the second one at once."""

from __future__ import annotations

import signal
import threading

import pytest

from neurodyn.training.checkpoint import newest_checkpoint
from neurodyn.training.history import read_history
from neurodyn.training.signals import TrainingInterrupted, stop_on_signals

from . import toy


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_one_signal_finishes_the_step_and_saves_once(tmp_path, number, code):
    with pytest.raises(TrainingInterrupted, match="stopped after step 7; the checkpoint") as stop:
        toy.run(tmp_path, signals={7: [number]})
    assert stop.value.code == code
    assert read_history(tmp_path / "history.jsonl")[-1]["step"] == 7
    assert newest_checkpoint(tmp_path / "state")[0].step == 7
    assert not (tmp_path / "run.lock").exists()


def test_two_signals_stop_at_once_without_saving(tmp_path):
    twice = {7: [signal.SIGTERM, signal.SIGTERM]}
    with pytest.raises(TrainingInterrupted, match="at once by a second signal") as stop:
        toy.run(tmp_path, signals=twice)
    assert stop.value.code == 143
    assert newest_checkpoint(tmp_path / "state")[0].step == 6
    assert not (tmp_path / "run.lock").exists()


def test_without_a_folder_it_says_that_nothing_is_saved():
    with pytest.raises(TrainingInterrupted, match="nothing is saved"):
        toy.run(signals={1: [signal.SIGINT]})


def test_handlers_of_the_caller_come_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stop_on_signals():
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_handler_that_python_does_not_know_becomes_the_default(monkeypatch):
    whole, seen = signal.signal, []
    monkeypatch.setattr(signal, "signal", lambda number, handler: seen.append(handler))
    with stop_on_signals():
        pass
    monkeypatch.setattr(signal, "signal", whole)
    assert seen[-2:] == [signal.SIG_DFL, signal.SIG_DFL]


def test_another_thread_trains_without_handlers():
    steps = []
    thread = threading.Thread(target=lambda: steps.append(toy.run(n_steps=3).step))
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert steps == [3]
    assert signal.getsignal(signal.SIGTERM) is before
