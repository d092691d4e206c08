"""The scan of gated recurrent units: every route against the plain one in float64."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from neurodyn.errors import ConfigError
from neurodyn.kernels import torch_gru_scan
from neurodyn.kernels.dispatch import forced, recorded
from neurodyn.kernels.gru_scan import dropout_mask, gru_scan


class Parts(NamedTuple):
    gates: Tensor
    weight: Tensor
    bias: Tensor
    initial: Tensor

    def to(self, dtype):
        return Parts(*(part.to(dtype).requires_grad_() for part in self))


def made(n_population=2, n_batch=3, n_time=5, size=4, *, time_leads=False):
    generator = torch.Generator().manual_seed(n_batch * n_time + size)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    if time_leads:
        gates = normal(n_time, n_batch, n_population, 3 * size).permute(2, 1, 0, 3)
    else:
        gates = normal(n_population, n_batch, n_time, 3 * size)
    weight = normal(n_population, 3 * size, size) * 0.3
    return Parts(gates, weight, normal(n_population, 3 * size), normal(n_population, n_batch, size))


def run(route, parts, d_hidden, **options):
    """Return hidden states and gradients."""
    with forced(route):
        hidden = gru_scan(*parts[:3], initial=parts.initial, **options)
    gradients = torch.autograd.grad(hidden, parts, d_hidden.to(hidden.dtype))
    return [found.detach() for found in (hidden, *gradients)]


def agree(found, truth, tolerance):
    for one, true in zip(found, truth):
        error = (one.double() - true).abs().max()
        assert error <= tolerance * (1.0 + true.abs().max())


def d_hidden_of(parts):
    n_population, n_batch, n_time, width = parts.gates.shape
    generator = torch.Generator().manual_seed(9)
    return torch.randn(
        n_population, n_batch, n_time, width // 3, generator=generator, dtype=torch.float64
    )


@pytest.mark.parametrize("route", ["reference", "torch"])
def test_equals_the_units_of_torch(route):
    torch.manual_seed(1)
    unit = nn.GRU(6, 5, batch_first=True, bidirectional=True, dtype=torch.float64)
    inputs = torch.randn(4, 7, 6, dtype=torch.float64)

    def both(name):
        return torch.stack([getattr(unit, f"{name}_l0{end}") for end in ("", "_reverse")])

    gates = torch.einsum("bti,pji->pbtj", inputs, both("weight_ih"))
    gates = gates + both("bias_ih")[:, None, None]
    with forced(route):
        hidden = gru_scan(gates, both("weight_hh"), both("bias_hh"), bidirectional=True)
    expected, _ = unit(inputs)
    torch.testing.assert_close(hidden.permute(1, 2, 0, 3).flatten(2), expected)


def test_an_open_update_gate_keeps_the_state():
    gates = torch.zeros(1, 2, 6, 12)
    gates[..., 4:8] = 100.0
    initial = torch.randn(1, 2, 4)
    hidden = gru_scan(gates, torch.zeros(1, 12, 4), torch.zeros(1, 12), initial=initial)
    assert torch.equal(hidden, initial[:, :, None].expand(1, 2, 6, 4))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_equal_finite_differences(bidirectional, masked):
    parts = made(2, 2, 3, 2).to(torch.float64)
    mask = dropout_mask(torch.tensor([1, 2]), 0.3, 2, 3, 2) if masked else None

    def scan(gates, weight, bias, initial):
        options = {"initial": initial, "mask": mask, "bidirectional": bidirectional}
        return gru_scan(gates, weight, bias, **options)

    assert torch.autograd.gradcheck(scan, tuple(parts))


@pytest.mark.parametrize(
    ("sizes", "time_leads", "bidirectional", "kind"),
    [
        ((1, 1, 1, 3), False, False, "plain"),
        ((2, 3, 9, 5), True, True, "plain"),
        ((4, 2, 6, 4), False, True, "seed"),
        ((3, 5, 7, 2), True, False, "mask"),
        ((2, 3, 8, 4), True, True, "mask"),
    ],
)
@pytest.mark.parametrize("block", [1, 200, 2**18])
def test_torch_equals_the_plain_route(sizes, time_leads, bidirectional, kind, block, monkeypatch):
    monkeypatch.setattr(torch_gru_scan, "_BLOCK_ELEMENTS", block)
    parts = made(*sizes, time_leads=time_leads)
    options = options_of(kind, parts, bidirectional)
    d_hidden = d_hidden_of(parts)
    truth = run("reference", parts.to(torch.float64), d_hidden, **options)
    poison(monkeypatch)
    agree(run("torch", parts.to(torch.float64), d_hidden, **options), truth, 1e-6)
    agree(run("torch", parts.to(torch.float32), d_hidden, **options), truth, 1e-5)


@pytest.mark.parametrize(
    ("sizes", "time_leads", "bidirectional", "kind"),
    [
        ((1, 1, 1, 16), False, False, "plain"),
        ((2, 19, 6, 16), True, True, "seed"),
        ((2, 3, 5, 32), False, False, "seed"),
        ((3, 17, 4, 16), True, False, "mask"),
        ((4, 2, 7, 16), False, True, "plain"),
    ],
)
def test_triton_equals_the_plain_route(sizes, time_leads, bidirectional, kind, monkeypatch):
    pytest.importorskip("triton")
    parts = made(*sizes, time_leads=time_leads)
    options = options_of(kind, parts, bidirectional)
    d_hidden = d_hidden_of(parts)
    truth = run("reference", parts.to(torch.float64), d_hidden, **options)
    poison(monkeypatch)
    single = parts.to(torch.float32)
    agree(run("triton", single, d_hidden, precision="ieee", **options), truth, 1e-5)


@pytest.mark.parametrize(
    ("route", "dtype", "tolerance"),
    [
        ("torch", torch.bfloat16, 2e-2),
        ("torch", torch.float16, 3e-3),
        ("triton", torch.bfloat16, 2e-2),
        ("triton", torch.float16, 3e-3),
    ],
)
def test_half_precision(route, dtype, tolerance):
    if route == "triton":
        pytest.importorskip("triton")
    parts = made(2, 3, 5, 16)
    d_hidden = d_hidden_of(parts)
    truth = run("reference", parts.to(torch.float64), d_hidden, bidirectional=True)
    found = run(route, parts.to(dtype), d_hidden, bidirectional=True)
    assert {part.dtype for part in found} == {dtype}
    agree(found, truth, tolerance)
    # parameters in float32 under gates of half precision, as autocast leaves them
    mixed = Parts(parts.gates.to(dtype).requires_grad_(), *parts.to(torch.float32)[1:])
    found = run(route, mixed, d_hidden, bidirectional=True)
    assert [part.dtype for part in found[:3]] == [dtype, dtype, torch.float32]
    agree(found, truth, tolerance)


@pytest.mark.parametrize(
    ("sizes", "order", "n_programs"),
    [
        ((1, 1, 1, 16), (0, 1, 2), 528),
        ((2, 37, 9, 16), (2, 1, 0), 528),
        ((2, 37, 9, 32), (1, 2, 0), 12),
        ((4, 5, 70, 16), (0, 2, 1), 1),
        ((3, 11, 13, 16), (0, 1, 2), 9),
    ],
)
@pytest.mark.parametrize("initial_dtype", [torch.float32, torch.float64])
def test_gradients_of_weights_are_summed_in_pieces(
    sizes, order, n_programs, initial_dtype, monkeypatch
):
    pytest.importorskip("triton")
    from neurodyn.kernels import triton_gru_weights

    monkeypatch.setattr(triton_gru_weights, "_N_PROGRAMS", n_programs)
    monkeypatch.setattr(triton_gru_weights, "_FEWEST_TILES", 1)
    poison(monkeypatch)
    *dims, size = sizes
    generator = torch.Generator().manual_seed(0)

    def normal(width):
        drawn = torch.randn(*(dims[i] for i in order), width, generator=generator)
        return drawn.permute(*map(order.index, range(3)), 3)

    d_gates, d_part, hidden = normal(3 * size), normal(size), normal(size)
    initial = torch.randn(*dims[:2], size, generator=generator).to(initial_dtype)
    late = sizes[0] % 2 == 0
    found = triton_gru_weights.gradients(d_gates, d_part, hidden, initial, late, "ieee")
    first, last = initial.float()[:, :, None], initial.float()[:, :, None]
    before = torch.cat([first, hidden[:, :, :-1]], 2)
    if late:
        before[1::2] = torch.cat([hidden[:, :, 1:], last], 2)[1::2]
    arriving = torch.cat([d_gates[..., : 2 * size], d_part], -1)
    expected = torch.einsum("pbtg,pbth->pgh", arriving, before)
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1], arriving.sum((1, 2)), rtol=1e-4, atol=1e-4)


def test_factors_in_tf32_are_rounded_to_nearest():
    pytest.importorskip("triton")
    from neurodyn.kernels import triton_gru_weights

    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, 200, 9, 16, generator=generator).abs()
    d_gates, initial = hidden.repeat(1, 1, 1, 3), torch.zeros(1, 200, 16)
    given = (d_gates, hidden, hidden, initial, False)
    exact, rounded = (triton_gru_weights.gradients(*given, how)[0] for how in ("ieee", "tf32"))
    assert 1e-7 < (rounded / exact - 1.0).abs().mean() < 1e-4
    # without a bias: cutting off would make -7e-4
    assert (rounded / exact - 1.0).mean().abs() < 2e-5


@pytest.fixture
def products_of_bfloat16(monkeypatch):
    """Triton's interpreter holds bfloat16 as integers, and multiplies matrices of them as such."""
    interpreter = pytest.importorskip("triton.runtime.interpreter")
    original = interpreter.InterpreterBuilder.create_dot

    def widened(handle):
        if handle.data.dtype.kind == "f":
            return handle
        bits = handle.data.astype("uint32") << 16
        return interpreter.TensorHandle(bits.view("float32"), interpreter.tl.float32)

    def create_dot(self, x, y, *others):
        return original(self, widened(x), widened(y), *others)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)


