/* torch.nn's layers in C.
 *
 * Each constructor returns a module that is yours until a parent takes it over, or NULL on error, with the
 * sentence in tg_error_message(): TG_EINVAL for an argument out of its range, TG_ENOMEM; then nothing has
 * changed, the generator included. A short form takes the arguments that torch.nn requires, `_with` an
 * options struct that the matching …_defaults() has filled; tg_module_create takes every argument by torch's
 * name:
 *     tg_module_create(rt, "GELU", (tg_attr[]){{"approximate", TG_ATTR_CHOICE, {.s = "tanh"}}}, 1)
 *
 * Parameters take the runtime's dtype (tg_runtime_set_dtype). All formulae are torch.nn's; what the two modes
 * do stands in docs/modes.md. */
#ifndef TAPEGRAD_LAYERS_H
#define TAPEGRAD_LAYERS_H

#include <tapegrad/layers_activation.h>
#include <tapegrad/layers_attention.h>
#include <tapegrad/layers_container.h>
#include <tapegrad/layers_conv.h>
#include <tapegrad/layers_dropout.h>
#include <tapegrad/layers_linear.h>
#include <tapegrad/layers_loss.h>
#include <tapegrad/layers_norm.h>
#include <tapegrad/layers_pad.h>
#include <tapegrad/layers_pool.h>
#include <tapegrad/layers_recurrent.h>
#include <tapegrad/layers_shape.h>

#ifndef TG_NO_LOCATION
#include <tapegrad/layers_location.h>
#endif

#endif
