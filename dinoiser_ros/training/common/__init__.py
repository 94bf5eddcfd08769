"""What all trainings share: pictures, options, processes, checkpoints of a run, its progress."""
