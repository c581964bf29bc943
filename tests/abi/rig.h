/* What the tests of loader, fallback and BLIS share. */
#ifndef TG_TESTS_ABI_RIG_H
#define TG_TESTS_ABI_RIG_H

#include "support/check_main.h"
#include <tapegrad/tapegrad.h>

/* Sets a variable, or removes it where value is NULL. */
void env(const char *name, const char *value);
/* All of Tapegrad's variables gone, the path to the test's plug-ins set: a checked setup. */
void fresh_env(void);

/* A runtime with this chain; NULL: the environment's. Fails the test where it does not open. */
tg_runtime *open_chain(const char *chain);
/* The status of opening this chain, which must fail; the sentence is then tg_error_message()'s. */
tg_status refused(const char *chain);
tg_tape *open_tape(tg_runtime *rt);

/* Fails the test unless the text holds the part. */
void has(const char *text, const char *part);
/* What tg_runtime_backends says of the named one. */
tg_backend_info info_of(tg_runtime *rt, const char *name);

/* neg of 1, 2, 3: checks the result and says which backend ran it. */
void check_neg(tg_tape *tape, const char *expected_backend);

#endif
