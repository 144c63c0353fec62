"""What everything speaks of: options, plans, shapes, samples, jobs, trials, and the errors raised on purpose."""
