"""Runs a command of this project on Cloud TPU; see README.md beside this file."""
