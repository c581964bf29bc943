/* Status codes, error text and the caller's place.
 *
 * Nothing in Tapegrad aborts, exits or prints. A function that can fail returns a tg_status (or NULL where
 * it returns an object) and leaves one sentence in a per-thread buffer, tg_error_message(). A call on a tape
 * also leaves it in the tape, which keeps the *first* error until tg_tape_clear_error().
 *
 * Every public function that can fail is shadowed by a macro of the same name that notes the caller's file
 * and line, so that the sentence can end in "(main.c:42)". The last place noted stands: where an argument of
 * a call is itself a call of a helper of yours, that is the helper's. Define TG_NO_LOCATION before including
 * a header to leave the macros out (bindings do). */
#ifndef TAPEGRAD_STATUS_H
#define TAPEGRAD_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define TG_API __attribute__((visibility("default")))
#define TG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define TG_API
#define TG_PRINTF(fmt, args)
#endif

/* The version; meson reads it from here. */
#define TG_VERSION_MAJOR 0
#define TG_VERSION_MINOR 1
#define TG_VERSION_PATCH 0

typedef enum tg_status {
    TG_OK = 0,
    TG_EINVAL = -1,   /* an argument out of its range, NULL where a value is needed                   */
    TG_ENOMEM = -2,   /* an allocation failed; nothing has changed                                    */
    TG_ESHAPE = -3,   /* ranks or sizes that do not fit                                               */
    TG_EDTYPE = -4,   /* element types that do not fit                                                */
    TG_EINDEX = -5,   /* an index or label outside its range, found in the data                       */
    TG_ENOKERNEL = -6,/* no backend in the chain can run this, or TAPEGRAD_FALLBACK=error forbids it  */
    TG_ENODERIV = -7, /* this has no derivative (or none of this order)                               */
    TG_ESTALE = -8,   /* a tensor whose tape was reset or closed, or that was discarded or destroyed  */
    TG_ESTATE = -9,   /* a call at the wrong time: backward twice, a saved value overwritten, …       */
    TG_EABI = -10,    /* a plug-in of another ABI, or not a plug-in                                   */
    TG_EBACKEND = -11,/* an unknown backend, one that failed, or TAPEGRAD_VERIFY found a difference   */
    TG_EIO = -12,     /* a file could not be read or written                                          */
    TG_EFORMAT = -13, /* a file's content is not what its format promises                             */
    TG_EUNKNOWN = -14,/* a name that no registry holds                                                */
    TG_EUNSUPPORTED = -15,/* known, legal, but not built: the sentence says what                      */
    TG_ENUMERIC = -16 /* anomaly mode: an operator made a NaN or an infinity                      */
} tg_status;

/* "TG_ESHAPE" and so on; "unknown status" for any other number. Never NULL. */
TG_API const char *tg_status_name(tg_status status);

/* The sentence of the last failed call on this thread; "" when none failed. Borrowed, valid until the
 * thread's next failing call. */
TG_API const char *tg_error_message(void);

/* "0.1.0" of the library that runs, which may differ from the headers' TG_VERSION_…. */
TG_API const char *tg_version(void);

/* Notes the caller's place for this thread; the macros call it. `file` must live for ever (__FILE__ does). */
TG_API void tg_at(const char *file, int line);

#define TG_AT(call) (tg_at(__FILE__, __LINE__), call)

#ifdef __cplusplus
}
#endif
#endif
