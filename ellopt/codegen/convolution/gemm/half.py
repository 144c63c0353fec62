"""The matrix multiplication in float16 (conv_half.h)."""

from __future__ import annotations

from ellopt.codegen.convolution.gemm.tiles import gemm_tiles
from ellopt.codegen.convolution.half import HALF_TERMS, HalfPacking, half_cpu
from ellopt.codegen.convolution.kernel import Kernel, KernelSite, make_kernel
from ellopt.codegen.convolution.packing import DepthwisePacking, PanelPacking
from ellopt.codegen.convolution.tiling import pixel_tiles

#: Rows and columns of a depthwise layer's register tile.
_DEPTHWISE_TILE = (2, 4)


def half_kernel(site: KernelSite) -> Kernel:
    """The kernel that computes ``site``, which has one group and no dilation, in float16."""
    cpu, field_columns = half_cpu(site.cpu), site.field_columns or site.field
    rows = (site.out_rows - 1) * site.stride + site.field
    columns = (site.out_columns - 1) * site.strides[1] + field_columns
    dense = site.in_pixel_stride == site.channels
    pitch = site.in_row_stride if dense else columns * site.channels
    tiles = gemm_tiles(
        *(site.out_rows, site.out_columns, site.filters, 4 * pitch * site.stride, cpu),
        depth=site.field * field_columns * site.channels,
    )
    panels = PanelPacking(cpu.lanes, tiles.panels, tiles.wide_panels, tiles.tile_vectors)
    macros = {
        **tiles.macros,
        "OWN_WEIGHT_BYTES": str(site.cpu.own_weight_bytes),
        "HALF_TERMS": str(HALF_TERMS),
        "HALF_PITCH": str(pitch),
    }
    return make_kernel(site, "conv_half.h", HalfPacking(panels), macros, shared_floats=-(-rows * pitch // 2))


def half_depthwise_kernel(site: KernelSite) -> Kernel:
    """The kernel that computes the depthwise layer ``site`` in float16."""
    pixels = pixel_tiles(site.out_rows, site.out_columns, *_DEPTHWISE_TILE)
    packing = HalfPacking(DepthwisePacking(site.cpu.half_lanes))
    return make_kernel(site, "conv_depthwise_half.h", packing, {**pixels.macros, "HALF_TERMS": str(HALF_TERMS)})