@pytest.mark.usefixtures("products_of_bfloat16")
def test_operands_in_bfloat16():
    parts = made(1, 3, 5, 16)
    d_hidden = d_hidden_of(parts)
    truth = run("reference", parts.to(torch.float64), d_hidden)
    found = run("triton", parts.to(torch.float32), d_hidden, precision="bf16")
    agree(found, truth, 2e-2)
    # and they are rounded
    assert (found[0].double() - truth[0]).abs().max() > 1e-5


@pytest.mark.parametrize("route", ["reference", "torch", "triton"])
def test_columns_apart_and_expanded_gradients(route):
    if route == "triton":
        pytest.importorskip("triton")
    parts = made(1, 2, 3, 16)
    truth = run("reference", parts.to(torch.float64), torch.ones(1, 2, 3, 16))
    gates = parts.gates.float().transpose(2, 3).contiguous().transpose(2, 3).requires_grad_()
    apart = Parts(gates, *parts.to(torch.float32)[1:])
    found = run(route, apart, torch.ones(()).expand(1, 2, 3, 16), precision="ieee")
    agree(found, truth, 1e-5)


@pytest.mark.parametrize("route", ["reference", "torch", "triton"])
def test_the_same_seed_drops_the_same_units(route):
    if route == "triton":
        pytest.importorskip("triton")
    parts, seed = made(2, 3, 9, 16).to(torch.float32), torch.tensor([3, 2**40])
    with forced(route):
        drawn = gru_scan(*parts[:3], dropout=0.4, seed=seed, bidirectional=True)
        again = gru_scan(*parts[:3], dropout=0.4, seed=seed, bidirectional=True)
        other = gru_scan(*parts[:3], dropout=0.4, seed=seed + 1, bidirectional=True)
    mask = dropout_mask(seed, 0.4, 3, 9, 16)
    assert torch.equal(drawn == 0.0, mask == 0.0)
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn == 0.0, other == 0.0)


