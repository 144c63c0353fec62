/* The macros of a convolution kernel: all that the generator defines before it includes a method's template.
 *
 * Each is an integer constant unless it says otherwise. Where a macro is missing or out of range, the #error below names
 * it. A template says which groups it reads by defining their NEEDS_ before it includes this file.
 *
 * Every template:
 *   KERNEL_NAME            the function's name, an identifier
 *   OUT_ROWS, OUT_COLUMNS  output pixels, from 1
 *   CHANNELS, FILTERS      input and output channels of a group, from 1
 *   GROUPS                 groups of filters, each over channels of its own, from 1
 *   FIELD                  rows of the receptive field, from 1
 *   FIELD_COLUMNS          columns of the receptive field, from 1
 *   STRIDE                 rows from one window to the next, from 1
 *   COLUMN_STRIDE          columns from one window to the next, from 1
 *   ROW_DILATION           rows from one row of the receptive field to the next, from 1
 *   COLUMN_DILATION        columns from one column of the receptive field to the next, from 1
 *   DEPTHWISE              1: filter f reads channel f alone (FILTERS is CHANNELS), else 0
 *   IN_ROW_STRIDE          floats from an input row to the next, from 1
 *   IN_PIXEL_STRIDE        floats from an input pixel to the next, from CHANNELS
 *   OUT_ROW_STRIDE         floats from an output row to the next, from 1
 *   OUT_PIXEL_STRIDE       floats from an output pixel to the next, from FILTERS
 *   ACTIVATION             an ELL_ACTIVATION_ of ellopt_conv.h
 *   LEAKY_FACTOR           slope below zero of ELL_ACTIVATION_LEAKY_RELU, or the first number of a function that has one, a
 *                          float constant
 *   BETA                   the second number of functions that have one (functions.h), a float constant
 *   RESIDUAL               1: a tensor is added before the activation, 2: behind it, else 0
 *   RESIDUAL_ROW_STRIDE    floats from a row of the residual to the next, from 0; not read without RESIDUAL
 *   RESIDUAL_PIXEL_STRIDE  floats from a pixel of the residual to the next, from 0; not read without RESIDUAL
 *   IN_ORDER               1: loads take issue slots from multiply-adds (multiply_in_order.h), else 0
 *   VECTOR_WIDTH           float32 lanes of a vector: 1, 4, 8 or 16; default: what the compiler's target has (vector.h)
 *
 * NEEDS_PIXEL_TILES: output pixels in register tiles
 *   TILE_ROWS              output rows of a tall tile, from 1; short ones have one less
 *   TILE_COLUMNS           output columns of a wide tile, from 1; narrow ones have one less
 *   ROW_GROUPS             groups of TILE_ROWS or one less rows, from 1
 *   TALL_GROUPS            how many of them, the first, are tall: 1 to ROW_GROUPS
 *   COLUMN_TILES           tiles of TILE_COLUMNS or one less columns, from 1. Threads share them (CUT_COLUMNS) where rows
 *                          are few and long: each has the same columns in layer after layer
 *   WIDE_TILES             how many of them, the first, are wide: 1 to COLUMN_TILES
 *
 * NEEDS_FILTER_PANELS: filters in panels of vectors
 *   TILE_VECTORS           vectors of a wide panel, from 1; narrow ones have one less
 *   PANELS                 panels, from 1
 *   WIDE_PANELS            how many of them, the first, are wide: 1 to PANELS
 *
 * NEEDS_ROW_BLOCKS
 *   BLOCK_GROUPS           row groups that are computed for all panels before the next ones, from 1
 *
 * NEEDS_WEIGHT_CACHE
 *   OWN_WEIGHT_BYTES       bytes of weights that a core's own caches keep, from 0
 *
 * NEEDS_HALF: computed in float16, GROUPS 1
 *   HALF_TERMS             products that are summed in float16 at most, from 1
 *
 * NEEDS_HALF_INPUT: no dilation, not depthwise
 *   HALF_PITCH             elements from a row of the float16 input to the next, from those of a row
 *
 * NEEDS_NEIGHBOURS
 *   NEIGHBOURS             pixels of a row that are one with all of their filters, from 1
 *
 * NEEDS_STRASSEN
 *   STRASSEN_LEVELS        1 or 2
 *   STRASSEN_SHARED        1: threads share the sums of input blocks; 0: each makes its own
 *
 * NEEDS_WINOGRAD
 *   WINOGRAD_TILE          output rows, and columns, of a transformed tile: 2 to 6; or both, a digit each: 42, and 44,
 *                          which derives some weights, for windows of 3x3 that are not depthwise. Windows of 1x3 have
 *                          tiles of one row, those of 3x1 of one column; FIELD and FIELD_COLUMNS are 1 or 3, and one of them is 3.
 *                          STRIDE and COLUMN_STRIDE are 1, or 2 for windows of 3x3 that are not depthwise: tiles of 2 to 4
 *
 * NEEDS_WINOGRAD_BLOCKS: tiles in panels, their transforms in a workspace
 *   TILE_ROWS              tiles of a tall row panel, from 1; short ones have one less
 *   ROW_PANELS             row panels, from 1
 *   TALL_PANELS            how many of them, the first, are tall: 1 to ROW_PANELS
 *   BLOCK_PANELS           row panels that are transformed at a time: 1 to ROW_PANELS
 *   SHARED_PANELS          the same where all threads work on one block: BLOCK_PANELS to ROW_PANELS
 *   GROUP_PANELS           panels of filters multiplied at a time, unless a depth says otherwise: 1 to PANELS
 *   INPUT_PITCH            floats from a transformed tile to the next, from CHANNELS
 *   INPUT_STEP             floats from a position of the transformed input to the next, from TILE_ROWS * INPUT_PITCH
 *   PRODUCT_STEP           floats from a position of the products to the next, from TILE_ROWS * TILE_VECTORS *
 *                          VECTOR_WIDTH
 *   POSITION_FIRST         1: weights lie position by position, of all panels; 0: panel by panel, of all positions */
