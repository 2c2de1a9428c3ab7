//===- PackWeights.cpp - weights symbols to the packed file ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Pipelines/PackWeights.h"
#include "PackThresholds.h"

#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/ChannelRotations.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "spikequant/Weights/ErrorFeedback.h"
#include "spikequant/Weights/PackedFileWriter.h"
#include "spikequant/Weights/Rounding.h"
#include "spikequant/Weights/Safetensors.h"
#include "spikequant/Weights/SpecialValues.h"

#include "mlir/IR/Remarks.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"

#include <cmath>
#include <optional>

using namespace llvm;
namespace sq = ::spikequant;

namespace mlir::spikequant {
namespace {

/// Named as the user names it: the symbol may tell what it is packed as.
Error weightError(WeightsOp op, const Twine &message) {
  return createStringError(
      "weight '" + op.getSource().value_or(op.getSymName()) + "' " + message);
}

std::string describeShape(ArrayRef<int64_t> shape) {
  std::string text;
  raw_string_ostream out(text);
  out << "[";
  llvm::interleaveComma(shape, out);
  out << "]";
  return text;
}

/// Name of an element type in the packed file, or empty.
StringRef getTypeName(Type type) {
  if (type.isF32())
    return "f32";
  if (type.isF64())
    return "f64";
  if (type.isF16())
    return "f16";
  if (type.isBF16())
    return "bf16";
  if (auto integer = dyn_cast<IntegerType>(type))
    switch (integer.getWidth()) {
    case 8:
      return "i8";
    case 16:
      return "i16";
    case 32:
      return "i32";
    case 64:
      return "i64";
    }
  return "";
}

/// The logical array of `op` from the bytes of its source.
std::vector<uint8_t> viewBytes(WeightsOp op, ArrayRef<uint8_t> source,
                               int64_t elementBytes) {
  std::vector<uint8_t> result(op.getArrayType().getNumElements() *
                              elementBytes);
  WeightView::of(op).gather(
      ArrayRef(reinterpret_cast<const char *>(source.data()), source.size()),
      elementBytes, reinterpret_cast<char *>(result.data()));
  return result;
}

/// The error feedback of weights; the last site's is kept, since q, k and v or
/// gate and up share one.
class FeedbackSource {
public:
  explicit FeedbackSource(const SecondOrderOptions &options)
      : options(options) {}

  /// Null where rounding is nearest.
  Expected<const sq::ErrorFeedback *> get(StringRef weight, int64_t group) {
    auto input = options.inputs.find(weight);
    if (input == options.inputs.end())
      return nullptr;
    StringRef wanted = input->second;
    auto shifted = options.shifts.find(wanted);
    const Shift *shift =
        shifted == options.shifts.end() ? nullptr : &shifted->second;
    if (!options.grams && !(options.ofMoments && shift))
      return nullptr;
    used += options.grams ? 1 : 0;
    if (feedback && site == wanted && feedback->getGroup() == group)
      return &*feedback;
    auto computed = options.grams ? ofGram(wanted, group, shift)
                                  : ofMoments(wanted, group, *shift);
    if (!computed)
      return computed.takeError();
    feedback = std::move(*computed);
    site = wanted.str();
    return &*feedback;
  }
  /// Of the weight's input channels; empty where none is known.
  ArrayRef<float> getImportance(StringRef weight) const {
    auto input = options.inputs.find(weight);
    if (options.grams || input == options.inputs.end())
      return {};
    auto known = options.importance.find(input->second);
    return known == options.importance.end() ? ArrayRef<float>()
                                             : ArrayRef(known->second);
  }
  int64_t getUsed() const { return used; }

private:
  using Shift = SecondOrderOptions::Shift;

  /// sum (x - c) (x - c)^T.
  Expected<sq::ErrorFeedback> ofGram(StringRef wanted, int64_t group,
                                     const Shift *shift) const {
    const sq::GramView *gram = options.grams->find(wanted);
    if (!gram)
      return createStringError("the calibration has no Gram matrix of site '" +
                               wanted + "'; calibrate again with --gram");
    auto at = [&](int64_t i, int64_t j) {
      if (!shift)
        return gram->at(i, j);
      return gram->around(i, shift->offsets[i], j, shift->offsets[j]);
    };
    return sq::ErrorFeedback::compute(int64_t(gram->channels), group, at,
                                      wanted);
  }

