/* Included by matmul.c once for each element type T: what reads and writes elements. No guard. */

/* Packs `count` lines of `depth` elements into panels of `width` lines, line by line within each k; the lines
 * that are missing in the last panel are zero. */
CLONES static void NAME(pack)(const T *src, int64_t line_step, int64_t k_step, int64_t count, int64_t depth,
                              double *restrict dst)
{
    for (int64_t i = 0; i < count; i += NR, dst += NR * depth) {
        const T *panel = src + i * line_step;
        int64_t lines = count - i < NR ? count - i : NR;
        if (lines < NR) {
            for (int64_t p = 0; p < depth; p++)
                for (int64_t l = 0; l < NR; l++)
                    dst[p * NR + l] = l < lines ? (double)panel[l * line_step + p * k_step] : 0;
        } else if (line_step == 1) {
            for (int64_t p = 0; p < depth; p++)
                for (int64_t l = 0; l < NR; l++)
                    dst[p * NR + l] = (double)panel[l + p * k_step];
        } else {
            const T *l0 = panel, *l1 = l0 + line_step, *l2 = l1 + line_step, *l3 = l2 + line_step,
                    *l4 = l3 + line_step, *l5 = l4 + line_step, *l6 = l5 + line_step, *l7 = l6 + line_step;
            for (int64_t p = 0; p < depth; p++) {
                int64_t at = p * k_step;
                double *to = dst + p * NR;
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
    }
}

/* The tile = packed A · packed B over `depth`, added to what it holds unless it is the first block. */
FUSED CLONES static void NAME(multiply)(int64_t rows, int64_t cols, int64_t depth, const double *a,
                                        const double *b, double *tile, int64_t step, bool first)
{
    typedef double vec __attribute__((vector_size(NR * sizeof(double)), aligned(sizeof(double)), may_alias));
    const vec zero = {0};
    for (int64_t j = 0; j < cols; j += NR)
        for (int64_t i = 0; i < rows; i += MR) {
            const double *pa = a + i * depth, *pb = b + j * depth;
            vec *t0 = (vec *)(tile + i * step + j), *t1 = (vec *)(tile + (i + 1) * step + j),
                *t2 = (vec *)(tile + (i + 2) * step + j), *t3 = (vec *)(tile + (i + 3) * step + j),
                *t4 = (vec *)(tile + (i + 4) * step + j), *t5 = (vec *)(tile + (i + 5) * step + j),
                *t6 = (vec *)(tile + (i + 6) * step + j), *t7 = (vec *)(tile + (i + 7) * step + j);
            vec c0 = zero, c1 = zero, c2 = zero, c3 = zero, c4 = zero, c5 = zero, c6 = zero, c7 = zero;
            if (!first)
                c0 = *t0, c1 = *t1, c2 = *t2, c3 = *t3, c4 = *t4, c5 = *t5, c6 = *t6, c7 = *t7;
            for (int64_t p = 0; p < depth; p++, pa += MR, pb += NR) {
                vec row = *(const vec *)pb;
                c0 += pa[0] * row;
                c1 += pa[1] * row;
                c2 += pa[2] * row;
                c3 += pa[3] * row;
                c4 += pa[4] * row;
                c5 += pa[5] * row;
                c6 += pa[6] * row;
                c7 += pa[7] * row;
            }
            *t0 = c0, *t1 = c1, *t2 = c2, *t3 = c3, *t4 = c4, *t5 = c5, *t6 = c6, *t7 = c7;
        }
}

/* Rounds the finished tile into C. */
CLONES static void NAME(store)(const double *restrict tile, int64_t step, int64_t rows, int64_t cols,
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
    double *pa = scratch, *pb = pa + g->mt * depth, *tile = pb + depth * g->nt;
    if (g->k == 0)
        memset(tile, 0, (size_t)(round_up(rows, MR) * step) * sizeof *tile);
    for (int64_t p = 0; p < g->k; p += KC) {
        int64_t now = min64(g->k - p, KC);
        NAME(pack)(a + p * g->a_col, g->a_row, g->a_col, rows, now, pa);
        NAME(pack)(b + p * g->b_row, g->b_col, g->b_row, cols, now, pb);
        NAME(multiply)(rows, cols, now, pa, pb, tile, step, p == 0);
    }
    NAME(store)
    (tile, step, rows, cols, bias ? (const T *)bias + j0 * g->bias_step : NULL, g->bias_step, c, g->c_row,
     g->c_col);
}
