/* A physics-informed network: it learns u″ + 2δu′ + ω²u = 0, u(0) = 1, u′(0) = 0, a damped oscillator, from
 * the equation alone. The loss has second derivatives by the input, and is differentiated by the weights:
 * third derivatives in all.
 *
 *     pinn                  trains; prints the error against the known solution, exits with 1 above the bound
 *     pinn --quick          fewer steps, a wider bound
 *     pinn --svg pinn.svg   draws solution and loss
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapegrad/tapegrad.h>

enum { POINTS = 48, GRID = 200, CURVE = 100 };
static const double DELTA = 0.4, OMEGA = 2, END = 5;

static void check(tg_status status)
{
    if (status) {
        fprintf(stderr, "pinn: %s\n", tg_error_message());
        exit(1);
    }
}

static double exact(double t)
{
    const double w = sqrt(OMEGA * OMEGA - DELTA * DELTA);
    return exp(-DELTA * t) * (cos(w * t) + DELTA / w * sin(w * t));
}

/* u(t) = 1 + t²·net(2t/END − 1): the conditions at 0 hold by construction. */
static tg_tensor *solution(tg_tape *tape, tg_module *net, tg_tensor *t)
{
    tg_tensor *scaled = tg_add_scalar(tape, tg_mul_scalar(tape, t, 2 / END), -1);
    return tg_add_scalar(tape, tg_mul(tape, tg_square(tape, t), tg_forward(tape, net, scaled)), 1);
}

/* dy/dt for each row by itself: a row of y depends on its own t alone, so that the sum's gradient is all of
 * them. */
static tg_tensor *by_time(tg_tape *tape, tg_tensor *y, tg_tensor *t)
{
    tg_tensor *out = NULL;
    check(tg_grad(tape, tg_sum(tape, y), NULL, &t, 1, &out, TG_CREATE_GRAPH));
    return out;
}

/* The mean square of what is left of the equation. */
static tg_tensor *residual(tg_tape *tape, tg_module *net, const double *times)
{
    tg_tensor *t = tg_input(tape, TG_F64, (int64_t[]){POINTS, 1}, 2, times);
    check(tg_tensor_set_requires_grad(t, true));
    tg_tensor *u = solution(tape, net, t), *u1 = by_time(tape, u, t), *u2 = by_time(tape, u1, t);
    tg_tensor *left = tg_add(tape, u2, tg_mul_scalar(tape, u1, 2 * DELTA));
    return tg_mean(tape, tg_square(tape, tg_add(tape, left, tg_mul_scalar(tape, u, OMEGA * OMEGA))));
}

/* The largest error on a grid that training has not seen. */
static double error_of(tg_tape *tape, tg_module *net, double *times, double *u, double *known)
{
    double worst = 0;
    for (int i = 0; i < GRID; i++)
        times[i] = END * i / (GRID - 1);
    tg_tape_reset(tape);
    bool recording = tg_tape_set_recording(tape, false);
    tg_tensor *y = solution(tape, net, tg_input(tape, TG_F64, (int64_t[]){GRID, 1}, 2, times));
    check(tg_tape_status(tape));
    check(tg_tensor_read(y, u, GRID * sizeof *u));
    tg_tape_set_recording(tape, recording);
    for (int i = 0; i < GRID; i++) {
        known[i] = exact(times[i]);
        worst = fmax(worst, fabs(u[i] - known[i]));
    }
    return worst;
}

int main(int argc, char **argv)
{
    const bool quick = argc > 1 && !strcmp(argv[1], "--quick");
    const char *svg = argc > 2 && !strcmp(argv[argc - 2], "--svg") ? argv[argc - 1] : NULL;
    if (argc > 1 && !quick && !svg) {
        fprintf(stderr, "usage: pinn [--quick] [--svg FILE]\n");
        return 2;
    }
    const int steps = quick ? 6000 : 20000;
    const double bound = quick ? 5e-2 : 2e-3;
    static double curve_x[CURVE], curve_y[CURVE], times[POINTS], grid[GRID], u[GRID], known[GRID];
    tg_runtime *rt;
    tg_tape *tape;
    check(tg_runtime_open(&rt, &(tg_runtime_options){.seed = 1, .dtype = TG_F64, .threads = 1}));
    check(tg_tape_open(&tape, rt));
    tg_module *net = tg_nn_sequential(rt, tg_nn_linear(rt, 1, 24), tg_nn_tanh(rt), tg_nn_linear(rt, 24, 24),
                                      tg_nn_tanh(rt), tg_nn_linear(rt, 24, 1));
    check(net ? TG_OK : TG_EINVAL);
    tg_adam_options adam = tg_adam_defaults();
    adam.lr = 1e-2;
    tg_optimizer *optimizer = tg_optim_adam(rt, tg_module_parameters(net), &adam);
    tg_scheduler *schedule = tg_lr_cosine_annealing(optimizer, steps, 1e-5);
    for (int i = 0; i < POINTS; i++)
        times[i] = END * (i + 0.5) / POINTS;
    tg_progress bar;
    tg_progress_begin(&bar, stderr, "pinn", steps);
    double loss = 0;
    for (int k = 0; k < steps; k++) {
        tg_tape_reset(tape);
        tg_tensor *y = residual(tape, net, times);
        check(tg_backward(tape, y));
        check(tg_item(y, &loss));
        check(tg_optimizer_step(optimizer, tape));
        check(tg_scheduler_step(schedule));
        curve_x[k * CURVE / steps] = k;
        curve_y[k * CURVE / steps] = log10(loss);
        tg_progress_step(&bar, POINTS, loss);
    }
    tg_progress_end(&bar);
    const double error = error_of(tape, net, grid, u, known);
    printf("residual %.3e after %d steps; largest error of u on [0, %g]: %.2e, to be below %.0e: %s\n", loss,
           steps, END, error, bound, error < bound ? "yes" : "NO");
    const tg_curve curves[] = {
        {"network", grid, u, GRID}, {"exact", grid, known, GRID}, {"residual", curve_x, curve_y, CURVE}};
    const tg_chart charts[] = {{"damped oscillator", "t", "u", curves, 2},
                               {"loss", "step", "log10", &curves[2], 1}};
    if (svg)
        check(tg_charts_write_svg(svg, charts, 2));
    tg_scheduler_destroy(schedule);
    tg_optimizer_destroy(optimizer);
    tg_module_destroy(net);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    return error < bound ? 0 : 1;
}
