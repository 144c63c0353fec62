/* Products of two computed matrices, and the places of extremes, as loops over dense memory. */
#include <string.h>

#include "ellopt_layers.h"
#include "parts.h"

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
 * of each its count and its strides on the left and on the right. */

static void product_part(const void *context, int part, int worker) {
    (void)worker;
    const general_work *work = (const general_work *)context;
    const ell_layer_args *a = work->args;
    const int32_t *m = a->step->numbers, *batch = m + 10;
    const int rows = m[2], depth = m[3], columns = m[4];
    const ptrdiff_t down = m[6], from = m[7], right = m[8];
    for (int row = first_of(work, part); row < first_of(work, part + 1); row++) {
        const float *u = ell_tensor_data(a->network, a->memory, m[0]) + (ptrdiff_t)(row % rows) * m[5];
        const float *v = ell_tensor_data(a->network, a->memory, m[1]);
        int rest = row / rows;
        for (int axis = m[9] - 1; axis >= 0; axis--) {
            const int i = rest % batch[3 * axis];
            rest /= batch[3 * axis];
            u += (ptrdiff_t)i * batch[3 * axis + 1];
            v += (ptrdiff_t)i * batch[3 * axis + 2];
        }
        float *out = a->output + (ptrdiff_t)row * columns;
        for (int first = 0; first < columns; first += BLOCK) {
            const int n = columns - first < BLOCK ? columns - first : BLOCK;
            float sums[BLOCK] = {0.0f};
            for (int k = 0; k < depth; k++) {
                const float x = u[k * down], *w = v + k * from + first * right;
                if (right == 1)
                    for (int i = 0; i < n; i++) sums[i] += x * w[i];
                else
                    for (int i = 0; i < n; i++) sums[i] += x * w[i * right];
            }
            memcpy(out + first, sums, (size_t)n * sizeof(float));
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
