/* What lies around a tensor in memory: FILL_BORDER writes it, in elements of type FILL_ELEMENT. Included once for each. */
static void FILL_BORDER(const ell_tensor *t, float *data) {
    if (!(t->top | t->left | t->bottom | t->right)) return;
    const FILL_ELEMENT fill = (FILL_ELEMENT)t->fill;
    FILL_ELEMENT *p = (FILL_ELEMENT *)data - (ptrdiff_t)t->top * t->row_stride - (ptrdiff_t)t->left * t->channels;
    const size_t inside = (size_t)t->columns * t->channels;
    const size_t first = (size_t)t->top * t->row_stride + (size_t)t->left * t->channels;
    const size_t between = (size_t)(t->left + t->right) * t->channels;
    const size_t last = (size_t)t->bottom * t->row_stride + (size_t)t->right * t->channels;
    for (size_t i = 0; i < first; i++) p[i] = fill;
    p += first + inside;
    for (int y = 1; y < t->rows; y++) {
        for (size_t i = 0; i < between; i++) p[i] = fill;
        p += between + inside;
    }
    for (size_t i = 0; i < last; i++) p[i] = fill;
}
