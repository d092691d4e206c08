"""
Learn the states of a brain from fMRI, without labels
=====================================================

A masked autoencoder hides regions of a scan and learns to tell them from the others. What it has to
learn for that, which regions go together and what the brain is doing, can then be read out with
few labels. On real scans nobody knows the answer, so we simulate a study whose networks, tasks and
groups we know, write it as fMRIPrep would, open the files like any others, and look at the truth
only in the end.

The method is that of BrainMAE (Yang et al., 2024), written from its description. Beside every
result stands a linear one: a model that does not beat it has learned little. The lesson writes
into a temporary folder only.
"""

# %%
# A study in files
# ----------------
# Twenty people, controls and patients in turn, see or move in blocks; in one group two networks go
# together. The files are NIfTI volumes in MNI space with confounds, events, a table of people and
# an atlas. One call opens them all: the atlas is brought to the grid of the scans, confounds are
# regressed out, and frames of much motion are censored.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import neurodyn as nd
from neurodyn.datasets.fmri_phantom import simulate_fmri
from neurodyn.datasets.fmri_phantom_files import ATLAS, write_fmri_study
from neurodyn.metrics import classification_table
from neurodyn.models import BrainMAE
from neurodyn.models.baselines import (
    connectivity_scores,
    fisher_z_connectivity,
    gaussian_masked_r2,
    group_covariance,
    roi_mean_scores,
    roi_mean_windows,
)
from neurodyn.models.brainmae.context import bold_runs, run_windows
from neurodyn.models.brainmae.embeddings import embedding_similarity
from neurodyn.models.brainmae.examples import event_examples, run_examples
from neurodyn.models.brainmae.presets import preset
from neurodyn.models.brainmae.probe import decoding_table, probe
from neurodyn.models.brainmae.spatial_null import network_contrast
from neurodyn.training import TrainingConfig
from neurodyn.windows import Split

with tempfile.TemporaryDirectory() as folder:
    simulation = simulate_fmri(n_subjects=20, task_gain=3.0, seed=3)
    study = write_fmri_study(simulation, Path(folder), cifti=False)
    data = nd.workflow.open_bold(study, atlas=study / ATLAS, strategy="simple").recording
first = data["bold/sub-01_task-blocks"].to_dataset()
print(first)

# %%
# Look first. Frames before the magnetisation has settled are not kept, and nothing is made up for
# them: they are NaN.

order = np.argsort(first["network"].values, kind="stable")
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
score = (first["bold"] / first["bold"].std("time")).isel(roi=order).transpose("roi", "time")
image = ax.pcolormesh(first["time"], np.arange(42), score, vmin=-3, vmax=3, cmap="RdBu_r")
blocks = data["trials/sub-01_task-blocks"].to_dataset()
for start, stop, kind in zip(*(blocks[name].values for name in ("start", "stop", "trial_type"))):
    ax.plot([start, stop], [43, 43], color={"visual": "C0", "motor": "C1"}[kind], linewidth=4)
ax.set(xlabel="time [s]", ylabel="region, by network", title="blocks: visual blue, motor orange")
figure.colorbar(image, ax=ax, label="z-score")

# %%
# Pre-train
# ---------
# Sixteen people train, four are only ever scored. A window has six segments of 16 s; in each
# another share of regions is hidden, from none to four fifths.

names = list(data["bold"].children)
train, test = (nd.workflow.part_of_runs(data, part) for part in (names[:16], names[16:]))
config = preset("tiny", segment_duration=16.0, repetition_time=2.0, n_segments=6)
training = TrainingConfig(
    n_steps=500, batch_size=8, learning_rate=4e-3, schedule="cosine", warmup_steps=40
)
model = BrainMAE(config).fit(train, training=training)

# %%
# How much of the hidden signal does it tell, in people whom it never met? The bar is the best
# *linear* guess: the mean conditional on the covariance between regions, from the same training
# people. With 500 steps on sixteen scans the network stays below it. On real data it takes
# thousands of steps to come near, and the report of ``neurodyn fit brainmae`` prints both.

