/* Values in a backend's own layout are, to everybody but kernels that take them so, what they are row-major.
 */
#include "abi/layout_rig.h"

#include <string.h>

#include <tapegrad/operator.h>

/* -- reading and writing ------------------------------------------------------------------------------------
 */

static void reads(world *w)
{
    tg_tensor *x = laid(w, 1), *y = tg_neg(w->tape, x);
    tg_desc d;
    char text[4000] = "", *line = text;
    for (int i = 0; i < 2; i++) {
        note(w, x);
        note(w, y);
    }
    ck_assert_int_eq(tg_tensor_desc(y, &d), TG_OK);
    ck_assert_ptr_null(d.layout);
    ck_assert_int_eq(d.stride[0], DIM1 * DIM2);
    ck_assert_int_eq(d.stride[2], 1);
    FILE *f = fmemopen(text, sizeof text, "w");
    ck_assert_int_eq(tg_tensor_print(y, f), TG_OK);
    fclose(f);
    for (; *line; line++)
        note_number(w, (float)*line);
    const int before = toy.in_layout;
    note(w, tg_neg(w->tape, y)); /* still in its layout after all this reading */
    ck_assert(toy.in_layout > before || !strcmp(tg_runtime_backend(w->rt), "reference"));
    tg_tensor *one = lay(w, tg_input(w->tape, TG_F32, TG_DIMS(1, 1, 1), (const float[]){7.5f}), 0);
    double item = 0;
    ck_assert_int_eq(tg_item(tg_neg(w->tape, one), &item), TG_OK);
    ck_assert_double_eq(item, -7.5);
    note(w, lay(w, tg_input(w->tape, TG_F32, TG_DIMS(2, 0, 3), NULL), 0));
    note(w, x);
}

static void writes(world *w)
{
    float data[COUNT] = {3, 1, 4, 1, 5};
    tg_tensor *x = laid(w, 1), *same = tg_detach(w->tape, x), *y = laid(w, 2);
    ck_assert_int_eq(tg_tensor_write(x, data, sizeof data), TG_OK);
    note(w, x);
    note(w, same); /* a detached one shares */
    ck_assert_int_eq(tg_fill(y, 2.5), TG_OK);
    note(w, y);
    tg_tensor *z = laid(w, 3);
    ck_assert_int_eq(tg_init_uniform(z, -1, 1), TG_OK);
    note(w, z);
    note(w, tg_neg(w->tape, z));
}

static void in_place_row(world *w, const char *name, tg_tensor *a, tg_tensor *b)
{
    tg_status status =
        tg_apply(w->tape, tg_operator_find(w->rt, name), (tg_tensor *[]){a, b}, 2, NULL, NULL, NULL);
    ck_assert_msg(status == TG_OK, "%s", tg_tape_error(w->tape));
    note(w, a);
    note(w, b);
}

static void in_place(world *w)
{
    const tg_operator *fill = tg_operator_find(w->rt, "fill_");
    static const char *const rows[] = {"add_", "copy_"};
    for (int i = 0; i < 2; i++) {
        in_place_row(w, rows[i], laid(w, 1), laid(w, 2));
        in_place_row(w, rows[i], laid(w, 1), values(w, 2));
        in_place_row(w, rows[i], values(w, 1), laid(w, 2));
        in_place_row(w, rows[i], laid(w, 1), lay(w, values(w, 2), 1));
        tg_tensor *x = laid(w, 4);
        in_place_row(w, rows[i], x, x);
    }
    in_place_row(w, "copy_", laid(w, 1), tg_scalar(w->tape, TG_F32, 3));
    in_place_row(w, "copy_", laid(w, 1), tg_slice(w->tape, laid(w, 2), 0, 0, 1, 1));
    tg_tensor *x = laid(w, 3), *shared = tg_detach(w->tape, x);
    ck_assert_int_eq(tg_apply(w->tape, fill, &x, 1, NULL, &(double){7}, NULL), TG_OK);
    note(w, x);
    note(w, shared);
    tg_tensor *part = tg_select(w->tape, x, 0, 1); /* a view writes through */
    ck_assert_int_eq(tg_apply(w->tape, fill, &part, 1, NULL, &(double){9}, NULL), TG_OK);
    note(w, x);
    note(w, part);
}

