"""batch_norm_* -> elementwise operations and sums: their legalisation leaves them alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from .operations import find, is_static
from .scalar_loops import create


def rewrite_norms(module: ir.Module) -> int:
    """Rewrites every batch normalisation of static shape by StableHLO's definition; returns their
    number.
    """
    rewrites: dict[str, Callable[[_Norm], Sequence[ir.Value]]] = {
        "stablehlo.batch_norm_inference": _Norm.inference,
        "stablehlo.batch_norm_training": _Norm.training,
        "stablehlo.batch_norm_grad": _Norm.gradient,
    }
    found = [op for op in find(module.operation, *rewrites) if is_static(op)]
    for operation in found:
        with ir.InsertionPoint(operation), operation.location:
            results = rewrites[operation.name](_Norm(operation))
            for old, new in zip(operation.results, results, strict=True):
                old.replace_all_uses_with(new)
        operation.erase()
    return len(found)


class _Norm:
    def __init__(self, operation: ir.Operation):
        self.operands = list(operation.operands)
        self.axis = ir.IntegerAttr(operation.attributes["feature_index"]).value
        self.epsilon = ir.FloatAttr(operation.attributes["epsilon"]).value
        self.type = ir.RankedTensorType(self.operands[0].type)
        self.element = self.type.element_type

    def inference(self) -> Sequence[ir.Value]:
        values, scale, offset, mean, variance = self.operands
        centred = stablehlo.subtract(values, self._spread(mean))
        normal = stablehlo.divide(centred, self._spread(self._deviation(variance)))
        scaled = stablehlo.multiply(normal, self._spread(scale))
        return [stablehlo.add(scaled, self._spread(offset))]

    def training(self) -> Sequence[ir.Value]:
        values, scale, offset = self.operands
        mean = self._mean(values)
        centred = stablehlo.subtract(values, self._spread(mean))
        variance = self._mean(stablehlo.multiply(centred, centred))
        self.operands = [values, scale, offset, mean, variance]
        return [*self.inference(), mean, variance]

    def gradient(self) -> Sequence[ir.Value]:
        """The gradients with respect to the values, the scale and the offset."""
        values, scale, mean, variance, output = self.operands
        deviation = self._deviation(variance)
        centred = stablehlo.subtract(values, self._spread(mean))
        normal = stablehlo.divide(centred, self._spread(deviation))
        scale_gradient = self._sum(stablehlo.multiply(output, normal))
        offset_gradient = self._sum(output)
        along = stablehlo.multiply(normal, self._spread(self._per_value(scale_gradient)))
        rest = stablehlo.subtract(output, self._spread(self._per_value(offset_gradient)))
        factor = self._spread(stablehlo.divide(scale, deviation))
        gradient = stablehlo.multiply(factor, stablehlo.subtract(rest, along))
        return [gradient, scale_gradient, offset_gradient]

    def _deviation(self, variance: ir.Value) -> ir.Value:
        epsilon = self._constant(self.epsilon, variance.type)
        return stablehlo.sqrt(stablehlo.add(variance, epsilon))

    def _spread(self, value: ir.Value) -> ir.Value:
        """One value per feature -> the shape of the operand."""
        axes = ir.DenseI64ArrayAttr.get([self.axis])
        return stablehlo.broadcast_in_dim(self.type, value, axes)

    def _sum(self, values: ir.Value) -> ir.Value:
        result = ir.RankedTensorType.get([self.type.shape[self.axis]], self.element)
        scalar = ir.RankedTensorType.get([], self.element)
        axes = [axis for axis in range(self.type.rank) if axis != self.axis]
        operands = [values, self._constant(0.0, scalar)]
        attributes = {"dimensions": ir.DenseI64ArrayAttr.get(axes)}
        reduction = create("stablehlo.reduce", [result], operands, attributes=attributes, regions=1)
        block = reduction.regions[0].blocks.append(scalar, scalar)
        with ir.InsertionPoint(block):
            create("stablehlo.return", [], [stablehlo.add(*block.arguments)])
        return reduction.result

    def _mean(self, values: ir.Value) -> ir.Value:
        return self._per_value(self._sum(values))

    def _per_value(self, total: ir.Value) -> ir.Value:
        count = prod(self.type.shape) // max(1, self.type.shape[self.axis])
        return stablehlo.divide(total, self._constant(float(count), total.type))

    def _constant(self, value: float, type_: ir.Type) -> ir.Value:
        attribute = ir.FloatAttr.get(self.element, value)
        return stablehlo.constant(ir.DenseElementsAttr.get_splat(type_, attribute))
