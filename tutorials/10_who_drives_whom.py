"""
Who drives whom?
================

Spikes of many units are recorded at once. Which unit drives which other? A generative model that
tells the next spike must know, so one may ask it. Neuroformer (Antoniades et al., 2024) was read
by its attention: what it looks at. One may also delete a spike from what it reads and see what
it then expects less. Correlations and a regression answer the same question at a fraction of the
cost. Which answer is right can be told only where the wiring is known, so the network is simulated.

Nothing is written.
"""

# %%
# A network with hubs
# -------------------
# Twenty-four leaky integrate-and-fire units, three of which are hubs that drive seven others each.
# With nothing else any correlation at a lag finds every edge. So there is random wiring between all
# units, of half the weight. A spike acts after 2 ms. The recording lasts two minutes.

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import neurodyn as nd
from neurodyn.metrics.connectivity import connectivity_table
from neurodyn.models import Neuroformer
from neurodyn.models.baselines.history_glm import fit_history_glm
from neurodyn.models.baselines.history_glm_dynamics import coupling_filters
from neurodyn.models.neuroformer.config import Stage
from neurodyn.models.neuroformer.presets import preset
from neurodyn.transforms.binning import bin_spikes
from neurodyn.transforms.connectivity import spike_coupling

recording, truth = nd.datasets.simulate(
    "hub_network_background", n_units=24, background_probability=0.05, duration=120.0, seed=10
)
edge, hub = truth["edge"].values, truth["hub"].values
print(
    f"{edge.sum()} edges between {hub.size} units, {edge[hub].sum()} of them from {hub.sum()} hubs"
)
figure, ax = plt.subplots(figsize=(8, 3.5), layout="constrained")
nd.plots.raster(recording, start=0.0, stop=2.0, ax=ax)

# %%
# Correlation at a lag
# --------------------
# Counts in bins of 2 ms, of one unit with those of another in the next bin. What happens later or
# at once does not enter, so there is a direction.

BIN = 0.002
counts = bin_spikes(recording, BIN)
found = {"correlation": spike_coupling(counts, "correlation", lags=[BIN])["score"]}

# %%
# It is large where there is an edge, and not only there. Two units with a common driver correlate:
# one may follow at once, and the other a little later because it is further from its threshold.

common_driver = edge.T.astype(int) @ edge > 0
no_edge = ~edge & ~np.eye(hub.size, dtype=bool)
strongest = np.argsort(np.where(no_edge, found["correlation"].values, -1.0).ravel())[-15:]
false_share = common_driver.ravel()[strongest].mean()
print(f"a common driver have {common_driver[no_edge].mean():.0%} of all pairs without an edge,")
print(f"and {false_share:.0%} of the 15 that correlate most")

# %%
# Partial correlation takes out what all units did in the bin before. A Poisson regression of each
# unit on the past 10 ms of all others does the same for spikes, and asks for no lag.

found["partial correlation"] = spike_coupling(counts, "partial", lags=[BIN])["score"]
glm = fit_history_glm(counts, history=0.01, n_bases=2)
found["history GLM"] = coupling_filters(glm)["score"]

# %%
# A model that tells the next spike
# ---------------------------------
# Bins are as fine as those above, and windows short. They begin at every bin, so that a pair of
# spikes is met at all places of a window.

config = preset(
    "small",
    bin_size=BIN,
    window=0.05,
    past=0.02,
    stride=BIN,
    stages=(Stage(source="self"), Stage(source="past")),
    order=False,
    dropout=0.1,
)
training = replace(
    Neuroformer.default_training,
    n_steps=1000,
    learning_rate=3e-3,
    weight_decay=0.01,
    progress=False,
)
model = Neuroformer(config).fit(recording, training=training)

# %%
# Deletion takes out each spike by itself, and sums up how much less likely the spikes of the
# others within 10 ms then are. Attention is the weight that the spikes of a unit get when the
# network tells those of another, with its gradient or without.

deletion = model.connectivity(recording, "deletion")
found["deletion"] = deletion["score"]
for name, measure in (("attention", "attention"), ("gradient x attention", "gradient_attention")):
    found[name] = model.connectivity(recording, measure, n_bootstrap=0)["score"]

# %%
# Against the truth
# -----------------
# ``auc``: does an edge score above a pair without one? ``average_precision``: of the strongest
# pairs, how many are edges? ``direction_accuracy``: does an edge score above the way back?
# ``hub_recall``: are the three units of the strongest output the hubs?

tables = {
    name: connectivity_table(score, edge, hub, n_resamples=100) for name, score in found.items()
}
table = pd.DataFrame({name: each["value"].to_series() for name, each in tables.items()}).T
print(table.round(3))
couplings = xr.concat(found.values(), "measure").assign_coords(measure=list(found))
figure, ax = plt.subplots(figsize=(5, 4.2), layout="constrained")
nd.plots.coupling_roc(couplings.to_dataset(name="score"), truth, ax=ax)

# %%
# Units in the order of their output: the hubs come first.

figure = plt.figure(figsize=(8.5, 3.8), layout="constrained")
nd.plots.coupling_matrix(deletion, truth, figure=figure)

# %%
# Where nothing is known a threshold has to come from the data. Deletion has intervals, from blocks
# of the recording that are drawn again. Those of almost all edges lie above 0, and so do some of
# pairs without one: an interval tells how the score varies, not why the model learned it.

above = deletion["lower"].values > 0.0
print(f"interval above 0: {above[edge].mean():.0%} of edges, {above[no_edge].mean():.0%} of others")

# %%
# What we have seen
# -----------------
# Deletion finds the edges, where common drivers mislead correlation. Attention of the same network
# finds the hubs and misses many edges: what a network looks at is not yet what drives. And nothing
# is better than partial correlation at the right lag, which takes a tenth of a second. It needs
# what is given here: all units are recorded, weights add up, the delay is known. So start there.
# What deletion adds is the answer of a model that may also read a stimulus, behavior and a longer
# past. No measure sees a driver that was not recorded.

auc, precision = table["auc"], table["average_precision"]
assert auc["deletion"] > 0.995
assert precision["deletion"] > precision["correlation"] + 0.02
assert table.loc["deletion", "direction_accuracy"] > 0.98
assert table.loc["deletion", "hub_recall"] == 1.0
assert auc["attention"] < auc["correlation"] < auc["deletion"]
assert min(precision["partial correlation"], precision["history GLM"]) > 0.98
assert above[edge].mean() > 0.9
assert false_share > 1.5 * common_driver[no_edge].mean()
