"""
From a scan to a connectome
===========================

What comes out of an fMRI pipeline is a folder of images and tables. This lesson takes such a
folder to connectivity between regions: find the runs, average them over an atlas, take the
nuisance out, correlate. On the way it shows what goes wrong quietly elsewhere: a scan that does
not reach a region, too many confounds, and motion that looks like connectivity.

The folder is simulated, so that we know the truth, but its files are real ones: NIfTI, CIFTI, and
tables as fMRIPrep writes them. The lesson writes into a temporary folder only.
"""

# %%
# Twelve people in a folder
# -------------------------
# Six controls and six patients lie in the scanner for five minutes and see or do something in
# blocks. There are 42 regions in seven networks. In controls two of the networks, Cont and
# Default, go together; in patients they do not. That is what a study would want to find out.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel
import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

import neurodyn as nd
from neurodyn.datasets.fmri_phantom import simulate_fmri
from neurodyn.datasets.fmri_phantom_files import write_fmri_study
from neurodyn.errors import AtlasMismatchError
from neurodyn.io.atlas import read_atlas
from neurodyn.io.derivatives import find_derivatives, load_confounds
from neurodyn.models.baselines.connectivity_linear import fisher_z_connectivity
from neurodyn.transforms.connectivity import pair_matrix

place = tempfile.TemporaryDirectory()
simulation = simulate_fmri(n_subjects=12)
study, truth = write_fmri_study(simulation, Path(place.name) / "study"), simulation.truth
people = pd.read_csv(study / "participants.tsv", sep="\t", index_col="participant_id")
for path in sorted(study.glob("*.*")) + sorted(study.glob("sub-01/func/*")):
    print(path.relative_to(study))

# %%
# The names of the files say what they are. ``find_derivatives`` reads the names alone, which takes
# no time in large studies either, and finds the table of confounds that belongs to each run.

runs = find_derivatives(study, space="MNI152NLin2009cAsym")
surface_runs = find_derivatives(study, space="phantom")
print(len(runs), "volumes and", len(surface_runs), "CIFTI files")
print(runs[0].path.name, runs[0].entities, runs[0].confounds_path.name, sep="\n")

# %%
# Regions
# -------
# A scan needs an atlas: an image of labels in the same space, and a table of names. The result is
# the same kind of recording that any other format gives: a labelled series with times in seconds.
# ``coverage`` says which share of a region the scan shows.

atlas = read_atlas(study / "atlas-phantom_dseg.nii.gz", study / "atlas-phantom_dseg.tsv")
bold = nd.load(runs[0].path, atlas=atlas)["bold"].to_dataset()
print(atlas)
print(bold)

mean_volume = nibabel.load(runs[0].path).get_fdata().mean(axis=3)
figure, axes = plt.subplots(1, 4, figsize=(8.5, 2.6), layout="constrained")
for ax, height in zip(axes, (-28, -4, 28, 52)):
    level = round((height - atlas.affine[2, 3]) / atlas.affine[2, 2])
    ax.imshow(mean_volume[:, :, level].T, origin="lower", cmap="gray", vmin=0, vmax=1600)
    regions = np.ma.masked_equal(atlas.image[:, :, level].T, 0)
    ax.imshow(regions, origin="lower", cmap="nipy_spectral", vmin=1, vmax=42, alpha=0.7)
    ax.set_title(f"z = {height} mm", loc="left")
    ax.set_axis_off()

# %%
# A scan that ends too early
# --------------------------
# Cut the lowest seven of 20 slices off, as a box set too high in the scanner does. Some regions are
# gone. Tools that return one column for each region they find would now return fewer columns, and
# everything behind the gap would have another region's name. Here it is an error; and who accepts
# the loss gets all 42 columns, NaN where there is nothing.

image = nibabel.load(runs[0].path)
cut = Path(place.name) / "sub-01_task-blocks_desc-preproc_bold.nii.gz"
nibabel.save(image.slicer[:, :, 7:], cut)
try:
    nd.load(cut, atlas=atlas)
    refused = False
except AtlasMismatchError as error:
    refused = True
    print(error)
partial = nd.load(cut, atlas=atlas, max_missing_roi=0.5)["bold"].to_dataset()
lost = partial["roi"].values[partial["coverage"].values == 0]
print("lost:", ", ".join(lost))

# %%
# What lies over the signal
# -------------------------
# Every region of one run, raw, with the movement of the head above it. Stripes through all regions
# at once are hardly brain activity: the first frames are bright, and the head jerks three times.

confounds = pd.read_csv(runs[0].confounds_path, sep="\t")


