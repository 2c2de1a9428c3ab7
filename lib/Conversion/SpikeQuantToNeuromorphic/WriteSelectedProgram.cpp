//===- WriteSelectedProgram.cpp - a selection as a program ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   %n = spikequant.encode %x {overflow = saturate, ..}     the columns' counts
//   %m = tensor.insert_slice %n into 0                      all columns
//   %a = spikequant.integrate %m, @layer0                   the rows' codes
//   %f = spikequant.fire %a {..}
//   ..
//
// Codes are copied row by row with all their columns, so that their groups
// need not end where the tile does.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/SelectLayers.h"
#include "spikequant/Weights/PackedFileWriter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

namespace {
class ProgramWriter {
public:
  ProgramWriter(const SelectedNetwork &selected, const sq::PackedFile &packed,
                sq::PackedFileWriter &file)
      : selected(selected), packed(packed), file(file),
        builder(const_cast<SelectedNetwork &>(selected)
                    .layers.front()
                    .encode.getContext()) {}

  llvm::Expected<OwningOpRef<ModuleOp>> write();

private:
  /// Counts and membranes have one row per sample.
  RankedTensorType rowsOf(int64_t channels, Type element) {
    return RankedTensorType::get({selected.samples(), channels}, element);
  }
  llvm::Error addFunction(ModuleOp module);
  llvm::Expected<Value> addEncode(Value input);
  Value spread(Value counts, const SelectedLayer &layer);
  llvm::Expected<Value> addLayer(Value counts, size_t index);
  llvm::Error addCodes(StringRef name, const SelectedLayer &layer);
  llvm::Expected<FlatSymbolRefAttr> addChannels(FlatSymbolRefAttr symbol,
                                                StringRef name, StringRef type);

  const SelectedNetwork &selected;
  const sq::PackedFile &packed;
  sq::PackedFileWriter &file;
  OpBuilder builder;
  OpBuilder::InsertPoint symbols;
};
} // namespace

/// A symbol of the program. It has a source, the packed file's entry, or a
/// value.
static void addSymbol(OpBuilder &builder, Location loc, StringRef name,
                      Type type, Attribute format, ElementsAttr value) {
  SmallVector<NamedAttribute> attributes = {
      builder.getNamedAttr("sym_name", builder.getStringAttr(name)),
      builder.getNamedAttr("type", TypeAttr::get(type)),
      builder.getNamedAttr("format", format)};
  attributes.push_back(
      value ? builder.getNamedAttr("value", value)
            : builder.getNamedAttr("source", builder.getStringAttr(name)));
  WeightsOp::create(builder, loc, TypeRange(), ValueRange(), attributes);
}

/// The selected columns of an array with one value per channel, as bytes.
static llvm::Expected<SmallVector<uint8_t>>
cutBytes(WeightsOp op, const sq::PackedFile &packed, IndexRange columns,
         int64_t elementBytes) {
  ArrayRef<uint8_t> bytes;
  if (const sq::PackedEntry *entry = packed.find(op.getSymName());
      entry && entry->kind == sq::PackedEntry::Kind::Raw)
    bytes = packed.bytes(entry->raw);
  if (int64_t(bytes.size()) < columns.end * elementBytes)
    return llvm::createStringError("'" + op.getSymName() +
                                   "' is not in the packed file");
  return SmallVector<uint8_t>(
      bytes.slice(columns.first * elementBytes, columns.size() * elementBytes));
}

llvm::Expected<FlatSymbolRefAttr>
ProgramWriter::addChannels(FlatSymbolRefAttr symbol, StringRef name,
                           StringRef type) {
  if (!symbol)
    return symbol;
  const SelectedLayer &layer = selected.layers.front();
  auto op =
      SymbolTable::lookupNearestSymbolFrom<WeightsOp>(layer.integrate, symbol);
  Type element = op.getArrayType().getElementType();
  llvm::Expected<SmallVector<uint8_t>> bytes =
      cutBytes(op, packed, layer.columns, element.getIntOrFloatBitWidth() / 8);
  if (!bytes)
    return bytes.takeError();
  int64_t channels = layer.columns.size();
  if (llvm::Error failure = file.addRaw(name, type, {channels}, *bytes))
    return std::move(failure);
  auto arrayType = RankedTensorType::get({channels}, element);
  auto value = DenseElementsAttr::getFromRawBuffer(
      arrayType,
      ArrayRef(reinterpret_cast<const char *>(bytes->data()), bytes->size()));
  OpBuilder::InsertionGuard guard(builder);
  builder.restoreInsertionPoint(symbols);
  addSymbol(builder, op.getLoc(), name, arrayType, op.getFormat(),
            cast<ElementsAttr>(value));
  return FlatSymbolRefAttr::get(builder.getContext(), name);
}

llvm::Expected<Value> ProgramWriter::addEncode(Value input) {
  EncodeOp encode = selected.layers.front().encode;
  auto bits = addChannels(encode.getBitsAttr(), "bits", "i8");
  if (!bits)
    return bits.takeError();
  auto gains = addChannels(encode.getGainsAttr(), "gains", "f32");
  if (!gains)
    return gains.takeError();
  auto centres = addChannels(encode.getCentresAttr(), "centres", "f32");
  if (!centres)
    return centres.takeError();
  int64_t channels = selected.located.network.input.channels();
  return EncodeOp::create(
             builder, encode.getLoc(), rowsOf(channels, builder.getI16Type()),
             input, Value(), encode.getStepAttr(), encode.getSiteAttr(), *bits,
             *gains, *centres, builder.getI32IntegerAttr(0),
             OverflowAttr::get(builder.getContext(), Overflow::Saturate),
             encode.getCodeAttr())
      .getCounts();
}

