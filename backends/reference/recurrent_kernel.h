/* Included by recurrent.c once for each vector of f32: LANES elements, VECS of them beside each other, MULTIPLY the
 * function's name, TARGET its attributes. No guard. */

/* tile (rows of `step`) = A·B: the rows a[0] … a[8·groups − 1] of `depth` elements, B in panels of PANEL columns, line by
 * line. Each element is one sum in ascending depth. */
TARGET static void MULTIPLY(int64_t groups, const void *const *a, int64_t depth, int64_t panels, const void *packed,
                            void *to, int64_t step)
{
    typedef float vec __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
    const vec zero = {0};
    const float *b = packed;
    for (float *tile = to; panels > 0; panels--, b += depth * PANEL, tile += PANEL)
        for (int64_t i = 0; i < 8 * groups; i += 8)
            for (int64_t j = 0; j < PANEL; j += LANES * VECS) {
                const float *a0 = a[i], *a1 = a[i + 1], *a2 = a[i + 2], *a3 = a[i + 3], *a4 = a[i + 4], *a5 = a[i + 5],
                        *a6 = a[i + 6], *a7 = a[i + 7], *pb = b + j;
                vec c0 = zero, c1 = zero, c2 = zero, c3 = zero, c4 = zero, c5 = zero, c6 = zero, c7 = zero;
                vec d0 = zero, d1 = zero, d2 = zero, d3 = zero, d4 = zero, d5 = zero, d6 = zero, d7 = zero;
                for (int64_t k = 0; k < depth; k++, pb += PANEL) {
                    const vec x = *(const vec *)pb, y = *(const vec *)(pb + LANES * (VECS - 1));
#define ADD(c, d, a)                                                                                         \
    c += a[k] * x;                                                                                           \
    if (VECS == 2)                                                                                           \
        d += a[k] * y;
                    ADD(c0, d0, a0)
                    ADD(c1, d1, a1)
                    ADD(c2, d2, a2)
                    ADD(c3, d3, a3)
                    ADD(c4, d4, a4)
                    ADD(c5, d5, a5)
                    ADD(c6, d6, a6)
                    ADD(c7, d7, a7)
                }
                float *at = tile + i * step + j;
#define PUT(c, d)                                                                                            \
    *(vec *)at = c;                                                                                          \
    if (VECS == 2)                                                                                           \
        *(vec *)(at + LANES) = d;                                                                            \
    at += step;
                PUT(c0, d0)
                PUT(c1, d1)
                PUT(c2, d2)
                PUT(c3, d3)
                PUT(c4, d4)
                PUT(c5, d5)
                PUT(c6, d6)
                PUT(c7, d7)
#undef ADD
#undef PUT
            }
}
