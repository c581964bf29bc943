#include "autograd/watch.h"

#include <limits.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *default_alloc(void *arg, size_t size, size_t align)
{
    (void)arg;
    return aligned_alloc(align, size);
}

static void default_free(void *arg, void *ptr)
{
    (void)arg;
    free(ptr);
}

void tg_runtime_log(const tg_runtime *rt, tg_log_level level, const char *format, ...)
{
    if (!rt->log)
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    tg_vformat(text, sizeof text, format, args);
    va_end(args);
    rt->log(rt->log_arg, level, text);
}

/* -- the environment ------------------------------------------------------------------------------------- */

static tg_status read_threads(tg_runtime *rt, int asked)
{
    const char *text = getenv("TAPEGRAD_NUM_THREADS");
    rt->threads = asked > 0 ? asked : omp_get_max_threads();
    if (asked > 0 || !text || !*text)
        return TG_OK;
    char *end;
    long n = strtol(text, &end, 10);
    if (*end || n < 1 || n > TG_MAX_THREADS)
        return tg_fail(NULL, TG_EINVAL, "TAPEGRAD_NUM_THREADS=%s: a number from 1 to %d is expected", text,
                       TG_MAX_THREADS);
    rt->threads = (int)n;
    return TG_OK;
}

static tg_status read_environment(tg_runtime *rt, const tg_runtime_options *o, bool alone)
{
    if (o->threads < 0 || o->threads > TG_MAX_THREADS)
        return tg_fail(NULL, TG_EINVAL, "tg_runtime_open: threads is %d; 0 to %d is expected", o->threads,
                       TG_MAX_THREADS);
    tg_status status = read_threads(rt, o->threads);
    if (!alone)
        return status;
    const char *fallback = getenv("TAPEGRAD_FALLBACK"), *report = getenv("TAPEGRAD_REPORT");
    if (status == TG_OK && fallback && *fallback) {
        rt->fallback_is_error = !strcmp(fallback, "error");
        if (!rt->fallback_is_error && strcmp(fallback, "allow"))
            status =
                tg_fail(NULL, TG_EINVAL, "TAPEGRAD_FALLBACK=%s: 'error' or 'allow' is expected", fallback);
    }
    if (report && *report && strcmp(report, "0")) {
        rt->timed = true;
        rt->report_to_stderr = !strcmp(report, "1");
        if (!rt->report_to_stderr)
            snprintf(rt->report_path, sizeof rt->report_path, "%s", report);
    }
    if (status == TG_OK)
        status = tg_anomaly_environment(rt);
    return status ? status : tg_profile_environment(rt);
}

/* -- open and close -------------------------------------------------------------------------------------- */

static tg_status find_core_rows(tg_runtime *rt)
{
    const struct {
        const char *name;
        const tg_operator **row;
    } wanted[] = {{"contiguous", &rt->rows.contiguous}, {"copy_", &rt->rows.copy_},
                  {"fill_", &rt->rows.fill_},           {"add_", &rt->rows.add_},
                  {"uniform_", &rt->rows.uniform_},     {"normal_", &rt->rows.normal_},
                  {"nonfinite", &rt->rows.nonfinite}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        *wanted[i].row = tg_operator_find(rt, wanted[i].name);
        if (!*wanted[i].row)
            return tg_fail(NULL, TG_EUNKNOWN, "the core row '%s' is not registered", wanted[i].name);
    }
    rt->convolution_is_affine = tg_chain_knows(rt, "convolution", "convolution_affine");
    return TG_OK;
}

static tg_status fill(tg_runtime *rt, const tg_runtime_options *o, bool alone)
{
    if (o->dtype != TG_F32 && o->dtype != TG_F64)
        return tg_fail(NULL, TG_EDTYPE, "tg_runtime_open: dtype %s; f32 or f64 is expected",
                       tg_dtype_name((int32_t)o->dtype));
    tg_status status = tg_home_open(&rt->home, rt, NULL);
    if (status == TG_OK)
        status = read_environment(rt, o, alone);
    if (status == TG_OK)
        status = tg_backends_open(rt, o);
    if (status == TG_OK)
        status = tg_operators_register_builtin(rt);
    if (status == TG_OK)
        status = find_core_rows(rt);
    if (status == TG_OK)
        status = tg_layers_register_builtin(rt);
    return status == TG_OK && alone ? tg_verify_environment(rt, o) : status;
}

static tg_status open_runtime(tg_runtime **out, const tg_runtime_options *options, bool alone)
{
    tg_runtime_options o = *options;
    tg_allocator allocator = o.allocator ? *o.allocator : (tg_allocator){default_alloc, default_free, NULL};
    if (!allocator.alloc || !allocator.free)
        return tg_null(NULL, "tg_runtime_open", "a function of the allocator");
    tg_runtime *rt = tg_alloc_zero(&allocator, sizeof *rt);
    if (!rt)
        return TG_ENOMEM;
    rt->allocator = allocator;
    rt->log = o.log;
    rt->log_arg = o.log_arg;
    rt->dtype = o.dtype;
    rt->random.seed = o.seed;
    bool locked = mtx_init(&rt->lock, mtx_plain) == thrd_success;
    if (!locked || mtx_init(&rt->tape_lock, mtx_plain | mtx_recursive) != thrd_success) {
        if (locked)
            mtx_destroy(&rt->lock);
        tg_free(&allocator, rt);
        return tg_fail(NULL, TG_ENOMEM, "a mutex could not be made");
    }
    tg_status status = fill(rt, &o, alone);
    if (status) {
        rt->report_to_stderr = false;
        rt->report_path[0] = '\0';
        tg_runtime_close(rt);
        return status;
    }
    *out = rt;
    return TG_OK;
}

