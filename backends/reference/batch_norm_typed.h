/* The loops of batch norm for one type: T and NAME are defined by the includer. Two layouts: [N, C], where
 * WIDTH channels lie side by side, and [N, C, inner], where each channel's values of a sample do. A task is a
 * block of channels in a chunk of the batch; both depend on the shape alone. */

/* acc[j] += Σ_rows x, and Σ_rows (x − mean[j])² where `mean` is given. */
NAME(TG_REF_CLONES)
static void NAME(column_sums)(const T *x, const double *mean, int64_t rows, int64_t step, int64_t w,
                              double *restrict acc)
{
    for (int64_t j = 0; j < w; j++)
        acc[j] = 0.0;
    if (mean)
        for (int64_t r = 0; r < rows; r++, x += step)
            for (int64_t j = 0; j < w; j++)
                acc[j] += ((double)x[j] - mean[j]) * ((double)x[j] - mean[j]);
    else
        for (int64_t r = 0; r < rows; r++, x += step)
            for (int64_t j = 0; j < w; j++)
                acc[j] += (double)x[j];
}

NAME(TG_REF_CLONES)
static double NAME(squares)(const T *x, double mean, int64_t n)
{
    double lane[REF_LANES] = {0}, s = 0.0;
    int64_t i = 0;
    for (; i + REF_LANES <= n; i += REF_LANES)
        for (int l = 0; l < REF_LANES; l++)
            lane[l] += ((double)x[i + l] - mean) * ((double)x[i + l] - mean);
    for (; i < n; i++)
        s += ((double)x[i] - mean) * ((double)x[i] - mean);
    return s + ref_lanes_sum(lane);
}

NAME(TG_REF_CLONES)
static double NAME(plain_sum)(const T *x, int64_t n)
{
    return NAME(sum)(x, n);
}

/* One chunk's share of Σx, or of Σ(x − mean)², of a block of channels. */
static void NAME(moment)(const layout *q, const T *x, const double *mean, int64_t block, int64_t chunk,
                         double *partial)
{
    int64_t c = block * q->width, w = q->channels - c < q->width ? q->channels - c : q->width;
    int64_t from = chunk * q->rows, to = from + q->rows < q->batch ? from + q->rows : q->batch;
    double *acc = partial + chunk * q->channels + c;
    x += (from * q->channels + c) * q->inner;
    if (q->inner == 1) {
        NAME(column_sums)(x, mean ? mean + c : NULL, to - from, q->channels, w, acc);
        return;
    }
    double sum = 0.0;
    for (int64_t r = from; r < to; r++, x += q->channels * q->inner)
        sum += mean ? NAME(squares)(x, mean[c], q->inner) : NAME(plain_sum)(x, q->inner);
    *acc = sum;
}

/* y = ((x − high) − low)·scale + shift; the mean comes in two parts, so that no digit of it is lost. */
NAME(TG_REF_CLONES)
static void NAME(column_apply)(T *restrict y, const T *restrict x, int64_t rows, int64_t step, int64_t w,
                               const T *restrict high, const T *restrict low, const T *restrict scale,
                               const T *restrict shift)
{
    for (int64_t r = 0; r < rows; r++, x += step, y += step)
        for (int64_t j = 0; j < w; j++)
            y[j] = ((x[j] - high[j]) - low[j]) * scale[j] + shift[j];
}

NAME(TG_REF_CLONES)
static void NAME(run_apply)(T *restrict y, const T *restrict x, int64_t n, T high, T low, T scale, T shift)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = ((x[i] - high) - low) * scale + shift;
}

/* y = by ≤ 0 ? 0 : g; all three may be one. */
NAME(TG_REF_CLONES)
static void NAME(rectify_run)(T *y, const T *g, const T *by, int64_t n)
{
#pragma GCC ivdep
    for (int64_t j = 0; j < n; j++) {
        const T v = g[j], b = by[j];
        y[j] = b <= 0 ? 0 : v;
    }
}

/* The same of one chunk of a block of channels. */
static void NAME(rectify)(const layout *q, T *y, const T *g, const T *by, int64_t block, int64_t chunk)
{
    int64_t c = block * q->width, w = q->channels - c < q->width ? q->channels - c : q->width;
    int64_t from = chunk * q->rows, to = from + q->rows < q->batch ? from + q->rows : q->batch;
    int64_t at = (from * q->channels + c) * q->inner, step = q->channels * q->inner, n = w * q->inner;
    for (int64_t r = from; r < to; r++, at += step)
        NAME(rectify_run)(y + at, g + at, by + at, n);
}

