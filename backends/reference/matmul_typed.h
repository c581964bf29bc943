/* Included by matmul.c once for each element type T: what reads and writes elements. No guard. */

/* NR lines of `depth` elements; inlined, so that where k_step is 1 the compiler sees it and uses vectors. */
static inline void NAME(pack_panel)(const T *l0, int64_t line_step, int64_t k_step, int64_t depth,
                                    double *restrict to)
{
    const T *l1 = l0 + line_step, *l2 = l1 + line_step, *l3 = l2 + line_step, *l4 = l3 + line_step,
            *l5 = l4 + line_step, *l6 = l5 + line_step, *l7 = l6 + line_step;
    for (int64_t p = 0; p < depth; p++, to += NR) {
        int64_t at = p * k_step;
        to[0] = (double)l0[at];
        to[1] = (double)l1[at];
        to[2] = (double)l2[at];
        to[3] = (double)l3[at];
        to[4] = (double)l4[at];
        to[5] = (double)l5[at];
        to[6] = (double)l6[at];
        to[7] = (double)l7[at];
    }
}

/* Packs `count` lines of `depth` elements into panels of `width` lines, line by line within each k; the lines
 * that are missing in the last panel are zero. */
TG_REF_CLONES static void NAME(pack)(const T *src, int64_t line_step, int64_t k_step, int64_t count,
                                     int64_t depth, double *restrict dst)
{
    for (int64_t i = 0; i < count; i += NR, dst += NR * depth) {
        const T *panel = src + i * line_step;
        int64_t lines = count - i < NR ? count - i : NR;
        if (lines < NR) {
            memset(dst, 0, (size_t)(depth * NR) * sizeof *dst);
            for (int64_t l = 0; l < lines; l++)
                for (int64_t p = 0; p < depth; p++)
                    dst[p * NR + l] = (double)panel[l * line_step + p * k_step];
        } else if (line_step == 1) {
            for (int64_t p = 0; p < depth; p++) {
#pragma GCC unroll 8
                for (int64_t l = 0; l < NR; l++)
                    dst[p * NR + l] = (double)panel[l + p * k_step];
            }
        } else if (k_step == 1) {
            NAME(pack_panel)(panel, line_step, 1, depth, dst);
        } else {
            NAME(pack_panel)(panel, line_step, k_step, depth, dst);
        }
    }
}

/* The tile as C has it, or zeros; whole panels. */
static void NAME(load)(double *tile, int64_t step, int64_t rows, int64_t cols, const T *src, int64_t row, int64_t col)
{
    memset(tile, 0, (size_t)(round_up(rows, MR) * step) * sizeof *tile);
    for (int64_t i = 0; src && i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            tile[i * step + j] = (double)src[i * row + j * col];
}

/* Rounds the finished tile into C. */
TG_REF_CLONES static void NAME(store)(const double *restrict tile, int64_t step, int64_t rows, int64_t cols,
                                      const T *restrict bias, int64_t bias_step, T *restrict dst, int64_t row,
                                      int64_t col)
{
    for (int64_t i = 0; i < rows; i++, tile += step, dst += row) {
        if (bias && col == 1 && bias_step == 1)
            for (int64_t j = 0; j < cols; j++)
                dst[j] = (T)(tile[j] + (double)bias[j]);
        else if (bias)
            for (int64_t j = 0; j < cols; j++)
                dst[j * col] = (T)(tile[j] + (double)bias[j * bias_step]);
        else if (col == 1)
            for (int64_t j = 0; j < cols; j++)
                dst[j] = (T)tile[j];
        else
            for (int64_t j = 0; j < cols; j++)
                dst[j * col] = (T)tile[j];
    }
}

/* One tile of one product of the batch. */
static void NAME(tile)(const gemm *g, int64_t job, const void *src_a, const void *src_b, const void *bias,
                       void *dst, double *scratch)
{
    int64_t across = (g->n + g->nt - 1) / g->nt, down = (g->m + g->mt - 1) / g->mt;
    int64_t j0 = job % across * g->nt, i0 = job / across % down * g->mt, which = job / (across * down);
    int64_t rows = min64(g->m - i0, g->mt), cols = min64(g->n - j0, g->nt);
    const T *a = (const T *)src_a + i0 * g->a_row, *b = (const T *)src_b + j0 * g->b_col;
    T *c = (T *)dst + i0 * g->c_row + j0 * g->c_col;
    if (which) {
        a += batch_offset(g->a, g->c, which);
        b += batch_offset(g->b, g->c, which);
        c += batch_offset(g->c, g->c, which);
    }
    int64_t depth = min64(g->k, KC), step = round_up(cols, NR);
    multiply_fn multiply = NAME(multiply_best)();
    double *pa = scratch, *pb = pa + g->mt * depth, *tile = pb + depth * g->nt;
    if (g->k == 0 || g->add)
        NAME(load)(tile, step, rows, cols, g->add ? c : NULL, g->c_row, g->c_col);
    for (int64_t p = 0; p < g->k; p += KC) {
        int64_t now = min64(g->k - p, KC);
        NAME(pack)(a + p * g->a_col, g->a_row, g->a_col, rows, now, pa);
        NAME(pack)(b + p * g->b_row, g->b_col, g->b_row, cols, now, pb);
        multiply(rows, cols, now, pa, pb, tile, step, p == 0 && !g->add);
    }
    NAME(store)
    (tile, step, rows, cols, bias ? (const T *)bias + j0 * g->bias_step : NULL, g->bias_step, c, g->c_row,
     g->c_col);
}
