"""How alike regions of a network are, against smooth embeddings that know no networks.

Regions that lie together are alike and share a network, so that shuffled labels give tiny p-values
for any smooth map. Here networks stay as they are, and embeddings are replaced by surrogates of the
same smoothness: they are projected on the :func:`harmonics` of the brain's layout, and the
projections get random signs (Moran spectral randomisation, of many maps at once). That keeps how
much of each map is smooth or rough, the correlations between maps, and how alike the hemispheres
are; it needs centroids alone, of volumes as of surfaces. The p-value is the largest of three ranges
of smoothness, as the true one is not known.

On random embeddings with ranges from 10 to 80 mm, under the networks of MIST (122 regions) and
under patches, 0 to 13 % of these p-values were below 0.05; of those from shuffled labels all were,
and of those from rotated centroids at least 70 %.

References
----------
Wagner and Dray (2015) Methods in Ecology and Evolution 6, 1169-1178.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_score

from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.recording import results

__all__ = ["harmonics", "network_contrast"]

FloatArray = NDArray[np.float64]

# distances [mm] over which regions are neighbours: nobody knows how smooth embeddings should be
REACHES = (20.0, 40.0, 80.0)
# eigenvalues below this share of the largest are rounding
SMALLEST = 1e-9


def network_contrast(
    similarity: xr.Dataset, *, n_permutations: int = 1000, seed: int = 0
) -> xr.Dataset:
    """Compare similarity inside functional networks with that between them.

    The p-value comes from embeddings as smooth as these, see the module.

    Parameters
    ----------
    similarity
        ``similarity (roi, roi_to)``, cosines, with ``network`` and MNI centroids ``x``, ``y``,
        ``z`` [mm] of ``roi``. Regions without network (``""``) take no part in the means.
    n_permutations, seed
        Surrogates and their seed; 0 for none, and then centroids are not needed.

    Returns
    -------
    xr.Dataset
        ``within`` and ``between``, means over pairs of different regions, and their difference
        ``within_minus_between``; ``silhouette`` of the networks under the distance 1 - cosine, from
        -1 to 1; ``null_difference (reach, permutation)`` of the surrogates, and the one-sided
        ``spatial_p_value``, the largest over ``reach`` [mm] of ``(1 + n_as_large) / (1 +
        n_permutations)``, NaN without surrogates.

    Raises
    ------
    DataError, ConfigError
        If networks or centroids are not known; if the number of permutations is negative.
    DegenerateInputError
        If there are not two networks, one of them with two regions.

    Examples
    --------
    >>> roi = {"network": ("roi", ["a", "a", "b", "b"]), "x": ("roi", [-9.0, -5, 5, 9])}
    >>> matrix = ("roi", "roi_to"), np.kron(np.eye(2), np.ones((2, 2)))
    >>> cosine = results({"similarity": matrix}, {**roi, "y": 0 * matrix[1][0], "z": 0.0})
    >>> float(network_contrast(cosine, n_permutations=0)["within_minus_between"])
    1.0
    """
    if n_permutations < 0:
        raise ConfigError("n_permutations is negative", found=n_permutations, expected="0 or more")
    matrix = similarity["similarity"].transpose("roi", "roi_to").values.astype(np.float64)
    known, code = _networks(similarity)
    factor = _factor(matrix)
    within, between = _means(factor[known], code)
    null, p_value = np.empty((len(REACHES), n_permutations)), np.nan
    if n_permutations:
        null = _null(_centroids(similarity), factor, known, code, n_permutations, seed)
        n_as_large = (null >= within - between).sum(axis=1).max()
        p_value = (1 + n_as_large) / (1 + n_permutations)
    variables = {
        "within": within,
        "between": between,
        "within_minus_between": within - between,
        "silhouette": _silhouette(matrix[np.ix_(known, known)], code),
        "spatial_p_value": float(p_value),
        "null_difference": (("reach", "permutation"), null),
    }
    return results(variables, {"reach": ("reach", list(REACHES), {"units": "mm"})}, seed=seed)


def harmonics(positions: FloatArray, reach: float) -> FloatArray:
    """Return the harmonics of a layout: orthonormal maps from smooth to rough.

    They are the eigenvectors of the weights ``exp(-d / reach) + exp(-m / reach)``, with ``d`` the
    distance of two regions and ``m`` that of the first to the mirror image of the second in the
    other hemisphere: homotopic regions are alike though they are far apart. A random map whose
    covariance falls with distance like these weights has independent projections on them, so
    that any signs of these are as likely.

    Parameters
    ----------
    positions
        MNI centroids [mm], shape ``(roi, 3)``.
    reach
        Distance [mm] over which regions are neighbours.

    Returns
    -------
    ndarray
        Shape ``(roi, roi)``, one map in a column.

    Examples
    --------
    >>> corners = np.array([[-30.0, 0, 0], [30, 0, 0], [-30, 50, 0], [30, 50, 0]])
    >>> basis = harmonics(corners, 20.0)
    >>> np.sign(basis[:, 1] * basis[0, 1])  # front and back, alike on both sides
    array([ 1.,  1., -1., -1.])
    """
    mirrored = positions * np.array([-1.0, 1.0, 1.0])
    weight = np.exp(-cdist(positions, positions) / reach)
    weight += np.exp(-cdist(positions, mirrored) / reach)
    return np.asarray(np.linalg.eigh(weight)[1][:, ::-1])


def _null(
    positions: FloatArray,
    factor: FloatArray,
    known: NDArray[np.int64],
    code: NDArray[np.int64],
    n_permutations: int,
    seed: int,
) -> FloatArray:
    """Return within minus between of surrogates, ``(reach, permutation)``."""
    rng = np.random.default_rng(seed)
    found = np.empty((len(REACHES), n_permutations))
    for row, reach in enumerate(REACHES):
        basis = harmonics(positions, reach)
        for number in range(n_permutations):
            within, between = _means(_surrogate(factor, basis, rng)[known], code)
            found[row, number] = within - between
    return found


def _surrogate(factor: FloatArray, basis: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return unit vectors ``(roi, feature)`` whose maps have the spectrum of those given."""
    sign = rng.choice([-1.0, 1.0], len(basis))
    changed = basis @ (sign[:, None] * (basis.T @ factor))
    length = np.linalg.norm(changed, axis=1, keepdims=True)
    return np.asarray(changed / np.maximum(length, np.finfo(float).tiny))