tg_status tg_runtime_open(tg_runtime **out, const tg_runtime_options *options)
{
    if (!out)
        return tg_null(NULL, "tg_runtime_open", "out");
    *out = NULL;
    tg_runtime_options o = {0};
    if (options) {
        size_t size = options->struct_size ? options->struct_size : offsetof(tg_runtime_options, backends);
        memcpy(&o, options, size < sizeof o ? size : sizeof o);
    }
    return open_runtime(out, &o, true);
}

tg_status tg_runtime_open_beside(tg_runtime **out, const tg_runtime *rt, const tg_runtime_options *options)
{
    tg_runtime_options o = *options;
    o.allocator = &rt->allocator;
    o.threads = rt->threads;
    o.dtype = rt->dtype;
    return open_runtime(out, &o, false);
}

static void write_report(tg_runtime *rt)
{
    if (rt->report_to_stderr)
        tg_runtime_report(rt, stderr);
    FILE *f = rt->report_path[0] ? fopen(rt->report_path, "w") : NULL;
    if (f) {
        tg_runtime_report(rt, f);
        fclose(f);
    } else if (rt->report_path[0]) {
        tg_runtime_log(rt, TG_LOG_ERROR, "TAPEGRAD_REPORT=%s cannot be written", rt->report_path);
    }
}

/* What the program did not destroy goes with the runtime: its handles become stale, not dangling. */
static void free_persistent(tg_runtime *rt)
{
    for (uint32_t s = 0; s < rt->home.n_slots; s++) {
        tg_value *v = tg_home_slot(&rt->home, s);
        if (v->storage && (v->flags & TG_V_OWNER))
            tg_tensor_destroy(tg_handle(v));
    }
}

void tg_runtime_close(tg_runtime *rt)
{
    if (!rt)
        return;
    while (rt->open_tapes)
        tg_tape_close(rt->open_tapes);
    tg_tape_close(rt->tape);
    rt->tape = NULL;
    free_persistent(rt);
    write_report(rt);
    tg_profile_close(rt);
    tg_verify_close(rt);
    tg_backends_close(rt);
    tg_home_close(&rt->home);
    mtx_destroy(&rt->lock);
    mtx_destroy(&rt->tape_lock);
    tg_allocator a = rt->allocator;
    tg_free(&a, rt->operators);
    tg_free(&a, rt->layers);
    tg_free(&a, rt->hooks.at);
    tg_free(&a, rt->report);
    tg_free(&a, rt);
}

/* -- settings -------------------------------------------------------------------------------------------- */

tg_status tg_runtime_set_dtype(tg_runtime *rt, tg_dtype dtype)
{
    if (!rt)
        return tg_null(NULL, "tg_runtime_set_dtype", "the runtime");
    if (dtype != TG_F32 && dtype != TG_F64)
        return tg_fail(NULL, TG_EDTYPE, "tg_runtime_set_dtype: f32 or f64 is expected, not %s",
                       tg_dtype_name((int32_t)dtype));
    rt->dtype = dtype;
    return TG_OK;
}

tg_dtype tg_runtime_dtype(const tg_runtime *rt)
{
    return rt ? rt->dtype : TG_F32;
}

tg_status tg_runtime_set_threads(tg_runtime *rt, int threads)
{
    if (!rt)
        return tg_null(NULL, "tg_runtime_set_threads", "the runtime");
    if (threads < 1 || threads > TG_MAX_THREADS)
        return tg_fail(NULL, TG_EINVAL, "tg_runtime_set_threads: 1 to %d, not %d", TG_MAX_THREADS, threads);
    rt->threads = threads;
    return TG_OK;
}

int tg_runtime_threads(const tg_runtime *rt)
{
    return rt ? rt->threads : 0;
}

const char *tg_runtime_backend(const tg_runtime *rt)
{
    return rt ? rt->chain : "";
}

size_t tg_runtime_backends(tg_runtime *rt, tg_backend_info *out, size_t capacity)
{
    if (!rt)
        return 0;
    mtx_lock(&rt->tape_lock); /* two threads may ask at once, and what is opened may log */
    tg_backends_open_all(rt);
    mtx_unlock(&rt->tape_lock);
    for (size_t i = 0; out && i < rt->n_backends && i < capacity; i++) {
        const tg_loaded *b = &rt->backends[i];
        out[i] = (tg_backend_info){.name = b->name,
                                   .loaded = b->loaded,
                                   .in_chain = b->in_chain,
                                   .reason = b->reason,
                                   .library = b->library,
                                   .kernels = b->kernels,
                                   .path = b->path,
                                   .threads = b->threads,
                                   .n_kernels = b->loaded ? b->backend->n_kernels : 0};
    }
    return rt->n_backends;
}
