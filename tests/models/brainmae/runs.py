"""Small fMRI recordings whose structure is known."""

from __future__ import annotations

import numpy as np

from neurodyn import recording as rec

NETWORKS = ("visual", "motor", "default")
TINY = {
    "node_size": 8,
    "node_heads": 2,
    "n_blocks": 2,
    "readout_size": 8,
    "n_queries": 4,
    "state_size": 32,
    "state_heads": 2,
    "n_encoder_layers": 1,
    "n_decoder_layers": 1,
    "n_segments": 4,
    "segment_duration": 12.0,
    "repetition_time": 2.0,
    "dropout": 0.0,
}


def slow(rng, n_time, n_courses):
    """Return smooth courses of unit variance."""
    noise = rng.normal(size=(n_time + 4, n_courses))
    smooth = sum(noise[k : n_time + k] for k in range(5))
    return smooth / smooth.std(axis=0)


def make_run(rng, n_time=120, n_rois=9, repetition_time=2.0, coupling=0.0, **attrs):
    """Return a run whose regions follow their network's course and little noise.

    ``coupling`` mixes the first network's course into the second's.
    """
    course = slow(rng, n_time, 3)
    course[:, 1] = np.sqrt(1 - coupling**2) * course[:, 1] + coupling * course[:, 0]
    code = np.arange(n_rois) % 3
    values = course[:, code] + 0.3 * rng.normal(size=(n_time, n_rois))
    angle = 2 * np.pi * np.arange(n_rois) / n_rois
    return rec.bold(
        100 + values,
        repetition_time=repetition_time,
        roi=[f"roi{number}" for number in range(n_rois)],
        roi_columns={
            "network": [NETWORKS[k] for k in code],
            "x": 50 * np.cos(angle),
            "y": 50 * np.sin(angle),
            "z": np.zeros(n_rois),
        },
        atlas="nine",
        **attrs,
    )


def make_group(rng, n_subjects=8, **kwargs):
    """Return a recording of subjects of two groups, whose networks are coupled or not."""
    runs = {
        f"sub{number:02d}": make_run(
            rng,
            coupling=0.9 * (number % 2),
            subject=f"sub{number:02d}",
            group=("control", "patient")[number % 2],
            age=20.0 + 3 * number,
            **kwargs,
        )
        for number in range(n_subjects)
    }
    return rec.recording({"bold": runs})


def part(data, names):
    """Return some runs of a recording."""
    return rec.recording({"bold": {name: data["bold"][name].to_dataset() for name in names}})
