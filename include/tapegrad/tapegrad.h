/* Tapegrad: train neural networks in C. This header includes all that a user needs; read in this order:
 *   status.h   errors: one sentence, and the place of your call
 *   types.h    dtypes, modes, descriptors
 *   runtime.h  backends, threads, the generator
 *   tensor.h   tensors: who owns what, reading, writing, initialising
 *   tape.h     one step: recording, going back, transactions
 *   ops.h      operators
 *   module.h   modules: forward, modes, freezing, names
 *   module_tools.h  copies of modules, all parts, the summary
 *   hooks.h    your functions where gradients and modules pass
 *   memory.h   what a tape holds, activation checkpointing
 *   layers.h   torch.nn's layers
 *   optim.h    optimizers, clipping
 *   scheduler.h  learning-rate schedulers
 *   average.h  averages of a model: EMA, SWA
 *   data.h     IDX files, loaders, accuracy
 *   io.h       safetensors, saving and loading
 *   save.h     a training run in one file, to go on from
 *   functional.h  Jacobians, Hessians, products with them, a gradient for each sample
 *   gradcheck.h  is your gradient right?
 *   monitor.h  progress and curves
 * operator.h and layer_class.h are for those who add an operator or a layer; backend_abi.h for a backend.
 *
 * A training loop:
 *     tg_module_train(net);
 *     while (tg_loader_next(train, tape, &batch)) {
 *         tg_tensor *loss = tg_cross_entropy(tape, tg_forward(tape, net, batch.x), batch.y);
 *         tg_backward(tape, loss);
 *         tg_optimizer_step(opt, tape);
 *         if (tg_tape_status(tape) != TG_OK) { fprintf(stderr, "%s\n", tg_tape_error(tape)); break; }
 *     }
 *     tg_module_eval(net);
 */
#ifndef TAPEGRAD_H
#define TAPEGRAD_H

#include <tapegrad/status.h>
#include <tapegrad/types.h>
#include <tapegrad/runtime.h>
#include <tapegrad/tensor.h>
#include <tapegrad/tape.h>
#include <tapegrad/ops.h>
#include <tapegrad/module.h>
#include <tapegrad/module_tools.h>
#include <tapegrad/hooks.h>
#include <tapegrad/layers.h>
#include <tapegrad/memory.h>
#include <tapegrad/optim.h>
#include <tapegrad/scheduler.h>
#include <tapegrad/average.h>
#include <tapegrad/data.h>
#include <tapegrad/io.h>
#include <tapegrad/save.h>
#include <tapegrad/functional.h>
#include <tapegrad/gradcheck.h>
#include <tapegrad/monitor.h>

#endif
