/* For the tests of bad input: calls in a list, one line each; their tensors are made as the line says, or
 * wrong in one of many ways; what a failing call must look like. */
#ifndef TG_TESTS_OPERATORS_BAD_INPUT_H
#define TG_TESTS_OPERATORS_BAD_INPUT_H

#include "operators/rig.h"

#include <stdlib.h>

/* What a CALL is about, and which of them is wanted. */
typedef struct cursor {
    size_t at, wanted;
    bool run;
    const char *name, *in;
} cursor;

static bool reached(cursor *c, const char *name, const char *in)
{
    if (c->at++ != c->wanted)
        return false;
    c->name = name;
    c->in = in;
    return c->run;
}

static tg_tensor *out[8];

/* The function without tg_, then what is right for it: f64, i64 or bool with these dims; "?": or NULL. */
#define CALL(name, in, ...)                                                                                  \
    if (reached(c, #name, in))                                                                               \
        return __VA_ARGS__;

enum { MOST = 8 };

typedef void *(*calls)(cursor *, tg_tape *, tg_tensor *const *);

/* The CALL number `k`: its tensors made and given, or (run false) only its name and what it takes. */
static void *call(const calls *all, size_t k, bool run, tg_tape *on, tg_tensor *const *t, cursor *c)
{
    *c = (cursor){.wanted = k, .run = run};
    for (size_t i = 0; all[i] && !c->name; i++) {
        void *y = all[i](c, on, t);
        if (c->name)
            return y;
    }
    return NULL;
}

typedef enum wrong {
    RIGHT,
    NOTHING,
    STALE,
    FOREIGN,
    BOOL,
    WHOLE,
    SINGLE,
    SCALAR_,
    ODD,
    DEEP,
    EMPTY,
    N_WRONG
} wrong;

static tg_tensor *made(tg_tape *on, tg_dtype dtype, const int64_t *dims, size_t ndim)
{
    double values[900] = {0};
    for (size_t i = 0; dtype != TG_I64 && i < 900; i++)
        ((float *)values)[i] = 0.5f;
    if (dtype == TG_F64)
        for (size_t i = 0; i < 900; i++)
            values[i] = 0.25 + 0.001 * (double)i;
    if (dtype == TG_BOOL)
        memset(values, 1, sizeof values);
    tg_tensor *x = tg_input(on, dtype, dims, ndim, values);
    ck_assert_msg(x != NULL, "%s", tg_tape_error(on));
    if (dtype == TG_F64)
        ck_assert_int_eq(tg_tensor_set_requires_grad(x, true), TG_OK);
    return x;
}

/* The tensor that `in` describes, or what is wrong in its place. */
static tg_tensor *given(const char *in, wrong how, tg_tape *foreign)
{
    int64_t dims[TG_MAX_DIM];
    size_t ndim = 0;
    tg_dtype dtype = *in == 'f' ? TG_F64 : *in == 'i' ? TG_I64 : TG_BOOL;
    for (in++; *in >= '0' && *in <= '9'; in++)
        dims[ndim++] = *in - '0';
    if (how == BOOL || how == WHOLE || how == SINGLE)
        dtype = how == BOOL ? TG_BOOL : how == WHOLE ? TG_I64 : TG_F32;
    if (how == SCALAR_ || how == DEEP || how == EMPTY)
        ndim = how == SCALAR_ ? 0 : how == DEEP ? 5 : 2;
    for (size_t d = 0; d < ndim && (how == ODD || how == DEEP || how == EMPTY); d++)
        dims[d] = how == EMPTY ? 0 : how == DEEP ? 2 : 7 - (int64_t)d;
    if (how == NOTHING)
        return NULL;
    tg_tensor *x = made(how == FOREIGN ? foreign : tape, dtype, dims, ndim);
    if (how == STALE)
        tg_discard(x);
    return x;
}

/* The tensors of a CALL, that number `which` wrong; how many there are, and whether the wrong one may be
 * NULL. */
static size_t give(const char *in, size_t which, wrong how, tg_tape *foreign, tg_tensor **t, bool *optional)
{
    size_t n = 0;
    *optional = false;
    while (*in) {
        size_t length = strcspn(in, " ");
        if (n == which)
            *optional = in[length - 1] == '?';
        t[n] = given(in, n == which ? how : RIGHT, foreign);
        n++;
        in += length + (in[length] == ' ');
    }
    return n;
}

/* It begins with the function's name: in full, or as torch has it, without _dims, _n, _with and the like. */
static bool names(const char *sentence, const char *name)
{
    size_t n = strspn(sentence, "abcdefghijklmnopqrstuvwxyz_0123456789");
    return n && !strncmp(sentence, name, n) && (!name[n] || name[n] == '_');
}

/* One failing call: its sentence, and what it left. */
static void failed(const cursor *c, size_t which, wrong how, size_t nodes, size_t bytes)
{
    const char *error = tg_tape_error(tape);
    ck_assert_msg(tg_tape_status(tape) != TG_OK, "%s, input %zu, wrong %d: NULL without an error", c->name,
                  which, how);
    ck_assert_msg(names(error, c->name), "%s, input %zu, wrong %d: its sentence does not begin with it: %s",
                  c->name, which, how, error);
    ck_assert_msg(strstr(error, "(test_bad_") != NULL, "%s: no place in: %s", c->name, error);
    ck_assert_msg(tg_tape_size(tape) == nodes, "%s, input %zu, wrong %d: leaves %zu nodes: %s", c->name,
                  which, how, tg_tape_size(tape) - nodes, error);
    ck_assert_msg(tg_tape_memory(tape).current == bytes, "%s, input %zu, wrong %d: leaves %zu bytes: %s",
                  c->name, which, how, tg_tape_memory(tape).current - bytes, error);
    tg_tape_clear_error(tape);
}

/* Every CALL with every input wrong in every way. */
static void each(const calls *all, void (*look)(size_t k, const cursor *c, size_t n))
{
    cursor c;
    tg_tensor *t[MOST];
    bool optional;
    for (size_t k = 0; call(all, k, false, tape, NULL, &c), c.name; k++) {
        size_t n = give(c.in, MOST, RIGHT, NULL, t, &optional);
        look(k, &c, n);
        tg_tape_reset(tape);
    }
}

#endif
