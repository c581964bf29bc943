/* Random calls of registered rows, and what must hold of each. */
#ifndef TG_TESTS_FUZZ_H
#define TG_TESTS_FUZZ_H

#include <tapegrad/operator.h>
#include <tapegrad/tapegrad.h>

enum { FUZZ_IN = 24, FUZZ_OUT = 16, FUZZ_ATTRS = 1024, FUZZ_SCALARS = 64 };

/* Where choices come from: a generator, or the bytes that libFuzzer gives, then zeros. */
typedef struct fuzz_source {
    uint64_t state;
    const uint8_t *bytes; /* NULL: the generator */
    size_t n;
} fuzz_source;
uint64_t fuzz_bits(fuzz_source *s);
/* One of 0 … n − 1. */
int64_t fuzz_below(fuzz_source *s, int64_t n);
bool fuzz_chance(fuzz_source *s, int percent);
double fuzz_uniform(fuzz_source *s, double low, double high);

/* One input: its values, row-major, and how the second call lays them out. */
typedef struct fuzz_input {
    bool absent, foreign; /* foreign: a handle that is no tensor of this tape */
    tg_dtype dtype;
    int ndim;
    int64_t dim[TG_MAX_DIM];
    unsigned repeated;     /* bit d: the values are equal along dim d; the second call expands them */
    int order[TG_MAX_DIM]; /* of the dims in memory, outermost first, in the second call            */
    int64_t gap;           /* elements from one to the next there                                   */
    double low, high;
    bool grad;
    void *values;
    size_t count;
} fuzz_input;

typedef struct fuzz_call {
    const tg_operator *op;
    const tg_sample *sample;
    size_t n_in;
    fuzz_input in[FUZZ_IN];
    bool no_attrs, no_scalars;
    _Alignas(16) unsigned char attrs[FUZZ_ATTRS];
    double scalars[FUZZ_SCALARS];
    uint64_t draw, gy_seed;
    bool second_order;
} fuzz_call;

/* Draws a call of op from one of its samples, changed in up to a few ways. False: no memory. */
bool fuzz_draw(fuzz_call *call, const tg_operator *op, fuzz_source *s);
void fuzz_release(fuzz_call *call);
/* Writes what the call is, one line. */
void fuzz_describe(const fuzz_call *call, FILE *to);

typedef struct fuzz_outcome {
    tg_status status; /* of the call with row-major inputs      */
    bool differentiated;
    char fault[1024]; /* "" where all that must hold does hold  */
} fuzz_outcome;
/* Makes the call, with row-major inputs and with the same values laid out otherwise; the tape is as before.
 */
void fuzz_run(const fuzz_call *call, tg_runtime *rt, tg_tape *tape, fuzz_outcome *out);

/* An allocator that refuses large pieces and fills what it gives with bytes that are never twice the same. */
typedef struct fuzz_memory {
    size_t live, peak, largest; /* largest: of one piece        */
    size_t limit;               /* of one piece; live: 16 times */
    uint64_t calls;
} fuzz_memory;
tg_allocator fuzz_allocator(fuzz_memory *m);

#endif
