"""The Poisson likelihood under coordinated dropout: formulas, routes, draws, gradients, errors."""

from __future__ import annotations

import pytest
import torch

from neurodyn.errors import ConfigError
from neurodyn.kernels import philox
from neurodyn.kernels.coordinated_dropout import Draw, dropped_input
from neurodyn.kernels.dispatch import forced
from neurodyn.kernels.poisson_nll import poisson_nll
from neurodyn.models.langevinflow.objective import bits_per_spike

ROUTES = ("reference", "torch", "triton")
FAST = ("torch", "triton")
#: Odd ones, those whose elements are a multiple of 4, and one with several blocks of units.
SHAPES = [(2, 3, 5, 7), (1, 4, 6, 8), (1, 2, 3, 1), (1, 1, 7, 150)]


@pytest.fixture
def poisoned(monkeypatch):
    """Memory that is handed out holds NaN, so that what is not written shows."""
    original = torch.empty

    def empty(*size, **settings):
        made = original(*size, **settings)
        return made.fill_(torch.nan) if made.is_floating_point() else made

    monkeypatch.setattr(torch, "empty", empty)


def problem(shape, dtype=torch.float32, kind=torch.uint8):
    generator = torch.Generator().manual_seed(sum(shape))
    log_count = torch.randn(shape, generator=generator).to(dtype)
    count = torch.randint(0, 5, shape, generator=generator).to(kind)
    observed = torch.rand(shape, generator=generator) < 0.8
    held_out = torch.arange(shape[3]) % 5 == 3
    seed = torch.randint(0, 2**62, shape[:1], generator=generator)
    return log_count, count, observed, held_out, seed


def settings(shape, observed, held_out, seed):
    return {
        "observed": observed,
        "held_out": held_out,
        "seed": seed,
        "keep_prob": 0.7,
        "pass_prob": 0.25,
        "n_read_time": shape[2] - 1,
    }


def differentiated(route, log_count, count, factor, **given):
    """Return the sums, the gradient and the sums of units by one route."""
    leaf = log_count.detach().clone().requires_grad_()
    with forced(route):
        nll, statistics = poisson_nll(leaf, count, **given)
    (nll * factor).sum().backward()
    return nll.detach(), leaf.grad, torch.stack(statistics, 1)


def assert_near(found, truth, tolerance):
    for one, other in zip(found, truth):
        other = other.double()
        assert float((one.double() - other).norm()) <= tolerance * float(other.norm() + 1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("route", FAST)
def test_routes_agree_with_float64(route, shape, poisoned):
    log_count, count, observed, held_out, seed = problem(shape)
    given = settings(shape, observed, held_out, seed)
    factor = torch.linspace(0.5, 2, shape[0])
    truth = differentiated("reference", log_count.double(), count, factor, **given)
    found = differentiated(route, log_count, count, factor, **given)
    assert found[0].dtype == found[1].dtype == torch.float32
    assert_near(found, truth, 1e-6)


@pytest.mark.parametrize("route", FAST)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)])
@pytest.mark.parametrize("kind", [torch.uint16, torch.float32], ids=str)
def test_half_precision_and_wider_counts(route, dtype, tolerance, kind, poisoned):
    shape = (2, 3, 4, 5)
    log_count, count, observed, held_out, seed = problem(shape, dtype, kind)
    given = settings(shape, observed, held_out, seed)
    truth = differentiated("reference", log_count.double(), count, torch.ones(2), **given)
    found = differentiated(route, log_count, count, torch.ones(2), **given)
    assert found[1].dtype == dtype
    assert_near((found[0], found[2]), (truth[0], truth[2]), 1e-6)
    assert_near(found[1:2], truth[1:2], tolerance)


