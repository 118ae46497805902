"""Run a bundle with onnxruntime alone: `python smoke.py BUNDLE SAMPLE.npz`. Imports nothing of Fairlead.

Exit code 0 says that the graph loads in a fresh process and gives the expected probabilities on the sample.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main(bundle: str, sample: str) -> int:
    """Compare the graph's answers with the expected ones; largest difference allowed 1e-6."""
    expected = np.load(sample)
    session = onnxruntime.InferenceSession(str(Path(bundle) / "model.onnx"), providers=["CPUExecutionProvider"])
    (answer,) = session.run(["probabilities"], {"features": expected["features"]})
    difference = float(np.max(np.abs(answer - expected["probabilities"])))
    heavy = {"sklearn", "lightgbm", "fairlead"} & set(sys.modules)
    if heavy or answer.shape != expected["probabilities"].shape or not difference <= 1e-6:
        sys.stderr.write(f"difference {difference}, shape {answer.shape}, loaded {sorted(heavy)}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2]))
