/* Philox's known answers, dropout and random fills: the mapping from words, what is selected, draws, moments,
 * the same bits for any number of threads. */
#include "layers/rig.h"

#include <tapegrad/operator.h>

#include "../../backends/reference/philox.h"

/* -- Philox -----------------------------------------------------------------------------------------------
 */

/* From the kat_vectors of Random123 1.14: counter, key, words. */
static const uint32_t known[][10] = {
    {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
    {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
     0xa20bc7c6, 0x6d5451fd},
    {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
     0x5001e420, 0x24126ea1},
};

static uint64_t join(uint32_t low, uint32_t high)
{
    return low | (uint64_t)high << 32;
}

/* Those that this machine can run: the definition first. */
static int forms(philox_fn *out)
{
    int n = 0;
    out[n++] = philox_plain;
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    if (__builtin_cpu_supports("avx2"))
        out[n++] = philox_avx2;
    if (__builtin_cpu_supports("avx512f"))
        out[n++] = philox_avx512;
#endif
    return n;
}

START_TEST(known_answers)
{
    philox_fn form[3];
    uint32_t words[PHILOX_WORDS];
    const uint32_t *k = known[_i];
    for (int f = 0, n = forms(form); f < n; f++) {
        form[f](join(k[4], k[5]), join(k[2], k[3]), join(k[0], k[1]), words);
        ck_assert_msg(memcmp(words, k + 6, 16) == 0, "form %d gives %08x %08x %08x %08x", f, words[0],
                      words[1], words[2], words[3]);
    }
}
END_TEST

START_TEST(forms_agree)
{
    philox_fn form[3];
    uint32_t want[PHILOX_WORDS], got[PHILOX_WORDS];
    const uint64_t blocks[] = {0, 1, 77, 0xfffffff0u, 0xffffffffu, 0x123456789abcdefu, UINT64_MAX - 5};
    int n = forms(form);
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
        for (int f = 1; f < n; f++) {
            form[0](0x0123456789abcdefu * (b + 1), 0xfedcba9876543210u - b, blocks[b], want);
            form[f](0x0123456789abcdefu * (b + 1), 0xfedcba9876543210u - b, blocks[b], got);
            ck_assert(memcmp(want, got, sizeof want) == 0);
        }
}
END_TEST

/* Word j of the tape's draw, one block at a time. */
static uint32_t word(tg_random_state s, uint64_t j)
{
    uint32_t words[PHILOX_WORDS];
    philox_plain(s.seed, s.draw, j / 4, words);
    return words[j % 4];
}

/* -- dropout ----------------------------------------------------------------------------------------------
 */

static tg_tensor *counting(size_t n)
{
    double *v = malloc((n + 1) * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = (double)i + 1;
    tg_tensor *x = input((const int64_t[]){(int64_t)n}, 1, v);
    free(v);
    tg_tensor_set_requires_grad(x, true);
    return x;
}

START_TEST(keeps_by_the_documented_word)
{
    enum { N = 333 };
    double y[N], g[N];
    const double p = 0.3;
    tg_random_state s = {.seed = 0x123456789abcdefu, .draw = UINT64_C(0x900000002)};
    tg_tape_set_random_state(tape, s);
    tg_tensor *x = counting(N), *gx, *out = tg_dropout(tape, x, p, TG_TRAIN);
    ck_assert(tg_tape_random_state(tape).draw == s.draw + 1 && tg_tape_random_state(tape).seed == s.seed);
    get(out, y, N);
    ck_assert_int_eq(tg_grad(tape, out, counting(N), &x, 1, &gx, 0), TG_OK);
    get(gx, g, N);
    ck_assert(tg_tape_random_state(tape).draw == s.draw + 1); /* going back draws nothing */
    for (uint64_t i = 0; i < N; i++) {
        bool kept = word(s, i) < (uint64_t)round((1 - p) * 4294967296.0);
        ck_assert(y[i] == (kept ? (double)(i + 1) * (1 / (1 - p)) : 0));
        ck_assert(g[i] == y[i]);
    }
}
END_TEST

START_TEST(counts_elements_row_major)
{
    /* A transposed view has the mask of its own order, whatever its memory's. */
    double v[60], plain[60], viewed[60];
    for (int i = 0; i < 60; i++)
        v[i] = i + 1;
    tg_random_state s = tg_tape_random_state(tape);
    tg_tensor *t = tg_transpose(tape, input(DIMS(6, 10), v), 0, 1);
    get(tg_dropout(tape, t, 0.5, TG_TRAIN), viewed, 60);
    get(t, v, 60);
    tg_tape_set_random_state(tape, s);
    get(tg_dropout(tape, input(DIMS(10, 6), v), 0.5, TG_TRAIN), plain, 60);
    near_to(viewed, plain, 60, 0);
}
END_TEST

START_TEST(selects_and_never_multiplies)
{
    enum { N = 200 };
    double v[N], y[N], g[N];
    for (int i = 0; i < N; i++)
        v[i] = i % 3 ? INFINITY : NAN;
    tg_tensor *x = input(DIMS(N), v), *gx;
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *out = tg_dropout(tape, x, 0.5, TG_TRAIN);
    get(out, y, N);
    ck_assert_int_eq(tg_grad(tape, out, x, &x, 1, &gx, 0), TG_OK);
    get(gx, g, N);
    int dropped = 0;
    for (int i = 0; i < N; i++) {
        ck_assert((y[i] == 0 && g[i] == 0) ||
                  (i % 3 ? isinf(y[i]) && isinf(g[i]) : isnan(y[i]) && isnan(g[i])));
        dropped += y[i] == 0;
    }
    ck_assert(dropped > 60 && dropped < 140);
}
END_TEST

START_TEST(without_chance)
{
    double v[] = {1, INFINITY, NAN}, y[3], g[3];
    tg_tensor *x = input(DIMS(3), v), *gx;
    tg_tensor_set_requires_grad(x, true);
    tg_random_state s = tg_tape_random_state(tape);
    size_t nodes = tg_tape_size(tape);
    ck_assert(tg_dropout(tape, x, 0.5, TG_EVAL) == x && tg_dropout(tape, x, 1, TG_EVAL) == x);
    ck_assert(tg_dropout(tape, x, 0, TG_TRAIN) == x);
    ck_assert(tg_tape_size(tape) == nodes);
    tg_tensor *none = tg_dropout(tape, x, 1, TG_TRAIN);
    get(none, y, 3);
    ck_assert(y[0] == 0 && y[1] == 0 && y[2] == 0);
    ck_assert_int_eq(tg_grad(tape, none, x, &x, 1, &gx, 0), TG_OK); /* zeros, not absent */
    get(gx, g, 3);
    ck_assert(g[0] == 0 && g[1] == 0 && g[2] == 0);
    tg_tensor *empty = tg_dropout(tape, input(DIMS(0, 3), NULL), 0.5, TG_TRAIN);
    ck_assert(empty && tg_tensor_count(empty) == 0 && tg_tensor_ndim(empty) == 2);
    ck_assert(tg_rand_like(tape, empty) && tg_randn_like(tape, empty));
    ck_assert(same_state(s, tg_tape_random_state(tape)));
}
END_TEST

START_TEST(next_to_the_ends)
{
    double y[64];
    get(tg_dropout(tape, counting(64), 1e-12, TG_TRAIN), y, 64); /* (1 − p)·2³² rounds to 2³²: all are kept */
    for (int i = 0; i < 64; i++)
        ck_assert(y[i] == (i + 1) * (1 / (1 - 1e-12)));
    get(tg_dropout(tape, counting(64), 1 - 1e-12, TG_TRAIN), y, 64); /* to 0: none */
    for (int i = 0; i < 64; i++)
        ck_assert(y[i] == 0);
}
END_TEST

START_TEST(what_it_refuses)
{
    static const double bad[] = {-0.1, 1.0000001, NAN, INFINITY};
    tg_tensor *x = counting(3);
    tg_random_state s = tg_tape_random_state(tape);
    for (int i = 0; i < 4; i++) {
        ck_assert(tg_dropout(tape, x, bad[i], TG_EVAL) == NULL);
        tape_failed_with(TG_EINVAL, "dropout: p is ");
    }
    ck_assert(tg_dropout(tape, x, 0.5, (tg_mode)7) == NULL);
    tape_failed_with(TG_EINVAL, "dropout: mode is 7");
    ck_assert(tg_dropout(tape, tg_input(tape, TG_I64, DIMS(3), NULL), 0.5, TG_TRAIN) == NULL);
    tape_failed_with(TG_EDTYPE, "x is i64");
    ck_assert(tg_dropout(tape, NULL, 0.5, TG_TRAIN) == NULL);
    tape_failed_with(TG_EINVAL, "NULL");
    ck_assert(same_state(s, tg_tape_random_state(tape)));
}
END_TEST

/* -- many
 * --------------------------------------------------------------------------------------------------*/

enum { MANY = 1 << 18 };
static float many[2][MANY];

static tg_tensor *zeros(tg_dtype dtype, int64_t n)
{
    tg_tensor *x = tg_input(tape, dtype, &n, 1, NULL);
    ck_assert_msg(x != NULL, "%s", tg_tape_error(tape));
    return x;
}

static void read_many(const tg_tensor *t, float *out)
{
    ck_assert_msg(t && tg_tensor_read(t, out, MANY * sizeof *out) == TG_OK, "%s", tg_tape_error(tape));
}

static tg_tensor *make_many(int kind)
{
    tg_tensor *x = zeros(TG_F32, MANY);
    if (kind == 0)
        return tg_dropout(tape, tg_ones_like(tape, x), 0.3, TG_TRAIN);
    return kind == 1 ? tg_rand_like(tape, x) : tg_randn_like(tape, x);
}

START_TEST(threads_change_no_bit)
{
    tg_random_state s = tg_tape_random_state(tape);
    for (int threads = 1; threads <= 2; threads++) {
        tg_tape_set_random_state(tape, s);
        tg_tape_set_threads(tape, threads);
        read_many(make_many(_i), many[threads - 1]);
    }
    ck_assert(memcmp(many[0], many[1], sizeof many[0]) == 0);
    read_many(make_many(_i), many[1]); /* the next draw is another one */
    ck_assert(memcmp(many[0], many[1], sizeof many[0]) != 0);
}
END_TEST

START_TEST(dropout_keeps_its_share)
{
    double kept = 0, pairs = 0, runs = 0;
    for (int trial = 0; trial < 2; trial++)
        read_many(make_many(0), many[trial]);
    for (int i = 0; i < MANY; i++) {
        kept += many[0][i] != 0;
        runs += i && many[0][i] != 0 && many[0][i - 1] != 0; /* neighbours */
        pairs += many[0][i] != 0 && many[1][i] != 0;         /* the same element, another draw */
    }
    double n = MANY, sd = sqrt(0.7 * 0.3 / n), sd2 = sqrt(0.49 * 0.51 / n);
    ck_assert_msg(fabs(kept / n - 0.7) < 4 * sd, "%g", kept / n);
    ck_assert_msg(fabs(runs / n - 0.49) < 6 * sd2, "%g", runs / n);
    ck_assert_msg(fabs(pairs / n - 0.49) < 4 * sd2, "%g", pairs / n);
}
END_TEST

START_TEST(uniform_moments)
{
    double m[3] = {0}, n = MANY;
    read_many(make_many(1), many[0]);
    for (int i = 0; i < MANY; i++) {
        double u = (double)many[0][i];
        ck_assert(u >= 0 && u < 1);
        m[0] += u / n;
        m[1] += (u - 0.5) * (u - 0.5) / n;
        m[2] += i ? (u - 0.5) * ((double)many[0][i - 1] - 0.5) / n : 0;
    }
    ck_assert(fabs(m[0] - 0.5) < 4 / sqrt(12 * n) && fabs(m[1] - 1.0 / 12) < 4 / sqrt(180 * n));
    ck_assert(fabs(m[2]) < 4 / (12 * sqrt(n)));
}
END_TEST

START_TEST(normal_moments)
{
    double m[4] = {0}, n = MANY, largest = 0;
    read_many(make_many(2), many[0]);
    for (int i = 0; i < MANY; i++) {
        double z = (double)many[0][i];
        ck_assert(isfinite(z));
        largest = fmax(largest, fabs(z));
        m[0] += z / n;
        m[1] += z * z / n;
        m[2] += z * z * z / n;
        m[3] += z * z * z * z / n;
    }
    ck_assert(fabs(m[0]) < 4 / sqrt(n) && fabs(m[1] - 1) < 4 * sqrt(2 / n));
    ck_assert(fabs(m[2]) < 4 * sqrt(15 / n) && fabs(m[3] - 3) < 4 * sqrt(96 / n));
    ck_assert(largest > 4 && largest < 6);
}
END_TEST

/* -- fills ------------------------------------------------------------------------------------------------
 */

START_TEST(words_to_numbers)
{
    double u[5], z[5], f64[5];
    float f32[5];
    tg_random_state s = {.seed = 0, .draw = 0};
    tg_tape_set_random_state(tape, s);
    ck_assert_int_eq(tg_tensor_read(tg_rand_like(tape, zeros(TG_F32, 5)), f32, sizeof f32), TG_OK);
    ck_assert(f32[0] == (float)(0x6627e8d5 >> 8) / 16777216 && f32[3] == (float)(0x9b00dbd8 >> 8) / 16777216);
    tg_tape_set_random_state(tape, s);
    get(tg_rand_like(tape, zeros(TG_F64, 5)), f64, 5);
    for (uint64_t e = 0; e < 5; e++) {
        u[e] = (double)(join(word(s, 2 * e), word(s, 2 * e + 1)) >> 11) / 9007199254740992.0;
        ck_assert(f64[e] == u[e]);
    }
    tg_tape_set_random_state(tape, s);
    get(tg_randn_like(tape, zeros(TG_F64, 5)), z, 5);
    for (int e = 0; e < 4; e++) {
        double r = sqrt(-2 * log(1 - u[e & 2])), angle = 2 * acos(-1.0) * u[(e & 2) + 1];
        ck_assert(fabs(z[e] - r * (e & 1 ? sin(angle) : cos(angle))) < 1e-14);
    }
}
END_TEST

START_TEST(in_place_and_strided)
{
    double dense[12], view[12], memory[12];
    const double scalars[] = {-2, 3};
    static const char *const names[] = {"uniform_", "normal_"};
    tg_random_state s = tg_tape_random_state(tape);
    for (int k = 0; k < 2; k++) {
        const tg_operator *op = tg_operator_find(rt, names[k]);
        tg_tensor *a = input(DIMS(4, 3), (const double[12]){0}),
                  *b = input(DIMS(3, 4), (const double[12]){0});
        tg_tensor *t = tg_transpose(tape, b, 0, 1);
        tg_tape_set_random_state(tape, s);
        ck_assert_msg(tg_apply(tape, op, &a, 1, NULL, scalars, NULL) == TG_OK, "%s", tg_tape_error(tape));
        tg_tape_set_random_state(tape, s);
        ck_assert_msg(tg_apply(tape, op, &t, 1, NULL, scalars, NULL) == TG_OK, "%s", tg_tape_error(tape));
        get(a, dense, 12);
        get(t, view, 12);
        get(b, memory, 12);
        near_to(view, dense, 12, 0);
        ck_assert(memory[1] == dense[3]);
        for (int i = 0; i < 12 && k == 0; i++)
            ck_assert(dense[i] >= -2 && dense[i] < 3);
    }
}
END_TEST

START_TEST(uniform_stays_below_high)
{
    /* 1 + u·2⁻²³ rounds to 1 or to the next number, which is excluded. */
    const double scalars[] = {1, 1 + 0x1p-23};
    tg_tensor *x = zeros(TG_F32, MANY);
    ck_assert_int_eq(tg_apply(tape, tg_operator_find(rt, "uniform_"), &x, 1, NULL, scalars, NULL), TG_OK);
    read_many(x, many[0]);
    for (int i = 0; i < MANY; i++)
        ck_assert(many[0][i] == 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("random");
    TCase *t = tcase_create("philox");
    tcase_add_loop_test(t, known_answers, 0, 3);
    tcase_add_test(t, forms_agree);
    suite_add_tcase(s, t);
    t = tcase_create("dropout");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, keeps_by_the_documented_word);
    tcase_add_test(t, counts_elements_row_major);
    tcase_add_test(t, selects_and_never_multiplies);
    tcase_add_test(t, without_chance);
    tcase_add_test(t, next_to_the_ends);
    tcase_add_test(t, what_it_refuses);
    suite_add_tcase(s, t);
    t = tcase_create("fills");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_loop_test(t, threads_change_no_bit, 0, 3);
    tcase_add_test(t, dropout_keeps_its_share);
    tcase_add_test(t, uniform_moments);
    tcase_add_test(t, normal_moments);
    tcase_add_test(t, words_to_numbers);
    tcase_add_test(t, in_place_and_strided);
    tcase_add_test(t, uniform_stays_below_high);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
