/* The loops of reduce.c for one type: included once with T, TYPED(name) for f32 and once for f64. */

/* Σ x, or Σ (x − centre)², in LANES running sums of f64 that are added in pairs. */
TYPED(TG_REF_CLONES)
static double TYPED(sum_run)(const T *x, int64_t n, bool squared, double centre)
{
    if (n < LANES) { /* short rows would spend more on the lanes than on the sum */
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += squared ? ((double)x[i] - centre) * ((double)x[i] - centre) : (double)x[i];
        return sum;
    }
    double lane[LANES] = {0};
    int64_t i = 0;
    if (squared) {
        for (; i + LANES <= n; i += LANES)
            for (int l = 0; l < LANES; l++) {
                const double d = (double)x[i + l] - centre;
                lane[l] += d * d;
            }
        TG_REF_SIMD_LOOP
        for (int l = 0; l < (int)(n - i); l++) {
            const double d = (double)x[i + l] - centre;
            lane[l] += d * d;
        }
    } else {
        for (; i + LANES <= n; i += LANES)
            for (int l = 0; l < LANES; l++)
                lane[l] += (double)x[i + l];
        TG_REF_SIMD_LOOP
        for (int l = 0; l < (int)(n - i); l++)
            lane[l] += (double)x[i + l];
    }
    for (int width = LANES / 2; width; width /= 2)
        for (int l = 0; l < width; l++)
            lane[l] += lane[l + width];
    return lane[0];
}

/* acc[c] += the column's values over `rows` rows that are `step` apart; four rows at a time. */
TYPED(TG_REF_CLONES)
static void TYPED(sum_rows)(double *restrict acc, const T *restrict x, int64_t rows, int64_t step,
                            int64_t columns, const double *restrict centre)
{
    int64_t r = 0;
    if (centre) {
        for (; r < rows; r++)
            for (int64_t c = 0; c < columns; c++) {
                const double d = (double)x[r * step + c] - centre[c];
                acc[c] += d * d;
            }
        return;
    }
    for (; r + 4 <= rows; r += 4) {
        const T *restrict x0 = x + r * step, *restrict x1 = x0 + step, *restrict x2 = x1 + step,
                          *restrict x3 = x2 + step;
        for (int64_t c = 0; c < columns; c++)
            acc[c] += ((double)x0[c] + (double)x1[c]) + ((double)x2[c] + (double)x3[c]);
    }
    for (; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            acc[c] += (double)x[r * step + c];
}

/* Values [begin, begin + n) of one output's, in order, into a row. */
static void TYPED(collect)(const plan *p, const T *x, int64_t begin, int64_t n, T *buffer)
{
    const int last = p->n_red - 1;
    const int64_t row = p->red[last], step = p->red_stride[last];
    while (n) {
        const int64_t at = begin % row, take = row - at < n ? row - at : n;
        const T *from = x + offset_of(p->n_red, p->red, p->red_stride, begin);
        for (int64_t i = 0; i < take; i++)
            buffer[i] = from[i * step];
        buffer += take;
        begin += take;
        n -= take;
    }
}

/* Block b of one output. */
static double TYPED(sum_block)(const plan *p, const T *x, int64_t b, bool squared, double centre)
{
    const int64_t begin = b * p->block, n = p->r - begin < p->block ? p->r - begin : p->block;
    if (!p->n_red || n <= 0)
        return TYPED(sum_run)(x, n, squared, centre);
    const int last = p->n_red - 1;
    if (p->red_stride[last] == 1 && (last == 0 || begin % p->red[last] + n <= p->red[last]))
        return TYPED(sum_run)(x + offset_of(p->n_red, p->red, p->red_stride, begin), n, squared, centre);
    T buffer[STAGE];
    double sum = 0;
    for (int64_t done = 0; done < n; done += STAGE) {
        const int64_t take = n - done < STAGE ? n - done : STAGE;
        TYPED(collect)(p, x, begin + done, take, buffer);
        sum += TYPED(sum_run)(buffer, take, squared, centre);
    }
    return sum;
}

/* Outputs [m, m + width) of neighbouring columns, block b of their values; width ≤ COLUMNS. */
static void TYPED(sum_columns)(const plan *p, const T *x, int64_t m, int64_t width, int64_t b,
                               const double *centre, double *acc)
{
    const int64_t begin = b * p->block, end = p->r - begin < p->block ? p->r : begin + p->block;
    const int last = p->n_red - 1;
    const int64_t row = p->n_red ? p->red[last] : 1, step = p->n_red ? p->red_stride[last] : 0;
    const T *from = x + offset_of(p->n_kept, p->kept, p->kept_stride, m);
    memset(acc, 0, (size_t)width * sizeof *acc);
    for (int64_t i = begin; i < end;) {
        const int64_t rows = row - i % row < end - i ? row - i % row : end - i;
        TYPED(sum_rows)(acc, from + offset_of(p->n_red, p->red, p->red_stride, i), rows, step, width, centre);
        i += rows;
    }
}

/* The largest (sign 1) or smallest (sign −1) of one output's values: sign·x is compared, NaN wins. */
TYPED(TG_REF_TWO_CLONES)
static T TYPED(extremum_run)(const T *x, int64_t n, T sign, T best)
{
    T lane[LANES];
    int64_t i = 0;
    for (int l = 0; l < LANES; l++)
        lane[l] = best;
    for (; i + LANES <= n; i += LANES) {
        TG_REF_SIMD_LOOP
        for (int l = 0; l < LANES; l++) {
            const T v = sign * x[i + l];
            lane[l] = ((v > lane[l]) | (v != v)) ? v : lane[l];
        }
    }
    TG_REF_SIMD_LOOP
    for (int l = 0; l < (int)(n - i); l++) {
        const T v = sign * x[i + l];
        lane[l] = ((v > lane[l]) | (v != v)) ? v : lane[l];
    }
    for (int width = LANES / 2; width; width /= 2)
        for (int l = 0; l < width; l++) {
            const T v = lane[l + width];
            lane[l] = ((v > lane[l]) | (v != v)) ? v : lane[l];
        }
    return lane[0];
}

static T TYPED(extremum_of)(const plan *p, const T *x, T sign)
{
    const int last = p->n_red - 1;
    T buffer[STAGE], best = (T)-INFINITY;
    if (!p->n_red)
        return x[0];
    if (last == 0 && p->red_stride[0] == 1)
        return sign * TYPED(extremum_run)(x, p->r, sign, best);
    for (int64_t begin = 0; begin < p->r; begin += STAGE) {
        const int64_t take = p->r - begin < STAGE ? p->r - begin : STAGE;
        TYPED(collect)(p, x, begin, take, buffer);
        best = TYPED(extremum_run)(buffer, take, sign, best);
    }
    return sign * best;
}

/* best[c] over `rows` rows that are `step` apart. */
TYPED(TG_REF_CLONES)
static void TYPED(extremum_rows)(T *restrict best, const T *restrict x, int64_t rows, int64_t step,
                                 int64_t columns, T sign)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) {
            const T v = sign * x[r * step + c];
            best[c] = ((v > best[c]) | (v != v)) ? v : best[c];
        }
}