/* -- shapes and mixtures
 * -------------------------------------------------------------------------------------- */

static void views(world *w)
{
    tg_tape *t = w->tape;
    note(w, tg_reshape(t, laid(w, 1), DIM0 * DIM1, DIM2));
    note(w, tg_permute(t, laid(w, 1), 2, 0, 1));
    note(w, tg_slice(t, laid(w, 1), 2, 1, 4, 2));
    note(w, tg_select(t, laid(w, 1), 1, 2));
    note(w, tg_transpose(t, laid(w, 1), 0, 2));
    note(w, tg_expand(t, tg_reshape(t, laid(w, 1), 1, COUNT), 3, COUNT));
    note(w, tg_neg(t, tg_permute(t, laid(w, 1), 2, 0, 1)));
    tg_tensor *x = laid(w, 2), *y = tg_neg(t, x);
    note(w, tg_transpose(t, y, 1, 2)); /* y is plain from here on */
    note(w, tg_mul(t, x, y));
    note(w, tg_contiguous(t, laid(w, 3)));
    note(w, tg_clone(t, laid(w, 3)));
    note(w, lay(w, lay(w, values(w, 3), 0), 1));
    note(w, lay(w, tg_transpose(t, values(w, 3), 0, 2), 1));
}

static void mixtures(world *w)
{
    tg_tape *t = w->tape;
    tg_tensor *x = laid(w, 1), *r = lay(w, values(w, 2), 1), *p = values(w, 3);
    tg_tensor *scalar = tg_scalar(t, TG_F32, 1.5), *wide = tg_scalar(t, TG_F64, 0.5);
    tg_tensor *one = lay(w, tg_input(t, TG_F32, TG_DIMS(1, 1, 1), (const float[]){-2}), 0);
    tg_tensor *column = tg_input(t, TG_F32, TG_DIMS(DIM1, 1), (const float[]){1, 2, 3});
    tg_tensor *row = lay(w, tg_input(t, TG_F32, TG_DIMS(DIM2), (const float[]){1, -2, 3, -4}), 0);
    static tg_tensor *(*const rows[])(tg_tape *, tg_tensor *, tg_tensor *) = {tg_mul, tg_add, (tg_sub),
                                                                              (tg_div), (tg_maximum)};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tg_tensor *others[] = {x, r, p, scalar, one, column, row, wide, laid(w, 5)};
        for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
            tg_tensor *a = laid(w, 1);
            note(w, tg_to(t, rows[i](t, a, others[k]), TG_F32));
            if (k != 0)
                note(w, tg_to(t, rows[i](t, others[k], a), TG_F32));
        }
    }
    note(w, tg_gt(t, laid(w, 1), laid(w, 2)));
    note(w, tg_where(t, tg_gt(t, laid(w, 1), laid(w, 2)), laid(w, 3), laid(w, 4)));
    note(w, tg_where(t, tg_gt(t, scalar, one), laid(w, 3), laid(w, 4)));
    note(w, tg_relu(t, tg_add_scalar(t, tg_exp(t, tg_neg(t, laid(w, 3))), -1.5)));
    note(w, tg_softmax(t, laid(w, 3), 1));
    note(w, tg_softmax(t, tg_exp(t, laid(w, 3)), -1));
    note(w, tg_sum(t, laid(w, 3)));
    note(w, tg_cat(t, 1, laid(w, 3), values(w, 4), lay(w, values(w, 5), 1)));
    note(w, tg_add(t, laid(w, 3), tg_expand(t, scalar, DIM0, DIM1, DIM2)));
}

/* -- gradients ----------------------------------------------------------------------------------------------
 */

