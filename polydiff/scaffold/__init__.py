"""New packages: `domain` writes that of a domain from the files in template/, for `polydiff domains new`."""
