"""As the package itself."""

from xgrammar import __getattr__  # noqa: F401 - answers for every name of this module too
