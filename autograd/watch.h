/* What looks on while operators run: anomaly mode, the profile and the comparison with a second backend. Off, a tape's `watch` is 0, and that one
 * test is all they cost. */
#ifndef TG_WATCH_H
#define TG_WATCH_H

#include "autograd/internal.h"

enum { TG_WATCH_ANOMALY = 1u, TG_WATCH_PROFILE = 2u, TG_WATCH_VERIFY = 4u };

/* One application of a row, as the hooks see it. */
typedef struct tg_watched {
    const tg_operator *op;
    tg_tensor *const *in;
    size_t n_in, n_groups;
    const void *attrs;
    const double *scalars;
    uint64_t draw;
    const tg_entry *entry; /* once it was dispatched                             */
    tg_tensor **before;    /* copies of what an in-place row writes; NULL: none  */
    uint64_t start;
} tg_watched;

/* Around the run of one row. */
tg_status tg_watch_enter(tg_tape *tape, tg_watched *w);
tg_status tg_watch_leave(tg_tape *tape, tg_watched *w, tg_tensor *const out[], tg_status status);

/* Around the rule of one node. */
typedef struct tg_watched_rule {
    const tg_operator *suspect;
    uint64_t start;
} tg_watched_rule;
void tg_watch_rule_enter(tg_tape *tape, tg_watched_rule *w);
tg_status tg_watch_rule_leave(tg_tape *tape, const tg_watched_rule *w, const tg_node *node,
                              tg_tensor *const gy[], tg_tensor *const gx[], tg_status status);

/* The node of a forward that this one goes back to: of one that a rule recorded, the node whose rule it was, and so
 * on. Its place is a line of the user's that says something. */
const tg_node *tg_watch_origin(const tg_tape *tape, const tg_node *node);

/* Parts of sentences, anomaly.c: to the end of a text; "[0, 1]"; "mul (of the backward of pow, called at net.c:12)". */
void tg_text_add(char *text, size_t size, size_t *n, const char *format, ...) TG_PRINTF(4, 5);
const char *tg_text_place(const tg_desc *d, int64_t at, char *text, size_t size);
const char *tg_text_who(const tg_tape *tape, const tg_node *node, char *text, size_t size);

/* anomaly.c */
tg_status tg_anomaly_before(tg_tape *tape, tg_watched *w);
tg_status tg_anomaly_after(tg_tape *tape, tg_watched *w, tg_tensor *const out[], tg_status status);
tg_status tg_anomaly_rule(tg_tape *tape, const tg_node *node, tg_tensor *const gy[], tg_tensor *const gx[]);
/* TAPEGRAD_ANOMALY; TG_EINVAL for a malformed value. */
tg_status tg_anomaly_environment(tg_runtime *rt);

/* verify.c: TAPEGRAD_VERIFY opens a runtime of the second backend beside this one, and each tape a tape of it. */
tg_status tg_verify_environment(tg_runtime *rt, const tg_runtime_options *o);
void tg_verify_close(tg_runtime *rt);
tg_status tg_verify_open_tape(tg_tape *tape);
void tg_verify_close_tape(tg_tape *tape);
tg_status tg_verify_before(tg_tape *tape, const tg_watched *w);
tg_status tg_verify_after(tg_tape *tape, const tg_watched *w, tg_tensor *const out[]);
/* runtime.c: a runtime that the environment does not change, with the dtype and the threads of `rt`. */
tg_status tg_runtime_open_beside(tg_runtime **out, const tg_runtime *rt, const tg_runtime_options *options);

/* profile.c */
uint64_t tg_profile_now(void);
tg_status tg_profile_environment(tg_runtime *rt); /* TAPEGRAD_PROFILE: TG_EIO where it cannot be written */
void tg_profile_close(tg_runtime *rt);
/* A tape's buffer: made when it opens, written out when it is full, when it was long ago, and at the end. */
tg_status tg_profile_open_tape(tg_tape *tape);
void tg_profile_close_tape(tg_tape *tape);
void tg_profile_flush(tg_tape *tape);
void tg_profile_idle(tg_tape *tape);
void tg_profile_operator(tg_tape *tape, const tg_watched *w, tg_tensor *const out[]);
void tg_profile_rule(tg_tape *tape, const tg_node *node, uint64_t start);

#endif
