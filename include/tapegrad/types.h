/* Element types, modes, value descriptors, and the typed attributes that operators, layers, optimizers and
 * schedulers declare. Plain data: this header is also read by plug-ins (backend_abi.h). */
#ifndef TAPEGRAD_TYPES_H
#define TAPEGRAD_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tapegrad/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TG_MAX_DIM 8

/* The numbers are part of the plug-in ABI. Values are f32 or f64; i64 are indices and labels, bool masks (one
 * byte, 0 or 1). The others are reserved: no operator accepts them yet. */
typedef enum tg_dtype {
    TG_F32 = 0,
    TG_F64 = 1,
    TG_BF16 = 2,
    TG_F16 = 3,
    TG_I64 = 4,
    TG_I32 = 5,
    TG_I8 = 6,
    TG_U8 = 7,
    TG_BOOL = 8
} tg_dtype;

/* Train mode updates statistics and drops units; eval mode changes nothing. See docs/modes.md. */
typedef enum tg_mode { TG_TRAIN = 0, TG_EVAL = 1, TG_N_MODES = 2 } tg_mode;

/* 'none', 'mean', 'sum' of torch.nn's losses; 'batchmean' is tg_kl_div's alone. */
typedef enum tg_reduction {
    TG_REDUCE_NONE = 0,
    TG_REDUCE_MEAN = 1,
    TG_REDUCE_SUM = 2,
    TG_REDUCE_BATCHMEAN = 3
} tg_reduction;

typedef struct tg_layout tg_layout; /* a backend's private blocked format */

/* What a value is, never where it lives. Strides count elements and may be 0 (broadcast). Entries past `ndim`
 * are 0, so that two descriptors of the same value are the same bytes. */
typedef struct tg_desc {
    int32_t dtype; /* tg_dtype */
    int32_t ndim;
    int64_t dim[TG_MAX_DIM];
    int64_t stride[TG_MAX_DIM];
    const tg_layout *layout; /* NULL: strided */
    uint64_t reserved[2];
} tg_desc;

/* Bytes of one element; 0 for an unknown dtype. */
TG_API size_t tg_dtype_size(int32_t dtype);
/* "f32", "i64", …; "dtype number N" for an unknown one, until the thread's next such call. */
TG_API const char *tg_dtype_name(int32_t dtype);
/* f32 or f64. */
TG_API bool tg_dtype_is_float(int32_t dtype);
/* The number of elements: the product of the dims, 1 for a scalar (ndim 0). */
TG_API int64_t tg_desc_count(const tg_desc *desc);
/* Fills `out` with the row-major descriptor of these dims. TG_ESHAPE for a rank above TG_MAX_DIM, a negative
 * size or a byte count that overflows 63 bits. */
TG_API tg_status tg_desc_make(tg_desc *out, tg_dtype dtype, const int64_t *dims, size_t ndim);
/* Row-major without gaps? (dims of size 1 may carry any stride; an empty tensor is dense.) */
TG_API bool tg_desc_is_dense(const tg_desc *desc);
/* Writes "f32[128, 784]" (always terminated), returns `buf`. */
TG_API const char *tg_desc_format(const tg_desc *desc, char *buf, size_t size);

/* -- typed attributes ------------------------------------------------------------------------------------ */
typedef enum tg_attr_type {
    TG_ATTR_NONE = 0, /* Python's None, JSON's null                                                     */
    TG_ATTR_INT,      /* int64_t                                                                        */
    TG_ATTR_REAL,     /* double                                                                         */
    TG_ATTR_BOOL,     /* bool                                                                           */
    TG_ATTR_CHOICE,   /* int64_t: the index of a word in tg_attr_spec.choices; given as a string        */
    TG_ATTR_INTS,     /* tg_ints; or one of `choices` for it: TG_INTS_WORD                        */
    TG_ATTR_REALS,    /* tg_reals                                                                       */
    TG_ATTR_TENSOR    /* tg_tensor *: borrowed while the object is made; it keeps a copy                */
} tg_attr_type;

typedef struct tg_ints {
    int64_t n, v[TG_MAX_DIM];
} tg_ints;
typedef struct tg_reals {
    int64_t n;
    double v[TG_MAX_DIM];
} tg_reals;

/* Word number k of `choices` given for a tg_ints: its one entry. */
#define TG_INTS_WORD(k) (INT64_MIN + 1 + (k))

/* A None is stored as these. */
#define TG_NONE_INT INT64_MIN
#define TG_NONE_REAL ((double)__builtin_nan(""))

enum {
    TG_ATTR_REQUIRED = 1u, /* no default                                     */
    TG_ATTR_OPTIONAL = 2u  /* None is legal; see TG_NONE_INT, TG_NONE_REAL   */
};

/* One attribute of an options struct. A table of specs ends with a zeroed one. */
typedef struct tg_attr_spec {
    const char *name;     /* PyTorch's                                                               */
    uint8_t type, flags;  /* a tg_attr_type; TG_ATTR_REQUIRED, TG_ATTR_OPTIONAL                      */
    uint16_t offset;      /* in the options struct                                                   */
    union {               /* the default                                                             */
        double value;       /* of an INT, REAL, BOOL, CHOICE                                         */
        const char *values; /* of INTS, REALS, as text: "0.9, 0.999"; NULL: empty                    */
    };
    const char *choices;  /* CHOICE, or words for INTS: "none|mean|sum"                              */
    const char *doc;      /* one line                                                                */
} tg_attr_spec;

struct tg_tensor;

/* A named value, for construction by name. A STRING is given for a CHOICE. An INT is accepted for a REAL, a
 * single INT or REAL for INTS or REALS. */
typedef struct tg_attr {
    const char *name;
    tg_attr_type type;
    union {
        int64_t i;
        double f;
        bool b;
        const char *s; /* type TG_ATTR_CHOICE */
        tg_ints ints;
        tg_reals reals;
        struct tg_tensor *t;
    } as;
} tg_attr;

#ifdef __cplusplus
}
#endif
#endif
