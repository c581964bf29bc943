/* Special functions: values and derivatives of all orders against PyTorch's (its trigamma has 11
 * digits: against mpmath's), poles, and what element by element has
 * two or three inputs. */
#include "operators/rig.h"

#define EXACT 2e-14

/* expect() is relative to 1: here to the value itself. */
static void agrees(const tg_tensor *x, const double *values, size_t n)
{
    double got[16];
    ck_assert_msg(x != NULL, "%s", tg_tape_error(tape));
    ck_assert_int_eq(tg_tensor_read(x, got, n * sizeof *got), TG_OK);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs(got[i] - values[i]) <= 2e-13 * fabs(values[i]), "element %zu: got %.17g, expected %.17g", i,
                      got[i], values[i]);
}

static tg_tensor *of(const double *values, size_t n)
{
    return tensor(TG_F64, (const int64_t[]){(int64_t)n}, 1, values, n);
}

START_TEST(error_functions)
{
    agrees(tg_erfinv(tape, of(VALUES(-.99999, -.5, 1e-9, .3, .7, .999))),
           VALUES(-3.123413274341075, -0.4769362762044699, 8.86226925452758e-10, 0.2724627147267544, 0.7328690779592169,
                  2.3267537655135153));
    expect(tg_erfinv(tape, of(VALUES(1, -1, 1.5, NAN, 0))), 0, DIMS(5), VALUES(INFINITY, -INFINITY, NAN, NAN, 0));
    /* Near 1 against erfc, which is exact there. */
    tg_tensor *close = of(VALUES(1 - 0x1p-40, 1 - 0x1p-52));
    agrees(tg_erfc(tape, tg_erfinv(tape, close)), VALUES(0x1p-40, 0x1p-52));
    agrees(tg_erfc(tape, of(VALUES(-2, .5, 3, 10, 26))),
           VALUES(1.9953222650189528, 0.4795001221869535, 2.209049699858544e-05, 2.088487583762545e-45,
                  5.663192408856143e-296));
}
END_TEST

START_TEST(gamma_functions)
{
    const double x[] = {.1, .5, 2.5, 30, -.5, -3.7, -20.25};
    agrees(tg_lgamma(tape, of(x, 6)), VALUES(2.252712651734206, 0.5723649429247001, 0.2846828704729192,
                                             71.25703896716801, 1.2655121234846454, -1.3797399049658245));
    agrees(tg_digamma(tape, of(x, 4)),
           VALUES(-10.423754940411076, -1.9635100260214229, 0.7031566406452431, 3.384438132685525));
    agrees(tg_polygamma(tape, 1, of(x, 7)),
           VALUES(101.43329915079275, 4.934802200544679, 0.49035775610023485, 0.033895060357739946, 8.934802200544679,
                  14.84242186412428, 19.69102535100871));
    agrees(tg_polygamma(tape, 2, of(x, 7)),
           VALUES(-2001.8614573783439, -16.828796644234316, -0.23620405164172736, -0.0011487652037285997,
                  -0.82879664423432, -68.89345468867353, 124.02278552474382));
    agrees(tg_polygamma(tape, 5, of(x, 7)),
           VALUES(120000069.30751088, 7691.113548602433, 0.5785691785671833, 1.072699493616162e-06, 15371.113548602436,
                  165660.15728399347, 492231.26710433466));
    ck_assert_ptr_ne(tg_polygamma(tape, 0, of(x, 7)), NULL);
    expect(tg_lgamma(tape, of(VALUES(0, -1, 1, 2, INFINITY))), 0, DIMS(5), VALUES(INFINITY, INFINITY, 0, 0, INFINITY));
    expect(tg_digamma(tape, of(VALUES(0, -0.0, -1, NAN))), 0, DIMS(4), VALUES(-INFINITY, INFINITY, NAN, NAN));
    expect(tg_polygamma(tape, 1, of(VALUES(0, -1, INFINITY, NAN))), 0, DIMS(4), VALUES(INFINITY, INFINITY, 0, NAN));
    /* Far below 0 there is no walk of a million steps. */
    expect(tg_polygamma(tape, 1, of(VALUES(-1e15 + 0.5, 1e15))), 1e-13, DIMS(2), VALUES(9.869604401089357, 1e-15));
    expect_error(tg_polygamma(tape, -1, of(x, 7)), TG_EINVAL, "n must not be negative");
}
END_TEST