#ifndef ELLOPT_KERNEL_MACROS_H
#define ELLOPT_KERNEL_MACROS_H

#include "ellopt_conv.h"
#include "vector.h"

#if !defined KERNEL_NAME
#error "KERNEL_NAME: the name of the function"
#endif
#if !defined OUT_ROWS || OUT_ROWS < 1
#error "OUT_ROWS: at least 1"
#endif
#if !defined OUT_COLUMNS || OUT_COLUMNS < 1
#error "OUT_COLUMNS: at least 1"
#endif
#if !defined CHANNELS || CHANNELS < 1
#error "CHANNELS: at least 1"
#endif
#if !defined FILTERS || FILTERS < 1
#error "FILTERS: at least 1"
#endif
#if !defined GROUPS || GROUPS < 1
#error "GROUPS: at least 1"
#endif
#if !defined FIELD || FIELD < 1
#error "FIELD: at least 1"
#endif
#if !defined FIELD_COLUMNS || FIELD_COLUMNS < 1
#error "FIELD_COLUMNS: at least 1"
#endif
#if !defined COLUMN_STRIDE || COLUMN_STRIDE < 1
#error "COLUMN_STRIDE: at least 1"
#endif
#if !defined ROW_DILATION || ROW_DILATION < 1
#error "ROW_DILATION: at least 1"
#endif
#if !defined COLUMN_DILATION || COLUMN_DILATION < 1
#error "COLUMN_DILATION: at least 1"
#endif
#if !defined BETA
#error "BETA: a float constant"
#endif
#if !defined STRIDE || STRIDE < 1
#error "STRIDE: at least 1"
#endif
#if !defined DEPTHWISE || (DEPTHWISE != 0 && DEPTHWISE != 1)
#error "DEPTHWISE: 0 or 1"
#endif
#if !defined IN_ROW_STRIDE || IN_ROW_STRIDE < 1
#error "IN_ROW_STRIDE: at least 1"
#endif
#if !defined IN_PIXEL_STRIDE || IN_PIXEL_STRIDE < CHANNELS
#error "IN_PIXEL_STRIDE: at least CHANNELS"
#endif
#if !defined OUT_ROW_STRIDE || OUT_ROW_STRIDE < 1
#error "OUT_ROW_STRIDE: at least 1"
#endif
#if !defined OUT_PIXEL_STRIDE || OUT_PIXEL_STRIDE < FILTERS
#error "OUT_PIXEL_STRIDE: at least FILTERS"
#endif
#if !defined ACTIVATION || ACTIVATION < ELL_ACTIVATION_NONE || ACTIVATION > ELL_ACTIVATION_SIGN
#error "ACTIVATION: an ELL_ACTIVATION_ of ellopt_conv.h"
#endif
#if !defined LEAKY_FACTOR
#error "LEAKY_FACTOR: a float constant"
#endif
#if !defined RESIDUAL || (RESIDUAL != 0 && RESIDUAL != ELL_RESIDUAL_FIRST && RESIDUAL != ELL_RESIDUAL_LAST)
#error "RESIDUAL: 0, 1 or 2"
#endif
#if !defined RESIDUAL_ROW_STRIDE || RESIDUAL_ROW_STRIDE < 0
#error "RESIDUAL_ROW_STRIDE: at least 0"
#endif
#if !defined RESIDUAL_PIXEL_STRIDE || RESIDUAL_PIXEL_STRIDE < 0
#error "RESIDUAL_PIXEL_STRIDE: at least 0"
#endif
#if !defined IN_ORDER || (IN_ORDER != 0 && IN_ORDER != 1)
#error "IN_ORDER: 0 or 1"
#endif
#if !defined VECTOR_WIDTH || (VECTOR_WIDTH != 1 && VECTOR_WIDTH != 4 && VECTOR_WIDTH != 8 && VECTOR_WIDTH != 16)
#error "VECTOR_WIDTH: 1, 4, 8 or 16"
#endif

