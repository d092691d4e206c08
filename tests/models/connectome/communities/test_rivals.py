"""Modularity, and graph-tool under its own interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import normalized_mutual_info_score

from neurodyn import recording
from neurodyn.errors import (
    ConfigError,
    DataError,
    DegenerateInputError,
    MissingDependencyError,
    NeurodynError,
)
from neurodyn.models.connectome.communities import graph_tool_communities, louvain_communities
from neurodyn.models.connectome.communities.graph_tool import SCRIPT, require_graph_tool

from .graphs import planted


@pytest.fixture(scope="session")
def graph_tool():
    """Require graph-tool; its absence is an error in CI."""
    try:
        require_graph_tool()
    except MissingDependencyError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip("graph-tool is not on this machine")


def test_modularity_is_that_of_the_karate_club():
    club = nx.karate_club_graph()
    weights = nx.to_numpy_array(club)
    found = louvain_communities(weights, seed=1)
    assert 0.42 < found["modularity"] < 0.46
    n_communities = int(found["n_communities"])
    assert n_communities in (3, 4)
    groups = [set(np.flatnonzero(found["community"] == k)) for k in range(n_communities)]
    assert found["modularity"] == pytest.approx(nx.community.modularity(club, groups))
    assert [len(group) for group in groups] == sorted(map(len, groups), reverse=True)


def test_louvain_keeps_labels_and_seeds():
    weights, group = planted(40, 2, 1.6, 0)
    names = [f"n{i}" for i in range(40)]
    labelled = xr.DataArray(weights, {"unit": names}, ("unit", "unit_to"))
    found = louvain_communities(labelled, seed=3)
    assert found["unit"].values.tolist() == names
    assert found.identical(louvain_communities(labelled, seed=3))
    assert normalized_mutual_info_score(group, found["community"].values) > 0.9
    assert louvain_communities(weights, resolution=0.1)["n_communities"] == 1


def test_louvain_divides_graphs_of_chance_too():
    assert louvain_communities(planted(60, 2, 0.0, 0)[0])["n_communities"] > 1


@pytest.mark.parametrize("find", [louvain_communities, graph_tool_communities])
def test_rivals_know_no_missing_pairs(find):
    weights = np.ones((4, 4))
    weights[0, 1] = weights[1, 0] = np.nan
    with pytest.raises(DataError, match=r"1 pairs with weight NaN(.*\n)*.*find_communities"):
        find(weights)
    with pytest.raises(DegenerateInputError, match="no edge"):
        find(np.zeros((4, 4)))


def test_resolution_must_be_positive():
    with pytest.raises(ConfigError, match="resolution must be positive"):
        louvain_communities(np.ones((4, 4)), resolution=0.0)


@pytest.mark.usefixtures("graph_tool")
@pytest.mark.parametrize("nested", [True, False])
def test_graph_tool_finds_planted_communities(nested, tmp_path):
    weights, group = planted(60, 2, 1.5, 0)
    names = [f"n{i}" for i in range(60)]
    labelled = xr.DataArray(weights, {"unit": names}, ("unit", "unit_to"))
    found = graph_tool_communities(labelled, nested=nested, seed=1)
    # the single model over-splits small graphs, more or less by seed
    if nested:
        assert normalized_mutual_info_score(group, found["community"].values) > 0.8
    assert found["community"].dims == ("unit",)
    assert found["unit"].values.tolist() == names
    np.testing.assert_array_equal(found["level_community"][0], found["community"])
    counts = found["level_n_communities"].values
    assert counts[0] == found["n_communities"] == found["community"].max() + 1
    assert (np.diff(counts) < 0).all()
    assert counts[-1] == 1 if nested else len(counts) == 1
    assert np.isfinite(found["description_length"])
    assert found.attrs["graph_tool"]
    assert recording.load(recording.save(found, tmp_path / "found.nc")).identical(found)


@pytest.mark.usefixtures("graph_tool")
def test_graph_tool_takes_a_seed_and_a_time_limit():
    weights = planted(20, 2, 1.8, 1)[0]
    first = graph_tool_communities(weights, nested=False, seed=2)
    assert first.identical(graph_tool_communities(weights, nested=False, seed=2))
    with pytest.raises(NeurodynError, match=r"no answer within 0.01 s(.*\n)*.*timeout="):
        graph_tool_communities(weights, timeout=0.01)


@pytest.mark.parametrize("interpreter", [sys.executable, "/no/such/python"])
def test_missing_graph_tool_is_named(monkeypatch, interpreter):
    monkeypatch.setenv("NEURODYN_GRAPHTOOL_PYTHON", interpreter)
    with pytest.raises(ImportError, match=r"apt-get install python3-graph-tool"):
        graph_tool_communities(np.ones((4, 4)))


def test_a_failure_of_graph_tool_is_told(monkeypatch, tmp_path):
    # an interpreter that says it has graph-tool and then fails
    broken = tmp_path / "python"
    broken.write_text('#!/bin/sh\n[ "$2" = "-c" ] && exit 0\necho "no memory" >&2\nexit 1\n')
    broken.chmod(0o755)
    monkeypatch.setenv("NEURODYN_GRAPHTOOL_PYTHON", str(broken))
    with pytest.raises(NeurodynError, match=r"graph-tool failed(.*\n)*.*no memory"):
        graph_tool_communities(np.ones((4, 4)))


def test_an_answer_for_another_graph_is_refused(monkeypatch, tmp_path):
    answer = (
        '{"levels": [[0, 1]], "description_length": 1, "degree_corrected": true, "version": "0"}'
    )
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\n[ "$2" = "-c" ] && exit 0\necho \'{answer}\' > "$4"\n')
    other.chmod(0o755)
    monkeypatch.setenv("NEURODYN_GRAPHTOOL_PYTHON", str(other))
    with pytest.raises(DataError, match="another graph"):
        graph_tool_communities(np.ones((4, 4)))


def test_the_script_stands_alone():
    text = Path(SCRIPT).read_text(encoding="utf-8")
    assert "import neurodyn" not in text
    assert "from neurodyn" not in text
    done = subprocess.run([sys.executable, "-I", str(SCRIPT)], capture_output=True, check=False)
    assert done.returncode != 0