def _means(factor: FloatArray, code: NDArray[np.int64]) -> tuple[float, float]:
    """Return mean cosines within and between networks from sums of unit vectors."""
    size = np.bincount(code)
    total = np.zeros((size.size, factor.shape[1]))
    np.add.at(total, code, factor)
    own = float((factor**2).sum())
    within, all_pairs = float((total**2).sum()) - own, float((total.sum(axis=0) ** 2).sum()) - own
    n_within = float((size * (size - 1)).sum())
    n_between = float(code.size * (code.size - 1)) - n_within
    return within / n_within, (all_pairs - within) / n_between


def _silhouette(matrix: FloatArray, code: NDArray[np.int64]) -> float:
    distance = np.clip(1.0 - matrix, 0.0, None)
    np.fill_diagonal(distance, 0.0)
    return float(silhouette_score(distance, code, metric="precomputed"))


def _factor(matrix: FloatArray) -> FloatArray:
    """Return vectors ``(roi, feature)`` whose inner products are the matrix."""
    value, vector = np.linalg.eigh(0.5 * (matrix + matrix.T))
    if not np.allclose(np.diag(matrix), 1.0, atol=1e-6) or value[0] < -1e-6 * value[-1]:
        raise DataError(
            "not a matrix of cosines",
            found=f"diagonal from {np.diag(matrix).min():.3g} to {np.diag(matrix).max():.3g},"
            f" least eigenvalue {value[0]:.3g}",
            expected="1 on the diagonal and no negative eigenvalue",
        )
    kept = value > SMALLEST * value[-1]
    return np.asarray(vector[:, kept] * np.sqrt(value[kept]))


def _networks(similarity: xr.Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which regions have a network, and the number of it."""
    if "network" not in similarity.coords:
        raise DataError(
            "the networks of regions are not known",
            found=", ".join(map(str, similarity.coords)),
            expected="a coordinate network of roi",
        )
    label = similarity["network"].values.astype(str)
    known = np.flatnonzero(label != "")
    names, code = np.unique(label[known], return_inverse=True)
    size = np.bincount(code)
    if names.size < 2 or size.max() < 2:
        raise DegenerateInputError(
            "networks are too few to compare",
            found=f"{names.size} networks of {', '.join(map(str, size[:10]))} regions",
            expected="two or more, one of them with two regions",
        )
    return known, code


def _centroids(similarity: xr.Dataset) -> FloatArray:
    if not all(axis in similarity.coords for axis in "xyz"):
        raise DataError(
            "a spatial null needs to know where regions are",
            found=", ".join(map(str, similarity.coords)),
            expected="MNI centroids [mm] as coordinates x, y, z of roi",
            hint="n_permutations=0 leaves out the null",
        )
    n_rois = similarity.sizes["roi"]
    axes = [np.broadcast_to(similarity[axis].values.astype(float), n_rois) for axis in "xyz"]
    found = np.stack(axes, axis=1)
    if not np.isfinite(found).all():
        raise DataError(
            "centroids are not finite", found=f"{int((~np.isfinite(found)).any(1).sum())} regions"
        )
    return found
