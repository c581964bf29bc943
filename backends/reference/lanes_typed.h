/* Sums (in f64) and the maximum of one type: T and NAME are defined by the includer. */

static inline double NAME(sum)(const T *x, int64_t n)
{
    double lane[REF_LANES] = {0}, s = 0.0;
    int64_t i = 0;
    for (; i + REF_LANES <= n; i += REF_LANES)
        for (int l = 0; l < REF_LANES; l++)
            lane[l] += (double)x[i + l];
    for (; i < n; i++)
        s += (double)x[i];
    return n < REF_LANES ? s : s + ref_lanes_sum(lane);
}

static inline double NAME(dot)(const T *x, const T *y, int64_t n)
{
    double lane[REF_LANES] = {0}, s = 0.0;
    int64_t i = 0;
    for (; i + REF_LANES <= n; i += REF_LANES)
        for (int l = 0; l < REF_LANES; l++)
            lane[l] += (double)x[i + l] * (double)y[i + l];
    for (; i < n; i++)
        s += (double)x[i] * (double)y[i];
    return n < REF_LANES ? s : s + ref_lanes_sum(lane);
}

/* n ≥ 1. A NaN may or may not be the result. */
static inline T NAME(max)(const T *x, int64_t n)
{
    T lane[REF_LANES], m = x[0];
    int64_t i = 0;
    if (n >= REF_LANES) {
        for (int l = 0; l < REF_LANES; l++)
            lane[l] = x[l];
        for (i = REF_LANES; i + REF_LANES <= n; i += REF_LANES)
            for (int l = 0; l < REF_LANES; l++)
                lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
        for (int l = 0; l < REF_LANES; l++)
            m = lane[l] > m ? lane[l] : m;
    }
    for (; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}
