"""Left out (43 MB): grammars are off. SGLang names its classes as fields of pydantic models, so they are such models."""

from pydantic import BaseModel


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    globals()[name] = made = type(name, (BaseModel,), {"__module__": __name__})
    return made
