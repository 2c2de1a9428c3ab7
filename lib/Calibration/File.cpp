//===- File.cpp - the calibration file ------------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One channel is one line, one site one object, sites sorted by name: equal
// statistics are equal bytes, and a diff shows which channels changed.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Calibration/Statistics.h"
#include "spikequant/Support/Json.h"
#include "spikequant/Support/OutputFile.h"

#include "llvm/ADT/APInt.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <limits>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::magnitude;

static constexpr StringLiteral formatName = "spikequant-calibration";
static constexpr int64_t formatVersion = 3;
/// Files without sensitivities.
static constexpr int64_t oldestVersion = 1;

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static std::string toDecimal(Int128 value) {
  uint64_t words[] = {uint64_t(value), uint64_t(value >> 64)};
  SmallString<40> text;
  APInt(128, words).toStringSigned(text);
  return std::string(text);
}

/// Runs of nonzero bins, each `first:count,count,..`, separated by spaces.
static std::string printBins(function_ref<uint32_t(unsigned)> getCount) {
  std::string text;
  raw_string_ostream os(text);
  for (unsigned bin = 0; bin < binCount; ++bin) {
    uint32_t count = getCount(bin);
    if (count == 0)
      continue;
    bool continues = bin > 0 && getCount(bin - 1) != 0;
    if (continues)
      os << ',';
    else
      os << (text.empty() ? "" : " ") << bin << ':';
    os << count;
  }
  return text;
}

static json::Value printChannel(const SiteStatistics &site, uint32_t channel) {
  auto all = [&](unsigned bin) { return site.getCount(channel, bin); };
  auto negative = [&](unsigned bin) {
    return site.getNegativeCount(channel, bin);
  };
  json::Object object{{"max", site.getMaxAbs(channel)},
                      {"sum", toDecimal(site.getFixedSum(channel))},
                      {"squares", toDecimal(site.getFixedSquares(channel))},
                      {"bins", printBins(all)}};
  if (site.hasSigns())
    object["negative"] = printBins(negative);
  return object;
}

static void printSite(const SiteStatistics &site, json::OStream &os) {
  os.object([&] {
    os.attribute("name", site.getName());
    os.attribute("rows", int64_t(site.getRows()));
    if (site.getSensitivityRows() != 0)
      os.attributeObject("sensitivity", [&] {
        os.attribute("rows", int64_t(site.getSensitivityRows()));
        os.attribute("sum", toDecimal(site.getSensitivitySum()));
      });
    os.attributeArray("channels", [&] {
      for (uint32_t c = 0; c < site.getChannels(); ++c)
        os.rawValue([&](raw_ostream &raw) { raw << printChannel(site, c); });
    });
  });
}

void spikequant::printCalibration(const CalibrationData &data,
                                  raw_ostream &os) {
  json::OStream json(os, /*IndentSize=*/1);
  json.object([&] {
    json.attribute("format", formatName);
    json.attribute("version", formatVersion);
    json.attribute("bins_per_octave", 1 << subdivisionBits);
    json.attribute("min_exponent", minExponent);
    json.attribute("max_exponent", maxExponent);
    json.attribute("sum_fraction_bits", sumFractionBits);
    json.attributeArray("sites", [&] {
      for (const SiteStatistics &site : data.getSites())
        printSite(site, json);
    });
  });
  os << '\n';
}

