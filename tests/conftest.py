"""Fixtures for all tests: seeded randomness and the folder of shared recordings."""

from __future__ import annotations

import os
from pathlib import Path

# One thread for each worker, also in child processes: small arrays gain nothing from more, and
# two workers with two threads each wait for one another.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Triton decides when it is imported, by whatever test, that it runs in its interpreter.
os.environ["TRITON_INTERPRET"] = "1"

import numpy as np  # noqa: E402
import pytest  # noqa: E402

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261123)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the project; its absence is an error in CI."""
    if SHARED.is_dir():
        return SHARED
    if os.environ.get("CI"):
        pytest.fail(f"the shared recordings are missing: {SHARED}")
    pytest.skip("the shared recordings (../shared/data) are not on this machine")
