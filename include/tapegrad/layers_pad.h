/* Padding. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_PAD_H
#define TAPEGRAD_LAYERS_PAD_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- padding: of the last one to three dims, the same in both modes ----------------------------------- */

/* `padding` has two entries for each of the last n dims: elements more (negative: less) before and after the last one, then of
 * the one before it, … By name also one number for all ends. Filled with `value` (TG_PAD_CONSTANT; any leading dims), or, for
 * [N, C, *] and [C, *], with x's elements: its mirror image, its last ones again, those of the other end. TG_ESHAPE where
 * there are too few of them. See tg_pad.
 *     tg_module *pad = tg_nn_reflection_pad2d(rt, (int64_t[]){1, 1, 2, 2}); */
TG_API tg_module *tg_nn_pad(tg_runtime *rt, int n, tg_pad_mode mode, const int64_t *padding, double value);
/* clang-format off */
#define tg_nn_constant_pad1d(rt, ...) tg_nn_pad(rt, 1, TG_PAD_CONSTANT, __VA_ARGS__) /* padding, value */
#define tg_nn_constant_pad2d(rt, ...) tg_nn_pad(rt, 2, TG_PAD_CONSTANT, __VA_ARGS__)
#define tg_nn_constant_pad3d(rt, ...) tg_nn_pad(rt, 3, TG_PAD_CONSTANT, __VA_ARGS__)
#define tg_nn_zero_pad1d(rt, ...) tg_nn_pad(rt, 1, TG_PAD_CONSTANT, __VA_ARGS__, 0)  /* padding */
#define tg_nn_zero_pad2d(rt, ...) tg_nn_pad(rt, 2, TG_PAD_CONSTANT, __VA_ARGS__, 0)
#define tg_nn_zero_pad3d(rt, ...) tg_nn_pad(rt, 3, TG_PAD_CONSTANT, __VA_ARGS__, 0)
#define tg_nn_reflection_pad1d(rt, ...) tg_nn_pad(rt, 1, TG_PAD_REFLECT, __VA_ARGS__, 0)
#define tg_nn_reflection_pad2d(rt, ...) tg_nn_pad(rt, 2, TG_PAD_REFLECT, __VA_ARGS__, 0)
#define tg_nn_reflection_pad3d(rt, ...) tg_nn_pad(rt, 3, TG_PAD_REFLECT, __VA_ARGS__, 0)
#define tg_nn_replication_pad1d(rt, ...) tg_nn_pad(rt, 1, TG_PAD_REPLICATE, __VA_ARGS__, 0)
#define tg_nn_replication_pad2d(rt, ...) tg_nn_pad(rt, 2, TG_PAD_REPLICATE, __VA_ARGS__, 0)
#define tg_nn_replication_pad3d(rt, ...) tg_nn_pad(rt, 3, TG_PAD_REPLICATE, __VA_ARGS__, 0)
#define tg_nn_circular_pad1d(rt, ...) tg_nn_pad(rt, 1, TG_PAD_CIRCULAR, __VA_ARGS__, 0)
#define tg_nn_circular_pad2d(rt, ...) tg_nn_pad(rt, 2, TG_PAD_CIRCULAR, __VA_ARGS__, 0)
#define tg_nn_circular_pad3d(rt, ...) tg_nn_pad(rt, 3, TG_PAD_CIRCULAR, __VA_ARGS__, 0)
/* clang-format on */

#ifdef __cplusplus
}
#endif
#endif
