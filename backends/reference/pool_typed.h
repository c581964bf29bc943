/* The loops of pooling for one type: T and NAME are defined by the includer. */

/* One line of the result: the windows along the last dim. */
static void NAME(max_line)(const void *arg, int64_t line)
{
    const pooling *t = arg;
    span s[3];
    const T *x = (const T *)t->x + start_line(t, line, s) * t->plane;
    T *y = (T *)t->y + line * t->out[2];
    int64_t *index = t->index ? t->index + line * t->out[2] : NULL;
    for (int64_t o = 0; o < t->out[2]; o++) {
        T best = -(T)INFINITY;
        int64_t at = -1;
        s[2] = window(t, 2, o);
        for (int64_t i = s[0].from; i < s[0].to; i += t->dilation[0])
            for (int64_t j = s[1].from; j < s[1].to; j += t->dilation[1]) {
                const int64_t row = (i * t->in[1] + j) * t->in[2];
                for (int64_t k = s[2].from; k < s[2].to; k += t->dilation[2]) {
                    const T v = x[row + k];
                    if (v > best || v != v || at < 0) {
                        best = v;
                        at = row + k;
                    }
                }
            }
        y[o] = best;
        if (index)
            index[o] = at;
    }
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
        y[o] = (T)(sum / (t->divisor ? t->divisor : s[0].count * s[1].count * s[2].count));
    }
}

/* One line of gx: each element takes its part of the windows that cover it. */
static void NAME(average_back_line)(const void *arg, int64_t line)
{
    const pooling *t = arg;
    span s[3];
    const T *gy = (const T *)t->x + line / (t->in[0] * t->in[1]) * t->out[0] * t->out[1] * t->out[2];
    T *gx = (T *)t->y + line * t->in[2];
    s[0] = covering(t, 0, line / t->in[1] % t->in[0]);
    s[1] = covering(t, 1, line % t->in[1]);
    for (int64_t w = 0; w < t->in[2]; w++) {
        double sum = 0.0;
        s[2] = covering(t, 2, w);
        for (int64_t i = s[0].from; i < s[0].to; i++)
            for (int64_t j = s[1].from; j < s[1].to; j++) {
                const T *row = gy + (i * t->out[1] + j) * t->out[2];
                const double outer = t->divisor ? t->divisor : window(t, 0, i).count * window(t, 1, j).count;
                for (int64_t k = s[2].from; k < s[2].to; k++)
                    sum += (double)row[k] / (t->divisor ? outer : outer * window(t, 2, k).count);
            }
        gx[w] = (T)sum;
    }
}