static void NAME(normalise)(const layout *q, T *y, const T *x, const double *mean, const double *invstd,
                            const T *weight, const T *bias, int64_t block, int64_t chunk)
{
    int64_t c = block * q->width, w = q->channels - c < q->width ? q->channels - c : q->width;
    int64_t from = chunk * q->rows, to = from + q->rows < q->batch ? from + q->rows : q->batch;
    int64_t at = (from * q->channels + c) * q->inner, step = q->channels * q->inner;
    T high[WIDTH], low[WIDTH], scale[WIDTH], shift[WIDTH];
    for (int64_t j = 0; j < w; j++) {
        high[j] = (T)mean[c + j];
        low[j] = (T)(mean[c + j] - (double)high[j]);
        scale[j] = (T)(invstd[c + j] * (weight ? (double)weight[c + j] : 1.0));
        shift[j] = bias ? bias[c + j] : (T)0;
    }
    if (q->inner == 1)
        NAME(column_apply)(y + at, x + at, to - from, step, w, high, low, scale, shift);
    else
        for (int64_t r = from; r < to; r++, at += step)
            NAME(run_apply)(y + at, x + at, q->inner, *high, *low, *scale, *shift);
}

static void NAME(finish_var)(const layout *q, int64_t block, double eps, const double *partial,
                             const double *mean, double *invstd, T *const out[3])
{
    int64_t c = block * q->width, end = c + q->width < q->channels ? c + q->width : q->channels;
    for (; c < end; c++) {
        double sum = 0.0;
        for (int64_t k = 0; k < q->chunks; k++)
            sum += partial[k * q->channels + c];
        double var = sum / (double)(q->batch * q->inner);
        invstd[c] = 1.0 / sqrt(var + eps);
        out[0][c] = (T)mean[c];
        out[1][c] = (T)var;
        out[2][c] = (T)invstd[c];
    }
}

static void NAME(sum_item)(const void *arg, int64_t i)
{
    const batch_task *t = arg;
    NAME(moment)(t->q, t->x, NULL, i % t->q->blocks, i / t->q->blocks, t->partial);
}

static void NAME(square_item)(const void *arg, int64_t i)
{
    const batch_task *t = arg;
    NAME(moment)(t->q, t->x, t->mean, i % t->q->blocks, i / t->q->blocks, t->partial);
}

static void NAME(var_item)(const void *arg, int64_t b)
{
    const batch_task *t = arg;
    T *const out[] = {t->out[0], t->out[1], t->out[2]};
    NAME(finish_var)(t->q, b, t->eps, t->partial, t->mean, t->invstd, out);
}

static void NAME(apply_item)(const void *arg, int64_t i)
{
    const batch_task *t = arg;
    NAME(normalise)
    (t->q, t->y, t->x, t->mean, t->invstd, t->weight, t->bias, i % t->q->blocks, i / t->q->blocks);
    if (t->relu)
        NAME(rectify)(t->q, t->y, t->y, t->y, i % t->q->blocks, i / t->q->blocks);
}

/* The whole of a block whose batch is one chunk: its data stay in the cache. */
static void NAME(train_item)(const void *arg, int64_t b)
{
    NAME(sum_item)(arg, b);
    mean_item(arg, b);
    NAME(square_item)(arg, b);
    NAME(var_item)(arg, b);
    NAME(apply_item)(arg, b);
}

static void NAME(train)(const batch_task *t, int threads)
{
    int64_t blocks = t->q->blocks, tasks = blocks * t->q->chunks;
    const tg_ref_phase phases[] = {{tasks, NAME(sum_item)},
                                   {blocks, mean_item},
                                   {tasks, NAME(square_item)},
                                   {blocks, NAME(var_item)},
                                   {tasks, NAME(apply_item)}};
    if (t->q->chunks == 1)
        tg_ref_each(threads, blocks, NAME(train_item), t);
    else
        tg_ref_phases(threads, 5, phases, t);
}

