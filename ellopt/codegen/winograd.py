"""Winograd kernels: which options exist for a layer, and the kernel of each."""

from __future__ import annotations

from ellopt.codegen.kernel import Kernel, KernelSite
from ellopt.options import ConvolutionOptions
from ellopt.shapes import ConvolutionShape


def canonical_winograd(
    shape: ConvolutionShape, options: ConvolutionOptions, vector_width: int, cores: int
) -> ConvolutionOptions | None:
    """The representative of all options that give the same code and behaviour; None if not valid for ``shape``."""
    return None


def winograd_kernel(site: KernelSite, options: ConvolutionOptions) -> Kernel:
    """The kernel that computes ``site`` by Winograd's minimal filtering; ``options`` are canonical."""
    raise NotImplementedError
