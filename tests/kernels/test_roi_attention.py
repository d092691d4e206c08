"""Attention between ROIs: straight formulas, the library's attention, routes, gradients, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from neurodyn.errors import ConfigError
from neurodyn.kernels import torch_roi_attention
from neurodyn.kernels.dispatch import forced, recorded
from neurodyn.kernels.roi_attention import roi_attention

ROUTES = ("reference", "torch", "triton")
FAST = ("torch", "triton")


@pytest.fixture
def poisoned(monkeypatch):
    """Memory that is handed out holds NaN, so that what is not written shows."""
    original = torch.empty

    def empty(*size, **settings):
        made = original(*size, **settings)
        return made.fill_(torch.nan) if made.is_floating_point() else made

    monkeypatch.setattr(torch, "empty", empty)


@pytest.fixture
def bfloat16_products(monkeypatch):
    """Triton's interpreter holds bfloat16 as integers, and multiplies matrices of them as such."""
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    original = InterpreterBuilder.create_dot

    def widened(handle):
        if str(handle.dtype.scalar) != "bf16":
            return handle
        import triton.language as tl

        return TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def create_dot(self, a, b, *others):
        return original(self, widened(a), widened(b), *others)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", create_dot)


def problem(shape, dtype=torch.float32, *, biased=True, absent=False):
    """Draw (batch, head, roi, feature) inputs with heads of a ROI adjacent in memory."""
    generator = torch.Generator().manual_seed(sum(shape))
    n_batch, n_heads, n_rois, n_features = shape
    sizes = (n_batch, n_rois, n_heads, n_features)
    tensors = [torch.randn(sizes, generator=generator).to(dtype).transpose(1, 2) for _ in range(4)]
    bias = torch.randn(n_heads, n_rois, n_rois, generator=generator) if biased else None
    present = None
    if absent:
        present = torch.rand(n_batch, n_rois, generator=generator) < 0.5
        # nobody at all; one alone, who has nobody to look at
        present[0] = False
        present[1] = torch.arange(n_rois) == 2
    return tensors, bias, present


def differentiated(route, tensors, bias, present, dtype=None, **settings):
    """Return mixed values and the gradients of queries, keys, values and bias."""
    *inputs, incoming = (x if dtype is None else x.to(dtype) for x in tensors)
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    if bias is not None:
        learned = bias.detach().clone() if dtype is None else bias.detach().to(dtype, copy=True)
        leaves.append(learned.requires_grad_())
    with forced(route):
        mixed = roi_attention(*leaves, present=present, **settings)
    mixed.backward(incoming)
    return mixed.detach(), *(leaf.grad for leaf in leaves)


def assert_near(found, truth, tolerance):
    for one, other in zip(found, truth, strict=True):
        gap = float((one.double() - other.double()).norm())
        assert gap <= tolerance * float(other.double().norm() + 1e-12)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("mask_diagonal", [True, False])
def test_one_roi_after_another(route, mask_diagonal):
    shape = (3, 2, 5, 4)
    (query, key, value, _), bias, present = problem(shape, absent=True)
    expected = torch.zeros(shape)
    for b, h, i in np.ndindex(*shape[:3]):
        keys = [j for j in range(5) if present[b, j] and not (mask_diagonal and i == j)]
        if keys:
            score = 0.3 * key[b, h, keys] @ query[b, h, i] + bias[h, i, keys]
            expected[b, h, i] = score.softmax(0) @ value[b, h, keys]
    with forced(route):
        settings = {"present": present, "scale": 0.3, "mask_diagonal": mask_diagonal}
        found = roi_attention(query, key, value, bias, **settings)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("route", ROUTES)
def test_as_the_library(route):
    (query, key, value, _), bias, _ = problem((2, 2, 9, 6))
    masked = bias.masked_fill(torch.eye(9, dtype=torch.bool), -torch.inf)
    expected = functional.scaled_dot_product_attention(query, key, value, attn_mask=masked)
    with forced(route):
        torch.testing.assert_close(roi_attention(query, key, value, bias), expected)


@pytest.mark.parametrize("route", FAST)
@pytest.mark.parametrize(
    ("shape", "biased", "absent", "mask_diagonal"),
    [
        ((3, 2, 37, 16), True, True, True),
        ((2, 1, 70, 5), True, False, True),
        ((3, 1, 33, 24), False, True, False),
        ((2, 2, 1, 3), False, False, True),
    ],
    ids=str,
)
def test_routes_agree_with_float64(route, shape, biased, absent, mask_diagonal, poisoned):
    inputs = problem(shape, biased=biased, absent=absent)
    settings = {"mask_diagonal": mask_diagonal}
    truth = differentiated("reference", *inputs, torch.float64, **settings)
    found = differentiated(route, *inputs, **settings)
    assert all(x.dtype == torch.float32 for x in found)
    assert_near(found, truth, 2e-6)


