#!/bin/sh
# From a fresh checkout to a trained network: installs what is needed, builds in build/ and trains on Fashion-MNIST.
# The last line is `test accuracy NN.NN % after 5 epochs (backend NAME)`. Arguments go to the example.
set -eu

cd "$(dirname "$0")/.."
sh tools/install-packages.sh
sh tools/build.sh build --buildtype=release
exec build/examples/fashion_mnist --epochs 5 "$@"
