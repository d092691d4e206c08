"""The demo at full size: what the report shows is what the method promises."""

from __future__ import annotations

import json

import pytest

from neurodyn import recording as rec
from neurodyn import workflow


@pytest.mark.slow
def test_langevinflow_recovers_the_rates_and_its_latents_carry_them(tmp_path):
    folder = workflow.demo(tmp_path / "demo").parent
    metrics = json.loads((folder / "metrics.json").read_text())
    score = {(row["model"], row["metric"]): row["score"] for row in metrics["scores"]}
    assert score["langevinflow", "rate_r2"] >= 0.85
    for baseline in ("smoothing_glm", "factor_glm"):
        assert score["langevinflow", "co_bps"] > score[baseline, "co_bps"]
    difference = {row["reference"]: row for row in metrics["differences"]}["gru"]
    assert difference["low"] <= difference["difference"] <= difference["high"]
    cost = rec.load(folder / "results.nc")["cost"]
    assert float(cost.sel(part="zv")) >= 0.1