def test_the_mask_has_the_mean_of_its_probability():
    mask = dropout_mask(torch.tensor([1, 2]), 0.3, 20, 50, 16)
    assert torch.allclose(mask.unique(), torch.tensor([0.0, 1.0 / 0.7]))
    kept = (mask > 0.0).double().mean((1, 2, 3))
    assert (kept - 0.7).abs().max() < 5 * (0.21 / 16_000) ** 0.5
    # neighbours in time share a counter, and no more than that
    apart = (mask[:, :, 1:] > 0.0) & (mask[:, :, :-1] > 0.0)
    assert (apart.double().mean() - 0.49).abs() < 0.01


def test_without_dropout_a_seed_changes_nothing():
    parts = made()
    seed = torch.tensor([1, 2])
    assert torch.equal(gru_scan(*parts[:3], seed=seed), gru_scan(*parts[:3]))


@pytest.mark.parametrize("route", ["torch", "triton"])
def test_stacked_parameters_run_at_once(route):
    if route == "triton":
        pytest.importorskip("triton")
    torch.manual_seed(0)
    n_models, size = 3, 16
    inputs, seeds = torch.randn(2, 4, 5), torch.arange(2 * n_models).view(n_models, 2)
    parameters = (
        torch.randn(n_models, 6 * size, 5),
        torch.randn(n_models, 2, 3 * size, size) * 0.3,
        torch.randn(n_models, 2, 3 * size),
    )

    def loss(entering, weight, bias, seed):
        gates = (inputs @ entering.T).view(2, 4, 2, 3 * size).permute(2, 0, 1, 3)
        with forced(route):
            hidden = gru_scan(
                gates, weight, bias, dropout=0.2, seed=seed, bidirectional=True, precision="ieee"
            )
        return hidden.square().sum()

    gradient = torch.func.grad(loss, (0, 1, 2))
    stacked = torch.func.vmap(gradient)(*parameters, seeds)
    alone = [gradient(*(p[i] for p in parameters), seeds[i]) for i in range(n_models)]
    for found, each in zip(stacked, zip(*alone)):
        torch.testing.assert_close(found, torch.stack(each))
    # one mapped argument among shared ones
    shared = torch.func.vmap(gradient, in_dims=(None, 0, None, None))
    found = shared(parameters[0][0], parameters[1], parameters[2][0], seeds[0])
    expected = gradient(parameters[0][0], parameters[1][2], parameters[2][0], seeds[0])
    torch.testing.assert_close([one[2] for one in found], list(expected))


