"""What a network for waveforms is trained for: whole sounds, masked parts, upsampling and vocoding."""
