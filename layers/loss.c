/* Losses and distances: a table, one struct of options, and one forward for both modes. */
#include <math.h>
#include <string.h>

#include "layers/internal.h"

/* Of all but CrossEntropyLoss and NLLLoss; each has the members that its table of attributes names. */
typedef struct loss_options {
    tg_tensor *weight, *pos_weight; /* the buffers, in a module */
    int64_t reduction, power, blank, dim;
    double margin, beta, delta, eps, p;
    bool log_input, full, log_target, zero_infinity, swap, keepdim;
    tg_distance_fn distance;
    void *arg;
} loss_options;

typedef tg_tensor *run_fn(tg_tape *, const void *options, tg_tensor *const in[]);

typedef struct loss_row {
    tg_layer_class cls;
    tg_tensor *(*run)(tg_tape *, const void *options, tg_tensor *const in[]);
    const char
        *number; /* the attribute that has to be from low to high, without low itself where it is `above` */
    double low, high;
    bool above, classes; /* classes: weight has one dim */
} loss_row;

static const loss_row *row_of(const tg_module *m)
{
    return (const loss_row *)(const void *)m->cls;
}

/* -- forward -------------------------------------------------------------------------------------------- */

static tg_status loss_forward(tg_module *m, tg_tape *tape, tg_tensor *const in[], size_t n_in,
                              tg_tensor *out[])
{
    (void)n_in;
    return tg_layer_result(tape, row_of(m)->run(tape, m->attrs, in), out);
}

static tg_tensor *cross_entropy(tg_tape *tape, const void *options, tg_tensor *const in[])
{
    const tg_cross_entropy_options *o = options;
    return tg_cross_entropy_with(tape, in[0], in[1], o->weight, o->ignore_index, (tg_reduction)o->reduction,
                                 o->label_smoothing);
}

static tg_tensor *nll(tg_tape *tape, const void *options, tg_tensor *const in[])
{
    const tg_nll_loss_options *o = options;
    return tg_nll_loss(tape, in[0], in[1], o->weight, o->ignore_index, (tg_reduction)o->reduction);
}

/* run_NAME: `call` of the inputs in[] and the options o. */
#define RUN(name, call)                                                                                      \
    static tg_tensor *run_##name(tg_tape *tape, const void *options, tg_tensor *const in[])                  \
    {                                                                                                        \
        const loss_options *o = options;                                                                     \
        return call;                                                                                         \
    }
#define HOW ((tg_reduction)o->reduction)
RUN(mse, tg_mse_loss(tape, in[0], in[1], HOW))
RUN(l1, tg_l1_loss(tape, in[0], in[1], HOW))
RUN(smooth_l1, tg_smooth_l1_loss(tape, in[0], in[1], o->beta, HOW))
RUN(huber, tg_huber_loss(tape, in[0], in[1], o->delta, HOW))
RUN(bce, tg_binary_cross_entropy(tape, in[0], in[1], o->weight, HOW))
RUN(bce_with_logits, tg_bce_with_logits(tape, in[0], in[1], o->weight, o->pos_weight, HOW))
RUN(kl_div, tg_kl_div(tape, in[0], in[1], o->log_target, HOW))
RUN(poisson_nll, tg_poisson_nll_loss(tape, in[0], in[1], o->log_input, o->full, o->eps, HOW))
RUN(gaussian_nll, tg_gaussian_nll_loss(tape, in[0], in[1], in[2], o->full, o->eps, HOW))
RUN(hinge_embedding, tg_hinge_embedding_loss(tape, in[0], in[1], o->margin, HOW))
RUN(margin_ranking, tg_margin_ranking_loss(tape, in[0], in[1], in[2], o->margin, HOW))
RUN(cosine_embedding, tg_cosine_embedding_loss(tape, in[0], in[1], in[2], o->margin, HOW))
RUN(soft_margin, tg_soft_margin_loss(tape, in[0], in[1], HOW))
RUN(multi_margin, tg_multi_margin_loss(tape, in[0], in[1], o->power, o->margin, o->weight, HOW))
RUN(multilabel_margin, tg_multilabel_margin_loss(tape, in[0], in[1], HOW))
RUN(multilabel_soft_margin, tg_multilabel_soft_margin_loss(tape, in[0], in[1], o->weight, HOW))
RUN(triplet_margin, tg_triplet_margin_loss(tape, in[0], in[1], in[2], o->margin, o->p, o->eps, o->swap, HOW))
RUN(triplet_with_distance, tg_triplet_margin_with_distance_loss(tape, in[0], in[1], in[2], o->distance, o->arg,
                                                                o->margin, o->swap, HOW))
