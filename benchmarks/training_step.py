"""Training rates of the zoo's networks, and of the same networks in PyTorch.

    pip install torch==2.13.0
    python -m benchmarks.training_step --out training_step.json
    python -m benchmarks.training_step --networks NN1 MelDCNN --what answering

Forward, backward and Adam on a batch that is in memory; with `--what answering`, one sample in
inference, by PyTorch eagerly and by a SavedModel of ours. The PyTorch network is made from ours
with the same weights, and has to give the same answers first. Each contender lives in a process of
its own, for each number of threads, and PyTorch also for each order of the channels; they take
their turns, so that what slows the machine slows them all, and the best of each side are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path

from benchmarks.workers import Worker, fastest, ratio, serve, take_turns

NETWORKS = (
    "TripletClassifier", "Net96", "NN1", "NN1, recommended", "MelDCNN", "MultiViewClassifier",
    "mobilenet_v2_035",
)  # fmt: skip
STOCK = "TripletClassifier, stock Keras"  # what fused batch normalisation is worth
RATE, AGREEMENT = 1e-3, 1e-4
TORCH = ("PyTorch, channels first", "PyTorch, channels last")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--what", choices=("training", "answering"), default="training")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count()])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="in each turn")
    parser.add_argument("--out", default="training_step.json")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        _work(arguments)
        return
    rows = [row for name in arguments.networks for row in _compared(name, arguments)]
    result = vars(arguments) | {
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("tensorflow", "keras", "torch")},
        "rows": rows,
    }
    Path(arguments.out).write_text(json.dumps(result, indent=1))
    print(
        f"{arguments.what:32} {'samples/s':>9} {'PyTorch':>8} {'ratio':>6} {'range':>13}  best of"
    )
    for row in rows:
        print(
            f"{row['network']:32} {row['rate']:9.1f} {row['peer_rate']:8.1f} {row['ratio']:6.2f} "
            f"{row['lowest']:5.2f} to {row['highest']:.2f}  {row['ours']} / {row['peer']}"
        )


def _compared(name: str, arguments) -> list[dict]:
    """Ours against PyTorch, each at its best setting, round by round."""
    with_stock = STOCK.startswith(name) and arguments.what == "training"
    sides = {"ours": (name,), "stock": (STOCK,) if with_stock else (), "peer": TORCH}
    workers, named = {}, {side: [] for side in sides}
    for side, kinds in sides.items():
        for kind in kinds:
            for threads in sorted(set(arguments.threads)):
                contender = f"{kind}, {threads} threads"
                workers[contender] = _worker(name, kind, threads, arguments)
                named[side].append(contender)
    counts = {worker.said for worker in workers.values()}
    if len(counts) > 1:
        raise SystemExit(f"{name}: the networks differ in their trained weights: {counts}")
    seconds = take_turns(workers, arguments.rounds, arguments.what)
    for worker in workers.values():
        worker.stop()
    samples = int(counts.pop().split()[0])
    best = {side: fastest(seconds, names) for side, names in named.items() if names}
    return [
        {
            "network": STOCK if side == "stock" else name,
            "ours": best[side],
            "peer": best["peer"],
            "rate": samples / min(seconds[best[side]]),
            "peer_rate": samples / min(seconds[best["peer"]]),
            **ratio(seconds, best[side], best["peer"]),
        }
        for side in ("ours", "stock")
        if side in best
    ]


def _worker(name: str, kind: str, threads: int, arguments) -> Worker:
    words = ["--networks", name, "--worker", kind, "--threads", str(threads)]
    words += ["--steps", str(arguments.steps), "--what", arguments.what]
    return Worker("benchmarks.training_step", words, {"OMP_NUM_THREADS": str(threads)})


def _work(arguments) -> None:
    """Be one contender: say samples per step and trained weights, then do steps."""
    from benchmarks.networks import BATCH

    name, threads = arguments.networks[0], arguments.threads[0]
    answers = arguments.what == "answering"
    samples = 1 if answers else BATCH[name]
    make = _torch if arguments.worker in TORCH else _keras
    step, weights = make(name, arguments.worker, threads, samples, answers)
    serve({arguments.what: step}, arguments.steps, f"{samples} {weights}")


def _keras(name: str, kind: str, threads: int, samples: int, answers: bool):
    import tensorflow as tf

    from benchmarks.networks import batch, network

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    made = network(kind)
    arrays, targets = batch(made, samples)
    weights = sum(weight.value.shape.num_elements() for weight in made.trainable_weights)
    tensors = [tf.constant(array) for array in arrays]
    if answers:
        return partial(_serving(made), *tensors), weights
    import keras

    made.compile(keras.optimizers.Adam(RATE), "sparse_categorical_crossentropy")
    inputs = tensors if len(tensors) > 1 else tensors[0]
    return lambda: made.train_on_batch(inputs, targets), weights


def _serving(made):
    """What the network's SavedModel serves: as in a run, without batch normalisations."""
    import tensorflow as tf

    from models.folded_batch_norm import folded

    with tempfile.TemporaryDirectory() as folder:
        folded(made).export(folder, verbose=False)
        loaded = tf.saved_model.load(folder)

    def answer(*tensors, loaded=loaded):  # the functions live as long as what was loaded
        found = loaded.serve(list(tensors) if len(tensors) > 1 else tensors[0])
        return found.numpy()

    return answer


def _torch(name: str, kind: str, threads: int, samples: int, answers: bool):
    import torch
    from torch.nn import functional

    from benchmarks.networks import batch, network
    from benchmarks.torch_twin import TorchTwin, channels_first, largest_difference

    torch.set_num_threads(threads)
    original = network(name)
    arrays, targets = batch(original, samples)
    difference = largest_difference(original, TorchTwin(original), [one[:2] for one in arrays])
    if difference > AGREEMENT:
        raise SystemExit(f"{name}: PyTorch answers otherwise, by {difference:.1g}")
    order = torch.channels_last if kind == TORCH[1] else torch.contiguous_format
    twin = TorchTwin(original, logits=not answers).to(memory_format=order)
    inputs = [channels_first(one) for one in arrays]
    inputs = [one.contiguous(memory_format=order) if one.ndim == 4 else one for one in inputs]
    trained = [weight for weight in twin.parameters() if weight.requires_grad]
    weights = sum(weight.numel() for weight in trained)
    if answers:
        twin.eval()

        def answer():
            with torch.inference_mode():
                return twin(*inputs).numpy()

        return answer, weights
    optimizer = torch.optim.Adam(trained, RATE, fused=True)
    labels = torch.from_numpy(targets)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(twin(*inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, weights


if __name__ == "__main__":
    main()
