"""How fast boards that failed are asked again in tests."""

from __future__ import annotations

from ellopt.devices.pool.leasing import Pace

QUICK = Pace(first_rest=0.05, shortest_pause=0.02, longest_pause=0.1)