START_TEST(bessel_and_sinc)
{
    const double x[] = {.1, 1, 7.5, 15, 29, 31, -100, 700};
    agrees(tg_i0(tape, of(x, 8)), VALUES(1.0025015629340956, 1.2660658777520082, 268.1613115151893, 339649.3732979138,
                                         292520631785.69086, 2089962966491.9038, 1.0737517071310738e+42,
                                         1.5295933476718735e+302));
    agrees(tg_i1(tape, of(x, 8)), VALUES(0.050062526047092694, 0.5651591039924851, 249.58436542268808,
                                         328124.92197020643, 287432108126.2548, 2055972795294.565,
                                         -1.0683693903381625e+42, 1.5285003902339006e+302));
    expect(tg_i1(tape, of(VALUES(0, -INFINITY, NAN))), 0, DIMS(3), VALUES(0, -INFINITY, NAN));
    tg_tensor *zero = leaf(TG_F64, DIMS(2), VALUES(0, 1e-300));
    expect(weighted_gradient(tg_i1(tape, zero), zero), 0, DIMS(2), VALUES(0.5, 1));
    expect(tg_sinc(tape, of(VALUES(0, .25, 1.5, -2.75))), EXACT, DIMS(4),
           VALUES(1, 0.9003163161571061, -0.2122065907891938, 0.0818469378324643));
    expect(weighted_gradient(tg_sinc(tape, zero), zero), 0, DIMS(2), VALUES(0, 0));
}
END_TEST

/* The derivatives of order 1 … n at x, each the sweep of the one before. */
static void derivatives(tg_tensor *(*fn)(tg_tape *, tg_tensor *), const double (*expected)[3], int n)
{
    tg_tensor *x = leaf(TG_F64, DIMS(3), VALUES(.7, 1.3, 2.6)), *y = fn(tape, x);
    for (int k = 0; k < n; k++) {
        tg_tensor *gy = tensor(TG_F64, DIMS(3), VALUES(1)), *g = NULL;
        ck_assert_msg(tg_grad(tape, y, gy, &x, 1, &g, TG_CREATE_GRAPH) == TG_OK, "%s", tg_tape_error(tape));
        expect(g, 1e-12, DIMS(3), expected[k], 3);
        y = g;
    }
}

START_TEST(fourth_derivatives)
{
    const double lgamma_k[][3] = {{-1.2200235536979347, -0.16919088886680006, 0.7510474527734762},
                                  {2.834049156694611, 1.1342534349966193, 0.4678068931245799},
                                  {-6.434992874190923, -1.1984625146519565, -0.21529102788419893},
                                  {25.879149678427744, 2.401023914308926, 0.19521740529947906}};
    const double i0_k[][3] = {{0.37187967777700853, 0.7973293149792692, 2.755384340504707},
                              {0.5950463357682256, 0.8559475556525054, 2.493505696357246},
                              {0.28075160173466285, 0.6107006123940694, 2.2039449218620835},
                              {0.45433855055398076, 0.6732989347112212, 2.07001874075077}};
    derivatives((tg_lgamma), lgamma_k, 4);
    derivatives((tg_i0), i0_k, 4);
}
END_TEST

