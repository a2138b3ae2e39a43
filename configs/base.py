"""Every key of a config, with the value that most experiments keep."""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The defaults; an experiment changes what it is about."""
    c = ml_collections.ConfigDict()
    c.seed = 0
    c.steps = 1000
    c.init_from = ""  # whose EMA weights to begin with: a run's folder, or an exported checkpoint

    c.model = dict(
        size="pocket",
        attention="prefix",
        vocabulary=2048,
        text_length=64,
        dtype="bfloat16",
        remat="none",  # or "full", "dots": see models/generator.py
        attention_kernel="xla",  # or "cudnn", "splash": see models/attention.py
        text_features=0,
    )
    c.mesh = dict(replica=1, fsdp=-1, tensor=1)
    c.micro_batches = 1  # parts of a batch whose gradients are added up, to save memory
    c.optimizer = dict(
        learning_rate=1e-3,
        muon_rate=0.0,
        warmup=100,
        decay_share=0.3,
        weight_decay=0.01,
        b1=0.9,
        b2=0.99,
        clip_norm=1.0,
    )
    c.time = dict(mean=-0.8, std=0.8, shift=1.0, noise_share=0.0)
    c.guard = dict(stop_after=10, outlier=0.0)  # see training/update_guard.py
    c.objective = dict(
        clip=0.05, drop_text=0.1, drop_references=0.05, ema_decay=0.999, kept_share=1.0
    )

    c.data = ml_collections.ConfigDict()
    c.data.size = 64  # side of a picture in pixels
    c.data.groups = 8  # groups of a global batch; the queries of a group share its references
    c.data.queries = 4
    c.data.workers = 0  # data worker processes; 0 reads in a thread
    c.data.max_bad_share = 0.01  # share of bad records above which training stops
    c.data.mixture = ml_collections.ConfigDict()  # name -> entry, see data/mixture.py
    c.data.vision_share = -1.0  # share of queries that ask to see; below 0: as the weights say

    c.log_every = 20
    c.checkpoint_every = 1000
    c.panels_every = 0  # pictures, and losses of raw and averaged weights on held-out data; 0: none
    c.wandb_project = ""  # of Weights & Biases, which gets every metric too (WANDB_* apply)
    c.log_records = False  # write the key of every record to WORKDIR/records
    c.keep = 2  # newest checkpoints that stay
    c.keep_every = 0  # checkpoints of steps that this divides stay for ever; 0: none
    c.keep_best = 0  # checkpoints with the smallest mean of best_metric since the last one
    c.best_metric = "loss"  # or "loss/depth" and the like
    return c
