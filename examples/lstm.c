/* An LSTM that tells the language of a single word from its letters; words are sequences of different lengths.
 *
 *     lstm                                 the word lists of Debian's packages wamerican, wngerman, wfrench, witalian, wspanish
 *     lstm --list FILE --list FILE …       other lists, a language each, one word a line
 *     lstm --curve curve.svg               … and draw loss and accuracy
 *     lstm --small                         seconds: ends with 0 where the loss fell as it should
 *     lstm --ask Donaudampfschiff          … and say what it takes these words for
 */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/layer_class.h>
#include <tapegrad/tapegrad.h>

#define WORD_LISTS "/usr/share/dict/"
enum { LETTERS = 28, LONGEST = 20, MOST_LISTS = 8, MOST_ASKED = 16, LOOK = 50 };

static const char *const debian_lists[] = {"american-english", "ngerman", "french", "italian", "spanish"};

typedef struct word {
    uint8_t letter[LONGEST], length;
} word;

typedef struct list {
    char name[64];
    word *words;
    size_t n;
} list;

typedef struct options {
    const char *curve, *list[MOST_LISTS], *ask[MOST_ASKED];
    int n_lists, n_asked;
    int64_t steps, batch, hidden;
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
    list lists[MOST_LISTS];
    int n_lists;
    int64_t *words, *lengths, *labels; /* room for a batch */
    uint64_t state;
    double *at, *loss, *accuracy;
    size_t looks;
} run;

/* -- errors and options ---------------------------------------------------------------------------------- */

static void check(bool good)
{
    if (good)
        return;
    fprintf(stderr, "lstm: %s\n", tg_error_message());
    exit(1);
}

static void *get_room(void *old, size_t bytes)
{
    void *room = realloc(old, bytes);
    if (!room) {
        fputs("lstm: out of memory\n", stderr);
        exit(1);
    }
    return room;
}

static void usage(const char *why, const char *what)
{
    if (why)
        fprintf(stderr, "lstm: %s%s\n", why, what);
    fputs("usage: lstm [--small] [--list FILE]… [--ask WORD]… [--steps N] [--batch N] [--hidden N] [--lr X] [--seed N]\n"
          "            [--curve FILE.svg]\n",
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

static options read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"list", required_argument, NULL, 'l'},  {"ask", required_argument, NULL, 'a'},    {"steps", required_argument, NULL, 'n'},
        {"batch", required_argument, NULL, 'b'}, {"hidden", required_argument, NULL, 'H'}, {"lr", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 's'},  {"curve", required_argument, NULL, 'c'},  {"small", no_argument, NULL, 'S'},
        {"help", no_argument, NULL, 'h'},        {0},
    };
    options o = {.steps = 2000, .batch = 64, .hidden = 128, .lr = 3e-3, .below = (double)INFINITY, .seed = 1};
    char *end;
    int c;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (c) {
        case 'S':
            o.steps = 150;
            o.batch = o.hidden = 32;
            o.lr = 1e-2;
            o.below = 1.2;
            break;
        case 'l':
            if (o.n_lists == MOST_LISTS)
                usage("too many lists: ", optarg);
            o.list[o.n_lists++] = optarg;
            break;
        case 'a':
            if (o.n_asked == MOST_ASKED)
                usage("too many words: ", optarg);
            o.ask[o.n_asked++] = optarg;
            break;
        case 'n': o.steps = whole(optarg); break;
        case 'b': o.batch = whole(optarg); break;
        case 'H': o.hidden = whole(optarg); break;
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
    return o;
}

/* -- words ----------------------------------------------------------------------------------------------- */

/* a to z are 1 to 26 whatever their case; what is not ASCII is 27, else a language would be known by its encoding; signs
 * are left out. 0 stands behind a word's end. */
