"""What everything stands on: knobs, results, the Subject, running and remembering."""
