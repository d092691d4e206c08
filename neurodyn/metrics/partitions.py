"""How well partitions into communities agree.

Partitions with labels are compared label by label, whatever their order; what does not match is
refused. The names of communities carry no meaning: all scores are free of label switching.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Literal, TypeGuard

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurodyn.errors import DataError, DegenerateInputError, one_of, suggest

__all__ = [
    "adjusted_mutual_information",
    "adjusted_rand_index",
    "best_match_f1",
    "normalised_mutual_information",
    "variation_of_information",
]

FloatArray = NDArray[np.float64]
Unassigned = Literal["raise", "exclude"]


def normalised_mutual_information(
    first: ArrayLike | xr.DataArray,
    second: ArrayLike | xr.DataArray,
    *,
    unassigned: Unassigned = "raise",
) -> float:
    """Return the mutual information of two partitions over the mean of their entropies.

    ``2 I(U; V) / (H(U) + H(V))``: 0 to 1, and 1 for two partitions of one community each. It is
    not corrected for chance: many small communities agree with anything to some degree.

    Parameters
    ----------
    first, second
        The community of each node, shape ``(node,)``: numbers or text. Two arrays with
        coordinates are matched by label. -1 and NaN stand for "in no community".
    unassigned
        Nodes in no community: ``raise``, or ``exclude`` them from both partitions.

    Raises
    ------
    DataError
        If the nodes differ, labels meet positions, or a node is in no community.
    DegenerateInputError
        If no node is left.

    Examples
    --------
    >>> normalised_mutual_information([0, 0, 1, 1], ["b", "b", "a", "a"])
    1.0
    """
    from sklearn.metrics import normalized_mutual_info_score

    codes = _codes(first, second, unassigned)
    return float(normalized_mutual_info_score(*codes, average_method="arithmetic"))


def adjusted_mutual_information(
    first: ArrayLike | xr.DataArray,
    second: ArrayLike | xr.DataArray,
    *,
    unassigned: Unassigned = "raise",
) -> float:
    """Return the mutual information of two partitions, corrected for chance.

    ``(I - E[I]) / (mean(H(U), H(V)) - E[I])``, with the expectation over random partitions of
    the same sizes: 0 on average for unrelated ones (it can be negative), 1 for equal ones.

    Parameters
    ----------
    first, second, unassigned
        As in :func:`normalised_mutual_information`.

    Raises
    ------
    DataError, DegenerateInputError
        As :func:`normalised_mutual_information`.

    Examples
    --------
    >>> adjusted_mutual_information([0, 0, 1, 1], [1, 1, 0, 0])
    1.0
    """
    from sklearn.metrics import adjusted_mutual_info_score

    codes = _codes(first, second, unassigned)
    return float(adjusted_mutual_info_score(*codes, average_method="arithmetic"))


def adjusted_rand_index(
    first: ArrayLike | xr.DataArray,
    second: ArrayLike | xr.DataArray,
    *,
    unassigned: Unassigned = "raise",
) -> float:
    """Return the share of node pairs on which two partitions agree, corrected for chance.

    Hubert and Arabie (1985): 0 on average for unrelated partitions, 1 for equal ones, -0.5 at
    the least.

    Parameters
    ----------
    first, second, unassigned
        As in :func:`normalised_mutual_information`.

    Raises
    ------
    DataError, DegenerateInputError
        As :func:`normalised_mutual_information`.

    Examples
    --------
    >>> adjusted_rand_index([0, 0, 1, 1], [0, 1, 0, 1])
    -0.5
    """
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(*_codes(first, second, unassigned)))


def variation_of_information(
    first: ArrayLike | xr.DataArray,
    second: ArrayLike | xr.DataArray,
    *,
    unassigned: Unassigned = "raise",
) -> float:
    """Return the distance of two partitions, ``H(U | V) + H(V | U)`` [nats].

    A metric (Meila, 2007): 0 for equal partitions, at most ``log(n_nodes)``.

    Parameters
    ----------
    first, second, unassigned
        As in :func:`normalised_mutual_information`.

    Raises
    ------
    DataError, DegenerateInputError
        As :func:`normalised_mutual_information`.

    Examples
    --------
    >>> variation_of_information([0, 0, 0, 0], [0, 0, 1, 1])  # log(2)
    0.6931471805599453
    """
    u, v = _codes(first, second, unassigned)
    joint, n_joint = np.unique(np.stack([u, v]), axis=1, return_counts=True)
    n_u, n_v = np.bincount(u)[joint[0]], np.bincount(v)[joint[1]]
    # each logarithm is of a ratio up to 1, exactly 0 where a community is within another
    distance = -(n_joint * (np.log(n_joint / n_u) + np.log(n_joint / n_v))).sum() / u.size
    return float(distance) + 0.0


def best_match_f1(
    found: ArrayLike | xr.DataArray,
    members: Mapping[str, Iterable[Hashable]] | ArrayLike | xr.DataArray,
) -> FloatArray:
    """Return, for each true set of members, the F1 of the community that matches it best.

    ``F1 = 2 |A and B| / (|A| + |B|)``. Sets may overlap, and one community may be the best match
    of several. Nodes in no community (-1, NaN) count as missed.

    Parameters
    ----------
    found
        The community of each node, shape ``(node,)``, or of several partitions such as one per
        component, ``(..., node)``: the best community of any of them counts.
    members
        True sets of nodes: labels by name of the set (positions where ``found`` has no labels),
        or a mask ``(set, node)``.

    Returns
    -------
    FloatArray
        Shape ``(set,)``, in the order of ``members``.

    Raises
    ------
    DataError
        If a member is no node, or the nodes differ.
    DegenerateInputError
        If a true set is empty.

    Examples
    --------
    >>> best_match_f1([0, 0, 0, 1], {"first": [0, 1], "second": [3]})
    array([0.8, 1. ])
    """
    partitions = found if isinstance(found, xr.DataArray) else np.asarray(found)
    mask, names = _member_mask(partitions, members)
    empty = [name for name, row in zip(names, mask) if not row.any()]
    if empty:
        raise DegenerateInputError(
            "a true set has no members", found=", ".join(empty), expected="one member at least"
        )
    best = np.zeros(len(mask))
    for partition in np.asarray(partitions).reshape(-1, mask.shape[1]):
        assigned = ~_unassigned(partition)
        if not assigned.any():
            continue
        codes = np.unique(partition[assigned], return_inverse=True)[1].ravel()
        community = np.eye(codes.max() + 1)[codes]
        shared = mask[:, assigned].astype(np.float64) @ community
        f1 = 2 * shared / (mask.sum(axis=1)[:, None] + community.sum(axis=0))
        best = np.maximum(best, f1.max(axis=1))
    return best


def _codes(
    first: ArrayLike | xr.DataArray, second: ArrayLike | xr.DataArray, unassigned: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return both partitions as whole numbers from 0, node by node."""
    one_of("unassigned", unassigned, ("raise", "exclude"))
    u, v = _same_nodes(first, second)
    if u.ndim != 1 or u.shape != v.shape:
        raise DataError(
            "partitions are not of the same nodes",
            found=f"shapes {u.shape} and {v.shape}",
            expected="two arrays (node,)",
            hint="select one partition: community.sel(component='1')",
        )
    outside = _unassigned(u) | _unassigned(v)
    if outside.any() and unassigned == "raise":
        raise DataError(
            "nodes are in no community (-1 or NaN)",
            found=f"{int(outside.sum())} of {outside.size} nodes",
            hint="unassigned='exclude' leaves them out of both partitions",
        )
    if outside.all():
        raise DegenerateInputError("no node is in a community of both", found=f"{u.size} nodes")
    codes = [np.unique(w[~outside], return_inverse=True)[1].ravel() for w in (u, v)]
    return codes[0], codes[1]


