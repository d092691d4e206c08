"""Synthetic recordings of each kind, as files and as sessions."""

from functools import cache

import pytest

from neurodyn.nlb import make_clock, task

from . import synthetic
from .nwb import read_session


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Give the test and the train file of a kind, each written once."""

    @cache
    def written(kind):
        return synthetic.write(tmp_path_factory.mktemp(kind), kind)

    return written


@pytest.fixture(scope="session")
def sessions(files):
    """Give the sessions of a kind, test file first."""
    return cache(lambda kind: [read_session(path) for path in files(kind)])


@pytest.fixture(scope="session")
def clocks(sessions):
    """Give the task and the clock of a kind at a bin size in ms."""

    @cache
    def made(kind, bin_ms):
        declared = task(kind, bin_ms / 1000)
        return make_clock(sessions(kind), declared), declared

    return made
