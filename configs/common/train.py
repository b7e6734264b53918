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
    # Images of the batch that the learning rate and everything in iterations are for; they are
    # rescaled for total_batch_size, except for keys that the command line names. 0 = as they are.
    "reference_batch": 0,
    # Greatest L2 norm of all gradients together; 0 = no clipping.
    "clip_global_norm": 0.0,
    # Of the initial weights, the order of the images and Scale Match; negative = a random one.
    "seed": -1,
    "device": "cuda",
    # "bf16", or "fp16" with a scaled loss
    "amp": {"enabled": False, "dtype": "bf16"},
    # Parts that each process runs its images of a step in, one after another; they divide these.
    "accumulate": 1,
    # Decay of the moving average of the weights, as 0.9998, which evaluations use; 0 = off.
    "ema_decay": 0.0,
    # Iterations between computations of the losses on the test set; 0 = off.
    "validation_loss_period": 0,
    # Evaluations (eval_period) without a better AP50_tiny after which training ends; 0 = off.
    "early_stopping_patience": 0,
    # Project of Weights & Biases to write to, where the package wandb is installed; "" = none.
    "wandb_project": "",
    "ddp": {"broadcast_buffers": False, "find_unused_parameters": False},
    "checkpointer": {"period": 5000, "max_to_keep": 100},
    # Iterations between evaluations; 0 = at the end only.
    "eval_period": 0,
    "log_period": 20,
}
