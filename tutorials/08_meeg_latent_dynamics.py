"""
From M/EEG to latent dynamics
=============================

What do sensors outside the head tell about the dynamics inside? Each of them sees a mixture of
all sources. So we simulate six regions of a brain that oscillate in two groups, write their EEG
to a FIF file as a lab would have it, open that file like any other, and ask two questions: how
many latent oscillators are there and how do they move, which needs no model of the head; and
which regions synchronise when, which does. Then we look at the truth.

The filters and epochs are mne's, the recording and the synchrony are neurodyn's. The lesson
writes into a temporary folder only.
"""

# %%
# EEG in a FIF file
# -----------------
# In a trial of one kind the three frontal regions pull at each other, in a trial of the other
# kind the three parietal ones. Power never changes, only synchrony does. There are blinks and a
# bad channel too.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import xarray as xr

import neurodyn as nd
from neurodyn.datasets.oscillating_network import (
    simulate_oscillating_network,
    write_oscillating_network,
)
from neurodyn.io.mne_objects import from_mne, to_mne
from neurodyn.transforms.connectivity import pair_matrix, phase_synchrony

mne.set_log_level("ERROR")
simulation = simulate_oscillating_network(seed=1)
with tempfile.TemporaryDirectory() as folder:
    path = write_oscillating_network(simulation, Path(folder) / "network_raw.fif")
    print(nd.describe(nd.open(path)))
    recording = nd.load(path)

# %%
# Each type of channel is a signal of its own, because units and sizes differ. Samples are in SI
# units, here V. ``nd.open`` leaves them in the file until they are touched.

eeg, trials = nd.pick(recording, "signal", "eeg"), nd.pick(recording, "trials")
print(eeg[["type", "x", "y", "z", "bad"]].to_dataframe().head(3))
print("bad:", *eeg["channel"].values[eeg["bad"].values])

# %%
# Annotations have become trials. Those whose description begins with BAD are flagged, as mne
# understands them.

print(trials.to_dataframe().groupby(["description", "bad"]).size())

# %%
# Look first. The blink is larger than everything else at the forehead, and T7 is of no use.

start = float(trials["start"].values[trials["bad"].values][0])
shown = ["Fp1", "Fz", "T7", "Pz"]
figure, ax = plt.subplots(figsize=(8, 3.5), layout="constrained")
view = eeg["signal"].sel(channel=shown, time=slice(start - 1.5, start + 4))
for offset, name in enumerate(shown):
    ax.plot(view["time"], 1e6 * view.sel(channel=name) - 200 * offset, linewidth=0.7)
for begin, stop, name in zip(*(trials[key].values for key in ("start", "stop", "description"))):
    if view["time"][0] < begin < view["time"][-1]:
        ax.axvspan(begin, stop, color="C3" if name.startswith("BAD") else "0.5", alpha=0.2)
        ax.text(begin, 130, name)
ax.set_yticks([-200 * offset for offset in range(len(shown))], shown)
ax.set(xlabel="time [s]", ylabel="200 µV between channels")

# %%
# Through mne and back
# --------------------
# ``to_mne`` gives raw data of mne, ``from_mne`` makes a recording of whatever mne made of it.
# mne filters, leaves out the bad channel, cuts epochs and drops those that touch a blink. They
# come back on the clock of the session, each with its condition.

raw = to_mne(recording).filter(4.0, 25.0, picks="eeg").pick("eeg", exclude="bads")
events, event_id = mne.events_from_annotations(raw, regexp="^(frontal|parietal)$")
length = {"tmin": 0.3, "tmax": 1.8, "baseline": None}
coupled = from_mne(mne.Epochs(raw, events, event_id, **length))
at_rest = from_mne(mne.Epochs(raw, events, event_id, **{**length, "tmin": -1.6, "tmax": -0.1}))
for name, epochs in {"trials": coupled, "rest before them": at_rest}.items():
    print(f"{name}: {nd.pick(epochs, 'trials').sizes['trial']} epochs")

# %%
# How many latents?
# -----------------
# Mixing is linear and instantaneous, so the sources span a subspace of the sensors. Its dimension
# is where the eigenvalues of the covariance fall to the level of the noise.

rest_signal = nd.pick(at_rest, "signal")["signal"].values
eigenvalues, axes_of_pca = np.linalg.eigh(np.cov(rest_signal.T))
eigenvalues, axes_of_pca = eigenvalues[::-1], axes_of_pca[:, ::-1]
n_latents = int(np.argmax(eigenvalues[:-2] / eigenvalues[1:-1])) + 1
print(f"{n_latents} latents")
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.semilogy(np.arange(1, 13), 1e12 * eigenvalues[:12], "o-")
ax.axvline(n_latents + 0.5, color="0.5", linestyle=":")
ax.set(xlabel="principal component", ylabel="variance [µV²]")