/* Neighbouring outputs together: `width` from output m on. */
static void TYPED(extremum_columns)(const plan *p, const T *x, int64_t m, int64_t width, T sign, T *dst)
{
    const int last = p->n_red - 1;
    const int64_t row = p->red[last];
    T best[COLUMNS];
    for (int64_t c = 0; c < width; c++)
        best[c] = (T)-INFINITY;
    x += offset_of(p->n_kept, p->kept, p->kept_stride, m);
    for (int64_t i = 0; i < p->r; i += row)
        TYPED(extremum_rows)
    (best, x + offset_of(p->n_red, p->red, p->red_stride, i), row, p->red_stride[last], width, sign);
    for (int64_t c = 0; c < width; c++)
        dst[c] = sign * best[c];
}

static void TYPED(extremum_item)(const void *arg, int64_t i)
{
    const task *t = arg;
    const plan *p = t->p;
    T *dst = t->dst;
    if (p->by_columns) {
        const int64_t row = p->kept[p->n_kept - 1], pieces = (row + COLUMNS - 1) / COLUMNS;
        const int64_t c = i % pieces * COLUMNS, m = i / pieces * row + c,
                      width = row - c < COLUMNS ? row - c : COLUMNS;
        TYPED(extremum_columns)(p, t->x, m, width, (T)t->sign, dst + m);
    } else {
        const int64_t at = offset_of(p->n_kept, p->kept, p->kept_stride, i);
        dst[i] = TYPED(extremum_of)(p, (const T *)t->x + at, (T)t->sign);
    }
}

/* Item i is output i / blocks, block i % blocks. */
static void TYPED(sum_item)(const void *arg, int64_t i)
{
    const task *t = arg;
    const plan *p = t->p;
    const int64_t m = p->blocks == 1 ? i : i / p->blocks, b = p->blocks == 1 ? 0 : i % p->blocks;
    const T *x = (const T *)t->x + offset_of(p->n_kept, p->kept, p->kept_stride, m);
    t->partial[b * p->m + m] = TYPED(sum_block)(p, x, b, t->centre, t->centre ? t->centre[m] : 0);
}

/* Item i is a piece of neighbouring outputs, and one block of their values. */
static void TYPED(sum_columns_item)(const void *arg, int64_t i)
{
    const task *t = arg;
    const plan *p = t->p;
    const int64_t row = p->kept[p->n_kept - 1], pieces = (row + COLUMNS - 1) / COLUMNS,
                  all = p->m / row * pieces;
    const int64_t b = i / all, c = i % pieces * COLUMNS, m = i / pieces % (p->m / row) * row + c;
    TYPED(sum_columns)
    (p, t->x, m, row - c < COLUMNS ? row - c : COLUMNS, b, t->centre ? t->centre + m : NULL,
     t->partial + b * p->m + m);
}