RUN(ctc, tg_ctc_loss(tape, in[0], in[1], in[2], in[3], o->blank, o->zero_infinity, HOW))
RUN(cosine_similarity, tg_cosine_similarity(tape, in[0], in[1], o->dim, o->eps))
RUN(pairwise_distance, tg_pairwise_distance(tape, in[0], in[1], o->p, o->eps, o->keepdim))

/* -- init ----------------------------------------------------------------------------------------------- */

/* Copies the caller's weights into a buffer. */
static tg_status keep_weight(tg_module *m, const char *name, tg_tensor *weight)
{
    const bool classes =
        row_of(m)->run == cross_entropy || row_of(m)->run == nll || row_of(m)->run == run_multi_margin;
    tg_tensor *buffer;
    tg_desc d;
    char got[128];
    tg_status status = tg_tensor_desc(weight, &d);
    if (status)
        return status;
    const bool fits = !classes || d.ndim == 1;
    if (!fits || !tg_dtype_is_float(d.dtype))
        return tg_fail(NULL, fits ? TG_EDTYPE : TG_ESHAPE, "%s: %s is %s, expected %s", m->cls->name, name,
                       tg_desc_format(&d, got, sizeof got), classes ? "one number per class" : "f32 or f64");
    status = tg_module_add_buffer(m, name, (tg_dtype)d.dtype, d.dim, (size_t)d.ndim, &buffer);
    if (status)
        return status;
    const tg_allocator *a = tg_runtime_allocator(m->rt);
    size_t bytes = (size_t)tg_desc_count(&d) * tg_dtype_size(d.dtype);
    void *copy = tg_alloc(a, bytes ? bytes : 1);
    if (!copy)
        return TG_ENOMEM;
    status = tg_tensor_read(weight, copy, bytes);
    if (!status)
        status = tg_tensor_write(buffer, copy, bytes);
    tg_free(a, copy);
    return status;
}

static tg_status check_choice(const tg_module *m, const tg_attr_spec *s, int64_t choice)
{
    int64_t n = 1;
    for (const char *at = s->choices; (at = strchr(at, '|')); at++)
        n++;
    if (choice >= 0 && choice < n)
        return TG_OK;
    return tg_fail(NULL, TG_EINVAL, "%s: %s is %lld, expected TG_REDUCE_NONE, TG_REDUCE_MEAN%s", m->cls->name,
                   s->name, (long long)choice,
                   n > 3 ? ", TG_REDUCE_SUM or TG_REDUCE_BATCHMEAN" : " or TG_REDUCE_SUM");
}

/* Numbers that have to be from low to high, without low itself where `above`. */
static tg_status check_number(const tg_module *m, const tg_attr_spec *s, const void *at)
{
    static const struct {
        run_fn *run;
        size_t offset;
        float low, high;
        bool above;
    } limits[] = {{cross_entropy, offsetof(tg_cross_entropy_options, label_smoothing), 0, 1, false},
                  {run_smooth_l1, offsetof(loss_options, beta), 0, HUGE_VALF, false},
                  {run_huber, offsetof(loss_options, delta), 0, HUGE_VALF, true},
                  {run_gaussian_nll, offsetof(loss_options, eps), 0, HUGE_VALF, true},
                  {run_triplet_margin, offsetof(loss_options, margin), 0, HUGE_VALF, true},
                  {run_triplet_with_distance, offsetof(loss_options, margin), 0, HUGE_VALF, true},
                  {run_multi_margin, offsetof(loss_options, power), 1, 2, false},
                  {run_ctc, offsetof(loss_options, blank), 0, HUGE_VALF, false}};
    const double x = s->type == TG_ATTR_INT ? (double)*(const int64_t *)at : *(const double *)at;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const double low = (double)limits[i].low, high = (double)limits[i].high;
        if (row_of(m)->run != limits[i].run || s->offset != limits[i].offset ||
            (x >= low && x <= high && !(limits[i].above && x == low)))
            continue;
        if (isinf(high))
            return tg_fail(NULL, TG_EINVAL, "%s: %s is %g, expected a number %s %g", m->cls->name, s->name, x,
                           limits[i].above ? "above" : "of at least", low);
        return tg_fail(NULL, TG_EINVAL, "%s: %s is %g, expected a number between %g and %g", m->cls->name,
                       s->name, x, low, high);
    }
    return TG_OK;
}

