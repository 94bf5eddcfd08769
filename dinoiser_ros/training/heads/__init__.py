"""Training CLIP-DINOiser's two heads: teachers, losses, options, files."""
