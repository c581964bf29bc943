/* Operators are rows: for those who add one (also from a program of their own). */
#ifndef TAPEGRAD_OPERATOR_H
#define TAPEGRAD_OPERATOR_H

#include <tapegrad/tape.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_node tg_node;
typedef struct tg_operator tg_operator;
typedef struct tg_kernel tg_kernel; /* backend_abi.h */

/* -- errors, from inside a row, a rule or a layer ------------------------------------------------------------ */

/* Sets the tape's sticky error (the first one wins) and the thread's sentence, to which the caller's place is
 * added; returns `status`. A NULL tape sets only the thread's. */
TG_API tg_status tg_fail(tg_tape *tape, tg_status status, const char *format, ...) TG_PRINTF(3, 4);

/* -- samples: a row's own proof -------------------------------------------------------------------------------- */
#define TG_SAMPLE_IN 8
#define TG_SAMPLE_KINKS 3

/* A call of the row (or of the layer) that the gradient check and the backends' tests draw. */
typedef struct tg_sample {
    const char *label;     /* not NULL: for messages                                */
    const char *in;        /* the inputs, at most TG_SAMPLE_IN; NULL: none          */
    const void *attrs;     /* the row's (or the layer's options) struct; NULL: defaults */
    const double *scalars; /* the row's n_scalars values                            */
    const char *begins;    /* of a layer: what its parameters begin with; or NULL   */
} tg_sample;

/* The inputs are written "{[3, 4], -2 : 2}, {[4], 0 : 5, i64, constant}". Between a pair of braces stand, in any order:
 *     [3, 4]              its dims; none: a tensor without dims
 *     -2 : 2              its values, drawn uniformly from -2 to below 2; i64: from the integers there; none: zeros
 *     i64, boolean        its dtype, else the floating one under test; a boolean is 0 or 1
 *     constant            it is not differentiated
 *     away 0.1 from [0]   its values stay 0.1 away from 0 (up to three numbers), where there is no derivative
 *     distinct apart 0.05 no two values closer than that (max, median: no ties)
 *     strided             handed over as a transposed, gapped view
 *     absent              an optional input left out
 *     first_order         the sample is there for its size: second derivatives are the others' matter
 * "tolerance 1e-4" outside of braces is allowed where the suite's is too tight. TG_SAMPLE_INPUTS({[3, 4], -2 : 2}, …) is
 * such a text, too, with macros in it replaced.
 *
 * What a layer's parameters begin with is written "weight uniform sqrt(1/20), bias constant 0", from the documentation that
 * promises it, not from the init that is to be proved: for each parameter its name, or the end of it behind a dot, or * for
 * all that are left; then `constant` and the value, `uniform` and the bound (from -b to b), or `normal` and the deviation
 * around 0. A number is 0.25, 1/2 or sqrt(6/16). One sample or several of a class name all its parameters. */
#define TG_SAMPLE_INPUTS(...) TG_SAMPLE_TEXT(__VA_ARGS__)
#define TG_SAMPLE_TEXT(...) #__VA_ARGS__

enum {
    TG_SAMPLE_NO_GRAD = 1u,
    TG_SAMPLE_DISTINCT = 2u,
    TG_SAMPLE_STRIDED = 4u,
    TG_SAMPLE_ABSENT = 8u,
    TG_SAMPLE_FIRST_ORDER = 16u
};

/* One input as it is read. */
typedef struct tg_sample_input {
    int16_t dim[TG_MAX_DIM];
    int8_t ndim;
    uint8_t dtype; /* TG_F32 (zero) stands for the dtype under test; else TG_I64, TG_BOOL */
    uint8_t flags, n_kinks;
    float low, high, kinks[TG_SAMPLE_KINKS], distance;
} tg_sample_input;

typedef struct tg_sample_inputs {
    uint32_t n;
    float tolerance; /* 0: the suite's */
    tg_sample_input in[TG_SAMPLE_IN];
} tg_sample_inputs;

/* For who checks rows. TG_EINVAL: the text is not of that form; what came before is filled in. */
TG_API tg_status tg_sample_read(const tg_sample *sample, tg_sample_inputs *out);

