"""``simple``: direct loops over the window, as the definition of a convolution has them."""

from __future__ import annotations

from collections.abc import Iterator

from ellopt.codegen.convolution.base import GeneratedMethod
from ellopt.codegen.convolution.kernel import Kernel, KernelSite, make_kernel
from ellopt.codegen.convolution.packing import DirectPacking
from ellopt.core.methods import Choices
from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.targets import Cpu


class Simple(GeneratedMethod):
    """Direct loops. Seldom the fastest, on small layers only."""

    name = "simple"
    colour = "#b45f06"
    colour_on_dark = "#eda14f"
    likely = False

    def combinations(self, parallelize: bool, choices: Choices) -> Iterator[ConvolutionOptions]:
        yield ConvolutionOptions(self.name, parallelize)

    def applies(self, shape: ConvolutionShape) -> bool:
        return True

    def canonical(
        self, shape: ConvolutionShape, options: ConvolutionOptions, cpu: Cpu, cores: int
    ) -> ConvolutionOptions | None:
        return None if options.gemm_blocking else options

    def kernel(self, site: KernelSite, options: ConvolutionOptions) -> Kernel:
        return make_kernel(site, "conv_simple.h", DirectPacking(site.groups))


SIMPLE = Simple()
