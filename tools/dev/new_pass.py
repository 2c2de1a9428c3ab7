#!/usr/bin/env python3
"""Starts a pass with all its files: declaration, source, entry in CMakeLists.txt, lit test.

usage: new_pass.py {transforms,codegen} NAME SUMMARY [--root FOLDER]

    tools/dev/new_pass.py transforms drop-dead-channels "removes channels of 0 bits"

The pass it makes does nothing yet, builds, and has a test that fails until it is written.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Home:
    """Where the passes of one library are."""

    include: str
    lib: str
    test: str


HOMES = {
    "transforms": Home(
        "spikequant/Dialect/SpikeQuant/Transforms",
        "lib/Dialect/SpikeQuant/Transforms",
        "test/Dialect/SpikeQuant/Transforms",
    ),
    "codegen": Home("spikequant/Codegen", "lib/Codegen", "test/Codegen"),
}

DECLARATION = """def {type} : Pass<"spikequant-{name}", "::mlir::ModuleOp"> {{
  let summary = "{summary}";
  let description = [{{
    What it does, when it refuses, and an example that is also in its test:

    ```mlir
    // before
    // becomes
    // after
    ```
  }}];
}}

"""

SOURCE = """//===- {file} - {summary} {dashes}===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "{include}/Passes.h"

#include "mlir/IR/BuiltinOps.h"

namespace mlir::spikequant {{
#define GEN_PASS_DEF_{macro}
#include "{include}/Passes.h.inc"

namespace {{

struct {type}Pass : impl::{type}Base<{type}Pass> {{
  void runOnOperation() override {{ markAllAnalysesPreserved(); }}
}};

}} // namespace
}} // namespace mlir::spikequant
"""

TEST = """// RUN: sq-opt --spikequant-{name} %s | FileCheck %s

// CHECK-LABEL: func.func @example
// CHECK: what the pass makes of it
func.func @example(%x: tensor<2x8xf32>) -> tensor<2x8xf32> {{
  return %x : tensor<2x8xf32>
}}
"""


def camel_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))


def with_declaration(passes: str, declaration: str) -> str:
    """Before the file's last #endif."""
    head, tail = passes.rsplit("#endif", 1)
    return f"{head}{declaration}#endif{tail}"


def with_source(cmake: str, file: str) -> str:
    """Among the sources of the file's one library, in order."""
    sources = re.findall(r"^  (\w+\.cpp)$", cmake, re.MULTILINE)
    block = "".join(f"  {source}\n" for source in sources)
    if not sources or block not in cmake:
        raise ValueError("its CMakeLists.txt does not list sources one per line")
    return cmake.replace(block, "".join(f"  {s}\n" for s in sorted({*sources, file})))


def plan(root: Path, home: Home, name: str, summary: str) -> dict[Path, str]:
    """Contents by path, new and changed; nothing is written."""
    type_name = camel_case(name)
    file = f"{type_name}.cpp"
    first_line = f"//===- {file} - {summary} ===//"
    words = {
        "name": name,
        "type": type_name,
        "file": file,
        "include": home.include,
        "macro": type_name.upper(),
        "summary": summary,
        "dashes": "-" * max(80 - len(first_line), 0),
    }
    passes = root / "include" / home.include / "Passes.td"
    cmake = root / home.lib / "CMakeLists.txt"
    new = {
        root / home.lib / file: SOURCE.format(**words),
        root / home.test / f"{name}.mlir": TEST.format(**words),
    }
    for path in new:
        if path.exists():
            raise ValueError(f"{path} is there already")
    declaration = DECLARATION.format(**words)
    return new | {
        passes: with_declaration(passes.read_text(), declaration),
        cmake: with_source(cmake.read_text(), file),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", choices=HOMES)
    parser.add_argument("name", help="words with dashes, without the prefix spikequant-")
    parser.add_argument("summary", help="one line, what the pass does")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", arguments.name):
        parser.error(f"'{arguments.name}' is no name like drop-dead-channels")
    if re.search(r'["\\\n]', arguments.summary):
        parser.error("the summary is one line without quotation marks and backslashes")
    try:
        files = plan(arguments.root, HOMES[arguments.library], arguments.name, arguments.summary)
    except (OSError, ValueError) as error:
        print(f"new_pass.py: error: {error}", file=sys.stderr)
        return 1
    for path, text in files.items():
        path.write_text(text)
        print(path.relative_to(arguments.root))
    print("Next: the description in Passes.td, `make docs`, and the test.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