START_TEST(third_derivatives_of_two_inputs)
{
    const struct {
        tg_tensor *(*fn)(tg_tape *, tg_tensor *, tg_tensor *);
        double k[3][3];
    } cases[] = {
        {(tg_logaddexp),
         {{0.3775406687981454, 0.6899744811276125, 0.6456563062257954},
          {0.2350037122015945, 0.21390969652029443, 0.22878424045665727},
          {0.05755679485232077, -0.08127476720921595, -0.06664773477518181}}},
        {(tg_atan2),
         {{0.6217616580310882, 0.25773195876288657, 0.18587360594795535},
          {-0.45101881929716237, -0.34541396535232216, -0.08982739320904903},
          {0.010015221746051073, 0.6601488156218052, 0.052273018352992494}}},
        {(tg_hypot),
         {{0.5038710255240862, 0.9333456062030595, 0.7926239891046002},
          {0.537064601594881, 0.09252038126517237, 0.11332913770440378},
          {-0.5843708100255183, -0.1859945808939033, -0.08215309238795068}}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        tg_tensor *a = leaf(TG_F64, DIMS(3), VALUES(.7, 1.3, 2.6)), *b = of(VALUES(1.2, .5, 2));
        tg_tensor *y = cases[c].fn(tape, a, b);
        for (int k = 0; k < 3; k++) {
            tg_tensor *gy = of(VALUES(1, 1, 1)), *g = NULL;
            ck_assert_int_eq(tg_grad(tape, y, gy, &a, 1, &g, TG_CREATE_GRAPH), TG_OK);
            expect(g, 1e-12, DIMS(3), cases[c].k[k], 3);
            y = g;
        }
    }
}
END_TEST

START_TEST(rounding)
{
    tg_tensor *x = leaf(TG_F64, DIMS(6), VALUES(-2.5, -1.5, -0.2, 0.5, 1.5, 2.7));
    expect(tg_floor(tape, x), 0, DIMS(6), VALUES(-3, -2, -1, 0, 1, 2));
    expect(tg_ceil(tape, x), 0, DIMS(6), VALUES(-2, -1, 0, 1, 2, 3));
    expect(tg_trunc(tape, x), 0, DIMS(6), VALUES(-2, -1, 0, 0, 1, 2));
    expect(tg_round(tape, x), 0, DIMS(6), VALUES(-2, -2, 0, 0, 2, 3));
    expect(tg_frac(tape, x), 1e-15, DIMS(6), VALUES(-0.5, -0.5, -0.2, 0.5, 0.5, 0.7));
    expect(weighted_gradient(tg_round(tape, x), x), 0, DIMS(6), VALUES(0));
    expect(weighted_gradient(tg_frac(tape, x), x), 0, DIMS(6), VALUES(1, 2, 3, 4, 5, 6));
    expect(tg_round_decimals(tape, of(VALUES(1.2345, -0.005, 1250)), 2), 1e-15, DIMS(3), VALUES(1.23, 0, 1250));
    expect(tg_round_decimals(tape, of(VALUES(1250, -49, 50)), -2), 0, DIMS(3), VALUES(1200, 0, 0));
    tg_tensor *n = leaf(TG_F32, DIMS(4), VALUES(NAN, INFINITY, -INFINITY, 2));
    expect(tg_nan_to_num(tape, n, 0, NAN, NAN), 0, DIMS(4), VALUES(0, 0x1.fffffep127, -0x1.fffffep127, 2));
    expect(tg_nan_to_num(tape, n, 1, 5, -5), 0, DIMS(4), VALUES(1, 5, -5, 2));
    expect(weighted_gradient(tg_nan_to_num(tape, n, 1, 5, -5), n), 0, DIMS(4), VALUES(0, 0, 0, 4));
}
END_TEST

START_TEST(quotients)
{
    const double a[] = {7, -7, 7, -7}, b[] = {2, 2, -2, -2};
    const tg_dtype dtypes[] = {TG_F32, TG_F64, TG_I64};
    for (int d = 0; d < 3; d++) {
        tg_tensor *x = tensor(dtypes[d], DIMS(4), a, 4), *y = tensor(dtypes[d], DIMS(4), b, 4);
        expect(tg_floor_divide(tape, x, y), 0, DIMS(4), VALUES(3, -4, -4, 3));
        expect(tg_div_trunc(tape, x, y), 0, DIMS(4), VALUES(3, -3, -3, 3));
        expect(tg_fmod(tape, x, y), 0, DIMS(4), VALUES(1, -1, 1, -1));
        expect(tg_remainder(tape, x, y), 0, DIMS(4), VALUES(1, 1, -1, -1));
    }
    /* In f32 the quotient itself rounds. */
    expect(tg_div_trunc(tape, tensor(TG_F32, SCALAR, VALUES(1)), tensor(TG_F32, SCALAR, VALUES(0.1))), 0, SCALAR,
           VALUES(10));
    expect(tg_floor_divide(tape, of(VALUES(1, -1, INFINITY)), of(VALUES(0, 0, 2))), 0, DIMS(3),
           VALUES(INFINITY, -INFINITY, NAN));
    int64_t extreme[2] = {INT64_MIN, INT64_MIN}, minus[2] = {-1, -1};
    tg_tensor *least = tg_input(tape, TG_I64, DIMS(2), extreme), *m = tg_input(tape, TG_I64, DIMS(2), minus);
    expect(tg_floor_divide(tape, least, m), 0, DIMS(2), VALUES(-0x1p63));
    expect(tg_remainder(tape, least, m), 0, DIMS(2), VALUES(0));
    tg_tensor *i = tensor(TG_I64, DIMS(3), VALUES(1, 2, 3)), *z = tensor(TG_I64, DIMS(3), VALUES(1, 0, 2));
    expect_error(tg_floor_divide(tape, i, z), TG_EINVAL, "the divisor has a 0 (element 1)");
    expect_error(tg_fmod(tape, i, z), TG_EINVAL, "divisor");
    expect(tg_fmod(tape, tensor(TG_I64, DIMS(0), VALUES(1)), tensor(TG_I64, DIMS(0), VALUES(1))), 0, DIMS(0), VALUES(0));
}
END_TEST

START_TEST(bounds_that_are_tensors)
{
    tg_tensor *x = leaf(TG_F64, DIMS(5), VALUES(-2, 0, 1, 2, 3)), *low = leaf(TG_F64, SCALAR, VALUES(0));
    tg_tensor *high = leaf(TG_F64, DIMS(5), VALUES(2, 2, 2, 2, 2)), *y = tg_clamp_tensor(tape, x, low, high);
    expect(y, 0, DIMS(5), VALUES(0, 0, 1, 2, 2));
    expect(weighted_gradient(y, x), 0, DIMS(5), VALUES(0, 1, 3, 2, 0));
    expect(weighted_gradient(y, low), 0, SCALAR, VALUES(2));
    expect(weighted_gradient(y, high), 0, DIMS(5), VALUES(0, 0, 0, 2, 5));
    tg_tensor *crossed = tg_clamp_tensor(tape, x, high, low);
    expect(crossed, 0, DIMS(5), VALUES(0));
    expect(weighted_gradient(crossed, low), 0, SCALAR, VALUES(15));
    expect(tg_clamp_tensor(tape, x, NULL, low), 0, DIMS(5), VALUES(-2, 0, 0, 0, 0));
    expect(weighted_gradient(tg_clamp_tensor(tape, x, low, NULL), x), 0, DIMS(5), VALUES(0, 1, 3, 4, 5));
    expect(tg_clamp_tensor(tape, x, of(VALUES(NAN, 0, 0, 0, 0)), high), 0, DIMS(5), VALUES(NAN, 0, 1, 2, 2));
    expect(tg_clamp_tensor(tape, tensor(TG_I64, DIMS(3), VALUES(-5, 1, 9)), tensor(TG_I64, SCALAR, VALUES(0)),
                           tensor(TG_I64, SCALAR, VALUES(4))),
           0, DIMS(3), VALUES(0, 1, 4));
    expect_error(tg_clamp_tensor(tape, x, NULL, NULL), TG_EINVAL, "both NULL");
    expect_error(tg_clamp_tensor(tape, x, of(VALUES(1, 2)), high), TG_ESHAPE, "clamp_tensor");
}
END_TEST

START_TEST(extrema_and_signs)
{
    tg_tensor *a = leaf(TG_F64, DIMS(5), VALUES(1, NAN, 3, NAN, 2)), *b = of(VALUES(2, 1, NAN, NAN, 2));
    expect(tg_fmax(tape, a, b), 0, DIMS(5), VALUES(2, 1, 3, NAN, 2));
    expect(tg_fmin(tape, a, b), 0, DIMS(5), VALUES(1, 1, 3, NAN, 2));
    expect(weighted_gradient(tg_fmax(tape, a, b), a), 0, DIMS(5), VALUES(0, 2, 3, 4, 2.5));
    tg_tensor *x = leaf(TG_F64, DIMS(3), VALUES(0, -2, 3)), *s = of(VALUES(-1, 1, -0.0));
    expect(tg_copysign(tape, x, s), 0, DIMS(3), VALUES(0, 2, -3));
    expect(weighted_gradient(tg_copysign(tape, x, s), x), 0, DIMS(3), VALUES(0, -2, -3));
    expect(tg_signbit(tape, tg_copysign(tape, x, s)), 0, DIMS(3), VALUES(1, 0, 1));
    expect(tg_heaviside(tape, of(VALUES(-1, 0, 2, NAN)), of(VALUES(.5, .5, .5, .5))), 0, DIMS(4), VALUES(0, .5, 1, 0));
    tg_tensor *zero = leaf(TG_F64, DIMS(2), VALUES(0, 3)), *four = leaf(TG_F64, DIMS(2), VALUES(0, 4));
    expect(weighted_gradient(tg_atan2(tape, zero, four), zero), 1e-15, DIMS(2), VALUES(0, 2 * 4. / 25));
    expect(tg_hypot(tape, of(VALUES(3e200)), of(VALUES(4e200))), 1e-15, DIMS(1), VALUES(5e200));
}
END_TEST

START_TEST(logarithms_of_sums)
{
    tg_tensor *a = of(VALUES(1000, -INFINITY, INFINITY, NAN)), *b = of(VALUES(1000, -INFINITY, 0, 0));
    expect(tg_logaddexp(tape, a, b), 1e-15, DIMS(4), VALUES(1000 + log(2), -INFINITY, INFINITY, NAN));
    expect(tg_logaddexp2(tape, a, b), 1e-15, DIMS(4), VALUES(1001, -INFINITY, INFINITY, NAN));
    tg_tensor *x = leaf(TG_F64, DIMS(4), VALUES(0, 0, 2, 0)), *y = of(VALUES(0, -1, 3, NAN));
    expect(tg_xlogy(tape, x, y), 1e-15, DIMS(4), VALUES(0, 0, 2 * log(3), NAN));
    expect(weighted_gradient(tg_xlogy(tape, x, y), x), 1e-15, DIMS(4), VALUES(0, 0, 3 * log(3), NAN));
    expect(tg_ldexp(tape, of(VALUES(3, -1)), tensor(TG_I64, DIMS(2), VALUES(-2, 600))), 0, DIMS(2),
           VALUES(0.75, -0x1p600));
    tg_tensor *p = leaf(TG_F64, DIMS(3), VALUES(0.1, 0.5, 0.9));
    expect(tg_logit(tape, p, NAN), EXACT, DIMS(3), VALUES(log(1 / 9.), 0, log(9)));
    expect(tg_logit(tape, p, 0.2), EXACT, DIMS(3), VALUES(log(.25), 0, log(4)));
    expect(weighted_gradient(tg_logit(tape, p, 0.2), p), EXACT, DIMS(3), VALUES(0, 8, 0));
    expect(tg_logit(tape, of(VALUES(-1, 0, 1)), -1), 0, DIMS(3), VALUES(NAN, -INFINITY, INFINITY));
}
END_TEST

START_TEST(three_inputs)
{
    tg_tensor *x = of(VALUES(1, 2)), *a = tensor(TG_F64, DIMS(2, 1), VALUES(3, 4)), *b = tensor(TG_F64, SCALAR, VALUES(2));
    expect(tg_addcmul(tape, x, a, b, 0.5), 0, DIMS(2, 2), VALUES(4, 5, 5, 6));
    expect(tg_addcdiv(tape, x, a, b, -2), 0, DIMS(2, 2), VALUES(-2, -1, -3, -2));
    expect(tg_lerp(tape, x, a, of(VALUES(0, 1))), 0, DIMS(2, 2), VALUES(1, 3, 1, 4));
    expect(tg_lerp_scalar(tape, x, b, 0.25), 0, DIMS(2), VALUES(1.25, 2));
    expect_error(tg_addcmul(tape, x, of(VALUES(1, 2, 3)), b, 1), TG_ESHAPE, "addcmul");
    tg_tensor *i = tensor(TG_I64, DIMS(2), VALUES(1, 2));
    expect_error(tg_addcdiv(tape, i, i, i, 1), TG_EDTYPE, "addcdiv");
}
END_TEST

START_TEST(prelu)
{
    tg_tensor *x = leaf(TG_F64, DIMS(2, 3), VALUES(-1, 2, -3, 4, -5, 0)), *w = leaf(TG_F64, DIMS(3), VALUES(.1, .2, .3));
    tg_tensor *y = tg_prelu(tape, x, w);
    expect(y, 1e-15, DIMS(2, 3), VALUES(-.1, 2, -.9, 4, -1, 0));
    expect(weighted_gradient(y, w), 1e-15, DIMS(3), VALUES(-1, -25, -9));
    expect(weighted_gradient(y, x), 1e-15, DIMS(2, 3), VALUES(.1, 2, .9, 4, 1, 1.8));
    expect(tg_prelu(tape, of(VALUES(-2, 2)), tensor(TG_F64, DIMS(1), VALUES(.5))), 0, DIMS(2), VALUES(-1, 2));
    expect(tg_prelu(tape, tensor(TG_F64, SCALAR, VALUES(-2)), tensor(TG_F64, SCALAR, VALUES(.5))), 0, SCALAR, VALUES(-1));
    expect_error(tg_prelu(tape, x, of(VALUES(1, 2))), TG_ESHAPE, "x's 3 channels");
    expect_error(tg_prelu(tape, x, NULL), TG_EINVAL, "prelu: weight");
}
END_TEST

/* The slopes that PyTorch has at the ends of the range. */
START_TEST(slopes_at_infinity)
{
    tg_tensor *x = leaf(TG_F64, DIMS(3), VALUES(INFINITY, -INFINITY, NAN));
    tg_tensor *nans[] = {tg_gelu(tape, x, false), tg_gelu(tape, x, true), tg_mish(tape, x), tg_softsign(tape, x)};
    for (size_t k = 0; k < sizeof nans / sizeof *nans; k++)
        expect(weighted_gradient(nans[k], x), 0, DIMS(3), VALUES(NAN));
    expect(weighted_gradient(tg_elu(tape, x, 2), x), 0, DIMS(3), VALUES(1, 0, NAN));
    expect(weighted_gradient(tg_celu(tape, x, 2), x), 0, DIMS(3), VALUES(1, 0, NAN));
    tg_tensor *big = leaf(TG_F64, DIMS(2), VALUES(1e150, -1e150));
    expect(weighted_gradient(tg_gelu(tape, big, true), big), 0, DIMS(2), VALUES(1, 0));
    expect(weighted_gradient(tg_softsign(tape, big), big), 1e-15, DIMS(2), VALUES(0, 0));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("special");
    TCase *t = tcase_create("values");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, error_functions);
    tcase_add_test(t, gamma_functions);
    tcase_add_test(t, bessel_and_sinc);
    tcase_add_test(t, fourth_derivatives);
    tcase_add_test(t, third_derivatives_of_two_inputs);
    tcase_add_test(t, rounding);
    tcase_add_test(t, quotients);
    tcase_add_test(t, bounds_that_are_tensors);
    tcase_add_test(t, extrema_and_signs);
    tcase_add_test(t, logarithms_of_sums);
    tcase_add_test(t, three_inputs);
    tcase_add_test(t, prelu);
    tcase_add_test(t, slopes_at_infinity);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