static void backward(world *w)
{
    tg_tensor *leaf = NULL;
    ck_assert_int_eq(tg_tensor_create(&leaf, w->rt, TG_F32, TG_DIMS(DIM0, DIM1, DIM2)), TG_OK);
    ck_assert_int_eq(tg_tensor_set_requires_grad(leaf, true), TG_OK);
    for (int pass = 0; pass < 3; pass++) {
        tg_tape_reset(w->tape);
        float data[COUNT];
        for (int i = 0; i < COUNT; i++)
            data[i] = (float)(i % 5 - 2) * 0.25f;
        ck_assert_int_eq(tg_tensor_write(leaf, data, sizeof data), TG_OK);
        tg_tensor *x = values(w, 1);
        tg_tensor_set_requires_grad(x, true);
        ck_assert_msg(tg_backward(w->tape, loss_of(w, leaf, x)) == TG_OK, "%s", tg_tape_error(w->tape));
        const int before =
            toy.in_layout; /* leaves' gradients are row-major, and reading them is no kernel's business */
        note(w, tg_tensor_grad(x));
        note(w, tg_tensor_grad(leaf)); /* adds up over the passes */
        ck_assert_int_eq(toy.in_layout, before);
    }
    tg_tensor_destroy(leaf);
}

static void given_gradient(world *w)
{
    tg_tensor *x = values(w, 1), *y;
    tg_tensor_set_requires_grad(x, true);
    y = tg_mul(w->tape, x, laid(w, 2));
    tg_tensor *more[] = {tg_neg(w->tape, y), tg_exp(w->tape, y), tg_reshape(w->tape, y, COUNT),
                         tg_mul(w->tape, y, y)};
    for (int i = 0; i < 4; i++) {
        tg_tensor *gy = tg_reshape(w->tape, laid(w, 3), COUNT), *g = NULL;
        gy = i == 2 ? gy : lay(w, tg_reshape(w->tape, gy, DIM0, DIM1, DIM2), i % 2);
        ck_assert_msg(tg_grad(w->tape, more[i], gy, &x, 1, &g, TG_RETAIN) == TG_OK, "%s",
                      tg_tape_error(w->tape));
        note(w, g);
        ck_assert_int_eq(tg_backward_with(w->tape, more[i], gy, TG_RETAIN), TG_OK);
        note(w, tg_tensor_grad(x));
    }
    tg_tensor *one = lay(w, tg_input(w->tape, TG_F32, TG_DIMS(1, 1), (const float[]){3}), 0);
    tg_tensor *single = tg_input(w->tape, TG_F32, TG_DIMS(1, 1), (const float[]){2});
    tg_tensor_set_requires_grad(single, true);
    for (int i = 0; i < 3; i++) { /* of one element: a scalar to whom it meets */
        ck_assert_int_eq(tg_backward_with(w->tape, tg_mul(w->tape, single, one), one, 0), TG_OK);
        note(w, tg_tensor_grad(single));
        note(w, tg_mul(w->tape, tg_tensor_grad(single), laid(w, 4)));
    }
}

static void second_order(world *w)
{
    tg_tensor *x = values(w, 1), *u = values(w, 2), *v = laid(w, 5), *g = NULL, *hv = NULL;
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *y = loss_of(w, x, u);
    ck_assert_msg(tg_grad(w->tape, y, NULL, &x, 1, &g, TG_CREATE_GRAPH) == TG_OK, "%s",
                  tg_tape_error(w->tape));
    note(w, g);
    ck_assert_msg(tg_backward(w->tape, tg_sum(w->tape, tg_mul(w->tape, g, g))) == TG_OK, "%s",
                  tg_tape_error(w->tape));
    note(w, tg_tensor_grad(x));
    y = loss_of(w, x, u);
    ck_assert_msg(tg_hvp(w->tape, y, &x, &v, 1, &hv, 0) == TG_OK, "%s", tg_tape_error(w->tape));
    note(w, hv);
}

static tg_tensor *twice(void *arg, tg_tape *tape, tg_tensor *grad)
{
    note(arg, grad);
    return tg_mul(tape, grad, laid(arg, 6));
}

