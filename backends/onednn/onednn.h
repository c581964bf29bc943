/* What the oneDNN backend's kernels are made of. A kernel is a `build`: it lays out a plan, a list of
 * oneDNN's primitives and own functions whose arguments are inputs, outputs or places in scratch. The plan is
 * made once, in prepare; running it sets pointers and executes, and allocates nothing of ours. */
#ifndef TG_ONEDNN_H
#define TG_ONEDNN_H

#include <tapegrad/backend_abi.h>
#include <tapegrad/op_attrs.h>

#include "backends/onednn/versions.h"

#include <stdbool.h>
#include <threads.h>

/* Loops of our own, once for each kind of vector. */
#if defined __GNUC__ && !defined __clang__ && defined __x86_64__
#define TG_DNNL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TG_DNNL_CLONES
#endif

/* One of our layouts: layout.c. */
typedef struct tg_dnnl_layout {
    tg_layout layout; /* what the host knows of it */
    int64_t block;    /* [N][C/block][spatial][block]; channels last: all channels; 0: some other order */
    tg_dnnl_box box;
    struct tg_dnnl_layout *next;
} tg_dnnl_layout;

struct tg_backend_state {
    const tg_host *host;
    dnnl_engine_t engine;
    char library[48];
    mtx_t lock; /* of the list: tapes of several threads share it */
    tg_dnnl_layout *layouts;
};

/* SAVED: behind the seal of what a forward keeps for its backward; byte `at` of scratch where nothing is kept. */
typedef enum tg_dnnl_where { TG_DNNL_IN, TG_DNNL_OUT, TG_DNNL_SCRATCH, TG_DNNL_SAVED } tg_dnnl_where;

/* How saved begins: a backward may use the rest only if this is what its own plan expects. */
typedef struct tg_dnnl_seal {
    char what[48]; /* with the rest 64 bytes */
    const tg_layout *layout; /* of the forward's result */
    size_t size;             /* of the rest             */
} tg_dnnl_seal;

/* Data as a primitive sees them: their descriptor, and input or output number `at`, or byte `at` of scratch.
 */
typedef struct tg_dnnl_operand {
    tg_dnnl_md md;
    tg_dnnl_where where;
    size_t at;
} tg_dnnl_operand;

enum { TG_DNNL_ARGS = 12, TG_DNNL_STEPS = 8, TG_DNNL_BOXES = 20, TG_DNNL_OUTPUTS = 4 };

struct tg_dnnl_plan;
typedef void tg_dnnl_function(const struct tg_dnnl_plan *q, const tg_run *r);

typedef enum tg_dnnl_when {
    TG_DNNL_ALWAYS,
    TG_DNNL_WHEN_SAVED,
    TG_DNNL_WHEN_NOT_SAVED,
    TG_DNNL_WHEN_FINITE,
    TG_DNNL_WHEN_NOT_FINITE
} tg_dnnl_when;

/* One primitive, or where there is none one function of ours. */
typedef struct tg_dnnl_step {
    tg_dnnl_when when; /* a forward with the plan's seal kept something, or none did; no sum can be other than finite */
    dnnl_primitive_t primitive;
    tg_dnnl_function *function;
    int n;
    dnnl_exec_arg_t arg[TG_DNNL_ARGS];
    tg_dnnl_where where[TG_DNNL_ARGS];
    size_t at[TG_DNNL_ARGS];
    void *last[TG_DNNL_ARGS]; /* the pointer that the memory object holds */
} tg_dnnl_step;

/* A product for dnnl_sgemm. */
typedef struct tg_dnnl_gemm {
    char a_form, b_form; /* 'N', or 'T': stored transposed */
    int64_t m, n, k, a_row, b_row;
    bool bias;
    int64_t bias_step;
} tg_dnnl_gemm;

