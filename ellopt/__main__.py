"""``python -m ellopt``."""

import sys

from ellopt.cli.main import main

sys.exit(main())
