/* One golden case: its file, its JSON, and the tensors made from it. What a case is: tests/golden/README.md.
 */
#ifndef TG_CONFORMANCE_CASE_H
#define TG_CONFORMANCE_CASE_H

#include <jansson.h>
#include <tapegrad/tapegrad.h>

typedef enum verdict { PASSED, FAILED, UNSUPPORTED } verdict;

typedef struct golden {
    tg_runtime *rt;
    tg_tape *tape;
    tg_dtype dtype;    /* that floating tensors are computed in                  */
    double tolerance;  /* both relative and absolute                             */
    double tolerance2; /* of second-order tensors and training                   */
    tg_safetensors *file;
    json_t *json;
    tg_tensor **owned; /* tensors made from the file                             */
    size_t n_owned, capacity;
    double largest; /* error seen so far                                      */
    char why[640];  /* the first failure                                      */
} golden;

/* Reads the file and the JSON in it. FAILED with g->why set where it is not a case. */
verdict golden_open(golden *g, const char *path);
void golden_close(golden *g);

/* Notes the reason, the first one wins. */
verdict fail(golden *g, const char *format, ...) TG_PRINTF(2, 3);
verdict unsupported(golden *g, const char *format, ...) TG_PRINTF(2, 3);
/* The library refused: with its sentence; TG_EUNSUPPORTED and TG_EUNKNOWN are no failures. */
verdict refused(golden *g, tg_status status, const char *what);

bool golden_has(const golden *g, const char *name);
/* A tensor of the run's dtype (i64 for I32 and I64), that the case owns. NULL: fail() was called. */
tg_tensor *golden_tensor(golden *g, const char *name);
/* The same in a dtype of the caller's choice. */
tg_tensor *golden_tensor_as(golden *g, const char *name, tg_dtype dtype);
/* Writes the file's tensor into one that exists (a parameter, a buffer). */
verdict golden_load(golden *g, const char *name, tg_tensor *to);

/* Compares; `got` NULL: as zeros, for a gradient that does not exist. */
verdict compare(golden *g, const char *name, const tg_tensor *got, double tolerance);
verdict compare_number(golden *g, const char *name, double got, double tolerance);

/* The tensor's name where a JSON value stands for one; else NULL. */
const char *tensor_name(const json_t *value);
/* A number, also {"float": "inf"}. */
bool read_real(const json_t *value, double *out);

enum { MAX_ATTRS = 32 };
/* Named arguments as attributes, by the table of their owner (`what`). Returns how many, or -1 with the
 * verdict set. */
int make_attrs(golden *g, const char *what, const tg_attr_spec *specs, const json_t *arguments, tg_attr *out,
               verdict *v);

/* The file's tensors whose name starts with `prefix`, sorted, numbers by value ("output.2" before
 * "output.10"). */
enum { MAX_NAMES = 512 };
size_t golden_names(const golden *g, const char *prefix, const char *out[MAX_NAMES]);

verdict run_module(golden *g);
verdict run_op(golden *g);
verdict run_training(golden *g);

#endif
