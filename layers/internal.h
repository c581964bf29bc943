/* What the files of layers/ share. */
#ifndef TG_LAYERS_INTERNAL_H
#define TG_LAYERS_INTERNAL_H

#include <stddef.h>

#include <tapegrad/layers.h>

#include "autograd/internal.h"

/* The most inputs, and outputs, that a class may have. */
#define TG_LAYER_MAX_ARGS 16
/* The most layers of a stack: more are a mistake, which the memory would not say. */
#define TG_MOST_LAYERS 10000

typedef struct tg_part {
    char *name;
    tg_tensor *tensor;
    bool owned; /* not tied            */
    bool froze; /* by TG_FREEZE_AFFINE */
} tg_part;

typedef struct tg_parts {
    tg_part *at;
    size_t n, capacity;
} tg_parts;

enum { TG_LIST_PARAMETERS, TG_LIST_BUFFERS, TG_LIST_STATE, TG_N_LISTS };

typedef struct tg_list {
    tg_named_tensors view;
    uint64_t version; /* of the module when it was made */
    void *block;
} tg_list;

struct tg_module {
    tg_runtime *rt;
    const tg_layer_class *cls;
    void *attrs, *self;
    char *name; /* in the parent; NULL for a root */
    tg_module *parent;
    tg_parts parameters, buffers;
    tg_module **children;
    size_t n_children, child_capacity;
    tg_mode mode;
    unsigned frozen;
    bool started, ready; /* init was reached; has succeeded */
    struct tg_module_hook *hooks; /* module_hooks.c */
    size_t n_hooks, hook_capacity;
    uint64_t version;    /* of everything below: each change counts it up in all parents too */
    tg_list lists[TG_N_LISTS];
};

/* module.c. Is this class fit for making modules? */
tg_status tg_layer_check(const tg_layer_class *cls);
/* module_lists.c */
void tg_module_drop_lists(tg_module *module);
/* module_parts.c. How many elements the parameters and buffers that this thread makes may still have together;
 * returns what was allowed before. INT64_MAX at first: a file's architecture must not ask for more than its
 * tensors have. */
int64_t tg_parts_allow(int64_t elements);
/* module_parts.c */
void tg_module_drop_parts(tg_module *module);

/* module_forward.c. The class's forward of the tape's mode: as one node where it has a backward of its own. */
tg_status tg_module_call(tg_module *m, tg_tape *tape, const tg_scope *scope, tg_tensor *const in[], tg_tensor *out[]);
/* module_hooks.c: the same between the module's hooks. */
tg_status tg_module_call_hooked(tg_module *m, tg_tape *tape, const tg_scope *scope, tg_tensor *const in[],
                                tg_tensor *out[]);

/* fuse.c. Runs the first of the modules at[0, n), each of one input and one result, that stand one after another; or as
 * many of them as one row computes, where nobody looks at what is between. *took says how many ran. */
tg_status tg_layers_run(tg_tape *tape, tg_module *const at[], size_t n, tg_tensor *x, tg_tensor **y, size_t *took);
/* module_forward.c. tg_forward of one input, with `forward` in the place of the class's; no hooks. */
typedef tg_status tg_layer_forward(tg_module *m, tg_tape *tape, tg_tensor *x, const void *arg, tg_tensor **y);
tg_status tg_forward_by(tg_tape *tape, tg_module *module, tg_tensor *x, tg_layer_forward *forward, const void *arg,
                        tg_tensor **y);

/* conv.c. Of a Conv1d, 2d or 3d: false where it is none. */
typedef struct tg_conv_facts {
    int ndim; /* spatial */
    int64_t channels;
    tg_tensor *weight, *bias;
} tg_conv_facts;
bool tg_conv_facts_of(const tg_module *m, tg_conv_facts *out);
/* Its forward, with `bias` for its own and what `after` says behind it. */
tg_status tg_conv_forward_then(tg_module *m, tg_tape *tape, tg_tensor *x, tg_tensor *bias, const tg_conv_after *after,
                               tg_tensor **y);

/* conv.c. Reads an input called output_size: i64 numbers, or an f32 or f64 tensor that is of the size wanted; n of them, or
 * as many as the input has dims, the last n of which count. */
tg_status tg_layer_output_size(const tg_module *m, tg_tape *tape, tg_tensor *given, int32_t ndim, int n, int64_t *out);

/* batch_norm.c. Of a BatchNorm; mean and var are NULL where this forward takes the batch's. */
typedef struct tg_batch_norm_facts {
    int min_ndim, max_ndim;
    int64_t channels;
    double eps;
    tg_tensor *mean, *var, *weight, *bias;
} tg_batch_norm_facts;
bool tg_batch_norm_facts_of(const tg_module *m, tg_batch_norm_facts *out);
/* Its forward, then relu. */
tg_status tg_batch_norm_relu(tg_module *m, tg_tape *tape, tg_tensor *x, const void *unused, tg_tensor **y);

/* Fails with the module's path in front. */
tg_status tg_layer_fail(const tg_module *module, tg_tape *tape, tg_status status, const char *format, ...)
    TG_PRINTF(4, 5);

/* module_parts.c, for inits. Copies a tensor into one of the same dims and dtype; into a new buffer. */
tg_status tg_layer_copy(const tg_module *module, const tg_tensor *from, tg_tensor *to);
tg_status tg_layer_keep(tg_module *module, const char *name, const tg_tensor *given);

/* The descriptor of a forward's input: tg_forward_n has seen that it is alive. */
static inline const tg_desc *tg_layer_desc(const tg_tensor *x)
{
    return tg_resolve(x)->desc;
}

static inline tg_status tg_layer_result(tg_tape *tape, tg_tensor *y, tg_tensor *out[])
{
    out[0] = y;
    return y ? TG_OK : tape->status ? tape->status : TG_ENOMEM;
}

/* Reads an options struct of the caller's into `known`, which holds the defaults: a struct of an older,
 * shorter version leaves the rest as it is. */
tg_status tg_options_read(const char *what, void *known, size_t known_size, const void *given);

/* Rows of a table of attributes: FIELD is torch's name and the options' member. */
#define TG_ATTR_ROW(S, FIELD, TYPE, FLAGS, VALUE, CHOICES, DOC)                                              \
    {                                                                                                        \
#FIELD, TG_ATTR_##TYPE, FLAGS, offsetof(S, FIELD), {VALUE}, CHOICES, DOC                         \
    }
#define TG_ATTR_END                                                                                          \
    {                                                                                                        \
        NULL, TG_ATTR_NONE, 0, 0, {0}, NULL, NULL                                                        \
    }

/* A function that hands out a table of samples. */
#define TG_SAMPLES(NAME, TABLE)                                                                              \
    static const tg_sample *NAME(size_t *n)                                                                  \
    {                                                                                                        \
        *n = sizeof TABLE / sizeof *TABLE;                                                                   \
        return TABLE;                                                                                        \
    }

/* All families, and a NULL: all.c, made from meson.build's list. */
extern const tg_layer_class *const *const tg_layer_families[];
/* A family's file FAMILY.c has its classes, up to a NULL, in tg_layers_FAMILY; meson.build's list registers them. These are
 * asked for by other files; ReLU is the first activation. */
extern const tg_layer_class *const tg_layers_activation[];
extern const tg_layer_class *const tg_layers_sequential[];

#endif
