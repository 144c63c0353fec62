"""What ``pyproject.toml`` cannot say: packages are found, and search spaces at the top level belong to them; the page
on an index is the README without what only the repository has."""

import re
from pathlib import Path

from setuptools import find_packages, setup


def index_page(readme: str) -> str:
    """``readme`` without pictures of the repository, and with the names of its files in place of links to them."""
    readme = re.sub(r"^!\[[^\]]*\]\((?!https?://)[^)]*\)\n\n?", "", readme, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]*)\]\((?!https?://|#)[^)]*\)", r"\1", readme)


setup(
    packages=[*find_packages(include=["ellopt", "ellopt.*"]), "ellopt.search_spaces"],
    package_dir={"ellopt.search_spaces": "search_spaces"},
    long_description=index_page(Path(__file__).with_name("README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
