/* Included once for each element type T and each type OUT that it is gathered into. No guard. */

/* dst[0, n) = what step `tap` of the depth reads at positions p …, one after the other. */
static void NAME(gather)(const tg_conv_view *v, const tg_conv_tap *tap, const T *src, int64_t p, int64_t n,
                         OUT *restrict dst)
{
    const int64_t step = v->step[2], start = tap->start[2], width = v->size[2];
    int64_t j2 = p % v->count[2], j1 = p / v->count[2] % v->count[1], j0 = p / v->count[2] / v->count[1];
    /* Positions [low, high) of a line are inside the source. */
    int64_t low = start < 0 ? (-start + step - 1) / step : 0;
    int64_t high = start < width ? (width - 1 - start) / step + 1 : 0;
    src += tap->plane;
    while (n > 0) {
        const int64_t now = v->count[2] - j2 < n ? v->count[2] - j2 : n;
        const int64_t s0 = j0 * v->step[0] + tap->start[0], s1 = j1 * v->step[1] + tap->start[1];
        int64_t from = low > j2 ? low - j2 : 0, to = high - j2 < now ? high - j2 : now;
        if (s0 < 0 || s0 >= v->size[0] || s1 < 0 || s1 >= v->size[1] || from >= to)
            from = to = now;
        for (int64_t i = 0; i < from; i++)
            dst[i] = 0;
        if (from < to) {
            const T *line = src + (s0 * v->size[1] + s1) * width + start + j2 * step;
            if (step == 1)
                for (int64_t i = from; i < to; i++)
                    dst[i] = (OUT)line[i];
            else
                for (int64_t i = from; i < to; i++)
                    dst[i] = (OUT)line[i * step];
        }
        for (int64_t i = to; i < now; i++)
            dst[i] = 0;
        dst += now;
        n -= now;
        j2 = 0;
        if (++j1 == v->count[1]) {
            j1 = 0;
            j0++;
        }
    }
}

/* One row of the product, positions p …, to its places. */
static void NAME(put)(const tg_conv_view *v, const OUT *src, int64_t p, int64_t n, OUT bias, T *dst)
{
    int64_t j2 = p % v->count[2], j1 = p / v->count[2] % v->count[1], j0 = p / v->count[2] / v->count[1];
    const int64_t stride = v->stride[2];
    while (n > 0) {
        const int64_t now = v->count[2] - j2 < n ? v->count[2] - j2 : n;
        T *to = dst + ((v->first[0] + j0 * v->stride[0]) * v->to[1] + v->first[1] + j1 * v->stride[1]) * v->to[2] +
                v->first[2] + j2 * stride;
        if (stride == 1)
            for (int64_t i = 0; i < now; i++)
                to[i] = (T)(src[i] + bias);
        else
            for (int64_t i = 0; i < now; i++)
                to[i * stride] = (T)(src[i] + bias);
        src += now;
        n -= now;
        j2 = 0;
        if (++j1 == v->count[1]) {
            j1 = 0;
            j0++;
        }
    }
}
