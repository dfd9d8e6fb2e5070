"""The primitives, one file a family. Importing this package registers all of them."""

import os
from importlib import import_module

# os, not pathlib: at import each millisecond counts.
for _name in sorted(os.listdir(os.path.dirname(__file__))):
    if _name.endswith(".py") and not _name.startswith("__"):
        import_module(f"{__name__}.{_name[:-3]}")
