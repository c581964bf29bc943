/* The backend 'rest': the reference, without what the kit says that another backend has a kernel for. Behind that one
 * in a chain, and with TAPEGRAD_FALLBACK=error, an operator ends in an error exactly where it had to run there and was
 * refused: nobody named the reference that comes last. What the other declines as slower runs on the reference.
 *
 * TAPEGRAD_TEST_KIT names the file with what `tapegrad kit --backend NAME` printed. */
#include <tapegrad/backend_abi.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

const tg_backend *tg_reference_backend(void);

enum { MAX_KERNELS = 512, MAX_TAKEN = 256 };

static const tg_backend *reference;
static tg_backend backend;
static tg_kernel kernels[MAX_KERNELS];
static struct {
    char op[40], dtype[4];
} taken[MAX_TAKEN];
static size_t n_taken;

/* The dtype of all the call's tensors; "" where they differ: the kit's word is on f32 and on f64. */
static const char *dtype_of(const tg_call *c)
{
    int32_t dtype = -1;
    for (uint32_t i = 0; i < c->n_in + c->n_out; i++) {
        const tg_desc *d = i < c->n_in ? c->in[i] : &c->out[i - c->n_in];
        if (d && dtype >= 0 && d->dtype != dtype)
            return "";
        dtype = d ? d->dtype : dtype;
    }
    return dtype == TG_F32 ? "f32" : dtype == TG_F64 ? "f64" : "";
}

static tg_accept accept(tg_backend_state *s, const tg_call *c, const char **reason)
{
    const char *dtype = dtype_of(c);
    for (size_t i = 0; i < n_taken; i++)
        if (!strcmp(taken[i].op, c->op) && !strcmp(taken[i].dtype, dtype)) {
            *reason = "the kit says that the backend before has a kernel for it";
            return TG_REFUSE;
        }
    for (uint32_t k = 0; k < reference->n_kernels; k++)
        if (!strcmp(reference->kernels[k].op, c->op) && reference->kernels[k].version == c->version)
            return reference->kernels[k].accept ? reference->kernels[k].accept(s, c, reason) : TG_ACCEPT;
    return TG_REFUSE;
}

/* "softmax   f32    18 passed, 0 failed, 54 declined, 36 runs": what passed at least once. */
static bool read_kit(void)
{
    char line[512];
    const char *path = getenv("TAPEGRAD_TEST_KIT");
    FILE *f = path ? fopen(path, "r") : NULL;
    unsigned passed;
    while (f && n_taken < MAX_TAKEN && fgets(line, sizeof line, f))
        if (sscanf(line, "%39s %3s %u passed,", taken[n_taken].op, taken[n_taken].dtype, &passed) == 3 && passed)
            n_taken++;
    if (f)
        fclose(f);
    return n_taken > 0;
}

static void fill(void)
{
    reference = tg_reference_backend();
    backend = *reference;
    backend.name = "rest";
    backend.kernels = kernels;
    backend.n_kernels = reference->n_kernels < MAX_KERNELS ? reference->n_kernels : MAX_KERNELS;
    for (uint32_t k = 0; k < backend.n_kernels; k++) {
        kernels[k] = reference->kernels[k];
        kernels[k].accept = accept;
    }
    if (!read_kit()) /* a suite that asks for nothing must not pass */
        backend.n_kernels = 0;
}

TG_API const tg_backend *tg_backend_entry(void);
const tg_backend *tg_backend_entry(void)
{
    static once_flag once = ONCE_FLAG_INIT;
    call_once(&once, fill);
    return &backend;
}
