"""K3: attention between regions with a learned bias per head, without any N x N tensor per trial.

The rivals that keep all scores are the eager and the compiled formula; the library's attention
takes the bias as a mask that needs a gradient; FlexAttention reads it in a score modification.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.gpu.accuracy import compare, poisoned
from benchmarks.gpu.bare import kernels, operation
from benchmarks.gpu.case import Case, Workload
from benchmarks.gpu.report import Target
from benchmarks.gpu.timing import graphed, passing

NAME = "k3"
DEPENDS = ("roi_attention", "roi_attention_kernels")
#: What is compiled by the library, for many seconds.
SLOW = ("compiled", "flex")
RIVALS = ("eager", "compiled", "sdpa", "flex")
TARGETS = [
    Target(
        NAME, "1.5 x over the best library route", RIVALS, ("ours", "ours graphed"), 1.5,
        passes=("forward+backward",),
    )
]  # fmt: skip
# A tf32 product of Triton cuts its factors off instead of rounding them.
TOLERANCE = {"tf32": 3e-3, "bf16": 1e-2}
TYPES = {"tf32": torch.float32, "bf16": torch.bfloat16}

#: Query, key, value and bias go in, mixed values come out.
Attention = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Size(NamedTuple):
    """Sizes of one problem."""

    n_sequences: int
    n_heads: int
    n_rois: int
    n_features: int
    unit: str

    @property
    def label(self) -> str:
        """The size as a text."""
        return f"S={self.n_sequences} N={self.n_rois} d={self.n_features} {self.unit}"


def cases(tiny: bool) -> list[Case]:
    """Return checks and times at all sizes."""
    if tiny:
        sizes, checked = [Size(3, 2, 9, 16, "tf32")], [Size(3, 2, 19, 16, "tf32")]
    else:
        grid = product((400, 200, 300), (32, 16), ("bf16", "tf32"))
        sizes = [Size(640, 8, *size) for size in grid]
        small = ((7, 3, 77, 32), (5, 3, 200, 32), (16, 8, 400, 16))
        checked = [Size(*size, unit) for unit in TYPES for size in small]
    checks = [
        Case(
            NAME, size.label, "check", "forward+backward", partial(check, size),
            rank=11 + place, seconds=1, compiles=True, depends=DEPENDS,
        )
        for place, size in enumerate(checked)
    ]  # fmt: skip
    return [*checks, *(case for size in sizes for case in _timed(size, tiny))]


def _timed(size: Size, tiny: bool) -> Iterator[Case]:
    """Yield the cases of one size."""
    versions: dict[str, Callable[[bool], Attention]] = {
        "ours": lambda _: ours,
        "ours graphed": lambda _: ours,
        "eager": lambda _: eager,
        "compiled": compiled,
        "sdpa": lambda _: sdpa,
        "flex": flex,
    }
    for place, passes in enumerate(("forward+backward", "forward")):
        for name, make in versions.items():
            # on a CPU there are no graphs, and FlexAttention has no gradient
            absent = tiny and ("graphed" in name or (name == "flex" and place == 0))
            # compiling takes long, and what is promised is about training
            if absent or (not tiny and name in SLOW and place == 1):
                continue
            later = 0.2 * (size.n_features == 16) + 0.1 * (size.unit == "tf32")
            yield Case(
                NAME, size.label, name, passes,
                partial(timed, size, partial(make, tiny), name, passes),
                rank=24 + 14 * place + later + (name in SLOW) * (3 if later else 0.5),
                seconds=3.0 if name in SLOW else 0.8,
                compiles=name in ("ours", *SLOW),
                depends=DEPENDS if "ours" in name else (),
            )  # fmt: skip


def inputs(size: Size, device: torch.device, *, learn: bool = True) -> list[Tensor]:
    """Draw queries, keys, values (sequence, head, roi, feature) and bias (head, roi, roi)."""
    shape = size[:4]
    kind = TYPES[size.unit]
    made = [torch.randn(shape, device=device).to(kind) for _ in range(3)]
    bias = torch.randn(size.n_heads, size.n_rois, size.n_rois, device=device)
    return [x.requires_grad_(learn) for x in (*made, bias)]


def ours(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attend through the kernel."""
    mixed: Tensor = operation("roi_attention")(query, key, value, bias)
    return mixed


def eager(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attend as one writes it down."""
    scale = 1 / math.sqrt(query.shape[-1])
    score = (query @ key.mT) * scale + bias.to(query.dtype)
    same = torch.eye(query.shape[-2], dtype=torch.bool, device=query.device)
    return score.masked_fill(same, -torch.inf).softmax(-1) @ value


def sdpa(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attend by the library, which takes bias and diagonal as a mask with a gradient."""
    same = torch.eye(query.shape[-2], dtype=torch.bool, device=query.device)
    mask = bias.to(query.dtype).masked_fill(same, -torch.inf)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def compiled(tiny: bool) -> Attention:
    """Return the eager formula compiled; only traced where sizes are tiny."""
    torch._dynamo.reset()
    return torch.compile(eager, backend="eager" if tiny else "inductor", dynamic=False)


def flex(tiny: bool) -> Attention:
    """Return FlexAttention with the bias in its score modification."""
    torch._dynamo.reset()

    def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        from torch.nn.attention.flex_attention import flex_attention

        def biased(score: Tensor, _: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
            return torch.where(row == column, -torch.inf, score + bias[head, row, column])

        mixed: Tensor = flex_attention(query, key, value, score_mod=biased)
        return mixed

    return torch.compile(attend, backend="eager" if tiny else "inductor", dynamic=False)


def timed(
    size: Size, make: Callable[[], Attention], name: str, passes: str, device: torch.device
) -> Workload:
    """Return one version to time, with the least bytes and operations that it takes."""
    attend = make()
    tensors = inputs(size, device, learn=passes != "forward")
    step = passing(lambda: (attend(*tensors),), tensors, passes)
    n_bytes, n_operations = least(size, backward=passes != "forward")
    run = graphed(step) if "graphed" in name else step
    return Workload(run, n_bytes, n_operations, size.unit)


def least(size: Size, *, backward: bool) -> tuple[float, float]:
    """Return bytes and operations: 4 tensors and 2 products, backward 8 more and 5 more."""
    rows = size.n_sequences * size.n_heads * size.n_rois
    n_tensors, n_products = (12, 7) if backward else (4, 2)
    width = TYPES[size.unit].itemsize
    shared = 4.0 * size.n_heads * size.n_rois**2 * (3 if backward else 1)
    n_bytes = rows * size.n_features * n_tensors * width + shared
    return n_bytes, 2.0 * rows * size.n_rois * size.n_features * n_products


def check(size: Size, device: torch.device) -> Workload:
    """Compare results and gradients with the plain version in double precision."""
    tensors = inputs(size, device)
    to_loss = torch.randn_like(tensors[0])

    def results(given: list[Tensor], weight: Tensor) -> list[Tensor]:
        mixed = ours(*given)
        return [mixed, *torch.autograd.grad(mixed, given, weight)]

    def step() -> dict[str, Any]:
        with kernels("dispatch").forced("reference"):
            double = [x.detach().double().requires_grad_() for x in tensors]
            truth = results(double, to_loss.double())
        with poisoned():
            found = results(tensors, to_loss)
        names = ("mixed", "d_query", "d_key", "d_value", "d_bias")
        row = compare(names, found, truth, TOLERANCE[size.unit])
        again = torch.equal(results(tensors, to_loss)[-1], found[-1])
        return {**row, "correct": row["correct"] and again}

    return Workload(step)
