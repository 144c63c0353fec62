"""What pages need to be a site: MkDocs calls this for each of them."""

import posixpath
import re
from typing import Any

#: marks for tests behind a fence, which Markdown's renderers read in different ways
_MARK = re.compile(r"^```console [^\n]*$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)\s#]+)[^)\s]*\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page without marks, and with the names of files of the repository in place of links to them."""
    folder = posixpath.dirname(page.file.src_uri)

    def inside(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[2]))
        return f"{link[1]} (`{path[3:]}`)" if path.startswith("../") else link[0]

    return _LINK.sub(inside, _MARK.sub("```console", markdown))