static tg_status loss_init(tg_module *m, const void *options)
{
    tg_status status = TG_OK;
    for (const tg_attr_spec *s = m->cls->attrs; s->name && !status; s++) {
        const void *at = (const char *)options + s->offset;
        if (s->type == TG_ATTR_CHOICE)
            status = check_choice(m, s, *(const int64_t *)at);
        else if (s->type == TG_ATTR_TENSOR && *(tg_tensor *const *)at)
            status = keep_weight(m, s->name, *(tg_tensor *const *)at);
        else if (s->type == TG_ATTR_INT || s->type == TG_ATTR_REAL)
            status = check_number(m, s, at);
    }
    return status;
}

/* -- attributes ----------------------------------------------------------------------------------------- */

#define S loss_options
#define REDUCTION_OF(S)                                                                                      \
    TG_ATTR_ROW(S, reduction, CHOICE, 0, TG_REDUCE_MEAN, "none|mean|sum",                                    \
                "one loss an element, their (weighted) mean, or their sum")
#define WEIGHT_OF(S)                                                                                         \
    TG_ATTR_ROW(S, weight, TENSOR, TG_ATTR_OPTIONAL, 0, NULL, "a factor for each class; copied")
#define IGNORE_OF(S) TG_ATTR_ROW(S, ignore_index, INT, 0, -100, NULL, "a label that counts for nothing")
#define REDUCTION REDUCTION_OF(loss_options)
#define WEIGHT WEIGHT_OF(loss_options)
#define REAL(FIELD, VALUE, DOC) TG_ATTR_ROW(S, FIELD, REAL, 0, VALUE, NULL, DOC)
#define FLAG(FIELD, VALUE, DOC) TG_ATTR_ROW(S, FIELD, BOOL, 0, VALUE, NULL, DOC)
#define MARGIN(VALUE) REAL(margin, VALUE, "how far apart they should be")
#define FULL FLAG(full, 0, "with the terms that do not depend on input")
#define EPS(VALUE) REAL(eps, VALUE, "keeps logarithms, roots and divisions from 0")
static const tg_attr_spec cross_entropy_specs[] = {
    WEIGHT_OF(tg_cross_entropy_options),
    IGNORE_OF(tg_cross_entropy_options),
    REDUCTION_OF(tg_cross_entropy_options),
    TG_ATTR_ROW(tg_cross_entropy_options, label_smoothing, REAL, 0, 0, NULL,
                "the part of the target that is spread evenly over all classes"),
    TG_ATTR_END,
};
static const tg_attr_spec nll_specs[] = {WEIGHT_OF(tg_nll_loss_options), IGNORE_OF(tg_nll_loss_options),
                                         REDUCTION_OF(tg_nll_loss_options), TG_ATTR_END};
static const tg_attr_spec smooth_l1_specs[] = {REDUCTION, REAL(beta, 1, "where the square becomes a line"),
                                               TG_ATTR_END};
static const tg_attr_spec huber_specs[] = {REDUCTION, REAL(delta, 1, "where the square becomes a line"),
                                           TG_ATTR_END};
static const tg_attr_spec bce_with_logits_specs[] = {
    WEIGHT, REDUCTION,
    TG_ATTR_ROW(S, pos_weight, TENSOR, TG_ATTR_OPTIONAL, 0, NULL, "a factor for the positive part; copied"),
    TG_ATTR_END};
static const tg_attr_spec kl_div_specs[] = {TG_ATTR_ROW(S, reduction, CHOICE, 0, TG_REDUCE_MEAN,
                                                        "none|mean|sum|batchmean",
                                                        "batchmean: the sum over the batch's size"),
                                            FLAG(log_target, 0, "the target holds logarithms"), TG_ATTR_END};
