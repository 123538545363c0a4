import os

# On processors with AMX, torch 2.15's bfloat16 convolutions answer with wrong numbers and NaN (a 96 x 96 x 16 crop of the
# cardiac network; float32 and AVX-512 agree to 1e-4). Read when torch loads, so it stands here.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
