"""``python -m ellopt``."""

import sys

from ellopt.cli import main

sys.exit(main())
