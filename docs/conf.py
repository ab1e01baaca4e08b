"""The site: Markdown by MyST, the reference from docstrings, nothing fetched when it is built or read."""

import sys
from pathlib import Path

import ptmiss

sys.path.insert(0, str(Path(__file__).parent))

project = "ptmiss"
author = "The ptmiss developers"
release = ptmiss.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "docstrings"]
exclude_patterns = ["generated"]

myst_heading_anchors = 3

add_module_names = False
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

nitpicky = True
nitpick_ignore_regex = [("py:class", ".*")]  # types in signatures: many are of other packages
suppress_warnings = ["ref.python"]  # a short name of several classes in a signature

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "ptmiss"
html_copy_source = False
html_show_copyright = False
html_static_path = ["style.css", "zoom.js"]
html_css_files = ["style.css"]
html_js_files = ["zoom.js"]
