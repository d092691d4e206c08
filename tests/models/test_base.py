from __future__ import annotations

import tomllib

import numpy as np
import pytest

from neurodyn.config import from_toml
from neurodyn.errors import CheckpointMismatchError, ConfigError
from neurodyn.models import registry
from neurodyn.models.base import RunConfig, arrays_digest
from neurodyn.models.baselines import FactorGLM, FactorGLMConfig, SmoothingGLM
from neurodyn.models.checks import example_counts
from neurodyn.models.langevinflow.estimator import LangevinFlowEstimator

COUNTS = example_counts()


def test_settings_come_from_a_config_or_by_name():
    config = FactorGLMConfig(width=0.05)
    assert FactorGLM(config).config is not None
    assert FactorGLM(config, n_factors=3).config == FactorGLMConfig(width=0.05, n_factors=3)
    assert repr(FactorGLM(n_factors=3)) == "FactorGLM(n_factors=3)"


def test_a_foreign_config_is_refused():
    with pytest.raises(ConfigError, match="takes another configuration"):
        SmoothingGLM(FactorGLMConfig())


def test_nested_settings_are_reached_by_double_underscore():
    model = LangevinFlowEstimator(quirks__lagged_input=False)
    assert not model.config.quirks.lagged_input
    assert model.get_params()["quirks__lagged_input"] is False
    assert "quirks" in model.get_params(deep=False)
    assert repr(model) == "LangevinFlowEstimator(quirks__lagged_input=False)"


def test_a_misspelt_setting_is_named_with_its_neighbour():
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        SmoothingGLM(widht=0.1)


@pytest.mark.parametrize("value", [{"width": -1.0}, {"n_components": -1}, {"forward_decay": 0.0}])
def test_impossible_settings_are_refused(value):
    with pytest.raises(ConfigError):
        SmoothingGLM(**value)


def test_config_file_of_a_run_is_readable_and_complete(tmp_path):
    SmoothingGLM(n_components=0).fit(COUNTS).save(tmp_path)
    found = tomllib.loads((tmp_path / "config.toml").read_text())
    assert found["estimator"] == "smoothing_glm"
    assert found["model"]["n_components"] == 0
    assert from_toml(RunConfig, tmp_path / "config.toml").model["width"] == 0.08


def test_the_registry_finds_the_class_of_a_run(tmp_path):
    SmoothingGLM(width=0.05).fit(COUNTS).save(tmp_path)
    loaded = registry.load(tmp_path)
    assert isinstance(loaded, SmoothingGLM)
    assert loaded.config.width == 0.05
    with pytest.raises(CheckpointMismatchError, match="belongs to another estimator"):
        FactorGLM.load(tmp_path)


def test_unknown_names_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="did you mean 'langevinflow'"):
        registry.get("langevinflo")
    SmoothingGLM().fit(COUNTS).save(tmp_path)
    monkeypatch.setattr(registry, "ESTIMATORS", {"gru": registry.ESTIMATORS["gru"]})
    with pytest.raises(CheckpointMismatchError, match="unknown estimator"):
        registry.load(tmp_path)


def test_every_registered_name_is_the_name_of_its_class():
    for name in registry.available():
        assert registry.get(name).name == name


def test_digest_sees_names_dtypes_shapes_and_values():
    base = {"a": np.zeros((2, 3))}
    others = [{"b": np.zeros((2, 3))}, {"a": np.zeros((3, 2))}, {"a": np.ones((2, 3))}]
    others.append({"a": np.zeros((2, 3), np.float32)})
    assert len({arrays_digest(x) for x in [base, *others]}) == 5
