"""Profiles and optimises ELL models; the same as ``ellopt optimize``."""

import sys

from ellopt.cli.main import main

sys.exit(main(["optimize", *sys.argv[1:]]))
