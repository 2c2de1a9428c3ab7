//===- RowFactors.cpp - membranes divided by their rows' sums -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowFactors.h"

#include "BodyInputs.h"
#include "Elementwise.h"

#include "spikequant/Dialect/SpikeQuant/IR/WideIntegers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;

/// Something over f32 of an integer.
static bool isReciprocal(Value rows) {
  auto op = rows.getDefiningOp<linalg::LinalgOp>();
  if (!isElementwise(op))
    return false;
  auto quotient = op.getBlock()
                      ->getTerminator()
                      ->getOperand(0)
                      .getDefiningOp<arith::DivFOp>();
  return quotient && quotient.getRhs().getDefiningOp<arith::SIToFPOp>();
}

std::optional<DividedRows> mlir::spikequant::matchDividedRows(Operation *op) {
  auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op);
  if (!isElementwise(linalgOp))
    return std::nullopt;
  auto product = linalgOp.getBlock()
                     ->getTerminator()
                     ->getOperand(0)
                     .getDefiningOp<arith::MulFOp>();
  auto conversion = product ? product.getLhs().getDefiningOp<arith::SIToFPOp>()
                            : arith::SIToFPOp();
  OpOperand *membrane =
      conversion ? getBodyInput(linalgOp, conversion.getIn()) : nullptr;
  OpOperand *rows =
      product ? getBodyInput(linalgOp, product.getRhs()) : nullptr;
  if (!membrane || !rows || !isReciprocal(rows->get()) ||
      !getElementTypeOrSelf(membrane->get()).isInteger(32) ||
      !linalgOp.getMatchingIndexingMap(membrane).isIdentity())
    return std::nullopt;
  AffineMap map = linalgOp.getMatchingIndexingMap(rows);
  if (map.isFunctionOfDim(linalgOp.getNumLoops() - 1))
    return std::nullopt;
  return DividedRows{linalgOp, membrane->get(), rows->get(), map};
}

/// Elementwise over the rows: the mantissas with their hidden bit, or how far
/// the product is shifted to the right.
static Value emitPart(OpBuilder &b, Location loc, Value rows, double unit,
                      bool mantissa) {
  return createElementwise(
      b, loc, rows, b.getI64Type(),
      [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
        WideIntegers w{b, loc};
        Value bits = arith::BitcastOp::create(b, loc, b.getI32Type(), in[0]);
        bits = arith::ExtUIOp::create(b, loc, b.getI64Type(), bits);
        constexpr int64_t hidden = int64_t{1} << 23;
        if (mantissa) {
          Value part =
              arith::AndIOp::create(b, loc, bits, w.number(hidden - 1));
          return w.add(part, w.number(hidden));
        }
        // 2^(e - 150) mantissas in units of 2^(log2 unit).
        Value exponent = arith::ShRUIOp::create(b, loc, bits, w.number(23));
        exponent = arith::AndIOp::create(b, loc, exponent, w.number(255));
        Value places = w.sub(w.number(150 + std::ilogb(unit)), exponent);
        return w.clamp(places, 1, 62);
      });
}

Value mlir::spikequant::emitDividedRows(OpBuilder &b, const DividedRows &rows,
                                        double unit) {
  Location loc = linalg::LinalgOp(rows.op).getLoc();
  auto type = cast<RankedTensorType>(rows.membrane.getType());
  Value mantissas = emitPart(b, loc, rows.rows, unit, /*mantissa=*/true);
  Value shifts = emitPart(b, loc, rows.rows, unit, /*mantissa=*/false);
  AffineMap all = b.getMultiDimIdentityMap(type.getRank());
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getI32Type());
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      b, loc, empty.getType(), ValueRange{rows.membrane, mantissas, shifts},
      empty, ArrayRef{all, rows.map, rows.map, all}, loops,
      [&](OpBuilder &b, Location loc, ValueRange in) {
        WideIntegers w{b, loc};
        Value scaled = w.scaleDown(w.mul(w.extend(in[0]), in[1]), in[2]);
        linalg::YieldOp::create(b, loc, w.saturate(scaled));
      });
  return generic.getResult(0);
}
