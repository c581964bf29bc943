/* What the files of the tapegrad command share. */
#ifndef TG_TOOL_H
#define TG_TOOL_H

#include <stdio.h>

/* Exit statuses. */
enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2 };

/* Print a registry, or the entry of it that is called `wanted` in detail (NULL: all); lists.c. */
int tool_layers(const char *wanted);
int tool_operators(const char *wanted);
int tool_operators_for_kernels(const char *wanted);
int tool_optimizers(const char *wanted);
int tool_schedulers(const char *wanted);

/* Times the named workloads ("tiny", "mlp"), or all of them where n is 0. */
int tool_bench(int n, char **names);
void tool_list_workloads(FILE *to);

/* Runs the conformance kit on a backend, or on all that have a kernel for an operator: kit.c. */
int tool_kit(int n, char **arguments);

/* Prints what a saved model is made of: FILE --input DIMS[:DTYPE] … [--eval]. */
int tool_summary(int n, char **arguments);

/* Prints the profile in a file, summed and sorted by time. */
int tool_profile(const char *path);

#endif
