/* Elements moved: the step ELL_REMAP of ellopt_general.c. */
#include <string.h>

#include "ellopt_remap.h"
#include "layer_rows.h"
#include "parts.h"

enum { OUTSIDE = -(1 << 30) };

/* numbers: offset, axes, and of each axis: count, step, 0 or where its table begins in the numbers, and how many elements
 * at its beginning and its end are filled. Without a table element i of the others is i * step away. There are two axes
 * or more. */

typedef struct {
    int count, step;
    const int32_t *table;
    int before, behind;
} remap_axis;

static remap_axis axis_of(const int32_t *numbers, int axis) {
    const int32_t *own = numbers + 2 + 5 * axis;
    remap_axis found = {own[0], own[1], own[2] ? numbers + own[2] : 0, own[3], own[4]};
    return found;
}

/* The place of element i; OUTSIDE where it is filled. */
static ptrdiff_t place_of(const remap_axis *axis, int i) {
    if (axis->table) return axis->table[i];
    if (i < axis->before || i >= axis->count - axis->behind) return OUTSIDE;
    return (ptrdiff_t)(i - axis->before) * axis->step;
}

static void fill_line(float *out, int count, float fill) {
    for (int i = 0; i < count; i++) out[i] = fill;
}

static void remap_line(const float *in, float *out, const remap_axis *axis, float fill) {
    const int step = axis->step, inside = axis->count - axis->before - axis->behind;
    if (axis->table) {
        for (int i = 0; i < axis->count; i++) out[i] = axis->table[i] == OUTSIDE ? fill : in[axis->table[i]];
        return;
    }
    fill_line(out, axis->before, fill);
    out += axis->before;
    if (step != 1)
        for (int i = 0; i < inside; i++) out[i] = in[(ptrdiff_t)i * step];
    else if (inside > 8)
        memcpy(out, in, (size_t)inside * sizeof(float));
    else
        for (int i = 0; i < inside; i++) out[i] = in[i];
    fill_line(out + inside, axis->behind, fill);
}

/* out[i][j] = in[j][i] of `lines` i and `count` j: rows of `in` are `step` apart. */
#define INTERLEAVE(COUNT)                                                                                       \
    static void interleave_##COUNT(const float *restrict in, float *restrict out, int lines, ptrdiff_t step) {   \
        for (int i = 0; i < lines; i++)                                                                         \
            for (int j = 0; j < COUNT; j++) out[i * COUNT + j] = in[j * step + i];                               \
    }
INTERLEAVE(2)
INTERLEAVE(3)
INTERLEAVE(4)
INTERLEAVE(8)

typedef float four __attribute__((vector_size(16)));
typedef float four_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

/* out[i][j] = in[j][i] of four i and j from first to behind - 1, where lines of `out` are `count` long. */
static void transpose_four(const float *restrict in, float *restrict out, int first, int behind, ptrdiff_t count,
                           ptrdiff_t step) {
    int j = first;
    for (; j + 4 <= behind; j += 4) {
        const float *p = in + j * step;
        float *q = out + j;
        const four a = *(const four_unaligned *)p, b = *(const four_unaligned *)(p + step),
                   c = *(const four_unaligned *)(p + 2 * step), d = *(const four_unaligned *)(p + 3 * step);
        const four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), AB = __builtin_shufflevector(a, b, 2, 6, 3, 7),
                   cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        *(four_unaligned *)q = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
        *(four_unaligned *)(q + count) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
        *(four_unaligned *)(q + 2 * count) = __builtin_shufflevector(AB, CD, 0, 1, 4, 5);
        *(four_unaligned *)(q + 3 * count) = __builtin_shufflevector(AB, CD, 2, 3, 6, 7);
    }
    for (; j < behind; j++)
        for (int i = 0; i < 4; i++) out[i * count + j] = in[j * step + i];
}

