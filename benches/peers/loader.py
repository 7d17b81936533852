"""JPEG files -> patches through the loader: foveate beside transformers' torchvision processor, interleaved.

    cargo build --release --example bench_loader
    python benches/peers/loader.py target/release/examples/bench_loader [--threads 2] [--images 24] [--rounds 5]

Needs torch, torchvision, transformers 5 and pillow. Both sides read the same files with the same number of threads.
The peer runs in three ways, and the fastest of a round is what is compared with:
  one by one   torchvision.io decodes, the processor runs on all torch threads
  thread pool  as many Python threads, one torch thread each
  DataLoader   as many worker processes, one torch thread each

Beside the clock it prints the processor time of a picture, all threads and worker processes together: on a machine that
is busy with other work that is what can be compared.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time

import torch
import torchvision
import transformers
from images import photo
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor


class Pictures(torch.utils.data.Dataset):
    def __init__(self, files: list[str], processor: Qwen2VLImageProcessor) -> None:
        self.files, self.processor = files, processor

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        picture = torchvision.io.decode_jpeg(torchvision.io.read_file(self.files[i]))
        out = self.processor(images=[picture], return_tensors="pt")
        return out["pixel_values"], out["image_grid_thw"]


def one_by_one(data: Pictures, threads: int) -> int:
    torch.set_num_threads(threads)
    return sum(len(data[i][0]) for i in range(len(data)))


def thread_pool(data: Pictures, threads: int) -> int:
    torch.set_num_threads(1)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return sum(len(values) for values, _ in pool.map(data.__getitem__, range(len(data))))


def data_loader(data: Pictures, threads: int) -> int:
    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=threads, prefetch_factor=2)
    return sum(len(values) for values, _ in loader)


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in of)


WAYS = {"one by one": one_by_one, "thread pool": thread_pool, "DataLoader": data_loader}


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("binary", type=pathlib.Path)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--images", type=int, default=24)
    ap.add_argument("--rounds", type=int, default=5)
    a = ap.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp())
    files = [str(folder / f"{i}.jpg") for i in range(a.images)]
    for i, file in enumerate(files):
        photo(1080, 1920, i).save(file, "JPEG", quality=90)
    rows = [{"id": str(i), "problem": "?", "answer": "1", "images": [file]} for i, file in enumerate(files)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}; "
          f"{a.images} files of 1920x1080, {a.threads} threads, load {os.getloadavg()[0]:.1f}")
    for max_pixels in (12_845_056, 1_003_520):
        processor = Qwen2VLImageProcessor(size={"shortest_edge": 3136, "longest_edge": max_pixels})
        data = Pictures(files, processor)
        rounds: dict[str, list[float]] = {}
        spent: dict[str, list[float]] = {}
        for turn in range(a.rounds + 1):  # the first warms up
            before = processor_seconds()
            words = [a.binary, folder / "rows.jsonl", str(a.threads), "2", str(max_pixels)]
            # Freed pages are kept, as the command line keeps them (cli/memory.rs).
            out = subprocess.run(words, check=True, capture_output=True, text=True, env=os.environ | {"MIMALLOC_PURGE_DELAY": "-1"})
            line = json.loads(out.stdout.splitlines()[-1])
            # Two rounds, the first of which warms the process up.
            row, cost = {"foveate": line["pictures"]}, {"foveate": (processor_seconds() - before) / (2 * a.images)}
            for name, way in WAYS.items():
                start, before = time.perf_counter(), processor_seconds()
                patches = way(data, a.threads)
                row[name] = a.images / (time.perf_counter() - start)
                cost[name] = (processor_seconds() - before) / a.images
                assert patches == line["patches"], (name, patches, line)
            for name in row if turn else ():
                rounds.setdefault(name, []).append(row[name])
                spent.setdefault(name, []).append(1e3 * cost[name])
        print(f"\nmax_pixels {max_pixels}, grid {line['grid']}: pictures per second, best (median); processor ms a picture")
        for name, values in rounds.items():
            print(f"  {name:14s} {max(values):7.1f} ({statistics.median(values):.1f}); {statistics.median(spent[name]):.1f}")
        peers = [rounds[name] for name in WAYS]
        ratios = [mine / max(theirs) for mine, *theirs in zip(rounds["foveate"], *peers)]
        least = [min(spent[name][i] for name in WAYS) / spent["foveate"][i] for i in range(a.rounds)]
        print(f"  processor time of the thriftiest peer to ours: median {statistics.median(least):.2f}")
        print(f"  ratio of each round to the fastest peer: {', '.join(f'{r:.2f}' for r in ratios)}; "
              f"median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
