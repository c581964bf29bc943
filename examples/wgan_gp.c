/* A Wasserstein GAN with gradient penalty (Gulrajani et al. 2017) on a distribution in the plane. The
 * critic's loss has the norm of its own gradient by its input, so that the gradient by its weights is one of
 * second order.
 *
 *     wgan_gp                    trains; compares moments, 1 where they are not near the target's
 *     wgan_gp --quick            fewer steps, wider bounds
 *     wgan_gp --svg wgan.svg     draws how the critic's estimate and the moments went
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/tapegrad.h>

enum { BATCH = 128, TEST = 4096, LATENT = 2, WIDTH = 32, CRITIC_STEPS = 5, CURVE = 100 };

static void check(tg_status status)
{
    if (status) {
        fprintf(stderr, "wgan_gp: %s\n", tg_error_message());
        exit(1);
    }
}

static tg_tensor *noise(tg_tape *tape, int64_t n, int64_t width)
{
    return tg_randn_like(tape, tg_full(tape, TG_F32, (int64_t[]){n, width}, 2, 0));
}

/* The target: a bent cloud, y a quadratic in x and noise. */
static tg_tensor *real_points(tg_tape *tape, int64_t n)
{
    tg_tensor *a = noise(tape, n, 1), *b = noise(tape, n, 1);
    tg_tensor *x = tg_add_scalar(tape, tg_mul_scalar(tape, a, 0.8), 1);
    tg_tensor *bent = tg_add(tape, tg_mul_scalar(tape, a, 0.6), tg_mul_scalar(tape, tg_square(tape, a), 0.3));
    tg_tensor *y = tg_add_scalar(tape, tg_add(tape, bent, tg_mul_scalar(tape, b, 0.25)), -0.5);
    return tg_cat(tape, 1, x, y);
}

/* Without a history: to the critic they are data. */
static tg_tensor *fake_points(tg_tape *tape, tg_module *generator, int64_t n)
{
    const bool recording = tg_tape_set_recording(tape, false);
    tg_tensor *fake = tg_forward(tape, generator, noise(tape, n, LATENT));
    tg_tape_set_recording(tape, recording);
    return fake;
}

/* mean (‖∂critic/∂x‖ − 1)² at points between real and made ones. */
static tg_tensor *penalty(tg_tape *tape, tg_module *critic, tg_tensor *real, tg_tensor *fake, double *norm)
{
    tg_tensor *e = tg_rand_like(tape, tg_full(tape, TG_F32, (int64_t[]){BATCH, 1}, 2, 0)), *g = NULL;
    tg_tensor *x = tg_add(tape, fake, tg_mul(tape, e, tg_sub(tape, real, fake)));
    check(tg_tensor_set_requires_grad(x, true));
    check(tg_grad(tape, tg_sum(tape, tg_forward(tape, critic, x)), NULL, &x, 1, &g, TG_CREATE_GRAPH));
    tg_tensor *squares = tg_sum_dims(tape, tg_square(tape, g), (int64_t[]){1}, 1, false);
    tg_tensor *norms = tg_sqrt(tape, tg_add_scalar(tape, squares, 1e-12));
    check(tg_item(tg_mean(tape, norms), norm));
    return tg_mean(tape, tg_square(tape, tg_add_scalar(tape, norms, -1)));
}

static double critic_step(tg_tape *tape, tg_module *critic, tg_module *generator, tg_optimizer *optimizer,
                          double *norm)
{
    double estimate;
    tg_tape_reset(tape);
    tg_tensor *real = real_points(tape, BATCH), *fake = fake_points(tape, generator, BATCH);
    tg_tensor *of_real = tg_mean(tape, tg_forward(tape, critic, real));
    tg_tensor *loss = tg_sub(tape, tg_mean(tape, tg_forward(tape, critic, fake)), of_real);
    check(tg_item(loss, &estimate));
    check(tg_backward(tape,
                      tg_add(tape, loss, tg_mul_scalar(tape, penalty(tape, critic, real, fake, norm), 10))));
    check(tg_optimizer_step(optimizer, tape));
    return -estimate;
}

static void generator_step(tg_tape *tape, tg_module *critic, tg_module *generator, tg_optimizer *optimizer)
{
    tg_tape_reset(tape);
    tg_module_freeze(critic, TG_FREEZE_AFFINE);
    tg_tensor *score = tg_forward(tape, critic, tg_forward(tape, generator, noise(tape, BATCH, LATENT)));
    check(tg_backward(tape, tg_neg(tape, tg_mean(tape, score))));
    check(tg_optimizer_step(optimizer, tape));
    tg_module_unfreeze(critic, TG_FREEZE_AFFINE);
}

