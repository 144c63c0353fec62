"""ELL's archive format."""
