"""What was measured on the networks of the zoo: more than a learner of a lesson waits for."""

from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
# Beside the lessons where they were copied to, among the documents in a clone.
FINDINGS = next(it for it in (HERE / "findings", HERE.parent / "docs" / "findings") if it.is_dir())
NETWORKS = ("resnet20", "vgg", "densenet", "mobilenetv2", "googlenet")


def findings(table: str, networks: tuple[str, ...] = NETWORKS) -> pd.DataFrame:
    """Return one of the tables of docs/findings.md, with a column that names the network."""
    parts = {name: pd.read_csv(FINDINGS / f"{table}-{name}.csv") for name in networks}
    return pd.concat(parts, names=["network", ""]).reset_index("network")
