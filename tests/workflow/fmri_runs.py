"""fMRI runs of subjects of two groups, and of events of two kinds, as files."""

from __future__ import annotations

import numpy as np
import pandas as pd

from neurodyn import recording as rec

ROIS = [f"roi{number}" for number in range(8)]
SMALL = [
    "node_size=8",
    "node_heads=2",
    "n_blocks=1",
    "state_size=16",
    "state_heads=2",
    "n_encoder_layers=1",
    "n_segments=4",
    "segment_duration=12",
    "repetition_time=2",
    "training.n_steps=30",
    "training.batch_size=8",
    "training.progress=false",
]


def values(rng, n_time=96, coupled=False):
    """Return two slow courses in four regions each, equal ones if they are coupled."""
    noise = rng.normal(size=(n_time + 4, 2))
    course = sum(noise[k : n_time + k] for k in range(5))
    if coupled:
        course[:, 1] = course[:, 0]
    return course[:, np.arange(8) % 2] + 0.5 * rng.normal(size=(n_time, 8))


def make_runs(n_subjects=8, seed=0):
    """Return runs whose subjects are patients or controls, by how their regions are coupled."""
    rng = np.random.default_rng(seed)
    runs = {
        f"sub-{number:02d}": rec.bold(
            values(rng, coupled=number % 2 == 1),
            repetition_time=2.0,
            roi=ROIS,
            subject=f"{number:02d}",
        )
        for number in range(n_subjects)
    }
    return rec.recording({"bold": runs})


def write_tables(folder, n_subjects=4, seed=0):
    """Write one table for each subject, participants.tsv and events.tsv; return the tables."""
    rng = np.random.default_rng(seed)
    paths, events = [], []
    for number in range(n_subjects):
        series = values(rng)
        onset = 10.0 + 20.0 * np.arange(8)
        kind = ["heat", "rating"] * 4
        for start, name in zip(onset, kind):
            frame = int((start + 6) / 2)
            series[frame : frame + 6, (0 if name == "heat" else 1) :: 2] += 4.0
        path = folder / f"sub-{number:02d}_task-pain_timeseries.tsv"
        pd.DataFrame(series, columns=ROIS).to_csv(path, sep="\t", index=False)
        paths.append(path)
        for start, name in zip(onset, kind):
            events.append((f"sub-{number:02d}", start, 8.0, name))
    columns = ["subject", "onset", "duration", "trial_type"]
    pd.DataFrame(events, columns=columns).to_csv(folder / "events.tsv", sep="\t", index=False)
    people = [f"sub-{number:02d}" for number in range(n_subjects)]
    table = pd.DataFrame(
        {
            "participant_id": people,
            "age": [20.0 + 5 * number for number in range(n_subjects)],
            "group": ["control", "patient"] * (n_subjects // 2),
            "site": ["A", "A", "B", "B"][:n_subjects],
        }
    )
    table.to_csv(folder / "participants.tsv", sep="\t", index=False)
    return paths