static word spell(const char *text)
{
    word w = {{0}, 0};
    for (const unsigned char *c = (const unsigned char *)text; *c && *c != '\n' && w.length < LONGEST; c++) {
        const unsigned char lower = *c | 0x20;
        const bool goes_on = (*c & 0xc0) == 0x80; /* of a letter in UTF-8 */
        if (*c < 0x80 && lower >= 'a' && lower <= 'z')
            w.letter[w.length++] = (uint8_t)(lower - 'a' + 1);
        else if (*c >= 0x80 && !goes_on)
            w.letter[w.length++] = LETTERS - 1;
    }
    return w;
}

/* False: there is no such file. */
static bool read_list(run *r, const char *path)
{
    char line[256];
    const char *slash = strrchr(path, '/');
    list *l = &r->lists[r->n_lists];
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    snprintf(l->name, sizeof l->name, "%s", slash ? slash + 1 : path);
    while (fgets(line, sizeof line, f)) {
        const word w = spell(line);
        if (w.length < 2)
            continue;
        if ((l->n & (l->n - 1)) == 0) /* a power of two, or 0: full */
            l->words = get_room(l->words, (l->n ? 2 * l->n : 1) * sizeof *l->words);
        l->words[l->n++] = w;
    }
    fclose(f);
    if (l->n < 100) {
        fprintf(stderr, "lstm: %s has fewer than a hundred words\n", path);
        exit(1);
    }
    r->n_lists++;
    return true;
}

static void read_lists(run *r)
{
    for (int i = 0; i < r->o.n_lists; i++)
        if (!read_list(r, r->o.list[i])) {
            fprintf(stderr, "lstm: %s cannot be read\n", r->o.list[i]);
            exit(1);
        }
    for (size_t i = 0; !r->o.n_lists && i < sizeof debian_lists / sizeof *debian_lists; i++) {
        char path[128];
        snprintf(path, sizeof path, WORD_LISTS "%s", debian_lists[i]);
        read_list(r, path);
    }
    if (r->n_lists >= 2)
        return;
    fputs("lstm: two lists of words are needed at least. On Debian: apt-get install wamerican wngerman wfrench witalian wspanish;\n"
          "elsewhere say --list FILE --list FILE\n",
          stderr);
    exit(1);
}

/* -- the model: the last state of an LSTM over the letters ------------------------------------------------- */

typedef struct tell_options {
    int64_t hidden, languages;
} tell_options;

typedef struct tell {
    tg_module *letters, *lstm, *head;
} tell;

static tg_status tell_init(tg_module *m, const void *attrs)
{
    const tell_options *o = attrs;
    tell *t = tg_module_self(m);
    tg_runtime *rt = tg_module_runtime(m);
    t->letters = tg_nn_embedding(rt, LETTERS, 32);
    tg_status status = tg_module_add_child(m, "letters", t->letters);
    if (status)
        return status;
    tg_rnn_options lstm = tg_rnn_defaults(32, o->hidden);
    lstm.batch_first = true;
    t->lstm = tg_nn_lstm_with(rt, &lstm);
    status = tg_module_add_child(m, "lstm", t->lstm);
    if (status)
        return status;
    t->head = tg_nn_linear(rt, o->hidden, o->languages);
    return tg_module_add_child(m, "head", t->head);
}

/* words i64 [N, T], lengths i64 [N] → scores [N, languages]. */
static tg_status tell_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in, tg_tensor *out[])
{
    const tell *t = tg_module_self(m);
    (void)n_in;
    tg_tensor *part[2]; /* each step's, and the last state [1, N, hidden] */
    tg_forward_n(tape, t->lstm, (tg_tensor *[]){tg_forward(tape, t->letters, in[0]), NULL, NULL, in[1]}, 4, part, 2);
    out[0] = tg_forward(tape, t->head, tg_select(tape, part[1], 0, 0));
    return tg_tape_status(tape);
}

static const char *const tell_inputs[] = {"words", "lengths"};
static const tg_layer_class tell_class = {
    .struct_size = sizeof(tg_layer_class),
    .name = "Language",
    .attrs_size = sizeof(tell_options),
    .state_size = sizeof(tell),
    .n_in = 2,
    .n_out = 1,
    .in_names = tell_inputs,
    .init = tell_init,
    .forward = {tell_forward, tell_forward},
};