def _unassigned(labels: NDArray[Any]) -> NDArray[np.bool_]:
    if labels.dtype.kind in "iuf":
        return np.asarray(np.isnan(labels) | (labels == -1))
    # in columns of a table, missing text is None or a float NaN
    missing = [label is None or label != label for label in labels.ravel().tolist()]
    return np.array(missing, dtype=bool).reshape(labels.shape)


def _same_nodes(
    first: ArrayLike | xr.DataArray, second: ArrayLike | xr.DataArray
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the values of both, the second in the order of the labels of the first."""
    if _has_labels(first) and _has_labels(second):
        return np.asarray(first), np.asarray(same_labels(second, first))
    if _has_labels(first) or _has_labels(second):
        raise DataError(
            "labels cannot be matched with positions",
            found="one array with labels, one without",
            hint="give both labels: xr.DataArray(values, {'roi': names}, 'roi')",
        )
    return np.asarray(first), np.asarray(second)


def _has_labels(array: object) -> TypeGuard[xr.DataArray]:
    return isinstance(array, xr.DataArray) and bool(array.dims) and array.dims[-1] in array.coords


def same_labels(array: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Return an array in the order of dims and labels of another; components keep their order.

    Raises
    ------
    DataError
        If dims or labels of the two differ, or labels repeat.
    """
    if {*array.dims} != {*like.dims}:
        raise DataError("arrays differ in dims", found=array.dims, expected=like.dims)
    for dim in like.dims:
        if dim not in like.coords or dim not in array.coords or dim == "component":
            continue
        own, wanted = (list(map(str, a[dim].values.tolist())) for a in (array, like))
        if len({*own}) < len(own) or sorted(own) != sorted(wanted):
            odd = sorted({*own} ^ {*wanted})
            raise DataError(
                f"labels of {dim} differ",
                found=f"only in one of the two: {', '.join(odd[:10]) or 'none, but some repeat'}",
                expected="the same labels in both, each once",
            )
        place = {label: row for row, label in enumerate(own)}
        array = array.isel({dim: [place[label] for label in wanted]})
    return array.transpose(*like.dims)


def _member_mask(
    found: NDArray[Any] | xr.DataArray,
    members: Mapping[str, Iterable[Hashable]] | ArrayLike | xr.DataArray,
) -> tuple[NDArray[np.bool_], list[str]]:
    """Return the true sets as ``(set, node)`` and their names."""
    n_nodes = found.shape[-1] if found.ndim else 0
    if isinstance(members, Mapping):
        return _listed_members(found, members, n_nodes), list(map(str, members))
    if _has_labels(members):
        like = found[(0,) * (found.ndim - 1)]
        mask = np.array([_same_nodes(like, members[row])[1] for row in range(len(members))])
    else:
        mask = _same_nodes(found, members)[1]
    if mask.ndim != 2 or mask.dtype != bool or mask.shape[1] != n_nodes:
        raise DataError(
            "true sets do not fit the nodes",
            found=f"{mask.dtype} of shape {mask.shape}",
            expected=f"a mask (set, {n_nodes} nodes), or labels by name of the set",
        )
    return mask, list(map(str, range(len(mask))))


def _listed_members(
    found: NDArray[Any] | xr.DataArray, members: Mapping[str, Iterable[Hashable]], n_nodes: int
) -> NDArray[np.bool_]:
    labels = found[found.dims[-1]].values.tolist() if _has_labels(found) else range(n_nodes)
    place = {label: column for column, label in enumerate(labels)}
    mask = np.zeros((len(members), n_nodes), dtype=bool)
    for row, (name, nodes) in zip(mask, members.items()):
        for node in nodes:
            if node not in place:
                raise DataError(
                    f"a member of {name!r} is no node",
                    found=repr(node),
                    hint=suggest(str(node), map(str, place)),
                )
            row[place[node]] = True
    return mask
