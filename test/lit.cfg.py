"""lit configuration: FileCheck tests of the passes, executed tests and the unit tests."""

import os

import lit.formats

config.name = "SpikeQuant"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "unit"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.spikequant_obj_root, "test")
config.environment["PATH"] = os.pathsep.join(
    [config.spikequant_tools_dir, config.llvm_tools_dir, os.environ["PATH"]]
)
config.substitutions.append(("%tools", config.spikequant_tools_dir))
config.substitutions.append(("%cc", config.spikequant_c_compiler))
config.substitutions.append(("%src", config.spikequant_src_root))
llvm_libs = os.path.join(os.path.dirname(config.llvm_tools_dir), "lib")
config.substitutions.append(("%llvm_libs", llvm_libs))
with open("/proc/cpuinfo") as cpuinfo:
    flags = cpuinfo.read().split()
for feature in ("avx512_vnni", "avx512f", "avx2"):
    if feature in flags:
        config.available_features.add(feature)