/* What pooling does (pool.c); one to three dims, with ones before them. */
typedef struct tg_dnnl_windows {
    int64_t x[3], y[3], kernel[3], stride[3], padding[3], dilation[3], x_plane, y_plane;
    int64_t step;   /* from pixel to pixel  */
    double divisor; /* 0: the count         */
    bool count_padding;
    tg_dnnl_operand in, gradient, out;
} tg_dnnl_windows;

typedef struct tg_dnnl_plan {
    dnnl_stream_t stream;
    int threads, n_steps;
    tg_dnnl_step step[TG_DNNL_STEPS];
    tg_dnnl_gemm gemm;
    tg_dnnl_windows windows;
    int64_t outer, n, inner; /* of functions of ours: the loops over an output */
    int64_t block;           /* their channels that lie together                */
    size_t place;            /* what they keep in scratch                       */
    int64_t elements, weights; /* of convolution_affine's x, and of its weights   */
    double eps, factor;      /* factor: of a sum                                */
    tg_dnnl_operand gy, y, masked; /* of batch_norm_relu's gradient   */
    tg_dnnl_seal seal;             /* written, or looked for          */
    size_t saved;                  /* what the forward saves, bytes   */
    const tg_layout *layout[TG_DNNL_OUTPUTS]; /* of the outputs, NULL: row-major */
    char implementation[64];
    uint64_t reorders;
} tg_dnnl_plan;

/* A plan being laid out. The first failure stays, and makes everything after it do nothing. */
typedef struct tg_dnnl_maker {
    tg_backend_state *s;
    const tg_call *c;
    tg_dnnl_plan *q;
    bool dry; /* for accept: finds out whether oneDNN has fast code, and makes nothing */
    dnnl_status_t failed;
    bool slow; /* all it has is code that is written for clarity */
    bool named; /* the plan, after a primitive that is no reorder */
    dnnl_primitive_attr_t attr;
    size_t scratch, scratchpad;
    int n_boxes, n_pds;
    tg_dnnl_box box[TG_DNNL_BOXES];
    dnnl_primitive_desc_t pd[TG_DNNL_STEPS + 2];
} tg_dnnl_maker;

/* Descriptors, of f32: row-major; with these strides; as the primitive likes. */
tg_dnnl_md tg_dnnl_dense(tg_dnnl_maker *m, int n, const int64_t *dims);
tg_dnnl_md tg_dnnl_strided(tg_dnnl_maker *m, int n, const int64_t *dims, const int64_t *strides);
tg_dnnl_md tg_dnnl_any(tg_dnnl_maker *m, int n, const int64_t *dims);
tg_dnnl_md tg_dnnl_tagged(tg_dnnl_maker *m, int n, const int64_t *dims, dnnl_format_tag_t tag);
tg_dnnl_operand tg_dnnl_in(tg_dnnl_md md, size_t i);
tg_dnnl_operand tg_dnnl_out(tg_dnnl_md md, size_t i);
/* Input i as it comes: in one of our layouts, or strided. */
tg_dnnl_operand tg_dnnl_given(tg_dnnl_maker *m, size_t i);
/* Where to write output o, which a primitive likes as `md`: there, in that layout if the host may be handed it, else
 * as tg_dnnl_target. tg_dnnl_finish then brings home what is in scratch. */
tg_dnnl_operand tg_dnnl_result(tg_dnnl_maker *m, size_t o, tg_dnnl_md md);
void tg_dnnl_finish(tg_dnnl_maker *m, tg_dnnl_operand from, size_t o);
/* Room in scratch. */
size_t tg_dnnl_room(tg_dnnl_maker *m, size_t bytes);

/* TG_DNNL_DESCRIBE(m, pd, dnnl_X_primitive_desc_create, …) is `pd`, NULL where something failed. The maker
 * owns it. */
#define TG_DNNL_DESCRIBE(m, pd, create, ...)                                                                 \
    dnnl_primitive_desc_t pd = NULL;                                                                         \
    if (!(m)->failed)                                                                                        \
        (m)->failed = create(&pd, __VA_ARGS__);                                                              \
    tg_dnnl_keep(m, pd)
