"""The dynamic connectome as an estimator: affinity, components, communities."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurodyn import recording as rec
from neurodyn.errors import DataError, EmptySelectionError, TimebaseError, one_of
from neurodyn.models.base import Arrays, Estimator, RunConfig, arrays_digest
from neurodyn.models.connectome.assembly import block_activity, seen_communities
from neurodyn.models.connectome.config import ConnectomeConfig
from neurodyn.models.connectome.factorisation import factorise, pair_labels
from neurodyn.models.connectome.hals import update
from neurodyn.models.run_folder import RESULTS, Run
from neurodyn.nlb.guard import refuse_evaluation
from neurodyn.provenance import add_history
from neurodyn.transforms.connectivity import (
    Affinity,
    differential_affinity,
    edge_affinity,
    pair_matrix,
    pair_vector,
)

__all__ = ["ConnectomeContext", "DynamicConnectome", "traces_digest", "traces_of"]

PROJECTION_ROUNDS = 100
RATE_TOLERANCE = 0.01
METRICS = ("variance_explained",)


@dataclass(frozen=True)
class ConnectomeContext:
    """The nodes and the clock that a connectome is for.

    Raises
    ------
    DataError
        If two nodes have the same name.
    """

    node_dim: str
    node: tuple[str, ...]
    sampling_rate: float

    def __post_init__(self) -> None:
        repeated = [name for name, n in Counter(self.node).items() if n > 1]
        if repeated:
            raise DataError(
                f"labels of {self.node_dim} repeat",
                found=", ".join(repeated[:10]),
                expected="a name of its own for each node",
            )

    def ordered(self, data: xr.Dataset) -> xr.Dataset:
        """Return traces of the same nodes, in the order of the fit.

        Raises
        ------
        DataError
            If nodes are missing or unknown ones are present.
        """
        dim = self.node_dim
        found = [str(label) for label in data[dim].values] if dim in data.coords else []
        if sorted(found) != sorted(self.node):
            missing, unknown = set(self.node) - set(found), set(found) - set(self.node)
            raise DataError(
                "traces are of other nodes than the connectome was fitted on",
                found=f"missing: {sorted(missing)[:10]}; unknown: {sorted(unknown)[:10]}",
                expected=f"{len(self.node)} labels of {dim!r}, in any order",
                hint="a node that was not recorded is NaN throughout",
            )
        return data.sel({dim: list(self.node)})


class DynamicConnectome(Estimator[ConnectomeConfig]):
    """Which nodes act together, when, and in which animals.

    The affinity of all pairs at all times is factorised into components; the graph of each
    component falls into communities of a weighted stochastic block model.

    Attributes
    ----------
    components_
        Result of :func:`neurodyn.models.connectome.factorise` with ``community (component,
        roi)``, ``n_communities``, ``description_length`` and ``description_length_one``
        [nats] (of one community), ``family`` and ``block_activity``. A node that no animal
        shows beside another is in no community: -1.

    References
    ----------
    Dyballa et al., ICLR 2024.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(100, 6)).cumsum(axis=0)
    >>> data = rec.signal(values, sampling_rate=4.0, dim="roi")
    >>> model = DynamicConnectome(rank=2, factorisation__n_restarts=2).fit(data)
    >>> model.components_["community"].dims, model.transform(data)["activity"].dims
    (('component', 'roi'), ('component', 'time'))
    """

    name = "connectome"
    data_kind = "signal"
    config_class = ConnectomeConfig
    context_: ConnectomeContext
    components_: xr.Dataset
    data_: dict[str, Any]

    def fit(
        self, data: xr.DataTree | xr.Dataset, *, validation: Any = None, progress: bool = True
    ) -> Self:
        """Find components and communities.

        Parameters
        ----------
        data
            A recording, or a dataset of kind ``signal``, ``bold``, ``counts`` or ``results``
            with rates; dims ``([animal,] time, roi)``.
        validation
            Only checked: nothing is chosen by it.
        progress
            Show bars at a terminal.

        Raises
        ------
        DataError, TimebaseError
            If traces cannot be used, see :func:`neurodyn.transforms.connectivity.as_traces`.
        """
        config = self.config
        self._forget()
        refuse_evaluation(data)
        traces = traces_of(data)
        affinity = self.affinity(traces)
        dim = affinity.node_dim
        labels = tuple(map(str, affinity.coords[dim].values))
        self.context_ = ConnectomeContext(dim, labels, _sampling_rate(traces))
        if validation is not None:
            refuse_evaluation(validation)
            self._checked(validation)
        self.data_ = {"digest": traces_digest(traces)}
        if affinity.attrs.get("quality"):
            self.data_["quality"] = affinity.attrs["quality"]
        components = factorise(affinity, config.rank, config.factorisation, progress=progress)
        self.components_ = self._with_communities(components)
        self.arrays_digest_ = arrays_digest(self._arrays())
        return self

    def transform(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        """Return the courses of the components in data of the same nodes.

        With the graphs held fixed, ``activity`` minimises ``|a(t, w) - sum_r pair_r activity_r|``
        under non-negativity.

        Returns
        -------
        xr.Dataset
            ``activity``, dims ``(component, [animal,] time)``; NaN in an animal without pairs.

        Raises
        ------
        NotFittedError, DataError, TimebaseError
            Before ``fit``; for other nodes; for another sampling rate.
        """
        self._require_fitted()
        affinity = self.affinity(self._checked(data))
        course = self._project(affinity)
        course[:, ~affinity.mask.any(axis=0)] = np.nan
        variables = {"activity": (("component", "animal", "time"), course)}
        return self._labelled(variables, affinity, "transform")

    def predict(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        """Return the affinity that the components make up in data, as its mean over time.

        Returns
        -------
        xr.Dataset
            ``expected_affinity``, dims ``([animal,] roi, roi_to)``.

        Raises
        ------
        NotFittedError, DataError, TimebaseError
            As :meth:`transform`.
        """
        self._require_fitted()
        affinity = self.affinity(self._checked(data))
        mean = self._project(affinity).mean(axis=2).T @ self._pairs()
        seen = np.where(affinity.mask.T, mean, np.nan)
        dim = affinity.node_dim
        dims = ("animal", dim, f"{dim}_to")
        variables = {"expected_affinity": (dims, pair_matrix(seen, affinity.n_nodes))}
        return self._labelled(variables, affinity, "predict")

    def score(
        self, data: xr.DataTree | xr.Dataset, metric: str = "variance_explained"
    ) -> xr.Dataset:
        """Return the share of the squared affinity that the components explain in data.

        Raises
        ------
        NotFittedError, DataError, TimebaseError
            As :meth:`transform`.
        """
        self._require_fitted()
        one_of("metric", metric, METRICS)
        affinity = self.affinity(self._checked(data))
        course, pairs = self._project(affinity), self._pairs()
        squares = np.where(affinity.mask, affinity.squares(), 0.0).sum(axis=0)
        explained = np.empty(affinity.n_animals)
        activity = affinity.activity(pairs).astype(np.float64)
        for animal, seen in enumerate(affinity.mask.T):
            gram = (pairs * seen) @ pairs.T
            own = course[:, animal]
            explained[animal] = 2 * (own * activity[:, animal]).sum() - (own * (gram @ own)).sum()
        variables = {
            metric: explained.sum() / squares.sum(),
            f"{metric}_by_animal": ("animal", explained / np.where(squares > 0, squares, np.nan)),
        }
        return self._labelled(variables, affinity, "score")

    def affinity(self, traces: xr.Dataset) -> Affinity:
        """Return the affinity of traces under these settings, lazy.

        Raises
        ------
        DataError, TimebaseError
            If the traces cannot be used.
        """
        settings = self.config.affinity
        if settings.kind == "edge":
            return edge_affinity(traces, smoothing=settings.smoothing, on_bad=self.config.on_bad)
        return differential_affinity(
            traces,
            settings.kind,
            bandwidth=settings.bandwidth,
            smoothing=settings.smoothing,
            sign=settings.sign,
            on_bad=self.config.on_bad,
        )

    def _with_communities(self, components: xr.Dataset) -> xr.Dataset:
        """Return the components with the communities of their graphs."""
        parts = [
            seen_communities(graph, self.config.communities, seed=self.config.factorisation.seed)
            for graph in components["pair_factor"].drop_vars("component")
        ]
        found = xr.concat(parts, "component").assign_coords(component=components["component"])
        merged = components.merge(found, join="exact", combine_attrs="override")
        merged["block_activity"] = block_activity(merged)
        return add_history(merged, "find_communities", **asdict(self.config.communities))

    def _checked(self, data: xr.DataTree | xr.Dataset) -> xr.Dataset:
        traces = traces_of(data)
        rate = _sampling_rate(traces)
        if abs(rate - self.context_.sampling_rate) > RATE_TOLERANCE * self.context_.sampling_rate:
            raise TimebaseError(
                "traces have another sampling rate than the connectome was fitted on",
                found=f"{rate:g} Hz",
                expected=f"{self.context_.sampling_rate:g} Hz",
                hint="neurodyn.transforms.resample(data, times) first",
            )
        return self.context_.ordered(traces)

    def _pairs(self) -> NDArray[np.float64]:
        """Return the graphs, shape ``(component, pair)``; a pair never seen is 0."""
        matrices = np.asarray(self.components_["pair_factor"].values)
        return np.nan_to_num(pair_vector(matrices).astype(np.float64))

    def _project(self, affinity: Affinity) -> NDArray[np.float64]:
        """Return non-negative courses, shape ``(component, animal, time)``."""
        pairs = self._pairs()
        target = affinity.activity(pairs).astype(np.float64)
        course = np.zeros_like(target)
        for animal, seen in enumerate(affinity.mask.T):
            gram = (pairs * seen) @ pairs.T
            for _ in range(PROJECTION_ROUNDS):
                course[:, animal] = update(course[:, animal], target[:, animal], gram)
        return course

    def _labelled(self, variables: dict[str, Any], affinity: Affinity, step: str) -> xr.Dataset:
        coords = {**affinity.coords, **pair_labels(affinity)}
        coords["component"] = ("component", self.components_["component"].values)
        used = {
            dim
            for item in variables.values()
            if isinstance(item, tuple)
            for dim in ([item[0]] if isinstance(item[0], str) else item[0])
        }
        kept = {name: c for name, c in coords.items() if {*_dims(c)} <= used}
        found = rec.results(
            variables,
            kept,
            estimator=self.name,
            config_uid=self.config_uid,
            checkpoint=self.arrays_digest_,
            quality=dict(affinity.attrs.get("quality", {})),
        )
        if not affinity.has_animals and "animal" in found.dims:
            found = found.isel(animal=0, drop=True)
        return add_history(found, step, estimator=self.name)

    def _arrays(self) -> Arrays:
        names = ("pair_factor", "time_factor", "animal_factor", "strength", "community")
        return {name: self.components_[name].values for name in names}

    def _restore(self, run: Run, settings: RunConfig) -> None:
        values = json.loads(run.metadata["context"])
        self.context_ = ConnectomeContext(
            values["node_dim"], tuple(values["node"]), values["sampling_rate"]
        )
        self.data_ = json.loads(run.metadata["data"])
        self.components_ = rec.load(run.folder / RESULTS)
        self.arrays_digest_ = arrays_digest(run.arrays)

    def _metadata(self) -> dict[str, str]:
        return {"context": json.dumps(asdict(self.context_)), "data": json.dumps(self.data_)}

    def _provenance(self) -> dict[str, Any]:
        return {
            "inputs": {"traces": self.data_},
            "device": "cpu",
            "seed": self.config.factorisation.seed,
        }

    def _write_more(self, folder: Path) -> None:
        rec.save(self.components_, folder / RESULTS)


def traces_of(data: xr.DataTree | xr.Dataset) -> xr.Dataset:
    """Return the traces of a recording: its signal, else its fMRI; a dataset as it is.

    Raises
    ------
    DataError
        If there are several.
    EmptySelectionError
        If there are none.

    Examples
    --------
    >>> data = rec.signal([[0.0, 1.0]], sampling_rate=4.0, dim="roi")
    >>> traces_of(rec.recording([data])).attrs["kind"]
    'signal'
    """
    if isinstance(data, xr.Dataset):
        return data
    kinds = rec.names(data)
    kind = next((kind for kind in ("signal", "bold", "counts") if kind in kinds), None)
    if kind is None:
        raise EmptySelectionError(
            "the recording has no traces",
            found=", ".join(sorted(kinds)) or "nothing",
            expected="a signal, fMRI series or counts",
            hint="bin and smooth spikes first: bin_spikes(...), smooth(...)",
        )
    return rec.pick(data, kind)


def _dims(coord: Any) -> tuple[str, ...]:
    if isinstance(coord, tuple):
        return (coord[0],) if isinstance(coord[0], str) else tuple(coord[0])
    return tuple(map(str, coord.dims))


def _sampling_rate(traces: xr.Dataset) -> float:
    time = traces["time"].values
    return float((time.size - 1) / (time[-1] - time[0])) if time.size > 1 else np.nan


def traces_digest(traces: xr.Dataset) -> str:
    """Return the SHA-256 over values and labels.

    Examples
    --------
    >>> traces_digest(rec.signal([[0.0, 1.0]], sampling_rate=4.0))[:7]
    'sha256:'
    """
    digest = hashlib.sha256()
    for name in sorted(map(str, traces.variables)):
        values = traces[name].values
        # of objects the bytes are addresses
        values = np.ascontiguousarray(values.astype(str) if values.dtype == object else values)
        digest.update(f"{name} {traces[name].dims} {values.dtype.str} {values.shape};".encode())
        digest.update(values.tobytes())
    return f"sha256:{digest.hexdigest()}"
