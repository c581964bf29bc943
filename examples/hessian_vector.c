/* Newton's method on a small network, without a Hessian: conjugate gradients ask for its products with
 * vectors alone (tg_hvp), and find the step (Martens 2010). Where the curvature is negative they stop; a line
 * search does the rest.
 *
 *     hessian_vector                 prints loss and gradient by iteration: Newton's, then descent's
 *     hessian_vector --quick         a smaller problem
 *     hessian_vector --svg hv.svg    draws both
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/functional.h>
#include <tapegrad/tapegrad.h>

enum { MAX_ITERATIONS = 200, TENSORS = 4, MOST = 64, POINTS = 64 }; /* MOST numbers in TENSORS tensors */

typedef struct problem {
    tg_tape *tape;
    tg_module *net;
    const tg_named_tensors *parameters;
    int64_t n; /* numbers in all of them */
    double x[POINTS], y[POINTS];
    int products;
} problem;

static void check(tg_status status)
{
    if (status) {
        fprintf(stderr, "hessian_vector: %s\n", tg_error_message());
        exit(1);
    }
}

static tg_tensor *loss_of(problem *p)
{
    const int64_t dims[] = {POINTS, 1};
    tg_tape_reset(p->tape);
    tg_tensor *y = tg_forward(p->tape, p->net, tg_input(p->tape, TG_F64, dims, 2, p->x));
    tg_tensor *loss =
        tg_mean(p->tape, tg_square(p->tape, tg_sub(p->tape, y, tg_input(p->tape, TG_F64, dims, 2, p->y))));
    for (size_t i = 0; i < p->parameters->n; i++) /* keeps the minimum a point */
        loss = tg_add(
            p->tape, loss,
            tg_mul_scalar(p->tape, tg_sum(p->tape, tg_square(p->tape, p->parameters->tensor[i])), 1e-4));
    return loss;
}

/* The parameters, or what is shaped like them, as one vector. */
static void read_all(tg_tensor *const t[], size_t n, double *out)
{
    for (size_t i = 0; i < n; out += tg_tensor_count(t[i]), i++)
        check(tg_tensor_read(t[i], out, (size_t)tg_tensor_count(t[i]) * sizeof *out));
}

static double value(problem *p)
{
    double loss;
    const bool recording = tg_tape_set_recording(p->tape, false);
    check(tg_item(loss_of(p), &loss));
    tg_tape_set_recording(p->tape, recording);
    return loss;
}

static double gradient(problem *p, double *g)
{
    tg_tensor *out[TENSORS], *loss = loss_of(p);
    double y;
    check(tg_grad(p->tape, loss, NULL, p->parameters->tensor, p->parameters->n, out, TG_RETAIN));
    read_all(out, p->parameters->n, g);
    check(tg_item(loss, &y));
    return y;
}

static void hessian_times(problem *p, const double *v, double *out)
{
    tg_tensor *vector[TENSORS], *hv[TENSORS], *loss = loss_of(p);
    for (size_t i = 0; i < p->parameters->n; i++) {
        tg_desc d;
        check(tg_tensor_desc(p->parameters->tensor[i], &d));
        vector[i] = tg_input(p->tape, TG_F64, d.dim, (size_t)d.ndim, v);
        v += tg_desc_count(&d);
    }
    check(tg_hvp(p->tape, loss, p->parameters->tensor, vector, p->parameters->n, hv, 0));
    read_all(hv, p->parameters->n, out);
    p->products++;
}

