"""Communities by graph-tool [1]_, which runs under its own interpreter.

graph-tool comes with the distribution's Python and cannot be installed into other environments,
so the graph goes to a second process as JSON and the answer comes back the same way.

References
----------
.. [1] Peixoto (2017). Nonparametric Bayesian inference of the microcanonical stochastic block
   model. Phys. Rev. E 95, 012317.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodyn.errors import DataError, MissingDependencyError, NeurodynError
from neurodyn.models.connectome.communities.graph import WeightedGraph, Weights, read_graph
from neurodyn.models.connectome.communities.labels import conclusion, largest_first
from neurodyn.provenance import add_history
from neurodyn.recording import results

__all__ = ["graph_tool_communities", "require_graph_tool"]

SCRIPT = Path(__file__).with_name("graph_tool_script.py")
VARIABLE, DEFAULT = "NEURODYN_GRAPHTOOL_PYTHON", "/usr/bin/python3"
PROBE_SECONDS = 60.0


def graph_tool_communities(
    weights: Weights,
    *,
    nested: bool = True,
    zero_below: float = 1e-6,
    seed: int = 0,
    timeout: float = 600.0,
) -> xr.Dataset:
    """Find communities with graph-tool's stochastic block model, weights exponential.

    It is fitted with and without degree correction, and the shorter description is kept.

    Parameters
    ----------
    weights
        Shape ``(roi, roi_to)`` with any names: symmetric, not negative, each pair seen.
    nested
        A hierarchy of block models; else a single one.
    zero_below
        Weights up to this share of the largest are no edges.
    seed
        Of graph-tool.
    timeout
        Most seconds to wait.

    Returns
    -------
    xr.Dataset
        Kind ``results``: ``community(roi)`` of the lowest level, int64 from 0, the largest first;
        ``n_communities``; ``level_community(level, roi)`` and ``level_n_communities(level)``, the
        lowest level first; ``description_length`` [nats], not comparable with that of
        :func:`~neurodyn.models.connectome.communities.block_model.find_communities`;
        ``degree_corrected``.

    Raises
    ------
    MissingDependencyError
        If no interpreter with graph-tool is found; ``NEURODYN_GRAPHTOOL_PYTHON`` names one.
    DataError
        If the weights are not square, not symmetric, negative, infinite, or missing.
    DegenerateInputError
        With fewer than three nodes or no positive weight.
    NeurodynError
        If graph-tool fails or takes longer than ``timeout``.

    Examples
    --------
    >>> found = graph_tool_communities(weights, nested=True)  # doctest: +SKIP
    >>> found["level_n_communities"].values.tolist()  # doctest: +SKIP
    [8, 3, 1]
    """
    graph = read_graph(weights, zero_below)
    graph.require_all_seen("graph-tool")
    task = {**_edges(graph), "nested": nested, "seed": seed}
    found = _describe(graph, _run(require_graph_tool(), task, timeout))
    return add_history(found, "graph_tool_communities", nested=nested, seed=seed)


def require_graph_tool() -> str:
    """Return the path of an interpreter that has graph-tool.

    Raises
    ------
    MissingDependencyError
        If there is none.
    """
    interpreter = os.environ.get(VARIABLE, DEFAULT)
    if not _has_graph_tool(interpreter):
        error = MissingDependencyError("graph-tool", "")
        error.found = f"no graph_tool in {interpreter}"
        error.hint = (
            f"apt-get install python3-graph-tool, or set {VARIABLE} to an interpreter that has it"
        )
        raise error
    return interpreter


@functools.cache
def _has_graph_tool(interpreter: str) -> bool:
    # isolated: this folder holds a file of the same name
    command = [interpreter, "-I", "-c", "import graph_tool.inference"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _edges(graph: WeightedGraph) -> dict[str, Any]:
    source, target = np.nonzero(np.triu(graph.weights))
    return {
        "n_nodes": graph.n_nodes,
        "source": source.tolist(),
        "target": target.tolist(),
        "weight": graph.weights[source, target].tolist(),
    }


def _run(interpreter: str, task: dict[str, Any], timeout: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "graph.json", Path(folder) / "answer.json"
        question.write_text(json.dumps(task), encoding="utf-8")
        command = [interpreter, "-I", str(SCRIPT), str(question), str(answer)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise NeurodynError(
                "graph-tool takes too long",
                found=f"no answer within {timeout:g} s",
                hint="timeout=... waits longer; find_communities is faster",
            ) from error
        if done.returncode or not answer.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise NeurodynError("graph-tool failed", where=interpreter, found=last)
        return dict(json.loads(answer.read_text(encoding="utf-8")))


def _describe(graph: WeightedGraph, answer: dict[str, Any]) -> xr.Dataset:
    levels = [largest_first(np.array(level)) for level in answer["levels"]]
    if any(level.size != graph.n_nodes for level in levels):
        raise DataError("graph-tool answered for another graph", expected=graph.n_nodes)
    counts = [int(level.max()) + 1 for level in levels]
    # what lies above a single community tells nothing
    n_levels = counts.index(1) + 1 if 1 in counts else len(counts)
    levels, counts = levels[:n_levels], counts[:n_levels]
    variables = {
        "community": (graph.dim, levels[0]),
        "n_communities": np.int64(counts[0]),
        "level_community": (("level", graph.dim), np.stack(levels)),
        "level_n_communities": ("level", np.array(counts, dtype=np.int64)),
        "description_length": ((), answer["description_length"], {"units": "nats"}),
        "degree_corrected": bool(answer["degree_corrected"]),
    }
    coords = {graph.dim: graph.labels, "level": np.arange(len(levels))}
    return results(
        variables, coords, conclusion=conclusion(levels[0]), graph_tool=answer["version"]
    )
