//===- ModelTables.cpp - the tables of a compiled model ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Pipelines/ModelTables.h"
#include "spikequant/Pipelines/TargetCode.h"
#include "spikequant/Runtime/spikequant.h"

#include "llvm/IR/Constants.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Module.h"

#include <functional>
#include <numeric>

namespace mlir::spikequant {

namespace {
/// Writes tables as constants. Field orders follow spikequant.h.
class TableWriter {
public:
  TableWriter(llvm::Module &module, const PackedFileInfo &weights)
      : module(module), weights(weights), context(module.getContext()),
        pointer(llvm::PointerType::getUnqual(context)),
        i32(llvm::Type::getInt32Ty(context)),
        i64(llvm::Type::getInt64Ty(context)) {}

  void write(ArrayRef<GraphSpec> graphs, StringRef cpuFeatures) {
    SmallVector<llvm::Constant *> rows;
    for (const GraphSpec &graph : graphs)
      rows.push_back(createGraph(graph));
    llvm::Constant *table =
        createStruct({number(SQ_ABI_VERSION), number(graphs.size()),
                      createArray(rows), number(weights.checksum),
                      number(weights.bytes), createString(cpuFeatures)});
    auto *global = new llvm::GlobalVariable(
        module, table->getType(), /*isConstant=*/true,
        llvm::GlobalValue::ExternalLinkage, table, "sq_model_table");
    global->setVisibility(llvm::GlobalValue::HiddenVisibility);
  }

private:
  llvm::Constant *number(int64_t value) {
    return llvm::ConstantInt::get(i64, value);
  }
  llvm::Constant *number32(int32_t value) {
    return llvm::ConstantInt::get(i32, value);
  }
  llvm::Constant *createStruct(ArrayRef<llvm::Constant *> fields) {
    return llvm::ConstantStruct::getAnon(context, fields);
  }

  llvm::Constant *createGlobal(llvm::Constant *value) {
    auto *global =
        new llvm::GlobalVariable(module, value->getType(), true,
                                 llvm::GlobalValue::PrivateLinkage, value);
    global->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
    return global;
  }

  /// A pointer to the rows, or null if there are none.
  llvm::Constant *createArray(ArrayRef<llvm::Constant *> rows) {
    if (rows.empty())
      return llvm::ConstantPointerNull::get(pointer);
    auto *type = llvm::ArrayType::get(rows.front()->getType(), rows.size());
    return createGlobal(llvm::ConstantArray::get(type, rows));
  }

  llvm::Constant *createString(StringRef text) {
    return createGlobal(llvm::ConstantDataArray::getString(context, text));
  }

  llvm::Constant *createArraySpec(const ArraySpec &spec) {
    SmallVector<llvm::Constant *> shape;
    for (int64_t size : spec.shape)
      shape.push_back(number(size));
    return createStruct({createString(spec.name), number32(spec.elementType),
                         number32(spec.shape.size()), createArray(shape),
                         number(spec.getBytes()), number32(spec.stateResult)});
  }

  llvm::Constant *createArraySpecs(ArrayRef<ArraySpec> specs) {
    SmallVector<llvm::Constant *> rows;
    for (const ArraySpec &spec : specs)
      rows.push_back(createArraySpec(spec));
    return createArray(rows);
  }

  llvm::Constant *createGraph(const GraphSpec &graph) {
    SmallVector<llvm::Constant *> sites;
    for (const std::string &site : graph.sites)
      sites.push_back(createString(site));
    return createStruct(
        {createString(graph.name), createBody(graph), number(graph.arenaBytes),
         number(graph.arguments.size()), createArraySpecs(graph.arguments),
         number(graph.results.size()), createArraySpecs(graph.results),
         number(graph.sites.size()), createArray(sites)});
  }

  /// `void body(const sq_call *)`: unpacks the call into memref descriptors.
  llvm::Function *createBody(const GraphSpec &graph);