static double dot(const problem *p, const double *a, const double *b)
{
    double sum = 0;
    for (int64_t i = 0; i < p->n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add(const problem *p, double *to, double factor, const double *v)
{
    for (int64_t i = 0; i < p->n; i++)
        to[i] += factor * v[i];
}

/* About −H⁻¹g: the more exact, the nearer the minimum. */
static void newton_step(problem *p, const double *g, double *step)
{
    double r[MOST], d[MOST], hd[MOST], rr = dot(p, g, g);
    const double enough = rr * fmin(0.1, sqrt(rr)); /* of |r|², as |g|³ */
    memset(step, 0, (size_t)p->n * sizeof *step);
    for (int64_t i = 0; i < p->n; i++)
        d[i] = r[i] = -g[i];
    for (int64_t k = 0; k < 2 * p->n && rr > enough; k++) {
        hessian_times(p, d, hd);
        const double curvature = dot(p, d, hd);
        if (curvature <= 1e-12 * dot(p, d, d)) {
            if (k == 0)
                add(p, step, 1, d);
            return;
        }
        const double a = rr / curvature, before = rr;
        add(p, step, a, d);
        add(p, r, -a, hd);
        rr = dot(p, r, r);
        for (int64_t i = 0; i < p->n; i++)
            d[i] = r[i] + rr / before * d[i];
    }
}

static void move(problem *p, const double *from, double factor, const double *step)
{
    double at[MOST];
    const double *next = at;
    memcpy(at, from, (size_t)p->n * sizeof *at);
    add(p, at, factor, step);
    for (size_t i = 0; i < p->parameters->n; i++) {
        const int64_t n = tg_tensor_count(p->parameters->tensor[i]);
        check(tg_tensor_write(p->parameters->tensor[i], next, (size_t)n * sizeof *at));
        next += n;
    }
}

/* Halves the step until the loss falls by a part of what the slope promises. Returns whether it did. */
static bool search(problem *p, const double *from, const double *g, const double *step, double loss)
{
    const double slope = dot(p, g, step);
    for (double factor = 1; factor > 1e-10; factor /= 2) {
        move(p, from, factor, step);
        if (value(p) <= loss + 1e-4 * factor * slope + 1e-15)
            return true;
    }
    move(p, from, 0, step);
    return false;
}

/* Fills at[] and gradients[] (log10 of |g|); returns how many iterations it took to |g| < 1e-6. */
static int minimise(problem *p, bool newton, int most, double *at, double *gradients)
{
    double from[MOST], g[MOST], step[MOST];
    int k = 0;
    for (; k < most; k++) {
        const double loss = gradient(p, g), norm = sqrt(dot(p, g, g));
        at[k] = k;
        gradients[k] = log10(norm);
        if (k % 10 == 0 || norm < 1e-6)
            printf("%-8s %4d  loss %.8f  |g| %.2e  products %d\n", newton ? "Newton" : "descent", k, loss,
                   norm, p->products);
        if (norm < 1e-6)
            break;
        read_all(p->parameters->tensor, p->parameters->n, from);
        if (newton) {
            newton_step(p, g, step);
        } else {
            memset(step, 0, (size_t)p->n * sizeof *step);
            add(p, step, -1, g);
        }
        if (!search(p, from, g, step, loss))
            break;
    }
    return k;
}

int main(int argc, char **argv)
{
    const bool quick = argc > 1 && !strcmp(argv[1], "--quick");
    const char *svg = argc > 2 && !strcmp(argv[argc - 2], "--svg") ? argv[argc - 1] : NULL;
    if (argc > 1 && !quick && !svg) {
        fprintf(stderr, "usage: hessian_vector [--quick] [--svg FILE]\n");
        return 2;
    }
    const int width = quick ? 5 : 10, most = MAX_ITERATIONS;
    static double at[2][MAX_ITERATIONS], gradients[2][MAX_ITERATIONS], start[MOST];
    int taken[2];
    problem p = {.n = 0};
    tg_runtime *rt;
    check(tg_runtime_open(&rt, &(tg_runtime_options){.seed = 5, .dtype = TG_F64, .threads = 1}));
    check(tg_tape_open(&p.tape, rt));
    p.net = tg_nn_sequential(rt, tg_nn_linear(rt, 1, width), tg_nn_tanh(rt), tg_nn_linear(rt, width, 1));
    check(p.net ? TG_OK : TG_EINVAL);
    p.parameters = tg_module_parameters(p.net);
    for (size_t i = 0; i < p.parameters->n; i++)
        p.n += tg_tensor_count(p.parameters->tensor[i]);
    for (int i = 0; i < POINTS; i++) {
        p.x[i] = 4.0 * i / (POINTS - 1) - 2;
        p.y[i] = sin(2 * p.x[i]) + 0.3 * p.x[i];
    }
    read_all(p.parameters->tensor, p.parameters->n, start);
    for (int newton = 1; newton >= 0; newton--) {
        move(&p, start, 0, start);
        p.products = 0;
        taken[newton] = minimise(&p, newton, most, at[newton], gradients[newton]);
    }
    const bool done = taken[1] < most && gradients[1][taken[1]] < -6;
    printf("%lld parameters: Newton's gradient is below 1e-6 after %d iterations: %s; descent's is 10^%.1f "
           "after %d\n",
           (long long)p.n, taken[1], done ? "yes" : "NO", gradients[0][taken[0] - 1], taken[0]);
    const tg_curve curves[] = {{"Newton-CG", at[1], gradients[1], (size_t)taken[1] + done},
                               {"descent", at[0], gradients[0], (size_t)taken[0]}};
    if (svg)
        check(tg_charts_write_svg(svg, &(tg_chart){"gradient's norm", "iteration", "log10", curves, 2}, 1));
    tg_module_destroy(p.net);
    tg_tape_close(p.tape);
    tg_runtime_close(rt);
    return done ? 0 : 1;
}
