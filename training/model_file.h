/* A model's architecture as JSON: {"class": "Linear", "arguments": {…}, "children": [{"name": "0", "class":
 * …}]}. */
#ifndef TG_TRAINING_MODEL_FILE_H
#define TG_TRAINING_MODEL_FILE_H

#include "training/safetensors.h"

#include <jansson.h>

#define TG_ARCHITECTURE_KEY "tapegrad.module"

/* A new reference; NULL: failed, *status says why. */
json_t *tg_architecture_describe(const tg_module *module, tg_status *status);
/* Builds the module; tensors among the arguments are taken from `file`. NULL: failed, *status says why. */
tg_module *tg_architecture_build(tg_runtime *rt, const json_t *description, const tg_safetensors *file,
                                 const char *path, tg_status *status);

/* rename.c */
enum { TG_NAME_MAX = 1024 };
tg_status tg_rename_check(const char *who, const tg_rename *rules, size_t n);
/* What the rules make of a name; "" where one drops it. */
tg_status tg_rename_apply(const tg_rename *rules, size_t n, const char *name, char out[TG_NAME_MAX]);

#endif
