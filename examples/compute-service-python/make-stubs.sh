#!/bin/sh
# Has protoc make Python's classes for the contract in ./stubs, or in the folder that is named.
# Debian: protobuf-compiler python3-grpcio python3-protobuf. With pip: grpcio protobuf, and protoc from anywhere.
set -eu
here=$(dirname "$0")
root=$here/../..
stubs=${1:-$here/stubs}
mkdir -p "$stubs"
protoc -I "$root/proto" -I "$root/third_party" --python_out="$stubs" \
  "$root"/proto/darkroom/v1/*.proto \
  "$root"/third_party/google/rpc/code.proto \
  "$root"/third_party/google/rpc/status.proto \
  "$root"/third_party/google/rpc/error_details.proto
