"""The ELBO, coordinated dropout, validation, and what can never be read."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.kernels.poisson_nll import poisson_nll as summed_nll
from neurodyn.models.langevinflow.config import LangevinFlowConfig
from neurodyn.models.langevinflow.network import build_network
from neurodyn.models.langevinflow.objective import (
    LangevinObjective,
    bits_per_spike,
    poisson_nll,
)

HELD_OUT = [False, True, False, False, True]


class Fraction:
    def __init__(self, fraction):
        self.fraction = fraction


class Trials:
    """A source that refuses to give anything twice the same batch would not notice."""

    def __init__(self, count, observed=None):
        self.count = count
        self.observed = torch.ones_like(count, dtype=torch.bool) if observed is None else observed

    def __len__(self):
        return len(self.count)

    def gather(self, index):
        chosen = torch.as_tensor(index)
        return {
            "count": self.count[chosen],
            "observed": self.observed[chosen],
            "index": chosen,
        }


def settings(**changes):
    return LangevinFlowConfig(
        **{"n_groups": 2, "n_sites": 3, "encoder_size": 6, "dropout": 0.0, **changes}
    )


@pytest.fixture
def count():
    generator = torch.Generator().manual_seed(0)
    return torch.poisson(torch.full((4, 9, 5), 0.8), generator=generator)


def build(config, n_forward=2):
    torch.manual_seed(0)
    objective = LangevinObjective(config, HELD_OUT, n_forward)
    return objective, build_network(config, objective.n_inputs, 5)


def batch(count, observed=None):
    return Trials(count, observed).gather(np.arange(len(count)))


def test_loss_is_the_negative_elbo(count):
    config = settings(keep_prob=1.0, beta=0.7, beta_warmup=0.0)
    objective, network = build(config)
    torch.manual_seed(1)
    terms = objective.loss(network, batch(count), Fraction(0.0))
    torch.manual_seed(1)
    held_in = [0, 2, 3]
    log_count, _ = network(count[:, :7, held_in], 2)
    posterior = network.encode(count[:, :7, held_in], 2)
    normal = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(
        normal(posterior.mean, torch.exp(posterior.log_variance / 2)), normal(0.0, 1.0)
    )
    likelihood = torch.distributions.Poisson(torch.exp(log_count)).log_prob(count)
    constant = torch.lgamma(count + 1)
    elbo = (likelihood + constant).sum((1, 2)) - 0.7 * divergence.sum((1, 2))
    torch.testing.assert_close(terms["loss"], -elbo.mean() / 45)
    torch.testing.assert_close(terms["divergence"], divergence.sum((1, 2)).mean())


def test_beta_warms_up(count):
    objective, network = build(settings(keep_prob=1.0, beta=1.0, beta_warmup=0.5))
    losses = []
    for fraction in (0.0, 0.25, 0.5, 1.0):
        torch.manual_seed(1)
        terms = objective.loss(network, batch(count), Fraction(fraction))
        losses.append(float((terms["loss"].detach() * 45 - terms["nll"]) / terms["divergence"]))
    assert losses == pytest.approx([0.0, 0.5, 1.0, 1.0], abs=1e-4)


@pytest.mark.parametrize("mode", ["elbo", "ccn2025"])
def test_targets_are_never_read(mode, count):
    potential = "ring_psd" if mode == "elbo" else "ccn2025"
    config = settings(mode=mode, potential=potential, encoder_size=8)
    objective, network = build(config)
    observed = torch.ones_like(count, dtype=torch.bool)
    changed = count.clone()
    changed[:, :, [1, 4]] += 3
    changed[:, 7:] = math.nan
    before, after = objective.inputs(count, observed), objective.inputs(changed, observed)
    assert torch.equal(before, after)
    assert before.shape == (4, 7, 3)
    rates = [network.eval().predict(read, 2, 0) for read in (before, after)]
    assert torch.equal(*rates)


def test_coordinated_dropout_scores_only_what_was_not_read(count):
    """The gradient of the loss by an input that was kept must not come from its own target."""
    objective, _ = build(settings(keep_prob=0.4))
    torch.manual_seed(2)
    observed = torch.ones_like(count, dtype=torch.bool)
    read, weight = objective._dropped(count + 1, observed)
    held_in = weight[:, :7][:, :, [0, 2, 3]]
    assert torch.all((read > 0) != (held_in > 0))
    assert torch.all(weight[:, :, [1, 4]] == 1)
    assert torch.all(weight[:, 7:] == 1)
    kept = read > 0
    torch.testing.assert_close(read[kept], ((count + 1)[:, :7][:, :, [0, 2, 3]] / 0.4)[kept])


def test_dropout_weights_keep_the_likelihood_unbiased():
    objective, _ = build(settings(keep_prob=0.4, pass_prob=0.3))
    count = torch.ones(200, 9, 5)
    _, weight = objective._dropped(count, torch.ones_like(count, dtype=torch.bool))
    assert float(weight.mean()) == pytest.approx(1.0, abs=0.02)


def test_unobserved_counts_change_nothing(count):
    observed = torch.ones_like(count, dtype=torch.bool)
    observed[1, 3:] = False
    observed[:, :, 2] = False
    other = torch.where(observed, count, 77.0)
    for mode in ("elbo", "ccn2025"):
        config = settings(
            mode=mode,
            potential="ccn2025" if mode == "ccn2025" else "ring_psd",
            encoder_size=8,
            n_samples=2,
        )
        objective, network = build(config)
        seen = []
        for tensor in (count, other):
            torch.manual_seed(1)
            terms = objective.loss(network.train(), batch(tensor, observed), Fraction(0.5))
            scores = objective.validate(network.eval(), Trials(tensor, observed))
            seen.append((float(terms["loss"].detach()), scores))
        assert seen[0] == seen[1]


def test_validation_scores_equal_their_definition(count):
    objective, network = build(settings(n_samples=0))
    scores = objective.validate(network.eval(), Trials(count))
    rate = network.predict(count[:, :7, [0, 2, 3]], 2)
    assert scores["nll"] == pytest.approx(float(poisson_nll(rate, count).mean()), rel=1e-6)
    y, r = (tensor[:, :7][:, :, [1, 4]].double() for tensor in (count, rate))
    null = y.mean((0, 1), keepdim=True)
    gain = (null - y * torch.log(null)).expand_as(y).sum() - (r - y * torch.log(r)).sum()
    assert scores["co_bps"] == pytest.approx(float(gain / y.sum()) / math.log(2), rel=1e-5)
    assert set(scores) == {"nll", "co_bps", "fp_bps"}
    assert objective.validate(network, Trials(count)) == scores


def test_validation_without_held_out_units_or_forward_bins(count):
    config = settings()
    objective = LangevinObjective(config, [False] * 5)
    network = build_network(config, 5, 5).eval()
    assert set(objective.validate(network, Trials(count))) == {"nll"}


def test_published_validation_thins_its_targets(count):
    config = settings(mode="ccn2025", potential="ccn2025", encoder_size=8, n_samples=1)
    objective, network = build(config)
    assert objective.validate(network.eval(), Trials(count))["nll"] != pytest.approx(
        float(poisson_nll(network.predict(count[:, :7, [0, 2, 3]], 2, 0), count).mean())
    )


def test_published_weight_decay_ramps(count):
    config = settings(
        mode="ccn2025", potential="ccn2025", encoder_size=8, weight_decay=1.0, beta=0.0
    )
    objective, network = build(config)
    losses = []
    for fraction in (0.0, 0.125, 0.25):
        torch.manual_seed(0)
        losses.append(objective.loss(network, batch(count), Fraction(fraction))["loss"])
    squares = sum(p.square().sum() for p in network.parameters())
    torch.testing.assert_close(losses[1] - losses[0], 0.25 * squares)
    torch.testing.assert_close(losses[2] - losses[0], 0.5 * squares)


def test_bits_per_spike_of_nothing_is_not_a_number():
    nothing = torch.zeros(2, 3, 1)
    assert math.isnan(bits_per_spike(nothing + 1, nothing, nothing == 0))


def test_refusals(count):
    with pytest.raises(EmptySelectionError, match="every unit is held out"):
        LangevinObjective(settings(), [True, True])
    objective, _ = build(settings())
    with pytest.raises(ConfigError, match="not a LangevinFlow network"):
        objective.validate(torch.nn.Linear(2, 2), Trials(count))


@pytest.mark.parametrize("pass_prob", [0.0, 0.5])
@pytest.mark.parametrize("seen", ["all", "some"])
def test_a_seed_draws_one_mask_for_input_and_likelihood(count, pass_prob, seen):
    objective, _ = build(settings(keep_prob=0.4, pass_prob=pass_prob))
    count = count + 1
    observed = torch.ones_like(count, dtype=torch.bool)
    if seen == "some":
        observed[0, 2:4] = observed[1, :, 0] = False
    log_count = torch.randn_like(count, requires_grad=True)
    read, told = objective._seeded(count, observed)
    nll, _ = summed_nll(log_count[None], count, statistics=False, **told)
    gradient = torch.autograd.grad(nll.sum(), log_count)[0] * count.numel()
    weight = gradient / (torch.exp(log_count) - count)
    _, other = objective._dropped(count, observed)
    n_time, held_in = count.shape[1] - 2, ~objective.held_out
    inside = weight[:, :n_time, held_in]
    kept = read > 0
    torch.testing.assert_close(read[kept], (count / 0.4)[:, :n_time, held_in][kept])
    if pass_prob == 0:
        assert (inside[kept] == 0).all()
    # the same weights as of masks that torch draws, at other places
    near = {round(float(x), 3) for x in weight.detach().flatten()}
    assert near == {round(float(x), 3) for x in other.flatten()}
    outside = torch.ones_like(weight, dtype=torch.bool)
    outside[:, :n_time, held_in] = False
    torch.testing.assert_close(weight[outside], observed[outside].to(weight))
