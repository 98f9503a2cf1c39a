"""What a third party writes against: configuration sections, domains, backbones and their optional abilities."""