/// Counts of the columns among zeros for the others.
Value ProgramWriter::spread(Value counts, const SelectedLayer &layer) {
  WeightsOp weights = layer.weights;
  int64_t channels = weights.getArrayType().getDimSize(1);
  if (layer.columns.size() == channels)
    return counts;
  auto type = rowsOf(channels, builder.getI16Type());
  Value zeros = arith::ConstantOp::create(builder, counts.getLoc(),
                                          builder.getZeroAttr(type));
  auto index = [&](int64_t value) { return builder.getIndexAttr(value); };
  return tensor::InsertSliceOp::create(
      builder, counts.getLoc(), counts, zeros,
      ArrayRef<OpFoldResult>{index(0), index(layer.columns.first)},
      ArrayRef<OpFoldResult>{index(selected.samples()),
                             index(layer.columns.size())},
      ArrayRef<OpFoldResult>{index(1), index(1)});
}

/// The rows' codes, multipliers, offsets and scales.
llvm::Error ProgramWriter::addCodes(StringRef name,
                                    const SelectedLayer &layer) {
  WeightsOp weights = layer.weights;
  const sq::PackedEntry &entry = *packed.find(layer.symbol());
  sq::PackedCodes codes = packed.codes(entry);
  sq::RoundedMatrix rows;
  rows.n = layer.rows.size();
  rows.k = codes.layout.k;
  rows.bits = entry.bits;
  rows.group = std::min(codes.layout.group, codes.layout.k);
  ArrayRef<float> scales = packed.scales(entry);
  for (int64_t o = layer.rows.first; o < layer.rows.end; ++o) {
    for (int64_t j = 0; j < rows.k; ++j)
      rows.codes.push_back(codes.codeAt(o, j));
    for (int64_t g = 0; g < codes.layout.groups(); ++g) {
      rows.multipliers.push_back(codes.multiplierAt(o, g));
      rows.offsets.push_back(codes.offsetAt(o, g));
    }
    rows.scales.push_back(scales[o]);
  }
  OpBuilder::InsertionGuard guard(builder);
  builder.restoreInsertionPoint(symbols);
  auto type = RankedTensorType::get({rows.n, rows.k}, builder.getF32Type());
  addSymbol(builder, weights.getLoc(), name, type, weights.getFormat(), {});
  return file.addCodes(name, rows);
}

llvm::Expected<Value> ProgramWriter::addLayer(Value counts, size_t index) {
  const SelectedLayer &layer = selected.layers[index];
  const sq::Layer &plain = selected.located.network.layers[index];
  std::string name = "layer" + std::to_string(index);
  if (llvm::Error failure = addCodes(name, layer))
    return std::move(failure);
  SmallVector<int64_t> multipliers, biases;
  for (const sq::FireThreshold &threshold : plain.thresholds) {
    multipliers.push_back(threshold.multiplier);
    biases.push_back(threshold.bias);
  }
  IntegrateOp integrate = layer.integrate;
  Location loc = integrate.getLoc();
  auto membrane = IntegrateOp::create(
      builder, loc, TypeRange(rowsOf(plain.outputs, builder.getI64Type())),
      ValueRange(spread(counts, layer)),
      builder.getNamedAttr("weights",
                           FlatSymbolRefAttr::get(builder.getContext(), name)));
  auto fire = FireOp::create(
      builder, loc, TypeRange(rowsOf(plain.outputs, builder.getI16Type())),
      ValueRange(membrane));
  fire.setMultipliers(multipliers);
  fire.setBiases(biases);
  fire.setShift(plain.thresholds[0].shift);
  fire.setLo(plain.lo);
  fire.setHi(plain.hi);
  return fire.getCounts();
}

llvm::Error ProgramWriter::addFunction(ModuleOp module) {
  const sq::Network &network = selected.located.network;
  builder.setInsertionPointToStart(module.getBody());
  auto input = rowsOf(network.input.channels(), builder.getF32Type());
  auto output = rowsOf(network.outputs(), builder.getI16Type());
  auto function =
      func::FuncOp::create(builder, module.getLoc(), "main",
                           builder.getFunctionType({input}, {output}));
  builder.setInsertionPoint(function);
  symbols = builder.saveInsertionPoint();
  builder.setInsertionPointToStart(function.addEntryBlock());
  llvm::Expected<Value> counts = addEncode(function.getArgument(0));
  for (size_t i = 0; counts && i < selected.layers.size(); ++i)
    counts = addLayer(*counts, i);
  if (!counts)
    return counts.takeError();
  func::ReturnOp::create(builder, module.getLoc(), *counts);
  return llvm::Error::success();
}

llvm::Expected<OwningOpRef<ModuleOp>> ProgramWriter::write() {
  OwningOpRef<ModuleOp> module = ModuleOp::create(builder.getUnknownLoc());
  if (llvm::Error failure = addFunction(*module))
    return std::move(failure);
  if (llvm::Error failure = file.finish())
    return std::move(failure);
  return std::move(module);
}

llvm::Expected<OwningOpRef<ModuleOp>>
mlir::spikequant::writeSelectedProgram(const SelectedNetwork &selected,
                                       const sq::PackedFile &packed,
                                       StringRef weightsPath) {
  llvm::Expected<sq::PackedFileWriter> file =
      sq::PackedFileWriter::create(weightsPath);
  if (!file)
    return file.takeError();
  return ProgramWriter(selected, packed, *file).write();
}
