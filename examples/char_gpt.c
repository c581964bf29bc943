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
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "models.h"

#define LICENCES "/usr/share/common-licenses"
enum { LOOK = 50, HELD_OUT_BATCHES = 8, WRITTEN = 400 };

typedef struct options {
    const char *curve;
    int64_t steps, batch, length, width, blocks, heads;
    double lr, below;
    uint64_t seed;
} options;

typedef struct run {
    options o;
    tg_runtime *rt;
    tg_tape *tape;
    tg_module *net;
    tg_optimizer *optimizer;
    tg_scheduler *scheduler;
    uint8_t *text;
    int64_t size, learned; /* bytes; how many of them are learned from */
    int64_t *x, *y;        /* room for a batch */
    uint64_t state;        /* of the generator of places and of bytes */
    double *at, *train, *held_out;
    size_t looks;
} run;

/* -- errors and options ---------------------------------------------------------------------------------- */

static void check(bool good)
{
    if (good)
        return;
    fprintf(stderr, "char_gpt: %s\n", tg_error_message());
    exit(1);
}

static void *get_room(size_t bytes)
{
    void *room = malloc(bytes);
    if (!room) {
        fputs("char_gpt: out of memory\n", stderr);
        exit(1);
    }
    return room;
}

static void usage(const char *why, const char *what)
{
    if (why)
        fprintf(stderr, "char_gpt: %s%s\n", why, what);
    fputs("usage: char_gpt [--small] [--text FILE]… [--steps N] [--batch N] [--length N] [--width N] [--blocks N]\n"
          "                [--heads N] [--lr X] [--seed N] [--curve FILE.svg]\n",
          why ? stderr : stdout);
    exit(why ? 2 : 0);
}

static int64_t whole(const char *value)
{
    char *end;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end || n < 1 || n > INT32_MAX)
        usage("not such a number: ", value);
    return n;
}

/* -- the text -------------------------------------------------------------------------------------------- */

static void add_file(run *r, const char *path)
{
    struct stat s;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &s) || !S_ISREG(s.st_mode)) {
        fprintf(stderr, "char_gpt: %s is not a file that can be read\n", path);
        exit(1);
    }
    uint8_t *text = realloc(r->text, (size_t)(r->size + s.st_size + 1));
    if (!text) {
        fputs("char_gpt: out of memory\n", stderr);
        exit(1);
    }
    r->text = text;
    r->size += (int64_t)fread(text + r->size, 1, (size_t)s.st_size, f);
    fclose(f);
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

static options read_options(run *r, int argc, char **argv)
{
    static const struct option known[] = {
        {"text", required_argument, NULL, 't'},  {"steps", required_argument, NULL, 'n'},  {"batch", required_argument, NULL, 'b'},
        {"length", required_argument, NULL, 'l'}, {"width", required_argument, NULL, 'w'}, {"blocks", required_argument, NULL, 'k'},
        {"heads", required_argument, NULL, 'H'}, {"lr", required_argument, NULL, 'r'},     {"seed", required_argument, NULL, 's'},
        {"curve", required_argument, NULL, 'c'}, {"small", no_argument, NULL, 'S'},        {"help", no_argument, NULL, 'h'},
        {0},
    };
    options o = {NULL, 1000, 16, 128, 128, 4, 4, 1e-3, (double)INFINITY, 1};
    char *end;
    int c;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (c) {
        case 'S': o = (options){NULL, 150, 8, 32, 48, 2, 2, 5e-3, 2.9, 1}; break;
        case 't': add_file(r, optarg); break;
        case 'n': o.steps = whole(optarg); break;
        case 'b': o.batch = whole(optarg); break;
        case 'l': o.length = whole(optarg); break;
        case 'w': o.width = whole(optarg); break;
        case 'k': o.blocks = whole(optarg); break;
        case 'H': o.heads = whole(optarg); break;
        case 's': o.seed = (uint64_t)whole(optarg); break;
        case 'c': o.curve = optarg; break;
        case 'r':
            o.lr = strtod(optarg, &end);
            if (end == optarg || *end || !(o.lr >= 0))
                usage("not a learning rate: ", optarg);
            break;
        case 'h': usage(NULL, NULL); break;
        default: usage("unknown option, or one without its value: ", argv[optind - 1]);
        }
    if (optind < argc)
        usage("unexpected argument ", argv[optind]);
    if (o.width % o.heads)
        usage("--width is not a multiple of --heads", "");
    return o;
}

