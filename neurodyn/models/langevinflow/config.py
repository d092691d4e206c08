"""Settings of LangevinFlow in both of its modes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from neurodyn.errors import ConfigError, one_of

__all__ = ["LangevinFlowConfig", "PublishedQuirks"]

_CHOICES = {
    "mode": ("elbo", "ccn2025"),
    "potential": ("ring_psd", "mlp", "ccn2025"),
    "decoder": ("linear", "transformer"),
    "decoder_input": ("zv", "zvh"),
}
_SIZES = (
    "n_groups",
    "n_sites",
    "kernel_size",
    "potential_size",
    "encoder_size",
    "decoder_size",
    "n_heads",
    "n_layers",
    "feedforward_size",
)


@dataclass(frozen=True, kw_only=True)
class PublishedQuirks:
    """The peculiarities of the published code, each of which can be turned off.

    Parameters
    ----------
    lagged_input
        The encoder reads bin t - 1 at step t, and bin 0 twice; off: bin t.
    first_bin_posterior
        The initial state is inferred from the first encoder state; off: from the last one.
    zero_kernel
        The potential starts at a kernel of zeros, where normalisation makes the first gradient
        about 1e12 times too large and Adam never forgets it; off: normal with sd 0.1.
    normalised_kernel
        Each (out, in) pair of the kernel has unit norm over its taps.
    kernel_epsilon
        Smallest norm that a kernel is divided by.
    two_clocks
        The friction acts over a unit time while position and force move by ``step``; off: the
        friction acts over ``step`` as well.
    recurrent_dropout
        The dropped encoder state is fed back; off: dropout acts on what the encoder hands on.
    sample_divergence
        The per-step divergence takes the sampled velocity as mean and the variance as logarithm
        of the variance; off: the divergence that the equations intend.
    mean_likelihood
        The likelihood is a mean over elements while the divergence is a sum; off: both are nats
        per element.
    scaled_initialisation
        Transformer weights are scaled by 0.67 x 3^(-1/4) at the start.
    geometric_average
        Predictions average log-rates over samples; off: rates.
    validation_keep
        Share of held-out and forward targets that validation keeps (and rescales); 1 keeps all.

    Examples
    --------
    >>> PublishedQuirks().lagged_input
    True
    """

    lagged_input: bool = True
    first_bin_posterior: bool = True
    zero_kernel: bool = True
    normalised_kernel: bool = True
    kernel_epsilon: float = 1e-12
    two_clocks: bool = True
    recurrent_dropout: bool = True
    sample_divergence: bool = True
    mean_likelihood: bool = True
    scaled_initialisation: bool = True
    geometric_average: bool = True
    validation_keep: float = 0.8


@dataclass(frozen=True, kw_only=True)
class LangevinFlowConfig:
    """Settings of LangevinFlow; sizes that the data decide are not among them.

    Parameters
    ----------
    mode
        ``"elbo"``: the variational model with inferred forces. ``"ccn2025"``: the published one.
    potential
        ``"ring_psd"``: coupled oscillators on rings; ``"mlp"``: one hidden layer in a bowl;
        ``"ccn2025"``: the published quadratic form, which confines nothing.
    anharmonic
        Adds a learned quartic term to ``"ring_psd"``.
    skew
        Learns a rotation of the velocities along each ring, which travelling waves need.
    n_groups, n_sites
        Fields of oscillators and sites of each ring; their product is the latent size.
    kernel_size
        Taps of the coupling kernel along the ring.
    potential_size
        Hidden units of the ``"mlp"`` potential.
    step, damping, temperature
        Integration step per bin, friction per unit of time, variance of the velocity at rest:
        initial values, trained with ``learn_physics``; fixed in ``"ccn2025"``, which has
        temperature 1.
    encoder_size
        GRU units (per direction); ``"ccn2025"``: the latent size too, a multiple of 4.
    decoder
        ``"linear"`` or ``"transformer"`` from the latents to log-rates.
    decoder_input
        ``"zv"``: position and velocity; ``"zvh"``: the encoder states too.
    decoder_size, n_heads, n_layers, feedforward_size
        Sizes of the transformer.
    dropout
        Dropout of encoder states and decoder.
    keep_prob, pass_prob
        Share of the input counts that coordinated dropout keeps (1 turns it off), and share of
        the kept ones that are targets nevertheless.
    beta, beta_warmup
        Weight of the divergence, and share of the training until it is reached.
    weight_decay
        L2 penalty that grows as ``beta`` does (``"ccn2025"``).
    n_samples
        Posterior samples that a prediction averages; 0 takes the path of the posterior mean.
    quirks
        Switches of ``"ccn2025"``.

    Raises
    ------
    ConfigError
        For a value outside its range.

    Examples
    --------
    >>> LangevinFlowConfig(n_groups=4, n_sites=8).latent_size
    32
    """

    mode: Literal["elbo", "ccn2025"] = "elbo"
    potential: Literal["ring_psd", "mlp", "ccn2025"] = "ring_psd"
    anharmonic: bool = False
    skew: bool = False
    n_groups: int = 4
    n_sites: int = 8
    kernel_size: int = 3
    potential_size: int = 64
    step: float = 0.5
    damping: float = 1.0
    temperature: float = 1.0
    learn_physics: bool = True
    encoder_size: int = 64
    decoder: Literal["linear", "transformer"] = "linear"
    decoder_input: Literal["zv", "zvh"] = "zv"
    decoder_size: int = 64
    n_heads: int = 2
    n_layers: int = 1
    feedforward_size: int = 128
    dropout: float = 0.1
    keep_prob: float = 0.3
    pass_prob: float = 0.0
    beta: float = 0.2
    beta_warmup: float = 0.25
    weight_decay: float = 0.0
    n_samples: int = 16
    quirks: PublishedQuirks = field(default_factory=PublishedQuirks)

    def __post_init__(self) -> None:
        for name in ("mode", "potential", "decoder", "decoder_input"):
            one_of(name, getattr(self, name), _CHOICES[name])
        for name in _SIZES:
            _check(name, getattr(self, name), self._is_size(getattr(self, name)), "1 or more")
        for name in ("dropout", "pass_prob"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) < 1, "from 0, below 1")
        for name in ("damping", "temperature", "beta", "weight_decay", "n_samples"):
            _check(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        _check("keep_prob", self.keep_prob, 0 < self.keep_prob <= 1, "above 0, up to 1")
        _check("beta_warmup", self.beta_warmup, 0 <= self.beta_warmup <= 1, "from 0 to 1")
        _check("step", self.step, 0 < self.step < 1, "above 0, below 1")
        heads = f"a multiple of n_heads={self.n_heads}"
        _check("decoder_size", self.decoder_size, self.decoder_size % self.n_heads == 0, heads)
        if self.mode == "ccn2025" or self.potential == "ccn2025":
            which = "encoder_size" if self.mode == "ccn2025" else "n_groups * n_sites"
            _check(which, self.latent_size, self.latent_size % 4 == 0, "a multiple of 4")

    @staticmethod
    def _is_size(value: Any) -> bool:
        return isinstance(value, int) and value >= 1

    @property
    def latent_size(self) -> int:
        """Number of position (and of velocity) dimensions."""
        return self.encoder_size if self.mode == "ccn2025" else self.n_groups * self.n_sites


def _check(name: str, value: object, valid: bool, expected: str) -> None:
    if not valid:
        raise ConfigError(f"invalid value for {name}", found=repr(value), expected=expected)
