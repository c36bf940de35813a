#!/usr/bin/env python3
"""PyTorch's rows beside `cargo bench -p g2-benches`: one layer in f32 on the CPU, forward and forward + backward.

    python benches/torch_lstm.py 70,20,400,1150 35,64,256,256        # T,B,I,H ...

`lstm` is torch.nn.LSTM, which samples nothing; `gumbel` is a Gumbel-Gate LSTM written as one would in PyTorch, a loop
over time steps. Medians of `--runs` runs, in milliseconds. Needs torch and numpy.
"""

import argparse
import statistics
import time

import torch

TAU = 0.9


class GumbelLstm(torch.nn.Module):
    """Input and forget gates sigmoid((a + logit(u)) / tau), u uniform; gate order i, f, g, o as in torch.nn.LSTM."""

    def __init__(self, inputs, hidden):
        super().__init__()
        bound = hidden**-0.5
        uniform = lambda *shape: torch.nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))
        self.w_x, self.w_h, self.b = uniform(4 * hidden, inputs), uniform(4 * hidden, hidden), uniform(4 * hidden)

    def forward(self, x):
        steps = torch.nn.functional.linear(x, self.w_x, self.b)
        h = c = x.new_zeros(x.shape[1], self.w_h.shape[1])
        hs = []
        for step in steps:
            i, f, g, o = (step + h @ self.w_h.t()).chunk(4, dim=1)
            noise = torch.logit(torch.rand(2, *i.shape).clamp(2**-24, 1 - 2**-24))
            i, f = torch.sigmoid((i + noise[0]) / TAU), torch.sigmoid((f + noise[1]) / TAU)
            c = f * c + i * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            hs.append(h)
        return torch.stack(hs)


def median_ms(run, runs):
    times = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("shapes", nargs="*", default=["70,20,400,1150", "35,64,256,256"], metavar="T,B,I,H")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    for shape in options.shapes:
        steps, batch, inputs, hidden = map(int, shape.split(","))
        x = torch.randn(steps, batch, inputs, requires_grad=True)
        lstm = torch.nn.LSTM(inputs, hidden)
        rows = {"lstm": lambda: lstm(x)[0], "gumbel": lambda net=GumbelLstm(inputs, hidden): net(x)}
        for name, run in rows.items():
            with torch.no_grad():
                forward = median_ms(run, options.runs)
            both = median_ms(lambda: run().sum().backward(), options.runs)
            print(f"torch {name:6} T{steps} B{batch} I{inputs} H{hidden}: {forward:8.2f} {both:8.2f} ms", flush=True)


if __name__ == "__main__":
    main()
