"""Fit a block model with graph-tool; run by its own interpreter, not imported by neurodyn.

    python graph_tool_script.py GRAPH.json ANSWER.json

It stands alone on purpose, and runs with Python 3.11 and numpy 1.24.
"""

from __future__ import annotations

import json
import sys
from typing import Any

__all__ = ["fit", "main"]


def fit(task: dict[str, Any]) -> dict[str, Any]:
    """Return the shorter of the descriptions with and without degree correction."""
    # here and not above: the file can be read where graph-tool is not
    import graph_tool  # type: ignore[import-not-found]
    from graph_tool import inference

    graph = graph_tool.Graph(directed=False)
    graph.add_vertex(task["n_nodes"])
    graph.add_edge_list(zip(task["source"], task["target"]))
    weight = graph.new_edge_property("double", vals=task["weight"])
    best: dict[str, Any] | None = None
    for degree_corrected in (False, True):
        graph_tool.seed_rng(task["seed"])
        arguments = {
            "deg_corr": degree_corrected,
            "recs": [weight],
            "rec_types": ["real-exponential"],
        }
        if task["nested"]:
            state = inference.minimize_nested_blockmodel_dl(graph, state_args=arguments)
            n_levels = len(state.get_levels())
            levels = [list(map(int, state.project_level(k).get_blocks())) for k in range(n_levels)]
        else:
            state = inference.minimize_blockmodel_dl(graph, state_args=arguments)
            levels = [list(map(int, state.get_blocks()))]
        answer = {
            "levels": levels,
            "description_length": float(state.entropy()),
            "degree_corrected": degree_corrected,
            "version": graph_tool.__version__,
        }
        if best is None or answer["description_length"] < best["description_length"]:
            best = answer
    return best or {}


def main() -> None:
    """Read the task, fit, and write the answer."""
    with open(sys.argv[1], encoding="utf-8") as file:
        task = json.load(file)
    answer = fit(task)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()
