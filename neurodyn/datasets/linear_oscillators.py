"""Noisy linear oscillators in a network: exact courses, exact synchrony.

``dz = A z dt + dW`` with complex states ``z``: an Ornstein-Uhlenbeck process (Gardiner, Handbook
of Stochastic Methods, 1985, section 4.4.6). Nothing is approximated by small steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

__all__ = [
    "band_coherence",
    "coupled_oscillators",
    "oscillator_course",
    "phase_locking_of_coherence",
    "stationary_covariance",
]

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
N_FREQUENCIES = 2001


def coupled_oscillators(
    frequency: Sequence[float], damping: float, coupling: FloatArray
) -> ComplexArray:
    """Return the matrix ``A`` [1/s] of oscillators that pull at one another.

    Parameters
    ----------
    frequency
        Of each oscillator alone [Hz].
    damping
        Rate at which each alone forgets [1/s].
    coupling
        Shape ``(to, from)`` [1/s], diagonal 0: ``coupling * (z_from - z_to)``.

    Examples
    --------
    >>> coupled_oscillators([0.0, 0.0], 1.0, np.array([[0.0, 2.0], [2.0, 0.0]])).real
    array([[-3.,  2.],
           [ 2., -3.]])
    """
    own = 2j * np.pi * np.asarray(frequency, np.float64) - damping - coupling.sum(axis=1)
    return np.asarray(coupling + np.diag(own), np.complex128)


def stationary_covariance(matrix: ComplexArray) -> ComplexArray:
    """Return the covariance ``E[z z*]`` under noise that gives every oscillator power 1.

    It solves ``A S + S A* + Q = 0``, with ``Q`` diagonal.

    Parameters
    ----------
    matrix
        Stable. Oscillators that are coupled must be interchangeable, or powers differ.

    Examples
    --------
    >>> matrix = coupled_oscillators([10.0, 10.0], 1.0, np.array([[0.0, 2.0], [2.0, 0.0]]))
    >>> stationary_covariance(matrix).real.round(3)
    array([[1.   , 0.667],
           [0.667, 1.   ]])
    """
    from scipy.linalg import solve_continuous_lyapunov

    noise = np.diag(_noise_power(matrix)).astype(np.complex128)
    return np.asarray(solve_continuous_lyapunov(matrix, -noise))


def band_coherence(matrix: ComplexArray, band: tuple[float, float]) -> FloatArray:
    """Return the coherence of the parts of the oscillations that lie in a band.

    The cross-spectrum is ``(2 pi i f - A)^-1 Q (2 pi i f - A)^-*``; its integral over the band is
    the covariance of what an ideal filter leaves.

    Parameters
    ----------
    matrix
        As in :func:`stationary_covariance`.
    band
        Bounds [Hz].

    Returns
    -------
    numpy.ndarray
        Absolute value, shape ``(oscillator, oscillator)``, diagonal 1.

    Examples
    --------
    >>> matrix = coupled_oscillators([10.0, 10.0], 5.0, np.array([[0.0, 10.0], [10.0, 0.0]]))
    >>> bool(band_coherence(matrix, (9.0, 11.0))[0, 1] > stationary_covariance(matrix)[0, 1].real)
    True
    """
    frequency = np.linspace(*band, N_FREQUENCIES)
    identity = np.eye(len(matrix))
    response = np.linalg.inv(2j * np.pi * frequency[:, None, None] * identity - matrix)
    # the power of the noise is that which makes all powers 1, up to a common factor
    spectrum = response * _noise_power(matrix) @ response.conj().swapaxes(1, 2)
    covariance = np.trapezoid(spectrum, frequency, axis=0)
    power = np.diag(covariance).real
    return np.asarray(np.abs(covariance) / np.sqrt(np.outer(power, power)))


def oscillator_course(
    matrices: Mapping[str, ComplexArray],
    pieces: Sequence[tuple[str, int]],
    step: float,
    rng: Generator,
) -> ComplexArray:
    """Return a course ``(time, oscillator)`` through pieces of different dynamics.

    Parameters
    ----------
    matrices
        ``A`` of each state by name; each has the noise of :func:`stationary_covariance`.
    pieces
        States one after another and the samples that each lasts. The first begins stationary.
    step
        Seconds between samples.
    rng
        For start and noise.

    Examples
    --------
    >>> alone = {"rest": coupled_oscillators([10.0], 1.0, np.zeros((1, 1)))}
    >>> course = oscillator_course(alone, [("rest", 5)], 0.01, np.random.default_rng(0))
    >>> course.shape, course.dtype
    ((5, 1), dtype('complex128'))
    """
    from scipy.signal import lfilter

    exact = {state: _exact_step(matrix, step) for state, matrix in matrices.items()}
    first = stationary_covariance(matrices[pieces[0][0]])
    now = np.linalg.cholesky(first) @ _complex_noise(rng, len(first))
    parts = []
    for state, n_steps in pieces:
        factors, modes, noise = exact[state]
        drive = noise @ _complex_noise(rng, len(first), n_steps)
        begin = factors * np.linalg.solve(modes, now)
        # in its own coordinates each mode is a filter of one coefficient
        part = modes @ np.array(
            [
                lfilter([1.0], [1.0, -factor], own, zi=[before])[0]
                for factor, own, before in zip(factors, drive, begin)
            ]
        )
        now = part[:, -1]
        parts.append(part)
    return np.concatenate(parts, axis=1).T


def phase_locking_of_coherence(coherence: FloatArray) -> FloatArray:
    """Return the phase-locking value of complex Gaussian series of a known coherence.

    ``pi / 4 * r * F(1/2, 1/2; 2; r^2)`` with the hypergeometric function ``F``.

    Parameters
    ----------
    coherence
        Absolute value ``r`` of their complex correlation, 0 to 1.

    References
    ----------
    Aydore, Pantazis & Leahy, NeuroImage 74 (2013), 231.

    Examples
    --------
    >>> phase_locking_of_coherence(np.array([0.0, 0.5, 1.0])).round(3)
    array([0.   , 0.406, 1.   ])
    """
    from scipy.special import hyp2f1

    r = np.asarray(coherence, np.float64)
    return np.asarray(np.pi / 4 * r * hyp2f1(0.5, 0.5, 2.0, r**2))


def _exact_step(
    matrix: ComplexArray, step: float
) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    """Return factors of the modes in one step, the modes, and the noise of a step in them."""
    from scipy.linalg import expm

    forth, covariance = expm(matrix * step), stationary_covariance(matrix)
    # what a step must add to keep the covariance as it is
    noise = np.linalg.cholesky(covariance - forth @ covariance @ forth.conj().T)
    factors, modes = np.linalg.eig(forth)
    return factors, modes, np.linalg.solve(modes, noise)


def _noise_power(matrix: ComplexArray) -> FloatArray:
    """Return the power of the noise of each oscillator [1/s] that gives it power 1."""
    from scipy.linalg import solve_continuous_lyapunov

    alike = solve_continuous_lyapunov(matrix, -np.eye(len(matrix), dtype=np.complex128))
    return np.asarray(1.0 / np.diag(alike).real)


def _complex_noise(rng: Generator, *shape: int) -> ComplexArray:
    real, imaginary = rng.standard_normal((2, *shape)) / np.sqrt(2.0)
    noise: ComplexArray = real + 1j * imaginary
    return noise
