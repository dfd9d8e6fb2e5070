"""Run the command line as ``python -m fastnn.cli``."""

from .main import main

raise SystemExit(main())
