"""Write PyTorch's losses of the small networks of ``bench/curves.py`` into ``torch_curves.json``. Run as a script."""

from __future__ import annotations

import json

import torch

from torch_curves import ARCHIVE, SMALL, STEPS, curves_module, network_of

if __name__ == "__main__":
    curves = curves_module()
    forms = [form for form in curves.FORMS if form.startswith("torch")]
    found = {
        name: {form: [float(f"{v:.9g}") for v in curves.curve(network_of(name), form, STEPS)] for form in forms}
        for name in SMALL
    }
    ARCHIVE.write_text(json.dumps({"torch": torch.__version__, "curves": found}) + "\n")
    print(f"{ARCHIVE}: {ARCHIVE.stat().st_size} bytes, from PyTorch {torch.__version__}")