# %%
# How do they move?
# -----------------
# Linear dynamics carry the state over a lag: ``z(t + lag) = exp(A lag) z(t) + noise``. Principal
# components are some linear map of the sources, unknown without a model of the head. But the
# eigenvalues of ``A`` are the same after any such map: their imaginary parts are frequencies,
# their real parts say how fast each mode forgets. Only covariances at lags above zero are used,
# to which the noise of the sensors adds little.

LAG = 4


def latent_modes(epochs: xr.DataTree, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frequency [Hz] and decay [1/s] of each mode, the slowest decay first."""
    from scipy.signal import hilbert

    signal, rate = nd.pick(epochs, "signal"), nd.pick(epochs, "signal").attrs["sampling_rate"]
    latents = signal["signal"].values @ axes_of_pca[:, :n_latents]
    latents = latents.reshape(kept.size, -1, n_latents)[kept]
    state = hilbert(latents, axis=1)[:, 20:-20]
    first = state[:, : -2 * LAG].reshape(-1, n_latents)
    once, twice = (
        state[:, lag : state.shape[1] - 2 * LAG + lag].reshape(-1, n_latents).T @ first.conj()
        for lag in (LAG, 2 * LAG)
    )
    rates = np.log(np.linalg.eigvals(twice @ np.linalg.inv(once))) * rate / LAG
    rates = rates[np.argsort(-rates.real)]
    return rates.imag / (2 * np.pi), -rates.real


condition = nd.pick(coupled, "trials")["condition"].values
modes = {"rest": latent_modes(at_rest, np.full(nd.pick(at_rest, "trials").sizes["trial"], True))}
modes |= {name: latent_modes(coupled, condition == name) for name in ("frontal", "parietal")}
figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", sharex=True, sharey=True)
for ax, (state, (frequency, decay)) in zip(axes, modes.items()):
    true = simulation.truth.sel(state=state)
    ax.scatter(true["decay"], true["frequency"], s=120, facecolors="none", edgecolors="0.5")
    ax.scatter(decay, frequency, s=20)
    ax.set_title(f"{state} (circles: truth)", loc="left", fontsize="medium")
    ax.set_xlabel("decay [1/s]")
axes[0].set(ylabel="frequency [Hz]", ylim=(6, 14))

# %%
# At rest six modes forget equally fast. In a trial two of them, the differences within the
# coupled group, die out at once: what synchrony is, seen from outside the head.
#
# Which regions?
# --------------
# Names need a model of the head. Here the forward matrix is known. In a study it comes from
# :func:`mne.make_forward_solution`, the inverse from :mod:`mne.minimum_norm`, and
# :func:`neurodyn.io.source_estimates.source_signal` averages the estimate over the regions of a
# parcellation. With six regions and 31 sensors least squares will do.

forward = simulation.truth["forward"].sel(channel=raw.ch_names)
sources = nd.recording.signal(
    raw.get_data().T @ np.linalg.pinv(forward.values).T,
    sampling_rate=raw.info["sfreq"],
    channel=forward["roi"].values,
    dim="roi",
    units="A m",
)
figure, axes = plt.subplots(1, 6, figsize=(10, 2.2), layout="constrained")
for ax, roi in zip(axes, forward["roi"].values):
    mne.viz.plot_topomap(forward.sel(roi=roi).values, raw.info, axes=ax, show=False)
    ax.set_title(roi.replace("_", "\n"), fontsize="small")

# %%
# Phase synchrony is the cosine of the phase difference of each pair, at each time. We average it
# over time in each state; its course around the start of trials comes below.

BAND = (7.0, 14.0)
clean = np.full(sources.sizes["time"], True)
time = sources["time"].values
for begin, stop, bad in zip(*(trials[key].values for key in ("start", "stop", "bad"))):
    clean &= ~(bad & (time > begin - 0.3) & (time < stop + 0.3))


def state_times(state: str) -> np.ndarray:
    """Return which samples belong to a state and are clean."""
    inside = np.full(time.size, False)
    for begin, name in zip(trials["start"].values, trials["description"].values):
        if state == "rest" and not name.startswith("BAD"):
            inside |= (time > begin - 1.6) & (time < begin - 0.1)
        elif state == name:
            inside |= (time > begin + 0.3) & (time < begin + 1.8)
    return inside & clean


def locking(data: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the mean synchrony of each pair as a matrix, by state."""
    synchrony = phase_synchrony(data, band=BAND)["phase_synchrony"].values
    return {state: pair_matrix(synchrony[state_times(state)].mean(axis=0), 6) for state in modes}


nearest = ["F3", "Fz", "F4", "P3", "Pz", "P4"]
matrices = {"sensors above them": locking(eeg.sel(channel=nearest)), "regions": locking(sources)}
matrices["truth"] = {
    state: simulation.truth["phase_locking_value"].sel(state=state).values for state in modes
}
figure, axes = plt.subplots(3, 3, figsize=(7, 7), layout="constrained", sharex=True, sharey=True)
for row, (name, by_state) in zip(axes, matrices.items()):
    for ax, (state, matrix) in zip(row, by_state.items()):
        off_diagonal = np.where(np.eye(6, dtype=bool), np.nan, matrix)
        image = ax.imshow(off_diagonal, vmin=-1, vmax=1, cmap="RdBu_r")
        ax.set_title(f"{name}, {state}", fontsize="small")
        ax.set(xticks=[], yticks=[])
figure.colorbar(image, ax=axes, label="phase synchrony", shrink=0.5)

# %%
# Even at rest sensors seem to be in synchrony with their neighbours, and front and back in
# opposite phase. There is neither: mixing and the average reference do that. Regions show what is
# there.

pair = np.triu_indices(6, 1)
error = {
    name: float(np.mean([np.abs(by_state[s] - matrices["truth"][s])[pair].mean() for s in modes]))
    for name, by_state in matrices.items()
}
for name in ("sensors above them", "regions"):
    print(f"{name:18s} mean error of synchrony {error[name]:.2f}")

# %%
# When? The mean over pairs within a group, around the start of trials that couple it and of those
# that couple the other.

synchrony = phase_synchrony(sources, band=BAND)
module = simulation.truth["module"].to_series()
first, second = (module[synchrony[key].values].values for key in ("roi_from", "roi_to"))
window = np.arange(-200, 500)
courses = {}
for name in ("frontal", "parietal"):
    of_group = synchrony["phase_synchrony"].values[:, (first == name) & (second == name)]
    for called in ("frontal", "parietal"):
        begins = trials["start"].values[trials["description"].values == called]
        at = np.searchsorted(time, begins[:-1] - 1e-6)[:, None] + window
        courses[name, called] = of_group[at[at[:, -1] < time.size]].mean(axis=(0, 2))
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained", sharey=True)
for ax, name in zip(axes, ("frontal", "parietal")):
    for called, color in zip(("frontal", "parietal"), ("C0", "C1")):
        ax.plot(window / 200, courses[name, called], color=color, label=f"{called} trials")
    ax.axvspan(0, 2, color="0.5", alpha=0.15, linewidth=0)
    ax.set_title(f"{name} regions", loc="left")
    ax.set_xlabel("time from start of trial [s]")
axes[0].set_ylabel("phase synchrony")
axes[0].legend(fontsize="small")

# %%
# What we have seen
# -----------------
# A file of M/EEG is a recording like any other, and mne is one call away. The number of latent
# oscillators, their frequencies and how they forget can be had from sensors alone. Who synchronises
# with whom cannot: that needs a model of the head.

assert n_latents == 6
true_subspace = np.linalg.qr(forward.values)[0]
overlap = np.linalg.svd(axes_of_pca[:, :n_latents].T @ true_subspace)[1]
assert overlap.min() > 0.99
for state, (frequency, decay) in modes.items():
    true = simulation.truth.sel(state=state)
    n_slow = int((true["decay"] < 10).sum())
    slow_frequencies = true["frequency"].values[:n_slow]
    assert np.abs(np.sort(frequency[:n_slow]) - np.sort(slow_frequencies)).max() < 0.6
    assert np.abs(decay[:n_slow] - 5.0).max() < 3.0
    assert (decay[n_slow:] > 15.0).all()
assert error["regions"] < 0.06
assert error["sensors above them"] > 3 * error["regions"]
assert np.abs(matrices["sensors above them"]["rest"][pair]).mean() > 0.2
for name, other in (("frontal", "parietal"), ("parietal", "frontal")):
    inside, before = (window > 100) & (window < 300), window < -40
    assert courses[name, name][inside].mean() > 0.5
    assert abs(courses[name, name][before].mean()) < 0.2
    assert abs(courses[name, other][inside].mean()) < 0.2
assert np.abs(matrices["regions"]["rest"][pair]).mean() < 0.1
