"""Engine: which images of a training set are unfit for it."""
