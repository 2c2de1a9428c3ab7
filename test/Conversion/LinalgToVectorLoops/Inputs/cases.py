"""The kernels that the executed tests run: each with the reason that it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

ELEMENT_BYTES = {
    "i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "index": 8,
    "f16": 2, "bf16": 2, "f32": 4, "f64": 8,
}  # fmt: skip


@dataclass
class Buffer:
    """A memref; strides and offset in elements, None for the identity layout."""

    shape: Sequence[int]
    element: str = "f32"
    strides: Sequence[int] | None = None
    offset: int = 0
    dynamic_offset: bool = False

    def span(self) -> int:
        strides = self.strides
        if strides is None:
            strides = [1] * len(self.shape)
            for i in reversed(range(len(self.shape) - 1)):
                strides[i] = strides[i + 1] * max(self.shape[i + 1], 1)
        reach = sum((size - 1) * step for size, step in zip(self.shape, strides, strict=True))
        return self.offset + max(reach, 0) + 1

    def type(self) -> str:
        dims = "".join(f"{size}x" for size in self.shape)
        if self.strides is None:
            return f"memref<{dims}{self.element}>"
        offset = "?" if self.dynamic_offset else str(self.offset)
        strides = ", ".join(map(str, self.strides))
        return f"memref<{dims}{self.element}, strided<[{strides}], offset: {offset}>>"


@dataclass
class Case:
    name: str
    reason: str
    buffers: Sequence[Buffer]
    body: str
    reference: str | None = None


def generic(
    buffers: Sequence[Buffer],
    maps: Sequence[str],
    iterators: str,
    payload: str,
    loops: int,
    outputs: int = 1,
) -> str:
    """A linalg.generic; maps like "d0, d2", iterators like "ppr"; %x0.. are the elements."""
    dims = ", ".join(f"d{i}" for i in range(loops))
    map_list = ", ".join(f"affine_map<({dims}) -> ({results})>" for results in maps)
    kinds = ", ".join('"parallel"' if kind == "p" else '"reduction"' for kind in iterators)
    inputs = len(buffers) - outputs
    names = [f"%b{i}" for i in range(len(buffers))]
    types = [buffer.type() for buffer in buffers]
    ins = f"ins({', '.join(names[:inputs])} : {', '.join(types[:inputs])})" if inputs else ""
    outs = f"outs({', '.join(names[inputs:])} : {', '.join(types[inputs:])})"
    arguments = ", ".join(f"%x{i}: {buffer.element}" for i, buffer in enumerate(buffers))
    return (
        f"  linalg.generic {{indexing_maps = [{map_list}], iterator_types = [{kinds}]}}\n"
        f"    {ins} {outs} {{\n  ^bb0({arguments}):\n{payload}\n  }}"
    )


def contraction(name: str, reason: str, buffers: Sequence[Buffer], maps: str, loops: str) -> Case:
    """Multiply-add over maps like "mk kn mn"; loops like "m:p n:p k:r" in iteration order."""
    order = [loop.split(":") for loop in loops.split()]
    number = {letter: f"d{i}" for i, (letter, _) in enumerate(order)}
    results = [", ".join(number[c] for c in letters if c != "_") for letters in maps.split()]
    kinds = "".join(kind for _, kind in order)
    element = buffers[2].element
    if element.startswith("i"):
        two = f"%p = arith.muli %x0, %x1 : {element}\n%s = arith.addi %x2, %p : {element}"
    else:
        two = f"%p = arith.mulf %x0, %x1 : {element}\n%s = arith.addf %x2, %p : {element}"
    fused = f"%s = math.fma %x0, %x1, %x2 : {element}"
    if element not in ("f32", "f64"):
        fused = two
    end = f"\nlinalg.yield %s : {element}"
    body, reference = (
        generic(buffers, results, kinds, payload + end, len(order)) for payload in (two, fused)
    )
    return Case(name, reason, buffers, body, reference)


def matmul(m: int, k: int, n: int, reason: str, element: str = "f32") -> Case:
    buffers = [Buffer([m, k], element), Buffer([k, n], element), Buffer([m, n], element)]
    name = f"matmul_{m}x{k}x{n}_{element}"
    return contraction(name, reason, buffers, "mk kn mn", "m:p n:p k:r")


def contractions() -> Iterator[Case]:
    yield matmul(8, 4, 32, "exactly one register tile")
    yield matmul(131, 17, 100, "odd everywhere: row tail of 3, masked columns")
    yield matmul(1, 40, 200, "one row: more vectors, masked columns")
    yield matmul(1, 9, 2100, "one row, many columns: eight vectors")
    yield matmul(1, 200, 100, "one row, large panel: streams; tails of both kinds")
    yield matmul(1, 33, 1000, "streams in several chunks")
    yield matmul(1, 150, 64, "streams without tail of columns", "f64")
    yield contraction(
        "stream_heads", "streams with batch and two reductions, panel first",
        [Buffer([3, 5, 40, 90]), Buffer([5, 3, 40]), Buffer([3, 90])], "bjkn jbk bn",
        "b:p n:p j:r k:r",
    )  # fmt: skip
    yield matmul(2, 9, 70, "two rows")
    yield matmul(3, 9, 33, "three rows, one lane in the last vector")
    yield matmul(7, 9, 31, "fewer columns than one tile")
    yield matmul(9, 5, 15, "fewer columns than one vector; rows 5 + 4")
    yield matmul(40, 5, 1, "one column: no vector along the columns")
    yield matmul(40, 1, 40, "one product per element: no reduction left")
    yield matmul(1, 1, 1, "a single product")
    yield matmul(1, 100, 1, "a dot product is one sequential chain")
    yield matmul(300, 3, 16, "few panels: the rows are divided as well")
    yield matmul(5, 0, 5, "no products: the initial value stays")
    yield matmul(0, 4, 5, "no rows")
    yield matmul(19, 7, 37, "eight lanes of f64", "f64")
    yield matmul(19, 7, 37, "integers", "i32")
    yield matmul(19, 7, 37, "narrow integers wrap around", "i8")
    yield matmul(5, 7, 37, "half precision is not fused", "f16")
    three = [Buffer([3, 20, 6]), Buffer([3, 6, 50]), Buffer([3, 20, 50])]
    yield contraction("batch", "batch outside", three, "bmk bkn bmn", "b:p m:p n:p k:r")
    yield contraction(
        "transposed_rhs", "columns not contiguous in the panel: generic loops",
        [Buffer([20, 6]), Buffer([50, 6]), Buffer([20, 50])], "mk nk mn", "m:p n:p k:r",
    )  # fmt: skip
    yield contraction(
        "transposed_lhs", "scalars of one row tile lie side by side",
        [Buffer([6, 20]), Buffer([6, 50]), Buffer([20, 50])], "km kn mn", "m:p n:p k:r",
    )  # fmt: skip
    yield contraction(
        "swapped", "the first input is the panel",
        [Buffer([6, 50]), Buffer([20, 6]), Buffer([20, 50])], "kn mk mn", "m:p n:p k:r",
    )  # fmt: skip
    yield contraction(
        "two_reductions", "reduction loops nest in order",
        [Buffer([20, 3, 5]), Buffer([5, 3, 40]), Buffer([20, 40])], "mjk kjn mn",
        "m:p n:p j:r k:r",
    )  # fmt: skip
    yield contraction(
        "reduction_first", "the reduction is the outermost loop",
        [Buffer([20, 7]), Buffer([7, 40]), Buffer([20, 40])], "mk kn mn", "k:r m:p n:p",
    )  # fmt: skip
    yield contraction(
        "heads", "two row loops that do not merge, head inside the row",
        [Buffer([20, 3, 6]), Buffer([3, 6, 40]), Buffer([3, 20, 40])], "mhk hkn hmn",
        "h:p m:p n:p k:r",
    )  # fmt: skip
    yield contraction(
        "two_rows", "rows in two loops with a permuted output",
        [Buffer([20, 3, 6]), Buffer([6, 40]), Buffer([3, 20, 40])], "mhk kn hmn",
        "h:p m:p n:p k:r",
    )  # fmt: skip
    yield contraction(
        "matvec", "only rows", [Buffer([40, 6]), Buffer([6]), Buffer([40])], "mk k m", "m:p k:r"
    )
    yield contraction(
        "vecmat", "only columns", [Buffer([6]), Buffer([6, 40]), Buffer([40])], "k kn n", "n:p k:r"
    )
    yield contraction(
        "batch_only", "every parallel loop is a batch: generic loops, fused all the same",
        [Buffer([7, 40]), Buffer([7, 40]), Buffer([40])], "kb kb b", "b:p k:r",
    )  # fmt: skip
    yield contraction(
        "strided", "views with gaps and a dynamic offset, as slices of the cache are",
        [Buffer([20, 6], strides=[9, 1], offset=5, dynamic_offset=True),
         Buffer([6, 40], strides=[64, 1], offset=3),
         Buffer([20, 40], strides=[50, 1], offset=11, dynamic_offset=True)],
        "mk kn mn", "m:p n:p k:r",
    )  # fmt: skip
    yield contraction(
        "strided_output", "no contiguous column anywhere",
        [Buffer([20, 6], strides=[1, 25]), Buffer([6, 40], strides=[2, 12]),
         Buffer([20, 40], strides=[2, 40])],
        "mk kn mn", "m:p n:p k:r",
    )  # fmt: skip
    yield from count_products()
    yield from named_contractions()


def count_product(name: str, reason: str, buffers: Sequence[Buffer], maps: str, loops: str,
                  left: str = "s", right: str = "s") -> Case:
    """Products of i8 in i32; each factor extended as signed or unsigned."""
    order = [loop.split(":") for loop in loops.split()]
    number = {letter: f"d{i}" for i, (letter, _) in enumerate(order)}
    results = [", ".join(number[c] for c in letters) for letters in maps.split()]
    payload = (
        f"%l = arith.ext{left}i %x0 : i8 to i32\n%r = arith.ext{right}i %x1 : i8 to i32\n"
        "%p = arith.muli %l, %r : i32\n%s = arith.addi %x2, %p : i32\nlinalg.yield %s : i32"
    )
    kinds = "".join(kind for _, kind in order)
    return Case(name, reason, buffers, generic(buffers, results, kinds, payload, len(order)))


def counts(left: Sequence[int], right: Sequence[int], out: Sequence[int]) -> list[Buffer]:
    return [Buffer(left, "i8"), Buffer(right, "i8"), Buffer(out, "i32")]


def count_products() -> Iterator[Case]:
    plain = ("mk kn mn", "m:p n:p k:r")
    for signs in ("ss", "us", "su", "uu"):
        yield count_product(
            f"counts_{signs}", "tails of rows, columns and channels, every pair of signs",
            counts([10, 11], [11, 90], [10, 90]), *plain, *signs,
        )  # fmt: skip
    yield count_product(
        "counts_heads", "queries of several heads with keys, as attention has them",
        counts([3, 9, 64], [3, 64, 130], [3, 9, 130]), "hmk hkn hmn", "h:p m:p n:p k:r",
    )  # fmt: skip
    yield count_product(
        "counts_one", "one row; fewer channels than a dot product, fewer columns than a vector",
        counts([3], [3, 5], [5]), "k kn n", "n:p k:r",
    )  # fmt: skip
    yield count_product(
        "counts_swapped", "the panel is the first factor and unsigned",
        counts([12, 70], [5, 12], [5, 70]), "kn mk mn", "m:p n:p k:r", "u", "s",
    )  # fmt: skip
    yield count_product(
        "counts_swapped_biased", "the panel is the first factor, both signed",
        counts([12, 70], [5, 12], [5, 70]), "kn mk mn", "m:p n:p k:r",
    )  # fmt: skip
    yield count_product(
        "counts_transposed", "channels not contiguous: no dot products",
        counts([12, 5], [12, 70], [5, 70]), "km kn mn", "m:p n:p k:r",
    )  # fmt: skip
    yield count_product(
        "counts_rows", "many rows are divided",
        counts([140, 8], [8, 64], [140, 64]), *plain,
    )  # fmt: skip
    yield count_product(
        "counts_strided", "views with gaps",
        [Buffer([9, 12], "i8", strides=[16, 1], offset=5, dynamic_offset=True),
         Buffer([12, 80], "i8", strides=[96, 1], offset=3),
         Buffer([9, 80], "i32", strides=[100, 1], offset=11, dynamic_offset=True)], *plain,
    )  # fmt: skip


def named_contractions() -> Iterator[Case]:
    buffers = [Buffer([9, 8]), Buffer([8, 33]), Buffer([9, 33])]
    types = [buffer.type() for buffer in buffers]
    plain = contraction("named", "", buffers, "mk kn mn", "m:p n:p k:r")
    named = f"  linalg.matmul ins(%b0, %b1 : {types[0]}, {types[1]}) outs(%b2 : {types[2]})"
    yield Case("named_matmul", "named form of a contraction", buffers, named, plain.reference)
    mixed = [Buffer([9, 8], "i8"), Buffer([8, 33], "i8"), Buffer([9, 33], "i32")]
    types = [buffer.type() for buffer in mixed]
    named = f"  linalg.matmul ins(%b0, %b1 : {types[0]}, {types[1]}) outs(%b2 : {types[2]})"
    yield Case("mixed_matmul", "casts inside the payload", mixed, named)
    narrow = [Buffer([9, 8], "f16"), Buffer([8, 33], "f16"), Buffer([9, 33], "f32")]
    types = [buffer.type() for buffer in narrow]
    named = f"  linalg.matmul ins(%b0, %b1 : {types[0]}, {types[1]}) outs(%b2 : {types[2]})"
    yield Case("half_matmul", "casts inside the payload: not fused", narrow, named)


def elementwise(
    name: str,
    reason: str,
    buffers: Sequence[Buffer],
    maps: Sequence[str],
    iterators: str,
    payload: str,
    outputs: int = 1,
) -> Case:
    body = generic(buffers, maps, iterators, payload, len(iterators), outputs)
    return Case(name, reason, buffers, body)


ADD = "%s = arith.addf %x0, %x1 : f32\nlinalg.yield %s : f32"
COPY = "linalg.yield %x0 : f32"
MAXIMUM = "%s = arith.maximumf %x0, %x1 : f32\nlinalg.yield %s : f32"


def maps_of(*texts: str) -> list[str]:
    """ "01 1 01" style letters to map results."""
    return [", ".join(f"d{c}" for c in text) for text in texts]


def simple(name: str, reason: str, shapes: str, maps: str, iterators: str, payload: str) -> Case:
    """Shapes like "20x6 6 20x6" ("-" for rank 0), maps like "01 1 01", all f32."""
    buffers = [
        Buffer([] if text == "-" else [int(size) for size in text.split("x")])
        for text in shapes.split()
    ]
    map_list = maps_of(*[text.replace("-", "") for text in maps.split()])
    return elementwise(name, reason, buffers, map_list, iterators, payload)


def elementwise_cases() -> Iterator[Case]:
    yield simple("add", "merged into one loop", "20x6 20x6 20x6", "01 01 01", "pp", ADD)
    yield simple("add_long", "divided along the strip", "9001 9001 9001", "0 0 0", "p", ADD)
    yield simple("add_rows", "divided into rows, tail", "77x131 131 77x131", "01 1 01", "pp", ADD)
    yield simple("add_column", "scalar per row", "70x33 70 70x33", "01 0 01", "pp", ADD)
    yield simple("few_rows", "rows and strip divided", "3x9999 3 3x9999", "01 0 01", "pp", ADD)
    yield simple("rank0", "no loops", "- - -", "- - -", "", ADD)
    yield simple("splat", "rank 0 broadcast", "- 40 40", "- 0 0", "p", ADD)
    yield simple("empty", "no elements", "0x4 4 0x4", "01 1 01", "pp", ADD)
    yield simple("tiny", "too short for vectors", "3 3 3", "0 0 0", "p", ADD)
    yield simple("units", "unit loops vanish", "1x33x1 33 1x33x1", "012 1 012", "ppp", ADD)
    yield simple("transpose", "gathered lanes", "33x20 20x33", "10 01", "pp", COPY)
    yield simple("transpose3", "inner dimension stays", "5x6x16 6x5x16", "102 012", "ppp", COPY)
    yield simple("transpose_big", "whole blocks and tails", "80x100 100x80", "10 01", "pp", COPY)
    yield simple("transpose_batch", "batch of blocks", "3x64x48 3x48x64", "021 012", "ppp", COPY)
    yield simple("transpose_cube", "all moved", "9x17x33 33x17x9", "210 012", "ppp", COPY)
    yield simple("sum_rows", "reduction inside", "40x50 40", "01 0", "pr", ADD)
    yield simple("sum_columns", "reduction outside", "50x40 40", "01 1", "rp", ADD)
    yield simple("sum_lanes", "the form of partial sums", "20x36x16 20x16", "012 02", "prp", ADD)
    yield simple("sum_all", "no parallel loop", "20x30 -", "01 -", "rr", ADD)
    yield simple("sum_two", "two reductions", "4x20x7x5 20", "0123 1", "rprr", ADD)
    yield simple("max_rows", "reduction inside", "40x50 40", "01 0", "pr", MAXIMUM)
    yield simple("max_all", "no parallel loop", "1000 -", "0 -", "r", MAXIMUM)
    yield simple("max_tail", "odd lengths of a row", "5x37 5", "01 0", "pr", MAXIMUM)
    yield simple("sum_empty", "nothing to reduce", "5x0 5", "01 0", "pr", ADD)
    yield simple("diagonal", "the same loop twice", "20x20 20", "00 0", "p", COPY)
    yield from typed_cases()
    yield from named_cases()


def typed_cases() -> Iterator[Case]:
    yield elementwise(
        "window", "map with a sum of loops: convolution-like",
        [Buffer([42]), Buffer([5]), Buffer([38])], ["d0 + d1", "d1", "d0"], "pr",
        "%p = arith.mulf %x0, %x1 : f32\n%s = arith.addf %x2, %p : f32\nlinalg.yield %s : f32",
    )  # fmt: skip
    yield elementwise(
        "constant_map", "a constant in a map", [Buffer([4, 40]), Buffer([40])], ["2, d0", "d0"],
        "p", COPY,
    )  # fmt: skip
    yield elementwise(
        "modulo_map", "a map that is not linear: scalar loops", [Buffer([4]), Buffer([40])],
        ["d0 mod 4", "d0"], "p", COPY,
    )  # fmt: skip
    yield elementwise(
        "select", "bits in memory", [Buffer([5, 33], "i1"), Buffer([5, 33]), Buffer([5, 33])],
        maps_of("01", "01", "01"), "pp",
        "%s = arith.select %x0, %x1, %x2 : f32\nlinalg.yield %s : f32",
    )  # fmt: skip
    yield elementwise(
        "compare", "bits written",
        [Buffer([5, 33], "i32"), Buffer([33], "i32"), Buffer([5, 33], "i1")],
        maps_of("01", "1", "01"), "pp",
        "%s = arith.cmpi slt, %x0, %x1 : i32\nlinalg.yield %s : i1",
    )  # fmt: skip
    yield elementwise(
        "invert", "bits read and written in views with offsets",
        [Buffer([5, 35], "i1", strides=[40, 1], offset=3, dynamic_offset=True),
         Buffer([5, 35], "i1", strides=[36, 1], offset=1)], maps_of("01", "01"), "pp",
        "%one = arith.constant true\n%s = arith.xori %x0, %one : i1\nlinalg.yield %s : i1",
    )  # fmt: skip
    yield elementwise(
        "casts", "several widths in one payload",
        [Buffer([50], "i8"), Buffer([50], "f64"), Buffer([50], "f32")], maps_of("0", "0", "0"), "p",
        "%a = arith.sitofp %x0 : i8 to f64\n%b = arith.mulf %a, %x1 : f64\n"
        "%s = arith.truncf %b : f64 to f32\nlinalg.yield %s : f32",
    )  # fmt: skip
    yield elementwise(
        "divide", "integer division has no masked lanes",
        [Buffer([50], "i32"), Buffer([50], "i32"), Buffer([50], "i32")], maps_of("0", "0", "0"),
        "p",
        "%one = arith.constant 1 : i32\n%d = arith.ori %x1, %one : i32\n"
        "%s = arith.divsi %x0, %d : i32\nlinalg.yield %s : i32",
    )  # fmt: skip
    yield elementwise(
        "iota", "positions along and across the lanes", [Buffer([7, 35], "i32")], ["d0, d1"], "pp",
        "%i = linalg.index 0 : index\n%j = linalg.index 1 : index\n"
        "%c100 = arith.constant 100 : index\n%a = arith.muli %i, %c100 : index\n"
        "%b = arith.addi %a, %j : index\n%s = arith.index_cast %b : index to i32\n"
        "linalg.yield %s : i32",
    )  # fmt: skip
    yield elementwise(
        "iota_units", "positions of unit loops are 0", [Buffer([1, 35, 1], "i32")], ["d0, d1, d2"],
        "ppp",
        "%i = linalg.index 0 : index\n%j = linalg.index 1 : index\n%k = linalg.index 2 : index\n"
        "%a = arith.addi %i, %k : index\n%b = arith.addi %a, %j : index\n"
        "%s = arith.index_cast %b : index to i32\nlinalg.yield %s : i32",
    )  # fmt: skip
    yield elementwise(
        "arg_max", "two outputs, positions inside a reduction",
        [Buffer([6, 40]), Buffer([6]), Buffer([6], "i32")], maps_of("01", "0", "0"), "pr",
        "%j = linalg.index 1 : index\n%n = arith.index_cast %j : index to i32\n"
        "%c = arith.cmpf ogt, %x0, %x1 : f32\n%m = arith.select %c, %x0, %x1 : f32\n"
        "%p = arith.select %c, %n, %x2 : i32\nlinalg.yield %m, %p : f32, i32",
        outputs=2,
    )  # fmt: skip
    yield elementwise(
        "two_outputs", "two outputs, one permuted",
        [Buffer([20, 17]), Buffer([20, 17]), Buffer([17, 20])], maps_of("01", "01", "10"), "pp",
        "%n = arith.negf %x0 : f32\nlinalg.yield %n, %x0 : f32, f32", outputs=2,
    )  # fmt: skip
    yield elementwise(
        "polynomial", "what an expanded function looks like", [Buffer([9, 70]), Buffer([9, 70])],
        maps_of("01", "01"), "pp",
        "%a = arith.constant 0.693 : f32\n%b = arith.constant 1.442 : f32\n"
        "%f = math.floor %x0 : f32\n%g = math.fma %f, %a, %b : f32\n%h = math.absf %g : f32\n"
        "%q = math.sqrt %h : f32\n%r = math.roundeven %q : f32\n%s = arith.divf %r, %g : f32\n"
        "linalg.yield %s : f32",
    )  # fmt: skip
    yield elementwise(
        "in_place", "the initial value is an operand", [Buffer([50])], ["d0"], "p",
        "%s = arith.addf %x0, %x0 : f32\nlinalg.yield %s : f32",
    )  # fmt: skip
    yield elementwise(
        "strided_add", "views with gaps, columns of a wider array",
        [Buffer([9, 20], strides=[40, 1], offset=7, dynamic_offset=True),
         Buffer([9, 20], strides=[1, 9]), Buffer([9, 20], strides=[31, 1], offset=2)],
        maps_of("01", "01", "01"), "pp", ADD,
    )  # fmt: skip
    yield elementwise(
        "column_store", "an output without contiguous elements",
        [Buffer([50]), Buffer([50]), Buffer([50], strides=[3], offset=1)],
        maps_of("0", "0", "0"), "p", ADD,
    )  # fmt: skip
    yield gather_case()


def gather_case() -> Case:
    buffers = [Buffer([50], "i32"), Buffer([50]), Buffer([64])]
    dims = "affine_map<(d0) -> (d0)>"
    body = (
        f"  linalg.generic {{indexing_maps = [{dims}, {dims}], iterator_types = "
        f'["parallel"]}} ins(%b0 : {buffers[0].type()}) outs(%b1 : {buffers[1].type()}) {{\n'
        "  ^bb0(%i: i32, %o: f32):\n    %mask = arith.constant 63 : i32\n"
        "    %m = arith.andi %i, %mask : i32\n    %n = arith.index_cast %m : i32 to index\n"
        f"    %v = memref.load %b2[%n] : {buffers[2].type()}\n    linalg.yield %v : f32\n  }}"
    )
    return Case("gather", "a load in the payload: scalar loops", buffers, body)


def named_cases() -> Iterator[Case]:
    vector, row = Buffer([37]), Buffer([5, 37])
    yield Case(
        "fill", "a scalar input", [vector],
        "  %c = arith.constant 3.5 : f32\n"
        f"  linalg.fill ins(%c : f32) outs(%b0 : {vector.type()})",
    )  # fmt: skip
    yield Case(
        "memref_copy", "a copy between layouts",
        [row, Buffer([5, 37], strides=[60, 1], offset=9, dynamic_offset=True)],
        "  memref.copy %b0, %b1 : memref<5x37xf32> to "
        "memref<5x37xf32, strided<[60, 1], offset: ?>>",
    )  # fmt: skip
    yield Case(
        "linalg_copy", "bytes", [Buffer([300], "i8"), Buffer([300], "i8")],
        "  linalg.copy ins(%b0 : memref<300xi8>) outs(%b1 : memref<300xi8>)",
    )  # fmt: skip
    yield Case(
        "transpose_op", "named transpose", [Buffer([20, 37]), Buffer([37, 20])],
        "  linalg.transpose ins(%b0 : memref<20x37xf32>) outs(%b1 : memref<37x20xf32>)"
        " permutation = [1, 0]",
    )  # fmt: skip
    yield Case(
        "broadcast_op", "named broadcast", [vector, row],
        "  linalg.broadcast ins(%b0 : memref<37xf32>) outs(%b1 : memref<5x37xf32>)"
        " dimensions = [0]",
    )  # fmt: skip
    yield Case(
        "map_op", "named map", [vector, vector, vector],
        "  linalg.map { arith.subf } ins(%b0, %b1 : memref<37xf32>, memref<37xf32>)"
        " outs(%b2 : memref<37xf32>)",
    )  # fmt: skip
    yield Case(
        "reduce_op", "named reduction", [row, Buffer([37])],
        "  linalg.reduce { arith.addf } ins(%b0 : memref<5x37xf32>) outs(%b1 : memref<37xf32>)"
        " dimensions = [0]",
    )  # fmt: skip
    yield Case(
        "dynamic", "dynamic sizes: scalar loops", [row, row],
        "  %d0 = memref.cast %b0 : memref<5x37xf32> to memref<?x?xf32>\n"
        "  %d1 = memref.cast %b1 : memref<5x37xf32> to memref<?x?xf32>\n"
        "  linalg.abs ins(%d0 : memref<?x?xf32>) outs(%d1 : memref<?x?xf32>)",
    )  # fmt: skip


def random_buffer(random: Random, sizes: Sequence[int], element: str) -> Buffer:
    """Identity layout, or any order of dimensions with gaps and a dynamic offset."""
    if not sizes or random.random() < 0.6:
        return Buffer(sizes, element)
    order = list(range(len(sizes)))
    if random.random() < 0.3:
        random.shuffle(order)
    strides, step = [0] * len(sizes), random.choice([1, 1, 1, 2])
    for dim in reversed(order):
        strides[dim] = step
        step = step * sizes[dim] + random.choice([0, 0, 3])
    return Buffer(sizes, element, strides, random.randrange(9), dynamic_offset=True)


def random_letters(random: Random, letters: str) -> str:
    """The letters in order, or shuffled now and then."""
    shuffled = list(letters)
    if random.random() < 0.4:
        random.shuffle(shuffled)
    return "".join(shuffled)


def random_contraction(random: Random, number: int) -> Case:
    batch, rows, columns, inner = (
        letters[: random.choice(counts)]
        for letters, counts in (("bc", [0, 0, 1, 2]), ("mp", [0, 1, 1, 2]), ("nq", [1, 1, 2]),
                                ("kj", [1, 1, 2]))
    )  # fmt: skip
    loops = random_letters(random, batch + rows + columns + inner)
    size = {letter: random.choice([1, 2, 3, 5, 7, 16, 17, 33]) for letter in loops}
    element = random.choice(["f32", "f32", "f32", "f64", "i32"])
    maps = [
        random_letters(random, text) for text in (batch + rows + inner, batch + inner + columns)
    ]
    random.shuffle(maps)
    maps.append(random_letters(random, batch + rows + columns))
    buffers = [random_buffer(random, [size[c] for c in text], element) for text in maps]
    kinds = " ".join(f"{c}:{'r' if c in inner else 'p'}" for c in loops)
    return contraction(
        f"random_{number}", f"{' '.join(maps)} {size}", buffers, " ".join(maps), kinds
    )


def random_reduction(random: Random, number: int) -> Case:
    """Two inputs of random sub-shapes, a sum over some loops."""
    count = random.randint(1, 4)
    size = [random.choice([1, 2, 3, 5, 8, 17, 20, 33, 70]) for _ in range(count)]
    kinds = "".join(random.choice("pppr") for _ in range(count))
    loops = "0123"[:count]
    maps = ["".join(c for c in random_letters(random, loops) if random.random() < 0.7)]
    maps.append(random_letters(random, loops))
    maps.append(random_letters(random, "".join(c for c in loops if kinds[int(c)] == "p")))
    buffers = [random_buffer(random, [size[int(c)] for c in text], "f32") for text in maps]
    payload = "%p = arith.subf %x0, %x1 : f32\n%s = arith.addf %x2, %p : f32\nlinalg.yield %s : f32"
    reason = f"{maps} {kinds} {size}"
    return elementwise(f"random_{number}", reason, buffers, maps_of(*maps), kinds, payload)


def random_cases() -> Iterator[Case]:
    random = Random(20261124)
    for number in range(120):
        yield (random_contraction, random_reduction)[number % 2](random, number)


GROUPS = {
    "contractions": contractions,
    "elementwise": elementwise_cases,
    "random": random_cases,
}


def all_cases(group: str) -> list[Case]:
    cases = list(GROUPS[group]())
    names = [case.name for case in cases]
    assert len(names) == len(set(names)), "case names must be unique"
    return cases
