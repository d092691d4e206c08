"""
Who drives whom
===============

A few hubs excite the others, and behind them every unit is wired at random to some: a network of
spiking units whose wiring we know. We ask four measures for it: correlation at a short lag, partial
correlation, the couplings of a generalised linear model, and Neuroformer, of which we ask how well
it would predict had a spike not been there. Attention, which is often read as connectivity, stands
beside them.

Nothing is written.
"""

# %%
# A network whose wiring is known
# -------------------------------
# Leaky integrate-and-fire units with noise. Without the wiring in the background every measure
# finds the hubs, so that such a test tells nothing.

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import neurodyn as nd
from neurodyn.datasets import simulate_hub_network
from neurodyn.datasets.hub_network import BACKGROUND
from neurodyn.metrics.connectivity import direction_accuracy, edge_auc
from neurodyn.models.baselines.history_glm import fit_history_glm
from neurodyn.models.baselines.history_glm_dynamics import coupling_filters
from neurodyn.models.neuroformer.config import NeuroformerConfig, Stage
from neurodyn.models.neuroformer.connectivity import connectivity
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.models.neuroformer.recordings import token_windows
from neurodyn.transforms.binning import bin_spikes
from neurodyn.transforms.connectivity import spike_coupling

recording, truth = simulate_hub_network(**BACKGROUND)
spikes = nd.recording.pick(recording, "spikes")
edge = truth["edge"].values
print(f"{spikes.sizes['unit']} units, {spikes.sizes['spike']} spikes, {edge.sum()} edges")

# %%
# Simple measures
# ---------------
# Spikes take 2 ms from one unit to the next, so we count them in bins of 2 ms. Each measure gives
# ``score (unit, unit_to)``, from the first unit to the second.

LAGS = np.arange(1, 6) * 0.002
counts = bin_spikes(recording, 0.002)
found = {
    "lagged correlation": spike_coupling(counts, "correlation", lags=LAGS),
    "partial correlation": spike_coupling(counts, "partial", lags=LAGS),
    "history GLM": coupling_filters(fit_history_glm(counts, history=0.02)),
}

# %%
# Neuroformer
# -----------
# It reads 20 ms before a window of 50 ms and the spikes of the window so far. Training windows
# begin at every bin: the same spikes stand at all places of a window.

config = NeuroformerConfig(
    bin_size=0.002,
    window=0.05,
    past=0.02,
    stride=0.002,
    stages=(Stage(source="self"), Stage(source="past")),
    size=64,
    n_heads=4,
    mlp_ratio=2,
    order=False,
)
training = replace(Neuroformer.default_training, n_steps=800, learning_rate=2e-3, progress=False)
model = Neuroformer(config).fit(recording, training=training)
print(f"{float(model.score(recording)['bits_per_spike']):.2f} bits/spike on what it was fitted to")

# %%
# What a spike changes
# --------------------
# One spike at a time is deleted from what the network reads. How much worse it then predicts each
# other unit in the 10 ms after is the effect of the spike, in nats; the mean over the spikes of a
# unit is its score. The intervals are a bootstrap over blocks of windows.

windows = token_windows(recording, config, model.context_.tokenizer)
some = windows.take(np.arange(0, len(windows), 2))
network = model.network_
found["deletion"] = connectivity(network, some, "deletion", lag=0.01)
found["attention"] = connectivity(network, some, "attention", n_bootstrap=0)
deletion = found["deletion"]
certain = (deletion["lower"] > 0).values
print(f"above 0 with 95 % of the bootstrap: {100 * certain[edge].mean():.0f} % of the edges,")
print(f"{100 * certain[~edge & ~np.eye(len(edge), dtype=bool)].mean():.0f} % of the other pairs")

# %%
# Against the truth
# -----------------
# AUC: how often a pair with an edge has the higher score of two; 0.5 is chance. Direction: how
# often, of a pair with one edge, the right one of its two scores is higher.

table = pd.DataFrame(
    {
        name: {
            "AUC": edge_auc(result["score"].values, edge),
            "direction": direction_accuracy(result["score"].values, edge),
        }
        for name, result in found.items()
    }
).T
print(table.round(3))
measures = xr.concat(
    [result["score"] for result in found.values()],
    xr.IndexVariable("measure", list(found)),
    coords="minimal",
    compat="override",
    join="exact",
).to_dataset(name="score")
figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
nd.plots.coupling_roc(measures, truth, ax=axes)

# %%
figure = plt.figure(figsize=(9, 4), layout="constrained")
nd.plots.coupling_matrix(deletion, truth, figure=figure)

# %%
# The hubs stand out as rows. Who the hubs are needs no wiring: their outgoing effects add up.

hub = truth["hub"].values
strongest = np.argsort(-deletion["out_strength"].values)[: int(hub.sum())]
print("strongest:", [str(spikes["unit"].values[row]) for row in strongest])

# %%
# What we have seen
# -----------------
# Deleting spikes tells edges and their direction. Attention does worse: where a network looks is
# not what follows. And at the resolution of the delay simple measures are as good as the network
# here or better, in seconds: the units of this simulation add up their inputs, and partial
# correlation and the GLM take the other units into account. Try them first, on your own data too;
# what deletion offers is the answer of a model that also knows stimulus, behavior and the further
# past.

assert set(strongest) == set(np.flatnonzero(hub))
assert table.loc["deletion", "AUC"] > 0.93
assert table.loc["deletion", "direction"] > 0.93
assert table.loc["deletion", "AUC"] > table.loc["attention", "AUC"]
assert certain[edge].mean() > 5 * certain[~edge].mean()
