"""The `.ell` model: archive, graph, layers and their NumPy meaning."""