def carpet(ax: plt.Axes, ds: xr.Dataset) -> None:
    """Draw the series of all regions as z-scores, one row for each."""
    series = ds["bold"].values
    score = (series - np.nanmean(series, axis=0)) / np.nanstd(series, axis=0)
    edge = np.append(ds["time"].values, ds["time"].values[-1] + ds.attrs["repetition_time"])
    ax.pcolormesh(edge, np.arange(43), score.T, cmap="gray", vmin=-2, vmax=2, rasterized=True)
    ax.set(ylabel="region", facecolor="C1")


figure, axes = plt.subplots(2, 1, figsize=(8, 4.5), layout="constrained", sharex=True)
axes[0].plot(bold["time"], confounds["framewise_displacement"], linewidth=0.8)
axes[0].set(ylabel="displacement [mm]", ylim=(0, None))
carpet(axes[1], bold)
axes[1].set_xlabel("time [s]")

# %%
# Clean
# -----
# ``load_confounds`` chooses columns of the table by the strategies that nilearn knows, and says
# which frames survive (``keep``). ``denoise`` filters and regresses in one step. Frames that do
# not survive become NaN; they are not cut out, so that time stays time.
#
# How much to take out? Let us compare four ways with the truth, which a real study cannot. Every
# confound takes a little of the signal along, and with 160 frames that adds up.

WAYS = {
    "nothing": None,
    "simple, 6 motion": {"strategy": "simple", "motion": "basic"},
    "simple, 24 motion": {"strategy": "simple"},
    "scrubbing": {"strategy": "scrubbing"},
}


def clean(run, options: dict | None) -> xr.Dataset:
    """Return the regions of a run, cleaned in one of the ways."""
    if options is None:
        return nd.load(run.path, atlas=atlas)["bold"].to_dataset()
    chosen, keep = load_confounds(run, **options)
    ds = nd.load(run.path, atlas=atlas, confounds=chosen, keep=keep)["bold"].to_dataset()
    return nd.transforms.denoise(ds, confounds="*")


def similarity(ds: xr.Dataset, signal: xr.DataArray) -> float:
    """Return the mean correlation of regions with what they did in truth."""
    kept = np.isfinite(ds["bold"].values).all(axis=1)
    pairs = zip(ds["bold"].values[kept].T, signal.values[kept].T)
    return float(np.mean([np.corrcoef(found, true)[0, 1] for found, true in pairs]))


cleaned = {way: [clean(run, options) for run in runs] for way, options in WAYS.items()}
signals = [truth["signal"].sel(run=name) for name in people.index]
r_signal = {way: np.mean(list(map(similarity, each, signals))) for way, each in cleaned.items()}
for way, each in cleaned.items():
    n_kept = np.mean([np.isfinite(ds["bold"]).all("roi").sum() for ds in each])
    n_confounds = each[0].sizes.get("confound", 0)
    print(f"{way:18s} {n_confounds:2d} confounds, {n_kept:3.0f} frames, r = {r_signal[way]:.2f}")

figure, ax = plt.subplots(figsize=(8, 2.4), layout="constrained")
carpet(ax, cleaned["simple, 6 motion"][0])
ax.set_xlabel("time [s]")

# %%
# Scrubbing is not bad in itself: it is meant for people who move a lot, and its thresholds for long
# runs. Here it takes out more than it saves.
#
# Connectivity
# ------------
# Correlations of all pairs, as Fisher's z, over the frames that survive. Motion and drift lie over
# all regions, so that raw data are connected everywhere. The truth is on the right.


def recording(each: list[xr.Dataset]) -> xr.DataTree:
    """Return runs as one recording."""
    return nd.recording.recording({"bold": dict(zip(people.index, each))})


def matrix(fisher_z: xr.DataArray) -> np.ndarray:
    """Return the mean over people as correlations."""
    return np.tanh(pair_matrix(fisher_z.mean("run").values, len(network)))


true_runs = [ds.assign(bold=signal) for ds, signal in zip(cleaned["nothing"], signals)]
connectivity = {
    "raw": fisher_z_connectivity(recording(cleaned["nothing"])),
    "cleaned": fisher_z_connectivity(recording(cleaned["simple, 6 motion"])),
    "truth": fisher_z_connectivity(recording(true_runs)),
}
network = bold["network"].values
order = np.argsort(network, kind="stable")
figure, axes = plt.subplots(1, 3, figsize=(8.5, 3.2), layout="constrained")
for ax, (name, found) in zip(axes, connectivity.items()):
    values = matrix(found["fisher_z"])[np.ix_(order, order)]
    drawn = ax.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
    middle = [np.flatnonzero(network[order] == own).mean() for own in np.unique(network)]
    ax.set_yticks(middle, np.unique(network) if ax is axes[0] else [])
    ax.set_xticks([])
    ax.set_title(name, loc="left")
figure.colorbar(drawn, ax=axes, label="correlation", shrink=0.8)