#ifdef NEEDS_PIXEL_TILES
#if !defined TILE_ROWS || TILE_ROWS < 1
#error "TILE_ROWS: at least 1"
#endif
#if !defined TILE_COLUMNS || TILE_COLUMNS < 1
#error "TILE_COLUMNS: at least 1"
#endif
#if !defined ROW_GROUPS || ROW_GROUPS < 1
#error "ROW_GROUPS: at least 1"
#endif
#if !defined TALL_GROUPS || TALL_GROUPS < 1 || TALL_GROUPS > ROW_GROUPS
#error "TALL_GROUPS: 1 to ROW_GROUPS"
#endif
#if !defined COLUMN_TILES || COLUMN_TILES < 1
#error "COLUMN_TILES: at least 1"
#endif
#if !defined WIDE_TILES || WIDE_TILES < 1 || WIDE_TILES > COLUMN_TILES
#error "WIDE_TILES: 1 to COLUMN_TILES"
#endif
#define CUT_COLUMNS (ELL_FEW_LONG_ROWS(OUT_ROWS, OUT_COLUMNS) && COLUMN_TILES >= 4)
/* The column where a tile begins. */
#define COLUMN_OF(TILE) ((TILE) * TILE_COLUMNS - ((TILE) > WIDE_TILES ? (TILE) - WIDE_TILES : 0))
#endif

#ifdef NEEDS_FILTER_PANELS
#if !defined TILE_VECTORS || TILE_VECTORS < 1
#error "TILE_VECTORS: at least 1"
#endif
#if !defined PANELS || PANELS < 1
#error "PANELS: at least 1"
#endif
#if !defined WIDE_PANELS || WIDE_PANELS < 1 || WIDE_PANELS > PANELS
#error "WIDE_PANELS: 1 to PANELS"
#endif
#endif

#ifdef NEEDS_ROW_BLOCKS
#if !defined BLOCK_GROUPS || BLOCK_GROUPS < 1
#error "BLOCK_GROUPS: at least 1"
#endif
#endif

#ifdef NEEDS_WEIGHT_CACHE
#if !defined OWN_WEIGHT_BYTES || OWN_WEIGHT_BYTES < 0
#error "OWN_WEIGHT_BYTES: at least 0"
#endif
#endif

#ifdef NEEDS_HALF
#if !defined HALF_TERMS || HALF_TERMS < 1
#error "HALF_TERMS: at least 1"
#endif
#if VECTOR_WIDTH != 4 || GROUPS != 1
#error "float16: vectors of 4 float32, one group"
#endif
#endif

