"""Direct loops: the plain definition of a convolution."""
