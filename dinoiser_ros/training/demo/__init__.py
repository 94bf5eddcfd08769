"""Making the embedded models from the simulated world; `build_model` runs all stages."""
