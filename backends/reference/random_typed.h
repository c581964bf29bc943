/* The loops of random.c for one type: T, NAME, PER (words an element takes), UNIFORM and the mathematics of
 * one T are defined by the includer. A piece is what one batch of counters gives. */

REF_CLONES static void NAME(keep)(T *restrict y, const T *restrict x, const uint32_t *restrict words,
                                  uint32_t last, T scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = words[i] <= last ? x[i] * scale : (T)0;
}

static void NAME(dropout)(const tg_run *r, double p, int64_t n, int threads)
{
    const T *x = r->in[0];
    T *y = r->out[0], scale = (T)(1.0 / (1.0 - p));
    uint64_t bound = (uint64_t)round((1.0 - p) * 4294967296.0);
    philox_fn philox = philox_best();
    if (bound == 0) {
        memset(y, 0, (size_t)n * sizeof *y);
        return;
    }
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < n; i += PHILOX_WORDS) {
        uint32_t words[PHILOX_WORDS];
        philox(r->seed, r->draw, (uint64_t)i / 4, words);
        NAME(keep)
        (y + i, x + i, words, (uint32_t)(bound - 1), scale, n - i < PHILOX_WORDS ? n - i : PHILOX_WORDS);
    }
}

REF_CLONES static void NAME(uniforms)(T *restrict u, const uint32_t *restrict words)
{
    for (int i = 0; i < PHILOX_WORDS / PER; i++)
        u[i] = UNIFORM(words, i);
}

/* Two independent normals of two uniforms (Box and Muller 1958). */
static void NAME(normals)(T *u)
{
    for (int i = 0; i < PHILOX_WORDS / PER; i += 2) {
        T r = SQRT((T)-2 * LOG((T)1 - u[i])), angle = (T)6.283185307179586 * u[i + 1];
        u[i] = r * COS(angle);
        u[i + 1] = r * SIN(angle);
    }
}

/* u ← a + b·u, uniform ones kept below `end` (rounding could reach it). */
REF_CLONES static void NAME(stretch)(T *u, bool normal, double a, double b, double end)
{
    T below = NEXTAFTER((T)end, (T)a), last = (T)end;
    for (int i = 0; i < PHILOX_WORDS / PER; i++)
        u[i] = (T)(a + b * (double)u[i]);
    for (int i = 0; !normal && b > 0.0 && i < PHILOX_WORDS / PER; i++)
        u[i] = u[i] < last ? u[i] : below;
}

static void NAME(random)(const tg_desc *d, T *dst, uint64_t seed, uint64_t draw, bool normal, double a,
                         double b, double end, int64_t n, int threads)
{
    const int64_t piece = PHILOX_WORDS / PER;
    philox_fn philox = philox_best();
    bool dense = is_dense(d), plain = a == 0.0 && b == 1.0;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < n; i += PHILOX_WORDS / PER) {
        uint32_t words[PHILOX_WORDS];
        T u[PHILOX_WORDS / PER];
        int64_t m = n - i < piece ? n - i : piece;
        philox(seed, draw, (uint64_t)(i / piece) * PHILOX_BATCH, words);
        NAME(uniforms)(u, words);
        if (normal)
            NAME(normals)(u);
        if (!plain)
            NAME(stretch)(u, normal, a, b, end);
        if (dense)
            memcpy(dst + i, u, (size_t)m * sizeof *u);
        else
            for (int64_t k = 0; k < m; k++)
                dst[place(d, i + k)] = u[k];
    }
}
