/* tapegrad layers, operators, optimizers, schedulers: what the registries hold. No list of our own is kept
 * here. */
#include <tapegrad/layer_class.h>
#include <tapegrad/tapegrad.h>

#include "tools/tool.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* -- attributes ------------------------------------------------------------------------------------------ */

static void print_number(FILE *to, double v)
{
    if (isnan(v))
        fputs("None", to);
    else
        fprintf(to, "%.17g", v);
}

/* The shortest text that reads back as the same number. */
static void print_real(FILE *to, double v)
{
    char text[40];
    if (fabs(v) < 1e9 && v == floor(v)) {
        fprintf(to, "%.0f", v);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) {
            fputs(text, to);
            return;
        }
    }
    print_number(to, v);
}

static void print_word(FILE *to, const char *words, int64_t index)
{
    for (; index > 0 && *words; index--) {
        words += strcspn(words, "|");
        words += *words == '|';
    }
    fprintf(to, "'%.*s'", (int)strcspn(words, "|"), words);
}

static void print_default(FILE *to, const tg_attr_spec *a)
{
    switch (a->type) {
    case TG_ATTR_INT:
        if (a->value <= (double)TG_NONE_INT)
            fputs("None", to);
        else
            fprintf(to, "%lld", (long long)a->value);
        break;
    case TG_ATTR_REAL: print_real(to, a->value); break;
    case TG_ATTR_BOOL: fputs(a->value != 0 ? "True" : "False", to); break;
    case TG_ATTR_CHOICE: print_word(to, a->choices ? a->choices : "", (int64_t)a->value); break;
    case TG_ATTR_INTS:
    case TG_ATTR_REALS: fprintf(to, "(%s)", a->values ? a->values : ""); break;
    case TG_ATTR_NONE:
    case TG_ATTR_TENSOR: fputs("None", to); break;
    }
}

/* "(in_features, out_features, bias=True)". */
static void print_signature(const tg_attr_spec *attrs)
{
    putchar('(');
    for (const tg_attr_spec *a = attrs; a && a->name; a++) {
        printf("%s%s", a == attrs ? "" : ", ", a->name);
        if (!(a->flags & TG_ATTR_REQUIRED)) {
            putchar('=');
            print_default(stdout, a);
        }
    }
    putchar(')');
}

static const char *type_name(tg_attr_type type)
{
    static const char *const names[] = {"None", "int", "float", "bool", "str", "ints", "floats", "Tensor"};
    return (size_t)type < sizeof names / sizeof *names ? names[type] : "?";
}

/* A line for each: type, default, what it is. */
static void print_arguments(const tg_attr_spec *attrs)
{
    if (attrs && attrs->name)
        printf("  arguments\n");
    for (const tg_attr_spec *a = attrs; a && a->name; a++) {
        char text[128];
        FILE *f = fmemopen(text, sizeof text, "w");
        if (f && a->flags & TG_ATTR_REQUIRED)
            fputs("required", f);
        else if (f)
            print_default(f, a);
        if (!f || fclose(f))
            snprintf(text, sizeof text, "?");
        printf("    %-26s %-6s %-10s  %s%s%s%s\n", a->name, type_name(a->type), text, a->doc ? a->doc : "",
               a->flags & TG_ATTR_OPTIONAL && !strstr(a->doc ? a->doc : "", "None") && strcmp(text, "None")
                   ? "; or None"
                   : "",
               a->choices ? "; one of " : "", a->choices ? a->choices : "");
    }
}

/* One entry of a registry. */
static void print_entry(const char *name, const tg_attr_spec *attrs, const char *note, const char *doc)
{
    printf("%s", name);
    print_signature(attrs);
    printf("%s%s%s\n", note, doc ? "  " : "", doc ? doc : "");
}

/* -- any registry ---------------------------------------------------------------------------------------- */