static void transpose(const float *restrict in, float *restrict out, int lines, int count, ptrdiff_t step) {
    switch (count) {
    case 2: interleave_2(in, out, lines, step); return;
    case 3: interleave_3(in, out, lines, step); return;
    case 4: interleave_4(in, out, lines, step); return;
    case 8: interleave_8(in, out, lines, step); return;
    default: break;
    }
    /* Some at a time, as lines of the output that are a power of two apart share their place in a cache. */
    enum { AT_ONCE = 128 };
    for (int first = 0; first < count; first += AT_ONCE) {
        const int behind = first + AT_ONCE < count ? first + AT_ONCE : count;
        int i = 0;
        for (; i + 4 <= lines; i += 4) transpose_four(in + i, out + (ptrdiff_t)i * count, first, behind, count, step);
        for (; i < lines; i++)
            for (int j = first; j < behind; j++) out[(ptrdiff_t)i * count + j] = in[j * step + i];
    }
}

/* `lines` lines of `count` elements next to each other, `step` apart, written `apart`. */
#define COPY_LINES(COUNT)                                                          \
    case COUNT:                                                                    \
        for (int i = 0; i < lines; i++, in += step, out += apart)                  \
            for (int k = 0; k < COUNT; k++) out[k] = in[k];                        \
        break
static void copy_lines(const float *restrict in, float *restrict out, int lines, int count, ptrdiff_t step,
                       ptrdiff_t apart) {
    switch (count) {
        COPY_LINES(1);
        COPY_LINES(2);
        COPY_LINES(4);
        COPY_LINES(8);
    default:
        for (int i = 0; i < lines; i++, in += step, out += apart) memcpy(out, in, (size_t)count * sizeof(float));
    }
}

/* Lines first .. behind - 1 of all, each of the last axis. */
static void remap_part(const void *context, int part, int worker) {
    (void)worker;
    const general_work *work = (const general_work *)context;
    const ell_layer_args *a = work->args;
    const int32_t *numbers = a->step->numbers;
    const int axes = numbers[1];
    const float fill = a->step->outside;
    const remap_axis last = axis_of(numbers, axes - 1), before = axis_of(numbers, axes - 2);
    const int linear = !before.table && !last.table && !(before.before | before.behind | last.before | last.behind);
    const int transposed = linear && before.step == 1 && last.step != 1 && last.count > 1;
    const int copied = linear && (last.step == 1 || last.count == 1);
    /* Lines of a row of the output: where that has a border, lines of its next row lie behind it. */
    const int row_elements = a->out->columns * a->out->channels;
    const int in_row = a->out->row_stride == row_elements ? work->rows : row_elements / last.count;
    /* Where its pixels lie apart, each is a line. */
    const ptrdiff_t apart = dense_pixels(a->out) ? last.count : a->out->pixel_stride;
    int line = first_of(work, part);
    const int end = first_of(work, part + 1);
    while (line < end) {
        const int row = line / before.count, first = line % before.count, y = line / in_row, begin = line % in_row;
        int lines = before.count - first < end - line ? before.count - first : end - line;
        if (lines > in_row - begin) lines = in_row - begin;
        ptrdiff_t base = numbers[0];
        int outside = 0, rest = row;
        for (int k = axes - 3; k >= 0; k--) {
            const remap_axis axis = axis_of(numbers, k);
            const ptrdiff_t place = place_of(&axis, rest % axis.count);
            rest /= axis.count;
            if (place == OUTSIDE) outside = 1;
            base += place;
        }
        float *out = a->output + (ptrdiff_t)y * a->out->row_stride + begin * apart;
        line += lines;
        if (transposed && !outside) {
            transpose(a->input + base + first, out, lines, last.count, last.step);
            continue;
        }
        if (copied && !outside) {
            copy_lines(a->input + base + (ptrdiff_t)first * before.step, out, lines, last.count, before.step, apart);
            continue;
        }
        for (int i = first; i < first + lines; i++, out += apart) {
            const ptrdiff_t place = place_of(&before, i);
            if (outside || place == OUTSIDE)
                fill_line(out, last.count, fill);
            else
                remap_line(a->input + base + place, out, &last, fill);
        }
    }
}

void ell_remap(ell_pool *pool, const ell_layer_args *a) {
    const int32_t *numbers = a->step->numbers;
    int rows = 1;
    for (int k = 0; k < numbers[1] - 1; k++) rows *= axis_of(numbers, k).count;
    run_parts(pool, remap_part, a, rows);
}
