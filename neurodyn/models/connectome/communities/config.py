"""Settings of the weighted stochastic block model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neurodyn.errors import ConfigError, one_of

__all__ = ["FAMILIES", "BlockModelConfig", "Edges", "Family"]

Family = Literal["exponential", "lognormal", "gamma"]
Edges = Literal["bernoulli", "degree_corrected", "uniform"]
FAMILIES: tuple[Family, ...] = ("exponential", "lognormal", "gamma")


@dataclass(frozen=True, kw_only=True)
class BlockModelConfig:
    """Settings of the weighted stochastic block model and of the search for its best partition.

    Parameters
    ----------
    family
        Distribution of the positive weights of a pair of communities: ``"exponential"``,
        ``"lognormal"``, ``"gamma"`` (of fixed shape), or ``"auto"``: each is fitted and the one
        with the largest evidence is kept.
    gamma_shape
        Shape of ``"gamma"``; its coefficient of variation is ``1 / sqrt(gamma_shape)``.
    strength_correction
        Divide each weight by the strengths of its two nodes, so that communities do not follow
        how active a node is.
    edges
        Which pairs have a positive weight: ``"bernoulli"``, one probability for each pair of
        communities; ``"degree_corrected"``, a Poisson rate times the degrees of both nodes;
        ``"uniform"``, one probability for all pairs, so that zeros tell nothing. Left out where
        every pair has a positive weight.
    zero_below
        Weights up to this share of the largest are zeros.
    n_restarts
        Searches from random partitions, into 1, 2, 4, 8, 12 communities in turn.
    n_splits
        Random halvings of each community that a round tries.
    max_rounds
        Most rounds of merges and splits of one search.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> BlockModelConfig(family="exponential").strength_correction
    True
    """

    family: Literal["auto", "exponential", "lognormal", "gamma"] = "auto"
    gamma_shape: float = 2.0
    strength_correction: bool = True
    edges: Edges = "bernoulli"
    zero_below: float = 1e-6
    n_restarts: int = 5
    n_splits: int = 3
    max_rounds: int = 20

    def __post_init__(self) -> None:
        one_of("family", self.family, ("auto", *FAMILIES))
        one_of("edges", self.edges, ("bernoulli", "degree_corrected", "uniform"))
        _check("gamma_shape", self.gamma_shape, self.gamma_shape > 0, "above 0")
        _check("zero_below", self.zero_below, 0 <= self.zero_below < 1, "from 0, below 1")
        for name, least in (("n_restarts", 1), ("n_splits", 0), ("max_rounds", 1)):
            value = getattr(self, name)
            whole = isinstance(value, int) and value >= least
            _check(name, value, whole, f"a whole number from {least}")

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that are fitted."""
        return FAMILIES if self.family == "auto" else (self.family,)


def _check(name: str, value: object, valid: bool, expected: str) -> None:
    if not valid:
        raise ConfigError(f"invalid value for {name}", found=repr(value), expected=expected)
