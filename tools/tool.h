/* What the files of the tapegrad command share. */
#ifndef TG_TOOL_H
#define TG_TOOL_H

/* Exit statuses. */
enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2 };

/* Times the named workloads ("tiny", "mlp"), or all of them where n is 0. */
int tool_bench(int n, char **names);

/* Runs the conformance kit on a backend: kit.c. */
int tool_kit(int n, char **arguments);

/* Prints what a saved model is made of: FILE --input DIMS[:DTYPE] … [--eval]. */
int tool_summary(int n, char **arguments);

/* Prints the profile in a file, summed and sorted by time. */
int tool_profile(const char *path);

#endif
