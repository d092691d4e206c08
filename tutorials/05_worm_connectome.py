"""
The connectome of a real recording
==================================

Here nobody knows the truth. We take a recording with named nodes, find its dynamic connectome, and
ask what can be asked: do restarts agree, does the model of communities fit, and do communities know
something that they were not told, such as which cells are left and right of a pair?

Out of the box the lesson takes the resting-state fMRI run that comes with neurodyn. It was written
for a worm: whole-brain calcium imaging of C. elegans with named cells, such as recording
2022-08-02-01 of WormWideWeb (Atanas, Kim et al., Cell 2023; CC BY, not shipped). Name such a file,
in any format that :func:`neurodyn.open` reads, in the environment::

    NEURODYN_RECORDING=traces.csv.gz neurodyn tutorial run 05

Nothing is written.
"""

# %%
# Open
# ----
# ``open_traces`` takes any known format and says what it did, such as making a jittered clock
# even. The fMRI run was not cleaned: we leave out the frames before the magnetisation has settled,
# and regress out motion, white matter, cerebrospinal fluid and slow drifts.

import os
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import neurodyn as nd
from neurodyn.models.connectome import DynamicConnectome, expected_affinity, rank_scan, stages
from neurodyn.models.connectome.communities import find_communities
from neurodyn.transforms.connectivity import (
    edge_time_series,
    pair_vector,
    sliding_window_correlation,
    static_connectivity,
)

BACKWARD = ["AVAL", "AVAR", "AVEL", "AVER", "AIBL", "AIBR"]


def cleaned(bold: xr.Dataset) -> xr.Dataset:
    """Return fMRI series without confounds and drifts; names without that of the atlas."""
    kept = bold.isel(time=bold["keep"].values)
    phase = (np.arange(kept.sizes["time"]) + 0.5) / kept.sizes["time"]
    drifts = np.cos(np.pi * phase[:, None] * np.arange(4))
    confounds = kept["confounds"].values
    confounds = (confounds - confounds.mean(axis=0)) / confounds.std(axis=0)
    known = np.column_stack([drifts, confounds])
    values = kept["bold"].values.astype(np.float64)
    values -= known @ np.linalg.lstsq(known, values, rcond=None)[0]
    return nd.recording.bold(
        values,
        repetition_time=bold.attrs["repetition_time"],
        roi=[name.removeprefix("7Networks_") for name in bold["roi"].values],
        roi_columns={"network": bold["network"].values},
    )


file = os.environ.get("NEURODYN_RECORDING")
if file:
    opened = nd.workflow.open_traces(file)
    traces = opened.traces
    print(*opened.notes, sep="\n")
else:
    traces = cleaned(nd.pick(nd.datasets.load_dataset("rest_schaefer100"), "bold"))
nodes = traces["roi"].values.astype(str)
step = float(np.median(np.diff(traces["time"])))
print(f"{traces.sizes['time']} samples, one every {step:.2g} s, of {nodes.size} nodes")

# %%
# The groups that we hope to meet again are not told to any model: the network of each region in
# the atlas, or, for cells of a worm, the pair of a left and a right one.

if "network" in traces.coords:
    group = traces["network"].values.astype(str)
else:
    group = np.array([name[:-1] if name[-1] in "LR" else name for name in nodes])
first, second = np.triu_indices(nodes.size, 1)
partners = group[first] == group[second]
if not partners.any():
    raise SystemExit("No two nodes are of one group: name left and right cells as AVAL and AVAR.")
print(f"{partners.sum()} of {partners.size} pairs of nodes are of one group")

# %%
# What static correlation says
# ----------------------------
# One number for each pair, over the whole recording.

static = static_connectivity(traces, shrinkage=None)["connectivity"]
correlation = pair_vector(static.values)
print(f"mean r {correlation[partners].mean():.2f} in a group, {correlation.mean():.2f} over all")

# %%
# An affinity at each time
# ------------------------
# The bandwidth of the derivative is set by how fast the signal can rise: about 2 s for calcium
# indicators. The response of blood flow takes longer, and a derivative over less than two frames
# would be of noise.

bandwidth = max(2.0, 2 * step)
settings = {"affinity__bandwidth": bandwidth, "affinity__smoothing": bandwidth}
affinity = DynamicConnectome(**settings).affinity(traces)
scan = rank_scan(affinity, range(1, 7))
print(scan["restart_similarity"].to_series().round(2))
figure = plt.figure(figsize=(8.5, 2.8), layout="constrained")
nd.plots.rank_scan(scan, figure=figure)

# %%
# One animal has no other in which a pair could be foretold, so nothing is held out, and the
# error falls with every component as it must. We take four, which all restarts find.

rank = 4
model = DynamicConnectome(rank=rank, factorisation__n_restarts=5, **settings).fit(traces)
components = model.components_
labels = components["component"].values
print(components[["strength", "n_communities", "family"]].to_dataframe())

figure = plt.figure(figsize=(11.5, 9.5), layout="constrained")
for part, component in zip(figure.subfigures(2, 2).flat, labels):
    above, below = part.subplots(2, 1, height_ratios=(3.6, 1))
    nd.plots.affinity_matrix(components, component, ax=above)
    nd.plots.time_factor(components, component, ax=below)

# %%
# Beside other measures
# ---------------------
# A pair of the strongest affinity in component 1, seen with four measures. Its static correlation
# is a line. The correlation in windows moves slowly, and in part by chance. The edge time series,
# the product of z-scores, is large while both are far from their means; its mean is the static
# correlation exactly. The affinity marks the moments at which both change.

