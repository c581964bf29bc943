/* What the files of `tapegrad kit` share. */
#ifndef TG_KIT_H
#define TG_KIT_H

#include <tapegrad/backend_abi.h>
#include <tapegrad/operator.h>

/* -- kit_guard.c: a backend around the one under test ------------------------------------------------------------ */

/* What was noticed since the last guard_forget: the first sentence of each kind. */
typedef struct guard_notes {
    char wrong[400];         /* "" : nothing                                                          */
    uint64_t runs;           /* of the row's kernel                                                   */
    uint64_t mallocs;        /* in its second runs, by whoever (a vendor's library)                   */
    char declined[200];      /* the last reason of a call that was not accepted                       */
} guard_notes;

/* The backend that runs `real` between guard bytes, twice each time, under `name`. One in a process. */
const tg_backend *guard_wrap(const tg_backend *real, const char *name, const tg_runtime *rows);
/* Calls that it declines for speed alone are run, too. */
void guard_run_declined(bool yes);
/* Notes start anew, for the row of this name. */
void guard_forget(const char *row);
const guard_notes *guard_seen(void);
/* "run of matmul", while the plug-in's code runs; for the line that a crash leaves. */
const char *guard_doing(void);

/* -- kit_heap.c ------------------------------------------------------------------------------------------------------ */
/* Calls of malloc and its like between start and stop, on any thread; 0 where they cannot be counted. */
void heap_start(void);
uint64_t heap_stop(void);

/* -- kit_elf.c ------------------------------------------------------------------------------------------------------- */
/* What the file exports beside `expected`, into `extra`; false where it is no ELF file of this machine's. */
bool elf_exports(const char *path, const char *expected, char *extra, size_t size);

#endif