  /// As if channels were independent: d d^T + variances, d = m - c.
  static Expected<sq::ErrorFeedback> ofMoments(StringRef wanted, int64_t group,
                                               const Shift &shift) {
    auto at = [&](int64_t i, int64_t j) {
      double a = shift.means[i] - shift.offsets[i];
      double b = shift.means[j] - shift.offsets[j];
      double variance = shift.squares[i] - shift.means[i] * shift.means[i];
      return a * b + (i == j ? std::max(variance, 0.0) : 0.0);
    };
    return sq::ErrorFeedback::compute(int64_t(shift.means.size()), group, at,
                                      wanted);
  }

  const SecondOrderOptions &options;
  std::string site;
  std::optional<sq::ErrorFeedback> feedback;
  int64_t used = 0;
};

template <typename T> ArrayRef<uint8_t> getBytes(ArrayRef<T> values) {
  return {reinterpret_cast<const uint8_t *>(values.data()),
          values.size() * sizeof(T)};
}

class Packer {
public:
  Packer(std::optional<sq::SafetensorsFile> &source, StringRef sourcePath,
         sq::PackedFileWriter &writer, const SecondOrderOptions &secondOrder)
      : source(source), sourcePath(sourcePath), writer(writer),
        feedback(secondOrder) {}

  int64_t getSecondOrder() const { return feedback.getUsed(); }

  Error pack(WeightsOp op) {
    if (auto codes = dyn_cast<CodesAttr>(op.getFormat()))
      return packCodes(op, codes);
    if (auto thresholds = dyn_cast<ThresholdsAttr>(op.getFormat()))
      return packThresholds(op, thresholds);
    if (auto rates = dyn_cast<RatesAttr>(op.getFormat()))
      return packRates(op, rates);
    if (auto rates = dyn_cast<CountRatesAttr>(op.getFormat()))
      return packCountRates(op, rates);
    if (!isa<RealAttr>(op.getFormat()))
      return weightError(op, "has a format that cannot be packed");
    return op.getValue() ? packLiteral(op) : packReal(op);
  }

private:
  /// The array of the source, checked against the operation's shape.
  Expected<sq::F32Tensor> read(WeightsOp op) {
    if (!op.getSource())
      return weightError(op, "has neither a source nor a value");
    if (!source)
      return weightError(op, "comes from a safetensors file; give --weights");
    Expected<sq::F32Tensor> tensor = source->tensorF32(*op.getSource());
    if (!tensor)
      return tensor.takeError();
    if (Error failure = checkShape(op, tensor->shape()))
      return std::move(failure);
    return tensor;
  }

  Error checkShape(WeightsOp op, ArrayRef<int64_t> shape) {
    auto expected = WeightView::of(op).getSourceShape();
    if (ArrayRef<int64_t>(expected) == shape)
      return Error::success();
    return weightError(op, "has shape " + describeShape(shape) + " in '" +
                               sourcePath + "' and " + describeShape(expected) +
                               " in the graph");
  }

  Error specialValue(WeightsOp op, StringRef what, size_t position,
                     ArrayRef<int64_t> stored) {
    return weightError(op, "is " + what + " at " +
                               sq::describeIndex(position, stored) + " in '" +
                               sourcePath + "'; export the weights again");
  }

  Error packReal(WeightsOp op) {
    if (!op.getArrayType().getElementType().isF32())
      return packSameType(op);
    Expected<sq::F32Tensor> tensor = read(op);
    if (!tensor)
      return tensor.takeError();
    return packBytes(op, "f32", getBytes(ArrayRef<float>(tensor->values())));
  }

  /// Other types are not converted: the file must hold the graph's type.
  Error packSameType(WeightsOp op) {
    StringRef type = getTypeName(op.getArrayType().getElementType());
    if (type.empty() || !op.getSource() || !source)
      return weightError(op, "has an element type that cannot be a weight; "
                             "leave it out of the weights file to make it an "
                             "input");
    const sq::TensorInfo *info = source->find(*op.getSource());
    if (!info)
      return weightError(op, "is not in '" + sourcePath + "'");
    StringRef stored = info->dtype;
    if (!stored.equals_insensitive(type) &&
        !(stored.starts_with("U") && type.starts_with("i") &&
          stored.drop_front() == type.drop_front()))
      return weightError(op, "has type " + stored + " in '" + sourcePath +
                                 "' and " + type + " in the graph");
    if (Error failure = checkShape(op, info->shape))
      return failure;
    return packBytes(op, type, source->bytes(*info));
  }

  Error packBytes(WeightsOp op, StringRef type, ArrayRef<uint8_t> bytes) {
    if (std::optional<size_t> position = sq::findNaN(type, bytes))
      return specialValue(op, "NaN", *position,
                          WeightView::of(op).getSourceShape());
    ArrayRef<int64_t> shape = op.getArrayType().getShape();
    if (!op.getPermutation() && !op.getView())
      return writer.addRaw(op.getSymName(), type, shape, bytes);
    return writer.addRaw(
        op.getSymName(), type, shape,
        viewBytes(op, bytes, sq::PackedFormat::elementBytes(type)));
  }

