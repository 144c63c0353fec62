"""Ways to compute a convolution: one folder a method, Python and C together."""
