"""How YAML is written here."""

from __future__ import annotations

from typing import Any

import yaml


class PlainDumper(yaml.SafeDumper):
    """Writes what stands in several places out in each: anchors are hard to read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
