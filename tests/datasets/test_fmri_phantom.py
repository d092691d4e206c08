"""The simulated fMRI study against its truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.signal import lfilter

from neurodyn import recording as rec
from neurodyn.datasets.fmri_phantom import (
    BASELINE,
    FmriPhantomConfig,
    haemodynamic_response,
    network_coupling,
    simulate_fmri,
)
from neurodyn.datasets.fmri_phantom_anatomy import AFFINE, NETWORKS, phantom_head
from neurodyn.datasets.simulation import Simulation
from neurodyn.errors import ConfigError
from neurodyn.transforms import denoise

CLEAN: dict[str, Any] = {
    "motion": 0.0,
    "drift": 0.0,
    "physiology": 0.0,
    "n_jerks": 0,
    "n_unsettled": 0,
}
REGRESSED = ["trans_?", "rot_?", "csf", "white_matter", "cosine*"]


def run(simulation: Simulation, name: str = "sub-01") -> xr.Dataset:
    ds = simulation.recording[f"bold/{name}"]
    assert isinstance(ds, xr.DataTree)
    return ds.to_dataset()


def test_the_layout_is_that_of_a_study() -> None:
    recording, truth = simulate_fmri(n_subjects=3, n_frames=120)
    rec.validate(recording, values=True)
    assert list(recording["bold"].children) == ["sub-01", "sub-02", "sub-03"]
    ds = recording["bold/sub-02"].to_dataset()
    assert dict(ds.sizes) == {"time": 120, "roi": 42, "confound": ds.sizes["confound"]}
    assert ds.attrs["subject"] == "02"
    assert ds.attrs["group"] == "patient"
    assert truth["group"].values.tolist() == ["control", "patient", "control"]
    assert set(ds["network"].values.tolist()) == set(NETWORKS)
    assert np.isfinite(ds["bold"].values).all()
    trials = recording["trials/sub-01"].to_dataset()
    assert sorted(trials["trial_type"].values.tolist()) == 3 * ["motor"] + 3 * ["visual"]
    assert (trials["stop"].values - trials["start"].values == 20.0).all()


def test_without_nuisance_regions_do_what_the_truth_says() -> None:
    simulation = simulate_fmri(n_subjects=2, n_frames=60, **CLEAN)
    found = run(simulation)
    assert found["keep"].values.all()
    true = simulation.truth["signal"].sel(run="sub-01").values
    np.testing.assert_allclose(found["bold"].values, BASELINE + true, rtol=1e-6)


def test_correlations_are_those_of_the_design() -> None:
    truth = simulate_fmri(n_subjects=2, n_frames=6000, task_gain=0.0, signal=7.0, **CLEAN).truth
    signal = truth["signal"].values
    assert signal.std() == pytest.approx(7.0, rel=0.05)
    for values, group_coupling, own in zip(signal, (0.5, -0.1), truth["coupling"].values):
        np.testing.assert_allclose(own, network_coupling(group_coupling))
        found = np.corrcoef(values.T)
        network = [NETWORKS.index(str(name)) for name in truth["network_of_roi"].values]
        expected = 0.6 * own[np.ix_(network, network)]
        # the other side of a region stands 21 places further on
        expected += 0.15 * (np.eye(42) + np.eye(42, k=21) + np.eye(42, k=-21)) + 0.25 * np.eye(42)
        # noise seen through the response: about one independent frame in three
        assert np.abs(found - expected).max() < 5 / np.sqrt(6000 / 3)


def test_tasks_drive_their_networks() -> None:
    rest, driven = (
        simulate_fmri(n_subjects=2, task_gain=gain, repetition_time=1.0).truth
        for gain in (0.0, 2.0)
    )
    added = (driven["network_course"] - rest["network_course"]).sel(run="sub-02")
    response = haemodynamic_response(1.0)
    course = {
        task: lfilter(response, [1.0], driven["state"].sel(run="sub-02").values == task)
        for task in ("visual", "motor")
    }
    for network, gain in (("Vis", (2.0, 0.0)), ("SomMot", (0.0, 2.0)), ("Default", (-1.0, -1.0))):
        expected = gain[0] * course["visual"] + gain[1] * course["motor"]
        np.testing.assert_allclose(added.sel(network=network), expected, atol=1e-9)
    assert np.abs(added.sel(network="Limbic")).max() < 1e-9


def test_states_are_the_blocks() -> None:
    recording, truth = simulate_fmri(n_subjects=2)
    for name in recording["trials"].children:
        trials = recording[f"trials/{name}"].to_dataset()
        state = truth["state"].sel(run=name)
        for start, stop, task in zip(
            *(trials[key].values for key in ("start", "stop", "trial_type"))
        ):
            inside = state.sel(time=slice(start, stop - 1e-9)).values
            assert inside.size == 10
            assert (inside == task).all()
        assert (state.values != "rest").sum() == 10 * trials.sizes["trial"]


def test_the_response_is_the_difference_of_two_gamma_densities() -> None:
    t = np.arange(0, 32, 0.5)
    expected = stats.gamma.pdf(t, 6) - stats.gamma.pdf(t, 16) / 6
    np.testing.assert_allclose(haemodynamic_response(0.5), expected / expected.sum(), atol=1e-12)


def test_confounds_span_the_nuisance() -> None:
    dirty = simulate_fmri(n_subjects=2, n_jerks=0, n_unsettled=0, seed=4)
    found = run(dirty)
    true = dirty.truth["signal"].sel(run="sub-01").values.astype(np.float32)
    clean = found.assign(bold=(("time", "roi"), true))
    assert np.std(found["bold"].values - BASELINE - true) > 12
    np.testing.assert_allclose(
        denoise(found, confounds=REGRESSED)["bold"].values,
        denoise(clean, confounds=REGRESSED)["bold"].values,
        atol=2e-3,
    )


def test_spoiled_and_unsettled_frames_are_not_kept() -> None:
    ds = run(simulate_fmri(n_subjects=2, n_jerks=3, n_unsettled=2))
    confounds = ds["confounds"].to_pandas()
    moved = confounds[[f"trans_{axis}" for axis in "xyz"]].diff().abs().sum(axis=1)
    moved += 50 * confounds[[f"rot_{axis}" for axis in "xyz"]].diff().abs().sum(axis=1)
    np.testing.assert_allclose(confounds["framewise_displacement"][1:], moved[1:])
    dropped = ~ds["keep"].values
    assert dropped[:2].all()
    # a jerk and the way back
    assert dropped[2:].sum() == 6
    assert (moved[2:][dropped[2:]] > 1).all()
    values = ds["bold"].values.mean(axis=1)
    jerk = np.flatnonzero(dropped[2:])[::2] + 2
    assert (values[jerk] < np.median(values) - 30).all()
    assert values[0] > 1.2 * np.median(values)
    assert confounds["std_dvars"][dropped].min() > 2 > confounds["std_dvars"][~dropped].median()
    assert confounds.filter(like="derivative1").iloc[0].isna().all()
    assert confounds.filter(like="non_steady").sum().tolist() == [1.0, 1.0]


def test_a_subject_does_not_depend_on_the_others() -> None:
    few, many = (simulate_fmri(n_subjects=n, n_frames=80) for n in (2, 4))
    assert run(few, "sub-02").equals(run(many, "sub-02"))
    assert not run(many, "sub-02").equals(run(many, "sub-04"))
    other = simulate_fmri(n_subjects=2, n_frames=80, seed=2)
    assert not run(few)["bold"].equals(run(other)["bold"])


def test_short_runs_and_few_settings() -> None:
    recording, truth = simulate_fmri(FmriPhantomConfig(n_subjects=2, n_frames=22, n_jerks=0))
    assert recording["trials/sub-01"].sizes["trial"] == 1
    assert recording["bold/sub-01"].sizes["time"] == truth.sizes["time"] == 22


def test_regions_are_blobs_on_their_side() -> None:
    head = phantom_head()
    labels = head.regions["label"].values
    voxels = np.argwhere(head.label) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    of_voxel = head.label[head.label > 0]
    assert set(of_voxel.tolist()) == set(labels.tolist())
    for value, *centre in zip(labels, *(head.regions[axis].values for axis in "xyz")):
        own = voxels[of_voxel == value]
        assert len(own) >= 15
        assert (np.sign(own[:, 0]) == np.sign(centre[0])).all()
        assert np.linalg.norm(own.mean(axis=0) - centre) < 6
        assert np.linalg.norm(own - centre, axis=1).max() <= 14
    mirrored = head.label[::-1]
    assert (mirrored[head.label > 0] == (of_voxel + 20) % 42 + 1).all()
    assert head.brain[head.label > 0].all()
    left, right = (head.vertex_label[side] for side in ("left", "right"))
    assert np.bincount(left)[1:].min() >= 5
    np.testing.assert_array_equal(right[right > 0] - left[left > 0], 21)
    assert head.vertex["left"].size < 642


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"signal": 0.0}, "signal must be above 0"),
        ({"repetition_time": np.nan}, "repetition_time must be above 0"),
        ({"drift": -1.0}, "drift must not be negative"),
        ({"n_frames": 30}, "(?s)study is too small.*52 frames or more"),
        ({"n_subjects": 1}, "study is too small"),
        ({"coupling": (0.5, 0.99)}, "(?s)no networks with such a coupling.*0.99"),
        ({"n_subject": 3}, "n_subjects"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate_fmri(**settings)
