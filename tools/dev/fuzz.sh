#!/usr/bin/env bash
# Runs every fuzz target for so many seconds: fuzz.sh [SECONDS] [TARGET..]. Found inputs are kept
# in build-fuzz/corpus, failures in build-fuzz/failures. Needs libclang-rt-22-dev.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-120}
shift || true
cmake --preset fuzz >/dev/null
ninja -C build-fuzz SpikeQuantFuzzers
corpus=build-fuzz/corpus
[ -d "$corpus" ] || .venv/bin/python test/fuzz/seeds.py "$corpus"
mkdir -p build-fuzz/failures
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cd build-fuzz/fuzz && ls Fuzz*)
status=0
for target in "${targets[@]}"; do
  echo "== $target"
  # A file may say that it is large: that is refused, not allocated.
  "build-fuzz/fuzz/$target" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="build-fuzz/failures/$target-" \
    "$corpus/${target#Fuzz}" 2>&1 | grep -E "ERROR|SUMMARY|runtime error|stat::number|stat::peak" ||
    status=1
  ls build-fuzz/failures/"$target"-* 2>/dev/null && status=1
done
exit $status
