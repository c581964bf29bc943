/* Included by conv.c once for each element type T. No guard. */

/* c (rows of c_row) += or = a·b, on this thread alone. Older versions of BLIS take what they only read as pointers to
 * non-const. */
static void NAME(product)(int64_t m, int64_t n, int64_t k, const T *a, int64_t a_row, const T *b, int64_t b_row,
                          int64_t b_col, T *c, int64_t c_row, bool add)
{
    T one = 1, beta = add ? 1 : 0;
    rntm_t rntm = BLIS_RNTM_INITIALIZER;
    bli_rntm_set_num_threads(1, &rntm);
    GEMM(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, k, &one, (T *)(uintptr_t)a, a_row, 1, (T *)(uintptr_t)b, b_row,
         b_col, &beta, c, c_row, 1, NULL, &rntm);
}

static void NAME(data_tile)(const work *w, int64_t job, void *scratch)
{
    const tg_conv *v = &w->v;
    const int64_t across = job % w->across, class = job / w->across % w->classes;
    const int64_t group = job / w->across / w->classes % v->groups, image = job / w->across / w->classes / v->groups;
    const tg_conv_view view = w->backward ? tg_conv_backward(v, class) : tg_conv_forward(v);
    const int64_t p = across * w->nt, cols = min64(view.positions - p, w->nt);
    if (cols <= 0)
        return;
    T *columns = scratch, *packed = columns + w->kt * w->nt, *tile = packed + w->rows * w->kt;
    const T *weights = (const T *)w->in[1] + group * v->o * v->c * v->places;
    const int64_t channels = w->backward ? v->o : v->c;
    const T *src = (const T *)w->in[0] + (image * v->groups + group) * channels * view.source;
    tg_conv_tap tap[DEPTH];
    if (!view.depth)
        memset(tile, 0, (size_t)(w->rows * w->nt) * sizeof *tile);
    for (int64_t k = 0; k < view.depth; k += DEPTH) {
        const int64_t now = min64(view.depth - k, DEPTH);
        tg_conv_taps(&view, k, now, tap);
        for (int64_t t = 0; t < now; t++)
            NAME(gather)(&view, &tap[t], src, p, cols, columns + t * w->nt);
        for (int64_t i = 0; w->backward && i < w->rows; i++)
            for (int64_t t = 0; t < now; t++)
                packed[i * w->kt + t] = weights[i * view.a_row + tap[t].a];
        NAME(product)(w->rows, cols, now, w->backward ? packed : weights + k, w->backward ? w->kt : view.a_row,
                      columns, w->nt, 1, tile, w->nt, k > 0);
    }
    const int64_t to = tg_conv_product(view.to), first = group * w->rows;
    for (int64_t i = 0; i < w->rows; i++)
        NAME(put)(&view, tile + i * w->nt, p, cols, w->in[2] ? ((const T *)w->in[2])[first + i] : 0,
                  (T *)w->out + (image * v->groups * w->rows + first + i) * to);
}

static void NAME(weights_tile)(const work *w, int64_t job, void *scratch)
{
    const tg_conv *v = &w->v;
    const tg_conv_view view = tg_conv_forward(v);
    const int64_t across = job % w->across, group = job / w->across % v->groups;
    const int64_t part = job / w->across / v->groups;
    const int64_t c = across * w->nt, cols = min64(w->cols - c, w->nt);
    T *columns = scratch, *sums = (T *)(void *)w->sums + (part * v->groups + group) * w->rows * w->cols + c;
    tg_conv_tap tap[COLUMNS];
    bool add = false;
    tg_conv_taps(&view, c, cols, tap);
    for (int64_t n = v->batch * part / w->parts; n < v->batch * (part + 1) / w->parts; n++)
        for (int64_t p = 0; p < v->outs; p += DEPTH, add = true) {
            const int64_t now = min64(v->outs - p, DEPTH);
            const T *x = (const T *)w->in[1] + (n * v->groups + group) * v->c * v->ins;
            for (int64_t t = 0; t < cols; t++)
                NAME(gather)(&view, &tap[t], x, p, now, columns + t * w->kt);
            NAME(product)(w->rows, cols, now, (const T *)w->in[0] + (n * v->groups + group) * v->o * v->outs + p,
                          v->outs, columns, 1, w->kt, sums, w->cols, add);
        }
}

static void NAME(add_parts)(const work *w, int64_t n)
{
    const T *sums = (const T *)(const void *)w->sums;
    T *out = w->out;
    memcpy(out, sums, (size_t)n * sizeof *out);
    for (int64_t part = 1; part < w->parts; part++)
        for (int64_t i = 0; i < n; i++)
            out[i] += sums[part * n + i];
}