static void NAME(eval)(const batch_task *t, const T *running_mean, const T *running_var, int threads)
{
    T *mean = t->out[0], *invstd = t->out[1];
    for (int64_t c = 0; c < t->q->channels; c++) {
        t->mean[c] = (double)running_mean[c];
        t->invstd[c] = 1.0 / sqrt((double)running_var[c] + t->eps);
        mean[c] = running_mean[c];
        invstd[c] = (T)t->invstd[c];
    }
    tg_ref_each(threads, t->q->blocks * t->q->chunks, NAME(apply_item), t);
}

/* -- backward ------------------------------------------------------------------------------------------- */

/* a[j] = Σ_rows dy, b[j] = Σ_rows dy·(x − mean[j]) */
NAME(TG_REF_CLONES)
static void NAME(column_back_sums)(const T *dy, const T *x, const T *restrict mean, int64_t rows,
                                   int64_t step, int64_t w, double *restrict a, double *restrict b)
{
    for (int64_t j = 0; j < w; j++)
        a[j] = b[j] = 0.0;
    for (int64_t r = 0; r < rows; r++, x += step, dy += step)
        for (int64_t j = 0; j < w; j++) {
            a[j] += (double)dy[j];
            b[j] += (double)dy[j] * ((double)x[j] - (double)mean[j]);
        }
}

NAME(TG_REF_CLONES)
static double NAME(centred_dot)(const T *dy, const T *x, double mean, int64_t n)
{
    double lane[REF_LANES] = {0}, s = 0.0;
    int64_t i = 0;
    for (; i + REF_LANES <= n; i += REF_LANES)
        for (int l = 0; l < REF_LANES; l++)
            lane[l] += (double)dy[i + l] * ((double)x[i + l] - mean);
    for (; i < n; i++)
        s += (double)dy[i] * ((double)x[i] - mean);
    return s + ref_lanes_sum(lane);
}

static void NAME(back_moment)(const layout *q, const T *dy, const T *x, const T *mean, int64_t block,
                              int64_t chunk, double *partial)
{
    int64_t c = block * q->width, w = q->channels - c < q->width ? q->channels - c : q->width;
    int64_t from = chunk * q->rows, to = from + q->rows < q->batch ? from + q->rows : q->batch;
    int64_t at = (from * q->channels + c) * q->inner, step = q->channels * q->inner;
    double *a = partial + chunk * q->channels + c, *b = a + q->chunks * q->channels;
    if (q->inner == 1) {
        NAME(column_back_sums)(dy + at, x + at, mean + c, to - from, step, w, a, b);
        return;
    }
    double sa = 0.0, sb = 0.0;
    for (int64_t r = from; r < to; r++, at += step) {
        sa += NAME(plain_sum)(dy + at, q->inner);
        sb += NAME(centred_dot)(dy + at, x + at, (double)mean[c], q->inner);
    }
    *a = sa;
    *b = sb;
}

/* dx = scale·((dy − offset) − (x − mean)·slope) */
NAME(TG_REF_CLONES)
static void NAME(column_back)(T *restrict dx, const T *restrict dy, const T *restrict x, int64_t rows,
                              int64_t step, int64_t w, const T *restrict mean, const T *restrict scale,
                              const T *restrict offset, const T *restrict slope)
{
    for (int64_t r = 0; r < rows; r++, dx += step, dy += step, x += step)
        for (int64_t j = 0; j < w; j++)
            dx[j] = scale[j] * ((dy[j] - offset[j]) - (x[j] - mean[j]) * slope[j]);
}

NAME(TG_REF_CLONES)
static void NAME(run_back)(T *restrict dx, const T *restrict dy, const T *restrict x, int64_t n, T mean,
                           T scale, T offset, T slope)
{
    for (int64_t i = 0; i < n; i++)
        dx[i] = scale * ((dy[i] - offset) - (x[i] - mean) * slope);
}

NAME(TG_REF_CLONES)
static void NAME(column_scale)(T *restrict dx, const T *restrict dy, int64_t rows, int64_t step, int64_t w,
                               const T *restrict scale)
{
    for (int64_t r = 0; r < rows; r++, dx += step, dy += step)
        for (int64_t j = 0; j < w; j++)
            dx[j] = dy[j] * scale[j];
}

