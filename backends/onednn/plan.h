/* What onednn.c drives and kernels do not need. */
#ifndef TG_ONEDNN_PLAN_H
#define TG_ONEDNN_PLAN_H

#include "backends/onednn/onednn.h"

/* The place of oneDNN's own scratchpad until all else in scratch has one. */
#define TG_DNNL_SCRATCHPAD SIZE_MAX

/* Fills m->q from m->s, m->c and m->dry. */
void tg_dnnl_make(tg_dnnl_maker *m, const tg_dnnl_kernel *k);
void tg_dnnl_plan_free(tg_backend_state *s, tg_dnnl_plan *q);
int tg_dnnl_set_threads(int threads);
void tg_dnnl_restore_threads(int before, int threads);

#endif