Error spikequant::saveCalibration(const CalibrationData &data, StringRef path) {
  return writeOutputFile(path,
                         [&](raw_ostream &os) { printCalibration(data, os); });
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace spikequant {
/// Fills SiteStatistics from JSON; every error starts with where it is.
class StatisticsReader {
public:
  /// Channels of `file` are pieces: as trees of values they would take ten
  /// times the memory of their text.
  StatisticsReader(StringRef source, const SplitJson &file)
      : source(source), file(file) {}

  Expected<CalibrationData> readFile();

private:
  Error fail(const Twine &message) const {
    return createStringError(source + ": " + where + message);
  }
  Error readHeader(const json::Object &file);
  Expected<CalibrationData> readSites(const json::Array &sites);
  Expected<SiteStatistics> readSite(const json::Value &value);
  Error readSensitivity(const json::Object &object, SiteStatistics &site);
  Error readChannel(const json::Value &value, SiteStatistics &site,
                    uint32_t channel);
  Error readBins(StringRef key, StringRef text,
                 function_ref<uint32_t &(unsigned)> slot);
  Error readSigns(const json::Object &object, SiteStatistics &site,
                  uint32_t channel);
  Error readSum(const json::Object &object, StringRef key, Int128 &result);
  Error checkChannel(const SiteStatistics &site, uint32_t channel);
  Error checkSums(const SiteStatistics &site, uint32_t channel);

  StringRef source;
  const SplitJson &file;
  size_t nextPiece = 0;
  std::string where;
};
} // namespace spikequant

Error StatisticsReader::readHeader(const json::Object &file) {
  if (file.getString("format") != std::optional<StringRef>(formatName))
    return fail("not a calibration file: \"format\" is not \"" + formatName +
                "\"");
  int64_t version = file.getInteger("version").value_or(0);
  if (version < oldestVersion || version > formatVersion)
    return fail("this program reads calibration files of version " +
                Twine(oldestVersion) + " to " + Twine(formatVersion) +
                "; run 'spikequant calibrate' again");
  const std::pair<StringRef, int64_t> constants[] = {
      {"bins_per_octave", 1 << subdivisionBits},
      {"min_exponent", minExponent},
      {"max_exponent", maxExponent},
      {"sum_fraction_bits", sumFractionBits}};
  for (auto [key, value] : constants)
    if (file.getInteger(key) != value)
      return fail("\"" + key + "\" must be " + Twine(value) + " in version " +
                  Twine(version));
  return Error::success();
}

Expected<CalibrationData> StatisticsReader::readFile() {
  if (Error error = readHeader(file.object))
    return std::move(error);
  const json::Array *sites = file.object.getArray("sites");
  if (!sites)
    return fail("\"sites\" is missing or no array");
  Expected<CalibrationData> data = readSites(*sites);
  where.clear();
  if (data && nextPiece != file.pieces.size())
    return fail("objects where none belong");
  return data;
}

Expected<CalibrationData>
StatisticsReader::readSites(const json::Array &sites) {
  CalibrationData data;
  for (auto [index, value] : llvm::enumerate(sites)) {
    where = formatv("site {0}: ", index);
    Expected<SiteStatistics> site = readSite(value);
    if (!site)
      return site.takeError();
    where.clear();
    if (Error error = data.addSite(std::move(*site)))
      return fail(toString(std::move(error)));
  }
  return data;
}

Expected<SiteStatistics> StatisticsReader::readSite(const json::Value &value) {
  const json::Object *object = value.getAsObject();
  if (!object)
    return fail("no JSON object");
  std::optional<StringRef> name = object->getString("name");
  if (!name || name->empty())
    return fail("\"name\" is missing or empty");
  where = ("site '" + *name + "': ").str();
  std::optional<int64_t> rows = object->getInteger("rows");
  if (!rows || *rows < 0 || *rows > std::numeric_limits<uint32_t>::max())
    return fail("\"rows\" must be an integer from 0 to 2^32 - 1");
  const json::Array *channels = object->getArray("channels");
  if (!channels || channels->empty())
    return fail("\"channels\" is missing or empty");
  SiteStatistics site(name->str(), uint32_t(channels->size()));
  site.rows = uint64_t(*rows);
  if (Error error = readSensitivity(*object, site))
    return std::move(error);
  std::string siteWhere = where;
  for (auto [index, channel] : llvm::enumerate(*channels)) {
    where = siteWhere + formatv("channel {0}: ", index).str();
    if (Error error = readChannel(channel, site, uint32_t(index)))
      return std::move(error);
  }
  return site;
}

Error StatisticsReader::readSensitivity(const json::Object &object,
                                        SiteStatistics &site) {
  const json::Value *value = object.get("sensitivity");
  if (!value)
    return Error::success();
  const json::Object *fields = value->getAsObject();
  std::optional<int64_t> rows =
      fields ? fields->getInteger("rows") : std::nullopt;
  if (!rows || *rows < 1 || *rows > std::numeric_limits<uint32_t>::max())
    return fail("\"sensitivity\" needs \"rows\" from 1 to 2^32 - 1");
  if (Error error = readSum(*fields, "sum", site.sensitivitySum))
    return error;
  site.sensitivityRows = uint64_t(*rows);
  Int128 largest = Int128(largestSensitivity) << sensitivityFractionBits;
  if (site.sensitivitySum < 0 || site.sensitivitySum > largest * *rows)
    return fail("\"sensitivity\" must lie between 0 and 2^30");
  return Error::success();
}

Error StatisticsReader::readChannel(const json::Value &value,
                                    SiteStatistics &site, uint32_t channel) {
  if (value.kind() != json::Value::Null || nextPiece == file.pieces.size())
    return fail("no JSON object");
  Expected<json::Object> object =
      parseJsonObject(file.pieces[nextPiece++], source + ": " + where + "this");
  if (!object)
    return object.takeError();
  std::optional<double> maximum = object->getNumber("max");
  if (!maximum || !(*maximum >= 0.0) || double(float(*maximum)) != *maximum ||
      std::isinf(*maximum))
    return fail("\"max\" must be a finite f32 that is not negative");
  site.maxAbs[channel] = float(*maximum);
  std::optional<StringRef> bins = object->getString("bins");
  if (!bins)
    return fail("\"bins\" is missing or no string");
  if (Error error = readBins("bins", *bins, [&](unsigned bin) -> uint32_t & {
        return site.histogram[site.histogramIndex(channel, bin)];
      }))
    return error;
  if (Error error = readSigns(*object, site, channel))
    return error;
  if (Error error = readSum(*object, "sum", site.sums[channel]))
    return error;
  if (Error error = readSum(*object, "squares", site.squares[channel]))
    return error;
  return checkChannel(site, channel);
}

/// All channels of a site have signs, or none. Counts so far are those of all
/// values.
Error StatisticsReader::readSigns(const json::Object &object,
                                  SiteStatistics &site, uint32_t channel) {
  std::optional<StringRef> negative = object.getString("negative");
  if (channel == 0)
    site.signs = negative.has_value();
  if (site.signs != negative.has_value() ||
      bool(object.get("negative")) != site.signs)
    return fail("\"negative\" must be a string in all channels of a site, or "
                "missing in all");
  auto slot = [&](unsigned bin) -> uint32_t & {
    return site.histogram[site.histogramIndex(channel, binCount + bin)];
  };
  if (site.signs)
    if (Error error = readBins("negative", *negative, slot))
      return error;
  for (unsigned bin = 0; bin < binCount; ++bin) {
    uint32_t &all = site.histogram[site.histogramIndex(channel, bin)];
    bool isSigned = bin != tinyBin && bin != nanBin;
    if (slot(bin) > (isSigned ? all : 0))
      return fail("\"negative\": bin " + Twine(bin) +
                  " has more values than "
                  "it can have");
    all -= slot(bin);
  }
  return Error::success();
}

Error StatisticsReader::readBins(StringRef key, StringRef text,
                                 function_ref<uint32_t &(unsigned)> slot) {
  unsigned next = 0;
  while (!text.empty()) {
    auto [run, rest] = text.split(' ');
    auto [first, list] = run.split(':');
    unsigned bin;
    if (first.getAsInteger(10, bin) || bin < next || list.empty())
      return fail("\"" + key + "\": '" + run +
                  "' does not start with a bin above " +
                  "the ones before and a colon");
    for (StringRef item : llvm::split(list, ',')) {
      uint32_t count;
      if (item.getAsInteger(10, count) || count == 0)
        return fail("\"" + key + "\": '" + item +
                    "' is no count from 1 to 2^32 - 1");
      if (bin >= binCount)
        return fail("\"" + key + "\": there are only " + Twine(binCount) +
                    " bins");
      slot(bin++) = count;
    }
    next = bin + 1;
    text = rest;
  }
  return Error::success();
}

Error StatisticsReader::readSum(const json::Object &object, StringRef key,
                                Int128 &result) {
  std::optional<StringRef> text = object.getString(key);
  StringRef digits = text.value_or("");
  bool negative = digits.consume_front("-");
  APInt value;
  if (!text || digits.getAsInteger(10, value) || value.getActiveBits() > 126)
    return fail("\"" + key + "\" must be a decimal integer in a string");
  value = value.zextOrTrunc(128);
  Int128 magnitude =
      Int128(value.getRawData()[1]) << 64 | Int128(value.getRawData()[0]);
  result = negative ? -magnitude : magnitude;
  return Error::success();
}

/// What every written channel satisfies: a hand-edited or damaged one may not.
Error StatisticsReader::checkChannel(const SiteStatistics &site,
                                     uint32_t channel) {
  uint64_t total = 0;
  unsigned highest = tinyBin;
  for (unsigned bin = 0; bin < binCount; ++bin) {
    uint32_t count = site.getCount(channel, bin);
    total += count;
    if (count != 0 && bin <= hugeBin)
      highest = bin;
  }
  if (total != site.rows)
    return fail("the bins hold " + Twine(total) + " values, but the site has " +
                Twine(site.rows) + " rows");
  if (binOf(site.maxAbs[channel]) != highest)
    return fail("\"max\" is not in the highest bin that is used");
  return checkSums(site, channel);
}

Error StatisticsReader::checkSums(const SiteStatistics &site,
                                  uint32_t channel) {
  Int128 finite = Int128(site.getFiniteCount(channel));
  Int128 sum = site.sums[channel], squares = site.squares[channel];
  constexpr int largestBits = maxExponent + sumFractionBits;
  if (sum > finite << largestBits || -sum > finite << largestBits)
    return fail("\"sum\" is larger than that many values can add up to");
  if (squares < 0 || squares > finite << (2 * largestBits))
    return fail("\"squares\" is negative or too large");
  return Error::success();
}

Expected<CalibrationData> spikequant::parseCalibration(StringRef text,
                                                       StringRef source) {
  // Root, sites, site, channels.
  Expected<SplitJson> file = splitJsonObject(text, /*depth=*/4, source);
  if (!file)
    return file.takeError();
  return StatisticsReader(source, *file).readFile();
}

Expected<CalibrationData> spikequant::loadCalibration(StringRef path) {
  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer =
      MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer)
    return createStringError("cannot read calibration file '" + path +
                             "': " + buffer.getError().message());
  return parseCalibration((*buffer)->getBuffer(), path);
}

Expected<CalibrationData>
spikequant::loadCalibrations(ArrayRef<const char *> paths) {
  CalibrationData total;
  for (const char *path : paths) {
    Expected<CalibrationData> data = loadCalibration(path);
    if (!data)
      return data.takeError();
    if (Error error = total.merge(*data))
      return createStringError("%s: %s", path,
                               toString(std::move(error)).c_str());
  }
  return total;
}
