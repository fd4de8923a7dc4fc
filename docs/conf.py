"""The documentation as a site: the Markdown files as they lie in the repository, and their links.

``scripts/docs`` builds it. Sphinx's source folder is the root of the checkout, so a link that works
in a clone works here.
"""

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "agentd"
author = "The agentd developers"
project_copyright = f"%Y, {author}"
html_title = project

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "agentd/PROTOCOL.md", "docs/**"]
exclude_patterns = [".*", "**/.*", "build", "dist", "data", "engine", "games", "kernels", "tests"]
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_extra_path = ["site"]  # index.html at the top of the site
html_copy_source = False
html_show_sourcelink = False


def setup(app: Sphinx) -> None:
    """Show as plain text what PROTOCOL.md marks as bytes for its test."""
    for language in ("hex", "frame"):
        app.add_lexer(language, TextLexer)
