#include "abi/layout_rig.h"

#include <math.h>
#include <string.h>

#include <tapegrad/op_attrs.h>
#include <tapegrad/operator.h>

void toy_reset(void)
{
    fresh_env();
    env("TAPEGRAD_VERIFY", NULL);
    env("TAPEGRAD_PROFILE", NULL);
    env("TAPEGRAD_ANOMALY", NULL);
    const int kept = toy.kept;
    toy = (layout_toy){0};
    ck_assert_int_eq(kept, 0);
}

tg_runtime *open_toys(const char *chain, const tg_allocator *allocator)
{
    static const tg_backend *const all[] = {&layout_toys[0], &layout_toys[1], &layout_toys[2],
                                            &layout_toys[3]};
    tg_runtime_options o = {.struct_size = sizeof o,
                            .backend = chain,
                            .allocator = allocator,
                            .threads = 2,
                            .backends = all,
                            .n_backends = sizeof all / sizeof *all};
    tg_runtime *rt = NULL;
    tg_status status = tg_runtime_open(&rt, &o);
    ck_assert_msg(status == TG_OK, "%s", tg_error_message());
    return rt;
}

world *world_open(const char *chain)
{
    world *w = calloc(1, sizeof *w);
    w->rt = open_toys(chain, NULL);
    w->tape = open_tape(w->rt);
    return w;
}

void world_close(world *w)
{
    tg_tape_close(w->tape);
    tg_runtime_close(w->rt);
    free(w);
}

tg_tensor *values(world *w, int seed)
{
    float x[COUNT];
    for (int i = 0; i < COUNT; i++)
        x[i] = (float)((i * 7 + seed * 5) % 23 - 11) * 0.125f;
    return tg_input(w->tape, TG_F32, TG_DIMS(DIM0, DIM1, DIM2), x);
}

tg_tensor *lay(world *w, tg_tensor *x, int which)
{
    tg_tensor *y = NULL;
    const tg_reorder_attrs a = {which};
    tg_status status = tg_apply(w->tape, tg_operator_find(w->rt, "reorder"), &x, 1, &a, NULL, &y);
    ck_assert_msg(status == TG_OK, "%s", tg_tape_error(w->tape));
    return y;
}

tg_tensor *laid(world *w, int seed)
{
    return lay(w, values(w, seed), 0);
}

tg_tensor *loss_of(world *w, tg_tensor *x, tg_tensor *u)
{
    tg_tape *t = w->tape;
    tg_tensor *a = tg_mul(t, x, laid(w, 7)), *b = tg_neg(t, tg_exp(t, a)),
              *c = tg_softmax(t, tg_mul(t, a, u), 1);
    tg_tensor *d = tg_mul(t, tg_add(t, b, c), laid(w, 8));
    return tg_sum(t, tg_add(t, tg_mul(t, d, d), tg_relu(t, tg_add(t, a, tg_permute(t, a, 0, 1, 2)))));
}

void note_number(world *w, float x)
{
    ck_assert_uint_lt(w->n, MAX_NOTED);
    w->noted[w->n++] = x;
}

void note(world *w, tg_tensor *t)
{
    float x[COUNT * COUNT];
    ck_assert_msg(t != NULL, "%s", tg_tape_error(w->tape));
    const size_t n = (size_t)tg_tensor_count(t);
    ck_assert_uint_le(n, COUNT * COUNT);
    if (tg_tensor_dtype(t) == TG_BOOL) {
        unsigned char bits[COUNT];
        ck_assert_int_eq(tg_tensor_read(t, bits, n), TG_OK);
        for (size_t i = 0; i < n; i++)
            x[i] = bits[i];
    } else {
        ck_assert_msg(tg_tensor_read(t, x, n * sizeof *x) == TG_OK, "%s", tg_error_message());
    }
    for (size_t i = 0; i < n; i++)
        note_number(w, x[i]);
}

void compare(void (*program)(world *w))
{
    world *plain = world_open("reference"), *blocked = world_open("toy,reference");
    program(plain);
    toy.in_layout = 0;
    program(blocked);
    ck_assert_msg(tg_tape_status(plain->tape) == TG_OK, "%s", tg_tape_error(plain->tape));
    ck_assert_msg(tg_tape_status(blocked->tape) == TG_OK, "%s", tg_tape_error(blocked->tape));
    ck_assert_int_eq(toy.wrong, 0);
    ck_assert_int_gt(toy.in_layout, 0);
    ck_assert_uint_gt(plain->n, 0);
    ck_assert_uint_eq(plain->n, blocked->n);
    for (size_t i = 0; i < plain->n; i++)
        ck_assert_msg(plain->noted[i] == blocked->noted[i] ||
                          (isnan(plain->noted[i]) && isnan(blocked->noted[i])) ||
                          fabsf(plain->noted[i] - blocked->noted[i]) <= 1e-5f * (1 + fabsf(plain->noted[i])),
                      "note %zu: %g, plain %g", i, (double)blocked->noted[i], (double)plain->noted[i]);
    world_close(plain);
    world_close(blocked);
}
