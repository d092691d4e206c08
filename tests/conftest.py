"""Fixtures for all tests: seeded randomness and the folder of shared recordings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

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
