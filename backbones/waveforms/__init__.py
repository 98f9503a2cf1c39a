"""Parts of networks on waveforms."""
