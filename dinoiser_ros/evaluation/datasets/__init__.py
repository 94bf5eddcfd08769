"""The benchmarks: their folders, class names and label pictures, and the held-out frames."""
