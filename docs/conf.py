"""Sphinx configuration: API reference, how-to pages and the tutorials as a gallery."""

import os
from importlib import metadata

# figures are drawn off screen, and models train on the processor, on every machine alike
os.environ.update(MPLBACKEND="Agg", CUDA_VISIBLE_DEVICES="")

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
templates_path = ["_templates"]
html_theme = "furo"
html_title = "neurodyn"
html_copy_source = False
html_show_copyright = False
autosummary_generate = True
# packages document what they export, wherever it is defined
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
sphinx_gallery_conf = {
    "examples_dirs": "../tutorials",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d\d_",
    "abort_on_example_error": True,
    "write_computation_times": False,
    "min_reported_time": 1e6,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
}