covariance = group_covariance(run_windows(bold_runs(train), model.context_, config).values)
windows = run_windows(bold_runs(test), model.context_, config)
told = {}
for ratio in (0.4, 0.8):
    told[ratio] = float(model.score(test, ratio=ratio)["masked_r2"])
    linear = gaussian_masked_r2(covariance, windows, ratio)
    print(f"{ratio:.0%} hidden: BrainMAE {told[ratio]:.2f}, Gaussian conditional mean {linear:.2f}")

predicted = model.predict(test)["reconstruction"].isel(run=0)
last = data["bold"][names[16]].to_dataset()
figure, axes = plt.subplots(2, 1, figsize=(8, 4), layout="constrained", sharex=True)
for ax, roi in zip(axes, first["roi"].values[[0, 25]]):
    truth = last["bold"].sel(roi=roi)
    ax.plot(truth["time"], truth / truth.std("time"), color="0.6", label="measured")
    ax.plot(predicted["time"], predicted.sel(roi=roi), color="C3", label="told from the others")
    ax.set_ylabel(f"region {roi}")
axes[0].legend(loc="upper right", ncols=2)
axes[1].set_xlabel("time [s]")

# %%
# What regions mean to it
# -----------------------
# Every region has a learned embedding, and nobody told the model about networks. Regions of one
# network should still have similar ones. Neighbours are alike anyhow, so chance is what maps of the
# same smoothness give (a spatial null).

similarity = embedding_similarity(model)
contrast = network_contrast(similarity, seed=0)
for name in ("within", "between", "silhouette", "spatial_p_value"):
    print(f"{name:16s} {contrast[name].item():.3f}")
matrix = similarity["similarity"].isel(roi=order, roi_to=order)
figure, ax = plt.subplots(figsize=(5, 4.2), layout="constrained")
image = ax.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r")
ax.set(xlabel="region, by network", ylabel="region, by network", title="cosine of embeddings")
figure.colorbar(image, ax=ax)

# %%
# What the brain is doing
# -----------------------
# A linear probe of the frozen model: which block is it, from one segment of 16 s? Beside it the
# means of the regions over the same seconds.

pairs = [
    event_examples(part, model.context_, config, "trial_type", lag=5.0) for part in (train, test)
]
states = probe(model, pairs[0], penalty=100.0).predict(pairs[1])
means = roi_mean_windows(data, lag=5.0, condition="trial_type")
is_test = np.isin(means["run"].values, names[16:])
split = Split(np.flatnonzero(~is_test), test=np.flatnonzero(is_test))
plain = roi_mean_scores(means, [split], penalty=0.01)
state_accuracy = decoding_table(states)["accuracy"]
plain_accuracy = float((plain["predicted"] == plain["target"]).mean())
print(f"visual or motor: probe {state_accuracy.estimate:.2f}, ROI means {plain_accuracy:.2f}")

# %%
# Who it is
# ---------
# The groups differ in how two networks are coupled, and in nothing else. Connectivity sees that at
# once. The states of segments say little of it: that is the rule for traits of people, also in
# large studies, and why connectivity stands beside every report of ``neurodyn finetune``.

features = fisher_z_connectivity(data)
group = np.array([data["bold"][name].attrs["group"] for name in names])
halves = [Split(np.arange(16), test=np.arange(16, 20)), Split(np.arange(4, 20), test=np.arange(4))]
connectivity = connectivity_scores(features, group, halves)
table = classification_table(connectivity["target"].values, connectivity["score"].values)
people = [run_examples(part, model.context_, config, "group") for part in (train, test)]
traits = probe(model, people[0], penalty=10.0).predict(people[1])
print(f"group: connectivity, accuracy {table['accuracy'].estimate:.2f} of 8 people")
print(f"group: probe, accuracy {decoding_table(traits)['accuracy'].estimate:.2f} of 4 people")

# %%
# Does it hold?
# -------------
# The truth: networks are the ones that were simulated, blocks are the ones that were written, and
# the groups differ in coupling.

truth = simulation.recording["bold/sub-01"]
assert truth["network"].values.tolist() == first["network"].values.tolist()
assert told[0.4] > told[0.8] > 0.1
assert float(contrast["within_minus_between"]) > 0.5
assert float(contrast["spatial_p_value"]) < 0.01
assert state_accuracy.estimate > 0.75
assert table["accuracy"].estimate > 0.8
