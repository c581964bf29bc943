/* Schedulers, and the rates that torch 2.14.1 computes with them. */
#ifndef TG_TESTS_SCHEDULES_OF_TORCH_H
#define TG_TESTS_SCHEDULES_OF_TORCH_H

#include "layers/rig.h"

#define PARTS(...)                                                                                           \
    (tg_scheduler *[])                                                                                       \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static double one_over(void *arg, int64_t epoch, size_t group)
{
    (void)arg;
    (void)group;
    return 1 / (1 + (double)epoch);
}

typedef struct cycle {
    double up, down, low, gamma;
    int64_t mode;
} cycle;

static tg_scheduler *cyclic_of(tg_optimizer *o, cycle c)
{
    tg_cyclic_options options = tg_cyclic_defaults();
    options.base_lr = TG_REALS(0.01);
    options.max_lr = TG_REALS(0.1);
    options.step_size_up = c.up;
    if (c.down > 0)
        options.step_size_down = c.down;
    if (c.low > 0)
        options.base_momentum = TG_REALS(c.low);
    if (c.gamma > 0)
        options.gamma = c.gamma;
    options.mode = c.mode;
    return tg_lr_cyclic(o, &options);
}
#define cyclic(O, ...) cyclic_of(O, (cycle){__VA_ARGS__})

static tg_scheduler *other_cyclic(tg_optimizer *o)
{
    tg_attr args[] = {{"base_lr", TG_ATTR_REAL, {.f = 0.02}},
                      {"max_lr", TG_ATTR_REAL, {.f = 0.3}},
                      {"step_size_up", TG_ATTR_INT, {.i = 2}}};
    return tg_lr_create(o, "CyclicLR", args, 3);
}

static tg_scheduler *one_cycle(tg_optimizer *o, int64_t steps)
{
    tg_one_cycle_options options = tg_one_cycle_defaults();
    options.max_lr = TG_REALS(0.3);
    options.total_steps = steps;
    return tg_lr_one_cycle(o, &options);
}

static tg_scheduler *three_phases(tg_optimizer *o)
{
    tg_one_cycle_options options = tg_one_cycle_defaults();
    options.max_lr = TG_REALS(0.3);
    options.epochs = 5;
    options.steps_per_epoch = 2;
    options.pct_start = 0.4;
    options.anneal_strategy = 1;
    options.three_phase = true;
    options.div_factor = 10;
    options.final_div_factor = 100;
    return tg_lr_one_cycle(o, &options);
}

static tg_scheduler *make_multisteplr(tg_optimizer *o)
{
    return tg_lr_multi_step(o, (int64_t[]){2, 2, 4}, 3, 0.3);
}

static tg_scheduler *make_constantlr(tg_optimizer *o)
{
    return tg_lr_constant(o, 0.3, 3);
}

static tg_scheduler *make_linearlr(tg_optimizer *o)
{
    return tg_lr_linear(o, 0.2, 0.7, 4);
}

static tg_scheduler *make_exponentiallr(tg_optimizer *o)
{
    return tg_lr_exponential(o, 0.7);
}

static tg_scheduler *make_polynomiallr(tg_optimizer *o)
{
    return tg_lr_polynomial(o, 4, 2.5);
}

static tg_scheduler *make_steplr(tg_optimizer *o)
{
    return tg_lr_step(o, 2, 0.3);
}

static tg_scheduler *make_cosineannealinglr(tg_optimizer *o)
{
    return tg_lr_cosine_annealing(o, 3, 0.01);
}

static tg_scheduler *make_cosineannealingwarmrestarts(tg_optimizer *o)
{
    return tg_lr_cosine_annealing_warm_restarts(o, 2, 2, 0.01);
}

static tg_scheduler *make_lambdalr(tg_optimizer *o)
{
    return tg_lr_lambda(o, one_over, NULL);
}

static tg_scheduler *make_multiplicativelr(tg_optimizer *o)
{
    return tg_lr_multiplicative(o, one_over, NULL);
}

static tg_scheduler *make_cycliclr_triangular(tg_optimizer *o)
{
    return cyclic(o, .up = 3);
}

static tg_scheduler *make_cycliclr_triangular2(tg_optimizer *o)
{
    return cyclic(o, .up = 2, .down = 3, .mode = 1, .low = 0.7);
}

static tg_scheduler *make_cycliclr_exp_range(tg_optimizer *o)
{
    return cyclic(o, .up = 2, .mode = 2, .gamma = 0.9);
}

static tg_scheduler *make_onecyclelr_cos(tg_optimizer *o)
{
    return one_cycle(o, 8);
}

static tg_scheduler *make_onecyclelr_linear_three_phase(tg_optimizer *o)
{
    return three_phases(o);
}

static tg_scheduler *make_sequential(tg_optimizer *o)
{
    return tg_lr_sequential(o,
                            PARTS(tg_lr_constant(o, 0.1, 2), tg_lr_exponential(o, 0.9),
                                  tg_lr_cosine_annealing_warm_restarts(o, 3, 1, 0)),
                            3, (int64_t[]){3, 6});
}

