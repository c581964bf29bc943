/* Included by skinny.c once for each element type T. No guard. */

/* acc[0, n) = Σ_p x[p]·column p, the columns `step` apart. */
CLONES static void NAME(combine)(T *restrict acc, int64_t n, int64_t k, const T *restrict columns,
                                 int64_t step, const T *restrict x)
{
    for (int64_t i = 0; i < n; i++)
        acc[i] = 0;
    int64_t p = 0;
    for (; p + 8 <= k; p += 8, columns += 8 * step) {
        const T *restrict c0 = columns, *restrict c1 = c0 + step, *restrict c2 = c1 + step,
                          *restrict c3 = c2 + step, *restrict c4 = c3 + step, *restrict c5 = c4 + step,
                          *restrict c6 = c5 + step, *restrict c7 = c6 + step;
        T x0 = x[p], x1 = x[p + 1], x2 = x[p + 2], x3 = x[p + 3], x4 = x[p + 4], x5 = x[p + 5], x6 = x[p + 6],
          x7 = x[p + 7];
        for (int64_t i = 0; i < n; i++)
            acc[i] += ((x0 * c0[i] + x1 * c1[i]) + (x2 * c2[i] + x3 * c3[i])) +
                      ((x4 * c4[i] + x5 * c5[i]) + (x6 * c6[i] + x7 * c7[i]));
    }
    for (; p < k; p++, columns += step)
        for (int64_t i = 0; i < n; i++)
            acc[i] += x[p] * columns[i];
}

void NAME(tg_blis_skinny)(const skinny *s, const T *matrix, const T *x, T *y, int64_t first, int64_t last)
{
    if (s->dot) {
        T one = 1, beta = s->add ? 1 : 0;
        for (int64_t v = 0; v < s->vectors; v++)
            GEMV(BLIS_NO_TRANSPOSE, BLIS_NO_CONJUGATE, last - first, s->k, &one,
                 (T *)(uintptr_t)(matrix + first * s->out_step), s->out_step, 1,
                 (T *)(uintptr_t)(x + v * s->x_next), 1, &beta, y + first * s->y_step + v * s->y_next,
                 s->y_step);
        return;
    }
    T acc[BLOCK];
    for (int64_t i0 = first; i0 < last; i0 += BLOCK)
        for (int64_t v = 0; v < s->vectors; v++) {
            int64_t n = last - i0 < BLOCK ? last - i0 : BLOCK;
            NAME(combine)(acc, n, s->k, matrix + i0, s->k_step, x + v * s->x_next);
            T *to = y + i0 * s->y_step + v * s->y_next;
            for (int64_t i = 0; i < n; i++)
                to[i * s->y_step] = s->add ? to[i * s->y_step] + acc[i] : acc[i];
        }
}
