#!/usr/bin/env bash
# Checks formatting and simple rules; with --fix mends what can be mended.
set -uo pipefail
cd "$(dirname "$0")/../.."
fix=${1:-}
status=0

files() { git ls-files --cached --others --exclude-standard -- "$@"; }

check() {
  local name=$1
  shift
  if "$@"; then echo "PASS lint: $name"; else
    echo "FAIL lint: $name"
    status=1
  fi
}

format_cpp() {
  local mode=(--dry-run --Werror)
  [ "$fix" = --fix ] && mode=(-i)
  files 'include/*.h' 'lib/*.h' 'lib/*.cpp' 'lib/*.c' 'tools/*.cpp' 'tools/*.h' \
    'test/*.cpp' 'test/*.h' 'examples/*.c' 'benchmarks/*.cpp' 'benchmarks/*.h' |
    grep -v 'Runtime/spikequant.h$' | xargs -r clang-format-22 "${mode[@]}"
}

format_python() {
  if [ "$fix" = --fix ]; then
    .venv/bin/ruff format -q . && .venv/bin/ruff check -q --fix .
  else
    .venv/bin/ruff format -q --check . && .venv/bin/ruff check -q .
  fi
}

no_trailing_space() {
  ! files | grep -v '^data/' | xargs grep -nI '[[:space:]]$'
}

short_files() {
  files 'lib/*' 'include/*' 'tools/*' 'python/*.py' |
    xargs wc -l | awk '$2 != "total" && $1 > 600 {print; bad = 1} END {exit bad}'
}

licence_lines() {
  ! files 'include/*.h' 'include/*.td' 'lib/*.cpp' 'lib/*.h' 'lib/*.c' 'tools/*.cpp' \
    'benchmarks/*.cpp' 'benchmarks/*.h' |
    xargs grep -L 'SPDX-License-Identifier' | grep .
}

check clang-format format_cpp
check ruff format_python
check trailing-space no_trailing_space
check file-length short_files
check licence-lines licence_lines
exit $status