  Error packLiteral(WeightsOp op) {
    StringRef type = getTypeName(op.getArrayType().getElementType());
    ArrayRef<int64_t> shape = op.getArrayType().getShape();
    auto splat = dyn_cast<DenseElementsAttr>(*op.getValue());
    ArrayRef<char> raw = splat && splat.isSplat()
                             ? splat.getRawData()
                             : getLiteralBytes(*op.getValue());
    if (raw.empty() || type.empty())
      return weightError(op, "has a literal value of unsupported type");
    std::vector<uint8_t> bytes(ShapedType::getNumElements(shape) *
                               sq::PackedFormat::elementBytes(type));
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<uint8_t>(raw[i % raw.size()]);
    return writer.addRaw(op.getSymName(), type, shape, bytes);
  }

  Error packCodes(WeightsOp op, CodesAttr codes) {
    WeightView view = WeightView::of(op);
    if (op.getValue()) {
      if (auto splat = dyn_cast<SplatElementsAttr>(*op.getValue()))
        return packCodes(op, codes,
                         std::vector<float>(splat.getNumElements(),
                                            splat.getSplatValue<float>()),
                         view);
      ArrayRef<char> raw = getLiteralBytes(*op.getValue());
      if (raw.empty())
        return weightError(op, "has a literal value of unsupported type");
      return packCodes(op, codes,
                       ArrayRef(reinterpret_cast<const float *>(raw.data()),
                                raw.size() / sizeof(float)),
                       view);
    }
    Expected<sq::F32Tensor> tensor = read(op);
    if (!tensor)
      return tensor.takeError();
    ArrayRef<float> values = tensor->values();
    if (std::optional<size_t> position = sq::findNonFinite(values))
      return specialValue(op,
                          std::isnan(values[*position]) ? "NaN" : "infinite",
                          *position, tensor->shape());
    return packCodes(op, codes, values, view);
  }

  Error packCodes(WeightsOp op, CodesAttr codes, ArrayRef<float> values,
                  const WeightView &view) {
    sq::RoundingOptions options;
    int64_t rank = view.getRank();
    options.bits = codes.getBits();
    options.group =
        codes.getGroup() ? codes.getGroup() : view.getSize(rank - 1);
    options.symmetric = codes.getSymmetric();
    int64_t channels = view.getSize(rank - 1);
    Expected<const sq::ErrorFeedback *> errors = feedback.get(
        op.getSymName(),
        options.symmetric ? channels : std::min(options.group, channels));
    if (!errors)
      return errors.takeError();
    auto round = [&](const WeightView &matrix) {
      std::vector<float> copy;
      return sq::roundToCodes(
          getMatrix(matrix, values, copy), options, op.getSymName(), *errors,
          *errors ? ArrayRef<float>()
                  : feedback.getImportance(op.getSymName()));
    };
    if (rank == 3)
      return writer.addStack(op.getSymName(), view.getSize(0), [&](int64_t i) {
        return round(view.slice(0, i, 1, 1)->permute({1, 2}));
      });
    Expected<sq::RoundedMatrix> rounded = round(view);
    if (!rounded)
      return rounded.takeError();
    if (rounded->zeroPoints.empty())
      remark::missed(op.getLoc(), remark::RemarkOpts::name("zero-points")
                                      .category("spikequant-pack-weights"))
          << remark::add("'{0}' keeps offsets of 16 bits: a group of its "
                         "weights has one sign, so no code stands for 0",
                         op.getSymName());
    scales[op.getSymName()] = getRates(*rounded);
    return writer.addCodes(op.getSymName(), *rounded);
  }

  /// s_w per output channel, 0 where all weights are.
  static std::vector<double> getRates(const sq::RoundedMatrix &matrix) {
    std::vector<double> rates(matrix.scales.begin(), matrix.scales.end());
    for (int64_t o = 0; o < matrix.n; ++o) {
      bool used = false;
      for (int64_t j = 0; j < matrix.k && !used; ++j)
        used = matrix.weightAt(o, j) != 0;
      rates[o] = used ? rates[o] : 0;
    }
    return rates;
  }

