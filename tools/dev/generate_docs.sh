#!/usr/bin/env bash
# Writes the op and pass references from TableGen to a folder; with --check compares
# them with docs/generated, so that stale documents fail the tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
tblgen=/usr/lib/llvm-22/bin/mlir-tblgen
includes=(-I /usr/lib/llvm-22/include -I include)

generate() {
  mkdir -p "$1"
  "$tblgen" -gen-dialect-doc -dialect=spikequant "${includes[@]}" \
    include/spikequant/Dialect/SpikeQuant/IR/SpikeQuantOps.td |
    sed 's/[[:space:]]*$//' >"$1/Dialect.md"
  local passes name
  for passes in $(git ls-files 'include/*Passes.td'); do
    name=$(basename "$(dirname "$passes")")
    "$tblgen" -gen-pass-doc "${includes[@]}" "$passes" |
      sed 's/[[:space:]]*$//' >"$1/${name}Passes.md"
  done
}

if [ "${1:-}" = --check ]; then
  fresh=$(mktemp -d)
  trap 'rm -rf "$fresh"' EXIT
  generate "$fresh"
  if diff -r "$fresh" docs/generated >/dev/null; then
    echo "PASS generated documents"
  else
    echo "FAIL generated documents: run 'make docs' and commit docs/generated"
    exit 1
  fi
else
  generate "${1:-docs/generated}"
fi