true_z = connectivity["truth"]["fisher_z"].mean("run").values
error = {
    name: float(np.abs(connectivity[name]["fisher_z"].mean("run").values - true_z).mean())
    for name in ("raw", "cleaned")
}
print({name: round(value, 2) for name, value in error.items()})

# %%
# The difference between the groups
# ---------------------------------
# The mean over all pairs of a region of Cont and one of Default, one number for each person.

pairs = connectivity["raw"]
of_roi = dict(zip(bold["roi"].values, network))
between = np.array(
    [
        {of_roi[one], of_roi[other]} == {"Cont", "Default"}
        for one, other in zip(pairs["roi_from"].values, pairs["roi_to"].values)
    ]
)
p_value = {}
figure, axes = plt.subplots(1, 3, figsize=(8, 2.8), layout="constrained", sharey=True)
for ax, (name, found) in zip(axes, connectivity.items()):
    z = found["fisher_z"].values[:, between].mean(axis=1)
    groups = [z[(people["group"] == group).values] for group in ("control", "patient")]
    p_value[name] = float(stats.ttest_ind(*groups).pvalue)
    for x, values in enumerate(groups):
        ax.scatter(np.full(values.size, x), values)
    ax.set_xticks([0, 1], ["control", "patient"])
    ax.set(title=f"{name}, p = {p_value[name]:.2g}", xlim=(-0.5, 1.5))
axes[0].set_ylabel("Cont with Default [Fisher z]")

# %%
# What the tasks do
# -----------------
# ``events.tsv`` has the blocks. The mean course of a network after their onsets shows the delay of
# the blood. Nobody needs a model for that, only a clock that is right.

window = np.arange(0, 36, 2.0)
courses: dict[tuple[str, str], list[np.ndarray]] = {}
for ds, name in zip(cleaned["simple, 6 motion"], people.index):
    events = pd.read_csv(study / name / "func" / f"{name}_task-blocks_events.tsv", sep="\t")
    for own in ("Vis", "SomMot"):
        series = ds["bold"].isel(roi=ds["network"].values == own).mean("roi")
        for onset, task in zip(events["onset"], events["trial_type"]):
            course = series.reindex(time=onset + window).values
            courses.setdefault((own, task), []).append(course)
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained", sharey=True)
response = {}
for ax, own in zip(axes, ("Vis", "SomMot")):
    for task in ("visual", "motor"):
        mean = np.nanmean(courses[own, task], axis=0)
        response[own, task] = float(mean[(window >= 8) & (window < 24)].mean())
        ax.plot(window, mean, label=task)
    ax.axvspan(0, 20, color="0.5", alpha=0.2, linewidth=0)
    ax.set(title=own, xlabel="time from the onset [s]")
axes[0].set_ylabel("signal [image units]")
axes[1].legend()

# %%
# Grayordinates
# -------------
# The same people as CIFTI: series of vertices, and a parcellation of vertices. The regions have the
# same names, so that everything above works as it is, and it should say the same.


def clean_surface(run) -> xr.Dataset:
    """Return the regions of a CIFTI run, cleaned."""
    chosen, keep = load_confounds(run, strategy="simple", motion="basic")
    ds = nd.load(
        run.path,
        dlabel=study / "atlas-phantom_dseg.dlabel.nii",
        rois=study / "atlas-phantom_dseg.tsv",
        confounds=chosen,
        keep=keep,
    )["bold"].to_dataset()
    return nd.transforms.denoise(ds, confounds="*")


surface = recording([clean_surface(run) for run in surface_runs])
surface_z = fisher_z_connectivity(surface)["fisher_z"]
volume_z = connectivity["cleaned"]["fisher_z"]
agreement = float(np.corrcoef(surface_z.values.ravel(), volume_z.values.ravel())[0, 1])
print(f"connectivity of volumes and of vertices: r = {agreement:.3f}")
place.cleanup()

# %%
# What we have seen
# -----------------
# The axis of regions is that of the atlas, whatever the scan shows. Nuisance makes connectivity
# where there is none and hides what there is. Taking out more is not always better. Volumes and
# grayordinates tell the same story.

assert refused
assert partial.sizes["roi"] == 42
assert 0 < lost.size < 10
assert np.isnan(partial["bold"].sel(roi=lost)).all()
assert r_signal["nothing"] < 0.5 < 0.8 < r_signal["simple, 6 motion"]
assert max(r_signal, key=r_signal.get) == "simple, 6 motion"
assert error["cleaned"] < 0.25 * error["raw"]
assert p_value["truth"] < 1e-4
assert p_value["cleaned"] < 1e-3 < p_value["raw"]
for own, task, other in (("Vis", "visual", "motor"), ("SomMot", "motor", "visual")):
    assert response[own, task] > 5 > 2 > abs(response[own, other])
assert agreement > 0.95
