/* Elementwise kernels: a vector loop over contiguous blocks, and a driver that brings values of any strides
 * to it. */
#ifndef TG_REF_MAP_H
#define TG_REF_MAP_H

#include "backends/reference/reference.h"
#include "backends/reference/vector_math.h"

/* Elements in one block. Every loop runs over whole blocks (the driver pads the last one), so that each value
 * meets the same instructions wherever it stands: a vector function and its scalar twin may differ in the
 * last bit. */
#define TG_REF_BLOCK 16

typedef void (*tg_ref_map_fn)(int64_t blocks, void *dst, const void *const src[], const double *scalars);

/* dst = fn(src...): dst is row-major, the inputs have its dims and any strides. At most TG_REF_MAP_SRC
 * inputs. */
#define TG_REF_MAP_SRC 3
tg_status tg_ref_map(const tg_call *c, const tg_run *r, tg_ref_map_fn fn);
/* Picks by the first input's dtype; NULL: the dtype is refused. */
tg_status tg_ref_map_float(const tg_call *c, const tg_run *r, tg_ref_map_fn f32, tg_ref_map_fn f64);

/* For kernels that have such a function within: of f32, of f64. */
extern const tg_ref_map_fn tg_ref_tanh[2], tg_ref_sigmoid[2], tg_ref_relu[2];

/* TG_REF_MAP1(name, SET-UP, STATEMENT): name_f32 and name_f64, where STATEMENT computes y from x, both of
 * type T, and SET-UP may read the run-time scalars k[]; and run_name, the kernel. */
#define TG_REF_LOOP1(name, suffix, TYPE, setup, ...)                                                         \
    TG_REF_CLONES_##suffix static void name##_##suffix(int64_t blocks, void *out, const void *const *in,              \
                                              const double *k)                                               \
    {                                                                                                        \
        typedef TYPE T;                                                                                      \
        T *restrict dst = out;                                                                               \
        const T *restrict src = in[0];                                                                       \
        (void)k;                                                                                             \
        setup;                                                                                               \
        TG_REF_SIMD_LOOP for (int64_t i = 0; i < TG_REF_BLOCK * blocks; i++)                                 \
        {                                                                                                    \
            const T x = src[i];                                                                              \
            T y;                                                                                             \
            __VA_ARGS__;                                                                                     \
            dst[i] = y;                                                                                      \
        }                                                                                                    \
    }
/* The same with two inputs, a and b. */
#define TG_REF_LOOP2(name, suffix, TYPE, setup, ...)                                                         \
    TG_REF_CLONES_##suffix static void name##_##suffix(int64_t blocks, void *out, const void *const *in,              \
                                              const double *k)                                               \
    {                                                                                                        \
        typedef TYPE T;                                                                                      \
        T *restrict dst = out;                                                                               \
        const T *restrict src0 = in[0];                                                                      \
        const T *restrict src1 = in[1];                                                                      \
        (void)k;                                                                                             \
        setup;                                                                                               \
        TG_REF_SIMD_LOOP for (int64_t i = 0; i < TG_REF_BLOCK * blocks; i++)                                 \
        {                                                                                                    \
            const T a = src0[i], b = src1[i];                                                                \
            T y;                                                                                             \
            __VA_ARGS__;                                                                                     \
            dst[i] = y;                                                                                      \
        }                                                                                                    \
    }
#define TG_REF_RUN(name)                                                                                     \
    static tg_status run_##name(tg_backend_state *s, const tg_call *c, const tg_prepared *p,                 \
                                const tg_run *r)                                                             \
    {                                                                                                        \
        (void)s, (void)p;                                                                                    \
        return tg_ref_map_float(c, r, name##_f32, name##_f64);                                               \
    }
#define TG_REF_MAP1(name, setup, ...)                                                                        \
    TG_REF_LOOP1(name, f32, float, setup, __VA_ARGS__)                                                       \
    TG_REF_LOOP1(name, f64, double, setup, __VA_ARGS__)                                                      \
    TG_REF_RUN(name)
#define TG_REF_MAP2(name, setup, ...)                                                                        \
    TG_REF_LOOP2(name, f32, float, setup, __VA_ARGS__)                                                       \
    TG_REF_LOOP2(name, f64, double, setup, __VA_ARGS__)                                                      \
    TG_REF_RUN(name)

#endif
