"""Dropout by few random bits an entry."""

import pytest
import torch

from neurodyn.models.dropout import dropout


@pytest.mark.parametrize("share", [0.002, 0.1, 0.5, 0.9, 0.99])
def test_a_share_is_dropped_and_the_mean_stays(share):
    torch.manual_seed(0)
    found = dropout(torch.ones(400_000), share)
    kept = found > 0
    n_dropped = 400_000 - int(kept.sum())
    chance = 4 * (400_000 * share * (1 - share)) ** 0.5
    assert n_dropped == pytest.approx(400_000 * share, abs=0.02 * 400_000 * share + chance)
    assert torch.unique(found[kept]).tolist() == pytest.approx([1 / (1 - share)], rel=0.02)
    assert found.double().mean() == pytest.approx(1.0, abs=chance / 400_000 / (1 - share))


def test_eight_bits_are_taken_where_they_give_the_share():
    torch.manual_seed(0)
    assert dropout(torch.ones(1000), 0.1).max() == pytest.approx(256 / (256 - 26))
    assert dropout(torch.ones(1000), 0.004).max() == pytest.approx(65536 / (65536 - 262))


def test_entries_are_dropped_independently():
    torch.manual_seed(0)
    kept = (dropout(torch.ones(200_000), 0.5) > 0).double()
    # of a word of random bits eight entries are made
    for lag in range(1, 17):
        product = (kept[lag:] - 0.5) * (kept[:-lag] - 0.5)
        assert abs(product.mean()) < 4 * 0.25 / len(product) ** 0.5


def test_nothing_is_dropped_without_a_share():
    feature = torch.randn(3, 5)
    assert dropout(feature, 0.0) is feature


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 0, 3)])
def test_any_size_keeps_shape_and_dtype(shape, dtype):
    found = dropout(torch.ones(shape, dtype=dtype), 0.25)
    assert found.shape == shape
    assert found.dtype == dtype


def test_the_gradient_is_that_of_what_was_kept():
    feature = torch.randn(7, 5).T.requires_grad_()
    found = dropout(feature, 0.3)
    (slope,) = torch.autograd.grad(found.sum(), feature)
    torch.testing.assert_close(slope * feature, found)


def test_the_same_seed_drops_the_same():
    feature = torch.ones(50)
    first, second = (dropout(feature, 0.5) for _ in map(torch.manual_seed, [1, 1]))
    assert torch.equal(first, second)


def test_members_of_a_population_drop_each_their_own():
    found = torch.vmap(lambda x: dropout(x, 0.5), randomness="different")(torch.ones(2, 64))
    assert not torch.equal(found[0], found[1])
