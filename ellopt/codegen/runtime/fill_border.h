/* What lies around a tensor in memory: FILL_BORDER writes it, in elements of type FILL_ELEMENT, in `parts` parts: each has
 * rows that lie next to each other, or the columns that its thread works on. Included once for each type. */
static void FILL_BORDER(const ell_tensor *t, float *data, int part, int parts) {
    const FILL_ELEMENT fill = (FILL_ELEMENT)t->fill;
    const int rows = t->top + t->rows + t->bottom;
    const ptrdiff_t stride = t->row_stride, inside = (ptrdiff_t)t->columns * t->channels;
    const ptrdiff_t left = (ptrdiff_t)t->left * t->channels, right = (ptrdiff_t)t->right * t->channels;
    FILL_ELEMENT *start = (FILL_ELEMENT *)data - t->top * stride; /* above the first element */
    if (parts > 1 && ELL_FEW_LONG_ROWS(t->rows, t->columns)) {
        const ptrdiff_t begin = part ? (ptrdiff_t)((int64_t)t->columns * part / parts) * t->channels : -left;
        const ptrdiff_t end = part < parts - 1 ? (ptrdiff_t)((int64_t)t->columns * (part + 1) / parts) * t->channels
                                               : inside + right;
        for (int y = 0; y < rows; y++, start += stride) {
            const int beside = y >= t->top && y < t->top + t->rows;
            for (ptrdiff_t i = begin; i < (beside ? 0 : end); i++) start[i] = fill;
            for (ptrdiff_t i = inside; beside && i < end; i++) start[i] = fill;
        }
        return;
    }
    /* From the end of what is inside in one row to its beginning in the next there is no gap. */
    const int first = (int)((int64_t)rows * part / parts), last = (int)((int64_t)rows * (part + 1) / parts);
    FILL_ELEMENT *p = start + first * stride - left;
    for (int y = first > t->top ? first : t->top; y < last && y < t->top + t->rows; y++) {
        for (FILL_ELEMENT *end = start + y * stride; p < end; p++) *p = fill;
        p += inside;
    }
    for (FILL_ELEMENT *end = start + last * stride - left; p < end; p++) *p = fill;
}
