# Writes what the tests of torch.go read, to the folder that it is told; state.pt and values.pt of
# PyTorch 1.13 lie beside this file.
import sys

import torch
from torch.nn import Parameter, ParameterList

folder = sys.argv[1]
ramp = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8
torch.save(ParameterList([Parameter(ramp[0].bfloat16()), Parameter(ramp[1].bfloat16())]).state_dict(),
           f"{folder}/state.pt")
values = {"parameter": Parameter(ramp[2]), "transposed": ramp.t(), "columns": ramp[:, 1:3],
          "turned": ramp.t()[1:3], "half": ramp.half(), "double": ramp.double(), "whole": ramp.long(),
          "cube": ramp.reshape(3, 2, 2), "one": ramp[2, 3], "none": ramp[:0]}
for protocol, name in enumerate(["values", "values3", "values4", "values5"], 2):
    torch.save(values, f"{folder}/{name}.pt", pickle_protocol=protocol)
