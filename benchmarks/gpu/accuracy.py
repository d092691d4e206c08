"""Compare what a kernel gives with the same computed in double precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor


@contextlib.contextmanager
def poisoned() -> Iterator[None]:
    """Fill everything that is allocated uninitialised with NaN, so that a gap shows."""
    with contextlib.ExitStack() as stack:
        for name in ("empty", "empty_like"):
            original = getattr(torch, name)

            def filled(*shape: Any, _original: Any = original, **more: Any) -> Tensor:
                made: Tensor = _original(*shape, **more)
                return made.fill_(torch.nan) if made.is_floating_point() else made

            stack.enter_context(patch.object(torch, name, filled))
        yield


def relative_error(found: Tensor, truth: Tensor) -> float:
    """Return ``|found - truth| / |truth|``; NaN wherever one of them holds NaN."""
    found, truth = found.detach().double(), truth.detach().double()
    difference = torch.linalg.vector_norm(found - truth)
    return float(difference / torch.linalg.vector_norm(truth).clamp_min(1e-30))


def compare(
    names: Sequence[str], found: Sequence[Tensor], truth: Sequence[Tensor], tolerance: float
) -> dict[str, Any]:
    """Return the relative error of each result and whether all stay below a tolerance."""
    errors = {n: relative_error(f, t) for n, f, t in zip(names, found, truth, strict=True)}
    # NaN is below nothing, so it never passes.
    correct = all(error < tolerance for error in errors.values())
    return {"errors": errors, "tolerance": tolerance, "correct": correct}