static tg_scheduler *make_sequential2(tg_optimizer *o)
{
    return tg_lr_warmup(o, 4, 0.25, tg_lr_cosine_annealing(o, 5, 0));
}

static tg_scheduler *make_chained(tg_optimizer *o)
{
    return tg_lr_chained(PARTS(tg_lr_constant(o, 0.1, 2), tg_lr_exponential(o, 0.9)), 2);
}

static tg_scheduler *make_seq_of_chained(tg_optimizer *o)
{
    return tg_lr_sequential(
        o,
        PARTS(tg_lr_chained(PARTS(tg_lr_constant(o, 0.1, 2), tg_lr_exponential(o, 0.9)), 2),
              tg_lr_polynomial(o, 3, 1)),
        2, (int64_t[]){3});
}

static tg_scheduler *make_chained_of_seq(tg_optimizer *o)
{
    return tg_lr_chained(PARTS(tg_lr_sequential(o, PARTS(tg_lr_linear(o, 0.5, 1, 2), tg_lr_step(o, 2, 0.5)),
                                                2, (int64_t[]){2}),
                               tg_lr_exponential(o, 0.9)),
                         2);
}

static tg_scheduler *make_seq_of_seq(tg_optimizer *o)
{
    return tg_lr_sequential(
        o,
        PARTS(tg_lr_sequential(o, PARTS(tg_lr_constant(o, 0.5, 2), tg_lr_exponential(o, 0.8)), 2,
                               (int64_t[]){3}),
              tg_lr_multi_step(o, (int64_t[]){0, 2}, 2, 0.5)),
        2, (int64_t[]){5});
}

static tg_scheduler *make_seq_onecycle(tg_optimizer *o)
{
    return tg_lr_warmup(o, 2, 0.5, one_cycle(o, 5));
}

static tg_scheduler *make_seq_cyclic(tg_optimizer *o)
{
    return tg_lr_sequential(o, PARTS(tg_lr_linear(o, 0.5, 1, 2), other_cyclic(o)), 2, (int64_t[]){2});
}

/* Rates from the constructor on; with momenta (of SGD, of Adam: beta1) between them where `momentum`. */
typedef struct run_of_torch {
    const char *label;
    tg_scheduler *(*make)(tg_optimizer *o);
    bool momentum, adam;
    size_t n;
    double want[32];
} run_of_torch;

