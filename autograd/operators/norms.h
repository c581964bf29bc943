/* What the families that normalise share: batch_norm.c, layer_norm.c, group_norm.c. */
#ifndef TG_NORMS_H
#define TG_NORMS_H

#include "autograd/operators/checks.h"

/* -- for infers ------------------------------------------------------------------------------------------ */

tg_status tg_norm_check_eps(const tg_infer *q, double eps);
/* x is f32 or f64, [N, C] or [N, C, *]. */
tg_status tg_norm_check_channels(const tg_infer *q, size_t x);
/* A backward's outputs: what is wanted has its shape (the source's gradient input 1's), what is not has no elements. */
tg_status tg_norm_make_gradients(const tg_infer *q, int64_t want, const int64_t *dims, int64_t ndim);

/* -- for rules: `weight` is its place among the inputs, and bias, where there is one, stands behind it ------ */

/* A set of TG_WANT_…. */
int64_t tg_norm_wanted(const tg_node *node, size_t weight);
/* The gradients from one row. */
tg_status tg_norm_fused(tg_tape *tape, const tg_node *node, size_t weight, const tg_operator *op, const void *attrs,
                        tg_tensor *const in[], tg_tensor *gx[]);

/* A gradient that is itself recorded is an expression of x, because mean and invstd are functions of x too. */
typedef struct tg_norm {
    size_t weight;
    tg_tensor *x, *w;
    bool centred;             /* false: of the mean square */
    int64_t view[TG_MAX_DIM]; /* a parameter's dims beside x */
    size_t ndim;
    tg_ints stat, param; /* dims summed for a statistic, for a parameter */
} tg_norm;
tg_status tg_norm_composed(tg_tape *tape, const tg_node *node, const tg_norm *m, double eps, tg_tensor *gy, tg_tensor *gx[]);
/* The parameters' gradients from x̂. */
void tg_norm_of_parameters(tg_tape *tape, const tg_node *node, const tg_norm *m, tg_tensor *gy, tg_tensor *xhat,
                           tg_tensor *gx[]);
/* invstd·(g − mean(g) − x̂·mean(g·x̂)) with g = gy·weight, the means over these dims. */
tg_tensor *tg_norm_slope(tg_tape *tape, tg_tensor *g, tg_tensor *xhat, tg_tensor *invstd, const tg_ints *over, bool centred);

#endif