typedef struct registry {
    const char *what;                                                  /* a row is, as a sentence names it */
    size_t (*rows)(const tg_runtime *rt, void *list, size_t capacity); /* pointers to them                 */
    const char *(*name)(const void *row);
    void (*print)(tg_runtime *rt, const void *row, bool alone);
    bool (*print_other)(const char *name); /* of what is no row; may be NULL */
} registry;

/* All rows, or the one that is wanted. */
static int show(const registry *r, tg_runtime *rt, const char *wanted)
{
    const size_t n = r->rows(rt, NULL, 0);
    void *list = malloc((n + 1) * sizeof(void *));
    const char *near = NULL; /* the name but for its capitals */
    bool shown = !wanted;
    if (!list)
        return TOOL_FAILED;
    r->rows(rt, list, n);
    for (size_t i = 0; i < n; i++) {
        const void *row;
        memcpy(&row, (const char *)list + i * sizeof row, sizeof row);
        const char *name = r->name(row);
        if (wanted && !strcasecmp(name, wanted))
            near = name;
        if (wanted && strcmp(name, wanted) != 0)
            continue;
        r->print(rt, row, wanted);
        shown = true;
    }
    shown = shown || (!near && r->print_other && r->print_other(wanted));
    if (!shown)
        fprintf(stderr, near ? "tapegrad: there is no %s '%s'; did you mean '%s'?\n" : "tapegrad: there is no %s '%s'\n",
                r->what, wanted, near);
    free(list);
    return shown ? TOOL_OK : TOOL_FAILED;
}

static int show_of_runtime(const registry *r, const char *wanted)
{
    tg_runtime *rt;
    if (tg_runtime_open(&rt, NULL) != TG_OK) {
        fprintf(stderr, "tapegrad: %s\n", tg_error_message());
        return TOOL_FAILED;
    }
    const int status = show(r, rt, wanted);
    tg_runtime_close(rt);
    return status;
}

/* -- layers ---------------------------------------------------------------------------------------------- */

static void print_call(const tg_layer_class *c)
{
    if (c->flags & TG_LAYER_CONTAINER) {
        printf("  holds modules, cannot be called\n");
        return;
    }
    printf("  call\n    in  ");
    for (unsigned i = 0; i < c->n_in; i++) {
        const char *name = c->in_names ? c->in_names[i] : NULL;
        printf("%s%s%s", i ? ", " : "", name ? name : "input",
               c->optional & TG_OP_IN(i) ? " (may be NULL)" : "");
    }
    printf("\n    out %u\n", (unsigned)c->n_out);
    if (c->flags & TG_LAYER_ONCE)
        printf("    differentiable once\n");
}

/* A module with all defaults, what is required taken from the class's first sample; or that sample. */
static tg_module *an_instance(tg_runtime *rt, const tg_layer_class *c, void *attrs)
{
    size_t n = 0, n_given = 0;
    const tg_sample *sample = tg_layer_samples(c, &n);
    const char *from = n ? sample->attrs : NULL;
    tg_attr given[16];
    for (const tg_attr_spec *a = c->attrs; from && a && a->name && n_given < 16; a++) {
        tg_attr *g = &given[n_given];
        if (!(a->flags & TG_ATTR_REQUIRED))
            continue;
        *g = (tg_attr){.name = a->name, .type = a->type};
        switch (a->type) {
        case TG_ATTR_INT: g->as.i = *(const int64_t *)(from + a->offset); break;
        case TG_ATTR_REAL: g->as.f = *(const double *)(from + a->offset); break;
        case TG_ATTR_INTS: g->as.ints = *(const tg_ints *)(from + a->offset); break;
        default: return tg_module_new(rt, c, from);
        }
        n_given++;
    }
    if (!c->attrs_size)
        return tg_module_new(rt, c, NULL);
    if (tg_attrs_fill(c->name, c->attrs, attrs, c->attrs_size, given, n_given) != TG_OK)
        return NULL;
    tg_module *m = tg_module_new(rt, c, attrs);
    return m || !from ? m : tg_module_new(rt, c, from);
}

