"""NWB-Zarr files need hdmf-zarr with zarr 2, which live in an environment of their own."""

from __future__ import annotations

import importlib.util

import pytest

MISSING = importlib.util.find_spec("hdmf_zarr") is None


def pytest_collection_modifyitems(items):
    skip = pytest.mark.skip(reason="hdmf-zarr is not installed here; make test-zarr runs these")
    for item in items:
        if MISSING and "zarr" in item.path.parts:
            item.add_marker(skip)