static const run_of_torch runs[] = {
    {"MultiStepLR",
     make_multisteplr,
     false,
     false,
     7,
     {
         0.1,
         0.1,
         0.009,
         0.009,
         0.0026999999999999997,
         0.0026999999999999997,
         0.0026999999999999997,
     }},
    {"ConstantLR",
     make_constantlr,
     false,
     false,
     6,
     {
         0.03,
         0.03,
         0.03,
         0.1,
         0.1,
         0.1,
     }},
    {"LinearLR",
     make_linearlr,
     false,
     false,
     7,
     {
         0.020000000000000004,
         0.03250000000000001,
         0.04500000000000001,
         0.05750000000000001,
         0.07000000000000002,
         0.07000000000000002,
         0.07000000000000002,
     }},
    {"ExponentialLR",
     make_exponentiallr,
     false,
     false,
     5,
     {
         0.1,
         0.06999999999999999,
         0.048999999999999995,
         0.0343,
         0.024009999999999997,
     }},
    {"PolynomialLR",
     make_polynomiallr,
     false,
     false,
     7,
     {
         0.1,
         0.04871392896287468,
         0.017677669529663688,
         0.003125,
         0.0,
         0.0,
         0.0,
     }},
    {"StepLR",
     make_steplr,
     false,
     false,
     6,
     {
         0.1,
         0.1,
         0.03,
         0.03,
         0.009,
         0.009,
     }},
    {"CosineAnnealingLR",
     make_cosineannealinglr,
     false,
     false,
     9,
     {
         0.1,
         0.0775,
         0.032500000000000015,
         0.01,
         0.0325,
         0.07750000000000005,
         0.10000000000000007,
         0.07750000000000007,
         0.03250000000000006,
     }},
    {"CosineAnnealingWarmRestarts",
     make_cosineannealingwarmrestarts,
     false,
     false,
     9,
     {
         0.1,
         0.05500000000000001,
         0.1,
         0.08681980515339464,
         0.05500000000000001,
         0.023180194846605363,
         0.1,
         0.0965745789630079,
         0.08681980515339464,
     }},
    {"LambdaLR",
     make_lambdalr,
     false,
     false,
     5,
     {
         0.1,
         0.05,
         0.03333333333333333,
         0.025,
         0.020000000000000004,
     }},
    {"MultiplicativeLR",
     make_multiplicativelr,
     false,
     false,
     5,
     {
         0.1,
         0.05,
         0.016666666666666666,
         0.004166666666666667,
         0.0008333333333333334,
     }},
    {"CyclicLR triangular",
     make_cycliclr_triangular,
     true,
     false,
     18,
     {
         0.01,
         0.9,
         0.040000000000000015,
         0.8666666666666667,
         0.06999999999999999,
         0.8333333333333334,
         0.1,
         0.8,
         0.07000000000000003,
         0.8333333333333334,
         0.03999999999999998,
         0.8666666666666667,
         0.01,
         0.9,
         0.040000000000000056,
         0.8666666666666666,
         0.06999999999999995,
         0.8333333333333335,
     }},
    {"CyclicLR triangular2",
     make_cycliclr_triangular2,
     true,
     false,
     26,
     {
         0.01,
         0.9,
         0.055,
         0.8,
         0.09999999999999999,
         0.7,
         0.06999999999999999,
         0.7666666666666666,
         0.039999999999999994,
         0.8333333333333334,
         0.01,
         0.9,
         0.03250000000000002,
         0.85,
         0.055,
         0.8,
         0.039999999999999994,
         0.8333333333333334,
         0.025000000000000015,
         0.8666666666666667,
         0.01,
         0.9,
         0.021250000000000012,
         0.875,
         0.0325,
         0.85,
     }},
    {"CyclicLR exp_range",
     make_cycliclr_exp_range,
     true,
     true,
     14,
     {
         0.01,
         0.9,
         0.05050000000000001,
         0.855,
         0.0829,
         0.8190000000000001,
         0.04280500000000001,
         0.86355,
         0.01,
         0.9,
         0.03657205000000001,
         0.8704755000000001,
         0.05782969000000001,
         0.8468559,
     }},
    {"OneCycleLR cos",
     make_onecyclelr_cos,
     true,
     false,
     18,
     {
         0.01200000000000001,
         0.95,
         0.2457825314676576,
         0.8688255099070633,
         0.29158253321625693,
         0.8528058334845816,
         0.24352369618492892,
         0.8688255099070633,
         0.1667952042368105,
         0.8944017761948346,
         0.08491829946260977,
         0.9216941869558779,
         0.02299247815027692,
         0.9423362099614142,
         1.2e-06,
         0.95,
         0.022992478150276902,
         0.9423362099614142,
     }},
    {"OneCycleLR linear three_phase",
     make_onecyclelr_linear_three_phase,
     true,
     true,
     22,
     {
         0.03,
         0.95,
         0.12,
         0.9166666666666666,
         0.21,
         0.8833333333333333,
         0.30000000000000004,
         0.85,
         0.21,
         0.8833333333333333,
         0.12,
         0.9166666666666666,
         0.02999999999999997,
         0.95,
         0.0201,
         0.95,
         0.0102,
         0.95,
         0.00030000000000000165,
         0.95,
         -0.009599999999999997,
         0.95,
     }},
    {"Sequential",
     make_sequential,
     false,
     false,
     11,
     {
         0.010000000000000002,
         0.010000000000000002,
         0.10000000000000002,
         0.1,
         0.09000000000000001,
         0.08100000000000002,
         0.1,
         0.07500000000000001,
         0.025000000000000012,
         0.1,
         0.07500000000000001,
     }},
    {"Sequential2",
     make_sequential2,
     false,
     false,
     10,
     {
         0.025,
         0.043750000000000004,
         0.06250000000000001,
         0.08125000000000002,
         0.1,
         0.09045084971874738,
         0.06545084971874737,
         0.03454915028125263,
         0.009549150281252633,
         0.0,
     }},
    {"Chained",
     make_chained,
     false,
     false,
     5,
     {
         0.010000000000000002,
         0.009000000000000003,
         0.08100000000000003,
         0.07290000000000003,
         0.06561000000000003,
     }},
    {"Seq of chained",
     make_seq_of_chained,
     false,
     false,
     7,
     {
         0.009000000000000003,
         0.008100000000000003,
         0.07290000000000003,
         0.1,
         0.06666666666666668,
         0.03333333333333334,
         0.0,
     }},
    {"Chained of seq",
     make_chained_of_seq,
     false,
     false,
     6,
     {
         0.05,
         0.06750000000000002,
         0.09000000000000001,
         0.08100000000000002,
         0.03645000000000001,
         0.03280500000000001,
     }},
    {"Seq of seq",
     make_seq_of_seq,
     false,
     false,
     9,
     {
         0.05,
         0.05,
         0.1,
         0.08000000000000002,
         0.06400000000000002,
         0.05,
         0.05,
         0.025,
         0.025,
     }},
    {"Seq onecycle",
     make_seq_onecycle,
     true,
     false,
     14,
     {
         0.006,
         0.95,
         0.009000000000000001,
         0.95,
         0.01200000000000001,
         0.95,
         0.2851453896040421,
         0.854951556604879,
         0.18337860658088678,
         0.8888739533021842,
         0.05647750381507109,
         0.9311744900929366,
         1.2e-06,
         0.95,
     }},
    {"Seq cyclic",
     make_seq_cyclic,
     true,
     false,
     14,
     {
         0.05,
         0.9,
         0.07500000000000001,
         0.9,
         0.02,
         0.9,
         0.15999999999999998,
         0.8500000000000001,
         0.3,
         0.8,
         0.15999999999999998,
         0.8500000000000001,
         0.02,
         0.9,
     }},
};

#endif
