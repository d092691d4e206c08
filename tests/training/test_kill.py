"""Faults K01, K02, K07, K08: whatever stops a run, it ends with the same bits."""

from __future__ import annotations

import random
import shutil
import signal
import time

import pytest

from neurodyn.training.checkpoint import newest_checkpoint

from . import toy

RICH = {"ema_decay": 0.9, "gradient_clip": 0.5, "schedule": "cosine", "warmup_steps": 3}


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        (1, {}),
        (3, RICH),  # mid-epoch
        (5, {}),  # the end of an epoch
        (7, {"schedule": "plateau", "plateau_patience": 1}),
        (12, RICH),  # a step at which a checkpoint is due anyway
        (13, {"precision": "bf16-mixed"}),
        ("best", {}),
        (20, {}),
    ],
    ids=str,
)
def test_part_plus_new_process_plus_rest_equals_the_whole(tmp_path, uninterrupted, step, changes):
    expected, whole = uninterrupted(**changes)
    step = whole.best_step if step == "best" else step
    stop = {step: [signal.SIGTERM]}
    assert toy.exit_code(toy.run, tmp_path, signals=stop, **changes) == 143
    checkpoint, _ = newest_checkpoint(tmp_path / "state")
    assert checkpoint.step == step
    assert toy.exit_code(toy.run, tmp_path, resume=True, **changes) == 0
    assert toy.traces(tmp_path) == expected


def test_resuming_twice_from_one_checkpoint_gives_the_same(tmp_path):
    toy.exit_code(toy.run, tmp_path / "a", signals={9: [signal.SIGINT]})
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for name in ("a", "b"):
        toy.run(tmp_path / name, resume=True)
    assert toy.traces(tmp_path / "a") == toy.traces(tmp_path / "b")


def wait_until_locked(lock, pid):
    """Give a process the time to load; from its first sign of life on, time is random."""
    begun = time.monotonic()
    while not (lock.exists() and f'"pid": {pid},' in lock.read_text()):
        assert time.monotonic() < begun + 30
        time.sleep(0.001)


def kill_and_resume(folder, n_kills, longest, seed, **changes):
    """Kill one run ``n_kills`` times after random times of training; return the steps reached."""
    chance = random.Random(seed)
    steps = []
    for _ in range(n_kills):
        process = toy.in_process(toy.run, folder, resume="auto", **changes)
        wait_until_locked(folder / "run.lock", process.pid)
        time.sleep(chance.uniform(0, longest))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        found, _ = newest_checkpoint(folder / "state")
        steps.append(found.step if found else -1)
    assert toy.exit_code(toy.run, folder, resume=True, **changes) == 0
    return steps


@pytest.mark.parametrize(
    ("n_kills", "n_steps"), [(5, 250), pytest.param(50, 6000, marks=pytest.mark.slow)]
)
def test_killed_at_random_moments_it_ends_bit_identical(tmp_path, n_kills, n_steps):
    changes = {"n_steps": n_steps, "checkpoint_every": 3, "ema_decay": 0.99}
    process = toy.in_process(toy.run, tmp_path / "whole", **changes)
    wait_until_locked(tmp_path / "whole" / "run.lock", process.pid)
    begun = time.monotonic()
    process.join()
    # So short that the run cannot be over before the last kill.
    longest = 0.6 * (time.monotonic() - begun) / n_kills
    steps = kill_and_resume(tmp_path / "killed", n_kills, longest, seed=n_kills, **changes)
    assert steps == sorted(steps)
    assert steps[-1] < n_steps
    assert toy.traces(tmp_path / "killed") == toy.traces(tmp_path / "whole")


@pytest.mark.parametrize("n_steps", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_killed_inside_any_call_to_the_system_nothing_is_lost(tmp_path, n_steps):
    changes = {
        "n_steps": n_steps,
        "checkpoint_every": 2,
        "validate_every": 2,
        "keep_checkpoints": 1,
    }
    tally = tmp_path / "tally"
    toy.exit_code(toy.run_dying_at, tmp_path / "whole", 0, tally, **changes)
    expected, n_calls = toy.traces(tmp_path / "whole"), int(tally.read_text())
    assert n_calls > 60
    for fatal in range(1, n_calls + 1):
        folder = tmp_path / f"killed-{fatal}"
        code = toy.exit_code(toy.run_dying_at, folder, fatal, **changes)
        assert code == -signal.SIGKILL, fatal
        toy.run(folder, resume="auto", **changes)
        assert toy.traces(folder) == expected, fatal
        assert not list(folder.rglob("*.tmp-*")), fatal
