"""examples/char_gpt in PyTorch: the same model, text, optimizer and schedule, so that the losses can be compared.

python3 char_gpt_torch.py [--steps N] [--seed N] TEXT...    (on Debian: python3-torch)"""
import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
for name, value in (('steps', 1000), ('batch', 16), ('length', 128), ('width', 128), ('blocks', 4), ('heads', 4), ('seed', 1)):
    parser.add_argument('--' + name, type=int, default=value)
parser.add_argument('--lr', type=float, default=1e-3)
parser.add_argument('text', nargs='+')
o = parser.parse_args()
torch.manual_seed(o.seed)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        d = o.width
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = (p.view(n, t, o.heads, d // o.heads).transpose(1, 2) for p in self.qkv(self.norm1(x)).chunk(3, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.proj(y)
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate='tanh'))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(256, o.width), nn.Embedding(o.length, o.width)
        self.blocks = nn.Sequential(*[Block() for _ in range(o.blocks)])
        self.norm, self.head = nn.LayerNorm(o.width), nn.Linear(o.width, 256, bias=False)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.tokens(x) + self.places(torch.arange(x.shape[1])))))


text = bytearray()
for path in o.text:
    with open(path, 'rb') as f:
        text += f.read()
text = torch.tensor(list(text))
learned = len(text) - len(text) // 10
model = GPT()


def norm_or_bias(name, p):
    return name.endswith('bias') or 'norm' in name or p.dim() < 2


decay = [p for n, p in model.named_parameters() if not norm_or_bias(n, p)]
rest = [p for n, p in model.named_parameters() if norm_or_bias(n, p)]
optimizer = torch.optim.AdamW([{'params': decay}, {'params': rest, 'weight_decay': 0}], lr=o.lr)
warmup = o.steps // 20 + 1
scheduler = torch.optim.lr_scheduler.SequentialLR(
    optimizer,
    [torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=warmup),
     torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, o.steps, o.lr / 10)],
    [warmup],
)
total = 0
for step in range(1, o.steps + 1):
    at = torch.randint(learned - o.length, (o.batch,))
    x = torch.stack([text[i:i + o.length] for i in at])
    y = torch.stack([text[i + 1:i + o.length + 1] for i in at])
    loss = F.cross_entropy(model(x).view(-1, 256), y.view(-1))
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1)
    optimizer.step()
    scheduler.step()
    total += loss.item()
    if step % 50 == 0:
        print(f'{step:7d}   {total / 50:13.4f}', flush=True)
        last, total = total / 50, 0
assert math.isfinite(last)
print(f'training loss {last:.4f} after {o.steps * o.batch * o.length} bytes')
