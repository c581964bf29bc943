/* An LSTM that tells the language of a single word from its letters; words are sequences of different lengths.
 *
 *     lstm                                 the word lists of Debian's packages wamerican, wngerman, wfrench, witalian, wspanish
 *     lstm --list FILE --list FILE …       other lists, a language each, one word a line
 *     lstm --curve curve.svg               … and draw loss and accuracy
 *     lstm --small                         seconds: ends with 0 where the loss fell as it should
 *     lstm --ask Donaudampfschiff          … and say what it takes these words for
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/layer_class.h>

#include "loop.h"

#define WORD_LISTS "/usr/share/dict/"
enum { LETTERS = 28, LONGEST = 20, MOST = 16, TESTS = 20 };

static const char *const debian_lists[] = {"american-english", "ngerman", "french", "italian", "spanish"};

typedef struct word {
    uint8_t letter[LONGEST], length;
} word;

typedef struct list {
    char name[64];
    word *words;
    size_t n;
} list;

typedef struct several {
    const char *text[MOST];
    int n;
} several;

typedef struct run {
    loop_options o;
    several files, asked;
    int64_t hidden;
    loop l;
    list lists[MOST];
    int n_lists;
    int64_t *words, *lengths, *labels; /* room for a batch */
} run;

/* -- options --------------------------------------------------------------------------------------------- */

static const char *be_small(void *at, const char *value)
{
    run *r = at;
    (void)value;
    r->o.steps = 150;
    r->o.batch = r->hidden = 32;
    r->o.lr = 1e-2;
    r->o.below = 1.2;
    return NULL;
}

static const char *add(void *at, const char *text)
{
    several *to = at;
    if (to->n == MOST)
        return "too many of them: ";
    to->text[to->n++] = text;
    return NULL;
}

