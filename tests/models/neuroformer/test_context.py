"""What a fitted Neuroformer knows of its data: leaks, sizes, features and classes."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn.datasets import simulate_visual_population
from neurodyn.errors import DataError
from neurodyn.models.neuroformer.config import (
    BehaviorInput,
    BehaviorTarget,
    NeuroformerConfig,
    Stage,
)
from neurodyn.models.neuroformer.context import (
    NeuroformerContext,
    has_behavior,
    refuse_leak,
    spikes_digest,
)
from neurodyn.models.neuroformer.recordings import token_windows
from neurodyn.nlb.guard import LeakageError
from neurodyn.recording import behavior, pick, signal
from neurodyn.transforms import restrict, select_units
from neurodyn.windows.time_folds import blocked_folds

from .runs import KINDS, SCORED, TINY, evaluation, fitted, session

CONFIG = NeuroformerConfig(**TINY)


def part(begin, stop, data=None, config=CONFIG):
    found = restrict(session() if data is None else data, [[begin, stop]])
    return found, token_windows(found, config)


def test_windows_that_read_each_other():
    """A window of 0.1 s reads 0.1 s before it: 4 to 5 s predict 4.1 to 5 s."""
    late = part(4.0, 5.0)
    expected = r"(?s)training windows read what validation windows predict.*found: 1 shared"
    with pytest.raises(DataError, match=expected + r".*\[4\.1, 4\.5\].*hint|blocked_holdout"):
        refuse_leak(part(0.0, 4.5), late)
    # the past of the second part is predicted in the first one
    inside = part(4.95, 8.0)
    with pytest.raises(DataError, match="training windows read what validation windows predict"):
        refuse_leak(inside, late)
    with pytest.raises(DataError, match="validation windows read what training windows predict"):
        refuse_leak(late, inside)
    for apart in (part(0.0, 4.0), part(5.0, 8.0)):
        refuse_leak(apart, late)
        refuse_leak(late, apart)


def test_an_input_that_reaches_further_back_than_the_past_counts():
    config = NeuroformerConfig(
        **{**TINY, "stages": (Stage(), Stage(source="behavior"))},
        behavior=(BehaviorInput(name="speed", window=0.5),),
    )
    early = part(0.0, 4.0, config=config)
    with pytest.raises(DataError, match=r"(?s)validation windows read what.*3\.8\d*, 4\.0\]"):
        refuse_leak(early, part(4.2, 5.0, config=config))
    refuse_leak(early, part(4.4, 5.0, config=config))


def test_folds_of_a_recording_are_apart():
    for train, test in blocked_folds(session(), 4, gap=0.1):
        refuse_leak((train, token_windows(train, CONFIG)), (test, token_windows(test, CONFIG)))


def test_another_session_is_no_leak():
    monday, tuesday = session(), session(1, name="tuesday")
    parts = [(data, token_windows(data, CONFIG)) for data in (monday, tuesday)]
    refuse_leak(*parts)
    with pytest.raises(DataError, match="other sessions differ in one of subject, session_start"):
        refuse_leak(parts[0], parts[0])
    small = {"n_units": 3, "n_repeats": 1, "duration": 1.0, "height": 4, "width": 4}
    one, two = (simulate_visual_population(seed=seed, **small).recording for seed in (0, 1))
    refuse_leak((one, token_windows(one, CONFIG)), (two, token_windows(two, CONFIG)))


def test_fit_and_finetune_refuse_leaks():
    data, model = session(), fitted()
    with pytest.raises(DataError, match="read what"):
        fitted(data, validation=restrict(data, [[2.0, 3.0]]))
    with pytest.raises(DataError, match="read what"):
        model.finetune(data, validation=restrict(data, [[2.0, 3.0]]))
    fitted(data, SCORED, validation=session(1, name="tuesday"))
    fitted(restrict(data, [[0.0, 4.0]]), SCORED, validation=restrict(data, [[4.0, 8.0]]))
    marked = evaluation(data)
    for call in (lambda: fitted(marked), lambda: model.finetune(marked)):
        with pytest.raises(LeakageError, match="not for fitting"):
            call()
    with pytest.raises(LeakageError, match="not for fitting"):
        fitted(data, validation=evaluation(session(1, name="tuesday")))


@pytest.mark.parametrize(
    ("kind", "name", "other", "message"),
    [
        ("video", "movie", (80, 30), r"the stimulus has another size.*\n.*\(2, 1, 5, 6\)"),
        ("features", "sound", (80, 2), r"the stimulus has another size.*\n.*found: \(2, 2\)"),
    ],
)
def test_a_stimulus_of_another_size(kind, name, other, message):
    model = fitted(**KINDS[kind])
    values = np.random.default_rng(0).normal(size=other)
    replaced = session()
    replaced[f"signal/{name}"].dataset = signal(values, sampling_rate=10.0, height=5, width=6)
    for verb in (model.predict, model.transform, model.simulate, model.score):
        with pytest.raises(DataError, match=message):
            verb(replaced)
    with pytest.raises(DataError, match=message):
        fitted(**KINDS[kind], validation=replaced)


def test_other_features():
    """Behaviors are matched by label: the same features in another order are no match."""
    settings = {"stages": (Stage(), Stage(source="behavior"))}
    model = fitted(**settings, behavior=(BehaviorInput(name="hand"),))
    turned = session()
    turned["behavior/hand"].dataset = pick(session(), "behavior", "hand").isel(feature=[1, 0])
    with pytest.raises(DataError, match=r"behavior hand has other features.*\n.*y, x\n.*x, y"):
        model.predict(turned)
    with pytest.raises(DataError, match="behavior hand has other features"):
        fitted(**settings, behavior=(BehaviorInput(name="hand"),), validation=turned)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.arange(80) % 4, r"no classes.*\n.*found: 20 of 80, the first 3\n.*0 to 2"),
        (np.arange(80) % 2 / 2, "found: 40 of 80, the first 0.5"),
        (-(np.arange(80) % 2), "the first -1"),
        (np.zeros((80, 2)), "several features, of which one can be classified"),
    ],
)
def test_values_that_are_no_classes(values, message):
    labels = ["state", "more"][: values.ndim]
    states = behavior(values.reshape(80, -1), sampling_rate=10.0, feature=labels)
    target = BehaviorTarget(name="state", kind="classification", n_classes=3)
    with pytest.raises(DataError, match=message):
        fitted(session(behavior={"state": states}), targets=(target,))


def test_unknown_classes_are_left_out():
    values = np.where(np.arange(80) % 2, np.nan, 1.0)
    states = behavior(values, sampling_rate=10.0, feature=["state"])
    target = BehaviorTarget(name="state", kind="classification", n_classes=2)
    model = fitted(session(behavior={"state": states}), targets=(target,))
    found = model.decode(session(behavior={"state": states}))
    known = np.isfinite(found["true"].values)
    assert 0 < known.sum() < known.size


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_context_as_text(kind):
    model = fitted(**KINDS[kind])
    assert NeuroformerContext.from_json(model.context_.to_json()) == model.context_


def test_what_the_context_counts():
    data = session()
    windows = token_windows(data, CONFIG)
    found = NeuroformerContext.of(data, windows, CONFIG)
    late = pick(restrict(data, [[0.1, 8.0]]), "spikes")
    np.testing.assert_allclose(found.expected_counts, late["row_size"] / 316)
    time = late["spike_time"].values
    edges = 0.1 + 0.1 * np.arange(80)
    assert found.most_spikes == np.histogram(time + 1e-6, edges)[0].max()


def test_the_digest_says_units_and_times():
    digests = [
        spikes_digest(session()),
        spikes_digest(session(1)),
        spikes_digest(select_units(session(), ["b", "a", "c"])),
        spikes_digest(session(units=("a", "b", "d"))),
    ]
    assert len(set(digests)) == 4
    assert spikes_digest(session()) == digests[0]


def test_whether_there_is_a_behavior():
    data = session()
    assert [has_behavior(data, name) for name in ("hand", "x", "nose")] == [True, True, False]
    assert not has_behavior(session(behavior=None), "hand")
