/* A GPT that learns a text byte by byte, and at the end writes some of its own.
 *
 *     char_gpt                           a thousand steps on the licences in /usr/share/common-licenses (package base-files)
 *     char_gpt --text FILE [--text …]    any text; Debian's package fortunes has some in /usr/share/games/fortunes
 *     char_gpt --curve curve.svg         … and draw the losses
 *     char_gpt --small                   seconds: ends with 0 where the loss fell as it should
 *
 * The last tenth of the text is not learned: its loss says what the model has understood.
 */
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loop.h"
#include "models.h"

#define LICENCES "/usr/share/common-licenses"
enum { TESTS = 8, WRITTEN = 400 };

typedef struct run {
    loop_options o;
    gpt_options model;
    loop l;
    uint8_t *text;
    int64_t size, learned; /* bytes; how many of them are learned from */
    int64_t *x, *y;        /* room for a batch */
} run;

/* -- the text -------------------------------------------------------------------------------------------- */

static const char *add_file(void *at, const char *path)
{
    run *r = at;
    struct stat s;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &s) || !S_ISREG(s.st_mode)) {
        fprintf(stderr, "char_gpt: %s is not a file that can be read\n", path);
        exit(1);
    }
    r->text = loop_room(&r->o, r->text, (size_t)(r->size + s.st_size + 1));
    r->size += (int64_t)fread(r->text + r->size, 1, (size_t)s.st_size, f);
    fclose(f);
    return NULL;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* GPL-3 and the like; not the links to them. */
