/* The tape: one step. It owns every tensor that an operator returns and records what is needed to go back.
 * A tape belongs to one thread; several tapes may read one model in eval mode at once. */
#ifndef TAPEGRAD_TAPE_H
#define TAPEGRAD_TAPE_H

#include <tapegrad/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens a tape; the first one freezes the runtime's registries. Its generator starts at (the runtime's seed,
 * draw k·2⁴⁰) where k − 1 tapes were opened before it, so that tapes never share a draw. */
TG_API tg_status tg_tape_open(tg_tape **out, tg_runtime *rt);
/* Closes it: its tensors become stale. NULL is fine. */
TG_API void tg_tape_close(tg_tape *tape);
/* Forgets the step: nodes and tensors are gone, the memory is kept for the next one. A sticky error stays. Inside a
 * forward or a backward of this tape: TG_ESTATE, and nothing is forgotten. */
TG_API void tg_tape_reset(tg_tape *tape);
TG_API tg_runtime *tg_tape_runtime(const tg_tape *tape);

/* -- the sticky error ---------------------------------------------------------------------------------------- */

/* The first error since the last clear. While it is set, operators return NULL and do nothing. */
TG_API tg_status tg_tape_status(const tg_tape *tape);
/* Its sentence, "" when there is none. */
TG_API const char *tg_tape_error(const tg_tape *tape);
TG_API void tg_tape_clear_error(tg_tape *tape);

/* -- recording ------------------------------------------------------------------------------------------------ */

/* Switches recording (true at first) and returns what it was: torch.set_grad_enabled.
 *     bool was = tg_tape_set_recording(tape, false); … tg_tape_set_recording(tape, was); */
TG_API bool tg_tape_set_recording(tg_tape *tape, bool recording);
TG_API bool tg_tape_recording(const tg_tape *tape);

/* The same values without a history: torch.Tensor.detach. Shares the storage. */
TG_API tg_tensor *tg_detach(tg_tape *tape, tg_tensor *x);

/* -- going back ---------------------------------------------------------------------------------------------- */
enum {
    TG_RETAIN = 1u,       /* keep what the sweep read, so that one more backward can follow             */
    TG_CREATE_GRAPH = 2u, /* record the sweep itself (implies TG_RETAIN): derivatives of derivatives.
                             Without it what tg_grad gives has no history                               */
    TG_ALLOW_UNUSED = 4u  /* tg_grad: an input that y does not depend on gets NULL instead of an error  */
};

/* Adds dy/dleaf to every leaf that wants a gradient. `y` must have one element, unless `gy`, of y's shape and
 * dtype, gives the vector of the vector-Jacobian product. TG_ESTATE: a second backward through what an
 * earlier one released, or a saved value that was overwritten (with both places); TG_ENODERIV; TG_ESHAPE. On
 * error no leaf has changed. */
TG_API tg_status tg_backward_with(tg_tape *tape, tg_tensor *y, tg_tensor *gy, unsigned flags);
TG_API tg_status tg_backward(tg_tape *tape, tg_tensor *loss);

/* out[i] = d(y·gy)/d(wrt[i]), borrowed from the tape; the leaves' own gradients stay untouched. `gy` NULL: ones, y
 * of one element. torch.autograd.grad. */
TG_API tg_status tg_grad(tg_tape *tape, tg_tensor *y, tg_tensor *gy, tg_tensor *const wrt[], size_t n, tg_tensor *out[],
                         unsigned flags);

/* -- a step as one transaction -------------------------------------------------------------------------------- */

/* Until the commit, statistics and random draws of the forwards between are only staged (MODES). A failed call
 * between makes the commit fail and change nothing. They nest; the outermost commits. */
TG_API tg_status tg_step_begin(tg_tape *tape);
TG_API tg_status tg_step_commit(tg_tape *tape);
/* Ends the bracket and drops what was staged: the draws are drawn again by the next step. Of an inner one: the
 * outermost commit fails, too. */
TG_API void tg_step_rollback(tg_tape *tape);

/* -- the random state ------------------------------------------------------------------------------------------ */

/* Philox4x32-10 keyed by `seed`, counting (draw, element). */
typedef struct tg_random_state {
    uint64_t seed, draw;
} tg_random_state;
TG_API tg_random_state tg_tape_random_state(const tg_tape *tape);
TG_API void tg_tape_set_random_state(tg_tape *tape, tg_random_state state);
TG_API tg_random_state tg_runtime_random_state(const tg_runtime *rt);
TG_API void tg_runtime_set_random_state(tg_runtime *rt, tg_random_state state);

/* -- where a gradient went wrong -------------------------------------------------------------------------------- */

typedef enum tg_anomaly {
    TG_ANOMALY_OFF = 0,
    TG_ANOMALY_NAN = 1, /* NaN alone: for programs that mean their infinities (log of 0 in a branch not taken) */
    TG_ANOMALY_ALL = 2  /* NaN and ±inf                                                                       */
} tg_anomaly;

/* Looks at each operator's results, and at each gradient that a rule returns. The first that made a NaN (from
 * inputs without one) or an infinity (from finite inputs) fails with TG_ENUMERIC: operator, your line (of a
 * backward: that of the forward call), shapes, how many and where; no parameter and no statistic has changed.
 * Infinities that you hand over (a mask filled with −inf) are nobody's fault. Costs a pass over all results.
 * Returns what it was; a tape begins with TAPEGRAD_ANOMALY. torch.autograd.set_detect_anomaly. */
TG_API tg_anomaly tg_tape_set_anomaly(tg_tape *tape, tg_anomaly what);

typedef struct tg_module tg_module; /* module.h */

/* -- looking ---------------------------------------------------------------------------------------------------- */

/* Threads that this tape uses at the most. */
TG_API tg_status tg_tape_set_threads(tg_tape *tape, int threads);
/* How many nodes are recorded. */
TG_API size_t tg_tape_size(const tg_tape *tape);
/* One line a node: number, operator, inputs and outputs (%: the tape's, $: kept outside it; a star: saved for the
 * rule), mode, bytes saved, for a node that a backward recorded the node whose rule did, and your line; then totals. */
TG_API void tg_tape_print(const tg_tape *tape, FILE *to);
/* The same as a graph in DOT (dot -Tsvg): a box for each node, orange where a backward recorded it; ellipses for
 * leaves, green where they want a gradient, with their names in the module `names` (NULL: none); edges with shapes,
 * thick where the value is saved, grey where no gradient goes back. TG_ENOMEM, TG_EIO. */
TG_API tg_status tg_tape_dot(const tg_tape *tape, tg_module *names, FILE *to);
/* How often the named backend ran the named operator on this tape; NULL for any. Tests prove with it that a
 * kernel really ran. */
TG_API uint64_t tg_tape_count_runs(const tg_tape *tape, const char *op, const char *backend);

#ifndef TG_NO_LOCATION
#define tg_tape_open(...) TG_AT(tg_tape_open(__VA_ARGS__))
#define tg_detach(...) TG_AT(tg_detach(__VA_ARGS__))
#define tg_backward_with(...) TG_AT(tg_backward_with(__VA_ARGS__))
#define tg_backward(...) TG_AT(tg_backward(__VA_ARGS__))
#define tg_grad(...) TG_AT(tg_grad(__VA_ARGS__))
#define tg_step_begin(...) TG_AT(tg_step_begin(__VA_ARGS__))
#define tg_step_commit(...) TG_AT(tg_step_commit(__VA_ARGS__))
#define tg_tape_set_threads(...) TG_AT(tg_tape_set_threads(__VA_ARGS__))
#define tg_tape_dot(...) TG_AT(tg_tape_dot(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
