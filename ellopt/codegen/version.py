"""The version of generated code."""

from __future__ import annotations

#: What is kept between runs (bundles, measurements) is keyed by it. Raise it when generated code changes.
GENERATOR_VERSION = 45