/* -- the row ------------------------------------------------------------------------------------------------------ */
enum {
    TG_OP_VIEW = 1u << 0,       /* output 0 shares input 0's storage: infer gives strides and offset, no kernel       */
    TG_OP_BROADCAST = 1u << 1,  /* inputs are broadcast to output 0's dims before the kernel sees them (stride 0)     */
    TG_OP_DENSE = 1u << 2,      /* inputs are made row-major first, by a recorded copy where they are not             */
    TG_OP_RANDOM = 1u << 3,     /* takes a draw                                                                       */
    TG_OP_NONDIFF = 1u << 4,    /* no derivative by nature (comparisons, arg-max, in-place updates)                   */
    TG_OP_HOST_CHECK = 1u << 5, /* `check` reads data before anything is written                                      */
    TG_OP_FLOAT = 1u << 6,      /* `promotes` of integers and bools alone gives the runtime's floating dtype          */
    TG_OP_POINTWISE = 1u << 7   /* an element of each result is made of that of each input, wherever it stands: inputs
                                   in a backend's layout are read, and results written, as one long row               */
};
/* A kernel that walks its inputs as one flat row needs TG_OP_DENSE and inputs of the output's dims. With
 * TG_OP_BROADCAST it steps by call->in[i]->stride: a dim that was spread has stride 0, and fewer elements in memory
 * than the descriptor counts. So the two exclude each other. */
#define TG_OP_IN(i) (1u << (i))
#define TG_OP_OUT(i) (1u << (16 + (i)))
#define TG_OP_VARIADIC UINT16_MAX

/* What infer is asked. Descriptors of absent optional inputs are NULL. */
typedef struct tg_infer {
    const tg_operator *op;
    const tg_desc *const *in;
    size_t n_in;
    const void *attrs;
    tg_desc *out;    /* fill n_out of them (zeroed before) */
    int64_t *offset; /* TG_OP_VIEW: elements from input 0's first one */
} tg_infer;

struct tg_operator {
    uint32_t struct_size, version; /* the version is what a plug-in's kernel must name                      */
    const char *name;              /* torch's: "add", "softmax"                                             */
    uint32_t flags;
    uint32_t saves;                /* TG_OP_IN(i) | TG_OP_OUT(i): what the rule reads                       */
    uint16_t n_in, n_out;          /* n_in may be TG_OP_VARIADIC                                            */
    uint16_t period;               /* variadic in-place rows: inputs come in groups of so many; else 0      */
    uint16_t n_scalars;            /* run-time scalars (a group, for periodic rows): never in a cache key   */
    uint32_t optional;             /* TG_OP_IN(i): may be NULL                                              */
    uint32_t writes;               /* TG_OP_IN(i): written in place (i modulo period)                       */
    uint32_t nondiff_out;          /* TG_OP_OUT(i) >> 16: outputs that carry no gradient                    */
    uint32_t kept_out;             /* TG_OP_OUT(i) >> 16: outputs a forward saves for its rule, not results */
    size_t attrs_size;             /* of the attribute struct: plain data without padding bytes             */
    const tg_attr_spec *attrs;     /* NULL where there is none                                              */
    tg_status (*infer)(const tg_infer *q);
    /* gx[i] = Σ_o gy[o]·∂out[o]/∂in[i], an expression over public operators. gx is NULL on entry; fill those
     * that tg_node_needs: one left NULL counts as zero. gy[o] is NULL where nothing came back. May return a broadcast
     * shape: the engine sums. It may read inputs and outputs that are in `saves` only: these are held, and an error
     * where they were overwritten since; any other may be gone, or have changed unnoticed (their dims stay:
     * tg_tensor_desc). tg_gradcheck_operator refuses a rule that reads others. */
    tg_status (*vjp)(tg_tape *, const tg_node *, tg_tensor *const gy[], tg_tensor *gx[]);
    /* TG_OP_HOST_CHECK: looks at data (tg_tensor_read) and refuses before anything is written. */
    tg_status (*check)(tg_tape *, tg_tensor *const in[], size_t n_in, const void *attrs);
    const tg_sample *(*samples)(size_t *n);
    const char *doc;               /* one line with the formula                                             */
    /* TG_OP_IN(i): these inputs are brought to one dtype first, by a recorded tg_to where they differ: torch's
     * result_type. The higher of bool, i8/u8, i32, i64, f16/bf16, f32, f64; but a tensor without dims raises the
     * others only from bool to integer to floating. Bit 0 of a variadic row stands for all its inputs. */
    uint32_t promotes;
    /* The row's own kernel, what the reference runs where its table has none of this name: for rows that a program
     * brings. NULL for built-in ones. */
    const tg_kernel *kernel;
    /* Multiply-adds of a call, of a product or convolution: what tg_module_summary counts. in[i] is NULL for an absent
     * input. NULL: none to speak of. */
    double (*multiply_adds)(const tg_desc *const in[], const tg_desc *out);
};

