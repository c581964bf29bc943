/* Which of BLIS's sub-configurations to use. */
#ifndef TG_BLIS_ARCH_H
#define TG_BLIS_ARCH_H

#include <stddef.h>

/* Initialises BLIS once a process, with the sub-configuration that suits this processor, or the user's
 * BLIS_ARCH_TYPE where this build and this processor can run it. Returns a warning to log, "" when there is
 * none. */
const char *tg_blis_init(void);

#endif
