"""Left out: SGLang's helpers for notebooks name two functions of it."""  # noqa: N999 - the package's own name
