"""The Langevin scan: against the model's own integrators, autograd, and between its routes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import ConfigError
from neurodyn.kernels.dispatch import forced, recorded
from neurodyn.kernels.langevin_scan import Physics, langevin_scan
from neurodyn.models.langevinflow.config import LangevinFlowConfig
from neurodyn.models.langevinflow.network import build_network

CASES = {
    "harmonic": {},
    "rotating": {"rotates": True},
    "quartic": {"has_quartic": True},
    "rotating quartic": {"rotates": True, "has_quartic": True},
    "mean path": {"has_noise": False},
    "euler": {"scheme": "euler"},
    "euler quartic": {"scheme": "euler", "has_quartic": True},
    "no transition": {"shape": (1, 3, 2, 5), "rotates": True, "has_quartic": True},
    "one of each": {"shape": (1, 1, 3, 1), "rotates": True, "has_quartic": True},
    "two tiles": {"shape": (2, 19, 4, 20), "rotates": True},
    "many latents": {"shape": (1, 3, 3, 70), "has_quartic": True},
    "one member": {"shape": (1, 4, 6, 16), "has_quartic": True},
}


def make(
    shape=(2, 5, 7, 6), *, rotates=False, has_quartic=False, has_noise=True, scheme="baoab", seed=0
):
    """Draw a problem in float64; tensors that take gradients, and the other arguments."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    n_population, _, _, latent = shape
    square = (n_population, latent, latent)
    skew = 0.3 * normal(*square)
    numbers = 0.3 + 0.5 * torch.rand(6, n_population, generator=generator, dtype=torch.float64)
    tensors = {
        "mean": normal(*shape),
        "log_variance": 0.5 * normal(*shape),
        "stiffness": 0.1 * normal(*square) + torch.eye(latent, dtype=torch.float64),
        "physics": numbers[:5],
    }
    if rotates:
        tensors["rotation"] = torch.linalg.matrix_exp(skew - skew.mT)
    if has_quartic:
        tensors["quartic"] = 0.3 * numbers[5]
    others = {"scheme": scheme, "noise": normal(*shape) if has_noise else None}
    return tensors, others


def call(tensors, others, route):
    named = {name: tensor for name, tensor in tensors.items() if name != "physics"}
    with forced(route):
        return langevin_scan(**named, physics=Physics(*tensors["physics"]), **others)


def both_passes(tensors, others, route):
    """Return results and gradients by everything, given random gradients by the results."""
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in tensors.items()}
    results = call(leaves, others, route)
    generator = torch.Generator().manual_seed(1)
    arriving = [torch.randn(r.shape, generator=generator, dtype=torch.float64) for r in results]
    arriving = [a.to(r.dtype) for a, r in zip(arriving, results, strict=True)]
    found = torch.autograd.grad(results, list(leaves.values()), arriving, materialize_grads=True)
    named = dict(zip(("position", "velocity", "divergence"), results, strict=True))
    return named | {f"d_{name}": value for name, value in zip(leaves, found, strict=True)}


def converted(tensors, others, dtype):
    others = {k: v.to(dtype) if isinstance(v, torch.Tensor) else v for k, v in others.items()}
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}, others


def assert_close(found, truth, tolerance):
    for name, expected in truth.items():
        error = (found[name].double() - expected.double()).abs().max()
        assert error <= tolerance * (1 + expected.abs().max()), (name, float(error))


@pytest.fixture
def poisoned(monkeypatch):
    """Fill memory that has not been written with NaN."""
    plain = torch.empty

    def empty(*args, **kwargs):
        return plain(*args, **kwargs).fill_(float("nan"))

    monkeypatch.setattr(torch, "empty", empty)


