"""Settings of the dynamic connectome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from neurodyn.errors import ConfigError, one_of
from neurodyn.models.connectome.communities.config import BlockModelConfig

__all__ = ["AffinityConfig", "ConnectomeConfig", "FactorisationConfig", "Mode", "Storage"]

Mode = Literal["pairs", "neurons"]
Storage = Literal["auto", "lazy", "dense"]


@dataclass(frozen=True, kw_only=True)
class AffinityConfig:
    """Settings of :func:`neurodyn.transforms.connectivity.differential_affinity`.

    Parameters
    ----------
    kind, bandwidth, smoothing, sign
        As there; ``kind="edge"`` is
        :func:`neurodyn.transforms.connectivity.edge_affinity`, which has no bandwidth.

    Examples
    --------
    >>> AffinityConfig().bandwidth
    2.0
    """

    kind: Literal["geometric", "product", "minimum", "rise", "saturating", "edge"] = "geometric"
    bandwidth: float = 2.0
    smoothing: float | None = 2.0
    sign: Literal["same", "opposite"] = "same"


@dataclass(frozen=True, kw_only=True)
class FactorisationConfig:
    """Settings of :func:`neurodyn.models.connectome.factorise`.

    Parameters
    ----------
    mode
        ``pairs``: one affinity of every pair in each component; ``neurons``: the product of two
        node factors, which is far cheaper and makes every component one group of nodes.
    n_restarts
        Random starts, each from a seed of its own.
    n_sweeps, tolerance
        A descent ends after so many sweeps, or when ten of them lower the relative error by
        less than the tolerance.
    storage
        Of the tensor in pair mode: ``lazy`` never stores it; ``dense`` does, which is up to
        twice as fast; ``auto`` does where it takes up to half of the memory limit.
    seed
        Of the starts.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> FactorisationConfig(mode="neurons").n_restarts
    10
    """

    mode: Mode = "pairs"
    n_restarts: int = 10
    n_sweeps: int = 500
    tolerance: float = 1e-5
    storage: Storage = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("mode", self.mode, ("pairs", "neurons"))
        one_of("storage", self.storage, ("auto", "lazy", "dense"))
        for name, least in (("n_restarts", 1), ("n_sweeps", 1), ("tolerance", 0), ("seed", 0)):
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name} must be {least} or more", found=getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class ConnectomeConfig:
    """Settings of :class:`neurodyn.models.connectome.DynamicConnectome`.

    Parameters
    ----------
    affinity
        How much two traces change together.
    rank
        Components. Nothing chooses it for you: see
        :func:`neurodyn.models.connectome.rank_scan`.
    factorisation
        Of the affinity, always in pair mode; its seed is that of everything random.
    communities
        Of the graph of each component.
    on_bad
        Traces that are missing for a while: ``raise``, or ``drop`` them in that animal.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> ConnectomeConfig(rank=4).communities.family
    'auto'
    """

    affinity: AffinityConfig = field(default_factory=AffinityConfig)
    rank: int = 5
    factorisation: FactorisationConfig = field(default_factory=FactorisationConfig)
    communities: BlockModelConfig = field(default_factory=BlockModelConfig)
    on_bad: Literal["raise", "drop"] = "raise"

    def __post_init__(self) -> None:
        if self.rank < 1 or self.factorisation.mode != "pairs":
            raise ConfigError(
                "a connectome needs a rank from 1, and graphs, which neuron mode has not",
                found=f"rank={self.rank}, mode={self.factorisation.mode!r}",
            )
