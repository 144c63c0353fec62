/* Two levels of Strassen's algorithm: see conv_strassen.h. Every operand is an image of sums, those of one block alone,
 * too: so all products are one loop, and what comes before and behind it is chosen as it runs. */
#ifndef ELLOPT_STRASSEN_TWICE_H
#define ELLOPT_STRASSEN_TWICE_H

#define SUM_IMAGES (PRODUCTS * PRODUCTS)
#define BLOCKS 4 /* of the output of a product of the first level: C11, C21, C22, C12 */
#define WAITING_SUMS (3 + 3 * BLOCKS)
#define ALL_PRODUCTS (PRODUCTS * PRODUCTS)

/* The left operands of the seven products of blocks of two by two. */
ELL_INLINE void strassen_operands(vec a11, vec a12, vec a21, vec a22, vec operands[PRODUCTS]) {
    const vec s1 = a21 + a22, s2 = s1 - a11;
    operands[P1] = a11;
    operands[P2] = a12;
    operands[P3] = a12 - s2;
    operands[P4] = a22;
    operands[P5] = s1;
    operands[P6] = s2;
    operands[P7] = a11 - a21;
}

/* One input row of all images, SUM_FLOATS from each other. */
static void strassen_sum_row(const float *input, float *sums) {
    for (int x = 0; x < IN_COLUMNS; x++, input += IN_PIXEL_STRIDE, sums += DEPTH) {
        ELL_NO_VECTORIZE
        for (int k = 0; k < DEPTH; k += VECTOR_WIDTH) {
            vec outer[4][PRODUCTS]; /* [block of the second level][product of the first] */
            ELL_UNROLL for (int block = 0; block < 4; block++) {
                const float *a = input + block / 2 * RIGHT_INPUT + block % 2 * DEPTH + k;
                strassen_operands(vec_load(a), vec_load(a + 2 * DEPTH), vec_load(a + 2 * RIGHT_INPUT),
                                  vec_load(a + 2 * RIGHT_INPUT + 2 * DEPTH), outer[block]);
            }
            ELL_UNROLL for (int o = 0; o < PRODUCTS; o++) {
                vec operands[PRODUCTS];
                strassen_operands(outer[0][o], outer[1][o], outer[2][o], outer[3][o], operands);
                ELL_UNROLL for (int i = 0; i < PRODUCTS; i++)
                    vec_store(sums + (o * PRODUCTS + i) * (ptrdiff_t)SUM_FLOATS + k, operands[i]);
            }
        }
    }
}

/* What a product that completes no block of its output does with the sums that it continues. */
ELL_INLINE float *strassen_continued(int product, strassen_waiting wait) {
    return product == P7 ? wait.u2 : product == P4 ? wait.u3 : wait.kept;
}

/* P5 is part of two blocks: one is complete, one waits. */
ELL_INLINE void strassen_divide(gemm_sums sums, strassen_waiting wait, const int rows, const int columns,
                                const int vectors) {
    GEMM_PIXELS(rows, columns)
    ELL_UNROLL for (int v = 0; v < vectors; v++) {
        const int at = ((r * columns + c) * vectors + v) * VECTOR_WIDTH;
        vec_store(wait.kept + at, sums[r][c][v] + vec_load(wait.u2 + at));
        sums[r][c][v] += vec_load(wait.u3 + at);
    }
}

/* Whether a product completes no block: the sums wait then. */
ELL_INLINE int strassen_waits(gemm_sums sums, int product, strassen_waiting wait, const int rows, const int columns,
                              const int vectors) {
    if (product != P1 && product != P6 && product != P7) return 0;
    gemm_store(sums, product == P1 ? wait.kept : product == P6 ? wait.u2 : wait.u3, rows, columns, vectors);
    return 1;
}

/* A register tile of product `inner` of product `outer`. `s`: its input; what waits is the tile's: `wait` of the second
 * level, `block` of that block of the first level's output which the product completes, if it does. */