@pytest.mark.parametrize(
    "options",
    [
        {"anharmonic": True, "skew": True},
        {"mode": "ccn2025", "potential": "ccn2025", "encoder_size": 8},
    ],
    ids=["baoab", "euler"],
)
def test_reference_is_what_the_models_integrators_do(options):
    torch.manual_seed(0)
    config = LangevinFlowConfig(n_groups=2, n_sites=4, **options)
    network = build_network(config, n_inputs=3, n_outputs=3).double()
    integrator, potential = network.integrator, network.potential
    draw = torch.randn(5, 7, 8, dtype=torch.float64)
    expected = integrator(draw[:, 0], draw[:, 1], draw[:, 2:], potential.bind())
    one, others = torch.ones(1, dtype=torch.float64), {"scheme": "euler"}
    keep, stiffness = 1 - getattr(integrator, "loss", 0), -potential.force(torch.eye(8).double())
    if config.mode == "elbo":
        keep, stiffness = integrator.persistence, potential.stiffness()
        others = {"rotation": torch.block_diag(*integrator.rotation())[None]}
        others["quartic"] = potential.quartic()[None]
    numbers = Physics(one, one, one * integrator.kick_size, one * integrator.step, one * keep)
    mean = draw[None]
    with forced("reference"):
        position, velocity, _ = langevin_scan(mean, mean, stiffness[None], numbers, **others)
    torch.testing.assert_close(position[0], expected[0])
    torch.testing.assert_close(velocity[0], expected[1])


def test_divergence_is_that_of_normal_distributions():
    tensors, others = make()
    normal = torch.distributions.Normal
    posterior = normal(tensors["mean"], torch.exp(tensors["log_variance"] / 2))
    expected = torch.distributions.kl_divergence(posterior, normal(0.0, 1.0)).sum((2, 3))
    torch.testing.assert_close(call(tensors, others, "torch")[2], expected)


@pytest.mark.parametrize("route", ["reference", "torch"])
def test_motion_without_friction_is_reversible(route):
    tensors, others = make((1, 3, 9, 4), has_quartic=True, has_noise=False)
    still = torch.zeros_like(tensors["mean"])
    one = torch.ones(1, dtype=torch.float64)
    tensors["physics"] = torch.stack([one, one, 0 * one, 0.4 * one, one])
    tensors["mean"] = torch.cat([tensors["mean"][:, :, :2], still[:, :, 2:]], 2)
    position, velocity, _ = call(tensors, others, route)
    back = torch.stack([position[:, :, -1], -velocity[:, :, -1]], 2)
    tensors["mean"] = torch.cat([back, still[:, :, 2:]], 2)
    returned, reversed_velocity, _ = call(tensors, others, route)
    torch.testing.assert_close(returned.flip(2), position)
    torch.testing.assert_close(-reversed_velocity.flip(2), velocity)


@pytest.mark.parametrize("case", ["rotating quartic", "euler quartic"])
def test_gradients_are_those_of_finite_differences(case):
    tensors, others = make(**(CASES[case] | {"shape": (2, 2, 5, 3)}))
    leaves = [tensor.requires_grad_() for tensor in tensors.values()]

    def function(*values):
        return call(dict(zip(tensors, values, strict=True)), others, "torch")

    assert torch.autograd.gradcheck(function, leaves)


@pytest.mark.parametrize("case", CASES)
def test_torch_equals_reference(case, poisoned):
    tensors, others = make(**CASES[case])
    truth = both_passes(tensors, others, "reference")
    assert_close(both_passes(tensors, others, "torch"), truth, 1e-12)


@pytest.mark.parametrize("case", CASES)
def test_triton_equals_reference(case, poisoned):
    tensors, others = make(**CASES[case])
    truth = both_passes(tensors, others, "reference")
    found = both_passes(*converted(tensors, others, torch.float32), "triton")
    assert_close(found, truth, 1e-5)


@given(
    st.tuples(*(st.integers(1, 3), st.integers(1, 6), st.integers(2, 8), st.integers(1, 9))),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=15, deadline=None)
def test_torch_equals_reference_at_any_size(shape, rotates, has_quartic, seed):
    tensors, others = make(shape, rotates=rotates, has_quartic=has_quartic, seed=seed)
    truth = both_passes(tensors, others, "reference")
    assert_close(both_passes(tensors, others, "torch"), truth, 1e-12)