@pytest.mark.parametrize("route", FAST)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 8e-3), (torch.float16, 1e-3)])
@pytest.mark.parametrize(
    "shape", [(2, 4, 6, 5), (1, 3, 8, 150), (1, 8, 3, 1), (2, 3, 5, 7)], ids=str
)
def test_half_precision_without_sums(route, dtype, tolerance, shape, poisoned):
    log_count, count, observed, held_out, seed = problem(shape, dtype)
    plain = {"seed": seed, "keep_prob": 0.7, "held_out": held_out}
    weight = torch.linspace(1, 2, shape[3])
    for given in ({}, plain, settings(shape, observed, held_out, seed) | {"weight": weight}):
        found = []
        for way, leaf in (("reference", log_count.double()), (route, log_count.clone())):
            leaf.requires_grad_()
            with forced(way):
                nll, _ = poisson_nll(leaf, count, statistics=False, **given)
            nll.sum().backward()
            found.append((nll.detach(), leaf.grad))
        assert found[1][1].dtype == dtype
        assert_near(found[1][:1], found[0][:1], 1e-6)
        assert_near(found[1][1:], found[0][1:], tolerance)


def test_what_is_not_observed_may_be_anything(poisoned):
    log_count, count, observed, *_ = problem((2, 3, 5, 7))
    wild = torch.where(observed, log_count, torch.inf)
    expected = differentiated("triton", log_count, count, 1.0, observed=observed)
    found = differentiated("triton", wild, count, 1.0, observed=observed)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("n_members", [1, 3])
def test_the_kernel_sums_and_scales_in_few_programs(n_members, monkeypatch, poisoned):
    from neurodyn.kernels import triton_poisson_nll

    sizes = {"_SUMMED": 16, "_MULTIPLIED": 16, "_N_MULTIPLYING": 4, "_FEWEST_ELEMENTS": 8}
    for name, size in sizes.items():
        monkeypatch.setattr(triton_poisson_nll, name, size)
    log_count, count, observed, held_out, seed = problem((n_members, 5, 13, 37))
    given = settings(log_count.shape, observed, held_out, seed)
    factor = torch.linspace(0.5, 2, n_members)
    truth = differentiated("reference", log_count.double(), count, factor, **given)
    assert_near(differentiated("triton", log_count, count, factor, **given), truth, 1e-6)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("per_member", [True, False])
def test_weights_multiply(route, per_member):
    log_count, count, observed, *_ = problem((2, 3, 5, 7))
    weight = torch.tensor([0.5, 3.0]) if per_member else torch.rand(3, 5, 1)
    everywhere = weight[:, None, None, None] if per_member else weight
    element = torch.exp(log_count) - count * log_count
    expected = (element * everywhere * observed).sum((1, 2, 3))
    slope = (torch.exp(log_count) - count) * everywhere * observed
    given = {"weight": weight, "observed": observed}
    nll, gradient, _ = differentiated(route, log_count, count, torch.ones(2), **given)
    torch.testing.assert_close(nll, expected)
    torch.testing.assert_close(gradient, slope)


@pytest.mark.parametrize("route", ROUTES)
def test_everything_counts_without_dropout(route):
    log_count, count, _, held_out, seed = problem((2, 3, 5, 7))
    expected = torch.nn.functional.poisson_nll_loss(log_count, count.float(), reduction="none")
    with forced(route):
        nll, _ = poisson_nll(log_count, count, seed=seed, held_out=held_out, n_read_time=2)
    torch.testing.assert_close(nll, expected.sum((1, 2, 3)))