  Error packThresholds(WeightsOp op, ThresholdsAttr format) {
    auto rates = scales.find(format.getWeights().getValue());
    int64_t n = op.getArrayType().getDimSize(1);
    if (rates == scales.end() || int64_t(rates->second.size()) != n)
      return weightError(op, "needs the scales of '" +
                                 format.getWeights().getValue() + "'");
    std::optional<std::vector<int64_t>> table =
        makeThresholds(op, format, rates->second);
    if (!table)
      return weightError(op, "has thresholds that no shift can hold");
    return writer.addRaw(op.getSymName(), "i64", {5, n},
                         getBytes(ArrayRef<int64_t>(*table)));
  }

  Error packRates(WeightsOp op, RatesAttr format) {
    int64_t n = op.getArrayType().getDimSize(1);
    std::vector<double> ones(n, 1.0);
    ArrayRef<double> own = ones;
    if (FlatSymbolRefAttr weights = format.getWeights()) {
      auto found = scales.find(weights.getValue());
      if (found == scales.end() || int64_t(found->second.size()) != n)
        return weightError(op,
                           "needs the scales of '" + weights.getValue() + "'");
      own = found->second;
    }
    std::optional<std::vector<int32_t>> table = makeRates(op, format, own);
    if (!table)
      return weightError(op, "has rates that no shift can hold");
    return writer.addRaw(op.getSymName(), "i32", {3, n},
                         getBytes(ArrayRef<int32_t>(*table)));
  }

  /// The f32 array behind `symbol` in double precision; `absent` without one.
  Expected<std::vector<double>>
  getReals(WeightsOp user, FlatSymbolRefAttr symbol, double absent) {
    int64_t k = user.getArrayType().getDimSize(1);
    if (!symbol)
      return std::vector<double>(k, absent);
    auto op = SymbolTable::lookupNearestSymbolFrom<WeightsOp>(
        user->getParentOp(), symbol);
    if (!op || !op.getArrayType().getElementType().isF32() ||
        op.getArrayType().getNumElements() != k)
      return weightError(user, "needs " + Twine(k) +
                                   " values of type f32 in '" +
                                   symbol.getValue() + "'");
    if (auto literal = dyn_cast_or_null<DenseElementsAttr>(op.getValueAttr()))
      return std::vector<double>(literal.value_begin<float>(),
                                 literal.value_end<float>());
    Expected<sq::F32Tensor> tensor = read(op);
    if (!tensor)
      return tensor.takeError();
    std::vector<uint8_t> bytes = viewBytes(
        op, getBytes(ArrayRef<float>(tensor->values())), sizeof(float));
    const auto *values = reinterpret_cast<const float *>(bytes.data());
    return std::vector<double>(values, values + k);
  }

  Error packCountRates(WeightsOp op, CountRatesAttr format) {
    Expected<std::vector<double>> gains = getReals(op, format.getGains(), 1.0);
    if (!gains)
      return gains.takeError();
    Expected<std::vector<double>> centres =
        getReals(op, format.getCentres(), 0.0);
    if (!centres)
      return centres.takeError();
    auto table = makeCountRates(op, format, *gains, *centres);
    if (!table)
      return weightError(op, "has rates that no shift can hold");
    return writer.addRaw(op.getSymName(), "i32", op.getArrayType().getShape(),
                         getBytes(ArrayRef<int32_t>(*table)));
  }

  /// A matrix [N, K] in `values`; copied where strides do not describe it.
  static sq::MatrixView getMatrix(const WeightView &view,
                                  ArrayRef<float> values,
                                  std::vector<float> &copy) {
    int64_t n = view.getSize(0), k = view.getSize(1);
    if (view.getDimension(0).size() <= 1 && view.getDimension(1).size() <= 1) {
      auto getStride = [&](int64_t d) {
        return view.getDimension(d).empty() ? 0
                                            : view.getDimension(d)[0].stride;
      };
      return {values.data() + view.getOffset(), n, k, getStride(0),
              getStride(1)};
    }
    copy.resize(n * k);
    view.gather(ArrayRef(reinterpret_cast<const char *>(values.data()),
                         values.size() * sizeof(float)),
                sizeof(float), reinterpret_cast<char *>(copy.data()));
    return sq::MatrixView::rowMajor(copy.data(), n, k);
  }

