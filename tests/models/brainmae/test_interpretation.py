"""What a model has learned of networks that the data were made of."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodyn import recording as rec
from neurodyn.errors import DataError, DegenerateInputError, EmptySelectionError
from neurodyn.models import BrainMAE
from neurodyn.models.brainmae.finetune import BrainMAEDecoder
from neurodyn.models.brainmae.interpretation import (
    cls_components,
    connectivity_correlation,
    consistency,
    embedding_checks,
    embedding_map,
    embedding_similarity,
    group_connectivity,
    reconstruction_example,
)
from neurodyn.training import TrainingConfig

from .runs import TINY, make_group, make_run, part

TRAINING = TrainingConfig(n_steps=250, batch_size=8, learning_rate=1e-2, progress=False)


@pytest.fixture(scope="module")
def group():
    return make_group(np.random.default_rng(0))


@pytest.fixture(scope="module")
def fitted(group):
    return BrainMAE(**TINY).fit(group, training=TRAINING)


def untrained(data, seed=0, **settings):
    training = TrainingConfig(n_steps=1, progress=False, seed=seed)
    return BrainMAE(**{**TINY, **settings}).fit(data, training=training)


def test_embeddings_find_the_networks(fitted, group):
    """Regions of a network share a course; three courses are independent of one another."""
    similarity = embedding_similarity(fitted)
    matrix = similarity["similarity"]
    np.testing.assert_allclose(np.diag(matrix), 1.0)
    np.testing.assert_allclose(matrix, matrix.T)
    assert np.abs(matrix).max() <= 1 + 1e-12
    assert similarity["network"].values[:3].tolist() == ["visual", "motor", "default"]
    checks = embedding_checks(fitted, group, n_permutations=99)
    assert float(checks["within_minus_between"]) > 0.2
    assert float(checks["connectivity_correlation"]) > 0.6
    assert float(checks["connectivity_correlation"]) == connectivity_correlation(
        similarity, group_connectivity(group)
    )
    assert 0 < float(checks["spatial_p_value"]) <= 1
    assert float(checks["attention_over_chance"]) > 0
    fresh = embedding_checks(untrained(group), group, n_permutations=9)
    assert float(fresh["within_minus_between"]) < float(checks["within_minus_between"])


def test_group_connectivity_is_the_mean_over_runs(group):
    found = group_connectivity(group)["connectivity"]
    runs = [node["bold"].values for node in group["bold"].children.values()]
    mean = np.mean([np.arctanh(np.corrcoef(run.T) - np.eye(9)) for run in runs], axis=0)
    np.testing.assert_allclose(found, np.tanh(mean) + np.eye(9), atol=1e-5)
    lost = {name: node.to_dataset().copy(deep=True) for name, node in group["bold"].items()}
    for run in lost.values():
        run["bold"][:, 3] = np.nan
    found = group_connectivity(rec.recording({"bold": lost}))["connectivity"]
    assert found.isnull().values.sum() == 16


def test_regions_are_matched_by_name(fitted, group):
    similarity = embedding_similarity(fitted)
    turned = {
        name: node.to_dataset().isel(roi=slice(None, None, -1)).load()
        for name, node in group["bold"].items()
    }
    same = connectivity_correlation(similarity, rec.recording({"bold": turned}))
    assert same == pytest.approx(connectivity_correlation(similarity, group))
    some = group["bold"]["sub00"].to_dataset().isel(roi=slice(1, None))
    with pytest.raises(DataError, match=r"(?s)regions differ \(at the data\).*missing: \['roi0'"):
        connectivity_correlation(similarity, some)
    few = similarity.isel(roi=slice(2), roi_to=slice(2))
    with pytest.raises(DegenerateInputError, match="too few pairs"):
        connectivity_correlation(few, group["bold"]["sub00"].to_dataset().isel(roi=slice(2)))


def test_consistency_of_models(fitted, group):
    found = consistency({"a": fitted, "again": fitted, "other": untrained(group, seed=1)})
    matrix = found["consistency"]
    assert found["model"].values.tolist() == ["a", "again", "other"]
    assert float(matrix.sel(model="a", model_to="again")) == pytest.approx(1.0)
    assert float(matrix.sel(model="a", model_to="other")) < 0.9
    numbered = consistency([fitted, fitted])
    assert numbered["model"].values.tolist() == ["0", "1"]
    with pytest.raises(DegenerateInputError, match="needs two models"):
        consistency([fitted])
    small = untrained(group["bold"]["sub00"].to_dataset().isel(roi=slice(1, None)))
    with pytest.raises(DataError, match=r"(?s)regions differ \(at model 1\)"):
        consistency([fitted, small])


def test_a_map_puts_networks_together(fitted):
    similarity = embedding_similarity(fitted)
    found = embedding_map(similarity, seed=1)
    assert found["place"].dims == ("roi", "axis")
    assert {"network", "x"} <= set(found.coords)
    xr.testing.assert_identical(found, embedding_map(similarity, seed=1))
    with pytest.raises(DegenerateInputError, match="too few regions"):
        embedding_map(similarity.isel(roi=slice(4), roi_to=slice(4)))


def test_an_example_is_told_by_the_others(fitted, group):
    found = reconstruction_example(fitted, group, "sub02")
    assert found.attrs["run"] == "sub02"
    assert found["bold"].dims == found["reconstruction"].dims == ("time", "roi")
    truth = group["bold"]["sub02"]["bold"].values
    scores = (truth - truth.mean(axis=0)) / truth.std(axis=0)
    np.testing.assert_allclose(found["bold"], scores, atol=1e-4)
    error = ((found["bold"] - found["reconstruction"]) ** 2).sum("time")
    np.testing.assert_allclose(found["r2"], 1 - error / (found["bold"] ** 2).sum("time"), rtol=1e-4)
    assert float(found["r2"].mean()) > 0.3
    first = reconstruction_example(fitted, group)
    assert first.attrs["run"] == "sub00"
    with pytest.raises(EmptySelectionError, match=r"(?s)no run 'sub2'.*did you mean 'sub"):
        reconstruction_example(fitted, group, "sub2")


def with_traits(n_subjects=12, site=True, confounds=False):
    """Return runs of which every other has a trait, moves more, and is of the second site."""
    rng = np.random.default_rng(3)
    runs = {}
    for number in range(n_subjects):
        kind = number % 2
        name = f"sub{number:02d}"
        run = make_run(rng, n_time=24, subject=name, age=30.0 + number // 2, trait=float(kind))
        fd = 0.1 + 0.2 * kind + 0.1 * rng.random(24)
        if site:
            run.attrs["site"] = "AB"[kind]
        if confounds:
            run["confounds"] = (("time", "confound"), fd[:, None])
            run = run.assign_coords(confound=["framewise_displacement"])
        else:
            run.attrs["mean_fd"] = float(fd.mean())
        runs[name] = run
    return rec.recording({"bold": runs})


def test_components_stand_beside_motion_and_site(fitted, monkeypatch):
    """Summaries are known: the trait moves them most, one direction each for two windows."""
    rng = np.random.default_rng(4)
    trait = np.arange(12) % 2
    cls = 3.0 * np.outer(trait, np.eye(5)[2]) + 0.1 * rng.normal(size=(12, 5))
    windows = np.concatenate([cls + 1.0, cls - 1.0])
    names = [f"sub{number:02d}" for number in range(12)]
    told = rec.results(
        {"cls": (("window", "latent"), windows)}, {"run": ("window", [*names, *names])}
    )
    monkeypatch.setattr(fitted, "transform", lambda data: told)
    found = cls_components(fitted, with_traits(), n_components=2)
    assert found["attribute"].values.tolist() == ["age", "trait", "mean_fd"]
    assert found["score"].sizes == {"run": 12, "component": 2}
    centred = cls - cls.mean(axis=0)
    np.testing.assert_allclose(
        found["explained"], (np.linalg.svd(centred)[1] ** 2 / (centred**2).sum())[:2]
    )
    of_trait = found["correlation"].sel(attribute="trait").values
    assert abs(of_trait[0]) > 0.99
    assert abs(found["correlation"].sel(attribute="mean_fd").values[0]) > 0.9
    assert abs(found["correlation"].sel(attribute="age").values[0]) < 0.3
    # what is one with motion says nothing once motion is known
    assert np.isnan(found["partial_correlation"].sel(attribute="mean_fd")).all()
    # of two sites the share between them is the squared correlation with the site's number
    np.testing.assert_allclose(found["site_share"], of_trait**2, atol=1e-6)
    assert float(found["site_share_chance"]) == pytest.approx(1 / 11)


def test_what_is_not_known_is_said(fitted, group):
    found = cls_components(fitted, group)
    assert found["attribute"].values.tolist() == ["age", "mean_fd"]
    assert found["n_runs"].values.tolist() == [8, 0]
    assert np.isnan(found["correlation"].sel(attribute="mean_fd")).all()
    assert np.isnan(found["site_share"]).all()
    moved = cls_components(fitted, with_traits(site=False, confounds=True), attributes=["age"])
    assert moved["n_runs"].values.tolist() == [12, 12]
    with pytest.raises(EmptySelectionError, match=r"(?s)no run has a number 'ages'.*'age'"):
        cls_components(fitted, group, attributes=["ages"])
    with pytest.raises(DegenerateInputError, match="too few runs for components"):
        cls_components(fitted, part(group, ["sub00", "sub01"]))


def test_partial_correlation_is_that_of_residuals(rng):
    from neurodyn.models.brainmae.interpretation import _correlation

    one, other, given = rng.normal(size=(3, 20))
    one, other = one + given, other - 2 * given
    one[3] = np.nan
    known = np.isfinite(one)
    design = np.stack([np.ones(20), given], axis=1)[known]
    left = [
        v[known] - design @ np.linalg.lstsq(design, v[known], rcond=None)[0] for v in (one, other)
    ]
    assert _correlation(one, other, given) == pytest.approx(np.corrcoef(*left)[0, 1])
    assert _correlation(one, other) == pytest.approx(np.corrcoef(one[known], other[known])[0, 1])
    assert np.isnan(_correlation(np.ones(20), other))


def test_a_fine_tuned_encoder_is_read_like_any_other(fitted, group, tmp_path):
    fitted.save(tmp_path)
    decoder = BrainMAEDecoder(pretrained=str(tmp_path), target="group", encoder_scale=0.0)
    decoder.fit(group, training=TrainingConfig(n_steps=1, progress=False))
    own, other = embedding_similarity(fitted), embedding_similarity(decoder)
    np.testing.assert_array_equal(own["similarity"], other["similarity"])
    assert other.attrs["checkpoint"] == decoder.arrays_digest_
    np.testing.assert_allclose(
        cls_components(decoder, group)["score"], cls_components(fitted, group)["score"], atol=1e-5
    )
