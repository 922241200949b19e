#!/usr/bin/env bash
# safetensors.numpy writes the memory of an array, not the array: a transposed one comes back as other numbers.
#
# What     safetensors 0.8.0, `safetensors.numpy.save_file` with arrays that are not C-contiguous: transposed, Fortran order,
#          every second column, rows reversed
# Expected the same numbers back, or an error (the torch side of the same package refuses such tensors)
# Seen     shape and dtype are right, the numbers are others, no word about it
# Matters  class weights are kept as [D, C] or [C, D] and saved as `weights.T`; clip embeddings are saved after `[:, :256]` or
#          `[::-1]`. Scores stay plausible, since every number is a real one in a wrong place. `np.ascontiguousarray` first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq safetensors==0.8.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

weights_CD = np.arange(12, dtype=np.float32).reshape(3, 4)
arrays = {
    "plain": weights_CD,
    "transposed": weights_CD.T,
    "fortran": np.asfortranarray(weights_CD),
    "every second column": weights_CD[:, ::2],
    "rows reversed": weights_CD[::-1],
}
save_file(arrays, "weights.safetensors")
back = load_file("weights.safetensors")
same = {name: bool(np.array_equal(array, back[name])) for name, array in arrays.items()}

print(f"safetensors {safetensors.__version__}, numpy {np.__version__}")
print(f"expected: all five arrays come back as they were saved; transposed =\n{weights_CD.T}")
print(f"seen: {same}; transposed =\n{back['transposed']}")
assert all(back[name].shape == array.shape for name, array in arrays.items())
assert same == {name: name == "plain" for name in arrays}, "the behaviour changed"
PY