@pytest.mark.parametrize("route", ["torch", "triton"])
def test_strides_do_not_matter(route):
    tensors, others = converted(*make(rotates=True), torch.float32)
    truth = both_passes(tensors, others, route)
    for name in ("mean", "log_variance", "stiffness", "rotation"):
        tensors[name] = tensors[name].mT.contiguous().mT
    others["noise"] = torch.stack([others["noise"]] * 2, -1)[..., 1]
    assert_close(both_passes(tensors, others, route), truth, 1e-6)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("most", [1, 2**31 - 1], ids=["copied", "in place"])
def test_halves_of_a_tensor_are_read_in_any_layout(order, most, poisoned, monkeypatch):
    triton_langevin_scan = pytest.importorskip("neurodyn.kernels.triton_langevin_scan")
    monkeypatch.setattr(triton_langevin_scan, "MOST_COUNTERS", most)
    tensors, others = converted(*make((2, 3, 4, 5)), torch.float32)
    truth = both_passes(tensors, others, "reference")
    both = torch.cat([tensors["mean"], tensors["log_variance"]], -1)
    both = both.permute(*order, 3).contiguous().permute(*map(order.index, range(3)), 3)
    tensors["mean"], tensors["log_variance"] = both.chunk(2, -1)
    assert_close(both_passes(tensors, others, "triton"), truth, 1e-5)


@pytest.mark.parametrize("route", ["torch", "triton"])
@pytest.mark.parametrize("used", [0, 1, 2])
def test_results_may_go_unused(route, used):
    tensors, others = converted(*make((2, 3, 4, 5)), torch.float32)
    found = []
    for way in ("reference", route):
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in tensors.items()}
        result = call(leaves, others, way)[used]
        gradient = torch.linspace(-1, 1, result.shape[1]).view(1, -1, *(1,) * (result.ndim - 2))
        result.backward(gradient.expand(result.shape))
        found.append({n: torch.zeros(()) if t.grad is None else t.grad for n, t in leaves.items()})
    assert_close(found[1], found[0], 1e-5)


