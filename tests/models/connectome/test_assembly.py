"""Blocks and stages against sums written out."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn.errors import ConfigError, EmptySelectionError
from neurodyn.models.connectome.assembly import (
    active,
    block_activity,
    expected_affinity,
    node_dim_of,
    stages,
)
from neurodyn.recording import results


def components(rng, n_nodes=5, n_time=12, n_animals=3):
    pair = rng.random((2, n_nodes, n_nodes))
    pair = pair + pair.transpose(0, 2, 1)
    pair[:, range(n_nodes), range(n_nodes)] = 0.0
    pair[:, 0, 4] = pair[:, 4, 0] = np.nan
    nodes = list("abcde")[:n_nodes]
    time = np.zeros((2, n_time))
    time[0, :4] = [1, 2, 2, 1]
    time[1, 6:9] = [3, 4, 3]
    return results(
        {
            "strength": ("component", [2.0, 0.5]),
            "pair_factor": (("component", "roi", "roi_to"), pair),
            "time_factor": (("component", "time"), time),
            "animal_factor": (("component", "animal"), rng.random((2, n_animals))),
            "community": (("component", "roi"), np.array([[0, 0, 0, 1, 1], [0, 0, 1, 1, 2]])),
        },
        {
            "component": ["1", "2"],
            "roi": nodes,
            "roi_to": nodes,
            "time": np.arange(n_time) * 0.5,
            "animal": ["w1", "w2", "w3"],
        },
    )


def test_a_component_is_active_above_its_own_quantile(rng):
    found = active(components(rng), 0.75)
    assert found.values[0].nonzero()[0].tolist() == [1, 2]
    with pytest.raises(ConfigError, match="quantile must lie"):
        active(components(rng), 1.0)


def test_block_activity_is_course_times_mean_affinity_inside(rng):
    made = components(rng)
    found = block_activity(made)
    assert found.dims == ("component", "community_label", "time")
    pair = made["pair_factor"].values[0]
    inside = np.mean([pair[0, 1], pair[0, 2], pair[1, 2]])
    np.testing.assert_allclose(found[0, 0], 2.0 * made["time_factor"][0] * inside)
    np.testing.assert_allclose(found[0, 1], 2.0 * made["time_factor"][0] * pair[3, 4])
    assert found[1, 2].isnull().all()
    assert found[0, 2].isnull().all()
    with pytest.raises(EmptySelectionError, match="no communities"):
        block_activity(made.drop_vars("community"))


def test_expected_affinity_is_the_model_of_the_factorisation(rng):
    made = components(rng)
    whole = np.einsum(
        "r,rij,rt,rw->twij",
        *(made[n].values for n in ("strength", "pair_factor", "time_factor", "animal_factor")),
    )
    np.testing.assert_allclose(expected_affinity(made), whole.mean(axis=(0, 1)))
    np.testing.assert_allclose(expected_affinity(made, animal="w2"), whole[:, 1].mean(axis=0))
    weight = rng.random((3, 12))
    np.testing.assert_allclose(
        expected_affinity(made, weight), np.einsum("st,tij->sij", weight, whole.mean(axis=1))
    )


def test_stages_hold_the_communities_of_active_components(rng):
    made = components(rng)
    found = stages(made, [("early", 0.0, 2.0), ("late", 3.0, 5.0), ("rest", 5.0, 6.0)])
    assert found["stage_active"].values.tolist() == [[True, False], [False, True], [False, False]]
    assert found["stage_community"].values.tolist() == [
        [0, 0, 0, 1, 1],
        [2, 2, 3, 3, -1],
        [-1, -1, -1, -1, -1],
    ]
    assert found.attrs["community_name"] == ["1.0", "1.1", "2.0", "2.1", "2.2"]
    np.testing.assert_allclose(found["expected_affinity"].sel(stage="rest").fillna(0), 0.0)
    assert found["expected_affinity"].sel(roi="a", roi_to="e").isnull().all()
    with pytest.raises(EmptySelectionError, match="stage 'never' holds no sample"):
        stages(made, [("never", 90.0, 95.0)])


def test_neuron_factors_make_no_graphs(rng):
    with pytest.raises(EmptySelectionError, match="holds no pair_factor"):
        node_dim_of(components(rng).drop_vars("pair_factor"))
