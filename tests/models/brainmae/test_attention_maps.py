"""Attention between regions and over time, against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurodyn import recording as rec
from neurodyn.errors import ConfigError
from neurodyn.models import BrainMAE
from neurodyn.models.brainmae.attention_maps import cls_attention, static_attention
from neurodyn.training import TrainingConfig

from .runs import TINY, make_group, make_run

ONE_STEP = TrainingConfig(n_steps=1, progress=False)


@pytest.fixture(scope="module")
def group():
    return make_group(np.random.default_rng(0), n_subjects=2)


@pytest.fixture(scope="module")
def model(group):
    return BrainMAE(**TINY).fit(group, training=ONE_STEP)


def with_attention(model, weights, monkeypatch):
    """Return the summary of attention that is told."""
    told = torch.as_tensor(weights, dtype=torch.float32)
    monkeypatch.setattr(model.network_, "static_attention", lambda: told)
    return static_attention(model, n_distances=3)


def test_attention_to_all_alike(model, monkeypatch):
    uniform = (1 - np.eye(9))[None, None] / 8
    found = with_attention(model, uniform, monkeypatch)
    # two others of three regions in a network, of eight others
    assert float(found["own_network_chance"]) == pytest.approx(0.25)
    np.testing.assert_allclose(found["own_network_mass"], 0.25)
    np.testing.assert_allclose(found["asymmetry"], 0.0, atol=1e-7)
    np.testing.assert_allclose(found["distance_profile"], 1.0, rtol=1e-6)
    assert (np.diff(found["distance"]) > 0).all()


def test_attention_to_the_own_network(model, monkeypatch):
    code = np.arange(9) % 3
    own = (code[:, None] == code) * (1 - np.eye(9)) / 2
    found = with_attention(model, own[None, None], monkeypatch)
    np.testing.assert_allclose(found["own_network_mass"], 1.0)
    np.testing.assert_allclose(found["asymmetry"], 0.0, atol=1e-7)
    # with itself in it, the rest is what counts
    itself = 0.5 * own + 0.5 * np.eye(9)
    np.testing.assert_allclose(
        with_attention(model, itself[None, None], monkeypatch)["own_network_mass"], 1.0
    )
    # attention in a ring is never returned
    ring = np.roll(np.eye(9), 1, axis=1)
    found = with_attention(model, ring[None, None], monkeypatch)
    np.testing.assert_allclose(found["asymmetry"], 1.0)
    np.testing.assert_allclose(found["own_network_mass"], 0.0)
    assert float(found["distance_profile"].isel(distance=0)[0, 0]) > 1


def test_labels_of_static_attention(model):
    found = static_attention(model)
    assert found["attention"].dims == ("block", "head", "roi", "roi_to")
    assert found["attention"].shape == (2, 2, 9, 9)
    np.testing.assert_allclose(found["attention"].sum("roi_to"), 1.0, rtol=1e-5)
    assert found["block"].values.tolist() == [1, 2]


def test_without_networks_or_places_only_attention_is_told(group):
    bare = {
        name: node.to_dataset().drop_vars(["network", "x", "y", "z"])
        for name, node in group["bold"].items()
    }
    model = BrainMAE(**TINY).fit(rec.recording({"bold": bare}), training=ONE_STEP)
    assert set(static_attention(model)) == {"attention", "asymmetry"}
    adaptive = BrainMAE(**TINY, variant="vanilla").fit(group, training=ONE_STEP)
    with pytest.raises(ConfigError, match=r"(?s)no static attention.*vanilla"):
        static_attention(adaptive)


def test_attention_to_segments_stands_on_the_clock_of_the_run(model, group):
    found = cls_attention(model, group)
    # 120 frames of 2 s, windows of 48 s in segments of 12 s
    assert found["cls_attention"].dims == ("window", "layer", "head", "segment")
    assert found["segment_time"].values[:2].tolist() == [[0, 12, 24, 36], [48, 60, 72, 84]]
    assert found["run"].values[0] == "sub00"
    total = found["cls_attention"].sum("segment")
    assert (total < 1).all()
    assert (total > 0).all()
    assert found.attrs["segment_duration"] == 12.0


def test_a_segment_without_data_is_not_attended_to(model):
    run = make_run(np.random.default_rng(0))
    run["bold"][6:12] = np.nan
    found = cls_attention(model, run)["cls_attention"].isel(window=0)
    assert found.isel(segment=1).isnull().all()
    assert np.isfinite(found.isel(segment=[0, 2, 3])).all()
