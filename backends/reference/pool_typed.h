/* The loops of pooling for one type: T and NAME are defined by the includer. */

/* An element of each of windows from … to − 1, `step` apart: what is larger is taken, and every NaN. */
NAME(TG_REF_TWO_CLONES)
static void NAME(take)(int64_t from, int64_t to, const void *elements, int64_t place, int64_t step, void *restrict maxima,
                       int64_t *restrict at)
{
    const T *x = elements;
    T *restrict best = maxima, v[POOL_GROUP];
    for (int64_t w = from; w < to; w++)
        v[w] = x[place + w * step];
    for (int64_t w = from; w < to; w++) {
        const int more = (v[w] > best[w]) | (v[w] != v[w]);
        best[w] = more ? v[w] : best[w];
        at[w] = more ? place : at[w];
    }
}

static void NAME(give)(int64_t n, const T *gy, const int64_t *at, T *gx)
{
    for (int64_t w = 0; w < n; w++)
        if (at[w] >= 0)
            gx[at[w]] += gy[w];
}

/* One plane. */
static void NAME(scatter_plane)(const void *arg, int64_t plane)
{
    const places *t = arg;
    const T *gy = (const T *)t->x + plane * t->n;
    const int64_t *index = t->index + plane * t->n;
    T *gx = (T *)t->y + plane * t->plane;
    memset(gx, 0, (size_t)t->plane * sizeof *gx);
    for (int64_t i = 0; i < t->n; i++)
        if ((uint64_t)index[i] < (uint64_t)t->plane)
            gx[index[i]] += gy[i];
}

static void NAME(gather_plane)(const void *arg, int64_t plane)
{
    const places *t = arg;
    const T *x = (const T *)t->x + plane * t->plane;
    const int64_t *index = t->index + plane * t->n;
    T *y = (T *)t->y + plane * t->n;
    for (int64_t i = 0; i < t->n; i++)
        y[i] = (uint64_t)index[i] < (uint64_t)t->plane ? x[index[i]] : 0;
}

static void NAME(average_line)(const void *arg, int64_t line)
{
    const pooling *t = arg;
    span s[3];
    const T *x = (const T *)t->x + start_line(t, line, s) * t->plane;
    T *y = (T *)t->y + line * t->out[2];
    for (int64_t o = 0; o < t->out[2]; o++) {
        double sum = 0.0;
        s[2] = window(t, 2, o);
        for (int64_t i = s[0].from; i < s[0].to; i++)
            for (int64_t j = s[1].from; j < s[1].to; j++) {
                const T *row = x + (i * t->in[1] + j) * t->in[2];
                for (int64_t k = s[2].from; k < s[2].to; k++)
                    sum += (double)row[k];
            }
        y[o] = (T)(sum / divisor_of(t, s));
    }
}

/* One plane of gx: each window's part goes to the elements that it covers. */
static void NAME(average_back_plane)(const void *arg, int64_t plane)
{
    const pooling *t = arg;
    const int64_t lines = t->out[0] * t->out[1];
    const T *gy = (const T *)t->x + plane * lines * t->out[2];
    T *gx = (T *)t->y + plane * t->plane;
    span s[3];
    memset(gx, 0, (size_t)t->plane * sizeof *gx);
    for (int64_t line = 0; line < lines; line++) {
        start_line(t, line, s);
        for (int64_t o = 0; o < t->out[2]; o++, gy++) {
            s[2] = window(t, 2, o);
            const T part = (T)((double)*gy / divisor_of(t, s));
            for (int64_t i = s[0].from; i < s[0].to; i++)
                for (int64_t j = s[1].from; j < s[1].to; j++)
                    for (int64_t k = s[2].from; k < s[2].to; k++)
                        gx[(i * t->in[1] + j) * t->in[2] + k] += part;
        }
    }
}
