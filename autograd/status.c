#include "autograd/watch.h"

#include <stdio.h>
#include <string.h>

static thread_local char message[1024];
static thread_local tg_place here;
static thread_local uint64_t failures;

void tg_at(const char *file, int line)
{
    here = (tg_place){file, line};
}

tg_place tg_here(void)
{
    return here;
}

const char *tg_here_file(void)
{
    return here.file;
}

int tg_here_line(void)
{
    return here.line;
}

void tg_here_set(const char *file, int line)
{
    tg_at(file, line);
}

const char *tg_error_message(void)
{
    return message;
}

const char *tg_version(void)
{
#define TG_TEXT_(x) #x
#define TG_TEXT(x) TG_TEXT_(x)
    return TG_TEXT(TG_VERSION_MAJOR) "." TG_TEXT(TG_VERSION_MINOR) "." TG_TEXT(TG_VERSION_PATCH);
}

const char *tg_status_name(tg_status status)
{
    static const char *const names[] = {
        "TG_OK",        "TG_EINVAL",   "TG_ENOMEM",   "TG_ESHAPE",       "TG_EDTYPE", "TG_EINDEX",
        "TG_ENOKERNEL", "TG_ENODERIV", "TG_ESTALE",   "TG_ESTATE",       "TG_EABI",   "TG_EBACKEND",
        "TG_EIO",       "TG_EFORMAT",  "TG_EUNKNOWN", "TG_EUNSUPPORTED", "TG_ENUMERIC",
    };
    return status <= 0 && -status < (int)(sizeof names / sizeof *names) ? names[-status] : "unknown status";
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The C library's own "C", which neither needs memory nor is freed. */
locale_t tg_plain_numbers(void)
{
    return uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
}

int tg_vformat(char *buf, size_t size, const char *format, va_list args)
{
    const locale_t before = tg_plain_numbers();
    const int n = vsnprintf(buf, size, format, args);
    uselocale(before);
    return n;
}

tg_status tg_vfail(tg_tape *tape, tg_status status, const char *format, va_list args)
{
    char text[sizeof message];
    tg_vformat(text, sizeof text, format, args);
    if (here.file) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, " (%s:%d)", base_name(here.file), here.line);
    }
    memcpy(message, text, sizeof message);
    failures++;
    return tg_fail_again(tape, status);
}

uint64_t tg_failures(void)
{
    return failures;
}

tg_status tg_returned(tg_tape *tape, uint64_t before, tg_status status, const char *format, ...)
{
    if (!status || (tape && tape->status))
        return tape ? tape->status : TG_OK;
    if (failures != before)
        return tg_fail_again(tape, status);
    char who[256];
    va_list args;
    va_start(args, format);
    vsnprintf(who, sizeof who, format, args);
    va_end(args);
    return tg_fail(tape, status, "%s returned %s", who, tg_status_name(status));
}

tg_status tg_null(tg_tape *tape, const char *what, const char *argument)
{
    return tg_fail(tape, TG_EINVAL, "%s: %s is NULL", what, argument);
}

tg_status tg_fail_again(tg_tape *tape, tg_status status)
{
    if (tape)
        tape->n_errors++;
    if (tape && tape->status == TG_OK) {
        tape->status = status;
        memcpy(tape->error, message, sizeof message);
        if (tape->watch)
            tg_profile_flush(tape); /* the program may end on this */
    }
    return status;
}

/* Is `what` in the sentence as the name of an operator: before a colon, before its inputs, or as the subject? */
static bool is_named(const char *sentence, const char *what)
{
    for (const char *at = strstr(sentence, what); at; at = strstr(at + 1, what)) {
        const char after = at[strlen(what)];
        const bool subject = after == ' ' && at > sentence + 1 && at[-2] == ':';
        if ((at == sentence || at[-1] == ' ') && (after == ':' || after == '(' || subject))
            return true;
    }
    return false;
}

void tg_fail_in(tg_tape *tape, const char *what)
{
    if (is_named(tape->error, what))
        return;
    char text[sizeof message];
    snprintf(text, sizeof text, "%s: %.900s", what, tape->error);
    memcpy(message, text, sizeof message);
    memcpy(tape->error, text, sizeof message);
}

tg_status tg_fail(tg_tape *tape, tg_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tg_vfail(tape, status, format, args);
    va_end(args);
    return status;
}
