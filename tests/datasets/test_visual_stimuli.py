"""Procedural movies against what their spectra and equations say."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn.datasets.visual_stimuli import (
    as_luminance,
    drifting_gratings,
    gabor,
    moving_clouds,
)


def test_gratings_have_the_stated_period_and_drift() -> None:
    movie = drifting_gratings(40, (16, 16), 20.0, n_directions=1, period=8.0)
    assert np.allclose(movie[:, :, :8], movie[:, :, 8:])
    # two cycles a second at 20 frames a second: the same picture every ten frames
    assert np.allclose(movie[0], movie[10])
    # a frame later the grating stands a tenth of its period further on
    phase = [np.angle(np.fft.fft(frame[0])[2]) for frame in movie[:2]]
    assert (phase[0] - phase[1]) % (2 * np.pi) == pytest.approx(2 * np.pi / 10)


def test_clouds_have_the_spectrum_of_natural_scenes() -> None:
    movie = moving_clouds(200, (32, 32), 20.0, np.random.default_rng(0))
    power = (np.abs(np.fft.fft2(movie)) ** 2).mean(axis=0)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(32)] * 2))
    used = (frequency > 0.04) & (frequency < 0.45)
    slope = np.polyfit(np.log(frequency[used]), np.log(power[used]), 1)[0]
    assert slope == pytest.approx(-2.0, abs=0.15)
    assert movie.std() == pytest.approx(0.5)


def test_clouds_forget_with_their_time_constant() -> None:
    movie = moving_clouds(
        400, (8, 8), 20.0, np.random.default_rng(1), correlation_time=0.1
    ).reshape(400, -1)
    kept = (movie[1:] * movie[:-1]).mean() / (movie**2).mean()
    assert kept == pytest.approx(np.exp(-0.5), abs=0.06)


def test_gabor_is_a_unit_vector_that_prefers_its_own_grating() -> None:
    field = gabor((21, 21), (10, 10), orientation=0.7, period=6.0, phase=0.3, width=3.0)
    assert np.linalg.norm(field) == pytest.approx(1.0)
    row, column = np.mgrid[:21, :21] - 10
    response = [
        abs((field * np.exp(2j * np.pi * (column * np.cos(a) + row * np.sin(a)) / 6.0)).sum())
        for a in (0.7, 0.7 + np.pi / 2)
    ]
    assert response[0] > 20 * response[1]


def test_luminance_stays_on_the_screen() -> None:
    values = as_luminance(np.linspace(-5, 5, 101))
    assert values.dtype == np.uint8
    assert (np.diff(values.astype(int)) >= 0).all()
    assert (values[0], values[50], values[-1]) == (0, 128, 255)
