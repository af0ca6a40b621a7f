"""mixlingua: train and measure multilingual retrievers."""

__version__ = "0.1.0"
