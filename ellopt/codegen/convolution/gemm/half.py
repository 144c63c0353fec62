"""The matrix multiplication in float16 (conv_half.h)."""

from __future__ import annotations

from ellopt.codegen.convolution.gemm.tiles import gemm_tiles
from ellopt.codegen.convolution.half import HALF_TERMS, HalfPacking, half_cpu
from ellopt.codegen.convolution.kernel import Kernel, KernelSite, make_kernel
from ellopt.codegen.convolution.packing import PanelPacking


def half_kernel(site: KernelSite) -> Kernel:
    """The kernel that computes ``site``, which has one group and no dilation, in float16."""
    cpu, field_columns = half_cpu(site.cpu), site.field_columns or site.field
    one_cell = site.field == field_columns == 1
    row_stride, column_stride = (1, 1) if one_cell else site.strides
    rows = (site.out_rows - 1) * row_stride + site.field
    pitch = -(-((site.out_columns - 1) * column_stride + field_columns) * site.channels // cpu.lanes) * cpu.lanes
    tiles = gemm_tiles(
        *(site.out_rows, site.out_columns, site.filters, 4 * pitch * row_stride, cpu),
        depth=site.field * field_columns * site.channels,
    )
    panels = PanelPacking(cpu.lanes, tiles.panels, tiles.wide_panels, tiles.tile_vectors)
    macros = {
        **tiles.macros,
        "OWN_WEIGHT_BYTES": str(site.cpu.own_weight_bytes),
        "HALF_TERMS": str(HALF_TERMS),
        "HALF_PITCH": str(pitch),
    }
    return make_kernel(site, "conv_half.h", HalfPacking(panels), macros, shared_floats=rows * pitch // 2)
