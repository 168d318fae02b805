"""``python -m reliab_widgets``: the same as the command ``reliab-widgets``."""

from .cli import main

raise SystemExit(main())
