"""Training: the teachers (DINO, FOUND), the two heads, and the embedded demo model."""
