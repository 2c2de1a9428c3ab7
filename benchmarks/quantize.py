"""A Q4_0 file made from another GGUF file with llama.cpp's own quantiser.

    python quantize.py IN.gguf OUT.gguf

Everything becomes Q4_0, the head too: the smallest and fastest file that llama.cpp makes of it.
"""

import ctypes
import os
import sys

import llama_cpp


def main() -> int:
    source, target = sys.argv[1:3]
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0
    options.allow_requantize = True
    options.pure = True
    options.nthread = 1
    part = f"{target}.part"
    status = llama_cpp.llama_model_quantize(source.encode(), part.encode(), ctypes.byref(options))
    if status == 0:
        os.replace(part, target)
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
