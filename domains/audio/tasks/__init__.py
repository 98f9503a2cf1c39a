"""Training tasks for waveforms: generation, inpainting, upsampling and vocoding."""
