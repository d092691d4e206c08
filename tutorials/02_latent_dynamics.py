"""
Find latent dynamics whose truth is known
=========================================

Does a model of latent dynamics find the dynamics? On a real recording nobody can tell, because
nobody knows the true firing rates. So we simulate two populations whose rates we know exactly:
one driven by the Lorenz system, one that is a chaotic recurrent network. We write each to a real
NWB file, open that file like any other, fit a model to it and only then look at the truth.

The lesson writes into a temporary folder only.
"""

# %%
# A session with known truth
# --------------------------
# Every condition is one trajectory of the Lorenz system, repeated in several trials with new
# spikes. ``write`` makes the NWB file and puts the truth beside it. ``read`` opens both again.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import neurodyn as nd

BIN_SIZE = 0.02


def through_nwb(simulation: nd.datasets.Simulation) -> nd.datasets.Simulation:
    """Write a simulation as NWB and return what is read back."""
    with tempfile.TemporaryDirectory() as folder:
        return nd.datasets.read(nd.datasets.write(simulation, Path(folder) / "session.nwb"))


recording, truth = through_nwb(nd.datasets.simulate_lorenz(n_conditions=20, n_repeats=12))
print(nd.describe(recording))

# %%
# A quarter of the units is held out: the model never sees their spikes as input, but has to
# predict their rates. The column ``split`` of the trial table sets aside one trial in five.

counts = nd.transforms.align(recording, event="start", window=(0.0, 1.0), bin_size=BIN_SIZE)
train = counts.isel(trial=counts["split"].values == "train")
val = counts.isel(trial=counts["split"].values == "val")
print(f"{train.sizes['trial']} trials to learn from, {val.sizes['trial']} to be judged by")
print(f"held-out units: {', '.join(counts['unit'].values[counts['held_out'].values])}")

# %%
# First a simple model
# --------------------
# Smooth the spikes of the held-in units, take principal components, regress every unit on them.
# The penalty is strong because a held-in unit is regressed on its own spikes too; with a weak one
# the model copies their noise.

smoothing = nd.models.SmoothingGLM(width=0.04, penalty=0.5)
glm = smoothing.clone().fit(train)

# %%
# Then latent dynamics
# --------------------
# LangevinFlow says that the rates follow the position and velocity of a particle that moves in
# a learned potential, with friction, noise and an inferred force. Training takes some seconds.

training = nd.training.TrainingConfig(
    n_steps=250,
    batch_size=64,
    optimizer="adam",
    learning_rate=0.02,
    schedule="cosine",
    warmup_steps=20,
    gradient_clip=5.0,
    progress=False,
)
settings = {"encoder_size": 48, "keep_prob": 0.8, "dropout": 0.05, "beta": 0.05}
model = nd.models.create("langevinflow", **settings).fit(train, training=training)

# %%
# Both models are judged on trials that they have not seen. The truth is the exact expected
# count of every bin, so an R² of 1 can be reached in principle. Bits per spike are computed from
# spikes alone; they are all that there is on a real recording.


def rate_r2(rates: xr.Dataset, truth: xr.Dataset) -> float:
    """Return the R² of inferred rates, averaged over units."""
    exact = truth["rate"].sel(trial=rates["trial"], unit=rates["unit"])
    return nd.metrics.rate_r2(rates["rate"] * BIN_SIZE, exact * BIN_SIZE)


rates = {"smoothing + GLM": glm.predict(val), "LangevinFlow": model.predict(val)}
lorenz_r2 = {name: rate_r2(found, truth) for name, found in rates.items()}
co_bps = {
    "smoothing + GLM": float(glm.score(val)["co_bps"]),
    "LangevinFlow": float(model.score(val)["co_bps"]),
}
for name in rates:
    print(f"{name:16s} R² {lorenz_r2[name]:.3f}, {co_bps[name]:.3f} bits per held-out spike")

# %%
# One trial of two held-out units: spikes in grey, the truth as a thin line.