@pytest.mark.parametrize("route", FAST)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
def test_half_precision(route, dtype, tolerance, bfloat16_products, poisoned):
    inputs = problem((3, 1, 35, 16), dtype, absent=True)
    truth = differentiated("reference", *inputs, torch.float64)
    found = differentiated(route, *inputs)
    assert [x.dtype for x in found] == [dtype] * 4 + [torch.float32]
    assert_near(found, truth, tolerance)


@pytest.mark.parametrize("route", FAST)
def test_rois_without_keys_get_and_pass_nothing(route):
    tensors, bias, present = problem((2, 1, 6, 4), absent=True)
    bias[0, 5] = -torch.inf
    mixed, *gradients = differentiated(route, tensors, bias, present)
    assert (mixed[0] == 0).all()
    assert (mixed[1, :, [2, 5]] == 0).all()
    for gradient in gradients[:3]:
        assert (gradient[0] == 0).all()
        assert gradient.isfinite().all()
    assert (gradients[3][0, 5] == 0).all()
    assert (gradients[3][0].diagonal() == 0).all()


@pytest.mark.parametrize("route", FAST)
def test_other_memory_orders(route):
    tensors, bias, present = problem((3, 2, 9, 5), absent=True)
    straight = differentiated(route, [x.contiguous() for x in tensors], bias, present)
    turned = [x.mT.contiguous().mT for x in tensors]
    # all the same number: a tensor without extent in memory
    turned[3] = torch.ones(()).expand(tensors[3].shape)
    straight_ones = [*(x.contiguous() for x in tensors[:3]), torch.ones(tensors[3].shape)]
    found = differentiated(route, turned, bias.mT.contiguous().mT, present)
    assert_near(found[:1], straight[:1], 1e-6)
    assert_near(found, differentiated(route, straight_ones, bias, present), 1e-6)