pairs = pair_vector(components["pair_factor"].values)
pair = int(pairs[0].argmax())
both = traces.sel(roi=nodes[[first[pair], second[pair]]])
window = 20 * bandwidth
windowed = sliding_window_correlation(both, window, bandwidth)["correlation"][:, 0]
edges = edge_time_series(both)["edge_time_series"][:, 0]
change = model.affinity(traces).dense()[:, pair]
score = both[both.attrs["kind"]]
score = (score - score.mean("time")) / score.std("time")
figure, axes = plt.subplots(4, 1, figsize=(8, 7.5), layout="constrained", sharex=True)
axes[0].plot(score["time"], score, linewidth=0.9, label=score["roi"].values)
axes[1].plot(windowed["time"], windowed, label=f"windows of {window:g} s")
axes[1].axhline(correlation[pair], color="0.5", linestyle="--", label="static")
axes[2].plot(edges["time"], edges, linewidth=0.9, color="C2")
axes[3].fill_between(change["time"], change, color="C3", linewidth=0)
titles = ("z-score", "correlation", "edge time series", "affinity")
for ax, title in zip(axes, titles):
    ax.set_ylabel(title)
for ax in axes[:2]:
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)
axes[3].set_xlabel("time [s]")

# %%
# Averaged over time, the components are near to the static correlation. What they add is that
# they part it by when things happen.

average = pair_vector(expected_affinity(components).values)
static_r = float(np.corrcoef(average, correlation)[0, 1])
print(f"r between the mean of the components and static correlation: {static_r:.2f}")

# %%
# Do the weights suit the family?
# -------------------------------
# Communities come from a block model of the weights. Three families are fitted to each graph; the
# evidence is in nats, so a difference of 10 would already be plain. The paper of the method takes
# exponential weights. Real ones are closer to log-normal.

evidence = xr.concat(
    [find_communities(graph)["evidence"] for graph in components["pair_factor"]], "component"
).assign_coords(component=labels)
print(evidence.transpose("component", "candidate").to_pandas().round(0))

# %%
# Do communities know the groups?
# -------------------------------
# How often are two nodes of one group in one community? For chance we shuffle the names of the
# nodes. We ask the same of the static correlation, whose positive part is a graph as well.


def together(community: np.ndarray, order: np.ndarray) -> float:
    """Return how often partners are in one community, over all partitions."""
    shuffled = community[:, order]
    return float((shuffled[:, first] == shuffled[:, second])[:, partners].mean())


rng = np.random.default_rng(0)
orders = [rng.permutation(nodes.size) for _ in range(500)]
by_static = find_communities(static.clip(min=0.0))["community"].values[None]
found = {"components": components["community"].values, "static correlation": by_static}
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained", sharey=True)
p_value, excess = {}, {}
for ax, (name, community) in zip(axes, found.items()):
    share = together(community, np.arange(nodes.size))
    chance = np.array([together(community, order) for order in orders])
    p_value[name] = (1 + (chance >= share).sum()) / (1 + chance.size)
    excess[name] = share / chance.mean()
    print(f"{name:18s} {share:.2f}, by chance {chance.mean():.2f}, p = {p_value[name]:.3f}")
    ax.hist(chance, bins=12, color="0.7", label="names shuffled")
    ax.axvline(share, color="C3", label="found")
    ax.set_title(name, loc="left")
    ax.set(xlabel="partners in one community", xlim=(0, None))
axes[0].set_ylabel("shuffles")
axes[1].legend()

# %%
# Beating such a shuffle is the least one can ask. It also breaks up what is near in space: for
# brain regions a rotation of the map would be the harder test. And static correlation beats it
# too, so this is no evidence that time adds anything. What is new is the course of each component.

# %%
# In a worm with the right names there is more to check. AVA, AVE and AIB command crawling
# backward, and act as one.

has_backward = bool(np.isin(BACKWARD, nodes).all())
n_united = 0
if has_backward:
    of_six = components["community"].sel(roi=BACKWARD)
    n_united = int((of_six.min("roi") == of_six.max("roi")).sum())
    print(of_six.to_pandas())
    print(f"the six backward command cells share a community in {n_united} of {rank} components")

# %%
# Over the recording
# ------------------
# Without stimuli the stages are quarters of the recording. A node is with the community that
# binds it most, of components more active than usual; "none" where there is none.

ends = np.linspace(float(components["time"][0]), float(components["time"][-1]) + step, 5)
quarters = [(f"{a:.0f} to {b:.0f} s", a, b) for a, b in pairwise(ends)]
path = stages(components, quarters, quantile=0.5)
figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
nd.plots.alluvial(path, ax=ax)

# %%
# What we have seen
# -----------------
# Restarts agree, log-normal weights describe the graphs better than exponential ones, and the
# communities know groups that nobody told them. None of this proves that coupling changes over
# time: one recording without stimuli cannot.

assert float(scan["restart_similarity"].sel(rank=rank)) > 0.9
assert float(components["restart_similarity"].mean()) > 0.9
assert (evidence.sel(candidate="lognormal") > evidence.sel(candidate="exponential") + 10).all()
assert p_value["components"] < 0.01
assert excess["components"] > 1.5
assert static_r > 0.5
assert correlation[partners].mean() > correlation.mean() + 0.1
assert n_united >= 1 or not has_backward
