from __future__ import annotations

import pytest
import torch

from . import toy


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """The same number of threads here as in the processes that are compared with this one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """Traces and result of a run of the toy that nothing disturbed, by its settings."""
    known = {}

    def get(**changes):
        key = tuple(sorted(changes.items()))
        if key not in known:
            folder = tmp_path_factory.mktemp("uninterrupted")
            result = toy.run(folder, **changes)
            known[key] = toy.traces(folder), result
        return known[key]

    return get
