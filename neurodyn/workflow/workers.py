"""The same work for many jobs: here, in several processes, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, TypeVar

from neurodyn.errors import MissingDependencyError
from neurodyn.training.display import tracked

__all__ = ["run_jobs"]

J = TypeVar("J")
R = TypeVar("R")


def run_jobs(
    function: Callable[[J], R],
    jobs: Sequence[J],
    *,
    client: Any = None,
    n_workers: int = 1,
    label: str = "working",
) -> list[R]:
    """Return what a function gives for each job, in their order.

    Parameters
    ----------
    function
        Of a module, so that other processes find it.
    jobs
        What it is called with.
    client
        ``dask.distributed.Client`` of a cluster that sees the files.
    n_workers
        Without a client: processes here, by Dask if more than one.
    label
        Beside the progress bar.

    Raises
    ------
    MissingDependencyError
        If several workers are asked for without Dask.

    Examples
    --------
    >>> run_jobs(abs, [-1, 2])
    [1, 2]
    """
    if client is None and n_workers == 1:
        return [function(job) for job in tracked(jobs, label)]
    with _workers(n_workers) if client is None else contextlib.nullcontext(client) as dask:
        return list(dask.gather(dask.map(function, jobs, pure=False)))


@contextlib.contextmanager
def _workers(n_workers: int) -> Iterator[Any]:
    """Give a Dask client of processes on this machine, which end with the block."""
    try:
        distributed: Any = import_module("dask.distributed")
    except ImportError as error:
        raise MissingDependencyError("dask.distributed", "dask") from error
    with (
        tempfile.TemporaryDirectory() as scratch,
        distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=scratch,
            # a worker that is slow to end is killed, which nobody needs to know
            silence_logs=logging.ERROR,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client