  StringMap<std::vector<double>> scales;
  std::optional<sq::SafetensorsFile> &source;
  StringRef sourcePath;
  sq::PackedFileWriter &writer;
  FeedbackSource feedback;
};

/// Offsets of an entry's blobs, as code generation wants them.
DictionaryAttr getLayout(MLIRContext *context, const sq::PackedEntry &entry) {
  Builder builder(context);
  auto field = [&](StringRef name, int64_t value) {
    return builder.getNamedAttr(name, builder.getI64IntegerAttr(value));
  };
  if (entry.kind == sq::PackedEntry::Kind::Raw)
    return builder.getDictionaryAttr(field("data", entry.raw.offset));
  return builder.getDictionaryAttr(
      {field("codes", entry.codes.offset),
       field("offset_bits", entry.layout.offsetBits),
       field("scales", entry.scales.offset),
       field("column_max", entry.columnMax.offset),
       field("max_row_sum", entry.maxRowSum)});
}

/// Whether the entry holds what the operation declares.
Error checkEntry(WeightsOp op, const sq::PackedEntry *entry, StringRef path) {
  if (!entry)
    return weightError(op, "is not in '" + path + "'");
  ArrayRef<int64_t> shape = op.getArrayType().getShape();
  bool same;
  if (auto codes = dyn_cast<CodesAttr>(op.getFormat()))
    same = entry->kind == sq::PackedEntry::Kind::Codes &&
           (entry->stack ? shape.size() == 3 && entry->stack == shape[0]
                         : shape.size() == 2) &&
           entry->layout.n == shape.drop_back().back() &&
           entry->layout.k == shape.back() &&
           entry->bits == int32_t(codes.getBits());
  else
    same = entry->kind == sq::PackedEntry::Kind::Raw &&
           ArrayRef<int64_t>(entry->shape) == shape;
  if (!same)
    return weightError(op, "has another shape or format in '" + path + "'");
  return Error::success();
}
} // namespace

Expected<PackedFileInfo> annotateWeights(ModuleOp module, StringRef path) {
  Expected<sq::PackedFile> file =
      sq::PackedFile::open(path, /*verifyChecksum=*/false);
  if (!file)
    return file.takeError();
  for (auto op : module.getOps<WeightsOp>()) {
    const sq::PackedEntry *entry = file->find(op.getSymName());
    if (Error failure = checkEntry(op, entry, path))
      return std::move(failure);
    op->setAttr(kLayoutAttr, getLayout(module.getContext(), *entry));
  }
  PackedFileInfo info;
  info.bytes = file->fileBytes();
  info.checksum = support::endian::read64le(file->base() + 40);
  return info;
}

WeightInputs findWeightInputs(ModuleOp module) {
  WeightInputs inputs;
  StringSet<> excluded;
  module.walk([&](Operation *op) {
    if (auto rows = dyn_cast<LookupOp>(op)) {
      excluded.insert(rows.getWeights());
    } else if (auto integrate = dyn_cast<IntegrateOp>(op)) {
      StringRef site = getSiteOfCounts(integrate.getCounts());
      auto [known, fresh] =
          inputs.try_emplace(integrate.getWeights(), site.str());
      if (site.empty() || known->second != site)
        excluded.insert(integrate.getWeights());
    }
  });
  for (const auto &weight : excluded)
    inputs.erase(weight.getKey());
  return inputs;
}

Expected<PackedFileInfo> packWeights(ModuleOp module, StringRef safetensorsPath,
                                     StringRef path,
                                     const SecondOrderOptions &secondOrder) {
  std::optional<sq::SafetensorsFile> source;
  if (!safetensorsPath.empty()) {
    Expected<sq::SafetensorsFile> opened =
        sq::SafetensorsFile::open(safetensorsPath);
    if (!opened)
      return opened.takeError();
    source = std::move(*opened);
    addRotations(module, *source);
  }
  Expected<sq::PackedFileWriter> writer = sq::PackedFileWriter::create(path);
  if (!writer)
    return writer.takeError();
  Packer packer(source, safetensorsPath, *writer, secondOrder);
  // Thresholds last: they need the scales of codes.
  for (bool thresholds : {false, true})
    for (auto op : module.getOps<WeightsOp>())
      if (isa<ThresholdsAttr, RatesAttr, CountRatesAttr>(op.getFormat()) ==
          thresholds)
        if (Error failure = packer.pack(op))
          return std::move(failure);
  if (Error failure = writer->finish())
    return std::move(failure);
  Expected<PackedFileInfo> info = annotateWeights(module, path);
  if (info)
    info->secondOrder = packer.getSecondOrder();
  return info;
}

Expected<sq::PackedFile> packTemporarily(ModuleOp module,
                                         StringRef safetensorsPath) {
  SmallString<128> path;
  if (std::error_code code =
          sys::fs::createTemporaryFile("weights", "sqw", path))
    return createStringError(code, "cannot make a temporary file");
  FileRemover remover(path);
  Expected<PackedFileInfo> packed = packWeights(module, safetensorsPath, path);
  if (!packed)
    return packed.takeError();
  return sq::PackedFile::open(path, /*verifyChecksum=*/false);
}

} // namespace mlir::spikequant
