"""Small NWB files of four benchmark kinds, written with pynwb, with all their awkward corners.

Onsets lie between milliseconds, unit ids are out of order, behavior covers only the recorded
blocks, trials of split ``none`` lack events, and a test file lies beside the train file.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

UNIT_IDS = [1031, 204, 1011, 98, 1021, 77, 205, 1001]
HELD_OUT = [False, True, False, False, False, True, False, True]
SPLITS = ["train", "train", "val", "train", "none", "val", "train", "train", "val", "train"]
SERIES = {"mc_maze_small": "hand_vel", "mc_rtt": "finger_vel", "area2_bump": "hand_vel"}


def write(folder: Path, kind: str, seed: int = 0, *, gapless: bool = False) -> list[Path]:
    """Write a test and a train file, observed without a gap on request; return their paths."""
    rng = np.random.default_rng(seed)
    train, blocks = TRIALS[kind](rng)
    if gapless:
        blocks = np.array([[0.0, blocks[-1, 1]]])
    test, test_blocks = _test_trials(kind, rng)
    paths = [folder / f"sub-X_desc-{part}_ecephys.nwb" for part in ("test", "train")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _write(paths[0], test, test_blocks, rng, behavior=None, with_held_out=False)
        _write(paths[1], train, blocks, rng, behavior=SERIES.get(kind), with_held_out=True)
    return paths


def _maze(rng):
    n = 20
    start = 0.2 + 1.6 * np.arange(n) + rng.integers(0, 100, n) / 1000
    onset = start + 0.4 + rng.uniform(0, 0.05, n).round(4)
    table = {
        "start_time": start,
        "stop_time": start + 1.4,
        "split": (SPLITS * 2)[:n],
        "move_onset_time": onset,
        "trial_type": rng.integers(1, 3, n),
        "trial_version": rng.integers(0, 2, n),
    }
    return table, np.stack([start, start + 1.4], axis=1)


def _rtt(rng):
    n = 20
    start = 0.5 + 0.6 * np.arange(n) + 0.9 * (np.arange(n) >= 10)
    split = np.array((SPLITS * 2)[:n])
    split[[9, 19]] = "none"
    table = {"start_time": start, "stop_time": start + 0.6, "split": split}
    return table, np.array([[0.5, 6.5], [7.4, 13.4]])


def _area2(rng):
    n = 20
    start = 0.1 + 1.3 * np.arange(n)
    split = np.array((SPLITS * 2)[:n])
    onset = start + 0.25 + rng.uniform(0, 0.05, n).round(3)
    onset[split == "none"] = np.nan
    direction = rng.choice([0.0, 90.0], n)
    direction[split == "none"] = np.nan
    table = {
        "start_time": start,
        "stop_time": start + 1.1,
        "split": split,
        "move_onset_time": onset,
        "cond_dir": direction,
        "ctr_hold_bump": np.arange(n) % 2 == 0,
    }
    return table, np.array([[0.0, 13.05], [13.08, 27.0]])


def _dmfc(rng):
    n = 20
    start = 0.3 + 3.2 * np.arange(n)
    produced = rng.integers(1400, 3000, n) / 2
    go = start + 2.4 + rng.integers(0, 400, n) / 2000
    table = {
        "start_time": start,
        "stop_time": start + 3.0,
        "split": (SPLITS * 2)[:n],
        "set_time": go - produced / 1000,
        "go_time": go,
        "is_eye": rng.integers(0, 2, n),
        "theta": np.full(n, 180.0),
        "is_short": np.ones(n, int),
        "ts": rng.choice([480.0, 560.0], n),
        "tp": produced,
        "is_outlier": (np.arange(n) % 7 == 5).astype(int),
    }
    return table, np.array([[0.0, 32.0], [32.0005, 66.0]])


TRIALS = {"mc_maze_small": _maze, "mc_rtt": _rtt, "area2_bump": _area2, "dmfc_rsg": _dmfc}
ALIGN = {
    "mc_maze_small": ("move_onset_time", 0.7, 0.25),
    "mc_rtt": ("start_time", 0.6, 0.0),
    "area2_bump": ("move_onset_time", 0.6, 0.1),
    "dmfc_rsg": ("go_time", 1.5, 1.5),
}


def _test_trials(kind, rng):
    align, length, before = ALIGN[kind]
    start = (length + 0.1) * np.arange(6)
    table = {"start_time": start, "stop_time": start + length, "split": ["test"] * 6}
    if align != "start_time":
        table[align] = start + before
    return table, np.stack([start, start + length], axis=1)


def _write(path, table, blocks, rng, *, behavior, with_held_out):
    from pynwb import NWBHDF5IO, NWBFile

    file = NWBFile("synthetic", str(path.name), datetime(2026, 1, 1, tzinfo=UTC))
    for name in table:
        if name not in ("start_time", "stop_time"):
            file.add_trial_column(name, name)
    for row in range(len(table["start_time"])):
        file.add_trial(**{name: values[row] for name, values in table.items()})
    file.add_unit_column("heldout", "predicted, never seen")
    for unit, held_out in zip(UNIT_IDS, HELD_OUT):
        if not held_out or with_held_out:
            file.add_unit(
                spike_times=_spikes(blocks, rng), obs_intervals=blocks, heldout=held_out, id=unit
            )
    if behavior is not None:
        _add_behavior(file, behavior, blocks, rng)
    with NWBHDF5IO(path, "w") as io:
        io.write(file)


def _spikes(blocks, rng):
    """Spikes in the blocks, many on exact milliseconds, some twice in one."""
    times = [rng.uniform(a, b - 0.001, rng.poisson(25 * (b - a))) for a, b in blocks]
    times = np.concatenate(times)
    times[::3] = np.ceil(times[::3] * 1000) / 1000
    inside = np.any([(times >= a) & (times < b - 0.0005) for a, b in blocks], axis=0)
    times = times[inside]
    return np.sort(np.concatenate([times, times[::11]]))


def _add_behavior(file, name, blocks, rng):
    from pynwb import TimeSeries

    samples = [np.arange(np.ceil(a * 1000), np.floor(b * 1000)) / 1000 for a, b in blocks]
    time = np.unique(np.concatenate(samples))
    module = file.create_processing_module("behavior", "behavior")
    for series, n in ((name, 2), ("eye_pos", 2)):
        values = np.cumsum(rng.normal(size=(time.size, n)), axis=0)
        module.add(
            TimeSeries(
                name=series, data=values, timestamps=time, unit="mm/s", comments="columns=[x,y]"
            )
        )
