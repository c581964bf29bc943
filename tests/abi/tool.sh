#!/bin/sh
# tool.sh TAPEGRAD PLUGINS VENDOR_PLUGINS HAVE_BLIS HAVE_ONEDNN: the tapegrad command's answers and exit statuses.
set -u
tool=$1 plugins=$2 vendors=$3 have_blis=$4 have_onednn=$5
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset TAPEGRAD_BACKEND TAPEGRAD_REPORT TAPEGRAD_FALLBACK BLIS_ARCH_TYPE
export TAPEGRAD_BACKEND_PATH="$plugins:$vendors"
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" # libgomp keeps its teams, and that would be the exit status
n=0

# expect WHAT STATUS TEXT COMMAND...: the status, and the text somewhere in what it prints.
expect() {
    what=$1 status=$2 text=$3
    shift 3
    n=$((n + 1))
    output=$("$@" 2>&1)
    got=$?
    if [ "$got" = "$status" ] && case $output in *"$text"*) true ;; *) false ;; esac; then
        echo "ok $n - $what"
    else
        echo "not ok $n - $what"
        echo "status $got, expected $status with '$text':" >&2
        echo "$output" >&2
    fi
}

expect "version" 0 "tapegrad 0." "$tool" version
expect "--version" 0 "tapegrad 0." "$tool" --version
expect "help" 0 "usage: tapegrad" "$tool" help
expect "help of a command" 0 "usage: tapegrad
  kit [--backend PATH.so|NAME] [--operator NAME]" "$tool" help kit
expect "help of a command that is none" 2 "no command 'frobnicate'" "$tool" help frobnicate
for command in backends layers operators optimizers schedulers bench kit report profile summary version help; do
    expect "$command --help" 0 "usage: tapegrad
  $command " "$tool" "$command" --help
    expect "$command -h" 0 "usage: tapegrad
  $command " "$tool" "$command" -h
done
expect "bench --help: the workloads" 0 " tiny mlp cnn resnet18 gpt" "$tool" bench --help
expect "no command" 2 "usage: tapegrad" "$tool"
expect "an unknown command" 2 "usage: tapegrad" "$tool" frobnicate
expect "too many arguments" 2 "usage: tapegrad" "$tool" version twice
expect "backends: the reference" 0 "reference" "$tool" backends
expect "backends: a plug-in" 0 "library Test 1.2.3  kernels portable" "$tool" backends
expect "backends: why one is not loaded" 0 "not loaded: this machine cannot run it: it wants a quantum processor" \
    "$tool" backends
expect "backends: another ABI" 0 "it was built for plug-in ABI 2.0" "$tool" backends
expect "backends: the chain" 0 "chain: newerminor,reference" env TAPEGRAD_BACKEND=newerminor "$tool" backends
expect "backends: an unknown one" 1 'unknown backend "fpga"' env TAPEGRAD_BACKEND=fpga "$tool" backends
expect "backends: what there is instead" 1 "reference    loaded  library" env TAPEGRAD_BACKEND=fpga "$tool" backends
expect "backends: threads" 0 "threads 3" env TAPEGRAD_NUM_THREADS=3 "$tool" backends
if [ "$have_blis" = 1 ]; then
    expect "backends: BLIS" 0 "library BLIS " env TAPEGRAD_BACKEND=blis "$tool" backends
fi
if [ "$have_onednn" = 1 ]; then
    expect "backends: oneDNN" 0 "library oneDNN " env TAPEGRAD_BACKEND=onednn "$tool" backends
fi
expect "layers" 0 "Linear(in_features, out_features, bias=True)" "$tool" layers
expect "one layer" 0 "the batch's" "$tool" layers BatchNorm1d
expect "one layer: an argument" 0 "    eps                        float  1e-05       added to the variance" \
    "$tool" layers BatchNorm1d
expect "one layer: one that is required" 0 "num_features               int    required    channels" \
    "$tool" layers BatchNorm1d
expect "one layer: a choice" 0 "'none'      none: with erf; tanh: the approximation; one of none|tanh" "$tool" layers GELU
expect "one layer: its call" 0 "in  query, key (may be NULL), value (may be NULL), key_padding_mask (may be NULL)" \
    "$tool" layers MultiheadAttention
expect "one layer: its state" 0 "    running_mean                         buffer     f32[3]" "$tool" layers BatchNorm1d
expect "one layer: its parts' state" 0 "layers.0.self_attn.out_proj.weight   parameter  f32[4, 4]" \
    "$tool" layers TransformerEncoder
