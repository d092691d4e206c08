"""What hiding regions costs, where it is known which regions tell which."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurodyn import recording as rec
from neurodyn.errors import ConfigError, DataError
from neurodyn.models import BrainMAE
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.examples import run_examples
from neurodyn.models.brainmae.finetune import BrainMAEDecoder
from neurodyn.models.brainmae.occlusion import decoding_occlusion, hidden_regions, occlusion
from neurodyn.models.brainmae.probe import probe
from neurodyn.training import TrainingConfig

from .runs import NETWORKS, TINY, make_group

TRAINING = TrainingConfig(n_steps=250, batch_size=8, learning_rate=1e-2, progress=False)
QUICK = TrainingConfig(n_steps=60, batch_size=16, learning_rate=3e-3, progress=False)


@pytest.fixture(scope="module")
def group():
    return make_group(np.random.default_rng(0))


@pytest.fixture(scope="module")
def pretrained(group, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    return BrainMAE(**TINY).fit(group, training=TRAINING, folder=folder), folder


def test_hiding_is_what_a_mask_does(pretrained, group):
    model, _ = pretrained
    member = np.arange(9) == 4
    bold = torch.randn(3, 4, 9, 6)
    rest = torch.ones_like(bold, dtype=torch.bool), torch.arange(4.0).expand(3, 4)
    mask = torch.zeros(3, 4, 9, dtype=torch.bool)
    mask[..., 4] = True
    with torch.no_grad():
        expected = model.network_.encode(bold, *rest, mask)[1]
        whole = model.network_.encode(bold, *rest)[1]
        with hidden_regions(model.network_, member):
            hidden = model.network_.encode(bold, *rest)[1]
            bold[:, :, 4] = 100.0
            assert torch.equal(model.network_.encode(bold, *rest)[1], hidden)
        bold[:, :, 4] = 0.0
        assert not torch.equal(whole, hidden)
        assert torch.equal(hidden, expected)
        # nothing stays hidden, not after an error either
        with pytest.raises(RuntimeError), hidden_regions(model.network_, member):
            raise RuntimeError
        assert not torch.equal(model.network_.encode(bold, *rest)[1], hidden)


def test_regions_tell_those_of_their_network(pretrained):
    model, _ = pretrained
    fresh = make_group(np.random.default_rng(1), n_subjects=4)
    # uncoupled people only: networks are independent
    runs = {name: fresh["bold"][name].to_dataset() for name in ("sub00", "sub02")}
    found = occlusion(model, rec.recording({"bold": runs}), n_windows=6)
    assert found["r2_loss"].dims == ("roi", "roi_to")
    assert found.attrs["n_windows"] == 6
    loss = found["r2_loss"].values
    assert np.isnan(np.diag(loss)).all()
    code = np.arange(9) % 3
    own = (code[:, None] == code) & ~np.eye(9, dtype=bool)
    other = code[:, None] != code
    assert np.nanmean(loss[own]) > np.nanmean(loss[other]) + 0.02
    assert (found["cls_change"] > 0).all()
    assert np.isfinite(found["mean_r2_loss"]).all()
    assert found["network"].dims == ("roi",)


def test_networks_at_once(pretrained, group):
    model, _ = pretrained
    found = occlusion(model, group, by="network", n_windows=None)
    assert found["network"].values.tolist() == sorted(NETWORKS)
    assert found["r2_loss"].sizes == {"network": 3, "roi_to": 9}
    for name in NETWORKS:
        members = [f"roi{k}" for k in range(9) if NETWORKS[k % 3] == name]
        assert found["r2_loss"].sel(network=name, roi_to=members).isnull().all()
    alone = occlusion(model, group, n_windows=None)["cls_change"]
    assert float(found["cls_change"].min()) > float(alone.mean())
    again = occlusion(model, group, by="network", n_windows=None)
    np.testing.assert_array_equal(found["r2_loss"], again["r2_loss"])


def test_what_a_decoder_needs(pretrained, group):
    """Groups differ in whether two of the networks are coupled; the third says nothing."""
    folder = pretrained[1]
    decoder = BrainMAEDecoder(pretrained=str(folder), target="group").fit(group, training=QUICK)
    found = decoding_occlusion(decoder, group)
    assert found["confidence_loss"].sizes == {"network": 3, "example": 8}
    assert found["label"].values[:2].tolist() == ["control", "patient"]
    by_hand = decoder.predict(group)["probability"]
    with hidden_regions(decoder.network_.encoder, np.arange(9) % 3 == 2):
        hidden = decoder.predict(group)["probability"]
    expected = (by_hand - hidden).isel({"class": 1}).values[1::2]
    np.testing.assert_allclose(
        found["confidence_loss"].sel(network="default").values[1::2], expected, atol=1e-6
    )


def test_what_a_read_out_needs(pretrained, group):
    model, _ = pretrained
    examples = run_examples(group, model.context_, model.config, "age")
    found = decoding_occlusion(probe(model, examples, "regression"), examples, by="roi")
    assert found["prediction_change"].sizes == {"roi": 9, "example": 8}
    assert found["x"].dims == ("roi",)
    assert float(abs(found["prediction_change"]).max()) > 0


def test_what_cannot_be_hidden_is_refused(pretrained, group):
    model, _ = pretrained
    scratch = BrainMAEDecoder(network=BrainMAEConfig(**TINY), target="group")
    scratch.fit(group, training=TrainingConfig(n_steps=1, progress=False))
    with pytest.raises(ConfigError, match=r"(?s)mask token.*from scratch.*pretrained=FOLDER"):
        decoding_occlusion(scratch, group)
    with pytest.raises(ConfigError, match=r"(?s)invalid value for by.*'lobe'"):
        occlusion(model, group, by="lobe")
    bare = {name: node.to_dataset().drop_vars("network") for name, node in group["bold"].items()}
    plain = BrainMAE(**TINY).fit(
        rec.recording({"bold": bare}), training=TrainingConfig(n_steps=1, progress=False)
    )
    with pytest.raises(DataError, match=r"(?s)networks of regions are not known.*by='roi'"):
        occlusion(plain, group, by="network")
