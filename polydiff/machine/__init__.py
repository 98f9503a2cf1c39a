"""What polydiff runs on: devices, memory, compilers and the versions that are installed."""
