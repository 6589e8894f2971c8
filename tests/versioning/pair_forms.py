"""The canonical forms of the pairs' projects, computed by whichever Python runs this.

``python pair_forms.py FOLDER`` prints them as JSON: FOLDER/places.json has for each name the project's folder, the
module and the function.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from featurestore.errors import DeclarationError
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.recipe.closure import capture


def forms(folder: Path) -> dict[str, str]:
    """The digest of each project's canonical form with its limits' sentences."""
    found: dict[str, str] = {}
    for name, (place, module, function) in json.loads((folder / "places.json").read_text(encoding="utf-8")).items():
        try:
            closure = capture(SourceTree(folder / place), module, function)
        except DeclarationError as exc:
            found[name] = exc.message
            continue
        said = "".join(sorted({limit.message for limit in closure.limits}))
        found[name] = hashlib.sha256(closure.canonical + said.encode()).hexdigest()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(forms(Path(sys.argv[1]))))
