"""ellopt finds the fastest way to compute every convolution layer of an ELL model on a given target."""

__version__ = "0.1.0"