/* Means, deviations, correlation. */
static void moments_of(const tg_tensor *points, double m[5])
{
    static float x[TEST * 2];
    check(tg_tensor_read(points, x, sizeof x));
    double sum[5] = {0};
    for (int i = 0; i < TEST; i++) {
        const double a = (double)x[2 * i], b = (double)x[2 * i + 1], terms[5] = {a, b, a * a, b * b, a * b};
        for (int k = 0; k < 5; k++)
            sum[k] += terms[k] / TEST;
    }
    m[0] = sum[0];
    m[1] = sum[1];
    m[2] = sqrt(sum[2] - m[0] * m[0]);
    m[3] = sqrt(sum[3] - m[1] * m[1]);
    m[4] = (sum[4] - m[0] * m[1]) / (m[2] * m[3]);
}

static double distance(const double a[5], const double b[5])
{
    double worst = 0;
    for (int k = 0; k < 5; k++)
        worst = fmax(worst, fabs(a[k] - b[k]));
    return worst;
}

static tg_module *network(tg_runtime *rt, int64_t in, int64_t out)
{
    tg_module *m = tg_nn_sequential(rt, tg_nn_linear(rt, in, WIDTH), tg_nn_leaky_relu(rt, 0.2),
                                    tg_nn_linear(rt, WIDTH, WIDTH), tg_nn_leaky_relu(rt, 0.2),
                                    tg_nn_linear(rt, WIDTH, out));
    check(m ? TG_OK : TG_EINVAL);
    return m;
}

int main(int argc, char **argv)
{
    const bool quick = argc > 1 && !strcmp(argv[1], "--quick");
    const char *svg = argc > 2 && !strcmp(argv[argc - 2], "--svg") ? argv[argc - 1] : NULL;
    if (argc > 1 && !quick && !svg) {
        fprintf(stderr, "usage: wgan_gp [--quick] [--svg FILE]\n");
        return 2;
    }
    const int steps = quick ? 1000 : 2000;
    const double bound = quick ? 0.4 : 0.2;
    static double at[CURVE], distance_curve[CURVE], estimate_curve[CURVE];
    tg_runtime *rt;
    tg_tape *tape;
    check(tg_runtime_open(&rt, &(tg_runtime_options){.seed = 3, .threads = 1}));
    check(tg_tape_open(&tape, rt));
    tg_module *generator = network(rt, LATENT, 2), *critic = network(rt, 2, 1);
    tg_adam_options adam = tg_adam_defaults();
    adam.lr = 5e-4;
    adam.beta1 = 0;
    adam.beta2 = 0.9;
    tg_optimizer *of_generator = tg_optim_adam(rt, tg_module_parameters(generator), &adam);
    adam.lr = 6e-3;
    tg_optimizer *of_critic = tg_optim_adam(rt, tg_module_parameters(critic), &adam);
    tg_scheduler *schedule = tg_lr_cosine_annealing(of_generator, steps, 0);
    double target[5], m[5];
    moments_of(real_points(tape, TEST), target);
    double estimate = 0, norm = 0;
    tg_progress bar;
    tg_progress_begin(&bar, stderr, "wgan_gp", steps);
    for (int k = 0; k < steps; k++) {
        for (int i = 0; i < CRITIC_STEPS; i++)
            estimate = critic_step(tape, critic, generator, of_critic, &norm);
        generator_step(tape, critic, generator, of_generator);
        check(tg_scheduler_step(schedule));
        tg_progress_step(&bar, BATCH, estimate);
        if (k % (steps / CURVE) && k + 1 < steps)
            continue;
        tg_tape_reset(tape);
        moments_of(fake_points(tape, generator, TEST), m);
        const int c = k * CURVE / steps;
        at[c] = k;
        distance_curve[c] = distance(m, target);
        estimate_curve[c] = estimate;
    }
    tg_progress_end(&bar);
    const double off = distance(m, target);
    printf("          mean             deviation        correlation\n");
    for (int k = 0; k < 2; k++) {
        const double *v = k ? m : target;
        printf("%-9s %6.3f %6.3f    %6.3f %6.3f    %6.3f\n", k ? "learned" : "target", v[0], v[1], v[2], v[3],
               v[4]);
    }
    printf("the critic's slope is %.3f (the penalty wants 1); moments differ by %.3f, to be below %.2f: %s\n",
           norm, off, bound, off < bound ? "yes" : "NO");
    const tg_curve curves[] = {{"moments", at, distance_curve, CURVE},
                               {"estimate", at, estimate_curve, CURVE}};
    const tg_chart charts[] = {{"moments", "step", "largest difference", &curves[0], 1},
                               {"critic", "step", "estimated distance", &curves[1], 1}};
    if (svg)
        check(tg_charts_write_svg(svg, charts, 2));
    tg_scheduler_destroy(schedule);
    tg_optimizer_destroy(of_critic);
    tg_optimizer_destroy(of_generator);
    tg_module_destroy(critic);
    tg_module_destroy(generator);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    return off < bound && fabs(norm - 1) < 0.3 ? 0 : 1;
}
