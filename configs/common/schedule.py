"""Factor on the learning rate: linear warm-up over 500 iterations from 0.001, then steps."""

from detectron2.config import LazyCall as L

from scale_match.engine.schedule import warmup_multistep

# The engine fills in `max_iter` and `steps` from `train` and the size of the data set.
lr_multiplier = L(warmup_multistep)(
    max_iter="${train.max_iter}",
    steps=None,
    gamma=0.1,
    warmup_iters=500,
    warmup_factor=0.001,
)
