"""ELL's own compiler."""