static void hooks(world *w)
{
    tg_tensor *x = values(w, 1);
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *y = tg_mul(w->tape, x, laid(w, 2));
    ck_assert_uint_ne(tg_tensor_register_hook(y, twice, w), 0);
    ck_assert_uint_ne(tg_tensor_register_hook(x, twice, w), 0);
    ck_assert_int_eq(tg_backward(w->tape, tg_sum(w->tape, tg_mul(w->tape, y, laid(w, 3)))), TG_OK);
    note(w, tg_tensor_grad(x));
}

/* -- saved values -------------------------------------------------------------------------------------------
 */

static void saved(world *w)
{
    tg_tape *t = w->tape;
    tg_tensor *x = values(w, 1);
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *a = tg_mul(t, x, laid(w, 2)), *y = tg_exp(t, a); /* exp saves y, in its layout */
    note(w, tg_sum(t, y));                                      /* y is row-major from here on */
    tg_tensor *z = tg_mul(t, y, a);
    note(w, tg_permute(t, a, 1, 0, 2));
    ck_assert_msg(tg_backward(t, tg_sum(t, z)) == TG_OK, "%s", tg_tape_error(t));
    note(w, tg_tensor_grad(x));
}

/* What was overwritten is known by its version, and by the writer's line, also after it came back to
 * row-major. */
START_TEST(versions_follow)
{
    const tg_operator *fill;
    for (int i = 0; i < 4; i++) {
        world *w = world_open("toy,reference");
        tg_tape *t = w->tape;
        fill = tg_operator_find(w->rt, "fill_");
        tg_tensor *x = values(w, 1);
        tg_tensor_set_requires_grad(x, true);
        tg_tensor *y = tg_exp(t, tg_mul(t, x, laid(w, 2))), *z = tg_neg(t, y), *free_of = tg_detach(t, y);
        tg_tensor *target = i < 2 ? y : free_of;
        if (i % 2)
            note(w, tg_sum(t, y));
        char place[60];
        snprintf(place, sizeof place, "test_layout.c:%d", __LINE__ + 1);
        ck_assert_int_eq(TG_AT(tg_apply(t, fill, &target, 1, NULL, &(double){7}, NULL)), TG_OK);
        if (i % 2 == 0)
            note(w, tg_sum(t, tg_reshape(t, y, COUNT)));
        ck_assert_int_eq(tg_backward(t, tg_sum(t, z)), TG_ESTATE);
        has(tg_tape_error(t), "its saved output 0 was overwritten since, by a call at");
        has(tg_tape_error(t), place);
        world_close(w);
    }
}
END_TEST

static tg_status inside(void *arg, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[],
                        size_t n_out)
{
    (void)n_in, (void)n_out;
    world *w = arg;
    tg_tensor *a = tg_mul(tape, in[0], laid(w, 3));
    out[0] = tg_softmax(tape, tg_exp(tape, a), 1);
    out[1] = in[1];
    out[2] = a;
    return tg_tape_status(tape);
}

static void checkpoint(world *w)
{
    tg_tape *t = w->tape;
    tg_tensor *x = values(w, 1), *in[2], *out[3];
    tg_tensor_set_requires_grad(x, true);
    in[0] = tg_mul(t, x, laid(w, 2));
    in[1] = tg_neg(t, in[0]);
    tg_status status = tg_checkpoint(t, inside, w, in, 2, out, 3);
    ck_assert_msg(status == TG_OK, "%s", tg_tape_error(t));
    for (int i = 0; i < 3; i++)
        note(w, out[i]);
    tg_tensor *sum = tg_sum(t, tg_add(t, tg_mul(t, out[0], out[1]), out[2]));
    ck_assert_msg(tg_backward(t, sum) == TG_OK, "%s", tg_tape_error(t));
    note(w, tg_tensor_grad(x));
}

