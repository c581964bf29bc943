/* Random calls of every registered row: an error or a right result, nothing else.
 *
 *     fuzz [--calls N] [--seed S] [--operator NAME] [--only CALL]
 *
 * Call number K of seed S is the same for ever: --only K makes that one, and says what it is. */
#include "fuzz/fuzz.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECONDS = 60, FAULTS = 20, ROWS = 4096 };

typedef struct wishes {
    long long calls, seed, only;
    const char *name;
} wishes;

typedef struct counts {
    long long results, errors, gradients, faults;
} counts;

static fuzz_call call;
static wishes o = {.calls = 50000, .seed = 1, .only = -1};
static long long current, results_of[ROWS];

static void stopped(int signal_number)
{
    fprintf(stderr, "\nfuzz --seed %lld --only %lld%s%s: %s\n", o.seed, current, o.name ? " --operator " : "",
            o.name ? o.name : "", signal_number == SIGALRM ? "it takes too long" : "it crashes");
    fuzz_describe(&call, stderr);
#ifndef __SANITIZE_ADDRESS__
    _exit(1);
#endif
}

#ifdef __SANITIZE_ADDRESS__
void __asan_on_error(void);
void __asan_on_error(void)
{
    stopped(SIGSEGV);
}
#endif

static bool take_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return false;
        if (!strcmp(argv[i], "--calls"))
            o.calls = atoll(argv[i + 1]);
        else if (!strcmp(argv[i], "--seed"))
            o.seed = atoll(argv[i + 1]);
        else if (!strcmp(argv[i], "--only"))
            o.only = atoll(argv[i + 1]);
        else if (!strcmp(argv[i], "--operator"))
            o.name = argv[i + 1];
        else
            return false;
    }
    return true;
}

static void one(long long k, const tg_operator **rows, size_t n, tg_runtime *rt, tg_tape *tape, counts *total)
{
    fuzz_source s = {.state = (uint64_t)o.seed * 0x100000001b3u + (uint64_t)k * 0xd1342543de82ef95u};
    fuzz_bits(&s);
    const int64_t which = fuzz_below(&s, (int64_t)n);
    const tg_operator *op = rows[which];
    fuzz_outcome out;
    current = k;
    alarm(SECONDS);
    if (!fuzz_draw(&call, op, &s)) {
        fprintf(stderr, "no memory\n");
        exit(1);
    }
    if (o.only >= 0)
        fuzz_describe(&call, stderr);
    fuzz_run(&call, rt, tape, &out);
    if (*out.fault && ++total->faults <= FAULTS) {
        fprintf(stderr, "fuzz --seed %lld --only %lld%s%s: %s\n    ", o.seed, k, o.name ? " --operator " : "",
                o.name ? o.name : "", out.fault);
        fuzz_describe(&call, stderr);
    }
    total->results += out.status == TG_OK;
    results_of[which] += out.status == TG_OK;
    total->errors += out.status != TG_OK;
    total->gradients += out.differentiated;
    fuzz_release(&call);
}

/* With so many calls of each row that some must have been right: those that gave no result are not tested. */
static long long never_seen(const tg_operator **rows, size_t n, long long calls)
{
    long long never = 0;
    for (size_t i = 0; i < n && calls / 150 > (long long)n; i++)
        if (!results_of[i]) {
            fprintf(stderr, "fuzz: %s never gave a result\n", rows[i]->name);
            never++;
        }
    return never;
}

static int fail(const char *what)
{
    fprintf(stderr, "fuzz: %s: %s\n", what, tg_error_message());
    return 1;
}

int main(int argc, char **argv)
{
    fuzz_memory memory = {.limit = (size_t)16 << 20};
    tg_allocator allocator = fuzz_allocator(&memory);
    tg_runtime_options options = {.struct_size = sizeof options, .allocator = &allocator, .threads = 1};
    tg_runtime *rt;
    tg_tape *tape;
    counts total = {0};
    if (!take_options(argc, argv)) {
        fprintf(stderr, "usage: %s [--calls N] [--seed S] [--operator NAME] [--only CALL]\n", argv[0]);
        return 2;
    }
    if (tg_runtime_open(&rt, &options) || tg_tape_open(&tape, rt))
        return fail("no runtime");
    size_t n = tg_operator_list(rt, NULL, 0);
    if (n > ROWS)
        return fail("too many rows");
    const tg_operator **rows = calloc(n, sizeof *rows), *named = tg_operator_find(rt, o.name);
    tg_operator_list(rt, rows, n);
    if (o.name && !named)
        return fail("no such operator");
    if (named) {
        rows[0] = named;
        n = 1;
    }
    for (size_t i = 0; i < n; i++) {
        size_t n_samples;
        if (!tg_operator_samples(rows[i], &n_samples) || !n_samples)
            return fail("nothing to draw from");
    }
    signal(SIGALRM, stopped);
    signal(SIGFPE, stopped);
#ifndef __SANITIZE_ADDRESS__
    signal(SIGSEGV, stopped);
#endif
    const long long first = o.only >= 0 ? o.only : 0, end = o.only >= 0 ? o.only + 1 : o.calls;
    for (long long k = first; k < end; k++) {
        one(k, rows, n, rt, tape, &total);
        tg_tape_reset(tape);
        if (tg_tape_size(tape) || tg_tape_status(tape)) {
            fprintf(stderr, "fuzz: after call %lld the tape is not empty\n", k);
            total.faults++;
            break;
        }
    }
    alarm(0);
    total.faults += never_seen(rows, n, end - first);
    fprintf(stderr,
            "%lld calls of %zu operators: %lld results, %lld gradients, %lld errors; at most %zu KiB\n",
            end - first, n, total.results, total.gradients, total.errors, memory.peak >> 10);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    free(rows);
    if (memory.live) {
        fprintf(stderr, "fuzz: %zu bytes were not given back\n", memory.live);
        total.faults++;
    }
    if (total.faults)
        fprintf(stderr, "%lld faults\n", total.faults);
    return total.faults != 0;
}
