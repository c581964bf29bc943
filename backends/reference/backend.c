#include "backends/reference/reference.h"

#include <omp.h>
#include <threads.h>

const tg_backend *tg_reference_backend(void);

/* The families' tables, joined at the first call: a plug-in hands over one array. */
static tg_kernel kernels[512];

static int score(const char **reason)
{
    *reason = "always there";
    return 1;
}

static tg_status reference_open(const tg_host *host, tg_backend_state **out)
{
    (void)host;
    *out = NULL;
    return TG_OK;
}

static void reference_close(tg_backend_state *s)
{
    (void)s;
}

static void facts(tg_backend_state *s, tg_backend_facts *out)
{
    (void)s;
    out->library = "";
    out->kernels = __builtin_cpu_supports("avx512f") ? "C, AVX-512 clones" : __builtin_cpu_supports("avx2") ? "C, AVX2 clones" : "C";
    out->threads = omp_get_max_threads();
}

static tg_backend backend = {
    .struct_size = sizeof(tg_backend),
    .abi_major = TG_ABI_MAJOR,
    .abi_minor = TG_ABI_MINOR,
    .kernel_stride = sizeof(tg_kernel),
    .name = "reference",
    .kernels = kernels,
    .score = score,
    .open = reference_open,
    .close = reference_close,
    .facts = facts,
};

static void add(tg_kernel k)
{
    k.struct_size = sizeof k;
    k.version = 1;
    if (backend.n_kernels < sizeof kernels / sizeof *kernels)
        kernels[backend.n_kernels++] = k;
}

static void join(void)
{
    static const tg_ref_kernel *const families[] = {
        tg_ref_elementwise, tg_ref_activation, tg_ref_reduce, tg_ref_copy, tg_ref_matmul, tg_ref_softmax,
        tg_ref_loss, tg_ref_index, tg_ref_random, tg_ref_optim, tg_ref_unary, tg_ref_binary, tg_ref_logic,
        tg_ref_special, tg_ref_cumulative, tg_ref_extrema, tg_ref_distance, tg_ref_sort, tg_ref_scatter,
        tg_ref_mask, tg_ref_arrange, tg_ref_create, tg_ref_contraction, tg_ref_resample, tg_ref_patches,
        tg_ref_look, tg_ref_group_norm, tg_ref_conv, tg_ref_pad, tg_ref_recurrent, tg_ref_ctc, tg_ref_attention,
    };
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (const tg_ref_kernel *k = families[f]; k->op; k++)
            add((tg_kernel){.op = k->op, .prepare = k->prepare, .run = k->run});
    for (const tg_kernel *k = tg_ref_norm; k->op; k++)
        add(*k);
    for (const tg_kernel *k = tg_ref_pool; k->op; k++)
        add(*k);
}

const tg_backend *tg_reference_backend(void)
{
    static once_flag once = ONCE_FLAG_INIT;
    call_once(&once, join);
    return &backend;
}
