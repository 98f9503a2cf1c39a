"""The C++ compiler that torch needs to compile a network for a CPU."""

from __future__ import annotations

from polydiff.support.errors import UserError


def need_compiler() -> None:
    """Raise UserError if torch finds no C++ compiler; torch itself would fail only during the first step."""
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler as error:
        raise UserError(
            "Compiling a network for a CPU needs a C++ compiler, and torch finds none. Install g++, set the "
            "environment variable CXX to your compiler, or leave out train.compile, sample.compile and --compile."
        ) from error
