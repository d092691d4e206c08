"""Small sessions with all that Neuroformer reads, and fits that take a fraction of a second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodyn.models.neuroformer.config import (
    BehaviorInput,
    BehaviorTarget,
    Stage,
    StimulusInput,
)
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.recording import behavior, recording, signal, spikes_from_units, trials
from neurodyn.training import TrainingConfig

from .simulated import with_amplitudes

UNITS = ("a", "b", "c")
SECONDS = 8.0
TRIALS = np.array([[0.0, 2.0], [2.0, 4.0], [4.0, 6.0], [6.0, 8.0]])
TINY = {
    "bin_size": 0.025,
    "window": 0.1,
    "past": 0.1,
    "size": 16,
    "n_heads": 2,
    "mlp_ratio": 1,
    "dropout": 0.0,
    "stages": (Stage(), Stage(source="past")),
}
TRAINING = TrainingConfig(n_steps=3, batch_size=16, progress=False, device="cpu")
SCORED = replace(TRAINING, validate_every=1, monitor="bits_per_spike", monitor_mode="max")
HAND = BehaviorTarget(name="hand")
STATE = BehaviorTarget(name="state", kind="classification", n_classes=3)
WITH_ALL = {
    "stages": (Stage(), Stage(source="past"), Stage(source="stimulus"), Stage(source="behavior")),
    "behavior": (BehaviorInput(name="speed", window=0.2),),
    "targets": (HAND, STATE),
    "contrastive_weight": 0.1,
}
MOVIE = StimulusInput(name="movie", window=0.2, kernel=(1, 2, 2), stride=(1, 2, 2), n_layers=1)
FEATURES = StimulusInput(name="sound", kind="features", window=0.2, n_layers=1)
KINDS = {
    "spikes": {},
    "marks": {"n_marks": 3},
    "features": {**WITH_ALL, "stimulus": FEATURES},
    "video": {**WITH_ALL, "stimulus": MOVIE, "stretches": "trials", "time": "rotary"},
}


def evaluation(data):
    """Return a session that is marked as not for fitting."""
    marked = data.copy()
    marked.attrs["role"] = "evaluation"
    return marked


def session(seed=0, units=UNITS, name="monday", **replaced):
    """Return a session of 8 s: spikes with amplitudes, two stimuli, three behaviors, trials."""
    rng = np.random.default_rng(seed)
    times = {unit: np.sort(rng.integers(0, 8000, 120)) / 1000 for unit in units}
    found = spikes_from_units(times, observed=[[0.0, SECONDS]], tick_hz=1000.0)
    hand = np.cumsum(rng.normal(size=(160, 2)), axis=0) + np.array([100.0, -5.0])
    children = {
        "spikes": with_amplitudes(found),
        "signal": {
            "movie": signal(rng.integers(0, 255, (80, 20)), sampling_rate=10.0, height=4, width=5),
            "sound": signal(rng.normal(size=(80, 3)), sampling_rate=10.0),
        },
        "behavior": {
            "hand": behavior(hand, sampling_rate=20.0, feature=["x", "y"], units="cm"),
            "speed": behavior(hand[:, :1] - 100.0, sampling_rate=20.0, feature=["speed"]),
            "state": behavior(rng.integers(0, 3, (80, 1)), sampling_rate=10.0, feature=["state"]),
        },
        "trials": trials(*TRIALS.T, columns={"condition": ["p", "q", "p", "q"]}),
        **replaced,
    }
    return recording({k: v for k, v in children.items() if v is not None}, source=name)


def fitted(data=None, training=TRAINING, validation=None, folder=None, resume=None, **settings):
    """Return a tiny fitted estimator."""
    model = Neuroformer(**{**TINY, **settings})
    options = {"validation": validation, "folder": folder, "resume": resume}
    return model.fit(session() if data is None else data, training=training, **options)