/* -- learning -------------------------------------------------------------------------------------------- */

/* Steele, Lea and Flood 2014: SplitMix. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Scores of `n` words, which stand in r->words, up to the longest of them. */
static tg_tensor *scores_of(run *r, int64_t n)
{
    int64_t longest = 1;
    for (int64_t i = 0; i < n; i++)
        longest = r->lengths[i] > longest ? r->lengths[i] : longest;
    tg_tensor *words = tg_input(r->tape, TG_I64, (int64_t[]){n, LONGEST}, 2, r->words);
    tg_tensor *in[] = {tg_narrow(r->tape, words, 1, 0, longest), tg_input(r->tape, TG_I64, &n, 1, r->lengths)}, *scores = NULL;
    tg_forward_n(r->tape, r->net, in, 2, &scores, 1);
    return scores;
}

static void put(run *r, int64_t i, const word *w)
{
    for (int k = 0; k < LONGEST; k++)
        r->words[i * LONGEST + k] = w->letter[k];
    r->lengths[i] = w->length;
}

/* Words of all languages equally; every tenth of a list is for testing alone. */
static void draw_batch(run *r, bool testing)
{
    for (int64_t i = 0; i < r->o.batch; i++) {
        const int64_t language = (int64_t)(next(&r->state) % (uint64_t)r->n_lists);
        const list *l = &r->lists[language];
        size_t at = (size_t)(next(&r->state) % (l->n / 10)) * 10;
        if (!testing)
            at += 1 + next(&r->state) % 9;
        put(r, i, &l->words[at]);
        r->labels[i] = language;
    }
}

static void check_step(const run *r)
{
    if (!tg_tape_status(r->tape))
        return;
    fprintf(stderr, "lstm: %s\n", tg_tape_error(r->tape));
    exit(1);
}

static double evaluate(run *r)
{
    enum { BATCHES = 20 };
    double sum = 0;
    const uint64_t state = r->state;
    r->state = 7; /* the same words each time */
    tg_module_eval(r->net);
    const bool was = tg_tape_set_recording(r->tape, false);
    for (int i = 0; i < BATCHES; i++) {
        double hits;
        tg_tape_reset(r->tape);
        draw_batch(r, true);
        tg_tensor *scores = scores_of(r, r->o.batch), *labels = tg_input(r->tape, TG_I64, &r->o.batch, 1, r->labels);
        check_step(r);
        check(!tg_accuracy(r->tape, scores, labels, &hits));
        sum += hits;
    }
    tg_tape_set_recording(r->tape, was);
    tg_module_train(r->net);
    r->state = state;
    return 100 * sum / BATCHES;
}

static double learn(run *r)
{
    tg_progress progress;
    double sum = 0, last = 0, start = tg_seconds();
    const int64_t look = r->o.steps < LOOK ? r->o.steps : LOOK;
    tg_progress_begin(&progress, stderr, "learning", r->o.steps);
    puts("   step   training loss   test accuracy   words/s");
    for (int64_t step = 1; step <= r->o.steps; step++) {
        double value = 0;
        tg_tape_reset(r->tape);
        draw_batch(r, false);
        tg_tensor *labels = tg_input(r->tape, TG_I64, &r->o.batch, 1, r->labels);
        tg_tensor *loss = tg_cross_entropy(r->tape, scores_of(r, r->o.batch), labels);
        tg_backward(r->tape, loss);
        tg_clip_grad_norm(r->tape, tg_module_parameters(r->net), 1, NULL);
        tg_optimizer_step(r->optimizer, r->tape);
        check_step(r);
        check(!tg_item(loss, &value) && !tg_scheduler_step(r->scheduler));
        sum += value;
        tg_progress_step(&progress, r->o.batch, value);
        if (step % look)
            continue;
        const double seconds = tg_seconds() - start;
        r->at[r->looks] = (double)step;
        r->loss[r->looks] = last = sum / (double)look;
        r->accuracy[r->looks] = evaluate(r);
        tg_progress_end(&progress); /* clears the line */
        printf("%7" PRId64 "   %13.4f   %11.2f %%   %7.0f\n", step, last, r->accuracy[r->looks++],
               (double)(look * r->o.batch) / seconds);
        fflush(stdout);
        sum = 0;
        start = tg_seconds();
    }
    tg_progress_end(&progress);
    return last;
}

