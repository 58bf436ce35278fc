"""Our reward server beside OpenRLHF's `serve_rm`: the same reward model, texts, dtype and clients, in alternation.

    python benchmarks/serve.py                                     # ours alone, two sizes of model
    python benchmarks/serve.py --openrlhf-python PYTHON            # both; an interpreter that has openrlhf 0.11
    python benchmarks/serve.py --rounds 0 --saturate 300           # only under full load, every answer checked

Each client asks for one sample at a time, and either keeps its connection or opens one for every sample, as the client
in OpenRLHF's trainer does; both ways are measured for both servers. Ours is asked by row and token ids, as our backends
ask it: it decodes, renders and tokenizes. Theirs is given the very text that ours renders. Under full load each answer
is compared with the score that its own text has in this process; a lost, doubled or swapped one ends with exit code 1.
Weights are random: speed does not depend on them. An interpreter whose openrlhf runs without a GPU may need variables
of its own; set them before the command, they are passed on.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from pathlib import Path

from serve_clients import load
from serve_saturation import check_saturated
from serve_world import SIZES, Server, World, make_world, start_ours, start_theirs

#: how clients connect, and whether they keep the connection
CONNECTIONS = {"kept": True, "new": False}
COLUMNS = ("requests/s", 11), ("p50 ms", 8), ("p99 ms", 8), ("alone ms", 9), ("cpu ms", 7), ("deviation", 10)


def compare(world: World, servers: list[Server], connections: str, args: argparse.Namespace) -> None:
    """Rounds in alternation, and the ratios."""
    keep, table = CONNECTIONS[connections], {server.name: list[tuple[float, ...]]() for server in servers}
    for server in servers:
        asyncio.run(load(server, world, args.clients, 2.0, keep=keep))  # warm
    print(f"connections: {connections}\nround server    " + " ".join(f"{name:>{width}}" for name, width in COLUMNS))
    for number in range(args.rounds):
        for server in servers if number % 2 == 0 else servers[::-1]:
            many = asyncio.run(load(server, world, args.clients, args.seconds, keep=keep))
            alone = asyncio.run(load(server, world, 1, args.seconds / 3, keep=keep))
            rate = len(many.latencies) / many.seconds
            cpu = 1000 * many.cpu / len(many.latencies)
            row = (rate, many.percentile(0.5), many.percentile(0.99), alone.percentile(0.5), cpu)
            table[server.name].append(row)
            print(f"{number:5} {server.name:9} {row[0]:11.1f} {row[1]:8.1f} {row[2]:8.1f} {row[3]:9.2f} {row[4]:7.2f} "
                  f"{max(many.worst, alone.worst):10.1e}", flush=True)  # fmt: skip
    for name, rows in table.items():
        middle = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(f"median {name:9} {middle[0]:10.1f} {middle[1]:8.1f} {middle[2]:8.1f} {middle[3]:9.2f} {middle[4]:7.2f}")
    if len(servers) == 2:
        ratios = [
            [ours / theirs for ours, theirs in zip(one, other, strict=True)]
            for one, other in zip(table["ours"], table["openrlhf"], strict=True)
        ]
        rate, _, p99, alone, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
        print("ours / openrlhf, median of rounds: "
              f"requests/s {rate:.2f} (>= 1.15: {_verdict(rate >= 1.15)}), "
              f"p99 {p99:.3f} (<= 0.2: {_verdict(p99 <= 0.2)}), "
              f"alone {alone:.2f} (<= 1: {_verdict(alone <= 1)}), cpu a request {cpu:.2f}")  # fmt: skip


def _verdict(good: bool) -> str:
    return "holds" if good else "FAILS"


def _interpreter(path: str) -> str:
    """Absolute: servers start in folders of their own. Links stay, as a virtual environment's python is one."""
    if not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{path} is no interpreter")
    return os.path.abspath(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openrlhf-python", type=_interpreter, help="an interpreter with openrlhf")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--dtype", default="float32", choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--connections", nargs="+", choices=list(CONNECTIONS), default=list(CONNECTIONS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=9.0, help="of a round, per server")
    parser.add_argument("--saturate", type=float, default=300.0, help="seconds under full load; 0: not")
    args = parser.parse_args()
    right = True
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            world = make_world(Path(folder), size, args.dtype)
            parameters = sum(file.stat().st_size for file in Path(folder, "rm").glob("*.safetensors"))
            each = 4 if args.dtype == "float32" else 2
            spread = max(world.scores) - min(world.scores)
            print(f"{size}: {parameters / each / 1e6:.1f} M parameters, {args.dtype}, {world.tokens} tokens a text, "
                  f"{args.clients} clients, scores spread over {spread:.2f}", flush=True)  # fmt: skip
            servers = [start_ours(world)] if args.rounds else []
            try:
                if args.rounds and args.openrlhf_python:
                    servers.append(start_theirs(world, args.openrlhf_python, args.dtype))
                for connections in args.connections if args.rounds else ():
                    compare(world, servers, connections, args)
            finally:
                for server in servers:
                    server.stop()
            if args.saturate:
                # In half precision, other batches round otherwise; a swapped answer is far off either way.
                tolerance = 1e-4 if args.dtype == "float32" else 0.02 * spread
                right = check_saturated(world, args, tolerance) and right
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
