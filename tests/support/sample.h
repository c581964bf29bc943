/* Draws the inputs that a row's or a layer's samples describe (operator.h: ranges, kinks, ties, views). */
#ifndef TG_TESTS_SAMPLE_H
#define TG_TESTS_SAMPLE_H

#include <tapegrad/operator.h>

enum {
    SAMPLE_ALL_STRIDED = 1u, /* every input with dims as a transposed, gapped view                  */
    SAMPLE_EMPTY = 2u,       /* dim 0 of every input that has one becomes 0                         */
    SAMPLE_NAN = 4u,         /* the first element of every floating input is NaN                    */
    SAMPLE_LARGE = 8u,       /* dims above 1 times one factor, to some 40 000 elements             */
    SAMPLE_ODD = 32u,        /* dims above 1 times 7 or 3: multiples of no vector's length          */
    SAMPLE_SIXTEEN = 128u,   /* dims 0 and 1 times 16: multiples of a block of channels             */
    SAMPLE_BLOCKED = 64u,    /* every input in the backend's own layout, where it has one          */
    SAMPLE_ZERO = 256u,      /* … is 0                                                              */
    SAMPLE_ONES = 512u,      /* floating inputs are all 1 …                                         */
    SAMPLE_MARK = 1024u,     /* … but for the first element of each, which is 2                     */
    SAMPLE_ROUND_F32 = 16u   /* floating values are those that f32 can hold, also in f64            */
};

typedef struct sample_set {
    size_t n;
    tg_tensor *in[TG_SAMPLE_IN]; /* NULL: absent; floating ones want a gradient unless NO_GRAD */
    void *memory[TG_SAMPLE_IN];  /* of the strided ones                                         */
} sample_set;

/* What the sample's text says; the process ends where it cannot be read. */
tg_sample_inputs sample_inputs(const tg_sample *sample);

/* The same (sample, seed) gives the same values in every dtype. False: tg_error_message says why. */
bool sample_draw(sample_set *set, tg_runtime *rt, const tg_sample *sample, tg_dtype dtype, uint64_t seed,
                 unsigned how);
void sample_free(sample_set *set);

/* All elements as doubles, row-major, malloc'd; NULL for a stale tensor. */
double *sample_values(const tg_tensor *tensor, size_t *n);

/* A uniform number in [0, 1) that depends on nothing but *state. */
double sample_random(uint64_t *state);

/* Sets the gradient check's tolerances for a sample. */
void sample_tolerance(const tg_sample *sample, double *rtol, double *atol);

#endif
