"""What a program costs on a TPU pod, worked out without one: memory, traffic, time and money."""