static void print_named(const char *what, const tg_named_tensors *list)
{
    for (size_t i = 0; list && i < list->n; i++) {
        tg_desc d;
        char text[128];
        if (tg_tensor_desc(list->tensor[i], &d) == TG_OK)
            printf("    %-36s %-10s %s\n", list->name[i], what, tg_desc_format(&d, text, sizeof text));
    }
}

/* "Linear(in_features=3, out_features=2)": with what was required. */
static void print_made(const tg_layer_class *c, const tg_module *m)
{
    const char *attrs = tg_module_attrs(m), *between = "";
    printf("  state of %s(", c->name);
    for (const tg_attr_spec *a = c->attrs; a && a->name; a++) {
        if (!(a->flags & TG_ATTR_REQUIRED))
            continue;
        printf("%s%s=", between, a->name);
        between = ", ";
        if (a->type == TG_ATTR_INT) {
            printf("%lld", (long long)*(const int64_t *)(attrs + a->offset));
        } else if (a->type == TG_ATTR_REAL) {
            print_real(stdout, *(const double *)(attrs + a->offset));
        } else if (a->type == TG_ATTR_INTS) {
            const tg_ints *list = (const tg_ints *)(attrs + a->offset);
            for (int64_t k = 0; k < list->n; k++)
                printf("%s%lld", k ? ", " : "(", (long long)list->v[k]);
            putchar(')');
        } else {
            printf("…");
        }
    }
    printf(")\n");
}

/* What the class and an instance say about train and eval. */
static void print_modes(const tg_layer_class *c, const tg_module *m, const tg_named_tensors *buffers)
{
    const char *said = "  modes\n";
    if (c->flags & TG_LAYER_RANDOM)
        printf("%s    train may draw random numbers, eval never does\n", said), said = "";
    if (c->forward[TG_TRAIN] != c->forward[TG_EVAL])
        printf("%s    train and eval have a forward each\n", said), said = "";
    if (buffers && buffers->n)
        printf("%s    buffers: train may move them, eval never does\n", said), said = "";
    if (tg_module_n_children(m) || c->flags & TG_LAYER_CONTAINER)
        printf("%s    each part runs in its own mode\n", said), said = "";
    if (*said)
        printf("%s    the same in both\n", said);
}

static void print_layer(tg_runtime *rt, const void *row, bool alone)
{
    const tg_layer_class *c = row;
    print_entry(c->name, c->attrs, "", c->doc);
    if (!alone)
        return;
    print_arguments(c->attrs);
    print_call(c);
    void *attrs = calloc(1, c->attrs_size ? c->attrs_size : 1);
    tg_module *m = attrs ? an_instance(rt, c, attrs) : NULL;
    if (m) {
        const tg_named_tensors *parameters = tg_module_parameters(m), *buffers = tg_module_buffers(m);
        print_modes(c, m, buffers);
        if (parameters && buffers && parameters->n + buffers->n) {
            print_made(c, m);
            print_named("parameter", parameters);
            print_named("buffer", buffers);
        }
        tg_module_destroy(m);
    } else {
        printf("  an example cannot be made: %s\n", tg_error_message());
    }
    free(attrs);
}

static size_t layer_rows(const tg_runtime *rt, void *list, size_t capacity)
{
    return tg_layer_list(rt, list, capacity);
}

static const char *layer_name(const void *row)
{
    const tg_layer_class *c = row;
    return c->name;
}

int tool_layers(const char *wanted)
{
    return show_of_runtime(&(registry){"layer", layer_rows, layer_name, print_layer, NULL}, wanted);
}

/* -- operators ------------------------------------------------------------------------------------------- */

