/* The tape as text and as DOT. With graphviz there, `dot` reads it, too. */
#include "operators/rig.h"

#include <stdlib.h>
#include <unistd.h>

static char *dot_of(tg_module *names, bool print)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (print)
        tg_tape_print(tape, f);
    else
        ck_assert_int_eq(tg_tape_dot(tape, names, f), TG_OK);
    fclose(f);
    return text;
}

static size_t times(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

static void has(const char *text, const char *word, size_t n)
{
    ck_assert_msg(times(text, word) == n, "'%s' %zu times, not %zu:\n%s", word, times(text, word), n, text);
}

static bool have_dot(void)
{
    return system("dot -V >/dev/null 2>&1") == 0;
}

static void dot_reads(const char *text)
{
    if (!have_dot())
        return;
    FILE *dot = popen("dot -Tplain >/dev/null", "w");
    ck_assert_ptr_nonnull(dot);
    fputs(text, dot);
    ck_assert_int_eq(pclose(dot), 0);
}

START_TEST(of_a_network)
{
    tg_module *net = tg_nn_sequential(rt, tg_nn_linear(rt, 3, 4), tg_nn_tanh(rt), tg_nn_linear(rt, 4, 1));
    tg_tensor *x = tensor(TG_F32, DIMS(5, 3), VALUES(1, 2, 3));
    tg_tensor *y = tg_mean(tape, tg_square(tape, tg_forward(tape, net, x)));
    char *text = dot_of(net, false);
    ck_assert_msg(strncmp(text, "digraph tape {\n", 15) == 0 && strcmp(text + strlen(text) - 2, "}\n") == 0,
                  "%s", text);
    has(text, "{", 1);
    has(text, "[shape=ellipse", 5); /* four parameters, one input */
    has(text, "label=\"0.weight\\nf32[4, 3]\"", 1);
    has(text, "label=\"2.bias\\nf32[1]\"", 1);
    has(text, "label=\"input\\nf32[5, 3]\"", 1);
    has(text, "[shape=plaintext", 1);
    has(text, "[fillcolor=\"#dae8fc\"", tg_tape_size(tape));
    has(text, "test_graph.c:", tg_tape_size(tape));
    has(text, ", its result", 1); /* tanh's */
    ck_assert_uint_ge(times(text, "penwidth=2"), 3);
    dot_reads(text);
    free(text);
    text = dot_of(NULL, true);
    has(text, " bytes saved  ", tg_tape_size(tape));
    has(text, "->", tg_tape_size(tape));
    has(text, "f32[5, 3]*", 1);
    has(text, "0 of them recorded by a backward; ", 1);
    free(text);
    ck_assert_int_eq(tg_backward(tape, y), TG_OK);
    text = dot_of(net, true);
    has(text, "given back", tg_tape_size(tape));
    has(text, "; 0 bytes saved", 1);
    free(text);
    tg_module_destroy(net);
}
END_TEST

START_TEST(of_a_recorded_backward)
{
    tg_tensor *x = leaf(TG_F64, DIMS(3), VALUES(1, 2, 3)), *g = NULL;
    tg_tensor *y = tg_sum(tape, tg_exp(tape, x));
    const size_t forward = tg_tape_size(tape);
    ck_assert_int_eq(tg_grad(tape, y, NULL, &x, 1, &g, TG_CREATE_GRAPH), TG_OK);
    const size_t all = tg_tape_size(tape);
    ck_assert_uint_gt(all, forward);
    char *text = dot_of(NULL, false);
    has(text, "[fillcolor=\"#dae8fc\"", forward);
    has(text, "[fillcolor=\"#ffe6cc\"", all - forward);
    has(text, "\\nbackward of ", all - forward);
    dot_reads(text);
    free(text);
    text = dot_of(NULL, true);
    has(text, "  by the backward of ", all - forward);
    free(text);
}
END_TEST

START_TEST(refusals)
{
    ck_assert_int_eq(tg_tape_dot(NULL, NULL, stderr), TG_EINVAL);
    ck_assert_int_eq(tg_tape_dot(tape, NULL, NULL), TG_EINVAL);
    FILE *full = fopen("/dev/full", "w");
    if (full) {
        setvbuf(full, NULL, _IONBF, 0);
        ck_assert_int_eq(tg_tape_dot(tape, NULL, full), TG_EIO);
        fclose(full);
    }
    char *text = dot_of(NULL, false); /* of nothing */
    dot_reads(text);
    free(text);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("graph");
    TCase *c = tcase_create("graph");
    tcase_add_checked_fixture(c, rig_open, rig_close);
    tcase_add_test(c, of_a_network);
    tcase_add_test(c, of_a_recorded_backward);
    tcase_add_test(c, refusals);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
