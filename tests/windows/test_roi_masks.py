"""Masks over regions and segments: exact counts, and never where data are missing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import ConfigError
from neurodyn.windows.roi_masks import SCHEMES, draw_mask, draw_ratio

NETWORKS = torch.tensor([0, 0, 0, 2, 2, 5, 5, 5, 5, -1, 7, 7])
N_ROIS = len(NETWORKS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def observed(n_batch=3, n_segments=6, missing=0.0, seed=1):
    shape = (n_batch, n_segments, N_ROIS)
    return torch.rand(shape, generator=seeded(seed)) >= missing


def rounded(ratio, counts):
    return torch.round(ratio * counts).long()


@given(
    scheme=st.sampled_from(SCHEMES),
    ratio=st.floats(0, 1),
    missing=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_what_is_missing_is_never_masked(scheme, ratio, missing, seed):
    present = observed(missing=missing, seed=seed)
    mask = draw_mask(scheme, present, ratio, NETWORKS, seeded(seed))
    assert mask.shape == present.shape
    assert mask.dtype == torch.bool
    assert not (mask & ~present).any()


@given(ratio=st.floats(0, 1), missing=st.floats(0, 1), seed=st.integers(0, 1000))
@settings(max_examples=80, deadline=None)
def test_every_segment_has_its_exact_count(ratio, missing, seed):
    present = observed(missing=missing, seed=seed)
    mask = draw_mask("segment_roi", present, ratio, generator=seeded(seed))
    assert torch.equal(mask.sum(-1), rounded(ratio, present.sum(-1)))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.8, 1.0])
def test_a_tube_holds_the_same_regions_in_all_segments(ratio):
    present = observed(missing=0.3)
    present[0, :, 4] = False
    mask = draw_mask("tube", present, ratio, generator=seeded())
    tube = mask.any(1)
    assert torch.equal(mask, tube[:, None] & present)
    assert torch.equal(tube.sum(-1), rounded(ratio, present.any(1).sum(-1)))


@pytest.mark.parametrize(("ratio", "n_networks"), [(0.0, 0), (0.25, 1), (0.5, 2), (1.0, 4)])
def test_networks_are_masked_as_a_whole(ratio, n_networks):
    mask = draw_mask("network", observed(), ratio, NETWORKS, seeded())
    assert (mask == mask[:, :1]).all()
    for one in mask[:, 0]:
        drawn = set(NETWORKS[one].tolist())
        assert len(drawn) == n_networks
        assert torch.equal(one, torch.isin(NETWORKS, torch.tensor(sorted(drawn), dtype=torch.long)))
    assert not mask[..., 9].any()


def test_networks_without_data_do_not_count():
    present = observed()
    present[..., NETWORKS == 5] = False
    present[..., NETWORKS == 7] = False
    mask = draw_mask("network", present, 0.5, NETWORKS, seeded())
    assert all(len(set(NETWORKS[one].tolist())) == 1 for one in mask[:, 0])


@pytest.mark.parametrize(("ratio", "length"), [(0.0, 0), (0.3, 2), (0.5, 3), (1.0, 5)])
def test_a_block_of_time_is_consecutive_and_leaves_a_segment(ratio, length):
    present = observed(n_batch=40, missing=0.2)
    mask = draw_mask("block_time", present, ratio, generator=seeded())
    block = mask.any(-1)
    assert torch.equal(mask, block[..., None] & present)
    assert (block.sum(-1) == length).all()
    edges = torch.diff(block.int(), dim=1, prepend=torch.zeros(40, 1)).eq(1).sum(1)
    assert (edges == (length > 0)).all()
    if length:
        assert block.any(0).all()


def test_all_regions_are_drawn_equally_often():
    present = torch.ones(4000, 1, N_ROIS, dtype=torch.bool)
    share = draw_mask("segment_roi", present, 0.5, generator=seeded()).float().mean((0, 1))
    assert (share - 0.5).abs().max() < 4 * 0.5 / 4000**0.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_same_generator_state_same_mask(scheme):
    present = observed(n_batch=8)
    first, again, other = (
        draw_mask(scheme, present, 0.5, NETWORKS, seeded(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_ratios_fill_their_range():
    ratios = torch.tensor([draw_ratio(0.2, 0.6, g) for g in [seeded()] for _ in range(500)])
    assert ratios.min() >= 0.2
    assert ratios.max() <= 0.6
    assert abs(ratios.mean() - 0.4) < 0.03
    assert draw_ratio(0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("random", 0.5), "did you mean|known: "),
        (("tube", 1.2), "invalid masking ratio"),
        (("network", 0.5), "needs the network of every region"),
        (("network", 0.5, NETWORKS[:5]), rf"integers of shape \({N_ROIS},\)"),
    ],
)
def test_arguments_are_checked(arguments, message):
    scheme, *rest = arguments
    with pytest.raises(ConfigError, match=message):
        draw_mask(scheme, observed(), *rest)


@pytest.mark.parametrize("bounds", [(0.5, 0.2), (-0.1, 0.5), (0.2, 1.1)])
def test_ranges_are_checked(bounds):
    with pytest.raises(ConfigError, match="range of the masking ratio"):
        draw_ratio(*bounds)