static const tg_attr_spec poisson_nll_specs[] = {FLAG(log_input, 1, "the input holds logarithms"), FULL,
                                                 EPS(1e-8), REDUCTION, TG_ATTR_END};
static const tg_attr_spec gaussian_nll_specs[] = {FULL, EPS(1e-6), REDUCTION, TG_ATTR_END};
static const tg_attr_spec from_0[] = {MARGIN(0), REDUCTION, TG_ATTR_END};
static const tg_attr_spec from_1[] = {MARGIN(1), REDUCTION, TG_ATTR_END};
static const tg_attr_spec multi_margin_specs[] = {
    {"p", TG_ATTR_INT, 0, offsetof(S, power), {1}, NULL, "the power, 1 or 2"},
    MARGIN(1),
    WEIGHT,
    REDUCTION,
    TG_ATTR_END};
/* Its ends are tables, too. */
#define WEIGHTED (multi_margin_specs + 2)
#define PLAIN (multi_margin_specs + 3)
static const tg_attr_spec triplet_specs[] = {
    MARGIN(1), REAL(p, 2, "the norm"),
    EPS(1e-6), FLAG(swap, 0, "the nearer of anchor and positive counts"),
    REDUCTION, TG_ATTR_END};
static const tg_attr_spec with_distance_specs[] = {
    MARGIN(1), FLAG(swap, 0, "the nearer of anchor and positive counts"), REDUCTION, TG_ATTR_END};
static const tg_attr_spec ctc_specs[] = {TG_ATTR_ROW(S, blank, INT, 0, 0, NULL, "the class of no label"),
                                         REDUCTION, FLAG(zero_infinity, 0, "what has no alignment costs 0"),
                                         TG_ATTR_END};
static const tg_attr_spec similarity_specs[] = {TG_ATTR_ROW(S, dim, INT, 0, 1, NULL, "along which"),
                                                EPS(1e-8), TG_ATTR_END};
static const tg_attr_spec distance_specs[] = {REAL(p, 2, "the norm"), EPS(1e-6),
                                              FLAG(keepdim, 0, "the last dim stays, of size 1"), TG_ATTR_END};

/* -- samples -------------------------------------------------------------------------------------------- */

/* clang-format off */
#define ALL(HOW, YES) {.reduction = HOW, .power = 2, .dim = 1, .margin = -YES, .beta = 1, .delta = 1, .eps = 0.05, .p = 2, \
                       .log_input = YES, .full = YES, .log_target = YES, .swap = YES, .keepdim = YES}
static const loss_options each = ALL(TG_REDUCE_NONE, 1), mean = ALL(TG_REDUCE_MEAN, 0),
                          triplet = {.margin = 1, .p = 3, .eps = 0.05};
static const tg_cross_entropy_options
    ce_sum = {.ignore_index = 1, .reduction = TG_REDUCE_SUM},
    ce_none = {.ignore_index = -100, .reduction = TG_REDUCE_NONE},
    ce_smooth = {.ignore_index = -100, .reduction = TG_REDUCE_MEAN, .label_smoothing = 0.2};
static const tg_nll_loss_options nll_sum = {.ignore_index = 1, .reduction = TG_REDUCE_SUM},
                                 nll_none = {.ignore_index = -100, .reduction = TG_REDUCE_NONE};

