"""The loss, its masks, validation, and that the model learns."""

from __future__ import annotations

import math

import pytest
import torch

from neurodyn.errors import ConfigError
from neurodyn.models.brainmae.network import BrainMAENetwork
from neurodyn.models.brainmae.objective import ReconstructionObjective
from neurodyn.models.brainmae.presets import preset
from neurodyn.windows.roi_masks import draw_mask

from .simulated import VARIANTS, Windows, build, settings, windows


def means(network, batch, mask):
    """Return mean squared errors of hidden and of visible entries, by selection."""
    error = (network(**batch, mask=mask).reconstruction - batch["bold"]).square()
    chosen = mask[..., None] & batch["observed"], ~mask[..., None] & batch["observed"]
    return [error[c].mean() if c.any() else torch.zeros(()) for c in chosen]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("scheme", ["segment_roi", "tube", "network", "block_time"])
def test_loss_is_the_weighted_sum_over_observed_entries(scheme, missing):
    config = settings(masking=scheme, mask_ratio=(0.5, 0.5), masked_weight=0.6)
    networks = torch.arange(9) % 3
    network, batch = build(), windows(missing=missing)
    torch.manual_seed(4)
    terms = ReconstructionObjective(config, networks).loss(network, batch, None)
    torch.manual_seed(4)
    torch.rand(())
    mask = draw_mask(scheme, batch["observed"].any(-1), 0.5, networks)
    masked, visible = means(network, batch, mask)
    torch.testing.assert_close(terms["masked_mse"], masked)
    torch.testing.assert_close(terms["visible_mse"], visible)
    torch.testing.assert_close(terms["loss"], 0.6 * masked + 0.4 * visible)


def test_without_masking_only_the_visible_part_is_left():
    objective = ReconstructionObjective(settings(mask_ratio=(0.0, 0.0)))
    network, batch = build(), windows()
    terms = objective.loss(network, batch, None)
    assert terms["masked_mse"] == 0
    visible = (network(**batch).reconstruction - batch["bold"]).square().mean()
    torch.testing.assert_close(terms["loss"], 0.25 * visible)


def test_one_ratio_is_drawn_for_each_batch():
    objective = ReconstructionObjective(settings(mask_ratio=(0.1, 0.7)))
    batch, shares = windows(), []

    class Recorder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = build()

        def forward(self, bold, observed, time, mask):
            counts = mask.sum(-1)
            assert (counts == counts[0, 0]).all()
            shares.append(int(counts[0, 0]))
            return self.network(bold, observed, time, mask)

    recorder = Recorder()
    torch.manual_seed(0)
    for _ in range(60):
        objective.loss(recorder, batch, None)
    assert {1, 2, 3, 4, 5, 6} == set(shares)


def test_values_that_were_not_observed_do_not_change_the_loss():
    objective = ReconstructionObjective(settings())
    network, batch = build(), windows(missing=True)
    losses = []
    for value in (0.0, torch.nan):
        filled = torch.where(batch["observed"], batch["bold"], value)
        torch.manual_seed(6)
        terms = objective.loss(network, batch | {"bold": filled}, None)
        network.zero_grad()
        terms["loss"].backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
        losses.append(terms["loss"])
    assert losses[0] == losses[1]


def test_masking_by_network_needs_networks():
    objective = ReconstructionObjective(settings(masking="network"))
    with pytest.raises(ConfigError, match="needs the network of every region"):
        objective.loss(build(), windows(), None)


def test_validation_repeats_itself_and_draws_nothing_from_training():
    objective = ReconstructionObjective(settings(validation_ratio=0.3))
    network, source = build().eval(), Windows(windows(n_batch=70, missing=True))
    before = torch.get_rng_state()
    first, again = (objective.validate(network, source) for _ in range(2))
    assert first == again
    assert torch.equal(before, torch.get_rng_state())
    assert set(first) == {"masked_r2", "visible_r2", "loss"}


