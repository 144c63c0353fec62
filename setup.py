"""What ``pyproject.toml`` cannot say: packages are found, and the search spaces at the top level belong to them."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["ellopt", "ellopt.*"]), "ellopt.search_spaces"],
    package_dir={"ellopt.search_spaces": "search_spaces"},
)
