/* What BatchNorm is for: three hidden layers of 100 sigmoids, the network of the paper that introduced it, learn several
 * times faster with it, and at learning rates at which they would not learn without.
 *
 *     batch_norm_demo                    draws batch_norm.svg: steps to 75 % of the test images, by learning rate
 *     batch_norm_demo --small            seconds, one rate; ends with 0 where BatchNorm took fewer steps
 *
 * Ioffe and Szegedy 2015.
 */
#include <math.h>
#include <stdlib.h>

#include "loop.h"

enum { N_RATES = 5, LOOK = 25, MOST_STEPS = 3000, MOST_LOOKS = MOST_STEPS / LOOK };
static const double rates[N_RATES] = {0.03, 0.1, 0.3, 1, 3}, WANTED = 75;

typedef struct history {
    double step[MOST_LOOKS], accuracy[MOST_LOOKS];
    size_t n;
    double steps; /* to WANTED %; NaN: not within MOST_STEPS */
} history;

static tg_module *model(tg_runtime *rt, bool normalised)
{
    tg_module *net = tg_module_create(rt, "Sequential", NULL, 0);
    tg_status status = net ? TG_OK : TG_ENOMEM;
    for (int i = 0; i < 3 && !status; i++) {
        status = tg_nn_sequential_append(net, NULL, tg_nn_linear(rt, i ? 100 : 784, 100));
        if (!status && normalised)
            status = tg_nn_sequential_append(net, NULL, tg_nn_batch_norm1d(rt, 100));
        if (!status)
            status = tg_nn_sequential_append(net, NULL, tg_nn_sigmoid(rt));
    }
    if (!status)
        status = tg_nn_sequential_append(net, NULL, tg_nn_linear(rt, 100, 10));
    if (!status)
        return net;
    tg_module_destroy(net);
    return NULL;
}

/* Steps until the test's accuracy is what is wanted, looked at now and then. */
static void learn(loop *l, double rate, bool normalised, history *h)
{
    tg_progress progress;
    int64_t epoch = 0;
    tg_batch batch;
    l->net = model(l->rt, normalised);
    loop_check(l->o, l->net);
    l->optimizer = tg_optim_sgd(l->rt, tg_module_parameters(l->net), &(tg_sgd_options){.lr = rate});
    loop_check(l->o, l->optimizer);
    h->n = 0;
    h->steps = (double)NAN;
    tg_progress_begin(&progress, stderr, normalised ? "with BatchNorm" : "without", MOST_STEPS);
    loop_check(l->o, !tg_loader_seek(l->train, epoch));
    for (int64_t step = 1; step <= MOST_STEPS && isnan(h->steps); step++) {
        double loss = 0, accuracy, value;
        tg_module_train(l->net);
        if (!tg_loader_next(l->train, l->tape, &batch))
            loop_check(l->o, !tg_loader_seek(l->train, ++epoch) && tg_loader_next(l->train, l->tape, &batch));
        tg_tensor *y = tg_cross_entropy(l->tape, tg_forward(l->tape, l->net, batch.x), batch.y);
        tg_backward(l->tape, y);
        loop_check(l->o, !tg_optimizer_step(l->optimizer, l->tape) && !tg_item(y, &loss));
        tg_progress_step(&progress, batch.size, loss);
        if (step % LOOK)
            continue;
        loop_evaluate(l, &value, &accuracy);
        h->step[h->n] = (double)step;
        h->accuracy[h->n++] = accuracy;
        if (accuracy >= WANTED)
            h->steps = (double)step;
    }
    tg_progress_end(&progress);
    tg_optimizer_destroy(l->optimizer);
    tg_module_destroy(l->net);
    l->optimizer = NULL;
    l->net = NULL;
}

static void draw(const loop_options *o, history with[N_RATES], history without[N_RATES])
{
    double rate[N_RATES], steps[2][N_RATES];
    for (int i = 0; i < N_RATES; i++) {
        rate[i] = log10(rates[i]);
        steps[0][i] = without[i].steps;
        steps[1][i] = with[i].steps;
    }
    const tg_curve by_rate[] = {{"without BatchNorm", rate, steps[0], N_RATES}, {"with", rate, steps[1], N_RATES}},
                   by_step[] = {{"without, rate 0.3", without[2].step, without[2].accuracy, without[2].n},
                                {"with, rate 0.3", with[2].step, with[2].accuracy, with[2].n}};
    const tg_chart charts[] = {{"Steps to 75 % of the test images", "log10 of the learning rate", "steps", by_rate, 2},
                               {"At one rate", "step", "test accuracy, %", by_step, 2}};
    loop_check(o, !tg_charts_write_svg(o->curve, charts, 2));
    printf("drawn: %s\n", o->curve);
}

static void print_steps(double steps)
{
    if (isnan(steps))
        printf("   more than %d", MOST_STEPS);
    else
        printf("   %14.0f", steps);
}

int main(int argc, char **argv)
{
    loop_options o = {"batch_norm_demo", .curve = "batch_norm.svg", .batch = 60, .examples = 2000, .seed = 1};
    const loop_options small = {"batch_norm_demo", .batch = 60, .examples = 500, .seed = 1};
    loop_read_image_options(&o, &small, argc, argv);
    loop l;
    history *all = loop_room(&o, NULL, 2 * N_RATES * sizeof *all), *with = all, *without = all + N_RATES;
    loop_open(&l, &o);
    loop_open_idx(&l);
    const tg_loader_options learning = {.batch_size = o.batch, .shuffle = true, .seed = o.seed, .last = TG_LAST_DROP, .flatten = true},
                            testing = {.batch_size = 500, .flatten = true};
    loop_check(&o, !tg_loader_open(&l.train, l.rt, l.train_data, &learning) &&
                       !tg_loader_open(&l.test, l.rt, l.test_data, &testing));

    bool faster = true;
    puts("steps to 75 % of the test images\nlearning rate   without BatchNorm   with BatchNorm");
    for (int i = o.curve ? 0 : 2; i < (o.curve ? N_RATES : 3); i++) {
        learn(&l, rates[i], false, &without[i]);
        learn(&l, rates[i], true, &with[i]);
        printf("%13g", rates[i]);
        print_steps(without[i].steps);
        print_steps(with[i].steps);
        putchar('\n');
        fflush(stdout);
        faster = faster && (isnan(without[i].steps) || with[i].steps < without[i].steps);
    }
    if (o.curve)
        draw(&o, with, without);

    loop_close(&l);
    free(all);
    return faster ? 0 : 1;
}