  void appendMemRef(SmallVectorImpl<llvm::Value *> &operands, llvm::Value *data,
                    ArrayRef<int64_t> shape);
  llvm::Value *loadField(llvm::IRBuilder<> &builder, llvm::Value *base,
                         int64_t index) {
    return builder.CreateLoad(
        pointer, builder.CreateConstInBoundsGEP1_64(pointer, base, index));
  }

  llvm::Module &module;
  const PackedFileInfo &weights;
  llvm::LLVMContext &context;
  llvm::PointerType *pointer;
  llvm::Type *i32, *i64;
};
} // namespace

void TableWriter::appendMemRef(SmallVectorImpl<llvm::Value *> &operands,
                               llvm::Value *data, ArrayRef<int64_t> shape) {
  operands.append({data, data, number(0)});
  for (int64_t size : shape)
    operands.push_back(number(size));
  for (size_t i = 0; i < shape.size(); ++i)
    operands.push_back(number(std::accumulate(
        shape.begin() + i + 1, shape.end(), int64_t(1), std::multiplies<>())));
}

llvm::Function *TableWriter::createBody(const GraphSpec &graph) {
  auto *type =
      llvm::FunctionType::get(llvm::Type::getVoidTy(context), {pointer}, false);
  auto *body = llvm::Function::Create(type, llvm::GlobalValue::InternalLinkage,
                                      "body_" + graph.name, module);
  body->addFnAttr(kGraphBodyAttr);
  llvm::IRBuilder<> builder(llvm::BasicBlock::Create(context, "entry", body));
  llvm::Value *call = body->getArg(0);
  // sq_call: size, threads, then pointers; all fields have eight bytes.
  enum Field { Weights = 2, Arena, Arguments, Results, Salient };
  auto field = [&](Field index) { return loadField(builder, call, index); };
  llvm::Value *arguments = field(Arguments), *results = field(Results);
  SmallVector<llvm::Value *> operands;
  for (auto [index, spec] : llvm::enumerate(graph.arguments))
    appendMemRef(operands, loadField(builder, arguments, index), spec.shape);
  for (auto [index, spec] : llvm::enumerate(graph.results))
    if (graph.resultStates[index] < 0)
      appendMemRef(operands, loadField(builder, results, index), spec.shape);
  appendMemRef(operands, field(Weights), {int64_t(weights.bytes)});
  appendMemRef(operands, field(Arena), {graph.arenaBytes});
  appendMemRef(operands, field(Salient), {int64_t(graph.sites.size())});
  operands.push_back(call);
  llvm::Function *function = module.getFunction(graph.name);
  llvm::CallInst *inner = builder.CreateCall(function, operands);
  inner->addFnAttr(llvm::Attribute::AlwaysInline);
  builder.CreateRetVoid();
  return body;
}

void addModelTables(llvm::Module &module, ArrayRef<GraphSpec> graphs,
                    const PackedFileInfo &weights, StringRef cpuFeatures) {
  for (llvm::Function &function : module)
    if (!function.isDeclaration())
      function.setLinkage(llvm::GlobalValue::InternalLinkage);
  for (llvm::GlobalVariable &global : module.globals())
    if (!global.isDeclaration())
      global.setLinkage(llvm::GlobalValue::InternalLinkage);
  TableWriter(module, weights).write(graphs, cpuFeatures);
}

std::string createModelHeader(ArrayRef<GraphSpec> graphs) {
  std::string text = "/* Graphs of this compiled model: names and sizes. */\n"
                     "#include \"spikequant.h\"\n\n";
  llvm::raw_string_ostream out(text);
  for (const GraphSpec &graph : graphs) {
    std::string upper = StringRef(graph.name).upper();
    out << "#define SQ_GRAPH_" << upper << " \"" << graph.name << "\"\n"
        << "#define SQ_GRAPH_" << upper << "_ARENA_BYTES " << graph.arenaBytes
        << "\n"
        << "#define SQ_GRAPH_" << upper << "_ARGUMENTS "
        << graph.arguments.size() << "\n"
        << "#define SQ_GRAPH_" << upper << "_RESULTS " << graph.results.size()
        << "\n\n";
  }
  return text;
}

} // namespace mlir::spikequant
