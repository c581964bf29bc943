/* An operator case's arguments, as an adapter asks for them. What an adapter does not ask for, and is not
 * null, makes the case unsupported: nothing is dropped quietly. */
#ifndef TG_CONFORMANCE_OP_CALL_H
#define TG_CONFORMANCE_OP_CALL_H

#include "case.h"

enum { MAX_ARGS = 24, MAX_LIST = 16, MAX_OUT = 16 };

typedef struct op_arg {
    const char *name;
    const json_t *value;
    tg_tensor *tensor[MAX_LIST]; /* one, or a list's */
    const char *tensor_name[MAX_LIST];
    size_t n_tensors;
    bool used;
} op_arg;

typedef struct op_call {
    golden *g;
    tg_tape *tape;
    op_arg arg[MAX_ARGS];
    size_t n_args;
    tg_tensor *out[MAX_OUT];
    size_t n_out;
    verdict v; /* set by what follows when an argument is of a kind that does not fit */
} op_call;

/* The argument is there and is not null (and counts as used). */
bool has(op_call *c, const char *name);
/* NULL where it is no tensor. */
tg_tensor *tensor(op_call *c, const char *name);
/* A list's tensors; n 0 where it is none. */
tg_tensor *const *tensors(op_call *c, const char *name, size_t *n);
/* A tensor, or a number as a scalar tensor. */
tg_tensor *tensor_or_number(op_call *c, const char *name);
bool is_number(op_call *c, const char *name);
bool is_integer(op_call *c, const char *name); /* not a boolean, not 1.0 */
double number(op_call *c, const char *name, double otherwise);
int64_t integer(op_call *c, const char *name, int64_t otherwise);
bool flag(op_call *c, const char *name, bool otherwise);
/* "" where it is no text. */
const char *text(op_call *c, const char *name);
/* One integer or a list; n 0 where it is absent, null or empty. */
tg_ints integers(op_call *c, const char *name);
/* The same of numbers. */
tg_reals numbers(op_call *c, const char *name);
/* A list of two lists of integers. */
void two_lists(op_call *c, const char *name, tg_ints *first, tg_ints *second);
/* 'dtype', or another where there is none. */
tg_dtype dtype_or(op_call *c, tg_dtype otherwise);
/* Refuses a 'device' other than the cpu: ours live on the host. */
void on_the_host(op_call *c);
/* Says why the arguments do not fit what we have. */
void cannot(op_call *c, const char *format, ...) TG_PRINTF(2, 3);

/* One more output. */
void give(op_call *c, tg_tensor *y);

/* By torch's name; NULL: no operator of ours means that. */
typedef void (*adapter_fn)(op_call *c);
adapter_fn find_adapter(const char *op);

/* One table a family, ended by NULL. */
typedef struct adapter {
    const char *name;
    adapter_fn fn;
} adapter;
extern const adapter adapters_elementwise[], adapters_reduce[], adapters_shape[], adapters_index[];
extern const adapter adapters_products[], adapters_nn[];

#endif
