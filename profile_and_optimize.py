"""Profiles and optimises ELL models: ``ellopt optimize`` under the name of ELL's script, with its mode of the log."""

import sys

from ellopt.cli.main import main

sys.exit(main(["optimize", "--logmode", "w", *sys.argv[1:]]))