/* Fails the infer with the operator's name and the inputs' descriptors added. */
TG_API tg_status tg_infer_fail(const tg_infer *q, tg_status status, const char *format, ...) TG_PRINTF(3, 4);
/* The shape that in[i]s broadcast to, row-major, of `dtype`; TG_ESHAPE. Rules as torch's. */
TG_API tg_status tg_infer_broadcast(const tg_infer *q, int32_t dtype, tg_desc *out);

/* The samples of a registered row, *n of them: its own, or those of a built-in one, which are in a module beside the library,
 * tapegrad-samples.so: a program that trains has no use for them, and does not load it. NULL with the reason in
 * tg_error_message(): TG_EIO where the module is missing or of another version. */
TG_API const tg_sample *tg_operator_samples(const tg_operator *op, size_t *n);
/* Registers a row; refused with TG_EINVAL when it has no samples, or neither a rule nor TG_OP_NONDIFF, or both
 * TG_OP_DENSE and TG_OP_BROADCAST, or when the name is taken, and with TG_ESTATE once a tape is open. The row must outlive the runtime. */
TG_API tg_status tg_operator_register(tg_runtime *rt, const tg_operator *op);
/* By name, NULL when there is none. */
TG_API const tg_operator *tg_operator_find(const tg_runtime *rt, const char *name);
/* All rows in the order of registration: returns how many, writes at most `capacity`. */
TG_API size_t tg_operator_list(const tg_runtime *rt, const tg_operator **out, size_t capacity);

/* The one road: check → infer → dispatch → run → record. `op` must be registered with the tape's runtime. Fills
 * op->n_out borrowed tensors. `attrs` points to attrs_size bytes (NULL where 0); `scalars` to n_scalars values. */
TG_API tg_status tg_apply(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in, const void *attrs,
                          const double *scalars, tg_tensor *out[]);
/* The same for a random row with a draw of the caller's choice: takes none from the tape. */
TG_API tg_status tg_apply_draw(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                               const void *attrs, const double *scalars, uint64_t draw, tg_tensor *out[]);
/* An in-place row of one group, run when the outermost forward commits, in order; all that are staged for one row
 * become one call. */
TG_API tg_status tg_stage(tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                          const double *scalars);

/* -- a node, as a rule sees it -------------------------------------------------------------------------------- */
TG_API const tg_operator *tg_node_operator(const tg_node *node);
TG_API size_t tg_node_n_in(const tg_node *node);
/* The handle; data only of those that the row saves. NULL for an absent one. */
TG_API tg_tensor *tg_node_input(const tg_node *node, size_t i);
TG_API tg_tensor *tg_node_output(const tg_node *node, size_t i);
/* Is the gradient of input i wanted? */
TG_API bool tg_node_needs(const tg_node *node, size_t i);
TG_API const void *tg_node_attrs(const tg_node *node);
TG_API double tg_node_scalar(const tg_node *node, size_t i);
TG_API uint64_t tg_node_draw(const tg_node *node);
TG_API tg_mode tg_node_mode(const tg_node *node);

/* Sees every application of an operator on a tape, after it ran (the gradient check's mutation test, tracing).
 * `rule_of` is the node whose rule is running, or NULL. One a tape; NULL removes it. */
typedef struct tg_observer {
    void (*applied)(void *arg, tg_tape *tape, const tg_operator *op, tg_tensor *const in[], size_t n_in,
                    tg_tensor *const out[], size_t n_out, const tg_node *rule_of);
    void *arg;
    /* A node's rule is about to run; it ran, and gx may be changed. Either may be NULL. */
    void (*rule)(void *arg, tg_tape *tape, const tg_node *node);
    void (*rule_ran)(void *arg, tg_tape *tape, const tg_node *node, tg_tensor *gx[]);
} tg_observer;
TG_API void tg_tape_observe(tg_tape *tape, const tg_observer *observer);

#ifdef __cplusplus
}
#endif
#endif
