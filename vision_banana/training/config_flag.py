"""The flag `--config` of the commands that take an experiment; one process may load them all."""

from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment, configs/NAME.py.")
