/* Included by conv.c once for each element type T. No guard. */

/* c (rows of c_row) += or = a·b, on this thread alone. Older versions of BLIS take what they only read as
 * pointers to non-const. */
static void NAME(product)(int64_t m, int64_t n, int64_t k, const T *a, int64_t a_row, int64_t a_col,
                          const T *b, int64_t b_row, int64_t b_col, T *c, int64_t c_row, bool add)
{
    T one = 1, beta = add ? 1 : 0;
    rntm_t rntm = BLIS_RNTM_INITIALIZER;
    bli_rntm_set_num_threads(1, &rntm);
    GEMM(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, k, &one, (T *)(uintptr_t)a, a_row, a_col,
         (T *)(uintptr_t)b, b_row, b_col, &beta, c, c_row, 1, NULL, &rntm);
}

/* Where the weights of a group and class lie packed, one row of `depth` for each channel. */
static int64_t NAME(packed_at)(const work *w, int64_t group, int64_t class)
{
    const tg_conv *v = &w->v;
    int64_t depth = 0;
    for (int64_t i = 0; i < class; i++)
        depth += tg_conv_backward(v, i).depth;
    return group * v->o * v->c * v->places + depth * v->c;
}

static void NAME(pack_weights)(const work *w)
{
    const tg_conv *v = &w->v;
    tg_conv_tap tap[DEPTH];
    for (int64_t group = 0; group < v->groups; group++)
        for (int64_t class = 0; class < w->classes; class ++) {
            const tg_conv_view view = tg_conv_backward(v, class);
            const T *weights = (const T *)w->in[1] + group * v->o * v->c * v->places;
            T *to = (T *)(void *)w->shared + NAME(packed_at)(w, group, class);
            for (int64_t k = 0; k < view.depth; k += DEPTH) {
                const int64_t now = min64(view.depth - k, DEPTH);
                tg_conv_taps(&view, k, now, tap);
                for (int64_t i = 0; i < v->c; i++)
                    for (int64_t t = 0; t < now; t++)
                        to[i * view.depth + k + t] = weights[i * view.a_row + tap[t].a];
            }
        }
}

/* Columns [q, q + n) of what steps tap[0, depth) read; those of all images, one after the other, `positions`
 * each. The columns are `step` apart, or where that is 1, the rows `row`. */
static void NAME(gather_all)(const tg_conv_view *view, const tg_conv_tap *tap, int64_t depth, const T *src,
                             int64_t image, int64_t q, int64_t n, T *dst, int64_t row)
{
    while (n > 0) {
        const int64_t p = q % view->positions, now = min64(view->positions - p, n);
        const T *from = src + q / view->positions * image;
        for (int64_t t = 0; t < depth; t++)
            NAME(gather)(view, &tap[t], from, p, now, dst + t * row);
        dst += now;
        q += now;
        n -= now;
    }
}

/* What convolution_affine does to one row of a tile. */
static void NAME(finish)(const work *w, T *row, int64_t n, int64_t o)
{
    const T *bias = w->in[2], *scale = w->in[3], *shift = w->in[4];
    const T b = bias ? bias[o] : 0, s = scale ? scale[o] : 1, t = shift ? shift[o] : 0;
    const bool relu = w->relu;
    for (int64_t i = 0; i < n; i++) {
        const T v = (row[i] + b) * s + t;
        row[i] = relu && v <= 0 ? 0 : v;
    }
}

static void NAME(data_tile)(const work *w, int64_t job, void *scratch)
{
    const tg_conv *v = &w->v;
    const bool backward = w->way == BACKWARD;
    const int64_t across = job % w->across, class = job / w->across % w->classes;
    const int64_t group = job / w->across / w->classes;
    const tg_conv_view view = backward ? tg_conv_backward(v, class) : tg_conv_forward(v);
    const int64_t q = across * w->nt, cols = min64(view.positions * v->batch - q, w->nt);
    if (cols <= 0)
        return;
    T *columns = scratch, *tile = columns + w->kt * w->nt;
    const T *weights = backward ? (const T *)(const void *)w->shared + NAME(packed_at)(w, group, class)
                                : (const T *)w->in[1] + group * v->o * v->c * v->places;
    const int64_t channels = backward ? v->o : v->c, image = v->groups * channels * view.source;
    const T *src = (const T *)w->in[0] + group * channels * view.source;
    tg_conv_tap tap[DEPTH];
    if (!view.depth)
        memset(tile, 0, (size_t)(w->rows * w->nt) * sizeof *tile);
    for (int64_t k = 0; k < view.depth; k += DEPTH) {
        const int64_t now = min64(view.depth - k, DEPTH);
        tg_conv_taps(&view, k, now, tap);
        NAME(gather_all)(&view, tap, now, src, image, q, cols, columns, w->nt);
        NAME(product)(w->rows, cols, now, weights + k, view.depth, 1, columns, w->nt, 1, tile, w->nt, k > 0);
    }
    const int64_t to = tg_conv_product(view.to), first = group * w->rows;
    for (int64_t i = 0; w->affine && i < w->rows; i++)
        NAME(finish)(w, tile + i * w->nt, cols, first + i);
    const T *bias = w->affine ? NULL : w->in[2];
    for (int64_t done = 0; done < cols;) {
        const int64_t n = (q + done) / view.positions, p = (q + done) % view.positions;
        const int64_t now = min64(view.positions - p, cols - done);
        for (int64_t i = 0; i < w->rows; i++)
            NAME(put)
            (&view, tile + i * w->nt + done, p, now, bias ? bias[first + i] : 0,
             (T *)w->out + (n * v->groups * w->rows + first + i) * to);
        done += now;
    }
}

