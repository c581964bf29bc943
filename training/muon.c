/* torch.optim.Muon (Jordan et al. 2024). */
#include "training/optimizer.h"

#include <math.h>
#include <string.h>

static const tg_attr_spec attrs[] = {
    TG_OPTIM_LR(1e-3),
    TG_OPTIM_REAL(weight_decay, 0.1, TG_OPTIM_LOW, "shrinks the parameter itself, at least 0"),
    TG_OPTIM_MOMENTUM(0.95),
    {.name = "nesterov",
     .type = TG_ATTR_BOOL,
     TG_OPTIM_AT(nesterov),
     .value = 1,
     .doc = "Nesterov's momentum"},
    {.name = "ns_coefficients",
     .type = TG_ATTR_REALS,
     TG_OPTIM_AT(ns_coefficients),
     .values = "3.4445, -4.7750, 2.0315",
     .doc = "of the Newton–Schulz polynomial"},
    TG_OPTIM_REAL(eps, 1e-7, TG_OPTIM_LOW, "the least norm that an update is divided by, at least 0"),
    TG_OPTIM_INT(ns_steps, 5, "Newton–Schulz steps, 0 to 99"),
    {.name = "adjust_lr_fn",
     .type = TG_ATTR_CHOICE,
     .flags = TG_ATTR_OPTIONAL,
     TG_OPTIM_AT(adjust_lr_fn),
     .choices = "original|match_rms_adamw|spectral_unclamped",
     .doc = "how the rate depends on the matrix's sizes"},
    {0},
};

static tg_status check(const tg_optim_config *c)
{
    if (c->ns_steps < 0 || c->ns_steps > 99)
        return tg_fail(NULL, TG_EINVAL, "Muon: ns_steps is %lld, expected 0 to 99", (long long)c->ns_steps);
    if (c->adjust_lr_fn != TG_NONE_INT &&
        (c->adjust_lr_fn < TG_MUON_ORIGINAL || c->adjust_lr_fn > TG_MUON_SPECTRAL_UNCLAMPED))
        return tg_fail(NULL, TG_EINVAL, "Muon: adjust_lr_fn is %lld, which names none of the functions",
                       (long long)c->adjust_lr_fn);
    return TG_OK;
}

static tg_status check_parameter(const char *name, const tg_desc *d)
{
    char got[128];
    return d->ndim == 2 ? TG_OK
                        : tg_fail(NULL, TG_ESHAPE,
                                  "Muon: parameter %s is %s, expected a matrix; give the others "
                                  "to another optimizer",
                                  name, tg_desc_format(d, got, sizeof got));
}

static void row(const tg_optim_config *c, tg_step_row *out)
{
    tg_optim_rule(c, TG_RULE_MUON, 1, out);
}

static void scalars(const tg_optim_now *now, double *out)
{
    const tg_optim_config *c = now->config;
    const double rows = (double)now->desc->dim[0], columns = (double)now->desc->dim[1];
    double by = sqrt(fmax(1, rows / columns));
    if (c->adjust_lr_fn == TG_MUON_MATCH_RMS_ADAMW)
        by = 0.2 * sqrt(fmax(rows, columns));
    else if (c->adjust_lr_fn == TG_MUON_SPECTRAL_UNCLAMPED)
        by = sqrt(rows / columns);
    tg_optim_decays(now, out);
    out[0] = 1 - now->lr * c->weight_decay;
    out[1] = 0;
    out[2] = now->lr * by;
}

/* The nearest matrix with orthonormal rows or columns, roughly. */
static tg_tensor *orthogonal(const tg_optim_config *c, tg_tape *tape, tg_tensor *x)
{
    const double *k = c->ns_coefficients.v;
    bool tall = tg_tensor_dim(x, 0) > tg_tensor_dim(x, 1);
    if (tall)
        x = tg_t(tape, x);
    x = tg_div(tape, x, tg_clamp(tape, tg_norm_dims(tape, x, 2, NULL, 0, false), c->eps, (double)INFINITY));
    for (int64_t i = 0; i < c->ns_steps; i++) {
        tg_tensor *gram = tg_matmul(tape, x, tg_t(tape, x));
        x = tg_addmm(tape, x, tg_addmm(tape, gram, gram, gram, k[1], k[2]), x, k[0], 1);
    }
    return tg_contiguous(tape, tall ? tg_t(tape, x) : x);
}

static tg_status direction(tg_optimizer *o, tg_tape *tape, size_t i, tg_tensor **in)
{
    const tg_optim_config *c = &o->group[o->group_of[i]].config;
    tg_scope scope;
    tg_scope_enter(tape, &scope);
    tg_tensor *buffer = tg_lerp_scalar(tape, in[2], in[1], 1 - c->momentum);
    in[1] = orthogonal(c, tape, c->nesterov ? tg_lerp_scalar(tape, in[1], buffer, c->momentum) : buffer);
    in[3] = buffer;
    tg_scope_leave(tape, &scope, in + 1, 3);
    return tg_tape_status(tape);
}

const tg_optim_class tg_optim_class_muon = {
    .name = "Muon",
    .attrs = attrs,
    .states = "momentum_buffer",
    .check = check,
    .check_parameter = check_parameter,
    .row = row,
    .scalars = scalars,
    .direction = direction,
};
TG_OPTIM_PUBLIC(muon)
