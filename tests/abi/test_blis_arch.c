/* Which kernel set BLIS gets on which processor and for which BLIS_ARCH_TYPE, by the rules themselves. What
 * happens with the library under another cpuid is product.c's. */
#include "support/check_main.h"

#include "backends/blis/choose.h"

/* As Debian builds it, 0.9 and 1.1; and one that knows Zen 5. */
static const tg_blis_set debian[] = {
    {"skx", 0, TG_BLIS_AVX512},
    {"knl", 1, TG_BLIS_NEVER},
    {"haswell", 3, TG_BLIS_AVX2},
    {"sandybridge", 4, TG_BLIS_AVX},
    {"penryn", 5, TG_BLIS_SSSE3},
    {"zen3", 6, TG_BLIS_AVX2},
    {"zen2", 7, TG_BLIS_AVX2},
    {"zen", 8, TG_BLIS_AVX2},
    {"excavator", 9, TG_BLIS_BULLDOZER},
    {"steamroller", 10, TG_BLIS_BULLDOZER},
    {"piledriver", 11, TG_BLIS_BULLDOZER},
    {"bulldozer", 12, TG_BLIS_BULLDOZER},
    {"generic", 25, TG_BLIS_NOTHING},
};
static const tg_blis_set newer[] = {{"zen5", 40, TG_BLIS_AVX512},
                                    {"skx", 0, TG_BLIS_AVX512},
                                    {"haswell", 3, TG_BLIS_AVX2},
                                    {"zen3", 6, TG_BLIS_AVX2},
                                    {"generic", 50, TG_BLIS_NOTHING}};
static const tg_blis_set intel_only[] = {{"haswell", 3, TG_BLIS_AVX2}, {"generic", 25, TG_BLIS_NOTHING}};
#define SETS(x) x, sizeof x / sizeof *x

typedef enum vendor { INTEL, AMD, OTHER } vendor;
enum {
    BARE,
    SSE = 1,
    AVX = 2,
    FMA4 = 4,
    AVX2 = 8,
    AVX512 = 16,
    UP_TO_AVX2 = SSE | AVX | AVX2,
    ALL = UP_TO_AVX2 | AVX512
};

static tg_blis_cpu cpu_of(vendor v, unsigned family, int features)
{
    tg_blis_cpu c = {.intel = v == INTEL, .amd = v == AMD, .family = family};
    c.has[TG_BLIS_NOTHING] = true;
    c.has[TG_BLIS_SSSE3] = features & SSE;
    c.has[TG_BLIS_AVX] = features & AVX;
    c.has[TG_BLIS_BULLDOZER] = features & FMA4;
    c.has[TG_BLIS_AVX2] = features & AVX2;
    c.has[TG_BLIS_AVX512] = features & AVX512;
    return c;
}

static void expect(const tg_blis_set *sets, size_t n, vendor v, unsigned family, int features,
                   const char *name)
{
    const tg_blis_cpu c = cpu_of(v, family, features);
    const char *why, *set;
    const tg_blis_set *got = tg_blis_choose(&c, sets, n, NULL, &why, &set);
    ck_assert_ptr_null(why);
    ck_assert_str_eq(got ? got->name : "BLIS's own choice", name ? name : "BLIS's own choice");
}

