"""Prints a program that runs linalg kernels on fixed data and prints one hash per buffer.

The same program, once lowered by convert-linalg-to-vector-loops and once by upstream's scalar
loops, must print the same. With --reference the payload of contractions is a fused multiply-add.
Buffers lie inside guarded memory that is part of the hash, so writes out of bounds show.
"""

from __future__ import annotations

import argparse

from cases import ELEMENT_BYTES, Buffer, Case, all_cases

GUARD_BYTES = 256

HELPERS = """
func.func private @hash_bytes(%m: memref<?xi8>) -> i64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %basis = arith.constant 1469598103934665603 : i64
  %prime = arith.constant 1099511628211 : i64
  %n = memref.dim %m, %c0 : memref<?xi8>
  %h = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %basis) -> i64 {
    %byte = memref.load %m[%i] : memref<?xi8>
    %wide = arith.extui %byte : i8 to i64
    %x = arith.xori %acc, %wide : i64
    %y = arith.muli %x, %prime : i64
    scf.yield %y : i64
  }
  return %h : i64
}
func.func private @noise(%i: index, %seed: i32) -> i32 {
  %a = arith.constant 1664525 : i32
  %b = arith.constant 1013904223 : i32
  %c = arith.constant 22695477 : i32
  %d = arith.constant 16 : i32
  %n = arith.index_cast %i : index to i32
  %0 = arith.muli %n, %a : i32
  %1 = arith.addi %0, %seed : i32
  %2 = arith.muli %1, %c : i32
  %3 = arith.addi %2, %b : i32
  %4 = arith.shrui %3, %d : i32
  %5 = arith.xori %3, %4 : i32
  %6 = arith.muli %5, %a : i32
  return %6 : i32
}
"""


def convert(element: str) -> list[str]:
    """Instructions that turn the i32 %r into a small value %x of the element type."""
    if element.startswith(("f", "bf")):
        via = [
            "%s8 = arith.constant 8 : i32",
            "%q = arith.shrsi %r, %s8 : i32",
            "%f = arith.sitofp %q : i32 to f32",
            "%scale = arith.constant 1.1920929e-07 : f32",
        ]
        if element == "f32":
            return [*via, "%x = arith.mulf %f, %scale : f32"]
        cast = "extf" if element == "f64" else "truncf"
        return [
            *via,
            "%y = arith.mulf %f, %scale : f32",
            f"%x = arith.{cast} %y : f32 to {element}",
        ]
    if element == "index":
        return ["%x = arith.index_cast %r : i32 to index"]
    if element == "i32":
        return ["%x = arith.addi %r, %zero : i32"]
    shift = ["%s = arith.constant 13 : i32", "%q = arith.shrsi %r, %s : i32"]
    cast = "extsi" if element == "i64" else "trunci"
    return [*shift, f"%x = arith.{cast} %q : i32 to {element}"]


def fill_function(element: str) -> str:
    body = "\n    ".join(convert(element))
    return f"""
func.func private @fill_{element}(%m: memref<?x{element}>, %seed: i32) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0 : i32
  %n = memref.dim %m, %c0 : memref<?x{element}>
  scf.for %i = %c0 to %n step %c1 {{
    %r = func.call @noise(%i, %seed) : (index, i32) -> i32
    {body}
    memref.store %x, %m[%i] : memref<?x{element}>
  }}
  return
}}"""


def prepare(name: str, buffer: Buffer, seed: int) -> list[str]:
    """Allocates guarded memory, fills it and makes the view of the case's type."""
    count = buffer.span()
    size = count * ELEMENT_BYTES[buffer.element] + 2 * GUARD_BYTES
    flat = f"memref<?x{buffer.element}>"
    lines = [
        f"%{name}_bytes = memref.alloc() {{alignment = 64}} : memref<{size}xi8>",
        f"%{name}_all = memref.cast %{name}_bytes : memref<{size}xi8> to memref<?xi8>",
        f"func.call @fill_i8(%{name}_all, %seed{seed}) : (memref<?xi8>, i32) -> ()",
        f"%{name}_n = arith.constant {count} : index",
        f"%{name}_flat = memref.view %{name}_all[%guard][%{name}_n] : memref<?xi8> to {flat}",
        f"func.call @fill_{buffer.element}(%{name}_flat, %seed{seed}) : ({flat}, i32) -> ()",
    ]
    if buffer.strides is None:
        lines.append(
            f"%{name} = memref.view %{name}_all[%guard][] : memref<?xi8> to {buffer.type()}"
        )
    else:
        sizes = ", ".join(map(str, buffer.shape))
        strides = ", ".join(map(str, buffer.strides))
        offset = "%offset" if buffer.dynamic_offset else str(buffer.offset)
        lines.append(f"%offset_{name} = arith.constant {buffer.offset} : index")
        offset = offset.replace("%offset", f"%offset_{name}")
        lines.append(
            f"%{name} = memref.reinterpret_cast %{name}_flat to offset: [{offset}], "
            f"sizes: [{sizes}], strides: [{strides}] : {flat} to {buffer.type()}"
        )
    return lines


def run_function(case: Case) -> str:
    lines = [f"%guard = arith.constant {GUARD_BYTES} : index"]
    names = [f"b{i}" for i in range(len(case.buffers))]
    for i, (name, buffer) in enumerate(zip(names, case.buffers, strict=True)):
        lines.append(f"%seed{i} = arith.constant {77 * i + len(case.name)} : i32")
        lines += prepare(name, buffer, i)
    types = ", ".join(buffer.type() for buffer in case.buffers)
    arguments = ", ".join(f"%{name}" for name in names)
    lines.append(f"func.call @{case.name}({arguments}) : ({types}) -> ()")
    for name in names:
        lines.append(f"%{name}_h = func.call @hash_bytes(%{name}_all) : (memref<?xi8>) -> i64")
        lines.append(f'vector.print str "{case.name} {name} "')
        lines.append(f"vector.print %{name}_h : i64")
    body = "\n  ".join(lines)
    return f"func.func private @run_{case.name}() {{\n  {body}\n  return\n}}"


def kernel_function(case: Case, reference: bool) -> str:
    arguments = ", ".join(f"%b{i}: {buffer.type()}" for i, buffer in enumerate(case.buffers))
    body = case.reference if reference and case.reference else case.body
    return f"func.func @{case.name}({arguments}) {{\n{body}\n  return\n}}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--group", required=True)
    options = parser.parse_args()
    cases = all_cases(options.group)
    elements = {buffer.element for case in cases for buffer in case.buffers} | {"i8"}
    print(HELPERS)
    for element in sorted(elements):
        print(fill_function(element))
    for case in cases:
        print(f"// {case.reason}")
        print(kernel_function(case, options.reference))
        print(run_function(case))
    calls = "\n  ".join(f"func.call @run_{case.name}() : () -> ()" for case in cases)
    print(f"func.func @main() {{\n  {calls}\n  return\n}}")


if __name__ == "__main__":
    main()
