/* A backend of the test's own, with layouts: its tensors lie backwards ("reversed") or one place on
 * ("rotated"). What it does wrong, and when, is set from outside; what it was given wrongly, it counts. */
#ifndef TG_TESTS_ABI_LAYOUT_PLUGIN_H
#define TG_TESTS_ABI_LAYOUT_PLUGIN_H

#include <stdatomic.h>

#include <tapegrad/backend_abi.h>

typedef struct layout_toy {
    const char *flat_only; /* kernels of this name take no layouts; "*": none but reorder and contiguous do */
    const char *failing;   /* the run of the kernel of this name fails …   */
    const char *failer;    /* … in this backend (NULL: in each) …    */
    int good_runs; /* … after so many good ones                                                           */
    const char *lying;      /* the kernel of this name has its last element wrong      */
    const char *stranger;   /* its layouts say that they are this backend's   */
    const char *claims;     /* the kernel of this name hands out a layout whatever it is given …     */
    const char *claimer;    /* … in this backend    */
    const char *no_reorder; /* this backend refuses reorder */
    _Atomic int wrong;      /* descriptors that no host may give      */
    _Atomic int in_layout;  /* runs that saw or made a layout  */
    _Atomic int kept;       /* layouts in the list of all open states       */
} layout_toy;
extern layout_toy toy;

/* Four of them: "toy"; "toy2", the same under another name; "oneway", without a kernel of contiguous;
 * "blind", whose kernels have no accept. */
extern const tg_backend layout_toys[4];

#endif