START_TEST(by_processor)
{
    expect(SETS(debian), INTEL, 6, ALL, "skx"); /* Ice Lake, Sapphire Rapids, odd brand strings */
    expect(SETS(debian), INTEL, 6, UP_TO_AVX2, NULL);
    expect(SETS(debian), INTEL, 6, SSE | AVX, NULL);
    expect(SETS(debian), INTEL, 6, BARE, NULL);
    expect(SETS(intel_only), INTEL, 6, ALL, NULL);
    expect(SETS(debian), AMD, 0x1a, ALL, "skx"); /* Zen 5 */
    expect(SETS(debian), AMD, 0x1b, ALL, "skx");
    expect(SETS(debian), AMD, 0x1a, UP_TO_AVX2, "zen3");
    expect(SETS(debian), AMD, 0x1a, SSE, "penryn");
    expect(SETS(newer), AMD, 0x1a, ALL, NULL);
    expect(SETS(newer), AMD, 0x1a, UP_TO_AVX2, "zen3");
    expect(SETS(newer), AMD, 0x1b, ALL, "zen5");
    expect(SETS(intel_only), AMD, 0x1a, ALL, "haswell");
    expect(SETS(debian), AMD, 0x19, ALL, NULL); /* Zen 4: zen3 is as fast */
    expect(SETS(debian), AMD, 0x19, UP_TO_AVX2, NULL);
    expect(SETS(debian), AMD, 0x17, UP_TO_AVX2, NULL);
    expect(SETS(debian), AMD, 0x17, SSE | AVX, "sandybridge"); /* a virtual machine without AVX2 */
    expect(SETS(debian), AMD, 0x19, BARE, NULL);
    expect(SETS(debian), AMD, 0x18, UP_TO_AVX2, "zen3");
    expect(SETS(debian), AMD, 0x16, SSE | AVX, "sandybridge"); /* Jaguar */
    expect(SETS(debian), AMD, 0x15, SSE | AVX | FMA4, NULL);
    expect(SETS(debian), AMD, 0x15, SSE | AVX, "sandybridge");
    expect(SETS(debian), AMD, 0x10, SSE, "penryn");
    expect(SETS(debian), OTHER, 7, ALL, "zen3");
    expect(SETS(debian), OTHER, 7, UP_TO_AVX2, "zen3");
    expect(SETS(debian), OTHER, 6, SSE | AVX, "sandybridge");
    expect(SETS(debian), OTHER, 6, SSE, "penryn");
    expect(SETS(debian), OTHER, 6, BARE, NULL);
}
END_TEST

static void wish(vendor v, int features, const char *users, const char *name, const char *reason,
                 const char *read_as)
{
    const tg_blis_cpu c = cpu_of(v, 6, features);
    const char *why, *set;
    const tg_blis_set *got = tg_blis_choose(&c, SETS(debian), users, &why, &set);
    ck_assert_msg(name ? got && !strcmp(got->name, name) : !got, "\"%s\" gives %s", users,
                  got ? got->name : "nothing");
    ck_assert_str_eq(why ? why : "", reason);
    ck_assert_str_eq(set ? set : "", read_as);
}

START_TEST(the_users_choice)
{
    const char *missing = "it was built without such a kernel set", *cannot = "this processor cannot run";
    static const tg_blis_set *const end = debian + sizeof debian / sizeof *debian;
    for (const tg_blis_set *s = debian; s < end; s++) {
        char number[16];
        snprintf(number, sizeof number, "%d", s->id);
        const bool runs = s->needs != TG_BLIS_NEVER && s->needs != TG_BLIS_BULLDOZER;
        for (int named = 0; named < 2; named++)
            wish(INTEL, ALL, named ? s->name : number, runs ? s->name : "skx", runs ? "" : cannot,
                 runs ? "" : s->name);
    }
    wish(INTEL, ALL, "", "skx", "", "");
    wish(INTEL, UP_TO_AVX2, "skx", NULL, cannot, "skx");
    wish(OTHER, UP_TO_AVX2, "0", "zen3", cannot, "skx");
    static const char *const wrong[] = {"32", "-1", "99",  "1000000000000000000000", "SKX", "zen9",
                                        "3x", " ",  "skx "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        wish(INTEL, ALL, wrong[i], "skx", missing, "");
        wish(INTEL, UP_TO_AVX2, wrong[i], NULL, missing, "");
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("blis kernel sets");
    TCase *t = tcase_create("decision");
    tcase_add_test(t, by_processor);
    tcase_add_test(t, the_users_choice);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