static void answer(run *r)
{
    tg_module_eval(r->net);
    for (int i = 0; i < r->o.n_asked; i++) {
        float p[MOST_LISTS];
        const word w = spell(r->o.ask[i]);
        if (!w.length)
            continue;
        tg_tape_reset(r->tape);
        put(r, 0, &w);
        tg_tensor *y = tg_softmax(r->tape, scores_of(r, 1), 1);
        check_step(r);
        check(!tg_tensor_read(y, p, (size_t)r->n_lists * sizeof *p));
        printf("%s:", r->o.ask[i]);
        for (int k = 0; k < r->n_lists; k++)
            printf(" %s %.0f %%%s", r->lists[k].name, 100 * (double)p[k], k + 1 < r->n_lists ? "," : "\n");
    }
}

static void draw_curves(const run *r)
{
    const tg_curve loss = {"training", r->at, r->loss, r->looks}, accuracy = {"test", r->at, r->accuracy, r->looks};
    const tg_chart charts[] = {{"Loss", "step", "cross-entropy", &loss, 1}, {"Accuracy", "step", "%", &accuracy, 1}};
    check(!tg_charts_write_svg(r->o.curve, charts, 2));
    printf("curves: %s\n", r->o.curve);
}

int main(int argc, char **argv)
{
    run r = {.o = read_options(argc, argv)};
    read_lists(&r);
    const size_t n = (size_t)r.o.batch, looks = (size_t)r.o.steps / LOOK + 1;
    r.state = r.o.seed;
    r.words = get_room(NULL, n * LONGEST * sizeof *r.words);
    r.lengths = get_room(NULL, 2 * n * sizeof *r.lengths);
    r.labels = r.lengths + n;
    r.at = get_room(NULL, 3 * looks * sizeof *r.at);
    r.loss = r.at + looks;
    r.accuracy = r.loss + looks;

    check(!tg_runtime_open(&r.rt, &(tg_runtime_options){.seed = r.o.seed}) && !tg_tape_open(&r.tape, r.rt));
    r.net = tg_module_new(r.rt, &tell_class, &(tell_options){r.o.hidden, r.n_lists});
    check(r.net);
    tg_adam_options adam = tg_adam_defaults();
    adam.lr = r.o.lr;
    r.optimizer = tg_optim_adam(r.rt, tg_module_parameters(r.net), &adam);
    check(r.optimizer);
    r.scheduler = tg_lr_cosine_annealing(r.optimizer, r.o.steps, 0);
    check(r.scheduler);
    for (int i = 0; i < r.n_lists; i++)
        printf("%s: %zu words\n", r.lists[i].name, r.lists[i].n);
    const double loss = learn(&r);
    answer(&r);
    if (r.o.curve)
        draw_curves(&r);
    printf("test accuracy %.2f %% after %" PRId64 " words (backend %s)\n", r.accuracy[r.looks - 1], r.o.steps * r.o.batch,
           tg_runtime_backend(r.rt));

    tg_scheduler_destroy(r.scheduler);
    tg_optimizer_destroy(r.optimizer);
    tg_module_destroy(r.net);
    tg_tape_close(r.tape);
    tg_runtime_close(r.rt);
    for (int i = 0; i < r.n_lists; i++)
        free(r.lists[i].words);
    free(r.words);
    free(r.lengths);
    free(r.at);
    if (loss < r.o.below)
        return 0;
    fprintf(stderr, "lstm: the training loss is %g, expected below %g\n", loss, r.o.below);
    return 1;
}
