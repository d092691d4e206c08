"""Procedural movies: drifting gratings, and clouds with the spectrum of natural scenes."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

__all__ = ["as_luminance", "drifting_gratings", "gabor", "moving_clouds"]

FloatArray = NDArray[np.float64]
SPREAD = 0.2


def drifting_gratings(
    n_frames: int,
    shape: tuple[int, int],
    frame_rate: float,
    *,
    n_directions: int = 4,
    period: float = 8.0,
    temporal_frequency: float = 2.0,
) -> FloatArray:
    """Return a sine grating that drifts in one direction after another.

    Parameters
    ----------
    n_frames, shape
        Frames, and rows and columns of each.
    frame_rate
        Frames per second [Hz].
    n_directions
        Equally spaced over the circle, each for an equal time.
    period
        Of the grating [pixels].
    temporal_frequency
        Cycles per second [Hz].

    Returns
    -------
    numpy.ndarray
        Contrast from -1 to 1, shape ``(frame, row, column)``.

    Examples
    --------
    >>> drifting_gratings(8, (4, 6), 20.0).shape
    (8, 4, 6)
    """
    frame = np.arange(n_frames)
    angle = 2 * np.pi * (frame * n_directions // n_frames) / n_directions
    row, column = np.mgrid[: shape[0], : shape[1]]
    along = np.multiply.outer(np.cos(angle), column) + np.multiply.outer(np.sin(angle), row)
    passed = temporal_frequency * frame / frame_rate
    return np.asarray(np.sin(2 * np.pi * (along / period - passed[:, None, None])))


def moving_clouds(
    n_frames: int,
    shape: tuple[int, int],
    frame_rate: float,
    rng: Generator,
    *,
    correlation_time: float = 0.2,
) -> FloatArray:
    """Return Gaussian noise whose amplitude falls as ``1 / f`` in space and that changes slowly.

    Every spatial frequency is an Ornstein-Uhlenbeck process of its own.

    Parameters
    ----------
    n_frames, shape, frame_rate
        As in :func:`drifting_gratings`.
    rng
        Of the noise.
    correlation_time
        Time constant of the changes [s].

    Returns
    -------
    numpy.ndarray
        Contrast of mean 0 and standard deviation 0.5, shape ``(frame, row, column)``.

    References
    ----------
    Field (1987), J. Opt. Soc. Am. A 4, for the spectrum of natural images.

    Examples
    --------
    >>> movie = moving_clouds(20, (4, 6), 20.0, np.random.default_rng(0))
    >>> movie.shape, round(float(movie.std()), 3)
    ((20, 4, 6), 0.5)
    """
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    amplitude = np.divide(1.0, frequency, out=np.zeros_like(frequency), where=frequency > 0)
    keep = np.exp(-1.0 / (frame_rate * correlation_time))
    noise = rng.standard_normal((2, n_frames, *amplitude.shape))
    spectrum = noise[0] + 1j * noise[1]
    for frame in range(1, n_frames):
        spectrum[frame] = keep * spectrum[frame - 1] + np.sqrt(1 - keep**2) * spectrum[frame]
    movie = np.fft.irfft2(spectrum * amplitude, s=shape)
    return np.asarray(0.5 * (movie - movie.mean()) / movie.std())


def as_luminance(contrast: FloatArray) -> NDArray[np.uint8]:
    """Return the luminance from 0 to 255 of a contrast around grey, clipped to the screen.

    Parameters
    ----------
    contrast
        Any shape; 0 is grey, and contrast 1 lies 0.4 of the screen's range above it.

    Examples
    --------
    >>> as_luminance(np.array([-9.0, 0.0, 1.0])).tolist()
    [0, 128, 230]
    """
    return np.clip(np.round(255 * (0.5 + 2 * SPREAD * contrast)), 0, 255).astype(np.uint8)


def gabor(
    shape: tuple[int, int],
    centre: tuple[float, float],
    *,
    orientation: float,
    period: float,
    phase: float,
    width: float,
) -> FloatArray:
    """Return a Gabor receptive field of unit norm.

    Parameters
    ----------
    shape
        Rows and columns.
    centre
        Row and column of its middle [pixels].
    orientation, phase
        Of its grating [rad].
    period, width
        Of its grating, and the standard deviation of its envelope [pixels].

    Returns
    -------
    numpy.ndarray
        Shape ``(row, column)``.

    Examples
    --------
    >>> field = gabor((5, 5), (2, 2), orientation=0.0, period=4.0, phase=0.0, width=1.0)
    >>> int(field.argmax()), round(float((field**2).sum()), 6)
    (12, 1.0)
    """
    row, column = np.mgrid[: shape[0], : shape[1]]
    down, right = row - centre[0], column - centre[1]
    along = right * np.cos(orientation) + down * np.sin(orientation)
    envelope = np.exp(-(down**2 + right**2) / (2 * width**2))
    field = envelope * np.cos(2 * np.pi * along / period + phase)
    return np.asarray(field / np.linalg.norm(field))
