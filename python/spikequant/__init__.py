"""SpikeQuant: compiles large language models to spiking-integer programs."""

from .errors import SpikeQuantError

__version__ = "0.1.0"
__all__ = ["SpikeQuantError", "__version__"]
