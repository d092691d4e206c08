"""The pages agree with the package; ``make docs`` builds them with warnings as errors."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from neurodyn import datasets, recording

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted([*DOCS.glob("*.rst"), *(DOCS / "howto").glob("*.rst")])
BLOCK = re.compile(r"\.\. code-block:: python\n\n((?:(?:    .*)?\n)+)")
ROLE = re.compile(r":(?:func|class|mod):`~?(neurodyn[\w.]*)`")


def find(name: str) -> object:
    """Return what a dotted name stands for."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


def names(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    listed = re.findall(r"^   (neurodyn[\w.]*)$", text, re.MULTILINE)
    used = re.findall(r"\bnd\.([\w.]+)", " ".join(BLOCK.findall(text)))
    return {*ROLE.findall(text), *listed, *(f"neurodyn.{name}" for name in used)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_name_on_a_page_exists(page):
    for name in names(page):
        find(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_python_block_is_python(page):
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        ast.parse("\n".join(line.removeprefix("    ") for line in block.splitlines()))


def test_the_table_of_data_sets_is_complete():
    text = (DOCS / "datasets.rst").read_text(encoding="utf-8")
    rows = re.findall(r"\* - ``(\w+)``\n     - (\w+)\n     - (\S+)\n     - (.+)", text)
    for name, kind, licence, title in rows:
        info = datasets.dataset_info(name)
        assert (kind, licence) == (info.kind, info.licence)
        assert title.startswith(info.title)
    assert [row[0] for row in rows] == datasets.list_datasets()


def test_every_page_is_in_a_table_of_contents():
    listed = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for page in PAGES:
        assert page.stem == "index" or re.search(rf"^   {page.stem}$", listed, re.MULTILINE), page


def test_every_fragment_is_on_the_page_of_changes():
    text = (DOCS / "changes.rst").read_text(encoding="utf-8")
    for fragment in (DOCS.parent / "changes").glob("*.rst"):
        assert f"../changes/{fragment.name}" in text


def test_the_estimator_of_the_how_to_fits_and_is_loaded_again(tmp_path, monkeypatch):
    page = (DOCS / "howto" / "add_an_estimator.rst").read_text(encoding="utf-8")
    block = BLOCK.search(page).group(1)
    code = "\n".join(line.removeprefix("    ") for line in block.splitlines())
    (tmp_path / "how_to_estimator.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    mean_rate = import_module("how_to_estimator").MeanRate
    count = np.random.default_rng(0).poisson(1.0, (6, 10, 3))
    counts = recording.counts(count, bin_size=0.02, held_out=[False, False, True])
    model = mean_rate().fit(counts)
    again = mean_rate.load(model.save(tmp_path / "run"))
    assert again.predict(counts)["rate"].equals(model.predict(counts)["rate"])
    assert abs(float(model.score(counts)["co_bps"])) < 0.01