static void carries(world *w)
{
    tg_tensor *h = NULL;
    for (int step = 0; step < 4; step++) {
        tg_tape_reset(w->tape);
        if (!h)
            h = laid(w, 1);
        tg_tensor *y = tg_neg(w->tape, tg_mul(w->tape, h, laid(w, step)));
        h = tg_carry(w->tape, y);
        ck_assert_msg(h != NULL, "%s", tg_tape_error(w->tape));
        note(w, h);
        note(w, y);
    }
}

static void discards(world *w)
{
    tg_tensor *x = values(w, 1);
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *a = tg_mul(w->tape, x, laid(w, 2)), *y = tg_exp(w->tape, a), *z = tg_neg(w->tape, y);
    tg_discard(a);
    tg_discard(y);
    note(w, z);
    ck_assert_int_eq(tg_backward(w->tape, tg_sum(w->tape, z)), TG_OK);
    note(w, tg_tensor_grad(x));
}

#define PROGRAM(name)                                                                                        \
    START_TEST(name##_as_plain)                                                                              \
    {                                                                                                        \
        compare(name);                                                                                       \
    }                                                                                                        \
    END_TEST
PROGRAM(reads)
PROGRAM(writes)
PROGRAM(in_place)
PROGRAM(views)
PROGRAM(mixtures)
PROGRAM(backward)
PROGRAM(given_gradient)
PROGRAM(second_order)
PROGRAM(hooks)
PROGRAM(saved)
PROGRAM(checkpoint)
PROGRAM(carries)
PROGRAM(discards)

/* The same where some or all of its kernels take none, so that every value goes to and fro. */
START_TEST(by_halves)
{
    static const char *const refused[] = {"*", "mul", "neg", "add", "add_", "softmax"};
    static void (*const programs[])(world *) = {reads,      writes,         in_place,     views, mixtures,
                                                backward,   given_gradient, second_order, hooks, saved,
                                                checkpoint, carries,        discards};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        for (size_t k = 0; k < sizeof programs / sizeof *programs; k++) {
            toy.flat_only = refused[i];
            compare(programs[k]);
        }
}
END_TEST

/* It is kept by what is pointwise, on any backend, and given up by the rest. */
START_TEST(where_it_stays)
{
    world *w = world_open("toy,reference");
    tg_tensor *x = laid(w, 1), *y = tg_exp(w->tape, tg_relu(w->tape, x));
    const int before = toy.in_layout;
    ck_assert_uint_eq(tg_tape_count_runs(w->tape, "exp", "reference"), 1);
    ck_assert_uint_eq(tg_tape_count_runs(w->tape, "contiguous", NULL), 0);
    tg_neg(w->tape, y);
    ck_assert_int_eq(toy.in_layout, before + 1);
    tg_sum(w->tape, y);
    ck_assert_uint_eq(tg_tape_count_runs(w->tape, "contiguous", "toy"), 1);
    tg_neg(w->tape, y);                          /* the same value, plain now */
    ck_assert_int_eq(toy.in_layout, before + 2); /* contiguous saw it; neg did not */
    tg_sum(w->tape, y);
    ck_assert_uint_eq(tg_tape_count_runs(w->tape, "contiguous", "toy"), 1);
    world_close(w);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("layout");
    TCase *t = tcase_create("values");
    tcase_add_checked_fixture(t, toy_reset, toy_reset);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, reads_as_plain);
    tcase_add_test(t, writes_as_plain);
    tcase_add_test(t, in_place_as_plain);
    tcase_add_test(t, views_as_plain);
    tcase_add_test(t, mixtures_as_plain);
    tcase_add_test(t, backward_as_plain);
    tcase_add_test(t, given_gradient_as_plain);
    tcase_add_test(t, second_order_as_plain);
    tcase_add_test(t, hooks_as_plain);
    tcase_add_test(t, saved_as_plain);
    tcase_add_test(t, versions_follow);
    tcase_add_test(t, checkpoint_as_plain);
    tcase_add_test(t, carries_as_plain);
    tcase_add_test(t, discards_as_plain);
    tcase_add_test(t, by_halves);
    tcase_add_test(t, where_it_stays);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
