"""Makes torch_reference.{safetensors,json}: a language model with torch.nn.LSTM on the text of the tests.

python torch_reference.py    (PyTorch; it writes beside itself)
"""

import json
import math
import pathlib
import struct

import torch

STEPS, BATCH, EMBEDDING, HIDDEN, LR, CLIP = 5, 4, 8, 12, 3.0, 1.0


def ids(times):
    words = ("the cat sat on the mat <eos> the dog sat on the cat <eos> " * times).split()
    return torch.tensor([VOCABULARY.index(word) for word in words])


VOCABULARY = ["the", "cat", "sat", "on", "mat", "<eos>", "dog"]
torch.manual_seed(1)
encoder = torch.nn.Embedding(len(VOCABULARY), EMBEDDING)
rnn = torch.nn.LSTM(EMBEDDING, HIDDEN, num_layers=2)
decoder = torch.nn.Linear(HIDDEN, len(VOCABULARY))
model = torch.nn.ModuleDict({"encoder": encoder, "rnn": rnn, "decoder": decoder})


def perplexity(text):
    with torch.no_grad():
        y, _ = rnn(encoder(text[:-1, None]))
        return math.exp(torch.nn.functional.cross_entropy(decoder(y)[:, 0], text[1:]).item())


def write(path, state):
    """As safetensors.torch.save_file does it."""
    header, data = {}, b""
    for name, value in state.items():
        end = len(data) + 4 * value.numel()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), end]}
        data += value.contiguous().numpy().astype("<f4").tobytes()
    header = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


here = pathlib.Path(__file__).parent
write(here / "torch_reference.safetensors", {name: value.detach() for name, value in model.state_dict().items()})
before = {"valid": perplexity(ids(7)), "test": perplexity(ids(5))}

# One epoch. We have one bias where PyTorch has two, so one of them stays as it is.
rnn.bias_hh_l0.requires_grad_(False)
rnn.bias_hh_l1.requires_grad_(False)
text, state = ids(60), None
length = (len(text) - 1) // BATCH
columns = torch.stack([text[k * length : (k + 1) * length + 1] for k in range(BATCH)], dim=1)
for k in range(length // STEPS):
    window = columns[k * STEPS : (k + 1) * STEPS + 1]
    y, state = rnn(encoder(window[:-1]), state)
    loss = torch.nn.functional.cross_entropy(decoder(y).flatten(0, 1), window[1:].flatten())
    model.zero_grad()
    loss.backward()
    state = tuple(s.detach() for s in state)
    learning = [p for p in model.parameters() if p.requires_grad]
    norm = math.sqrt(sum(p.grad.double().pow(2).sum().item() for p in learning))
    with torch.no_grad():
        for p in learning:
            p -= LR * min(1.0, CLIP / norm) * p.grad
after = {"valid": perplexity(ids(7)), "test": perplexity(ids(5))}
(here / "torch_reference.json").write_text(json.dumps({"before": before, "after": after}, indent=2) + "\n")