#define DIMS(...) [__VA_ARGS__]
#define FROM(LOW, HIGH, ...) {DIMS(__VA_ARGS__), LOW : HIGH}
#define LABELS(LOW, HIGH, ...) {DIMS(__VA_ARGS__), LOW : HIGH, i64, constant}
#define TWO FROM(-2, 2, 4, 3), FROM(-2, 2, 4, 3)
static const char two[] = TG_SAMPLE_INPUTS(TWO), three[] = TG_SAMPLE_INPUTS(TWO, FROM(0.1f, 2, 4, 1)),
    labelled[] = TG_SAMPLE_INPUTS(FROM(-2, 2, 4, 3), LABELS(0, 3, 4)), placed[] = TG_SAMPLE_INPUTS(FROM(-2, 2, 2, 3, 2), LABELS(0, 3, 2, 2)),
    shared[] = TG_SAMPLE_INPUTS(FROM(0.1f, 0.9f, 4, 3), FROM(0.1f, 0.9f, 4, 3)),
    counted[] = TG_SAMPLE_INPUTS(FROM(0.1f, 2, 4, 3), {DIMS(4, 3), 0.5 : 4, away 0.1 from [1]}),
    listed[] = TG_SAMPLE_INPUTS(FROM(-2, 2, 4, 3), LABELS(-1, 2, 4, 3)), ranked[] = TG_SAMPLE_INPUTS(FROM(-2, 2, 8), FROM(-2, 2, 8), LABELS(-1, 2, 8)),
    embedded[] = TG_SAMPLE_INPUTS(FROM(-2, 2, 5, 3), FROM(-2, 2, 5, 3), LABELS(-1, 2, 5)),
    /* exp of these is nothing: CTC's derivative takes it for granted that probabilities add up to 1. */
    aligned[] = TG_SAMPLE_INPUTS(FROM(-30, -25, 6, 2, 4), LABELS(1, 4, 2, 2), LABELS(5, 7, 2), LABELS(1, 3, 2));
#define SAMPLE(LABEL, OPTIONS, INPUTS) {.label = LABEL, .in = INPUTS, .attrs = OPTIONS}
#define BOTH(INPUTS) SAMPLE("mean", &mean, INPUTS), SAMPLE("none", &each, INPUTS)
#define TABLE(NAME, ...) static const tg_sample NAME##_table[] = {__VA_ARGS__}; TG_SAMPLES(NAME, NAME##_table)
TABLE(cross_entropy_samples, SAMPLE("classes", NULL, labelled), SAMPLE("sum, ignore_index", &ce_sum, labelled),
      SAMPLE("none, positions", &ce_none, placed), SAMPLE("label smoothing", &ce_smooth, labelled),
      SAMPLE("probabilities", NULL, shared))
TABLE(nll_samples, SAMPLE("classes", NULL, labelled), SAMPLE("sum, ignore_index", &nll_sum, labelled),
      SAMPLE("none, positions", &nll_none, placed))
TABLE(pairs, BOTH(two))
TABLE(units, BOTH(shared))
TABLE(counts, BOTH(counted))
TABLE(variances, BOTH(three))
TABLE(triplets, SAMPLE("none", &triplet, three))
TABLE(rankings, BOTH(ranked))
TABLE(embeddings, BOTH(embedded))
TABLE(single, BOTH(labelled))
TABLE(several, BOTH(listed))
TABLE(sequences, BOTH(aligned))

/* -- classes -------------------------------------------------------------------------------------------- */

static const char *const of_input[] = {"input", "target"}, *const of_log_input[] = {"log_input", "target"},
                  *const of_var[] = {"input", "target", "var"}, *const of_two[] = {"input1", "input2", "target"},
                  *const of_anchor[] = {"anchor", "positive", "negative"}, *const of_points[] = {"x1", "x2"},
                  *const of_sequence[] = {"log_probs", "targets", "input_lengths", "target_lengths"};

#define ROW(NAME, FLAGS, OPTIONS, SPECS, RUN, N, NAMES, SAMPLES_OF, DOC)                                          \
    {                                                                                                                  \
        .cls = {.struct_size = sizeof(tg_layer_class), .flags = FLAGS, .name = NAME, .attrs = SPECS,                   \
                .attrs_size = sizeof(OPTIONS), .n_in = N, .n_out = 1, .in_names = NAMES, .init = loss_init,            \
                .forward = {loss_forward, loss_forward}, .samples = TG_PROOF(SAMPLES_OF), .doc = DOC},                           \
        .run = RUN                                                                                        \
    }
#define LOSS(NAME, SPECS, RUN, SAMPLES_OF, DOC)                                                                   \
    ROW(NAME, TG_LAYER_LOSS, loss_options, SPECS, RUN, 2, of_input, SAMPLES_OF, DOC)
