/* Makes cpuid tell of another processor, for programs that choose code by it; what was chosen before keeps.
 */
#ifndef TG_TEST_PROCESSOR_H
#define TG_TEST_PROCESSOR_H

#include <stdbool.h>

/* From now on, in this thread and those that it starts. False with *why where the machine cannot, or this one
 * lacks what that one has. Names: processors[] in processor.c. */
bool be_processor(const char *name, const char **why);

#endif
