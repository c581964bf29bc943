/* The loops of group and RMS norm for one type: T and NAME are defined by the includer. */

static inline double NAME(about)(const T *x, double mean, int64_t n)
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

/* One group of one sample. */
static void NAME(group_item)(const void *arg, int64_t row)
{
    const group_task *t = arg;
    const int64_t n = t->channels * t->inner, first = row % t->groups * t->channels;
    const T *x = (const T *)t->x + row * n;
    const T *weight = t->weight ? (const T *)t->weight + first : NULL;
    const T *bias = t->bias ? (const T *)t->bias + first : NULL;
    T *restrict y = (T *)t->y + row * n;
    const double mean = t->mean ? NAME(sum)(x, n) / (double)n : 0.0;
    const double rstd = 1.0 / sqrt(NAME(about)(x, mean, n) / (double)n + t->eps);
    const T high = (T)mean, low = (T)(mean - (double)high), scale = (T)rstd;
    if (t->mean)
        ((T *)t->mean)[row] = high;
    ((T *)t->rstd)[row] = scale;
    TG_REF_SIMD_LOOP
    for (int64_t i = 0; i < n; i++)
        y[i] = ((x[i] - high) - low) * scale;
    if (t->inner == 1) {
        const int64_t weights = weight ? n : 0, biases = bias ? n : 0;
        TG_REF_SIMD_LOOP
        for (int64_t i = 0; i < weights; i++)
            y[i] *= weight[i];
        TG_REF_SIMD_LOOP
        for (int64_t i = 0; i < biases; i++)
            y[i] += bias[i];
        return;
    }
    for (int64_t c = 0; (weight || bias) && c < t->channels; c++, y += t->inner) {
        const T w = weight ? weight[c] : 1, b = bias ? bias[c] : 0;
        for (int64_t i = 0; i < t->inner; i++)
            y[i] = y[i] * w + b;
    }
}

/* Σgy·x̂ and Σgy of n elements. */
static inline void NAME(group_sums)(const T *gy, const T *x, T mean, T rstd, int64_t n, double sum[2])
{
    double lane[2][REF_LANES] = {{0}};
    int64_t i = 0;
    sum[0] = sum[1] = 0.0;
    for (; i + REF_LANES <= n; i += REF_LANES)
        for (int l = 0; l < REF_LANES; l++) {
            lane[0][l] += (double)gy[i + l] * (double)((x[i + l] - mean) * rstd);
            lane[1][l] += (double)gy[i + l];
        }
    for (; i < n; i++) {
        sum[0] += (double)gy[i] * (double)((x[i] - mean) * rstd);
        sum[1] += (double)gy[i];
    }
    sum[0] += ref_lanes_sum(lane[0]);
    sum[1] += ref_lanes_sum(lane[1]);
}

/* The same with each element a channel of its own: their shares go to a and b, their sum is weighted. */
static inline void NAME(line_sums)(const T *gy, const T *x, const T *weight, T mean, T rstd, int64_t n,
                                   double *restrict a, double *restrict b, double sum[2])
{
    double lane[2][REF_LANES] = {{0}};
    int64_t i = 0;
    for (; a && i < n; i++)
        a[i] += (double)gy[i] * (double)((x[i] - mean) * rstd);
    for (i = 0; b && i < n; i++)
        b[i] += (double)gy[i];
    sum[0] = sum[1] = 0.0;
    for (i = 0; i + REF_LANES <= n; i += REF_LANES)
        for (int l = 0; l < REF_LANES; l++) {
            const double g = (double)gy[i + l] * (weight ? (double)weight[i + l] : 1.0);
            lane[0][l] += g * (double)((x[i + l] - mean) * rstd);
            lane[1][l] += g;
        }
    for (; i < n; i++) {
        const double g = (double)gy[i] * (weight ? (double)weight[i] : 1.0);
        sum[0] += g * (double)((x[i] - mean) * rstd);
        sum[1] += g;
    }
    sum[0] += ref_lanes_sum(lane[0]);
    sum[1] += ref_lanes_sum(lane[1]);
}

/* One group of one sample: its gx, and its shares for the parameters, added to a and b where given. */
static void NAME(group_back_row)(const group_task *t, int64_t row, double *a, double *b)
{
    const int64_t inner = t->inner, n = t->channels * inner, first = row % t->groups * t->channels;
    const T *x = (const T *)t->x + row * n, *gy = (const T *)t->gy + row * n;
    const T *weight = t->weight ? (const T *)t->weight + first : NULL;
    const T mean = t->mean ? ((const T *)t->mean)[row] : 0, rstd = ((const T *)t->rstd)[row];
    T *restrict gx = t->gx ? (T *)t->gx + row * n : NULL;
    double sum[2] = {0};
    if (inner == 1)
        NAME(line_sums)(gy, x, weight, mean, rstd, n, a, b, sum);
    for (int64_t c = 0; inner != 1 && c < t->channels; c++) {
        const double w = weight ? (double)weight[c] : 1.0;
        double part[2];
        NAME(group_sums)(gy + c * inner, x + c * inner, mean, rstd, inner, part);
        sum[0] += w * part[0];
        sum[1] += w * part[1];
        if (a)
            a[c] += part[0];
        if (b)
            b[c] += part[1];
    }
    const T slope = (T)(sum[0] / (double)n), offset = t->mean ? (T)(sum[1] / (double)n) : 0;
    if (gx && inner == 1)
        for (int64_t i = 0; i < n; i++)
            gx[i] = rstd * ((weight ? gy[i] * weight[i] : gy[i]) - offset - (x[i] - mean) * rstd * slope);
    for (int64_t c = 0; gx && inner != 1 && c < t->channels; c++, gx += inner, gy += inner, x += inner) {
        const T w = weight ? weight[c] : 1;
        for (int64_t i = 0; i < inner; i++)
            gx[i] = rstd * (gy[i] * w - offset - (x[i] - mean) * rstd * slope);
    }
}

/* One group of the samples of one chunk. */
static void NAME(group_back_item)(const void *arg, int64_t k)
{
    const group_task *t = arg;
    const int64_t chunk = k / t->groups, group = k % t->groups, all = t->groups * t->channels;
    const int64_t end = (chunk + 1) * t->step < t->batch ? (chunk + 1) * t->step : t->batch;
    double *a = t->a ? t->a + chunk * all + group * t->channels : NULL;
    double *b = t->b ? t->b + chunk * all + group * t->channels : NULL;
    for (int64_t c = 0; c < t->channels; c++) {
        if (a)
            a[c] = 0.0;
        if (b)
            b[c] = 0.0;
    }
    for (int64_t s = chunk * t->step; s < end; s++)
        NAME(group_back_row)(t, s * t->groups + group, a, b);
}

/* The chunks' sums of one channel. */
static void NAME(group_total_item)(const void *arg, int64_t c)
{
    const group_task *t = arg;
    double a = 0.0, b = 0.0;
    for (int64_t k = 0; k < t->chunks; k++) {
        a += t->a ? t->a[k * t->groups * t->channels + c] : 0.0;
        b += t->b ? t->b[k * t->groups * t->channels + c] : 0.0;
    }
    if (t->a)
        ((T *)t->gweight)[c] = (T)a;
    if (t->b)
        ((T *)t->gbias)[c] = (T)b;
}