@pytest.mark.parametrize("route", ["torch", "triton"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_read_and_computed_in_single(route, dtype):
    tensors, others = converted(*make(has_quartic=True), torch.float32)
    narrow = {name: tensors[name].to(dtype) for name in ("mean", "log_variance")}
    truth = both_passes(tensors | {k: v.float() for k, v in narrow.items()}, others, "reference")
    with torch.autocast("cpu", torch.bfloat16):
        found = both_passes(tensors | narrow, others, route)
    assert found["position"].dtype == torch.float32
    assert found["d_mean"].dtype == found["d_log_variance"].dtype == dtype
    rounded = {name: found.pop(name) for name in ("d_mean", "d_log_variance")}
    assert_close(rounded, {name: truth.pop(name) for name in rounded}, 1e-2)
    assert_close(found, truth, 1e-5)


@pytest.mark.parametrize("case", ["harmonic", "rotating quartic"])
def test_a_seed_gives_the_same_noise_on_all_routes(case):
    tensors, others = converted(*make(**CASES[case]), torch.float32)
    others |= {"noise": None, "seed": torch.tensor([7, 2**40 + 1])}
    truth = both_passes(tensors, others, "reference")
    for route in ("torch", "triton"):
        assert_close(both_passes(tensors, others, route), truth, 1e-5)


def test_noise_of_a_seed_is_standard_normal_and_each_members_own():
    shape = (2, 40, 12, 8)
    zero, eye = torch.zeros(shape), torch.eye(8).expand(2, 8, 8)
    numbers = Physics(*(torch.full((2,), x) for x in (1.0, 1.0, 1.0, 1e-6, 0.0)))
    with forced("triton"):
        position, velocity, _ = langevin_scan(zero, zero, eye, numbers, seed=torch.tensor([3, 4]))
    # without persistence a velocity is the innovation before it
    noise = torch.cat([position[:, :, :1], velocity], 2)
    assert abs(float(noise.mean())) < 0.05
    assert abs(float(noise.std()) - 1) < 0.05
    assert abs(float(torch.corrcoef(noise.flatten(1))[0, 1])) < 0.05


@pytest.mark.parametrize("route", ["torch", "triton"])
@pytest.mark.parametrize("case", ["rotating quartic", "euler"])
def test_mapped_parameters_run_as_a_population(route, case):
    options = CASES[case] | {"shape": (3, 4, 5, 6)}
    tensors, others = converted(*make(**options), torch.float32)
    truth = both_passes(tensors, others, route)
    generator = torch.Generator().manual_seed(1)
    results = [truth[name] for name in ("position", "velocity", "divergence")]
    arriving = [torch.randn(r.shape, generator=generator, dtype=torch.float64) for r in results]

    def loss(member, noise, gradients):
        member = {name: tensor[None] for name, tensor in member.items()}
        member["physics"] = member["physics"].mT
        found = call(member, others | {"noise": noise[None]}, route)
        return sum((f[0] * g).sum() for f, g in zip(found, gradients, strict=True))

    members = tensors | {"physics": tensors["physics"].mT}
    gradients = [a.float() for a in arriving]
    found = torch.func.vmap(torch.func.grad(loss))(members, others["noise"], gradients)
    found["physics"] = found["physics"].mT
    assert_close(found, {name: truth[f"d_{name}"] for name in found}, 1e-5)


@pytest.mark.parametrize("route", ["torch", "triton"])
def test_what_is_not_mapped_is_shared(route):
    tensors, others = converted(*make((2, 3, 4, 5)), torch.float32)

    def position(scale):
        return call(tensors | {"mean": scale * tensors["mean"]}, others, route)[0]

    found = torch.func.vmap(position)(torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(found[0], position(1.0))
    torch.testing.assert_close(found[1], position(2.0))


def test_routes():
    tensors, others = converted(*make(), torch.float32)
    named = {name: tensor for name, tensor in tensors.items() if name != "physics"}
    with recorded() as routes:
        langevin_scan(**named, physics=Physics(*tensors["physics"]), **others)
    assert routes == {"langevin_scan": "torch"}
    for options, found in (
        ({"shape": (1, 1, 2, 129)}, "129 latents, a multiprocessor holds the matrices of 128"),
        ({"shape": (1, 1, 2, 65), "rotates": True}, "65 latents, .* the matrices of 64"),
    ):
        with pytest.raises(ConfigError, match=found):
            call(*converted(*make(**options), torch.float32), "triton")
    with pytest.raises(ConfigError, match=r"torch\.float64, the kernels take float32"):
        call(*make(), "triton")


def test_there_is_no_second_derivative():
    tensors, others = make((1, 2, 3, 4))
    mean = tensors["mean"].requires_grad_()
    position = call(tensors, others, "torch")[0]
    (first,) = torch.autograd.grad(position.square().sum(), mean, create_graph=True)
    with pytest.raises(ConfigError, match="no second derivative on this route"):
        first.sum().backward()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": torch.zeros(2, 5, 6)}, "mean has the wrong shape"),
        ({"mean": torch.zeros(2, 5, 1, 6)}, "2 draws or more"),
        ({"log_variance": torch.zeros(2, 5, 7, 5)}, "log_variance does not fit mean"),
        ({"stiffness": torch.zeros(6, 6)}, r"stiffness does not fit mean"),
        ({"rotation": torch.zeros(2, 3, 3)}, r"expected: \(2, 6, 6\)"),
        ({"quartic": torch.zeros(3)}, "quartic does not fit mean"),
        ({"physics": torch.zeros(5, 3)}, r"physics\.spread does not fit mean"),
        ({"noise": torch.zeros(5, 7, 6)}, "noise does not fit mean"),
        ({"seed": torch.zeros(2, dtype=torch.int64)}, "noise and seed are both given"),
        ({"noise": None, "seed": torch.zeros(2)}, "seed must be integers"),
        ({"scheme": "verlet"}, "invalid value for scheme"),
        ({"scheme": "euler", "rotation": torch.zeros(2, 6, 6)}, "euler scheme has no rotation"),
    ],
)
def test_unfit_arguments_are_named(change, message):
    tensors, others = make()
    arguments = tensors | others | change
    numbers = Physics(*arguments.pop("physics"))
    with pytest.raises(ConfigError, match=message):
        langevin_scan(**arguments, physics=numbers)
