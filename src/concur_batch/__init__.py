"""concur: runs batches of LLM agents on a local SGLang engine without letting its KV cache thrash."""

__version__ = "0.1.0"