/* a and b: the channels' whole sums; NULL where the statistics are constants. */
static void NAME(back_apply)(const layout *q, const back_data *d, const double *a, const double *b,
                             int64_t block, int64_t chunk)
{
    int64_t c = block * q->width, w = q->channels - c < q->width ? q->channels - c : q->width;
    int64_t from = chunk * q->rows, to = from + q->rows < q->batch ? from + q->rows : q->batch;
    int64_t at = (from * q->channels + c) * q->inner, step = q->channels * q->inner;
    const T *dy = d->y ? d->masked : d->dy, *x = d->x, *weight = d->weight, *mean = d->mean, *invstd = d->invstd;
    T *dx = d->dx, scale[WIDTH], offset[WIDTH], slope[WIDTH];
    double n = (double)(q->batch * q->inner);
    for (int64_t j = 0; j < w; j++) {
        double s = (double)invstd[c + j];
        scale[j] = (T)(s * (weight ? (double)weight[c + j] : 1.0));
        offset[j] = a ? (T)(a[c + j] / n) : (T)0;
        slope[j] = b ? (T)(b[c + j] / n * s * s) : (T)0;
    }
    if (q->inner > 1)
        for (int64_t r = from; r < to; r++, at += step) {
            if (a)
                NAME(run_back)(dx + at, dy + at, x + at, q->inner, mean[c], *scale, *offset, *slope);
            else
                NAME(column_scale)(dx + at, dy + at, q->inner, 1, 1, scale);
        }
    else if (a)
        NAME(column_back)(dx + at, dy + at, x + at, to - from, step, w, mean + c, scale, offset, slope);
    else
        NAME(column_scale)(dx + at, dy + at, to - from, step, w, scale);
}

/* Whole sums from the partial ones (into the first chunk's place), and what they give the parameters. */
static void NAME(back_finish)(const layout *q, const back_data *d, int64_t block, double *a, double *b)
{
    int64_t c = block * q->width, end = c + q->width < q->channels ? c + q->width : q->channels;
    for (; c < end; c++) {
        for (int64_t k = 1; k < q->chunks; k++) {
            a[c] += a[k * q->channels + c];
            b[c] += b[k * q->channels + c];
        }
        if (d->dweight)
            ((T *)d->dweight)[c] = (T)(b[c] * (double)((const T *)d->invstd)[c]);
        if (d->dbias)
            ((T *)d->dbias)[c] = (T)a[c];
    }
}

static void NAME(back_sum_item)(const void *arg, int64_t i)
{
    const batch_back_task *t = arg;
    const back_data *d = t->d;
    if (d->y)
        NAME(rectify)(t->q, d->masked, d->dy, d->y, i % t->q->blocks, i / t->q->blocks);
    NAME(back_moment)(t->q, d->y ? d->masked : d->dy, d->x, d->mean, i % t->q->blocks, i / t->q->blocks, t->a);
}

static void NAME(back_finish_item)(const void *arg, int64_t b)
{
    const batch_back_task *t = arg;
    NAME(back_finish)(t->q, t->d, b, t->a, t->b);
}

static void NAME(back_apply_item)(const void *arg, int64_t i)
{
    const batch_back_task *t = arg;
    const double *a = t->batch_stats ? t->a : NULL, *b = t->batch_stats ? t->b : NULL;
    NAME(back_apply)(t->q, t->d, a, b, i % t->q->blocks, i / t->q->blocks);
}

/* The whole of a block whose batch is one chunk. */
static void NAME(back_item)(const void *arg, int64_t b)
{
    const batch_back_task *t = arg;
    if (t->sums) {
        NAME(back_sum_item)(arg, b);
        NAME(back_finish_item)(arg, b);
    }
    if (t->d->dx)
        NAME(back_apply_item)(arg, b);
}

static void NAME(backward)(const batch_back_task *t, int threads)
{
    int64_t blocks = t->q->blocks, tasks = blocks * t->q->chunks;
    const tg_ref_phase phases[] = {{t->sums ? tasks : 0, NAME(back_sum_item)},
                                   {t->sums ? blocks : 0, NAME(back_finish_item)},
                                   {t->d->dx ? tasks : 0, NAME(back_apply_item)}};
    if (t->q->chunks == 1)
        tg_ref_each(threads, blocks, NAME(back_item), t);
    else
        tg_ref_phases(threads, 3, phases, t);
}
