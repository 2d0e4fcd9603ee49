"""Option file in, artefacts out: a module or package for each job, found by its name."""
