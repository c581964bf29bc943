/* Attention through BLIS's products. */
#ifndef TG_BLIS_ATTENTION_H
#define TG_BLIS_ATTENTION_H

#include <tapegrad/backend_abi.h>

tg_accept tg_blis_attention_accept(tg_backend_state *s, const tg_call *c, const char **reason);
tg_status tg_blis_attention_prepare(tg_backend_state *s, const tg_call *c, tg_prepared *p);
tg_status tg_blis_attention_run(tg_backend_state *s, const tg_call *c, const tg_prepared *p, const tg_run *r);

#endif
