"""Text as a condition: tokenizers, captions, and pretrained encoders."""