static void add_licences(run *r)
{
    struct dirent **entries;
    const int n = scandir(LICENCES, &entries, NULL, by_name);
    for (int i = 0; i < n; i++) {
        char path[512];
        struct stat s;
        snprintf(path, sizeof path, LICENCES "/%s", entries[i]->d_name);
        if (lstat(path, &s) == 0 && S_ISREG(s.st_mode))
            add_file(r, path);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    if (r->size)
        return;
    fputs("char_gpt: there is no text in " LICENCES "; say --text FILE\n", stderr);
    exit(1);
}

/* -- options --------------------------------------------------------------------------------------------- */

static const char *be_small(void *at, const char *value)
{
    run *r = at;
    (void)value;
    r->o = (loop_options){"char_gpt", .steps = 150, .batch = 8, .lr = 5e-3, .below = 2.9, .seed = 1};
    r->model = (gpt_options){256, .length = 32, .width = 48, .blocks = 2, .heads = 2};
    return NULL;
}

static void read_options(run *r, int argc, char **argv)
{
    const loop_option own[] = {{"small", NULL, be_small, r},
                               {"text", "FILE …", add_file, r},
                               {"steps", "N", loop_whole, &r->o.steps},
                               {"length", "N", loop_whole, &r->model.length},
                               {"width", "N", loop_whole, &r->model.width},
                               {"blocks", "N", loop_whole, &r->model.blocks},
                               {"heads", "N", loop_whole, &r->model.heads},
                               {0}};
    r->o = (loop_options){"char_gpt", .steps = 1000, .batch = 16, .lr = 1e-3, .below = (double)INFINITY, .seed = 1};
    r->model = (gpt_options){256, .length = 128, .width = 128, .blocks = 4, .heads = 4};
    loop_read_options(&r->o, own, argc, argv);
    if (r->model.width % r->model.heads)
        loop_usage(&r->o, own, "--width is not a multiple of --heads", "");
}

/* -- batches --------------------------------------------------------------------------------------------- */

/* In [0, 1). */
static double draw(run *r)
{
    return (double)(loop_random(&r->l.state) >> 11) * 0x1p-53;
}

/* The mean loss of a batch from [begin, end) of the text: each byte is asked for after those before it. */
static tg_tensor *loss_of(run *r, int64_t begin, int64_t end)
{
    tg_tape *tape = r->l.tape;
    const int64_t t = r->model.length, n = r->o.batch * t;
    for (int64_t i = 0; i < r->o.batch; i++) {
        const int64_t at = begin + (int64_t)(draw(r) * (double)(end - begin - t));
        for (int64_t k = 0; k < t; k++) {
            r->x[i * t + k] = r->text[at + k];
            r->y[i * t + k] = r->text[at + k + 1];
        }
    }
    tg_tensor *x = tg_input(tape, TG_I64, (int64_t[]){r->o.batch, t}, 2, r->x), *y = tg_input(tape, TG_I64, &n, 1, r->y);
    return tg_cross_entropy(tape, tg_reshape(tape, tg_forward(tape, r->l.net, x), -1, 256), y);
}

static tg_tensor *learned(void *arg)
{
    run *r = arg;
    return loss_of(r, 0, r->learned);
}

static double held_out(void *arg)
{
    run *r = arg;
    double value = 0;
    tg_tensor *loss = loss_of(r, r->learned, r->size);
    loop_check_tape(&r->l);
    loop_check(&r->o, !tg_item(loss, &value));
    return value;
}

/* -- writing --------------------------------------------------------------------------------------------- */

/* A byte by the softmax of the scores at a temperature of 0.8. */
static uint8_t choose(run *r, const float *scores)
{
    double weight[256], sum = 0, highest = (double)-INFINITY;
    for (int i = 0; i < 256; i++)
        highest = fmax(highest, (double)scores[i]);
    for (int i = 0; i < 256; i++)
        sum += weight[i] = exp(((double)scores[i] - highest) / 0.8);
    double left = draw(r) * sum;
    for (int i = 0; i < 256; i++)
        if ((left -= weight[i]) < 0)
            return (uint8_t)i;
    return '\n';
}

static void write_some(run *r)
{
    float scores[256];
    uint8_t written[WRITTEN] = {'\n'};
    tg_tape *tape = r->l.tape;
    tg_module_eval(r->l.net);
    const bool was = tg_tape_set_recording(tape, false);
    for (int64_t n = 1; n < WRITTEN; n++) {
        const int64_t t = n < r->model.length ? n : r->model.length;
        for (int64_t i = 0; i < t; i++)
            r->x[i] = written[n - t + i];
        tg_tape_reset(tape);
        tg_tensor *x = tg_input(tape, TG_I64, (int64_t[]){1, t}, 2, r->x);
        tg_tensor *last = tg_select(tape, tg_forward(tape, r->l.net, x), 1, -1);
        loop_check(&r->o, !tg_tape_status(tape) && !tg_tensor_read(last, scores, sizeof scores));
        written[n] = choose(r, scores);
    }
    tg_tape_set_recording(tape, was);
    printf("it writes:\n%.*s\n", WRITTEN, (const char *)written);
}

static void draw_curves(const run *r)
{
    const loop *l = &r->l;
    const tg_curve curves[] = {{"training", l->at, l->train_loss, l->looks}, {"held out", l->at, l->test_mean, l->looks}};
    const tg_chart chart = {"Loss a byte", "step", "cross-entropy, nats", curves, 2};
    loop_check(&r->o, !tg_charts_write_svg(r->o.curve, &chart, 1));
    printf("curves: %s\n", r->o.curve);
}

static void make_model(run *r)
{
    loop *l = &r->l;
    tg_adam_options adamw = tg_adamw_defaults();
    adamw.lr = r->o.lr;
    l->net = model_gpt(l->rt, &r->model);
    loop_check(&r->o, l->net);
    l->optimizer = tg_optim_adamw(l->rt, tg_module_parameters(l->net), &adamw);
    loop_check(&r->o, l->optimizer && !tg_optimizer_no_decay(l->optimizer, l->net));
    const int64_t warmup = r->o.steps / 20 + 1;
    l->scheduler = tg_lr_warmup(l->optimizer, warmup, 0.1, tg_lr_cosine_annealing(l->optimizer, r->o.steps, r->o.lr / 10));
    loop_check(&r->o, l->scheduler);
}

int main(int argc, char **argv)
{
    run r = {0};
    read_options(&r, argc, argv);
    if (!r.size)
        add_licences(&r);
    r.learned = r.size - r.size / 10;
    if (r.size - r.learned < r.model.length + 2) {
        fprintf(stderr, "char_gpt: a text of %" PRId64 " bytes is too short for a length of %" PRId64 "\n", r.size, r.model.length);
        return 1;
    }
    const int64_t places = r.o.batch * r.model.length;
    r.x = loop_room(&r.o, NULL, 2 * (size_t)places * sizeof *r.x);
    r.y = r.x + places;
    loop_open(&r.l, &r.o);
    make_model(&r);

    printf("%" PRId64 " bytes of text, of which %" PRId64 " are learned\n", r.size, r.learned);
    const loop_task task = {"bytes", places, "held out", .tests = TESTS, .arg = &r, .loss = learned, .test = held_out};
    const double loss = loop_steps(&r.l, &task);
    write_some(&r);
    if (r.o.curve)
        draw_curves(&r);
    printf("training loss %.4f after %" PRId64 " bytes (backend %s)\n", loss, r.o.steps * places, tg_runtime_backend(r.l.rt));

    loop_close(&r.l);
    free(r.x);
    free(r.text);
    return loop_status(&r.o, loss);
}
