"""C for every layer kind, one file for each convolution method."""
