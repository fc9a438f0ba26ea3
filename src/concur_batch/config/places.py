"""Where a value was given, for refusals by those who check it later: policies, simulated engines, workloads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from concur_batch.config.model import FREE, SECTIONS, Config
from concur_batch.errors import InputError

_KEY = re.compile(rf"({'|'.join(sorted({*SECTIONS, *FREE}))})\.\w+")


@contextmanager
def placing(config: Config, key: str = "") -> Iterator[None]:
    """Put the file or variable that gave a value in front of what is said of it: of the key that the sentence begins with, else of `key`.

    What came by the command line needs no place: its option or key is named anyway.
    """
    try:
        yield
    except InputError as error:
        said = str(error)
        named = _KEY.match(said)
        source = config.sources.get(named[0] if named else key, "")
        if source.startswith(("file ", "environment ")):
            raise type(error)(f"{source}: {said.removeprefix('--')}") from None
        raise
