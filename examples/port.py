"""The PyTorch side of port.c: trains a little, saves the weights and what they compute. python3 examples/port.py

Needs PyTorch and the safetensors package; its two files are in the repository."""
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.stem(x)
        x = F.relu(x + self.block(x))
        x = F.max_pool2d(x, 2).mean((2, 3))
        return self.head(x)


torch.manual_seed(20260101)
torch.set_num_threads(1)
net, x, y = Net(), torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])


def step(optimizer):
    net.train()
    loss = F.cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def output():
    net.eval()
    with torch.no_grad():
        return net(x)


warm = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(5):
    step(warm)
here = os.path.dirname(os.path.abspath(__file__))
save_file(net.state_dict(), os.path.join(here, 'port.safetensors'))

optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
seen = {'x': x, 'y': y, 'before': output()}
seen['losses'] = torch.stack([step(optimizer) for _ in range(3)])
seen['after'] = output()
save_file(seen, os.path.join(here, 'port_expected.safetensors'))
