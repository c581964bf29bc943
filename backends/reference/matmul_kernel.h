/* Included by matmul.c once for each element type and each vector: LANES doubles, KERNEL(multiply) the
 * function's name, TARGET its attributes. No guard. */

/* The tile = packed A · packed B over `depth`, added to what it holds unless it is the first block. */
TARGET static void KERNEL(multiply)(int64_t rows, int64_t cols, int64_t depth, const double *a,
                                    const double *b, double *tile, int64_t step, bool first)
{
    typedef double vec
        __attribute__((vector_size(LANES * sizeof(double)), aligned(sizeof(double)), may_alias));
    const vec zero = {0};
    for (int64_t j = 0; j < cols; j += LANES)
        for (int64_t i = 0; i < rows; i += MR) {
            const double *pa = a + i * depth, *pb = b + j / NR * NR * depth + j % NR;
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
