#include "abi/rig.h"

#include <string.h>

void env(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

void fresh_env(void)
{
    static const char *const names[] = {"TAPEGRAD_BACKEND", "TAPEGRAD_FALLBACK", "TAPEGRAD_REPORT",
                                        "TAPEGRAD_NUM_THREADS", "BLIS_ARCH_TYPE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        env(names[i], NULL);
    env("TAPEGRAD_BACKEND_PATH", PLUGINS ":" BLIS_DIR ":" ONEDNN_DIR);
}

tg_runtime *open_chain(const char *chain)
{
    tg_runtime *rt = NULL;
    tg_status status = tg_runtime_open(&rt, &(tg_runtime_options){.backend = chain});
    ck_assert_msg(status == TG_OK, "%s: %s", chain ? chain : "(default)", tg_error_message());
    return rt;
}

tg_status refused(const char *chain)
{
    tg_runtime *rt = (tg_runtime *)&rt;
    tg_status status = tg_runtime_open(&rt, &(tg_runtime_options){.backend = chain});
    ck_assert_msg(status != TG_OK, "the chain '%s' opened", chain ? chain : "(default)");
    ck_assert_ptr_null(rt);
    return status;
}

tg_tape *open_tape(tg_runtime *rt)
{
    tg_tape *tape = NULL;
    ck_assert_msg(tg_tape_open(&tape, rt) == TG_OK, "%s", tg_error_message());
    return tape;
}

void has(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "'%s' is not in: %s", part, text);
}

tg_backend_info info_of(tg_runtime *rt, const char *name)
{
    tg_backend_info info[64];
    size_t n = tg_runtime_backends(rt, info, 64);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(info[i].name, name))
            return info[i];
    ck_abort_msg("no backend '%s' is listed", name);
    return info[0];
}

void check_neg(tg_tape *tape, const char *expected_backend)
{
    uint64_t before = tg_tape_count_runs(tape, "neg", expected_backend);
    const float x[3] = {1, 2, 3};
    float y[3] = {0};
    tg_tensor *t = tg_neg(tape, tg_input(tape, TG_F32, (int64_t[]){3}, 1, x));
    ck_assert_msg(t != NULL, "%s", tg_tape_error(tape));
    ck_assert_int_eq(tg_tensor_read(t, y, sizeof y), TG_OK);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(y[i], -x[i]);
    ck_assert_uint_eq(tg_tape_count_runs(tape, "neg", expected_backend), before + 1);
}
