/* A convolution, and its gradient by the data, as a product of matrices: the depth runs over channels and the places of
 * the kernel, the columns over positions. For the backends; includes nothing but the plug-in ABI. */
#ifndef TG_CONV_VIEW_H
#define TG_CONV_VIEW_H

#include <tapegrad/backend_abi.h>
#include <tapegrad/op_attrs.h>

/* Always with three spatial dims: those that are missing have size 1 and come first. */
typedef struct tg_conv {
    int64_t batch, groups, o, c; /* channels of a group, at the windows and at the elements */
    int64_t in[3], kernel[3], out[3], stride[3], padding[3], dilation[3];
    int64_t ins, places, outs;   /* the products of in, kernel and out                      */
} tg_conv;

/* What is read at position j and place t of the kernel: element start + j·step + t·apart along each dim, zero outside.
 * Place t is the kernel's at + t·each. What is written is element first + j·stride. */
typedef struct tg_conv_view {
    int64_t size[3], count[3], step[3], start[3]; /* of the source; positions */
    int64_t taps[3], apart[3], at[3], each[3];
    int64_t to[3], first[3], stride[3];           /* of the destination       */
    int64_t positions, depth, source, kernel[3];
    int64_t a_row, a_channel;                     /* strides in the weights   */
} tg_conv_view;

/* One step of the depth: the offsets of its weight and of its channel's elements, and the window's. */
typedef struct tg_conv_tap {
    int64_t a, plane, start[3];
} tg_conv_tap;

static inline int64_t tg_conv_product(const int64_t *v)
{
    return v[0] * v[1] * v[2];
}

/* `x`, `weight`, `y`: the descriptors of what convolution reads and writes; the kernel's dims where weight is NULL. */
static inline tg_conv tg_conv_make(const tg_convolution_attrs *a, const tg_desc *x, const tg_desc *weight,
                                   const tg_desc *y)
{
    tg_conv v = {.batch = x->dim[0],
                 .groups = a->groups,
                 .o = y->dim[1] / a->groups,
                 .c = x->dim[1] / a->groups};
    const int n = (int)a->stride.n;
    for (int d = 0; d < 3; d++) {
        const int k = d - (3 - n);
        v.in[d] = k < 0 ? 1 : x->dim[2 + k];
        v.out[d] = k < 0 ? 1 : y->dim[2 + k];
        v.kernel[d] = k < 0 ? 1 : weight->dim[2 + k];
        v.stride[d] = k < 0 ? 1 : a->stride.v[k];
        v.padding[d] = k < 0 ? 0 : a->padding.v[k];
        v.dilation[d] = k < 0 ? 1 : a->dilation.v[k];
    }
    v.ins = tg_conv_product(v.in);
    v.outs = tg_conv_product(v.out);
    v.places = tg_conv_product(v.kernel);
    return v;
}

static inline tg_conv_view tg_conv_forward(const tg_conv *c)
{
    tg_conv_view v = {.positions = c->outs,
                      .depth = c->c * c->places,
                      .source = c->ins,
                      .a_row = c->c * c->places,
                      .a_channel = c->places};
    for (int d = 0; d < 3; d++) {
        v.size[d] = c->in[d];
        v.count[d] = v.to[d] = c->out[d];
        v.step[d] = c->stride[d];
        v.start[d] = -c->padding[d];
        v.taps[d] = v.kernel[d] = c->kernel[d];
        v.apart[d] = c->dilation[d];
        v.each[d] = v.stride[d] = 1;
    }
    return v;
}

/* How many views the gradient by the data takes: elements whose places are equal modulo the stride see the same places
 * of the kernel, and no others. */
static inline int64_t tg_conv_classes(const tg_conv *c)
{
    int64_t n = 1;
    for (int d = 0; d < 3; d++)
        n *= c->stride[d] < c->in[d] ? c->stride[d] : c->in[d];
    return n;
}

static inline tg_conv_view tg_conv_backward(const tg_conv *c, int64_t class)
{
    tg_conv_view v = {.source = c->outs, .a_row = c->places, .a_channel = c->c * c->places, .positions = 1};
    v.depth = c->o;
    for (int d = 2; d >= 0; d--) {
        const int64_t s = c->stride[d], n = s < c->in[d] ? s : c->in[d], r = n ? class % n : 0;
        int64_t g = s, rest = c->dilation[d], k = 0;
        class = n ? class / n : 0;
        while (rest) {
            const int64_t t = g % rest;
            g = rest;
            rest = t;
        }
        while (k < c->kernel[d] && k < s / g && (r + c->padding[d] - k * c->dilation[d]) % s)
            k++;
        const int64_t from = r + c->padding[d] - k * c->dilation[d];
        v.to[d] = c->in[d];
        v.first[d] = r;
        v.stride[d] = s;
        v.count[d] = c->in[d] > r ? (c->in[d] - r - 1) / s + 1 : 0;
        v.size[d] = c->out[d];
        v.step[d] = 1;
        v.kernel[d] = c->kernel[d];
        v.at[d] = k;
        v.each[d] = s / g;
        v.apart[d] = -(c->dilation[d] / g);
        if (k < c->kernel[d] && from % s == 0) {
            v.taps[d] = (c->kernel[d] - 1 - k) / v.each[d] + 1;
            v.start[d] = from / s;
        }
        v.positions *= v.count[d];
        v.depth *= v.taps[d];
    }
    return v;
}

/* Steps [first, first + n) of the depth. */
static inline void tg_conv_taps(const tg_conv_view *v, int64_t first, int64_t n, tg_conv_tap *out)
{
    int64_t at[3], t = first;
    for (int d = 2; d >= 0; d--) {
        at[d] = t % v->taps[d];
        t /= v->taps[d];
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t place = 0;
        for (int d = 0; d < 3; d++) {
            place = place * v->kernel[d] + v->at[d] + at[d] * v->each[d];
            out[i].start[d] = v->start[d] + at[d] * v->apart[d];
        }
        out[i].a = t * v->a_channel + place;
        out[i].plane = t * v->source;
        int d = 2;
        while (d >= 0 && ++at[d] == v->taps[d])
            at[d--] = 0;
        t += d < 0;
    }
}

#endif
