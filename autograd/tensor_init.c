/* torch.nn.init, by in-place rows on the runtime's own tape. */
#include "autograd/internal.h"

#include <math.h>

static tg_status fill_with(tg_tensor *tensor, const tg_operator *row, const double *scalars, const char *what)
{
    tg_value *v = tg_alive(tensor, what);
    if (!v)
        return tensor ? TG_ESTALE : TG_EINVAL;
    if (tg_value_plain(v->home->tape, v))
        return tg_tape_status(v->home->tape);
    if (tg_value_planned(v))
        return TG_OK;
    tg_runtime *rt = v->home->rt;
    tg_tape *tape = tg_runtime_tape(rt);
    if (!tape)
        return TG_ENOMEM;
    tg_tensor *in = tensor;
    if (v->home->tape && v->home != &tape->home) { /* another tape's value: by its storage */
        tg_value *a = tg_value_alias(tape, v);
        if (!a) {
            tg_runtime_tape_done(rt);
            return TG_ENOMEM;
        }
        in = tg_handle(a);
    }
    tg_status status = tg_apply(tape, row, &in, 1, NULL, scalars, NULL);
    tg_runtime_tape_done(rt);
    return status;
}

static const tg_core_rows *rows(const tg_tensor *tensor)
{
    static const tg_core_rows none;
    const tg_value *v = tensor ? tg_resolve(tensor) : NULL;
    return v ? &v->home->rt->rows : &none;
}

tg_status tg_fill(tg_tensor *tensor, double value)
{
    return fill_with(tensor, rows(tensor)->fill_, &value, "tg_fill");
}

tg_status tg_init_uniform(tg_tensor *tensor, double low, double high)
{
    if (!(low <= high))
        return tg_fail(NULL, TG_EINVAL, "tg_init_uniform: low %g is not at most high %g", low, high);
    return fill_with(tensor, rows(tensor)->uniform_, (double[]){low, high}, "tg_init_uniform");
}

tg_status tg_init_normal(tg_tensor *tensor, double mean, double std)
{
    if (!(std >= 0))
        return tg_fail(NULL, TG_EINVAL, "tg_init_normal: std %g is not at least 0", std);
    return fill_with(tensor, rows(tensor)->normal_, (double[]){mean, std}, "tg_init_normal");
}

static tg_status fans(const tg_tensor *tensor, const char *what, double *fan_in, double *fan_out)
{
    tg_desc d;
    tg_status status = tg_tensor_desc(tensor, &d);
    if (status)
        return status;
    if (d.ndim < 2)
        return tg_fail(NULL, TG_ESHAPE, "%s: at least 2 dims are needed, not %d", what, d.ndim);
    double field = 1;
    for (int32_t i = 2; i < d.ndim; i++)
        field *= (double)d.dim[i];
    *fan_in = (double)d.dim[1] * field;
    *fan_out = (double)d.dim[0] * field;
    return TG_OK;
}

tg_status tg_init_kaiming_uniform(tg_tensor *tensor, double a)
{
    double in = 0, out = 0;
    tg_status status = fans(tensor, "tg_init_kaiming_uniform", &in, &out);
    if (status)
        return status;
    double bound = in > 0 ? sqrt(6.0 / ((1 + a * a) * in)) : 0;
    return tg_init_uniform(tensor, -bound, bound);
}

tg_status tg_init_xavier_uniform(tg_tensor *tensor, double gain)
{
    double in = 0, out = 0;
    tg_status status = fans(tensor, "tg_init_xavier_uniform", &in, &out);
    if (status)
        return status;
    double bound = in + out > 0 ? gain * sqrt(6.0 / (in + out)) : 0;
    return tg_init_uniform(tensor, -bound, bound);
}
