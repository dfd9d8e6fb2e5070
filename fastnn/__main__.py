"""Run the command line as ``python -m fastnn``."""

from .cli import main

raise SystemExit(main())