def test_there_is_no_second_derivative():
    parts = made().to(torch.float64)
    (d_gates,) = torch.autograd.grad(gru_scan(*parts[:3]).sum(), parts.gates, create_graph=True)
    with pytest.raises(ConfigError, match=r"no second derivative.*\n.*forced\('reference'\)"):
        d_gates.sum().backward()


def test_what_triton_cannot_serve_goes_to_torch():
    single, double = made(2, 3, 5, 16), made(2, 3, 5, 16)
    single = Parts(*(part.float() for part in single))
    with recorded() as routes:
        gru_scan(*single[:3])
    assert routes == {"gru_scan": "torch"}
    pytest.importorskip("triton")
    for parts, options, message in [
        (made(1, 1, 1, 24), {}, "hidden size 24, the kernels have"),
        (double, {}, "float64, the kernels compute in float32"),
        (
            Parts(*(part.float() for part in made(1, 1, 1, 128))),
            {"precision": "ieee"},
            "hidden size 128 fit a multiprocessor in precision bf16 only",
        ),
    ]:
        with forced("triton"), pytest.raises(ConfigError, match=message):
            gru_scan(*parts[:3], **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gates": torch.zeros(2, 3, 12)}, "gates or weight of gru_scan have no such shape"),
        ({"gates": torch.zeros(2, 0, 5, 12)}, r"found: gates \(2, 0, 5, 12\)"),
        ({"gates": torch.zeros(2, 3, 5, 11)}, r"gates of gru_scan.*\n.*11.*\n.*\(2, 3, 5, 12\)"),
        ({"weight": torch.zeros(1, 12, 4)}, r"weight of gru_scan does not fit"),
        ({"bias": torch.zeros(2, 4)}, r"bias of gru_scan.*\n.*\(2, 4\).*\n.*\(2, 12\)"),
        ({"initial": torch.zeros(2, 4)}, r"initial of gru_scan.*\n.*\n.*\(2, 3, 4\)"),
        ({"mask": torch.ones(3, 5, 4)}, r"mask of gru_scan.*\n.*\n.*\(2, 3, 5, 4\)"),
        ({"mask": torch.ones(2, 3, 5, 4, dtype=torch.bool)}, "mask of gru_scan must be floating"),
        ({"dropout": 1.0}, r"invalid dropout.*\n  found: 1.0"),
        ({"dropout": 0.1}, r"needs either a seed or a mask.*\n  found: neither"),
        (
            {"dropout": 0.1, "seed": torch.tensor([1, 2]), "mask": torch.ones(2, 3, 5, 4)},
            r"needs either a seed or a mask.*\n  found: both",
        ),
        ({"seed": torch.tensor([1])}, r"seed of gru_scan.*\n.*\(1,\).*\n.*int64 \(2,\)"),
        ({"seed": torch.zeros(2)}, r"seed of gru_scan.*\n.*torch.float32"),
        ({"precision": "fp8"}, "invalid value for precision"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    fitting = {
        "gates": torch.zeros(2, 3, 5, 12),
        "weight": torch.zeros(2, 12, 4),
        "bias": torch.zeros(2, 12),
    }
    with pytest.raises(ConfigError, match=message):
        gru_scan(**{**fitting, **changes})


def test_directions_come_in_pairs():
    parts = made(3)
    with pytest.raises(ConfigError, match=r"bidirectional members come in pairs.*\n  found: 3"):
        gru_scan(*parts[:3], bidirectional=True)


def test_kernels_are_listed_for_the_compile_report():
    pytest.importorskip("triton")
    from neurodyn.kernels import triton_gru_scan, triton_gru_weights

    cases = triton_gru_scan.ahead_of_time() + triton_gru_weights.ahead_of_time()
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        assert {*case.signature, *case.constants} == set(case.kernel.arg_names)


def options_of(kind, parts, bidirectional):
    n_population, n_batch, n_time, width = parts.gates.shape
    seed = torch.arange(n_population) + 5
    if kind == "seed":
        return {"bidirectional": bidirectional, "dropout": 0.3, "seed": seed}
    if kind == "mask":
        mask = dropout_mask(seed, 0.3, n_batch, n_time, width // 3)
        return {"bidirectional": bidirectional, "mask": mask}
    return {"bidirectional": bidirectional}


def poison(monkeypatch):
    """Fill what is allocated empty with NaN, so that what is not written shows."""
    empty = torch.empty

    def poisoned(*args, **kwargs):
        tensor = empty(*args, **kwargs)
        return tensor.fill_(torch.nan) if tensor.is_floating_point() else tensor

    monkeypatch.setattr(torch, "empty", poisoned)