void tg_dnnl_keep(tg_dnnl_maker *m, dnnl_primitive_desc_t pd);
/* The layout that it chose for this argument. */
tg_dnnl_md tg_dnnl_chosen(tg_dnnl_maker *m, dnnl_primitive_desc_t pd, dnnl_query_t what);

/* Where an operand's data are in this run. */
void *tg_dnnl_data(const tg_run *r, tg_dnnl_where where, size_t at);

/* Appends a step. Its arguments are then bound one by one. */
tg_dnnl_step *tg_dnnl_add(tg_dnnl_maker *m, dnnl_primitive_desc_t pd);
const char *tg_dnnl_name_of(dnnl_primitive_desc_t pd);
void tg_dnnl_add_function(tg_dnnl_maker *m, tg_dnnl_function *function);
void tg_dnnl_bind(tg_dnnl_maker *m, tg_dnnl_step *step, int argument, tg_dnnl_operand x);
/* Appends a step that copies `from` to `to`, in whatever layouts they are. */
void tg_dnnl_as_into(tg_dnnl_maker *m, tg_dnnl_operand from, tg_dnnl_operand to);
/* x in the layout `md`: itself, or a copy in scratch that an appended step makes. */
tg_dnnl_operand tg_dnnl_as(tg_dnnl_maker *m, tg_dnnl_operand x, tg_dnnl_md md);
/* Where to write what shall be `out` in the end: there, or to scratch; tg_dnnl_deliver then appends the copy.
 */
tg_dnnl_operand tg_dnnl_target(tg_dnnl_maker *m, tg_dnnl_operand out, tg_dnnl_md md);
void tg_dnnl_deliver(tg_dnnl_maker *m, tg_dnnl_operand from, tg_dnnl_operand out);

/* Says what an operator of the table is made by. From dtypes on (all f32, in layouts that it reads, none empty): of
 * what `can` does not accept no plan is made, whatever was answered; the rest `accept` may decline for speed. Both may
 * be NULL. */
typedef struct tg_dnnl_kernel {
    tg_kernel kernel; /* all that the host sees */
    tg_accept (*can)(const tg_call *c, const char **reason);
    tg_accept (*accept)(const tg_call *c, const char **reason);
    void (*build)(tg_dnnl_maker *m);
    bool layouts; /* its inputs may come in them */
} tg_dnnl_kernel;

/* layout.c. The layout of these dims that `md` describes; NULL: it is row-major, or has gaps, or there is no memory. */
const tg_layout *tg_dnnl_layout_of(tg_backend_state *s, const tg_desc *d, tg_dnnl_md md);
void tg_dnnl_layouts_free(tg_backend_state *s);
/* How many channels of a tensor in one of our layouts lie together; 0: in another order. */
int64_t tg_dnnl_block_of(const tg_desc *d);
/* attention.c: without a plan. */
tg_accept tg_dnnl_attention_accept(tg_backend_state *s, const tg_call *c, const char **reason);
tg_status tg_dnnl_attention_prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p);
tg_status tg_dnnl_attention_run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r);
tg_accept tg_dnnl_can_reduce(const tg_call *c, const char **reason);
void tg_dnnl_build_sum(tg_dnnl_maker *m);
void tg_dnnl_build_mean(tg_dnnl_maker *m);
tg_accept tg_dnnl_can_contiguous(const tg_call *c, const char **reason);
tg_accept tg_dnnl_can_reorder(const tg_call *c, const char **reason);
void tg_dnnl_build_contiguous(tg_dnnl_maker *m);
void tg_dnnl_build_reorder(tg_dnnl_maker *m);

bool tg_dnnl_is_dense(const tg_desc *d);
/* All inputs are row-major, or in one of our layouts. */
bool tg_dnnl_all_dense(const tg_call *c);
tg_accept tg_dnnl_can_dense(const tg_call *c, const char **reason);

