"""
Generate spikes and decode behavior
===================================

A language model learns to tell the next word. Neuroformer (Antoniades et al., 2024) learns to tell
the next spike: when it comes and from which unit, given the spikes before. A model that can do
that can run by itself, and what it has learned can be read out with few labels.

Here it learns from hippocampal place cells of a rat on a linear track. The session is simulated, so
that it is at hand and its truth is known. The same steps run on a real one: any recording that
:func:`neurodyn.load` reads will do, and ``neurodyn fit neuroformer FILE`` does most of what
follows. Beside every result stands a simpler model. The lesson writes into a temporary folder only.
"""

# %%
# A rat on a track
# ----------------
# Twenty place cells, ten minutes, in an NWB file. Position and speed are a behavior beside the
# spikes.

import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import neurodyn as nd
from neurodyn.datasets import simulate_place_cells, write
from neurodyn.metrics.generation import compare_generated, spike_statistics
from neurodyn.models import Neuroformer
from neurodyn.models.neuroformer.config import BehaviorTarget
from neurodyn.models.neuroformer.presets import preset
from neurodyn.transforms.restriction import restrict
from neurodyn.transforms.selection import select_units
from neurodyn.transforms.tuning import tuning_curves
from neurodyn.windows.time_folds import blocked_holdout
from neurodyn.workflow.spike_decoding import decode_held_out
from neurodyn.workflow.spike_generation import generate
from neurodyn.workflow.spike_likelihood import likelihood_rows

simulation = simulate_place_cells(n_units=20, duration=600.0, mean_pause=1.0, seed=0)
with tempfile.TemporaryDirectory() as folder:
    path = write(simulation, Path(folder) / "track.nwb")
    print(nd.describe(nd.open(path)))
    recording = nd.load(path)
track = nd.pick(recording, "behavior", "track")

# %%
# Look first, with the units in the order of their places on the track. A run is a sweep over the
# cells. At the ends the rat pauses, and the cells are almost silent.

curves = tuning_curves(recording, track, "x", bins=25)["rate"]
recording = select_units(recording, curves["unit"].values[np.argsort(curves.argmax("x"))])
figure, axes = plt.subplots(2, 1, figsize=(8, 4.5), layout="constrained", sharex=True)
axes[0].plot(track["time"], track["value"].sel(feature="x"))
axes[0].set_ylabel("x [cm]")
nd.plots.raster(recording, start=0.0, stop=40.0, ax=axes[1])

# %%
# Hold out
# --------
# A fifth of the time, in four blocks, is only ever scored. Between the parts lies a gap as long as
# a window reads: whoever draws windows at random has the spikes before a test window in training.

config = preset("small", dropout=0.0)
train, test = blocked_holdout(
    recording, validation=0.2, gap=config.past + config.window, n_blocks=4
)

# %%
# Learn to tell the next spike
# ----------------------------
# The small preset reads a second of the past and predicts a quarter of a second in bins of 25 ms.
# It sees spikes alone. Six hundred steps take a quarter of a minute on one core. Dropout is off:
# it would help against overfitting in a longer training, but in so short a one it leaves the
# network with too low rates, which generated spikes then show.

training = replace(Neuroformer.default_training, n_steps=600, learning_rate=2e-3, progress=False)
model = Neuroformer(config).fit(train, training=training)

# %%
# How well does it? In bits per spike, against a null model that knows the mean rates alone. The bar
# is a Poisson regression on the same second of the past of all units, scored on the same bins. It
# knows nothing of other spikes in the same bin, so the figures to compare are those given the past;
# the other one is the exact likelihood of the spikes, one after another.

likelihood = pd.DataFrame(likelihood_rows(model, train, test)).set_index("model")
print(likelihood[["bits_per_spike_given_past", "bits_per_spike"]].round(3))

# %%
# The regression adds up what each spike of the past says, on a logarithmic scale. Where the rat is,
# which way it runs and how fast are no such sum.
#
# Let it run by itself
# --------------------
# From the first second of each held-out block on, the model reads nothing but what it has
# generated, in sixteen samples. Two seconds are left out, until the block's own past is forgotten.

