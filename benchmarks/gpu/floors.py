"""How fast this device copies and multiplies: what no kernel can be faster than."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.gpu.case import Case, Workload

NAME = "floors"


def cases(tiny: bool) -> list[Case]:
    """Return one copy and one large matrix product in each precision."""
    size = 64 if tiny else 8192
    kinds = {"bf16": torch.bfloat16, "tf32": torch.float32, "fp32": torch.float32}

    def case(name: str, build: Callable[[torch.device], Workload]) -> Case:
        return Case(NAME, name, "library", "forward", build, rank=0, seconds=1.0)

    products = [case(unit, partial(product, unit, kind, size)) for unit, kind in kinds.items()]
    return [case("copy", partial(copy, 16 * size**2)), *products]


def copy(n_bytes: int, device: torch.device) -> Workload:
    """Copy a buffer on the device; counted is what is read and what is written."""
    source = torch.randint(0, 255, (n_bytes,), dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return Workload(lambda: target.copy_(source), n_bytes=2.0 * n_bytes)


def product(unit: str, kind: torch.dtype, size: int, device: torch.device) -> Workload:
    """Multiply two square matrices of random numbers."""
    size = size // 2 if unit == "fp32" else size
    left, right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    out = torch.empty_like(left)

    def step() -> None:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest" if unit == "fp32" else "high")
        torch.mm(left, right, out=out)
        torch.set_float32_matmul_precision(before)

    return Workload(step, n_operations=2.0 * size**3, unit=unit)
