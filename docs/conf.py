"""Settings of the site. Build it with ``python -m sphinx -W docs docs/_build/html``."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Pages show this tree, not a copy that may be installed; the kernels that run the tutorials read PYTHONPATH.
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])

import numpynet_site  # noqa: E402

import numpynet  # noqa: E402

numpynet_site.prepare_kernels(ROOT / "docs" / "_build" / "ipython")

project = "numpynet"
author = "the numpynet authors"
version = release = numpynet.__version__
language = "en"

extensions = [
    "numpynet_site",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "numpydoc",
]
exclude_patterns = ["_build", "playground/**", "tutorials/notebooks/**", "numpynet_site", "results/**"]
nitpicky = False

myst_enable_extensions = ["attrs_inline", "attrs_block", "colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 120
nb_execution_in_temp = True
nb_merge_streams = True

add_module_names = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
toc_object_entries_show_parents = "hide"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "numpynet"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": False}
mathjax_path = "mathjax/tex-svg-full.js"
mathjax3_config = {
    "options": {"enableMenu": False},
    "svg": {"fontCache": "global"},
}
# The documentation is built and checked without a network; what is outside is not looked up.
linkcheck_ignore = [r"https?://"]
