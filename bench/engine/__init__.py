"""How long the engine takes, stage by stage: `make bench`."""