@pytest.fixture
def quick_products():
    """Products of float32 may be rounded on a GPU."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def launched(monkeypatch):
    """Sides of the tiles of every launch of a backward kernel, by name."""
    from neurodyn.kernels import triton_roi_attention as calls

    sides = {}

    class Recorded:
        def __init__(self, name):
            self.name, self.kernel = name, getattr(calls, name)

        def __getitem__(self, grid):
            def launch(*arguments, **settings):
                sides[self.name] = settings["ROWS"], settings["COLUMNS"]
                return self.kernel[grid](*arguments, **settings)

            return launch

    for name in ("query_kernel", "key_value_kernel"):
        monkeypatch.setattr(calls, name, Recorded(name))
    return sides


@pytest.mark.parametrize(
    ("n_rois", "n_features"),
    [(1, 9), (17, 9), (77, 32), (128, 9), (129, 17), (200, 32), (256, 9)],
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 2e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)],
    ids=str,
)
def test_all_keys_in_one_program(
    n_rois, n_features, dtype, tolerance, quick_products, bfloat16_products, poisoned, launched
):
    inputs = problem((3, 1, n_rois, n_features), dtype, absent=True)
    truth = differentiated("reference", *inputs, torch.float64)
    assert_near(differentiated("triton", *inputs), truth, tolerance)
    assert "query_kernel" not in launched
    assert launched["key_value_kernel"][1] == (128 if n_rois <= 128 else 256)


@pytest.mark.parametrize(("biased", "mask_diagonal"), [(True, False), (False, True)])
def test_all_keys_in_one_program_and_all_present(biased, mask_diagonal, quick_products, poisoned):
    inputs = problem((2, 2, 40, 32), biased=biased)
    settings = {"mask_diagonal": mask_diagonal}
    truth = differentiated("reference", *inputs, torch.float64, **settings)
    assert_near(differentiated("triton", *inputs, **settings), truth, 2e-6)


@pytest.mark.parametrize(
    ("n_rois", "n_features", "precision", "room"),
    [
        (257, 3, "high", math.inf),
        (5, 33, "high", math.inf),
        (5, 4, "highest", math.inf),
        (5, 4, "high", 99 * 1024),
    ],
)
def test_where_not_all_keys_fit(
    n_rois, n_features, precision, room, quick_products, poisoned, launched, monkeypatch
):
    from neurodyn.kernels import triton_roi_attention

    torch.set_float32_matmul_precision(precision)
    monkeypatch.setattr(triton_roi_attention, "_room", lambda device: room)
    inputs = problem((2, 1, n_rois, n_features))
    truth = differentiated("reference", *inputs, torch.float64)
    assert_near(differentiated("triton", *inputs), truth, 2e-6)
    assert set(launched) == {"query_kernel", "key_value_kernel"}


def test_heads_of_a_roi_lie_together():
    (query, key, value, _), bias, _ = problem((2, 2, 9, 5))
    for route in FAST:
        with forced(route):
            assert roi_attention(query, key, value, bias).transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("n_programs", [1, 4, 4096])
def test_the_batch_in_slices(n_programs, monkeypatch):
    from neurodyn.kernels import triton_roi_attention

    inputs = problem((5, 1, 9, 4))
    truth = differentiated("reference", *inputs, torch.float64)
    monkeypatch.setattr(triton_roi_attention, "_N_PROGRAMS", n_programs)
    found = differentiated("triton", *inputs)
    assert_near(found, truth, 1e-6)
    assert torch.equal(found[-1], differentiated("triton", *inputs)[-1])


@pytest.mark.parametrize("n_scores", [1, 2 * 2 * 81, 10**6])
def test_few_sequences_at_a_time(n_scores, monkeypatch):
    inputs = problem((5, 2, 9, 4), absent=True)
    truth = differentiated("reference", *inputs, torch.float64)
    monkeypatch.setattr(torch_roi_attention, "_N_SCORES", n_scores)
    assert_near(differentiated("torch", *inputs), truth, 1e-6)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("in_dims", [(0, 0, 0, 0), (0, None, 1, None)])
def test_many_models_in_one_call(route, in_dims):
    shape = (3, 2, 7, 4)
    members = [problem((*shape[:3], shape[3] + k), absent=True) for k in range(2)]
    tensors = [[x[..., :4] for x in tensors] + [bias] for tensors, bias, _ in members]
    present = members[0][2]
    stacked = [
        tensors[0][place] if dim is None else torch.stack([t[place] for t in tensors], dim)
        for place, dim in zip((0, 1, 2, 4), in_dims)
    ]

    def loss(query, key, value, bias):
        return roi_attention(query, key, value, bias, present=present).square().sum()

    def alone(member):
        own = (x if dim is None else x.select(dim, member) for x, dim in zip(stacked, in_dims))
        return torch.func.grad(loss, (0, 1, 2, 3))(*own)

    truth = [torch.stack(pair) for pair in zip(alone(0), alone(1))]
    with forced(route):
        found = torch.func.vmap(torch.func.grad(loss, (0, 1, 2, 3)), in_dims)(*stacked)
        total = torch.func.grad(lambda *x: torch.func.vmap(loss, in_dims)(*x).sum(), 3)(*stacked)
    assert_near(found, truth, 2e-6)
    assert_near([total], [truth[3] if in_dims[3] == 0 else truth[3].sum(0)], 2e-6)


def test_gradient_by_finite_differences():
    tensors, bias, present = problem((2, 2, 4, 3), torch.float64, absent=True)
    leaves = [x.requires_grad_() for x in (*tensors[:3], bias.double())]
    for route in ("reference", "torch"):
        with forced(route):
            assert torch.autograd.gradcheck(lambda *x: roi_attention(*x, present=present), leaves)


def test_a_fixed_bias_has_no_gradient():
    (query, key, value, _), bias, _ = problem((2, 1, 5, 4))
    for route in FAST:
        with forced(route):
            mixed = roi_attention(query.requires_grad_(), key, value, bias)
        (gradient,) = torch.autograd.grad(mixed.sum(), query)
        assert gradient.isfinite().all()


def test_scale_of_the_field():
    (query, key, value, _), bias, _ = problem((1, 1, 5, 4))
    given = roi_attention(query, key, value, bias, scale=1 / math.sqrt(4))
    torch.testing.assert_close(roi_attention(query, key, value, bias), given)


def test_what_triton_cannot_do():
    wide, doubled = torch.zeros(1, 1, 3, 65), torch.zeros(1, 1, 3, 4, dtype=torch.float64)
    with recorded() as routes:
        roi_attention(wide, wide, wide)
    assert routes == {"roi_attention": "torch"}
    for inputs, message in ((wide, "65 features per head"), (doubled, "float64")):
        with forced("triton"), pytest.raises(ConfigError, match=message):
            roi_attention(inputs, inputs, inputs)


BAD = [
    ({"key": torch.zeros(1, 2, 3, 5)}, "query, key and value do not fit"),
    ({"value": torch.zeros(1, 2, 3, 4, dtype=torch.float64)}, "all of one shape and type"),
    ({"bias": torch.zeros(1, 3, 3)}, "invalid bias"),
    ({"present": torch.zeros(1, 3)}, "invalid present"),
    ({"present": torch.zeros(3, 1, dtype=torch.bool)}, "invalid present"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_impossible_arguments(bad, message):
    given = {name: torch.zeros(1, 2, 3, 4) for name in ("query", "key", "value")}
    with pytest.raises(ConfigError, match=message):
        roi_attention(**(given | bad))
