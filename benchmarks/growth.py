"""How a network's time and memory grow with its size: python -m benchmarks.growth [--sizes 0.1b,0.4b] [--weights DIR]

One row a size, of the backbone alone at float32 or at --level, beside the arithmetic that it is.
"""

import argparse

from sapiens_mlx.bench.measure import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="features")
    parser.add_argument("--sizes", default="0.1b,0.4b,0.8b,1b")
    parser.add_argument("--level", default="fp32")
    parser.add_argument("--weights")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    print("| size | operations | bytes | seconds | GFLOP/s | share of the matmul rate | weights | peak memory |")
    print("|---|---|---|---|---|---|---|---|")
    for size in options.sizes.split(","):
        row = measure(options.task, size, options.level, options.weights, turns=options.turns)
        rate = row["operations"] / row["seconds"] / 1e9
        print(
            f"| {size} | {row['operations'] / 1e12:.2f} T | {row['bytes'] / 1e9:.1f} GB | {row['seconds']:.1f} | "
            f"{rate:.0f} | {row['share_of_matmul_rate']:.2f} | {row['weights_bytes'] / 1e9:.2f} GB | "
            f"{row['peak_memory_bytes'] / 1e9:.2f} GB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