static void read_options(run *r, int argc, char **argv)
{
    const loop_option own[] = {{"small", NULL, be_small, r},
                               {"list", "FILE …", add, &r->files},
                               {"ask", "WORD …", add, &r->asked},
                               {"steps", "N", loop_whole, &r->o.steps},
                               {"hidden", "N", loop_whole, &r->hidden},
                               {0}};
    r->o = (loop_options){"lstm", .steps = 2000, .batch = 64, .lr = 3e-3, .below = (double)INFINITY, .seed = 1};
    r->hidden = 128;
    loop_read_options(&r->o, own, argc, argv);
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
            l->words = loop_room(&r->o, l->words, (l->n ? 2 * l->n : 1) * sizeof *l->words);
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
    for (int i = 0; i < r->files.n; i++)
        if (!read_list(r, r->files.text[i])) {
            fprintf(stderr, "lstm: %s cannot be read\n", r->files.text[i]);
            exit(1);
        }
    for (size_t i = 0; !r->files.n && i < sizeof debian_lists / sizeof *debian_lists; i++) {
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

/* Scores of `n` words, which stand in r->words, up to the longest of them. */
static tg_tensor *scores_of(run *r, int64_t n)
{
    tg_tape *tape = r->l.tape;
    int64_t longest = 1;
    for (int64_t i = 0; i < n; i++)
        longest = r->lengths[i] > longest ? r->lengths[i] : longest;
    tg_tensor *words = tg_input(tape, TG_I64, (int64_t[]){n, LONGEST}, 2, r->words);
    tg_tensor *in[] = {tg_narrow(tape, words, 1, 0, longest), tg_input(tape, TG_I64, &n, 1, r->lengths)}, *scores = NULL;
    tg_forward_n(tape, r->l.net, in, 2, &scores, 1);
    return scores;
}

static void put(run *r, int64_t i, const word *w)
{
    for (int k = 0; k < LONGEST; k++)
        r->words[i * LONGEST + k] = w->letter[k];
    r->lengths[i] = w->length;
}

/* Words of all languages equally, and their labels; every tenth of a list is for testing alone. */
static tg_tensor *draw_batch(run *r, bool testing)
{
    uint64_t *state = &r->l.state;
    for (int64_t i = 0; i < r->o.batch; i++) {
        const int64_t language = (int64_t)(loop_random(state) % (uint64_t)r->n_lists);
        const list *l = &r->lists[language];
        size_t at = (size_t)(loop_random(state) % (l->n / 10)) * 10;
        if (!testing)
            at += 1 + loop_random(state) % 9;
        put(r, i, &l->words[at]);
        r->labels[i] = language;
    }
    return tg_input(r->l.tape, TG_I64, &r->o.batch, 1, r->labels);
}

static tg_tensor *loss_of(void *arg)
{
    run *r = arg;
    tg_tensor *labels = draw_batch(r, false);
    return tg_cross_entropy(r->l.tape, scores_of(r, r->o.batch), labels);
}

static double accuracy_of(void *arg)
{
    run *r = arg;
    double hits;
    tg_tensor *labels = draw_batch(r, true), *scores = scores_of(r, r->o.batch);
    loop_check_tape(&r->l);
    loop_check(&r->o, !tg_accuracy(r->l.tape, scores, labels, &hits));
    return 100 * hits;
}

static void answer(run *r)
{
    tg_module_eval(r->l.net);
    for (int i = 0; i < r->asked.n; i++) {
        float p[MOST];
        const word w = spell(r->asked.text[i]);
        if (!w.length)
            continue;
        tg_tape_reset(r->l.tape);
        put(r, 0, &w);
        tg_tensor *y = tg_softmax(r->l.tape, scores_of(r, 1), 1);
        loop_check_tape(&r->l);
        loop_check(&r->o, !tg_tensor_read(y, p, (size_t)r->n_lists * sizeof *p));
        printf("%s:", r->asked.text[i]);
        for (int k = 0; k < r->n_lists; k++)
            printf(" %s %.0f %%%s", r->lists[k].name, 100 * (double)p[k], k + 1 < r->n_lists ? "," : "\n");
    }
}

static void draw_curves(const run *r)
{
    const loop *l = &r->l;
    const tg_curve loss = {"training", l->at, l->train_loss, l->looks}, accuracy = {"test", l->at, l->test_mean, l->looks};
    const tg_chart charts[] = {{"Loss", "step", "cross-entropy", &loss, 1}, {"Accuracy", "step", "%", &accuracy, 1}};
    loop_check(&r->o, !tg_charts_write_svg(r->o.curve, charts, 2));
    printf("curves: %s\n", r->o.curve);
}

static void make_model(run *r)
{
    loop *l = &r->l;
    tg_adam_options adam = tg_adam_defaults();
    adam.lr = r->o.lr;
    l->net = tg_module_new(l->rt, &tell_class, &(tell_options){r->hidden, r->n_lists});
    loop_check(&r->o, l->net);
    l->optimizer = tg_optim_adam(l->rt, tg_module_parameters(l->net), &adam);
    loop_check(&r->o, l->optimizer);
    l->scheduler = tg_lr_cosine_annealing(l->optimizer, r->o.steps, 0);
    loop_check(&r->o, l->scheduler);
}

int main(int argc, char **argv)
{
    run r = {0};
    read_options(&r, argc, argv);
    read_lists(&r);
    const size_t n = (size_t)r.o.batch;
    r.words = loop_room(&r.o, NULL, n * LONGEST * sizeof *r.words);
    r.lengths = loop_room(&r.o, NULL, 2 * n * sizeof *r.lengths);
    r.labels = r.lengths + n;
    loop_open(&r.l, &r.o);
    make_model(&r);

    for (int i = 0; i < r.n_lists; i++)
        printf("%s: %zu words\n", r.lists[i].name, r.lists[i].n);
    const loop_task task = {"words", r.o.batch, "test accuracy", true, TESTS, &r, loss_of, accuracy_of};
    const double loss = loop_steps(&r.l, &task);
    answer(&r);
    if (r.o.curve)
        draw_curves(&r);
    printf("test accuracy %.2f %% after %" PRId64 " words (backend %s)\n", r.l.test_mean[r.l.looks - 1], r.o.steps * r.o.batch,
           tg_runtime_backend(r.l.rt));

    loop_close(&r.l);
    for (int i = 0; i < r.n_lists; i++)
        free(r.lists[i].words);
    free(r.words);
    free(r.lengths);
    return loop_status(&r.o, loss);
}
