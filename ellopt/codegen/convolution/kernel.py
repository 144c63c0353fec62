"""A convolution kernel: one C function of one layer shape (see runtime/ellopt_conv.h), and what feeds it.

Everything about the shape is a constant of the translation unit, so the compiler unrolls and addresses by constants;
block depths come at run time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ellopt.codegen.convolution.packing import FloatArray, Packing
from ellopt.model.layers.functions import FUNCTIONS
from ellopt.targets import CPUS, Cpu

ACTIVATIONS = ("none", "relu", "leaky_relu", "sigmoid", "tanh", "hard_sigmoid", "hard_tanh")
#: All that is computed together with what comes before it.
FUSED = (*ACTIVATIONS, *(name for name, function in FUNCTIONS.items() if function.slope is not None))


@dataclass(frozen=True)
class KernelSite:
    """One convolution of the lowered network, without weights. Strides in floats, sizes in elements.

    ``cores`` of ``cpu`` share the work. ``channels`` and ``filters`` are those of one of the ``groups``. What follows
    ``cores`` is as in ConvolutionShape; ``beta`` is the activation's second number; the residual is added
    before the activation, or behind it (``residual_last``). ``padded_floats`` of workspace stand before the kernel's
    own: there its input is put, with the border.
    """

    out_rows: int
    out_columns: int
    channels: int
    filters: int
    field: int
    stride: int
    depthwise: bool
    in_row_stride: int
    in_pixel_stride: int
    out_row_stride: int
    out_pixel_stride: int
    activation: str = "none"
    leaky_factor: float = 0.0
    residual: bool = False
    residual_row_stride: int = 0
    residual_pixel_stride: int = 0
    cpu: Cpu = CPUS["scalar"]
    cores: int = 1
    beta: float = 0.0
    field_columns: int = 0
    column_stride: int = 0
    row_dilation: int = 1
    column_dilation: int = 1
    groups: int = 1
    residual_last: bool = False
    padded_floats: int = 0

    @property
    def strides(self) -> tuple[int, int]:
        return (self.stride, self.column_stride or self.stride)

    @property
    def macros(self) -> dict[str, str]:
        """The macros that every template reads; runtime/kernel_macros.h has their meaning."""
        return {
            "OUT_ROWS": str(self.out_rows),
            "OUT_COLUMNS": str(self.out_columns),
            "CHANNELS": str(self.channels),
            "FILTERS": str(self.filters),
            "FIELD": str(self.field),
            "STRIDE": str(self.stride),
            "DEPTHWISE": str(int(self.depthwise)),
            "IN_ROW_STRIDE": str(self.in_row_stride),
            "IN_PIXEL_STRIDE": str(self.in_pixel_stride),
            "OUT_ROW_STRIDE": str(self.out_row_stride),
            "OUT_PIXEL_STRIDE": str(self.out_pixel_stride),
            "ACTIVATION": f"ELL_ACTIVATION_{self.activation.upper()}",
            "LEAKY_FACTOR": f"{float(self.leaky_factor)!r}f",
            "RESIDUAL": str(int(self.residual) * (2 if self.residual_last else 1)),
            "RESIDUAL_ROW_STRIDE": str(self.residual_row_stride),
            "RESIDUAL_PIXEL_STRIDE": str(self.residual_pixel_stride),
            "VECTOR_WIDTH": str(self.cpu.lanes),
            "GROUPS": str(self.groups),
            "FIELD_COLUMNS": str(self.field_columns or self.field),
            "COLUMN_STRIDE": str(self.strides[1]),
            "ROW_DILATION": str(self.row_dilation),
            "COLUMN_DILATION": str(self.column_dilation),
            "IN_ORDER": str(int(self.cpu.in_order)),
            "BETA": f"{float(self.beta)!r}f",
        }


@dataclass(frozen=True)
class Kernel:
    """What the compiler sees and how to feed it.

    ``template`` is the name of a C file of ours, or the path of any other, which is then taken into the source whole.
    ``macros`` are sorted by name and leave out KERNEL_NAME. ``depths`` are the block depths that the caller passes
    in ``ell_conv_args`` (0 where they mean nothing). ``shared_floats`` and ``thread_floats`` size the workspace.
    """

    template: str | Path
    macros: tuple[tuple[str, str], ...]
    packing: Packing
    depths: tuple[int, int, int] = (0, 0, 0)
    shared_floats: int = 0
    thread_floats: int = 0

    @property
    def rows(self) -> int:
        """Rows of output that a call computes."""
        return int(dict(self.macros)["OUT_ROWS"])

    @property
    def half(self) -> bool:
        """Whether it computes in float16, and so can read and write tensors of it."""
        return any(name == "HALF_TERMS" for name, _ in self.macros)

    def source(self, name: str) -> str:
        """The translation unit of the function ``name``."""
        lines = [f"#define KERNEL_NAME {name}", *(f"#define {key} {value}" for key, value in self.macros)]
        body = f'#include "{self.template}"' if isinstance(self.template, str) else self.template.read_text("utf-8")
        return "\n".join([*lines, body, ""])

    def pack(self, weights: FloatArray) -> FloatArray:
        """``weights`` [filter, row, column, channel] as the kernel reads them: flat float32."""
        return self.packing.pack(weights)

    def workspace_floats(self, threads: int) -> int:
        """Floats of workspace that ``threads`` threads need at most; a multiple of 16."""
        return -(-(self.shared_floats + threads * self.thread_floats) // 16) * 16


def make_kernel(
    site: KernelSite,
    template: str | Path,
    packing: Packing,
    macros: dict[str, str] | None = None,
    depths: tuple[int, int, int] = (0, 0, 0),
    shared_floats: int = 0,
    thread_floats: int = 0,
) -> Kernel:
    """The kernel of ``template`` for ``site``; ``macros`` are those of the method beyond the site's."""
    merged = tuple(sorted({**site.macros, **(macros or {})}.items()))
    return Kernel(template, merged, packing, depths, site.padded_floats + shared_floats, thread_floats)
