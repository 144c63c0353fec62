/* Products of two computed matrices, and the places of extremes, as loops over dense memory. */
#include <string.h>

#include "ellopt_layers.h"
#include "parts.h"
#include "vector.h"

enum { BLOCK = 64 };

/* --- the place of an extreme along an axis -----------------------------------------------------------------------
 * numbers: outer, length, inner, whether the smallest is wanted, whether the last of equals. A row is a line. */

static void extreme_part(const void *context, int part, int worker) {
    (void)worker;
    const general_work *work = (const general_work *)context;
    const ell_layer_args *a = work->args;
    const int32_t *numbers = a->step->numbers;
    const int length = numbers[1], inner = numbers[2], last = numbers[4];
    const float sign = numbers[3] ? -1.0f : 1.0f;
    for (int row = first_of(work, part); row < first_of(work, part + 1); row++) {
        const float *in = a->input + (ptrdiff_t)(row / inner) * length * inner + row % inner;
        float best = sign * in[0];
        int place = 0;
        for (int k = 1; k < length; k++) {
            const float x = sign * in[(ptrdiff_t)k * inner];
            const int unknown = best != best;
            if (x != x ? last || !unknown : !unknown && (last ? x >= best : x > best)) best = x, place = k;
        }
        a->output[row] = (float)place;
    }
}

/* --- product of two matrices -------------------------------------------------------------------------------------
 * numbers: the two tensors, rows, depth, columns, the strides of the left matrix and of the right one, batch axes, and
 * of each its count and its strides on the left and on the right.
 *
 * A panel of the right matrix, DEEP x BLOCK, is laid out row by row, and serves all rows of a task; TILE rows times two
 * vectors of columns are in registers. */

enum { DEEP = 64, TILE = 4, WIDE = 2 * VECTOR_WIDTH };

typedef struct {
    const float *left; /* of the first row and the first of `depth` */
    ptrdiff_t below, along;
    float *out;
    int rows, depth, columns, row_stride, first; /* first: whether it is the first panel, to which nothing is added */
} product_block;

ELL_INLINE void product_tile(const product_block *b, const float *panel, int row, const int rows, int column) {
    const int lanes = b->columns - column;
    float *out = b->out + (ptrdiff_t)row * b->row_stride + column;
    vec sums[TILE][2];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2; v++) {
            const int left = lanes - v * VECTOR_WIDTH;
            const int some = left > 0 && !b->first;
            sums[r][v] = some ? vec_load_partial(out + (ptrdiff_t)r * b->row_stride + v * VECTOR_WIDTH, left) : vec_zero();
        }
    const float *u = b->left + row * b->below;
    for (int k = 0; k < b->depth; k++) {
        const vec first = vec_load(panel + k * BLOCK + column);
        const vec second = vec_load(panel + k * BLOCK + column + VECTOR_WIDTH);
        ELL_UNROLL for (int r = 0; r < rows; r++) {
            const vec x = vec_splat(u[k * b->along + r * b->below]);
            sums[r][0] += x * first;
            sums[r][1] += x * second;
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2; v++)
            if (lanes > v * VECTOR_WIDTH)
                vec_store_partial(out + (ptrdiff_t)r * b->row_stride + v * VECTOR_WIDTH, sums[r][v], lanes - v * VECTOR_WIDTH);
}

static void product_panel(const product_block *b, const float *panel) {
    for (int column = 0; column < b->columns; column += WIDE) {
        int row = 0;
        for (; row + TILE <= b->rows; row += TILE) product_tile(b, panel, row, TILE, column);
        for (; row < b->rows; row++) product_tile(b, panel, row, 1, column);
    }
}

/* depth x columns of the right matrix, and zeros up to whole vectors. */
static void lay_panel(float *panel, const float *right, ptrdiff_t down, ptrdiff_t across, int depth, int columns) {
    for (int k = 0; k < depth; k++)
        for (int i = columns; i < BLOCK; i++) panel[k * BLOCK + i] = 0.0f;
    if (across == 1) {
        for (int k = 0; k < depth; k++) memcpy(panel + k * BLOCK, right + k * down, (size_t)columns * sizeof(float));
        return;
    }
    for (int i = 0; i < columns; i++)
        for (int k = 0; k < depth; k++) panel[k * BLOCK + i] = right[i * across + k * down];
}

static void product_part(const void *context, int part, int worker) {
    (void)worker;
    const general_work *work = (const general_work *)context;
    const ell_layer_args *a = work->args;
    const int32_t *m = a->step->numbers, *batch = m + 10;
    const int rows = m[2], depth = m[3], columns = m[4], last = first_of(work, part + 1);
    float panel[DEEP * BLOCK];
    for (int row = first_of(work, part), behind; row < last; row = behind) {
        behind = row - row % rows + rows < last ? row - row % rows + rows : last;
        const float *u = ell_tensor_data(a->network, a->memory, m[0]) + (ptrdiff_t)(row % rows) * m[5];
        const float *v = ell_tensor_data(a->network, a->memory, m[1]);
        int rest = row / rows;
        for (int axis = m[9] - 1; axis >= 0; axis--) {
            const int i = rest % batch[3 * axis];
            rest /= batch[3 * axis];
            u += (ptrdiff_t)i * batch[3 * axis + 1];
            v += (ptrdiff_t)i * batch[3 * axis + 2];
        }
        for (int first = 0; first < columns; first += BLOCK) {
            const int n = columns - first < BLOCK ? columns - first : BLOCK;
            for (int k = 0; k < depth; k += DEEP) {
                const int deep = depth - k < DEEP ? depth - k : DEEP;
                lay_panel(panel, v + (ptrdiff_t)k * m[7] + (ptrdiff_t)first * m[8], m[7], m[8], deep, n);
                const product_block block = {u + (ptrdiff_t)k * m[6], m[5], m[6], a->output + (ptrdiff_t)row * columns + first,
                                             behind - row, deep, n, columns, k == 0};
                product_panel(&block, panel);
            }
        }
    }
}

static int product_rows(const int32_t *m) {
    int rows = m[2];
    for (int axis = 0; axis < m[9]; axis++) rows *= m[10 + 3 * axis];
    return rows;
}

void ell_products(ell_pool *pool, const ell_layer_args *a) {
    const int32_t *numbers = a->step->numbers;
    if (a->step->loops == ELL_AXIS_EXTREME)
        run_parts(pool, extreme_part, a, numbers[0] * numbers[2]);
    else
        run_parts(pool, product_part, a, product_rows(numbers));
}