enum {
    CROSS_ENTROPY, NLL, MSE, L1, SMOOTH_L1, HUBER, BCE, BCE_WITH_LOGITS, KL_DIV, POISSON_NLL, GAUSSIAN_NLL, HINGE_EMBEDDING,
    MARGIN_RANKING, COSINE_EMBEDDING, SOFT_MARGIN, MULTI_MARGIN, MULTILABEL_MARGIN, MULTILABEL_SOFT_MARGIN, TRIPLET_MARGIN,
    TRIPLET_WITH_DISTANCE, TRIPLET_BY_FUNCTION, CTC, COSINE_SIMILARITY, PAIRWISE_DISTANCE, N_ROWS
};
#define WITH_DISTANCE                                                                                                  \
    ROW("TripletMarginWithDistanceLoss", 0, loss_options, with_distance_specs, run_triplet_with_distance, 3, of_anchor, \
        triplets, "TripletMarginLoss with a distance of one's own")
static const loss_row rows[N_ROWS] = {
    [CROSS_ENTROPY] = ROW("CrossEntropyLoss", TG_LAYER_LOSS, tg_cross_entropy_options, cross_entropy_specs, cross_entropy, 2,
                          of_input, cross_entropy_samples,
                          "NLLLoss of log_softmax(input); the target is classes, or probabilities"),
    [NLL] = ROW("NLLLoss", TG_LAYER_LOSS, tg_nll_loss_options, nll_specs, nll, 2, of_input, nll_samples,
                "−weight[target]·input[target]; mean: divided by Σ weight[target]"),
    [MSE] = LOSS("MSELoss", PLAIN, run_mse, pairs, "(input − target)²"),
    [L1] = LOSS("L1Loss", PLAIN, run_l1, pairs, "|input − target|"),
    [SMOOTH_L1] = LOSS("SmoothL1Loss", smooth_l1_specs, run_smooth_l1, pairs, "HuberLoss over beta"),
    [HUBER] = LOSS("HuberLoss", huber_specs, run_huber, pairs,
                   "(input − target)²/2, from delta on a line of slope delta"),
    [BCE] = LOSS("BCELoss", WEIGHTED, run_bce, units, "−target·log input − (1 − target)·log(1 − input)"),
    [BCE_WITH_LOGITS] = LOSS("BCEWithLogitsLoss", bce_with_logits_specs, run_bce_with_logits, units, "BCELoss of σ(input)"),
    [KL_DIV] = LOSS("KLDivLoss", kl_div_specs, run_kl_div, units, "target·(log target − input)"),
    [POISSON_NLL] = ROW("PoissonNLLLoss", TG_LAYER_LOSS, loss_options, poisson_nll_specs, run_poisson_nll, 2, of_log_input,
                        counts, "exp(log_input) − target·log_input"),
    [GAUSSIAN_NLL] = ROW("GaussianNLLLoss", 0, loss_options, gaussian_nll_specs, run_gaussian_nll, 3, of_var, variances,
                         "(log var + (input − target)²/var)/2"),
    [HINGE_EMBEDDING] = LOSS("HingeEmbeddingLoss", from_1, run_hinge_embedding, several,
                             "input where target is 1, max(0, margin − input) where it is −1"),
    [MARGIN_RANKING] = ROW("MarginRankingLoss", 0, loss_options, from_0, run_margin_ranking, 3, of_two, rankings,
                           "max(0, margin − target·(input1 − input2))"),
    [COSINE_EMBEDDING] = ROW("CosineEmbeddingLoss", 0, loss_options, from_0, run_cosine_embedding, 3, of_two, embeddings,
                             "1 − cos where target is 1, max(0, cos − margin) where it is −1"),
    [SOFT_MARGIN] = LOSS("SoftMarginLoss", PLAIN, run_soft_margin, pairs, "log(1 + exp(−target·input))"),
    [MULTI_MARGIN] = LOSS("MultiMarginLoss", multi_margin_specs, run_multi_margin, single,
                          "Σ max(0, margin − input[target] + input)^p over the other classes"),
    [MULTILABEL_MARGIN] = LOSS("MultiLabelMarginLoss", PLAIN, run_multilabel_margin, several,
                               "Σ max(0, 1 − input[label] + input) over labels and other classes"),
    [MULTILABEL_SOFT_MARGIN] = LOSS("MultiLabelSoftMarginLoss", WEIGHTED, run_multilabel_soft_margin, several,
                                    "BCEWithLogitsLoss, its mean over the last dim"),
    [TRIPLET_MARGIN] = ROW("TripletMarginLoss", 0, loss_options, triplet_specs, run_triplet_margin, 3, of_anchor, triplets,
                           "max(0, margin + |anchor − positive| − |anchor − negative|)"),
    [TRIPLET_WITH_DISTANCE] = WITH_DISTANCE,
    [TRIPLET_BY_FUNCTION] = WITH_DISTANCE, /* not registered: no file can name a function */
    [CTC] = ROW("CTCLoss", TG_LAYER_ONCE, loss_options, ctc_specs, run_ctc, 4, of_sequence, sequences,
                "−log of the probability of all alignments of targets"),
    [COSINE_SIMILARITY] = ROW("CosineSimilarity", 0, loss_options, similarity_specs, run_cosine_similarity, 2, of_points, pairs,
                              "Σ x1·x2/(|x1|·|x2|)"),
    [PAIRWISE_DISTANCE] = ROW("PairwiseDistance", 0, loss_options, distance_specs, run_pairwise_distance, 2, of_points, pairs,
                              "the norm of x1 − x2 + eps"),
};
#define CLS(R) &rows[R].cls
const tg_layer_class *const tg_layers_loss[] = {
    CLS(CROSS_ENTROPY), CLS(NLL), CLS(MSE), CLS(L1), CLS(SMOOTH_L1), CLS(HUBER), CLS(BCE), CLS(BCE_WITH_LOGITS), CLS(KL_DIV),
    CLS(POISSON_NLL), CLS(GAUSSIAN_NLL), CLS(HINGE_EMBEDDING), CLS(MARGIN_RANKING), CLS(COSINE_EMBEDDING), CLS(SOFT_MARGIN),
    CLS(MULTI_MARGIN), CLS(MULTILABEL_MARGIN), CLS(MULTILABEL_SOFT_MARGIN), CLS(TRIPLET_MARGIN),
    CLS(TRIPLET_WITH_DISTANCE), CLS(CTC), CLS(COSINE_SIMILARITY), CLS(PAIRWISE_DISTANCE), NULL,
};
/* clang-format on */

