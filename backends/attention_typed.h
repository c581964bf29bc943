/* Included once for each element type T, with NAME, CLONES and lanes_typed.h, behind two functions of the includer's:
 *     void NAME(product)(void *scratch, m, n, k, a, a_row, a_col, b, b_row, b_col, bool add, c, c_row)
 * which makes C, or adds to it, A·B; and NAME(exps)(T *y, const T *x, n), y = e^x, in place. No guard. */

/* The score s of each of n keys to scale·s + mask. */
CLONES static void NAME(scores)(T *restrict s, int64_t n, T scale, const T *restrict mask, int64_t step)
{
    if (!mask)
        for (int64_t j = 0; j < n; j++)
            s[j] *= scale;
    else if (step == 1)
        for (int64_t j = 0; j < n; j++)
            s[j] = s[j] * scale + mask[j];
    else
        for (int64_t j = 0; j < n; j++)
            s[j] = s[j] * scale + mask[j * step];
}

/* e^(s − shift), and the sum. */
CLONES static double NAME(powers)(T *s, int64_t n, T shift)
{
    for (int64_t j = 0; j < n; j++)
        s[j] -= shift;
    NAME(exps)(s, s, n);
    return NAME(sum)(s, n);
}

/* The weights of n keys, and log Σe^s. Where no key is left they are 0, and it is ∞, so that e^(s − ∞) is 0 again. */
CLONES static T NAME(weigh)(T *s, int64_t n)
{
    const T max = NAME(max)(s, n);
    if (max == -(T)INFINITY && NAME(sum)(s, n) == -(double)INFINITY) {
        memset(s, 0, (size_t)n * sizeof *s);
        return (T)INFINITY;
    }
    const double sum = NAME(powers)(s, n, max);
    const T share = (T)(1 / sum);
    for (int64_t j = 0; j < n; j++)
        s[j] *= share;
    return (T)((double)max + log(sum));
}

/* ds = p·(dp − Σp·dp)·scale */
CLONES static void NAME(descend)(T *restrict dp, const T *restrict p, int64_t n, T scale)
{
    const T mean = (T)NAME(dot)(p, dp, n);
    for (int64_t j = 0; j < n; j++)
        dp[j] = p[j] * (dp[j] - mean) * scale;
}

/* The scores of query i of a member of the batch, of which the first n count, as weights, or as those that lse says. */
static void NAME(weights_of)(const tg_attention_view *w, T *s, int64_t n, int64_t keys, const T *mask, T *lse, int64_t i)
{
    NAME(scores)(s, n, (T)w->scale, mask ? mask + i * w->mask.row : NULL, w->mask.col);
    if (w->backward)
        NAME(powers)(s, n, lse[i * w->lse.col]);
    else
        lse[i * w->lse.col] = NAME(weigh)(s, n);
    memset(s + n, 0, (size_t)(keys - n) * sizeof *s);
}

static inline const T *NAME(input)(const tg_run *r, const tg_attention_matrix *m, int64_t b)
{
    return m->d ? (const T *)r->in[m->at] + tg_attention_place(m, 2, b) : NULL;
}

static inline T *NAME(output)(const tg_run *r, const tg_attention_matrix *m, int64_t b)
{
    return (T *)r->out[m->at] + tg_attention_place(m, 2, b);
}

/* How many keys query i sees. */
static inline int64_t NAME(seen)(const tg_attention_view *w, int64_t i)
{
    return w->causal && i < w->k.rows ? i + 1 : w->k.rows;
}

/* One block of queries. */
static void NAME(attend)(const tg_attention_view *w, const tg_run *r, int64_t b, int64_t i0, T *s, void *scratch)
{
    const int64_t rows = w->q.rows - i0 < w->block ? w->q.rows - i0 : w->block, step = w->step,
                  keys = NAME(seen)(w, i0 + rows - 1);
    const T *q = NAME(input)(r, &w->q, b), *k = NAME(input)(r, &w->k, b), *v = NAME(input)(r, &w->v, b),
            *mask = NAME(input)(r, &w->mask, b);
    T *lse = (T *)r->out[1] + tg_attention_place(&w->lse, 1, b);
    NAME(product)
    (scratch, rows, keys, w->q.cols, q + i0 * w->q.row, w->q.row, w->q.col, k, w->k.col, w->k.row, false, s, step);
    for (int64_t i = 0; i < rows; i++)
        NAME(weights_of)(w, s + i * step, NAME(seen)(w, i0 + i), keys, mask, lse, i0 + i);
    NAME(product)
    (scratch, rows, w->v.cols, keys, s, step, 1, v, w->v.row, w->v.col, false,
     NAME(output)(r, &w->y, b) + i0 * w->y.row, w->y.row);
}

static void NAME(clear)(T *x, const tg_attention_matrix *m)
{
    for (int64_t i = 0; i < m->rows; i++)
        memset(x + i * m->row, 0, (size_t)m->cols * sizeof *x);
}

/* The gradients of one member of the batch. */
static void NAME(attend_back)(const tg_attention_view *w, const tg_run *r, int64_t b, T *s, void *scratch)
{
    const int64_t step = w->step, e = w->q.cols, ev = w->v.cols;
    const T *gy = NAME(input)(r, &w->y, b), *q = NAME(input)(r, &w->q, b), *k = NAME(input)(r, &w->k, b),
            *v = NAME(input)(r, &w->v, b), *mask = NAME(input)(r, &w->mask, b);
    T *gq = NAME(output)(r, &w->gq, b), *gk = NAME(output)(r, &w->gk, b), *gv = NAME(output)(r, &w->gv, b);
    T *lse = (T *)(uintptr_t)r->in[5] + tg_attention_place(&w->lse, 1, b), *ds = s + w->block * step;
    NAME(clear)(gk, &w->gk);
    NAME(clear)(gv, &w->gv);
    for (int64_t i0 = 0; i0 < w->q.rows; i0 += w->block) {
        const int64_t rows = w->q.rows - i0 < w->block ? w->q.rows - i0 : w->block,
                      keys = NAME(seen)(w, i0 + rows - 1);
        const T *gy0 = gy + i0 * w->y.row, *q0 = q + i0 * w->q.row;
        NAME(product)(scratch, rows, keys, e, q0, w->q.row, w->q.col, k, w->k.col, w->k.row, false, s, step);
        NAME(product)(scratch, rows, keys, ev, gy0, w->y.row, w->y.col, v, w->v.col, w->v.row, false, ds, step);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t n = NAME(seen)(w, i0 + i);
            NAME(weights_of)(w, s + i * step, n, keys, mask, lse, i0 + i);
            NAME(descend)(ds + i * step, s + i * step, n, (T)w->scale);
            memset(ds + i * step + n, 0, (size_t)(keys - n) * sizeof *ds);
        }
        NAME(product)(scratch, keys, ev, rows, s, 1, step, gy0, w->y.row, w->y.col, true, gv, w->gv.row);
        NAME(product)(scratch, rows, e, keys, ds, step, 1, k, w->k.row, w->k.col, false, gq + i0 * w->gq.row, w->gq.row);
        NAME(product)(scratch, keys, e, rows, ds, 1, step, q0, w->q.row, w->q.col, true, gk, w->gk.row);
    }
}

static void NAME(attention)(const tg_attention_view *w, const tg_run *r, int64_t job, char *scratch)
{
    T *s = (T *)(void *)scratch;
    void *rest = s + tg_attention_scratch(w);
    if (w->backward)
        NAME(attend_back)(w, r, job, s, rest);
    else
        NAME(attend)(w, r, job / w->blocks, job % w->blocks * w->block, s, rest);
}
