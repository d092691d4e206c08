"""BrainMAE as an estimator: labels, clocks, lost regions, other atlases."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn import recording as rec
from neurodyn.errors import ConfigError, DataError, EmptySelectionError
from neurodyn.models import BrainMAE
from neurodyn.training import TrainingConfig

from .runs import TINY, make_group, make_run, part

TRAINING = TrainingConfig(n_steps=300, batch_size=8, learning_rate=5e-3, progress=False)


@pytest.fixture(scope="module")
def group():
    return make_group(np.random.default_rng(0))


@pytest.fixture(scope="module")
def fitted(group):
    return BrainMAE(**TINY, pooling="query").fit(group, training=TRAINING)


def test_it_learns_what_networks_share(fitted):
    """Of two thirds of each network the rest can be told: far above the mean, which scores 0."""
    fresh = make_group(np.random.default_rng(1))
    assert float(fitted.score(fresh)["masked_r2"]) > 0.3
    assert float(fitted.score(fresh, "visible_r2")["visible_r2"]) > 0.3
    harder = fitted.score(fresh, ratio=0.8, masking="tube")
    assert harder.attrs["ratio"] == 0.8
    assert float(harder["masked_r2"]) < float(fitted.score(fresh, ratio=0.2)["masked_r2"])


def test_results_are_labelled(fitted, group):
    found = fitted.transform(group)
    # 120 frames of 2 s: two windows of 48 s and a last one that ends with the run, or more
    assert found["run"].values[:3].tolist() == ["sub00"] * 3
    assert found["subject"].values.tolist() == found["run"].values.tolist()
    assert found["start"].values[:5].tolist() == [0.0, 48.0, 96.0, 144.0, 192.0]
    assert found["segment_start"].values.tolist() == [0.0, 12.0, 24.0, 36.0]
    predicted = fitted.predict(group)["reconstruction"]
    assert predicted.dims == ("run", "time", "roi")
    assert predicted["network"].values[:3].tolist() == ["visual", "motor", "default"]
    truth = group["bold"]["sub00"]["bold"].values
    scores = (truth - truth.mean(axis=0)) / truth.std(axis=0)
    agreement = np.corrcoef(predicted.sel(run="sub00").values.ravel(), scores.ravel())[0, 1]
    assert agreement > 0.5


def test_a_lost_region_and_censored_frames_leave_the_rest_right(fitted):
    run = make_run(np.random.default_rng(2))
    keep = np.random.default_rng(3).random(120) > 0.3
    lost = run.copy(deep=True)
    lost["bold"][:, 4] = np.nan
    lost = lost.assign_coords(keep=("time", keep))
    found = fitted.predict(lost)["reconstruction"].isel(run=0)
    assert found.sel(roi="roi4").isnull().all()
    others = found.drop_sel(roi="roi4")
    assert np.isfinite(others.values[keep]).all()
    assert np.isnan(others.values[~keep]).all()
    whole = fitted.predict(run)["reconstruction"].isel(run=0).drop_sel(roi="roi4")
    assert np.corrcoef(others.values[keep].ravel(), whole.values[keep].ravel())[0, 1] > 0.8
    assert np.isfinite(float(fitted.score(lost)["masked_r2"]))
    assert np.isfinite(fitted.transform(lost)["cls"]).all()


@pytest.mark.parametrize("repetition_time", [0.72, 2.5])
def test_another_repetition_time_is_resampled(fitted, repetition_time):
    run = make_run(np.random.default_rng(2), n_time=200, repetition_time=repetition_time)
    found = fitted.predict(run)["reconstruction"]
    assert found["time"].values[1] == 2.0
    assert found.sizes["time"] == int(199 * repetition_time / 2.0) + 1
    assert np.isfinite(found).all()


def test_another_atlas(fitted):
    """The same networks in more regions: embeddings are told by where regions are."""
    fine = make_run(np.random.default_rng(5), n_rois=18)
    # each region of the new atlas lies where one of the same network was
    old = make_run(np.random.default_rng(5))
    place = np.arange(18) % 9
    fine = fine.assign_coords({axis: ("roi", old[axis].values[place]) for axis in "xyz"})
    moved = fitted.to_regions(fine)
    assert moved.context_.n_rois == 18
    assert float(moved.score(fine)["masked_r2"]) > 0.2
    same = fitted.to_regions(old)
    np.testing.assert_allclose(
        same.predict(old)["reconstruction"], fitted.predict(old)["reconstruction"], atol=0.3
    )
    with pytest.raises(DataError, match=r"(?s)other regions.*missing: \['roi0'.*see to_regions"):
        fitted.predict(old.isel(roi=slice(1, None)))
    with pytest.raises(DataError, match="matched by their centroids"):
        fitted.to_regions(fine.drop_vars("x"))


def test_a_model_that_is_tied_to_its_atlas_says_so(group):
    tied = BrainMAE(**TINY).fit(group, training=TrainingConfig(n_steps=1, progress=False))
    with pytest.raises(ConfigError, match=r"(?s)tied to its atlas.*pooling='flatten'"):
        tied.to_regions(group["bold"]["sub00"].to_dataset())


def test_a_subject_in_training_and_validation_is_refused(group):
    model = BrainMAE(**TINY)
    training = TrainingConfig(n_steps=1, progress=False, monitor="masked_r2", monitor_mode="max")
    with pytest.raises(DataError, match=r"(?s)in training and validation.*1: sub01"):
        model.fit(
            part(group, ["sub00", "sub01"]), validation=part(group, ["sub01"]), training=training
        )
    model.fit(part(group, ["sub00"]), validation=part(group, ["sub01"]), training=training)
    rows = [row for row in model.history_ if row["kind"] == "validation"]
    assert set(rows[0]) >= {"masked_r2", "visible_r2", "loss"}


def test_masking_whole_networks_needs_networks(group):
    model = BrainMAE(**TINY, masking="network")
    model.fit(group, training=TrainingConfig(n_steps=2, progress=False))
    plain = {name: node.to_dataset().drop_vars("network") for name, node in group["bold"].items()}
    with pytest.raises(ConfigError, match="needs the network of every region"):
        model.fit(rec.recording({"bold": plain}), training=TrainingConfig(n_steps=2))


def test_data_without_regions_are_refused():
    voxels = rec.bold(np.zeros((10, 3)), repetition_time=2.0, dim="voxel")
    with pytest.raises(DataError, match=r"(?s)reads fMRI of regions.*parcellate"):
        BrainMAE(**TINY).fit(voxels)
    with pytest.raises(EmptySelectionError, match="has no fMRI"):
        BrainMAE(**TINY).fit(rec.recording([rec.trials([0.0], [1.0])]))
    short = rec.recording(
        {"bold": {"a": make_run(np.random.default_rng(0)), "b": voxels.rename(voxel="roi")}}
    )
    with pytest.raises(DataError, match=r"(?s)other regions.*at b"):
        BrainMAE(**TINY).fit(short)


def test_data_sets_of_different_clocks_are_pooled():
    rng = np.random.default_rng(7)
    runs = {
        f"{study}{number}": make_run(
            rng, n_time=round(240 / step), repetition_time=step, subject=f"{study}{number}"
        )
        for study, step in (("slow", 2.5), ("fast", 0.72))
        for number in range(2)
    }
    model = BrainMAE(**TINY).fit(
        rec.recording({"bold": runs}), training=TrainingConfig(n_steps=5, progress=False)
    )
    assert model.data_["subjects"] == ["fast0", "fast1", "slow0", "slow1"]
    found = model.transform(rec.recording({"bold": runs}))
    assert set(found["run"].values.tolist()) == set(runs)
    assert np.isfinite(found["state"]).all()
