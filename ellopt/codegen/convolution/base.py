"""What the generator asks of a convolution method, and how options find theirs."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from ellopt.codegen.convolution.kernel import Kernel, KernelSite
from ellopt.core.methods import Method, find_method
from ellopt.core.options import ConvolutionOptions
from ellopt.core.shapes import ConvolutionShape
from ellopt.targets import Cpu


class GeneratedMethod(Method):
    """A method that the native toolchain generates C for."""

    @abstractmethod
    def canonical(
        self, shape: ConvolutionShape, options: ConvolutionOptions, cpu: Cpu, cores: int
    ) -> ConvolutionOptions | None:
        """The representative of all options that give the same code and behaviour on ``cores`` of ``cpu``; None if they
        are not valid for ``shape``."""

    def halves(self, shape: ConvolutionShape, options: ConvolutionOptions) -> bool:
        """Whether there is a kernel in float16 for ``shape``."""
        return False

    @abstractmethod
    def kernel(self, site: KernelSite, options: ConvolutionOptions) -> Kernel:
        """The kernel that computes ``site`` by ``options``, which are canonical. Raises ConfigurationError."""


def canonical(shape: ConvolutionShape, options: ConvolutionOptions, cpu: Cpu, cores: int) -> ConvolutionOptions | None:
    """The representative of all options that give the same code and behaviour; None if not valid for ``shape``."""
    method = find_method(options.method)
    if not isinstance(method, GeneratedMethod) or not method.applies(shape):
        return None
    if options.precision and not (cpu.half_lanes and method.halves(shape, options)):
        return None
    if cores <= 1 and options.parallelize:
        options = replace(options, parallelize=False)
    return method.canonical(shape, options, cpu, cores)


def kernel_for(site: KernelSite, options: ConvolutionOptions) -> Kernel:
    """The kernel that computes ``site`` by ``options``, which are canonical. Raises ConfigurationError."""
    method = find_method(options.method)
    assert isinstance(method, GeneratedMethod)
    return method.kernel(site, options)
