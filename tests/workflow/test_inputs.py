"""Files as the data that a fitted model takes."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn import recording as rec
from neurodyn import workflow
from neurodyn.errors import ConfigError
from neurodyn.models import BrainMAE, DynamicConnectome, SmoothingGLM


def test_each_kind_of_model_gets_its_kind_of_data(tmp_path, rng):
    traces = rec.signal(rng.normal(size=(40, 3)), sampling_rate=4.0, dim="roi")
    path = rec.save(rec.recording([traces]), tmp_path / "traces.nc")
    found = workflow.inputs_for(DynamicConnectome(), [path])
    assert found.attrs["kind"] == "signal"
    run = rec.bold(rng.normal(size=(40, 3)), repetition_time=2.0)
    path = rec.save(rec.recording([run]), tmp_path / "run.nc")
    found = workflow.inputs_for(BrainMAE(), [path])
    assert list(found["bold"].children) == ["run"]
    counts = rec.counts(rng.poisson(1.0, (6, 20, 4)), bin_size=0.02)
    path = rec.save(rec.recording([counts]), tmp_path / "counts.nc")
    model = SmoothingGLM(n_components=2).fit(
        rec.counts(rng.poisson(1.0, (6, 20, 4)), bin_size=0.02, held_out=np.arange(4) > 2)
    )
    found = workflow.inputs_for(model, [path])
    assert found["count"].dims == ("trial", "time", "unit")
    with pytest.raises(ConfigError, match=r"(?s)takes one recording.*2 files"):
        workflow.inputs_for(model, [path, path])
