"""Networks against smooth maps: the contrast, and a null that holds where shuffling fails."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from neurodyn import recording as rec
from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.models.brainmae.spatial_null import harmonics, network_contrast


def layout(n_pairs=30, seed=0):
    """Return centroids of regions in pairs, one on each side, in a box of a brain's size."""
    rng = np.random.default_rng(seed)
    right = rng.uniform([5, -90, -40], [65, 60, 70], (n_pairs, 3))
    return np.concatenate([right, right * [-1, 1, 1]])


def cosines(embedding, positions, network):
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    columns = dict(zip("xyz", positions.T))
    coords = {name: ("roi", values) for name, values in columns.items()}
    coords["network"] = ("roi", np.array(network, dtype=object))
    return rec.results({"similarity": (("roi", "roi_to"), unit @ unit.T)}, coords)


def patches(positions):
    """Return networks that are patches, alike on both sides."""
    folded = np.abs(positions[:, 0])
    return [f"{x:d}{y:d}" for x, y in zip((folded > 35).astype(int), (positions[:, 1] > -15))]


def test_contrast_is_the_difference_of_means(rng):
    network = np.array(["a", "b", "", "a", "b", "c"])
    similarity = cosines(rng.normal(size=(6, 4)), rng.normal(size=(6, 3)), network)
    found = network_contrast(similarity, n_permutations=0)
    matrix, known = similarity["similarity"].values, network != ""
    off = ~np.eye(6, dtype=bool) & known & known[:, None]
    same = network == network[:, None]
    assert float(found["within"]) == pytest.approx(matrix[off & same].mean())
    assert float(found["between"]) == pytest.approx(matrix[off & ~same].mean())
    difference = float(found["within"] - found["between"])
    assert float(found["within_minus_between"]) == pytest.approx(difference)
    assert np.isnan(found["spatial_p_value"])
    assert found["null_difference"].sizes == {"reach": 3, "permutation": 0}
    assert -1 <= float(found["silhouette"]) <= 1


def test_networks_across_the_brain_are_found(rng):
    """Networks whose regions lie far apart are more than smoothness."""
    positions = layout()
    code = rng.permutation(30) % 4
    code = np.concatenate([code, code])
    embedding = np.eye(4)[code] + 0.4 * rng.normal(size=(60, 4))
    similarity = cosines(embedding, positions, code.astype(str))
    found = network_contrast(similarity, n_permutations=200, seed=1)
    assert float(found["spatial_p_value"]) == pytest.approx(1 / 201)
    assert float(found["silhouette"]) > 0.3
    again = network_contrast(similarity, n_permutations=200, seed=1)
    np.testing.assert_array_equal(found["null_difference"], again["null_difference"])


def test_smooth_maps_without_networks_are_not_taken_for_networks(rng):
    """Shuffled labels call every smooth random map a network; harmonics do so rarely."""
    positions = layout()
    mirrored = positions * [-1, 1, 1]
    covariance = np.exp(-cdist(positions, positions) / 30) + np.exp(
        -cdist(positions, mirrored) / 30
    )
    root = np.linalg.cholesky(covariance + 0.3 * np.eye(60))
    network = np.array(patches(positions))
    spatial, shuffled = [], []
    for number in range(30):
        similarity = cosines(root @ rng.normal(size=(60, 16)), positions, network)
        found = network_contrast(similarity, n_permutations=59, seed=number)
        spatial.append(float(found["spatial_p_value"]))
        null = [
            float(
                network_contrast(
                    similarity.assign_coords(network=("roi", rng.permutation(network))),
                    n_permutations=0,
                )["within_minus_between"]
            )
            for _ in range(19)
        ]
        shuffled.append((1 + np.sum(null >= found["within_minus_between"].values)) / 20)
    assert np.mean(np.array(shuffled) <= 0.05) > 0.9
    assert np.mean(np.array(spatial) <= 0.05) <= 0.2


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 20), st.integers(0, 2**31))
def test_harmonics_are_orthonormal_from_smooth_to_rough(n_pairs, seed):
    basis = harmonics(layout(n_pairs, seed), 40.0)
    np.testing.assert_allclose(basis.T @ basis, np.eye(2 * n_pairs), atol=1e-9)
    # the smoothest has one sign everywhere, and is the same on both sides
    assert (np.sign(basis[:, 0]) == np.sign(basis[0, 0])).all()
    np.testing.assert_allclose(basis[:n_pairs, 0], basis[n_pairs:, 0], atol=1e-9)


def test_what_is_impossible_is_refused(rng):
    similarity = cosines(rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), ["a", "a", "b", "b"])
    with pytest.raises(DataError, match=r"(?s)where regions are.*x, y, z of roi.*n_permutations=0"):
        network_contrast(similarity.drop_vars("x"))
    with pytest.raises(DataError, match=r"(?s)centroids are not finite.*1 regions"):
        network_contrast(similarity.assign_coords(x=("roi", [np.nan, 0, 0, 0])))
    with pytest.raises(DataError, match=r"(?s)networks of regions are not known"):
        network_contrast(similarity.drop_vars("network"))
    with pytest.raises(DegenerateInputError, match=r"(?s)too few.*1 networks of 4 regions"):
        network_contrast(similarity.assign_coords(network=("roi", ["a"] * 4)))
    with pytest.raises(DegenerateInputError, match=r"4 networks of 1, 1, 1, 1 regions"):
        network_contrast(similarity.assign_coords(network=("roi", list("abcd"))))
    with pytest.raises(ConfigError, match="n_permutations is negative"):
        network_contrast(similarity, n_permutations=-1)
    with pytest.raises(DataError, match=r"(?s)not a matrix of cosines.*diagonal from 2 to 2"):
        network_contrast(similarity.assign(similarity=2 * similarity["similarity"]))