/* -- batches --------------------------------------------------------------------------------------------- */

/* Steele, Lea and Flood 2014: SplitMix; in [0, 1). */
static double draw(run *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* The mean loss of a batch from [begin, end) of the text: each byte is asked for after those before it. */
static tg_tensor *loss_of(run *r, int64_t begin, int64_t end)
{
    const int64_t t = r->o.length, n = r->o.batch * t;
    for (int64_t i = 0; i < r->o.batch; i++) {
        const int64_t at = begin + (int64_t)(draw(r) * (double)(end - begin - t));
        for (int64_t k = 0; k < t; k++) {
            r->x[i * t + k] = r->text[at + k];
            r->y[i * t + k] = r->text[at + k + 1];
        }
    }
    tg_tensor *x = tg_input(r->tape, TG_I64, (int64_t[]){r->o.batch, t}, 2, r->x), *y = tg_input(r->tape, TG_I64, &n, 1, r->y);
    return tg_cross_entropy(r->tape, tg_reshape(r->tape, tg_forward(r->tape, r->net, x), -1, 256), y);
}

static double value_of(run *r, tg_tensor *loss)
{
    double value = 0;
    if (tg_tape_status(r->tape)) {
        fprintf(stderr, "char_gpt: %s\n", tg_tape_error(r->tape));
        exit(1);
    }
    check(!tg_item(loss, &value));
    return value;
}

static double held_out(run *r)
{
    double sum = 0;
    const uint64_t state = r->state;
    r->state = 7; /* the same places each time */
    tg_module_eval(r->net);
    const bool was = tg_tape_set_recording(r->tape, false);
    for (int i = 0; i < HELD_OUT_BATCHES; i++) {
        tg_tape_reset(r->tape);
        sum += value_of(r, loss_of(r, r->learned, r->size));
    }
    tg_tape_set_recording(r->tape, was);
    tg_module_train(r->net);
    r->state = state;
    return sum / HELD_OUT_BATCHES;
}

static double learn(run *r)
{
    tg_progress progress;
    double sum = 0, last = 0;
    tg_progress_begin(&progress, stderr, "learning", r->o.steps);
    puts("   step   training loss   held out   bytes/s");
    const int64_t look = r->o.steps < LOOK ? r->o.steps : LOOK;
    double start = tg_seconds();
    for (int64_t step = 1; step <= r->o.steps; step++) {
        tg_tape_reset(r->tape);
        tg_tensor *loss = loss_of(r, 0, r->learned);
        tg_backward(r->tape, loss);
        tg_clip_grad_norm(r->tape, tg_module_parameters(r->net), 1, NULL);
        tg_optimizer_step(r->optimizer, r->tape);
        const double value = value_of(r, loss);
        check(!tg_scheduler_step(r->scheduler));
        sum += value;
        tg_progress_step(&progress, r->o.batch * r->o.length, value);
        if (step % look)
            continue;
        const double seconds = tg_seconds() - start;
        r->at[r->looks] = (double)step;
        r->train[r->looks] = last = sum / (double)look;
        r->held_out[r->looks] = held_out(r);
        tg_progress_end(&progress); /* clears the line */
        printf("%7" PRId64 "   %13.4f   %8.4f   %7.0f\n", step, last, r->held_out[r->looks],
               (double)(look * r->o.batch * r->o.length) / seconds);
        fflush(stdout);
        r->looks++;
        sum = 0;
        start = tg_seconds();
    }
    tg_progress_end(&progress);
    return last;
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
    tg_module_eval(r->net);
    const bool was = tg_tape_set_recording(r->tape, false);
    for (int64_t n = 1; n < WRITTEN; n++) {
        const int64_t t = n < r->o.length ? n : r->o.length;
        for (int64_t i = 0; i < t; i++)
            r->x[i] = written[n - t + i];
        tg_tape_reset(r->tape);
        tg_tensor *x = tg_input(r->tape, TG_I64, (int64_t[]){1, t}, 2, r->x);
        tg_tensor *last = tg_select(r->tape, tg_forward(r->tape, r->net, x), 1, -1);
        check(!tg_tape_status(r->tape) && !tg_tensor_read(last, scores, sizeof scores));
        written[n] = choose(r, scores);
    }
    tg_tape_set_recording(r->tape, was);
    printf("it writes:\n%.*s\n", WRITTEN, (const char *)written);
}

static void draw_curves(const run *r)
{
    const tg_curve curves[] = {{"training", r->at, r->train, r->looks}, {"held out", r->at, r->held_out, r->looks}};
    check(!tg_charts_write_svg(r->o.curve, &(tg_chart){"Loss a byte", "step", "cross-entropy, nats", curves, 2}, 1));
    printf("curves: %s\n", r->o.curve);
}

int main(int argc, char **argv)
{
    run r = {0};
    r.o = read_options(&r, argc, argv);
    if (!r.size)
        add_licences(&r);
    r.learned = r.size - r.size / 10;
    if (r.size - r.learned < r.o.length + 2) {
        fprintf(stderr, "char_gpt: a text of %" PRId64 " bytes is too short for a length of %" PRId64 "\n", r.size, r.o.length);
        return 1;
    }
    const size_t places = (size_t)(r.o.batch * r.o.length), looks = (size_t)(r.o.steps / LOOK + 1);
    r.state = r.o.seed;
    r.x = get_room(2 * places * sizeof *r.x);
    r.y = r.x + places;
    r.at = get_room(3 * looks * sizeof *r.at);
    r.train = r.at + looks;
    r.held_out = r.train + looks;

    check(!tg_runtime_open(&r.rt, &(tg_runtime_options){.seed = r.o.seed}) && !tg_tape_open(&r.tape, r.rt));
    const gpt_options model = {256, r.o.length, r.o.width, r.o.blocks, r.o.heads};
    tg_adam_options adamw = tg_adamw_defaults();
    adamw.lr = r.o.lr;
    r.net = model_gpt(r.rt, &model);
    check(r.net);
    r.optimizer = tg_optim_adamw(r.rt, tg_module_parameters(r.net), &adamw);
    check(r.optimizer && !tg_optimizer_no_decay(r.optimizer, r.net));
    const int64_t warmup = r.o.steps / 20 + 1;
    r.scheduler = tg_lr_warmup(r.optimizer, warmup, 0.1, tg_lr_cosine_annealing(r.optimizer, r.o.steps, r.o.lr / 10));
    check(r.scheduler);

    printf("%" PRId64 " bytes of text, of which %" PRId64 " are learned\n", r.size, r.learned);
    const double loss = learn(&r);
    write_some(&r);
    if (r.o.curve)
        draw_curves(&r);
    printf("training loss %.4f after %" PRId64 " bytes (backend %s)\n", loss, r.o.steps * r.o.batch * r.o.length,
           tg_runtime_backend(r.rt));

    tg_scheduler_destroy(r.scheduler);
    tg_optimizer_destroy(r.optimizer);
    tg_module_destroy(r.net);
    tg_tape_close(r.tape);
    tg_runtime_close(r.rt);
    free(r.x);
    free(r.at);
    free(r.text);
    if (loss < r.o.below)
        return 0;
    fprintf(stderr, "char_gpt: the training loss is %g, expected below %g\n", loss, r.o.below);
    return 1;
}
