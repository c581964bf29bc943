/* Plug-ins and hosts of different minors of the ABI. */
#include "abi/rig.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include <tapegrad/backend_abi.h>

START_TEST(a_plugin_of_minor_0_in_this_host)
{
    ck_assert_int_ge(TG_ABI_MINOR, 1);
    tg_runtime *rt = open_chain("minor0");
    tg_tape *tape = open_tape(rt);
    ck_assert(info_of(rt, "minor0").loaded);
    check_neg(tape, "minor0");
    tg_tape_close(tape);
    tg_runtime_close(rt);
}
END_TEST

static void *take(void *arg, size_t size, size_t align)
{
    (void)arg;
    return aligned_alloc(align, (size + align - 1) / align * align);
}

static void give(void *arg, void *ptr)
{
    (void)arg;
    free(ptr);
}

static const tg_kernel *kernel_of(const tg_backend *b, const char *op)
{
    for (uint32_t i = 0; i < b->n_kernels; i++) {
        const tg_kernel *k = (const tg_kernel *)(const void *)((const char *)b->kernels + (size_t)i * b->kernel_stride);
        if (!strcmp(k->op, op))
            return k;
    }
    ck_abort_msg("no kernel for %s", op);
    return NULL;
}

/* This process plays a host of minor 0, whose structs end earlier. */
START_TEST(a_plugin_of_this_minor_in_a_host_of_minor_0)
{
    enum { MINOR_0 = offsetof(tg_prepared, implementation), WORDS = sizeof(tg_prepared) / 8 };
    void *file = dlopen(PLUGINS "/good.so", RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(file != NULL, "%s", dlerror());
    tg_backend_entry_fn entry;
    *(void **)&entry = dlsym(file, TG_BACKEND_ENTRY);
    const tg_backend *b = entry();
    const tg_host host = {
        .struct_size = sizeof host, .abi_major = TG_ABI_MAJOR, .abi_minor = 0, .threads = 1, .alloc = take, .free = give};
    tg_backend_state *state = NULL;
    ck_assert_int_eq(b->open(&host, &state), TG_OK);
    tg_desc d;
    ck_assert_int_eq(tg_desc_make(&d, TG_F32, (int64_t[]){3}, 1), TG_OK);
    const tg_desc *in[1] = {&d};
    const tg_call call = {.struct_size = sizeof call, .version = 1, .op = "neg", .in = in, .n_in = 1, .n_out = 1,
                          .out = &d, .threads = 1};
    tg_prepared p;
    memset(&p, 0, MINOR_0);
    memset((char *)&p + MINOR_0, 0x5a, sizeof p - MINOR_0);
    p.struct_size = MINOR_0;
    const tg_kernel *k = kernel_of(b, "neg");
    ck_assert_int_eq(k->prepare(state, &call, &p), TG_OK);
    for (size_t i = MINOR_0; i < sizeof p; i++)
        ck_assert_msg(((unsigned char *)&p)[i] == 0x5a, "byte %zu, past the host's struct, was written", i);
    float x[3] = {1, 2, 3}, y[3];
    const void *src[1] = {x};
    void *dst[1] = {y};
    const tg_run r = {.struct_size = sizeof r, .threads = 1, .in = src, .out = dst, .n_in = 1, .n_out = 1};
    ck_assert_int_eq(k->run(state, &call, &p, &r), TG_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(y[i], -x[i]);
    k->release(state, &p);
    b->close(state);
    dlclose(file);
}
END_TEST

START_TEST(majors_refuse)
{
    ck_assert_int_eq(refused("othermajor"), TG_EABI);
    has(tg_error_message(), "it was built for plug-in ABI 2.");
    has(tg_error_message(), "this library has 1.2");
}
END_TEST

/* What a prepared call says of itself is in the report. */
START_TEST(the_report_names_implementations)
{
    char line[400], path[] = "report-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    env("TAPEGRAD_REPORT", path);
    tg_runtime *rt = open_chain("good");
    tg_tape *tape = open_tape(rt);
    for (int i = 0; i < 3; i++)
        check_neg(tape, "good");
    tg_tape_close(tape);
    tg_runtime_close(rt);
    FILE *f = fdopen(fd, "r");
    bool found = false;
    while (fgets(line, sizeof line, f)) {
        unsigned long long calls, fallbacks, reorders;
        double ms;
        char implementation[64];
        if (sscanf(line, "neg good %llu %lf %llu %llu %63s", &calls, &ms, &fallbacks, &reorders, implementation) != 5)
            continue;
        found = true;
        ck_assert_uint_eq(calls, 3);
        ck_assert_uint_eq(reorders, 6);
        ck_assert_str_eq(implementation, "test:_loops");
    }
    fclose(f);
    remove(path);
    ck_assert(found);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("minor");
    TCase *t = tcase_create("minor");
    tcase_add_checked_fixture(t, fresh_env, fresh_env);
    tcase_add_test(t, a_plugin_of_minor_0_in_this_host);
    tcase_add_test(t, a_plugin_of_this_minor_in_a_host_of_minor_0);
    tcase_add_test(t, majors_refuse);
    tcase_add_test(t, the_report_names_implementations);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