ELL_INLINE void strassen_tile(int outer, int inner, const float *s, const float *weights, const float *bias,
                              const float *residual, float *output, strassen_waiting wait, strassen_waiting block,
                              const int rows, const int columns, const int vectors) {
    gemm_sums sums;
    if (inner == P1 || inner == P5)
        GEMM_PIXELS(rows, columns) ELL_UNROLL for (int v = 0; v < vectors; v++) sums[r][c][v] = vec_zero();
    else
        gemm_load(sums, strassen_continued(inner, wait), rows, columns, vectors);
    gemm_accumulate(sums, s, weights, rows, columns, vectors, DEPTH, SUM_ROW_STRIDE, DEPTH);
    if (strassen_waits(sums, inner, wait, rows, columns, vectors)) return;
    if (inner == P5) strassen_divide(sums, wait, rows, columns, vectors);
    if (outer == P5) {
        strassen_divide(sums, block, rows, columns, vectors);
    } else if (outer != P1) {
        const float *from = strassen_continued(outer, block);
        GEMM_PIXELS(rows, columns)
        ELL_UNROLL for (int v = 0; v < vectors; v++)
            sums[r][c][v] += vec_load(from + ((r * columns + c) * vectors + v) * VECTOR_WIDTH);
    }
    if (strassen_waits(sums, outer, block, rows, columns, vectors)) return;
    gemm_finish_biased(sums, bias, residual, output, rows, columns, vectors);
}

/* Which half of the columns and of the filters a product completes. */
ELL_INLINE int strassen_right(int product) { return product == P4 || product == P5; }
ELL_INLINE int strassen_upper(int product) { return product == P5 || product == P3; }

/* A product of the tiles of the row groups first .. last - 1 for one panel. `sums`: the first group's row of its image. */
ELL_INLINE void strassen_product(int outer, int inner, const ell_conv_args *args, int first, int last, const float *sums,
                                 const float *weights, int filter, strassen_waiting wait, strassen_waiting block,
                                 const int vectors) {
    const int right = 2 * strassen_right(outer) + strassen_right(inner);
    filter += (2 * strassen_upper(outer) + strassen_upper(inner)) * PART_FILTERS;
    const float *bias = args->bias + filter;
    for (int group = first; group < last; group++) {
        ptrdiff_t y = group_row(group);
        const float *s = sums + (y - group_row(first)) * STRIDE * SUM_ROW_STRIDE;
        const float *residual = RESIDUAL ? args->residual + y * RESIDUAL_ROW_STRIDE + right * RIGHT_RESIDUAL + filter : 0;
        float *output = args->output + y * OUT_ROW_STRIDE + right * RIGHT_OUTPUT + filter;
        for (int tile = 0; tile < COLUMN_TILES; tile++) {
            int columns = tile < WIDE_TILES ? TILE_COLUMNS : TILE_COLUMNS - 1;
#define STRASSEN_TILE(rows, columns) \
    strassen_tile(outer, inner, s, weights, bias, residual, output, wait, block, rows, columns, vectors)
            STRASSEN_OF_SIZE(group, tile, STRASSEN_TILE)
#undef STRASSEN_TILE
            s += columns * STRIDE * DEPTH;
            residual += RESIDUAL ? columns * RESIDUAL_PIXEL_STRIDE : 0;
            output += columns * OUT_PIXEL_STRIDE;
            wait.kept += TILE_FLOATS, wait.u2 += TILE_FLOATS, wait.u3 += TILE_FLOATS;
            block.kept += TILE_FLOATS, block.u2 += TILE_FLOATS, block.u3 += TILE_FLOATS;
        }
    }
}

/* All products of one panel, of `vectors` vectors. */
ELL_INLINE void strassen_panel(const ell_conv_args *args, int first, int last, const float *sums, const float *weights,
                               int filter, float *waiting, const int vectors) {
    const ptrdiff_t tiles = (ptrdiff_t)(last - first) * COLUMN_TILES * TILE_FLOATS;
    const strassen_waiting wait = {waiting, waiting + tiles, waiting + 2 * tiles};
    for (int product = 0; product < ALL_PRODUCTS; product++) {
        const int outer = product / PRODUCTS, inner = product % PRODUCTS;
        const int number = 2 * strassen_upper(inner) + strassen_right(inner);
        float *blocks = waiting + (3 + 3 * number) * tiles;
        const strassen_waiting block = {blocks, blocks + tiles, blocks + 2 * tiles};
        strassen_product(outer, inner, args, first, last, sums, weights, filter, wait, block, vectors);
        sums += SUM_FLOATS;
        weights += (ptrdiff_t)BLOCK_WEIGHTS * vectors * VECTOR_WIDTH;
    }
}

#endif
