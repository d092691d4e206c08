"""The report page: what it says, that it stands alone, and that nothing in it can run."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neurodyn import recording as rec
from neurodyn.datasets.lorenz import simulate_lorenz
from neurodyn.errors import CorruptFileError, EmptySelectionError
from neurodyn.plots import Drawing
from neurodyn.plots.embed import data_uris
from neurodyn.provenance import add_history, history
from neurodyn.report import Section, Table, merge_results, read_run, write_report

EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend((tag, name, value or "") for name, value in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, tag: str, name: str) -> list[str]:
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]

    @property
    def headings(self) -> list[str]:
        return re.findall(r"<h2>(.*?)</h2>", self.source)


def write_results(folder: Path, unit_name: Callable[[str], str] = str) -> None:
    truth = simulate_lorenz(n_conditions=2, n_repeats=3, n_units=5).truth
    truth = truth.assign_coords(unit=[unit_name(unit) for unit in truth["unit"].values])
    wave = 2.0 * np.pi * np.arange(6) / 6
    frequency = np.sqrt(2.2 - 2.0 * np.cos(wave))[:, None]
    ds = xr.Dataset(
        {
            "rate": truth["rate"] * 1.1,
            "true_rate": truth["rate"],
            "count": (truth["rate"].dims, np.ones(truth["rate"].shape, np.uint8)),
            "latent": truth["latent"],
            "frequency": (("wave_number", "mode"), frequency),
            "quality": (("wave_number", "mode"), frequency / 0.3),
            "cost": ("part", [0.0, 0.125], {"units": "nats per element"}),
            "co_bps": ("part", [0.25, 0.0625], {"units": "bits per spike"}),
        },
        {"part": ["intact", "zv"], "wave_number": wave},
        {"kind": "results", "bin_size": 0.02, "quality": {"unsorted spikes": 3}},
    )
    ds = add_history(ds, "bin_spikes", bin_size=0.02)
    rec.save(add_history(ds, "cut_blocks", length=1.0), folder / "results.nc")


def write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


def write_run(folder: Path) -> None:
    write_results(folder)
    scores = [
        {"model": "LangevinFlow", "metric": "co_bps", "score": 0.26, "low": 0.24, "high": 0.28},
        {"model": "GRU", "metric": "co_bps", "score": 0.25, "low": 0.23, "high": 0.27},
        {"model": "GLM", "metric": "co_bps", "score": 0.15, "units": "bits/spike"},
        {"model": "LangevinFlow", "metric": "rate_r2", "score": 0.9},
    ]
    differences = [
        {"model": "LangevinFlow", "reference": reference, "metric": "co_bps"} | values
        for reference, values in (
            ("GRU", {"difference": 0.01, "low": -0.01, "high": 0.03}),
            ("GLM", {"difference": 0.11, "low": 0.09, "high": 0.13}),
            ("oracle", {"difference": -0.2, "low": -0.3, "high": -0.1}),
        )
    ]
    metrics = {"headline": "LangevinFlow", "scores": scores, "differences": differences}
    write_json(folder / "metrics.json", metrics | {"notes": ["folds were shuffled"]})
    rows = [{"kind": "train", "step": step, "epoch": 0, "loss": 1.0 / step} for step in (1, 2, 3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "history.jsonl").write_text(lines, encoding="utf-8")
    (folder / "config.toml").write_text('potential = "ring_psd"\n', encoding="utf-8")
    manifest = {
        "estimator": "langevinflow",
        "seed": 7,
        "versions": {"neurodyn": "0.1.0", "numpy": "2.4.6"},
        "inputs": {"counts": "sha256:" + "a" * 64},
        "files": {"results.nc": "sha256:" + "b" * 64},
        "command": "neurodyn fit langevinflow lorenz.nwb --folder run",
        "notes": ["step 3 was not saved: disk full"],
    }
    write_json(folder / "manifest.json", manifest)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("run")
    write_run(folder)
    return Page(write_report(folder, title="Lorenz", notes=["mind the gap"]))


def test_a_whole_run_has_every_section(page: Page) -> None:
    assert page.headings == [
        "What was asked",
        "Data",
        "Scores beside the baselines",
        "Training",
        "Rates against the truth",
        "Latent dynamics",
        "Learned oscillators",
        "What the latent states are worth",
        "How to reproduce",
    ]
    assert page.source.count("<h1>Lorenz</h1>") == 1
    anchors = [f"#s{index}" for index in range(1, 10)]
    assert page.values("a", "href") == anchors
    assert page.values("section", "id") == [anchor[1:] for anchor in anchors]


def test_what_it_says(page: Page) -> None:
    for said in (
        "firing rates of 5 units in 6 trials, 1 of the units held out",
        "it was cut into blocked windows",
        "mind the gap",
        "folds were shuffled",
        "step 3 was not saved: disk full",
        "unsorted spikes: 3",
        "20 ms",
        "1,500",
        "0.2600 [0.2400, 0.2800]",
        "+0.0100",
        "not told apart",
        "better",
        "worse",
        "0.1250",
        "0.0625",
        "neurodyn fit langevinflow lorenz.nwb --folder run",
        'potential = "ring_psd"',
        "2.4.6",
        "sha256:" + "a" * 64,
        "sha256:" + "b" * 64,
        'cut_blocks {"length": 1.0}',
    ):
        assert said in page.text, said


def test_readings_of_differences(page: Page) -> None:
    table = page.source[page.source.index("differences, paired by trial") :]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr")[2:5]]
    assert [(row[0], row[-1]) for row in cells] == [
        ("LangevinFlow − GRU", "not told apart"),
        ("LangevinFlow − GLM", "better"),
        ("LangevinFlow − oracle", "worse"),
    ]
    assert cells[0][2:4] == ["+0.0100", "[-0.0100, +0.0300]"]


def test_the_page_stands_alone_and_runs_nothing(page: Page) -> None:
    assert "script" not in page.tags
    assert not {"link", "iframe", "object", "embed", "form"} & set(page.tags)
    images = page.values("img", "src") + page.values("source", "srcset")
    # scores of one metric, loss, rates, latents, dispersion; each for light and dark
    assert len(images) == 2 * 5
    assert all(image.startswith("data:image/") for image in images)
    addresses = [value for _, name, value in page.attributes if name in ("href", "src", "srcset")]
    assert all(value.startswith(("#", "data:image/")) for value in addresses)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    policy = page.values("meta", "content")
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in policy
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert all(page.values("img", "alt"))


def test_light_and_dark_figures_differ_in_ink(page: Page) -> None:
    light, dark = (
        base64.b64decode(page.values(tag, name)[0].split(",")[1]).decode()
        for tag, name in (("img", "src"), ("source", "srcset"))
    )
    assert "#20252b" in light
    assert "#20252b" not in dark
    assert "#e6e9ed" in dark


def test_markup_in_any_text_is_escaped(tmp_path: Path) -> None:
    run = tmp_path
    write_run(run)
    write_results(run, unit_name=lambda unit: f"{EVIL}{unit}")
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["scores"][1]["model"] = metrics["differences"][0]["reference"] = EVIL
    metrics["notes"] = [EVIL]
    write_json(run / "metrics.json", metrics)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest |= {"command": EVIL, "seed": EVIL, "versions": {EVIL: EVIL}, "files": {EVIL: EVIL}}
    write_json(run / "manifest.json", manifest)
    (run / "config.toml").write_text(f'name = "{EVIL}"')
    extra = Section(
        EVIL,
        text=[EVIL],
        tables=[Table([[EVIL, EVIL]], [EVIL, EVIL], EVIL)],
        drawings=[Drawing(lambda figure: figure.suptitle(EVIL), f'"{EVIL}')],
        code=[(EVIL, EVIL)],
    )
    page = Page(
        write_report(run, title=EVIL, question=EVIL, notes=[EVIL, "&amp;"], sections=[extra])
    )
    assert "script" not in page.tags
    assert "<script" not in page.source
    assert page.text.count(EVIL) > 15
    assert "&amp;" in page.text
    # units appear in figures only, which are images and run nothing
    assert all(src.startswith("data:image/svg+xml;base64,") for src in page.values("img", "src"))


def test_sections_without_data_are_left_out(tmp_path: Path) -> None:
    write_json(
        tmp_path / "metrics.json", {"scores": [{"model": "GLM", "metric": "co_bps", "score": 0.1}]}
    )
    page = Page(write_report(tmp_path, sections=[Section("More", text=["of it"])]))
    assert page.headings == [
        "What was asked",
        "Data",
        "Scores beside the baselines",
        "More",
        "How to reproduce",
    ]
    assert "img" not in page.tags
    assert "neurodyn fit MODEL DATA --config config.toml" in page.text
    assert f"How does {tmp_path.name} do on these data?" in page.text


def test_rates_without_truth(tmp_path: Path) -> None:
    write_results(tmp_path)
    ds = rec.load(tmp_path / "results.nc")
    kept = ds[["rate", "latent"]].isel(factor=[0, 1])
    rec.save(kept.drop_vars("held_out"), tmp_path / "results.nc")
    page = Page(write_report(tmp_path))
    assert page.headings == ["What was asked", "Data", "Rates and spikes", "How to reproduce"]
    assert "held out" not in page.text


def test_the_same_drawing_gives_the_same_bytes() -> None:
    drawing = Drawing(lambda figure: figure.add_subplot().plot([1, 2]), "line")
    assert data_uris(drawing) == data_uris(drawing)


def test_large_figures_become_pictures() -> None:
    noise = np.random.default_rng(0).standard_normal((200, 200))

    def draw(figure) -> None:
        figure.add_subplot().plot(noise, noise.T)

    light, _ = data_uris(Drawing(draw, "noise", (2.0, 2.0)))
    assert light.startswith("data:image/png;base64,")


def test_refuses_folders_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such run folder"):
        write_report(tmp_path / "nothing")
    with pytest.raises(EmptySelectionError, match=r"holds no run(.|\n)*neurodyn fit"):
        read_run(tmp_path)
    (tmp_path / "metrics.json").write_text("[1, 2")
    with pytest.raises(CorruptFileError, match=r"not a JSON object \(at .*metrics.json"):
        write_report(tmp_path)


def test_results_are_merged_by_label(tmp_path: Path) -> None:
    truth = simulate_lorenz(n_conditions=2, n_repeats=3, n_units=5).truth
    prediction = truth[["rate"]].isel(trial=[4, 1]).assign_attrs(kind="results")
    latent = truth[["latent"]].isel(trial=[4, 1])
    count = np.random.default_rng(0).poisson(1.0, truth["rate"].shape)
    labels = {name: truth[name].values for name in ("trial", "unit")}
    counts = add_history(rec.counts(count, bin_size=0.02, quality={"drops": 2}, **labels), "bin")
    prediction = add_history(prediction, "predict")
    costs = rec.results({"cost": ("part", [0.0])}, {"part": ["intact"]}, other="attribute")
    merged = merge_results(prediction, latent, costs, counts=counts, truth=truth)
    assert set(merged) == {"rate", "latent", "cost", "count", "true_rate"}
    assert merged["trial"].values.tolist() == [4, 1]
    assert np.array_equal(merged["count"], count[[4, 1]])
    assert merged["true_rate"].equals(merged["rate"])
    assert merged.attrs["bin_size"] == 0.02
    assert merged.attrs["quality"] == {"drops": 2}
    assert [step["step"] for step in history(merged)] == ["bin", "predict"]
    again = merge_results(merged[["rate"]], counts=counts)
    assert [step["step"] for step in history(again)] == ["bin", "predict"]
    assert "other" not in merged.attrs
    rec.save(merged, tmp_path / "results.nc")
    assert "Rates against the truth" in Page(write_report(tmp_path)).headings
    with pytest.raises(EmptySelectionError, match=r"lacks labels of the prediction along trial"):
        merge_results(prediction, truth=truth.isel(trial=[1, 2]))
