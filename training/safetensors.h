/* The container's dtypes, shared by reader and writer, and what model files need of it. */
#ifndef TG_TRAINING_SAFETENSORS_H
#define TG_TRAINING_SAFETENSORS_H

#include "autograd/internal.h"
#include <tapegrad/io.h>

typedef struct tg_file_dtype {
    const char *name;
    int dtype; /* −1: the format has it, Tapegrad does not */
} tg_file_dtype;
/* NULL for a name that the format does not have. */
const tg_file_dtype *tg_file_dtype_find(const char *name);
/* NULL where the format has no such dtype. */
const char *tg_file_dtype_name(tg_dtype dtype);
/* Which of the file's tensors this is. */
size_t tg_safetensors_index(const tg_safetensors *file, const tg_file_tensor *t);

#endif
