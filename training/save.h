/* What an entry of a training file holds, as one walk over it: the first pass of a loading checks all, the
 * second takes it over and cannot fail; saving is a pass of its own. */
#ifndef TG_TRAINING_SAVE_H
#define TG_TRAINING_SAVE_H

#include "training/model_file.h"

#include <tapegrad/save.h>

typedef enum tg_pass { TG_SAVE, TG_CHECK, TG_TAKE } tg_pass;

typedef struct tg_walk {
    tg_runtime *rt;
    const char *path;
    tg_pass pass;
    tg_status status; /* the first failure: all calls after it do nothing */
    char name[TG_NAME_MAX];
    size_t length;
    /* Loading: */
    tg_safetensors *file;
    bool *seen; /* the file's tensors */
    /* Saving; each name's block has the numbers behind it: */
    tg_file_tensor *at;
    const char **key, **kind;
    size_t n, capacity, n_kinds, key_capacity, kind_capacity;
} tg_walk;

/* Fails with path and name in front. */
void tg_walk_fail(tg_walk *w, tg_status status, const char *format, ...) TG_PRINTF(3, 4);
/* The same with the thread's sentence. */
void tg_walk_failed(tg_walk *w, tg_status status);
/* More of the name, "state.%zu."; returns what tg_walk_leave goes back to. */
size_t tg_walk_enter(tg_walk *w, const char *format, ...) TG_PRINTF(2, 3);
void tg_walk_leave(tg_walk *w, size_t before);
/* What is saved here: a class's name, which the file's must be. */
void tg_walk_kind(tg_walk *w, const char *kind);
/* Is there such a tensor in the file? */
bool tg_walk_has(tg_walk *w, const char *name);
/* [rows, columns] numbers (columns 0: [rows]; rows −1: one) from `at` into the file, or from it, where `at`
 * is not NULL; in TG_CHECK, too, so that a candidate can be looked at. Returns where the file has them: NULL
 * in TG_SAVE and after a failure. */
const void *tg_walk_numbers(tg_walk *w, const char *name, tg_dtype dtype, int64_t rows, int64_t columns,
                            void *at);
void tg_walk_tensor(tg_walk *w, const char *name, tg_tensor *t);

void tg_optimizer_walk(tg_walk *w, tg_optimizer *o);
void tg_scheduler_walk(tg_walk *w, tg_scheduler *s);
void tg_averaged_walk(tg_walk *w, tg_averaged_model *a);
void tg_loader_walk(tg_walk *w, tg_loader *l);
void tg_state_walk(tg_walk *w, tg_module *m);

/* Whose they are. */
tg_runtime *tg_optimizer_runtime(const tg_optimizer *o);
tg_runtime *tg_scheduler_runtime(const tg_scheduler *s);
tg_runtime *tg_loader_runtime(const tg_loader *l);

#endif
