"""Labels of runs and of events, from a frozen and from a fine-tuned model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from neurodyn import recording as rec
from neurodyn.errors import (
    ConfigError,
    DataError,
    DegenerateInputError,
    EmptySelectionError,
    TrialTableError,
)
from neurodyn.models import BrainMAE, load
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.examples import event_examples, run_examples
from neurodyn.models.brainmae.finetune import BrainMAEDecoder
from neurodyn.models.brainmae.finetune_network import FinetuneNetwork
from neurodyn.models.brainmae.probe import probe
from neurodyn.training import TrainingConfig

from .runs import TINY, make_group, make_run, part

QUICK = TrainingConfig(n_steps=60, batch_size=16, learning_rate=3e-3, progress=False)
NAMES = [f"sub{number:02d}" for number in range(8)]


def with_events(rng, n_subjects=4):
    """Return runs in which the regions of one network rise 6 s after events of its kind."""
    runs, tables = {}, {}
    for number in range(n_subjects):
        run = make_run(rng, subject=f"sub{number:02d}")
        onset = 20.0 + 24.0 * np.arange(8)
        kind = rng.permutation(np.array(["heat", "rating"] * 4))
        for start, name in zip(onset, kind):
            frame = int((start + 6) / 2)
            run["bold"][frame : frame + 6, (0 if name == "heat" else 1) :: 3] += 3.0
        runs[f"sub{number:02d}"] = run
        tables[f"sub{number:02d}"] = rec.trials(onset, onset + 10, columns={"trial_type": kind})
    return rec.recording({"bold": runs, "trials": tables})


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    data = make_group(np.random.default_rng(0))
    folder = tmp_path_factory.mktemp("pretrained")
    training = TrainingConfig(n_steps=200, batch_size=8, learning_rate=5e-3, progress=False)
    return BrainMAE(**TINY).fit(data, training=training, folder=folder), folder


def test_examples_are_runs_with_their_labels(pretrained):
    model, _ = pretrained
    data = make_group(np.random.default_rng(1))
    data["bold"]["sub03"].attrs["age"] = np.nan
    examples = run_examples(data, model.context_, model.config, "age")
    assert examples.name.tolist() == [name for name in NAMES if name != "sub03"]
    assert examples.label.tolist() == [20.0 + 3 * k for k in range(8) if k != 3]
    some = examples.take([5, 0])
    assert some.subject.tolist() == ["sub06", "sub00"]
    assert np.unique(some.example).tolist() == [0, 1]
    assert (examples.windows.run[examples.example == 5]).tolist() == [5] * 5
    values = np.arange(len(some.windows), dtype=float)
    np.testing.assert_allclose(
        some.mean(values), [values[some.example == k].mean() for k in (0, 1)]
    )
    with pytest.raises(EmptySelectionError, match=r"(?s)attribute 'groups'.*did you mean 'group'"):
        run_examples(data, model.context_, model.config, "groups")


def test_examples_are_events_with_their_segments(pretrained):
    model, _ = pretrained
    data = with_events(np.random.default_rng(1))
    examples = event_examples(data, model.context_, model.config, "trial_type")
    assert len(examples) == len(examples.windows) == 32
    assert examples.name[0] == "sub00@26s"
    assert examples.windows.start[:2].tolist() == [13, 25]
    assert examples.windows.n_segments == 1
    with pytest.raises(TrialTableError, match=r"(?s)no column 'kind'.*trial_type"):
        event_examples(data, model.context_, model.config, "kind")
    bare = rec.recording({"bold": {"a": data["bold"]["sub00"].to_dataset()}})
    with pytest.raises(TrialTableError, match=r"(?s)no events.*no tables of trials.*trials/a"):
        event_examples(bare, model.context_, model.config, "trial_type")


def test_a_probe_reads_states_of_new_subjects(pretrained):
    model, _ = pretrained
    before = model.arrays_digest_
    train, test = (with_events(np.random.default_rng(seed)) for seed in (1, 2))
    readout = probe(model, event_examples(train, model.context_, model.config, "trial_type"))
    found = readout.predict(event_examples(test, model.context_, model.config, "trial_type"))
    assert (found["prediction"] == found["label"]).mean() > 0.8
    assert found["probability"].dims == ("example", "class")
    np.testing.assert_allclose(found["probability"].sum("class"), 1)
    assert model.arrays_digest_ == before


def test_a_probe_of_numbers(pretrained):
    model, _ = pretrained
    data = make_group(np.random.default_rng(1), n_subjects=12)
    examples = run_examples(data, model.context_, model.config, "age")
    found = probe(model, examples, "regression").predict(examples)
    assert set(found.data_vars) == {"prediction"}
    assert np.corrcoef(found["prediction"], found["label"].astype(float))[0, 1] > 0.3
    same = run_examples(data, model.context_, model.config, "atlas")
    with pytest.raises(DegenerateInputError, match=r"(?s)same label.*12 examples of"):
        probe(model, same)
    with pytest.raises(ConfigError, match="task"):
        probe(model, examples, "ranking")


def test_fine_tuning_starts_from_the_pretrained_weights(pretrained):
    model, folder = pretrained
    data = with_events(np.random.default_rng(1))
    decoder = BrainMAEDecoder(
        pretrained=str(folder), examples="events", target="trial_type", encoder_scale=0.0
    )
    decoder.fit(data, training=QUICK)
    for name, weight in decoder.network_.encoder.state_dict().items():
        assert np.array_equal(weight, model.network_.state_dict()[name]), name
    tuned = decoder.clone().set_params(encoder_scale=0.1).fit(data, training=QUICK)
    state = tuned.network_.encoder.state_dict()
    assert not np.array_equal(state["roi_embedding"], model.network_.state_dict()["roi_embedding"])
    fresh = with_events(np.random.default_rng(2))
    scores = tuned.score(fresh)
    assert float(scores["balanced_accuracy"]) > 0.9
    assert set(tuned.score(fresh, "accuracy")) == {"accuracy", "accuracy_low", "accuracy_high"}
    found = tuned.predict(fresh)
    assert found["class"].values.tolist() == ["heat", "rating"]


def test_fine_tuning_from_scratch_to_numbers(tmp_path):
    data = make_group(np.random.default_rng(1))
    decoder = BrainMAEDecoder(network=BrainMAEConfig(**TINY), target="age", task="regression")
    decoder.fit(data, training=QUICK, folder=tmp_path)
    scores = decoder.score(data)
    assert float(scores["mae"]) < 6.0
    again = load(tmp_path)
    xr.testing.assert_identical(again.predict(data), decoder.predict(data))
    assert again.transform(data)["features"].dims == ("example", "feature")


def test_lower_layers_learn_more_slowly():
    from neurodyn.models.brainmae.finetune_config import FinetuneConfig
    from neurodyn.models.brainmae.network import BrainMAENetwork

    config = BrainMAEConfig(**{**TINY, "n_blocks": 3, "n_encoder_layers": 2})
    network = FinetuneNetwork(FinetuneConfig(), BrainMAENetwork(config, 5, 6), 2)
    scale = {name: network.learning_rate_scale(name) for name, _ in network.named_parameters()}
    last = next(v for k, v in scale.items() if k.startswith("encoder.context.layers.1"))
    first = next(v for k, v in scale.items() if k.startswith("encoder.context.layers.0"))
    top = next(v for k, v in scale.items() if k.startswith("encoder.encoder.blocks.2"))
    bottom = next(v for k, v in scale.items() if k.startswith("encoder.encoder.blocks.0"))
    assert scale["head.weight"] == 1.0
    assert last == 0.1
    assert first == pytest.approx(0.075)
    assert bottom < top < first


def test_what_leaks_or_is_unknown_is_refused(pretrained):
    _, folder = pretrained
    data = make_group(np.random.default_rng(1))
    decoder = BrainMAEDecoder(pretrained=str(folder), target="group")
    with pytest.raises(DataError, match=r"(?s)in training and validation.*sub01"):
        decoder.fit(part(data, NAMES[:4]), validation=part(data, NAMES[1:]), training=QUICK)
    other = part(data, NAMES[4:])
    other["bold"]["sub05"].attrs["group"] = "sibling"
    with pytest.raises(DataError, match=r"(?s)not in training.*sibling.*control, patient"):
        decoder.fit(part(data, NAMES[:4]), validation=other, training=QUICK)
    decoder.fit(
        part(data, NAMES[:4]),
        validation=part(data, NAMES[4:]),
        training=replace(QUICK, n_steps=40, monitor="loss", validate_every=20),
    )
    for setting, value in (("layer_decay", 0.0), ("encoder_scale", -1.0), ("examples", "trials")):
        with pytest.raises(ConfigError, match=setting):
            BrainMAEDecoder(**{setting: value})
