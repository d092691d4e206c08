"""Attribution: a planted response is found, the null is honest, stimuli are shared or refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from neurodyn.errors import ConfigError, DegenerateInputError, TrialTableError
from neurodyn.models.connectome.attribution import attribute
from neurodyn.recording import results, trials

STEP = 0.5


def courses(values):
    values = np.atleast_2d(values)
    return results(
        {"time_factor": (("component", "time"), values)},
        {
            "component": [str(n + 1) for n in range(len(values))],
            "time": np.arange(values.shape[1]) * STEP,
        },
    )


def stimuli(**columns):
    names = {"stimulus": ["salt", "light"], **columns}
    return trials([60.0, 150.0][: len(names["stimulus"])] * 1, [70.0, 160.0], columns=names)


def test_a_response_belongs_to_its_stimulus(rng):
    values = rng.random((3, 480))
    values[1, 120:160] += 5.0
    found = attribute(courses(values), stimuli())
    significant = found["q_value"].values < 0.05
    assert significant.tolist() == [[False, False], [True, False], [False, False]]
    inside = values[1, 120:160].mean()
    outside = np.delete(values[1], np.s_[120:160]).mean()
    assert found["stimulus_index"][1, 0] == pytest.approx(inside / outside)
    assert found["p_value"].min() == 1 / 480


def test_windows_of_part_samples_count_in_part():
    values = np.zeros(480)
    values[100] = 1.0
    one = trials([50.25], [50.5], columns={"stimulus": ["salt"]})
    found = attribute(courses(values), one, after=0.0)
    # the window is the second half of sample 100, the other half lies outside
    assert found["stimulus_index"].item() == pytest.approx(1.0 / (0.5 / 479.5))


def test_shifted_noise_is_not_attributed():
    rng = np.random.default_rng(8)
    found = []
    for _ in range(120):
        white = rng.normal(size=600)
        slow = np.convolve(white, np.ones(8), "same")[:480] + 8.0
        one = trials([60.0], [70.0], columns={"stimulus": ["salt"]})
        found.append(attribute(courses(slow), one)["p_value"].item())
    assert kstest(found, "uniform").pvalue > 0.01


def test_q_values_are_those_of_benjamini_and_hochberg(rng):
    found = attribute(courses(rng.random((4, 480))), stimuli())
    p_value = found["p_value"].values.ravel()
    order = np.argsort(p_value)
    stepped = p_value[order] * p_value.size / np.arange(1, p_value.size + 1)
    expected = np.minimum.accumulate(stepped[::-1])[::-1]
    np.testing.assert_allclose(found["q_value"].values.ravel()[order], expected)


def test_animals_must_share_the_times():
    columns = {"stimulus": ["salt", "salt"], "animal": ["w1", "w2"]}
    both = trials([60.0, 60.0], [70.0, 70.0], columns=columns)
    assert attribute(courses(np.ones(480)), both)["p_value"].shape == (1, 1)
    shuffled = trials([60.0, 150.0], [70.0, 160.0], columns=columns)
    with pytest.raises(TrialTableError, match="comes at other times in other animals"):
        attribute(courses(np.ones(480)), shuffled)


def test_impossible_requests_are_refused():
    flat = courses(np.ones(480))
    with pytest.raises(TrialTableError, match="trials have no stimuli"):
        attribute(flat, trials([1.0], [2.0]))
    with pytest.raises(TrialTableError, match="lies outside the components"):
        attribute(flat, trials([900.0], [901.0], columns={"stimulus": ["salt"]}))
    with pytest.raises(ConfigError, match="after must be 0 or more"):
        attribute(flat, stimuli(), after=-1.0)
    with pytest.raises(DegenerateInputError, match="windows of a stimulus fill the record"):
        attribute(flat, trials([0.0], [240.0], columns={"stimulus": ["salt"]}))