/* "  [3 inputs (optional: 2, 3), 2 run-time scalars]": what tg_apply takes. */
static void describe_inputs(const tg_operator *op, char *out, size_t size)
{
    bool any = op->n_in == TG_OP_VARIADIC;
    unsigned n = !any ? op->n_in : op->period ? op->period : 1;
    size_t at = (size_t)snprintf(out, size, "  [%s%u input%s",
                                 !any         ? ""
                                 : op->period ? "groups of "
                                              : "at least ",
                                 n, n == 1 ? "" : "s");
    const char *between = " (optional: ";
    for (unsigned i = 0; i < n && i < 16; i++)
        if (op->optional & TG_OP_IN(i)) {
            at += (size_t)snprintf(out + at, size - at, "%s%u", between, i + 1);
            between = ", ";
        }
    if (op->optional)
        at += (size_t)snprintf(out + at, size - at, ")");
    if (op->n_scalars)
        at += (size_t)snprintf(out + at, size - at, ", %u run-time scalar%s%s", (unsigned)op->n_scalars,
                               op->n_scalars == 1 ? "" : "s", op->period ? " a group" : "");
    snprintf(out + at, size - at, "]");
}

/* The public functions of a row's name; those over a list or dims end in _n, _dims and the like. */
static size_t print_functions(const char *name, const char *before)
{
    static const char *const end[] = {"", "_n", "_dims", "_dim", "_scalar", "_with"};
    void *all = dlopen(NULL, RTLD_LAZY);
    size_t n = 0;
    for (size_t i = 0; all && i < sizeof end / sizeof *end; i++) {
        char symbol[96];
        snprintf(symbol, sizeof symbol, "tg_%.64s%s", name, end[i]);
        if (dlsym(all, symbol))
            printf("%s%s", n++ ? ", " : before, symbol);
    }
    if (all)
        dlclose(all);
    return n;
}

/* Of functions that are made of several rows, like tg_einsum. */
static bool is_function(const char *name)
{
    char before[96];
    snprintf(before, sizeof before, "%.64s is no row: ", name);
    const size_t n = print_functions(name, before);
    if (n)
        printf(n == 1 ? " is a function of the headers that applies others\n"
                      : " are functions of the headers that apply others\n");
    return n;
}

static void print_operator(tg_runtime *rt, const void *row, bool alone)
{
    const tg_operator *op = row;
    char note[160];
    (void)rt;
    describe_inputs(op, note, sizeof note);
    print_entry(op->name, op->attrs, note, op->doc);
    if (!alone)
        return;
    print_arguments(op->attrs_size ? op->attrs : NULL);
    if (print_functions(op->name, "  called by "))
        putchar('\n');
    if (op->n_out != 1)
        printf("  %u outputs\n", (unsigned)op->n_out);
    if (op->flags & TG_OP_VIEW)
        printf("  a view: shares the first input's memory\n");
    if (op->flags & TG_OP_RANDOM)
        printf("  takes a random draw\n");
    if (op->writes)
        printf("  writes in place\n");
    if (op->flags & TG_OP_NONDIFF)
        printf("  has no derivative\n");
}

static size_t operator_rows(const tg_runtime *rt, void *list, size_t capacity)
{
    return tg_operator_list(rt, list, capacity);
}

static const char *operator_name(const void *row)
{
    const tg_operator *op = row;
    return op->name;
}

int tool_operators(const char *wanted)
{
    return show_of_runtime(&(registry){"operator", operator_rows, operator_name, print_operator, is_function}, wanted);
}

/* -- operators as kernels see them ----------------------------------------------------------------------- */

/* "in[0], in[2]", where a group has so many; "" for none. */
static const char *places(const char *what, uint32_t mask, char *text, size_t size)
{
    size_t n = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < 16 && n < size; i++)
        if (mask & 1u << i)
            n += (size_t)snprintf(text + n, size - n, "%s%s[%u]", n ? ", " : "", what, i);
    return text;
}

static void print_places(const char *what, uint32_t mask, const char *sentence)
{
    char text[200];
    if (mask)
        printf("    %s: %s\n", places(what, mask, text, sizeof text), sentence);
}

