"""Settings of the documentation build (Sphinx, MyST Markdown, furo)."""

from __future__ import annotations

from pathlib import Path

VERSION: dict[str, str] = {}
exec((Path(__file__).parents[1] / "llm" / "_version.py").read_text(encoding="utf-8"), VERSION)

project = "llm"
author = "The llm contributors"
copyright = "the llm contributors, Apache License 2.0"  # noqa: A001 - the name is Sphinx's
release = VERSION["VERSION"]
version = release

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"llm {release}"
html_copy_source = False