@pytest.mark.parametrize("route", ROUTES)
def test_draws_are_words_of_philox(route):
    shape, seed = (2, 3, 5, 7), torch.tensor([-11, 2**40 + 3])
    with forced(route):
        kept = dropped_input(torch.ones(shape), seed, 0.6).flatten(1) > 0
    for member in range(2):
        for element in (0, 1, 2, 3, 50, 104):
            counter = torch.tensor(element // 4)
            words = philox.integers(seed[member], counter, philox.FEWEST_ROUNDS)
            assert bool(kept[member, element]) == (int(words[element % 4]) < 0.6 * 2**32)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("pass_prob", [0.0, 0.4])
def test_what_is_scored_is_what_the_input_lost(route, pass_prob):
    shape = (1, 8, 10, 9)
    _, _, _, held_out, seed = problem(shape)
    ones = torch.ones(shape, dtype=torch.uint8)
    given = {"seed": seed, "keep_prob": 0.6, "pass_prob": pass_prob, "n_read_time": 8}
    # at 0 the gradient is minus the weight times (count - 1)
    zero, two = torch.zeros(shape), 2 * ones
    _, gradient, _ = differentiated(route, zero, two, 1.0, held_out=held_out, **given)
    weight = -gradient
    with forced(route):
        units = torch.nonzero(~held_out)[:, 0]
        read = dropped_input(ones, seed, 0.6, units=units, n_read_time=8)
    assert (weight[..., held_out] == 1).all()
    assert (weight[:, :, 8:] == 1).all()
    scored = weight[:, :, :8, ~held_out] > 0
    assert read.shape == scored.shape
    assert read.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert scored[read == 0].all()
    assert scored[read > 0].any() == (pass_prob > 0)
    scale = Draw(8, 0.6, pass_prob).scale
    torch.testing.assert_close(weight[:, :, :8, ~held_out][scored].unique(), torch.tensor([scale]))


def test_shares_are_those_asked_for():
    count, seed = torch.ones(1, 200, 50, 8, dtype=torch.uint8), torch.tensor([5])
    kept = dropped_input(count, seed, 0.7) > 0
    assert float(kept.float().mean()) == pytest.approx(0.7, abs=0.01)
    leaf = torch.zeros(count.shape, requires_grad=True)
    nll, _ = poisson_nll(leaf, 2 * count, seed=seed, keep_prob=0.7, pass_prob=0.2)
    nll.sum().backward()
    assert float(-leaf.grad.mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("route", FAST)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_input_agrees_with_the_reference(route, dtype, poisoned):
    for shape in SHAPES:
        _, count, observed, _, seed = problem(shape)
        given = {"observed": observed, "units": torch.arange(0, shape[3], 2), "dtype": dtype}
        given["n_read_time"] = shape[2] - 1
        with forced("reference"):
            truth = dropped_input(count, seed, 0.5, **given)
            whole = dropped_input(count, None, 1.0, **given)
        with forced(route):
            torch.testing.assert_close(dropped_input(count, seed, 0.5, **given), truth)
            torch.testing.assert_close(dropped_input(count, None, 1.0, **given), whole)


@pytest.mark.parametrize("route", ROUTES)
def test_members_may_share_counts(route):
    log_count, count, observed, held_out, seed = problem((2, 3, 5, 7))
    given = settings(log_count.shape, observed[:1, :, :, :1], held_out, seed)
    shared = differentiated(route, log_count, count[1], torch.ones(2), **given)
    doubled = count[1].expand(2, -1, -1, -1)
    repeated = differentiated(route, log_count, doubled.clone(), torch.ones(2), **given)
    expanded = differentiated(route, log_count, doubled, torch.ones(2), **given)
    for one, other, third in zip(shared, repeated, expanded):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
        torch.testing.assert_close(one, third, rtol=0, atol=0)
    with forced(route):
        inputs = dropped_input(count[1], seed, 0.5)
        torch.testing.assert_close(inputs, dropped_input(doubled.clone(), seed, 0.5))


@pytest.mark.parametrize("route", FAST)
def test_other_memory_orders(route):
    log_count, count, observed, _, _ = problem((2, 3, 5, 7))
    turned = [x.transpose(1, 3).contiguous().transpose(1, 3) for x in (log_count, count, observed)]
    straight = differentiated(route, log_count, count, 1.0, observed=observed)
    found = differentiated(route, turned[0], turned[1], 1.0, observed=turned[2])
    for one, other in zip(found, straight):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("route", ROUTES)
def test_many_models_in_one_call(route):
    log_count, count, observed, held_out, seed = problem((3, 2, 4, 5))

    def loss(x, key):
        given = settings(log_count.shape, observed[:1], held_out, key)
        return poisson_nll(x, count[0], weight=torch.tensor([2.0]), **given)[0].sum().square()

    keys = seed[:, None]
    alone = torch.cat([torch.func.grad(loss)(x[None], k) for x, k in zip(log_count, keys)])
    with forced(route):
        together = torch.func.vmap(torch.func.grad(loss))(log_count[:, None], keys)
        shared = torch.func.vmap(torch.func.grad(loss), (None, 0))(log_count[:1], keys)
        inputs = torch.func.vmap(lambda key: dropped_input(count[0], key, 0.5))(keys)
    torch.testing.assert_close(together[:, 0], alone, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(shared[0], together[0])
    torch.testing.assert_close(inputs[:, 0], dropped_input(count[0], seed, 0.5))


def test_gradient_by_finite_differences():
    shape = (2, 2, 3, 3)
    log_count, count, observed, held_out, seed = problem(shape, torch.float64)
    given = settings(shape, observed, held_out, seed)
    for route in ("reference", "torch"):
        with forced(route):
            leaf = log_count.clone().requires_grad_()
            assert torch.autograd.gradcheck(lambda x: poisson_nll(x, count, **given)[0], leaf)


@pytest.mark.parametrize("route", ROUTES)
def test_sums_give_bits_per_spike(route):
    log_count, count, observed, _, _ = problem((2, 6, 5, 7))
    with forced(route), torch.no_grad():
        _, statistics = poisson_nll(log_count, count, observed=observed)
    units = torch.tensor([1, 4])
    score = statistics.bits_per_spike(units)
    for member in range(2):
        chosen = [x[member][..., units].double() for x in (log_count.exp(), count)]
        expected = bits_per_spike(*chosen, observed[member][..., units])
        assert float(score[member]) == pytest.approx(expected, rel=1e-5)


def test_sums_are_made_on_request():
    log_count, count, *_ = problem((1, 2, 3, 4))
    for route in ROUTES:
        with forced(route):
            assert poisson_nll(log_count, count, statistics=False)[1] is None


def test_the_kernel_scales_its_gradient_once():
    log_count, count, *_ = problem((1, 2, 3, 4))
    with forced("triton"):
        nll, _ = poisson_nll(log_count.requires_grad_(), count)
    nll.sum().backward(retain_graph=True)
    with pytest.raises(ConfigError, match="differentiated already"):
        nll.sum().backward()


BAD = [
    ({"keep_prob": 0.0}, "invalid keep_prob"),
    ({"keep_prob": 0.5}, "dropping needs a seed"),
    ({"pass_prob": 1.5}, "invalid pass_prob"),
    ({"n_read_time": 4}, "invalid n_read_time"),
    ({"seed": torch.tensor([1, 2])}, "invalid seed"),
    ({"seed": torch.tensor([1.0])}, "invalid seed"),
    ({"held_out": torch.tensor([True])}, "invalid held_out"),
    ({"observed": torch.ones(2, 3, 5, dtype=torch.bool)}, "invalid observed"),
    ({"observed": torch.ones(2, 3, 4)}, "invalid observed"),
    ({"weight": torch.ones(2, 3, 5)}, "invalid weight"),
    ({"count": torch.ones(2, 3, 5)}, "log_count and count do not fit"),
    ({"count": torch.ones(3, 4)}, "invalid count"),
    ({"log_count": torch.ones(1, 2, 3, 4, dtype=torch.int64)}, "log_count must be floating"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_impossible_arguments(bad, message):
    log_count, count, *_ = problem((1, 2, 3, 4))
    given = {"log_count": log_count, "count": count} | bad
    with pytest.raises(ConfigError, match=message):
        poisson_nll(given.pop("log_count"), given.pop("count"), **given)


def test_impossible_inputs():
    count = torch.ones(2, 3, 4, dtype=torch.uint8)
    with pytest.raises(ConfigError, match="invalid units"):
        dropped_input(count, None, 1.0, units=torch.ones(4, dtype=torch.bool))
    with pytest.raises(ConfigError, match="dropping needs a seed"):
        dropped_input(count, None, 0.5)
    with forced("triton"), pytest.raises(ConfigError, match="float64"):
        poisson_nll(torch.zeros(1, 2, 3, 4, dtype=torch.float64), count)
