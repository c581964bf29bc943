/* Between proof.c and the module. */
#ifndef TG_PROOF_H
#define TG_PROOF_H

#include <tapegrad/operator.h>

#define TG_SAMPLES_FILE "tapegrad-samples.so"
#define TG_SAMPLES_ENTRY "tg_samples_entry"

/* kind: "operator" or "layer". NULL for another version than the module's, or a name that it does not know. */
typedef const tg_sample *(*tg_samples_entry_fn)(const char *version, const char *kind, const char *name, size_t *n);

#endif
