"""A connectome from files to a report: two groups of cells, one of which a stimulus drives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html import unescape

import numpy as np
import pytest
import xarray as xr
from roi_files import named, stimuli
from typer.testing import CliRunner

import neurodyn as nd
from neurodyn import recording as rec
from neurodyn import workflow
from neurodyn.cli.app import app, exit_code
from neurodyn.errors import CheckpointCorruptError, ConfigError, TrialTableError
from neurodyn.models import registry, run_folder
from neurodyn.models.connectome import DynamicConnectome, attribute
from neurodyn.report import read_run
from neurodyn.report.connectome import sentence
from neurodyn.workflow.connectome import connectome_model, stage_windows

CELLS = ["ASEL", "AVAL", "ASER", "AVAR", "ASHL", "AVBL", "ASHR", "AVBR"]
DRIVEN = CELLS[::2]
SALT = 24.0
SMALL = {
    "rank": 2,
    "affinity__bandwidth": 1.0,
    "factorisation__n_restarts": 2,
    "factorisation__n_sweeps": 100,
}


def groups(n_animals=2, seed=0):
    """Traces of 60 s: one group answers the salt, the other acts thrice, at 6, 48 and 54 s."""
    rng = np.random.default_rng(seed)
    time = np.arange(240) / 4
    salt = np.exp(-(((time - SALT - 3) / 1.5) ** 2))
    own = sum(np.exp(-(((time - at) / 1.5) ** 2)) for at in (6.0, 48.0, 54.0))
    course = np.stack([salt, own] * 4, axis=1)
    return course + 0.03 * rng.normal(size=(n_animals, 240, 8))


def opened(n_animals=2, with_stimuli=True, cells=CELLS, values=None):
    values = groups(n_animals) if values is None else values
    traces = rec.signal(values, sampling_rate=4.0, dim="roi", channel=cells, units="dF/F0")
    traces = traces if n_animals > 1 else traces.isel(animal=0, drop=True)
    salt = stimuli([SALT], ["salt"], 4.0) if with_stimuli else None
    return workflow.TraceData(traces, salt, ("said by the reader",))


@pytest.fixture
def plain_figures(monkeypatch):
    """Leave figures out: drawing them is tested with the plots, and takes longest."""
    uris = ("data:image/png;base64,", "data:image/png;base64,")
    monkeypatch.setattr("neurodyn.report.page.data_uris", lambda drawing: uris)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with everything in it."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    page = workflow.connectome(
        opened(), folder, DynamicConnectome(**SMALL), ranks=(1, 2), command="neurodyn connectome"
    )
    assert page == folder / "report.html"
    return folder


def test_a_run_folder_is_whole_and_verified(whole):
    files = {path.name for path in whole.iterdir()}
    kept = {"results.nc", "rank_scan.nc", "stages.nc", "stimuli.nc", "report.html"}
    assert files == kept | {"manifest.json", "metrics.json", "config.toml", "model.safetensors"}
    run = run_folder.read(whole)
    assert kept <= set(run.manifest["files"])
    assert run.manifest["command"] == "neurodyn connectome"
    assert run.manifest["inputs"]["traces"]["digest"].startswith("sha256:")
    (score,) = json.loads((whole / "metrics.json").read_text())["scores"]
    assert (score["metric"], 0.5 < score["score"] < 1) == ("variance_explained", True)


def test_what_was_fitted_is_there_again(whole):
    data = opened()
    fitted = DynamicConnectome(**SMALL).fit(data.traces)
    found = fitted.components_.merge(attribute(fitted.components_, data.stimuli))
    results = rec.load(whole / "results.nc")
    xr.testing.assert_identical(results.drop_attrs(deep=False), found.drop_attrs(deep=False))
    assert results.attrs == fitted.components_.attrs
    loaded = registry.load(whole)
    assert loaded.arrays_digest_ == fitted.arrays_digest_
    xr.testing.assert_identical(loaded.transform(data.traces), fitted.transform(data.traces))
    xr.testing.assert_identical(rec.load(whole / "stimuli.nc"), data.stimuli)


def test_the_groups_and_their_stimulus_are_found(whole):
    results = rec.load(whole / "results.nc")
    follows = int(results["stimulus_index"].sel(stimulus="salt").values.argmax())
    answer = results.isel(component=follows)
    assert results["p_value"].sel(stimulus="salt").values.argmin() == follows
    pairs = answer["pair_factor"]
    inside = pairs.sel(roi=DRIVEN, roi_to=DRIVEN).values[np.triu_indices(4, 1)]
    assert inside.min() > 3 * pairs.sel(roi=DRIVEN).drop_sel(roi_to=DRIVEN).values.max()
    assert SALT - 2 <= float(answer["time_factor"].idxmax("time")) <= SALT + 8
    stages = rec.load(whole / "stages.nc")
    assert stages["stage"].values.tolist() == ["before", "salt"]


def test_the_report_says_each_component_in_a_sentence(whole):
    page = unescape((whole / "report.html").read_text(encoding="utf-8"))
    results = rec.load(whole / "results.nc")
    for component in results["component"].values.tolist():
        assert sentence(results, component) in page
    for said in (
        "Which nodes act together, when, and in which animals?",
        "said by the reader",
        "The number of components, 2, was given, not found",
        "How many components",
        "Stages of the experiment",
        "<h2>Stimuli</h2>",
        "neurodyn connectome",
    ):
        assert said in page
    assert "<script" not in page


def test_a_changed_file_is_noticed(whole, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in whole.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    DynamicConnectome.load(copy)
    (copy / "stages.nc").write_bytes(b"other")
    with pytest.raises(CheckpointCorruptError, match=r"changed[\s\S]*found: stages.nc"):
        DynamicConnectome.load(copy)


@pytest.mark.usefixtures("plain_figures")
def test_a_second_run_replaces_the_first(tmp_path):
    model = DynamicConnectome(**SMALL)
    workflow.connectome(opened(), tmp_path, model, ranks=(1,))
    assert not model.is_fitted
    workflow.connectome(opened(1, with_stimuli=False), tmp_path, model.set_params(rank=1), ranks=())
    assert not {"stimuli.nc", "rank_scan.nc"} & {path.name for path in tmp_path.iterdir()}
    assert not {"stimuli.nc", "rank_scan.nc"} & set(run_folder.read(tmp_path).manifest["files"])
    run = read_run(tmp_path)
    assert set(run.others) == {"stages"}
    assert run.others["stages"].sizes["stage"] == 4
    assert "q_value" not in run.results
    assert registry.load(tmp_path).config.rank == 1
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "no stimulus was tested." in page
    assert "<h2>Stimuli</h2>" not in page
    assert "How many components" not in page


@pytest.mark.usefixtures("plain_figures")
def test_names_from_files_are_escaped(tmp_path):
    cells = [f"<script>alert('{name}')</script>" for name in CELLS]
    page = workflow.connectome(
        opened(cells=cells), tmp_path, DynamicConnectome(**SMALL), ranks=()
    ).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(" in page


@pytest.mark.usefixtures("plain_figures")
def test_a_record_too_short_for_attribution_still_gives_a_connectome(tmp_path):
    data = opened(values=groups()[:, 80:160])
    data = workflow.TraceData(data.traces, stimuli([0.0], ["salt"], 12.0))
    page = workflow.connectome(data, tmp_path, DynamicConnectome(**SMALL), ranks=())
    text = page.read_text(encoding="utf-8")
    assert "Stimuli were not attributed: the windows of a stimulus fill" in text
    assert "no stimulus was tested" in text
    assert (tmp_path / "stimuli.nc").is_file()
    late = workflow.TraceData(data.traces, stimuli([400.0], ["salt"]))
    before = sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir())
    with pytest.raises(TrialTableError, match="lies outside the components"):
        workflow.connectome(late, tmp_path, DynamicConnectome(**SMALL), ranks=())
    # what cannot be finished replaces nothing
    assert sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir()) == before


@pytest.mark.usefixtures("plain_figures")
def test_cells_that_were_never_of_use_are_told(tmp_path):
    values = groups()
    values[:, :, 1] = 0.5
    page = workflow.connectome(
        opened(values=values), tmp_path, DynamicConnectome(**SMALL), ranks=()
    )
    text = page.read_text(encoding="utf-8")
    assert "constant traces: 2, left out in their animal." in text
    assert "7 pairs of roi have no data in any animal: they are missing." in text
    assert "in no community, as no animal has data of a pair of it: AVAL." in text


def components(time, **coords):
    return rec.results({}, {"time": np.asarray(time), **coords})


def test_stages_of_segments():
    names = ["before"] * 2 + ["salt"] * 3 + ["odor"] * 3
    found = stage_windows(components(np.arange(8.0), segment=("time", names)), None)
    assert found == [("before", 0.0, 2.0), ("salt", 2.0, 5.0), ("odor", 5.0, 8.0)]


def test_stages_of_stimuli_are_the_same_for_all_animals():
    both = {"stimulus": ["salt", "salt", "odor"], "animal": ["a", "b", "a"]}
    table = rec.trials([3.0, 3.0, 0.0], [4.0, 4.0, 1.0], columns=both)
    found = stage_windows(components(np.arange(8.0)), table)
    assert found == [("odor", 0.0, 3.0), ("salt", 3.0, 8.0)]


def test_stages_without_stimuli_are_quarters():
    found = stage_windows(components(10 + np.arange(8.0)), None)
    assert [stage[1:] for stage in found] == [(10, 12), (12, 14), (14, 16), (16, 18)]


def test_settings_come_from_a_file_and_the_command_line(whole, tmp_path):
    model = connectome_model(["rank=3"], config=whole / "config.toml", on_bad="drop")
    assert (model.config.rank, model.config.affinity.bandwidth) == (3, 1.0)
    assert model.config.on_bad == "drop"
    with pytest.raises(ConfigError, match="did you mean 'bandwidth'"):
        connectome_model(["affinity.bandwith=1"])
    (tmp_path / "config.toml").write_text('estimator = "gru"')
    with pytest.raises(ConfigError, match="the file is about another model"):
        connectome_model(config=tmp_path / "config.toml")


def command(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-m", "neurodyn", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def worms(tmp_path):
    """Two NWB files, of cells by name; the last cell of the second worm is not seen."""
    for name, values in zip(("worm1", "worm2"), groups()):
        n_cells = 8 if name == "worm1" else 7
        parts = [named(values[:, :n_cells], CELLS[:n_cells]), stimuli([SALT], ["salt"], 4.0)]
        session = rec.recording(parts, session_start="2026-01-02T03:04:05+00:00", subject=name)
        nd.write_nwb(session, tmp_path / f"{name}.nwb")
    return tmp_path


def test_the_command_line_on_two_files(worms):
    arguments = ("--rank", 1, "--bandwidth", 1, "--scan", 0, "--set", "factorisation.n_restarts=2")
    done = command(worms, "connectome", "worm1.nwb", "worm2.nwb", "--folder", "run", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "wrote run/report.html\n", "")
    assert {path.name for path in worms.iterdir()} == {"worm1.nwb", "worm2.nwb", "run"}
    results = rec.load(worms / "run" / "results.nc")
    assert results["animal"].values.tolist() == ["worm1", "worm2"]
    assert results["roi"].values.tolist() == CELLS
    assert "neurodyn connectome worm1.nwb worm2.nwb" in (worms / "run/report.html").read_text()


def test_a_faulty_trace_is_named_by_the_command_line(worms):
    values = groups()[1]
    values[100:104, 2] = np.nan
    session = rec.recording(
        [named(values, CELLS), stimuli([SALT], ["salt"], 4.0)],
        session_start="2026-01-02T03:04:05+00:00",
    )
    nd.write_nwb(session, worms / "worm3.nwb")
    done = command(worms, "connectome", "worm1.nwb", "worm3.nwb", "--folder", "run")
    assert done.returncode == 3
    for said in (
        "DataError: 1 traces are interrupted (at animal worm3, roi ASER)",
        "4 of 240 samples",
        "on_bad='drop'",
    ):
        assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (worms / "run").exists()


def test_an_unknown_setting_is_refused_before_a_file_is_opened():
    result = CliRunner().invoke(app, ["connectome", "none.nwb", "--set", "rnk=3"])
    assert "did you mean 'rank'" in str(result.exception)
    assert exit_code(result.exception) == 2
    result = CliRunner().invoke(app, ["connectome", "none.nwb", "--rank", "0"])
    assert "a connectome needs a rank from 1" in str(result.exception)


def test_help_has_an_example():
    result = CliRunner().invoke(app, ["connectome", "--help"])
    assert "Example: neurodyn connectome worm1.nwb worm2.nwb --rank 4" in result.output