static void print_shape_of_call(const tg_operator *op)
{
    if (op->n_in != TG_OP_VARIADIC)
        printf("    in %u, out %u", (unsigned)op->n_in, (unsigned)op->n_out);
    else if (op->period)
        printf("    in groups of %u, out %u", (unsigned)op->period, (unsigned)op->n_out);
    else
        printf("    in 1 or more, out %u", (unsigned)op->n_out);
    if (op->n_scalars)
        printf(", %u run-time scalar%s%s", (unsigned)op->n_scalars, op->n_scalars == 1 ? "" : "s",
               op->period ? " for each group" : "");
    putchar('\n');
}

static void print_attributes(const tg_operator *op)
{
    static const char *const types[] = {"?",       "int64_t", "double",   "bool",
                                        "int64_t", "tg_ints", "tg_reals", "?"};
    if (op->attrs_size)
        printf("    attributes, %zu bytes:\n", op->attrs_size);
    for (const tg_attr_spec *a = op->attrs_size ? op->attrs : NULL; a && a->name; a++)
        printf("        at %3u  %-8s %-20s %s%s%s\n", (unsigned)a->offset,
               (size_t)a->type < sizeof types / sizeof *types ? types[a->type] : "?", a->name,
               a->doc ? a->doc : "", a->choices ? "; words counted from 0: " : "",
               a->choices ? a->choices : "");
}

static void print_for_kernels(tg_runtime *rt, const void *row, bool alone)
{
    static const struct {
        uint32_t flag;
        const char *sentence;
    } flags[] = {
        {TG_OP_VIEW, "a view: no kernel"},
        {TG_OP_DENSE, "dense: inputs are row-major"},
        {TG_OP_BROADCAST, "broadcast: inputs have out[0]'s dims, and stride 0 along those that were spread"},
        {TG_OP_POINTWISE, "pointwise: values in a layout come as one row of all their elements"},
        {TG_OP_RANDOM, "random: the run's seed and draw"},
    };
    const tg_operator *op = row;
    (void)rt, (void)alone;
    printf("%s, version %u  %s\n", op->name, (unsigned)op->version, op->doc ? op->doc : "");
    print_shape_of_call(op);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (op->flags & flags[i].flag)
            printf("    %s\n", flags[i].sentence);
    print_places("in", op->optional, "may be NULL");
    print_places("in", op->writes, "written in place, by the pointer in `in`");
    print_places("out", op->kept_out, "for the backward, where nobody else sees it");
    print_places("in", op->saves & 0xffffu, "kept for the rows of the backward");
    print_places("out", op->saves >> 16, "kept for the rows of the backward");
    print_attributes(op);
}

int tool_operators_for_kernels(const char *wanted)
{
    return show_of_runtime(&(registry){"operator", operator_rows, operator_name, print_for_kernels, NULL}, wanted);
}

/* -- optimizers and schedulers --------------------------------------------------------------------------- */

static const char *itself(const void *row)
{
    return row;
}

static void print_attributed(const char *name, const tg_attr_spec *attrs, bool alone)
{
    print_entry(name, attrs, "", NULL);
    if (alone)
        print_arguments(attrs);
}

static void print_optimizer(tg_runtime *rt, const void *row, bool alone)
{
    (void)rt;
    print_attributed(row, tg_optim_attrs(row), alone);
}

static void print_scheduler(tg_runtime *rt, const void *row, bool alone)
{
    (void)rt;
    print_attributed(row, tg_lr_attrs(row), alone);
}

static size_t optimizer_rows(const tg_runtime *rt, void *list, size_t capacity)
{
    (void)rt;
    return tg_optim_list(list, capacity);
}

static size_t scheduler_rows(const tg_runtime *rt, void *list, size_t capacity)
{
    (void)rt;
    return tg_lr_list(list, capacity);
}

int tool_optimizers(const char *wanted)
{
    return show(&(registry){"optimizer", optimizer_rows, itself, print_optimizer, NULL}, NULL, wanted);
}

int tool_schedulers(const char *wanted)
{
    return show(&(registry){"scheduler", scheduler_rows, itself, print_scheduler, NULL}, NULL, wanted);
}