tg_accept tg_dnnl_can_matmul(const tg_call *c, const char **reason);
tg_accept tg_dnnl_accept_matmul(const tg_call *c, const char **reason);
void tg_dnnl_build_matmul(tg_dnnl_maker *m);
tg_accept tg_dnnl_can_linear(const tg_call *c, const char **reason);
tg_accept tg_dnnl_accept_linear(const tg_call *c, const char **reason);
void tg_dnnl_build_linear(tg_dnnl_maker *m);
tg_accept tg_dnnl_can_softmax(const tg_call *c, const char **reason);
tg_accept tg_dnnl_accept_softmax(const tg_call *c, const char **reason);
void tg_dnnl_build_softmax(tg_dnnl_maker *m);
void tg_dnnl_build_softmax_backward(tg_dnnl_maker *m);
tg_accept tg_dnnl_accept_log_softmax(const tg_call *c, const char **reason);
void tg_dnnl_build_log_softmax(tg_dnnl_maker *m);
void tg_dnnl_build_log_softmax_backward(tg_dnnl_maker *m);
tg_accept tg_dnnl_accept_layer_norm(const tg_call *c, const char **reason);
tg_accept tg_dnnl_can_layer_norm_backward(const tg_call *c, const char **reason);
void tg_dnnl_build_layer_norm(tg_dnnl_maker *m);
void tg_dnnl_build_layer_norm_backward(tg_dnnl_maker *m);
tg_accept tg_dnnl_accept_batch_norm(const tg_call *c, const char **reason);
tg_accept tg_dnnl_can_batch_norm_backward(const tg_call *c, const char **reason);
tg_accept tg_dnnl_accept_batch_norm_backward(const tg_call *c, const char **reason);
void tg_dnnl_build_batch_norm_train(tg_dnnl_maker *m);
void tg_dnnl_build_batch_norm_eval(tg_dnnl_maker *m);
void tg_dnnl_build_batch_norm_backward(tg_dnnl_maker *m);
tg_accept tg_dnnl_can_batch_norm_relu(const tg_call *c, const char **reason);
tg_accept tg_dnnl_can_batch_norm_relu_backward(const tg_call *c, const char **reason);
void tg_dnnl_build_batch_norm_relu_train(tg_dnnl_maker *m);
void tg_dnnl_build_batch_norm_relu_eval(tg_dnnl_maker *m);
void tg_dnnl_build_batch_norm_relu_backward(tg_dnnl_maker *m);
tg_accept tg_dnnl_can_convolution(const tg_call *c, const char **reason);
tg_accept tg_dnnl_accept_convolution_data(const tg_call *c, const char **reason);
tg_accept tg_dnnl_accept_convolution_weights(const tg_call *c, const char **reason);
void tg_dnnl_build_convolution(tg_dnnl_maker *m);
tg_accept tg_dnnl_can_convolution_affine(const tg_call *c, const char **reason);
void tg_dnnl_build_convolution_affine(tg_dnnl_maker *m);
/* Does its run find no NaN and no infinity on the way? */
bool tg_dnnl_is_finite(const tg_dnnl_plan *q, const tg_run *r);
void tg_dnnl_build_convolution_data(tg_dnnl_maker *m);
void tg_dnnl_build_convolution_weights(tg_dnnl_maker *m);
tg_accept tg_dnnl_accept_gelu_backward(const tg_call *c, const char **reason);
void tg_dnnl_build_gelu_backward(tg_dnnl_maker *m);
tg_accept tg_dnnl_can_pool(const tg_call *c, const char **reason);
tg_accept tg_dnnl_can_avg_pool(const tg_call *c, const char **reason);
void tg_dnnl_build_max_pool(tg_dnnl_maker *m);
void tg_dnnl_build_max_pool_backward(tg_dnnl_maker *m);
void tg_dnnl_build_avg_pool(tg_dnnl_maker *m);
void tg_dnnl_build_avg_pool_backward(tg_dnnl_maker *m);

#endif
