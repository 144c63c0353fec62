"""Stand-ins for ELL's tools: the same options, files and faults, our own code."""