#ifdef NEEDS_HALF_INPUT
#if ROW_DILATION != 1 || COLUMN_DILATION != 1 || DEPTHWISE
#error "float16: no dilation, not depthwise"
#endif
#if !defined HALF_PITCH || HALF_PITCH < CHANNELS
#error "HALF_PITCH: at least CHANNELS"
#endif
#endif

#ifdef NEEDS_NEIGHBOURS
#if !defined NEIGHBOURS || NEIGHBOURS < 1
#error "NEIGHBOURS: at least 1"
#endif
#endif

#ifdef NEEDS_STRASSEN
#if !defined STRASSEN_SHARED || (STRASSEN_SHARED != 0 && STRASSEN_SHARED != 1)
#error "STRASSEN_SHARED: 0 or 1"
#endif
#if !defined STRASSEN_LEVELS || (STRASSEN_LEVELS != 1 && STRASSEN_LEVELS != 2)
#error "STRASSEN_LEVELS: 1 or 2"
#endif
#endif

#ifdef NEEDS_WINOGRAD
#if !defined WINOGRAD_TILE || ((WINOGRAD_TILE < 2 || WINOGRAD_TILE > 6) && WINOGRAD_TILE != 42 && WINOGRAD_TILE != 44)
#error "WINOGRAD_TILE: 2 to 6, 42 or 44"
#endif
#if defined FIELD && FIELD != 1 && FIELD != 3
#error "FIELD: 1 or 3"
#endif
#if defined FIELD_COLUMNS && FIELD_COLUMNS != 3 && (FIELD_COLUMNS != 1 || FIELD != 3)
#error "FIELD_COLUMNS: 3, or 1 where FIELD is 3"
#endif
#if defined STRIDE && STRIDE != 1 && (STRIDE != 2 || FIELD != 3 || FIELD_COLUMNS != 3 || DEPTHWISE || WINOGRAD_TILE > 4)
#error "STRIDE: 1, or 2 for windows of 3x3 with tiles of 2 to 4, not depthwise"
#endif
#if defined COLUMN_STRIDE && COLUMN_STRIDE != STRIDE
#error "COLUMN_STRIDE: as STRIDE"
#endif
#endif

#ifdef NEEDS_WINOGRAD_BLOCKS
#if !defined TILE_ROWS || TILE_ROWS < 1
#error "TILE_ROWS: at least 1"
#endif
#if !defined ROW_PANELS || ROW_PANELS < 1
#error "ROW_PANELS: at least 1"
#endif
#if !defined TALL_PANELS || TALL_PANELS < 1 || TALL_PANELS > ROW_PANELS
#error "TALL_PANELS: 1 to ROW_PANELS"
#endif
#if !defined BLOCK_PANELS || BLOCK_PANELS < 1 || BLOCK_PANELS > ROW_PANELS
#error "BLOCK_PANELS: 1 to ROW_PANELS"
#endif
#if !defined SHARED_PANELS || SHARED_PANELS < BLOCK_PANELS || SHARED_PANELS > ROW_PANELS
#error "SHARED_PANELS: BLOCK_PANELS to ROW_PANELS"
#endif
#if !defined GROUP_PANELS || GROUP_PANELS < 1 || GROUP_PANELS > PANELS
#error "GROUP_PANELS: 1 to PANELS"
#endif
#if !defined INPUT_PITCH || INPUT_PITCH < CHANNELS
#error "INPUT_PITCH: at least CHANNELS"
#endif
#if !defined INPUT_STEP || INPUT_STEP < TILE_ROWS * INPUT_PITCH
#error "INPUT_STEP: at least TILE_ROWS * INPUT_PITCH"
#endif
#if !defined PRODUCT_STEP || PRODUCT_STEP < TILE_ROWS * TILE_VECTORS * VECTOR_WIDTH
#error "PRODUCT_STEP: at least TILE_ROWS * TILE_VECTORS * VECTOR_WIDTH"
#endif
#if !defined POSITION_FIRST || POSITION_FIRST < 0 || POSITION_FIRST > 1
#error "POSITION_FIRST: 0 or 1"
#endif
#endif

#endif
