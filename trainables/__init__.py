"""What is scheduled: methods, problems, and the trial that runs one on the other."""