expect "one layer: one that draws" 0 "train may draw random numbers" "$tool" layers Dropout
expect "one layer: buffers" 0 "buffers: train may move them" "$tool" layers BatchNorm2d
expect "one layer: the same in both modes" 0 "the same in both" "$tool" layers Linear
expect "one layer: no second derivative" 0 "differentiable once" "$tool" layers CTCLoss
expect "one layer: a container" 0 "cannot be called" "$tool" layers ModuleList
expect "an unknown layer" 1 "no layer 'Conv9d'" "$tool" layers Conv9d
expect "a layer in other capitals" 1 "no layer 'dropout'; did you mean 'Dropout'?" "$tool" layers dropout
expect "operators" 0 "matmul()  [2 inputs]" "$tool" operators
expect "operators: optional inputs and scalars" 0 "linear()  [3 inputs (optional: 3)]" "$tool" operators linear
expect "operators: in groups" 0 "[groups of 2 inputs, 2 run-time scalars a group]" "$tool" operators sgd_step
expect "operators: any number" 0 "[at least 1 input]" "$tool" operators
expect "operators as kernels see them" 0 "convolution_backward_weights, version 1" "$tool" operators --abi
expect "operators as kernels see them: an attribute" 0 "    at   0  int64_t  dim   " "$tool" operators --abi softmax
expect "operators as kernels see them: one written" 0 "in[0]: written in place" "$tool" operators --abi sgd_step
expect "operators as kernels see them: an unknown one" 1 "no operator 'soft'" "$tool" operators --abi soft
expect "operators as kernels see them: two" 2 "usage: tapegrad" "$tool" operators --abi add mul
expect "one operator: its functions" 0 "called by tg_sum, tg_sum_dims" "$tool" operators sum
expect "one operator: no derivative" 0 "has no derivative" "$tool" operators argmax
expect "one operator: a view" 0 "a view: shares" "$tool" operators permute
expect "no operator but a function" 0 "einsum is no row: tg_einsum is a function" "$tool" operators einsum
expect "an unknown operator" 1 "no operator" "$tool" operators matmull
expect "optimizers" 0 "betas=(0.9, 0.999)" "$tool" optimizers
expect "one optimizer" 0 "    momentum                   float  0           " "$tool" optimizers SGD
expect "an unknown optimizer" 1 "no optimizer 'adam'; did you mean 'Adam'?" "$tool" optimizers adam
expect "a scheduler is no optimizer" 1 "no optimizer 'StepLR'" "$tool" optimizers StepLR
expect "schedulers" 0 "CosineAnnealingLR(T_max, eta_min=0, last_epoch=-1)" "$tool" schedulers
expect "schedulers: all of one" 0 "base_momentum=(0.85), max_momentum=(0.95)" "$tool" schedulers OneCycleLR
expect "one scheduler" 0 "    step_size                  int    required    " "$tool" schedulers StepLR
expect "an unknown scheduler" 1 "no scheduler 'WarmUp'" "$tool" schedulers WarmUp
header='{"__metadata__":{"tapegrad.module":"{\"class\":\"Sequential\",\"children\":[{\"name\":\"act\",\"class\":\"ReLU\"}]}"}}'
{ printf "\\$(printf %o ${#header})\\0\\0\\0\\0\\0\\0\\0" && printf %s "$header"; } > "$folder/model"
expect "summary" 0 "  act ReLU  f32[2, 3]           0              0        24 B            0 B  train  -" \
    "$tool" summary "$folder/model" --input 2x3
expect "summary: eval, another dtype" 0 "f64[7]           0              0        56 B            0 B  eval  -" \
    "$tool" summary --eval --input 7:f64 "$folder/model"
expect "summary: the model's error" 1 "called with 2 inputs" "$tool" summary "$folder/model" --input 2 --input 3
expect "summary: no file" 2 "which file?" "$tool" summary --input 2x3
expect "summary: no input" 2 "which --input?" "$tool" summary "$folder/model"
expect "summary: bad dims" 2 "not '2x'" "$tool" summary "$folder/model" --input 2x
expect "summary: a bad dtype" 2 "not '2:f80'" "$tool" summary "$folder/model" --input 2:f80
expect "summary: two files" 2 "not also 'b'" "$tool" summary "$folder/model" b --input 2
expect "summary: another option" 2 "there is no option '--test'" "$tool" summary --test
expect "summary: no such file" 1 "No such file" "$tool" summary "$folder/none" --input 2
expect "bench: an unknown workload" 2 "no workload 'huge'" "$tool" bench huge
export TAPEGRAD_BACKEND=reference
expect "bench tiny" 0 "tiny           train " "$tool" bench tiny
expect "bench: peak memory" 0 "peak RSS MB " "$tool" bench tiny
export TAPEGRAD_REPORT="$folder/report" TAPEGRAD_BACKEND=good
expect "bench on a chain with fallbacks" 0 "good,reference" "$tool" bench tiny
unset TAPEGRAD_REPORT TAPEGRAD_BACKEND
expect "report: fallbacks" 0 "fallbacks:" "$tool" report "$folder/report"
expect "report: the operators" 0 "linear " "$tool" report "$folder/report"
expect "report: no such file" 1 "No such file" "$tool" report "$folder/none"
expect "report: not a report" 1 "is no report" "$tool" report "$0"
echo "1..$n"
