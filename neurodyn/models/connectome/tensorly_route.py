"""The general route: any labelled tensor, any decomposition of tensorly, on any of its backends."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from neurodyn.errors import ConfigError, DataError, one_of, suggest
from neurodyn.provenance import add_history
from neurodyn.recording import results

__all__ = ["decompose"]


def decompose(
    tensor: xr.DataArray,
    rank: int | list[int],
    method: str = "non_negative_parafac_hals",
    *,
    backend: Literal["numpy", "pytorch"] = "numpy",
    device: str = "cpu",
    **options: Any,
) -> xr.Dataset:
    """Decompose a labelled tensor with a function of ``tensorly.decomposition``.

    It takes what :func:`neurodyn.models.connectome.factorise` does not: any number of dims, any
    loss and constraint that tensorly has, and a GPU; it stores the whole tensor.

    Parameters
    ----------
    tensor
        Any dims, finite.
    rank
        Of the decomposition, as tensorly's function takes it.
    method
        Name of the function: ``parafac``, ``non_negative_parafac``, ``tucker``, ….
    backend, device
        ``numpy``; or ``pytorch`` on ``cpu`` or ``cuda``.
    **options
        Passed on: ``n_iter_max``, ``init``, ``tol``, ``random_state``, ``mask``.

    Returns
    -------
    xr.Dataset
        Kind ``results``. Of a CP decomposition ``factor_<dim> (component, dim)`` of unit norm
        and ``strength (component)``, falling; of a Tucker decomposition
        ``factor_<dim> (component_<dim>, dim)`` and ``core``. ``attrs["error"]`` is relative.

    Raises
    ------
    ConfigError
        For a method that tensorly lacks, or one with another kind of result.
    DataError
        If a number is not finite.

    Examples
    --------
    >>> tensor = xr.DataArray(np.ones((3, 4)), dims=("roi", "time"))
    >>> found = decompose(tensor, 1, random_state=0)
    >>> found["strength"].values.round(6), found["factor_time"].dims
    (array([3.464102]), ('component', 'time'))
    """
    import tensorly

    one_of("backend", backend, ("numpy", "pytorch"))
    function = _function(method)
    _require_finite(tensor)
    place = {} if backend == "numpy" else {"device": device}
    with tensorly.backend_context(backend):
        core, factors = _parts(function(tensorly.tensor(tensor.values, **place), rank, **options))
    decomposed = _labelled(tensor, core, factors)
    decomposed.attrs["error"] = _error(tensor, core, factors)
    return add_history(decomposed, "decompose", method=method, rank=rank, backend=backend)


def _require_finite(tensor: xr.DataArray) -> None:
    n_bad = int((~np.isfinite(tensor.values)).sum())
    if n_bad:
        raise DataError(
            "tensorly takes no missing numbers",
            found=f"{n_bad} of {tensor.size} are not finite",
            hint="fill them and pass mask=, or use factorise(...), which masks exactly",
        )


def _function(method: str) -> Any:
    """Return a function of tensorly by its name."""
    from tensorly import decomposition

    known = [name for name in dir(decomposition) if name.islower() and not name.startswith("_")]
    function = getattr(decomposition, method, None) if method in known else None
    if not callable(function):
        raise ConfigError(f"tensorly has no decomposition {method!r}", hint=suggest(method, known))
    return function


def _parts(found: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return weights or core, and factors, as arrays of numpy."""
    from tensorly import to_numpy
    from tensorly.cp_tensor import CPTensor
    from tensorly.tucker_tensor import TuckerTensor

    if not isinstance(found, CPTensor | TuckerTensor):
        raise ConfigError(
            "the result is no CP and no Tucker decomposition",
            found=type(found).__name__,
            hint="call tensorly itself",
        )
    core, factors = found
    matrices = [np.asarray(to_numpy(factor)) for factor in factors]
    if core is None:
        return np.ones(matrices[0].shape[1]), matrices
    return np.asarray(to_numpy(core)), matrices


def _labelled(tensor: xr.DataArray, core: np.ndarray, factors: list[np.ndarray]) -> xr.Dataset:
    coords = {str(name): coord for name, coord in tensor.coords.items() if coord.dims}
    if core.ndim > 1:
        ranks = [f"component_{dim}" for dim in tensor.dims]
        variables: dict[str, Any] = {
            f"factor_{dim}": ((f"component_{dim}", dim), factor.T)
            for dim, factor in zip(tensor.dims, factors)
        }
        return results({**variables, "core": (ranks, core)}, coords)
    norms = [np.linalg.norm(factor, axis=0) for factor in factors]
    strength = core * np.prod(norms, axis=0)
    order = np.argsort(-strength, kind="stable")
    component = {"component": [str(number + 1) for number in range(strength.size)]}
    variables = {
        f"factor_{dim}": (
            ("component", dim),
            np.divide(factor, norm, out=np.zeros_like(factor), where=norm > 0).T[order],
        )
        for dim, factor, norm in zip(tensor.dims, factors, norms)
    }
    return results({"strength": ("component", strength[order]), **variables}, coords | component)


def _error(tensor: xr.DataArray, core: np.ndarray, factors: list[np.ndarray]) -> float:
    """Return the relative error, contracting one dim after another."""
    if core.ndim == 1:
        first, *others = factors
        model = first * core
        for factor in others:
            model = model[..., None, :] * factor
        model = model.sum(axis=-1)
    else:
        model = core
        for factor in factors:
            model = np.tensordot(model, factor, axes=(0, 1))
    values = tensor.values.astype(np.float64)
    return float(np.linalg.norm(values - model) / np.linalg.norm(values))
