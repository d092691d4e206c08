"""What a kernel is compiled with, so that it can be compiled where no GPU is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["AheadOfTime"]


class AheadOfTime(NamedTuple):
    """One kernel at one size.

    Examples
    --------
    >>> AheadOfTime("gru_scan forward H=64", None, {"gates": "*fp32"}, {"HIDDEN": 64}).n_warps
    4
    """

    #: What to call it in a report, the size included.
    name: str
    #: The function under ``triton.jit``.
    kernel: Any
    #: Types of its run-time arguments, such as ``{"gates": "*fp32", "n_time": "i32"}``.
    signature: Mapping[str, str]
    #: Values of its compile-time arguments.
    constants: Mapping[str, Any]
    n_warps: int = 4
    n_stages: int = 1
    #: The least compute capability that it runs on: 80 is 8.0.
    oldest: int = 80