/* The reverse of gather: adds to where step `tap` of the depth reads at positions p …. */
static void NAME(spread)(const tg_conv_view *v, const tg_conv_tap *tap, const T *restrict src, int64_t p,
                         int64_t n, T *restrict dst)
{
    const int64_t step = v->step[2], start = tap->start[2], width = v->size[2];
    int64_t j2 = p % v->count[2], j1 = p / v->count[2] % v->count[1], j0 = p / v->count[2] / v->count[1];
    /* Positions [low, high) of a line are inside. */
    const int64_t low = start < 0 ? (-start + step - 1) / step : 0;
    const int64_t high = start < width ? (width - 1 - start) / step + 1 : 0;
    dst += tap->plane;
    while (n > 0) {
        const int64_t now = min64(v->count[2] - j2, n);
        const int64_t s0 = j0 * v->step[0] + tap->start[0], s1 = j1 * v->step[1] + tap->start[1];
        const int64_t from = low > j2 ? low - j2 : 0, to = min64(high - j2, now);
        if (s0 >= 0 && s0 < v->size[0] && s1 >= 0 && s1 < v->size[1] && from < to) {
            T *line = dst + (s0 * v->size[1] + s1) * width + start + j2 * step;
            if (step == 1)
                for (int64_t i = from; i < to; i++)
                    line[i] += src[i];
            else
                for (int64_t i = from; i < to; i++)
                    line[i * step] += src[i];
        }
        src += now;
        n -= now;
        j2 = 0;
        if (++j1 == v->count[1]) {
            j1 = 0;
            j0++;
        }
    }
}

static void NAME(spread_image)(const work *w, int64_t job, void *scratch)
{
    const tg_conv *v = &w->v;
    const tg_conv_view view = tg_conv_forward(v);
    const int64_t group = job % v->groups, image = job / v->groups;
    const T *gy = (const T *)w->in[0] + (image * v->groups + group) * v->o * v->outs;
    const T *weights = (const T *)w->in[1] + group * v->o * w->rows;
    T *dst = (T *)w->out + (image * v->groups + group) * v->c * v->ins, *tile = scratch;
    tg_conv_tap tap[DEPTH];
    for (int64_t i = 0; i < v->c; i++) {
        const T bias = w->in[2] ? ((const T *)w->in[2])[group * v->c + i] : 0;
        for (int64_t j = 0; j < v->ins; j++)
            dst[i * v->ins + j] = bias;
    }
    for (int64_t p = 0; p < v->outs; p += w->nt) {
        const int64_t cols = min64(v->outs - p, w->nt);
        NAME(product)(w->rows, cols, v->o, weights, 1, w->rows, gy + p, v->outs, 1, tile, w->nt, false);
        for (int64_t k = 0; k < w->rows; k += DEPTH) {
            const int64_t now = min64(w->rows - k, DEPTH);
            tg_conv_taps(&view, k, now, tap);
            for (int64_t t = 0; t < now; t++)
                NAME(spread)(&view, &tap[t], tile + (k + t) * w->nt, p, cols, dst);
        }
    }
}

/* gy's columns [q, q + n) of all images, as rows of `row`. */
static void NAME(copy_gy)(const tg_conv *v, const T *src, int64_t q, int64_t n, T *dst, int64_t row)
{
    while (n > 0) {
        const int64_t p = q % v->outs, now = min64(v->outs - p, n);
        const T *from = src + q / v->outs * v->groups * v->o * v->outs + p;
        for (int64_t i = 0; i < v->o; i++)
            memcpy(dst + i * row, from + i * v->outs, (size_t)now * sizeof *dst);
        dst += now;
        q += now;
        n -= now;
    }
}

static void NAME(weights_tile)(const work *w, int64_t job, void *scratch)
{
    const tg_conv *v = &w->v;
    const tg_conv_view view = tg_conv_forward(v);
    const int64_t across = job % w->across, group = job / w->across % v->groups;
    const int64_t part = job / w->across / v->groups;
    const int64_t c = across * w->nt, cols = min64(w->cols - c, w->nt);
    T *columns = scratch, *left = columns + w->kt * w->nt;
    T *sums = (T *)(void *)w->shared + (part * v->groups + group) * w->rows * w->cols + c;
    const T *gy = (const T *)w->in[0] + group * v->o * v->outs,
            *x = (const T *)w->in[1] + group * v->c * v->ins;
    tg_conv_tap tap[COLUMNS];
    tg_conv_taps(&view, c, cols, tap);
    const int64_t first = v->batch * part / w->parts * v->outs,
                  end = v->batch * (part + 1) / w->parts * v->outs;
    for (int64_t q = first; q < end; q += w->kt) {
        const int64_t now = min64(end - q, w->kt);
        NAME(gather_all)(&view, tap, cols, x, v->groups * v->c * v->ins, q, now, columns, w->kt);
        NAME(copy_gy)(v, gy, q, now, left, w->kt);
        NAME(product)(w->rows, cols, now, left, w->kt, 1, columns, 1, w->kt, sums, w->cols, q > first);
    }
}

static void NAME(add_parts)(const work *w, int64_t n)
{
    const T *sums = (const T *)(const void *)w->shared;
    T *out = w->out;
    memcpy(out, sums, (size_t)n * sizeof *out);
    for (int64_t part = 1; part < w->parts; part++)
        for (int64_t i = 0; i < n; i++)
            out[i] += sums[part * n + i];
}