free = generate(model, test, n_samples=16, burn_in=2.0, seed=0)
samples = list(nd.recording.pick_all(free.generated, "spikes").values())
block = nd.windows.observed_time(free.recorded)[0]
figure = plt.figure(figsize=(9, 3.5), layout="constrained")
nd.plots.raster_pair(free.recorded, samples[0], start=block[0], stop=block[1], figure=figure)

# %%
# Nobody told it of places, but its spikes sweep over the cells. They need not do so when the rat
# did. What should agree are the statistics, and the yardstick is how much two parts of the
# recording differ: the training part from the held-out one.

distances = {
    "generated": [compare_generated(free.recorded, sample) for sample in samples],
    "training part": [compare_generated(free.recorded, train)],
}
names = ["rate_ratio", "rate_error", "correlation_rmse", "isi_mean_error", "autocorrelation_rmse"]
statistics = pd.DataFrame(
    {
        label: {name: np.mean([float(each[name]) for each in found]) for name in names}
        for label, found in distances.items()
    }
)
print(statistics.round(3))
figure = plt.figure(figsize=(9, 5.4), layout="constrained")
nd.plots.generation_statistics(free.recorded, samples[0], figure=figure)

# %%
# Correlations and autocorrelation are nearly as close. Rates and intervals of single units are not,
# and the raster shows why: a sweep may turn around midway, which the rat never did, so that a
# sample stays in one half of the track for a while. The model reads one second of its own past, and
# small errors feed on themselves. The rate of the population holds over all samples.

generated_rate = np.mean([spike_statistics(sample)["rate"].values for sample in samples], axis=0)
recorded_rate = spike_statistics(free.recorded)["rate"].values
rate_ratio = generated_rate.sum() / recorded_rate.sum()
print(f"spikes of all units: {rate_ratio:.2f} of the recorded ones")

# %%
# Decode with few labels
# ----------------------
# One minute of the eight, a few runs, is labelled with position and speed. The model gets a head
# for both, and all of it is trained further. Beside it ridge regression on the same labels, which
# reads the same time around each instant, and a network of the same size that never learned to
# tell spikes.

labelled = restrict(train, [[0.0, 60.0]])
few = replace(training, n_steps=200, learning_rate=1e-3, warmup_steps=20)
targets = (BehaviorTarget(name="track", at=0.5),)
tuned = model.finetune(labelled, targets=targets, training=few)
untrained = Neuroformer(replace(config, targets=targets))
untrained.fit(labelled, training=replace(few, learning_rate=2e-3))
rows = decode_held_out(tuned, labelled, test).rows
for row in decode_held_out(untrained, labelled, test, baselines=False).rows:
    rows.append({**row, "model": "neuroformer from scratch"})
decoding = pd.DataFrame(rows).set_index(["behavior", "model"])[["r", "r_low", "r_high", "r2"]]
print(decoding.sort_index().round(2))
figure = plt.figure(figsize=(8, 4), layout="constrained")
nd.plots.decoded_traces(
    tuned.decode(test, "track", step=0.1), start=block[0], stop=block[1], figure=figure
)

# %%
# The network reads off both better than ridge does. That is its form more than its past: on so
# regular a behavior, with cells so well tuned, one trained on the labels alone decodes as well.
# Whether it pays to learn from unlabelled spikes first has to be seen on the data at hand,
# and this is how to see it.
#
# What we have seen
# -----------------
# The model tells the next spike better than a regression on the same past. By itself it generates
# as many spikes as were recorded, in sweeps over the track that are not always whole. From a minute
# of labels it decodes where the rat is, and a little less well how fast it runs.

given_past = likelihood["bits_per_spike_given_past"]
assert given_past["neuroformer"] > given_past["history GLM, 1 s"] + 0.05
assert given_past["history GLM, 1 s"] > 1.0
assert abs(rate_ratio - 1.0) < 0.15
r = decoding["r"].unstack()
assert (r["neuroformer"] > r["ridge"]).all()
assert r.loc["track x", "neuroformer"] > r.loc["track x", "ridge"] + 0.03
assert r["neuroformer"].min() > 0.8
