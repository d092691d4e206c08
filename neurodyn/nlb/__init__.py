"""The Neural Latents Benchmark: tasks, tensors, files and exact scores."""
