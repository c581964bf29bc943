/* The loops of random.c for one type: T, NAME, PER (words an element takes), UNIFORM and the mathematics of
 * one T are defined by the includer. A piece is what one batch of counters gives. */

/* f64 too: the baseline has no blend, and a branch on a random bit is guessed wrong half the time. */
TG_REF_CLONES
static void NAME(keep)(T *restrict y, const T *restrict x, const uint32_t *restrict words, uint32_t last,
                       T scale, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = words[i] <= last ? x[i] * scale : (T)0;
}

static void NAME(dropout_item)(const void *arg, int64_t k)
{
    const random_task *t = arg;
    uint32_t words[PHILOX_WORDS];
    int64_t i = k * PHILOX_WORDS, m = t->n - i < PHILOX_WORDS ? t->n - i : PHILOX_WORDS;
    t->philox(t->seed, t->draw, (uint64_t)i / 4, words);
    NAME(keep)((T *)t->dst + i, (const T *)t->src + i, words, t->last, (T)t->scale, m);
}

NAME(TG_REF_CLONES)
static void NAME(uniforms)(T *restrict u, const uint32_t *restrict words)
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
NAME(TG_REF_CLONES)
static void NAME(stretch)(T *u, bool normal, double a, double b, double end)
{
    T below = NEXTAFTER((T)end, (T)a), last = (T)end;
    for (int i = 0; i < PHILOX_WORDS / PER; i++)
        u[i] = (T)(a + b * (double)u[i]);
    for (int i = 0; !normal && b > 0.0 && i < PHILOX_WORDS / PER; i++)
        u[i] = u[i] < last ? u[i] : below;
}

static void NAME(random_item)(const void *arg, int64_t k)
{
    const random_task *t = arg;
    uint32_t words[PHILOX_WORDS];
    T u[PHILOX_WORDS / PER];
    int64_t i = k * (PHILOX_WORDS / PER), m = t->n - i < PHILOX_WORDS / PER ? t->n - i : PHILOX_WORDS / PER;
    t->philox(t->seed, t->draw, (uint64_t)k * PHILOX_BATCH, words);
    NAME(uniforms)(u, words);
    if (t->normal)
        NAME(normals)(u);
    if (!t->plain)
        NAME(stretch)(u, t->normal, t->a, t->b, t->end);
    T *dst = t->dst;
    if (t->dense)
        memcpy(dst + i, u, (size_t)m * sizeof *u);
    else
        for (int64_t e = 0; e < m; e++)
            dst[ref_place(t->d, i + e)] = u[e];
}
