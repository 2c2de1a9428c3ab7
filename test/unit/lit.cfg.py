"""lit configuration of the GoogleTest programs in build/test/unit."""

import lit.formats

config.name = "SpikeQuant-Unit"
config.test_format = lit.formats.GoogleTest(".", "Tests")
config.suffixes = []
config.test_source_root = config.spikequant_unit_dir
config.test_exec_root = config.spikequant_unit_dir
