/* Files: safetensors (github.com/huggingface/safetensors) with torch.nn's state names. */
#ifndef TAPEGRAD_IO_H
#define TAPEGRAD_IO_H

#include <tapegrad/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes parameters and buffers, and the architecture by registry names in the metadata (key
 * "tapegrad.module"), to a temporary file beside `path`, syncs it and renames it: `path` is the old file or
 * the whole new one. TG_EIO (with errno's text; also when a limit on file sizes or the disk's end is hit),
 * TG_EUNSUPPORTED for a module whose class is not registered (tg_layer_register; or write the tensors of
 * tg_module_state with tg_safetensors_write, and tg_module_load_state reads them), TG_ENOMEM. A link stays a
 * link, and an old file's permissions stay. Modes and freezing are not part of the file. A model in which
 * tg_module_replace_child put less in the place of what a class's init makes is saved, but not rebuilt: read its
 * tensors into one made alike, by tg_module_load_state. */
TG_API tg_status tg_module_save(tg_module *module, const char *path);

/* Rebuilds the model from the file alone, in the runtime's dtype and in train mode; draws no random number.
 * It is yours. An architecture that asks for more elements than the file's tensors have is refused before
 * they are allocated. NULL on error: TG_EIO, TG_EFORMAT, TG_EUNKNOWN (a class this library does not know),
 * TG_ESHAPE, TG_ENOMEM. */
TG_API tg_module *tg_module_load(tg_runtime *rt, const char *path);

/* What a non-strict loading left: names, yours until tg_load_report_free. */
typedef struct tg_load_report {
    size_t n_missing, n_unexpected;
    char **missing, **unexpected;
    tg_runtime *rt;
} tg_load_report;
TG_API void tg_load_report_free(tg_load_report *report);

/* A rule for names. `from` stands at the beginning of a name, and is all of it or ends in a dot ("" stands before each
 * name); a star is one or more characters but no dot. What it stands for becomes `to`, with what the stars found in the
 * place of the stars there, in order; the rest stays. `to` NULL: the tensor is dropped. Rules are applied one after the
 * other, each to what those before it left:
 *     {"module.", ""}, {"encoder.layer.*.attention.self.", "blocks.*.attn."}, {"cls.", NULL} */
typedef struct tg_rename {
    const char *from, *to;
} tg_rename;

/* Loads a file's tensors (by Tapegrad or by PyTorch's safetensors package) into a model of the same
 * architecture. F32 and F64 convert into each other. strict: a missing or unexpected name is TG_EFORMAT (the
 * sentence names the first); else they are listed in *report (may be NULL). A wrong shape (TG_ESHAPE) or
 * dtype (TG_EDTYPE) is an error in both. A tied tensor is there when one of its names is. On error nothing
 * has changed, and *report is empty. */
TG_API tg_status tg_module_load_state(tg_module *module, const char *path, bool strict,
                                      tg_load_report *report);
/* The same of a file with other names: rules turn them into the model's, in which *report speaks. TG_EFORMAT where two
 * become one; TG_EINVAL for a rule with more stars on the right, or more than eight, or a name that gets too long. */
TG_API tg_status tg_module_load_state_renamed(tg_module *module, const char *path, const tg_rename *rules, size_t n,
                                              bool strict, tg_load_report *report);
/* Writes parameters and buffers alone, under the names that the rules (n may be 0) make of the model's. TG_EINVAL for
 * the rules as above, or where two names become one. */
TG_API tg_status tg_module_save_state(tg_module *module, const char *path, const tg_rename *rules, size_t n);
/* From one module into another as through a file, also between runtimes. */
TG_API tg_status tg_module_copy_state(tg_module *to, tg_module *from, const tg_rename *rules, size_t n, bool strict,
                                      tg_load_report *report);

/* -- the container itself -------------------------------------------------------------------------------- */
typedef struct tg_file_tensor {
    const char *name;
    tg_dtype dtype;
    int32_t ndim;
    int64_t dim[TG_MAX_DIM];
    const void *data; /* row-major, little-endian; of an opened file: 64-byte aligned */
    size_t bytes;
} tg_file_tensor;

typedef struct tg_safetensors tg_safetensors; /* an opened file: its tensors and metadata, read-only */
/* TG_EIO; TG_EFORMAT for anything the format forbids: cut short, a header that is too long or no JSON,
 * offsets that overflow, overlap, leave gaps or lie outside, a shape that disagrees with the size, a
 * duplicate name; TG_EUNSUPPORTED: a dtype or a rank that only others have; TG_ENOMEM. The whole file is
 * read; it is not looked at again. */
TG_API tg_status tg_safetensors_open(tg_safetensors **out, tg_runtime *rt, const char *path);
TG_API void tg_safetensors_close(tg_safetensors *file);
TG_API size_t tg_safetensors_count(const tg_safetensors *file);
TG_API const tg_file_tensor *tg_safetensors_at(const tg_safetensors *file, size_t i);
TG_API const tg_file_tensor *tg_safetensors_find(const tg_safetensors *file, const char *name);
/* A metadata string, NULL when absent. Borrowed. */
TG_API const char *tg_safetensors_metadata(const tg_safetensors *file, const char *key);
/* Writes atomically, wide elements first and then by name, as the reference implementation does.
 * `keys`/`values`: n_meta metadata pairs. TG_EINVAL: a name twice, missing, not UTF-8, or bytes that disagree
 * with the shape; TG_EDTYPE; TG_ESHAPE; TG_EIO. */
TG_API tg_status tg_safetensors_write(tg_runtime *rt, const char *path, const tg_file_tensor *tensors,
                                      size_t n, const char *const *keys, const char *const *values,
                                      size_t n_meta);

#ifndef TG_NO_LOCATION
#define tg_module_save(...) TG_AT(tg_module_save(__VA_ARGS__))
#define tg_module_load(...) TG_AT(tg_module_load(__VA_ARGS__))
#define tg_module_load_state(...) TG_AT(tg_module_load_state(__VA_ARGS__))
#define tg_module_load_state_renamed(...) TG_AT(tg_module_load_state_renamed(__VA_ARGS__))
#define tg_module_save_state(...) TG_AT(tg_module_save_state(__VA_ARGS__))
#define tg_module_copy_state(...) TG_AT(tg_module_copy_state(__VA_ARGS__))
#define tg_safetensors_open(...) TG_AT(tg_safetensors_open(__VA_ARGS__))
#define tg_safetensors_write(...) TG_AT(tg_safetensors_write(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
