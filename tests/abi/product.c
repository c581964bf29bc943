/* Multiplies on BLIS and checks the result: a process of its own, because BLIS reads its environment once.
 *
 *     product [PROCESSOR KERNELS]
 *
 * The latter: as on that processor, where BLIS shall use those kernels. */
#include "abi/processor.h"

#include <tapegrad/tapegrad.h>

#include <stdio.h>
#include <string.h>

static void log_line(void *arg, tg_log_level level, const char *message)
{
    (void)arg;
    fprintf(stderr, "log %d: %s\n", (int)level, message);
}

int main(int argc, char **argv)
{
    const char *why;
    if (argc == 3 && !be_processor(argv[1], &why)) {
        fprintf(stderr, "skipped: %s\n", why);
        return 77;
    }
    enum { M = 70, K = 90, N = 110 };
    static float a[M * K], b[K * N], c[M * N];
    tg_runtime *rt;
    if (tg_runtime_open(&rt, &(tg_runtime_options){.backend = "blis", .log = log_line})) {
        fprintf(stderr, "%s\n", tg_error_message());
        return 1;
    }
    tg_backend_info info[16];
    tg_runtime_backends(rt, info, 16);
    fprintf(stderr, "%s %s: %s\n", info[0].name, info[0].library, info[0].kernels);
    if (argc == 3 && strcmp(info[0].kernels, argv[2]) != 0) {
        fprintf(stderr, "on %s it should use %s\n", argv[1], argv[2]);
        return 1;
    }
    for (int i = 0; i < M * K; i++)
        a[i] = (float)(i % 7);
    for (int i = 0; i < K * N; i++)
        b[i] = (float)(i % 5);
    tg_tape *tape;
    if (tg_tape_open(&tape, rt))
        return 1;
    tg_tensor *y = tg_matmul(tape, tg_input(tape, TG_F32, (int64_t[]){M, K}, 2, a),
                             tg_input(tape, TG_F32, (int64_t[]){K, N}, 2, b));
    int bad = tg_tensor_read(y, c, sizeof c) != TG_OK || tg_tape_count_runs(tape, "matmul", "blis") != 1;
    for (int i = 0; i < M && !bad; i++)
        for (int j = 0; j < N; j++) {
            float sum = 0;
            for (int p = 0; p < K; p++)
                sum += a[i * K + p] * b[p * N + j];
            bad |= sum != c[i * N + j];
        }
    if (bad)
        fprintf(stderr, "wrong: %s\n", tg_tape_error(tape));
    tg_tape_close(tape);
    tg_runtime_close(rt);
    return bad;
}
