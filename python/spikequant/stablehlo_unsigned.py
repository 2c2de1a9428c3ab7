"""Unsigned arguments and results -> signless ones: MLIR's arithmetic has no others."""

from __future__ import annotations

from jaxlib.mlir import ir

from .function_attributes import Attributes
from .scalar_loops import as_type, signless, signless_type

# What marks an argument or a result whose array at run time is unsigned.
_MARK = "spikequant.unsigned"


def unsigned_marks(function: ir.Operation) -> tuple[list[Attributes], list[Attributes]]:
    """Attributes of the arguments and of the results."""
    type_ = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    return _marks(type_.inputs), _marks(type_.results)


def _marks(types: list[ir.Type]) -> list[Attributes]:
    return [{_MARK: 1} if type_ != signless_type(type_) else {} for type_ in types]


def rewrite_signature(function: ir.Operation) -> None:
    """Changes the types of a function that nobody calls; the bits are the same.

    Before: func @f(%a: tensor<4xui8>) -> tensor<4xui8> { .. return %r }
    After:  func @f(%a: tensor<4xi8>) -> tensor<4xi8> { %0 = bitcast_convert %a ..
                                                        return (bitcast_convert %r) }
    """
    block = function.regions[0].blocks[0]
    with ir.InsertionPoint.at_block_begin(block), function.location:
        for argument in block.arguments:
            _change_argument(argument)
    terminator = list(block.operations)[-1].operation
    with ir.InsertionPoint(terminator), terminator.location:
        for number, value in enumerate(terminator.operands):
            terminator.operands[number] = signless(value)
    types = [[value.type for value in values] for values in (block.arguments, terminator.operands)]
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(*types))


def _change_argument(argument: ir.BlockArgument) -> None:
    old = argument.type
    if old == signless_type(old):
        return
    argument.set_type(signless_type(old))
    converted = as_type(argument, old)
    argument.replace_all_uses_except(converted, converted.owner.operation)
