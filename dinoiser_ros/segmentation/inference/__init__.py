"""One frame from pixels to labels (`forward`), and the same again as a CUDA graph (`replays`)."""
