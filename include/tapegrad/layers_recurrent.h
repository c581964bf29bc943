/* Recurrent layers and their cells. What holds for all layers is in layers.h, which includes this. */
#ifndef TAPEGRAD_LAYERS_RECURRENT_H
#define TAPEGRAD_LAYERS_RECURRENT_H

#include <tapegrad/module.h>
#include <tapegrad/ops_nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- RNN, LSTM, GRU ---------------------------------------------------------------------------------- */

enum { TG_RNN_TANH = 0, TG_RNN_RELU = 1 };

typedef struct tg_rnn_options {
    size_t struct_size;
    int64_t input_size, hidden_size; /* each at least 1                                                             */
    int64_t num_layers;              /* 1, up to 10000; each takes the output of the one below                      */
    int64_t nonlinearity;            /* RNN: tanh; or relu                                                          */
    bool bias;                       /* true                                                                        */
    bool batch_first;                /* false                                                                       */
    double dropout;                  /* 0; of each layer's output but the last one's, in train mode. With one layer
                                        it has no effect, and a warning says so                                     */
    bool bidirectional;              /* false; true: a second direction from the end, outputs side by side          */
    int64_t proj_size;               /* LSTM: 0; P below hidden_size: h is weight_hr·h, of P elements               */
} tg_rnn_options;
TG_API tg_rnn_options tg_rnn_defaults(int64_t input_size, int64_t hidden_size);
/* At each step, with x the input and h (and c) the state, σ the sigmoid, all products of vectors elementwise:
 *   RNN   h = tanh(W_ih·x + b_ih + W_hh·h + b_hh), or relu. Elman 1990
 *   LSTM  i, f, o = σ and g = tanh of four such sums; c = f·c + i·g; h = o·tanh(c). Hochreiter, Schmidhuber 1997
 *   GRU   r, z = σ of two such sums, n = tanh(W_in·x + b_in + r·(W_hn·h + b_hn)); h = (1 − z)·n + z·h. Cho et al. 2014
 * Parameters, for each layer K weight_ih_lK [G·H, in], weight_hh_lK [G·H, H or P], bias_ih_lK, bias_hh_lK [G·H], weight_hr_lK
 * [P, H], then the same with _reverse; G = 4 gates in the order i, f, g, o (LSTM), 3 in the order r, z, n (GRU), or 1. All
 * from U(−1/√H, 1/√H).
 * Inputs: input [T, N, in], with batch_first [N, T, in], without a batch [T, in], at least one step; hx [layers·directions, N,
 * H or P], without a batch no N, and for an LSTM cx [layers·directions, N, H]: NULL for zeros, both or none; lengths: NULL, or
 * i64 [N], how many steps, 1 to T, each sequence of the batch has, in any order. Outputs: each step's h of the last layer, as
 * input with directions·(H or P) columns; the last h and, of an LSTM, the last c, as hx and cx.
 * lengths stand for torch's pack_padded_sequence (enforce_sorted=False) and pad_packed_sequence: what is behind a sequence's
 * end has no effect and no gradient, its output is 0, the last states are those of its end, and the second direction
 * begins there. One outside 1 … T is TG_EINVAL before anything is computed from it.
 * TG_ESHAPE, TG_EDTYPE.
 *     tg_tensor *out[3];
 *     tg_forward_n(tape, lstm, (tg_tensor *[]){x, NULL, NULL, lengths}, 4, out, 3);
 * tg_forward takes the input alone and gives the first output. */
TG_API tg_module *tg_nn_rnn(tg_runtime *rt, int64_t input_size, int64_t hidden_size, int64_t num_layers);
TG_API tg_module *tg_nn_lstm(tg_runtime *rt, int64_t input_size, int64_t hidden_size, int64_t num_layers);
TG_API tg_module *tg_nn_gru(tg_runtime *rt, int64_t input_size, int64_t hidden_size, int64_t num_layers);
TG_API tg_module *tg_nn_rnn_with(tg_runtime *rt, const tg_rnn_options *options);
TG_API tg_module *tg_nn_lstm_with(tg_runtime *rt, const tg_rnn_options *options);
TG_API tg_module *tg_nn_gru_with(tg_runtime *rt, const tg_rnn_options *options);

/* -- cells --------------------------------------------------------------------------------------------- */

/* One step of the same: parameters weight_ih, weight_hh, bias_ih, bias_hh. Inputs: input [N, in] or [in], hx, and cx of an
 * LSTMCell, [N, H] or [H], NULL for zeros. Outputs: the next h, and c. By name: bias, and of RNNCell nonlinearity. */
TG_API tg_module *tg_nn_rnn_cell(tg_runtime *rt, int64_t input_size, int64_t hidden_size);
TG_API tg_module *tg_nn_lstm_cell(tg_runtime *rt, int64_t input_size, int64_t hidden_size);
TG_API tg_module *tg_nn_gru_cell(tg_runtime *rt, int64_t input_size, int64_t hidden_size);

#ifdef __cplusplus
}
#endif
#endif
