"""The time of one `session.run`, alone. `python -m benchmarks.serving.programs.session_time GRAPH ROWS.npy SECONDS`.

Prints the median in microseconds. The rows are of shape [batches, n, d]; the batches take turns, as in the load.
"""

import statistics
import sys
import time

import numpy as np

from benchmarks.serving.programs.session import open_session

if __name__ == "__main__":
    session, batches = open_session(sys.argv[1]), np.load(sys.argv[2])
    taken: list[int] = []
    end = time.perf_counter() + float(sys.argv[3])
    while time.perf_counter() < end:
        for batch in batches:
            began = time.perf_counter_ns()
            session.run(["probabilities"], {"features": batch})
            taken.append(time.perf_counter_ns() - began)
    print(statistics.median(taken) / 1000)
