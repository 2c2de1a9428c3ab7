# Helpers on top of upstream's: what every SpikeQuant library has in common.

# One precompiled header serves every MLIR library of the project.
if(SPIKEQUANT_PRECOMPILED_HEADERS)
  file(WRITE ${PROJECT_BINARY_DIR}/pch/anchor.cpp "")
  add_library(SpikeQuantPCH OBJECT ${PROJECT_BINARY_DIR}/pch/anchor.cpp)
  target_precompile_headers(SpikeQuantPCH PRIVATE
    "<mlir/Dialect/Arith/IR/Arith.h>"
    "<mlir/Dialect/Func/IR/FuncOps.h>"
    "<mlir/Dialect/Linalg/IR/Linalg.h>"
    "<mlir/Dialect/MemRef/IR/MemRef.h>"
    "<mlir/Dialect/SCF/IR/SCF.h>"
    "<mlir/Dialect/Tensor/IR/Tensor.h>"
    "<mlir/Dialect/Vector/IR/VectorOps.h>"
    "<mlir/IR/Builders.h>"
    "<mlir/IR/BuiltinTypes.h>"
    "<mlir/IR/PatternMatch.h>"
    "<mlir/Pass/Pass.h>")
  # Without the time in it, and with a stamp of what it was made of beside it, ccache knows a
  # precompiled header again in other folders: it has MLIR's headers only.
  target_compile_options(SpikeQuantPCH PRIVATE -Xclang -fno-pch-timestamp)
  # Itself it names the folder it was made in, which may be gone: never from the cache.
  set_target_properties(SpikeQuantPCH PROPERTIES CXX_COMPILER_LAUNCHER "")
  get_target_property(SPIKEQUANT_MLIR_LIBRARY MLIR LOCATION)
  file(TIMESTAMP ${SPIKEQUANT_MLIR_LIBRARY} SPIKEQUANT_MLIR_TIME)
  set(SPIKEQUANT_PCH ${PROJECT_BINARY_DIR}/CMakeFiles/SpikeQuantPCH.dir/cmake_pch.hxx.pch)
  file(WRITE ${SPIKEQUANT_PCH}.sum
    "${LLVM_PACKAGE_VERSION} ${SPIKEQUANT_MLIR_TIME} ${CMAKE_BUILD_TYPE} ${CMAKE_CXX_FLAGS} ${SPIKEQUANT_SANITIZERS}")
endif()

# Plain C++ library: LLVM's Support at most, no MLIR.
function(add_spikequant_library name)
  cmake_parse_arguments(ARG "" "" "LINK_LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC ${ARG_LINK_LIBS} LLVM)
endfunction()

# The compiler spends its time in libMLIR.so and libLLVM.so: -O1 halves the time to
# build its own sources and costs nothing that can be measured.
set(SPIKEQUANT_COMPILER_OPTIONS $<$<CONFIG:Release>:-O1>)
if(SPIKEQUANT_PRECOMPILED_HEADERS)
  target_compile_options(SpikeQuantPCH PRIVATE ${SPIKEQUANT_COMPILER_OPTIONS})
endif()

# MLIR library: LINK_LIBS are SpikeQuant libraries; MLIR itself is libMLIR.so.
function(add_spikequant_mlir_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LINK_LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  add_dependencies(${name} spikequant-headers ${ARG_DEPENDS})
  target_compile_options(${name} PRIVATE ${SPIKEQUANT_COMPILER_OPTIONS})
  target_link_libraries(${name} PUBLIC ${ARG_LINK_LIBS} MLIR LLVM)
  if(SPIKEQUANT_PRECOMPILED_HEADERS)
    # By hand: REUSE_FROM adds an absolute path in a form that ccache takes for a difference.
    # A dependency on the library alone orders links, not objects: each source waits for the file.
    add_dependencies(${name} SpikeQuantPCH)
    set_source_files_properties(${ARG_UNPARSED_ARGUMENTS} PROPERTIES OBJECT_DEPENDS ${SPIKEQUANT_PCH})
    target_compile_options(${name} PRIVATE "SHELL:-Winvalid-pch -include-pch ${SPIKEQUANT_PCH}")
  endif()
endfunction()

function(add_spikequant_tool name)
  cmake_parse_arguments(ARG "" "" "LINK_LIBS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_compile_options(${name} PRIVATE ${SPIKEQUANT_COMPILER_OPTIONS})
  target_link_libraries(${name} PRIVATE ${ARG_LINK_LIBS} MLIR LLVM)
  if(TARGET spikequant-headers)
    add_dependencies(${name} spikequant-headers)
  endif()
endfunction()

# GoogleTest program; all of them are found by lit under build/test/unit.
function(add_spikequant_unittest name)
  cmake_parse_arguments(ARG "" "" "LINK_LIBS" ${ARGN})
  add_executable(${name} EXCLUDE_FROM_ALL ${ARG_UNPARSED_ARGUMENTS})
  target_compile_options(${name} PRIVATE ${SPIKEQUANT_COMPILER_OPTIONS})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/test/unit)
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/test/unit)
  target_link_libraries(${name} PRIVATE ${ARG_LINK_LIBS} LLVM GTest::gtest GTest::gtest_main)
  add_dependencies(SpikeQuantUnitTests ${name})
endfunction()
