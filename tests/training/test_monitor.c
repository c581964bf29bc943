/* The progress bar and the charts. */
#include "training/files.h"

START_TEST(quiet_without_a_terminal)
{
    FILE *f = tmpfile();
    tg_progress p;
    tg_progress_begin(&p, f, "epoch 1", 10);
    for (int i = 0; i < 10; i++)
        tg_progress_step(&p, 128, 0.5);
    tg_progress_end(&p);
    ck_assert_int_eq(p.done, 10);
    ck_assert_int_eq(p.examples, 1280);
    ck_assert_int_eq(ftell(f), 0);
    fclose(f);
    tg_progress_begin(&p, NULL, NULL, 0);
    tg_progress_step(&p, 1, 0);
    tg_progress_end(&p);
}
END_TEST

START_TEST(draws_at_most_ten_times_a_second)
{
    /* The bar's own clock, and a file that is said to be a terminal. */
    FILE *f = tmpfile();
    tg_progress p;
    tg_progress_begin(&p, f, "epoch 1", 100000);
    p.terminal = true;
    double start = tg_seconds();
    for (int i = 0; i < 100000; i++)
        tg_progress_step(&p, 128, 0.5);
    double seconds = tg_seconds() - start;
    long size = ftell(f);
    ck_assert_int_gt(size, 40);
    ck_assert_int_le(size, (long)(200 * (2 + 10 * seconds)));
    char line[256] = "";
    rewind(f);
    ck_assert_uint_gt(fread(line, 1, sizeof line - 1, f), 0);
    ck_assert_ptr_nonnull(strstr(line, "epoch 1"));
    ck_assert_ptr_nonnull(strstr(line, "loss 0.5000"));
    ck_assert_ptr_nonnull(strstr(line, "examples/s"));
    ck_assert_ptr_nonnull(strstr(line, "left"));
    fseek(f, 0, SEEK_END);
    tg_progress_end(&p);
    fclose(f);
}
END_TEST

/* Every tag that opens closes, and no number is broken. */
static void check_svg(const char *path)
{
    size_t n;
    unsigned char *bytes = read_whole(path, &n);
    char *text = malloc(n + 1);
    memcpy(text, bytes, n);
    text[n] = 0;
    ck_assert(strncmp(text, "<svg ", 5) == 0);
    ck_assert_ptr_nonnull(strstr(text, "</svg>"));
    ck_assert_ptr_null(strstr(text, "nan"));
    ck_assert_ptr_null(strstr(text, "inf"));
    int depth = 0;
    for (const char *c = text; (c = strchr(c, '<')); c++) {
        const char *end = strchr(c, '>');
        ck_assert_ptr_nonnull(end);
        depth += c[1] == '/' ? -1 : end[-1] == '/' ? 0 : 1;
        ck_assert_int_ge(depth, 0);
    }
    ck_assert_int_eq(depth, 0);
    free(text);
    free(bytes);
}

START_TEST(charts)
{
    enum { POINTS = 100 };
    double x[POINTS], y[POINTS], z[POINTS];
    for (int i = 0; i < POINTS; i++) {
        x[i] = i / 20.0;
        y[i] = 2 * exp(-x[i]) + 0.3;
        z[i] = i % 10 ? (double)NAN : 88 + i / 50.0;
    }
    tg_curve curves[] = {{"train <loss> & \"more\"", x, y, POINTS}, {"test", x, z, POINTS}};
    double one = 3, inf = INFINITY, huge[] = {1e-300, 1e300};
    tg_curve odd[] = {{"one", &one, &one, 1}, {"none", NULL, NULL, 0}, {"far", &inf, &inf, 1}};
    tg_curve wide[] = {{NULL, huge, huge, 2}};
    tg_chart c[] = {{"Loss", "epoch", "loss", curves, 2},
                    {"Odd", NULL, NULL, odd, 3},
                    {NULL, NULL, NULL, NULL, 0},
                    {"Unbounded", "x", "y", odd + 2, 1},
                    {"Wide", "x", "y", wide, 1}};
    for (size_t n = 0; n <= sizeof c / sizeof *c; n++) {
        ck_assert_msg(tg_charts_write_svg(in_folder("x.svg"), c, n) == TG_OK, "%s", tg_error_message());
        check_svg(in_folder("x.svg"));
    }
}
END_TEST

START_TEST(not_writable)
{
    ck_assert_int_eq(tg_charts_write_svg(in_folder("no/x.svg"), NULL, 0), TG_EIO);
    ck_assert_int_eq(tg_charts_write_svg(NULL, NULL, 0), TG_EINVAL);
    ck_assert_int_eq(tg_charts_write_svg("x.svg", NULL, 1), TG_EINVAL);
    if (access("/dev/full", W_OK) != 0)
        TG_SKIP("no /dev/full here");
    ck_assert_int_eq(tg_charts_write_svg("/dev/full", NULL, 0), TG_EIO);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("monitor");
    TCase *t = tcase_create("monitor");
    tcase_add_checked_fixture(t, folder_open, folder_close);
    tcase_add_test(t, quiet_without_a_terminal);
    tcase_add_test(t, draws_at_most_ten_times_a_second);
    tcase_add_test(t, charts);
    tcase_add_test(t, not_writable);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
