"""Where pictures and their labels come from: one reader per source, the mixture, the pipeline."""