trial = val["trial"].values[0]
held_out = counts["unit"].values[counts["held_out"].values]
figure, axes = plt.subplots(2, 2, figsize=(9, 5), layout="constrained", sharex=True)
for row, unit in zip(axes, held_out[-2:]):
    for ax, (name, found) in zip(row, rates.items()):
        nd.plots.rates(found, truth, unit=unit, trial=trial, counts=val, name=name, ax=ax)

# %%
# Are the latents the Lorenz system?
# ----------------------------------
# The model's coordinates are its own. They can be compared with the true state only up to a
# linear map, which we fit on training trials and apply to the others.


def state(found: xr.Dataset) -> np.ndarray:
    """Return position and velocity, one row per bin."""
    both = np.concatenate([found["latent"].values, found["velocity"].values], axis=-1)
    return both.reshape(-1, both.shape[-1])


def true_state(trial: xr.DataArray) -> np.ndarray:
    """Return the true Lorenz state, one row per bin."""
    return truth["latent"].sel(trial=trial).values.reshape(-1, 3)


decoder = nd.metrics.fit_ridge(state(model.transform(train)), true_state(train["trial"]))
decoded = decoder.predict(state(model.transform(val)))
decoded_r2 = nd.metrics.r2(true_state(val["trial"]), decoded)
print(f"R² of the true state, decoded from the latents: {decoded_r2:.3f}")

true_path = truth[["latent"]].sel(trial=val["trial"])
found_path = true_path.copy(data={"latent": decoded.reshape(true_path["latent"].shape)})
figure = plt.figure(figsize=(9, 4), layout="constrained")
for column, (title, path) in enumerate({"true state": true_path, "decoded": found_path}.items()):
    ax = figure.add_subplot(1, 2, column + 1, projection="3d")
    nd.plots.latents(path, most_lines=4, ax=ax)
    ax.set_title(title, loc="left")

# %%
# Do the latents do the work?
# ---------------------------
# A flexible decoder can get good scores from its other inputs and ignore the latents. So we
# exchange parts of the latents between trials: ``z`` is the position, ``v`` the velocity. What
# matters must hurt. A cost near zero would mean that the part is not used.

costs = model.shuffle_costs(val)
print(costs[["cost", "co_bps"]].to_dataframe().round(3))

# %%
# A chaotic network
# -----------------
# Three dimensions are few. The second population is a chaotic recurrent network: each of its
# units has dynamics of its own. The steps are the same.

network, network_truth = through_nwb(
    nd.datasets.simulate_chaotic_rnn(
        n_conditions=12, n_repeats=20, n_units=30, duration=0.6, bin_size=BIN_SIZE
    )
)
counts = nd.transforms.align(network, event="start", window=(0.0, 0.6), bin_size=BIN_SIZE)
train = counts.isel(trial=counts["split"].values == "train")
val = counts.isel(trial=counts["split"].values == "val")
others = {
    "smoothing + GLM": smoothing.clone().fit(train),
    "LangevinFlow": nd.models.create("langevinflow", **settings).fit(train, training=training),
}
network_r2 = {name: rate_r2(own.predict(val), network_truth) for name, own in others.items()}
for name, value in network_r2.items():
    print(f"{name:16s} R² {value:.3f}")

# %%
# What we have seen
# -----------------
# The dynamics of both populations are found, better than by smoothing; the latents are the
# Lorenz state up to a linear map; and the model needs its latents. With a longer training on
# more trials the R² rises further: ``neurodyn demo`` does that.

assert lorenz_r2["LangevinFlow"] > 0.8
assert lorenz_r2["LangevinFlow"] > lorenz_r2["smoothing + GLM"] + 0.2
assert co_bps["LangevinFlow"] > co_bps["smoothing + GLM"] > 0
assert decoded_r2 > 0.8
assert float(costs["cost"].sel(part="zv")) > 0.1
assert network_r2["LangevinFlow"] > network_r2["smoothing + GLM"]
