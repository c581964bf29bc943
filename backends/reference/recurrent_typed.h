/* Included by recurrent.c once for each element type T, with EACH before a loop over elements. No guard. */

/* Panel `panel` of the matrix whose element (k, column) is src[k·k_step + column·column_step]. */
static void NAME(pack)(const void *matrix, int64_t k_step, int64_t column_step, int64_t depth, int64_t columns,
                       int64_t panel, void *to)
{
    const int64_t first = panel * PANEL, n = columns - first < PANEL ? columns - first : PANEL;
    const T *src = (const T *)matrix + first * column_step;
    T *dst = (T *)to + panel * depth * PANEL;
    for (int64_t k = 0; k < depth; k++, src += k_step, dst += PANEL)
        for (int64_t c = 0; c < PANEL; c++)
            dst[c] = c < n ? src[c * column_step] : 0;
}

ROOMY static void NAME(add)(void *to, const void *from, int64_t n)
{
    T *restrict y = to;
    const T *restrict x = from;
    EACH for (int64_t j = 0; j < n; j++) y[j] += x[j];
}

static inline void NAME(apply)(const tg_ref_map_fn *fn, int64_t n, T *y, const T *x)
{
    fn[sizeof(T) == sizeof(double)]((n + TG_REF_BLOCK - 1) / TG_REF_BLOCK, y, (const void *const[]){x}, NULL);
}

/* One step of one sequence: x its gates' part of the input, p (spoilt) that of the last state; `state` is c of an LSTM, h of
 * a GRU. What the backward reads goes to `kept`, unless NULL. p, state and the two spaces have room for whole blocks. */
FLAT static void NAME(cell)(int64_t kind, int64_t n, const void *x_, void *p_, void *state_, void *kept_, void *h_, void *gates,
                       void *more)
{
    const T *restrict x = x_;
    T *restrict p = p_, *restrict state = state_, *restrict kept = kept_, *restrict h = h_, *restrict a = gates,
      *restrict b = more;
    if (kind == TG_RECURRENCE_LSTM) {
        NAME(add)(p, x, 4 * n);
        NAME(apply)(tg_ref_tanh, n, b, p + 2 * n);
        NAME(apply)(tg_ref_sigmoid, 4 * n, a, p);
        memcpy(a + 2 * n, b, (size_t)n * sizeof *a);
        if (kept) {
            memcpy(kept, a, (size_t)(4 * n) * sizeof *a);
            memcpy(kept + 4 * n, state, (size_t)n * sizeof *a);
        }
        EACH for (int64_t j = 0; j < n; j++)
            state[j] = a[n + j] * state[j] + a[j] * b[j];
        NAME(apply)(tg_ref_tanh, n, b, state);
        if (kept)
            memcpy(kept + 5 * n, b, (size_t)n * sizeof *a);
        EACH for (int64_t j = 0; j < n; j++)
            h[j] = a[3 * n + j] * b[j];
    } else if (kind == TG_RECURRENCE_GRU) {
        NAME(add)(p, x, 2 * n);
        NAME(apply)(tg_ref_sigmoid, 2 * n, a, p);
        EACH for (int64_t j = 0; j < n; j++)
            b[j] = x[2 * n + j] + a[j] * p[2 * n + j];
        NAME(apply)(tg_ref_tanh, n, a + 2 * n, b);
        if (kept) {
            memcpy(kept, a, (size_t)(3 * n) * sizeof *a);
            memcpy(kept + 3 * n, p + 2 * n, (size_t)n * sizeof *a);
            memcpy(kept + 4 * n, state, (size_t)n * sizeof *a);
        }
        EACH for (int64_t j = 0; j < n; j++)
            h[j] = state[j] = a[2 * n + j] + a[n + j] * (state[j] - a[2 * n + j]);
    } else {
        NAME(add)(p, x, n);
        NAME(apply)(kind == TG_RECURRENCE_TANH ? tg_ref_tanh : tg_ref_relu, n, a, p);
        memcpy(h, a, (size_t)n * sizeof *a);
    }
}

/* From dh: dx, the gradient by the gates' part of the input, and dp, by that of the last state, where it is another; `state`
 * is dc of an LSTM, coming and going, and what a GRU hands to the last h past the gates. */
ROOMY static void NAME(cell_back)(int64_t kind, int64_t n, const void *dh_, const void *kept_, void *state_, void *dx_,
                                  void *dp_)
{
    const T *restrict dh = dh_, *restrict kept = kept_;
    T *restrict state = state_, *restrict dx = dx_, *restrict dp = dp_;
    if (kind == TG_RECURRENCE_LSTM) {
        EACH for (int64_t j = 0; j < n; j++)
        {
            const T in = kept[j], forget = kept[n + j], cell = kept[2 * n + j], out = kept[3 * n + j], t = kept[5 * n + j];
            const T dc = state[j] + dh[j] * out * (1 - t * t);
            dx[j] = dc * cell * in * (1 - in);
            dx[n + j] = dc * kept[4 * n + j] * forget * (1 - forget);
            dx[2 * n + j] = dc * in * (1 - cell * cell);
            dx[3 * n + j] = dh[j] * t * out * (1 - out);
            state[j] = dc * forget;
        }
    } else if (kind == TG_RECURRENCE_GRU) {
        EACH for (int64_t j = 0; j < n; j++)
        {
            const T reset = kept[j], update = kept[n + j], fresh = kept[2 * n + j];
            const T dn = dh[j] * (1 - update) * (1 - fresh * fresh);
            dp[j] = dx[j] = dn * kept[3 * n + j] * reset * (1 - reset);
            dp[n + j] = dx[n + j] = dh[j] * (kept[4 * n + j] - fresh) * update * (1 - update);
            dx[2 * n + j] = dn;
            dp[2 * n + j] = dn * reset;
            state[j] = dh[j] * update;
        }
    } else {
        const bool is_tanh = kind == TG_RECURRENCE_TANH;
        EACH for (int64_t j = 0; j < n; j++)
        {
            const T slope = is_tanh ? 1 - kept[j] * kept[j] : !(kept[j] <= 0);
            dx[j] = dh[j] * slope;
        }
    }
}
