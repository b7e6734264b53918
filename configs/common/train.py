"""Settings of a training run that belong to no other part."""

train = {
    "output_dir": "output",
    # Weights to start from; "" for random values.
    "init_checkpoint": "",
    # Iterations; None = as many as `epochs` are. A number wins over `epochs`, whose steps then
    # keep their place relative to the whole.
    "max_iter": None,
    # Passes over the training set, and after which of them the learning rate is divided by 10.
    "epochs": 12,
    "step_epochs": [8, 11],
    # Greatest L2 norm of all gradients together; 0 = no clipping.
    "clip_global_norm": 0.0,
    # Of the initial weights, the order of the images and Scale Match; negative = a random one.
    "seed": -1,
    "device": "cuda",
    "amp": {"enabled": False},
    "ddp": {"broadcast_buffers": False, "find_unused_parameters": False},
    "checkpointer": {"period": 5000, "max_to_keep": 100},
    # Iterations between evaluations; 0 = at the end only.
    "eval_period": 0,
    "log_period": 20,
}