def test_explained_share_is_about_zero():
    """A network that predicts nothing explains nothing; one that halves everything, 3/4."""
    batch = windows(n_batch=3, missing=True)
    objective = ReconstructionObjective(settings(masked_weight=0.75))

    class Scaled(torch.nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = torch.nn.Parameter(torch.tensor(factor))

        def forward(self, bold, observed, time, mask):
            return build()(bold, observed, time, mask)._replace(reconstruction=bold * self.factor)

    source = Windows(batch)
    nothing = objective.validate(Scaled(0.0), source)
    half = objective.validate(Scaled(0.5), source)
    assert nothing["masked_r2"] == nothing["visible_r2"] == 0
    assert half["masked_r2"] == pytest.approx(0.75)
    assert half["visible_r2"] == pytest.approx(0.75)
    assert half["loss"] == pytest.approx(nothing["loss"] / 4)


def test_nothing_observed_has_no_explained_share():
    batch = windows()
    batch["observed"] = torch.zeros_like(batch["observed"])
    scores = ReconstructionObjective(settings()).validate(build(), Windows(batch))
    assert math.isnan(scores["masked_r2"])
    assert scores["loss"] == 0


def structured(n_rois=24, n_segments=4, n_frames=8):
    """Return 8 windows of smooth signals that networks of regions share, sd about 1."""
    generator = torch.Generator().manual_seed(0)
    n_time = n_segments * n_frames
    frequency = torch.rand(8, 5, 1, generator=generator) * 0.5 + 0.1
    phase = 6.3 * torch.rand(8, 5, 1, generator=generator)
    source = torch.sin(frequency * torch.arange(n_time) + phase)
    mixing = torch.eye(5)[torch.arange(n_rois) % 5] + 0.3 * torch.randn(
        n_rois, 5, generator=generator
    )
    bold = mixing @ source + 0.2 * torch.randn(8, n_rois, n_time, generator=generator)
    bold = (bold - bold.mean(-1, keepdim=True)) / bold.std(-1, keepdim=True)
    bold = bold.view(8, n_rois, n_segments, n_frames).transpose(1, 2)
    time = 16.0 * torch.arange(n_segments).expand(8, n_segments)
    return {"bold": bold, "observed": torch.ones_like(bold, dtype=torch.bool), "time": time}


@pytest.mark.parametrize("variant", ["sg", "ag"])
def test_eight_windows_are_learned_in_160_steps(variant):
    torch.manual_seed(0)
    batch = structured()
    config = preset("tiny", segment_duration=16.0, repetition_time=2.0, variant=variant)
    network = BrainMAENetwork(config, 24, config.n_frames)
    objective = ReconstructionObjective(config)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    before = objective.validate(network, Windows(batch))["loss"]
    for _ in range(160):
        optimizer.zero_grad()
        objective.loss(network, batch, None)["loss"].backward()
        optimizer.step()
    after = objective.validate(network.eval(), Windows(batch))
    assert 0.8 < before < 1.6
    assert after["loss"] < 0.5
    assert after["masked_r2"] > 0.5


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("pooling", ["flatten", "query"])
def test_censored_runs_with_missing_rois_train(variant, pooling):
    generator = torch.Generator().manual_seed(0)
    batch = windows(n_batch=6, n_segments=8, n_rois=40)
    frames = torch.rand(6, 8, 1, 5, generator=generator) > 0.3
    rois = torch.rand(6, 1, 40, 1, generator=generator) > 0.05
    batch["observed"] = frames & rois
    batch["bold"] = torch.where(batch["observed"], batch["bold"], torch.nan)
    network = build(n_rois=40, variant=variant, pooling=pooling)
    objective = ReconstructionObjective(network.config)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    for _ in range(3):
        optimizer.zero_grad()
        loss = objective.loss(network, batch, None)["loss"]
        loss.backward()
        optimizer.step()
    assert loss.isfinite()
    assert all(p.isfinite().all() for p in network.parameters())
    scores = objective.validate(network, Windows(batch))
    assert all(math.isfinite(score) for score in scores.values())