/* -- constructors --------------------------------------------------------------------------------------- */

tg_cross_entropy_options tg_cross_entropy_defaults(void)
{
    return (tg_cross_entropy_options){
        .struct_size = sizeof(tg_cross_entropy_options), .ignore_index = -100, .reduction = TG_REDUCE_MEAN};
}

tg_module *tg_nn_cross_entropy_loss_with(tg_runtime *rt, const tg_cross_entropy_options *options)
{
    tg_cross_entropy_options known = tg_cross_entropy_defaults();
    return tg_options_read("CrossEntropyLoss", &known, sizeof known, options)
               ? NULL
               : tg_module_new(rt, CLS(CROSS_ENTROPY), &known);
}

tg_module *tg_nn_cross_entropy_loss(tg_runtime *rt)
{
    return tg_module_new(rt, CLS(CROSS_ENTROPY), NULL);
}

tg_nll_loss_options tg_nll_loss_defaults(void)
{
    return (tg_nll_loss_options){
        .struct_size = sizeof(tg_nll_loss_options), .ignore_index = -100, .reduction = TG_REDUCE_MEAN};
}

tg_module *tg_nn_nll_loss_with(tg_runtime *rt, const tg_nll_loss_options *options)
{
    tg_nll_loss_options known = tg_nll_loss_defaults();
    return tg_options_read("NLLLoss", &known, sizeof known, options) ? NULL
                                                                     : tg_module_new(rt, CLS(NLL), &known);
}

tg_module *tg_nn_nll_loss(tg_runtime *rt)
{
    return tg_module_new(rt, CLS(NLL), NULL);
}

/* tg_nn_NAME(rt, …), the arguments as declared: a module of the row, with these of its options. */
#define CONSTRUCTOR(NAME, ROW_OF, ARGUMENTS, ...)                                                            \
    tg_module *tg_nn_##NAME ARGUMENTS                                                                        \
    {                                                                                                        \
        const loss_options o = {__VA_ARGS__};                                                                \
        return tg_module_new(rt, CLS(ROW_OF), &o);                                                           \
    }
