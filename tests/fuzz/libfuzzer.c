/* The same calls from bytes that libFuzzer finds by what they reach: clang, -fsanitize=fuzzer. */
#include "fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_memory memory = {.limit = (size_t)16 << 20};
    static tg_runtime *rt;
    static tg_tape *tape;
    static const tg_operator *rows[1024];
    static size_t n;
    static fuzz_call call;
    if (!rt) {
        tg_allocator allocator = fuzz_allocator(&memory);
        tg_runtime_options options = {
            .struct_size = sizeof options, .backend = "reference", .allocator = &allocator, .threads = 1};
        if (tg_runtime_open(&rt, &options) || tg_tape_open(&tape, rt))
            abort();
        n = tg_operator_list(rt, rows, sizeof rows / sizeof *rows);
    }
    fuzz_source s = {.bytes = data, .n = size};
    fuzz_outcome out;
    const tg_operator *op = rows[fuzz_below(&s, (int64_t)n)];
    if (fuzz_draw(&call, op, &s)) {
        fuzz_run(&call, rt, tape, &out);
        if (*out.fault) {
            fprintf(stderr, "%s\n    ", out.fault);
            fuzz_describe(&call, stderr);
            abort();
        }
    }
    fuzz_release(&call);
    tg_tape_reset(tape);
    return 0;
}
