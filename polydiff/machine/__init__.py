"""The machine that polydiff runs on: devices, memory, timing, the C++ compiler and installed versions."""
