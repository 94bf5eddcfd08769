"""The tables of this repository: `make table` (`ablation`) and `make robustness`."""
