"""The C++ compiler that torch needs to compile a network for a CPU."""

from __future__ import annotations

from polydiff.support.errors import UserError


def need_compiler() -> None:
    """Raise UserError if torch finds no C++ compiler; torch itself would fail in the middle of the first step."""
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler as error:
        raise UserError(
            "To compile a network for a CPU takes a C++ compiler, and torch finds none. Install g++, name yours in the "
            "environment variable CXX, or leave out train.compile, sample.compile and --compile."
        ) from error
