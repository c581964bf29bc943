"""Makes torch_mlp.safetensors and torch_mlp_io.safetensors, beside this file: python3 make_torch_mlp.py

Needs PyTorch and the safetensors package (Debian: python3-torch, python3-safetensors).
"""
import os

import torch
from safetensors.torch import save_file
from torch import nn

here = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(20260101)
torch.set_num_threads(1)

model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for _ in range(7):
    x = torch.randn(16, 6) * 2 + 1
    y = x[:, :3].argmax(1)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()

model.eval()
x = torch.randn(5, 6) * 2 + 1
with torch.no_grad():
    output = model(x)

save_file(model.state_dict(), os.path.join(here, 'torch_mlp.safetensors'))
save_file({'input': x, 'output': output}, os.path.join(here, 'torch_mlp_io.safetensors'))
