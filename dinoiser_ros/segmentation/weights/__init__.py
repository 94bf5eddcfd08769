"""Files of weights: where they are (`sources`), fetching (`download`), reading (`checkpoint`)."""
