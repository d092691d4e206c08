"""Fixtures of the reader tests."""

from __future__ import annotations

import pytest
from loopback import running_site

from neurodyn.io.network import RemotePolicy


@pytest.fixture
def site():
    with running_site() as found:
        yield found


@pytest.fixture
def policy(tmp_path):
    """Loopback allowed, impatient, with a cache of its own."""
    return RemotePolicy(
        trusted_hosts=("127.0.0.1",),
        allow_http=True,
        retries=2,
        backoff=0.001,
        timeout=5.0,
        block_size=1000,
        cache=tmp_path / "cache",
    )