#define ARGUMENTS(...) (tg_runtime * rt, __VA_ARGS__, tg_reduction reduction)
CONSTRUCTOR(mse_loss, MSE, (tg_runtime * rt, tg_reduction reduction), .reduction = reduction)
CONSTRUCTOR(l1_loss, L1, (tg_runtime * rt, tg_reduction reduction), .reduction = reduction)
CONSTRUCTOR(smooth_l1_loss, SMOOTH_L1, ARGUMENTS(double beta), .reduction = reduction, .beta = beta)
CONSTRUCTOR(huber_loss, HUBER, ARGUMENTS(double delta), .reduction = reduction, .delta = delta)
CONSTRUCTOR(bce_loss, BCE, ARGUMENTS(tg_tensor *weight), .reduction = reduction, .weight = weight)
CONSTRUCTOR(bce_with_logits_loss, BCE_WITH_LOGITS, ARGUMENTS(tg_tensor *weight, tg_tensor *pos_weight),
            .reduction = reduction, .weight = weight, .pos_weight = pos_weight)
CONSTRUCTOR(kl_div_loss, KL_DIV, ARGUMENTS(bool log_target), .reduction = reduction, .log_target = log_target)
CONSTRUCTOR(poisson_nll_loss, POISSON_NLL, ARGUMENTS(bool log_input, bool full, double eps),
            .reduction = reduction, .log_input = log_input, .full = full, .eps = eps)
CONSTRUCTOR(gaussian_nll_loss, GAUSSIAN_NLL, ARGUMENTS(bool full, double eps), .reduction = reduction,
            .full = full, .eps = eps)
CONSTRUCTOR(hinge_embedding_loss, HINGE_EMBEDDING, ARGUMENTS(double margin), .reduction = reduction,
            .margin = margin)
CONSTRUCTOR(margin_ranking_loss, MARGIN_RANKING, ARGUMENTS(double margin), .reduction = reduction,
            .margin = margin)
CONSTRUCTOR(cosine_embedding_loss, COSINE_EMBEDDING, ARGUMENTS(double margin), .reduction = reduction,
            .margin = margin)
CONSTRUCTOR(soft_margin_loss, SOFT_MARGIN, (tg_runtime * rt, tg_reduction reduction), .reduction = reduction)
CONSTRUCTOR(multi_margin_loss, MULTI_MARGIN, ARGUMENTS(int64_t p, double margin, tg_tensor *weight),
            .reduction = reduction, .power = p, .margin = margin, .weight = weight)
CONSTRUCTOR(multilabel_margin_loss, MULTILABEL_MARGIN, (tg_runtime * rt, tg_reduction reduction),
            .reduction = reduction)
CONSTRUCTOR(multilabel_soft_margin_loss, MULTILABEL_SOFT_MARGIN, ARGUMENTS(tg_tensor *weight),
            .reduction = reduction, .weight = weight)
CONSTRUCTOR(triplet_margin_loss, TRIPLET_MARGIN, ARGUMENTS(double margin, double p, double eps, bool swap),
            .reduction = reduction, .margin = margin, .p = p, .eps = eps, .swap = swap)
CONSTRUCTOR(triplet_margin_with_distance_loss, distance ? TRIPLET_BY_FUNCTION : TRIPLET_WITH_DISTANCE,
            ARGUMENTS(tg_distance_fn distance, void *arg, double margin, bool swap), .reduction = reduction,
            .distance = distance, .arg = arg, .margin = margin, .swap = swap)
CONSTRUCTOR(ctc_loss, CTC, ARGUMENTS(int64_t blank, bool zero_infinity), .reduction = reduction,
            .blank = blank, .zero_infinity = zero_infinity)
CONSTRUCTOR(cosine_similarity, COSINE_SIMILARITY, (tg_runtime * rt, int64_t dim, double eps), .dim = dim,
            .eps = eps)
CONSTRUCTOR(pairwise_distance, PAIRWISE_DISTANCE, (tg_runtime * rt, double p, double eps, bool keepdim),
            .p = p, .eps = eps, .keepdim = keepdim)
