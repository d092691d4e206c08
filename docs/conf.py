"""Sphinx configuration: API reference, how-to pages and the tutorials as a gallery."""

from importlib import metadata

project = "neurodyn"
author = "The neurodyn developers"
release = metadata.version("neurodyn")
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "neurodyn"
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
sphinx_gallery_conf = {
    "examples_dirs": "../tutorials",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d\d_",
    "min_reported_time": 1e6,
    "show_memory": False,
    "download_all_examples": False,
}
