"""Triton's interpreter, made to work with NumPy 2.4."""

from __future__ import annotations

from typing import Any


def repair() -> None:
    """Let interpreted kernels loop up to a number that they are given.

    Triton 3.6 turns arrays of one element into integers by ``int``, which NumPy 2.4 refuses.
    """
    from triton.runtime import interpreter

    original = interpreter._patch_lang_tensor

    def patched(tensor: Any, scope: Any) -> None:
        original(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    interpreter._patch_lang_tensor = patched
