"""Networks of the library diffusers as backbones."""
