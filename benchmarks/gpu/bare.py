"""Import ``neurodyn.kernels`` where the package's other requirements are missing."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = Path(__file__).resolve().parents[2] / "neurodyn"


def operation(name: str) -> Any:
    """Return the public function of ``neurodyn.kernels.<name>``."""
    return getattr(kernels(name), name)


def kernels(name: str) -> ModuleType:
    """Return the module ``neurodyn.kernels.<name>``.

    The kernels need torch and triton alone, but importing them imports ``neurodyn`` first, which
    needs ``lazy_loader``. Where that is missing an empty package stands in for the parent.
    """
    try:
        import neurodyn  # noqa: F401
    except ModuleNotFoundError as missing:
        if missing.name != "lazy_loader":
            raise
        parent = ModuleType("neurodyn")
        parent.__path__ = [str(PACKAGE)]
        sys.modules["neurodyn"] = parent
    return import_module(f"neurodyn.kernels.{name}")
