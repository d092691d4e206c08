"""Operations that the models' encoders spend their time in, each with several implementations.

Every operation has a plain version that is the truth (:mod:`neurodyn.kernels.reference`), and
faster ones: hand-written backward passes in torch, and Triton kernels for NVIDIA GPUs. What runs
is decided in one place, :mod:`neurodyn.kernels.dispatch`.
"""
